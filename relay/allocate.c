/* Allocate and Refresh. */
#include <string.h>

#include "base/err.h"
#include "relay/request.h"
#include "relay/reserve.h"
#include "relay/turn.h"

/* C50: max(600, min(requested, max)), and never beyond the credential's own end. 0 when that is over. */
static uint32_t lifetime(const struct request *r, uint32_t wanted)
{
    uint32_t max = r->s->settings.max_lifetime_s;
    uint32_t s = wanted < max ? wanted : max;

    if (s < LIFETIME_DEFAULT_S)
        s = LIFETIME_DEFAULT_S;
    if (r->who->expires_at) {
        int64_t left = r->who->expires_at - r->s->now.wall;

        if (left < s)
            s = left > 0 ? (uint32_t)left : 0;
    }
    return s;
}

static uint64_t expiry(const struct request *r, uint32_t lifetime_s)
{
    return r->s->now.ms + lifetime_s * 1000ULL;
}

static uint32_t left_s(const struct request *r, const struct leg *leg)
{
    return leg->expires_ms > r->s->now.ms ? (uint32_t)((leg->expires_ms - r->s->now.ms) / 1000) : 0;
}

/* The success answer is built from the allocation alone, so that a retransmission gets the same one (C36, C38). */
static void answer_allocate(const struct request *r, const struct alloc *a)
{
    uint8_t buf[ANSWER_MAX];
    struct stun_out o;
    uint32_t left = 0;

    request_success(r, &o, buf);
    for (int i = 0; i < 2; i++) {
        const struct leg *leg = &a->legs[i];
        struct addr relayed;

        if (!leg->socket)
            continue;
        relayed = alloc_relayed(r->s, leg);
        stun_put_xor_addr(&o, STUN_ATTR_XOR_RELAYED_ADDRESS, &relayed);
        left = left_s(r, leg);
    }
    stun_put_u32(&o, STUN_ATTR_LIFETIME, left);
    stun_put_xor_addr(&o, STUN_ATTR_XOR_MAPPED_ADDRESS, &r->from->client);
    if (a->has_token)
        stun_put(&o, STUN_ATTR_RESERVATION_TOKEN, a->token, sizeof(a->token));
    if (a->failed_family_code)
        stun_put_address_error(&o, a->failed_family, a->failed_family_code);
    request_count(r, RESULT_SUCCESS, 0);
    request_send(r, &o);
}

static void report(const struct request *r, enum relay_event event, const struct alloc *a, uint32_t lifetime_s)
{
    r->s->net->event(
        r->s->net_ctx,
        &(struct relay_event_info){.event = event, .path = r->from, .alloc = a, .user = a->user->name, .lifetime_s = lifetime_s});
}

/* What an Allocate asks for, read and judged in the order of RFC 8656 section 7.2. */
struct wish {
    enum addr_family family;
    bool additional; /* an IPv6 address beside the IPv4 one */
    enum port_wish port;
    const uint8_t *token;
    uint32_t lifetime_s;
};

/* The number under which this request has ADDITIONAL-ADDRESS-FAMILY: the RFC's, or its draft's, which deployed clients still send. */
static uint16_t additional_family_type(const struct stun_msg *m)
{
    return stun_find(m, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY) ? STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY
                                                             : STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY_DRAFT;
}

/* False: it has been refused. */
static bool read_wish(const struct request *r, struct wish *w)
{
    const struct stun_msg *m = r->msg;
    const struct stun_attr *token = stun_find(m, STUN_ATTR_RESERVATION_TOKEN);
    uint16_t additional = additional_family_type(m);
    uint8_t transport, reserve_next, family;
    uint32_t lifetime_s;
    int err;

    *w = (struct wish){.family = ADDR_V4, .lifetime_s = LIFETIME_DEFAULT_S};
    if (stun_get_u8(m, STUN_ATTR_REQUESTED_TRANSPORT, 4, &transport)) {
        request_refuse(r, STUN_E_BAD_REQUEST, "REQUESTED-TRANSPORT is missing or malformed"); /* C41 */
        return false;
    }
    if (transport != 17) {
        request_refuse(r, STUN_E_UNSUPPORTED_TRANSPORT, "only UDP is relayed");
        return false;
    }
    if (token && (token->len != STUN_RESERVATION_TOKEN_LEN || stun_find(m, STUN_ATTR_EVEN_PORT) ||
                  stun_find(m, STUN_ATTR_REQUESTED_ADDRESS_FAMILY) || stun_find(m, additional))) {
        request_refuse(r, STUN_E_BAD_REQUEST, "RESERVATION-TOKEN is malformed, or comes with what it excludes"); /* C43 */
        return false;
    }
    w->token = token ? token->value : NULL;
    if (stun_find(m, STUN_ATTR_REQUESTED_ADDRESS_FAMILY) && stun_find(m, additional)) {
        request_refuse(r, STUN_E_BAD_REQUEST, "REQUESTED- and ADDITIONAL-ADDRESS-FAMILY together"); /* C44 */
        return false;
    }
    err = stun_get_u8(m, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 4, &family);
    if (err == 0 && family != ADDR_V4 && family != ADDR_V6) {
        request_refuse(r, STUN_E_FAMILY_NOT_SUPPORTED, "an address family that does not exist"); /* C45 */
        return false;
    }
    if (err == 0)
        w->family = family;
    if (err == ERR_MALFORMED) {
        request_refuse(r, STUN_E_BAD_REQUEST, "REQUESTED-ADDRESS-FAMILY is malformed");
        return false;
    }
    err = stun_get_u8(m, STUN_ATTR_EVEN_PORT, 1, &reserve_next);
    if (err == ERR_MALFORMED) {
        request_refuse(r, STUN_E_BAD_REQUEST, "EVEN-PORT is malformed");
        return false;
    }
    if (err == 0)
        w->port = reserve_next & 0x80 ? PORT_EVEN_AND_NEXT : PORT_EVEN;
    err = stun_get_u8(m, additional, 4, &family);
    if (err == ERR_MALFORMED || (err == 0 && (family != ADDR_V6 || w->port == PORT_EVEN_AND_NEXT))) {
        request_refuse(r, STUN_E_BAD_REQUEST,
                       "ADDITIONAL-ADDRESS-FAMILY must be IPv6, and excludes EVEN-PORT with R=1"); /* C46, C47 */
        return false;
    }
    w->additional = err == 0;
    if (!w->token && !w->additional && claim_pick_relay(r->s, r->from, w->family) < 0) {
        request_refuse(r, STUN_E_FAMILY_NOT_SUPPORTED, "no relay address of this family"); /* C45, before the quota */
        return false;
    }
    err = stun_get_u32(m, STUN_ATTR_LIFETIME, &lifetime_s);
    if (err == ERR_MALFORMED) {
        request_refuse(r, STUN_E_BAD_REQUEST, "LIFETIME is malformed");
        return false;
    }
    if (err == 0)
        w->lifetime_s = lifetime_s;
    return true;
}

/* The port behind a token: here, or with another worker, which is asked by mail (relay/turn). */
static enum verdict take_token(struct request *r, const struct wish *w, struct claimed *port, int *err)
{
    struct shard *s = r->s;
    int worker = reserve_worker(s, w->token);

    *err = 0;
    if (r->redemption == REDEEM_GRANTED) {
        *port = r->redeemed;
        r->redeemed.socket = NULL;
    } else if (r->redemption == REDEEM_REFUSED || worker < 0) {
        *err = ERR_NOENT;
    } else if ((unsigned)worker == s->worker) {
        *err = reserve_redeem(s, w->token, r->who->name, port);
    } else {
        r->token = w->token;
        return VERDICT_WAIT_TOKEN;
    }
    return VERDICT_DONE;
}

/* This server takes nothing new now: where another one has room, the client goes there (RFC 8656 section 7.2, RFC 8489 section 10). */
static void refuse_full(const struct request *r, enum counter reason, const char *detail)
{
    struct addr other;

    count(r->s->counters, reason);
    if (auth_elsewhere(r->s->auth, r->from->client.family, r->from->transport != TRANSPORT_UDP, &other)) {
        count(r->s->counters, COUNT_REDIRECTED);
        request_redirect(r, &other, detail);
    } else {
        request_refuse(r, STUN_E_INSUFFICIENT_CAPACITY, detail);
    }
}

/* C48: what is the user's or his source's doing is 486, what is the server's 508, or 300 to another one. */
static void refuse_quota(const struct request *r, enum auth_quota_result q)
{
    static const struct {
        int code;
        enum counter counter;
        const char *limit; /* NULL: it is none */
        const char *detail;
    } refusals[] = {
        [AUTH_QUOTA_USER] = {STUN_E_ALLOCATION_QUOTA, REFUSED_USER_QUOTA, "user-quota",
                             "user-quota: the user has as many allocations as he may"},
        [AUTH_QUOTA_SOURCE] = {STUN_E_ALLOCATION_QUOTA, REFUSED_SOURCE_QUOTA, "source-quota",
                               "source-quota: this source has as many allocations as it may"},
        [AUTH_QUOTA_TOTAL] = {STUN_E_INSUFFICIENT_CAPACITY, REFUSED_TOTAL_QUOTA, "total-quota",
                              "total-quota: the server has as many allocations as it may"},
        [AUTH_QUOTA_CAPACITY] = {STUN_E_INSUFFICIENT_CAPACITY, REFUSED_CAPACITY, "bps-capacity",
                                 "bps-capacity: no bandwidth is left to set aside"},
        [AUTH_QUOTA_NOMEM] = {STUN_E_INSUFFICIENT_CAPACITY, REFUSED_NO_MEMORY, NULL, "no memory"},
    };

    if (refusals[q].limit)
        r->s->net->event(r->s->net_ctx,
                         &(struct relay_event_info){
                             .event = EVENT_QUOTA_REFUSED, .path = r->from, .user = r->who->owner, .detail = refusals[q].limit});
    if (refusals[q].code == STUN_E_INSUFFICIENT_CAPACITY) {
        refuse_full(r, refusals[q].counter, refusals[q].detail);
        return;
    }
    count(r->s->counters, refusals[q].counter);
    request_refuse(r, refusals[q].code, refusals[q].detail);
}

/* Its share of the quotas, counted here and, if its owner has a limit, asked for in the fleet. VERDICT_DONE: it has r->bandwidth, or has been refused. */
static enum verdict take_share(struct request *r)
{
    /* After a wait it is what was taken before it: a reload may have changed the limit since. */
    struct auth_share share = {r->who->owner, &r->from->client, r->bandwidth ? r->bps : alloc_bps(r->s, r->who)};
    struct auth_grant grant;
    enum auth_quota_result q = r->quota;

    if (!r->bandwidth) { /* else it has waited for the answer */
        q = auth_quota_take(r->s->auth, &share, &r->who->limits, &grant);
        if (q == AUTH_QUOTA_OK) {
            r->bandwidth = grant.bandwidth;
            r->bps = share.bps;
            q = auth_quota_ask(r->s->auth, r->s->worker, &share, &grant, turn_on_quota, r->context, &r->asked);
        }
    }
    if (q == AUTH_QUOTA_PENDING)
        return VERDICT_WAIT_QUOTA;
    if (q == AUTH_QUOTA_OK)
        return VERDICT_DONE;
    refuse_quota(r, q);
    if (r->bandwidth)
        auth_quota_give(r->s->auth, &share);
    r->bandwidth = NULL;
    return VERDICT_DONE;
}

/* Opens one family's relayed address; `have` may hold its port already (a redeemed one). 0, or the error code that tells why not. */
static int open_leg(struct request *r, const struct wish *w, struct alloc *a, enum addr_family family, struct claimed *have)
{
    struct shard *s = r->s;
    struct claimed next = {0};
    int relay, code = STUN_E_INSUFFICIENT_CAPACITY;

    if (!have->socket) {
        relay = claim_pick_relay(s, r->from, family);
        if (relay < 0)
            return STUN_E_FAMILY_NOT_SUPPORTED;
        if (claim_open(s, (unsigned)relay, w->port, have, &next))
            return STUN_E_INSUFFICIENT_CAPACITY;
    }
    if (next.socket) {
        if (reserve_keep(s, &next, r->who->name, a->token))
            goto out;
        a->has_token = true;
    }
    if (alloc_add_leg(s, a, have, expiry(r, w->lifetime_s)) == 0)
        code = 0;
    else if (a->has_token)
        reserve_redeem(s, a->token, r->who->name, &next); /* nobody will hear of it */
out:
    claim_close(s, &next);
    claim_close(s, have);
    return code;
}

/* Opens the relayed addresses that are wished for. 0, or the error code to answer with. Of two families one is enough: the other is told
 * by ADDRESS-ERROR-CODE (C47). */
static int open_legs(struct request *r, const struct wish *w, struct alloc *a, struct claimed *have)
{
    struct claimed second = {0};
    int code = open_leg(r, w, a, w->family, have), code6;

    if (!w->additional)
        return code;
    code6 = open_leg(r, w, a, ADDR_V6, &second);
    if (code && code6)
        return code;
    a->failed_family = code ? ADDR_V4 : ADDR_V6;
    a->failed_family_code = code ? code : code6;
    return 0;
}

/* F20: a server that drains begins nothing new; but what is reserved here can't be had elsewhere. F14: nor does one whose memory is short, before
 * what lives gets into want. */
static bool is_open(const struct request *r, const struct wish *w)
{
    if (auth_draining(r->s->auth) && !w->token)
        refuse_full(r, REFUSED_DRAINING, "the server drains");
    else if (memory_is_short(r->s->memory))
        refuse_full(r, REFUSED_MEMORY_SHORT, "the memory limit is near");
    else
        return true;
    return false;
}

enum verdict allocate_on_allocate(struct request *r)
{
    struct shard *s = r->s;
    struct alloc *a = alloc_find(s, r->from);
    struct claimed port = {0};
    struct wish w;
    int err, code;

    if (a) {
        if (memcmp(a->txid, r->msg->txid, STUN_TXID_LEN) == 0 && strcmp(a->user->name, r->who->name) == 0)
            answer_allocate(r, a); /* C36: the first answer was lost */
        else
            request_refuse(r, STUN_E_ALLOCATION_MISMATCH, "this 5-tuple has an allocation"); /* C40 */
        return VERDICT_DONE;
    }
    if (!read_wish(r, &w) || !is_open(r, &w))
        return VERDICT_DONE;
    w.lifetime_s = lifetime(r, w.lifetime_s);
    if (!w.lifetime_s) {
        authenticate_failed(r, FAILURE_EXPIRED, r->who->name);
        request_challenge(r, STUN_E_UNAUTHENTICATED, "the credential has expired");
        return VERDICT_DONE;
    }
    if (take_share(r) == VERDICT_WAIT_QUOTA)
        return VERDICT_WAIT_QUOTA;
    if (!r->bandwidth)
        return VERDICT_DONE;
    if (w.token && (take_token(r, &w, &port, &err) == VERDICT_WAIT_TOKEN || err)) {
        if (!err)
            return VERDICT_WAIT_TOKEN;
        request_refuse(r, STUN_E_INSUFFICIENT_CAPACITY, "RESERVATION-TOKEN is unknown, expired or used");
        return VERDICT_DONE;
    }
    err = alloc_new(&a, s, r->from, r->who, r->bps, r->bandwidth);
    if (err) {
        claim_close(s, &port);
        if (err == ERR_CONFIG)
            request_refuse(r, STUN_E_SERVER_ERROR, "the credential's peers can't be read");
        else
            refuse_quota(r, AUTH_QUOTA_NOMEM);
        return VERDICT_DONE;
    }
    r->bandwidth = NULL; /* the allocation gives it back */
    memcpy(a->txid, r->msg->txid, STUN_TXID_LEN);
    code = open_legs(r, &w, a, &port);
    if (code) {
        alloc_free(s, &a, "refused");
        if (code == STUN_E_INSUFFICIENT_CAPACITY)
            count(s->counters, REFUSED_NO_ADDRESS);
        request_refuse(r, code, "no relayed address can be opened");
        return VERDICT_DONE;
    }
    count(s->counters, COUNT_ALLOCATIONS_CREATED);
    count(s->counters, count_active(a->path.transport, a->path.client.family == ADDR_V6));
    report(r, EVENT_ALLOCATION_CREATED, a, w.lifetime_s);
    answer_allocate(r, a);
    return VERDICT_DONE;
}

static void answer_refresh(const struct request *r, uint32_t lifetime_s)
{
    uint8_t buf[ANSWER_MAX];
    struct stun_out o;

    request_success(r, &o, buf);
    stun_put_u32(&o, STUN_ATTR_LIFETIME, lifetime_s);
    request_count(r, RESULT_SUCCESS, 0);
    request_send(r, &o);
}

/* How long something of the allocation will live when `family` (ADDR_NONE: both) is granted so much; 0: it ends. */
static uint32_t longest_life(const struct request *r, struct alloc *a, uint8_t family, uint32_t granted)
{
    uint32_t longest = 0;

    for (int i = 0; i < 2; i++) {
        const struct leg *leg = &a->legs[i];
        uint32_t s = family == ADDR_NONE || leg == alloc_leg(a, family) ? granted : left_s(r, leg);

        if (leg->socket && s > longest)
            longest = s;
    }
    return longest;
}

enum verdict allocate_on_refresh(struct request *r)
{
    struct alloc *a = request_alloc(r);
    uint32_t wanted = LIFETIME_DEFAULT_S, granted;
    uint8_t family = ADDR_NONE;
    int err;

    if (!a)
        return VERDICT_DONE;
    err = stun_get_u8(r->msg, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 4, &family);
    if (err == ERR_MALFORMED || stun_get_u32(r->msg, STUN_ATTR_LIFETIME, &wanted) == ERR_MALFORMED) {
        request_refuse(r, STUN_E_BAD_REQUEST, "a malformed attribute");
        return VERDICT_DONE;
    }
    /* C55: with a family, that family's address alone. */
    if (err == 0 && ((family != ADDR_V4 && family != ADDR_V6) || !alloc_leg(a, family)->socket)) {
        request_refuse(r, STUN_E_PEER_FAMILY_MISMATCH, "the allocation has no address of this family");
        return VERDICT_DONE;
    }
    granted = wanted ? lifetime(r, wanted) : 0;
    report(r, EVENT_ALLOCATION_REFRESHED, a, longest_life(r, a, family, granted));
    for (uint8_t f = ADDR_V4; f <= ADDR_V6 && a; f++) {
        if (!alloc_leg(a, f)->socket || (err == 0 && f != family))
            continue;
        if (granted)
            alloc_set_expiry(r->s, a, f, expiry(r, granted));
        else
            alloc_drop_leg(r->s, &a, f, "refreshed with 0");
    }
    answer_refresh(r, granted); /* after the close: the relayed address is dead when the client hears of it */
    return VERDICT_DONE;
}
