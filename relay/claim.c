#include "relay/claim.h"

#include "base/err.h"

int claim_pick_relay(const struct shard *s, const struct path *path, enum addr_family family)
{
    int fallback = -1;

    for (size_t i = 0; i < ports_count(s->ports); i++) {
        const struct relay_address *r = ports_address(s->ports, (unsigned)i);

        if (r->local.family != family)
            continue;
        if (addr_same_ip(&r->local, &path->server))
            return (int)i;
        /* The first one, but a loopback or link-local address only if there is nothing else: a client of the other family can't use it. */
        if (fallback < 0 || ((addr_is_loopback(&ports_address(s->ports, (unsigned)fallback)->local) ||
                              addr_is_link_local(&ports_address(s->ports, (unsigned)fallback)->local)) &&
                             !addr_is_loopback(&r->local) && !addr_is_link_local(&r->local)))
            fallback = (int)i;
    }
    return fallback;
}

/* Claims and binds one port. ERR_ADDRINUSE: not free; `*refused` is set when it was the kernel that said so. */
static int claim_port(struct shard *s, unsigned relay, uint16_t port, struct claimed *out, bool *refused)
{
    const struct relay_address *r = ports_address(s->ports, relay);
    struct addr local = addr_with_port(&r->local, port);
    int err;

    if (!ports_claim(s->ports, r->space, port, s->worker))
        return ERR_ADDRINUSE;
    err = s->net->relay_open(s->net_ctx, &local, &out->socket);
    if (err) {
        ports_release(s->ports, r->space, port);
        *refused = true;
        return err;
    }
    out->relay = relay;
    out->port = port;
    return 0;
}

static int claim_wish(struct shard *s, unsigned relay, uint16_t port, enum port_wish wish, struct claimed *out,
                      struct claimed *next, bool *refused)
{
    int err;

    if (wish != PORT_ANY && port % 2)
        return ERR_ADDRINUSE;
    if (wish == PORT_EVEN_AND_NEXT && port == ports_max(s->ports))
        return ERR_ADDRINUSE;
    err = claim_port(s, relay, port, out, refused);
    if (err || wish != PORT_EVEN_AND_NEXT)
        return err;
    err = claim_port(s, relay, (uint16_t)(port + 1), next, refused);
    if (err)
        claim_close(s, out);
    return err;
}

int claim_open(struct shard *s, unsigned relay, enum port_wish wish, struct claimed *out, struct claimed *next)
{
    uint32_t min = ports_min(s->ports), span = (uint32_t)ports_max(s->ports) - min + 1;
    uint32_t start = random_below(&s->random, span);
    int err, failures = 0;
    bool refused = false;

    for (int i = 0; i < PORT_TRIES_RANDOM; i++) {
        uint32_t port = min + random_below(&s->random, span);

        err = claim_wish(s, relay, (uint16_t)(wish == PORT_ANY || port == min ? port : port & ~1U), wish, out, next, &refused);
        if (err != ERR_ADDRINUSE)
            return err;
    }
    /* The range is nearly full: walk it, asking the kernel only for what our own table says is free. */
    for (uint32_t i = 0; i < span && failures < PORT_BIND_FAILURES_MAX; i++) {
        uint16_t port = (uint16_t)(min + (start + i) % span);

        if (wish != PORT_ANY && port % 2)
            continue;
        refused = false;
        err = claim_wish(s, relay, port, wish, out, next, &refused);
        if (err != ERR_ADDRINUSE)
            return err;
        failures += refused;
    }
    return ERR_NOSPC;
}

void claim_close(struct shard *s, struct claimed *c)
{
    if (!c->socket)
        return;
    s->net->relay_close(s->net_ctx, &c->socket);
    ports_release(s->ports, ports_address(s->ports, c->relay)->space, c->port);
}
