/*
 * Purpose:  how turnpikectl shows what it was answered: tables and lines for people, JSON for programs.
 * Owner:    one thread; writes to standard output.
 * Lifetime: no state.
 * Callers:  the files of turnpikectl's commands.
 * RFC:      3339 (times).
 */
#ifndef PROGRAMS_SHOW_H
#define PROGRAMS_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { SHOW_TIME_MAX = 32 };

enum show_kind {
    SHOW_TEXT,   /* a string, a number or a boolean as it is; of an array, its entries with commas between */
    SHOW_NUMBER, /* to the right */
    SHOW_TIME,   /* seconds since 1970, in UTC */
    SHOW_SPAN,   /* seconds: 3d 4h */
    SHOW_SHORT,  /* a number with k, M, G */
    SHOW_SHARE,  /* 0 to 1 as per cent */
};

struct show_column {
    const char *title; /* NULL ends a list of columns */
    const char *key;   /* "traffic.user.bytes_up": a member of a member */
    enum show_kind kind;
    const char *none; /* for null; NULL: a blank cell, or no line */
};

/* A line of titles, and one for each entry. `none` is said when there is none. */
void show_table(const json_t *items, const struct show_column *columns, const char *none);
/* A line for each that is there. */
void show_lines(const json_t *object, const struct show_column *columns);
/* A name and its value, unless that is empty. Control characters are not passed on to the terminal. */
void show_line(const char *name, const char *value);

/* Prints it, on one line or on many, and releases it. */
void show_json(json_t *root, bool compact);

/* The text of a member, borrowed; "" if there is none. */
const char *show_member(const json_t *object, const char *key);
/* Malloc'ed, as a cell of a table; NULL: no memory. */
char *show_text(const json_t *value, enum show_kind kind, const char *none);
/* In UTC; `none` for 0. */
void show_time(char out[static SHOW_TIME_MAX], int64_t t, const char *none);

#endif
