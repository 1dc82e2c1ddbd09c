#include "programs/keep.h"

#include <string.h>

/* How two values are compared. */
enum kind { PLAIN, TEXT, ADDRS, EXTERNALS, REDIS, STATSDB };

static const struct {
    const char *key;
    enum kind kind;
    size_t offset, size;
} KEYS[KEEP_KEYS] = {
#define FIELD(name, kind, member)                                                                                                  \
    {                                                                                                                              \
        name, kind, offsetof(struct config, member), sizeof(((struct config *)0)->member)                                          \
    }
    FIELD("listening-port", PLAIN, listening_port),
    FIELD("alt-listening-port", PLAIN, alt_listening_port),
    FIELD("listening-ip", ADDRS, listening_ip),
    FIELD("relay-ip", ADDRS, relay_ip),
    FIELD("external-ip", EXTERNALS, external_ip),
    FIELD("min-port", PLAIN, min_port),
    FIELD("max-port", PLAIN, max_port),
    FIELD("workers", PLAIN, workers),
    FIELD("realm", TEXT, realm),
    FIELD("state-dir", TEXT, state_dir),
    FIELD("rest-api-separator", PLAIN, rest_api_separator),
    FIELD("redis", REDIS, redis),
    FIELD("redis-statsdb", STATSDB, redis_statsdb),
    FIELD("redis-prefix", TEXT, redis_prefix),
    FIELD("node-id", TEXT, node_id),
    FIELD("admin-socket", TEXT, admin_socket),
    FIELD("admin-listen", PLAIN, admin_listen),
    FIELD("connect-listen", PLAIN, connect_listen),
    FIELD("app-listen", PLAIN, app_listen),
#undef FIELD
};

const char *keep_key(unsigned i)
{
    return i < KEEP_KEYS ? KEYS[i].key : NULL;
}

/* Two lists of plain values without padding. */
static bool lists_differ(const void *a, size_t na, const void *b, size_t nb, size_t size)
{
    return na != nb || (na && memcmp(a, b, na * size) != 0);
}

static bool differs(const struct credentials *cr, const struct config *old, const struct config *new, unsigned i)
{
    const char *a = (const char *)old + KEYS[i].offset, *b = (const char *)new + KEYS[i].offset;

    switch (KEYS[i].kind) {
    case PLAIN:
        return memcmp(a, b, KEYS[i].size) != 0;
    case TEXT:
        return strcmp(*(char *const *)(const void *)a, *(char *const *)(const void *)b) != 0;
    case ADDRS: {
        const struct config_addrs *x = (const void *)a, *y = (const void *)b;

        return lists_differ(x->item, x->n, y->item, y->n, sizeof(*x->item));
    }
    case EXTERNALS:
        return lists_differ(old->external_ip.item, old->external_ip.n, new->external_ip.item, new->external_ip.n,
                            sizeof(*old->external_ip.item));
    case REDIS:
        return credentials_other_redis(cr, new);
    case STATSDB:
        return credentials_other_statsdb(cr, new);
    }
    return false;
}

unsigned keep_changed(const struct credentials *cr, const struct config *old, const struct config *new)
{
    unsigned changed = 0;

    for (unsigned i = 0; i < KEEP_KEYS; i++)
        changed |= differs(cr, old, new, i) ? 1U << i : 0U;
    return changed;
}

static void swap(void *a, void *b, size_t n)
{
    char *x = a, *y = b, c;

    for (; n; n--, x++, y++) {
        c = *x;
        *x = *y;
        *y = c;
    }
}

/* What is shown of a key goes with its value; one that has none is not shown, and then there is nothing to put in its place. */
static void swap_shown(struct config *old, struct config *new, const char *key)
{
    struct config_shown *a = NULL, *b = NULL;

    for (size_t i = 0; i < old->nshown; i++)
        if (strcmp(old->shown[i].key, key) == 0)
            a = &old->shown[i];
    for (size_t i = 0; i < new->nshown; i++)
        if (strcmp(new->shown[i].key, key) == 0)
            b = &new->shown[i];
    if (a && b)
        swap(a, b, sizeof(*a));
}

void keep_swap(struct config *old, struct config *new, unsigned changed)
{
    for (unsigned i = 0; i < KEEP_KEYS; i++) {
        if (!(changed & 1U << i) || KEYS[i].kind == REDIS || KEYS[i].kind == STATSDB)
            continue;
        swap((char *)old + KEYS[i].offset, (char *)new + KEYS[i].offset, KEYS[i].size);
        swap_shown(old, new, KEYS[i].key);
    }
}
