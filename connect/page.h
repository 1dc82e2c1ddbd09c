/*
 * Purpose:  the softphone page: its files, which are in the program, and what it is told and allowed.
 * Owner:    any thread; tools/embed has put the bytes there when it was built.
 * Lifetime: static.
 * Callers:  connect/serve.
 * RFC:      9110 section 8.8.3 (ETag); Content Security Policy Level 3, Permissions Policy.
 */
#ifndef CONNECT_PAGE_H
#define CONNECT_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "connect/http.h"

enum { PAGE_URL_MAX = 512, PAGE_POLICY_MAX = 1024, PAGE_STUN_MAX = 128 };

struct page_file {
    const char *name;
    const char *type; /* media type */
    const char *tag;  /* of its bytes, in quotes */
    const unsigned char *data;
    size_t len;
};
/* By tools/embed: the list ends with a name of NULL. */
extern const struct page_file PAGE_FILES[];

/* "/": index.html; "/check": check.html; "/call.js". NULL: there is no such file. */
const struct page_file *page_find(const struct http_text *path);
/* Does the client have it already? RFC 9110 section 13.1.2. */
bool page_is_known(const struct page_file *f, const struct http_text *if_none_match);

struct page_service {
    const char *url; /* as configured, or NULL: */
    bool tls;
    const struct addr *listen, *app; /* addresses in use, from which it is made with what the browser calls us */
};
/* "wss://connect.example/connect". */
void page_url(char out[static PAGE_URL_MAX], const struct page_service *s, const struct http_text *host);
/* Content-Security-Policy: nothing inline, nothing from elsewhere, in nobody's frame (S22); and the service at `url`, also by HTTP:
 * /check asks whether anything else than a WebSocket passes. */
void page_policy(char out[static PAGE_POLICY_MAX], const char *url);
/* May a page of this origin use the service? One of the service's own: of the host as the browser calls it, on this port or the page's. Without TLS that
 * is on loopback, where any name could have been made to lead: there it must be an address or "localhost". */
bool page_is_own(const struct http_text *origin, const struct page_service *s, const struct http_text *host);

#endif
