/*
 * Purpose:  a client of the admin plane: HTTP over the Unix socket, or over TLS with a bearer token.
 * Owner:    one thread, which waits in each call.
 * Lifetime: ctlhttp_new to ctlhttp_free.
 * Callers:  programs/ctl.c, programs/ctlevents.c.
 * RFC:      9110, 6750 (bearer tokens), 9457 (problem details); WHATWG HTML (server-sent events).
 */
#ifndef PROGRAMS_CTLHTTP_H
#define PROGRAMS_CTLHTTP_H

#include <jansson.h>
#include <stdbool.h>

#include "admin/call.h"

enum {
    CTLHTTP_CONNECT_S = 10,
    CTLHTTP_TIMEOUT_S = 60,            /* of one answer: Redis may be slow, and is asked for several things */
    CTLHTTP_ANSWER_MAX = 32 * 1048576, /* bytes: a page has at most ADMIN_PAGE_MAX entries */
    CTLHTTP_WHY_MAX = 512,
    CTLHTTP_ID_MAX = 63, /* bytes of an event's id */
};

struct ctlhttp_config {
    const char *socket; /* NULL: `url` */
    const char *url;    /* https://HOST:PORT; http:// to the loopback alone */
    const char *token;  /* NULL: none. Copied */
    const char *cacert; /* NULL: the system's */
};

struct ctlhttp;

/* ERR_NOMEM; ERR_INVAL: the URL is none, or would send the token in the clear. */
int ctlhttp_new(struct ctlhttp **out, const struct ctlhttp_config *config);
/* NULL-safe; nulls the pointer. */
void ctlhttp_free(struct ctlhttp **h);

struct ctlhttp_call {
    const char *method, *path; /* with its query */
    const json_t *body;        /* NULL: none */
    const char *if_match;      /* NULL: none */
    const char *last_id;       /* Last-Event-ID; NULL: none */
};

struct ctlhttp_answer {
    int status;
    json_t *body;              /* the caller's; NULL: it is no JSON, or there is none */
    char etag[ADMIN_ETAG_MAX]; /* "": none */
};

/* 0: there is an answer, whatever its status. ERR_NOENT: nobody listens on the socket. ERR_ACCES: it is not ours to use. ERR_IO: anything else,
 * and `ctlhttp_why` says what. */
int ctlhttp_call(struct ctlhttp *h, const struct ctlhttp_call *call, struct ctlhttp_answer *a);
const char *ctlhttp_why(const struct ctlhttp *h);
/* A text as it may stand in a path or a query; malloc'ed. NULL: no memory. */
char *ctlhttp_escape(struct ctlhttp *h, const char *text);

struct ctlhttp_event {
    const char *id; /* "": it has none */
    const char *type, *data;
};
/* False: enough. */
typedef bool ctlhttp_event_fn(void *ctx, const struct ctlhttp_event *e);
/*
 * Reads events until the relay ends them, the callback has had enough (0), or something fails as above. `last`: the id behind which it begins ("":
 * with what comes); the id of each event replaces it. With another status than 200 `a` is filled in.
 */
int ctlhttp_events(struct ctlhttp *h, const char *path, char last[static CTLHTTP_ID_MAX + 1], ctlhttp_event_fn *fn, void *ctx,
                   struct ctlhttp_answer *a);

#endif
