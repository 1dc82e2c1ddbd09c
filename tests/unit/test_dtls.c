/* dtls and secure: a handshake with a server of OpenSSL's own in the same process, its keys, and packets under them. */
#include "bridge/dtls.h"

#include <openssl/ssl.h>

#include "base/err.h"
#include "tests/unit/tap.h"

enum { WIRE_MAX = 4, DATAGRAM_MAX = 1500 };

/* Datagrams from us to the server. */
static struct {
    uint8_t bytes[WIRE_MAX][DATAGRAM_MAX];
    size_t len[WIRE_MAX];
    unsigned n;
} sent;
static bool too_long;

static struct dtls_cert *ours;
static struct dtls *client;
static SSL_CTX *context;
static SSL *server;

static void on_send(void *ctx, const uint8_t *data, size_t len)
{
    (void)ctx;
    too_long |= len > DTLS_MTU - 28;
    if (sent.n == WIRE_MAX || len > DATAGRAM_MAX)
        return;
    memcpy(sent.bytes[sent.n], data, len);
    sent.len[sent.n++] = len;
}

static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

/* The server has a certificate of its own, made as ours is; `profiles` are SRTP's that it has. */
static bool begin(const char *profiles, bool wrong)
{
    static const char head[] = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 8\r\na=fingerprint:";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    uint8_t digest[32];
    unsigned n = 0;
    struct sdp sdp;
    char text[512];
    size_t len;

    memset(&sent, 0, sizeof(sent));
    too_long = false;
    context = SSL_CTX_new(DTLS_server_method());
    if (!key || !x || !context)
        return false;
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_sign(x, key, EVP_sha256());
    SSL_CTX_use_certificate(context, x);
    SSL_CTX_use_PrivateKey(context, key);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, accept_any);
    SSL_CTX_set_tlsext_use_srtp(context, profiles);
    SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU);
    X509_digest(x, EVP_sha256(), digest, &n);
    digest[7] ^= wrong;
    len = (size_t)snprintf(text, sizeof(text), "%ssha-256 ", head);
    for (unsigned i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%02X", i ? ":" : "", digest[i]);
    snprintf(text + len, sizeof(text) - len, "\r\n");
    server = SSL_new(context);
    SSL_set_bio(server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(server), -1);
    SSL_set_mtu(server, 1200);
    SSL_set_accept_state(server);
    X509_free(x);
    EVP_PKEY_free(key);
    return sdp_parse(&sdp, text) == 0 && dtls_cert_new(&ours) == 0 && dtls_new(&client, ours, &sdp.fingerprint, on_send, NULL) == 0;
}

static void end(void)
{
    dtls_free(&client);
    dtls_cert_free(&ours);
    SSL_free(server);
    SSL_CTX_free(context);
}

/* Carries datagrams until neither side has one. A memory BIO keeps no boundaries, so the server's records are cut by their length. */
static void carry(void)
{
    static uint8_t buf[1 << 14];
    for (unsigned round = 0; round < 20; round++) {
        int n;
        for (unsigned i = 0; i < sent.n; i++) {
            BIO_write(SSL_get_rbio(server), sent.bytes[i], (int)sent.len[i]);
            SSL_do_handshake(server);
        }
        sent.n = 0;
        n = BIO_read(SSL_get_wbio(server), buf, sizeof(buf));
        for (int at = 0; at + 13 <= n;) {
            size_t record = 13 + ((size_t)buf[at + 11] << 8 | buf[at + 12]);
            dtls_input(client, buf + at, record);
            at += (int)record;
        }
        if (n <= 0 && sent.n == 0)
            return;
    }
}

static void server_keys(struct secure_keys *out, const char *name)
{
    uint8_t bytes[2 * SECURE_KEY_MAX];
    size_t key, salt;
    out->profile = strstr(name, "GCM") ? SECURE_AEAD_AES_128_GCM : SECURE_AES_CM_SHA1_80;
    key = secure_key_len(out->profile);
    salt = secure_salt_len(out->profile);
    SSL_export_keying_material(server, bytes, 2 * (key + salt), "EXTRACTOR-dtls_srtp", 19, NULL, 0, 0);
    memcpy(out->remote, bytes, key);
    memcpy(out->local, bytes + key, key);
    memcpy(out->remote + key, bytes + 2 * key, salt);
    memcpy(out->local + key, bytes + 2 * key + salt, salt);
}

static const uint8_t packet[] = {0x80, 8, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 'v', 'o', 'i', 'c', 'e'};

static void both_ways(const char *profile)
{
    struct secure_keys mine, its;
    struct secure *a, *b;
    uint8_t buf[sizeof(packet) + SECURE_TRAILER_MAX], again[sizeof(buf)];
    size_t len = sizeof(packet), first;

    CHECK(begin(profile, false));
    CHECK_INT(dtls_keys(client, &mine), ERR_NOTCONN);
    dtls_start(client);
    CHECK_INT(dtls_state(client), DTLS_SHAKING);
    CHECK(dtls_due_ms(client) > 0);
    carry();
    CHECK_INT(dtls_state(client), DTLS_UP);
    CHECK(!too_long);
    CHECK_INT(dtls_due_ms(client), -1);
    CHECK_INT(dtls_keys(client, &mine), 0);
    server_keys(&its, profile);
    CHECK_INT(mine.profile, its.profile);
    CHECK_INT(secure_new(&a, &mine), 0);
    CHECK_INT(secure_new(&b, &its), 0);
    memcpy(buf, packet, len);
    CHECK_INT(secure_protect(a, buf, &len), 0);
    CHECK(len > sizeof(packet) && len <= sizeof(buf));
    memcpy(again, buf, len);
    first = len;
    CHECK_INT(secure_unprotect(b, buf, &len), 0);
    CHECK_INT(len, sizeof(packet));
    CHECK_MEM(buf, packet, len);
    CHECK_INT(secure_unprotect(b, again, &first), ERR_STALE); /* a replay */
    memcpy(buf, packet, sizeof(packet));
    buf[3] = 2;
    len = sizeof(packet);
    CHECK(secure_unprotect(b, buf, &len) != 0); /* plain bytes are nothing */
    secure_free(&a);
    secure_free(&b);
    end();
}

static void gcm(void)
{
    both_ways("SRTP_AEAD_AES_128_GCM");
}

static void sha1(void)
{
    both_ways("SRTP_AES128_CM_SHA1_80");
}

static void prefers_gcm(void)
{
    struct secure_keys keys;
    CHECK(begin("SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", false));
    dtls_start(client);
    carry();
    CHECK_INT(dtls_keys(client, &keys), 0);
    end();
}

static void wrong_fingerprint(void)
{
    struct secure_keys keys;
    CHECK(begin("SRTP_AEAD_AES_128_GCM", true));
    dtls_start(client);
    carry();
    CHECK_INT(dtls_state(client), DTLS_FAILED);
    CHECK_INT(dtls_keys(client, &keys), ERR_NOTCONN);
    CHECK(!SSL_is_init_finished(server));
    end();
}

static void no_profile(void)
{
    CHECK(begin("SRTP_AES128_CM_SHA1_32", false));
    dtls_start(client);
    carry();
    CHECK_INT(dtls_state(client), DTLS_FAILED);
    end();
}

static void closes(void)
{
    CHECK(begin("SRTP_AEAD_AES_128_GCM", false));
    dtls_start(client);
    carry();
    CHECK_INT(dtls_state(client), DTLS_UP);
    SSL_shutdown(server);
    carry();
    CHECK_INT(dtls_state(client), DTLS_CLOSED);
    end();
}

/* A stranger who has the key, or the browser itself, can't fill our memory with sources. */
static void sources(void)
{
    struct secure_keys keys = {.profile = SECURE_AES_CM_SHA1_80};
    struct secure *a, *b;
    uint8_t buf[sizeof(packet) + SECURE_TRAILER_MAX];
    CHECK_INT(secure_new(&a, &keys), 0);
    CHECK_INT(secure_new(&b, &keys), 0);
    for (unsigned i = 0; i <= SECURE_SOURCES_MAX; i++) {
        size_t len = sizeof(packet);
        memcpy(buf, packet, len);
        buf[11] = (uint8_t)i;
        CHECK_INT(secure_protect(a, buf, &len), 0);
        CHECK_INT(secure_unprotect(b, buf, &len), i < SECURE_SOURCES_MAX ? 0 : ERR_NOSPC);
    }
    secure_free(&a);
    secure_free(&b);
}

static const struct tap_test tests[] = {
    {"a handshake gives both sides the keys of AES-GCM, and a replay is refused", gcm},
    {"the same with AES_CM_128_HMAC_SHA1_80", sha1},
    {"with both profiles there is one", prefers_gcm},
    {"a certificate of another fingerprint ends the handshake", wrong_fingerprint},
    {"without a profile in common there are no keys", no_profile},
    {"close_notify is heard", closes},
    {"sources under one key are bounded", sources},
};

TAP_MAIN(tests)
