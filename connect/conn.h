/*
 * Purpose:  one connection to the port, from accept(2) to its end: its buffers, how long it may take, and who may have how many.
 * Owner:    the connect thread.
 * Lifetime: conn_new until it ends by itself, or conns_free. Only the loop's own callbacks free one: in a call of anybody else it is marked and goes later.
 * Callers:  connect/accept (what it speaks), connect/serve (HTTP), connect/ws (WebSocket), connect/connect.
 * RFC:      none.
 */
#ifndef CONNECT_CONN_H
#define CONNECT_CONN_H

#include <event2/event_struct.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/rate.h"
#include "connect/connect.h"
#include "connect/page.h"

struct bufferevent;
struct conn;
struct service;
struct source;
struct ssl_st;

/* Every limit of a connection, with its unit and reason (S20). */
enum {
    CONN_MAX = 4096, /* connections: some 100 MB of TLS and buffers */
    CONN_SOURCE_MAX =
        256, /* of one source, IPv4 address or IPv6 /64, that have not shown who they are: an office behind one NAT comes back at once */
    CONN_HEAD_MS = 10000,      /* from the connection, or the answer before, to a whole request: TLS and slow lines included */
    CONN_ANSWER_MS = 30000,    /* to take an answer */
    CONN_END_MS = 2000,        /* to take the last bytes, and to end as well */
    CONN_TICK_MS = 250,        /* between two looks at all of them */
    CONN_REFUSALS_LOGGED = 10, /* a second: strangers can cause them; all are counted */
};

/* Who has it now. Each call comes from the loop; none frees the connection. */
struct conn_ops {
    void (*readable)(struct conn *c); /* more bytes are in the input buffer */
    void (*drained)(struct conn *c);  /* all that was to be sent is with the kernel */
    void (*tick)(struct conn *c);     /* a quarter of a second has gone by */
    void (*gone)(struct conn *c);     /* it ends now: what `ctx` holds goes with it */
};

struct conn {
    TAILQ_ENTRY(conn) all;
    TAILQ_ENTRY(conn) stranger;
    struct service *service;
    const struct conn_ops *ops;
    void *ctx; /* of the ops */
    struct bufferevent *bev;
    struct ssl_st *ssl; /* belongs to `bev`; NULL: no TLS */
    int fd;
    struct event peek; /* for the first byte, before there is a `bev` */
    struct addr from;
    struct source *source; /* where it is counted as a stranger; NULL: it is none any more */
    uint64_t since_ms;     /* when what it waits for has begun */
    bool connects, app;    /* what its port serves */
    bool answered;         /* has had an answer to a request */
    bool cut;              /* ends with the next callback or tick */
};

TAILQ_HEAD(conn_list, conn);
struct conns {
    struct conn_list all;       /* the oldest first */
    struct conn_list strangers; /* those without a hello, likewise */
    struct map sources;
    unsigned n;
};

/* What the connections of one service share; connect/connect makes it. */
struct service {
    struct event_base *base;
    struct desk *desk;
    struct ssl_ctx_st *tls; /* NULL: none */
    char **origins;
    size_t norigins;
    char *url;                /* NULL: made of the addresses */
    char stun[PAGE_STUN_MAX]; /* "": none */
    struct addr listen, app;  /* in use */
    struct conns conns;
    struct rate log;
    struct now now; /* of this callback */
    atomic_uint_fast64_t connections, refused[CONNECT_REFUSALS];
};

int conns_init(struct conns *l);
/* Ends all of them, at once. */
void conns_deinit(struct conns *l);
void conns_tick(struct conns *l);
/* Ends all of them, each with what is queued for it. */
void conns_end(struct conns *l);

/* A descriptor that was accepted, which is closed in any case: counted as a stranger's. NULL: refused, and counted as that. */
struct conn *conn_new(struct service *s, int fd, const struct addr *from);
/* Only by a callback of the loop itself. */
void conn_free(struct conn *c);
/* From now on with buffers; `tls`: a handshake comes first. ERR_NOMEM. */
int conn_open(struct conn *c, bool tls);
/* Another owner: `ctx` is its, until `gone`. Bytes that are there already are its, too: it looks itself. */
void conn_hand(struct conn *c, const struct conn_ops *ops, void *ctx);
/* It is no stranger any more. */
void conn_known(struct conn *c);
/* What is queued is sent, in CONN_END_MS; then it ends. `gone` is called at once: the owner is rid of it. */
void conn_end(struct conn *c);
/* It ends soon, whatever is queued. */
void conn_cut(struct conn *c);
/* Counts a refusal, and logs it at a bounded rate. */
void conn_refused(struct service *s, const struct addr *from, enum connect_refusal why, const char *text);

#endif
