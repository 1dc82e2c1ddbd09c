#include "programs/ctloptions.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define BIT(verb) (UINT64_C(1) << CTL_##verb)

#define EVERYWHERE UINT64_MAX
#define MADE       (BIT(TOKEN_ISSUE) | BIT(USER_ADD) | BIT(USER_SET)) /* what makes a credential */
#define WATCHED    (BIT(STATUS) | BIT(ALLOCATIONS) | BIT(USAGE_SHOW) | BIT(NODES) | BIT(BRIDGE_STATUS))
#define HANDED_OUT (BIT(CREDENTIALS) | BIT(ICE_SERVERS))
#define NEVER_TOLD (BIT(IMPORT_COTURN) | BIT(ADMIN_TOKEN_ISSUE) | BIT(ADMIN_TOKEN_LIST) | BIT(ADMIN_TOKEN_REVOKE))
#define ASKED      (EVERYWHERE & ~NEVER_TOLD) /* of a relay */

enum kind { KIND_TEXT, KIND_FLAG, KIND_LIST };

#define TEXT(member) KIND_TEXT, offsetof(struct options, member)
#define FLAG(member) KIND_FLAG, offsetof(struct options, member)
#define LIST(member) KIND_LIST, offsetof(struct options, member)

static const struct {
    const char *name;
    uint64_t verbs; /* bits of enum ctl_verb */
    enum kind kind;
    size_t where; /* its value, in struct options */
} TABLE[] = {
    {"help", EVERYWHERE, FLAG(help)},
    {"version", EVERYWHERE, FLAG(version)},
    {"output", EVERYWHERE & ~BIT(IMPORT_COTURN), TEXT(output)},
    {"json", EVERYWHERE & ~BIT(IMPORT_COTURN), FLAG(json)},
    {"config", EVERYWHERE & ~BIT(IMPORT_COTURN), TEXT(config_file)},
    {"socket", ASKED, TEXT(socket)},
    {"url", ASKED, TEXT(url)},
    {"token-file", ASKED, TEXT(token_file)},
    {"cacert", ASKED, TEXT(cacert)},
    {"offline", ASKED, FLAG(offline)},
    {"owner", MADE | BIT(TOKEN_LIST) | BIT(USAGE_SHOW) | BIT(ICE_SERVERS), TEXT(owner)},
    {"label", MADE | BIT(TOKEN_LIST) | BIT(USAGE_SHOW) | BIT(ICE_SERVERS), TEXT(label)},
    {"tenant", MADE | BIT(BRIDGE_STATUS), TEXT(tenant)},
    {"scope", MADE, TEXT(scope)},
    {"realm", MADE, TEXT(realm)},
    {"expires", MADE | BIT(ADMIN_TOKEN_ISSUE), TEXT(expires)},
    {"not-before", MADE, TEXT(not_before)},
    {"max-allocations", MADE | BIT(QUOTA_SET), TEXT(max_allocations)},
    {"max-bps", MADE | BIT(QUOTA_SET), TEXT(max_bps)},
    {"max-bytes", MADE, TEXT(max_bytes)},
    {"allow-peer", MADE, LIST(peers)},
    {"password-stdin", BIT(USER_ADD) | BIT(USER_SET), FLAG(password_stdin)},
    {"before", BIT(USER_REVOKE), TEXT(before)},
    {"by", BIT(USAGE_SHOW), TEXT(by)},
    {"since", BIT(USAGE_SHOW) | BIT(EVENTS), TEXT(since)},
    {"until", BIT(USAGE_SHOW), TEXT(until)},
    {"ttl", HANDED_OUT, TEXT(ttl)},
    {"user", BIT(ALLOCATIONS) | BIT(KICK), TEXT(user)},
    {"client", BIT(ALLOCATIONS), TEXT(client)},
    {"peer", BIT(ALLOCATIONS), TEXT(peer)},
    {"transport", BIT(ALLOCATIONS), TEXT(transport)},
    {"watch", WATCHED, FLAG(watch)},
    {"allow", BIT(PEERS_SET), LIST(allow)},
    {"deny", BIT(PEERS_SET), LIST(deny)},
    {"clear", BIT(PEERS_SET), FLAG(clear)},
    {"node", BIT(DRAIN), TEXT(node)},
    {"off", BIT(DRAIN), FLAG(off)},
    {"bridge", BIT(BRIDGE_CHECK), TEXT(bridge)},
    {"quick", BIT(BRIDGE_CHECK), FLAG(quick)},
    {"deadline", BIT(DRAIN), TEXT(deadline)},
    {"type", BIT(EVENTS), TEXT(type)},
    {"role", BIT(ADMIN_TOKEN_ISSUE), TEXT(role)},
};

enum { TABLE_N = sizeof(TABLE) / sizeof(TABLE[0]) };
_Static_assert(TABLE_N <= 64 && CTL_VERBS <= 64, "a bit each");

static bool add_item(struct option_list *l, const char *name, const char *value)
{
    if (l->n < OPTIONS_LIST_MAX) {
        l->item[l->n++] = value;
        return true;
    }
    fprintf(stderr, "turnpikectl: --%s: at most %d times\n", name, OPTIONS_LIST_MAX);
    return false;
}

static bool take(struct options *o, int i, char *value)
{
    char *member = (char *)o + TABLE[i].where;

    o->given |= UINT64_C(1) << i;
    switch (TABLE[i].kind) {
    case KIND_TEXT:
        memcpy(member, &value, sizeof(value));
        break;
    case KIND_FLAG:
        memcpy(member, &(bool){true}, sizeof(bool));
        break;
    case KIND_LIST:
        return add_item((struct option_list *)(void *)member, TABLE[i].name, value);
    }
    return true;
}

/* -o is --output, which says the same as --json. */
static int index_of(const char *name)
{
    int i = 0;

    while (strcmp(TABLE[i].name, name) != 0)
        i++;
    return i;
}

bool ctloptions_read(struct options *o, int argc, char **argv, int *first)
{
    struct option options[TABLE_N + 1] = {{0}};
    int found, index = 0, output = index_of("output");

    *o = (struct options){0};
    for (int i = 0; i < TABLE_N; i++)
        options[i] = (struct option){TABLE[i].name, TABLE[i].kind == KIND_FLAG ? no_argument : required_argument, NULL, 0};
    while ((found = getopt_long(argc, argv, "o:", options, &index)) != -1)
        if ((found && found != 'o') || !take(o, found ? output : index, optarg))
            return false; /* getopt has said why */
    if (o->output && strcmp(o->output, "json") != 0 && strcmp(o->output, "table") != 0) {
        fprintf(stderr, "turnpikectl: -o %s: json or table is expected\n", o->output);
        return false;
    }
    o->json = o->json || (o->output && strcmp(o->output, "json") == 0);
    *first = optind;
    return true;
}

const char *ctloptions_stray(const struct options *o, enum ctl_verb verb)
{
    for (int i = 0; i < TABLE_N; i++)
        if ((o->given & UINT64_C(1) << i) && !(TABLE[i].verbs & UINT64_C(1) << verb))
            return TABLE[i].name;
    return NULL;
}

const char *ctloptions_nth(size_t i, enum ctl_verb verb, bool *belongs)
{
    if (i >= TABLE_N)
        return NULL;
    *belongs = TABLE[i].verbs & UINT64_C(1) << verb;
    return TABLE[i].name;
}
