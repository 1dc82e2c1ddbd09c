/*
 * Purpose:  what the members of a message's params may be, as tables.
 * Owner:    any thread; stateless.
 * Lifetime: static tables.
 * Callers:  connect/desk and what stands behind it.
 * RFC:      docs/connect-protocol.md.
 */
#ifndef CONNECT_PARAMS_H
#define CONNECT_PARAMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum params_kind {
    PARAMS_TEXT,    /* `least` to `most` bytes */
    PARAMS_LINE,    /* the same, without control characters */
    PARAMS_OR_NULL, /* a line, or null */
    PARAMS_CHARS,   /* a line of characters of `of` */
    PARAMS_WORD,    /* one of the words of `of`, which have blanks between */
    PARAMS_FLAG,
    PARAMS_NUMBER, /* not negative, at most `most`; 0: without bound */
    PARAMS_WHOLE,  /* an integer, `least` to `most` */
    PARAMS_OBJECT,
    PARAMS_ARRAY, /* of `least` to `most` entries */
};

/* The last one of a table has no name. */
struct params_member {
    const char *name;
    enum params_kind kind;
    bool needed;
    size_t least, most;
    const char *of;
};

/* NULL: all is well; else the name of a member that is missing or wrong. Members that are in no table are left alone. `params` may be NULL: there are none. */
const char *params_check(const json_t *params, const struct params_member *members);
/* "" if it is not there, or no text. Borrowed. */
const char *params_text(const json_t *params, const char *name);

#endif
