#include "stun/client.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/err.h"

enum {
    TRANSPORT_UDP = 17,
    EVEN_PORT_R = 0x80,
    RETRIES_MAX = 3,               /* challenges one after the other: then the server cannot be pleased */
    COOKIE_LEN = 9,                /* "obMatJos2" */
    FEATURES_LEN = 4,              /* 24 bits in base64 */
    FEATURE_ALGORITHMS = 0x800001, /* both bit orders are in use, see stun/nonce.h */
    FEATURE_ANONYMITY = 0x400002,
};

/* ---- Transactions ---- */

void stun_txn_start(struct stun_txn *t, const uint8_t *txid, bool reliable, uint32_t rto_ms, uint64_t now_ms)
{
    *t = (struct stun_txn){.due_ms = now_ms, .rto_ms = rto_ms ? rto_ms : STUN_RTO_MS, .reliable = reliable};
    memcpy(t->txid, txid, STUN_TXID_LEN);
}

/* Until the next transmission, or until giving up after the last one. */
static uint64_t interval_ms(const struct stun_txn *t)
{
    if (t->reliable)
        return (uint64_t)t->rto_ms * STUN_TI_RTO;
    return t->sent == STUN_RC ? (uint64_t)t->rto_ms * STUN_RM : (uint64_t)t->rto_ms << (t->sent - 1);
}

enum stun_txn_action stun_txn_poll(struct stun_txn *t, uint64_t now_ms)
{
    if (!stun_txn_active(t) || now_ms < t->due_ms)
        return STUN_TXN_WAIT;
    if (t->sent == (t->reliable ? 1 : STUN_RC)) {
        stun_txn_stop(t);
        return STUN_TXN_TIMEOUT;
    }
    t->sent++;
    t->due_ms = now_ms + interval_ms(t); /* a late call moves the rest: it never makes a burst */
    return STUN_TXN_SEND;
}

bool stun_txn_match(struct stun_txn *t, const struct stun_msg *m)
{
    if (!stun_txn_active(t) || m->class == STUN_REQUEST || m->class == STUN_INDICATION ||
        memcmp(m->txid, t->txid, STUN_TXID_LEN) != 0)
        return false;
    stun_txn_stop(t);
    return true;
}

void stun_txn_stop(struct stun_txn *t)
{
    t->due_ms = UINT64_MAX;
}

bool stun_txn_active(const struct stun_txn *t)
{
    return t->due_ms != UINT64_MAX;
}

/* ---- Requests ---- */

void turn_client_init(struct turn_client *c, struct stun_mac *mac, const char *user, const char *password, unsigned flags)
{
    *c = (struct turn_client){.user = user, .password = password, .mac = mac, .flags = flags};
}

void turn_client_deinit(struct turn_client *c)
{
    OPENSSL_cleanse(c->key, sizeof(c->key));
    c->key_len = 0;
}

/* RFC 8489 section 9.2.3.2: who, where, nonce, the algorithm when there is a choice, and the integrity. */
static int sign_and_end(struct turn_client *c, struct stun_out *o)
{
    uint8_t hash[STUN_USERHASH_LEN];
    if (!c->key_len)
        return stun_end(o);
    if (c->anonymous && stun_userhash(c->user, c->realm, hash) == 0)
        stun_put(o, STUN_ATTR_USERHASH, hash, sizeof(hash));
    else
        stun_put(o, STUN_ATTR_USERNAME, c->user, strlen(c->user));
    stun_put(o, STUN_ATTR_REALM, c->realm, strlen(c->realm));
    stun_put(o, STUN_ATTR_NONCE, c->nonce, c->nonce_len);
    if (!c->algorithm) {
        stun_put_sha1(o, c->mac, c->key, c->key_len);
        return stun_end(o);
    }
    uint8_t chosen[4] = {(uint8_t)(c->algorithm >> 8), (uint8_t)c->algorithm, 0, 0};
    stun_put(o, STUN_ATTR_PASSWORD_ALGORITHMS, c->algorithms, c->algorithms_len);
    stun_put(o, STUN_ATTR_PASSWORD_ALGORITHM, chosen, sizeof(chosen));
    stun_put_sha256(o, c->mac, c->key, c->key_len);
    return stun_end(o);
}

/* A value whose first octet says all, as in REQUESTED-TRANSPORT and the address families. */
static void put_octet(struct stun_out *o, uint16_t type, uint8_t octet, size_t len)
{
    uint8_t value[4] = {octet, 0, 0, 0};
    stun_put(o, type, value, len);
}

int turn_client_binding(uint8_t *buf, size_t cap, const uint8_t *txid)
{
    struct stun_out o;
    stun_begin(&o, buf, cap, STUN_REQUEST, STUN_BINDING, txid);
    return stun_end(&o);
}

int turn_client_allocate(struct turn_client *c, uint8_t *buf, size_t cap, const uint8_t *txid, const struct turn_allocate *a)
{
    struct stun_out o;
    stun_begin(&o, buf, cap, STUN_REQUEST, STUN_ALLOCATE, txid);
    put_octet(&o, STUN_ATTR_REQUESTED_TRANSPORT, a->transport ? a->transport : TRANSPORT_UDP, 4);
    if (a->has_lifetime)
        stun_put_u32(&o, STUN_ATTR_LIFETIME, a->lifetime_s);
    if (a->family)
        put_octet(&o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, (uint8_t)a->family, 4);
    if (a->additional)
        put_octet(&o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, (uint8_t)a->additional, 4);
    if (a->even_port)
        put_octet(&o, STUN_ATTR_EVEN_PORT, a->reserve ? EVEN_PORT_R : 0, 1);
    if (a->dont_fragment)
        stun_put(&o, STUN_ATTR_DONT_FRAGMENT, NULL, 0);
    if (a->token)
        stun_put(&o, STUN_ATTR_RESERVATION_TOKEN, a->token, STUN_RESERVATION_TOKEN_LEN);
    return sign_and_end(c, &o);
}

int turn_client_refresh(struct turn_client *c, uint8_t *buf, size_t cap, const uint8_t *txid, uint32_t lifetime_s,
                        enum addr_family family)
{
    struct stun_out o;
    stun_begin(&o, buf, cap, STUN_REQUEST, STUN_REFRESH, txid);
    stun_put_u32(&o, STUN_ATTR_LIFETIME, lifetime_s);
    if (family)
        put_octet(&o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, (uint8_t)family, 4);
    return sign_and_end(c, &o);
}

int turn_client_permission(struct turn_client *c, uint8_t *buf, size_t cap, const uint8_t *txid, const struct addr *peers, size_t n)
{
    struct stun_out o;
    stun_begin(&o, buf, cap, STUN_REQUEST, STUN_CREATE_PERMISSION, txid);
    for (size_t i = 0; i < n; i++)
        stun_put_xor_addr(&o, STUN_ATTR_XOR_PEER_ADDRESS, &peers[i]);
    return sign_and_end(c, &o);
}

int turn_client_channel_bind(struct turn_client *c, uint8_t *buf, size_t cap, const uint8_t *txid, uint16_t number,
                             const struct addr *peer)
{
    struct stun_out o;
    stun_begin(&o, buf, cap, STUN_REQUEST, STUN_CHANNEL_BIND, txid);
    stun_put_u32(&o, STUN_ATTR_CHANNEL_NUMBER, (uint32_t)number << 16);
    stun_put_xor_addr(&o, STUN_ATTR_XOR_PEER_ADDRESS, peer);
    return sign_and_end(c, &o);
}

int turn_client_send(uint8_t *buf, size_t cap, const uint8_t *txid, const struct addr *peer, const void *data, size_t len,
                     bool dont_fragment)
{
    struct stun_out o;
    stun_begin(&o, buf, cap, STUN_INDICATION, STUN_SEND, txid);
    stun_put_xor_addr(&o, STUN_ATTR_XOR_PEER_ADDRESS, peer);
    if (dont_fragment)
        stun_put(&o, STUN_ATTR_DONT_FRAGMENT, NULL, 0);
    stun_put(&o, STUN_ATTR_DATA, data, len);
    return stun_end(&o);
}

/* ---- Answers ---- */

static int base64_value(uint8_t c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(alphabet, c) : NULL;
    return p ? (int)(p - alphabet) : -1;
}

/* The security features of a nonce (RFC 8489 section 9.2): 0 when it has no cookie. */
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

/* "The client ... chooses the first algorithm on the list that it supports" (section 9.2.5); 0: there is none. */
static uint16_t choose_algorithm(const struct stun_attr *list)
{
    size_t at = 0;
    while (list->len - at >= 4) {
        uint16_t number = (uint16_t)(list->value[at] << 8 | list->value[at + 1]);
        size_t parameters = (size_t)(list->value[at + 2] << 8 | list->value[at + 3]);
        if ((number == STUN_ALG_MD5 || number == STUN_ALG_SHA256) && parameters == 0)
            return number;
        parameters = (parameters + 3) & ~(size_t)3;
        if (parameters > list->len - at - 4)
            return 0;
        at += 4 + parameters;
    }
    return 0;
}

/* The algorithm, as far as the client plays along, 0 for implicit MD5. False: the list is missing though the nonce promised it, or
 * nothing in it fits. */
static bool find_algorithm(const struct turn_client *c, const struct stun_attr *list, uint32_t features, uint16_t *out)
{
    *out = 0;
    if (!(c->flags & TURN_CLIENT_SHA256))
        return true;
    if (!list)
        return !(features & FEATURE_ALGORITHMS); /* somebody took it out: a bid-down */
    if (!(features & FEATURE_ALGORITHMS))
        return true; /* the nonce does not vouch for the list: as if it were not there */
    *out = choose_algorithm(list);
    return *out && list->len <= TURN_ALGORITHMS_MAX;
}

static bool make_key(struct turn_client *c)
{
    bool sha256 = c->algorithm == STUN_ALG_SHA256;
    int err = sha256 ? stun_key_sha256(c->user, c->realm, c->password, c->key)
                     : stun_key_md5(c->user, c->realm, c->password, c->key);
    c->key_len = err ? 0 : sha256 ? STUN_SHA256_KEY_LEN : STUN_MD5_KEY_LEN;
    return !err;
}

/* 401 gives realm and nonce; 438 a nonce, and a realm that is the old one if it is there. What is ignored changes nothing. */
static enum turn_result take_challenge(struct turn_client *c, const struct stun_msg *m, int code)
{
    const struct stun_attr *realm = stun_find(m, STUN_ATTR_REALM), *nonce = stun_find(m, STUN_ATTR_NONCE);
    const struct stun_attr *list = stun_find(m, STUN_ATTR_PASSWORD_ALGORITHMS);
    bool same_realm = realm && c->key_len && realm->len == strlen(c->realm) && memcmp(realm->value, c->realm, realm->len) == 0;
    uint16_t algorithm;
    if (!nonce || nonce->len > STUN_NONCE_MAX || (!realm && !c->key_len))
        return TURN_IGNORE;
    if (realm && (realm->len > STUN_REALM_MAX || memchr(realm->value, 0, realm->len)))
        return TURN_IGNORE;
    uint32_t features = nonce_features(nonce);
    if (!find_algorithm(c, list, features, &algorithm))
        return TURN_IGNORE;

    c->error = code;
    if (code == STUN_E_UNAUTHENTICATED && same_realm)
        return TURN_ERROR; /* these very credentials were refused */
    if (++c->retries > RETRIES_MAX)
        return TURN_ERROR;
    if (realm) {
        memcpy(c->realm, realm->value, realm->len);
        c->realm[realm->len] = 0;
    }
    memcpy(c->nonce, nonce->value, nonce->len);
    c->nonce_len = nonce->len;
    c->algorithm = algorithm;
    if (algorithm) {
        memcpy(c->algorithms, list->value, list->len);
        c->algorithms_len = list->len;
    }
    c->anonymous = (c->flags & TURN_CLIENT_USERHASH) && (features & FEATURE_ANONYMITY);
    return make_key(c) ? TURN_RETRY : TURN_ERROR;
}

/* False when an answer that must be signed is not, or is signed wrongly. Binding is never signed here. */
static bool genuine(struct turn_client *c, const struct stun_msg *m)
{
    if (!c->key_len || m->method == STUN_BINDING)
        return true;
    int err = c->algorithm ? stun_check_sha256(c->mac, m, c->key, c->key_len) : stun_check_sha1(c->mac, m, c->key, c->key_len);
    /* What a server refuses before it knows the user, it cannot sign. */
    return err == 0 || (err == ERR_NOENT && m->class == STUN_ERROR);
}

static void take_relayed(struct turn_client *c, const struct stun_msg *m)
{
    struct stun_attr a;
    size_t at = 0;
    c->nrelayed = 0;
    while (c->nrelayed < 2 && stun_next(m, STUN_ATTR_XOR_RELAYED_ADDRESS, &at, &a))
        if (stun_attr_xor_addr(m, &a, &c->relayed[c->nrelayed]) == 0)
            c->nrelayed++;
}

static enum turn_result take_success(struct turn_client *c, const struct stun_msg *m)
{
    struct addr mapped;
    c->error = 0;
    c->retries = 0;
    if (stun_get_xor_addr(m, STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped) == 0)
        c->mapped = mapped;
    if (m->method == STUN_ALLOCATE || m->method == STUN_REFRESH)
        (void)stun_get_u32(m, STUN_ATTR_LIFETIME, &c->lifetime_s);
    if (m->method == STUN_ALLOCATE) {
        const struct stun_attr *token = stun_find(m, STUN_ATTR_RESERVATION_TOKEN);
        take_relayed(c, m);
        c->has_token = token && token->len == STUN_RESERVATION_TOKEN_LEN;
        if (c->has_token)
            memcpy(c->token, token->value, STUN_RESERVATION_TOKEN_LEN);
    }
    return TURN_SUCCESS;
}

static enum turn_result take_error(struct turn_client *c, const struct stun_msg *m)
{
    int code;
    if (stun_get_error(m, &code))
        return TURN_IGNORE;
    if (code == STUN_E_UNAUTHENTICATED || code == STUN_E_STALE_NONCE)
        return take_challenge(c, m, code);
    c->error = code;
    c->retries = 0;
    if (code == STUN_E_TRY_ALTERNATE)
        (void)stun_get_addr(m, STUN_ATTR_ALTERNATE_SERVER, &c->alternate);
    return TURN_ERROR;
}

enum turn_result turn_client_answer(struct turn_client *c, const struct stun_msg *m)
{
    if (!genuine(c, m))
        return TURN_IGNORE;
    return m->class == STUN_SUCCESS ? take_success(c, m) : take_error(c, m);
}

int turn_client_data(const struct stun_msg *m, struct addr *peer, const uint8_t **data, size_t *len)
{
    const struct stun_attr *a = stun_find(m, STUN_ATTR_DATA);
    if (m->method != STUN_DATA || m->class != STUN_INDICATION || !a)
        return ERR_NOENT;
    *data = a->value;
    *len = a->len;
    int err = stun_get_xor_addr(m, STUN_ATTR_XOR_PEER_ADDRESS, peer);
    return err == ERR_NOENT ? ERR_MALFORMED : err;
}
