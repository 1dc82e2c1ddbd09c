#include "probe/direct.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/random.h"
#include "base/wire.h"
#include "probe/end.h"
#include "probe/trial.h"

enum {
    MAGIC = 0x54504449, /* of a payload */
    PAYLOAD = 16,       /* bytes */
    ROUNDS = 5,         /* packets to each address */
    INTERVAL_MS = 250,  /* between them: what one end has sent opens the way for what the other sends next */
    DATAGRAM_MAX = 64,  /* bytes; what is longer is a stranger's */
    READS_MAX = 64,     /* datagrams before other sockets have their turn */
    TOLD = 2,           /* addresses of ours: the host's, and the mapped one */
    CANDIDATE = 2,      /* number of the first of them; 1 is the relayed one */
};

#define MARK "a=x-turnpike-direct:"
#define LINE "a=candidate:"

struct direct {
    struct trial *trial;
    int fd;    /* at the port that is used with the relay, as ICE has it */
    int fresh; /* at another one, from which nothing has opened a way */
    struct event io, tick;
    uint8_t nonce[DIRECT_NONCE]; /* of packets to us */
    struct addr told[TOLD];
    unsigned ntold, rounds;
    struct direct_targets targets;
    bool begun, heard;
};

/* ---- The other end's addresses. ---- */

/* It may have told anything: a host's address, and not this one's, where no firewall is on the way (unless a test has both ends on loopback), nor a service's port. */
static bool may_reach(const struct addr *a, const struct addr *own)
{
    if (a->port < IPPORT_RESERVED || a->family != own->family || !addr_is_unicast(a))
        return false;
    if (addr_is_loopback(a) || addr_is_loopback(own))
        return addr_is_loopback(a) && addr_is_loopback(own);
    return !addr_same_ip(a, own);
}

static bool read_nonce(uint8_t out[static DIRECT_NONCE], const char *sdp)
{
    const char *mark = strstr(sdp, MARK);
    char hex[2 * DIRECT_NONCE + 1];

    if (!mark)
        return false;
    snprintf(hex, sizeof(hex), "%s", mark + strlen(MARK));
    return hex_decode(out, DIRECT_NONCE, hex) == 0;
}

void direct_read(struct direct_targets *out, const char *sdp, const struct addr *own)
{
    char ip[ADDR_TEXT_MAX], type[sizeof("srflx")];
    unsigned port, index = 0;
    struct addr a;

    *out = (struct direct_targets){0};
    if (!read_nonce(out->nonce, sdp))
        return;
    for (const char *at = strstr(sdp, LINE); at && out->n < DIRECT_TARGETS; at = strstr(at + 1, LINE)) {
        if (sscanf(at, LINE "%*u 1 udp %*u %45s %5u typ %5s", ip, &port, type) != 3 || strcmp(type, "relay") == 0)
            continue;
        if (port <= UINT16_MAX && addr_parse_ip(&a, ip) == 0) {
            a = addr_with_port(&a, (uint16_t)port);
            a = addr_unmapped(&a);
            if (may_reach(&a, own)) {
                out->index[out->n] = index;
                out->at[out->n++] = a;
            }
        }
        index++;
    }
}

const char *direct_lines(const struct direct *d, char out[static DIRECT_TEXT_MAX])
{
    char hex[2 * DIRECT_NONCE + 1], ip[ADDR_TEXT_MAX];
    size_t n;

    *out = '\0';
    if (!d)
        return out;
    hex_encode(hex, d->nonce, DIRECT_NONCE);
    n = (size_t)snprintf(out, DIRECT_TEXT_MAX, MARK "%s\r\n", hex);
    for (unsigned i = 0; i < d->ntold; i++)
        n += (size_t)snprintf(out + n, DIRECT_TEXT_MAX - n, LINE "%u 1 udp 1 %s %u typ %s\r\n", CANDIDATE + i,
                              addr_ip_text(&d->told[i], ip), (unsigned)d->told[i].port, i ? "srflx" : "host");
    return out;
}

/* ---- Packets. ---- */

static void send_round(const struct direct *d, int fd)
{
    for (size_t i = 0; i < d->targets.n; i++) {
        struct sockaddr_storage ss;
        socklen_t len = addr_to_sockaddr(&d->targets.at[i], &ss);
        uint8_t buf[PAYLOAD];
        struct wire_out w = wire_into(buf, sizeof(buf));

        wire_put_u32(&w, MAGIC);
        wire_put_u32(&w, d->targets.index[i]);
        wire_put(&w, d->targets.nonce, DIRECT_NONCE);
        (void)sendto(fd, buf, w.len, MSG_DONTWAIT, (struct sockaddr *)&ss, len); /* refused here is not open, either */
    }
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct direct *d = ctx;

    (void)fd;
    (void)what;
    send_round(d, d->rounds % 2 ? d->fresh : d->fd);
    if (++d->rounds == ROUNDS)
        event_del(&d->tick);
}

static void take(struct direct *d, const uint8_t *buf, size_t len, const struct addr *from)
{
    struct wire w = wire_over(buf, len);
    uint32_t magic = wire_u32(&w), index = wire_u32(&w);
    const uint8_t *nonce = wire_bytes(&w, DIRECT_NONCE);
    char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];

    if (d->heard || w.err || magic != MAGIC || index >= d->ntold || memcmp(nonce, d->nonce, DIRECT_NONCE) != 0)
        return;
    d->heard = true;
    trial_too_wide(d->trial, "UDP passes straight from %s to %s here, past the relay, which no rule names", addr_text(from, a),
                   addr_text(&d->told[index], b));
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
    struct direct *d = ctx;
    uint8_t buf[DATAGRAM_MAX];
    struct sockaddr_storage ss;
    struct addr from;

    (void)what;
    for (int i = 0; i < READS_MAX; i++) {
        socklen_t len = sizeof(ss);
        ssize_t n = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&ss, &len);

        if (n < 0)
            break;
        if (addr_from_sockaddr(&from, (struct sockaddr *)&ss) == 0)
            take(d, buf, (size_t)n, &from);
    }
}

void direct_begin(struct direct *d, const char *sdp)
{
    const struct timeval interval = {.tv_usec = INTERVAL_MS * 1000};

    if (!d || d->begun)
        return;
    d->begun = true;
    direct_read(&d->targets, sdp, &d->told[0]);
    if (!d->targets.n)
        return;
    event_add(&d->tick, &interval);
    event_active(&d->tick, EV_TIMEOUT, 0);
}

/* ---- Its life. ---- */

int direct_new(struct direct **out, struct trial *t, const struct end *beside, const struct addr *mapped)
{
    struct direct *d = calloc(1, sizeof(*d));
    int err = d ? 0 : ERR_NOMEM;

    *out = d;
    if (err)
        return err;
    d->trial = t;
    d->told[d->ntold++] = end_local(beside);
    if (mapped->family && !addr_equal(mapped, &d->told[0]))
        d->told[d->ntold++] = *mapped;
    random_bytes(d->nonce, sizeof(d->nonce));
    d->fresh = -1;
    err = end_beside(beside, &d->fd);
    if (!err)
        d->fresh = socket(d->told[0].family == ADDR_V6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (!err && d->fresh < 0)
        err = -errno;
    event_assign(&d->io, t->probe->base, d->fd, EV_READ | EV_PERSIST, on_io, d);
    event_assign(&d->tick, t->probe->base, -1, EV_PERSIST, on_tick, d);
    if (err)
        direct_free(out);
    else
        event_add(&d->io, NULL);
    return err;
}

void direct_free(struct direct **d)
{
    struct direct *direct = *d;

    *d = NULL;
    if (!direct)
        return;
    event_del(&direct->io);
    event_del(&direct->tick);
    if (direct->fd >= 0)
        close(direct->fd);
    if (direct->fresh >= 0)
        close(direct->fresh);
    free(direct);
}
