#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "relay/alloc.h"
#include "relay/external.h"
#include "relay/relayparts.h"
#include "relay/stream.h"
#include "relay/udp.h"

enum {
    HOST_ADDRESSES_MAX = 256, /* of this host; more are not denied by name, only by the ranges */
    FREE_PORT_TRIES = 16,     /* with listening-port=0: UDP and TCP of all addresses must agree on one */
};

_Static_assert((int)ALTERNATES_MAX == (int)RELAY_LISTENERS_MAX, "a listener's number is its place among the alternates");

/* Addresses of this host, as they are now. */
struct host {
    struct addr addr[HOST_ADDRESSES_MAX];
    size_t n;
};

static int host_read(struct host *h)
{
    struct ifaddrs *list;

    h->n = 0;
    if (getifaddrs(&list))
        return -errno;
    for (struct ifaddrs *i = list; i && h->n < HOST_ADDRESSES_MAX; i = i->ifa_next)
        if (i->ifa_addr && (i->ifa_flags & IFF_UP) && addr_from_sockaddr(&h->addr[h->n], i->ifa_addr) == 0)
            h->addr[h->n++].port = 0;
    freeifaddrs(list);
    return 0;
}

/* ---- What the configuration means on this host. ---- */

static void add_relay(const struct relay_config *c, struct relay_address *list, size_t *n, const struct addr *ip)
{
    for (size_t i = 0; i < *n; i++)
        if (addr_same_ip(&list[i].local, ip))
            return;
    if (*n == PORTS_ADDRESSES_MAX)
        return;
    list[*n].local = addr_with_port(ip, 0);
    list[*n].advertised = external_find(c->external, c->nexternal, &list[*n].local);
    (*n)++;
}

/* relay-ip; else the listening addresses; else every address of this host that a peer could use. */
static size_t relay_addresses(const struct relay_config *c, const struct host *h,
                              struct relay_address list[static PORTS_ADDRESSES_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < c->nrelay; i++)
        add_relay(c, list, &n, &c->relay[i]);
    for (size_t i = 0; !c->nrelay && i < c->nlisten; i++)
        if (!addr_is_any(&c->listen[i]))
            add_relay(c, list, &n, &c->listen[i]);
    for (size_t i = 0; !n && i < h->n; i++)
        if (!addr_is_loopback(&h->addr[i]) && !addr_is_link_local(&h->addr[i]))
            add_relay(c, list, &n, &h->addr[i]);
    for (size_t i = 0; !n && i < h->n; i++) /* a machine without a network: loopback is better than nothing */
        add_relay(c, list, &n, &h->addr[i]);
    return n;
}

static void listen_addresses(const struct relay_config *c, struct relay *r)
{
    for (size_t i = 0; i < c->nlisten && r->nlisten < RELAY_LISTENERS_MAX; i++)
        r->listen[r->nlisten++] = addr_with_port(&c->listen[i], c->port);
    if (!c->nlisten) {
        r->listen[r->nlisten++] = (struct addr){.family = ADDR_V4, .port = c->port};
        r->listen[r->nlisten++] = (struct addr){.family = ADDR_V6, .port = c->port};
    }
    r->nprimary = r->nlisten;
    for (size_t i = 0; c->alt_port && i < r->nprimary && r->nlisten < RELAY_LISTENERS_MAX; i++)
        if (external_has_twin(c->external, c->nexternal, r->listen, r->nprimary, i))
            r->listen[r->nlisten++] = addr_with_port(&r->listen[i], c->alt_port);
}

/* The ports are known by now. */
static void connect_alternates(const struct relay_config *c, struct relay *r)
{
    r->alternates.n = r->nlisten > r->nprimary ? r->nlisten : 0;
    for (size_t i = 0; i < r->alternates.n; i++)
        r->alternates.listener[i] = external_alternate(c->external, c->nexternal, &r->listen[i]);
    alternate_connect(&r->alternates);
}

/* `ports` (NULL: none yet) are those that serve: a reload does not change them, whatever the new configuration says. */
static int make_policy(const struct relay_config *c, const struct ports *ports, const struct addr *listen, size_t nlisten,
                       struct policy **out, char *text)
{
    struct host host;
    const char *bad = "";
    int err = host_read(&host);
    struct policy_config pc = {.allowed = c->allowed,
                               .nallowed = c->nallowed,
                               .denied = c->denied,
                               .ndenied = c->ndenied,
                               .realm = c->realm,
                               .stored = c->stored,
                               .host = host.addr,
                               .nhost = host.n,
                               .listeners = listen,
                               .nlisteners = nlisten};

    /* The public side of a 1:1 NAT is this host, too: what is sent there comes back to it. */
    for (size_t i = 0; ports && i < ports_count(ports) && pc.nhost + 2 <= HOST_ADDRESSES_MAX; i++) {
        host.addr[pc.nhost++] = ports_address(ports, (unsigned)i)->local;
        host.addr[pc.nhost++] = addr_with_port(&ports_address(ports, (unsigned)i)->advertised, 0);
    }
    if (!err)
        err = policy_new(out, &pc, &bad);
    if (err == ERR_CONFIG)
        snprintf(text, RELAY_TEXT_MAX,
                 "peer entry '%s' can't be read: write an address, CIDR or range, with ports if wanted: 10.1.2.0/24, "
                 "10.1.2.3-10.1.2.9, 10.1.2.3:5060-5070/udp, [2001:db8::/32]:5060/udp",
                 bad);
    else if (err)
        snprintf(text, RELAY_TEXT_MAX, "the peer policy can't be built: %s", err_str(err));
    return err;
}

int relay_check(const struct relay_config *c, char text[static RELAY_TEXT_MAX])
{
    struct policy *p = NULL;
    int err = make_policy(c, NULL, NULL, 0, &p, text);

    policy_unref(&p);
    return err;
}

/* ---- Sockets. ---- */

/* One listener's sockets for all workers, UDP and TCP. With port 0 the first one chooses. */
static int open_listener(struct relay *r, struct addr *a, int (*fds)[2])
{
    struct sockaddr_storage sa;
    socklen_t len;
    int err = 0;

    for (unsigned w = 0; w < r->nworkers && !err; w++) {
        fds[w][0] = udp_socket(a, true);
        if (fds[w][0] < 0) {
            err = fds[w][0];
            break;
        }
        len = sizeof(sa);
        if (a->port == 0 && getsockname(fds[w][0], (struct sockaddr *)&sa, &len) == 0)
            err = addr_from_sockaddr(a, (struct sockaddr *)&sa);
        if (!err)
            fds[w][1] = stream_socket(a);
        if (fds[w][1] < 0)
            err = fds[w][1];
    }
    return err;
}

static void close_all(int (*fds)[2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < 2; j++)
            if (fds[i][j] >= 0) {
                close(fds[i][j]);
                fds[i][j] = -1;
            }
}

/* All listeners on one port, but those on the second one. Several workers share it by SO_REUSEPORT, so somebody else's socket on it would be found too late: a first
 * bind without that option is refused if the port is taken. */
static int probe_port(const struct addr *a)
{
    int fd = udp_socket(a, false);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* What helps a listener, on the first port or the second one, that can't have its address. */
static const char *cure_of(int err, bool first)
{
    if (err == ERR_ADDRINUSE)
        return first ? " (another server is running there: stop it, or set listening-port)"
                     : " (another server is running there: stop it, or set alt-listening-port)";
    if (err == ERR_ACCES)
        return " (ports below 1024 need CAP_NET_BIND_SERVICE)";
    return err == -EADDRNOTAVAIL ? " (not an address of this host: see `ip addr`, correct listening-ip)" : "";
}

static int open_listeners(struct relay *r, const struct relay_config *c, int (*fds)[2], size_t nfds, char *text)
{
    char name[ADDR_TEXT_MAX];
    int err = 0;

    for (int attempt = 0; attempt < FREE_PORT_TRIES; attempt++) {
        uint16_t port = c->port;

        r->nlisten = 0;
        listen_addresses(c, r);
        for (size_t i = 0; i < r->nlisten; i++) {
            if (i < r->nprimary)
                r->listen[i].port = port;
            err = r->listen[i].port ? probe_port(&r->listen[i]) : 0;
            if (!err)
                err = open_listener(r, &r->listen[i], fds + i * r->nworkers);
            if (err == ERR_AFNOSUPPORT && !c->nlisten && i == 1) { /* a host without IPv6 */
                close_all(fds + i * r->nworkers, r->nworkers);
                r->nlisten = r->nprimary = 1;
                err = 0;
            }
            if (err) {
                snprintf(text, RELAY_TEXT_MAX, "can't listen on %s: %s%s", addr_text(&r->listen[i], name), err_str(err),
                         cure_of(err, i < r->nprimary));
                break;
            }
            if (i < r->nprimary)
                port = r->listen[i].port;
        }
        if (!err)
            return 0;
        close_all(fds, nfds);
        if (c->port)
            break;
    }
    return err;
}

/* Each relay address must be one of this host's: told now, not at the first call. */
static int probe_relays(const struct relay *r, char *text)
{
    char name[ADDR_TEXT_MAX];

    if (!ports_count(r->ports)) {
        snprintf(text, RELAY_TEXT_MAX, "this host has no address to relay from: set relay-ip");
        return ERR_CONFIG;
    }
    for (size_t i = 0; i < ports_count(r->ports); i++) {
        const struct relay_address *a = ports_address(r->ports, (unsigned)i);
        int fd = udp_socket(&a->local, false);

        if (fd < 0) {
            snprintf(text, RELAY_TEXT_MAX, "can't relay from %s: %s (not an address of this host? see `ip addr`, correct relay-ip)",
                     addr_ip_text(&a->local, name), err_str(fd));
            return fd;
        }
        close(fd);
    }
    return 0;
}

static unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > PORTS_WORKERS_MAX ? PORTS_WORKERS_MAX : (unsigned)n;
}

static int start_workers(struct relay *r, const struct relay_config *c, struct policy *policy, int (*fds)[2])
{
    int err = 0;

    for (unsigned w = 0; w < r->nworkers && !err; w++) {
        struct shard_config sc = {.worker = w,
                                  .workers = r->nworkers,
                                  .auth = c->auth,
                                  .ports = r->ports,
                                  .nonce_key = &r->nonce_key,
                                  .throttle = r->throttle,
                                  .memory = r->memory,
                                  .alternates = &r->alternates,
                                  .policy = policy,
                                  .settings = c->settings,
                                  .now = clock_now()};
        err = worker_init(&r->workers[w], &sc, r->workers, r->nworkers);
        if (!err && c->feed)
            err = worker_feed(&r->workers[w], r->feed_fd);
        for (size_t i = 0; i < r->nlisten && !err; i++) {
            int *fd = fds[i * r->nworkers + w];

            err = udp_listen(r->workers[w].udp, fd[0], &r->listen[i]);
            fd[0] = -1;
            if (!err) {
                err = streams_listen(r->workers[w].streams, fd[1]);
                fd[1] = -1;
            }
        }
    }
    return err;
}

int relay_new(struct relay **out, const struct relay_config *c, char text[static RELAY_TEXT_MAX])
{
    struct relay *r = calloc(1, sizeof(*r));
    struct relay_address addresses[PORTS_ADDRESSES_MAX] = {0};
    struct policy *policy = NULL;
    struct host host;
    size_t nfds = 0;
    int(*fds)[2] = NULL;
    int err = r ? host_read(&host) : ERR_NOMEM;

    text[0] = '\0';
    if (r) {
        r->feed_fd = -1;
        relay_init_questions(r);
    }
    if (err)
        goto out;
    nonce_key_init(&r->nonce_key);
    if (c->feed && (r->feed_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0) {
        err = -errno;
        goto out;
    }
    r->nworkers = c->workers ? c->workers : cores();
    r->workers = calloc(r->nworkers, sizeof(*r->workers));
    nfds = (size_t)RELAY_LISTENERS_MAX * r->nworkers;
    fds = malloc(nfds * sizeof(*fds));
    if (fds)
        memset(fds, 0xFF, nfds * sizeof(*fds)); /* -1 */
    if (!r->workers || !fds) {
        err = ERR_NOMEM;
        goto out;
    }
    err = throttle_new(&r->throttle);
    if (!err)
        err = memory_new(&r->memory, "");
    if (err)
        goto out;
    err = ports_new(&r->ports, addresses, relay_addresses(c, &host, addresses), c->min_port, c->max_port);
    if (!err)
        err = probe_relays(r, text);
    if (!err)
        err = open_listeners(r, c, fds, nfds, text);
    if (!err)
        connect_alternates(c, r);
    if (!err)
        err = make_policy(c, r->ports, r->listen, r->nlisten, &policy, text);
    if (!err)
        err = start_workers(r, c, policy, fds);
out:
    if (fds)
        close_all(fds, nfds);
    free(fds);
    if (r)
        r->policy = policy;
    if (err) {
        if (!text[0])
            snprintf(text, RELAY_TEXT_MAX, "the relay can't start: %s", err_str(err));
        relay_free(&r);
    }
    *out = r;
    return err;
}

int relay_start(struct relay *r)
{
    for (unsigned i = 0; i < r->nworkers; i++) {
        int err = worker_start(&r->workers[i]);

        if (err)
            return err;
    }
    return 0;
}

static void log_stats(const struct relay *r, unsigned worker)
{
    struct log_field fields[COUNTERS_N + 1];
    size_t n = 0;

    fields[n++] = LOG_INT("worker", worker);
    for (enum counter i = 0; i < COUNTERS_N; i++) { /* drops that did not happen would only hide those that did */
        uint64_t v = count_read(&r->workers[worker].counters, i);

        if (v || i < DROP_NOT_STUN)
            fields[n++] = LOG_INT(count_name(i), v);
    }
    log_write(LOG_INFO, "worker_stats", fields, n);
}

void relay_stop(struct relay *r)
{
    for (unsigned i = 0; i < r->nworkers; i++)
        worker_stop(&r->workers[i]);
    for (unsigned i = 0; i < r->nworkers; i++)
        worker_join(&r->workers[i]);
    for (unsigned i = 0; i < r->nworkers; i++) {
        alloc_free_all(&r->workers[i].shard);
        log_stats(r, i);
    }
    relay_answer_off(r);
}

void relay_free(struct relay **rp)
{
    struct relay *r = *rp;

    *rp = NULL;
    if (!r)
        return;
    for (unsigned i = 0; r->workers && i < r->nworkers; i++)
        worker_deinit(&r->workers[i]);
    free(r->workers);
    policy_unref(&r->policy);
    relay_deinit_questions(r);
    if (r->feed_fd >= 0)
        close(r->feed_fd);
    ports_free(&r->ports);
    throttle_free(&r->throttle);
    memory_free(&r->memory);
    explicit_bzero(&r->nonce_key, sizeof(r->nonce_key));
    free(r);
}

int relay_feed(const struct relay *r)
{
    return r->feed_fd;
}

void relay_read(struct relay *r, feed_cb *cb, void *ctx)
{
    uint64_t value;
    bool more = false;
    ssize_t got = read(r->feed_fd, &value, sizeof(value));

    (void)got; /* nothing: somebody has read it */
    for (unsigned i = 0; i < r->nworkers; i++) {
        struct feed_news *news;
        size_t len;
        int n = 0;

        while (n++ < FEED_PASS_MAX && (news = ring_peek(r->workers[i].feeder.ring, &len))) {
            cb(ctx, news);
            ring_release(r->workers[i].feeder.ring);
        }
        more = more || n > FEED_PASS_MAX;
    }
    value = 1;
    if (more) /* the rest in the next pass of the loop */
        got = write(r->feed_fd, &value, sizeof(value));
    (void)got;
}

/* A copy to each worker, or to none. */
static int post_all(struct relay *r, const struct letter *letter)
{
    struct letter *letters = NULL, *l;
    int err = 0;

    for (unsigned i = 0; i < r->nworkers && !err; i++) {
        l = malloc(sizeof(*l));
        if (l) {
            *l = *letter;
            l->next = letters;
            letters = l;
        } else {
            err = ERR_NOMEM;
        }
    }
    for (unsigned i = 0; (l = letters); i++) {
        letters = l->next;
        if (err) {
            free(l);
            continue;
        }
        if (l->policy)
            policy_ref(l->policy);
        worker_post(&r->workers[i], l);
    }
    return err;
}

int relay_reload(struct relay *r, const struct relay_config *c, char text[static RELAY_TEXT_MAX])
{
    struct policy *policy = NULL;
    int err = make_policy(c, r->ports, r->listen, r->nlisten, &policy, text);

    if (!err && (err = post_all(r, &(struct letter){.kind = LETTER_SETTINGS, .settings = c->settings, .policy = policy})))
        snprintf(text, RELAY_TEXT_MAX, "no memory");
    if (!err) {
        policy_unref(&r->policy);
        r->policy = policy_ref(policy);
    }
    policy_unref(&policy);
    return err;
}

int relay_revoke(struct relay *r, const struct auth_revocation *revocation)
{
    return post_all(r, &(struct letter){.kind = LETTER_REVOCATION, .revocation = *revocation});
}

int relay_name_call(struct relay *r, const struct addr *relayed, const char *user, const char *call)
{
    bool advertised;
    int found = ports_find(r->ports, relayed, &advertised), owner;
    struct letter *l;

    if (found < 0)
        return ERR_NOENT;
    owner = ports_owner(r->ports, ports_address(r->ports, (unsigned)found)->space, relayed->port);
    if (owner < 0)
        return ERR_NOENT;
    l = calloc(1, sizeof(*l));
    if (!l)
        return ERR_NOMEM;
    l->kind = LETTER_CALL;
    l->space = ports_address(r->ports, (unsigned)found)->space;
    l->port = relayed->port;
    snprintf(l->user, sizeof(l->user), "%s", user);
    snprintf(l->call, sizeof(l->call), "%s", call);
    worker_post(&r->workers[owner], l);
    return 0;
}

int relay_recheck(struct relay *r)
{
    return post_all(r, &(struct letter){.kind = LETTER_RECHECK});
}

int relay_end_all(struct relay *r, const char *reason)
{
    return post_all(r, &(struct letter){.kind = LETTER_END, .reason = reason});
}
