/*
 * Purpose:  how turnpikectl shows tokens: lines for people, JSON for programs. Keys are never among them.
 * Owner:    one thread; writes to standard output.
 * Lifetime: no state.
 * Callers:  programs/turnpikectl.c, programs/fleetctl.c.
 * RFC:      3339 (times).
 */
#ifndef PROGRAMS_SHOW_H
#define PROGRAMS_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/token.h"

/* All of a token but its keys; what is empty or 0 is left out. The caller's. */
json_t *show_token_json(const struct token *t);
void show_add_text(json_t *object, const char *key, const char *text);
/* Prints it, and releases it. */
void show_json(json_t *root);

void show_token(const struct token *t, int64_t now);
/* What has just been made, with its password; "": that was given, and is not shown. */
void show_made(const struct token *t, int64_t now, const char *password, bool json);
/* A name and its value, unless that is empty. */
void show_line(const char *name, const char *value);
/* "valid", "revoked", "expired", "not yet". */
const char *show_state(const struct token *t, int64_t now);
/* In UTC; `none` for 0. */
void show_time(char out[static 32], int64_t t, const char *none);

#endif
