#include "base/conf.h"

#include "base/confparts.h"
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- Errors ---- */

int conf_fail(struct conf_error *e, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->text, sizeof(e->text), format, ap);
    va_end(ap);
    for (char *p = e->text; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?'; /* one line, whatever the value was */
    }
    return ERR_CONFIG;
}

int conf_fail_nomem(struct conf_error *e)
{
    conf_fail(e, "%s", err_str(ERR_NOMEM));
    return ERR_NOMEM;
}

/* A warning that finds no room is no reason to stop. */
void conf_warn(struct conf *c, const char *text, const char *end)
{
    char *line;
    if (c->n_warnings == CONF_WARNINGS_MAX)
        return;
    if (asprintf(&line, "%s%s", text, end) < 0)
        return;
    c->warnings[c->n_warnings++] = line;
}

const char *conf_warning(const struct conf *c, size_t i)
{
    return i < c->n_warnings ? c->warnings[i] : NULL;
}

/* ---- Keys ---- */

const struct conf_key *conf_find(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->table.n; i++) {
        if (strcmp(c->table.keys[i].name, name) == 0)
            return &c->table.keys[i];
    }
    return NULL;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters must be put in, taken out, replaced or swapped with their neighbour. Names longer than CONF_KEY_MAX are far from
 * any.
 */
static size_t distance(const char *a, const char *b)
{
    size_t row[3][CONF_KEY_MAX + 1];
    size_t *before = row[0], *last = row[1], *now = row[2];
    size_t na = strlen(a), nb = strlen(b);

    if (na > CONF_KEY_MAX || nb > CONF_KEY_MAX)
        return CONF_KEY_MAX;
    for (size_t j = 0; j <= nb; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *spare = before;
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            now[j] = least(last[j - 1] + (a[i - 1] != b[j - 1]), least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[nb];
}

/* The known key that was probably meant, or NULL. */
const char *conf_nearest(const struct conf *c, const char *name)
{
    const char *best = NULL;
    size_t limit = strlen(name) / 3 + 1, best_distance = limit + 1;

    for (size_t i = 0; i < c->table.n; i++) {
        size_t d = distance(name, c->table.keys[i].name);
        if (d < best_distance) {
            best = c->table.keys[i].name;
            best_distance = d;
        }
    }
    return best;
}

static bool repeatable(const struct conf_key *k)
{
    return k->type == CONF_LIST || k->flags & CONF_REPEAT;
}

struct conf_value **conf_values(const struct conf *c, const struct conf_key *k)
{
    return &c->values[k - c->table.keys];
}

/* The first of the values with the greatest weight, or NULL. */
static struct conf_value *winner(const struct conf *c, const struct conf_key *k)
{
    struct conf_value *best = NULL;
    for (struct conf_value *v = *conf_values(c, k); v; v = v->next) {
        if (!best || v->from < best->from)
            best = v;
    }
    return best;
}

const char *conf_text(const struct conf *c, const char *key)
{
    const struct conf_key *k = conf_find(c, key);
    const struct conf_value *v = k ? winner(c, k) : NULL;
    return v ? v->text : NULL;
}

enum conf_source conf_source(const struct conf *c, const char *key)
{
    const struct conf_key *k = conf_find(c, key);
    const struct conf_value *v = k ? winner(c, k) : NULL;
    return v ? v->from : CONF_FROM_NOWHERE;
}

const char *conf_origin(const struct conf *c, const char *key)
{
    const struct conf_key *k = conf_find(c, key);
    const struct conf_value *v = k ? winner(c, k) : NULL;
    return v ? v->origin : "";
}

void conf_each(const struct conf *c, void (*visit)(void *ctx, const struct conf_key *key, enum conf_source from, const char *text),
               void *ctx)
{
    for (size_t i = 0; i < c->table.n; i++) {
        const struct conf_key *k = &c->table.keys[i];
        const struct conf_value *best = winner(c, k);

        for (const struct conf_value *v = best; v; v = v->next)
            if (v->from == best->from)
                visit(ctx, k, v->from, v->text);
    }
}

/* ---- Values ---- */

static void value_free(struct conf_value *v)
{
    if (!v)
        return;
    if (v->text)
        explicit_bzero(v->text, strlen(v->text)); /* of each key: an unreadable alias may hold anything */
    free(v->text);
    free(v->origin);
    free(v);
}

/* "file:12: key=text", "--key=text", "VARIABLE=text"; a secret's text is left out. */
static int fail_value(struct conf_error *e, const struct conf_key *k, enum conf_source from, const char *text, const char *origin,
                      const char *why)
{
    bool named = from < CONF_FROM_FILE; /* the origin is the name */
    bool hide = k->flags & CONF_SECRET;
    return conf_fail(e, "%s%s%s=%.100s: %s", origin, named ? "" : ": ", named ? "" : k->name, hide ? "..." : text, why);
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
            return true;
    }
    return false;
}

int conf_add(struct conf *c, const struct conf_key *k, enum conf_source from, const char *text, const char *origin,
             struct conf_error *e)
{
    struct conf_value **end = conf_values(c, k);
    struct conf_value *v;
    char why[128];

    if (k->flags & CONF_OPTION_ONLY && from > CONF_FROM_OPTION && from < CONF_FROM_PRESET)
        return conf_fail(e, "%s: %s is an option only", origin, k->name);
    if (!*text && !(k->flags & CONF_MAY_BE_EMPTY))
        return fail_value(e, k, from, text, origin, "a value is expected");
    if (has_control(text))
        return fail_value(e, k, from, text, origin, "no control character is expected");
    for (; *end; end = &(*end)->next) {
        if ((*end)->from == from && !repeatable(k)) {
            snprintf(why, sizeof(why), "given twice, first at %.80s", (*end)->origin);
            return fail_value(e, k, from, text, origin, why);
        }
    }
    v = calloc(1, sizeof(*v));
    if (!v)
        return conf_fail_nomem(e);
    v->from = from;
    v->text = strdup(text);
    v->origin = strdup(origin);
    if (!v->text || !v->origin) {
        value_free(v);
        return conf_fail_nomem(e);
    }
    *end = v;
    return 0;
}

/* Adds what a variable holds: for a repeatable key a value a line. The text is taken apart in place. */
int conf_add_lines(struct conf *c, const struct conf_key *k, enum conf_source from, char *text, const char *origin,
                   struct conf_error *e)
{
    char *line, *rest = text;
    int err = 0;

    if (!repeatable(k))
        return conf_add(c, k, from, text, origin, e);
    while (!err && (line = strsep(&rest, "\n"))) {
        if (*line)
            err = conf_add(c, k, from, line, origin, e);
    }
    return err;
}

int conf_put(struct conf *c, enum conf_source from, const char *key, const char *value, const char *origin, struct conf_error *e)
{
    const struct conf_key *k = conf_find(c, key);
    int err = k ? conf_add(c, k, from, value, origin, e) : conf_fail(e, "%s: unknown key %.64s", origin, key);

    if (err == ERR_CONFIG && from == CONF_FROM_ALIAS) {
        conf_warn(c, e->text, "; left alone");
        err = 0;
    }
    return err;
}

static int add_presets(struct conf *c)
{
    struct conf_error e;
    int err = 0;

    for (size_t i = 0; i < c->table.n && !err; i++) {
        const struct conf_key *k = &c->table.keys[i];
        char *copy;
        assert(confset_fits(k));
        if (!k->preset)
            continue;
        copy = strdup(k->preset);
        err = copy ? conf_add_lines(c, k, CONF_FROM_PRESET, copy, "default", &e) : ERR_NOMEM;
        free(copy);
    }
    return err;
}

int conf_new(struct conf **out, const struct conf_table *table)
{
    struct conf *c = calloc(1, sizeof(*c));
    int err;

    if (!c)
        return ERR_NOMEM;
    c->table = *table;
    c->values = calloc(table->n + 1, sizeof(struct conf_value *));
    err = c->values ? add_presets(c) : ERR_NOMEM;
    if (err)
        conf_free(&c);
    else
        *out = c;
    return err;
}

void conf_free(struct conf **c)
{
    if (!*c)
        return;
    for (size_t i = 0; (*c)->values && i < (*c)->table.n; i++) {
        for (struct conf_value *v = (*c)->values[i], *next; v; v = next) {
            next = v->next;
            value_free(v);
        }
    }
    for (size_t i = 0; i < (*c)->n_warnings; i++)
        free((*c)->warnings[i]);
    free((*c)->values);
    free(*c);
    *c = NULL;
}

/* Blanks around a text go: the new start, and the length by `*len`. */
const char *conf_trim(const char *p, size_t *len)
{
    for (; *len && strchr(" \t\r\n\v\f", p[*len - 1]); --*len)
        ;
    for (; *len && strchr(" \t\r\n\v\f", *p); --*len)
        p++;
    return p;
}

/* ---- Reading the values ---- */

static void drop(struct conf *c, const struct conf_key *k, const struct conf_value *v)
{
    struct conf_value **at = conf_values(c, k);
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
}

static int apply_value(const struct conf_key *k, void *target, const struct conf_value *v, struct conf_error *e)
{
    char expected[160], why[192];
    int err = confset(k, target, v->text, expected, sizeof(expected));

    if (!err)
        return 0;
    if (err == ERR_NOMEM)
        return conf_fail_nomem(e);
    snprintf(why, sizeof(why), "expected is %s", expected);
    return fail_value(e, k, v->from, v->text, v->origin, why);
}

static int apply_key(struct conf *c, const struct conf_key *k, void *target, struct conf_error *e)
{
    struct conf_value *v;
    bool applied = false;

    while (!applied && (v = winner(c, k))) {
        enum conf_source from = v->from;
        for (struct conf_value *next; v; v = next) {
            int err = v->from == from ? apply_value(k, target, v, e) : 0;
            next = v->next;
            applied |= v->from == from && !err;
            if (err && (err != ERR_CONFIG || from != CONF_FROM_ALIAS))
                return err;
            if (err) { /* left alone; with none left, the next in weight takes over */
                conf_warn(c, e->text, "; left alone");
                drop(c, k, v);
                value_free(v);
            }
        }
    }
    if (!applied && k->flags & CONF_REQUIRED)
        return conf_fail(e, "%s: a value is expected, but there is none", k->name);
    return 0;
}

/* A key that was given, without the other one that it needs. */
static int check_needs(const struct conf *c, const struct conf_key *k, struct conf_error *e)
{
    const struct conf_value *v = winner(c, k);
    if (!k->needs || !v || v->from == CONF_FROM_PRESET || conf_text(c, k->needs))
        return 0;
    return conf_fail(e, "%s: %s needs %s as well", v->origin, k->name, k->needs);
}

int conf_apply(struct conf *c, void *target, struct conf_error *e)
{
    int err = 0;

    for (size_t i = 0; i < c->table.n && !err; i++)
        err = apply_key(c, &c->table.keys[i], target, e);
    for (size_t i = 0; i < c->table.n && !err; i++)
        err = check_needs(c, &c->table.keys[i], e);
    if (err)
        conf_release(&c->table, target);
    return err;
}
