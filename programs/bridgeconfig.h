/*
 * Purpose:  turnpike-bridge's keys as typed fields, checked: options, environment, file and defaults, and the two files with secrets.
 * Owner:    the program's one thread.
 * Lifetime: bridgeconfig_load to bridgeconfig_free. The fields are read-only for the wiring.
 * Callers:  programs/turnpike-bridge.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_BRIDGECONFIG_H
#define PROGRAMS_BRIDGECONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/conf.h"
#include "base/log.h"
#include "bridge/sip.h"

struct bridgeconfig_addrs {
    struct addr *item; /* IPs, port 0 */
    size_t n;
};

/* What a line was taken apart from. */
struct bridgeconfig_text {
    char *text;
    size_t len;
};

enum bridgeconfig_transport { BRIDGECONFIG_UDP, BRIDGECONFIG_TCP };

struct bridgeconfig { // NOLINT(clang-analyzer-optin.performance.Padding): in the order of the documents; there is one of them
    /* Options that are no keys. With `help` or `version` nothing else is filled in. */
    char *config_file;
    bool check_config;
    char *ready_file; /* NULL: none */
    bool help;
    bool version;

    char *connect_url; /* never NULL */
    char *connect_ca;  /* NULL: the system's authorities */
    char *connect_proxy;
    char *token;          /* USER:PASSWORD; never NULL */
    char *username;       /* its two parts, never NULL */
    const char *password; /* within `token` */
    char *token_file;
    char *name; /* never NULL */

    bool force_relay;
    struct bridgeconfig_addrs ice_ip; /* none: all */
    struct addr rtp_ip;               /* ADDR_NONE: the one that the PBX is reached from */
    uint16_t rtp_min, rtp_max;

    char *sip_registrar; /* never NULL */
    char *sip_domain;
    unsigned sip_transport;      /* enum bridgeconfig_transport */
    struct addr sip_listen;      /* ADDR_NONE: a free port of the address that the PBX is reached from */
    uint64_t ring_seconds;       /* fits 32 bits */
    struct conf_list line_texts; /* of the key `line` */
    char *lines_file;
    struct sip_line *lines; /* SIP_LINES_MAX at most; they borrow `texts` */
    unsigned nlines;
    struct bridgeconfig_text *texts;

    struct addr metrics_listen; /* ADDR_NONE: off */

    unsigned log_level;  /* enum log_level */
    unsigned log_format; /* enum log_format */
    char *log_file;      /* NULL: standard error */

    struct conf_list warnings; /* complete sentences for the log; none holds a secret */
};

/* Reads everything. argv[0] is skipped. ERR_CONFIG with a line in `e` (file and line where there is one), ERR_NOMEM; then `*out` is NULL. */
int bridgeconfig_load(struct bridgeconfig **out, int argc, char *const argv[], char *const envp[], struct conf_error *e);
/* Wipes secrets; NULL-safe; nulls the pointer. */
void bridgeconfig_free(struct bridgeconfig **c);

/* The table of keys, for the documents' test. */
const struct conf_table *bridgeconfig_table(void);
/* What --help prints. */
void bridgeconfig_help(FILE *out);

#endif
