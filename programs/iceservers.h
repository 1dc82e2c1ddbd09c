/*
 * Purpose:  ICE servers for those who have said hello to the connect service: tokens of the store, issued and revoked on a thread of their own.
 * Owner:    made by the control thread; from iceservers_attach to iceservers_detach the connect thread's.
 * Lifetime: iceservers_new to iceservers_free.
 * Callers:  programs/rendezvous.
 * RFC:      the W3C's RTCConfiguration; docs/connect-protocol.md, "ice.servers".
 */
#ifndef PROGRAMS_ICESERVERS_H
#define PROGRAMS_ICESERVERS_H

#include "connect/desk.h"

struct event_base;
struct iceservers;
struct storeops;

enum { ICESERVERS_TTL_S = 3600 }; /* that they are good for, unless whoever asks ends earlier */

/* Takes `ops` over, and nulls the pointer, also on an error. ERR_NOMEM. */
int iceservers_new(struct iceservers **out, struct storeops **ops);
/* NULL-safe; nulls the pointer. */
void iceservers_free(struct iceservers **i);
/* Before the first question and after the last, on the thread that asks. Errors as storethread_new. */
int iceservers_attach(struct iceservers *i, struct event_base *base);
void iceservers_detach(struct iceservers *i);

/* What `ice` and `retract` of struct desk_host do; `host` is the struct iceservers. What is retracted is asked of the store until it is revoked, or ends by
 * itself. */
int iceservers_ice(void *host, const struct desk_ice *request, desk_ice_cb *cb, void *ctx);
void iceservers_retract(void *host, const json_t *ice);
/* The name of the credential in what was handed out; borrowed. NULL: there is none. */
const char *iceservers_name(const json_t *ice);

#endif
