#include "auth/secret.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/random.h"
#include "stun/integrity.h"

struct secret {
    char *realm;
    char separator;
    size_t count;
    struct {
        char *text;
        size_t len;
    } secrets[AUTH_KEYS_MAX];
};

/* A number of at least SECRET_EXPIRY_MIN and nothing else. What is larger than a time can be is a time that never comes. */
static bool parse_expiry(const char *p, size_t len, int64_t *out)
{
    int64_t v = 0;

    for (size_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        if (v > (INT64_MAX - 9) / 10)
            v = INT64_MAX;
        else
            v = v * 10 + (p[i] - '0');
    }
    *out = v;
    return v >= SECRET_EXPIRY_MIN;
}

bool secret_parse_name(struct secret_name *out, const char *name, char separator)
{
    size_t len = strlen(name);
    const char *first = memchr(name, separator, len), *last = memrchr(name, separator, len);

    *out = (struct secret_name){.user = name + len};
    if (!first)
        return parse_expiry(name, len, &out->expires_at);
    if (parse_expiry(name, (size_t)(first - name), &out->expires_at)) {
        out->user = first + 1;
        out->user_len = len - (size_t)(out->user - name);
        return true;
    }
    if (parse_expiry(last + 1, len - (size_t)(last + 1 - name), &out->expires_at)) {
        out->user = name;
        out->user_len = (size_t)(last - name);
        return true;
    }
    return false;
}

bool secret_revokes(const struct auth_revocation *revocation, const char *name, char separator)
{
    struct secret_name parts;

    if (!revocation->expires_before)
        return strcmp(name, revocation->name) == 0;
    return secret_parse_name(&parts, name, separator) && parts.expires_at < revocation->expires_before &&
           parts.user_len == strlen(revocation->name) && memcmp(parts.user, revocation->name, parts.user_len) == 0;
}

int secret_password(struct stun_mac *mac, const char *secret, size_t secret_len, const char *name,
                    char out[static SECRET_PASSWORD_LEN + 1])
{
    uint8_t hmac[20];
    int err = stun_hmac_sha1(mac, secret, secret_len, name, strlen(name), hmac);

    if (!err)
        base64_encode(out, hmac, sizeof(hmac));
    explicit_bzero(hmac, sizeof(hmac));
    return err;
}

int secret_new(struct secret **out, const char *realm, char separator)
{
    struct secret *s = calloc(1, sizeof(*s));

    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    s->separator = separator;
    s->realm = strdup(realm);
    if (!s->realm) {
        secret_free(&s);
        return ERR_NOMEM;
    }
    *out = s;
    return 0;
}

void secret_free(struct secret **s)
{
    if (!*s)
        return;
    for (size_t i = 0; i < (*s)->count; i++) {
        explicit_bzero((*s)->secrets[i].text, (*s)->secrets[i].len);
        free((*s)->secrets[i].text);
    }
    free((*s)->realm);
    free(*s);
    *s = NULL;
}

int secret_add(struct secret *s, const char *text)
{
    size_t len = strlen(text);

    if (len == 0)
        return ERR_INVAL;
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->secrets[i].text, text) == 0)
            return ERR_EXIST;
    if (s->count == AUTH_KEYS_MAX)
        return ERR_NOSPC;
    s->secrets[s->count].text = strdup(text);
    if (!s->secrets[s->count].text)
        return ERR_NOMEM;
    s->secrets[s->count++].len = len;
    return 0;
}

size_t secret_count(const struct secret *s)
{
    return s->count;
}

static int derive(const struct secret *s, size_t i, const struct auth_request *request, uint8_t key[static STUN_KEY_MAX])
{
    char password[SECRET_PASSWORD_LEN + 1];
    int err = secret_password(request->mac, s->secrets[i].text, s->secrets[i].len, request->user, password);

    if (!err)
        err = request->algorithm == STUN_ALG_SHA256 ? stun_key_sha256(request->user, s->realm, password, key)
                                                    : stun_key_md5(request->user, s->realm, password, key);
    explicit_bzero(password, sizeof(password));
    return err;
}

/* Every name costs what a good one costs: nobody may learn from the time which names are users elsewhere (S14). */
static int derive_all(const struct secret *s, const struct auth_request *request, uint8_t keys[AUTH_KEYS_MAX][STUN_KEY_MAX])
{
    int err = 0;

    for (size_t i = 0; i < s->count && !err; i++)
        err = derive(s, i, request, keys[i]);
    return err;
}

void secret_spend(const struct secret *s, const struct auth_request *request)
{
    uint8_t keys[AUTH_KEYS_MAX][STUN_KEY_MAX];

    if (!request->user)
        return;
    (void)derive_all(s, request, keys);
    explicit_bzero(keys, sizeof(keys));
}

enum auth_status secret_check(struct secret *s, const struct auth_request *request, struct auth_answer *answer)
{
    struct secret_name name;

    /* A hash can't be turned back into a name that was never stored. */
    if (!request->user || s->count == 0 || strlen(request->user) > STUN_USERNAME_MAX)
        return AUTH_UNKNOWN;
    if (derive_all(s, request, answer->keys))
        return AUTH_UNAVAILABLE;
    if (!secret_parse_name(&name, request->user, s->separator) || name.expires_at <= request->wall)
        return AUTH_UNKNOWN;

    answer->nkeys = s->count;
    answer->key_len = request->algorithm == STUN_ALG_SHA256 ? STUN_SHA256_KEY_LEN : STUN_MD5_KEY_LEN;
    answer->expires_at = name.expires_at;
    memcpy(answer->name, request->user, strlen(request->user) + 1); /* its length was checked above */
    memcpy(answer->owner, name.user, name.user_len);
    answer->owner[name.user_len] = '\0';
    return AUTH_OK;
}
