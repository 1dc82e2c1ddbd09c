/*
 * Purpose:  the media of many telephones behind a PBX: a socket for each call, which speaks to wherever it is spoken to from.
 * Owner:    one thread.
 * Lifetime: until standard input ends.
 * Callers:  tests/bench/soakcalls.py.
 * RFC:      3550.
 *
 *   telephones IP PORT CALLS
 * The n-th call has the port PORT + 2n, and the one above for RTCP, which nobody reads.
 */
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "tests/bench/voices.h"

enum { DATAGRAM_MAX = 2048, BATCH = 16 };

struct telephone {
    unsigned call;
    int fd, rtcp;
    struct event *event;
};

static struct voices *voices;
static struct telephone *telephones;

static bool send_rtp(void *ctx, unsigned call, const uint8_t *rtp, size_t len)
{
    (void)ctx;
    return send(telephones[call].fd, rtp, len, 0) == (ssize_t)len;
}

static void on_rtp(evutil_socket_t fd, short what, void *ctx)
{
    const struct telephone *t = ctx;
    uint8_t buf[DATAGRAM_MAX];
    struct sockaddr_storage from;
    (void)what;
    for (unsigned i = 0; i < BATCH; i++) {
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len);
        if (n < 0)
            return;
        if (from_len && connect(fd, (struct sockaddr *)&from, from_len) == 0)
            voices_up(voices, t->call, true);
        voices_heard(voices, t->call, buf, (size_t)n);
    }
}

static int bind_to(const struct addr *ip, unsigned port)
{
    struct addr a = addr_with_port(ip, (uint16_t)port);
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&a, &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len))
        exit(2);
    return fd;
}

static void on_second(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
    voices_say(json_pack("{s:s,s:i}", "event", "state", "up", (int)voices_are_up(voices)));
}

int main(int argc, char **argv)
{
    static const struct timeval second = {.tv_sec = 1};
    struct event_base *base = event_base_new();
    struct event *tick = event_new(base, -1, EV_PERSIST, on_second, NULL);
    struct addr ip;
    unsigned calls = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0, port;

    if (calls < 1 || calls > VOICES_MAX || addr_parse_ip(&ip, argv[1]) || !base || !tick)
        return 2;
    port = (unsigned)strtoul(argv[2], NULL, 10);
    telephones = calloc(calls, sizeof(*telephones));
    voices = voices_new(base, calls, send_rtp, NULL);
    for (unsigned i = 0; telephones && i < calls; i++) {
        struct telephone *t = &telephones[i];
        t->call = i;
        t->fd = bind_to(&ip, port + 2 * i);
        t->rtcp = bind_to(&ip, port + 2 * i + 1);
        t->event = event_new(base, t->fd, EV_READ | EV_PERSIST, on_rtp, t);
        event_add(t->event, NULL);
    }
    event_add(tick, &second);
    on_second(-1, 0, NULL);
    event_base_dispatch(base);
    for (unsigned i = 0; telephones && i < calls; i++) {
        event_free(telephones[i].event);
        close(telephones[i].fd);
        close(telephones[i].rtcp);
    }
    voices_free(&voices);
    event_free(tick);
    event_base_free(base);
    free(telephones);
    return 0;
}
