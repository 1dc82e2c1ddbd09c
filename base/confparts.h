/*
 * Purpose:  what the files of the configuration engine share: conf.c (values and weights), confsource.c (options, environment),
 *           conffile.c (files) and confset.c (from text to field).
 * Owner:    one thread.
 * Lifetime: as in conf.h.
 * Callers:  these files only.
 * RFC:      none.
 */
#ifndef BASE_CONFPARTS_H
#define BASE_CONFPARTS_H

#include "base/conf.h"

enum {
    CONF_KEY_MAX = 64,      /* bytes of a key; longer names are near to none */
    CONF_WARNINGS_MAX = 32, /* an environment may be full of what is not ours */
};

struct conf_value {
    struct conf_value *next;
    enum conf_source from;
    char *text;
    char *origin;
};

struct conf {
    struct conf_table table;
    struct conf_value **values; /* one list a key, in the order of arrival */
    char *warnings[CONF_WARNINGS_MAX];
    size_t n_warnings;
};

/* Writes the text and returns ERR_CONFIG. */
__attribute__((format(printf, 2, 3))) int conf_fail(struct conf_error *e, const char *format, ...);
/* ERR_NOMEM. */
int conf_fail_nomem(struct conf_error *e);
/* Keeps the text and its end as a warning; one that finds no room is no reason to stop. */
void conf_warn(struct conf *c, const char *text, const char *end);

const struct conf_key *conf_find(const struct conf *c, const char *name);
/* The known key that was probably meant, or NULL. */
const char *conf_nearest(const struct conf *c, const char *name);
struct conf_value **conf_values(const struct conf *c, const struct conf_key *k);
/* Adds a copy of a value. ERR_CONFIG, ERR_NOMEM. */
int conf_add(struct conf *c, const struct conf_key *k, enum conf_source from, const char *text, const char *origin,
             struct conf_error *e);
/* The same; for a repeatable key a value a line. The text is taken apart in place. */
int conf_add_lines(struct conf *c, const struct conf_key *k, enum conf_source from, char *text, const char *origin,
                   struct conf_error *e);
/* Blanks around a text go: the new start, and the length by `*len`. */
const char *conf_trim(const char *p, size_t *len);

int conffile_read(struct conf *c, const char *path, bool may_be_missing, struct conf_error *e);

/* Whether the key's field has the size that its type writes; an invariant of the caller's table. */
bool confset_fits(const struct conf_key *k);
/* 0, ERR_NOMEM, or another ERR_* with what is expected in `expected`; then nothing has changed. */
int confset(const struct conf_key *k, void *target, const char *value, char *expected, size_t cap);

#endif
