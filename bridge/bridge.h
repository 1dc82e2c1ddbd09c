/*
 * Purpose:  the bridge: a client of the connect service, a SIP user agent and media on one loop, joined by its calls.
 * Owner:    the thread of the event base.
 * Lifetime: bridge_new to bridge_free.
 * Callers:  programs/turnpike-bridge.
 * RFC:      none.
 */
#ifndef BRIDGE_BRIDGE_H
#define BRIDGE_BRIDGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "bridge/calls.h"
#include "bridge/sip.h"

struct bridge;
struct event_base;

enum { BRIDGE_TEXT_MAX = 512 };

struct bridge_config {
    struct event_base *base;
    const char *connect_url, *connect_ca, *connect_proxy; /* as struct connect_client_config has them */
    const char *name, *username, *password;
    bool force_relay;
    const struct addr *ice_ips; /* none: all */
    size_t nice_ips;
    struct addr rtp_ip; /* ADDR_NONE: the one that the PBX is reached from */
    uint16_t rtp_min, rtp_max;
    const char *registrar, *domain; /* `domain` may be NULL */
    bool tcp;
    struct addr sip_listen; /* ADDR_NONE: a free port of the address that the PBX is reached from */
    const struct sip_line *lines;
    unsigned nlines;
    unsigned ring_s;
    const char *version; /* of the program, as it is told; borrowed */
    /* Once: connected, and each line's registration was answered, well or not. */
    void (*ready)(void *ctx);
    /* A notification of the connect service, before the calls have it; `params` are borrowed. True: it was for the host, and no call hears of it, so that a call.incoming
     * that the host takes is a call of its own to the end. May be NULL. */
    bool (*message)(void *ctx, const char *method, const json_t *params);
    /* Has the host taken the call of this id? Then it is not ours to end. With `message`. */
    bool (*has_call)(void *ctx, const char *id);
    /* The session at the connect service is over, and with it what the host has taken. With `message`. */
    void (*lost)(void *ctx);
    void *ctx;
};

/* What the connect service has handed out for the relay. */
struct bridge_relay {
    const char *address; /* "HOST:PORT" */
    const char *user, *password;
};

/* `lines` are borrowed until bridge_free, all other texts for the call alone. ERR_CONFIG (`text` says what), ERR_NOMEM, ERR_CRYPTO, a negated errno. May wait for the
 * name service, for the PBX's address. */
int bridge_new(struct bridge **out, const struct bridge_config *config, char text[static BRIDGE_TEXT_MAX]);
/* Ends the calls at both ends, with `shutdown`; no more begin. How many there were: what is said to the PBX needs a moment of the loop. */
uint64_t bridge_stop(struct bridge *b);
/* NULL-safe; nulls the pointer. */
void bridge_free(struct bridge **b);

const struct calls *bridge_calls(const struct bridge *b);
bool bridge_connected(const struct bridge *b);
/* For how long the connection to the connect service has been up, in seconds; 0: it is not. */
unsigned bridge_connected_s(const struct bridge *b);
/* The newest; borrowed until the loop goes on. False: there is none. */
bool bridge_relay(const struct bridge *b, struct bridge_relay *out);
/* As connect_client_notify, for the host. */
int bridge_notify(struct bridge *b, const char *method, json_t *params);
/* Where the PBX reaches us, and where media of it come to. */
struct addr bridge_sip_address(const struct bridge *b);
struct addr bridge_rtp_ip(const struct bridge *b);

#endif
