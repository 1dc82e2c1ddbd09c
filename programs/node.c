#include <config.h> /* the build's; not programs/config.h */

#include "programs/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "programs/credentials.h"
#include "relay/external.h"

enum { PER_MILLE = 1000 };

struct node {
    struct auth *auth;
    struct relay *relay; /* NULL: not started */
    struct redisfleet *fleet;
    struct relay_external *external; /* as at the start: a reload does not change it */
    size_t nexternal;
    struct fleet_node self;                                  /* what stays as it is */
    uint64_t ports;                                          /* relayed ports in all */
    void (*tell)(void *ctx, const char *type, json_t *data); /* NULL: nobody */
    void *tell_ctx;
};

/* ---- Where clients reach us. ---- */

static void add_address(struct node *n, const struct relay_listener *l, const struct addr *a)
{
    struct fleet_address address = {strcmp(l->transport, "udp") != 0, *a};

    if (n->self.naddresses < FLEET_ADDRESSES_MAX)
        n->self.address[n->self.naddresses++] = address;
}

/* A listener on every address is reached by those that we relay from. Nobody is sent to a second port. */
static void note_addresses(struct node *n)
{
    struct relay_listener listeners[RELAY_LISTENERS_MAX * 2];
    size_t count = relay_listeners(n->relay, listeners);
    const struct ports *p = relay_ports(n->relay);

    n->self.naddresses = 0;
    for (size_t i = 0; i < count; i++) {
        const struct relay_listener *l = &listeners[i];
        struct addr a = external_find(n->external, n->nexternal, &l->addr);

        if (l->alternate)
            continue;
        if (!addr_is_any(&l->addr))
            add_address(n, l, &a);
        for (size_t k = 0; addr_is_any(&l->addr) && k < ports_count(p); k++) {
            a = addr_with_port(&ports_address(p, (unsigned)k)->advertised, l->addr.port);
            if (a.family == l->addr.family)
                add_address(n, l, &a);
        }
    }
    n->ports = (uint64_t)(ports_max(p) - ports_min(p) + 1) * ports_spaces(p);
}

/* ---- What the fleet asks. ---- */

static void sample(void *ctx, struct fleet_node *self)
{
    struct node *n = ctx;
    struct auth_load load;
    uint64_t used = 0;

    auth_quota_load(n->auth, &load);
    memcpy(self->address, n->self.address, sizeof(self->address));
    self->naddresses = n->self.naddresses;
    memcpy(self->version, n->self.version, sizeof(self->version));
    self->capacity = load.total_limit && load.total_limit < n->ports ? load.total_limit : n->ports;
    self->load = load.total;
    self->used = self->capacity ? load.total * PER_MILLE / self->capacity : PER_MILLE;
    if (load.bps_limit)
        used = load.bps * PER_MILLE / load.bps_limit;
    if (used > self->used)
        self->used = used;
    self->full = load.total >= self->capacity || relay_memory_short(n->relay) ||
                 (load.bps_limit && load.bps + load.bps_share > load.bps_limit);
}

static void say(const struct node *n, const char *type, json_t *data)
{
    if (n->tell)
        n->tell(n->tell_ctx, type, data);
    else
        json_decref(data);
}

static void tell_fault(const struct node *n, const char *what, const char *reason)
{
    say(n, "fault", json_pack("{s:s,s:s}", "what", what, "reason", reason));
}

static void on_event(void *ctx, enum redisfleet_event event, const char *text)
{
    const struct node *n = ctx;

    switch (event) {
    case REDISFLEET_READY:
        LOG(LOG_INFO, "fleet_ready", LOG_STR("node", text));
        break;
    case REDISFLEET_UNAVAILABLE:
        LOG(LOG_WARNING, "fleet_unavailable", LOG_STR("reason", text));
        break;
    case REDISFLEET_DRAINING:
        LOG(LOG_WARNING, "draining", LOG_STR("node", text),
            LOG_STR("effect", "new allocations are sent to other nodes, those that live go on"));
        say(n, "drain", json_pack("{s:s,s:b}", "node", text, "draining", 1));
        break;
    case REDISFLEET_DRAIN_ENDED:
        LOG(LOG_INFO, "drain_ended", LOG_STR("node", text));
        say(n, "drain", json_pack("{s:s,s:b}", "node", text, "draining", 0));
        break;
    case REDISFLEET_NODE_UP:
        LOG(LOG_INFO, "node_up", LOG_STR("node", text));
        break;
    case REDISFLEET_NODE_DOWN:
        LOG(LOG_WARNING, "node_down", LOG_STR("node", text));
        tell_fault(n, "node_down", text);
        break;
    case REDISFLEET_ID_TAKEN:
        LOG(LOG_ERROR, "node_id_taken", LOG_STR("node", text),
            LOG_STR("effect", "quotas of the fleet and the list of nodes are wrong"),
            LOG_STR("cure", "give each node a node-id of its own"));
        tell_fault(n, "node_id_taken", text);
        break;
    case REDISFLEET_REFUSED:
        LOG(LOG_ERROR, "fleet_refused", LOG_STR("reason", text),
            LOG_STR("cure", "see what this user of Redis may do, in turnpiked.conf(5)"));
        break;
    }
}

/* ---- Life. ---- */

int node_new(struct node **out, struct auth *a, const struct config *c, const struct redis_target *redis)
{
    struct node *n = calloc(1, sizeof(*n));
    int err = 0;

    *out = NULL;
    if (!n)
        return ERR_NOMEM;
    n->auth = a;
    snprintf(n->self.version, sizeof(n->self.version), "%s", PACKAGE_VERSION);
    if (c->external_ip.n) {
        n->external = calloc(c->external_ip.n, sizeof(*n->external));
        if (!n->external) {
            free(n);
            return ERR_NOMEM;
        }
        memcpy(n->external, c->external_ip.item, c->external_ip.n * sizeof(*n->external));
        n->nexternal = c->external_ip.n;
    }
    err = redisfleet_add(&n->fleet, a,
                         &(struct redisfleet_config){.target = redis,
                                                     .prefix = c->redis_prefix,
                                                     .id = c->node_id,
                                                     .workers = CREDENTIALS_ASKERS_MAX,
                                                     .started = clock_now().wall,
                                                     .sample = sample,
                                                     .event = on_event,
                                                     .ctx = n});
    if (err)
        node_free(&n);
    *out = n;
    return err;
}

void node_free(struct node **n)
{
    if (!*n)
        return;
    redisfleet_free(&(*n)->fleet);
    free((*n)->external);
    free(*n);
    *n = NULL;
}

void node_tell(struct node *n, void (*tell)(void *ctx, const char *type, json_t *data), void *ctx)
{
    n->tell = tell;
    n->tell_ctx = ctx;
}

size_t node_others(const struct node *n)
{
    return n ? redisfleet_others(n->fleet) : 0;
}

struct redisshares *node_shares(const struct node *n)
{
    return n ? redisfleet_shares(n->fleet) : NULL;
}

int node_start(struct node *n, struct event_base *base, struct relay *relay)
{
    n->relay = relay;
    note_addresses(n);
    return redisfleet_start(n->fleet, base);
}

void node_look(struct node *n)
{
    redisfleet_beat(n->fleet);
}

void node_stop(struct node *n)
{
    if (!n)
        return;
    redisfleet_stop(n->fleet);
    n->relay = NULL;
}
