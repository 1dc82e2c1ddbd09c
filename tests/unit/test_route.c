/* Routes: what a path is, and what it is not. */
#include "admin/route.h"

#include "admin/bearer.h"
#include "tests/unit/tap.h"

static char id[ROUTE_ID_MAX + 1], allow[ROUTE_ALLOW_MAX];

static void paths(void)
{
    static const struct {
        const char *method, *path, *id;
        int operation; /* -1: none */
    } CASES[] = {
        {"GET", "/api/v1/status", "", ADMIN_STATUS},
        {"HEAD", "/api/v1/status", "", ADMIN_STATUS},
        {"GET", "/api/v1/users/a%2Fb%20c", "a/b c", ADMIN_USER_GET},
        {"PUT", "/api/v1/users/4711:%C3%BC", "4711:\xC3\xBC", ADMIN_USER_PUT},
        {"POST", "/api/v1/credentials/generate-ice-servers", "", ADMIN_ICE_SERVERS},
        {"POST", "/api/v1/credentials/x/revoke", "x", ADMIN_USER_REVOKE},
        {"GET", "/api/v1/status/", "", -1},
        {"GET", "/api/v1/users/", "", -1},
        {"GET", "/api/v1/users/a/b", "", -1},
        {"GET", "/api/v1/users/%", "", -1},
        {"GET", "/api/v1/users/%2", "", -1},
        {"GET", "/api/v1/users/%zz", "", -1},
        {"GET", "/api/v1/users/a%00b", "", -1},
        {"GET", "/api/v1/users/a%0d%0ab", "", -1},
        {"GET", "/api/v1/users/a%7f", "", -1},
        {"GET", "/API/v1/status", "", -1},
        {"GET", "//api/v1/status", "", -1},
        {"GET", "", "", -1},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        const struct route *r = route_find(CASES[i].method, CASES[i].path, id, allow);

        printf("# %s %s\n", CASES[i].method, CASES[i].path);
        CHECK_INT(r ? (int)r->operation : -1, CASES[i].operation);
        if (r)
            CHECK_STR(id, CASES[i].id);
        else
            CHECK_STR(allow, "");
    }
}

static void methods(void)
{
    CHECK(!route_find("PATCH", "/api/v1/users/a", id, allow));
    CHECK_STR(allow, "GET, HEAD, PUT, DELETE");
    CHECK(!route_find("GET", "/api/v1/reload", id, allow));
    CHECK_STR(allow, "POST");
}

static void longest(void)
{
    char path[ROUTE_ID_MAX + 64];

    snprintf(path, sizeof(path), "/api/v1/users/%0*d", ROUTE_ID_MAX, 7);
    CHECK(route_find("GET", path, id, allow));
    CHECK_INT(strlen(id), ROUTE_ID_MAX);
    snprintf(path, sizeof(path), "/api/v1/users/%0*d", ROUTE_ID_MAX + 1, 7);
    CHECK(!route_find("GET", path, id, allow));
}

static void encoding(void)
{
    char text[32];

    CHECK(route_encode(text, sizeof(text), "a/b c:\xC3\xBC?"));
    CHECK_STR(text, "a%2Fb%20c:%C3%BC%3F");
    CHECK(route_decode(text));
    CHECK_STR(text, "a/b c:\xC3\xBC?");
    CHECK(!route_encode(text, 6, "a/bcd"));
}

/* Nothing that changes is open to a reader, and nothing but what must be is open to all. */
static void roles(void)
{
    const struct route *r;

    for (size_t i = 0; (r = route_nth(i)); i++) {
        printf("# %s %s\n", r->method, r->path);
        if (r->flags & ROUTE_CHANGES)
            CHECK(r->roles && !(r->roles & BEARER_READ));
        if (!r->roles)
            CHECK(r->kind != ROUTE_EVENTS && (r->kind != ROUTE_OPERATION || r->operation == ADMIN_READY));
        CHECK(!(r->flags & ROUTE_CORS) || r->operation == ADMIN_ICE_SERVERS);
    }
}

static const struct tap_test TESTS[] = {
    {"S12 paths are matched whole, and their variable part decoded once", paths},
    {"another method is told which there are", methods},
    {"names of every length that a user may have", longest},
    {"what is encoded is decoded to the same", encoding},
    {"S22 no route that changes anything is open to a reader or without a token", roles},
};

TAP_MAIN(TESTS)
