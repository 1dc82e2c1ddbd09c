#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/route.h"
#include "base/err.h"
#include "programs/storeops.h"
#include "programs/storeparts.h"

enum {
    ENTRIES_MAX = 1024,  /* of a list: each packet that has to be judged may walk them all */
    PEER_TEXT_MAX = 128, /* bytes of an entry with its action, and room for a mistake */
};

/* ---- Rules for peers. ---- */

json_t *storeops_peer(const char *source, const char *action, const char *entry)
{
    char id[PEER_TEXT_MAX * 3], plain[PEER_TEXT_MAX];

    snprintf(plain, sizeof(plain), "%s:%s:%s", source, action, entry);
    if (!route_encode(id, sizeof(id), plain))
        id[0] = '\0';
    return json_pack("{s:s,s:s,s:s,s:s}", "id", id, "entry", entry, "action", action, "source", source);
}

static void add_items(json_t *items, const char *action, const json_t *entries)
{
    for (size_t i = 0; i < json_array_size(entries); i++)
        json_array_append_new(items, storeops_peer("stored", action, json_string_value(json_array_get(entries, i))));
}

/* The stored ones alone: those in force are known to a relay that runs. */
static json_t *peers_json(const struct tokenstore_peers *p)
{
    json_t *allow = storejson_peers(p->allow), *deny = storejson_peers(p->deny), *items = json_array();

    add_items(items, "deny", deny);
    add_items(items, "allow", allow);
    return json_pack("{s:o,s:n,s:o,s:o}", "items", items, "next", "allow", allow, "deny", deny);
}

/* What can be changed of it. */
static json_t *peers_version(const json_t *peers)
{
    return json_pack("{s:O,s:O}", "allow", json_object_get(peers, "allow"), "deny", json_object_get(peers, "deny"));
}

static void answer_peers(struct admin_answer *a, const struct tokenstore_peers *p)
{
    json_t *peers = peers_json(p);

    admin_answer_json(a, 200, json_incref(peers));
    admin_answer_version(a, peers_version(peers));
    json_decref(peers);
}

void storerules_get_peers(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct tokenstore_peers *p = calloc(1, sizeof(*p));
    int err = p ? tokenstore_get_peers(&s->store, p) : ERR_NOMEM;

    (void)r;
    if (err)
        storeops_store_failed(s, err, "peers", a);
    else
        answer_peers(a, p);
    free(p);
}

/* Both lists are said, so that a forgotten one is not an empty one. */
static bool read_list(const struct admin_request *r, const char *key, char *out, struct admin_answer *a)
{
    const json_t *list = json_object_get(r->body, key);

    if (!json_is_array(list) || json_array_size(list) > ENTRIES_MAX) {
        admin_answer_problem(a, 400, "%s: an array of at most %d entries is expected", key, ENTRIES_MAX);
        return false;
    }
    return storejson_read_peers(r, key, out, TOKENSTORE_PEERS_MAX + 1, a);
}

void storerules_put_peers(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct tokenstore_peers *p = calloc(2, sizeof(*p)), *old = p + 1;
    json_t *there, *current = NULL;
    int err = p ? 0 : ERR_NOMEM;

    if (!err && (!admin_only(r, "allow deny", a) || !read_list(r, "allow", p->allow, a) || !read_list(r, "deny", p->deny, a)))
        goto out;
    if (!err && r->if_match) {
        err = tokenstore_get_peers(&s->store, old);
        there = err ? NULL : peers_json(old);
        current = err ? NULL : peers_version(there);
        json_decref(there);
        if (!err && !admin_matches(r, current, a))
            goto out;
    }
    if (!err)
        err = tokenstore_put_peers(&s->store, p, r->now);
    if (err)
        storeops_store_failed(s, err, "peers", a);
    else
        answer_peers(a, p);
out:
    json_decref(current);
    free(p);
}

/* ---- Limits of owners. ---- */

static json_t *quota_json(const struct storeops *s, const char *owner, const struct auth_limits *limits)
{
    json_t *object = json_object();
    struct auth_held held = {0};

    if (s->auth)
        auth_quota_held(s->auth, owner, &held);

    storejson_text(object, "owner", owner);
    storejson_number(object, "max_allocations", limits->allocations);
    storejson_number(object, "max_bps", (int64_t)limits->bps);
    json_object_set_new(object, "allocations", json_integer((json_int_t)held.count + held.pending));
    return object;
}

static json_t *quota_version(const struct auth_limits *limits)
{
    return json_pack("{s:I,s:I}", "max_allocations", (json_int_t)limits->allocations, "max_bps", (json_int_t)limits->bps);
}

static void answer_quota(const struct storeops *s, struct admin_answer *a, const char *owner, const struct auth_limits *limits)
{
    admin_answer_json(a, 200, quota_json(s, owner, limits));
    admin_answer_version(a, quota_version(limits));
}

static bool is_owner(const struct admin_request *r, struct admin_answer *a)
{
    char prepared[STUN_USERNAME_MAX + 1];

    if (r->id && auth_opaque_string(prepared, sizeof(prepared), r->id, strlen(r->id)) == 0)
        return true;
    admin_answer_problem(a, 400, "an owner in UTF-8 without control characters is expected, of at most %d bytes",
                         STUN_USERNAME_MAX);
    return false;
}

void storerules_get_quota(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct auth_limits limits;
    int err;

    if (!is_owner(r, a))
        return;
    err = tokenstore_get_quota(&s->store, r->id, &limits);
    if (err)
        storeops_store_failed(s, err, r->id, a);
    else
        answer_quota(s, a, r->id, &limits);
}

/* A limit of 0 would be none: who asks for one does not mean that. */
void storerules_put_quota(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct auth_limits limits, old;
    int64_t allocations, bps;
    json_t *current = NULL;
    int err = 0;

    if (!r->body)
        admin_answer_problem(a, 400, "a body is expected; {} takes his limits away");
    if (!r->body || !admin_only(r, "max_allocations max_bps", a) || !is_owner(r, a) ||
        !admin_number(r, "max_allocations", 1, UINT32_MAX, 0, &allocations, a) ||
        !admin_number(r, "max_bps", 1, STOREPARTS_NUMBER_MAX, 0, &bps, a))
        return;
    limits = (struct auth_limits){.allocations = (uint32_t)allocations, .bps = (uint64_t)bps};
    if (r->if_match) {
        err = tokenstore_get_quota(&s->store, r->id, &old);
        current = err ? NULL : quota_version(&old);
        if (!err && !admin_matches(r, current, a))
            goto out;
    }
    if (!err)
        err = tokenstore_put_quota(&s->store, r->id, &limits, r->now);
    if (err)
        storeops_store_failed(s, err, r->id, a);
    else
        answer_quota(s, a, r->id, &limits);
out:
    json_decref(current);
}
