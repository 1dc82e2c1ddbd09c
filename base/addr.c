#include "base/addr.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

size_t addr_ip_len(const struct addr *a)
{
    return a->family == ADDR_V4 ? 4 : a->family == ADDR_V6 ? 16 : 0;
}

/* The four bytes of an IPv4 address, also of an IPv4-mapped IPv6 one (the kernel sends both to the same place); NULL otherwise. */
static const uint8_t *ipv4_of(const struct addr *a)
{
    if (a->family == ADDR_V4)
        return a->ip;
    if (a->family == ADDR_V6 && memcmp(a->ip, mapped_prefix, sizeof(mapped_prefix)) == 0)
        return a->ip + sizeof(mapped_prefix);
    return NULL;
}

struct addr addr_unmapped(const struct addr *a)
{
    const uint8_t *v4 = ipv4_of(a);
    struct addr out = {.family = ADDR_V4, .port = a->port};

    if (!v4)
        return *a;
    memcpy(out.ip, v4, 4);
    return out;
}

bool addr_is_any(const struct addr *a)
{
    static const uint8_t zeros[16];
    const uint8_t *v4 = ipv4_of(a);
    if (v4)
        return memcmp(v4, zeros, 4) == 0;
    return a->family == ADDR_V6 && memcmp(a->ip, zeros, 16) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    const uint8_t *v4 = ipv4_of(a);
    if (v4)
        return v4[0] == 127;
    return a->family == ADDR_V6 && memcmp(a->ip, one, 16) == 0;
}

bool addr_is_link_local(const struct addr *a)
{
    const uint8_t *v4 = ipv4_of(a);
    if (v4)
        return v4[0] == 169 && v4[1] == 254;                                      /* RFC 3927 */
    return a->family == ADDR_V6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80; /* fe80::/10, RFC 4291 section 2.5.6 */
}

bool addr_is_unicast(const struct addr *a)
{
    const uint8_t *v4 = ipv4_of(a);

    if (v4)
        return v4[0] != 0 && v4[0] < 224;
    return a->family == ADDR_V6 && a->ip[0] != 0xff && !addr_is_any(a);
}

struct addr addr_with_port(const struct addr *a, uint16_t port)
{
    struct addr r = *a;
    r.port = port;
    return r;
}

int addr_from_sockaddr(struct addr *out, const struct sockaddr *sa)
{
    /* Copied, not cast: the caller's bytes may be aligned for a plain sockaddr only. */
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    memset(out, 0, sizeof(*out));
    if (sa->sa_family == AF_INET) {
        memcpy(&in, sa, sizeof(in));
        out->family = ADDR_V4;
        out->port = ntohs(in.sin_port);
        memcpy(out->ip, &in.sin_addr, 4);
        return 0;
    }
    if (sa->sa_family == AF_INET6) {
        memcpy(&in6, sa, sizeof(in6));
        out->family = ADDR_V6;
        out->port = ntohs(in6.sin6_port);
        memcpy(out->ip, &in6.sin6_addr, 16);
        return 0;
    }
    return ERR_AFNOSUPPORT;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (a->family == ADDR_V4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
        memcpy(&in.sin_addr, a->ip, 4);
        memcpy(out, &in, sizeof(in));
        return sizeof(in);
    }
    if (a->family == ADDR_V6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
        memcpy(&in6.sin6_addr, a->ip, 16);
        memcpy(out, &in6, sizeof(in6));
        return sizeof(in6);
    }
    return 0;
}

uint32_t addr_scope(const struct sockaddr *sa)
{
    struct sockaddr_in6 in6;

    if (sa->sa_family != AF_INET6)
        return 0;
    memcpy(&in6, sa, sizeof(in6));
    return in6.sin6_scope_id;
}

void addr_set_scope(struct sockaddr_storage *sa, uint32_t scope)
{
    struct sockaddr_in6 in6;

    if (sa->ss_family != AF_INET6)
        return;
    memcpy(&in6, sa, sizeof(in6));
    in6.sin6_scope_id = scope;
    memcpy(sa, &in6, sizeof(in6));
}

int addr_parse_ip(struct addr *out, const char *text)
{
    struct addr a = {0};
    if (inet_pton(AF_INET, text, a.ip) == 1)
        a.family = ADDR_V4;
    else if (inet_pton(AF_INET6, text, a.ip) == 1)
        a.family = ADDR_V6;
    else
        return ERR_INVAL;
    *out = a;
    return 0;
}

static int parse_port(uint16_t *out, const char *text)
{
    unsigned v = 0;
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 5 || text[n] != '\0')
        return ERR_INVAL;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (unsigned)(text[i] - '0');
    if (v > UINT16_MAX)
        return ERR_INVAL;
    *out = (uint16_t)v;
    return 0;
}

int addr_parse(struct addr *out, const char *text)
{
    char ip[ADDR_TEXT_MAX];
    struct addr a;
    uint16_t port;
    bool bracketed = text[0] == '[';
    const char *start = text + bracketed;
    const char *end = strchr(start, bracketed ? ']' : ':');

    if (!end || (size_t)(end - start) >= sizeof(ip) || (bracketed && end[1] != ':'))
        return ERR_INVAL;
    memcpy(ip, start, (size_t)(end - start));
    ip[end - start] = '\0';
    if (addr_parse_ip(&a, ip) || (a.family == ADDR_V6) != bracketed || parse_port(&port, end + 1 + bracketed))
        return ERR_INVAL;
    *out = addr_with_port(&a, port);
    return 0;
}

const char *addr_ip_text(const struct addr *a, char text[static ADDR_TEXT_MAX])
{
    int family = a->family == ADDR_V4 ? AF_INET : AF_INET6;
    if (!addr_ip_len(a) || !inet_ntop(family, a->ip, text, ADDR_TEXT_MAX))
        memcpy(text, "none", sizeof("none"));
    return text;
}

const char *addr_text(const struct addr *a, char text[static ADDR_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN];
    int family = a->family == ADDR_V4 ? AF_INET : AF_INET6;
    if (!addr_ip_len(a) || !inet_ntop(family, a->ip, ip, sizeof(ip)))
        memcpy(text, "none", sizeof("none"));
    else
        snprintf(text, ADDR_TEXT_MAX, a->family == ADDR_V6 ? "[%s]:%u" : "%s:%u", ip, (unsigned)a->port);
    return text;
}
