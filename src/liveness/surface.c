/* Polynomial surfaces by normal equations and Cholesky's method, in double: at most 10 unknowns over a few hundred points. */
#include "liveness/surface.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

enum { T = MIEN_SURFACE_TERMS };

static int terms_of(int degree) { return (degree + 1) * (degree + 2) / 2; }

/* By degree: 1, x, y, xx, xy, yy, xxx, xxy, xyy, yyy. */
static void terms_at(double x, double y, double t[T])
{
    const double xx = x * x, xy = x * y, yy = y * y;
    const double all[T] = {1.0, x, y, xx, xy, yy, x * xx, x * xy, y * xy, y * yy};
    for (int i = 0; i < T; i++) t[i] = all[i];
}

/* Takes the lower triangle of `a` apart in place; false when it is singular. */
static bool take_apart(int n, double a[T][T])
{
    for (int i = 0; i < n; i++) {
        const double whole = a[i][i];
        for (int j = 0; j <= i; j++) {
            double sum = a[i][j];
            for (int k = 0; k < j; k++) sum -= a[i][k] * a[j][k];
            if (j < i) a[i][j] = sum / a[j][j];
            else if (!(sum > 1e-10 * whole)) return false;
            else a[i][i] = sqrt(sum);
        }
    }
    return true;
}

static void solve(int n, double a[T][T], double c[T])
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++) c[i] -= a[i][k] * c[k];
        c[i] /= a[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++) c[i] -= a[k][i] * c[k];
        c[i] /= a[i][i];
    }
}

/* Exponents of the terms. */
static const unsigned char power_x[T] = {0, 1, 0, 2, 1, 0, 3, 2, 1, 0}, power_y[T] = {0, 0, 1, 0, 1, 2, 0, 1, 2, 3};

/* Sums of w x^i y^j: the normal equations have a hundred entries, but only these differ. */
enum { POWERS = 7 };

static void add_moments(double x, double y, double w, int powers, double moment[POWERS][POWERS])
{
    double up_x = w;
    for (int i = 0; i < powers; i++, up_x *= x) {
        double v = up_x;
        for (int j = 0; i + j < powers; j++, v *= y) moment[i][j] += v;
    }
}

bool mien_surface_fit(int degree, int n, const float *x, const float *y, const float *weight, int count, const float *const *value, struct mien_surface *out)
{
    double a[T][T], moment[POWERS][POWERS] = {{0}}, t[T];
    const int terms = terms_of(degree);
    assert(degree >= 1 && terms <= T);
    for (int k = 0; k < count; k++) out[k] = (struct mien_surface){0};
    for (int p = 0; p < n; p++) {
        const double w = weight != NULL ? (double)weight[p] : 1.0;
        add_moments((double)x[p], (double)y[p], w, 2 * degree + 1, moment);
        terms_at((double)x[p], (double)y[p], t);
        for (int k = 0; k < count; k++) {
            const double v = w * (double)value[k][p];
            for (int i = 0; i < terms; i++) out[k].c[i] += v * t[i];
        }
    }
    for (int i = 0; i < terms; i++)
        for (int j = 0; j <= i; j++) a[i][j] = moment[power_x[i] + power_x[j]][power_y[i] + power_y[j]];
    if (!take_apart(terms, a)) return false;
    for (int k = 0; k < count; k++) solve(terms, a, out[k].c);
    return true;
}

float mien_surface_at(const struct mien_surface *s, float at_x, float at_y)
{
    const double x = (double)at_x, y = (double)at_y, *c = s->c;
    return (float)(c[0] + x * (c[1] + x * (c[3] + x * c[6]) + y * (c[4] + x * c[7] + y * c[8])) + y * (c[2] + y * (c[5] + y * c[9])));
}
