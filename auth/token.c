#include "auth/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "base/err.h"
#include "base/random.h"
#include "stun/integrity.h"

static const char *const SCOPES[] = {"turn", "phone", "bridge"};
enum { SCOPES_N = sizeof(SCOPES) / sizeof(SCOPES[0]), SCOPES_ALL = (1 << SCOPES_N) - 1 };

static const struct text_field {
    const char *name;
    size_t offset, max;
    bool needed;
    const char *why; /* what is wrong when it is */
} TEXTS[] = {
    {"owner", offsetof(struct token, owner), TOKEN_TEXT_MAX, true, "owner: a text in UTF-8 without control characters is needed"},
    {"label", offsetof(struct token, label), TOKEN_TEXT_MAX, false, "label: not UTF-8, a control character, or too long"},
    {"tenant", offsetof(struct token, tenant), TOKEN_TEXT_MAX, false, "tenant: not UTF-8, a control character, or too long"},
    {"realm", offsetof(struct token, realm), STUN_REALM_MAX, true, "realm: a text in UTF-8 without control characters is needed"},
    {"peers", offsetof(struct token, peers), TOKEN_PEERS_MAX, false, "peers: not UTF-8, a control character, or too long"},
};

static const struct number_field {
    const char *name;
    size_t offset;
    int64_t max;
    const char *why;
} NUMBERS[] = {
    {"issued_at", offsetof(struct token, issued_at), INT64_MAX, "issued_at: not a time"},
    {"not_before", offsetof(struct token, not_before), INT64_MAX, "not_before: not a time"},
    {"expires_at", offsetof(struct token, expires_at), INT64_MAX, "expires_at: not a time"},
    {"revoked_at", offsetof(struct token, revoked_at), INT64_MAX, "revoked_at: not a time"},
    {"max_allocations", offsetof(struct token, max_allocations), UINT32_MAX, "max_allocations: not a number of allocations"},
    {"max_bps", offsetof(struct token, max_bps), INT64_MAX, "max_bps: not a number of bits a second"},
    {"max_bytes", offsetof(struct token, max_bytes), INT64_MAX, "max_bytes: not a number of bytes"},
};

enum { TEXTS_N = sizeof(TEXTS) / sizeof(TEXTS[0]), NUMBERS_N = sizeof(NUMBERS) / sizeof(NUMBERS[0]) };
_Static_assert(NUMBERS_N <= sizeof(((struct token_text *)0)->numbers) / sizeof(((struct token_text *)0)->numbers[0]),
               "room for all");

static const char *text_of(const struct token *t, const struct text_field *f)
{
    return (const char *)t + f->offset;
}

static int64_t number_of(const struct token *t, const struct number_field *f)
{
    int64_t n;

    memcpy(&n, (const char *)t + f->offset, sizeof(n));
    return n;
}

/* ---- Scope. ---- */

int token_scope_read(unsigned *scope, const char *text)
{
    *scope = 0;
    for (;;) {
        size_t len = strcspn(text, ","), i = 0;

        while (i < SCOPES_N && (strlen(SCOPES[i]) != len || memcmp(SCOPES[i], text, len) != 0))
            i++;
        if (i == SCOPES_N)
            return ERR_INVAL;
        *scope |= 1U << i;
        if (!text[len])
            return 0;
        text += len + 1;
    }
}

void token_scope_write(unsigned scope, char out[static 32])
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < SCOPES_N; i++)
        if (scope & (1U << i))
            n += (size_t)snprintf(out + n, 32 - n, "%s%s", n ? "," : "", SCOPES[i]);
}

/* ---- What a token may be. ---- */

static bool text_ok(const struct text_field *f, const char *text)
{
    char prepared[TOKEN_PEERS_MAX + 1];

    if (!text[0])
        return !f->needed;
    return auth_opaque_string(prepared, f->max + 1, text, strlen(text)) == 0;
}

int token_check(const struct token *t, const char **why)
{
    static const struct text_field ID = {"id", offsetof(struct token, id), TOKEN_TEXT_MAX, true, NULL};

    if (!text_ok(&ID, t->id)) {
        *why = "id: a user name in UTF-8 without control characters is needed";
        return ERR_INVAL;
    }
    for (size_t i = 0; i < TEXTS_N; i++)
        if (!text_ok(&TEXTS[i], text_of(t, &TEXTS[i]))) {
            *why = TEXTS[i].why;
            return ERR_INVAL;
        }
    for (size_t i = 0; i < NUMBERS_N; i++)
        if (number_of(t, &NUMBERS[i]) < 0 || number_of(t, &NUMBERS[i]) > NUMBERS[i].max) {
            *why = NUMBERS[i].why;
            return ERR_INVAL;
        }
    if (!t->scope || t->scope & ~(unsigned)SCOPES_ALL) {
        *why = "scope: one or more of turn, phone and bridge, with commas between";
        return ERR_INVAL;
    }
    if (t->expires_at && t->not_before >= t->expires_at) {
        *why = "expires_at: not later than not_before";
        return ERR_INVAL;
    }
    return 0;
}

/* A letter and digits that never look like a number; without padding, so that it can stand in a URL. */
static void random_text(char *out, size_t bytes)
{
    uint8_t random[TOKEN_PASSWORD_LEN];

    random_bytes(random, bytes);
    base64_encode(out, random, bytes);
    explicit_bzero(random, sizeof(random));
    for (; *out; out++)
        *out = *out == '+' ? '-' : *out == '/' ? '_' : *out;
}

void token_password(char password[static TOKEN_PASSWORD_LEN + 1])
{
    random_text(password, TOKEN_PASSWORD_LEN / 4 * 3);
}

int token_derive(struct token *t, const char *password, const char **why)
{
    int err = stun_key_md5(t->id, t->realm, password, t->md5);

    *why = "the keys cannot be derived";
    return err ? err : stun_key_sha256(t->id, t->realm, password, t->sha256);
}

int token_issue(struct token *t, char password[static TOKEN_PASSWORD_LEN + 1], const char **why)
{
    int err;

    t->id[0] = 't';
    random_text(t->id + 1, (TOKEN_ID_LEN - 1) / 4 * 3);
    err = token_check(t, why);
    if (err)
        return err;
    token_password(password);
    return token_derive(t, password, why);
}

bool token_serves(const struct token *t, const char *realm)
{
    return !t->revoked_at && strcmp(t->realm, realm) == 0;
}

void token_wipe(struct token *t)
{
    explicit_bzero(t, sizeof(*t));
}

/* ---- As fields. ---- */

size_t token_write(const struct token *t, struct token_text *text, struct token_field fields[static TOKEN_FIELDS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < TEXTS_N; i++)
        if (text_of(t, &TEXTS[i])[0])
            fields[n++] = (struct token_field){TEXTS[i].name, text_of(t, &TEXTS[i]), strlen(text_of(t, &TEXTS[i]))};
    for (size_t i = 0; i < NUMBERS_N; i++)
        if (number_of(t, &NUMBERS[i])) {
            int len = snprintf(text->numbers[i], sizeof(text->numbers[i]), "%lld", (long long)number_of(t, &NUMBERS[i]));

            fields[n++] = (struct token_field){NUMBERS[i].name, text->numbers[i], (size_t)len};
        }
    token_scope_write(t->scope, text->scope);
    hex_encode(text->md5, t->md5, sizeof(t->md5));
    hex_encode(text->sha256, t->sha256, sizeof(t->sha256));
    fields[n++] = (struct token_field){"scope", text->scope, strlen(text->scope)};
    fields[n++] = (struct token_field){"md5", text->md5, strlen(text->md5)};
    fields[n++] = (struct token_field){"sha256", text->sha256, strlen(text->sha256)};
    return n;
}

static int read_number(void *out, const struct token_field *f)
{
    int64_t n = 0;

    if (f->len == 0 || f->len > TOKEN_NUMBER_MAX)
        return ERR_MALFORMED;
    for (size_t i = 0; i < f->len; i++) {
        if (f->value[i] < '0' || f->value[i] > '9' || n > (INT64_MAX - 9) / 10)
            return ERR_MALFORMED;
        n = n * 10 + (f->value[i] - '0');
    }
    memcpy(out, &n, sizeof(n));
    return 0;
}

static int read_hex(uint8_t *out, size_t len, const struct token_field *f)
{
    char hex[2 * STUN_SHA256_KEY_LEN + 1];

    if (f->len != 2 * len)
        return ERR_MALFORMED;
    memcpy(hex, f->value, f->len);
    hex[f->len] = '\0';
    return hex_decode(out, len, hex) ? ERR_MALFORMED : 0;
}

/* Text without a NUL inside. */
static int read_text(char *out, size_t max, const struct token_field *f)
{
    if (f->len > max || memchr(f->value, '\0', f->len))
        return ERR_MALFORMED;
    memcpy(out, f->value, f->len);
    out[f->len] = '\0';
    return 0;
}

struct seen {
    bool md5, sha256;
};

static int read_field(struct token *t, const struct token_field *f, struct seen *seen, const char **why)
{
    char scope[32];

    for (size_t i = 0; i < TEXTS_N; i++)
        if (strcmp(f->name, TEXTS[i].name) == 0) {
            *why = TEXTS[i].why;
            return read_text((char *)t + TEXTS[i].offset, TEXTS[i].max, f);
        }
    for (size_t i = 0; i < NUMBERS_N; i++)
        if (strcmp(f->name, NUMBERS[i].name) == 0) {
            *why = NUMBERS[i].why;
            return read_number((char *)t + NUMBERS[i].offset, f);
        }
    if (strcmp(f->name, "scope") == 0) {
        *why = "scope: not one of turn, phone and bridge";
        return read_text(scope, sizeof(scope) - 1, f) || token_scope_read(&t->scope, scope) ? ERR_MALFORMED : 0;
    }
    if (strcmp(f->name, "md5") == 0) {
        *why = "md5: not 32 hex digits";
        seen->md5 = true;
        return read_hex(t->md5, sizeof(t->md5), f);
    }
    if (strcmp(f->name, "sha256") == 0) {
        *why = "sha256: not 64 hex digits";
        seen->sha256 = true;
        return read_hex(t->sha256, sizeof(t->sha256), f);
    }
    return 0;
}

int token_read(struct token *t, const char *id, const struct token_field *fields, size_t n, const char **why)
{
    struct seen seen = {0};
    int err = 0;

    *t = (struct token){0};
    *why = "id: too long";
    if (strlen(id) >= sizeof(t->id))
        return ERR_MALFORMED;
    memcpy(t->id, id, strlen(id) + 1);
    for (size_t i = 0; i < n && !err; i++)
        err = read_field(t, &fields[i], &seen, why);
    if (!err && (!seen.md5 || !seen.sha256)) {
        *why = "md5, sha256: both are needed";
        err = ERR_MALFORMED;
    }
    if (!err && token_check(t, why))
        err = ERR_MALFORMED;
    if (err)
        token_wipe(t);
    return err;
}
