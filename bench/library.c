/* What the library alone takes for the work of one POST /embed: a JPEG to faces, quality and embedding. bench/server compares the server with it.
 *
 *   library THREADS SECONDS MODELS-DIR PHOTO...        one JSON object: requests/s of all threads, median and least milliseconds of a call */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "mien.h"

enum { MAX_PHOTOS = 64, MAX_THREADS = 256, MAX_CALLS = 100000, WARM_UP = 3 };

struct job {
    struct mien *context;
    int photos;
    struct mien_file photo[MAX_PHOTOS];
    double seconds;
    pthread_barrier_t ready;
};

struct part {
    struct job *job;
    pthread_t thread;
    double *ms;
    int calls;
    double elapsed_s;
};

static void analyze(struct job *j, int i)
{
    struct mien_result *result = NULL;
    struct mien_error error;
    const struct mien_file *photo = &j->photo[i % j->photos];
    if (mien_analyze_bytes(j->context, photo->data, photo->size, MIEN_GET_EMBEDDING | MIEN_GET_QUALITY, &result, &error) != MIEN_STATUS_OK) {
        fprintf(stderr, "library: %s\n", error.text);
        exit(2);
    }
    mien_result_free(&result);
}

static void *run(void *context)
{
    struct part *p = context;
    for (int i = 0; i < WARM_UP; i++) analyze(p->job, i);
    pthread_barrier_wait(&p->job->ready);
    const uint64_t begin = mien_now_ns();
    while (p->calls < MAX_CALLS && mien_elapsed_ms(begin) < p->job->seconds * 1e3) {
        const uint64_t start = mien_now_ns();
        analyze(p->job, p->calls);
        p->ms[p->calls++] = mien_elapsed_ms(start);
    }
    p->elapsed_s = mien_elapsed_ms(begin) * 1e-3;
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static struct job job;
    static struct part part[MAX_THREADS];
    static double all[MAX_THREADS * 1000];
    struct mien_settings settings = mien_settings_default();
    struct mien_error error;
    struct mien_err e = {0};
    const int threads = argc > 4 ? (int)strtol(argv[1], NULL, 10) : 0;
    if (threads < 1 || threads > MAX_THREADS || argc - 4 > MAX_PHOTOS) {
        fprintf(stderr, "usage: library THREADS SECONDS MODELS-DIR PHOTO...\n");
        return 2;
    }
    job.seconds = strtod(argv[2], NULL);
    settings.models_dir = argv[3];
    settings.max_sessions = threads;
    for (char **file = argv + 4; *file != NULL; file++)
        if (mien_file_map(*file, 64u << 20, &job.photo[job.photos++], &e) != MIEN_OK) {
            fprintf(stderr, "library: %s\n", e.msg);
            return 2;
        }
    if (mien_open(&settings, &job.context, &error) != MIEN_STATUS_OK) {
        fprintf(stderr, "library: %s\n", error.text);
        return 2;
    }
    pthread_barrier_init(&job.ready, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        part[i].job = &job;
        part[i].ms = calloc(MAX_CALLS, sizeof *part[i].ms);
        if (part[i].ms == NULL || pthread_create(&part[i].thread, NULL, run, &part[i]) != 0) return 2;
    }
    double per_s = 0;
    int n = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(part[i].thread, NULL);
        per_s += part[i].calls / part[i].elapsed_s;
        for (int k = 0; k < part[i].calls && n < MAX_THREADS * 1000; k++) all[n++] = part[i].ms[k];
        free(part[i].ms);
    }
    qsort(all, (size_t)n, sizeof *all, by_value);
    printf("{\"threads\":%d,\"calls\":%d,\"requests_per_s\":%.2f,\"ms\":{\"min\":%.3f,\"p50\":%.3f}}\n", threads, n, per_s, all[0], all[n / 2]);
    mien_close(&job.context);
    return 0;
}
