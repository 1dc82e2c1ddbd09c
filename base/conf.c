#include "base/conf.h"

#include "base/confset.h"
#include "base/err.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    INCLUDE_DEPTH = 8,        /* files inside files; more is a mistake */
    FILE_MAX_BYTES = 1 << 20, /* a configuration, not a database: users live in the store */
    LINE_MAX_BYTES = 4096,
    KEY_MAX = 64,
    WARNINGS_MAX = 32,
};

struct value {
    struct value *next;
    enum conf_source from;
    char *text;
    char *origin;
};

struct conf {
    struct conf_table table;
    struct value **values; /* one list a key, in the order of arrival */
    char *warnings[WARNINGS_MAX];
    size_t n_warnings;
};

/* The files that are being read, the innermost first. */
struct frame {
    const struct frame *outer;
    const char *path;
    const char *where; /* "file:line" of the include, or NULL */
    dev_t dev;
    ino_t ino;
    unsigned depth;
};

/* ---- Errors ---- */

__attribute__((format(printf, 2, 3))) static int fail(struct conf_error *e, const char *format, ...)
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

static int fail_nomem(struct conf_error *e)
{
    fail(e, "%s", err_str(ERR_NOMEM));
    return ERR_NOMEM;
}

/* A warning that finds no room is no reason to stop. */
static void warn(struct conf *c, const char *text, const char *end)
{
    char *line;
    if (c->n_warnings == WARNINGS_MAX)
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

static const struct conf_key *find(const struct conf *c, const char *name)
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

/* How many letters must be put in, taken out, replaced or swapped with their neighbour. Names longer than KEY_MAX are far from any.
 */
static size_t distance(const char *a, const char *b)
{
    size_t row[3][KEY_MAX + 1];
    size_t *before = row[0], *last = row[1], *now = row[2];
    size_t na = strlen(a), nb = strlen(b);

    if (na > KEY_MAX || nb > KEY_MAX)
        return KEY_MAX;
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
static const char *nearest(const struct conf *c, const char *name)
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

static struct value **values_of(const struct conf *c, const struct conf_key *k)
{
    return &c->values[k - c->table.keys];
}

/* The first of the values with the greatest weight, or NULL. */
static struct value *winner(const struct conf *c, const struct conf_key *k)
{
    struct value *best = NULL;
    for (struct value *v = *values_of(c, k); v; v = v->next) {
        if (!best || v->from < best->from)
            best = v;
    }
    return best;
}

const char *conf_text(const struct conf *c, const char *key)
{
    const struct conf_key *k = find(c, key);
    const struct value *v = k ? winner(c, k) : NULL;
    return v ? v->text : NULL;
}

enum conf_source conf_source(const struct conf *c, const char *key)
{
    const struct conf_key *k = find(c, key);
    const struct value *v = k ? winner(c, k) : NULL;
    return v ? v->from : CONF_FROM_NOWHERE;
}

const char *conf_origin(const struct conf *c, const char *key)
{
    const struct conf_key *k = find(c, key);
    const struct value *v = k ? winner(c, k) : NULL;
    return v ? v->origin : "";
}

/* ---- Values ---- */

static void value_free(struct value *v)
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
    return fail(e, "%s%s%s=%.100s: %s", origin, named ? "" : ": ", named ? "" : k->name, hide ? "..." : text, why);
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
            return true;
    }
    return false;
}

static int add(struct conf *c, const struct conf_key *k, enum conf_source from, const char *text, const char *origin,
               struct conf_error *e)
{
    struct value **end = values_of(c, k);
    struct value *v;
    char why[128];

    if (k->flags & CONF_OPTION_ONLY && from > CONF_FROM_OPTION && from < CONF_FROM_PRESET)
        return fail(e, "%s: %s is an option only", origin, k->name);
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
        return fail_nomem(e);
    v->from = from;
    v->text = strdup(text);
    v->origin = strdup(origin);
    if (!v->text || !v->origin) {
        value_free(v);
        return fail_nomem(e);
    }
    *end = v;
    return 0;
}

/* Adds what a variable holds: for a repeatable key a value a line. The text is taken apart in place. */
static int add_lines(struct conf *c, const struct conf_key *k, enum conf_source from, char *text, const char *origin,
                     struct conf_error *e)
{
    char *line, *rest = text;
    int err = 0;

    if (!repeatable(k))
        return add(c, k, from, text, origin, e);
    while (!err && (line = strsep(&rest, "\n"))) {
        if (*line)
            err = add(c, k, from, line, origin, e);
    }
    return err;
}

int conf_put(struct conf *c, enum conf_source from, const char *key, const char *value, const char *origin, struct conf_error *e)
{
    const struct conf_key *k = find(c, key);
    int err = k ? add(c, k, from, value, origin, e) : fail(e, "%s: unknown key %.64s", origin, key);

    if (err == ERR_CONFIG && from == CONF_FROM_ALIAS) {
        warn(c, e->text, "; left alone");
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
        err = copy ? add_lines(c, k, CONF_FROM_PRESET, copy, "default", &e) : ERR_NOMEM;
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
    c->values = calloc(table->n + 1, sizeof(struct value *));
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
        for (struct value *v = (*c)->values[i], *next; v; v = next) {
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

/* ---- Options ---- */

static void env_name(const struct conf *c, const char *key, char *out, size_t cap)
{
    int len = snprintf(out, cap, "%s%s", c->table.env_prefix ? c->table.env_prefix : "", key);
    for (int i = 0; i < len && (size_t)i < cap; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static int fail_secret(const struct conf *c, const struct conf_key *k, struct conf_error *e)
{
    char variable[2 * KEY_MAX];
    env_name(c, k->name, variable, sizeof(variable));
    return fail(
        e,
        "--%s: refused, because everybody on this machine can read a process's arguments; set it as %s in the environment or "
        "as %s= in the file",
        k->name, variable, k->name);
}

static int fail_option(const struct conf *c, const char *name, struct conf_error *e)
{
    const char *near = nearest(c, name);
    return fail(e, "--%.64s: unknown option%s%s%s", name, near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
}

/* One option at argv[*at], whose value may be the next argument. */
static int option(struct conf *c, int argc, char *const argv[], int *at, struct conf_error *e)
{
    const char *arg = argv[*at] + 2;
    const char *value = strchr(arg, '=');
    const struct conf_key *k;
    char name[KEY_MAX + 1], origin[KEY_MAX + 3];

    snprintf(name, sizeof(name), "%.*s", (int)(value ? least((size_t)(value - arg), KEY_MAX) : KEY_MAX), arg);
    k = find(c, name);
    if (!k)
        return fail_option(c, name, e);
    if (k->flags & CONF_SECRET)
        return fail_secret(c, k, e);
    if (value)
        value++;
    else if (k->type == CONF_BOOL)
        value = "yes";
    else if (*at + 1 < argc && strncmp(argv[*at + 1], "--", 2) != 0)
        value = argv[++*at];
    else
        return fail(e, "--%s: a value is expected", name);
    snprintf(origin, sizeof(origin), "--%s", name);
    return add(c, k, CONF_FROM_OPTION, value, origin, e);
}

int conf_options(struct conf *c, int argc, char *const argv[], int *first, struct conf_error *e)
{
    int i, err = 0;

    for (i = 1; i < argc && !err; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (strncmp(argv[i], "--", 2) != 0)
            break;
        err = option(c, argc, argv, &i, e);
    }
    if (err)
        return err;
    if (first)
        *first = i;
    else if (i < argc && argv[i][0] == '-')
        return fail(e, "%.64s: unknown option; options begin with two dashes", argv[i]);
    else if (i < argc)
        return fail(e, "%.64s: unexpected argument", argv[i]);
    return 0;
}

/* ---- Environment ---- */

/* Blanks around a text go: the new start, and the length by `*len`. */
static const char *trim(const char *p, size_t *len)
{
    for (; *len && strchr(" \t\r\n\v\f", p[*len - 1]); --*len)
        ;
    for (; *len && strchr(" \t\r\n\v\f", *p); --*len)
        p++;
    return p;
}

static int variable_value(struct conf *c, const struct conf_key *k, enum conf_source from, const char *name, const char *value,
                          struct conf_error *e)
{
    size_t len = strlen(value);
    const char *start = trim(value, &len);
    char *copy;
    int err = 0;

    if (!len)
        return 0;
    for (const struct value *v = *values_of(c, k); v; v = v->next) {
        if (v->from == from && strcmp(v->origin, name) == 0)
            return 0; /* a variable that stands in the environment twice: getenv(3) knows the first, too */
    }
    copy = strndup(start, len);
    if (!copy)
        return fail_nomem(e);
    err = from == CONF_FROM_ALIAS ? conf_put(c, from, k->name, copy, name, e) : add_lines(c, k, from, copy, name, e);
    explicit_bzero(copy, len);
    free(copy);
    return err;
}

static void warn_variable(struct conf *c, const char *name)
{
    char key[KEY_MAX + 1], text[4 * KEY_MAX];
    const char *near, *p = name + strlen(c->table.env_prefix);
    size_t n = 0;

    for (; *p && n < KEY_MAX; p++)
        key[n++] = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    key[n] = '\0';
    near = nearest(c, key);
    snprintf(text, sizeof(text), "%.100s: no such key%s%s%s", name, near ? " (nearest: " : "", near ? near : "", near ? ")" : "");
    warn(c, text, "; left alone");
}

static int variable(struct conf *c, const char *name, const char *value, struct conf_error *e)
{
    bool ours = c->table.env_prefix && strncmp(name, c->table.env_prefix, strlen(c->table.env_prefix)) == 0;
    bool known = false;
    char want[2 * KEY_MAX];
    int err = 0;

    for (size_t i = 0; i < c->table.n && !err; i++) {
        const struct conf_key *k = &c->table.keys[i];
        env_name(c, k->name, want, sizeof(want));
        if (ours && !(k->flags & CONF_OPTION_ONLY) && strcmp(name, want) == 0) {
            known = true;
            err = variable_value(c, k, CONF_FROM_ENVIRONMENT, name, value, e);
        } else if (k->alias && strcmp(name, k->alias) == 0) {
            known = true;
            err = variable_value(c, k, CONF_FROM_ALIAS, name, value, e);
        }
    }
    if (ours && !known)
        warn_variable(c, name);
    return err;
}

int conf_environment(struct conf *c, char *const envp[], struct conf_error *e)
{
    char name[2 * KEY_MAX];
    int err = 0;

    for (; *envp && !err; envp++) {
        const char *value = strchr(*envp, '=');
        if (!value || (size_t)(value - *envp) >= sizeof(name))
            continue; /* longer than any of ours */
        snprintf(name, sizeof(name), "%.*s", (int)(value - *envp), *envp);
        err = variable(c, name, value + 1, e);
    }
    return err;
}

/* ---- File ---- */

static int read_file(struct conf *c, const char *path, const struct frame *outer, const char *where, bool may_be_missing,
                     struct conf_error *e);

static int include(struct conf *c, const char *file, const struct frame *f, const char *where, struct conf_error *e)
{
    const char *slash;
    char *path;
    int err;

    if (!f)
        return fail(e, "%s: include=%.100s: only a file can include another", where, file);
    if (!*file)
        return fail(e, "%s: include=: a file is expected", where);
    slash = *file == '/' ? NULL : strrchr(f->path, '/');
    if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - f->path) : 0, f->path, file) < 0)
        return fail_nomem(e);
    err = read_file(c, path, f, where, false, e);
    free(path);
    return err;
}

/* A blank and then a `#`. */
static bool has_comment(const char *p, size_t len)
{
    for (size_t i = 1; i < len; i++) {
        if (p[i] == '#' && (p[i - 1] == ' ' || p[i - 1] == '\t'))
            return true;
    }
    return false;
}

/* The part behind `=`, cleaned. NULL and a reason in `why`. */
static const char *file_value(const char *p, size_t *len, const char **why)
{
    const char *raw = p;
    size_t raw_len = *len;

    p = trim(p, len);
    if (*len && *p == '"') {
        if (*len < 2 || p[*len - 1] != '"') {
            *why = "a closing quote at the end is expected";
            return NULL;
        }
        *len -= 2;
        return p + 1;
    }
    if (has_comment(raw, raw_len)) {
        *why = "a comment needs a line of its own (or the value needs double quotes)";
        return NULL;
    }
    return p;
}

/* A line without `=`: what it says is shown only when it looks like a key, since it may be a piece of a secret. */
static int fail_line(const struct conf *c, const char *line, const char *where, struct conf_error *e)
{
    const struct conf_key *k = find(c, line);
    const char *near = nearest(c, line);

    if (k && k->type == CONF_BOOL)
        return fail(e, "%s: %s: key=value is expected; write %s=yes", where, line, line);
    if (near)
        return fail(e, "%s: %.64s: key=value is expected (nearest key: %s)", where, line, near);
    return fail(e, "%s: key=value is expected", where);
}

static int fail_key(const struct conf *c, const char *key, const char *where, struct conf_error *e)
{
    const char *near = nearest(c, key);
    return fail(e, "%s: %.64s: unknown key%s%s%s", where, key, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* One trimmed line, neither blank nor a comment, in a buffer that may be taken apart. */
static int assignment(struct conf *c, char *line, const struct frame *f, const char *where, struct conf_error *e)
{
    char *equals = strchr(line, '=');
    const struct conf_key *k;
    const char *value, *why = "";
    size_t key_len, value_len;

    if (!equals)
        return fail_line(c, line, where, e);
    key_len = (size_t)(equals - line);
    trim(line, &key_len);
    line[key_len] = '\0';
    k = find(c, line);
    if (!k && strcmp(line, "include") != 0)
        return fail_key(c, line, where, e);
    value_len = strlen(equals + 1);
    value = file_value(equals + 1, &value_len, &why);
    if (!value)
        return fail(e, "%s: %s: %s", where, line, why);
    equals[1 + (value - (equals + 1)) + (ptrdiff_t)value_len] = '\0';
    return k ? add(c, k, CONF_FROM_FILE, value, where, e) : include(c, value, f, where, e);
}

static int lines(struct conf *c, const char *name, const char *text, size_t len, const struct frame *f, struct conf_error *e)
{
    char line[LINE_MAX_BYTES], *where;
    const char *end = text + len;
    size_t where_cap = strlen(name) + 16;
    unsigned number = 0;
    int err = 0;

    where = malloc(where_cap);
    if (!where)
        return fail_nomem(e);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3; /* a byte order mark, as some editors leave it */
    while (text < end && !err) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((newline ? newline : end) - text);
        const char *start;

        snprintf(where, where_cap, "%s:%u", name, ++number);
        if (n >= sizeof(line)) {
            err = fail(e, "%s: a line of at most %d bytes is expected", where, LINE_MAX_BYTES - 1);
        } else if (memchr(text, '\0', n)) {
            err = fail(e, "%s: no NUL byte is expected", where);
        } else {
            start = trim(text, &n);
            memcpy(line, start, n);
            line[n] = '\0';
            if (n && *line != '#')
                err = assignment(c, line, f, where, e);
        }
        text = newline ? newline + 1 : end;
    }
    explicit_bzero(line, sizeof(line));
    free(where);
    return err;
}

int conf_buffer(struct conf *c, const char *name, const char *text, size_t len, struct conf_error *e)
{
    return len ? lines(c, name, text, len, NULL, e) : 0;
}

/* All bytes of a file in `buf`, which has FILE_MAX_BYTES + 1. The length, or a negated errno. */
static ssize_t slurp(int fd, char *buf)
{
    size_t len = 0;
    while (len <= FILE_MAX_BYTES) {
        ssize_t n = read(fd, buf + len, FILE_MAX_BYTES + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return (ssize_t)len;
        len += (size_t)n;
    }
    return -EFBIG;
}

static bool in_circle(const struct frame *f, const struct stat *st)
{
    for (; f; f = f->outer) {
        if (f->dev == st->st_dev && f->ino == st->st_ino)
            return true;
    }
    return false;
}

static int read_file(struct conf *c, const char *path, const struct frame *outer, const char *where, bool may_be_missing,
                     struct conf_error *e)
{
    struct frame f = {.outer = outer, .path = path, .depth = outer ? outer->depth + 1 : 1};
    const char *colon = where ? ": " : "";
    struct stat st;
    char *buf = NULL;
    ssize_t len;
    int err = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    where = where ? where : "";
    if (fd < 0 && may_be_missing && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st)) {
        err = fail(e, "%s%s%.200s: cannot be opened: %s", where, colon, path, strerror(errno));
        goto out;
    }
    if (in_circle(outer, &st)) {
        err = fail(e, "%s%s%.200s: includes itself", where, colon, path);
        goto out;
    }
    if (f.depth > INCLUDE_DEPTH) {
        err = fail(e, "%s%s%.200s: included more than %d deep", where, colon, path, INCLUDE_DEPTH);
        goto out;
    }
    f.dev = st.st_dev;
    f.ino = st.st_ino;
    buf = malloc(FILE_MAX_BYTES + 1);
    if (!buf) {
        err = fail_nomem(e);
        goto out;
    }
    len = slurp(fd, buf);
    if (len < 0)
        err = fail(e, "%s%s%.200s: cannot be read: %s", where, colon, path, strerror((int)-len));
    else
        err = lines(c, path, buf, (size_t)len, &f, e);
    explicit_bzero(buf, len > 0 ? (size_t)len : 0);
out:
    free(buf);
    if (fd >= 0)
        close(fd);
    return err;
}

int conf_file(struct conf *c, const char *path, struct conf_error *e)
{
    return read_file(c, path, NULL, NULL, false, e);
}

int conf_load(struct conf *c, int argc, char *const argv[], char *const envp[], const char *file_key, int *first,
              struct conf_error *e)
{
    const char *path;
    int err = conf_options(c, argc, argv, first, e);

    if (!err)
        err = conf_environment(c, envp, e);
    path = !err && file_key ? conf_text(c, file_key) : NULL;
    if (path && *path)
        err = read_file(c, path, NULL, NULL, conf_source(c, file_key) == CONF_FROM_PRESET, e);
    return err;
}

/* ---- Reading the values ---- */

static void drop(struct conf *c, const struct conf_key *k, const struct value *v)
{
    struct value **at = values_of(c, k);
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
}

static int apply_value(const struct conf_key *k, void *target, const struct value *v, struct conf_error *e)
{
    char expected[160], why[192];
    int err = confset(k, target, v->text, expected, sizeof(expected));

    if (!err)
        return 0;
    if (err == ERR_NOMEM)
        return fail_nomem(e);
    snprintf(why, sizeof(why), "expected is %s", expected);
    return fail_value(e, k, v->from, v->text, v->origin, why);
}

static int apply_key(struct conf *c, const struct conf_key *k, void *target, struct conf_error *e)
{
    struct value *v;
    bool applied = false;

    while (!applied && (v = winner(c, k))) {
        enum conf_source from = v->from;
        for (struct value *next; v; v = next) {
            int err = v->from == from ? apply_value(k, target, v, e) : 0;
            next = v->next;
            applied |= v->from == from && !err;
            if (err && (err != ERR_CONFIG || from != CONF_FROM_ALIAS))
                return err;
            if (err) { /* left alone; with none left, the next in weight takes over */
                warn(c, e->text, "; left alone");
                drop(c, k, v);
                value_free(v);
            }
        }
    }
    if (!applied && k->flags & CONF_REQUIRED)
        return fail(e, "%s: a value is expected, but there is none", k->name);
    return 0;
}

/* A key that was given, without the other one that it needs. */
static int check_needs(const struct conf *c, const struct conf_key *k, struct conf_error *e)
{
    const struct value *v = winner(c, k);
    if (!k->needs || !v || v->from == CONF_FROM_PRESET || conf_text(c, k->needs))
        return 0;
    return fail(e, "%s: %s needs %s as well", v->origin, k->name, k->needs);
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
