#include "admin/bearer.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/log.h"
#include "base/random.h"

enum { HASH_LEN = 32, LINE_MAX_BYTES = 512 };

struct entry {
    struct bearer bearer;
    uint8_t hash[HASH_LEN];
};

struct bearers {
    char *path;
    struct stat seen; /* of the file that was read; st_ino 0: none */
    int told;         /* why it could not be read the last time; 0: it could */
    struct entry *entry;
    size_t n;
};

int bearers_new(struct bearers **out, const char *path)
{
    struct bearers *b = calloc(1, sizeof(*b));

    *out = b;
    if (b)
        b->path = strdup(path);
    if (b && b->path)
        return 0;
    bearers_free(out);
    return ERR_NOMEM;
}

void bearers_free(struct bearers **bp)
{
    if (!*bp)
        return;
    free((*bp)->path);
    free((*bp)->entry);
    free(*bp);
    *bp = NULL;
}

const char *bearer_roles_text(unsigned roles)
{
    static const char *const TEXTS[] = {
        "", "read", "credentials", "read,credentials", "admin", "read,admin", "credentials,admin", "read,credentials,admin",
    };
    return TEXTS[roles & BEARER_ALL];
}

unsigned bearer_roles(const char *text)
{
    static const char *const NAMES[] = {"read", "credentials", "admin"};
    unsigned roles = 0;

    while (*text) {
        size_t n = strcspn(text, ","), i = 0;

        while (i < sizeof(NAMES) / sizeof(NAMES[0]) && (strlen(NAMES[i]) != n || memcmp(NAMES[i], text, n) != 0))
            i++;
        if (i == sizeof(NAMES) / sizeof(NAMES[0]))
            return 0;
        roles |= 1U << i;
        text += n + (text[n] == ',');
    }
    return roles;
}

/* ---- The file. ---- */

static bool read_line(struct entry *e, char *line)
{
    enum { NAME, ROLES, EXPIRES, HASH, WORDS };
    char *word[WORDS + 1] = {0}, *save, *end;
    size_t n = 0;

    for (char *w = strtok_r(line, " \t", &save); w && n <= WORDS; w = strtok_r(NULL, " \t", &save))
        word[n++] = w;
    if (n != WORDS || strlen(word[NAME]) > BEARER_NAME_MAX)
        return false;
    memcpy(e->bearer.name, word[NAME], strlen(word[NAME]) + 1);
    e->bearer.roles = bearer_roles(word[ROLES]);
    errno = 0;
    e->bearer.expires_at = strtoll(word[EXPIRES], &end, 10);
    return e->bearer.roles && !errno && !*end && e->bearer.expires_at >= 0 && hex_decode(e->hash, HASH_LEN, word[HASH]) == 0;
}

/* The number of the line that can't be read in `line`. */
static int read_file(FILE *file, struct entry **out, size_t *n, unsigned *line)
{
    struct entry *list = calloc(BEARER_TOKENS_MAX, sizeof(*list));
    char text[LINE_MAX_BYTES];
    int err = list ? 0 : ERR_NOMEM;

    *n = 0;
    for (*line = 1; !err && fgets(text, sizeof(text), file); (*line)++) {
        bool whole = strchr(text, '\n') || feof(file);

        text[strcspn(text, "\n")] = '\0';
        if (whole && text[strspn(text, " \t")] != '#' && text[strspn(text, " \t")] != '\0')
            whole = *n < BEARER_TOKENS_MAX && read_line(&list[(*n)++], text);
        if (!whole)
            err = ERR_MALFORMED;
        if (err)
            break;
    }
    if (!err && ferror(file))
        err = ERR_IO;
    if (err)
        free(list);
    else
        *out = list;
    return err;
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int read_path(const char *path, struct entry **list, size_t *n, unsigned *line)
{
    FILE *file = fopen(path, "re");
    int err = file ? read_file(file, list, n, line) : -errno;

    if (file)
        fclose(file);
    return err;
}

/* Without the file there are no tokens; with one that can't be read, the old ones. One that is malformed is read again when it has changed; what
 * else went wrong may pass, and a token that was revoked must not live on because of it: that is tried at each request. */
static void refresh(struct bearers *b)
{
    struct stat now = {0};
    struct entry *list = NULL;
    unsigned line = 0;
    size_t n = 0;
    int err = stat(b->path, &now) ? -errno : 0;

    if (err == ERR_NOENT) {
        now = (struct stat){0};
        err = 0;
    }
    if (!err && same(&now, &b->seen))
        return;
    if (!err && now.st_ino)
        err = read_path(b->path, &list, &n, &line);
    if (!err || err == ERR_MALFORMED)
        b->seen = now;
    if (!err) {
        free(b->entry);
        b->entry = list;
        b->n = n;
    } else if (err != b->told || err == ERR_MALFORMED) {
        LOG(LOG_ERROR, "admin_tokens_refused", LOG_STR("file", b->path), LOG_INT("line", line), LOG_ERR("reason", err),
            LOG_STR("effect", "the tokens that were read before stay in force"),
            LOG_STR("cure", "each line is NAME ROLES EXPIRES SHA256; turnpikectl admin-token writes them"));
    }
    b->told = err;
}

/* Every hash is compared, in constant time: how long it takes tells nothing about any of them. */
int bearers_find(struct bearers *b, const char *token, int64_t wall, struct bearer *out)
{
    const struct entry *found = NULL;
    uint8_t hash[EVP_MAX_MD_SIZE];

    refresh(b);
    if (!EVP_Digest(token, strlen(token), hash, NULL, EVP_sha256(), NULL))
        return ERR_NOENT;
    for (size_t i = 0; i < b->n; i++)
        if (CRYPTO_memcmp(b->entry[i].hash, hash, HASH_LEN) == 0)
            found = &b->entry[i];
    if (!found)
        return ERR_NOENT;
    *out = found->bearer;
    return out->expires_at && out->expires_at <= wall ? ERR_STALE : 0;
}
