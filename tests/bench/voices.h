/*
 * Purpose:  the voices of many calls at one of their two ends: numbered packets that tell when they were sent, and what became of those of the other end.
 * Owner:    one thread.
 * Lifetime: voices_new to voices_free.
 * Callers:  tests/bench/callers, tests/bench/telephones.
 * RFC:      3550, 3551.
 *
 * A call speaks from when it is up, 50 packets a second, each call at a time of its own within 20 ms. What counts is what is sent between "go" and
 * "stop"; the two ends may be told so at different times, because a packet says itself whether it counts.
 */
#ifndef TESTS_BENCH_VOICES_H
#define TESTS_BENCH_VOICES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct voices;

/* Sends one packet of RTP of this call. False: it could not go. */
typedef bool voices_send_cb(void *ctx, unsigned call, const uint8_t *rtp, size_t len);

enum { VOICES_MAX = 1000, VOICES_ROOM = 64 /* bytes behind a packet, for SRTP */ };

/* Takes orders from standard input from then on: "go" and "stop" begin and end what counts, "report" says what was heard; its end ends the loop. Without
 * memory the program ends: it is a generator of loads. */
struct voices *voices_new(struct event_base *base, unsigned calls, voices_send_cb *send, void *ctx);
void voices_free(struct voices **slot);
void voices_up(struct voices *v, unsigned call, bool up);
unsigned voices_are_up(const struct voices *v);
/* What has come for this call: RTP. */
void voices_heard(struct voices *v, unsigned call, const uint8_t *packet, size_t len);
/* A line of JSON on standard output; takes it over. */
void voices_say(struct json_t *line);

#endif
