/* Polynomial surfaces by normal equations and Cholesky's method, in double: at most 15 unknowns over a few hundred points. */
#include "liveness/surface.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { T = MIEN_SURFACE_TERMS };

static int terms_of(int degree) { return (degree + 1) * (degree + 2) / 2; }

/* 1, x, y, x^2, xy, y^2, ... */
static void terms_at(int degree, double x, double y, double t[T])
{
    int k = 0;
    for (int d = 0; d <= degree; d++) {
        double up = 1.0;
        for (int j = 0; j <= d; j++, up *= y) t[k++] = up * pow(x, d - j);
    }
}

/* Solves a * c = b in place of c; `a` holds the lower triangle and is overwritten. */
static bool cholesky(int n, double a[T][T], double c[T])
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
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++) c[i] -= a[i][k] * c[k];
        c[i] /= a[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++) c[i] -= a[k][i] * c[k];
        c[i] /= a[i][i];
    }
    return true;
}

bool mien_surface_fit(int degree, int n, const float *x, const float *y, const float *value, const float *weight, struct mien_surface *out)
{
    double a[T][T] = {{0}}, t[T];
    const int terms = terms_of(degree);
    *out = (struct mien_surface){.degree = degree};
    for (int p = 0; p < n; p++) {
        const double w = weight != NULL ? (double)weight[p] : 1.0;
        terms_at(degree, (double)x[p], (double)y[p], t);
        for (int i = 0; i < terms; i++) {
            out->c[i] += w * t[i] * (double)value[p];
            for (int j = 0; j <= i; j++) a[i][j] += w * t[i] * t[j];
        }
    }
    return cholesky(terms, a, out->c);
}

float mien_surface_at(const struct mien_surface *s, float x, float y)
{
    double t[T], sum = 0.0;
    terms_at(s->degree, (double)x, (double)y, t);
    for (int i = 0; i < terms_of(s->degree); i++) sum += s->c[i] * t[i];
    return (float)sum;
}
