/* Eye aspect ratio, the usual measure of how open an eye is.
 *
 * Soukupova and Cech, "Real-Time Eye Blink Detection using Facial Landmarks", CVWW 2016: six points around the eye, p1 and p4
 * the corners, p2 p3 on the upper lid, p5 p6 on the lower one; EAR = (|p2 p6| + |p3 p5|) / (2 |p1 p4|). Their points are iBUG-68's;
 * on MediaPipe's mesh the customary ones are
 *   image-left eye  (the subject's right)  33 160 158 133 153 144
 *   image-right eye (the subject's left)  362 385 387 263 373 380
 * Distances are in the image plane: the thresholds in use (0.2 to 0.25 for closed) were chosen that way. */
#include "face/face.h"

#include <math.h>

static const int EYE[2][6] = {{362, 385, 387, 263, 373, 380}, {33, 160, 158, 133, 153, 144}};

static float gap(const float *mesh, int a, int b)
{
    return hypotf(mesh[3 * a] - mesh[3 * b], mesh[3 * a + 1] - mesh[3 * b + 1]);
}

float mien_ear(const float *mesh, bool image_left)
{
    const int *p = EYE[image_left];
    float width = gap(mesh, p[0], p[3]);
    if (!(width > 0.0f)) return 0.0f;
    return (gap(mesh, p[1], p[5]) + gap(mesh, p[2], p[4])) / (2.0f * width);
}
