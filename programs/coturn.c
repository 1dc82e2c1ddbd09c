#include "programs/coturn.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "programs/config.h"
#include "programs/keys.h"

enum {
    LINES_MAX = 10000, /* a configuration, not a database */
    BITS = 8,
};

/* One line that says something. `text` is taken apart into name and value. */
struct entry {
    unsigned line;
    char *text;
    const char *name, *value; /* value NULL: none was given */
    const struct coturn_key *key;
    const struct conf_key *ours; /* NULL: nothing is carried over */
    char *carried;
    bool noted; /* something is told of it: */
    char *note;
};

struct import {
    const char *name;
    FILE *notes;
    struct entry *entry;
    size_t n;
    const struct conf_key *cut; /* of its lines turnpiked is asked about those up to entry `upto` alone; NULL: about all */
    size_t upto;
};

/* ---- What is told, in the order of the lines. Never a value: it may be a secret. ---- */

/* Without memory the line is at least named. */
static void note(struct entry *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct entry *e, const char *format, ...)
{
    va_list args;

    free(e->note);
    va_start(args, format);
    if (vasprintf(&e->note, format, args) < 0)
        e->note = NULL;
    va_end(args);
    e->noted = true;
}

static void tell(const struct import *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct entry *e = &m->entry[i];

        if (e->noted)
            fprintf(m->notes, "%s:%u: %s: %s\n", m->name, e->line, e->name, e->note ? e->note : err_str(ERR_NOMEM));
    }
}

/* ---- Reading, as coturn does: a name, then blanks or `=`, then a value, which may stand in quotes. ---- */

static void take_apart(struct entry *e)
{
    char *value = e->text + strcspn(e->text, " =\t");
    size_t n;

    e->name = e->text;
    if (!*value)
        return;
    *value++ = '\0';
    value += strspn(value, " =\t");
    n = strlen(value);
    if (value[0] == '"') {
        value++;
        n -= n > 1 && value[n - 2] == '"' ? 2 : 1;
        value[n] = '\0';
    }
    e->value = value;
}

static int add_line(struct import *m, const char *text, size_t len, unsigned line)
{
    struct entry *grown = reallocarray(m->entry, m->n + 1, sizeof(*grown));

    if (!grown)
        return ERR_NOMEM;
    m->entry = grown;
    m->entry[m->n] = (struct entry){.line = line, .text = strndup(text, len)};
    if (!m->entry[m->n].text)
        return ERR_NOMEM;
    take_apart(&m->entry[m->n++]);
    return 0;
}

static int read_lines(struct import *m, FILE *in)
{
    char *text = NULL;
    size_t cap = 0;
    int err = 0;

    for (unsigned line = 1; !err && getline(&text, &cap, in) >= 0; line++) {
        const char *start = text + strspn(text, " \t");
        size_t len = strlen(start);

        while (len && isspace((unsigned char)start[len - 1]))
            len--;
        if (len && start[0] != '#')
            err = line > LINES_MAX ? ERR_NOSPC : add_line(m, start, len, line);
    }
    if (!err && ferror(in))
        err = ERR_IO;
    if (text)
        explicit_bzero(text, cap);
    free(text);
    return err;
}

/* ---- What becomes of each. ---- */

static const struct coturn_key *find_key(const char *name)
{
    const struct coturn_key *k = coturn_keys();

    while (k->name && strcmp(k->name, name) != 0)
        k++;
    return k->name ? k : NULL;
}

static const struct conf_key *find_ours(const char *name)
{
    const struct conf_table *t = keys_table();

    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->keys[i].name, name) == 0)
            return &t->keys[i];
    return NULL;
}

/* A switch without a value is on. */
static bool is_on(const struct entry *e)
{
    return !e->value || !e->value[0] || (!strchr("0fFnN", e->value[0]) && strcasecmp(e->value, "off") != 0);
}

static char *in_bits(struct entry *e)
{
    uint64_t bytes;
    char *text;

    if (conf_read_uint(&bytes, e->value, 0, UINT64_MAX / BITS)) {
        note(e, "not carried over: a number of bytes a second is expected");
        return NULL;
    }
    if (bytes)
        note(e, "%llu bytes a second have become bits", (unsigned long long)bytes);
    return asprintf(&text, "%llu", (unsigned long long)bytes * BITS) < 0 ? NULL : text;
}

static char *log_file(struct entry *e)
{
    if (strcmp(e->value, "stdout") != 0 && strcmp(e->value, "-") != 0 && strcmp(e->value, "syslog") != 0)
        return strdup(e->value);
    note(e, "not carried over: without log-file, lines go to standard error, and the service manager keeps them");
    return NULL;
}

/* Our value for this line; NULL: there is none, and it has been told why. */
static char *convert(struct entry *e)
{
    const struct coturn_key *k = e->key;

    switch (k->how) {
    case COTURN_SET:
    case COTURN_SWITCH:
        if (!is_on(e))
            note(e, "nothing to carry over: it is off");
        else if (k->how == COTURN_SET)
            return strdup(k->value);
        else
            note(e, "not carried over: %s", k->why);
        return NULL;
    case COTURN_NONE:
        note(e, "not carried over: %s", k->why);
        return NULL;
    case COTURN_COPY:
    case COTURN_BITS:
    case COTURN_THREADS:
    case COTURN_LOG:
        break;
    }
    if (!e->value || !e->value[0]) {
        note(e, "not carried over: it has no value");
        return NULL;
    }
    if (k->how == COTURN_BITS)
        return in_bits(e);
    if (k->how == COTURN_LOG)
        return log_file(e);
    return strdup(k->how == COTURN_THREADS && strcmp(e->value, "0") == 0 ? "1" : e->value);
}

/* It is not carried over after all. */
static void withdraw(struct entry *e)
{
    if (e->carried)
        explicit_bzero(e->carried, strlen(e->carried));
    free(e->carried);
    e->carried = NULL;
    e->ours = NULL;
}

static void convert_all(const struct import *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct entry *e = &m->entry[i];

        e->key = find_key(e->name);
        if (!e->key) {
            note(e, "not carried over: coturn 4.6 has no such key");
            continue;
        }
        e->carried = convert(e);
        if (e->carried)
            e->ours = find_ours(e->key->ours ? e->key->ours : e->key->name);
    }
}

static bool may_repeat(const struct conf_key *k)
{
    return k->type == CONF_LIST || (k->flags & CONF_REPEAT);
}

/* Of what may stand once the last one wins, as with coturn; the same value once more says nothing; and a user has one password. */
static bool replaces(const struct entry *late, const struct entry *early)
{
    size_t name = strcspn(early->carried, ":");

    if (late->ours != early->ours)
        return false;
    if (strcmp(late->ours->name, "user") == 0)
        return strncmp(late->carried, early->carried, name + 1) == 0;
    return !may_repeat(late->ours) || strcmp(late->carried, early->carried) == 0;
}

static void drop_repeated(const struct import *m)
{
    for (size_t i = 0; i < m->n; i++)
        for (size_t k = i + 1; k < m->n && m->entry[i].ours; k++)
            if (m->entry[k].ours && replaces(&m->entry[k], &m->entry[i])) {
                note(&m->entry[i], "not carried over: line %u says it again, and the last one is in force", m->entry[k].line);
                withdraw(&m->entry[i]);
            }
}

/* ---- Would turnpiked take it? It is asked by the variables that stand for the keys. ---- */

static void variable_of(char *out, size_t cap, const char *key)
{
    int n = snprintf(out, cap, "%s", keys_table()->env_prefix);

    for (size_t i = (size_t)n; *key && i + 1 < cap; key++, i++) {
        out[i] = *key == '-' ? '_' : (char)toupper((unsigned char)*key);
        out[i + 1] = '\0';
    }
}

/* TURNPIKE_KEY=VALUES of all that is carried for it, a line each, with the caller's `*size`; `*text` NULL: nothing is. */
static int add_variable(const struct import *m, const struct conf_key *key, char **text, size_t *size)
{
    char name[64];
    FILE *f = NULL;

    *text = NULL;
    variable_of(name, sizeof(name), key->name);
    for (size_t i = 0; i < m->n; i++) {
        if (m->entry[i].ours != key || !m->entry[i].carried[0] || (key == m->cut && i > m->upto))
            continue;
        if (f)
            fputc('\n', f);
        else if ((f = open_memstream(text, size)))
            fprintf(f, "%s=", name);
        else
            return ERR_NOMEM;
        fputs(m->entry[i].carried, f);
    }
    return f && fclose(f) ? ERR_NOMEM : 0;
}

static int load(char *const envp[], struct conf_error *e)
{
    char program[] = "turnpiked", option[] = "--config=/dev/null", *argv[] = {program, option, NULL};
    struct config *c = NULL;
    int err = config_load(&c, 2, argv, envp, e);

    config_free(&c);
    return err;
}

static int check(const struct import *m, struct conf_error *e)
{
    const struct conf_table *t = keys_table();
    char **envp = calloc(t->n + 1, sizeof(*envp));
    size_t n = 0, size;
    int err = envp ? 0 : ERR_NOMEM;

    for (size_t i = 0; i < t->n && !err; i++) {
        err = add_variable(m, &t->keys[i], &envp[n], &size);
        n += !err && envp[n];
    }
    if (!err)
        err = load(envp, e);
    for (size_t i = 0; i < n; i++) {
        explicit_bzero(envp[i], strlen(envp[i]));
        free(envp[i]);
    }
    free(envp);
    return err;
}

static void refuse(struct entry *e, const char *text)
{
    const char *why = strstr(text, ": ");

    note(e, "not carried over: %s", why ? why + 2 : text);
    withdraw(e);
}

static bool begins_with(const char *text, const char *name, const char *behind)
{
    size_t n = strlen(name);

    return strncmp(text, name, n) == 0 && text[n] && strchr(behind, text[n]);
}

/* Does an error begin with the key, by its name or its variable? `behind`: what may follow the latter. */
static bool blames(const struct conf_error *e, const struct conf_key *key, const char *behind)
{
    char variable[64];

    variable_of(variable, sizeof(variable), key->name);
    return begins_with(e->text, variable, behind) || begins_with(e->text, key->name, ":=");
}

/* Out with a value that is none, whatever stands beside it: such an error has the value behind the variable, and not another key. */
static int judge_alone(struct entry *entry)
{
    char name[64], *envp[2] = {NULL};
    struct conf_error e;
    int err;

    variable_of(name, sizeof(name), entry->ours->name);
    if (asprintf(&envp[0], "%s=%s", name, entry->carried) < 0)
        return ERR_NOMEM;
    err = load(envp, &e);
    explicit_bzero(envp[0], strlen(envp[0]));
    free(envp[0]);
    if (err == ERR_CONFIG && blames(&e, entry->ours, "="))
        refuse(entry, e.text);
    return err == ERR_CONFIG ? 0 : err;
}

/* Of the lines of a key that an error begins with, the first that is too much: those before it are taken. NULL: there is no such line. */
static struct entry *blamed(struct import *m, const struct conf_error *e)
{
    size_t low = 0, high = m->n;
    struct conf_error part;

    while (high > 0 && !(m->entry[high - 1].ours && blames(e, m->entry[high - 1].ours, ":=")))
        high--;
    if (!high)
        return NULL;
    m->cut = m->entry[--high].ours;
    while (m->entry[low].ours != m->cut)
        low++;
    while (low < high) {
        m->upto = low + (high - low) / 2;
        if (check(m, &part) == ERR_CONFIG && blames(&part, m->cut, ":="))
            high = m->upto;
        else
            low = m->upto + 1;
    }
    m->cut = NULL;
    return &m->entry[high];
}

/* Takes out what turnpiked refuses, line by line, until it takes the rest. */
static int drop_refused(struct import *m)
{
    struct conf_error e;
    int err = check(m, &e);

    if (err != ERR_CONFIG)
        return err;
    err = 0;
    for (size_t i = 0; i < m->n && !err; i++)
        if (m->entry[i].ours && m->entry[i].carried[0])
            err = judge_alone(&m->entry[i]);
    while (!err && (err = check(m, &e)) == ERR_CONFIG) {
        struct entry *bad = blamed(m, &e);

        if (!bad) {
            fprintf(m->notes, "%s: %s\n", m->name, e.text);
            return err;
        }
        refuse(bad, e.text);
        err = 0;
    }
    return err;
}

/* ---- Out. ---- */

static bool has(const struct import *m, const char *ours)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->entry[i].ours && strcmp(m->entry[i].ours->name, ours) == 0)
            return true;
    return false;
}

/* What no line of the file stands for. */
static void remark(const struct import *m)
{
    if (!has(m, "user") && !has(m, "static-auth-secret") && !has(m, "redis"))
        fprintf(m->notes, "%s: nobody has credentials yet: make some with turnpikectl user add, or token issue\n", m->name);
    if (has(m, "user") && !has(m, "realm"))
        fprintf(m->notes, "%s: there is no realm: it is this host's name, and keys that begin with 0x must have been made for it\n",
                m->name);
    if (has(m, "allowed-peer-ip") && has(m, "denied-peer-ip"))
        fprintf(m->notes,
                "%s: where allowed-peer-ip and denied-peer-ip overlap, the longer prefix decides, not always the permission\n",
                m->name);
    fprintf(m->notes, "%s: private and other special ranges are denied unless allowed-peer-ip opens them; coturn allowed them\n",
            m->name);
}

static void write_out(const struct import *m, FILE *out)
{
    fprintf(out, "# turnpiked's configuration, from coturn's %s\n", m->name);
    for (size_t i = 0; i < m->n; i++) {
        const struct entry *e = &m->entry[i];

        if (!e->ours)
            continue;
        if (strpbrk(e->carried, " \t#\""))
            fprintf(out, "%s=\"%s\"\n", e->ours->name, e->carried);
        else
            fprintf(out, "%s=%s\n", e->ours->name, e->carried);
    }
}

int coturn_import(FILE *in, const char *name, FILE *out, FILE *notes)
{
    struct import m = {.name = name, .notes = notes};
    int err = read_lines(&m, in);

    if (!err) {
        convert_all(&m);
        drop_repeated(&m);
        err = drop_refused(&m);
        tell(&m);
    }
    if (!err) {
        write_out(&m, out);
        remark(&m);
    }
    for (size_t i = 0; i < m.n; i++) {
        withdraw(&m.entry[i]);
        explicit_bzero(m.entry[i].text, strlen(m.entry[i].text)); /* its name; */
        if (m.entry[i].value)                                     /* and what stood behind that */
            explicit_bzero(m.entry[i].text + (m.entry[i].value - m.entry[i].text), strlen(m.entry[i].value));
        free(m.entry[i].text);
        free(m.entry[i].note);
    }
    free(m.entry);
    return err;
}
