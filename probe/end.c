#include "probe/end.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "stun/channel.h"

enum {
    REQUEST_MAX = 2048,  /* bytes of a request: user name, realm and nonce at their longest */
    DATAGRAM_MAX = 4096, /* bytes; what a relay sends fits into a line's MTU */
    READS_MAX = 64,      /* datagrams before other sockets have their turn */
    ALTERED_MAX = 2,     /* answers that were changed: one may be a stranger's */
};

struct end {
    int fd;
    struct event io, timer;
    struct end_events events;
    void *ctx;
    struct turn_client turn;
    uint32_t rto_ms;
    struct stun_txn txn;
    enum stun_method method;
    const struct turn_params *params;
    bool busy, allocated;
    unsigned altered;
    char altered_why[FAULT_WHY_MAX];
    uint64_t began_ms;
};

static void on_io(evutil_socket_t fd, short what, void *ctx);
static void on_timer(evutil_socket_t fd, short what, void *ctx);

int end_open(struct end **out, const struct end_config *config, const struct end_events *events, void *ctx)
{
    struct end *e = calloc(1, sizeof(*e));
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(config->server, &ss);
    const int probe = IP_PMTUDISC_PROBE; /* never cut into fragments; the number is the same for IPv6 */
    int err = 0;

    *out = e;
    if (!e)
        return ERR_NOMEM;
    e->events = *events;
    e->ctx = ctx;
    e->rto_ms = config->rto_ms;
    turn_client_init(&e->turn, config->user, config->password, config->mac);
    e->turn.flags = TURN_CLIENT_FINGERPRINT;
    e->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    event_assign(&e->io, config->base, e->fd, EV_READ | EV_PERSIST, on_io, e);
    evtimer_assign(&e->timer, config->base, on_timer, e);
    if (e->fd < 0 || connect(e->fd, (struct sockaddr *)&ss, len)) {
        err = -errno;
        end_free(out);
        return err;
    }
    if (ss.ss_family == AF_INET6)
        setsockopt(e->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof(probe));
    else
        setsockopt(e->fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof(probe));
    fault_watch(e->fd, ss.ss_family);
    event_add(&e->io, NULL);
    return 0;
}

struct addr end_local(const struct end *e)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct addr a = {0};

    if (getsockname(e->fd, (struct sockaddr *)&ss, &len) == 0)
        (void)addr_from_sockaddr(&a, (struct sockaddr *)&ss);
    return a;
}

/* The kernel gives to the connected one what the relay sends, and to this one all else. */
int end_beside(const struct end *e, int *fd)
{
    struct addr own = end_local(e);
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&own, &ss);
    const int on = 1;
    int err = 0;

    *fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0 || setsockopt(e->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) || bind(*fd, (struct sockaddr *)&ss, len)) {
        err = -errno;
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
    return err;
}

void end_free(struct end **e)
{
    static const struct turn_params LEAVE = {.with_lifetime = true}; /* 0 */
    struct end *end = *e;
    uint8_t txid[STUN_TXID_LEN] = {0}, buf[REQUEST_MAX];
    int len;

    *e = NULL;
    if (!end)
        return;
    if (end->allocated) {
        len = turn_request(&end->turn, buf, sizeof(buf), STUN_REFRESH, txid, &LEAVE);
        if (len > 0)
            (void)send(end->fd, buf, (size_t)len, MSG_DONTWAIT);
    }
    event_del(&end->io);
    event_del(&end->timer);
    turn_client_deinit(&end->turn);
    if (end->fd >= 0)
        close(end->fd);
    free(end);
}

/* ---- The end of a request. ---- */

static void done(struct end *e, struct end_result *r)
{
    e->busy = false;
    event_del(&e->timer);
    r->sends = e->txn.sends;
    r->took_ms = clock_now().ms - e->began_ms;
    if (r->how == END_ANSWERED && e->method == STUN_ALLOCATE)
        e->allocated = true;
    e->events.done(e->ctx, e, r);
}

static void done_fault(struct end *e, enum code code, const char *why)
{
    struct end_result r = {.how = END_FAULT, .code = code};

    snprintf(r.why, sizeof(r.why), "%s", why);
    done(e, &r);
}

/* Something that answers us, but not as the relay has sent it. */
static void alter(struct end *e, const char *why)
{
    struct end_result r = {.how = END_ALTERED};

    snprintf(e->altered_why, sizeof(e->altered_why), "%s", why);
    if (++e->altered < ALTERED_MAX)
        return;
    memcpy(r.why, e->altered_why, sizeof(r.why));
    done(e, &r);
}

/* ---- Sending. ---- */

/* Does this error say that nothing will ever pass? */
static bool hopeless(int error)
{
    return error != EAGAIN && error != ENOBUFS && error != EINTR && error != EMSGSIZE && error != ECONNREFUSED;
}

static void send_request(struct end *e)
{
    uint8_t buf[REQUEST_MAX];
    char why[FAULT_WHY_MAX];
    int len = turn_request(&e->turn, buf, sizeof(buf), e->method, e->txn.txid, e->params);
    enum code code;

    if (len < 0) {
        done_fault(e, CODE_INTERNAL, err_str(len));
    } else if (send(e->fd, buf, (size_t)len, MSG_DONTWAIT) < 0 && hopeless(errno)) {
        code = fault_of(e->fd, errno, why);
        done_fault(e, code, why);
    }
}

static void wait_due(struct end *e, uint64_t now_ms)
{
    uint64_t ms = e->txn.due_ms > now_ms ? e->txn.due_ms - now_ms : 0;
    const struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    event_add(&e->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct end *e = ctx;
    struct end_result r = {.how = e->altered ? END_ALTERED : END_SILENT};
    uint64_t now_ms = clock_now().ms;

    (void)fd;
    (void)what;
    switch (stun_txn_step(&e->txn, now_ms)) {
    case STUN_TXN_SEND:
        wait_due(e, now_ms);
        send_request(e);
        break;
    case STUN_TXN_WAIT:
        wait_due(e, now_ms);
        break;
    case STUN_TXN_TIMEOUT:
        memcpy(r.why, e->altered_why, sizeof(r.why));
        done(e, &r);
        break;
    }
}

/* The first one goes out from the loop. */
static void start(struct end *e)
{
    stun_txn_start(&e->txn, e->rto_ms, false, clock_now().ms);
    wait_due(e, e->txn.due_ms);
}

void end_request(struct end *e, enum stun_method method, const struct turn_params *params)
{
    e->method = method;
    e->params = params;
    e->busy = true;
    e->altered = 0;
    e->began_ms = clock_now().ms;
    start(e);
}

bool end_send(struct end *e, uint8_t *payload, size_t len)
{
    channel_header(payload - END_ROOM, END_CHANNEL, (uint16_t)len);
    return send(e->fd, payload - END_ROOM, END_ROOM + len, MSG_DONTWAIT) == (ssize_t)(END_ROOM + len);
}

/* ---- What arrives. ---- */

/* Old servers write the address twice, plainly and masked; a router's helper knows the plain one only. */
static bool addresses_agree(const struct stun_msg *m, struct end *e)
{
    struct addr plain, masked;
    char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX], why[FAULT_WHY_MAX];

    if (stun_get_addr(m, STUN_ATTR_MAPPED_ADDRESS, &plain) || stun_get_xor_addr(m, STUN_ATTR_XOR_MAPPED_ADDRESS, &masked) ||
        addr_equal(&plain, &masked))
        return true;
    snprintf(why, sizeof(why), "MAPPED-ADDRESS is %s, XOR-MAPPED-ADDRESS is %s", addr_text(&plain, a), addr_text(&masked, b));
    alter(e, why);
    return false;
}

static void on_answer(struct end *e, const struct stun_msg *m)
{
    struct end_result r = {.how = END_ANSWERED};

    if (!addresses_agree(m, e))
        return;
    switch (turn_read(&e->turn, m, &r.answer)) {
    case TURN_SUCCESS:
        done(e, &r);
        break;
    case TURN_RETRY:
        start(e);
        break;
    case TURN_FAILED:
        r.how = END_REFUSED;
        done(e, &r);
        break;
    case TURN_BOGUS:
        alter(e, "the integrity of an answer is wrong");
        break;
    }
}

static void tell(struct end *e, const uint8_t *data, size_t len)
{
    if (e->events.data)
        e->events.data(e->ctx, e, data, len);
}

static void on_message(struct end *e, const uint8_t *buf, size_t len)
{
    const struct stun_attr *data;
    struct stun_msg m;
    int err = stun_decode(&m, buf, len);

    if (err) {
        if (e->busy && len >= STUN_HEADER_LEN && memcmp(buf + STUN_HEADER_LEN - STUN_TXID_LEN, e->txn.txid, STUN_TXID_LEN) == 0)
            alter(e, err == ERR_FINGERPRINT ? "the FINGERPRINT of an answer is wrong" : "an answer is no whole STUN message");
    } else if (m.class == STUN_INDICATION) {
        if (m.method == STUN_DATA && (data = stun_find(&m, STUN_ATTR_DATA)))
            tell(e, data->value, data->len);
    } else if (e->busy && stun_txn_matches(&e->txn, &m)) {
        on_answer(e, &m);
    }
}

static void on_datagram(struct end *e, const uint8_t *buf, size_t len)
{
    struct channel_data frame;

    if (len && stun_classify(buf[0]) != STUN_KIND_CHANNEL)
        on_message(e, buf, len);
    else if (len && channel_decode(&frame, buf, len) == 0 && frame.number == END_CHANNEL)
        tell(e, frame.data, frame.len);
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
    struct end *e = ctx;
    uint8_t buf[DATAGRAM_MAX];
    char why[FAULT_WHY_MAX];
    enum code code = fault_icmp(fd, why);

    (void)what;
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n >= 0)
            on_datagram(e, buf, (size_t)n);
    }
    if (code != CODE_NONE && e->busy)
        done_fault(e, code, why);
}
