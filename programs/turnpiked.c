/* turnpiked: options and wiring. Reads the configuration, builds auth and relay, serves until SIGTERM, reloads on SIGHUP. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/store.h"
#include "base/addr.h"
#include "base/err.h"
#include "base/log.h"
#include "programs/config.h"
#include "relay/relay.h"

enum { EXIT_OK = 0, EXIT_FAULT = 1, EXIT_CONFIG = 2 };

/* The user that is made when nobody has configured one. */
static const char GENERATED_USER[] = "turnpike";

struct server {
    struct config config;
    struct auth *auth;
    struct store *store;
    struct relay *relay;
    const char *user;     /* the credential to paste, when it was generated here; else NULL */
    const char *password; /* the store's */
};

static int fail(int status, const char *text)
{
    fprintf(stderr, "turnpiked: %s\n", text);
    return status;
}

/* ---- From the configuration to the rooms. ---- */

static struct relay_config relay_config_of(const struct config *c, struct auth *auth)
{
    struct relay_config rc = {.listen = c->listening_ips.addr,
                              .nlisten = c->listening_ips.n,
                              .port = c->listening_port,
                              .relay = c->relay_ips.addr,
                              .nrelay = c->relay_ips.n,
                              .external = c->external_ips.pair,
                              .nexternal = c->external_ips.n,
                              .min_port = c->min_port,
                              .max_port = c->max_port,
                              .workers = c->workers,
                              .allowed = (const char *const *)c->allowed_peers.item,
                              .nallowed = c->allowed_peers.n,
                              .denied = (const char *const *)c->denied_peers.item,
                              .ndenied = c->denied_peers.n,
                              .auth = auth};

    rc.settings = (struct relay_settings){.max_lifetime_s = c->max_lifetime,
                                          .max_bps = c->max_bps,
                                          .unauthenticated_rate = c->unauthenticated_rate,
                                          .strict_channel_range = c->strict_channel_range};
    snprintf(rc.settings.software, sizeof(rc.settings.software), "%s", c->software ? c->software : "");
    return rc;
}
