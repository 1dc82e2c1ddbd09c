/*
 * Purpose:  a configuration engine: a table of keys, filled from options, environment, file and defaults, in this order of weight.
 * Owner:    one thread (start and reload); nothing is shared.
 * Lifetime: conf_new to conf_free; what conf_apply wrote into the caller's struct lives until conf_release.
 * Callers:  programs/. Nothing is printed here: errors and warnings are texts that the caller shows.
 * RFC:      none.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The file: `key=value`, a `#` that opens a line is a comment, blank lines, `include=FILE` (relative to the including file). Blanks
 * around key and value go; a value in double quotes loses the quotes and keeps what is inside. An unquoted value with a blank and a
 * `#` is refused, because it is nearly always a comment that would become part of the value. */

/* What a value is, and the C type of the field it is written to. */
enum conf_type {
    CONF_STRING, /* char *, NULL when there is no value; not empty unless CONF_MAY_BE_EMPTY */
    CONF_LIST,   /* struct conf_list; the key may repeat */
    CONF_UINT,   /* uint64_t in min..max */
    CONF_PORT,   /* uint16_t, 0..65535 */
    CONF_BOOL,   /* bool: yes/no, on/off, true/false, 1/0 */
    CONF_BPS,    /* uint64_t, bits per second, decimal suffixes k, M, G; in min..max when max is not 0 */
    CONF_CHOICE, /* unsigned: the index in `choices` (an enum of non-negative values has this type in gcc) */
    CONF_CUSTOM, /* `set` writes it, once for each value */
};

enum conf_flag {
    CONF_REPEAT = 1,       /* may be given more than once (CONF_CUSTOM; CONF_LIST always may) */
    CONF_SECRET = 2,       /* refused as an option, wiped when freed, its value never shown in an error */
    CONF_OPTION_ONLY = 4,  /* --config, --help: neither in a file nor in the environment */
    CONF_MAY_BE_EMPTY = 8, /* `key=` is a value (CONF_STRING, CONF_CUSTOM) */
    CONF_REQUIRED = 16,    /* no value from anywhere is an error */
};

struct conf_list {
    char **item;
    size_t n;
};

/* Reads one value into the caller's struct. 0, or a negative ERR_* with what is expected in `expected` ("an address and port");
 * then it has changed nothing. ERR_NOMEM is passed on. */
typedef int conf_set_fn(void *target, const char *value, char *expected, size_t cap);
/* A further test of a CONF_STRING's or CONF_LIST's value; the same answer. */
typedef int conf_check_fn(const char *value, char *expected, size_t cap);

/*
 * static const struct conf_key keys[] = {
 *     {"listening-port", CONF_PORT, CONF_FIELD(struct config, listening_port), .preset = "3478", .help = "UDP and TCP port"},
 *     {"user", CONF_LIST, CONF_FIELD(struct config, users), .flags = CONF_SECRET, .help = "NAME:PASSWORD"},
 *     {"xdp", CONF_CHOICE, CONF_FIELD(struct config, xdp), .choices = xdp_names, .preset = "off"},
 *     {"cert", CONF_STRING, CONF_FIELD(struct config, cert), .needs = "pkey"},
 * };
 */
struct conf_key {
    const char *name; /* lower case and dashes */
    enum conf_type type;
    size_t offset; /* both by CONF_FIELD; the size is checked against the type */
    size_t size;
    unsigned flags;             /* enum conf_flag */
    uint64_t min, max;          /* CONF_UINT (max 0: no upper limit), CONF_BPS */
    const char *const *choices; /* CONF_CHOICE: names, NULL at the end */
    conf_set_fn *set;           /* CONF_CUSTOM */
    conf_check_fn *check;       /* CONF_STRING and CONF_LIST, or NULL */
    const char *preset;         /* the default, as text (a list's values separated by newlines); NULL: the field stays as it was */
    const char *alias;          /* a further environment variable; one that cannot be read is warned about and left alone */
    const char *needs;          /* this key without that one is an error */
    const char *help;           /* one line for conf_help */
};

#define CONF_FIELD(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)

struct conf_table {
    const struct conf_key *keys; /* borrowed until conf_free */
    size_t n;
    const char *env_prefix; /* "TURNPIKE_"; NULL: no environment */
};

/* Where a value came from; the smaller number has the greater weight. The weight decides about a repeatable key's whole list. */
enum conf_source { CONF_FROM_OPTION, CONF_FROM_ENVIRONMENT, CONF_FROM_ALIAS, CONF_FROM_FILE, CONF_FROM_PRESET, CONF_FROM_NOWHERE };

struct conf_error {
    char text[512]; /* one line without a newline: "turnpiked.conf:12: ..." or "--realm: ..." or "TURNPIKE_REALM: ..." */
};

struct conf;

/* ERR_NOMEM. */
int conf_new(struct conf **out, const struct conf_table *table);
/* Wipes and frees all texts; NULL-safe. */
void conf_free(struct conf **c);

/*
 * All four steps in one: options, environment, then the file named by the key `file_key` (NULL: no file), where a file that is only
 * the preset may be missing. Then the caller calls conf_apply. `first` as in conf_options. ERR_CONFIG with a text in `e`, or
 * ERR_NOMEM.
 */
int conf_load(struct conf *c, int argc, char *const argv[], char *const envp[], const char *file_key, int *first,
              struct conf_error *e);

/* `--key=value`, `--key value`, `--flag` (a CONF_BOOL; its value only with `=`). argv[0] is skipped. Stops at the first argument
 * that is no option, or behind `--`, and stores its index in `first`; with `first` NULL such an argument is an error. ERR_CONFIG,
 * ERR_NOMEM. */
int conf_options(struct conf *c, int argc, char *const argv[], int *first, struct conf_error *e);
/* The prefix, then the key in upper case with `_` for `-`. Blanks around a value go; an empty variable is an unset one. Several
 * values of a repeatable key are separated by newlines (an alias holds one). An unknown variable with our prefix is a warning only
 * (orchestrators inject such). ERR_CONFIG, ERR_NOMEM. */
int conf_environment(struct conf *c, char *const envp[], struct conf_error *e);
/* ERR_CONFIG (unreadable file, includes in a circle, syntax, unknown key, a key twice), ERR_NOMEM. */
int conf_file(struct conf *c, const char *path, struct conf_error *e);
/* The same from memory. `name` is for error texts; `include=` is refused here. `text` need not end in NUL. */
int conf_buffer(struct conf *c, const char *name, const char *text, size_t len, struct conf_error *e);
/* One value from the caller (two variables that make up one value, say). `origin` names it in errors. From CONF_FROM_ALIAS a value
 * that cannot be taken is a warning, as with the aliases of the table. ERR_CONFIG, ERR_NOMEM. */
int conf_put(struct conf *c, enum conf_source from, const char *key, const char *value, const char *origin, struct conf_error *e);

/* The winning value as text (of a repeatable key the first), before it was read; NULL when there is none. Borrowed until conf_free.
 */
const char *conf_text(const struct conf *c, const char *key);
/* Where the winning value came from; CONF_FROM_NOWHERE when there is none. */
enum conf_source conf_source(const struct conf *c, const char *key);
/* "/etc/turnpike/turnpiked.conf:12", "--realm", "TURNPIKE_REALM", "default", or "" when there is none. Borrowed until conf_free. */
const char *conf_origin(const struct conf *c, const char *key);

/* Calls `visit` with each key that has a value, in the table's order, and each of its winning values in theirs. The text is as it was given:
 * a secret is one still. */
void conf_each(const struct conf *c, void (*visit)(void *ctx, const struct conf_key *key, enum conf_source from, const char *text),
               void *ctx);

/* Reads every winning value into `target`, which the caller has zeroed. On an error `target` is released as by conf_release.
 * ERR_CONFIG or ERR_NOMEM, with a text in `e`. */
int conf_apply(struct conf *c, void *target, struct conf_error *e);
/* Frees the strings and lists in `target` (wiping secrets) and nulls them. What CONF_CUSTOM wrote is the caller's. */
void conf_release(const struct conf_table *table, void *target);

/* The i-th warning so far, or NULL; complete after conf_apply. Borrowed until conf_free. */
const char *conf_warning(const struct conf *c, size_t i);

/* The readers behind the types, for CONF_CUSTOM and for other texts: 0, ERR_INVAL, ERR_RANGE (max 0: no upper limit). */
int conf_read_uint(uint64_t *out, const char *text, uint64_t min, uint64_t max);
int conf_read_bps(uint64_t *out, const char *text);
int conf_read_bool(bool *out, const char *text);
/* Appends a copy. ERR_NOMEM. */
int conf_list_add(struct conf_list *l, const char *text);

/* "  --listening-port=PORT   help (default 3478)", a line for each key; keys with CONF_SECRET by their variable instead. */
void conf_help(const struct conf_table *table, FILE *out);

#endif
