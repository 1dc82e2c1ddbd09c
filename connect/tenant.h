/*
 * Purpose:  a tenant: the phones and bridges that may know of each other, and what they are told of who is there.
 * Owner:    the connect thread.
 * Lifetime: from its first session to its last.
 * Callers:  connect/session, hello, call.
 * RFC:      docs/connect-protocol.md, "presence".
 */
#ifndef CONNECT_TENANT_H
#define CONNECT_TENANT_H

#include "connect/deskparts.h"

enum {
    TENANT_TELL_MS =
        1000, /* between two times that bridges are told who is there: a thousand phones that log in are told of together */
    TENANT_LIST_BYTES = 60000, /* of the list of phones: it has to fit into a message */
};

struct tenant {
    struct map_node by_name; /* first */
    struct desk *desk;
    LIST_HEAD(, session) sessions;
    unsigned holds; /* those who are about to add a session */
    LIST_ENTRY(tenant) of_changed;
    bool changed;     /* since it was told last, */
    uint64_t told_ms; /* which was then; 0: never */
    char name[];
};

/* NULL: there is none of this name. */
struct tenant *tenant_find(const struct desk *d, const char *name);
/* The one of this name, made if there is none; it stays until it is released. NULL: no memory. */
struct tenant *tenant_hold(struct desk *d, const char *name);
/* NULL-safe; nulls the pointer. */
void tenant_release(struct tenant **t);
/* A session has gone: with the last one the tenant goes, too. */
void tenant_drop(struct tenant *t);

/* Who is there, or is busy, is not what it was: */
void tenant_changed(struct tenant *t);
/* all are told, at the end of what has changed it, or within a second. */
void tenant_tell(struct desk *d);
/* Bridges that are connected. */
unsigned tenant_bridges(const struct tenant *t);
/* The connected bridge with the fewest calls; NULL: there is none. */
struct session *tenant_bridge(const struct tenant *t);
/* The next connected phone of this user; NULL: the first, and at the end. */
struct session *tenant_phone(const struct tenant *t, const struct session *after, const char *user);

#endif
