/* Counters of the service and their Prometheus text (exposition format 0.0.4). Counting is relaxed atomics: no locks on a request's way. */
#ifndef MIEN_SERVICE_METRICS_H
#define MIEN_SERVICE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>
#include "base/buf.h"
#include "face/models.h"
#include "gallery/gallery.h"
#include "net/server.h"
#include "service/problem.h"
#include "service/route.h"

enum { MIEN_METRIC_STATUSES = 20, MIEN_METRIC_BUCKETS = 13 };

struct mien_metrics {
    /* The row behind the last route counts what no route matches. */
    atomic_uint_fast64_t requests[MIEN_MAX_ROUTES + 1][MIEN_METRIC_STATUSES];
    atomic_uint_fast64_t bucket[MIEN_MAX_ROUTES + 1][MIEN_METRIC_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    atomic_uint_fast64_t duration_ns[MIEN_MAX_ROUTES + 1];
    atomic_uint_fast64_t rejected[MIEN_PROBLEM_COUNT];
    atomic_uint_fast64_t faces, wait_ns, searches, search_ns;
};

/* One request is over. `route` may be NULL; status 0: the client went away before it was answered. */
void mien_metrics_request(struct mien_metrics *m, const struct mien_route *route, int status, uint64_t duration_ns, uint64_t wait_ns);
void mien_metrics_rejected(struct mien_metrics *m, enum mien_problem p);
void mien_metrics_faces(struct mien_metrics *m, int n);
void mien_metrics_search(struct mien_metrics *m, uint64_t duration_ns);

/* All but `m` may be NULL. */
struct mien_live;
struct mien_metrics_sources { struct mien_server *server; const struct mien_models *models; struct mien_gallery *gallery; struct mien_live *live; };
void mien_metrics_write(const struct mien_metrics *m, const struct mien_metrics_sources *from, double uptime_s, struct mien_buf *out);

#endif
