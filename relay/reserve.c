#include "relay/reserve.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* A token is the worker's number and 56 random bits. */

struct reservation {
    struct map_node by_token;
    struct timer timer;
    uint8_t token[STUN_RESERVATION_TOKEN_LEN];
    struct claimed port;
    char *user;
};

static struct reservation *reservation_of(struct map_node *n)
{
    return (struct reservation *)(void *)((char *)n - offsetof(struct reservation, by_token));
}

/* The port in it has been moved out, or is closed here. */
static void reservation_free(struct shard *s, struct reservation *r)
{
    claim_close(s, &r->port);
    map_remove(&s->reservations, &r->by_token);
    wheel_remove(&r->timer.wheel);
    free(r->user);
    free(r);
}

struct tally {
    const char *user;
    unsigned n;
};

static void tally_node(struct map_node *n, void *ctx)
{
    struct tally *t = ctx;

    t->n += strcmp(reservation_of(n)->user, t->user) == 0;
}

static unsigned reservations_of(struct shard *s, const char *user)
{
    struct tally t = {.user = user};

    map_each(&s->reservations, tally_node, &t);
    return t.n;
}

int reserve_keep(struct shard *s, struct claimed *c, const char *user, uint8_t token[static STUN_RESERVATION_TOKEN_LEN])
{
    struct reservation *r;

    if (s->reservations.count >= RESERVATIONS_MAX || reservations_of(s, user) >= RESERVATIONS_USER_MAX)
        return ERR_NOSPC;
    r = calloc(1, sizeof(*r));
    if (!r || !(r->user = strdup(user))) {
        free(r);
        return ERR_NOMEM;
    }
    random_bytes(r->token, sizeof(r->token));
    r->token[0] = (uint8_t)s->worker;
    r->port = *c;
    c->socket = NULL;
    r->timer.kind = TIMER_RESERVATION;
    map_insert(&s->reservations, &r->by_token, map_hash(&s->reservations, r->token, sizeof(r->token)));
    wheel_set(&s->wheel, &r->timer.wheel, s->now.ms + RESERVATION_LIFETIME_S * 1000ULL);
    memcpy(token, r->token, sizeof(r->token));
    return 0;
}

int reserve_worker(const struct shard *s, const uint8_t token[static STUN_RESERVATION_TOKEN_LEN])
{
    return token[0] < s->workers ? token[0] : -1;
}

int reserve_redeem(struct shard *s, const uint8_t token[static STUN_RESERVATION_TOKEN_LEN], const char *user, struct claimed *out)
{
    struct map_node *n = map_first(&s->reservations, map_hash(&s->reservations, token, STUN_RESERVATION_TOKEN_LEN));

    for (; n; n = map_next(n)) {
        struct reservation *r = reservation_of(n);

        if (memcmp(r->token, token, sizeof(r->token)) != 0 || strcmp(r->user, user) != 0 || r->timer.wheel.due_ms <= s->now.ms)
            continue;
        *out = r->port;
        r->port.socket = NULL;
        reservation_free(s, r);
        return 0;
    }
    return ERR_NOENT;
}

void reserve_on_timer(struct shard *s, struct timer *t)
{
    reservation_free(s, (struct reservation *)(void *)((char *)t - offsetof(struct reservation, timer)));
}

static void free_reservation_node(struct map_node *n, void *ctx)
{
    reservation_free(ctx, reservation_of(n));
}

void reserve_free_all(struct shard *s)
{
    map_each(&s->reservations, free_reservation_node, s);
}
