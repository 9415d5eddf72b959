/* Smooth surfaces fitted to points of a face, between the files of this room: what a flat or bent sheet may do, so that what it cannot do remains. */
#ifndef MIEN_LIVENESS_SURFACE_H
#define MIEN_LIVENESS_SURFACE_H

#include <stdbool.h>

enum { MIEN_SURFACE_TERMS = 10 }; /* of a polynomial of degree 3 in x and y */

struct mien_surface { double c[MIEN_SURFACE_TERMS]; /* of lower degrees: the last ones are 0 */ };

/* Least squares of degree 1 to 3 over n points; `weight` may be NULL. x and y should lie within about -2..2. `count` values of the same points (1 or 2) take
 * little longer than one. False when the points do not determine the surface. */
bool mien_surface_fit(int degree, int n, const float *x, const float *y, const float *weight, int count, const float *const *value, struct mien_surface *out);
float mien_surface_at(const struct mien_surface *s, float x, float y);

#endif
