/*
 * Purpose:  turnpiked's keys as typed fields, checked: options, environment, container variables, file and defaults.
 * Owner:    the control thread (start and reload); workers get copies of what they need.
 * Lifetime: config_load to config_free. The fields are read-only for the wiring.
 * Callers:  programs/turnpiked.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_CONFIG_H
#define PROGRAMS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "auth/auth.h"
#include "base/addr.h"
#include "base/conf.h"
#include "base/log.h"
#include "relay/relay.h"

enum config_xdp { CONFIG_XDP_OFF, CONFIG_XDP_AUTO, CONFIG_XDP_NATIVE, CONFIG_XDP_GENERIC };

struct config_addrs {
    struct addr *item; /* IPs, port 0 */
    size_t n;
};

struct config_externals {
    struct relay_external *item;
    size_t n;
};

/* A key as it was given, for people. */
struct config_shown {
    const char *key;
    const char *source; /* "option", "environment", "file", "default" */
    enum conf_type type;
    bool may_repeat;
    struct conf_list values; /* none of them a secret: those are "********" */
};

struct config { // NOLINT(clang-analyzer-optin.performance.Padding): in the order of the documents; there is one or two of them
    /* Options that are no keys. With `help` or `version` nothing else is filled in. */
    char *config_file;
    bool check_config;
    char *ready_file; /* NULL: none */
    bool help;
    bool version;

    struct config_addrs listening_ip; /* none: all addresses */
    uint16_t listening_port;          /* 0: a free one */
    uint16_t alt_listening_port;      /* 0: none */
    uint16_t tls_listening_port;
    struct config_addrs relay_ip; /* none: the listening addresses */
    struct config_externals external_ip;
    uint16_t min_port, max_port;
    char *realm;                   /* never NULL */
    uint64_t unauthenticated_rate; /* fits 32 bits; 0: no limit */
    char *software;                /* never NULL; empty: no SOFTWARE attribute; fits struct relay_settings */
    bool strict_channel_range;
    uint64_t workers; /* 0: one a core */

    struct conf_list users;   /* NAME:PASSWORD or NAME:0xMD5KEY; config_auth has taken them apart */
    struct conf_list secrets; /* static-auth-secret */
    char rest_api_separator;
    char *generate_user; /* TURN_USERNAME without a password anywhere: generate one in the store and print it; or NULL */
    char *state_dir;

    struct conf_list denied_peer_ip; /* read by relay/policy */
    struct conf_list allowed_peer_ip;
    uint64_t max_lifetime;                          /* seconds; fits 32 bits */
    uint64_t user_quota, source_quota, total_quota; /* fit 32 bits; 0: no limit */
    uint64_t max_bps;                               /* bits per second; 0: no limit */

    char *admin_socket;       /* never NULL */
    struct addr admin_listen; /* ADDR_NONE: off */
    char *admin_cert, *admin_pkey;
    struct conf_list admin_origin;

    char *cert, *pkey;                      /* both or none */
    struct addr connect_listen, app_listen; /* ADDR_NONE: off */
    struct conf_list connect_origin;
    char *connect_url; /* NULL: made of the addresses */

    unsigned log_level;  /* enum log_level */
    unsigned log_format; /* enum log_format */
    char *log_file;      /* NULL: standard error */

    /* Without effect in this version: read and checked, and warned about when set. */
    uint64_t user_max_bps, bps_capacity; /* always 0 */
    char *redis;                         /* URL of the credential store; NULL: none */
    char *redis_prefix;
    char *node_id;       /* never NULL */
    char *redis_statsdb; /* where allocations are told of as coturn does; NULL: nowhere */
    unsigned xdp;        /* enum config_xdp */
    struct conf_list xdp_interface;

    struct config_shown *shown; /* of every key that has a value */
    size_t nshown;

    struct conf_list warnings; /* complete sentences for the log; none holds a secret */
};

/*
 * Everything: reads options, environment and file, applies the container's variables, fills `*out` and checks it. argv[0] is skipped.
 * ERR_CONFIG with a line in `e` (file and line where there is one), ERR_NOMEM; then `*out` is NULL.
 */
int config_load(struct config **out, int argc, char *const argv[], char *const envp[], struct conf_error *e);
/* The same of a text alone, with neither options nor environment, and without `include=` (S12). */
int config_read(struct config **out, const char *text, struct conf_error *e);
/* Wipes secrets; NULL-safe; nulls the pointer. */
void config_free(struct config **c);
/* Users and secrets, once they are in a `struct auth` (C32). */
void config_wipe_secrets(struct config *c);

/* A `struct auth` with realm, quotas, users and secrets of the configuration. ERR_CONFIG with a line in `e`, ERR_NOMEM. */
int config_auth(const struct config *c, struct auth **out, struct conf_error *e);

/* What --help prints. */
void config_help(FILE *out);

#endif
