/* Values from files: lines, quotes, comments, includes. */
#include "base/confparts.h"
#include "base/err.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    INCLUDE_DEPTH = 8,        /* files inside files; more is a mistake */
    FILE_MAX_BYTES = 1 << 20, /* a configuration, not a database: users live in the store */
    LINE_MAX_BYTES = 4096,
};

/* The files that are being read, the innermost first. */
struct frame {
    const struct frame *outer;
    const char *path;
    dev_t dev;
    ino_t ino;
    unsigned depth;
};

static int read_file(struct conf *c, const char *path, const struct frame *outer, const char *where, bool may_be_missing,
                     struct conf_error *e);

static int include(struct conf *c, const char *file, const struct frame *f, const char *where, struct conf_error *e)
{
    const char *slash;
    char *path;
    int err;

    if (!f)
        return conf_fail(e, "%s: include=%.100s: only a file can include another", where, file);
    if (!*file)
        return conf_fail(e, "%s: include=: a file is expected", where);
    slash = *file == '/' ? NULL : strrchr(f->path, '/');
    if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - f->path) : 0, f->path, file) < 0)
        return conf_fail_nomem(e);
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

    p = conf_trim(p, len);
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
    const struct conf_key *k = conf_find(c, line);
    const char *near = conf_nearest(c, line);

    if (k && k->type == CONF_BOOL)
        return conf_fail(e, "%s: %s: key=value is expected; write %s=yes", where, line, line);
    if (near)
        return conf_fail(e, "%s: %.64s: key=value is expected (nearest key: %s)", where, line, near);
    return conf_fail(e, "%s: key=value is expected", where);
}

static int fail_key(const struct conf *c, const char *key, const char *where, struct conf_error *e)
{
    const char *near = conf_nearest(c, key);
    return conf_fail(e, "%s: %.64s: unknown key%s%s%s", where, key, near ? "; did you mean " : "", near ? near : "",
                     near ? "?" : "");
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
    conf_trim(line, &key_len);
    line[key_len] = '\0';
    k = conf_find(c, line);
    if (!k && strcmp(line, "include") != 0)
        return fail_key(c, line, where, e);
    value_len = strlen(equals + 1);
    value = file_value(equals + 1, &value_len, &why);
    if (!value)
        return conf_fail(e, "%s: %s: %s", where, line, why);
    equals[1 + (value - (equals + 1)) + (ptrdiff_t)value_len] = '\0';
    return k ? conf_add(c, k, CONF_FROM_FILE, value, where, e) : include(c, value, f, where, e);
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
        return conf_fail_nomem(e);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3; /* a byte order mark, as some editors leave it */
    while (text < end && !err) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((newline ? newline : end) - text);
        const char *start;

        snprintf(where, where_cap, "%s:%u", name, ++number);
        if (n >= sizeof(line)) {
            err = conf_fail(e, "%s: a line of at most %d bytes is expected", where, LINE_MAX_BYTES - 1);
        } else if (memchr(text, '\0', n)) {
            err = conf_fail(e, "%s: no NUL byte is expected", where);
        } else {
            start = conf_trim(text, &n);
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
        err = conf_fail(e, "%s%s%.200s: cannot be opened: %s", where, colon, path, strerror(errno));
        goto out;
    }
    if (in_circle(outer, &st)) {
        err = conf_fail(e, "%s%s%.200s: includes itself", where, colon, path);
        goto out;
    }
    if (f.depth > INCLUDE_DEPTH) {
        err = conf_fail(e, "%s%s%.200s: included more than %d deep", where, colon, path, INCLUDE_DEPTH);
        goto out;
    }
    f.dev = st.st_dev;
    f.ino = st.st_ino;
    buf = malloc(FILE_MAX_BYTES + 1);
    if (!buf) {
        err = conf_fail_nomem(e);
        goto out;
    }
    len = slurp(fd, buf);
    if (len < 0)
        err = conf_fail(e, "%s%s%.200s: cannot be read: %s", where, colon, path, strerror((int)-len));
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

int conffile_read(struct conf *c, const char *path, bool may_be_missing, struct conf_error *e)
{
    return read_file(c, path, NULL, NULL, may_be_missing, e);
}
