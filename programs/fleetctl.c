#include "programs/fleetctl.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redisnodes.h"
#include "base/err.h"
#include "base/random.h"
#include "programs/show.h"

static int fail(struct fleetctl *f, int err, const char *what, const char *why)
{
    snprintf(f->why, sizeof(f->why), "%s: %s", what, why);
    return err;
}

static int open_nodes(struct fleetctl *f, struct redisnodes **out)
{
    struct redis_target target;
    const char *why = err_str(ERR_NOMEM);
    int err;

    *out = NULL;
    if (!f->config->redis)
        return fail(f, ERR_INVAL, "a fleet", "there is no redis= in the configuration, where its nodes would meet");
    err = redisurl_parse(&target, f->config->redis, &why);
    if (!err)
        err = redisnodes_open(out, &target, f->config->redis_prefix);
    explicit_bzero(&target, sizeof(target));
    return err ? fail(f, err, "redis", why) : 0;
}

/* The nodes that live; `*nodes` is the caller's. */
static int read_nodes(struct fleetctl *f, struct fleet_node **nodes, size_t *n)
{
    struct redisnodes *r = NULL;
    int err;

    *n = 0;
    *nodes = calloc(FLEET_NODES_MAX, sizeof(**nodes));
    if (!*nodes)
        return fail(f, ERR_NOMEM, "nodes", err_str(ERR_NOMEM));
    err = open_nodes(f, &r);
    if (!err && (err = redisnodes_list(r, *nodes, n)))
        fail(f, err, "nodes", redisnodes_why(r));
    redisnodes_close(&r);
    return err;
}

/* ---- nodes ---- */

static json_t *node_json(const struct fleet_node *n)
{
    json_t *object = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:b,s:b}", "id", n->id, "version", n->version, "started",
                               (json_int_t)n->started, "capacity", (json_int_t)n->capacity, "load", (json_int_t)n->load, "used",
                               (json_int_t)n->used, "full", n->full, "draining", n->draining);
    json_t *addresses = json_array();
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < n->naddresses; i++)
        json_array_append_new(addresses, json_pack("{s:s,s:s}", "transport", n->address[i].stream ? "tcp" : "udp", "address",
                                                   addr_text(&n->address[i].addr, text)));
    json_object_set_new(object, "addresses", addresses);
    return object;
}

static void print_node(const struct fleet_node *n)
{
    char text[ADDR_TEXT_MAX] = "";

    printf("%-24s  %-8s  %8llu  %8llu  %4llu.%llu%%  %-10s  %s\n", n->id,
           n->draining ? "draining"
           : n->full   ? "full"
                       : "open",
           (unsigned long long)n->load, (unsigned long long)n->capacity, (unsigned long long)n->used / 10,
           (unsigned long long)n->used % 10, n->version, addr_text(&n->address[0].addr, text));
}

int fleetctl_nodes(struct fleetctl *f)
{
    struct fleet_node *nodes;
    json_t *array = NULL;
    size_t n;
    int err = read_nodes(f, &nodes, &n);

    if (err)
        goto out;
    if (f->json) {
        array = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(array, node_json(&nodes[i]));
        show_json(array);
        goto out;
    }
    if (n)
        printf("%-24s  %-8s  %8s  %8s  %7s  %-10s  %s\n", "ID", "STATE", "LOAD", "CAPACITY", "USED", "VERSION", "ADDRESS");
    else
        puts("No node is alive.");
    for (size_t i = 0; i < n; i++)
        print_node(&nodes[i]);
out:
    free(nodes);
    return err;
}

/* ---- drain ---- */

int fleetctl_drain(struct fleetctl *f)
{
    const char *id = f->node ? f->node : f->config->node_id;
    struct redisnodes *r = NULL;
    int err = open_nodes(f, &r);

    if (!err && (err = redisnodes_drain(r, id, !f->off)))
        fail(f, err, id, redisnodes_why(r));
    redisnodes_close(&r);
    if (err)
        return err;
    if (f->json)
        show_json(json_pack("{s:s,s:b}", "id", id, "draining", !f->off));
    else if (f->off)
        printf("%s takes new allocations again.\n", id);
    else
        printf("%s drains: new allocations are sent to other nodes, those that live go on.\n", id);
    return 0;
}

/* ---- ice-servers ---- */

static void add_uris(json_t *list, const struct fleet_node *n, bool turn)
{
    char uri[FLEET_URI_MAX];

    for (size_t i = 0; i < n->naddresses; i++) {
        if (!turn && n->address[i].stream)
            continue;
        fleet_uri(uri, &n->address[i], turn);
        json_array_append_new(list, json_string(uri));
    }
}

static int issue(struct fleetctl *f, char id[static TOKEN_TEXT_MAX + 1], char password[static TOKEN_PASSWORD_LEN + 1])
{
    struct token t = {.scope = TOKEN_TURN, .issued_at = f->now, .expires_at = f->expires_at};
    const char *why = "a text is too long";
    int err = 0;

    if ((size_t)snprintf(t.owner, sizeof(t.owner), "%s", f->owner ? f->owner : "ice") >= sizeof(t.owner) ||
        (size_t)snprintf(t.realm, sizeof(t.realm), "%s", f->config->realm) >= sizeof(t.realm))
        err = ERR_NOSPC;
    if (!err)
        err = token_issue(&t, password, &why);
    if (err)
        return fail(f, err, "ice-servers", why);
    err = tokenstore_issue(f->store, &t);
    if (err)
        fail(f, err, "ice-servers", f->store->why[0] ? f->store->why : err_str(err));
    memcpy(id, t.id, sizeof(t.id));
    token_wipe(&t);
    return err;
}

int fleetctl_ice_servers(struct fleetctl *f)
{
    char id[TOKEN_TEXT_MAX + 1], password[TOKEN_PASSWORD_LEN + 1] = "";
    json_t *stun = NULL, *turn = NULL;
    struct fleet_node *nodes;
    uint64_t seed;
    size_t n;
    int err = read_nodes(f, &nodes, &n);

    random_bytes(&seed, sizeof(seed));
    n = fleet_choose(nodes, n, seed);
    if (!err && !n)
        err = fail(f, ERR_NOENT, "ice-servers", "no node is alive that takes new allocations (see turnpikectl nodes)");
    if (!err)
        err = issue(f, id, password);
    if (err)
        goto out;
    stun = json_array();
    turn = json_array();
    add_uris(stun, &nodes[0], false);
    for (size_t i = 0; i < n && i < FLEETCTL_ICE_NODES; i++)
        add_uris(turn, &nodes[i], true);
    show_json(
        json_pack("{s:[{s:o},{s:o,s:s,s:s}]}", "iceServers", "urls", stun, "urls", turn, "username", id, "credential", password));
out:
    explicit_bzero(password, sizeof(password));
    free(nodes);
    return err;
}
