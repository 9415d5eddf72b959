/* What the fusion engine makes of a sensor's depth map, one JSON object a map; for tools/liveness/depth.py.
 *   run_depth < MAPS
 * MAPS holds, for each map: width and height (int32), the five points in its pixels (10 floats), width x height millimetres (uint16). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "liveness/fusion.h"

enum { MOST_PIXELS = 1 << 22 };

static void judge(const struct mien_depth_map *depth, const float point[10], struct mien_jw *w)
{
    const struct mien_fusion_settings settings = mien_fusion_settings_default();
    struct mien_face face = {0};
    float descriptor[MIEN_DEPTH_DIM];
    memcpy(face.point, point, sizeof face.point);
    const struct mien_frame frame = {.face = &face, .photo_width = depth->width, .photo_height = depth->height, .depth = depth};
    const struct mien_modality m = mien_depth_score(&settings, &frame);
    const bool described = mien_depth_descriptor(depth, depth->width, depth->height, &face, descriptor);
    mien_jw_object(w);
    mien_jw_key(w, "score");
    mien_jw_number(w, m.present ? (double)m.score : -1.0, 6);
    mien_jw_key(w, "descriptor");
    mien_jw_array(w);
    for (int i = 0; described && i < MIEN_DEPTH_DIM; i++) mien_jw_number(w, (double)descriptor[i], 7);
    mien_jw_end_array(w);
    mien_jw_end_object(w);
}

int main(void)
{
    int32_t size[2];
    float point[10];
    while (fread(size, sizeof size, 1, stdin) == 1 && fread(point, sizeof point, 1, stdin) == 1) {
        if (size[0] <= 0 || size[1] <= 0 || size[0] > MOST_PIXELS / size[1]) return 1;
        const size_t pixels = (size_t)size[0] * (size_t)size[1];
        uint16_t *mm = malloc(pixels * sizeof *mm);
        if (mm == NULL || fread(mm, sizeof *mm, pixels, stdin) != pixels) return 1;
        struct mien_buf line;
        struct mien_jw w;
        mien_buf_init(&line, 1 << 20);
        mien_jw_init(&w, &line);
        judge(&(struct mien_depth_map){size[0], size[1], mm}, point, &w);
        puts(line.data);
        mien_buf_free(&line);
        free(mm);
    }
    return 0;
}
