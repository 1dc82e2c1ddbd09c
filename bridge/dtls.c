#include "bridge/dtls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/err.h"
#include "base/random.h"

enum {
    VALID_S = 10 * 365 * 86400, /* nobody looks: what counts is the fingerprint */
    IP_UDP_LEN = 28,            /* bytes that a datagram has before DTLS; with IPv6 it is 20 more, which 1200 bears */
    FIRST_TIMEOUT_US = 250000,  /* RFC 6347 section 4.2.4.1 says 1 s for networks that aren't known; ours has just answered */
    TIMEOUT_MAX_US = 4000000,
    KEYS_LEN = 2 * SECURE_KEY_MAX,
};

struct dtls_cert {
    SSL_CTX *context;
    BIO_METHOD *method;
    char fingerprint[DTLS_FINGERPRINT_MAX];
};

struct dtls {
    SSL *ssl;
    struct sdp_fingerprint peer;
    dtls_send_cb *send;
    void *ctx;
    enum dtls_state state;
    const uint8_t *in; /* the datagram that is being read; NULL: none */
    size_t in_len;
};

/* ---- the BIO: one datagram a read, one a write ---- */
static int bio_write(BIO *bio, const char *data, int len)
{
    struct dtls *d = BIO_get_data(bio);
    if (len > 0)
        d->send(d->ctx, (const uint8_t *)data, (size_t)len);
    return len;
}

static int bio_read(BIO *bio, char *out, int cap)
{
    struct dtls *d = BIO_get_data(bio);
    size_t n = d->in_len;

    BIO_clear_retry_flags(bio);
    if (!d->in || cap <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (n > (size_t)cap) /* as the kernel does it: the rest of a datagram is gone */
        n = (size_t)cap;
    memcpy(out, d->in, n);
    d->in = NULL;
    return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *p)
{
    (void)bio;
    (void)number;
    (void)p;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD:
        return IP_UDP_LEN;
    default:
        return 0;
    }
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagrams of a call");
    if (m && BIO_meth_set_write(m, bio_write) && BIO_meth_set_read(m, bio_read) && BIO_meth_set_ctrl(m, bio_ctrl) &&
        BIO_meth_set_create(m, bio_create))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- the certificate ---- */
static X509 *make_certificate(EVP_PKEY *key)
{
    static const unsigned char name[] = "turnpike-bridge";
    X509 *x = X509_new();
    X509_NAME *subject;
    uint32_t serial;

    if (!x)
        return NULL;
    random_bytes(&serial, sizeof(serial));
    subject = X509_get_subject_name(x);
    if (!X509_set_version(x, 2) || !ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial) ||
        !X509_gmtime_adj(X509_getm_notBefore(x), -86400) || !X509_gmtime_adj(X509_getm_notAfter(x), VALID_S) ||
        !X509_set_pubkey(x, key) || !X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, name, -1, -1, 0) ||
        !X509_set_issuer_name(x, subject) || !X509_sign(x, key, EVP_sha256())) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static int write_fingerprint(char out[static DTLS_FINGERPRINT_MAX], const X509 *x)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;
    size_t len = (size_t)snprintf(out, DTLS_FINGERPRINT_MAX, "sha-256");

    if (!X509_digest(x, EVP_sha256(), digest, &n))
        return ERR_CRYPTO;
    for (unsigned i = 0; i < n && len < DTLS_FINGERPRINT_MAX; i++)
        len += (size_t)snprintf(out + len, DTLS_FINGERPRINT_MAX - len, "%c%02X", i ? ':' : ' ', digest[i]);
    return 0;
}

/* What the other side shows is trusted for its digest alone, which came by the signalling. */
static int verify(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct dtls *d = SSL_get_app_data(ssl);
    const X509 *x = X509_STORE_CTX_get0_cert(store);
    const EVP_MD *md = EVP_get_digestbyname(d->peer.hash[4] == '2' ? "SHA256" : d->peer.hash[4] == '3' ? "SHA384" : "SHA512");
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    (void)arg;
    if (x && md && d->peer.len && X509_digest(x, md, digest, &n) && n == d->peer.len && memcmp(digest, d->peer.digest, n) == 0)
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
}

static SSL_CTX *make_context(EVP_PKEY *key, X509 *x)
{
    SSL_CTX *c = SSL_CTX_new(DTLS_client_method());
    if (!c)
        return NULL;
    SSL_CTX_set_options(c, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(c, verify, NULL);
    /* SSL_CTX_set_tlsext_use_srtp says 0 when it is well. */
    if (SSL_CTX_set_min_proto_version(c, DTLS1_2_VERSION) && SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20") &&
        SSL_CTX_use_certificate(c, x) && SSL_CTX_use_PrivateKey(c, key) &&
        SSL_CTX_set_tlsext_use_srtp(c, "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80") == 0)
        return c;
    SSL_CTX_free(c);
    return NULL;
}

int dtls_cert_new(struct dtls_cert **out)
{
    struct dtls_cert *c = calloc(1, sizeof(*c));
    EVP_PKEY *key = NULL;
    X509 *x = NULL;
    int err = ERR_NOMEM;

    if (!c)
        goto out;
    err = ERR_CRYPTO;
    key = EVP_EC_gen("P-256");
    x = key ? make_certificate(key) : NULL;
    c->method = make_method();
    if (!x || !c->method || !(c->context = make_context(key, x)))
        goto out;
    err = write_fingerprint(c->fingerprint, x);
out:
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (err)
        dtls_cert_free(&c);
    *out = c;
    return err;
}

void dtls_cert_free(struct dtls_cert **cert)
{
    if (!*cert)
        return;
    SSL_CTX_free((*cert)->context);
    BIO_meth_free((*cert)->method);
    free(*cert);
    *cert = NULL;
}

const char *dtls_cert_fingerprint(const struct dtls_cert *cert)
{
    return cert->fingerprint;
}

/* ---- a handshake ---- */
static unsigned next_timeout(SSL *ssl, unsigned last_us)
{
    (void)ssl;
    if (last_us == 0)
        return FIRST_TIMEOUT_US;
    return last_us < TIMEOUT_MAX_US / 2 ? last_us * 2 : TIMEOUT_MAX_US;
}

int dtls_new(struct dtls **out, struct dtls_cert *cert, const struct sdp_fingerprint *peer, dtls_send_cb *send, void *ctx)
{
    struct dtls *d = calloc(1, sizeof(*d));
    BIO *bio = NULL;
    int err = ERR_NOMEM;

    if (!d)
        goto out;
    d->peer = *peer;
    d->send = send;
    d->ctx = ctx;
    d->ssl = SSL_new(cert->context);
    bio = BIO_new(cert->method);
    if (!d->ssl || !bio)
        goto out;
    BIO_set_data(bio, d);
    SSL_set_bio(d->ssl, bio, bio);
    bio = NULL;
    SSL_set_app_data(d->ssl, d);
    SSL_set_connect_state(d->ssl);
    DTLS_set_link_mtu(d->ssl, DTLS_MTU);
    DTLS_set_timer_cb(d->ssl, next_timeout);
    err = 0;
out:
    BIO_free(bio);
    ERR_clear_error();
    if (err)
        dtls_free(&d);
    *out = d;
    return err;
}

void dtls_free(struct dtls **d)
{
    if (!*d)
        return;
    SSL_free((*d)->ssl);
    explicit_bzero(*d, sizeof(**d));
    free(*d);
    *d = NULL;
}

/* Whether SSL only waits for the next datagram. */
static bool waits(const struct dtls *d, int result)
{
    int why = SSL_get_error(d->ssl, result);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static void go_on(struct dtls *d)
{
    int n;
    if (d->state == DTLS_SHAKING) {
        n = SSL_do_handshake(d->ssl);
        if (n == 1)
            d->state = SSL_get_selected_srtp_profile(d->ssl) ? DTLS_UP : DTLS_FAILED;
        else if (!waits(d, n))
            d->state = DTLS_FAILED;
    }
    if (d->state == DTLS_UP) {
        /* No application data comes; this reads alerts and answers a last flight that is sent again. */
        char nothing[64];
        n = SSL_read(d->ssl, nothing, sizeof(nothing));
        if (n <= 0 && !waits(d, n))
            d->state = DTLS_CLOSED;
    }
    ERR_clear_error();
}

void dtls_start(struct dtls *d)
{
    if (d->state != DTLS_NEW)
        return;
    d->state = DTLS_SHAKING;
    go_on(d);
}

void dtls_input(struct dtls *d, const uint8_t *data, size_t len)
{
    d->in = data;
    d->in_len = len;
    go_on(d);
    d->in = NULL;
}

int dtls_due_ms(const struct dtls *d)
{
    struct timeval left;
    if (d->state != DTLS_SHAKING || !DTLSv1_get_timeout(d->ssl, &left))
        return -1;
    /* One more: a timer that fires within its last millisecond would find nothing due. */
    return (int)(left.tv_sec * 1000 + left.tv_usec / 1000 + 1);
}

void dtls_timeout(struct dtls *d)
{
    if (d->state == DTLS_SHAKING && DTLSv1_handle_timeout(d->ssl) < 0)
        d->state = DTLS_FAILED;
    ERR_clear_error();
}

enum dtls_state dtls_state(const struct dtls *d)
{
    return d->state;
}

int dtls_keys(struct dtls *d, struct secure_keys *out)
{
    static const char label[] = "EXTRACTOR-dtls_srtp"; /* RFC 5764 section 4.2 */
    const SRTP_PROTECTION_PROFILE *profile = d->state == DTLS_UP ? SSL_get_selected_srtp_profile(d->ssl) : NULL;
    uint8_t bytes[KEYS_LEN];
    size_t key, salt;
    int err = ERR_CRYPTO;

    if (!profile)
        return ERR_NOTCONN;
    out->profile = profile->id == SRTP_AEAD_AES_128_GCM ? SECURE_AEAD_AES_128_GCM : SECURE_AES_CM_SHA1_80;
    key = secure_key_len(out->profile);
    salt = secure_salt_len(out->profile);
    /* The client's key, the server's, the client's salt, the server's; we are the client. */
    if (SSL_export_keying_material(d->ssl, bytes, 2 * (key + salt), label, sizeof(label) - 1, NULL, 0, 0) == 1) {
        memcpy(out->local, bytes, key);
        memcpy(out->remote, bytes + key, key);
        memcpy(out->local + key, bytes + 2 * key, salt);
        memcpy(out->remote + key, bytes + 2 * key + salt, salt);
        err = 0;
    }
    explicit_bzero(bytes, sizeof(bytes));
    ERR_clear_error();
    return err;
}
