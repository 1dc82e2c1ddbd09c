#include "auth/redisrefuse.h"

#include "auth/revoked.h"
#include "base/clock.h"

/* It vouches for nobody, */
static enum auth_status check(void *self, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb, void *ctx,
                              struct auth_ticket **ticket)
{
    (void)self, (void)request, (void)answer, (void)cb, (void)ctx, (void)ticket;
    return AUTH_UNKNOWN;
}

/* and so nothing is ever pending. */
static void cancel(void *self, struct auth_ticket *ticket)
{
    (void)self, (void)ticket;
}

/* Each worker tells it before it ends anything, so that nothing that has ended begins anew. Without memory or room the calls end all the same. */
static void forget(void *self, unsigned worker, const struct auth_revocation *revocation)
{
    int64_t now = clock_now().wall;
    bool news;

    (void)worker;
    revoked_sweep(self, now);
    if (revocation->expires_before > now)
        (void)revoked_add(self, revocation->name, revocation->expires_before, &news);
}

static bool refuses(void *self, const char *name)
{
    return revoked_has(self, name);
}

static void free_source(void *self)
{
    struct revoked *r = self;
    revoked_free(&r);
}

int redisrefuse_add(struct auth *a, char separator)
{
    struct revoked *r;
    int err = revoked_new(&r, REDISREFUSE_MAX, separator);

    if (err)
        return err;
    err = auth_add_source(a, &(struct auth_source){.name = "revoked",
                                                   .can_sha256 = true,
                                                   .can_userhash = true,
                                                   .check = check,
                                                   .cancel = cancel,
                                                   .free = free_source,
                                                   .forget = forget,
                                                   .refuses = refuses,
                                                   .self = r});
    if (err)
        revoked_free(&r);
    return err;
}
