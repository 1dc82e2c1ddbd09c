/*
 * Purpose:  the routes: which method and path is which operation, who may, and which parameters it knows.
 * Owner:    any thread; a static table.
 * Lifetime: static.
 * Callers:  admin/http.
 * RFC:      3986 (percent-encoding), 9110 sections 9 and 15.5.6 (methods, Allow).
 */
#ifndef ADMIN_ROUTE_H
#define ADMIN_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "admin/call.h"

enum {
    ROUTE_ID_MAX = 1023,  /* bytes of a name in a path: the longest user name is shorter */
    ROUTE_ALLOW_MAX = 64, /* bytes of an Allow header */
};

enum route_kind {
    ROUTE_OPERATION,
    ROUTE_HEALTH,
    ROUTE_ASSET, /* the OpenAPI document, or a file of the dashboard */
    ROUTE_EVENTS,
};

enum route_flag {
    ROUTE_CHANGES = 1, /* goes into the audit log */
    ROUTE_ETAG = 2,    /* its answer has an ETag */
    ROUTE_CORS = 4,    /* pages of the configured origins may call it */
    ROUTE_BODY = 8,    /* takes a body */
};

struct route {
    const char *method, *path;
    enum route_kind kind;
    enum admin_operation operation; /* of ROUTE_OPERATION */
    unsigned roles;                 /* any of these may (admin may anything); 0: everybody, without a token */
    const char *query;              /* parameters, with blanks between */
    unsigned flags;                 /* of enum route_flag */
};

/* The route of a request; `id` gets the variable part of the path, decoded. HEAD is GET. NULL: there is none, and `allow` has the methods
 * of the path, or is "" when there is no such path. ERR_* is not needed: a path that can't be decoded is none. */
const struct route *route_find(const char *method, const char *path, char id[static ROUTE_ID_MAX + 1],
                               char allow[static ROUTE_ALLOW_MAX]);
/* Percent-decoding, in place. False: it is not well-formed, no UTF-8, or holds a control character. */
bool route_decode(char *text);
/* Percent-encodes for a path. False: it does not fit. */
bool route_encode(char *out, size_t cap, const char *text);

/* For tests that walk the table. NULL: there are no more. */
const struct route *route_nth(size_t n);

#endif
