#include "relay/turn.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "relay/park.h"
#include "relay/request.h"
#include "relay/reserve.h"
#include "relay/source.h"

/* ---- Binding. ---- */

static bool has_alternates(const struct request *r)
{
    uint32_t io;

    return alternate_find(r->s->alternates, r->from, 0, &io);
}

/* RFC 5780 section 6.1. Wherever it comes from, the answer goes to who has asked: RESPONSE-PORT is not understood here. */
static void put_origin(struct request *r, struct stun_out *o, uint32_t change, struct path *by)
{
    uint32_t io;
    const struct alternate *other = alternate_find(r->s->alternates, r->from, STUN_CHANGE_BOTH, &io);
    const struct alternate *source = alternate_find(r->s->alternates, r->from, change, &io);

    stun_put_addr(o, STUN_ATTR_MAPPED_ADDRESS, &r->from->client);
    stun_put_addr(o, STUN_ATTR_RESPONSE_ORIGIN, &source->told);
    stun_put_addr(o, STUN_ATTR_OTHER_ADDRESS, &other->told);
    *by = *r->from;
    by->server = source->bound;
    by->io = io;
    r->by = by;
}

static enum verdict on_binding(struct request *r)
{
    uint8_t buf[ANSWER_MAX];
    struct stun_out o;
    struct path by;
    uint32_t change = 0;

    if (stun_get_u32(r->msg, STUN_ATTR_CHANGE_REQUEST, &change) == ERR_MALFORMED) {
        request_refuse(r, STUN_E_BAD_REQUEST, "CHANGE-REQUEST is malformed");
        return VERDICT_DONE;
    }
    if (!source_allow(r->s, &r->from->client))
        return VERDICT_DONE;
    request_success(r, &o, buf);
    stun_put_xor_addr(&o, STUN_ATTR_XOR_MAPPED_ADDRESS, &r->from->client);
    if (has_alternates(r))
        put_origin(r, &o, change, &by);
    request_count(r, RESULT_SUCCESS, 0);
    request_send(r, &o);
    return VERDICT_DONE;
}

/* ---- Methods: what is not in this table is dropped (C2). ---- */

static const struct method {
    uint16_t method;
    bool authenticated;
    enum verdict (*handler)(struct request *r);
} METHODS[] = {
    {STUN_BINDING, false, on_binding},
    {STUN_ALLOCATE, true, allocate_on_allocate},
    {STUN_REFRESH, true, allocate_on_refresh},
    {STUN_CREATE_PERMISSION, true, bind_on_create_permission},
    {STUN_CHANNEL_BIND, true, bind_on_channel_bind},
};

static const struct method *method_of(uint16_t method)
{
    for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++)
        if (METHODS[i].method == method)
            return &METHODS[i];
    return NULL;
}

/* Comprehension-required attributes that we understand. DONT-FRAGMENT stands last: it is understood where it can be honoured (C42). */
static const uint16_t KNOWN[] = {
    STUN_ATTR_MAPPED_ADDRESS,
    STUN_ATTR_USERNAME,
    STUN_ATTR_MESSAGE_INTEGRITY,
    STUN_ATTR_ERROR_CODE,
    STUN_ATTR_UNKNOWN_ATTRIBUTES,
    STUN_ATTR_CHANNEL_NUMBER,
    STUN_ATTR_LIFETIME,
    STUN_ATTR_XOR_PEER_ADDRESS,
    STUN_ATTR_DATA,
    STUN_ATTR_REALM,
    STUN_ATTR_NONCE,
    STUN_ATTR_XOR_RELAYED_ADDRESS,
    STUN_ATTR_REQUESTED_ADDRESS_FAMILY,
    STUN_ATTR_EVEN_PORT,
    STUN_ATTR_REQUESTED_TRANSPORT,
    STUN_ATTR_MESSAGE_INTEGRITY_SHA256,
    STUN_ATTR_PASSWORD_ALGORITHM,
    STUN_ATTR_USERHASH,
    STUN_ATTR_XOR_MAPPED_ADDRESS,
    STUN_ATTR_RESERVATION_TOKEN,
    STUN_ATTR_DONT_FRAGMENT,
};

static size_t unknown(const struct shard *s, const struct stun_msg *msg, uint16_t types[static UNKNOWN_MAX])
{
    return stun_unknown(msg, KNOWN, sizeof(KNOWN) / sizeof(KNOWN[0]) - !s->net->can_dont_fragment, types, UNKNOWN_MAX);
}

/* CHANGE-REQUEST is understood in a Binding, and where there is something to change to (C80). It stands in no table, which every Send would be held against. */
static size_t leave_out_change(const struct request *r, uint16_t types[static UNKNOWN_MAX], size_t n)
{
    size_t kept = 0;

    if (r->msg->method != STUN_BINDING || !has_alternates(r))
        return n;
    for (size_t i = 0; i < n; i++)
        if (types[i] != STUN_ATTR_CHANGE_REQUEST)
            types[kept++] = types[i];
    return kept;
}

/* The last two steps of every request: what we don't understand (C7: not before authentication), then its handler. */
static enum verdict handle(struct request *r)
{
    uint16_t types[UNKNOWN_MAX];
    size_t n = leave_out_change(r, types, unknown(r->s, r->msg, types));

    if (n) {
        request_refuse_unknown(r, types, n);
        return VERDICT_DONE;
    }
    return method_of(r->msg->method)->handler(r);
}

/* ---- Requests that need credentials; some wait. ---- */

static void on_answer(void *ctx, const struct auth_answer *answer);

/* It can't wait. Over UDP the client sends it again; over a stream nobody does, and no request vanishes there (C39). */
static void cannot_wait(const struct request *r)
{
    count(r->s->counters, DROP_PARKED_FULL);
    if (r->from->transport == TRANSPORT_TCP)
        request_refuse(r, STUN_E_SERVER_ERROR, "too many requests wait");
}

/* Parks an authenticated request with the answer about its credentials. NULL: it can't wait. */
static struct parked *hold(const struct request *r, struct parked *p)
{
    struct auth_answer *who = p && p->who ? p->who : malloc(sizeof(*who));

    if (!p && who)
        p = park_behind(r->s, r->from, r->msg->buf, r->msg->len);
    if (!p || !who) {
        free(who);
        return NULL;
    }
    if (r->who != who)
        *who = *r->who;
    p->who = who;
    p->key = r->key;
    p->sign_sha256 = r->sign_sha256;
    return p;
}

/* Its share of the quotas waits with it. */
static void hand_share(struct request *r, struct parked *p)
{
    p->quota = r->asked;
    p->bandwidth = r->bandwidth;
    p->bps = r->bps;
    r->asked = NULL;
    r->bandwidth = NULL;
}

/* Asks the worker that its token names, which gives the port up: so it must be parked by now, or that would be for nobody. */
static bool ask_for_port(const struct request *r, struct parked *p)
{
    struct shard *s = r->s;
    struct mail mail = {.kind = MAIL_REDEEM, .from = s->worker, .ticket = s->next_ticket};

    memcpy(mail.token, r->token, sizeof(mail.token));
    memcpy(mail.user, r->who->name, sizeof(mail.user));
    if (s->net->post(s->net_ctx, (unsigned)reserve_worker(s, r->token), &mail))
        return false;
    p->ticket = s->next_ticket++;
    return true;
}

/* An authenticated request, to its answer or until it waits. `p` is where it is parked already, or NULL. */
static void conduct(struct request *r, struct parked *p)
{
    enum verdict v = handle(r);
    struct parked *held = v == VERDICT_DONE ? NULL : hold(r, p);

    if (v != VERDICT_DONE && !held) {
        cannot_wait(r);
    } else if (v == VERDICT_WAIT_TOKEN && !ask_for_port(r, held)) {
        request_refuse(r, STUN_E_INSUFFICIENT_CAPACITY, "the worker of the RESERVATION-TOKEN can't be asked");
        if (!p)
            park_end(r->s, &held);
    } else if (held) {
        hand_share(r, held);
    }
    auth_quota_cancel(&r->asked);
    if (r->bandwidth)
        auth_quota_give(r->s->auth, &(struct auth_share){r->who->owner, &r->from->client, r->bps});
    claim_close(r->s, &r->redeemed);
}

/* From the answer about its credentials on. */
static void proceed(struct request *r, const struct auth_answer *answer, struct parked *p)
{
    if (!authenticate_answer(r, answer))
        return;
    source_trust(r->s, &r->from->client);
    conduct(r, p);
}

static void serve(struct shard *s, const struct path *from, const struct stun_msg *msg, struct parked *p)
{
    struct request r = {.s = s, .from = from, .msg = msg};
    struct auth_request question = {.wall = s->now.wall, .mac = s->mac, .worker = s->worker};
    struct auth_answer answer;
    struct auth_ticket *ticket = NULL;
    struct parked *context = p ? p : park_spare(s);
    char name[STUN_USERNAME_MAX + 1];

    if (!authenticate_question(&r, &question, name))
        return;
    if (!context) {
        cannot_wait(&r);
        return;
    }
    r.context = context;
    if (auth_check(s->auth, &question, &answer, on_answer, context, &ticket) != AUTH_PENDING) {
        count_time(s->counters, &COUNT_OF_AUTH, p ? park_waited_ms(p) : 0);
        proceed(&r, &answer, p);
        explicit_bzero(answer.keys, sizeof(answer.keys));
    } else if (p || (p = park_behind(s, from, msg->buf, msg->len))) {
        p->auth = ticket;
        p->pair = r.pair;
    } else {
        auth_cancel(&ticket);
        cannot_wait(&r);
    }
}

/* Ends one that has been served, or has waited for too long, and serves what stands behind it, until one has to wait again. */
static void next(struct parked *p)
{
    struct shard *s = p->shard;
    struct path path = p->path;

    for (;;) {
        struct stun_msg msg;

        park_end(s, &p);
        p = park_head(s, &path);
        if (!p || park_waits(p))
            return;
        if (stun_decode(&msg, park_datagram(p), p->len) == 0)
            serve(s, &path, &msg, p);
        if (park_waits(p))
            return;
    }
}

/* The head of a queue has what it waited for: the answer about its credentials, or what `with` says. */
static void resume(struct parked *p, const struct request *with, const struct auth_answer *answer)
{
    struct request r = *with;
    struct stun_msg msg;

    r.s = p->shard;
    r.from = &p->path;
    r.msg = &msg;
    r.paid = true;
    r.pair = p->pair;
    r.context = p;
    if (stun_decode(&msg, park_datagram(p), p->len) == 0) {
        if (answer && throttle_silent(r.s->throttle, r.pair, r.s->now.ms)) {
            authenticate_throttled(&r); /* others of its pair, which waited beside it, have failed */
        } else if (answer) {
            proceed(&r, answer, p);
        } else {
            r.who = p->who;
            r.key = p->key;
            r.sign_sha256 = p->sign_sha256;
            r.bandwidth = p->bandwidth;
            r.bps = p->bps;
            p->bandwidth = NULL;
            p->ticket = 0;
            conduct(&r, p);
        }
    }
    if (!park_waits(p))
        next(p);
}

static void on_answer(void *ctx, const struct auth_answer *answer)
{
    struct parked *p = ctx;
    struct request r = {0};

    p->shard->net->clock(p->shard->net_ctx); /* this may be the first call of a pass */
    p->auth = NULL;
    count_time(p->shard->counters, &COUNT_OF_AUTH, park_waited_ms(p));
    resume(p, &r, answer);
}

void turn_on_quota(void *ctx, enum auth_quota_result result)
{
    struct parked *p = ctx;
    struct request r = {.quota = result};

    p->shard->net->clock(p->shard->net_ctx);
    p->quota = NULL;
    resume(p, &r, NULL);
}

/* ---- Revocation. ---- */

struct search {
    struct shard *shard;
    const struct auth_revocation *revocation;
};

/* One that waits with the answer of a credential that is revoked now: it is asked about again, or it would become an allocation. */
static void ask_again_if_revoked(struct parked *p, void *ctx)
{
    const struct search *search = ctx;
    struct shard *s = search->shard;
    struct stun_msg msg;

    if (!p->who || !auth_revokes(s->auth, search->revocation, p->who->name))
        return;
    park_forget_answer(s, p);
    if (stun_decode(&msg, park_datagram(p), p->len) == 0)
        serve(s, &p->path, &msg, p);
    if (!park_waits(p))
        next(p);
}

void turn_revoke(struct shard *s, const struct auth_revocation *revocation)
{
    user_revoke(s, revocation);
    park_each_head(s, ask_again_if_revoked, &(struct search){s, revocation});
}

/* ---- In. ---- */

int turn_input(struct shard *s, const struct path *from, uint8_t *buf, size_t len, uint8_t tos)
{
    struct stun_msg msg;
    const struct method *method;
    uint16_t types[UNKNOWN_MAX];
    int err = stun_decode(&msg, buf, len);

    if (err) {
        count(s->counters, err == ERR_NOT_STUN ? DROP_NOT_STUN : DROP_MALFORMED);
        return err;
    }
    if (msg.class == STUN_INDICATION && msg.method == STUN_SEND && unknown(s, &msg, types) == 0) {
        bind_on_send(s, from, &msg, buf, tos);
        return 0;
    }
    method = msg.class == STUN_REQUEST ? method_of(msg.method) : NULL;
    if (!method) {
        count(s->counters, DROP_METHOD);
        return 0;
    }
    count(s->counters, COUNT_REQUESTS);
    if (!method->authenticated) {
        handle(&(struct request){.s = s, .from = from, .msg = &msg});
    } else if (!park_head(s, from)) {
        serve(s, from, &msg, NULL);
    } else if (park_has(s, from, msg.txid)) {
        count(s->counters, DROP_RETRANSMISSION);
    } else if (!park_behind(s, from, buf, len)) {
        cannot_wait(&(struct request){.s = s, .from = from, .msg = &msg});
    }
    return 0;
}

void turn_mail(struct shard *s, const struct mail *mail)
{
    struct claimed port = {0};

    if (mail->kind == MAIL_REDEEM) {
        struct mail answer = {.kind = MAIL_REDEEMED, .from = s->worker, .ticket = mail->ticket, .fd = -1};

        if (reserve_redeem(s, mail->token, mail->user, &port) == 0) {
            answer.relay = port.relay;
            answer.port = port.port;
            answer.fd = s->net->relay_detach(s->net_ctx, &port.socket);
        }
        if (s->net->post(s->net_ctx, mail->from, &answer) && answer.fd >= 0) { /* nobody will ever ask for it again */
            if (s->net->relay_adopt(s->net_ctx, answer.fd, &port.socket) == 0)
                claim_close(s, &port);
            else
                ports_release(s->ports, ports_address(s->ports, port.relay)->space, port.port);
        }
        return;
    }
    if (mail->fd >= 0) {
        unsigned space = ports_address(s->ports, mail->relay)->space;

        port = (struct claimed){.relay = mail->relay, .port = mail->port};
        ports_retract(s->ports, space, mail->port, s->worker); /* claimed, by us from now on */
        if (s->net->relay_adopt(s->net_ctx, mail->fd, &port.socket))
            ports_release(s->ports, space, mail->port);
    }
    struct parked *p = park_by_ticket(s, mail->ticket);
    if (p)
        resume(p, &(struct request){.redeemed = port, .redemption = port.socket ? REDEEM_GRANTED : REDEEM_REFUSED}, NULL);
    else
        claim_close(s, &port);
}

void turn_timeout(struct shard *s, struct timer *t)
{
    count(s->counters, DROP_PARKED_TIMEOUT);
    next(park_of_timer(t));
}

void turn_stream_closed(struct shard *s, const struct path *path)
{
    struct alloc *a = alloc_find(s, path);

    park_forget(s, path);
    alloc_free(s, &a, "stream closed");
}
