#include "stun/client.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/err.h"
#include "base/random.h"
#include "stun/nonce.h"

enum {
    TRANSPORT_UDP = 17,
    RETRIES_MAX = 3,  /* challenges one after the other: then the server cannot be pleased */
    COOKIE_LEN = 9,   /* "obMatJos2" */
    FEATURES_LEN = 4, /* 24 bits in base64 */
};

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

void turn_client_deinit(struct turn_client *c)
{
    OPENSSL_cleanse(c->key, sizeof(c->key));
    c->key_len = 0;
    c->challenged = false;
}

static void put_u8(struct stun_out *o, uint16_t type, uint8_t value)
{
    stun_put(o, type, (const uint8_t[4]){value}, 4);
}

static void put_params(struct stun_out *o, enum stun_method method, const struct turn_params *p)
{
    if (method == STUN_ALLOCATE)
        put_u8(o, STUN_ATTR_REQUESTED_TRANSPORT, p->transport ? p->transport : TRANSPORT_UDP);
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
    if (p->change)
        stun_put_u32(o, STUN_ATTR_CHANGE_REQUEST, p->change);
    for (size_t i = 0; i < p->npeers; i++)
        stun_put_xor_addr(o, STUN_ATTR_XOR_PEER_ADDRESS, &p->peers[i]);
}

static void put_user(struct stun_out *o, const struct turn_client *c)
{
    uint8_t hash[STUN_USERHASH_LEN];

    if (c->anonymous && stun_userhash(c->user, c->realm, hash) == 0)
        stun_put(o, STUN_ATTR_USERHASH, hash, sizeof(hash));
    else
        stun_put(o, STUN_ATTR_USERNAME, c->user, strlen(c->user));
}

/* RFC 8489 section 9.2.3.2: with PASSWORD-ALGORITHMS the integrity is the one of SHA-256, whatever made the key. */
static void put_credentials(struct stun_out *o, const struct turn_client *c)
{
    put_user(o, c);
    stun_put(o, STUN_ATTR_REALM, c->realm, strlen(c->realm));
    stun_put(o, STUN_ATTR_NONCE, c->nonce, c->nonce_len);
    if (!c->algorithm) {
        stun_put_sha1(o, c->mac, c->key, c->key_len);
        return;
    }
    stun_put(o, STUN_ATTR_PASSWORD_ALGORITHMS, c->algorithms, c->algorithms_len);
    stun_put_u32(o, STUN_ATTR_PASSWORD_ALGORITHM, (uint32_t)c->algorithm << 16); /* and no parameters */
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
    if (c->flags & TURN_CLIENT_FINGERPRINT)
        stun_put_fingerprint(&o);
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

/* ---- Challenges. ---- */

static int base64_value(uint8_t c)
{
    static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(ALPHABET, c) : NULL;

    return p ? (int)(p - ALPHABET) : -1;
}

/* The security features of a nonce (section 9.2): 0 when it has no cookie. */
static uint32_t nonce_features(const struct stun_attr *nonce)
{
    uint32_t features = 0;

    if (nonce->len < COOKIE_LEN + FEATURES_LEN || memcmp(nonce->value, "obMatJos2", COOKIE_LEN) != 0)
        return 0;
    for (size_t i = 0; i < FEATURES_LEN; i++) {
        int v = base64_value(nonce->value[COOKIE_LEN + i]);

        if (v < 0)
            return 0;
        features = features << 6 | (uint32_t)v;
    }
    return features;
}

/* The first of the list that we can do; 0: there is none. Parameters are padded to 4 bytes (section 14.11). */
static uint16_t first_algorithm(const struct stun_attr *list)
{
    for (struct wire w = wire_over(list->value, list->len); wire_left(&w) >= 4;) {
        uint16_t algorithm = wire_u16(&w), len = wire_u16(&w);

        if ((algorithm == STUN_ALG_MD5 || algorithm == STUN_ALG_SHA256) && len == 0)
            return algorithm;
        wire_bytes(&w, ((size_t)len + 3) & ~(size_t)3);
    }
    return 0;
}

/* The algorithm to use, 0 for implicit MD5. False: the nonce promises a list, and the list is missing (a bid-down) or nothing in it
 * fits. A list that the nonce does not vouch for is as if it were not there. */
static bool choose_algorithm(const struct turn_client *c, const struct stun_attr *list, uint32_t features, uint16_t *out)
{
    *out = 0;
    if (c->flags & TURN_CLIENT_PLAIN_MD5 || !(features & NONCE_PASSWORD_ALGORITHMS))
        return true;
    if (!list || list->len > sizeof(c->algorithms))
        return false;
    *out = first_algorithm(list);
    return *out != 0;
}

static bool make_key(struct turn_client *c)
{
    bool sha256 = c->algorithm == STUN_ALG_SHA256;

    c->key_len = sha256 ? STUN_SHA256_KEY_LEN : STUN_MD5_KEY_LEN;
    return (sha256 ? stun_key_sha256(c->user, c->realm, c->password, c->key)
                   : stun_key_md5(c->user, c->realm, c->password, c->key)) == 0;
}

/* 401 gives realm and nonce; 438 a nonce, and the realm again or not. What is ignored changes nothing. */
static enum turn_outcome take_challenge(struct turn_client *c, const struct stun_msg *m, int code)
{
    const struct stun_attr *realm = stun_find(m, STUN_ATTR_REALM), *nonce = stun_find(m, STUN_ATTR_NONCE);
    const struct stun_attr *list = stun_find(m, STUN_ATTR_PASSWORD_ALGORITHMS);
    uint32_t features;
    uint16_t algorithm;

    if (!c->user)
        return TURN_FAILED;
    if (!nonce || nonce->len > STUN_NONCE_MAX || (!realm && !c->challenged))
        return TURN_BOGUS;
    if (realm && (realm->len > STUN_REALM_MAX || memchr(realm->value, 0, realm->len)))
        return TURN_BOGUS;
    features = nonce_features(nonce);
    if (!choose_algorithm(c, list, features, &algorithm))
        return TURN_BOGUS;
    if (code == STUN_E_UNAUTHENTICATED && c->challenged &&
        (!realm || (realm->len == strlen(c->realm) && memcmp(realm->value, c->realm, realm->len) == 0)))
        return TURN_FAILED; /* these very credentials were refused */
    if (++c->retries > RETRIES_MAX)
        return TURN_FAILED;

    if (realm) {
        memcpy(c->realm, realm->value, realm->len);
        c->realm[realm->len] = '\0';
    }
    memcpy(c->nonce, nonce->value, nonce->len);
    c->nonce_len = nonce->len;
    c->algorithm = algorithm;
    if (algorithm) {
        memcpy(c->algorithms, list->value, list->len);
        c->algorithms_len = list->len;
    }
    c->anonymous = (c->flags & TURN_CLIENT_USERHASH) && (features & NONCE_USERNAME_ANONYMITY);
    c->challenged = make_key(c);
    return c->challenged ? TURN_RETRY : TURN_FAILED;
}

/* ---- Answers. ---- */

/* 0, ERR_NOENT: unsigned, or ERR_INTEGRITY. */
static int check_integrity(const struct turn_client *c, const struct stun_msg *m)
{
    return c->algorithm ? stun_check_sha256(c->mac, m, c->key, c->key_len) : stun_check_sha1(c->mac, m, c->key, c->key_len);
}

static enum turn_outcome read_error(struct turn_client *c, const struct stun_msg *m, struct turn_answer *out)
{
    if (c->challenged && m->method != STUN_BINDING) {
        int err = check_integrity(c, m);

        if (err && err != ERR_NOENT)
            return TURN_BOGUS;
    }
    if (stun_get_error(m, &out->code))
        return TURN_BOGUS;
    if (out->code == STUN_E_UNAUTHENTICATED || out->code == STUN_E_STALE_NONCE)
        return take_challenge(c, m, out->code);
    c->retries = 0;
    if (out->code == STUN_E_TRY_ALTERNATE)
        (void)stun_get_addr(m, STUN_ATTR_ALTERNATE_SERVER, &out->alternate);
    return TURN_FAILED;
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
    if (m->method != STUN_BINDING && (!c->challenged || check_integrity(c, m)))
        return TURN_BOGUS;
    c->retries = 0;
    while (stun_next(m, STUN_ATTR_XOR_RELAYED_ADDRESS, &at, &relayed))
        if (stun_attr_xor_addr(m, &relayed, &a) == 0)
            out->relayed[a.family == ADDR_V6] = a;
    (void)stun_get_xor_addr(m, STUN_ATTR_XOR_MAPPED_ADDRESS, &out->mapped);
    (void)stun_get_addr(m, STUN_ATTR_OTHER_ADDRESS, &out->other);
    (void)stun_get_u32(m, STUN_ATTR_LIFETIME, &out->lifetime_s);
    if (token && token->len == STUN_RESERVATION_TOKEN_LEN) {
        memcpy(out->token, token->value, token->len);
        out->has_token = true;
    }
    return TURN_SUCCESS;
}
