/* Tokens: made, checked, written as fields and read back; nothing that a store says is believed (S7, S23). */
#include "auth/token.h"

#include <stdlib.h>

#include "base/err.h"
#include "stun/integrity.h"
#include "tests/unit/tap.h"

static struct token token, back;
static struct token_text text;
static struct token_field fields[TOKEN_FIELDS_MAX];
static char password[TOKEN_PASSWORD_LEN + 1];
static const char *why;

static struct token fresh(void)
{
    return (struct token){.owner = "acme", .realm = "realm", .scope = TOKEN_TURN};
}

static void issue(void)
{
    struct token other = fresh();
    char other_password[TOKEN_PASSWORD_LEN + 1];
    uint8_t key[STUN_SHA256_KEY_LEN];

    token = fresh();
    CHECK_INT(token_issue(&token, password, &why), 0);
    CHECK_INT(token_issue(&other, other_password, &why), 0);
    CHECK_INT(strlen(token.id), TOKEN_ID_LEN);
    CHECK_INT(strlen(password), TOKEN_PASSWORD_LEN);
    CHECK_INT(strspn(token.id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), TOKEN_ID_LEN);
    CHECK_INT(strspn(password, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), TOKEN_PASSWORD_LEN);
    CHECK(strcmp(token.id, other.id) != 0 && strcmp(password, other_password) != 0);
    CHECK_INT(stun_key_md5(token.id, "realm", password, key), 0);
    CHECK_MEM(token.md5, key, sizeof(token.md5));
    CHECK_INT(stun_key_sha256(token.id, "realm", password, key), 0);
    CHECK_MEM(token.sha256, key, sizeof(token.sha256));
    token = fresh();
    token.owner[0] = '\0';
    CHECK_INT(token_issue(&token, password, &why), ERR_INVAL);
    CHECK(strstr(why, "owner"));
}

static void round_trip(void)
{
    size_t n;

    token = fresh();
    token.not_before = 5;
    token.expires_at = INT64_C(1790000000);
    token.issued_at = 1;
    token.max_allocations = UINT32_MAX;
    token.max_bps = 2000000;
    token.max_bytes = INT64_C(1) << 40;
    token.scope = TOKEN_TURN | TOKEN_BRIDGE;
    strcpy(token.label, "%s%n \"quoted\" caf\xC3\xA9");
    strcpy(token.tenant, "t 1");
    strcpy(token.peers, "10.1.2.0/24:5060-5070/udp [2001:db8::/32]");
    CHECK_INT(token_issue(&token, password, &why), 0);
    n = token_write(&token, &text, fields);
    for (size_t i = 0; i < n; i++) {
        printf("# %s\n", fields[i].name);
        CHECK(!strstr(fields[i].value, password)); /* nowhere, ever */
    }
    CHECK_INT(token_read(&back, token.id, fields, n, &why), 0);
    CHECK_MEM(&back, &token, sizeof(token));
    token = fresh();
    CHECK_INT(token_issue(&token, password, &why), 0);
    CHECK_INT(token_write(&token, &text, fields), 5); /* what is empty is left out */
    token_wipe(&token);
    CHECK_INT(token.md5[0] | token.id[0], 0);
}

/* One field more or less, or another value, than a good record. */
static void refused(void)
{
    static const char HEX[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    static const struct {
        const char *name, *value;
        size_t len;
        const char *why;
    } BAD[] = {
        {"owner", "", 0, "owner"},
        {"owner", "a\0b", 3, "owner"},
        {"owner", "a\nb", 3, "owner"},
        {"owner", "a\xFF", 2, "owner"},
        {"label", "\r", 1, "label"},
        {"tenant", "\x7F", 1, "tenant"},
        {"realm", "", 0, "realm"},
        {"scope", "", 0, "scope"},
        {"scope", "turn,", 5, "scope"},
        {"scope", "tur", 3, "scope"},
        {"scope", "turn,phone,bridge,turn,phone,turn", 33, "scope"},
        {"md5", HEX, 30, "md5"},
        {"md5", HEX, 34, "md5"},
        {"md5", "0011223344556677889\0aabbccddeeff", 32, "md5"},
        {"md5", "0011223344556677889gaabbccddeeff", 32, "md5"},
        {"sha256", HEX, 32, "sha256"},
        {"not_before", "-1", 2, "not_before"},
        {"not_before", "1 ", 2, "not_before"},
        {"expires_at", "", 0, "expires_at"},
        {"expires_at", "9223372036854775808", 19, "expires_at"},
        {"expires_at", "99999999999999999999999", 23, "expires_at"},
        {"expires_at", "1", 1, "not_before"}, /* which is 2 in the good record */
        {"max_allocations", "4294967296", 10, "max_allocations"},
        {"max_bps", "1k", 2, "max_bps"},
        {"max_bytes", "1.5", 3, "max_bytes"},
    };
    struct token_field good[] = {
        {"owner", "o", 1},         {"realm", "r", 1},           {"scope", "turn", 4}, {"md5", HEX, 32},
        {"sha256", HEX, 64},       {"not_before", "2", 1},      {"label", "l", 1},    {"tenant", "t", 1},
        {"expires_at", "3", 1},    {"max_allocations", "1", 1}, {"max_bps", "1", 1},  {"max_bytes", "1", 1},
        {"a newer field", "\0", 1}};
    enum { N = sizeof(good) / sizeof(good[0]) };
    char long_id[TOKEN_TEXT_MAX + 2];

    CHECK_INT(token_read(&back, "id", good, N, &why), 0);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct token_field f[N];

        memcpy(f, good, sizeof(f));
        for (size_t j = 0; j < N; j++)
            if (strcmp(f[j].name, BAD[i].name) == 0)
                f[j] = (struct token_field){BAD[i].name, BAD[i].value, BAD[i].len};
        printf("# %zu: %s\n", i, BAD[i].name);
        CHECK_INT(token_read(&back, "id", f, N, &why), ERR_MALFORMED);
        CHECK(strstr(why, BAD[i].why));
        CHECK_INT(back.owner[0], 0); /* nothing half-read is left */
    }
    for (size_t i = 0; i < 5; i++) { /* without one that is needed */
        struct token_field f[N];

        memcpy(f, good, sizeof(f));
        f[i].name = "another";
        CHECK_INT(token_read(&back, "id", f, N, &why), ERR_MALFORMED);
        CHECK(strstr(why, good[i].name));
    }
    CHECK_INT(token_read(&back, "", good, N, &why), ERR_MALFORMED);
    CHECK_INT(token_read(&back, "a\nb", good, N, &why), ERR_MALFORMED);
    memset(long_id, 'i', sizeof(long_id) - 1);
    long_id[sizeof(long_id) - 1] = '\0';
    CHECK_INT(token_read(&back, long_id, good, N, &why), ERR_MALFORMED);
    long_id[TOKEN_TEXT_MAX] = '\0';
    CHECK_INT(token_read(&back, long_id, good, N, &why), 0);
}

static void serves(void)
{
    token = fresh();
    CHECK(token_serves(&token, "realm"));
    CHECK(!token_serves(&token, "realm2"));
    token.revoked_at = 1;
    CHECK(!token_serves(&token, "realm"));
}

static const struct tap_test TESTS[] = {
    {"an issued token has an id, a password and keys of its own", issue},
    {"S24 what is written is read back, and holds no password", round_trip},
    {"S7 S23 a record that is no token is refused, and the field named", refused},
    {"a token serves in its realm, until it is revoked", serves},
};

TAP_MAIN(TESTS)
