/*
 * Purpose:  what the files of the admin plane's server know of each other; nobody else includes it.
 * Owner:    the serving thread.
 * Lifetime: that of the struct admin.
 * Callers:  admin/admin, admin/server, admin/http, admin/reply, admin/stream, admin/replay.
 * RFC:      none.
 */
#ifndef ADMIN_ADMINPARTS_H
#define ADMIN_ADMINPARTS_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <microhttpd.h>

#include "admin/admin.h"
#include "admin/bearer.h"
#include "admin/event.h"
#include "admin/route.h"
#include "base/rate.h"

/* ---- admin/server: sockets, libmicrohttpd's daemons and the event base. ---- */

struct server;

/* `fd` listens, and is the server's from now on, also on error. `cert` and `key` are PEM texts, NULL without TLS. ERR_NOMEM; ERR_CONFIG:
 * certificate and key can't be used. */
int server_new(struct server **out, struct admin *a, int fd, bool is_unix, const char *cert, const char *key);
void server_free(struct server **s);
/* This certificate from the next connection on: as soon as nothing but streams is under way, which are ended. Takes both texts over. */
void server_renew(struct server *s, char *cert, char *key);
/* Ends connections that take too long, and renews the certificate. */
void server_sweep(struct server *s, uint64_t now_ms);
/* In the next pass of the loop: what was resumed goes on. */
void server_run(struct server *s);
bool server_is_unix(const struct server *s);
struct admin *server_admin(const struct server *s);
/* It is being stopped: nothing new is to begin. */
bool server_ends(const struct server *s);

/* What a connection does, each with a time of its own. */
void connection_reads(struct MHD_Connection *c);   /* a request's head is there */
void connection_serves(struct MHD_Connection *c);  /* an operation is under way, which has its own deadline; or a stream */
void connection_answers(struct MHD_Connection *c); /* its answer is being sent */
void connection_idle(struct MHD_Connection *c);
/* Cuts it off, whatever it does. */
void connection_cut(struct MHD_Connection *c);

/* ---- admin/http: from a request to an operation, and its answer. ---- */

enum MHD_Result http_access(void *server, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                            const char *upload, size_t *upload_size, void **exchange);
void http_completed(void *server, struct MHD_Connection *c, void **exchange, enum MHD_RequestTerminationCode code);
/* Operations that are late are answered for; readers of events get a sign of life. */
void http_sweep(struct admin *a, uint64_t now_ms);
/* Is an answer under way? */
bool http_busy(const struct admin *a, const struct server *s);
/* Calls that are under way are answered into the void: before `a` goes. */
void http_abandon(struct admin *a);
/* Nothing of this server waits any more: before its daemon is stopped. */
void http_release(struct admin *a, const struct server *s);

/* ---- An exchange: what admin/http, admin/reply and admin/stream hand each other. ---- */

struct pending;
/* One request, from its head to the last byte of its answer. */
struct exchange {
    struct exchange *next, **at;
    struct admin *admin;
    struct server *server;
    struct MHD_Connection *c;
    const struct route *route; /* NULL: there is none */
    enum { EXCHANGE_READS, EXCHANGE_WAITS, EXCHANGE_ANSWERED, EXCHANGE_STREAMS } state;
    bool suspended;
    bool called; /* an operation has it, or had it */
    char id[ROUTE_ID_MAX + 1];
    char allow[ROUTE_ALLOW_MAX];
    char caller[BEARER_NAME_MAX + 1];
    unsigned roles; /* the caller's */
    char *body;
    size_t body_len;
    struct pending *pending;
    struct admin_answer answer;
    struct events_reader *reader;
    uint64_t beat_ms;
};

/* Of the request; NULL: not sent. */
const char *exchange_header(const struct exchange *x, const char *name);
/* The parameters that the route knows, each once, as an object of strings; the caller's, also when the answer says what is wrong. */
json_t *exchange_query(struct exchange *x);
void exchange_suspend(struct exchange *x);
/* If it is suspended. */
void exchange_resume(struct exchange *x);

/* Sends x->answer. */
enum MHD_Result reply_send(struct exchange *x);
void reply_headers(const struct exchange *x, struct MHD_Response *r, const char *type);
/* The origin of a page that may read the answer; NULL: none. */
const char *reply_origin(const struct exchange *x);

/* Sends events from now on, until one of both sides ends it. */
enum MHD_Result stream_open(struct exchange *x);

/* ---- admin/replay: a POST that is repeated with its Idempotency-Key gets the answer that it got. ---- */

struct replays;
enum replay_state {
    REPLAY_NEW,     /* it is to be carried out, and replay_keep or replay_forget is to be called */
    REPLAY_KEPT,    /* the answer is in `answer` */
    REPLAY_RUNNING, /* the first one has not been answered yet: 409 */
    REPLAY_OTHER,   /* the key was used for something else: 422 */
};
/* ERR_NOMEM. */
int replays_new(struct replays **out);
void replays_free(struct replays **r);
/* `name` says who asks, for which operation, with which key; `digest` what is in the request. */
enum replay_state replay_find(struct replays *r, const char *name, const char *digest, uint64_t now_ms,
                              struct admin_answer *answer);
/* A copy of the answer is kept. Without memory it is forgotten. */
void replay_keep(struct replays *r, const char *name, const struct admin_answer *answer);
void replay_forget(struct replays *r, const char *name);
/* Answers whose time is over go: some hold a password. */
void replays_sweep(struct replays *r, uint64_t now_ms);

/* ---- All of it. ---- */

struct admin {
    struct event_base *base;
    struct server *servers[2]; /* Unix, TCP; NULL: none */
    struct event sweep;
    struct bearers *bearers;
    struct events *events;
    struct replays *replays;
    struct exchange *exchanges; /* all that there are, */
    struct pending *pendings;   /* and all calls */
    struct rate refusals;       /* that are logged */
    uint64_t refused[2];        /* 401, 403 */
    char **origins;
    size_t norigins;
    char *socket_path; /* ours, to be unlinked; NULL: none */
    struct addr address;
    struct admin_config config; /* its texts are not kept */
};

#endif
