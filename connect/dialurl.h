/*
 * Purpose:  the addresses that a client of the connect service is given: of the service, and of a proxy.
 * Owner:    any thread; no state.
 * Lifetime: a plain value.
 * Callers:  connect/client, connect/dial, probe/.
 * RFC:      3986, 6455 section 3 (ws and wss).
 */
#ifndef CONNECT_DIALURL_H
#define CONNECT_DIALURL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    DIAL_HOST_MAX = 254, /* bytes of a name (RFC 1035 section 2.3.4) or IP, and its NUL */
    DIAL_PATH_MAX = 256, /* bytes of a path, and its NUL */
};

struct dialurl {
    bool tls;
    char host[DIAL_HOST_MAX]; /* IPv6 without brackets */
    uint16_t port;
    char path[DIAL_PATH_MAX]; /* "/" at least */
};

/* "wss://HOST[:PORT][/PATH]"; "ws://" on loopback only. ERR_INVAL, with the reason and the cure in `*why`. */
int dialurl_service(struct dialurl *out, const char *text, const char **why);
/* "http://HOST[:PORT]", port 80 if none is named. */
int dialurl_proxy(struct dialurl *out, const char *text, const char **why);

enum { DIAL_AUTHORITY_MAX = DIAL_HOST_MAX + sizeof("[]:65535") };
/* "HOST:PORT", "[v6]:PORT"; without a port that the scheme has anyway, if `bare`. Returns `out`. */
const char *dialurl_authority(const struct dialurl *url, bool bare, char out[static DIAL_AUTHORITY_MAX]);

#endif
