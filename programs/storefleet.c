#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/random.h"
#include "programs/storeparts.h"

enum { PER_MILLE = 1000 };

/* The nodes that live; `*nodes` is the caller's. Without a fleet there are none. */
static int read_nodes(struct storeops *s, struct fleet_node **nodes, size_t *n)
{
    *n = 0;
    *nodes = calloc(FLEET_NODES_MAX, sizeof(**nodes));
    if (!*nodes)
        return ERR_NOMEM;
    return s->nodes ? redisnodes_list(s->nodes, *nodes, n) : 0;
}

static const char *why(const struct storeops *s)
{
    return s->nodes ? redisnodes_why(s->nodes) : "";
}

/* ---- Where clients are sent. ---- */

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

static int uris_of_fleet(struct storeops *s, json_t *stun, json_t *turn)
{
    struct fleet_node *nodes;
    uint64_t seed;
    size_t n;
    int err = read_nodes(s, &nodes, &n);

    random_bytes(&seed, sizeof(seed));
    if (!err) {
        n = fleet_choose(nodes, n, seed);
        if (n)
            add_uris(stun, &nodes[0], false);
        for (size_t i = 0; i < n && i < STOREPARTS_ICE_NODES; i++)
            add_uris(turn, &nodes[i], true);
    }
    free(nodes);
    return err;
}

int storefleet_uris(struct storeops *s, json_t **stun, json_t **turn)
{
    int err = 0;

    *stun = s->nodes ? json_array() : json_copy(s->stun);
    *turn = s->nodes ? json_array() : json_copy(s->turn);
    if (!*stun || !*turn)
        err = ERR_NOMEM;
    if (!err && s->nodes)
        err = uris_of_fleet(s, *stun, *turn);
    return err || json_array_size(*turn) ? err : ERR_NOENT;
}

/* ---- The nodes. ---- */

static json_t *node_json(const struct fleet_node *n)
{
    json_t *uris = json_array();

    add_uris(uris, n, false);
    add_uris(uris, n, true);
    return json_pack("{s:s,s:s,s:s,s:I,s:f,s:I,s:I,s:o}", "id", n->id, "state",
                     n->draining ? "draining"
                     : n->full   ? "full"
                                 : "serving",
                     "version", n->version, "started_at", (json_int_t)n->started, "load", (double)n->used / PER_MILLE, "capacity",
                     (json_int_t)n->capacity, "allocations", (json_int_t)n->load, "addresses", uris);
}

void storefleet_nodes(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct fleet_node *nodes;
    json_t *items = json_array();
    size_t n;
    int err = read_nodes(s, &nodes, &n);

    for (size_t i = 0; i < n && !err; i++)
        json_array_append_new(items, node_json(&nodes[i]));
    if (err)
        storeops_failed(why(s), err, "nodes", a);
    else
        admin_answer_page(r, json_incref(items), a);
    json_decref(items);
    free(nodes);
}

/* ---- Draining, wished of any node. ---- */

/* What is wished of a name that is misspelt, nobody would ever heed. */
static bool lives(struct storeops *s, const char *node, struct admin_answer *a)
{
    struct fleet_node *nodes;
    size_t n, i = 0;
    int err = read_nodes(s, &nodes, &n);

    while (!err && i < n && strcmp(nodes[i].id, node) != 0)
        i++;
    free(nodes);
    if (err)
        storeops_failed(why(s), err, node, a);
    else if (i == n)
        admin_answer_problem(a, 404, "%s: no such node lives: see turnpikectl nodes", node);
    return !err && i < n;
}

static bool wish(struct storeops *s, const struct admin_request *r, bool on, const char **node, struct admin_answer *a)
{
    int err;

    if (!admin_text(r, "node", TOKEN_TEXT_MAX, node, a))
        return false;
    if (!*node)
        *node = s->node;
    if (!s->nodes) {
        admin_answer_problem(a, 409, "there is no fleet, where nodes would be told: there is no redis= in the configuration");
        return false;
    }
    if (on && !lives(s, *node, a))
        return false;
    err = redisnodes_drain(s->nodes, *node, on);
    if (err)
        storeops_failed(why(s), err, *node, a);
    return !err;
}

void storefleet_drain(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    const char *node;

    if (!admin_only(r, "node deadline_s", a))
        return;
    if (json_is_integer(json_object_get(r->body, "deadline_s")))
        admin_answer_problem(a, 409, "deadline_s: only a node that is asked itself can end what lives on it");
    else if (wish(s, r, true, &node, a))
        admin_answer_json(a, 202, json_pack("{s:s,s:b,s:n}", "node", node, "draining", 1, "deadline_at"));
}

void storefleet_end(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    const char *node;

    if (wish(s, r, false, &node, a))
        admin_answer_json(a, 200, json_pack("{s:s,s:b}", "node", node, "draining", 0));
}
