/*
 * Purpose:  the head of one HTTP/1.1 request: what is asked for, and whether it opens a WebSocket of ours.
 * Owner:    any thread; no state.
 * Lifetime: a head borrows the bytes that it was read from.
 * Callers:  connect/serve, connect/page.
 * RFC:      9112 (HTTP/1.1), 9110 (fields), 6455 section 4.2 (opening handshake).
 */
#ifndef CONNECT_HTTP_H
#define CONNECT_HTTP_H

#include <stdbool.h>
#include <stddef.h>

/* Every limit of a request, with its unit and reason (S20). */
enum {
    HTTP_HEAD_MAX = 8192,  /* bytes: a browser sends one or two thousand */
    HTTP_FIELDS_MAX = 100, /* of a head: a browser sends twenty */
    HTTP_HOST_MAX = 261,   /* bytes: a name of 255, a colon and a port */
    HTTP_ACCEPT_LEN = 28,  /* base64 of SHA-1, as connect/wskey.h has it */
};

#define HTTP_PROTOCOL "turnpike.connect.v1"

/* Bytes of the request; NULL: there is no such field. */
struct http_text {
    const char *p;
    size_t len;
};

struct http_head {
    size_t len;            /* bytes of it, with the empty line */
    int status;            /* what to answer when it is no good: 4xx or 5xx */
    const char *why;       /* and for whom can read it; static */
    bool head;             /* HEAD, not GET */
    bool keep;             /* the connection may serve another request */
    struct http_text path; /* as it came, without a query */
    struct http_text host; /* "name", "name:port": nothing but what may stand in a URL */
    struct http_text origin, if_none_match;
    bool upgrade;         /* asks for a WebSocket, whether it may have one or not: */
    struct http_text key; /* 24 bytes of base64 */
    struct http_text version;
    bool protocol; /* HTTP_PROTOCOL is among what the client speaks */
};

/*
 * 0: `out` is the head that `buf` begins with. ERR_AGAIN: it is not whole yet. ERR_MALFORMED: it is no good, and never will be: `status` and `why` say
 * what to answer, and the connection ends with that.
 */
int http_read(struct http_head *out, const char *buf, size_t len);
/* What a WebSocket needs beyond a good head; 0, or ERR_MALFORMED with `status` and `why`. */
int http_may_upgrade(struct http_head *h);
/* Sec-WebSocket-Accept of a key, with a NUL. ERR_CRYPTO. */
int http_accept(char out[static HTTP_ACCEPT_LEN + 1], const struct http_text *key);
bool http_text_is_named(const struct http_text *t, const char *name); /* whatever the case of its letters */
bool http_text_is(const struct http_text *t, const char *text);
/* "Not Found" and the like. */
const char *http_reason(int status);

#endif
