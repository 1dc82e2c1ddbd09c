#include "probe/fault.h"

#include <time.h> /* before the kernel's headers, which need it */

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/err.h"

enum { ICMP_UNREACHABLE = 3, ICMP_TOO_BIG = 4, ICMP6_UNREACHABLE = 1, OTHER = 255 };

/* What a "destination unreachable" says by its code. */
static const struct {
    uint8_t origin, icmp_code; /* OTHER: any */
    enum code code;
    const char *words;
} ICMP[] = {
    {SO_EE_ORIGIN_ICMP, 3, CODE_ICMP_PORT_UNREACHABLE, "port unreachable"},
    {SO_EE_ORIGIN_ICMP, 9, CODE_ICMP_ADMIN_PROHIBITED, "network administratively prohibited"},
    {SO_EE_ORIGIN_ICMP, 10, CODE_ICMP_ADMIN_PROHIBITED, "host administratively prohibited"},
    {SO_EE_ORIGIN_ICMP, 13, CODE_ICMP_ADMIN_PROHIBITED, "communication administratively prohibited"},
    {SO_EE_ORIGIN_ICMP, OTHER, CODE_NET_UNREACHABLE, "destination unreachable"},
    {SO_EE_ORIGIN_ICMP6, 1, CODE_ICMP_ADMIN_PROHIBITED, "communication administratively prohibited"},
    {SO_EE_ORIGIN_ICMP6, 4, CODE_ICMP_PORT_UNREACHABLE, "port unreachable"},
    {SO_EE_ORIGIN_ICMP6, 5, CODE_ICMP_ADMIN_PROHIBITED, "source address failed a policy"},
    {SO_EE_ORIGIN_ICMP6, 6, CODE_ICMP_ADMIN_PROHIBITED, "a route rejects it"},
    {SO_EE_ORIGIN_ICMP6, OTHER, CODE_NET_UNREACHABLE, "destination unreachable"},
};

void fault_watch(int fd, int family)
{
    const int on = 1;

    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
    else
        setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
}

/* Whoever has sent it; the kernel puts the address behind the error. */
static struct addr offender(const struct cmsghdr *c)
{
    struct sockaddr_storage ss = {0};
    struct addr a = {0};
    size_t n = c->cmsg_len - CMSG_LEN(sizeof(struct sock_extended_err));

    memcpy(&ss, CMSG_DATA(c) + sizeof(struct sock_extended_err), n < sizeof(ss) ? n : sizeof(ss));
    (void)addr_from_sockaddr(&a, (struct sockaddr *)&ss);
    return a;
}

static bool is_ours(int fd, const struct addr *a)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct addr own;

    return getsockname(fd, (struct sockaddr *)&ss, &len) == 0 && addr_from_sockaddr(&own, (struct sockaddr *)&ss) == 0 &&
           (addr_same_ip(&own, a) || addr_is_loopback(a));
}

/* Does the socket send to it? What we send to ourselves the port refuses, as any other host's does. */
static bool is_destination(int fd, const struct addr *a)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct addr to;

    return getpeername(fd, (struct sockaddr *)&ss, &len) == 0 && addr_from_sockaddr(&to, (struct sockaddr *)&ss) == 0 &&
           addr_same_ip(&to, a);
}

/* Who has said it makes a difference: from this host itself it is its own rules', or nobody at the next hop has answered to ARP. */
static enum code blame(int fd, const struct addr *from, enum code code, const char *words, char why[static FAULT_WHY_MAX])
{
    char ip[ADDR_TEXT_MAX];
    bool ours = from->family && is_ours(fd, from);

    if (ours && code == CODE_NET_UNREACHABLE) {
        snprintf(why, FAULT_WHY_MAX, "the next hop does not answer this host (ARP, neighbour discovery)");
        return code;
    }
    snprintf(why, FAULT_WHY_MAX, "%s says '%s'", from->family ? addr_ip_text(from, ip) : "somebody", words);
    return ours && !is_destination(fd, from) ? CODE_LOCAL_BLOCKED : code;
}

static enum code read_icmp(int fd, const struct cmsghdr *c, char why[static FAULT_WHY_MAX])
{
    struct sock_extended_err e;
    struct addr from = offender(c);

    memcpy(&e, CMSG_DATA(c), sizeof(e));
    if (e.ee_type != (e.ee_origin == SO_EE_ORIGIN_ICMP ? ICMP_UNREACHABLE : ICMP6_UNREACHABLE) ||
        (e.ee_origin == SO_EE_ORIGIN_ICMP && e.ee_code == ICMP_TOO_BIG))
        return CODE_NONE; /* "too big" and the like are no refusal */
    for (size_t i = 0; i < sizeof(ICMP) / sizeof(ICMP[0]); i++) {
        if (ICMP[i].origin != e.ee_origin || (ICMP[i].icmp_code != OTHER && ICMP[i].icmp_code != e.ee_code))
            continue;
        return blame(fd, &from, ICMP[i].code, ICMP[i].words, why);
    }
    return CODE_NONE;
}

enum code fault_icmp(int fd, char why[static FAULT_WHY_MAX])
{
    union {
        struct cmsghdr align;
        char bytes[256];
    } control;
    char data[64];
    enum code code = CODE_NONE;

    while (code == CODE_NONE) {
        struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

        if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            break;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c && code == CODE_NONE; c = CMSG_NXTHDR(&m, c)) {
            if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
                code = read_icmp(fd, c, why);
        }
    }
    return code;
}

enum code fault_of(int fd, int error, char why[static FAULT_WHY_MAX])
{
    static const struct {
        int error;
        enum code code;
        const char *words;
    } ERRORS[] = {
        {EPERM, CODE_LOCAL_BLOCKED, "this host's own rules forbid it"},
        {EACCES, CODE_LOCAL_BLOCKED, "this host's own rules forbid it"},
        {ECONNREFUSED, CODE_TCP_RST, "the connection was refused (RST)"},
        {ECONNRESET, CODE_TCP_RST, "the connection was reset (RST)"},
        {ETIMEDOUT, CODE_TCP_TIMEOUT, "no answer"},
        {ENETUNREACH, CODE_NET_UNREACHABLE, "this host has no route"},
        {EHOSTUNREACH, CODE_NET_UNREACHABLE, "there is no way to it"},
        {EADDRNOTAVAIL, CODE_NET_UNREACHABLE, "this host has no address of this family"},
    };
    enum code code = fault_icmp(fd, why);

    if (code != CODE_NONE)
        return code;
    for (size_t i = 0; i < sizeof(ERRORS) / sizeof(ERRORS[0]); i++) {
        if (ERRORS[i].error == error) {
            snprintf(why, FAULT_WHY_MAX, "%s", ERRORS[i].words);
            return ERRORS[i].code;
        }
    }
    snprintf(why, FAULT_WHY_MAX, "%s", err_str(-error));
    return CODE_INTERNAL;
}

bool fault_dropped_here(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    /* What was sent again is counted as on its way only if the host let it out. What still waits for an answer to ARP is not sent again at all. */
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_retransmits > 0 && info.tcpi_total_retrans > 0 &&
           info.tcpi_retrans == 0;
}
