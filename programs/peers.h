/*
 * Purpose:  peers that others than the configuration allow and deny: each list as it could be read last, put beside the configuration's.
 * Owner:    the control thread.
 * Lifetime: peers_new to peers_free.
 * Callers:  programs/credentials.c, programs/realm.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_PEERS_H
#define PROGRAMS_PEERS_H

#include "relay/relay.h"

struct peers;

/* Who says so. */
enum peers_source { PEERS_REALM, PEERS_STORED, PEERS_SOURCES };

/* Entries as of allowed-peer-ip. */
struct peers_list {
    const char *const *allowed, *const *denied;
    size_t nallowed, ndenied;
};

int peers_new(struct peers **out); /* ERR_NOMEM */
void peers_free(struct peers **p);
/* Who gives the relay its settings and peers anew, through peers_add, as relay_reload. Until then lists are only kept. */
void peers_watch(struct peers *p, int (*renew)(void *ctx, char text[static RELAY_TEXT_MAX]), void *ctx);
/* In place of what this one said before; the relay is given all anew. What can't be read leaves the old lists in force, as a reload does (F17):
 * ERR_CONFIG, with an entry in the log. ERR_NOMEM: likewise. The list is copied. */
int peers_set(struct peers *p, enum peers_source source, const struct peers_list *list);
/* The same from texts with blanks between the entries. */
int peers_set_texts(struct peers *p, enum peers_source source, const char *allowed, const char *denied);
/* The peers of all, each under its source. What `rc` points to then is borrowed until one is set. */
void peers_add(const struct peers *p, struct relay_config *rc);

#endif
