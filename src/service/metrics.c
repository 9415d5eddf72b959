#include "service/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/version.h"
#include "service/live.h"

/* 0 (lost) first; the last stands for all others. */
static const int STATUS[MIEN_METRIC_STATUSES] = {0, 101, 200, 204, 302, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 426, 429, 500, 503, -1};
static const double SECONDS[MIEN_METRIC_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

static uint64_t get(const atomic_uint_fast64_t *v) { return atomic_load_explicit(v, memory_order_relaxed); }
static void add(atomic_uint_fast64_t *v, uint64_t n) { atomic_fetch_add_explicit(v, n, memory_order_relaxed); }

static int row_of(const struct mien_route *route)
{
    return route != NULL && route >= mien_routes && route < mien_routes + mien_route_count ? (int)(mien_route_first(route) - mien_routes) : MIEN_MAX_ROUTES;
}

void mien_metrics_request(struct mien_metrics *m, const struct mien_route *route, int status, uint64_t duration_ns, uint64_t wait_ns)
{
    const int row = row_of(route);
    int i = 0, b = 0;
    while (i < MIEN_METRIC_STATUSES - 1 && STATUS[i] != status) i++;
    while (b < MIEN_METRIC_BUCKETS && (double)duration_ns * 1e-9 > SECONDS[b]) b++;
    add(&m->requests[row][i], 1);
    add(&m->bucket[row][b], 1);
    add(&m->duration_ns[row], duration_ns);
    add(&m->wait_ns, wait_ns);
}

void mien_metrics_rejected(struct mien_metrics *m, enum mien_problem p) { add(&m->rejected[p], 1); }
void mien_metrics_faces(struct mien_metrics *m, int n) { add(&m->faces, n > 0 ? (uint64_t)n : 0); }

void mien_metrics_search(struct mien_metrics *m, uint64_t duration_ns)
{
    add(&m->searches, 1);
    add(&m->search_ns, duration_ns);
}

/* ---- text ---- */

static void head(struct mien_buf *out, const char *name, const char *kind, const char *help)
{
    mien_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void one(struct mien_buf *out, const char *name, const char *kind, const char *help, double value)
{
    head(out, name, kind, help);
    mien_buf_addf(out, "%s %.15g\n", name, value);
}

static const char *path_of(int row) { return row < mien_route_count ? mien_routes[row].path : ""; }
static const char *method_of(int row) { return row < mien_route_count ? mien_method_name(mien_routes[row].method) : ""; }
/* Rows that are in use: those of the routes, then the one of unknown paths. */
static int next_row(int row) { return ++row == mien_route_count ? MIEN_MAX_ROUTES : row; }

static void write_requests(const struct mien_metrics *m, struct mien_buf *out)
{
    head(out, "mien_requests_total", "counter", "Requests by route, method and status; lost = the client went away. route is empty for unknown paths.");
    for (int row = 0; row <= MIEN_MAX_ROUTES; row = next_row(row))
        for (int i = 0; i < MIEN_METRIC_STATUSES; i++) {
            char status[16];
            const uint64_t n = get(&m->requests[row][i]);
            if (n == 0) continue;
            if (STATUS[i] > 0) snprintf(status, sizeof status, "%d", STATUS[i]);
            else snprintf(status, sizeof status, "%s", STATUS[i] == 0 ? "lost" : "other");
            mien_buf_addf(out, "mien_requests_total{route=\"%s\",method=\"%s\",status=\"%s\"} %" PRIu64 "\n", path_of(row), method_of(row), status, n);
        }
}

static void write_durations(const struct mien_metrics *m, struct mien_buf *out)
{
    const char *name = "mien_request_duration_seconds";
    head(out, name, "histogram", "From the end of the headers to the end of the answer.");
    for (int row = 0; row <= MIEN_MAX_ROUTES; row = next_row(row)) {
        uint64_t sum = 0;
        for (int b = 0; b <= MIEN_METRIC_BUCKETS; b++) sum += get(&m->bucket[row][b]);
        if (sum == 0) continue;
        sum = 0;
        for (int b = 0; b <= MIEN_METRIC_BUCKETS; b++) {
            char limit[24] = "+Inf";
            sum += get(&m->bucket[row][b]);
            if (b < MIEN_METRIC_BUCKETS) snprintf(limit, sizeof limit, "%g", SECONDS[b]);
            mien_buf_addf(out, "%s_bucket{route=\"%s\",method=\"%s\",le=\"%s\"} %" PRIu64 "\n", name, path_of(row), method_of(row), limit, sum);
        }
        mien_buf_addf(out, "%s_sum{route=\"%s\",method=\"%s\"} %.9g\n", name, path_of(row), method_of(row), (double)get(&m->duration_ns[row]) * 1e-9);
        mien_buf_addf(out, "%s_count{route=\"%s\",method=\"%s\"} %" PRIu64 "\n", name, path_of(row), method_of(row), sum);
    }
}

static void write_rejections(const struct mien_metrics *m, struct mien_buf *out)
{
    head(out, "mien_rejected_total", "counter", "Requests answered with a problem, by its code.");
    for (int p = MIEN_PROBLEM_NONE + 1; p < MIEN_PROBLEM_COUNT; p++)
        mien_buf_addf(out, "mien_rejected_total{reason=\"%s\"} %" PRIu64 "\n", mien_problem_row((enum mien_problem)p)->code, get(&m->rejected[p]));
}

static void write_server(struct mien_server *server, struct mien_buf *out)
{
    if (server == NULL) return;
    const struct mien_server_state s = mien_server_state(server);
    one(out, "mien_queue_depth", "gauge", "Requests that wait for a worker.", s.waiting);
    one(out, "mien_workers_busy", "gauge", "Workers that have a request.", s.running);
    one(out, "mien_fetching", "gauge", "Requests whose image URLs are being fetched.", s.fetching);
    one(out, "mien_connections", "gauge", "Open connections.", s.connections);
    one(out, "mien_body_bytes", "gauge", "Bytes of request bodies held.", (double)s.body_bytes);
    one(out, "mien_refused_connections_total", "counter", "Connections refused by the limits.", (double)s.refused_connections);
}

static void write_models(const struct mien_models *models, struct mien_buf *out)
{
    if (models == NULL) return;
    head(out, "mien_inference_runs_total", "counter", "Runs of a network.");
    for (int i = 0; i < mien_models_count(models); i++)
        mien_buf_addf(out, "mien_inference_runs_total{model=\"%s\"} %" PRIu64 "\n", mien_models_at(models, i)->id, mien_models_usage(models, i).runs);
    head(out, "mien_inference_seconds_total", "counter", "Time spent in a network.");
    for (int i = 0; i < mien_models_count(models); i++)
        mien_buf_addf(out, "mien_inference_seconds_total{model=\"%s\"} %.9g\n", mien_models_at(models, i)->id, (double)mien_models_usage(models, i).ns * 1e-9);
}

static void write_gallery(const struct mien_metrics *m, struct mien_gallery *gallery, struct mien_buf *out)
{
    if (gallery == NULL) return;
    const struct mien_gallery_state s = mien_gallery_state(gallery);
    one(out, "mien_gallery_up", "gauge", "Whether the store answers.", s.available);
    one(out, "mien_gallery_users", "gauge", "Users that are searched.", (double)s.index.users);
    one(out, "mien_gallery_templates", "gauge", "Templates that are searched.", (double)s.index.templates);
    one(out, "mien_gallery_bytes", "gauge", "Memory of the search index.", (double)s.index.bytes);
    one(out, "mien_gallery_unreadable", "gauge", "Templates that could not be opened when the gallery was loaded.", (double)s.unreadable);
    one(out, "mien_gallery_other_model", "gauge", "Templates of another recognition model when the gallery was loaded.", (double)s.other_model);
    head(out, "mien_search_seconds", "summary", "Time of the search in memory alone.");
    mien_buf_addf(out, "mien_search_seconds_sum %.9g\nmien_search_seconds_count %" PRIu64 "\n", (double)get(&m->search_ns) * 1e-9, get(&m->searches));
}

static double resident_bytes(void)
{
    long pages = 0, resident = 0;
    char text[128] = "", *end;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL) return 0.0;
    if (fgets(text, sizeof text, f) != NULL) {
        pages = strtol(text, &end, 10);
        resident = strtol(end, NULL, 10);
    }
    fclose(f);
    return pages > 0 ? (double)resident * (double)sysconf(_SC_PAGESIZE) : 0.0;
}

static void write_live(struct mien_live *live, struct mien_buf *out)
{
    if (live == NULL) return;
    const struct mien_live_state s = mien_live_state(live);
    one(out, "mien_live_sessions", "gauge", "Live sessions whose WebSocket is open.", (double)s.open);
    one(out, "mien_live_sessions_max", "gauge", "As many may be open (MAX_SESSIONS).", (double)s.max_open);
    one(out, "mien_live_sessions_begun_total", "counter", "Live sessions that have begun.", (double)s.begun);
    head(out, "mien_live_sessions_ended_total", "counter", "Live sessions that have ended, by how.");
    mien_buf_addf(out, "mien_live_sessions_ended_total{how=\"passed\"} %" PRIu64 "\n", s.passed);
    mien_buf_addf(out, "mien_live_sessions_ended_total{how=\"failed\"} %" PRIu64 "\n", s.failed);
    mien_buf_addf(out, "mien_live_sessions_ended_total{how=\"terminated\"} %" PRIu64 "\n", s.terminated);
    one(out, "mien_live_frames_total", "counter", "Frames of live sessions that were analysed.", (double)s.frames);
    one(out, "mien_live_frames_dropped_total", "counter", "Frames of live sessions that newer ones replaced.", (double)s.dropped);
}

void mien_metrics_write(const struct mien_metrics *m, const struct mien_metrics_sources *from, double uptime_s, struct mien_buf *out)
{
    head(out, "mien_build_info", "gauge", "Always 1; the version is in the label.");
    mien_buf_addf(out, "mien_build_info{version=\"%s\"} 1\n", MIEN_VERSION_TEXT);
    one(out, "mien_uptime_seconds", "gauge", "Since the service was made.", uptime_s);
    one(out, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
    write_requests(m, out);
    write_durations(m, out);
    write_rejections(m, out);
    one(out, "mien_request_wait_seconds_total", "counter", "Time that requests waited for a worker.", (double)get(&m->wait_ns) * 1e-9);
    one(out, "mien_faces_total", "counter", "Faces found.", (double)get(&m->faces));
    write_server(from->server, out);
    write_models(from->models, out);
    write_gallery(m, from->gallery, out);
    write_live(from->live, out);
}
