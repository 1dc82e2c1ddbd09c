/*
 * Purpose:  the files that the admin plane serves from its own program: the OpenAPI document and the dashboard.
 * Owner:    any thread; the bytes are in the program, put there by tools/embed when it is built.
 * Lifetime: static.
 * Callers:  admin/http.
 * RFC:      none (Content Security Policy Level 3).
 */
#ifndef ADMIN_ASSET_H
#define ADMIN_ASSET_H

#include <stddef.h>

struct asset {
    const char *name; /* of the file */
    const char *type; /* media type */
    const unsigned char *data;
    size_t len;
};

/* Nothing inline, nothing from elsewhere, in nobody's frame (S22). */
#define ASSET_POLICY                                                                                                               \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "         \
    "form-action 'none'; frame-ancestors 'none'"

/* What a path of a route stands for, with its variable part. NULL: there is no such file. */
const struct asset *asset_find(const char *path, const char *file);

/* By tools/embed: the list ends with a name of NULL. */
extern const struct asset ASSETS[];

#endif
