#include "programs/planeparts.h"

enum { PEER_TEXT_MAX = 128 }; /* bytes of an address with port and protocol, and room for a mistake */

/* The entries in force, of whatever source. */
static void add_entry(void *ctx, const struct policy_entry *e)
{
    json_array_append_new(ctx, storeops_peer(policy_source_name(e->source), e->allow ? "allow" : "deny", e->text));
}

static void add_entries(void *ctx, struct admin_answer *a)
{
    const struct plane *p = ctx;
    json_t *items = json_array();

    relay_policy_each(p->config.relay, add_entry, items);
    json_object_set_new(a->body, "items", items);
}

/* What is stored is the store's to say; what is in force, the relay's, which hears of a change within a second. */
void planepeers_ask(void *ctx, struct admin_call *call)
{
    struct plane *p = ctx;

    storethread_call(p->store, call, add_entries, p);
}

void planepeers_test(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    struct relay_judgement j;
    const char *peer;

    if (!admin_only(&call->request, "peer", &call->answer) ||
        !admin_text(&call->request, "peer", PEER_TEXT_MAX, &peer, &call->answer)) {
        admin_done(&call);
        return;
    }
    if (!peer || relay_explain(p->config.relay, peer, &j))
        admin_answer_problem(
            &call->answer, 400,
            "peer: an address is expected, with port and protocol if wanted: 10.1.2.3:5060/udp, [2001:db8::1]:80/tcp");
    else
        admin_answer_json(&call->answer, 200, json_pack("{s:s,s:b,s:s}", "peer", peer, "allowed", j.allowed, "entry", j.why));
    admin_done(&call);
}
