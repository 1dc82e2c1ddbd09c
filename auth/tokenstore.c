#include "auth/tokenstore.h"

#include <stdio.h>

#include "base/err.h"

const char TOKENSTORE_QUOTAS_FULL[] = "as many owners have limits of their own as may; take back one that is not needed";

int tokenstore_issue(struct tokenstore *s, const struct token *t)
{
    return s->ops->issue(s, t);
}

int tokenstore_get(struct tokenstore *s, const char *id, struct token *out)
{
    return s->ops->get(s, id, out);
}

int tokenstore_list(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                    size_t *bad)
{
    *bad = 0;
    return s->ops->list(s, now, offset, visit, ctx, bad);
}

int tokenstore_revoke(struct tokenstore *s, const char *id, int64_t now)
{
    return s->ops->revoke(s, id, now);
}

int tokenstore_revoke_user(struct tokenstore *s, const char *user, int64_t before, int64_t now)
{
    return s->ops->revoke_user(s, user, before, now);
}

static int no_usage(struct tokenstore *s)
{
    snprintf(s->why, sizeof(s->why), "this store keeps no usage");
    return ERR_INVAL;
}

int tokenstore_usage(struct tokenstore *s, const struct tokenstore_period *period,
                     bool (*visit)(void *ctx, const struct tokenstore_usage *u), void *ctx)
{
    return s->ops->usage ? s->ops->usage(s, period, visit, ctx) : no_usage(s);
}

int tokenstore_owners(struct tokenstore *s, int64_t now, bool (*visit)(void *ctx, const char *owner), void *ctx)
{
    return s->ops->owners ? s->ops->owners(s, now, visit, ctx) : no_usage(s);
}

int tokenstore_used(struct tokenstore *s, const struct token *t, struct auth_used *out)
{
    *out = (struct auth_used){0};
    return s->ops->used ? s->ops->used(s, t, out) : 0;
}

int tokenstore_add_user(struct tokenstore *s, const struct token *t)
{
    return s->ops->add_user(s, t);
}

int tokenstore_put_user(struct tokenstore *s, const struct token *t, int64_t now)
{
    return s->ops->put_user(s, t, now);
}

int tokenstore_get_user(struct tokenstore *s, const char *name, struct token *out)
{
    return s->ops->get_user(s, name, out);
}

int tokenstore_list_users(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t),
                          void *ctx, size_t *bad)
{
    *bad = 0;
    return s->ops->list_users(s, now, offset, visit, ctx, bad);
}

int tokenstore_remove_user(struct tokenstore *s, const char *name, int64_t now)
{
    return s->ops->remove_user(s, name, now);
}

int tokenstore_get_peers(struct tokenstore *s, struct tokenstore_peers *out)
{
    *out = (struct tokenstore_peers){0};
    return s->ops->get_peers(s, out);
}

int tokenstore_put_peers(struct tokenstore *s, const struct tokenstore_peers *peers, int64_t now)
{
    return s->ops->put_peers(s, peers, now);
}

int tokenstore_get_quota(struct tokenstore *s, const char *owner, struct auth_limits *out)
{
    *out = (struct auth_limits){0};
    return s->ops->get_quota(s, owner, out);
}

int tokenstore_put_quota(struct tokenstore *s, const char *owner, const struct auth_limits *limits, int64_t now)
{
    return s->ops->put_quota(s, owner, limits, now);
}

void tokenstore_close(struct tokenstore *s)
{
    if (s->ops)
        s->ops->close(s);
    *s = (struct tokenstore){0};
}
