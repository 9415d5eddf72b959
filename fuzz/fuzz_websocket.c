/* Any bytes as what a WebSocket's client sends, first whole and then in pieces whose sizes the input says: the same messages and control frames arrive, in
 * the same order, and nothing that is forbidden arrives. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/utf8.h"
#include "net/websocket_frames.h"

enum { MAX_MESSAGE = 3000, MAX_MEMORY = 2500, MAX_ARRIVALS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
    const uint8_t *data;
    size_t n, at, step; /* step 0: all */
    bool starved;       /* every other call has nothing */
};

struct log {
    int n;
    struct {
        enum mien_arrival what;
        size_t n;
        int code;
        uint32_t sum;
    } arrival[MAX_ARRIVALS];
};

static void must(bool good)
{
    if (!good) abort();
}

static size_t next_bytes(void *context, uint8_t *to, size_t room)
{
    struct source *s = context;
    size_t n = s->n - s->at < room ? s->n - s->at : room;
    if (s->step > 0 && n > s->step) n = s->step;
    s->starved = !s->starved && s->step > 0;
    if (s->starved) return 0;
    if (n > 0) memcpy(to, s->data + s->at, n);
    s->at += n;
    return n;
}

static void note(struct log *l, enum mien_arrival what, const struct mien_frames *f)
{
    if (l->n == MAX_ARRIVALS) return;
    l->arrival[l->n].what = what;
    l->arrival[l->n].n = f->n;
    l->arrival[l->n].code = what == MIEN_ARRIVED_CLOSE || what == MIEN_ARRIVED_WRONG ? f->code : f->binary;
    l->arrival[l->n].sum = 0;
    for (size_t i = 0; what != MIEN_ARRIVED_WRONG && i < f->n; i++) l->arrival[l->n].sum = l->arrival[l->n].sum * 31 + f->data[i];
    l->n++;
}

static void check(enum mien_arrival what, const struct mien_frames *f)
{
    if (what == MIEN_ARRIVED_WRONG) {
        must(f->code == 1002 || f->code == 1007 || f->code == 1009 || f->code == 1011);
        return;
    }
    if (what == MIEN_ARRIVED_CLOSE) must(f->code >= 1000 && f->code < 5000 && f->code != 1004 && f->code != 1006 && f->code != 1015 && f->n != 1);
    if (what == MIEN_ARRIVED_EMPTY) return;
    must(f->n <= (what == MIEN_ARRIVED_MESSAGE ? MAX_MESSAGE : MIEN_CONTROL_BYTES) && f->data[f->n] == '\0');
    if (what == MIEN_ARRIVED_MESSAGE && !f->binary) must(mien_utf8_valid(f->data, f->n));
}

static void feed(const uint8_t *data, size_t size, size_t step, struct log *l)
{
    struct source s = {.data = data, .n = size, .step = step};
    struct mien_frames f;
    atomic_size_t memory = 0;
    enum mien_arrival what = MIEN_ARRIVED_NOTHING;
    must(mien_frames_init(&f, next_bytes, &s, MAX_MESSAGE, &memory, MAX_MEMORY));
    do {
        while ((what = mien_frames_next(&f)) != MIEN_ARRIVED_NOTHING) {
            check(what, &f);
            note(l, what, &f);
            if (what == MIEN_ARRIVED_WRONG || what == MIEN_ARRIVED_CLOSE) break;
            if (what == MIEN_ARRIVED_MESSAGE) memset(f.data, 'x', f.n); /* the handler may */
        }
    } while (what == MIEN_ARRIVED_NOTHING && s.at < s.n);
    must(memory <= MAX_MEMORY);
    mien_frames_free(&f);
    must(memory == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct log whole, pieces;
    if (size == 0) return 0;
    whole.n = pieces.n = 0;
    feed(data + 1, size - 1, 0, &whole);
    feed(data + 1, size - 1, 1u + data[0] % 16, &pieces);
    must(whole.n == pieces.n);
    for (int i = 0; i < whole.n; i++) {
        must(whole.arrival[i].what == pieces.arrival[i].what && whole.arrival[i].n == pieces.arrival[i].n);
        must(whole.arrival[i].code == pieces.arrival[i].code && whole.arrival[i].sum == pieces.arrival[i].sum);
    }
    return 0;
}
