/*
 * Purpose:  one attempt at a TCP connection, and what has become of it.
 * Owner:    the thread of its event base.
 * Lifetime: tcp_open to tcp_free.
 * Callers:  probe/reach, probe/binding, probe/siptry.
 * RFC:      9293.
 */
#ifndef PROBE_TCP_H
#define PROBE_TCP_H

#include <stdint.h>

#include "base/addr.h"
#include "probe/fault.h"

struct tcp;
struct event_base;

/* Once: connected (CODE_NONE, the descriptor is the callee's), or what has failed, and why. May call tcp_free. Not from within tcp_open. */
typedef void tcp_cb(void *ctx, enum code code, int fd, const char *why);

/* ERR_NOMEM, or a negated errno of socket(2). */
int tcp_open(struct tcp **out, struct event_base *base, const struct addr *to, unsigned limit_ms, tcp_cb *cb, void *ctx);
/* Silent. NULL-safe; nulls the pointer. */
void tcp_free(struct tcp **t);

#endif
