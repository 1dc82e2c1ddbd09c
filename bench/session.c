#include "bench/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "stun/channel.h"

enum {
    RECEIVE_BATCH = 8,          /* datagrams in one system call */
    DATAGRAM_ROOM = 65536 + 64, /* bytes */
    SOCKET_BUFFER = 1 << 20,    /* bytes asked for: a second of one call, or a video burst */
    OUT_MAX = 1 << 16,          /* bytes that wait on a stream; beyond it a packet is counted as not sent */
};

/* ---- Sockets. ---- */

int session_open(struct session *s, const struct session_config *config)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int size = SOCKET_BUFFER, on = 1, err;

    *s = (struct session){.config = config, .fd = -1};
    turn_client_init(&s->turn, config->user, config->password, config->mac);
    len = addr_to_sockaddr(&config->server, &sa);
    /* A stream connects while it blocks, so that the first request finds it ready. */
    s->fd = socket(sa.ss_family, (config->tcp ? SOCK_STREAM : SOCK_DGRAM | SOCK_NONBLOCK) | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return -errno;
    if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
        setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (config->tcp)
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (config->client_ip.family) {
        struct sockaddr_storage local;
        socklen_t local_len = addr_to_sockaddr(&config->client_ip, &local);

        if (bind(s->fd, (struct sockaddr *)&local, local_len))
            goto fail;
    }
    if (connect(s->fd, (struct sockaddr *)&sa, len))
        goto fail;
    return 0;
fail:
    err = -errno;
    session_close(s);
    return err;
}

void session_close(struct session *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    turn_client_deinit(&s->turn);
    free(s->in);
    free(s->out);
    s->in = s->out = NULL;
}

/* A full buffer passes; anything else is the end of the session (the server is gone, say). */
static bool refused(struct session *s)
{
    if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR) {
        s->busy = false;
        s->error = -errno;
        s->state = SESSION_FAILED;
    }
    return false;
}

static bool put(struct session *s, const uint8_t *bytes, size_t len)
{
    ssize_t n;

    if (!s->config->tcp)
        return send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len || refused(s);
    if (s->out_len) { /* what was begun goes first */
        n = send(s->fd, s->out, s->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            memmove(s->out, s->out + n, s->out_len -= (size_t)n);
        if (n < 0)
            return refused(s);
        if (s->out_len)
            return false;
    }
    n = send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return refused(s);
    if ((size_t)n < len) {
        if (!s->out && !(s->out = malloc(OUT_MAX)))
            return false;
        s->out_len = len - (size_t)n;
        memcpy(s->out, bytes + n, s->out_len);
    }
    return true;
}

/* ---- Requests. ---- */

static void send_request(struct session *s)
{
    uint8_t buf[2048];
    struct turn_params p = {0};
    int len;

    if (s->method == STUN_ALLOCATE)
        p.family = s->config->family;
    if (s->state == SESSION_ENDING)
        p.with_lifetime = true; /* 0 */
    if (s->method == STUN_CHANNEL_BIND || s->method == STUN_CREATE_PERMISSION) {
        p.peers = &s->peer;
        p.npeers = 1;
        p.channel = s->method == STUN_CHANNEL_BIND ? SESSION_CHANNEL : 0;
    }
    len = turn_request(&s->turn, buf, sizeof(buf), s->method, s->txn.txid, &p);
    if (len > 0)
        put(s, buf, (size_t)len); /* what the kernel does not take is sent again later */
}

static void start(struct session *s, enum stun_method method, uint64_t now_ms)
{
    s->method = method;
    s->busy = true;
    stun_txn_start(&s->txn, STUN_RTO_MS, s->config->tcp, now_ms);
    session_tick(s, now_ms);
}

void session_allocate(struct session *s, uint64_t now_ms)
{
    s->state = SESSION_ALLOCATING;
    start(s, STUN_ALLOCATE, now_ms);
}

void session_bind(struct session *s, const struct addr *peer, uint64_t now_ms)
{
    s->peer = *peer;
    s->state = SESSION_BINDING;
    start(s, s->config->send_method ? STUN_CREATE_PERMISSION : STUN_CHANNEL_BIND, now_ms);
}

void session_binding(struct session *s, uint64_t now_ms)
{
    s->state = SESSION_BINDING;
    start(s, STUN_BINDING, now_ms);
}

void session_end(struct session *s, uint64_t now_ms)
{
    s->state = SESSION_ENDING;
    start(s, STUN_REFRESH, now_ms);
}

void session_tick(struct session *s, uint64_t now_ms)
{
    if (!s->busy) {
        if (s->state == SESSION_READY && s->refresh_ms && now_ms >= s->refresh_ms) {
            s->state = SESSION_REFRESHING;
            s->bind_again = true;
            start(s, STUN_REFRESH, now_ms);
        }
        return;
    }
    switch (stun_txn_step(&s->txn, now_ms)) {
    case STUN_TXN_SEND:
        send_request(s);
        break;
    case STUN_TXN_TIMEOUT:
        s->busy = false;
        s->error = ERR_TIMEDOUT;
        s->state = SESSION_FAILED;
        break;
    case STUN_TXN_WAIT:
        break;
    }
}

/* A request has succeeded: what comes next. */
static void advance(struct session *s, const struct turn_answer *answer, uint64_t now_ms)
{
    s->busy = false;
    switch (s->state) {
    case SESSION_ALLOCATING:
        s->relayed = answer->relayed[0].family ? answer->relayed[0] : answer->relayed[1];
        s->state = SESSION_ALLOCATED;
        break;
    case SESSION_REFRESHING:
        if (s->bind_again) {
            s->bind_again = false;
            start(s, s->config->send_method ? STUN_CREATE_PERMISSION : STUN_CHANNEL_BIND, now_ms);
            break;
        }
        s->state = SESSION_READY;
        s->refresh_ms = now_ms + SESSION_REFRESH_S * 1000;
        break;
    case SESSION_BINDING:
        s->state = SESSION_READY;
        s->refresh_ms = s->config->no_allocation ? 0 : now_ms + SESSION_REFRESH_S * 1000;
        break;
    case SESSION_ENDING:
        s->state = SESSION_ENDED;
        break;
    case SESSION_IDLE:
    case SESSION_ALLOCATED:
    case SESSION_READY:
    case SESSION_ENDED:
    case SESSION_FAILED:
        break;
    }
}

static void on_answer(struct session *s, const struct stun_msg *m, uint64_t now_ms)
{
    struct turn_answer answer;

    if (!s->busy || !stun_txn_matches(&s->txn, m))
        return;
    switch (turn_read(&s->turn, m, &answer)) {
    case TURN_SUCCESS:
        advance(s, &answer, now_ms);
        break;
    case TURN_RETRY:
        start(s, s->method, now_ms);
        break;
    case TURN_FAILED:
        s->busy = false;
        if (s->state == SESSION_ENDING && answer.code == STUN_E_ALLOCATION_MISMATCH) { /* it has ended, and the answer was lost */
            s->state = SESSION_ENDED;
            break;
        }
        s->error = answer.code;
        s->state = SESSION_FAILED;
        break;
    case TURN_BOGUS:
        break;
    }
}

/* ---- Payloads. ---- */

bool session_send(struct session *s, uint8_t *payload, size_t len)
{
    static const uint8_t TXID[STUN_TXID_LEN]; /* indications have no answer to be matched */
    uint8_t buf[2048];
    int n;

    if (!s->config->send_method) {
        channel_header(payload - CHANNEL_HEADER_LEN, SESSION_CHANNEL, (uint16_t)len);
        return put(s, payload - CHANNEL_HEADER_LEN, CHANNEL_HEADER_LEN + (s->config->tcp ? (len + 3) & ~(size_t)3 : len));
    }
    n = turn_send_indication(buf, sizeof(buf), TXID, &s->peer, payload, len);
    return n > 0 && put(s, buf, (size_t)n);
}

static void on_frame(struct session *s, const uint8_t *buf, size_t len, uint64_t now_ms, session_data_cb *on_data, void *ctx)
{
    struct channel_data frame;
    struct stun_msg m;
    const struct stun_attr *data;

    if (len && stun_classify(buf[0]) == STUN_KIND_CHANNEL) {
        if (channel_decode(&frame, buf, len) == 0 && frame.number == SESSION_CHANNEL)
            on_data(ctx, s, frame.data, frame.len);
        return;
    }
    if (stun_decode(&m, buf, len))
        return;
    if (m.class != STUN_INDICATION)
        on_answer(s, &m, now_ms);
    else if (m.method == STUN_DATA && (data = stun_find(&m, STUN_ATTR_DATA)))
        on_data(ctx, s, data->value, data->len);
}

static void receive_datagrams(struct session *s, uint64_t now_ms, session_data_cb *on_data, void *ctx)
{
    static uint8_t room[RECEIVE_BATCH][DATAGRAM_ROOM];
    struct mmsghdr msgs[RECEIVE_BATCH] = {0};
    struct iovec iov[RECEIVE_BATCH];
    int n;

    for (int i = 0; i < RECEIVE_BATCH; i++) {
        iov[i] = (struct iovec){.iov_base = room[i], .iov_len = DATAGRAM_ROOM};
        msgs[i].msg_hdr.msg_iov = &iov[i];
        msgs[i].msg_hdr.msg_iovlen = 1;
    }
    n = recvmmsg(s->fd, msgs, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++)
        on_frame(s, room[i], msgs[i].msg_len, now_ms, on_data, ctx);
}

static size_t frame_len(const uint8_t *buf, size_t len)
{
    int n = stun_classify(buf[0]) == STUN_KIND_CHANNEL ? channel_frame_len(buf, len) : stun_frame_len(buf, len);

    return n > 0 ? (size_t)n : 0;
}

static void receive_stream(struct session *s, uint64_t now_ms, session_data_cb *on_data, void *ctx)
{
    size_t done = 0, n;
    ssize_t got;

    if (!s->in) {
        s->in_cap = SESSION_FRAME_MAX;
        s->in = malloc(s->in_cap);
        if (!s->in)
            return;
    }
    got = recv(s->fd, s->in + s->in_len, s->in_cap - s->in_len, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        s->busy = false;
        s->error = ERR_IO; /* the server has closed it */
        s->state = SESSION_FAILED;
        return;
    }
    if (got > 0)
        s->in_len += (size_t)got;
    while (s->in_len - done >= 4 && (n = frame_len(s->in + done, s->in_len - done)) && n <= s->in_len - done) {
        on_frame(s, s->in + done, n, now_ms, on_data, ctx);
        done += n;
    }
    memmove(s->in, s->in + done, s->in_len - done);
    s->in_len -= done;
}

void session_receive(struct session *s, uint64_t now_ms, session_data_cb *on_data, void *ctx)
{
    if (s->config->tcp)
        receive_stream(s, now_ms, on_data, ctx);
    else
        receive_datagrams(s, now_ms, on_data, ctx);
}
