#include "tests/unit/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "relay/request.h"
#include "stun/integrity.h"

void client_init(struct client *c, struct fakenet *f, unsigned worker, const char *address, enum transport transport)
{
    struct addr client = fake_addr(address);
    static uint32_t clients;

    *c = (struct client){.net = f, .worker = worker, .user = "alice", .password = "sesame"};
    c->path = (struct path){.client = client,
                            .server = fake_addr(client.family == ADDR_V6 ? "[2a07::7]:3478" : "7.7.7.7:3478"),
                            .transport = transport,
                            .io = 3,
                            .generation = 5};
    c->next_txid = ++clients << 16;
}

void client_be_bob(struct client *c)
{
    c->user = "bob";
    c->password = "swordfish";
}

void client_pair(struct client *alice, struct client *bob, struct fakenet *f, const struct fake_options *o)
{
    fake_up(f, o);
    client_init(alice, f, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    client_init(bob, f, 0, "11.2.2.2:4000", TRANSPORT_UDP);
    client_be_bob(bob);
}

void client_be_rest(struct client *c, const char *name, const char *secret)
{
    uint8_t digest[20];

    if (stun_hmac_sha1(c->net->mac, secret, strlen(secret), name, strlen(name), digest))
        abort();
    base64_encode(c->rest_password, digest, sizeof(digest));
    c->user = name;
    c->password = c->rest_password;
}

/* ---- Building. ---- */

void client_again(struct client *c, enum stun_class class, uint16_t method)
{
    stun_begin(&c->o, c->request, sizeof(c->request), class, method, c->txid);
}

void client_begin(struct client *c, enum stun_class class, uint16_t method)
{
    c->next_txid++;
    memset(c->txid, 0x5a, sizeof(c->txid));
    memcpy(c->txid, &c->next_txid, sizeof(c->next_txid));
    client_again(c, class, method);
}

size_t client_key(const struct client *c, uint8_t key[static STUN_KEY_MAX])
{
    if (c->sign == SIGN_SHA256) {
        stun_key_sha256(c->user, c->realm, c->password, key);
        return STUN_SHA256_KEY_LEN;
    }
    stun_key_md5(c->user, c->realm, c->password, key);
    return STUN_MD5_KEY_LEN;
}

void client_put_identity(struct client *c)
{
    static const uint16_t OFFERED[] = {STUN_ALG_SHA256, STUN_ALG_MD5};
    uint8_t choice[4] = {0, c->sign == SIGN_SHA256 ? STUN_ALG_SHA256 : STUN_ALG_MD5}, hash[STUN_USERHASH_LEN];

    if (c->userhash) {
        stun_userhash(c->user, c->realm, hash);
        stun_put(&c->o, STUN_ATTR_USERHASH, hash, sizeof(hash));
    } else {
        stun_put(&c->o, STUN_ATTR_USERNAME, c->user, strlen(c->user));
    }
    stun_put(&c->o, STUN_ATTR_REALM, c->realm, strlen(c->realm));
    stun_put(&c->o, STUN_ATTR_NONCE, c->nonce, c->nonce_len);
    if (c->sign != SIGN_SHA1) {
        stun_put_algorithms(&c->o, OFFERED, 2);
        stun_put(&c->o, STUN_ATTR_PASSWORD_ALGORITHM, choice, sizeof(choice));
    }
}

void client_put_integrity(struct client *c)
{
    uint8_t key[STUN_KEY_MAX];
    size_t len = client_key(c, key);

    if (c->sign == SIGN_SHA1)
        stun_put_sha1(&c->o, c->net->mac, key, len);
    else
        stun_put_sha256(&c->o, c->net->mac, key, len);
}

/* ---- Answers: each one is held against what no server may ever send. ---- */

static bool violation(struct client *c, const char *what)
{
    printf("# an answer must not: %s\n", what);
    c->net->violations++;
    return false;
}

/* C4, C12: padding is zero, ERROR-CODE is in range. */
static bool check_attributes(struct client *c, const uint8_t *p, size_t len)
{
    for (size_t at = STUN_HEADER_LEN; at < len;) {
        unsigned type = (unsigned)(p[at] << 8 | p[at + 1]), n = (unsigned)(p[at + 2] << 8 | p[at + 3]);
        const uint8_t *v = p + at + 4;

        for (size_t i = n; i % 4; i++)
            if (v[i])
                return violation(c, "have padding that is not zero (C4)");
        if (type == STUN_ATTR_ERROR_CODE && (v[0] || v[1] || v[2] < 3 || v[2] > 6 || v[3] > 99 || n < 4 || n - 4 > 127))
            return violation(c, "have an odd ERROR-CODE (C12)");
        if (type == STUN_ATTR_SOFTWARE && !fake_shard(c->net, 0)->settings.software[0])
            return violation(c, "tell a SOFTWARE that is not configured (C13)");
        at += 4 + ((n + 3U) & ~3U);
    }
    return true;
}

static bool check_signature(struct client *c)
{
    uint8_t key[STUN_KEY_MAX];
    size_t len = client_key(c, key);
    int err;

    c->signed_with = 0;
    if (stun_find(&c->answer, STUN_ATTR_MESSAGE_INTEGRITY_SHA256)) {
        c->signed_with = 256;
        err = stun_check_sha256(c->net->mac, &c->answer, key, len);
    } else if (stun_find(&c->answer, STUN_ATTR_MESSAGE_INTEGRITY)) {
        c->signed_with = 1;
        err = stun_check_sha1(c->net->mac, &c->answer, key, len);
    } else {
        return true;
    }
    return err == 0 || violation(c, "have a wrong integrity");
}

/* C10: it goes out where the request came in. */
static bool check_path(struct client *c, const struct fake_sent *s)
{
    if (memcmp(&s->path.server, &c->path.server, sizeof(struct addr)) != 0 || s->path.io != c->path.io ||
        s->path.generation != c->path.generation || s->worker != c->worker)
        return violation(c, "leave from elsewhere (C10)");
    return true;
}

static void remember(struct client *c)
{
    const struct stun_attr *a = stun_find(&c->answer, STUN_ATTR_NONCE);

    if (a && a->len <= sizeof(c->nonce)) {
        memcpy(c->nonce, a->value, a->len);
        c->nonce_len = a->len;
    }
    a = stun_find(&c->answer, STUN_ATTR_REALM);
    if (a)
        snprintf(c->realm, sizeof(c->realm), "%.*s", (int)a->len, (const char *)a->value);
    c->lifetime = client_get_u32(c, STUN_ATTR_LIFETIME, 0);
}

int client_answer(struct client *c)
{
    struct fake_sent *s = fake_take_client(c->net, &c->path);
    int code;

    c->answer = (struct stun_msg){0};
    c->answer_len = 0;
    if (!s)
        return NO_ANSWER;
    if (s->len > sizeof(c->answer_bytes) || s->len < STUN_HEADER_LEN || s->data[0] > 3)
        return ODD_ANSWER;
    memcpy(c->answer_bytes, s->data, s->len);
    c->answer_len = s->len;
    if (stun_decode(&c->answer, c->answer_bytes, s->len))
        return violation(c, "be malformed"), ODD_ANSWER;
    if (!check_path(c, s) || !check_attributes(c, c->answer_bytes, s->len))
        return ODD_ANSWER;
    if (c->answer.class == STUN_INDICATION)
        return c->answer.method;
    if (strlen(c->net->realm) < 64 && s->len >= 548)
        return violation(c, "be longer than 547 bytes (C11)"), ODD_ANSWER;
    if (!c->answer.txid || memcmp(c->answer.txid, c->txid, STUN_TXID_LEN) != 0)
        return violation(c, "have another transaction id"), ODD_ANSWER;
    if (!check_signature(c))
        return ODD_ANSWER;
    remember(c);
    if (c->answer.class == STUN_SUCCESS)
        return 0;
    return stun_get_error(&c->answer, &code) == 0 ? code : ODD_ANSWER;
}

int client_raw(struct client *c, const void *bytes, size_t len, uint8_t tos)
{
    return fake_from_client(c->net, c->worker, &c->path, bytes, len, tos);
}

/* Has the last request been answered once more? */
static bool answered_again(const struct client *c)
{
    for (const struct fake_sent *s = c->net->sent; s; s = s->next)
        if (!s->taken && !s->to_peer && s->len >= STUN_HEADER_LEN && memcmp(s->data + 8, c->txid, STUN_TXID_LEN) == 0)
            return true;
    return false;
}

int client_send(struct client *c)
{
    int len = stun_end(&c->o), code;

    if (len < 0)
        abort();
    client_raw(c, c->request, (size_t)len, 0);
    code = client_answer(c);
    if (code >= 0 && answered_again(c))
        return violation(c, "come twice"), ODD_ANSWER;
    return code;
}

int client_ask(struct client *c)
{
    client_put_identity(c);
    client_put_integrity(c);
    return client_send(c);
}

bool client_quiet(struct client *c)
{
    return client_answer(c) == NO_ANSWER;
}

uint32_t client_get_u32(const struct client *c, uint16_t type, uint32_t missing)
{
    uint32_t v;

    return stun_get_u32(&c->answer, type, &v) == 0 ? v : missing;
}

/* ---- Whole transactions. ---- */

void client_begin_allocate(struct client *c)
{
    client_begin(c, STUN_REQUEST, STUN_ALLOCATE);
    stun_put_u32(&c->o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
}

int client_greet(struct client *c)
{
    client_begin_allocate(c);
    return client_send(c);
}

int client_finish_allocate(struct client *c)
{
    int code = client_ask(c);
    struct stun_attr a;
    size_t at = 0;

    if (code)
        return code;
    c->relayed[0] = c->relayed[1] = (struct addr){0};
    for (int i = 0; i < 2 && stun_next(&c->answer, STUN_ATTR_XOR_RELAYED_ADDRESS, &at, &a); i++)
        if (stun_attr_xor_addr(&c->answer, &a, &c->relayed[i]))
            return ODD_ANSWER;
    return 0;
}

int client_allocate(struct client *c)
{
    if (!c->nonce_len && client_greet(c) != STUN_E_UNAUTHENTICATED)
        return ODD_ANSWER;
    client_begin_allocate(c);
    return client_finish_allocate(c);
}

int client_allocate_with(struct client *c, uint16_t type, uint32_t value)
{
    if (!c->nonce_len)
        client_greet(c);
    client_begin_allocate(c);
    stun_put_u32(&c->o, type, value);
    return client_finish_allocate(c);
}

int client_allocate_for(struct client *c, uint32_t lifetime)
{
    return client_allocate_with(c, STUN_ATTR_LIFETIME, lifetime);
}

int client_refresh(struct client *c, uint32_t lifetime)
{
    client_begin(c, STUN_REQUEST, STUN_REFRESH);
    stun_put_u32(&c->o, STUN_ATTR_LIFETIME, lifetime);
    return client_ask(c);
}

int client_permit(struct client *c, const char *peer)
{
    struct addr a = fake_addr(peer);

    client_begin(c, STUN_REQUEST, STUN_CREATE_PERMISSION);
    stun_put_xor_addr(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &a);
    return client_ask(c);
}

int client_bind(struct client *c, uint16_t number, const char *peer)
{
    struct addr a = fake_addr(peer);

    client_begin(c, STUN_REQUEST, STUN_CHANNEL_BIND);
    stun_put_u32(&c->o, STUN_ATTR_CHANNEL_NUMBER, (uint32_t)number << 16);
    stun_put_xor_addr(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &a);
    return client_ask(c);
}

void client_say(struct client *c, const char *peer, const void *data, size_t len)
{
    struct addr a = fake_addr(peer);

    client_begin(c, STUN_INDICATION, STUN_SEND);
    stun_put_xor_addr(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &a);
    stun_put(&c->o, STUN_ATTR_DATA, data, len);
    client_raw(c, c->request, (size_t)stun_end(&c->o), 0);
}

int client_channel(struct client *c, uint16_t number, const void *data, size_t len, uint8_t tos)
{
    size_t padded = c->path.transport == TRANSPORT_TCP ? (len + 3) & ~(size_t)3 : len;

    memset(c->request, 0, CHANNEL_HEADER_LEN + padded);
    channel_header(c->request, number, (uint16_t)len);
    if (len)
        memcpy(c->request + CHANNEL_HEADER_LEN, data, len);
    return client_raw(c, c->request, CHANNEL_HEADER_LEN + padded, tos);
}

/* ---- What arrives. ---- */

static bool is_data_indication(const struct fake_sent *s, const struct addr *peer, const void *data, size_t len)
{
    struct stun_msg m;
    struct addr from;
    const struct stun_attr *d;

    if (stun_decode(&m, s->data, s->len) || m.class != STUN_INDICATION || m.method != STUN_DATA)
        return false;
    d = stun_find(&m, STUN_ATTR_DATA);
    return stun_get_xor_addr(&m, STUN_ATTR_XOR_PEER_ADDRESS, &from) == 0 && addr_equal(&from, peer) && d && d->len == len &&
           (!len || memcmp(d->value, data, len) == 0);
}

bool client_got(struct client *c, const char *peer, uint16_t channel, const void *data, size_t len)
{
    struct fake_sent *s = fake_take_client(c->net, &c->path);
    struct addr from = fake_addr(peer);
    struct channel_data frame;

    if (!s)
        return false;
    if (!channel)
        return is_data_indication(s, &from, data, len);
    return channel_decode(&frame, s->data, s->len) == 0 && frame.number == channel && frame.len == len &&
           s->len == CHANNEL_HEADER_LEN + len && (!len || memcmp(frame.data, data, len) == 0);
}

bool client_sent(struct client *c, const char *peer, const void *data, size_t len)
{
    struct fake_sent *s = fake_take_peer(c->net);
    struct addr to = fake_addr(peer);

    return s && addr_equal(&s->peer, &to) && s->worker == c->worker &&
           (s->local.port == c->relayed[0].port || s->local.port == c->relayed[1].port) && s->len == len &&
           (!len || memcmp(s->data, data, len) == 0);
}
