#include <event2/dns.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redisparts.h"
#include "auth/redissentinel.h"
#include "auth/redistls.h"
#include "base/addr.h"
#include "base/err.h"
#include "base/random.h"

static void set_reason(struct node *n, const char *reason)
{
    char host[REDIS_HOST_MAX + sizeof("[]:65535")] = "";
    const char *where = n->r->target.path;

    if (!*where) {
        redisurl_host_text(&n->host, host, sizeof(host));
        where = host;
    }
    snprintf(n->reason, sizeof(n->reason), "%.*s: %s", REDIS_REASON_MAX / 2, where, reason);
}

static void free_node(struct node *n)
{
    struct redis *r = n->r;
    struct redis_call *c;

    redisconn_free(&n->conn);
    event_del(&n->timer);
    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        if (r->nodes[i] == n)
            r->nodes[i] = NULL;
    }
    /* Whoever was to ask it finds its way by the slot again. */
    for (c = TAILQ_FIRST(&r->waiting); c; c = TAILQ_NEXT(c, link)) {
        if (c->node == n)
            c->node = NULL;
    }
    free(n);
}

static void on_ready(void *ctx)
{
    struct node *n = ctx;

    if (!n->suspect)
        n->failures = 0;
    n->ready = true;
    *n->reason = '\0';
    if (n->r->target.kind == REDIS_CLUSTER)
        redisslots_node_ready(n->r);
    redisparts_flush(n->r);
    redisparts_judge(n->r);
}

/* The connection is over, or is to be. */
static void lost(struct node *n, const char *reason)
{
    struct redis *r = n->r;

    redisconn_free(&n->conn);
    if (!n->leaving)
        set_reason(n, reason);
    n->ready = false;
    n->leaving = false;
    n->asked = false;
    r->health.reconnects++;
    if (n->gone) {
        free_node(n);
    } else {
        redisparts_delay(&n->timer, n->failures++, n->r->target.backoff_max_ms);
        if (r->target.kind == REDIS_CLUSTER)
            redisslots_refresh(r);
    }
    redisparts_judge(r);
}

static void on_down(void *ctx, const char *reason, bool broken)
{
    struct node *n = ctx;

    n->r->health.broken += broken;
    n->suspect = n->suspect || broken; /* or it would be asked twenty times a second */
    lost(n, reason);
}

/* The files may have come since the start. */
static bool tls_ready(struct node *n)
{
    struct redis *r = n->r;
    const char *why = "no memory";

    if (!r->target.tls || r->tls || redistls_new(&r->tls, &r->target, &why) == 0)
        return true;
    snprintf(n->reason, sizeof(n->reason), "%s", why);
    return false;
}

static void again(struct node *n)
{
    redisparts_delay(&n->timer, n->failures++, n->r->target.backoff_max_ms);
    redisparts_judge(n->r);
}

void redisnode_connect(struct node *n)
{
    static const struct redisconn_events EVENTS = {on_ready, on_down, NULL};
    struct redis *r = n->r;
    struct redisconn_config how = {
        .base = r->base,
        .dns = r->dns,
        .target = &r->target,
        .host = *r->target.path ? NULL : &n->host,
        .role = r->target.kind == REDIS_SENTINEL ? REDISCONN_MASTER : REDISCONN_DATA,
        .attempt = n->attempts++,
    };

    if (n->conn)
        return;
    event_del(&n->timer);
    if (tls_ready(n)) {
        how.tls = r->tls;
        if (redisconn_new(&n->conn, &how, &EVENTS, n) == 0)
            return;
        set_reason(n, "no memory");
    }
    again(n);
}

void redisnode_leave(struct node *n, const char *reason)
{
    if (n->leaving || !n->conn)
        return;
    set_reason(n, reason);
    n->suspect = true;
    n->ready = false;
    n->leaving = true;
    if (redisconn_unanswered(n->conn) == 0)
        lost(n, reason);
    else
        redisparts_judge(n->r);
}

void redisnode_drop(struct node *n)
{
    n->gone = true;
    n->wanted = false;
    if (!(n->ready || n->leaving) || redisconn_unanswered(n->conn) == 0)
        free_node(n);
    else
        redisnode_leave(n, "not needed any more");
}

void redisnode_answered(struct node *n, bool served)
{
    if (served) {
        n->suspect = false;
        n->failures = 0;
    }
    if (n->leaving && redisconn_unanswered(n->conn) == 0)
        lost(n, n->reason);
}

static struct node *any(struct redis *r)
{
    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        struct node *n = r->nodes[r->turn++ % REDIS_NODES_MAX];
        if (n && n->ready)
            return n;
    }
    return NULL;
}

struct node *redisnode_for(struct redis *r, const struct redis_call *call)
{
    if (r->target.kind != REDIS_CLUSTER)
        return r->nodes[0];
    if (call->node)
        return call->node;
    if (!r->have_table)
        return NULL;
    if (call->slot < 0)
        return any(r);
    return r->slots[call->slot] ? r->nodes[r->slots[call->slot] - 1] : NULL;
}

/* ---- Sentinel. ---- */

static void on_master(void *ctx, const struct redis_host *host)
{
    struct redis *r = ctx;
    struct node *n = r->nodes[0];
    bool same = n->host.port == host->port && strcmp(n->host.name, host->name) == 0;

    if (n->conn && same)
        return;
    /* The old master is a replica now, or cut off: what it has not answered it may not have carried out. */
    if (n->conn)
        redisconn_close(n->conn, "the sentinels have switched the master");
    n->host = *host;
    redisnode_connect(n);
}

static void on_no_master(void *ctx, const char *reason)
{
    struct redis *r = ctx;
    struct node *n = r->nodes[0];

    if (n->ready)
        return;
    snprintf(n->reason, sizeof(n->reason), "%s", reason);
    redisparts_judge(r);
}

static void ask_sentinels(struct node *n)
{
    static const struct redissentinel_events EVENTS = {on_master, on_no_master};
    struct redis *r = n->r;
    struct redisconn_config how = {.base = r->base, .dns = r->dns, .target = &r->target};

    if (r->sentinel) {
        redissentinel_ask(r->sentinel);
        return;
    }
    if (!tls_ready(n)) {
        again(n);
        return;
    }
    how.tls = r->tls;
    if (redissentinel_new(&r->sentinel, &how, &EVENTS, r))
        again(n);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct node *n = ctx;

    (void)fd;
    (void)what;
    if (n->r->target.kind == REDIS_SENTINEL)
        ask_sentinels(n);
    else
        redisnode_connect(n);
}

/* ---- All of it. ---- */

static struct node *add_node(struct redis *r, const struct redis_host *host)
{
    struct node *n;
    size_t i = 0;

    while (i < REDIS_NODES_MAX && r->nodes[i])
        i++;
    n = i < REDIS_NODES_MAX ? calloc(1, sizeof(*n)) : NULL;
    if (!n)
        return NULL;
    n->r = r;
    if (host)
        n->host = *host;
    evtimer_assign(&n->timer, r->base, on_timer, n);
    set_reason(n, "connecting");
    r->nodes[i] = n;
    return n;
}

struct node *redisnode_find(struct redis *r, const struct redis_host *host, bool add)
{
    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        struct node *n = r->nodes[i];
        if (n && !n->gone && n->host.port == host->port && strcmp(n->host.name, host->name) == 0)
            return n;
    }
    return add ? add_node(r, host) : NULL;
}

static bool needs_names(const struct redis_target *t)
{
    struct addr a;
    bool names = t->kind != REDIS_SINGLE; /* what a sentinel or a Cluster names may be one */

    for (size_t i = 0; i < t->nhosts; i++)
        names = names || addr_parse_ip(&a, t->hosts[i].name);
    return names;
}

static int start_names(struct redis *r)
{
    if (!needs_names(&r->target))
        return 0;
    r->dns = evdns_base_new(r->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!r->dns)
        return ERR_NOMEM;
    /* Without a name server there are still the names of /etc/hosts. */
    if (evdns_base_resolv_conf_parse(r->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf"))
        evdns_base_load_hosts(r->dns, "/etc/hosts");
    return 0;
}

int redisnode_start(struct redis *r)
{
    bool known = r->target.kind == REDIS_SINGLE && r->target.nhosts;
    struct node *n;
    int err = start_names(r);

    if (err)
        return err;
    if (r->target.kind == REDIS_CLUSTER)
        return redisslots_start(r);
    n = add_node(r, known ? &r->target.hosts[0] : NULL);
    if (!n)
        return ERR_NOMEM;
    if (r->target.kind == REDIS_SENTINEL) {
        snprintf(n->reason, sizeof(n->reason), "looking for the master");
        ask_sentinels(n);
    } else {
        redisnode_connect(n);
    }
    return 0;
}

void redisnode_stop(struct redis *r)
{
    redissentinel_free(&r->sentinel);
    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        if (r->nodes[i])
            free_node(r->nodes[i]);
    }
    if (r->dns)
        evdns_base_free(r->dns, 1);
}
