/*
 * Purpose:  the bridges that have said hello, and what each has told of itself last, for whoever wants to show them.
 * Owner:    the connect thread writes; board_list may be called from any thread.
 * Lifetime: board_new to board_free; every entry is removed before.
 * Callers:  connect/session, desk.
 * RFC:      none.
 */
#ifndef CONNECT_BOARD_H
#define CONNECT_BOARD_H

#include <jansson.h>
#include <stdint.h>

#include "base/addr.h"

struct board;
struct board_entry;

/* ERR_NOMEM. */
int board_new(struct board **out);
/* NULL-safe; nulls the pointer. */
void board_free(struct board **b);

struct board_config {
    const char *id, *tenant, *user, *name; /* copied */
};
/* Without a connection yet. ERR_NOMEM. */
int board_add(struct board_entry **out, struct board *b, const struct board_config *config);
/* With what it has told. NULL-safe; nulls the pointer. */
void board_remove(struct board_entry **slot);
/* It is connected from there since then (wall clock), or not any more. */
void board_connected(struct board_entry *e, const struct addr *client, int64_t since);
void board_gone(struct board_entry *e);
/* What it has told, as bridgestatus_read makes it: taken over, and the pointer nulled; what it told before is forgotten. */
void board_status(struct board_entry *e, char **text, int64_t at);

/* [{"id","tenant","user","name","connected","client","connected_at","status_at","status"}], the oldest first; `status` is a text of JSON, or null. Of this tenant alone;
 * NULL: of all. The caller's; NULL: no memory. */
json_t *board_list(struct board *b, const char *tenant);

#endif
