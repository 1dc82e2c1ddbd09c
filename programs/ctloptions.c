#include "programs/ctloptions.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define BIT(verb) (1U << CTL_##verb)

enum {
    EVERYWHERE = ~0,
    MADE = BIT(TOKEN_ISSUE) | BIT(USER_ADD), /* what makes a credential */
};

enum kind { KIND_TEXT, KIND_FLAG, KIND_CONFIG, KIND_PEER };

#define TEXT(member) KIND_TEXT, offsetof(struct options, member)
#define FLAG(member) KIND_FLAG, offsetof(struct options, member)

static const struct {
    const char *name;
    unsigned verbs; /* bits of enum ctl_verb */
    enum kind kind;
    size_t where; /* its value, in struct options */
} TABLE[] = {
    {"help", (unsigned)EVERYWHERE, FLAG(help)},
    {"version", (unsigned)EVERYWHERE, FLAG(version)},
    {"json", (unsigned)EVERYWHERE, FLAG(json)},
    {"config", (unsigned)EVERYWHERE, KIND_CONFIG, 0},
    {"owner", MADE | BIT(TOKEN_LIST) | BIT(USAGE_SHOW) | BIT(ICE_SERVERS), TEXT(owner)},
    {"label", MADE | BIT(USAGE_SHOW), TEXT(label)},
    {"tenant", MADE, TEXT(tenant)},
    {"scope", MADE, TEXT(scope)},
    {"realm", MADE, TEXT(realm)},
    {"expires", MADE | BIT(ADMIN_TOKEN_ISSUE), TEXT(expires)},
    {"not-before", MADE, TEXT(not_before)},
    {"max-allocations", MADE, TEXT(max_allocations)},
    {"max-bps", MADE, TEXT(max_bps)},
    {"max-bytes", MADE, TEXT(max_bytes)},
    {"allow-peer", MADE, KIND_PEER, 0},
    {"password-stdin", BIT(USER_ADD), FLAG(password_stdin)},
    {"before", BIT(USER_REVOKE), TEXT(before)},
    {"by", BIT(USAGE_SHOW), TEXT(by)},
    {"since", BIT(USAGE_SHOW), TEXT(since)},
    {"node", BIT(DRAIN), TEXT(node)},
    {"off", BIT(DRAIN), FLAG(off)},
    {"ttl", BIT(ICE_SERVERS), TEXT(ttl)},
    {"role", BIT(ADMIN_TOKEN_ISSUE), TEXT(role)},
};

enum { TABLE_N = sizeof(TABLE) / sizeof(TABLE[0]) };
_Static_assert(TABLE_N <= 32, "a bit each in struct options");

/* One peer more. */
static bool add_peer(struct options *o, const char *entry)
{
    size_t n = strlen(o->peers);

    if ((size_t)snprintf(o->peers + n, sizeof(o->peers) - n, "%s%s", n ? " " : "", entry) < sizeof(o->peers) - n)
        return true;
    fprintf(stderr, "turnpikectl: --allow-peer: at most %d bytes in all\n", TOKEN_PEERS_MAX);
    return false;
}

static bool take(struct options *o, int i, char *value)
{
    char *member = (char *)o + TABLE[i].where;

    o->given |= 1U << i;
    switch (TABLE[i].kind) {
    case KIND_TEXT:
        memcpy(member, &value, sizeof(value));
        break;
    case KIND_FLAG:
        memcpy(member, &(bool){true}, sizeof(bool));
        break;
    case KIND_CONFIG:
        o->config_file = value;
        break;
    case KIND_PEER:
        return add_peer(o, value);
    }
    return true;
}

bool ctloptions_read(struct options *o, int argc, char **argv, int *first)
{
    struct option options[TABLE_N + 1] = {{0}};
    int found, index = 0;

    *o = (struct options){0};
    for (int i = 0; i < TABLE_N; i++)
        options[i] = (struct option){TABLE[i].name, TABLE[i].kind == KIND_FLAG ? no_argument : required_argument, NULL, 0};
    while ((found = getopt_long(argc, argv, "", options, &index)) != -1)
        if (found || !take(o, index, optarg))
            return false; /* getopt has said why */
    *first = optind;
    return true;
}

const char *ctloptions_stray(const struct options *o, enum ctl_verb verb)
{
    for (int i = 0; i < TABLE_N; i++)
        if ((o->given & 1U << i) && !(TABLE[i].verbs & 1U << verb))
            return TABLE[i].name;
    return NULL;
}
