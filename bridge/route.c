#include "bridge/route.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "bridge/sipplace.h"

/* A UDP socket that is connected sends nothing, but has chosen its address. */
static int ask_kernel(struct addr *out, const struct addrinfo *to)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

    if (fd < 0)
        return -errno;
    if (connect(fd, to->ai_addr, to->ai_addrlen) || getsockname(fd, (struct sockaddr *)(void *)&ss, &len))
        err = -errno;
    close(fd);
    if (!err)
        err = addr_from_sockaddr(out, (const struct sockaddr *)(const void *)&ss);
    out->port = 0;
    return err;
}

int route_own(const struct addr *ip)
{
    struct addr a = addr_with_port(ip, 0);
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&a, &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)(const void *)&ss, len))
        err = -errno;
    close(fd);
    return err;
}

int route_from(struct addr *out, const char *registrar)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list = NULL;
    struct sipplace place;
    int err = ERR_NOENT;

    if (sipplace_read(&place, registrar))
        return ERR_INVAL;
    if (getaddrinfo(place.host, "5060", &hints, &list))
        return ERR_NOENT;
    for (const struct addrinfo *at = list; at && err; at = at->ai_next)
        err = ask_kernel(out, at);
    freeaddrinfo(list);
    return err;
}
