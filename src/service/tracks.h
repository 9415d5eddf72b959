/* What the server remembers between the frames of one person who blinks or turns the head: counters, no images. Either in a fixed table, where the entry that
 * was not used for longest makes room, or in Redis, for all servers of it; there a value lives MIEN_TRACK_IDLE_S after its last frame. Thread-safe. */
#ifndef MIEN_SERVICE_TRACKS_H
#define MIEN_SERVICE_TRACKS_H

#include <stdbool.h>
#include <stdint.h>
#include "liveness/gestures.h"

struct mien_tracks;
struct mien_service;
struct mien_redis;

enum { MIEN_TRACKS_MAX = 10000, MIEN_TRACK_IDLE_S = 600 /* a track without frames for this long begins anew */ };

/* Room for `max` tracks. NULL: out of memory. */
struct mien_tracks *mien_tracks_create(int max);
/* Tracks in Redis, which is borrowed. NULL: out of memory. */
struct mien_tracks *mien_tracks_create_shared(struct mien_redis *redis);
void mien_tracks_free(struct mien_tracks **t);
/* The service's; service.c makes it: shared when there is a Redis, else with MIEN_TRACKS_MAX. */
struct mien_tracks *mien_service_tracks(struct mien_service *s);

/* One frame of the track `session` of `client` at the time `now_ns`. `session` NULL: the client's only track; ids of one client are never those of another.
 * `reset` forgets the frames before. In Redis the clock on the wall is used instead of now_ns, which is this process'. */
struct mien_track_frame { uint64_t client; const char *session; bool reset; uint64_t now_ns; };

/* *out: what the track holds after the frame. MIEN_E_STORE: Redis could not be asked.
 * `ear` NAN: no face in the frame; eyes that were closed before it are then no blink. `*blinked` as of mien_blink_frame. */
enum mien_code mien_tracks_blink(struct mien_tracks *t, const struct mien_track_frame *f, float ear, struct mien_blink *out, bool *blinked,
                                 struct mien_err *e) MIEN_MUST_CHECK;
/* Without a face: MIEN_FORWARD, which ends a row of turned frames. */
enum mien_code mien_tracks_turn(struct mien_tracks *t, const struct mien_track_frame *f, enum mien_direction d, struct mien_turns *out,
                                struct mien_err *e) MIEN_MUST_CHECK;

#endif
