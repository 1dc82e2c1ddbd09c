#include "programs/admintokens.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/random.h"

enum {
    RANDOM_LEN = 32,
    LINES_MAX = 2 * ADMINTOKENS_MAX, /* with comments */
};

static const char FILE_NAME[] = "admin-tokens", NEW_NAME[] = "admin-tokens.new", PREFIX[] = "tpa_";
static const char *const ROLES[] = {"read", "credentials", "admin"};

/* A line as it stands; a comment or a blank one has no name. */
struct line {
    char *text;
    struct admintoken token;
};

struct admintokens {
    int dir; /* holds the lock, if one was asked for */
    struct line line[LINES_MAX];
    size_t n;
};

bool admintokens_name_ok(const char *name)
{
    size_t n = strlen(name);

    return n && n <= ADMINTOKENS_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

int admintokens_roles(char out[static ADMINTOKENS_ROLES_LEN], const char *text)
{
    bool has[sizeof(ROLES) / sizeof(ROLES[0])] = {false};
    size_t len = 0;

    do {
        size_t n = strcspn(text, ","), i = 0;

        while (i < sizeof(ROLES) / sizeof(ROLES[0]) && (strlen(ROLES[i]) != n || strncmp(ROLES[i], text, n) != 0))
            i++;
        if (i == sizeof(ROLES) / sizeof(ROLES[0]))
            return ERR_INVAL;
        has[i] = true;
        text += n;
    } while (*text++);
    for (size_t i = 0; i < sizeof(ROLES) / sizeof(ROLES[0]); i++)
        if (has[i])
            len += (size_t)snprintf(out + len, ADMINTOKENS_ROLES_LEN - len, "%s%s", len ? "," : "", ROLES[i]);
    return 0;
}

/* ---- Reading. ---- */

static bool read_expiry(int64_t *out, const char *text)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    return isdigit((unsigned char)text[0]) && !*end && !errno;
}

/* NAME ROLES EXPIRES SHA256; blanks between them. */
static int parse(struct admintoken *t, const char *text)
{
    char copy[ADMINTOKENS_LINE_MAX + 1], *part[5] = {NULL}, *save = NULL;
    uint8_t hash[ADMINTOKENS_HASH_LEN / 2];
    size_t n = 0;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *p = strtok_r(copy, " \t", &save); p && n < 5; p = strtok_r(NULL, " \t", &save))
        part[n++] = p;
    if (n != 4 || !admintokens_name_ok(part[0]) || admintokens_roles(t->roles, part[1]) || !read_expiry(&t->expires_at, part[2]) ||
        hex_decode(hash, sizeof(hash), part[3]))
        return ERR_MALFORMED;
    snprintf(t->name, sizeof(t->name), "%s", part[0]);
    snprintf(t->hash, sizeof(t->hash), "%s", part[3]);
    return 0;
}

static int add_line(struct admintokens *t, const char *text)
{
    struct line *l = &t->line[t->n];
    size_t blanks = strspn(text, " \t");
    int err = 0;

    if (t->n == LINES_MAX)
        return ERR_NOSPC;
    *l = (struct line){0};
    if (text[blanks] && text[blanks] != '#')
        err = parse(&l->token, text);
    if (!err && !(l->text = strdup(text)))
        err = ERR_NOMEM;
    t->n += !err;
    return err;
}

static int read_file(struct admintokens *t, unsigned *line)
{
    char text[ADMINTOKENS_LINE_MAX + 2];
    int fd = openat(t->dir, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), err = 0;
    FILE *f;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    f = fdopen(fd, "r");
    if (!f) {
        close(fd);
        return ERR_NOMEM;
    }
    for (*line = 1; !err && fgets(text, sizeof(text), f); *line += !err) {
        size_t n = strcspn(text, "\n");

        if (!text[n] && !feof(f))
            err = ERR_MALFORMED; /* a line that is too long */
        text[n] = '\0';
        if (!err)
            err = add_line(t, text);
    }
    if (!err && ferror(f))
        err = ERR_IO;
    fclose(f);
    return err;
}

int admintokens_open(struct admintokens **out, const char *dir, bool change, unsigned *line)
{
    struct admintokens *t = calloc(1, sizeof(*t));
    int err = 0;

    *line = 0;
    *out = NULL;
    if (!t)
        return ERR_NOMEM;
    t->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->dir < 0 || (change && flock(t->dir, LOCK_EX)))
        err = -errno;
    if (!err)
        err = read_file(t, line);
    if (err)
        admintokens_close(&t);
    *out = t;
    return err;
}

void admintokens_close(struct admintokens **tp)
{
    struct admintokens *t = *tp;

    *tp = NULL;
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->line[i].text);
    if (t->dir >= 0)
        close(t->dir); /* and the lock is gone */
    free(t);
}

/* ---- What is in it. ---- */

size_t admintokens_count(const struct admintokens *t)
{
    size_t count = 0;

    for (size_t i = 0; i < t->n; i++)
        count += t->line[i].token.name[0] != '\0';
    return count;
}

const struct admintoken *admintokens_nth(const struct admintokens *t, size_t i)
{
    for (size_t k = 0; k < t->n; k++)
        if (t->line[k].token.name[0] && i-- == 0)
            return &t->line[k].token;
    return NULL;
}

static struct line *find(struct admintokens *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->line[i].token.name, name) == 0)
            return &t->line[i];
    return NULL;
}

/* ---- Changes. ---- */

static int hash_of(char out[static ADMINTOKENS_HASH_LEN + 1], const char *token)
{
    uint8_t digest[EVP_MAX_MD_SIZE];

    if (!EVP_Digest(token, strlen(token), digest, NULL, EVP_sha256(), NULL))
        return ERR_CRYPTO;
    hex_encode(out, digest, ADMINTOKENS_HASH_LEN / 2);
    return 0;
}

static void make_token(char token[static ADMINTOKENS_TOKEN_LEN + 1])
{
    uint8_t bytes[RANDOM_LEN];
    char text[4 * ((RANDOM_LEN + 2) / 3) + 1];

    random_bytes(bytes, sizeof(bytes));
    base64_encode(text, bytes, sizeof(bytes));
    for (char *p = text; *p; p++) /* base64url (RFC 4648 section 5) */
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    memcpy(token, PREFIX, sizeof(PREFIX) - 1);
    memcpy(token + sizeof(PREFIX) - 1, text, ADMINTOKENS_TOKEN_LEN - (sizeof(PREFIX) - 1)); /* without padding */
    token[ADMINTOKENS_TOKEN_LEN] = '\0';
    explicit_bzero(bytes, sizeof(bytes));
    explicit_bzero(text, sizeof(text));
}

int admintokens_add(struct admintokens *t, const char *name, const char *roles, int64_t expires_at,
                    char token[static ADMINTOKENS_TOKEN_LEN + 1])
{
    char text[ADMINTOKENS_LINE_MAX + 1], hash[ADMINTOKENS_HASH_LEN + 1];

    if (find(t, name))
        return ERR_EXIST;
    if (admintokens_count(t) >= ADMINTOKENS_MAX)
        return ERR_NOSPC;
    make_token(token);
    if (hash_of(hash, token))
        return ERR_CRYPTO;
    snprintf(text, sizeof(text), "%s %s %lld %s", name, roles, (long long)expires_at, hash);
    return add_line(t, text);
}

int admintokens_remove(struct admintokens *t, const char *name)
{
    struct line *l = find(t, name);

    if (!l || !name[0])
        return ERR_NOENT;
    free(l->text);
    t->n--;
    memmove(l, l + 1, (size_t)(&t->line[t->n] - l) * sizeof(*l));
    return 0;
}

/* ---- Writing. ---- */

static int write_lines(const struct admintokens *t, int fd)
{
    struct stat st;
    FILE *f = fdopen(fd, "w");
    int err = 0;

    if (!f) {
        close(fd);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < t->n; i++)
        fprintf(f, "%s\n", t->line[i].text);
    /* What root makes belongs to whom the directory belongs to: turnpiked reads it. */
    if (fflush(f) || (geteuid() == 0 && (fstat(t->dir, &st) || fchown(fd, st.st_uid, st.st_gid))) || fsync(fd))
        err = -errno;
    if (!err && ferror(f))
        err = ERR_IO; /* of an earlier line, which is lost */
    if (fclose(f) && !err)
        err = -errno;
    return err;
}

int admintokens_save(const struct admintokens *t)
{
    int err, fd;

    /* Who has the lock may take away what a crash has left. */
    if (unlinkat(t->dir, NEW_NAME, 0) && errno != ENOENT)
        return -errno;
    fd = openat(t->dir, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    err = write_lines(t, fd);
    if (!err && renameat(t->dir, NEW_NAME, t->dir, FILE_NAME))
        err = -errno;
    if (!err && fsync(t->dir))
        err = -errno;
    if (err)
        unlinkat(t->dir, NEW_NAME, 0);
    return err;
}
