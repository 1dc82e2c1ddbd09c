#include "auth/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/random.h"

enum {
    FILE_MAX = 1 << 20, /* bytes: thousands of users; more belongs into a database */
    RANDOM_LEN = STORE_PASSWORD_LEN / 4 * 3,
};

static const char HEADER[] = "# Credentials that Turnpike generated itself. Written by turnpiked; do not edit while it runs.\n";

struct credential {
    struct credential *next;
    char *name;
    char *password;
};

struct store {
    char dir[STORE_PATH_MAX];
    char path[STORE_PATH_MAX];
    struct credential *first;
};

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void free_credential(struct credential *c)
{
    free(c->name);
    wipe(c->password);
    free(c);
}

static const struct credential *find(const struct store *s, const char *name)
{
    const struct credential *c = s->first;

    while (c && strcmp(c->name, name) != 0)
        c = c->next;
    return c;
}

/* Appended, so that the file keeps its order. */
static int append(struct store *s, const char *name, size_t name_len, const char *password)
{
    struct credential *c = calloc(1, sizeof(*c)), **end = &s->first;

    if (!c)
        return ERR_NOMEM;
    c->name = strndup(name, name_len);
    c->password = strdup(password);
    if (!c->name || !c->password) {
        free_credential(c);
        return ERR_NOMEM;
    }
    while (*end)
        end = &(*end)->next;
    *end = c;
    return 0;
}

static void remove_last(struct store *s)
{
    struct credential **end = &s->first;

    assert(*end);
    while ((*end)->next)
        end = &(*end)->next;
    free_credential(*end);
    *end = NULL;
}

static bool name_fits(const char *name, size_t len)
{
    if (len == 0 || len > STUN_USERNAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7F || name[i] == ':')
            return false;
    return true;
}

static int parse_line(struct store *s, const char *line)
{
    static const char key[] = "user=";

    if (line[0] == '\0' || line[0] == '#')
        return 0;
    if (strncmp(line, key, sizeof(key) - 1) != 0)
        return ERR_MALFORMED;
    const char *name = line + sizeof(key) - 1, *colon = strchr(name, ':');
    if (!colon || colon[1] == '\0' || !name_fits(name, (size_t)(colon - name)))
        return ERR_MALFORMED;
    return append(s, name, (size_t)(colon - name), colon + 1);
}

/* Reads all of `fd` and cuts it into lines in place. */
static int parse_file(struct store *s, int fd, unsigned *line)
{
    char *text = malloc(FILE_MAX + 1);
    size_t len = 0;
    int err = 0;

    if (!text)
        return ERR_NOMEM;
    for (;;) {
        ssize_t n = read(fd, text + len, FILE_MAX + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = -errno;
        if (n <= 0)
            break;
        len += (size_t)n;
        if (len > FILE_MAX) {
            err = ERR_NOSPC;
            goto out;
        }
    }
    text[len] = '\0';
    if (!err && strlen(text) != len)
        err = ERR_MALFORMED; /* a NUL: not ours */

    unsigned number = 0;
    for (char *p = text, *next; !err && p < text + len; p = next) {
        char *end = strchrnul(p, '\n');
        next = end + 1;
        *end = '\0';
        number++;
        err = parse_line(s, p);
        if (err == ERR_MALFORMED)
            *line = number;
    }
out:
    explicit_bzero(text, FILE_MAX + 1);
    free(text);
    return err;
}

int store_open(struct store **out, const char *dir, unsigned *line)
{
    unsigned no_line = 0;
    struct store *s = calloc(1, sizeof(*s));
    int err = 0, fd = -1;

    *out = NULL;
    if (!line)
        line = &no_line;
    *line = 0;
    if (!s)
        return ERR_NOMEM;
    int dir_len = snprintf(s->dir, sizeof(s->dir), "%s", dir);
    int path_len = snprintf(s->path, sizeof(s->path), "%s/credentials", dir);
    if (dir_len >= (int)sizeof(s->dir) || path_len >= (int)sizeof(s->path)) {
        err = ERR_NOSPC;
        goto out;
    }
    fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0)
        err = parse_file(s, fd, line);
    else if (errno != ENOENT)
        err = -errno;
out:
    if (fd >= 0)
        close(fd);
    if (err)
        store_free(&s);
    *out = s;
    return err;
}

void store_free(struct store **s)
{
    if (!*s)
        return;
    for (struct credential *c = (*s)->first, *next; c; c = next) {
        next = c->next;
        free_credential(c);
    }
    free(*s);
    *s = NULL;
}

const char *store_path(const struct store *s)
{
    return s->path;
}

size_t store_count(const struct store *s)
{
    size_t n = 0;

    for (const struct credential *c = s->first; c; c = c->next)
        n++;
    return n;
}

static int write_all(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

static int write_credentials(const struct store *s, int fd)
{
    int err = write_all(fd, HEADER);

    for (const struct credential *c = s->first; c && !err; c = c->next) {
        const char *parts[] = {"user=", c->name, ":", c->password, "\n"};
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !err; i++)
            err = write_all(fd, parts[i]);
    }
    if (!err && fsync(fd))
        err = -errno;
    return err;
}

/* A new file beside the old one, on the disk before it takes the old one's name: a crash leaves one of the two, whole. */
static int save(const struct store *s)
{
    char temp[STORE_PATH_MAX + 8];
    int fd = -1, dir = -1, err = 0;

    if (mkdir(s->dir, 0700) && errno != EEXIST)
        return -errno;
    snprintf(temp, sizeof(temp), "%s.XXXXXX", s->path);
    fd = mkostemp(temp, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return -errno;
    err = write_credentials(s, fd);
    if (close(fd) && !err)
        err = -errno;
    if (!err && rename(temp, s->path))
        err = -errno;
    if (err) {
        unlink(temp);
        return err;
    }
    dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fsync(dir))
        err = -errno;
    if (dir >= 0)
        close(dir);
    return err;
}

static void generate(char password[static STORE_PASSWORD_LEN + 1])
{
    uint8_t bytes[RANDOM_LEN];

    random_bytes(bytes, sizeof(bytes));
    base64_encode(password, bytes, sizeof(bytes));
    explicit_bzero(bytes, sizeof(bytes));
    for (char *p = password; *p; p++) /* base64url (RFC 4648 section 5): fits into URLs, shells and TURN URIs */
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
}

int store_user(struct store *s, const char *name, const char **password, bool *generated)
{
    char text[STORE_PASSWORD_LEN + 1];
    bool is_new = !find(s, name);
    int err = 0;

    *password = NULL;
    if (!name_fits(name, strlen(name)))
        return ERR_INVAL;
    if (is_new) {
        generate(text);
        err = append(s, name, strlen(name), text);
        explicit_bzero(text, sizeof(text));
        if (err)
            return err;
        err = save(s);
        if (err) {
            remove_last(s); /* what isn't on the disk isn't handed out */
            return err;
        }
    }
    *password = find(s, name)->password;
    if (generated)
        *generated = is_new;
    return 0;
}

int store_load(const struct store *s, struct auth *a)
{
    for (const struct credential *c = s->first; c; c = c->next) {
        int err = auth_add_user(a, c->name, c->password);
        if (err && err != ERR_EXIST)
            return err;
    }
    return 0;
}
