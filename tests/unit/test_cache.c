/* What a database has said is remembered for a while, bounded, and forgotten when it is revoked. */
#include "auth/cache.h"

#include "tests/unit/tap.h"

static struct cache *c;
static struct credential got;

static const struct credential UNKNOWN = {.kind = CREDENTIAL_UNKNOWN}, SECRET = {.kind = CREDENTIAL_SECRET};
static struct credential keys = {.kind = CREDENTIAL_KEYS,
                                 .has_sha256 = true,
                                 .md5 = "md5",
                                 .expires_at = 9,
                                 .owner = "owner",
                                 .label = "label",
                                 .tenant = "tenant"};

static void times(void)
{
    static const struct {
        const char *name;
        const struct credential *credential;
        uint64_t fresh_ms, stale_ms;
    } CASES[] = {
        {"keys", &keys, CACHE_KEYS_MS, CACHE_GRACE_MS},
        {"secret", &SECRET, CACHE_SECRET_MS, CACHE_GRACE_MS},
        {"unknown", &UNKNOWN, CACHE_UNKNOWN_MS, 0},
    };

    CHECK_INT(cache_new(&c), 0);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        printf("# %s\n", CASES[i].name);
        CHECK_INT(cache_get(c, CASES[i].name, 1000, &got), CACHE_NONE);
        cache_put(c, CASES[i].name, CASES[i].credential, 1000);
        CHECK_INT(cache_get(c, CASES[i].name, 999 + CASES[i].fresh_ms, &got), CACHE_FRESH);
        CHECK_INT(got.kind, CASES[i].credential->kind);
        if (CASES[i].stale_ms) {
            CHECK_INT(cache_get(c, CASES[i].name, 1000 + CASES[i].fresh_ms, &got), CACHE_STALE);
            CHECK_INT(cache_get(c, CASES[i].name, 999 + CASES[i].fresh_ms + CASES[i].stale_ms, &got), CACHE_STALE);
        }
        CHECK_INT(cache_get(c, CASES[i].name, 1000 + CASES[i].fresh_ms + CASES[i].stale_ms, &got), CACHE_NONE);
    }
    CHECK_INT(cache_count(c), 0);
    cache_free(&c);
    CHECK(!c);
}

static void contents(void)
{
    CHECK_INT(cache_new(&c), 0);
    cache_put(c, "alice", &keys, 0);
    cache_put(c, "alic", &SECRET, 0);
    CHECK_INT(cache_get(c, "alice", 0, &got), CACHE_FRESH);
    CHECK(got.has_sha256 && got.expires_at == 9);
    CHECK_STR(got.owner, "owner");
    CHECK_STR(got.label, "label");
    CHECK_STR(got.tenant, "tenant");
    CHECK_STR((const char *)got.md5, "md5");
    CHECK_INT(cache_get(c, "alic", 0, &got), CACHE_FRESH);
    CHECK_INT(got.kind, CREDENTIAL_SECRET);
    CHECK_STR(got.owner, "");
    CHECK_STR(got.peers, "");
    keys.peers = "1.2.3.4 5.6.7.0/24";
    cache_put(c, "alice", &keys, 0);
    keys.peers = NULL;
    CHECK_INT(cache_get(c, "alice", 0, &got), CACHE_FRESH);
    CHECK_STR(got.owner, "owner");
    CHECK_STR(got.peers, "1.2.3.4 5.6.7.0/24");
    cache_put(c, "alice", &UNKNOWN, 1); /* another sort, the same name */
    CHECK_INT(cache_get(c, "alice", 1, &got), CACHE_FRESH);
    CHECK_INT(got.kind, CREDENTIAL_UNKNOWN);
    CHECK_INT(cache_count(c), 2);
    cache_free(&c);
}

/* A flood of names without keys evicts the oldest of them, and no name with keys. */
static void flood(void)
{
    char name[16];

    CHECK_INT(cache_new(&c), 0);
    cache_put(c, "good", &keys, 0);
    cache_put(c, "in use", &UNKNOWN, 0);
    for (int i = 0; i < 2 * CACHE_OTHERS_MAX; i++) {
        snprintf(name, sizeof(name), "u%d", i);
        cache_put(c, name, i % 2 ? &UNKNOWN : &SECRET, 0);
        CHECK_INT(cache_get(c, "in use", 0, &got), CACHE_FRESH);
    }
    CHECK_INT(cache_count(c), 1 + CACHE_OTHERS_MAX);
    CHECK_INT(cache_get(c, "good", 0, &got), CACHE_FRESH);
    CHECK_INT(cache_get(c, "u0", 0, &got), CACHE_NONE);
    CHECK_INT(cache_get(c, name, 0, &got), CACHE_FRESH);
    for (int i = 0; i < CACHE_KEYS_MAX; i++) {
        snprintf(name, sizeof(name), "k%d", i);
        cache_put(c, name, &keys, 0);
    }
    CHECK_INT(cache_get(c, "good", 0, &got), CACHE_NONE);
    CHECK_INT(cache_get(c, "in use", 0, &got), CACHE_FRESH);
    CHECK_INT(cache_count(c), CACHE_KEYS_MAX + CACHE_OTHERS_MAX);
    cache_free(&c);
}

static bool begins_with_a(void *ctx, const char *name)
{
    return name[0] == *(char *)ctx;
}

static void forget(void)
{
    CHECK_INT(cache_new(&c), 0);
    cache_put(c, "a1", &keys, 0);
    cache_put(c, "a2", &SECRET, 0);
    cache_put(c, "a3", &UNKNOWN, 0);
    cache_put(c, "b1", &keys, 0);
    cache_put(c, "b2", &SECRET, 0);
    cache_forget(c, "none");
    cache_forget(c, "b2");
    CHECK_INT(cache_get(c, "b2", 0, &got), CACHE_NONE);
    cache_forget_if(c, begins_with_a, (char[]){'a'});
    CHECK_INT(cache_count(c), 1);
    CHECK_INT(cache_get(c, "b1", 0, &got), CACHE_FRESH);
    cache_free(&c);
}

static const struct tap_test TESTS[] = {
    {"names with keys live longer than unknown ones, and longest while nobody can be asked", times},
    {"what was put is got", contents},
    {"a flood of unknown names evicts no good one", flood},
    {"what is revoked is forgotten", forget},
};

TAP_MAIN(TESTS)
