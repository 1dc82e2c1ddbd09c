/*
 * Purpose:  the table of turnpiked's keys: names, types, limits, defaults, and the readers of what is no plain number or text.
 * Owner:    any thread; constants only.
 * Lifetime: static.
 * Callers:  programs/config; tests that compare the table with the documents.
 * RFC:      none.
 */
#ifndef PROGRAMS_KEYS_H
#define PROGRAMS_KEYS_H

#include <stdbool.h>

#include "base/conf.h"

/* The keys of `struct config` (programs/config.h), and the options that are no keys (CONF_OPTION_ONLY). */
const struct conf_table *keys_table(void);
/* The word for an enum config_xdp. */
const char *keys_xdp_name(unsigned xdp);
/* Whether a text can be a realm: UTF-8 without control characters, of at most 763 bytes. */
bool keys_realm_ok(const char *text);

#endif
