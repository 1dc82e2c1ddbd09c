/* leg: ports in pairs, and whom it listens to. */
#include "bridge/leg.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/unit/tap.h"

enum {
    PORT_MIN = 21001, /* three whole pairs: 21002, 21004, 21006. Below those that the kernel gives to others on this host */
    PORT_MAX = 21007,
    PATIENCE_S = 30, /* for a packet on loopback: the system may be slow to hand it over */
};

static struct event_base *base;
static struct leg *leg;
static struct addr ip;
static unsigned heard;

static void on_packet(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf + len, 0, LEG_ROOM); /* what a sanitizer would see */
    heard++;
}

static bool begin(void)
{
    heard = 0;
    base = event_base_new();
    return base && addr_parse_ip(&ip, "127.77.0.1") == 0 && leg_new(&leg, base, &ip, PORT_MIN, PORT_MAX, on_packet, NULL) == 0;
}

static void end(void)
{
    leg_free(&leg);
    event_base_free(base);
}

/* A telephone on a port of its own. */
static int telephone(const char *address, struct addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)addr_parse_ip(out, address);
    len = addr_to_sockaddr(out, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) || getsockname(fd, (struct sockaddr *)&ss, &len) ||
        addr_from_sockaddr(out, (struct sockaddr *)&ss)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void on_late(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what, (void)ctx;
}

/* Until the leg has seen the packet, whatever it makes of it: each one wakes the loop. */
static void speak(int fd, uint16_t up)
{
    struct event late;
    struct addr to = leg_address(leg);
    struct sockaddr_storage ss;
    socklen_t len;
    to.port = (uint16_t)(to.port + up);
    len = addr_to_sockaddr(&to, &ss);
    (void)sendto(fd, "packet", 6, 0, (struct sockaddr *)&ss, len);
    evtimer_assign(&late, base, on_late, NULL);
    evtimer_add(&late, &(struct timeval){.tv_sec = PATIENCE_S});
    event_base_loop(base, EVLOOP_ONCE);
    event_del(&late);
}

/* Nothing has come. */
static bool quiet(int fd)
{
    char buf[16];
    return recv(fd, buf, sizeof(buf), 0) < 0;
}

static bool hears(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, PATIENCE_S * 1000) == 1 && !quiet(fd);
}

static void pairs(void)
{
    struct leg *legs[4] = {NULL};
    CHECK(begin());
    leg_free(&leg);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(leg_new(&legs[i], base, &ip, PORT_MIN, PORT_MAX, on_packet, NULL), 0);
        CHECK_INT(leg_address(legs[i]).port % 2, 0);
        CHECK(leg_address(legs[i]).port > PORT_MIN && leg_address(legs[i]).port < PORT_MAX);
    }
    CHECK_INT(leg_new(&legs[3], base, &ip, PORT_MIN, PORT_MAX, on_packet, NULL), ERR_NOSPC);
    leg_free(&legs[1]);
    CHECK_INT(leg_new(&legs[3], base, &ip, PORT_MIN, PORT_MAX, on_packet, NULL), 0);
    for (unsigned i = 0; i < 4; i++)
        leg_free(&legs[i]);
    end();
}

static void latches(void)
{
    struct addr a, b, c, none = {0};
    int phone, other_port, other_host;
    CHECK(begin());
    phone = telephone("127.77.0.2", &a);
    other_port = telephone("127.77.0.2", &b);
    other_host = telephone("127.77.0.3", &c);
    CHECK(phone >= 0 && other_port >= 0 && other_host >= 0);
    speak(phone, 0);
    CHECK_INT(heard, 0); /* nobody has been named */
    CHECK_INT(leg_send(leg, (const uint8_t *)"x", 1), ERR_NOTCONN);
    leg_aim(leg, &a, &none, true);
    CHECK_INT(leg_send(leg, (const uint8_t *)"x", 1), 0);
    CHECK(hears(phone));
    speak(other_host, 0);
    CHECK_INT(heard, 0);
    CHECK_INT(leg_strangers(leg), 2);
    speak(other_port, 0); /* a NAT of the PBX's own has changed the port: so it is that one */
    CHECK_INT(heard, 1);
    CHECK_INT(leg_send(leg, (const uint8_t *)"x", 1), 0);
    CHECK(hears(other_port) && quiet(phone));
    speak(phone, 0);
    CHECK_INT(heard, 1);
    leg_aim(leg, &a, &none, true); /* the same again */
    CHECK_INT(leg_send_rtcp(leg, (const uint8_t *)"x", 1), 0);
    CHECK(hears(other_port));
    leg_aim(leg, &c, &none, true);
    speak(other_port, 0);
    CHECK_INT(heard, 1);
    speak(other_host, 0);
    CHECK_INT(heard, 2);
    leg_aim(leg, &none, &none, true);
    speak(other_host, 0);
    CHECK_INT(heard, 2);
    close(phone);
    close(other_port);
    close(other_host);
    end();
}

static void rtcp(void)
{
    struct addr a, b;
    int rtp_fd, rtcp_fd;
    CHECK(begin());
    rtp_fd = telephone("127.77.0.2", &a);
    rtcp_fd = telephone("127.77.0.2", &b);
    leg_aim(leg, &a, &b, false);
    CHECK_INT(leg_send_rtcp(leg, (const uint8_t *)"x", 1), 0);
    CHECK(hears(rtcp_fd) && quiet(rtp_fd));
    speak(rtcp_fd, 1);
    CHECK_INT(heard, 1);
    close(rtp_fd);
    close(rtcp_fd);
    end();
}

static const struct tap_test tests[] = {
    {"pairs of ports: even ones, each once, given back", pairs},
    {"who sends first from where the description says is the PBX, and nobody else", latches},
    {"RTCP has its own socket, unless it goes with RTP", rtcp},
};

TAP_MAIN(tests)
