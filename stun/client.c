#include "stun/client.h"

#include <string.h>

#include "base/err.h"
#include "base/random.h"

/* ---- Transactions. ---- */

void stun_txn_start(struct stun_txn *t, uint32_t rto_ms, bool reliable, uint64_t now_ms)
{
    random_bytes(t->txid, sizeof(t->txid));
    t->rto_ms = rto_ms;
    t->reliable = reliable;
    t->sends = 0;
    t->due_ms = now_ms;
}

/* Sends at 0, 1, 3, 7, 15, 31 and 63 RTO; the end 16 RTO after the last one. */
enum stun_txn_step stun_txn_step(struct stun_txn *t, uint64_t now_ms)
{
    if (now_ms < t->due_ms)
        return STUN_TXN_WAIT;
    if (t->sends == (t->reliable ? 1U : STUN_RC))
        return STUN_TXN_TIMEOUT;
    t->sends++;
    if (t->reliable)
        t->due_ms = now_ms + STUN_RELIABLE_TIMEOUT_MS;
    else if (t->sends == STUN_RC)
        t->due_ms = now_ms + (uint64_t)t->rto_ms * STUN_RM;
    else
        t->due_ms = now_ms + ((uint64_t)t->rto_ms << (t->sends - 1));
    return STUN_TXN_SEND;
}

bool stun_txn_matches(const struct stun_txn *t, const struct stun_msg *m)
{
    return (m->class == STUN_SUCCESS || m->class == STUN_ERROR) && memcmp(m->txid, t->txid, STUN_TXID_LEN) == 0;
}

/* ---- Requests. ---- */

void turn_client_init(struct turn_client *c, const char *user, const char *password, struct stun_mac *mac)
{
    *c = (struct turn_client){.user = user, .password = password, .mac = mac};
}

static void put_u8(struct stun_out *o, uint16_t type, uint8_t value)
{
    stun_put(o, type, (const uint8_t[4]){value}, 4);
}

static void put_params(struct stun_out *o, enum stun_method method, const struct turn_params *p)
{
    if (method == STUN_ALLOCATE)
        put_u8(o, STUN_ATTR_REQUESTED_TRANSPORT, 17); /* UDP */
    if (p->with_lifetime)
        stun_put_u32(o, STUN_ATTR_LIFETIME, p->lifetime_s);
    if (p->family)
        put_u8(o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, p->family);
    if (p->additional_family)
        put_u8(o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, p->additional_family);
    if (p->even_port)
        stun_put(o, STUN_ATTR_EVEN_PORT, p->reserve_next ? "\x80" : "\0", 1);
    if (p->dont_fragment)
        stun_put(o, STUN_ATTR_DONT_FRAGMENT, NULL, 0);
    if (p->token)
        stun_put(o, STUN_ATTR_RESERVATION_TOKEN, p->token, STUN_RESERVATION_TOKEN_LEN);
    if (p->channel)
        stun_put_u32(o, STUN_ATTR_CHANNEL_NUMBER, (uint32_t)p->channel << 16);
    for (size_t i = 0; i < p->npeers; i++)
        stun_put_xor_addr(o, STUN_ATTR_XOR_PEER_ADDRESS, &p->peers[i]);
}

static void put_credentials(struct stun_out *o, const struct turn_client *c)
{
    stun_put(o, STUN_ATTR_USERNAME, c->user, strlen(c->user));
    stun_put(o, STUN_ATTR_REALM, c->realm, strlen(c->realm));
    stun_put(o, STUN_ATTR_NONCE, c->nonce, c->nonce_len);
    if (!c->sha256) {
        stun_put_sha1(o, c->mac, c->key, c->key_len);
        return;
    }
    stun_put(o, STUN_ATTR_PASSWORD_ALGORITHMS, c->algorithms, c->algorithms_len);
    stun_put(o, STUN_ATTR_PASSWORD_ALGORITHM, (const uint8_t[4]){0, STUN_ALG_SHA256}, 4);
    stun_put_sha256(o, c->mac, c->key, c->key_len);
}

int turn_request(const struct turn_client *c, uint8_t *buf, size_t cap, enum stun_method method, const uint8_t *txid,
                 const struct turn_params *params)
{
    struct stun_out o;

    stun_begin(&o, buf, cap, STUN_REQUEST, (uint16_t)method, txid);
    put_params(&o, method, params);
    if (c->challenged && method != STUN_BINDING)
        put_credentials(&o, c);
    return stun_end(&o);
}

int turn_send_indication(uint8_t *buf, size_t cap, const uint8_t *txid, const struct addr *peer, const void *data, size_t len)
{
    struct stun_out o;

    stun_begin(&o, buf, cap, STUN_INDICATION, STUN_SEND, txid);
    stun_put_xor_addr(&o, STUN_ATTR_XOR_PEER_ADDRESS, peer);
    stun_put(&o, STUN_ATTR_DATA, data, len);
    return stun_end(&o);
}

/* ---- Answers. ---- */

/* The server offers SHA-256 if its nonce announces password algorithms (in either bit order) and its list has the number. */
static bool offers_sha256(struct turn_client *c, const struct stun_attr *list)
{
    static const char COOKIE[] = "obMatJos2";
    bool offered = false;

    c->algorithms_len = 0;
    if (c->nonce_len < 13 || memcmp(c->nonce, COOKIE, 9) != 0 || !list || list->len > sizeof(c->algorithms))
        return false;
    for (struct wire w = wire_over(list->value, list->len); wire_left(&w) >= 4;) {
        uint16_t algorithm = wire_u16(&w), len = wire_u16(&w);

        wire_bytes(&w, (size_t)(len + 3) & ~(size_t)3);
        offered = offered || (algorithm == STUN_ALG_SHA256 && !w.err);
    }
    memcpy(c->algorithms, list->value, list->len);
    c->algorithms_len = list->len;
    return offered;
}

/* Takes realm and nonce over and derives the key. False: the challenge can't be used. */
static bool take_challenge(struct turn_client *c, const struct stun_msg *m)
{
    const struct stun_attr *realm = stun_find(m, STUN_ATTR_REALM), *nonce = stun_find(m, STUN_ATTR_NONCE);

    if (!realm || !nonce || realm->len > STUN_REALM_MAX || nonce->len > STUN_NONCE_MAX || !c->user)
        return false;
    memcpy(c->realm, realm->value, realm->len);
    c->realm[realm->len] = '\0';
    memcpy(c->nonce, nonce->value, nonce->len);
    c->nonce_len = nonce->len;
    c->sha256 = offers_sha256(c, stun_find(m, STUN_ATTR_PASSWORD_ALGORITHMS));
    c->key_len = c->sha256 ? STUN_SHA256_KEY_LEN : STUN_MD5_KEY_LEN;
    c->challenged = true;
    return (c->sha256 ? stun_key_sha256(c->user, c->realm, c->password, c->key)
                      : stun_key_md5(c->user, c->realm, c->password, c->key)) == 0;
}

static enum turn_outcome read_error(struct turn_client *c, const struct stun_msg *m, struct turn_answer *out)
{
    bool signed_before = c->challenged;

    if (stun_get_error(m, &out->code))
        return TURN_BOGUS;
    if (out->code == STUN_E_STALE_NONCE || (out->code == STUN_E_UNAUTHENTICATED && !signed_before))
        return take_challenge(c, m) ? TURN_RETRY : TURN_FAILED;
    return TURN_FAILED;
}

static bool integrity_fits(const struct turn_client *c, const struct stun_msg *m)
{
    return (c->sha256 ? stun_check_sha256(c->mac, m, c->key, c->key_len) : stun_check_sha1(c->mac, m, c->key, c->key_len)) == 0;
}

enum turn_outcome turn_read(struct turn_client *c, const struct stun_msg *m, struct turn_answer *out)
{
    const struct stun_attr *token = stun_find(m, STUN_ATTR_RESERVATION_TOKEN);
    struct stun_attr relayed;
    struct addr a;
    size_t at = 0;

    *out = (struct turn_answer){0};
    if (m->class == STUN_ERROR)
        return read_error(c, m, out);
    if (m->method != STUN_BINDING && !integrity_fits(c, m))
        return TURN_BOGUS;
    while (stun_next(m, STUN_ATTR_XOR_RELAYED_ADDRESS, &at, &relayed))
        if (stun_attr_xor_addr(m, &relayed, &a) == 0)
            out->relayed[a.family == ADDR_V6] = a;
    stun_get_xor_addr(m, STUN_ATTR_XOR_MAPPED_ADDRESS, &out->mapped);
    stun_get_u32(m, STUN_ATTR_LIFETIME, &out->lifetime_s);
    if (token && token->len == STUN_RESERVATION_TOKEN_LEN) {
        memcpy(out->token, token->value, token->len);
        out->has_token = true;
    }
    return TURN_SUCCESS;
}
