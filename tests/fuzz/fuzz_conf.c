/* Whatever is in a configuration file: the parser says so in one line, and leaks and overruns nothing. */
#include "base/conf.h"

#include "base/err.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct config {
    char *realm;
    struct conf_list users;
    uint64_t lifetime, bps;
    uint16_t port;
    bool strict;
    unsigned xdp;
    unsigned sum;
};

static const char *const xdp_names[] = {"off", "auto", "native", "generic", NULL};

static int set_sum(void *target, const char *value, char *expected, size_t cap)
{
    struct config *c = target;
    uint64_t v;
    int err = conf_read_uint(&v, value, 0, 9);

    if (err)
        snprintf(expected, cap, "a digit, not %s", value);
    else
        c->sum += (unsigned)v;
    return err;
}

static const struct conf_key keys[] = {
    {"realm", CONF_STRING, CONF_FIELD(struct config, realm), .flags = CONF_MAY_BE_EMPTY, .preset = "example.org"},
    {"user", CONF_LIST, CONF_FIELD(struct config, users), .flags = CONF_SECRET},
    {"max-lifetime", CONF_UINT, CONF_FIELD(struct config, lifetime), .min = 1, .needs = "realm"},
    {"max-bps", CONF_BPS, CONF_FIELD(struct config, bps)},
    {"listening-port", CONF_PORT, CONF_FIELD(struct config, port)},
    {"strict-channel-range", CONF_BOOL, CONF_FIELD(struct config, strict)},
    {"xdp", CONF_CHOICE, CONF_FIELD(struct config, xdp), .choices = xdp_names},
    {"sum", CONF_CUSTOM, .set = set_sum, .flags = CONF_REPEAT},
    {"help", CONF_BOOL, CONF_FIELD(struct config, strict), .flags = CONF_OPTION_ONLY},
};

static const struct conf_table table = {keys, sizeof(keys) / sizeof(keys[0]), "TURNPIKE_"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config = {0};
    struct conf_error e = {""};
    struct conf *c;
    int err;

    if (conf_new(&c, &table))
        return 0;
    err = conf_buffer(c, "fuzz.conf", (const char *)data, size, &e);
    if (!err)
        err = conf_apply(c, &config, &e);
    if (err) {
        assert(err == ERR_CONFIG && *e.text && strlen(e.text) < sizeof(e.text));
        assert(!strpbrk(e.text, "\r\n"));
        assert(!config.realm && !config.users.n);
    }
    conf_release(&table, &config);
    conf_free(&c);
    return 0;
}
