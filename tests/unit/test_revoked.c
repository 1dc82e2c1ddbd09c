/* Revoked user parts: which of their names are refused, for how long, and how many of them are kept. */
#include "auth/revoked.h"

#include "base/err.h"
#include "tests/unit/tap.h"

enum { NOW = 1800000000, MANY = 1000 };

static struct revoked *r;
static bool news;

static bool has(int64_t expires_at, const char *user)
{
    char name[64];

    snprintf(name, sizeof(name), "%lld:%s", (long long)expires_at, user);
    return revoked_has(r, name);
}

static void names(void)
{
    CHECK_INT(revoked_new(&r, 0, ':'), 0);
    CHECK_INT(revoked_add(r, "dave", NOW, &news), 0);
    CHECK(news);
    CHECK(revoked_has(r, "1799999999:dave"));
    CHECK(revoked_has(r, "dave:1799999999"));
    CHECK(!revoked_has(r, "1800000000:dave"));
    CHECK(!revoked_has(r, "1799999999:erin"));
    CHECK(!revoked_has(r, "1799999999:dav"));
    CHECK(!revoked_has(r, "1799999999"));
    CHECK(!revoked_has(r, "dave"));
    CHECK_INT(revoked_add(r, "", NOW, &news), 0); /* bare expiries */
    CHECK(revoked_has(r, "1799999999"));
    CHECK(!revoked_has(r, "1799999999:erin"));
    revoked_free(&r);
    CHECK(!r);
    revoked_free(&r);
}

static void furthest(void)
{
    CHECK_INT(revoked_new(&r, 0, ':'), 0);
    CHECK_INT(revoked_add(r, "dave", NOW, &news), 0);
    CHECK_INT(revoked_add(r, "dave", NOW - 5, &news), 0);
    CHECK(!news && has(NOW - 1, "dave"));
    CHECK_INT(revoked_add(r, "dave", NOW, &news), 0);
    CHECK(!news);
    CHECK_INT(revoked_add(r, "dave", NOW + 5, &news), 0);
    CHECK(news && has(NOW + 4, "dave"));
    CHECK_INT(revoked_count(r), 1);
    revoked_free(&r);
}

/* In an order that is neither rising nor falling; every third reaches further afterwards. */
static void add_many(void)
{
    char user[16];

    for (int i = 0; i < MANY; i++) {
        snprintf(user, sizeof(user), "u%d", i * 7 % MANY);
        CHECK_INT(revoked_add(r, user, NOW + i * 7 % MANY, &news), 0);
    }
    for (int i = 0; i < MANY; i += 3) {
        snprintf(user, sizeof(user), "u%d", i);
        CHECK_INT(revoked_add(r, user, NOW + MANY + i, &news), 0);
    }
}

static void expiry(void)
{
    char user[16];

    CHECK_INT(revoked_new(&r, 0, ':'), 0);
    add_many();
    CHECK_INT(revoked_count(r), MANY);
    for (int now = 0; now < 2 * MANY; now += 100) {
        size_t left = 0;

        revoked_sweep(r, NOW + now);
        for (int i = 0; i < MANY; i++) {
            int before = i % 3 ? i : MANY + i;

            snprintf(user, sizeof(user), "u%d", i);
            CHECK_INT(has(NOW + before - 1, user), before > now);
            left += before > now;
        }
        CHECK_INT(revoked_count(r), left);
    }
    revoked_sweep(r, NOW + 2 * MANY);
    CHECK_INT(revoked_count(r), 0);
    revoked_free(&r);
}

static void bound(void)
{
    CHECK_INT(revoked_new(&r, 3, ':'), 0);
    CHECK_INT(revoked_add(r, "c", NOW + 3, &news), 0);
    CHECK_INT(revoked_add(r, "a", NOW + 1, &news), 0);
    CHECK_INT(revoked_add(r, "b", NOW + 2, &news), 0);
    CHECK_INT(revoked_add(r, "z", NOW + 1, &news), ERR_NOSPC);
    CHECK(has(NOW, "a") && !has(NOW, "z"));
    CHECK_INT(revoked_add(r, "a", NOW + 9, &news), 0); /* there is always room for one that is there */
    CHECK_INT(revoked_add(r, "d", NOW + 4, &news), 0);
    CHECK(has(NOW, "a") && !has(NOW, "b") && has(NOW, "c") && has(NOW, "d"));
    CHECK_INT(revoked_count(r), 3);
    revoked_free(&r);
}

static const struct tap_test TESTS[] = {
    {"names of a revoked user part that expire before the time are refused, in each of their forms", names},
    {"of two times the later one holds", furthest},
    {"a revocation goes when no name of it can be valid any more", expiry},
    {"no more than so many are kept: those that reach furthest", bound},
};

TAP_MAIN(TESTS)
