#include "connect/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

/* TLS 1.2 with forward secrecy and authenticated encryption only (S26); 1.3 has nothing else. */
static const char CIPHERS[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

/* Nobody sits before this process: an encrypted key is none. */
static int no_passphrase(char *text, int size, int writes, void *ctx)
{
    (void)text, (void)size, (void)writes, (void)ctx;
    return 0;
}

/* Browsers offer h2, too, which is not spoken here. Whoever names nothing that we know goes on without: the first bytes decide. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *ctx)
{
    static const unsigned char OURS[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl, (void)ctx;
    if (SSL_select_next_proto(&chosen, out_len, OURS, sizeof(OURS) - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* What of the two is wrong, for whoever has to mend it. */
static int refuse(const char *key, const char *path, char *text, size_t cap)
{
    bool readable = access(path, R_OK) == 0;

    snprintf(text, cap, "%s %s can't be %s: %s", key, path, readable ? "used" : "read",
             readable ? "PEM of a certificate chain, and of the private key of its first one, is expected" : strerror(errno));
    ERR_clear_error();
    return ERR_CONFIG;
}

int tls_new(struct ssl_ctx_st **out, const char *cert, const char *pkey, char *text, size_t cap)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int err = 0;

    *out = NULL;
    if (!ctx) {
        snprintf(text, cap, "%s", err_str(ERR_NOMEM));
        return ERR_NOMEM;
    }
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1) {
        snprintf(text, cap, "%s", err_str(ERR_CRYPTO));
        err = ERR_CRYPTO;
    } else if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        err = refuse("cert", cert, text, cap);
    } else if (SSL_CTX_use_PrivateKey_file(ctx, pkey, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
        err = refuse("pkey", pkey, text, cap);
    }
    if (err)
        SSL_CTX_free(ctx);
    else
        *out = ctx;
    return err;
}
