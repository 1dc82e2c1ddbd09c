#include "bridge/route.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

enum { HOST_MAX = 256 };

/* Takes brackets and port away. */
static void host_of(char out[static HOST_MAX], const char *registrar)
{
    const char *first = strchr(registrar, ':'), *last = strrchr(registrar, ':');

    if (registrar[0] == '[')
        snprintf(out, HOST_MAX, "%.*s", (int)strcspn(registrar + 1, "]"), registrar + 1);
    else if (first && first == last) /* two colons without brackets are an IPv6 address alone */
        snprintf(out, HOST_MAX, "%.*s", (int)(first - registrar), registrar);
    else
        snprintf(out, HOST_MAX, "%s", registrar);
}

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

int route_from(struct addr *out, const char *registrar)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list = NULL;
    char host[HOST_MAX];
    int err = ERR_NOENT;

    host_of(host, registrar);
    if (getaddrinfo(host, "5060", &hints, &list))
        return ERR_NOENT;
    for (const struct addrinfo *at = list; at && err; at = at->ai_next)
        err = ask_kernel(out, at);
    freeaddrinfo(list);
    return err;
}
