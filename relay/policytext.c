/* The entries of a policy as text: addresses, prefixes and ranges, with ports and protocol. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "relay/policyparts.h"

static unsigned family_bits(const struct addr *a)
{
    return a->family == ADDR_V4 ? 32 : 128;
}

static void mask(struct addr *a, unsigned bits)
{
    unsigned n = family_bits(a) / 8;

    for (unsigned i = 0; i < n; i++) {
        unsigned keep = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;
        a->ip[i] = (uint8_t)(a->ip[i] & (0xFF00U >> keep));
    }
}

static int add(struct policy *p, const struct addr *ip, unsigned bits, const struct entry *like)
{
    struct entry *e;

    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 8;
        struct entry *more = realloc(p->entries, cap * sizeof(*more));

        if (!more)
            return ERR_NOMEM;
        p->entries = more;
        p->cap = cap;
    }
    e = &p->entries[p->n++];
    *e = *like;
    e->ip = *ip;
    e->ip.port = 0;
    e->bits = (uint8_t)bits;
    mask(&e->ip, bits);
    return 0;
}

/* ---- Ranges: the fewest prefixes that cover first..last. Addresses are compared as numbers, from the most significant byte (S3). ---- */

static unsigned trailing_zero_bits(const struct addr *a)
{
    unsigned n = 0;

    for (unsigned i = family_bits(a) / 8; i-- > 0; n += 8)
        if (a->ip[i])
            return n + (unsigned)__builtin_ctz(a->ip[i]);
    return n;
}

/* The last address of the block of 2^host_bits addresses that starts at `a`. */
static struct addr block_end(const struct addr *a, unsigned host_bits)
{
    struct addr end = *a;
    unsigned n = family_bits(a) / 8;

    for (unsigned i = 0; i < n; i++) {
        unsigned below = 8 * (n - 1 - i); /* bits to the right of this byte */
        unsigned ones = host_bits >= below + 8 ? 8 : host_bits > below ? host_bits - below : 0;
        end.ip[i] = (uint8_t)(end.ip[i] | ((1U << ones) - 1));
    }
    return end;
}

/* False when `a` was the last address there is. */
static bool increment(struct addr *a)
{
    for (unsigned i = family_bits(a) / 8; i-- > 0;)
        if (++a->ip[i])
            return true;
    return false;
}

static int add_range(struct policy *p, struct addr first, const struct addr *last, const struct entry *like)
{
    unsigned n = family_bits(&first) / 8;

    if (first.family != last->family || memcmp(first.ip, last->ip, n) > 0)
        return ERR_CONFIG;
    for (;;) {
        unsigned host_bits = trailing_zero_bits(&first);
        struct addr end = block_end(&first, host_bits);
        int err;

        while (memcmp(end.ip, last->ip, n) > 0)
            end = block_end(&first, --host_bits);
        err = add(p, &first, family_bits(&first) - host_bits, like);
        if (err)
            return err;
        if (memcmp(end.ip, last->ip, n) == 0 || !increment(&end))
            return 0;
        first = end;
    }
}

/* ---- The text of an entry. ---- */

static bool read_number(const char **s, unsigned max, unsigned *out)
{
    char *end;
    unsigned long v;

    if (**s < '0' || **s > '9')
        return false;
    v = strtoul(*s, &end, 10);
    if (v > max)
        return false;
    *s = end;
    *out = (unsigned)v;
    return true;
}

/* "5060", "5060-5070", "5060-5070/udp". */
static bool read_ports(const char *s, struct entry *e)
{
    unsigned lo, hi;

    if (!read_number(&s, 65535, &lo))
        return false;
    hi = lo;
    if (*s == '-' && (s++, !read_number(&s, 65535, &hi)))
        return false;
    if (lo > hi)
        return false;
    e->port_min = (uint16_t)lo;
    e->port_max = (uint16_t)hi;
    if (*s == '\0')
        return true;
    if (strcmp(s, "/udp") == 0)
        e->protocol = POLICY_UDP;
    else if (strcmp(s, "/tcp") == 0)
        e->protocol = POLICY_TCP;
    else
        return false;
    return true;
}

int policy_add_text(struct policy *p, const char *text, bool allow, enum policy_source source)
{
    struct entry like = {.protocol = POLICY_ANY,
                         .allow = allow,
                         .source = (uint8_t)source,
                         .port_max = 65535,
                         .text = p->ntexts ? (uint32_t)p->ntexts - 1 : 0};
    char copy[POLICY_TEXT_MAX], *ip = copy, *ports = NULL, *slash, *dash;
    struct addr first, last;

    if (strlen(text) >= sizeof(copy))
        return ERR_CONFIG;
    memcpy(copy, text, strlen(text) + 1);
    if (copy[0] == '[') { /* [2001:db8::1], [2001:db8::]/32 or [2001:db8::/32], with or without ports */
        char *close = strchr(copy, ']'), *rest;

        if (!close)
            return ERR_CONFIG;
        ip = copy + 1;
        rest = strchr(close, ':');
        if (rest) {
            ports = rest + 1;
            *rest = '\0';
        }
        memmove(close, close + 1, strlen(close + 1) + 1);
    } else if (strchr(copy, '.') && strchr(copy, ':') && strchr(copy, ':') == strrchr(copy, ':')) { /* IPv4 and ports */
        ports = strchr(copy, ':');
        *ports++ = '\0';
    }
    if (ports && !read_ports(ports, &like))
        return ERR_CONFIG;
    if ((slash = strchr(ip, '/'))) {
        const char *digits = slash + 1;
        unsigned bits;

        *slash = '\0';
        if (addr_parse_ip(&first, ip) || !read_number(&digits, family_bits(&first), &bits) || *digits)
            return ERR_CONFIG;
        return add(p, &first, bits, &like);
    }
    if ((dash = strchr(ip, '-'))) {
        *dash = '\0';
        if (addr_parse_ip(&first, ip) || addr_parse_ip(&last, dash + 1))
            return ERR_CONFIG;
        return add_range(p, first, &last, &like);
    }
    if (addr_parse_ip(&first, ip))
        return ERR_CONFIG;
    return add(p, &first, family_bits(&first), &like);
}
