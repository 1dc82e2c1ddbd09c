/*
 * What a client sends to the connect service once its WebSocket is open: frames, through a real connection, to a desk with a few tokens. The first byte says
 * how large the pieces are that they come in; 0: one.
 * What is judged: whatever comes, the service sends whole, unmasked frames of text, pings and pongs, and nothing behind a close frame;
 * who is silent hears a ping, and is gone a minute later with all that he had.
 */
#include <event2/event.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connect/conn.h"
#include "connect/ws.h"
#include "tests/unit/deskfake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
struct now __wrap_clock_now(void);

enum {
    SENT_MAX = 1 << 21, /* bytes: more than the limits of a client allow */
    PASSES = 4,         /* of the loop, until all is said that one piece causes */
    PIECES_MAX = 64     /* what is behind them comes at once */
};
enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 }; /* RFC 6455 section 5.2 */

/* What the service has sent. */
struct heard {
    uint8_t bytes[SENT_MAX];
    size_t len;
};
static struct heard heard;
static struct service service;
static int peer = -1;

static void need(bool ok)
{
    if (!ok)
        abort();
}

/* The connections ask it themselves, as an edge does. */
struct now __wrap_clock_now(void)
{
    return fake_now;
}

/* ---- The other end of the connection. ---- */

static void hear(void)
{
    ssize_t n;

    while ((n = read(peer, heard.bytes + heard.len, SENT_MAX - heard.len)) > 0)
        heard.len += (size_t)n;
    need(heard.len < SENT_MAX);
}

static void pump(void)
{
    for (int i = 0; i < PASSES; i++) {
        need(event_base_loop(service.base, EVLOOP_NONBLOCK) >= 0);
        fake_ice_comes(true);
        hear();
    }
}

static void say(const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = send(peer, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
        pump();
        if (n < 0 && service.conns.n == 0)
            return;
    }
}

/* ---- What has come. ---- */

/* One frame's payload; its bytes are all there. */
static size_t payload_of(const uint8_t *at, const uint8_t *end, const uint8_t **next)
{
    size_t len, head = 2;

    need(end - at >= 2 && (at[0] & 0x70) == 0 && !(at[1] & 0x80));
    len = at[1];
    if (len == 126) {
        need(end - at >= 4);
        len = (size_t)at[2] << 8 | at[3];
        head = 4;
        need(len > 125);
    } else if (len == 127) {
        need(end - at >= 10 && at[2] == 0 && at[3] == 0 && at[4] == 0 && at[5] == 0 && at[6] == 0);
        len = (size_t)at[7] << 16 | (size_t)at[8] << 8 | at[9];
        head = 10;
        need(len > 65535);
    }
    need((size_t)(end - at) >= head + len);
    *next = at + head + len;
    return len;
}

/* How many close frames there are. */
static unsigned judge(void)
{
    const uint8_t *at = heard.bytes, *end = heard.bytes + heard.len, *next;
    unsigned closed = 0;

    for (; at < end; at = next) {
        size_t len = payload_of(at, end, &next);
        unsigned opcode = at[0] & 15;
        json_t *message = opcode == TEXT ? json_loadb((const char *)next - len, len, 0, NULL) : NULL;

        need((at[0] & 0x80) && (opcode == TEXT || opcode == CLOSE || opcode == PING || opcode == PONG));
        need(opcode == TEXT ? json_is_object(message) : len <= 125);
        need(!closed);
        closed += opcode == CLOSE;
        json_decref(message);
    }
    return closed;
}

/* ---- One life of a client. ---- */

static void begin(void)
{
    struct addr from = {.family = ADDR_V4, .port = 1000, .ip = {192, 0, 2, 1}};
    int ends[2];
    struct conn *c;

    need(fake_up());
    service = (struct service){.base = event_base_new(), .desk = fake_desk, .now = fake_now};
    need(service.base && conns_init(&service.conns) == 0);
    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    peer = ends[1];
    heard.len = 0;
    c = conn_new(&service, ends[0], &from);
    need(c && conn_open(c, false) == 0);
    ws_start(c);
}

static void pass(unsigned ms)
{
    fake_now.ms += ms;
    service.now = fake_now;
    desk_tick(fake_desk, &fake_now);
    conns_tick(&service.conns);
    pump();
}

static void finish(void)
{
    conns_deinit(&service.conns);
    for (int i = 0; i < PASSES; i++) /* what libevent has put off */
        need(event_base_loop(service.base, EVLOOP_NONBLOCK) >= 0);
    event_base_free(service.base);
    close(peer);
    fake_down();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size ? *data++ : 0, len = size ? size - 1 : 0;
    bool open;

    begin();
    for (unsigned pieces = 0; len; pieces++) {
        size_t n = piece && piece < len && pieces < PIECES_MAX ? piece : len;

        say(data, n);
        data += n;
        len -= n;
    }
    open = service.conns.n && judge() == 0;
    pass(WS_PING_MS);
    pass(WS_SILENCE_MS + 1);
    pass(CONN_END_MS + 1);
    need(service.conns.n == 0 && judge() <= 1 && (!open || judge() == 1));
    finish();
    return 0;
}
