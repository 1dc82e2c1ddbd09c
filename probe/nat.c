/* A step of what goes by UDP, beside the first answer: what the address translation on the way does, and the filter with it. It needs a relay with a second address
 * (OTHER-ADDRESS), and takes no time where there is none. It informs: no rule fails by it. */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/random.h"
#include "probe/trial.h"
#include "stun/client.h"

enum {
    SENDS = 3,      /* of each request: one that is lost must not look like a filter */
    SLOW_MS = 500,  /* between them, and from the last one to the verdict twice as long */
    QUICK_MS = 100, /* 0.4 s in all */
    WAITS = SENDS + 1,
    REQUEST_MAX = 64, /* bytes of a Binding with CHANGE-REQUEST and FINGERPRINT */
    DATAGRAM_MAX = 1500,
};

/* RFC 5780 sections 4.3 and 4.4: all of them at once. What a filter lets in is asked on a socket of its own, from which nothing has gone to the relay's other address. */
enum { MAPPING, FILTER, SOCKETS };
enum question { TO_SAME, TO_OTHER_IP, TO_OTHER, FROM_OTHER, FROM_OTHER_PORT, QUESTIONS };

static const struct {
    unsigned socket;
    bool other_ip, other_port; /* where it goes */
    uint32_t change;           /* where the answer is to come from */
} ASKED[QUESTIONS] = {
    [TO_SAME] = {.socket = MAPPING},
    [TO_OTHER_IP] = {.socket = MAPPING, .other_ip = true},
    [TO_OTHER] = {.socket = MAPPING, .other_ip = true, .other_port = true},
    [FROM_OTHER] = {.socket = FILTER, .change = STUN_CHANGE_BOTH},
    [FROM_OTHER_PORT] = {.socket = FILTER, .change = STUN_CHANGE_PORT},
};

struct nat {
    struct trial *trial;
    struct turn_client turn;
    int fd[SOCKETS];
    struct event io[SOCKETS];
    unsigned waits;
    uint8_t txid[QUESTIONS][STUN_TXID_LEN];
    bool heard[QUESTIONS];
    struct addr mapped[QUESTIONS];
    bool unable; /* the relay does not do as it is asked */
};

/* ---- Verdicts. ---- */

static enum report_nat mapping_of(const struct nat *n)
{
    if (n->trial->line->measures.nat == REPORT_NAT_NONE)
        return REPORT_NAT_NONE;
    if (!n->heard[TO_SAME] || !n->heard[TO_OTHER_IP])
        return REPORT_NAT_UNKNOWN;
    if (addr_equal(&n->mapped[TO_SAME], &n->mapped[TO_OTHER_IP]))
        return REPORT_NAT_ENDPOINT;
    if (!n->heard[TO_OTHER])
        return REPORT_NAT_UNKNOWN;
    return addr_equal(&n->mapped[TO_OTHER_IP], &n->mapped[TO_OTHER]) ? REPORT_NAT_ADDRESS : REPORT_NAT_ADDRESS_PORT;
}

/* Silence says something only if the other address has shown that it is there. */
static enum report_nat filter_of(const struct nat *n)
{
    if (n->unable)
        return REPORT_NAT_UNKNOWN;
    if (n->heard[FROM_OTHER])
        return REPORT_NAT_ENDPOINT;
    if (n->heard[FROM_OTHER_PORT])
        return REPORT_NAT_ADDRESS;
    return n->heard[TO_OTHER_IP] || n->heard[TO_OTHER] ? REPORT_NAT_ADDRESS_PORT : REPORT_NAT_UNKNOWN;
}

static void note(struct trial *t, enum report_nat mapping, enum report_nat filter)
{
    static const char *const MAPPINGS[REPORT_NATS] = {[REPORT_NAT_UNKNOWN] = "NAT",
                                                      [REPORT_NAT_NONE] = "no NAT",
                                                      [REPORT_NAT_ENDPOINT] = "NAT: same address for all destinations",
                                                      [REPORT_NAT_ADDRESS] = "NAT: another address for each host",
                                                      [REPORT_NAT_ADDRESS_PORT] = "NAT: another address for each destination"};
    static const char *const FILTERS[REPORT_NATS] = {[REPORT_NAT_UNKNOWN] = "",
                                                     [REPORT_NAT_NONE] = "",
                                                     [REPORT_NAT_ENDPOINT] = " (lets in packets from anywhere)",
                                                     [REPORT_NAT_ADDRESS] = " (lets in hosts that were sent to)",
                                                     [REPORT_NAT_ADDRESS_PORT] = " (lets in answers only)"};

    if (filter != REPORT_NAT_UNKNOWN || (mapping != REPORT_NAT_UNKNOWN && mapping != REPORT_NAT_NONE))
        trial_note(t, "%s%s", MAPPINGS[mapping], FILTERS[filter]);
}

static void judge(struct nat *n)
{
    struct report_measures *m = &n->trial->line->measures;

    m->nat = mapping_of(n);
    m->nat_filter = filter_of(n);
    note(n->trial, m->nat, m->nat_filter);
    trial_pass(n->trial);
}

/* ---- Questions and answers. ---- */

static void ask(struct nat *n, enum question q)
{
    const struct trial *t = n->trial;
    const struct turn_params params = {.change = ASKED[q].change};
    struct addr to = ASKED[q].other_ip ? t->other : t->line->address;
    struct sockaddr_storage ss;
    uint8_t buf[REQUEST_MAX];
    socklen_t ss_len;
    int len = turn_request(&n->turn, buf, sizeof(buf), STUN_BINDING, n->txid[q], &params);

    to.port = ASKED[q].other_port ? t->other.port : t->line->address.port;
    ss_len = addr_to_sockaddr(&to, &ss);
    if (len > 0)
        (void)sendto(n->fd[ASKED[q].socket], buf, (size_t)len, MSG_DONTWAIT, (struct sockaddr *)&ss, ss_len);
}

/* Is the answer from where it was asked to come from? */
static bool from_there(const struct trial *t, enum question q, const struct addr *from)
{
    if (!ASKED[q].change)
        return true;
    return addr_same_ip(from, &t->line->address) == !(ASKED[q].change & STUN_CHANGE_IP) && from->port != t->line->address.port;
}

static void take(struct nat *n, enum question q, const struct stun_msg *m, const struct addr *from)
{
    struct turn_answer answer;

    if (turn_read(&n->turn, m, &answer) != TURN_SUCCESS || !from_there(n->trial, q, from)) {
        n->unable = n->unable || ASKED[q].change;
        return;
    }
    n->heard[q] = answer.mapped.family != ADDR_NONE;
    n->mapped[q] = answer.mapped;
}

static bool all_is_known(const struct nat *n)
{
    return mapping_of(n) != REPORT_NAT_UNKNOWN && (n->heard[FROM_OTHER] || n->unable);
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
    struct nat *n = ctx;
    struct sockaddr_storage ss;
    uint8_t buf[DATAGRAM_MAX];
    socklen_t ss_len = sizeof(ss);
    ssize_t len = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&ss, &ss_len);
    struct addr from;
    struct stun_msg m;

    (void)what;
    if (len < 0 || n->trial->settled || addr_from_sockaddr(&from, (struct sockaddr *)&ss) || stun_decode(&m, buf, (size_t)len))
        return;
    for (unsigned q = 0; q < QUESTIONS; q++) {
        if (n->fd[ASKED[q].socket] == fd && memcmp(m.txid, n->txid[q], STUN_TXID_LEN) == 0 &&
            (m.class == STUN_SUCCESS || m.class == STUN_ERROR))
            take(n, (enum question)q, &m, &from);
    }
    if (all_is_known(n))
        judge(n);
}

static void late(struct trial *t)
{
    struct nat *n = t->state;

    if (n->waits == WAITS) {
        judge(n);
        return;
    }
    for (unsigned q = 0; n->waits < SENDS && q < QUESTIONS; q++) {
        if (!n->heard[q])
            ask(n, (enum question)q);
    }
    n->waits++;
    trial_wait(t, trial_ms(t, SLOW_MS, QUICK_MS));
}

/* ---- The step. ---- */

/* An address that a relay has by mistake, or that it would have us send to, is left alone. */
static bool is_usable(const struct addr *other, const struct addr *relay)
{
    return other->family == relay->family && !addr_same_ip(other, relay) && other->port && other->port != relay->port &&
           addr_is_unicast(other) && !addr_is_link_local(other) && addr_is_loopback(other) == addr_is_loopback(relay);
}

static int open_sockets(struct nat *n)
{
    int family = n->trial->other.family == ADDR_V6 ? AF_INET6 : AF_INET;

    for (unsigned i = 0; i < SOCKETS; i++) {
        n->fd[i] = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (n->fd[i] < 0)
            return -errno;
        if (event_assign(&n->io[i], n->trial->probe->base, n->fd[i], EV_READ | EV_PERSIST, on_io, n) || event_add(&n->io[i], NULL))
            return ERR_NOMEM;
    }
    return 0;
}

static void begin(struct trial *t)
{
    struct nat *n = *t->altered || !is_usable(&t->other, &t->line->address) ? NULL : calloc(1, sizeof(*n));

    t->state = n;
    if (!n) {
        trial_pass(t);
        return;
    }
    n->trial = t;
    n->fd[MAPPING] = n->fd[FILTER] = -1;
    turn_client_init(&n->turn, NULL, NULL, t->probe->mac);
    n->turn.flags = TURN_CLIENT_FINGERPRINT;
    random_bytes(n->txid, sizeof(n->txid));
    if (open_sockets(n))
        trial_pass(t); /* without descriptors the next step says so */
    else
        late(t);
}

static void end(struct trial *t)
{
    struct nat *n = t->state;

    for (unsigned i = 0; n && i < SOCKETS; i++) {
        if (event_initialized(&n->io[i]))
            event_del(&n->io[i]);
        if (n->fd[i] >= 0)
            close(n->fd[i]);
    }
    free(n);
}

const struct step NAT_STEP = {REPORT_REACH, RULES_STUN | RULES_TURN, begin, late, end};
