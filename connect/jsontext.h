/*
 * Purpose:  JSON as text, whole or not at all.
 * Owner:    any thread.
 * Lifetime: none; the text is the caller's to free.
 * Callers:  connect/rpc, connect/client, connect/bridgestatus.
 * RFC:      8259.
 */
#ifndef CONNECT_JSONTEXT_H
#define CONNECT_JSONTEXT_H

#include <jansson.h>
#include <stddef.h>

/* In one line, NUL-terminated, with its length in `len` (NULL: nobody asks). NULL: no memory, or `json` is NULL. */
char *jsontext_of(const json_t *json, size_t *len);

#endif
