#include "bridge/mediaparts.h"

#include <stdlib.h>
#include <time.h>

#include "base/err.h"

static uint64_t ns_of(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t media_now_ns(void)
{
    return ns_of(CLOCK_BOOTTIME);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct media_hub *hub = ctx;
    uint64_t now = media_now_ns();
    (void)fd;
    (void)what;
    for (struct media *m = hub->calls; m; m = m->next)
        media_look(m, now);
}

static bool is_usable(const struct media_hub_config *c)
{
    return c->base && c->rtp_ip.family != ADDR_NONE && c->rtp_min > 0 && c->rtp_min < c->rtp_max && c->nice_ips <= MEDIA_IPS_MAX;
}

/* Debian's libsrtp loads NSS with its first context and unloads it with its last, self-tests included: a quarter of a second in which no call has sound. */
static int keep_crypto(struct media_hub *hub)
{
    const struct secure_keys keys = {.profile = SECURE_AEAD_AES_128_GCM};

    return secure_new(&hub->kept, &keys);
}

int media_hub_new(struct media_hub **out, const struct media_hub_config *config)
{
    static const struct timeval interval = {.tv_usec = MEDIA_TICK_MS * 1000};
    struct media_hub *hub = calloc(1, sizeof(*hub));
    int err = ERR_NOMEM;

    if (!hub)
        goto out;
    err = ERR_INVAL;
    if (!is_usable(config))
        goto out;
    hub->config = *config;
    for (size_t i = 0; i < config->nice_ips; i++)
        hub->ips[i] = config->ice_ips[i];
    hub->config.ice_ips = hub->ips;
    hub->ntp_offset_ns = ns_of(CLOCK_REALTIME) - media_now_ns();
    err = dtls_cert_new(&hub->cert);
    err = err ? err : keep_crypto(hub);
    err = err ? err : servers_new(&hub->servers, config->base);
    if (err)
        goto out;
    event_assign(&hub->tick, config->base, -1, EV_PERSIST, on_tick, hub);
    err = event_add(&hub->tick, &interval) ? ERR_NOMEM : 0;
out:
    if (err)
        media_hub_free(&hub);
    *out = hub;
    return err;
}

void media_hub_free(struct media_hub **slot)
{
    struct media_hub *hub = *slot;
    if (!hub)
        return;
    if (event_initialized(&hub->tick))
        event_del(&hub->tick);
    ice_yard_clear(&hub->yard);
    servers_free(&hub->servers);
    secure_free(&hub->kept);
    dtls_cert_free(&hub->cert);
    free(hub);
    *slot = NULL;
}

static void on_servers(void *ctx)
{
    struct media_hub *hub = ctx;
    for (struct media *m = hub->calls; m; m = m->next) {
        if (m->waits_for_servers)
            media_gather(m);
    }
}

int media_hub_servers(struct media_hub *hub, const struct media_server *servers, size_t n)
{
    int err = servers_set(hub->servers, servers, n, on_servers, hub);
    if (!err && servers_ready(hub->servers))
        on_servers(hub);
    return err;
}
