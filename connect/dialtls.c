/* TLS of connect/dial: who may answer, and for which name. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/err.h"
#include "connect/dialparts.h"

int dial_tls(struct ssl_ctx_st **out, const char *ca_file)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int ok;

    *out = NULL;
    if (!ctx)
        return ERR_NOMEM;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    /* A server that closes without TLS's goodbye has still closed: WebSocket has its own. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    ok = ca_file ? SSL_CTX_load_verify_file(ctx, ca_file) : SSL_CTX_set_default_verify_paths(ctx);
    ERR_clear_error();
    if (ok != 1) {
        SSL_CTX_free(ctx);
        return ERR_INVAL;
    }
    *out = ctx;
    return 0;
}

struct ssl_st *dial_session(struct ssl_ctx_st *ctx, const char *host)
{
    SSL *ssl = SSL_new(ctx);
    char sni[DIAL_HOST_MAX]; /* OpenSSL's macro takes the const away */
    struct addr a;
    int ok;

    if (!ssl)
        return NULL;
    snprintf(sni, sizeof(sni), "%s", host);
    if (addr_parse_ip(&a, host) == 0)
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    else
        ok = SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, sni) == 1;
    if (ok != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

bool dialparts_tls_why(struct ssl_st *ssl, unsigned long error, char *out, size_t cap)
{
    long verified = SSL_get_verify_result(ssl);
    const char *reason = error ? ERR_reason_error_string(error) : NULL;

    if (verified != X509_V_OK)
        snprintf(out, cap, "the server's certificate is refused: %s", X509_verify_cert_error_string(verified));
    else if (reason)
        snprintf(out, cap, "TLS with the server failed: %s", reason);
    return verified != X509_V_OK || reason;
}
