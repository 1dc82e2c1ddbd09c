#include "base/random.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_bytes(void *out, size_t n)
{
    uint8_t *p = out;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort(); /* keys, nonces and relay ports without randomness are worse than no server */
        p += got;
        n -= (size_t)got;
    }
}

void random_init(struct random *r)
{
    memset(r, 0, sizeof(*r));
    r->used = sizeof(r->buf);
}

uint32_t random_u32(struct random *r)
{
    uint32_t v;
    if (r->used > sizeof(r->buf) - sizeof(v)) {
        random_bytes(r->buf, sizeof(r->buf));
        r->used = 0;
    }
    memcpy(&v, r->buf + r->used, sizeof(v));
    memset(r->buf + r->used, 0, sizeof(v)); /* what was handed out is not kept */
    r->used += sizeof(v);
    return v;
}

uint32_t random_below(struct random *r, uint32_t n)
{
    /* Numbers under 2^32 mod n are thrown away, so that what remains is a whole number of ranges of n. */
    uint32_t floor = (uint32_t)-n % n;
    uint32_t v;
    do {
        v = random_u32(r);
    } while (v < floor);
    return v % n;
}

size_t base64_encode(char *out, const void *in, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = in;
    char *o = out;

    for (; n >= 3; n -= 3, p += 3) {
        *o++ = digits[p[0] >> 2];
        *o++ = digits[(p[0] & 3) << 4 | p[1] >> 4];
        *o++ = digits[(p[1] & 15) << 2 | p[2] >> 6];
        *o++ = digits[p[2] & 63];
    }
    if (n) {
        unsigned second = n == 2 ? p[1] : 0;
        *o++ = digits[p[0] >> 2];
        *o++ = digits[(p[0] & 3U) << 4 | second >> 4];
        *o++ = n == 2 ? digits[(second & 15) << 2] : '=';
        *o++ = '=';
    }
    *o = '\0';
    return (size_t)(o - out);
}

void hex_encode(char *out, const void *in, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = in;
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(uint8_t *out, size_t n, const char *hex)
{
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]); /* never past the NUL */
        if (low < 0)
            return ERR_INVAL;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return hex[2 * n] ? ERR_INVAL : 0;
}
