/*
 * Purpose:  the relay as a whole: listeners, workers, their start, reload and end.
 * Owner:    the control thread (programs/) calls; the workers run by themselves.
 * Lifetime: relay_new to relay_free.
 * Callers:  programs/.
 * RFC:      8656 section 3.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "relay/count.h"
#include "relay/feed.h"
#include "relay/question.h"
#include "relay/shard.h"

enum {
    RELAY_LISTENERS_MAX = 64, /* addresses of one server, each with UDP and TCP and a socket for each worker */
    RELAY_TEXT_MAX = 512,
    RELAY_WHY_MAX = 128,
    RELAY_HANG_MS = 2000, /* without a tick (four a second): nothing that a worker does takes so long */
};

/* One side of `external-ip=PUBLIC/LOCAL`; family ADDR_NONE in `local`: for every relay address of the family. */
struct relay_external {
    struct addr public;
    struct addr local;
};

struct relay_config {
    const struct addr *listen; /* IPs, ports ignored; none: every address, IPv4 and IPv6 */
    size_t nlisten;
    uint16_t port;            /* 0: a free one */
    uint16_t alt_port;        /* a second one of each address that has a twin (RFC 5780); 0: none */
    const struct addr *relay; /* IPs; none: the listening addresses */
    size_t nrelay;
    const struct relay_external *external;
    size_t nexternal;
    uint16_t min_port, max_port;
    unsigned workers; /* 0: one a core */
    struct relay_settings settings;
    const char *const *allowed; /* peer policy, as in relay/policy.h */
    size_t nallowed;
    const char *const *denied;
    size_t ndenied;
    struct policy_entries realm, stored; /* beside the configuration's */
    struct auth *auth;                   /* borrowed; outlives the relay */
    bool feed;                           /* news of allocations are wanted: relay_read */
};

struct relay;

/* Opens every socket and starts nothing. On error `text` tells what failed, with the cure where there is one. */
int relay_new(struct relay **out, const struct relay_config *config, char text[static RELAY_TEXT_MAX]);
/* Starts the workers. ERR_AGAIN, ERR_NOMEM. */
int relay_start(struct relay *r);
/* Ends the workers and waits for them (well under a second), closes every allocation, and logs event=worker_stats for each worker. */
void relay_stop(struct relay *r);
void relay_free(struct relay **r);

/* New settings and peer policy, from the next packet on. The old ones stay when an entry can't be read: ERR_CONFIG, and `text`. */
int relay_reload(struct relay *r, const struct relay_config *config, char text[static RELAY_TEXT_MAX]);

/* Ends every allocation of what has been revoked (unless that has only changed), on all workers, within a pass of their loops. After auth/ refuses it: what is made later
 * is not found. ERR_NOMEM: nothing has been ended, ask again. */
int relay_revoke(struct relay *r, const struct auth_revocation *revocation);
/* From now on the log's lines about the allocation at this relayed address (local or advertised) name the call, if the address is ours and the allocation that user's. Any
 * thread. ERR_NOENT: it is not ours; ERR_NOMEM. */
int relay_name_call(struct relay *r, const struct addr *relayed, const char *user, const char *call);

/* Revocations may have been missed: every worker asks about those who live on it. ERR_NOMEM: nobody does, ask again. */
int relay_recheck(struct relay *r);

/* With `feed`: a descriptor that can be read when there is something for relay_read, which calls `cb` for each piece of news. */
int relay_feed(const struct relay *r);
void relay_read(struct relay *r, feed_cb *cb, void *ctx);

/* ---- What lives, asked of the workers. Answers come on the loop of the control thread, exactly once, and never from within the call that asks;
 * when the callback runs, the question is gone. A worker answers in steps between its packets. ---- */
struct event_base;
struct relay_question;

/* The loop that answers come on, until relay_answer_off or relay_stop, where what is still open is answered with ERR_CANCELLED. Before the first question. ERR_NOMEM, or
 * a negated errno. */
int relay_answer_on(struct relay *r, struct event_base *base);
/* No more answers on it: what is open is answered with ERR_CANCELLED now, and nothing more can be asked. */
void relay_answer_off(struct relay *r);
/* A page of at most `limit` (RELAY_PAGE_MAX) allocations, behind `cursor` (NULL: from the first one). What lives from the first page to the last is in
 * one of them. The filter is copied. ERR_NOMEM; ERR_INVAL: that is no cursor, or no user name; ERR_NOTCONN: no loop; ERR_AGAIN: RELAY_OPEN_MAX are
 * open. Then there is no answer. */
int relay_list(struct relay *r, const struct relay_filter *filter, const char *cursor, size_t limit, relay_answer_cb *cb, void *ctx,
               struct relay_question **out);
int relay_show(struct relay *r, uint64_t id, relay_answer_cb *cb, void *ctx, struct relay_question **out);
/* Ends it: its client finds out at its next request. */
int relay_close(struct relay *r, uint64_t id, relay_answer_cb *cb, void *ctx, struct relay_question **out);
/* No answer, for ever; what was to be closed may have been. NULL-safe; nulls the pointer. */
void relay_forget(struct relay_question **question);

/* Ends every allocation, in small steps between packets; for a drain whose time is up, so what is made meanwhile may stay. `reason` is for the log and
 * static. ERR_NOMEM: nothing has been ended. */
int relay_end_all(struct relay *r, const char *reason);

/* Every MEMORY_LOOK_S: is memory short? Logs event=memory_short with the limit and the cure, and event=memory_recovered. And does every worker work?
 * Logs event=worker_hangs and event=worker_back. */
void relay_look(struct relay *r);

/* As the last look has found it; the second: how many workers have not ticked for RELAY_HANG_MS. */
bool relay_memory_short(const struct relay *r);
unsigned relay_hung(const struct relay *r);

/* Checks what relay_new would refuse of the policy, without opening anything. */
int relay_check(const struct relay_config *config, char text[static RELAY_TEXT_MAX]);

/* ---- The peer policy in force, for people: as of the last reload. ---- */
void relay_policy_each(const struct relay *r, void (*visit)(void *ctx, const struct policy_entry *entry), void *ctx);
struct relay_judgement {
    bool allowed;
    char why[RELAY_WHY_MAX]; /* the entry that decides, as policy_explain tells it */
};
/* May this be a peer? "10.1.2.3:5060/udp", "[2001:db8::1]:80/tcp"; UDP when no protocol is named. Without a port it is the question of a permission: may any
 * port of it? ERR_INVAL: that is none of these. */
int relay_explain(const struct relay *r, const char *text, struct relay_judgement *out);

unsigned relay_workers(const struct relay *r);
const struct counters *relay_counters(const struct relay *r, unsigned worker);
/* Sums over the workers; none of them goes back. As count_read; one of the four that were relayed, by one path; and a histogram: count[i] took at most
 * bound[i] and more than the bound before, count[n] more than all, and in all so many seconds. */
uint64_t relay_count(const struct relay *r, enum counter which);
uint64_t relay_relayed(const struct relay *r, enum count_path path, enum counter which);
double relay_histogram(const struct relay *r, const struct count_histogram *h, uint64_t *count);
/* CPU time that a worker has used; 0 when it does not run. */
uint64_t relay_busy_ns(const struct relay *r, unsigned worker);
struct relay_listener {
    const char *transport; /* "udp", "tcp" */
    struct addr addr;      /* as bound; an unspecified IP: every address of the family */
    bool alternate;        /* on the second port */
};
size_t relay_listeners(const struct relay *r, struct relay_listener out[static RELAY_LISTENERS_MAX * 2]);
const struct ports *relay_ports(const struct relay *r);

#endif
