#include "tests/fuzz/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/input.h"
#include "relay/park.h"
#include "relay/turn.h"

/* One request of one party. */
struct asked {
    struct asked *next;
    unsigned party;
    bool genuine;            /* its signature holds, */
    bool odd;                /* but what stands around it may not be what it seems */
    unsigned sent, answered; /* how often */
    char user[16];           /* who signed it */
    struct stun_msg msg;     /* what it asks for; borrows `bytes` */
    size_t signed_len;       /* of `bytes` */
    size_t len;              /* as it was sent, */
    uint8_t *sent_bytes;
    uint8_t bytes[]; /* as it was signed */
};

/* A payload that the relay has been given and may pass on. */
enum air { AIR_UP, AIR_DOWN, AIR_SPLICE };
struct in_air {
    struct in_air *next;
    enum air kind;
    bool must;
    unsigned worker; /* AIR_UP: whose socket sends it */
    struct addr from
        [2]; /* AIR_UP: the relayed address, as bound; AIR_DOWN: the peer; AIR_SPLICE: the relayed address, as bound and as told */
    struct addr to; /* the peer, or the relayed address as told */
    size_t len;
    uint8_t data[];
};

#define HOLDS(condition)                                                                                                           \
    do {                                                                                                                           \
        if (!(condition))                                                                                                          \
            broken(__LINE__, #condition);                                                                                          \
    } while (0)

static unsigned steps; /* of this input; the first ones greet, one for each party */

static _Noreturn void broken(int line, const char *what)
{
    fprintf(stderr, "tests/fuzz/model.c:%d: does not hold in step %d: %s\n", line, (int)steps - PARTIES, what);
    abort();
}

static void *make(size_t n)
{
    void *p = calloc(1, n);

    if (!p)
        abort();
    return p;
}

/* ---- What lives. ---- */

static uint64_t now(const struct model *m)
{
    return m->net->now.ms;
}

static bool leg_lives(const struct model *m, const struct model_leg *leg)
{
    return leg->open && leg->expires_ms > now(m);
}

bool model_alive(const struct model *m, const struct party *p)
{
    return leg_lives(m, &p->legs[0]) || leg_lives(m, &p->legs[1]);
}

static struct model_leg *leg_of(struct party *p, unsigned family)
{
    return &p->legs[family == ADDR_V6];
}

static bool permitted(const struct model *m, const struct party *p, const struct addr *peer)
{
    for (size_t i = 0; i < p->npermissions; i++)
        if (addr_same_ip(&p->permissions[i].ip, peer) && p->permissions[i].expires_ms > now(m))
            return true;
    return false;
}

static struct model_channel *channel(const struct model *m, struct party *p, uint16_t number)
{
    for (size_t i = 0; i < p->nchannels; i++)
        if (p->channels[i].number == number && p->channels[i].expires_ms > now(m))
            return &p->channels[i];
    return NULL;
}

static struct model_channel *channel_to(const struct model *m, struct party *p, const struct addr *peer)
{
    for (size_t i = 0; i < p->nchannels; i++)
        if (addr_equal(&p->channels[i].peer, peer) && p->channels[i].expires_ms > now(m))
            return &p->channels[i];
    return NULL;
}

static bool is_leg(const struct model_leg *leg, const struct addr *a)
{
    return addr_equal(&leg->relayed, a) || addr_equal(&leg->local, a);
}

/* Whose live relayed address it is, by either name; NULL: nobody's. */
static struct party *lives_at(struct model *m, const struct addr *a, struct model_leg **leg)
{
    for (int i = 0; i < 2 * PARTIES; i++) {
        *leg = &m->party[i / 2].legs[i % 2];
        if (leg_lives(m, *leg) && is_leg(*leg, a))
            return &m->party[i / 2];
    }
    return NULL;
}

static bool is_own(const struct model *m, const struct addr *a)
{
    bool advertised;

    return ports_find(m->net->ports, a, &advertised) >= 0;
}

static struct policy_judges judges(const struct model *m, const struct party *p)
{
    return (struct policy_judges){.server = m->net->worker[p->c.worker].shard.policy, .ports = m->net->ports};
}

static bool allowed(const struct model *m, const struct party *p, const struct addr *peer)
{
    return policy_flow(judges(m, p), peer, POLICY_UDP);
}

static void drop_family(struct party *p, unsigned family)
{
    *leg_of(p, family) = (struct model_leg){0};
    for (size_t i = 0; i < p->npermissions; i++)
        if (p->permissions[i].ip.family == family)
            p->permissions[i].expires_ms = 0;
    for (size_t i = 0; i < p->nchannels; i++)
        if (p->channels[i].peer.family == family)
            p->channels[i].expires_ms = 0;
}

static void drop(struct party *p)
{
    drop_family(p, ADDR_V4);
    drop_family(p, ADDR_V6);
    p->npermissions = p->nchannels = 0;
}

/* ---- What is on its way. ---- */

static void put_in_air(struct model *m, struct in_air what, const uint8_t *data, size_t len)
{
    struct in_air **at = &m->in_air, *a = make(sizeof(*a) + len);

    while (*at)
        at = &(*at)->next;
    what.len = len;
    what.must = what.must && m->calm && !m->disturbed;
    *a = what;
    if (len)
        memcpy(a->data, data, len);
    *at = a;
}

static void take(struct in_air **at)
{
    struct in_air *a = *at;

    *at = a->next;
    free(a);
}

/* The two names of one relayed address: one permission is enough to hear of it. */
static bool hears(const struct model *m, const struct party *p, const struct addr from[2])
{
    return permitted(m, p, &from[0]) || permitted(m, p, &from[1]);
}

static void up(struct model *m, struct party *p, const struct addr *peer, const uint8_t *data, size_t len, bool must)
{
    struct model_leg *leg = leg_of(p, peer->family), *other;
    struct party *q;

    if (!leg_lives(m, leg) || !allowed(m, p, peer))
        return;
    q = is_own(m, peer) ? lives_at(m, peer, &other) : NULL;
    if (is_own(m, peer) && !q)
        return; /* no policy of ours opens this host */
    if (q)
        put_in_air(m,
                   (struct in_air){.kind = AIR_SPLICE,
                                   .must = must && hears(m, q, (struct addr[]){leg->local, leg->relayed}),
                                   .from = {leg->local, leg->relayed},
                                   .to = other->relayed},
                   data, len);
    else
        put_in_air(m, (struct in_air){.kind = AIR_UP, .must = must, .worker = p->c.worker, .from = {leg->local}, .to = *peer}, data,
                   len);
}

/* A whole datagram or frame, if it carries data. */
static void data_from_client(struct model *m, struct party *p, const uint8_t *bytes, size_t len)
{
    const struct stun_attr *data;
    struct channel_data frame;
    struct model_channel *c;
    struct stun_msg msg;
    struct addr peer;

    if (len && stun_classify(bytes[0]) == STUN_KIND_CHANNEL) {
        if (channel_decode(&frame, bytes, len) == 0 && (c = channel(m, p, frame.number)))
            up(m, p, &c->peer, frame.data, frame.len, true);
    } else if (stun_decode(&msg, bytes, len) == 0 && msg.class == STUN_INDICATION && msg.method == STUN_SEND) {
        data = stun_find(&msg, STUN_ATTR_DATA);
        if (data && stun_get_xor_addr(&msg, STUN_ATTR_XOR_PEER_ADDRESS, &peer) == 0 && permitted(m, p, &peer))
            up(m, p, &peer, data->value, data->len, msg.nattrs == 2);
    }
}

/* ---- Requests. ---- */

static struct asked *find_asked(const struct model *m, unsigned party, uint16_t method, const uint8_t *txid)
{
    for (struct asked *a = m->asked; a; a = a->next)
        if (a->party == party && a->msg.method == method && memcmp(a->msg.txid, txid, STUN_TXID_LEN) == 0)
            return a;
    return NULL;
}

/* The oldest one: two requests of one stream may bear one transaction id. */
static struct asked *find_unanswered(const struct model *m, unsigned party, uint16_t method, const uint8_t *txid)
{
    struct asked *found = NULL;

    for (struct asked *a = m->asked; a; a = a->next)
        if (a->party == party && a->msg.method == method && memcmp(a->msg.txid, txid, STUN_TXID_LEN) == 0 && a->answered < a->sent)
            found = a;
    return found;
}

static void try_token(struct model *m, const struct stun_msg *msg)
{
    const struct stun_attr *token = stun_find(msg, STUN_ATTR_RESERVATION_TOKEN);

    for (size_t i = 0; token && i < HOLDS_MAX; i++)
        m->holds[i].tried |= token->len == STUN_RESERVATION_TOKEN_LEN && memcmp(token->value, m->holds[i].token, token->len) == 0;
}

static void request(struct model *m, unsigned party, const uint8_t *bytes, size_t len, const uint8_t *original, size_t original_len,
                    const char *user)
{
    struct stun_msg msg;
    struct asked *a;

    if (stun_decode(&msg, bytes, len) || msg.class != STUN_REQUEST)
        return;
    if ((a = find_asked(m, party, msg.method, msg.txid)) && a->len == len && memcmp(a->sent_bytes, bytes, len) == 0) {
        a->sent++; /* a retransmission */
        try_token(m, &a->msg);
        return;
    }
    if (!original)
        original_len = len;
    a = make(sizeof(*a) + original_len);
    memcpy(a->bytes, original ? original : bytes, original_len);
    a->party = party;
    a->genuine = original != NULL;
    a->odd = m->odd || original_len != len;
    a->sent = 1;
    a->len = len;
    a->sent_bytes = make(len);
    memcpy(a->sent_bytes, bytes, len);
    snprintf(a->user, sizeof(a->user), "%s", user);
    a->signed_len = original_len;
    if (stun_decode(&a->msg, a->bytes, original_len))
        abort();
    try_token(m, &a->msg);
    a->next = m->asked;
    m->asked = a;
}

static void ended(struct model *m, unsigned i)
{
    drop(&m->party[i]);
    m->may_end = true;
}

void model_close(struct model *m, unsigned i)
{
    struct client *c = &m->party[i].c;

    turn_stream_closed(fake_shard(m->net, c->worker), &c->path);
    ended(m, i);
}

static void send_as(struct model *m, unsigned i, const uint8_t *bytes, size_t len, const uint8_t *original, size_t original_len,
                    const char *user)
{
    struct party *p = &m->party[i];
    struct client *c = &p->c;

    if (c->path.transport == TRANSPORT_UDP) {
        request(m, i, bytes, len, original, original_len, user);
        data_from_client(m, p, bytes, len);
        client_raw(c, bytes, len, 0);
        return;
    }
    while (len) {
        int frame = input_frame_len(fake_shard(m->net, c->worker), &c->path, bytes, len < 4 ? len : 4);

        if (frame == 0 || (frame > 0 && (size_t)frame > len))
            return;
        if (frame > 0) {
            request(m, i, bytes, (size_t)frame, original && (size_t)frame == len ? original : NULL, original_len, user);
            data_from_client(m, p, bytes, (size_t)frame);
        }
        if (frame < 0 || client_raw(c, bytes, (size_t)frame, 0) < 0) {
            model_close(m, i);
            return;
        }
        bytes += frame;
        len -= (size_t)frame;
    }
}

void model_send(struct model *m, unsigned i, const uint8_t *bytes, size_t len, const uint8_t *original, size_t original_len)
{
    send_as(m, i, bytes, len, original, original_len, m->party[i].c.user);
}

void model_again(struct model *m, unsigned i, unsigned of, unsigned n)
{
    struct asked *a = m->asked;

    while (a && (a->party != of || n-- > 0))
        a = a->next;
    if (!a)
        return;
    /* A nonce is its address's and transport's: from elsewhere the signature proves nothing. */
    bool same = addr_equal(&m->party[i].c.path.client, &m->party[of].c.path.client) &&
                m->party[i].c.path.transport == m->party[of].c.path.transport;

    send_as(m, i, a->sent_bytes, a->len, a->genuine && same ? a->bytes : NULL, a->signed_len, a->user);
}

void model_peer(struct model *m, const struct addr *relayed, const struct addr *peer, const uint8_t *bytes, size_t len)
{
    char text[ADDR_TEXT_MAX];
    struct model_leg *leg;
    struct party *p = lives_at(m, relayed, &leg);

    if (p && permitted(m, p, peer) && allowed(m, p, peer))
        put_in_air(m, (struct in_air){.kind = AIR_DOWN, .must = true, .from = {*peer}, .to = leg->relayed}, bytes, len);
    HOLDS(fake_from_peer(m->net, relayed, addr_text(peer, text), bytes, len, 0) || !p);
}

/* ---- What successes mean. ---- */

static void hold_port(struct model *m, const struct party *p, const struct model_leg *leg, const struct stun_attr *token)
{
    struct hold *h = m->holds;

    while (h < m->holds + HOLDS_MAX && h->open)
        h++;
    HOLDS(h < m->holds + HOLDS_MAX);
    HOLDS(token->len == STUN_RESERVATION_TOKEN_LEN && leg->relayed.port % 2 == 0);
    *h = (struct hold){.open = true,
                       .relayed = addr_with_port(&leg->relayed, (uint16_t)(leg->relayed.port + 1)),
                       .local = addr_with_port(&leg->local, (uint16_t)(leg->local.port + 1)),
                       .expires_ms = now(m) + 30000 /* section 7.2 */};
    memcpy(h->token, token->value, token->len);
    snprintf(h->user, sizeof(h->user), "%s", p->user);
}

static struct hold *hold_of(struct model *m, const struct stun_attr *token)
{
    for (size_t i = 0; i < HOLDS_MAX; i++)
        if (m->holds[i].open && memcmp(m->holds[i].token, token->value, STUN_RESERVATION_TOKEN_LEN) == 0)
            return &m->holds[i];
    return NULL;
}

/* A new relayed address: nobody else's, of a family that was asked for, and even where that was. */
static void new_leg(struct model *m, struct party *p, const struct asked *a, const struct addr *relayed, uint64_t expires_ms)
{
    struct model_leg *leg = leg_of(p, relayed->family), *other;
    bool advertised = false;
    int relay = ports_find(m->net->ports, relayed, &advertised);
    uint8_t family = ADDR_V4;

    HOLDS(relay >= 0 && advertised && !leg->open && !lives_at(m, relayed, &other));
    HOLDS(relayed->port >= ports_min(m->net->ports) && relayed->port <= ports_max(m->net->ports));
    HOLDS(!stun_find(&a->msg, STUN_ATTR_EVEN_PORT) || relayed->port % 2 == 0);
    stun_get_u8(&a->msg, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 4, &family);
    if (!stun_find(&a->msg, STUN_ATTR_RESERVATION_TOKEN) && !stun_find(&a->msg, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY) &&
        !stun_find(&a->msg, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY_DRAFT))
        HOLDS(relayed->family == family);
    *leg = (struct model_leg){.open = true,
                              .relayed = *relayed,
                              .local = addr_with_port(&ports_address(m->net->ports, (unsigned)relay)->local, relayed->port),
                              .expires_ms = expires_ms};
}

static void allocated(struct model *m, struct party *p, const struct asked *a, const struct stun_msg *answer)
{
    const struct stun_attr *token = stun_find(&a->msg, STUN_ATTR_RESERVATION_TOKEN);
    bool again = model_alive(m, p);
    struct stun_attr attr;
    struct addr relayed;
    uint32_t lifetime_s;
    size_t at = 0, n = 0;

    HOLDS(!again || (memcmp(p->txid, a->msg.txid, STUN_TXID_LEN) == 0 && strcmp(p->user, a->user) == 0));
    HOLDS(stun_get_u32(answer, STUN_ATTR_LIFETIME, &lifetime_s) == 0 && lifetime_s <= 3600 && (again || lifetime_s > 0));
    if (!again)
        drop(p);
    memcpy(p->txid, a->msg.txid, STUN_TXID_LEN);
    snprintf(p->user, sizeof(p->user), "%s", a->user);
    for (; stun_next(answer, STUN_ATTR_XOR_RELAYED_ADDRESS, &at, &attr); n++) {
        HOLDS(stun_attr_xor_addr(answer, &attr, &relayed) == 0);
        if (again)
            HOLDS(leg_lives(m, leg_of(p, relayed.family)) && addr_equal(&leg_of(p, relayed.family)->relayed, &relayed));
        else
            new_leg(m, p, a, &relayed, now(m) + lifetime_s * 1000ULL);
    }
    HOLDS(n == 1 || n == 2);
    if (again)
        return;
    if (token) {
        struct hold *h = hold_of(m, token);

        HOLDS(h && strcmp(h->user, p->user) == 0 && addr_equal(&h->relayed, &relayed));
        HOLDS(h->expires_ms > now(m) || !m->calm);
        h->open = false;
    }
    if ((token = stun_find(answer, STUN_ATTR_RESERVATION_TOKEN))) {
        HOLDS(n == 1);
        memcpy(p->token, token->value, STUN_RESERVATION_TOKEN_LEN);
        hold_port(m, p, leg_of(p, relayed.family), token);
    }
}

static void refreshed(struct model *m, struct party *p, const struct asked *a, const struct stun_msg *answer)
{
    uint8_t family = ADDR_NONE;
    uint32_t lifetime_s;

    stun_get_u8(&a->msg, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 4, &family);
    HOLDS(stun_get_u32(answer, STUN_ATTR_LIFETIME, &lifetime_s) == 0 && lifetime_s <= 3600);
    for (unsigned f = ADDR_V4; f <= ADDR_V6; f++) {
        if (!leg_lives(m, leg_of(p, f)) || (family && family != f))
            continue;
        leg_of(p, f)->expires_ms = now(m) + lifetime_s * 1000ULL;
        if (!lifetime_s)
            drop_family(p, f);
    }
    if (!lifetime_s && !model_alive(m, p))
        drop(p);
}

static void permit(struct model *m, struct party *p, const struct addr *peer)
{
    size_t i = 0;

    HOLDS(leg_lives(m, leg_of(p, peer->family)));
    while (i < p->npermissions && !addr_same_ip(&p->permissions[i].ip, peer))
        i++;
    if (i == p->npermissions)
        for (i = 0; i < p->npermissions && p->permissions[i].expires_ms > now(m); i++)
            ;
    HOLDS(i < ALLOC_PERMISSIONS_MAX);
    if (i == p->npermissions)
        p->npermissions++;
    p->permissions[i] = (struct model_permission){addr_with_port(peer, 0), now(m) + 300000 /* RFC 8656 section 9 */};
}

static void bound(struct model *m, struct party *p, const struct asked *a)
{
    struct model_channel *c;
    uint16_t number = 0;
    struct addr peer;
    size_t i = 0;

    HOLDS(stun_get_channel(&a->msg, &number) == 0 && number >= CHANNEL_MIN && number <= CHANNEL_MAX);
    HOLDS(stun_get_xor_addr(&a->msg, STUN_ATTR_XOR_PEER_ADDRESS, &peer) == 0);
    HOLDS(allowed(m, p, &peer) || m->may_end); /* the timers of one worker run before the other's */
    c = channel(m, p, number);
    HOLDS(c == channel_to(m, p, &peer));
    if (!c)
        for (i = 0; i < p->nchannels && p->channels[i].expires_ms > now(m); i++)
            ;
    else
        i = (size_t)(c - p->channels);
    HOLDS(i < ALLOC_CHANNELS_MAX);
    if (i == p->nchannels)
        p->nchannels++;
    p->channels[i] = (struct model_channel){number, peer, now(m) + 600000 /* section 12 */};
    permit(m, p, &peer);
}

static void succeeded(struct model *m, struct party *p, const struct asked *a, const struct stun_msg *answer)
{
    struct stun_attr attr;
    struct addr peer;
    size_t at = 0;

    if (a->msg.method == STUN_BINDING)
        return;
    HOLDS(a->genuine);
    if (a->msg.method == STUN_ALLOCATE) {
        allocated(m, p, a, answer);
        return;
    }
    HOLDS(model_alive(m, p) && strcmp(p->user, a->user) == 0);
    switch (a->msg.method) {
    case STUN_REFRESH:
        refreshed(m, p, a, answer);
        break;
    case STUN_CREATE_PERMISSION:
        while (stun_next(&a->msg, STUN_ATTR_XOR_PEER_ADDRESS, &at, &attr)) {
            HOLDS(stun_attr_xor_addr(&a->msg, &attr, &peer) == 0);
            HOLDS(policy_permission(judges(m, p), &peer, POLICY_UDP, NULL));
            permit(m, p, &peer);
        }
        HOLDS(at > 0);
        break;
    case STUN_CHANNEL_BIND:
        bound(m, p, a);
        break;
    default:
        broken(__LINE__, "a method that somebody serves");
    }
}

static void refused(const struct model *m, const struct party *p, const struct asked *a, const struct stun_msg *answer)
{
    int code;

    HOLDS(stun_get_error(answer, &code) == 0);
    if (code == STUN_E_ALLOCATION_MISMATCH)
        HOLDS(model_alive(m, p) == (a->msg.method == STUN_ALLOCATE));
    if (code == STUN_E_WRONG_CREDENTIALS)
        HOLDS(model_alive(m, p) && strcmp(p->user, a->user) != 0);
    if (code == STUN_E_ALLOCATION_MISMATCH || code == STUN_E_WRONG_CREDENTIALS || code == STUN_E_FORBIDDEN)
        HOLDS(a->genuine);
    if (a->genuine && !a->odd && strcmp(a->user, "carol") != 0)
        HOLDS(code != STUN_E_UNAUTHENTICATED);
}

/* ---- What was sent. ---- */

static void judge_answer(struct model *m, unsigned i, const struct stun_msg *msg, size_t len)
{
    const struct stun_attr *nonce = stun_find(msg, STUN_ATTR_NONCE);
    struct party *p = &m->party[i];
    struct asked *a = find_unanswered(m, i, msg->method, msg->txid);

    HOLDS(len < 548);
    HOLDS(a);
    a->answered++;
    m->answers++;
    if (nonce && nonce->len <= sizeof(p->c.nonce)) {
        memcpy(p->c.nonce, nonce->value, nonce->len);
        p->c.nonce_len = nonce->len;
    }
    if (msg->class == STUN_SUCCESS)
        succeeded(m, p, a, msg);
    else
        refused(m, p, a, msg);
}

static void judge_down(struct model *m, struct party *p, const struct addr *peer, const uint8_t *data, size_t len)
{
    struct model_leg *leg = leg_of(p, peer->family);
    struct in_air **at = &m->in_air;

    HOLDS(leg_lives(m, leg) && permitted(m, p, peer));
    for (; *at; at = &(*at)->next) {
        const struct in_air *a = *at;
        bool from = addr_equal(&a->from[0], peer) || (a->kind == AIR_SPLICE && addr_equal(&a->from[1], peer));

        if (a->kind != AIR_UP && from && addr_equal(&a->to, &leg->relayed) && a->len == len &&
            (!len || memcmp(a->data, data, len) == 0))
            break;
    }
    HOLDS(*at);
    HOLDS((*at)->kind == AIR_SPLICE || allowed(m, p, peer));
    take(at);
    m->down++;
    m->down_bytes += len;
}

static void judge_to_client(struct model *m, const struct fake_sent *s)
{
    const struct stun_attr *data;
    struct channel_data frame;
    struct model_channel *c;
    struct stun_msg msg;
    struct addr peer;
    unsigned i = 0;

    while (i < PARTIES && memcmp(&s->path, &m->party[i].c.path, PATH_KEY_LEN) != 0)
        i++;
    HOLDS(i < PARTIES && s->worker == m->party[i].c.worker && s->len);
    if (stun_classify(s->data[0]) == STUN_KIND_CHANNEL) {
        HOLDS(channel_decode(&frame, s->data, s->len) == 0 && s->len == (size_t)CHANNEL_HEADER_LEN + frame.len);
        HOLDS((c = channel(m, &m->party[i], frame.number)));
        judge_down(m, &m->party[i], &c->peer, frame.data, frame.len);
        return;
    }
    HOLDS(stun_decode(&msg, s->data, s->len) == 0 && msg.class != STUN_REQUEST);
    if (msg.class != STUN_INDICATION) {
        judge_answer(m, i, &msg, s->len);
        return;
    }
    data = stun_find(&msg, STUN_ATTR_DATA);
    HOLDS(msg.method == STUN_DATA && data && stun_get_xor_addr(&msg, STUN_ATTR_XOR_PEER_ADDRESS, &peer) == 0);
    HOLDS(!channel_to(m, &m->party[i], &peer)); /* C61 */
    judge_down(m, &m->party[i], &peer, data->value, data->len);
}

static void judge_to_peer(struct model *m, const struct fake_sent *s)
{
    struct in_air **at = &m->in_air;

    for (; *at; at = &(*at)->next) {
        const struct in_air *a = *at;

        if (a->kind == AIR_UP && a->worker == s->worker && addr_equal(&a->from[0], &s->local) && addr_equal(&a->to, &s->peer) &&
            a->len == s->len && (!s->len || memcmp(a->data, s->data, s->len) == 0))
            break;
    }
    HOLDS(*at);
    take(at);
    m->up++;
}

/* ---- What must add up. ---- */

static void judge_counters(struct model *m)
{
    const struct fakenet *f = m->net;
    uint64_t answered = fake_count(f, COUNT_SUCCESSES) + fake_count(f, COUNT_ERRORS) + fake_count(f, COUNT_CHALLENGES);
    uint64_t sent = m->up + fake_count(f, COUNT_SPLICE_LOCAL) + fake_count(f, COUNT_SPLICE_OUT) + fake_count(f, DROP_RING_FULL) +
                    fake_count(f, DROP_PEER_SEND);
    uint64_t parked = 0, records = 0, allocs = 0, all_waiting = 0, counted = 0;

    for (unsigned k = 0; k < PARTIES; k++) {
        const struct client *c = &m->party[k].c;
        size_t waiting = 0;

        for (struct parked *p = park_head(fake_shard(m->net, c->worker), &c->path); p; p = p->next) {
            waiting++;
            counted += p->bandwidth != NULL;
        }
        HOLDS(waiting <= PARKED_TUPLE_MAX);
        all_waiting += waiting;
    }
    for (unsigned i = 0; i < f->workers; i++) {
        parked += f->worker[i].shard.nparked;
        allocs += f->worker[i].shard.allocs.count;
    }
    for (const struct fake_record *r = f->records; r; r = r->next)
        records += r->committed;
    HOLDS(fake_questions(f) <= parked && parked == all_waiting);
    HOLDS(answered == m->answers);
    HOLDS(fake_count(f, COUNT_REQUESTS) == answered + parked + fake_count(f, DROP_UNAUTHENTICATED_RATE) +
                                               fake_count(f, DROP_THROTTLED) + fake_count(f, DROP_PARKED_FULL) +
                                               fake_count(f, DROP_PARKED_TIMEOUT) + fake_count(f, DROP_PARKED_CLOSED) +
                                               fake_count(f, DROP_RETRANSMISSION));
    HOLDS(fake_count(f, COUNT_PACKETS_UP) >= sent && fake_count(f, COUNT_PACKETS_UP) - sent <= fake_count(f, DROP_POLICY));
    HOLDS(fake_count(f, COUNT_PACKETS_DOWN) == m->down && fake_count(f, COUNT_BYTES_DOWN) == m->down_bytes);
    HOLDS(fake_count(f, COUNT_SPLICE_OUT) == fake_count(f, COUNT_SPLICE_IN) + records);
    HOLDS(fake_count(f, COUNT_ALLOCATIONS_CREATED) - fake_count(f, COUNT_ALLOCATIONS_DELETED) == allocs);
    HOLDS(auth_quota_total(f->auth) == allocs + counted);
}

static const struct relay_socket *socket_at(const struct model *m, const struct addr *local)
{
    const struct relay_socket *s = m->net->sockets;

    while (s && !addr_equal(&s->local, local))
        s = s->next;
    return s;
}

/* Every open socket belongs to somebody, and all that lives has its socket. */
static void judge_sockets(struct model *m)
{
    size_t sockets = 0, live = 0, kept = 0;
    uint64_t allocs = 0;

    for (unsigned i = 0; i < m->net->workers; i++)
        allocs += m->net->worker[i].shard.allocs.count;
    for (unsigned i = 0; i < PARTIES; i++) {
        struct party *p = &m->party[i];

        live += model_alive(m, p);
        kept += p->legs[0].open || p->legs[1].open;
        for (int k = 0; k < 2; k++) {
            const struct relay_socket *s = leg_lives(m, &p->legs[k]) ? socket_at(m, &p->legs[k].local) : NULL;

            HOLDS(!leg_lives(m, &p->legs[k]) || (s && s->started && s->worker == p->c.worker));
        }
    }
    HOLDS(allocs >= live && allocs <= kept);
    for (size_t i = 0; i < HOLDS_MAX; i++)
        if (m->holds[i].open && !m->holds[i].tried && m->holds[i].expires_ms > now(m))
            HOLDS(socket_at(m, &m->holds[i].local));
    for (const struct relay_socket *s = m->net->sockets; s; s = s->next, sockets++) {
        bool known = s->detached;

        for (int k = 0; k < 2 * PARTIES; k++)
            known = known || (m->party[k / 2].legs[k % 2].open && addr_equal(&m->party[k / 2].legs[k % 2].local, &s->local));
        for (int k = 0; k < HOLDS_MAX; k++)
            known = known || (m->holds[k].open && addr_equal(&m->holds[k].local, &s->local));
        HOLDS(known);
    }
    if (m->may_end) /* walks the tables: not after each packet, and the end finds what is left */
        HOLDS(ports_in_use(m->net->ports) == sockets);
}

/* ---- Steps. ---- */

void model_pass(struct model *m, uint64_t ms, bool tick)
{
    if (!tick) {
        fake_clock(m->net, ms);
        return;
    }
    fake_pass(m->net, ms);
    m->ticked_ms = now(m);
    m->may_end = true;
}

void model_begin(struct model *m, bool held_back)
{
    m->calm = !held_back && !m->net->letters && !m->net->records;
    m->may_end = m->odd = false;
    steps++;
}

/* What has expired by the time that the timers ran is gone. */
static void forget(struct model *m)
{
    for (int k = 0; k < 2 * PARTIES; k++)
        if (m->party[k / 2].legs[k % 2].open && m->party[k / 2].legs[k % 2].expires_ms <= m->ticked_ms)
            drop_family(&m->party[k / 2], k % 2 ? ADDR_V6 : ADDR_V4);
    for (int k = 0; k < HOLDS_MAX; k++)
        m->holds[k].open = m->holds[k].open && (m->holds[k].expires_ms > m->ticked_ms || m->net->letters);
}

void model_judge(struct model *m)
{
    struct in_air **at = &m->in_air;

    for (struct fake_sent *s = m->judged ? m->judged->next : m->net->sent; s; s = s->next) {
        if (s->to_peer)
            judge_to_peer(m, s);
        else
            judge_to_client(m, s);
        m->judged = s;
    }
    while (*at) {
        HOLDS(!(*at)->must);
        if (m->net->records)
            at = &(*at)->next;
        else
            take(at);
    }
    forget(m);
    judge_counters(m);
    judge_sockets(m);
}

void model_up(struct model *m, struct fakenet *f)
{
    static const struct {
        const char *address, *user, *password;
        enum transport transport;
        unsigned worker;
    } WHO[PARTIES] = {
        {"11.1.1.1:4000", "alice", "sesame", TRANSPORT_UDP, 0},    {"11.1.1.2:4000", "bob", "swordfish", TRANSPORT_UDP, 1},
        {"11.1.1.1:4000", "alice", "sesame", TRANSPORT_TCP, 1},    {"[2a11::3]:4000", "bob", "swordfish", TRANSPORT_UDP, 0},
        {"[2a11::4]:4000", "carol", "lookedup", TRANSPORT_TCP, 0}, {"11.1.1.5:4000", "carol", "lookedup", TRANSPORT_UDP, 1},
    };

    steps = 0;
    m->net = f;
    m->ticked_ms = now(m);
    for (unsigned i = 0; i < PARTIES; i++) {
        struct client *c = &m->party[i].c;

        client_init(c, f, WHO[i].worker, WHO[i].address, WHO[i].transport);
        c->user = WHO[i].user;
        c->password = WHO[i].password;
        snprintf(c->realm, sizeof(c->realm), "%s", f->realm);
    }
}

void model_down(struct model *m)
{
    for (struct asked *a = m->asked, *next; a; a = next) {
        next = a->next;
        free(a->sent_bytes);
        free(a);
    }
    while (m->in_air)
        take(&m->in_air);
    memset(m, 0, sizeof(*m));
}
