/* Bearer tokens: the file, its changes, roles and ends. */
#include "admin/bearer.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/random.h"
#include "tests/unit/tap.h"

static char path[64];
static struct bearers *bearers;
static struct bearer got;

/* A line of the file for a token. */
static void line_of(char *out, size_t cap, const char *name, const char *roles, long expires, const char *token)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char hex[65];

    EVP_Digest(token, strlen(token), hash, NULL, EVP_sha256(), NULL);
    hex_encode(hex, hash, 32);
    snprintf(out, cap, "%s %s %ld %s\n", name, roles, expires, hex);
}

/* As turnpikectl: a new file in place of the old one. */
static void put(const char *text)
{
    char fresh[80];
    FILE *f;

    snprintf(fresh, sizeof(fresh), "%s.new", path);
    f = fopen(fresh, "w");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
    if (rename(fresh, path))
        perror(fresh);
}

static bool up(void)
{
    snprintf(path, sizeof(path), "/tmp/turnpike-test-bearer-%d", (int)getpid());
    unlink(path);
    return bearers_new(&bearers, path) == 0;
}

static void down(void)
{
    bearers_free(&bearers);
    unlink(path);
}

static void find(void)
{
    char first[256], second[256], text[1024];

    CHECK(up());
    CHECK_INT(bearers_find(bearers, "tpa_a", 100, &got), ERR_NOENT); /* there is no file yet */
    line_of(first, sizeof(first), "ops", "read,admin", 0, "tpa_a");
    line_of(second, sizeof(second), "app", "credentials", 200, "tpa_b");
    snprintf(text, sizeof(text), "# who may\n\n%s  %s", first, second);
    put(text);
    CHECK_INT(bearers_find(bearers, "tpa_a", 100, &got), 0);
    CHECK_STR(got.name, "ops");
    CHECK_INT(got.roles, BEARER_READ | BEARER_ADMIN);
    CHECK_INT(bearers_find(bearers, "tpa_b", 199, &got), 0);
    CHECK_INT(got.roles, BEARER_CREDENTIALS);
    CHECK_INT(bearers_find(bearers, "tpa_b", 200, &got), ERR_STALE);
    CHECK_INT(bearers_find(bearers, "tpa_c", 100, &got), ERR_NOENT);
    CHECK_INT(bearers_find(bearers, "", 100, &got), ERR_NOENT);
    put(second);
    CHECK_INT(bearers_find(bearers, "tpa_a", 100, &got), ERR_NOENT); /* revoked, without a restart */
    unlink(path);
    CHECK_INT(bearers_find(bearers, "tpa_b", 100, &got), ERR_NOENT);
    down();
}

static void broken(void)
{
    static const char *const BAD[] = {"ops read 0\n", "ops root 0 00\n", "ops read x 00\n", "ops read -1 00\n", "ops , 0 00\n"};
    char line[256], text[1024];

    CHECK(up());
    line_of(line, sizeof(line), "ops", "read", 0, "tpa_a");
    put(line);
    CHECK_INT(bearers_find(bearers, "tpa_a", 1, &got), 0);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        printf("# %s", BAD[i]);
        snprintf(text, sizeof(text), "%s", BAD[i]);
        if (strlen(text) > 4 && strcmp(text + strlen(text) - 4, " 00\n") == 0)
            snprintf(text + strlen(text) - 3, sizeof(text) / 2, "%064d\n", 0);
        put(text);
        CHECK_INT(bearers_find(bearers, "tpa_a", 1, &got), 0); /* the old ones stay */
    }
    line_of(line, sizeof(line), "ops", "read", 0, "tpa_z");
    put(line);
    CHECK_INT(bearers_find(bearers, "tpa_z", 1, &got), 0);
    CHECK_INT(bearers_find(bearers, "tpa_a", 1, &got), ERR_NOENT);
    down();
}

static void roles(void)
{
    CHECK_INT(bearer_roles("read"), BEARER_READ);
    CHECK_INT(bearer_roles("admin,read,credentials"), BEARER_ALL);
    CHECK_INT(bearer_roles(""), 0);
    CHECK_INT(bearer_roles("root"), 0);
    CHECK_INT(bearer_roles("read,"), BEARER_READ);
    CHECK_INT(bearer_roles("read,,admin"), 0);
    for (unsigned roles = 1; roles <= BEARER_ALL; roles++)
        CHECK_INT(bearer_roles(bearer_roles_text(roles)), roles);
}

static const struct tap_test TESTS[] = {
    {"S22 a token is found by its hash, until it expires or its line goes", find},
    {"S22 a file that can't be read leaves what was read before in force", broken},
    {"roles by their names", roles},
};

TAP_MAIN(TESTS)
