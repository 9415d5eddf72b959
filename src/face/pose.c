/* Head pose as three angles, from a 3-D mesh or from five 2-D points.
 *
 * Camera frame: x to the right, y down, z away from the camera (right-handed; MediaPipe's mesh has the same, "smaller z
 * = nearer"). The face's own axes, seen in that frame, are X (towards the image-right ear of a frontal face), Y (forehead to
 * chin) and Z (into the head). With R = [X Y Z] = Rz(roll) Ry(yaw) Rx(-pitch), i.e. Tait-Bryan angles of a head that nods, then
 * turns, then tilts, the columns give the angles in closed form:
 *     roll = atan2(X.y, X.x)   yaw = atan2(X.z, hypot(X.x, X.y))   pitch = -atan2(Y.z, Z.z)
 * Signs: yaw < 0, the nose points to the image's left; pitch > 0, the nose points up; roll > 0, the head is turned clockwise
 * in the image. Frontal and level is 0, 0, 0. yaw is in -90..90, the others in -180..180. */
#include "face/face.h"

#include <math.h>

static const float DEG_PER_RAD = 57.29577951308232f;

/* The line from forehead to chin of a person who looks into a camera at eye height leans this far back below: the chin is
 * further away. Measured: the raw pitch's median is -4.7 degrees over 66 LFW photos and -7.4 over 64 posed portraits; against
 * the true angles of AFLW2000 (16 faces) the raw pitch is low by a median of 6. */
static const float PITCH_ZERO_DEG = 5.5f;

struct vec3 { float x, y, z; };

static struct vec3 sub(struct vec3 a, struct vec3 b) { return (struct vec3){a.x - b.x, a.y - b.y, a.z - b.z}; }
static struct vec3 add(struct vec3 a, struct vec3 b) { return (struct vec3){a.x + b.x, a.y + b.y, a.z + b.z}; }
static float dot(struct vec3 a, struct vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }

static struct vec3 cross(struct vec3 a, struct vec3 b)
{
    return (struct vec3){a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

/* Unit vector along a; {0,0,0} when a has no length. */
static struct vec3 unit(struct vec3 a)
{
    float n = sqrtf(dot(a, a));
    if (!(n > 0.0f)) return (struct vec3){0.0f, 0.0f, 0.0f};
    return (struct vec3){a.x / n, a.y / n, a.z / n};
}

static void angles_of_axes(struct vec3 x, struct vec3 y, float *yaw, float *pitch, float *roll)
{
    x = unit(x);
    float along = dot(x, y);
    y = unit((struct vec3){y.x - along * x.x, y.y - along * x.y, y.z - along * x.z});
    struct vec3 z = cross(x, y);
    *yaw = DEG_PER_RAD * atan2f(x.z, hypotf(x.x, x.y));
    *pitch = -DEG_PER_RAD * atan2f(y.z, z.z);
    *roll = DEG_PER_RAD * atan2f(x.y, x.x);
}

static float wrap_deg(float a) { return remainderf(a, 360.0f); }

static struct vec3 mesh_at(const float *mesh, int i) { return (struct vec3){mesh[3 * i], mesh[3 * i + 1], mesh[3 * i + 2]}; }

/* Mesh points (MediaPipe's canonical face, the same in the 468- and the 478-point mesh): 234/454 the face contour at image
 * left/right beside the ears, 33/263 the outer eye corners, 10/152 top of the forehead and chin. The two horizontal pairs are
 * added so that neither the contour's uncertain depth nor the short eye line decides alone. */
void mien_pose_from_mesh(const float *mesh, float roi_roll_deg, float *yaw, float *pitch, float *roll)
{
    struct vec3 x = add(sub(mesh_at(mesh, 454), mesh_at(mesh, 234)), sub(mesh_at(mesh, 263), mesh_at(mesh, 33)));
    struct vec3 y = sub(mesh_at(mesh, 152), mesh_at(mesh, 10));
    angles_of_axes(x, y, yaw, pitch, roll);
    *pitch = wrap_deg(*pitch + PITCH_ZERO_DEG); /* the innermost rotation: angles about X add */
    *roll = wrap_deg(*roll + roi_roll_deg);
}

/* Where the five points lie on an average face, in centimetres, camera frame: image-left eye, image-right eye, nose tip,
 * image-left mouth corner, image-right mouth corner. Rounded from MediaPipe's canonical face model
 * (canonical_face_model.obj, Apache-2.0), the eye as the middle of its corners. */
static const float MODEL[5][3] = {
    {-3.15f, -2.62f, -3.47f}, {3.15f, -2.62f, -3.47f}, {0.0f, 1.13f, -7.48f}, {-2.46f, 4.34f, -4.28f}, {2.46f, 4.34f, -4.28f}};

/* Least-squares rows of a scaled orthographic camera (DeMenthon and Davis, "Model-based object pose in 25 lines of code",
 * IJCV 1995, its first iteration): for each image coordinate u, the vector r with u_i - mean(u) = r . (M_i - mean(M)). The
 * model is symmetric in x, so the 3x3 normal equations fall apart into 1x1 and 2x2. */
static struct vec3 camera_row(const float u[5])
{
    float mean_u = 0.0f, mean_y = 0.0f, mean_z = 0.0f;
    for (int i = 0; i < 5; i++) {
        mean_u += u[i] / 5.0f;
        mean_y += MODEL[i][1] / 5.0f;
        mean_z += MODEL[i][2] / 5.0f;
    }
    float xx = 0, yy = 0, yz = 0, zz = 0, xu = 0, yu = 0, zu = 0;
    for (int i = 0; i < 5; i++) {
        float x = MODEL[i][0], y = MODEL[i][1] - mean_y, z = MODEL[i][2] - mean_z, d = u[i] - mean_u;
        xx += x * x;
        yy += y * y;
        yz += y * z;
        zz += z * z;
        xu += x * d;
        yu += y * d;
        zu += z * d;
    }
    float det = yy * zz - yz * yz;
    return (struct vec3){xu / xx, (zz * yu - yz * zu) / det, (yy * zu - yz * yu) / det};
}

void mien_pose_from_points(const float point[10], float *yaw, float *pitch, float *roll)
{
    float u[5], v[5];
    for (int i = 0; i < 5; i++) {
        u[i] = point[2 * i];
        v[i] = point[2 * i + 1];
    }
    struct vec3 row_x = camera_row(u), row_y = camera_row(v);
    /* The rows are s*R's first two; bring both to one length before completing the rotation. */
    float len = sqrtf(sqrtf(dot(row_x, row_x) * dot(row_y, row_y)));
    if (!(len > 0.0f)) {
        *yaw = *pitch = *roll = 0.0f;
        return;
    }
    struct vec3 i = unit(row_x), j = unit(row_y), k = cross(i, j);
    angles_of_axes((struct vec3){i.x, j.x, k.x}, (struct vec3){i.y, j.y, k.y}, yaw, pitch, roll);
}

/* There R = Rx(pitch) Ry(yaw) Rz(roll) with y up and z towards the camera (3DDFA, Zhu et al. 2016); here it is D R D with D = diag(1, -1, -1), taken apart as
 * above. Written out: of the product only five elements are needed. */
void mien_pose_from_aflw(double pitch, double yaw, double roll, double out[3])
{
    static const double RAD = 3.14159265358979323846 / 180.0;
    const double cx = cos(pitch * RAD), sx = sin(pitch * RAD), cy = cos(yaw * RAD), sy = sin(yaw * RAD), cz = cos(roll * RAD), sz = sin(roll * RAD);
    const double r00 = cy * cz, r10 = sx * sy * cz - cx * sz, r20 = cx * sy * cz + sx * sz, r21 = cx * sy * sz - sx * cz, r22 = cx * cy;
    out[0] = -atan2(r20, hypot(r00, r10)) / RAD;
    out[1] = -atan2(r21, r22) / RAD;
    out[2] = -atan2(r10, r00) / RAD;
}
