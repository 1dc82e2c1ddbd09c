/*
 * Purpose:  TLS of the connect service: which versions and ciphers, and the certificate, read anew at each reload.
 * Owner:    the context is made by the control thread and used by the connect thread.
 * Lifetime: from tls_new to SSL_CTX_free; sessions keep the one that they began with.
 * Callers:  connect/connect (contexts), connect/accept (sessions).
 * RFC:      8446, 9325 (recommendations), 7301 (ALPN).
 */
#ifndef CONNECT_TLS_H
#define CONNECT_TLS_H

#include <stddef.h>

struct ssl_ctx_st;

/* Reads both files. ERR_CONFIG with the cause in `text`: they can't be read, or are no pair; ERR_NOMEM. */
int tls_new(struct ssl_ctx_st **out, const char *cert, const char *pkey, char *text, size_t cap);

#endif
