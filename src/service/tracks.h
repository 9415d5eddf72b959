/* What the server remembers between the frames of one person who blinks or turns the head: counters, no images. A fixed table; the entry that was not used for
 * longest makes room. Thread-safe. */
#ifndef MIEN_SERVICE_TRACKS_H
#define MIEN_SERVICE_TRACKS_H

#include <stdbool.h>
#include <stdint.h>
#include "liveness/gestures.h"

struct mien_tracks;
struct mien_service;

enum { MIEN_TRACKS_MAX = 10000, MIEN_TRACK_IDLE_S = 600 /* a track without frames for this long begins anew */ };

/* Room for `max` tracks. NULL: out of memory. */
struct mien_tracks *mien_tracks_create(int max);
void mien_tracks_free(struct mien_tracks **t);
/* The service's; service.c makes it with MIEN_TRACKS_MAX. */
struct mien_tracks *mien_service_tracks(struct mien_service *s);

/* One frame of the track `session` of `client` at the time `now_ns`. `session` NULL: the client's only track; ids of one client are never those of another.
 * `reset` forgets the frames before. What the track holds after the frame is returned. */
struct mien_track_frame { uint64_t client; const char *session; bool reset; uint64_t now_ns; };

/* `ear` NAN: no face in the frame; eyes that were closed before it are then no blink. `*blinked` as of mien_blink_frame. */
struct mien_blink mien_tracks_blink(struct mien_tracks *t, const struct mien_track_frame *f, float ear, bool *blinked);
/* Without a face: MIEN_FORWARD, which ends a row of turned frames. */
struct mien_turns mien_tracks_turn(struct mien_tracks *t, const struct mien_track_frame *f, enum mien_direction d);

#endif
