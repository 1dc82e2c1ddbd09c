#include "programs/planeparts.h"

/* The status is kept as text; an answer has those of its page alone as objects. */
static void read_statuses(json_t *items)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        const char *text = json_string_value(json_object_get(item, "status"));

        if (text)
            json_object_set_new(item, "status", json_loads(text, 0, NULL));
    }
}

void planebridges_list(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    const char *tenant;

    if (admin_text(&call->request, "tenant", AUTH_TENANT_MAX, &tenant, &call->answer)) {
        admin_answer_page(&call->request, rendezvous_bridges(p->config.rendezvous, tenant), &call->answer);
        read_statuses(json_object_get(call->answer.body, "items"));
    }
    admin_done(&call);
}
