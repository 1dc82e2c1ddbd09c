/*
 * Purpose:  what the files of the Redis client share: the client, its nodes, its calls.
 * Owner:    the thread of its event base.
 * Lifetime: within redis_new to redis_free.
 * Callers:  auth/redis, auth/redisnode, auth/redisslots, auth/redissentinel.
 * RFC:      none.
 */
#ifndef AUTH_REDISPARTS_H
#define AUTH_REDISPARTS_H

#include <event2/event_struct.h>
#include <string.h>
#include <sys/queue.h>

#include "auth/redis.h"
#include "auth/redisconn.h"
#include "auth/redisurl.h"

#define REDIS_WORD(text) ((struct redis_arg){(text), strlen(text)})

struct redissentinel;

/* A server that commands go to. A single server and Sentinel's master are nodes[0]. */
struct node {
    struct redis *r;
    struct redis_host host;
    struct redisconn *conn; /* NULL: waits for `timer` (Sentinel: or for the master's address) */
    struct event timer;
    unsigned failures; /* since it last served */
    unsigned attempts; /* for a name with several addresses */
    bool ready;        /* takes commands */
    bool leaving;      /* takes no more commands, and is closed when it owes no answer */
    bool suspect;      /* it let us in, but did not serve: that is no success yet */
    bool wanted;       /* Cluster: has slots */
    bool asked;        /* Cluster: owes the table of slots */
    bool gone;         /* Cluster: freed with its connection */
    struct redis_sent table;
    char reason[REDIS_REASON_MAX]; /* why it is not ready */
};

enum call_state {
    CALL_WAITING, /* for a connection, or until it may be sent again */
    CALL_SENT,
    CALL_OVER, /* its callback comes in this pass of the loop, with `err` */
};

struct redis_call {
    struct redis_sent sent; /* first: the connection hands this back */
    struct redis_sent asking;
    struct redis *r;
    TAILQ_ENTRY(redis_call) link;
    struct event timer; /* its deadline */
    enum call_state state;
    bool silent; /* CALL_SENT: nobody wants the answer any more */
    int err;
    int slot;          /* -1: any */
    struct node *node; /* CALL_SENT: where; CALL_WAITING: after ASK, where to, else NULL */
    unsigned moves;
    uint64_t not_before_ms;
    char *wire;
    size_t len;
    redis_cb *cb;
    void *ctx;
};

TAILQ_HEAD(redis_calls, redis_call);

struct redis {
    struct event_base *base;
    struct redis_target target;
    struct evdns_base *dns;
    struct ssl_ctx_st *tls;
    struct redis_health health;
    struct event report; /* tells the health from the loop */
    redis_health_cb *health_cb;
    void *ctx;
    struct redis_calls waiting, sent, over;
    struct event kick; /* for calls that may be sent again */
    struct node *nodes[REDIS_NODES_MAX];
    struct redissentinel *sentinel;
    uint8_t *slots;       /* Cluster: slot to index in `nodes` and 1; 0: nobody */
    bool have_table;      /* Cluster: slots has been filled once */
    bool want_table;      /* Cluster: and it may be wrong */
    uint64_t asked_ms;    /* when it was last asked for */
    struct event refresh; /* asks again */
    size_t turn;          /* which node is asked, or takes a command without a key */
};

/* redis.c */
void redisparts_flush(struct redis *r); /* sends what waits and can be sent */
void redisparts_judge(struct redis *r); /* after a change of anything that the health goes by */
void redisparts_delay(struct event *timer, unsigned failures, unsigned max_ms); /* arms it with jittered back-off */

/* redisnode.c */
int redisnode_start(struct redis *r);
void redisnode_stop(struct redis *r);
struct node *redisnode_find(struct redis *r, const struct redis_host *host, bool add); /* NULL: none, or no room */
struct node *redisnode_for(struct redis *r, const struct redis_call *call);            /* NULL: nobody yet */
void redisnode_connect(struct node *n);
void redisnode_leave(struct node *n, const char *reason);
void redisnode_drop(struct node *n); /* Cluster: not needed any more */
void redisnode_answered(struct node *n, bool served);

/* redisslots.c: only with REDIS_CLUSTER */
int redisslots_start(struct redis *r);
void redisslots_stop(struct redis *r);
void redisslots_refresh(struct redis *r); /* soon: at most once in REDIS_REFRESH_MS */
void redisslots_node_ready(struct redis *r);
void redisslots_set(struct redis *r, unsigned first, unsigned last, const struct node *n);

#endif
