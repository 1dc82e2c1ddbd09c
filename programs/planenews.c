#include <inttypes.h>

#include "programs/planeparts.h"

static void tell_allocation(const struct plane *p, const struct feed_news *n)
{
    char id[PLANE_ID_DIGITS + 1], client[ADDR_TEXT_MAX];
    json_t *event;

    snprintf(id, sizeof(id), PLANE_ID, n->id);
    event = json_pack("{s:s,s:s,s:s,s:s,s:s}", "what", n->kind == FEED_CREATED ? "created" : "deleted", "id", id, "user", n->user,
                      "client", addr_text(&n->client, client), "transport", n->stream ? "tcp" : "udp");
    if (event && n->kind == FEED_DELETED)
        json_object_update_new(event, json_pack("{s:s,s:I,s:I,s:I,s:I}", "reason", feed_reason(n), "packets_up",
                                                (json_int_t)n->packets_up, "bytes_up", (json_int_t)n->bytes_up, "packets_down",
                                                (json_int_t)n->packets_down, "bytes_down", (json_int_t)n->bytes_down));
    admin_tell(p->admin, "allocation", event);
}

static void tell_failure(const struct plane *p, const struct feed_news *n, const char *reason)
{
    char client[ADDR_TEXT_MAX];

    admin_tell(p->admin, "auth_failure",
               json_pack("{s:s,s:s,s:s}", "user", n->user, "client", addr_text(&n->client, client), "reason", reason));
}

static void tell_quota(const struct plane *p, const struct feed_news *n)
{
    admin_tell(p->admin, "quota", json_pack("{s:s,s:s}", "owner", n->user, "limit", feed_reason(n)));
}

void plane_news(struct plane *p, const struct feed_news *n)
{
    if (!p)
        return;
    switch (n->kind) {
    case FEED_CREATED:
    case FEED_DELETED:
        tell_allocation(p, n);
        break;
    case FEED_AUTH_FAILED:
        tell_failure(p, n, feed_reason(n));
        break;
    case FEED_THROTTLED:
        tell_failure(p, n, "throttled");
        break;
    case FEED_QUOTA_REFUSED:
        tell_quota(p, n);
        break;
    case FEED_REFRESHED:   /* each few minutes, of each: nobody would see the rest */
    case FEED_PEER_DENIED: /* in the log, and counted */
    case FEED_KINDS:
        break;
    }
}
