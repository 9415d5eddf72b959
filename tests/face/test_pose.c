// Head pose, eye aspect ratio and the quality formula: pure functions over points.
#include "support/faces.h"

#include <math.h>

static bool is_near(double a, double b, double tolerance) { return fabs(a - b) <= tolerance; }

static const double RAD = 3.14159265358979323846 / 180.0;

/* Rotates p by Rz(roll) Ry(yaw) Rx(-pitch) in the camera frame (x right, y down, z away), with the signs that face.h states,
 * written out step by step so that it shares nothing with pose.c. */
static void rotate(const double in[3], double yaw, double pitch, double roll, double out[3])
{
    double x = in[0], y = in[1], z = in[2], t;
    double a = pitch * RAD; /* nose (z < 0) goes up (y < 0): y' = y cos + z sin */
    t = y * cos(a) + z * sin(a);
    z = -y * sin(a) + z * cos(a);
    y = t;
    a = yaw * RAD; /* yaw < 0 takes the nose (z < 0) to x < 0 */
    t = x * cos(a) - z * sin(a);
    z = x * sin(a) + z * cos(a);
    x = t;
    a = roll * RAD; /* clockwise on the screen takes +x towards +y (down) */
    out[0] = x * cos(a) - y * sin(a);
    out[1] = x * sin(a) + y * cos(a);
    out[2] = z;
}

struct named { int index; double p[3]; };
/* A face in its own frame that looks straight ahead: the six points that pose uses, symmetric, with depth; the chin lies
 * 17.7 tan(5.5 degrees) = 1.704 deeper than the forehead. */
static const struct named FACE[6] = {{234, {-7.7, 0.2, 2.5}}, {454, {7.7, 0.2, 2.5}}, {33, {-4.4, -2.7, -3.2}},
                                     {263, {4.4, -2.7, -3.2}}, {10, {0.0, -8.3, -4.5}}, {152, {0.0, 9.4, -2.796}}};

static void make_mesh(float *mesh, double yaw, double pitch, double roll, bool mirror)
{
    memset(mesh, 0, sizeof(float) * 3 * MIEN_MAX_MESH);
    for (int i = 0; i < 6; i++) {
        double q[3];
        rotate(FACE[i].p, yaw, pitch, roll, q);
        int at = FACE[i].index;
        if (mirror) { /* x flips, and what was on the left is now on the right */
            q[0] = -q[0];
            at = at == 234 ? 454 : at == 454 ? 234 : at == 33 ? 263 : at == 263 ? 33 : at;
        }
        for (int k = 0; k < 3; k++) mesh[3 * at + k] = (float)(300.0 + 12.5 * q[k]);
    }
}

static void mesh_gives_the_angles_it_was_turned_by(void **state)
{
    (void)state;
    static float mesh[3 * MIEN_MAX_MESH];
    for (int yaw = -80; yaw <= 80; yaw += 20)
        for (int pitch = -60; pitch <= 60; pitch += 15)
            for (int roll = -150; roll <= 180; roll += 30) {
                float y, p, r;
                make_mesh(mesh, yaw, pitch, roll, false);
                mien_pose_from_mesh(mesh, 0.0f, &y, &p, &r);
                assert_true(is_near(y, yaw, 0.01));
                assert_true(is_near(p, pitch, 0.02));
                assert_true(is_near(remainder((double)r - roll, 360.0), 0, 0.02));
            }
}

static void mirror_flips_yaw_and_roll(void **state)
{
    (void)state;
    static float mesh[3 * MIEN_MAX_MESH];
    float y, p, r;
    make_mesh(mesh, 25, 10, -15, true);
    mien_pose_from_mesh(mesh, 0.0f, &y, &p, &r);
    assert_true(fabsf(y + 25.0f) < 0.01f && fabsf(p - 10.0f) < 0.01f && fabsf(r - 15.0f) < 0.01f);
}

static void roi_rotation_is_added_and_wrapped(void **state)
{
    (void)state;
    static float mesh[3 * MIEN_MAX_MESH];
    float y, p, r;
    make_mesh(mesh, 0, 0, 100, false);
    mien_pose_from_mesh(mesh, 120.0f, &y, &p, &r);
    assert_true(fabsf(r + 140.0f) < 0.01f);
}

/* Signs in plain words, so that a mistake shared by both sides of the first test is seen. */
static void signs(void **state)
{
    (void)state;
    static float mesh[3 * MIEN_MAX_MESH];
    make_mesh(mesh, 0, 0, 0, false);
    float y, p, r;
    mesh[3 * 454 + 2] -= 40.0f; /* image-right ear nearer: the head is turned to the image's left */
    mien_pose_from_mesh(mesh, 0.0f, &y, &p, &r);
    assert_true(y < -5.0f);
    make_mesh(mesh, 0, 0, 0, false);
    mesh[3 * 152 + 2] -= 40.0f; /* chin nearer: looks up */
    mien_pose_from_mesh(mesh, 0.0f, &y, &p, &r);
    assert_true(p > 5.0f);
    make_mesh(mesh, 0, 0, 0, false);
    mesh[3 * 263 + 1] += 40.0f; /* image-right eye lower: clockwise */
    mien_pose_from_mesh(mesh, 0.0f, &y, &p, &r);
    assert_true(r > 5.0f);
}

static void five_points_give_coarse_angles(void **state)
{
    (void)state;
    const double face[5][3] = {{-3.2, -2.6, -3.4}, {3.2, -2.6, -3.4}, {0, 1.2, -7.3}, {-2.5, 4.3, -4.2}, {2.5, 4.3, -4.2}};
    for (int yaw = -60; yaw <= 60; yaw += 15)
        for (int pitch = -30; pitch <= 30; pitch += 15)
            for (int roll = -90; roll <= 90; roll += 45) {
                float point[10], y, p, r;
                for (int i = 0; i < 5; i++) {
                    double q[3];
                    rotate(face[i], yaw, pitch, roll, q);
                    point[2 * i] = (float)(500 + 20 * q[0]);
                    point[2 * i + 1] = (float)(400 + 20 * q[1]);
                }
                mien_pose_from_points(point, &y, &p, &r);
                assert_true(is_near(y, yaw, 4) && is_near(p, pitch, 4) && is_near(remainder((double)r - roll, 360), 0, 4));
            }
}

static void degenerate_points_stay_finite(void **state)
{
    (void)state;
    static float mesh[3 * MIEN_MAX_MESH];
    float point[10] = {0}, y, p, r;
    mien_pose_from_points(point, &y, &p, &r);
    assert_true(y == 0.0f && p == 0.0f && r == 0.0f);
    memset(mesh, 0, sizeof mesh);
    mien_pose_from_mesh(mesh, 0.0f, &y, &p, &r);
    assert_true(isfinite(y) && isfinite(p) && isfinite(r));
    assert_true(mien_ear(mesh, true) == 0.0f);
}

/* An eye drawn by hand: corners `width` apart, lids `open` apart at two places. */
static void draw_eye(float *mesh, const int at[6], float cx, float cy, float width, float open)
{
    const float xy[6][2] = {{-width / 2, 0}, {-width / 6, -open / 2}, {width / 6, -open / 2},
                            {width / 2, 0}, {width / 6, open / 2}, {-width / 6, open / 2}};
    for (int i = 0; i < 6; i++) {
        mesh[3 * at[i]] = cx + xy[i][0];
        mesh[3 * at[i] + 1] = cy + xy[i][1];
    }
}

static void ear_of_drawn_eyes(void **state)
{
    (void)state;
    static float mesh[3 * MIEN_MAX_MESH];
    const int left[6] = {33, 160, 158, 133, 153, 144}, right[6] = {362, 385, 387, 263, 373, 380};
    draw_eye(mesh, left, 100, 100, 40, 12);
    draw_eye(mesh, right, 200, 100, 40, 2);
    assert_true(fabsf(mien_ear(mesh, true) - 0.30f) < 1e-5f);
    assert_true(fabsf(mien_ear(mesh, false) - 0.05f) < 1e-5f);
}

static void quality_formula(void **state)
{
    (void)state;
    struct mien_quality best = mien_quality_of(1.0f, 0, 0, 0, 500.0f, 40000.0f);
    assert_true(fabsf(best.score - 1.0f) < 1e-6f && best.is_frontal);
    struct mien_quality q = mien_quality_of(0.9f, -30.0f, 12.0f, 3.0f, 100.0f, 10000.0f);
    /* 0.30*0.9 + 0.25*(1-45/180) + 0.25*0.2 + 0.20*0.25 */
    assert_true(fabsf(q.score - 0.5575f) < 1e-6f);
    assert_true(!q.is_frontal && fabsf(q.pose - 0.75f) < 1e-6f && fabsf(q.sharpness - 0.2f) < 1e-6f && fabsf(q.size - 0.25f) < 1e-6f);
    assert_true(mien_quality_of(1, 29.9f, -24.9f, 19.9f, 0, 0).is_frontal);
    assert_false(mien_quality_of(1, 0, 25.0f, 0, 0, 0).is_frontal);
    assert_false(mien_quality_of(1, 0, 0, -20.0f, 0, 0).is_frontal);
    struct mien_quality worst = mien_quality_of(-1.0f, 90, 90, 180, -5.0f, -1.0f);
    assert_true(worst.score == 0.0f);
    assert_true(mien_quality_of(2.0f, 0, 0, 0, 1e9f, 1e9f).score <= 1.0f);
}

/* AFLW2000-3D's labels as our angles, by three matrices, so that it shares nothing with pose.c. There R = Rx(pitch) Ry(yaw) Rz(roll)
 * with y up and z towards the camera (3DDFA); here it is D R D with D = diag(1, -1, -1). */
static void aflw_by_matrices(double pitch, double yaw, double roll, double out[3])
{
    double cx = cos(pitch * RAD), sx = sin(pitch * RAD), cy = cos(yaw * RAD), sy = sin(yaw * RAD), cz = cos(roll * RAD), sz = sin(roll * RAD);
    const double x[3][3] = {{1, 0, 0}, {0, cx, sx}, {0, -sx, cx}};
    const double y[3][3] = {{cy, 0, -sy}, {0, 1, 0}, {sy, 0, cy}}, z[3][3] = {{cz, sz, 0}, {-sz, cz, 0}, {0, 0, 1}};
    double xy[3][3], r[3][3];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) xy[i][j] = x[i][0] * y[0][j] + x[i][1] * y[1][j] + x[i][2] * y[2][j];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) r[i][j] = xy[i][0] * z[0][j] + xy[i][1] * z[1][j] + xy[i][2] * z[2][j];
    out[0] = atan2(-r[2][0], hypot(r[0][0], r[1][0])) / RAD;
    out[1] = -atan2(r[2][1], r[2][2]) / RAD;
    out[2] = atan2(-r[1][0], r[0][0]) / RAD;
}

static void aflw_conversion_keeps_single_turns(void **state)
{
    (void)state;
    double a[3];
    mien_pose_from_aflw(20, 0, 0, a);
    assert_true(is_near(a[0], 0, 1e-9) && is_near(a[1], 20, 1e-9) && is_near(a[2], 0, 1e-9));
    mien_pose_from_aflw(0, 30, 0, a);
    assert_true(is_near(a[0], -30, 1e-9) && is_near(a[1], 0, 1e-9));
    mien_pose_from_aflw(0, 0, 10, a);
    assert_true(is_near(a[2], 10, 1e-9));
}

static void aflw_conversion_is_that_of_the_matrices(void **state)
{
    (void)state;
    for (int i = 0; i < 7 * 7 * 7; i++) {
        const double pitch = 28.0 * (i % 7 - 3), yaw = 29.0 * (i / 7 % 7 - 3), roll = 55.0 * (i / 49 - 3);
        double got[3], wanted[3];
        mien_pose_from_aflw(pitch, yaw, roll, got);
        aflw_by_matrices(pitch, yaw, roll, wanted);
        for (int k = 0; k < 3; k++) assert_true(is_near(got[k], wanted[k], 1e-9));
    }
}

/* 16 faces with true angles, yaw up to 71 degrees. */
static void pose_of_aflw2000(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "aflw2000_prnet16/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_LANDMARKS);
    test_csv_read(path, &csv);
    double mesh[3] = {0}, near_frontal[3] = {0}, coarse[3] = {0};
    int n = 0, n_frontal = 0;
    for (int i = 1; i < csv.rows; i++) {
        struct test_photo t = test_photo_open("aflw2000_prnet16", csv.cell[i][0]);
        struct mien_err e = {0};
        struct mien_faces out;
        double truth[3];
        mien_pose_from_aflw(atof(test_csv_at(&csv, i, "pitch_deg")), atof(test_csv_at(&csv, i, "yaw_deg")), atof(test_csv_at(&csv, i, "roll_deg")), truth);
        TEST_TRY(mien_face_analyze(p.models, p.session, t.photo, MIEN_WANT_POSE, NULL, p.arena, &out, &e), e);
        if (out.count > 0) {
            const struct mien_face *f = &out.face[0];
            float c[3];
            mien_pose_from_points(f->point, &c[0], &c[1], &c[2]);
            const double got[3] = {f->yaw, f->pitch, f->roll};
            printf("  %-24s truth %6.1f %6.1f %6.1f  mesh %6.1f %6.1f %6.1f  points %6.1f %6.1f %6.1f\n", csv.cell[i][0], truth[0], truth[1], truth[2], got[0],
                   got[1], got[2], (double)c[0], (double)c[1], (double)c[2]);
            for (int k = 0; k < 3; k++) {
                mesh[k] += fabs(got[k] - truth[k]);
                coarse[k] += fabs((double)c[k] - truth[k]);
                if (fabs(truth[0]) < 30) near_frontal[k] += fabs(got[k] - truth[k]);
            }
            n++;
            n_frontal += fabs(truth[0]) < 30;
        }
        test_photo_close(&t);
    }
    assert_true(n >= 14);
    printf("aflw2000, %d of %d faces: mean absolute error yaw %.1f pitch %.1f roll %.1f;", n, csv.rows - 1, mesh[0] / n, mesh[1] / n, mesh[2] / n);
    printf(" |yaw| < 30 (%d): %.1f %.1f %.1f;", n_frontal, near_frontal[0] / n_frontal, near_frontal[1] / n_frontal, near_frontal[2] / n_frontal);
    printf(" from five points: %.1f %.1f %.1f\n", coarse[0] / n, coarse[1] / n, coarse[2] / n);
    assert_true(mesh[0] / n < 12 && mesh[1] / n < 12 && mesh[2] / n < 8);
    free(csv.text);
    test_pack_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mesh_gives_the_angles_it_was_turned_by), cmocka_unit_test(mirror_flips_yaw_and_roll),
        cmocka_unit_test(roi_rotation_is_added_and_wrapped), cmocka_unit_test(signs),
        cmocka_unit_test(five_points_give_coarse_angles), cmocka_unit_test(degenerate_points_stay_finite),
        cmocka_unit_test(ear_of_drawn_eyes), cmocka_unit_test(quality_formula),
        cmocka_unit_test(aflw_conversion_keeps_single_turns),
        cmocka_unit_test(aflw_conversion_is_that_of_the_matrices), cmocka_unit_test(pose_of_aflw2000)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
