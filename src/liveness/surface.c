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

bool mien_surface_fit(int degree, int n, const float *x, const float *y, const float *weight, int count, const float *const *value, struct mien_surface *out)
{
    double a[T][T] = {{0}}, t[T];
    const int terms = terms_of(degree);
    assert(degree >= 1 && terms <= T);
    for (int k = 0; k < count; k++) out[k] = (struct mien_surface){.degree = degree};
    for (int p = 0; p < n; p++) {
        const double w = weight != NULL ? (double)weight[p] : 1.0;
        terms_at((double)x[p], (double)y[p], t);
        for (int i = 0; i < terms; i++) {
            for (int k = 0; k < count; k++) out[k].c[i] += w * t[i] * (double)value[k][p];
            for (int j = 0; j <= i; j++) a[i][j] += w * t[i] * t[j];
        }
    }
    if (!take_apart(terms, a)) return false;
    for (int k = 0; k < count; k++) solve(terms, a, out[k].c);
    return true;
}

float mien_surface_at(const struct mien_surface *s, float x, float y)
{
    double t[T], sum = 0.0;
    terms_at((double)x, (double)y, t);
    for (int i = 0; i < terms_of(s->degree); i++) sum += s->c[i] * t[i];
    return (float)sum;
}
