/*
 * Purpose:  turnpikectl's options: what was given, and to which commands each of them belongs.
 * Owner:    one thread.
 * Lifetime: values borrow from argv.
 * Callers:  programs/turnpikectl.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_CTLOPTIONS_H
#define PROGRAMS_CTLOPTIONS_H

#include <stdbool.h>

#include "auth/token.h"

/* The commands. */
enum ctl_verb {
    CTL_TOKEN_ISSUE,
    CTL_TOKEN_LIST,
    CTL_TOKEN_SHOW,
    CTL_TOKEN_REVOKE,
    CTL_USER_REVOKE,
    CTL_USER_ADD,
    CTL_USER_LIST,
    CTL_USER_REMOVE,
    CTL_USAGE_SHOW,
    CTL_NODES,
    CTL_DRAIN,
    CTL_ICE_SERVERS,
    CTL_ADMIN_TOKEN_ISSUE,
    CTL_ADMIN_TOKEN_LIST,
    CTL_ADMIN_TOKEN_REVOKE,
    CTL_IMPORT_COTURN,
};

struct options {
    char *config_file;
    const char *owner, *label, *tenant, *scope, *realm, *expires, *not_before, *max_allocations, *max_bps, *max_bytes, *before, *by,
        *since, *node, *ttl, *role;
    char peers[TOKEN_PEERS_MAX + 1]; /* with a blank between */
    bool json, off, password_stdin, help, version;
    unsigned given; /* a bit for each entry of the table */
};

/* Reads all options; `*first` is the first word that is none, and words stand behind all options then. False: it has been said why not. */
bool ctloptions_read(struct options *o, int argc, char **argv, int *first);
/* The name of one that was given and does not belong to this command, or NULL. */
const char *ctloptions_stray(const struct options *o, enum ctl_verb verb);

#endif
