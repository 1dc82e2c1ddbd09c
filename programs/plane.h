/*
 * Purpose:  the admin plane's wiring: what each operation asks of relay, credentials, store and configuration.
 * Owner:    the control thread.
 * Lifetime: plane_new, once the relay serves, to plane_free, before it ends.
 * Callers:  programs/turnpiked.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_PLANE_H
#define PROGRAMS_PLANE_H

#include <jansson.h>

#include "programs/config.h"
#include "programs/credentials.h"
#include "programs/rendezvous.h"
#include "relay/relay.h"

struct plane;
struct event_base;

/* What the program itself can be asked. */
struct plane_host {
    const struct config *(*config)(void *ctx); /* in force now; borrowed for the call */
    /* As SIGHUP: what can't be changed without a restart is added to `keys`. ERR_CONFIG and others, with a text. */
    int (*reload)(void *ctx, struct conf_list *keys, char text[static RELAY_TEXT_MAX]);
    /* Would this text do as a configuration? ERR_CONFIG with a text; NULL: the one that a reload would read. */
    int (*check)(void *ctx, const char *conf, struct conf_list *warnings, char text[static RELAY_TEXT_MAX]);
    int (*log_level)(void *ctx, unsigned level);
    /* "stun:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=udp": where clients reach this relay; the caller's. */
    json_t *(*uris)(void *ctx);
    void *ctx;
};

struct plane_config {
    struct event_base *base;
    struct relay *relay;
    struct credentials *credentials;
    const struct rendezvous *rendezvous; /* NULL: there is no connect service */
    struct plane_host host;
};

/* Errors as admin_new; a socket that can't be had is logged, and no error. */
int plane_new(struct plane **out, const struct plane_config *config, char text[static RELAY_TEXT_MAX]);
/* NULL-safe; nulls the pointer. */
void plane_free(struct plane **p);
/* What has happened to an allocation, for those who watch. NULL-safe. */
void plane_news(struct plane *p, const struct feed_news *news);
/* Takes over what a new configuration says: ERR_CONFIG, and the old one stays. NULL-safe. */
int plane_reload(struct plane *p, const struct config *c, char text[static RELAY_TEXT_MAX]);
/* Its TCP address; ADDR_NONE: none. */
struct addr plane_address(const struct plane *p);

#endif
