/* Published networks that users bring along, and how their pixels are made. Thresholds are those that their projects use: nobody has measured them with our
 * detectors, so fmr is 0 and a server says so.
 *
 * Inception ResNet v1 (Schroff et al. 2015; Szegedy et al. 2016) as facenet-pytorch publishes it: RGB, (pixel - 127.5) / 128. Its own evaluation on LFW cuts
 * MTCNN's box with a margin of 14 of 160 pixels, which is 1.1 times the box. The threshold is a Euclidean distance of 0.9 between unit vectors.
 *
 * DeepPixBiS (George and Marcel 2019, https://arxiv.org/abs/1907.04047): ImageNet's mean and deviation; output_pixel is a map of 14 x 14 values, output_binary
 * one. The training crops (bob.pad.face, cropped positions "pad") have the eyes 0.34 of their side apart, at 0.29 of their height; in yunet_n's boxes on
 * LFW the eyes are 0.32 of the longer side apart and 0.12 above the middle, hence scale and shift. Not bfloat16, because its scores have not been compared
 * there.
 *
 * ArcFace (Deng et al. 2019) with InsightFace's five points, such as w600k_r50: RGB, (pixel - 127.5) / 127.5. */
#include "face/inner.h"

static const struct mien_known_model KNOWN[] = {
    {MIEN_ROLE_EMBED, "Inception ResNet v1 of facenet-pytorch", 160, 1, {NULL}, {512},
     "{\"input\": {\"width\": 160, \"height\": 160, \"channels\": \"rgb\", \"mean\": [127.5], \"scale\": [0.0078125]},"
     " \"crop\": {\"kind\": \"box\", \"scale\": 1.1, \"filter\": \"area\"},"
     " \"outputs\": {\"embedding\": \"output\"}, \"dim\": 512, \"threshold\": {\"similarity\": 0.6, \"fmr\": 0, \"slope\": 14}}"},
    {MIEN_ROLE_EMBED, "ArcFace (InsightFace's five points)", 112, 1, {NULL}, {512},
     "{\"input\": {\"width\": 112, \"height\": 112, \"channels\": \"rgb\", \"mean\": [127.5], \"scale\": [0.007843137]},"
     " \"crop\": {\"kind\": \"align\", \"points\": \"five\","
     " \"template\": [38.2946, 51.6963, 73.5318, 51.5014, 56.0252, 71.7366, 41.5493, 92.3655, 70.7299, 92.2041]},"
     " \"outputs\": {\"embedding\": \"683\"}, \"dim\": 512, \"threshold\": {\"similarity\": 0.3, \"fmr\": 0, \"slope\": 14}}"},
    {MIEN_ROLE_SPOOF, "DeepPixBiS", 224, 2, {"output_binary", "output_pixel"}, {1, 14 * 14},
     "{\"precision\": \"f32\","
     " \"input\": {\"width\": 224, \"height\": 224, \"channels\": \"rgb\", \"mean\": [123.675, 116.28, 103.53],"
     " \"scale\": [0.017124754, 0.017507003, 0.017429194]},"
     " \"crop\": {\"kind\": \"box\", \"scale\": 0.95, \"shift_y\": 0.08, \"filter\": \"area\"},"
     " \"outputs\": {\"prob\": \"output_binary\", \"map\": \"output_pixel\"}, \"live_index\": 0}"},
};

const struct mien_known_model *mien_known_model_at(int i)
{
    return i >= 0 && i < (int)(sizeof KNOWN / sizeof KNOWN[0]) ? &KNOWN[i] : NULL;
}
