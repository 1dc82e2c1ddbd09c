#include "auth/redistls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>

#include "auth/redisurl.h"
#include "base/addr.h"
#include "base/err.h"

static const char *load(SSL_CTX *ctx, const struct redis_target *t)
{
    if (*t->cacert ? SSL_CTX_load_verify_file(ctx, t->cacert) != 1 : SSL_CTX_set_default_verify_paths(ctx) != 1)
        return "TLS: the authorities' certificates (cacert) cannot be read";
    if (*t->cert && SSL_CTX_use_certificate_chain_file(ctx, t->cert) != 1)
        return "TLS: our certificate (cert) cannot be read";
    if (*t->key && SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM) != 1)
        return "TLS: our certificate's key (key) cannot be read or belongs to another certificate";
    return NULL;
}

int redistls_new(struct ssl_ctx_st **out, const struct redis_target *target, const char **why)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    const char *wrong;

    *out = NULL;
    if (!ctx)
        return ERR_NOMEM;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    wrong = load(ctx, target);
    ERR_clear_error();
    if (wrong) {
        SSL_CTX_free(ctx);
        *why = wrong;
        return ERR_CONFIG;
    }
    *out = ctx;
    return 0;
}

struct ssl_st *redistls_session(struct ssl_ctx_st *ctx, const char *name)
{
    SSL *ssl = SSL_new(ctx);
    char sni[REDIS_HOST_MAX + 1]; /* OpenSSL's macro takes the const away */
    struct addr a;
    int ok;

    if (!ssl)
        return NULL;
    snprintf(sni, sizeof(sni), "%s", name);
    if (addr_parse_ip(&a, name) == 0)
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    else
        ok = SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, sni) == 1;
    if (ok != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

bool redistls_why(struct ssl_st *ssl, unsigned long error, char *out, size_t cap)
{
    long verified = SSL_get_verify_result(ssl);
    const char *reason = error ? ERR_reason_error_string(error) : NULL;

    if (verified != X509_V_OK)
        snprintf(out, cap, "TLS: the server's certificate is refused: %s", X509_verify_cert_error_string(verified));
    else if (reason)
        snprintf(out, cap, "TLS: %s", reason);
    return verified != X509_V_OK || reason;
}
