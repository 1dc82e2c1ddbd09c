#include <inttypes.h>

#include "programs/planeparts.h"

void plane_news(struct plane *p, const struct feed_news *n)
{
    static const char *const WHAT[] = {[FEED_CREATED] = "created", [FEED_REFRESHED] = "refreshed", [FEED_DELETED] = "deleted"};
    char id[PLANE_ID_DIGITS + 1], client[ADDR_TEXT_MAX];

    if (!p || n->kind == FEED_REFRESHED)
        return;
    snprintf(id, sizeof(id), PLANE_ID, n->id);
    admin_tell(p->admin, "allocation",
               json_pack("{s:s,s:s,s:s,s:s,s:s}", "what", WHAT[n->kind], "id", id, "user", n->user, "client",
                         addr_text(&n->client, client), "transport", n->stream ? "tcp" : "udp"));
}
