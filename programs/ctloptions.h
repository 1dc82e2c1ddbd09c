/*
 * Purpose:  turnpikectl's options: what was given, and to which commands each of them belongs.
 * Owner:    one thread.
 * Lifetime: values borrow from argv.
 * Callers:  programs/turnpikectl.c and its commands; tests/unit/test_docs.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_CTLOPTIONS_H
#define PROGRAMS_CTLOPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OPTIONS_LIST_MAX = 256, /* values of one option that may repeat: more than a credential or a policy made by hand has */
};

/* The commands. */
enum ctl_verb {
    CTL_STATUS,
    CTL_ALLOCATIONS,
    CTL_KICK,
    CTL_TOKEN_ISSUE,
    CTL_TOKEN_LIST,
    CTL_TOKEN_SHOW,
    CTL_TOKEN_REVOKE,
    CTL_USER_ADD,
    CTL_USER_SET,
    CTL_USER_LIST,
    CTL_USER_SHOW,
    CTL_USER_REMOVE,
    CTL_USER_REVOKE,
    CTL_CREDENTIALS,
    CTL_ICE_SERVERS,
    CTL_USAGE_SHOW,
    CTL_PEERS_SHOW,
    CTL_PEERS_TEST,
    CTL_PEERS_SET,
    CTL_QUOTA_SHOW,
    CTL_QUOTA_SET,
    CTL_NODES,
    CTL_BRIDGE_STATUS,
    CTL_BRIDGE_CHECK,
    CTL_DRAIN,
    CTL_RELOAD,
    CTL_LOG_LEVEL,
    CTL_CONFIG_CHECK,
    CTL_CONFIG_SHOW,
    CTL_EVENTS,
    CTL_ADMIN_TOKEN_ISSUE,
    CTL_ADMIN_TOKEN_LIST,
    CTL_ADMIN_TOKEN_REVOKE,
    CTL_IMPORT_COTURN,
    CTL_VERBS
};

struct option_list {
    const char *item[OPTIONS_LIST_MAX];
    size_t n;
};

struct options {
    const char *config_file, *socket, *url, *token_file, *cacert, *output;
    const char *owner, *label, *tenant, *scope, *realm, *expires, *not_before, *max_allocations, *max_bps, *max_bytes, *before, *by,
        *since, *until, *node, *ttl, *role, *user, *client, *peer, *transport, *deadline, *type, *bridge;
    struct option_list peers, allow, deny;
    bool json, offline, watch, off, clear, password_stdin, quick, help, version;
    uint64_t given; /* a bit for each entry of the table */
};

/* Reads all options; `*first` is the first word that is none, and words stand behind all options then. False: it has been said why not. */
bool ctloptions_read(struct options *o, int argc, char **argv, int *first);
/* The name of one that was given and does not belong to this command, or NULL. */
const char *ctloptions_stray(const struct options *o, enum ctl_verb verb);
/* The name of the i-th, and whether it belongs to this command; NULL: there are no more. */
const char *ctloptions_nth(size_t i, enum ctl_verb verb, bool *belongs);

#endif
