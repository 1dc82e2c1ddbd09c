#include "bench/load.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/wire.h"
#include "bench/session.h"

enum {
    MAGIC = 0x54504B42,      /* the head of a payload: magic, flow, sequence, time */
    SETUP_PARALLEL = 64,     /* sessions that are set up at a time: a busy morning, not a flood */
    PEER_SOCKETS = 16,       /* peers' sockets; sessions share them */
    BURST_MAX = 64,          /* packets sent before sockets are read again; a late tick is made up for in such steps */
    EVENTS = 256,            /* of one epoll_wait */
    DRAIN_MS = 2000,         /* that the last packets may take */
    CLIENT_PORT_MIN = 10240, /* of clients that come and go; below the ports that the kernel gives */
    CLIENT_PORT_MAX = 32767,
    PORT_TRIES = 64,         /* for one that nobody else on this host has */
    LATE_MAX_MS = 200,       /* behind schedule by more than this: the generator is the limit, and does not catch up */
    SWEEP_MS = 20,           /* between two looks at idle sessions' timers */
    ROOM = 64,               /* bytes before a payload */
    PEER_ROOM = 2048,        /* bytes of a datagram at a peer */
    SOCKET_BUFFER = 1 << 23, /* bytes of a peer's socket */
};

struct load {
    const struct load_config *config;
    struct load_result *result;
    struct session_config session_config;
    struct session *sessions;
    struct flow *flows; /* [session]: what its payloads go through */
    unsigned n;
    size_t opened; /* clients, each with the next credential */
    int peers[PEER_SOCKETS];
    struct addr peer_addr[PEER_SOCKETS];
    unsigned npeers;
    int epoll;
    uint64_t now_ns;
    uint8_t room[ROOM + LOAD_SIZE_MAX];
    char *text;
};

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static uint64_t ms(const struct load *l)
{
    return l->now_ns / 1000000;
}

static int fail(struct load *l, int err, const char *what)
{
    snprintf(l->text, LOAD_TEXT_MAX, "%s: %s", what, err_str(err));
    return err;
}

uint64_t load_lost(const struct load_result *r)
{
    return r->meter.sent > r->meter.received ? r->meter.sent - r->meter.received : 0;
}

/* ---- Payloads. ---- */

static uint8_t *make_payload(struct load *l, unsigned flow)
{
    uint8_t *p = l->room + ROOM;
    struct wire_out w = wire_into(p, LOAD_SIZE_MIN);

    wire_put_u32(&w, MAGIC);
    wire_put_u32(&w, flow);
    wire_put_u32(&w, l->flows[flow].sent);
    wire_put_u64(&w, clock_ns());
    return p;
}

/* A payload that arrived where only this flow's may. */
static void take_payload(struct load *l, unsigned expected, const uint8_t *buf, size_t len)
{
    struct wire w = wire_over(buf, len);
    uint32_t magic = wire_u32(&w), flow = wire_u32(&w), sequence = wire_u32(&w);
    uint64_t sent_ns = wire_u64(&w);
    struct meter *m = &l->result->meter;

    if (w.err || magic != MAGIC || len != l->config->size || flow >= l->n) {
        m->foreign++;
        return;
    }
    if (flow != expected) {
        m->crosstalk++;
        return;
    }
    switch (flow_receive(&l->flows[flow], sequence)) {
    case FLOW_DUPLICATE:
        m->duplicates++;
        return;
    case FLOW_REORDERED:
        m->reordered++;
        break;
    case FLOW_NEW:
        break;
    }
    m->received++;
    histogram_add(&m->delay, clock_ns() - sent_ns);
}

/* The flow that may arrive at a session: its own from a peer, or its partner's. */
static unsigned flow_to(const struct load *l, unsigned session)
{
    return l->config->mode == LOAD_RELAY_RELAY ? session ^ 1U : session;
}

static void on_data(void *ctx, struct session *s, const uint8_t *payload, size_t len)
{
    struct load *l = ctx;

    take_payload(l, flow_to(l, (unsigned)(s - l->sessions)), payload, len);
}

/* A peer is shared: which session a datagram came through is told by its source, that session's relayed address. */
static void receive_at_peer(struct load *l, unsigned peer)
{
    static uint8_t room[BURST_MAX][PEER_ROOM];
    struct sockaddr_storage from[BURST_MAX];
    struct mmsghdr msgs[BURST_MAX] = {0};
    struct iovec iov[BURST_MAX];
    int n;

    for (int i = 0; i < BURST_MAX; i++) {
        iov[i] = (struct iovec){.iov_base = room[i], .iov_len = PEER_ROOM};
        msgs[i].msg_hdr =
            (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &iov[i], .msg_iovlen = 1};
    }
    n = recvmmsg(l->peers[peer], msgs, BURST_MAX, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        struct wire w = wire_over(room[i], msgs[i].msg_len);
        uint32_t flow = (wire_u32(&w), wire_u32(&w));
        struct addr source;

        if (w.err || flow >= l->n || addr_from_sockaddr(&source, (struct sockaddr *)&from[i]))
            l->result->meter.foreign++;
        else if (source.port != l->sessions[flow].relayed.port || flow % l->npeers != peer) /* the IP may be behind a NAT */
            l->result->meter.crosstalk++;
        else
            take_payload(l, flow, room[i], msgs[i].msg_len);
    }
}

static bool send_down(struct load *l, unsigned flow, const uint8_t *payload)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&l->sessions[flow].relayed, &sa);

    return sendto(l->peers[flow % l->npeers], payload, l->config->size, MSG_DONTWAIT, (struct sockaddr *)&sa, len) > 0;
}

static void send_one(struct load *l, unsigned flow)
{
    uint8_t *payload = make_payload(l, flow);
    bool ok =
        l->config->mode == LOAD_DOWN ? send_down(l, flow, payload) : session_send(&l->sessions[flow], payload, l->config->size);

    if (ok) {
        l->flows[flow].sent++;
        l->result->meter.sent++;
    } else {
        l->result->meter.unsent++; /* our own socket was full: the generator's fault, not the server's */
    }
}

/* ---- Sockets. ---- */

static int watch(struct load *l, int fd, uint64_t tag)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = tag};

    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

/* Reads whatever is ready; waits for it at most `wait_ms`. */
static void receive(struct load *l, int wait_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(l->epoll, events, EVENTS, wait_ms);

    l->now_ns = clock_ns();
    for (int i = 0; i < n; i++) {
        uint64_t tag = events[i].data.u64;

        if (tag < l->n)
            session_receive(&l->sessions[tag], ms(l), on_data, l);
        else
            receive_at_peer(l, (unsigned)(tag - l->n));
    }
}

static int open_peers(struct load *l)
{
    int size = SOCKET_BUFFER;

    if (l->config->mode != LOAD_UP && l->config->mode != LOAD_DOWN)
        return 0;
    for (; l->npeers < PEER_SOCKETS; l->npeers++) {
        unsigned i = l->npeers;
        struct sockaddr_storage sa;
        socklen_t len = addr_to_sockaddr(&l->config->peer_ip, &sa);

        l->peers[i] = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (l->peers[i] < 0)
            return fail(l, -errno, "a peer's socket");
        if (setsockopt(l->peers[i], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
            setsockopt(l->peers[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        if (bind(l->peers[i], (struct sockaddr *)&sa, len)) {
            int err = -errno;

            close(l->peers[i]);
            return fail(l, err, "the peers' address (--peer-ip must be one of this host's)");
        }
        len = sizeof(sa);
        getsockname(l->peers[i], (struct sockaddr *)&sa, &len);
        addr_from_sockaddr(&l->peer_addr[i], (struct sockaddr *)&sa);
        if (watch(l, l->peers[i], l->n + i))
            return fail(l, -errno, "epoll");
    }
    return 0;
}

static int open_session(struct load *l, unsigned i)
{
    const struct load_config *c = l->config;

    if (c->ncredentials) {
        l->session_config.user = c->credentials[l->opened % c->ncredentials].user;
        l->session_config.password = c->credentials[l->opened % c->ncredentials].password;
    }
    return session_open(&l->sessions[i], &l->session_config);
}

static int open_sessions(struct load *l)
{
    for (unsigned i = 0; i < l->n; i++)
        l->sessions[i].fd = -1;
    for (unsigned i = 0; i < l->n; i++) {
        int err = open_session(l, i);

        l->opened += !err;
        if (!err)
            err = watch(l, l->sessions[i].fd, i);
        if (err)
            return fail(l, err, err == ERR_MFILE ? "a client's socket (raise the limit: ulimit -n)" : "a client's socket");
    }
    return 0;
}

/* ---- Bringing all sessions to a state, a few at a time. ---- */

static void show(const struct load *l, const char *what, unsigned done)
{
    if (l->config->progress)
        fprintf(l->config->progress, "\r%s: %u of %u ", what, done, l->n);
}

static int session_error(struct load *l, const struct session *s)
{
    if (s->error > 0)
        snprintf(l->text, LOAD_TEXT_MAX, "the server refused: %d %s%s", s->error, stun_reason(s->error),
                 s->error == STUN_E_UNAUTHENTICATED ? " (wrong user name or password)"
                 : s->error == STUN_E_FORBIDDEN     ? " (its peer policy denies the peer's address)"
                 : s->error == STUN_E_ALLOCATION_QUOTA || s->error == STUN_E_INSUFFICIENT_CAPACITY
                     ? " (its quota, ports or descriptors are used up)"
                     : "");
    else
        snprintf(l->text, LOAD_TEXT_MAX, "%s (is the server there, and not behind a firewall?)",
                 s->error == ERR_TIMEDOUT ? "no answer to 7 requests" : err_str(s->error));
    return s->error > 0 ? ERR_IO : s->error;
}

static int bring(struct load *l, const char *what, enum session_state until, void (*begin)(struct load *l, unsigned i))
{
    unsigned begun = 0, low = 0;

    while (low < l->n) {
        while (begun < l->n && begun < low + SETUP_PARALLEL)
            begin(l, begun++);
        receive(l, 1);
        for (unsigned i = low; i < begun; i++) {
            session_tick(&l->sessions[i], ms(l));
            if (l->sessions[i].state == SESSION_FAILED)
                return session_error(l, &l->sessions[i]);
        }
        while (low < begun && l->sessions[low].state == until)
            low++;
        show(l, what, low);
    }
    if (l->config->progress)
        fputc('\n', l->config->progress);
    return 0;
}

static void begin_allocate(struct load *l, unsigned i)
{
    session_allocate(&l->sessions[i], ms(l));
}

static void begin_bind(struct load *l, unsigned i)
{
    const struct addr *peer;

    if (l->config->mode == LOAD_RELAY_RELAY) {
        peer = &l->sessions[i ^ 1U].relayed;
    } else {
        assert(l->npeers > 0);
        peer = &l->peer_addr[i % l->npeers];
    }
    session_bind(&l->sessions[i], peer, ms(l));
}

static void begin_end(struct load *l, unsigned i)
{
    session_end(&l->sessions[i], ms(l));
}

/* ---- The loads. ---- */

static uint64_t server_cpu(const struct load *l)
{
    uint64_t ns = 0;

    if (l->config->server_pid)
        cpu_of(l->config->server_pid, &ns);
    return ns;
}

static void progress(const struct load *l, uint64_t start, uint64_t end, const char *what)
{
    if (l->config->progress)
        fprintf(l->config->progress, "\r%s: %.0f of %.0f s, %llu lost so far ", what, (double)(l->now_ns - start) / 1e9,
                (double)(end - start) / 1e9, (unsigned long long)load_lost(l->result));
}

/* Packets of all flows in turn, evenly over time. */
static int stream(struct load *l)
{
    uint64_t start = clock_ns(), end = start + l->config->duration_s * 1000000000ULL, due = start, sweep = start;
    uint64_t interval = (uint64_t)(1e9 / (l->config->rate * l->n)), quiet;
    unsigned flow = 0;

    for (l->now_ns = start; l->now_ns < end;) {
        for (int burst = 0; due <= l->now_ns && burst < BURST_MAX; burst++, due += interval) {
            send_one(l, flow);
            flow = flow + 1 == l->n ? 0 : flow + 1;
        }
        receive(l, due > l->now_ns + 1000000 ? 1 : 0);
        if (l->now_ns > due + LATE_MAX_MS * 1000000ULL)
            due = l->now_ns;
        if (l->now_ns >= sweep) {
            for (unsigned i = 0; i < l->n; i++) {
                session_tick(&l->sessions[i], ms(l));
                if (l->sessions[i].state == SESSION_FAILED)
                    return session_error(l, &l->sessions[i]);
            }
            sweep = l->now_ns + SWEEP_MS * 1000000ULL;
            progress(l, start, end, "packets");
        }
    }
    l->result->seconds = (double)(l->now_ns - start) / 1e9;
    quiet = l->now_ns + DRAIN_MS * 1000000ULL;
    while (l->now_ns < quiet && load_lost(l->result))
        receive(l, 10);
    return 0;
}

/* A client is a 5-tuple: the next one comes from another port, as in life. In turn, and not by chance: some servers know a 5-tuple for
 * seconds after its allocation has ended. */
static int open_again(struct load *l, unsigned i)
{
    struct addr *local = &l->session_config.client_ip;
    int err = ERR_ADDRINUSE;

    session_close(&l->sessions[i]);
    if (!local->family)
        local->family = l->config->server.family;
    for (int tries = 0; err == ERR_ADDRINUSE && tries < PORT_TRIES; tries++) {
        local->port = local->port < CLIENT_PORT_MIN || local->port >= CLIENT_PORT_MAX ? CLIENT_PORT_MIN : local->port + 1;
        err = open_session(l, i);
    }
    l->opened += !err;
    if (!err)
        err = watch(l, l->sessions[i].fd, i);
    return err ? fail(l, err, "a client's socket") : 0;
}

/* An answer ends what is measured of a request; an allocation is given back at once. */
static void take_answer(struct load *l, unsigned i, uint64_t begun_ns)
{
    struct session *s = &l->sessions[i];
    bool binding = l->config->mode == LOAD_BINDING;

    if (s->state != (binding ? SESSION_READY : SESSION_ALLOCATED))
        return;
    l->result->meter.received++;
    histogram_add(&l->result->meter.delay, l->now_ns - begun_ns);
    if (binding)
        s->state = SESSION_IDLE;
    else
        session_end(s, ms(l));
}

static int begin_request(struct load *l, unsigned i)
{
    struct session *s = &l->sessions[i];
    int err = 0;

    l->result->meter.sent++;
    if (l->config->mode == LOAD_BINDING) {
        session_binding(s, ms(l));
        return 0;
    }
    if (s->state == SESSION_ENDED)
        err = open_again(l, i);
    if (!err)
        session_allocate(s, ms(l));
    return err;
}

/* What is under way when the time is over may still be answered; then it is lost. An allocation would hold its port for ten minutes. */
static void drain(struct load *l, const uint64_t *begun)
{
    uint64_t quiet = l->now_ns + DRAIN_MS * 1000000ULL;
    unsigned left = 1;

    while (left && l->now_ns < quiet) {
        left = 0;
        for (unsigned i = 0; i < l->n; i++) {
            struct session *s = &l->sessions[i];

            session_tick(s, ms(l));
            take_answer(l, i, begun[i]);
            left += s->state == SESSION_ALLOCATING || s->state == SESSION_BINDING || s->state == SESSION_ENDING;
        }
        if (left)
            receive(l, 10);
    }
}

/* Requests, each session one at a time; the next when the last is answered and the rate allows it. */
/* May another client come? Not when each credential has had its turn. */
static bool has_credential(const struct load *l)
{
    return l->config->ncredentials < 2 || l->opened < l->config->ncredentials;
}

static int requests(struct load *l)
{
    uint64_t start = clock_ns(), end = start + l->config->duration_s * 1000000000ULL, due = start;
    uint64_t interval = l->config->rate > 0 ? (uint64_t)(1e9 / l->config->rate) : 0;
    uint64_t *begun = calloc(l->n, sizeof(*begun));
    unsigned over = 0; /* sessions that have no more to do */
    int err = begun ? 0 : ERR_NOMEM;

    for (l->now_ns = start; l->now_ns < end && over < l->n && !err;) {
        over = 0;
        for (unsigned i = 0; i < l->n && !err; i++) {
            struct session *s = &l->sessions[i];

            session_tick(s, ms(l));
            take_answer(l, i, begun[i]);
            if (s->state == SESSION_FAILED)
                err = session_error(l, s);
            if (s->state == SESSION_ENDED && !has_credential(l)) {
                over++;
            } else if ((s->state == SESSION_IDLE || s->state == SESSION_ENDED) && due <= l->now_ns) {
                due = interval ? due + interval : l->now_ns;
                begun[i] = l->now_ns;
                err = begin_request(l, i);
            }
        }
        receive(l, due > l->now_ns + 1000000 ? 1 : 0);
        progress(l, start, end, "requests");
    }
    l->result->seconds = (double)(l->now_ns - start) / 1e9;
    if (!err)
        drain(l, begun);
    free(begun);
    return err;
}

static int run_mode(struct load *l)
{
    bool packets = l->config->mode <= LOAD_RELAY_RELAY;
    uint64_t begun = clock_ns(), cpu;
    int err = 0;

    l->now_ns = begun;
    if (packets)
        err = bring(l, "allocations", SESSION_ALLOCATED, begin_allocate);
    if (packets && !err)
        err = bring(l, l->session_config.send_method ? "permissions" : "channels", SESSION_READY, begin_bind);
    if (err)
        return err;
    l->result->sessions = l->n;
    l->result->setup_seconds = (double)(clock_ns() - begun) / 1e9;
    cpu = server_cpu(l);
    if (packets)
        err = stream(l);
    else
        err = requests(l);
    l->result->cpu_ns = server_cpu(l) - cpu;
    if (l->config->progress)
        fputc('\n', l->config->progress);
    if (packets && !err)
        bring(l, "ended", SESSION_ENDED, begin_end);
    return err;
}

int load_run(const struct load_config *config, struct load_result *out, char text[static LOAD_TEXT_MAX])
{
    struct rlimit limit;
    struct load *l = calloc(1, sizeof(*l));
    struct stun_mac *mac = NULL;
    int err = ERR_NOMEM;

    *out = (struct load_result){0};
    text[0] = '\0';
    if (!l)
        return err;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    l->config = config;
    l->result = out;
    l->text = text;
    l->n = config->sessions + (config->mode == LOAD_RELAY_RELAY && config->sessions % 2);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->sessions = calloc(l->n, sizeof(*l->sessions));
    l->flows = calloc(l->n, sizeof(*l->flows));
    if (l->epoll < 0 || !l->sessions || !l->flows || (err = stun_mac_new(&mac)))
        goto out;
    l->session_config = (struct session_config){.server = config->server,
                                                .client_ip = config->client_ip,
                                                .tcp = config->tcp,
                                                .send_method = config->send_method,
                                                .no_allocation = config->mode == LOAD_BINDING,
                                                .family = config->mode <= LOAD_DOWN ? config->peer_ip.family : ADDR_NONE,
                                                .mac = mac};
    err = open_sessions(l);
    if (!err)
        err = open_peers(l);
    if (!err)
        err = run_mode(l);
out:
    if (err && !text[0])
        fail(l, err, "the load can't start");
    for (unsigned i = 0; l->sessions && i < l->n; i++)
        session_close(&l->sessions[i]);
    for (unsigned i = 0; i < l->npeers; i++)
        close(l->peers[i]);
    if (l->epoll >= 0)
        close(l->epoll);
    stun_mac_free(&mac);
    free(l->sessions);
    free(l->flows);
    free(l);
    return err;
}
