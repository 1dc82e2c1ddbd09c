#include "connect/connect.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "connect/accept.h"
#include "connect/conn.h"
#include "connect/probes.h"
#include "connect/tls.h"

enum { STOP_MS = 800, DESK_MS = 1000 }; /* for the last words, of two seconds that the process has; between two ticks of the desk */

/* What a reload may change. */
struct settings {
    SSL_CTX *tls;
    char **origins;
    size_t norigins;
    char *url;
};

/* What the control thread, or whoever hears of revocations, posts. */
struct letter {
    struct letter *next;
    enum { LETTER_SETTINGS, LETTER_REVOCATION, LETTER_RECHECK, LETTER_PROBE } kind;
    struct settings settings;
    struct auth_revocation revocation;
    char probe[PROBES_ID_MAX];
};

struct connect {
    struct service service;
    struct connect_config config; /* what it points to is read within connect_new only */
    struct acceptor *acceptors[2];
    struct event tick, wake;
    uint64_t desk_ms; /* when the desk has ticked */
    int wake_fd;
    pthread_t thread;
    bool started, attached;
    atomic_bool stopping;
    uint64_t stop_ms; /* since when; 0: it doesn't */
    pthread_mutex_t lock;
    struct letter *letters; /* the newest first */
};

/* ---- Settings. ---- */

static void free_settings(struct settings *s)
{
    SSL_CTX_free(s->tls);
    for (size_t i = 0; i < s->norigins; i++)
        free(s->origins[i]);
    free(s->origins);
    free(s->url);
    *s = (struct settings){0};
}

static int read_settings(struct settings *out, const struct connect_config *c, char *text)
{
    int err = 0;

    *out = (struct settings){.origins = calloc(c->norigins + 1, sizeof(char *))};
    if (!out->origins || (c->url && !(out->url = strdup(c->url))))
        err = ERR_NOMEM;
    for (size_t i = 0; i < c->norigins && !err; i++, out->norigins++)
        if (!(out->origins[i] = strdup(c->origins[i])))
            err = ERR_NOMEM;
    if (err)
        snprintf(text, CONNECT_TEXT_MAX, "%s", err_str(err));
    else if (c->cert)
        err = tls_new(&out->tls, c->cert, c->pkey, text, CONNECT_TEXT_MAX);
    if (err)
        free_settings(out);
    return err;
}

/* The old ones are in `s` afterwards. */
static void swap_settings(struct service *service, struct settings *s)
{
    struct settings old = {service->tls, service->origins, service->norigins, service->url};

    service->tls = s->tls;
    service->origins = s->origins;
    service->norigins = s->norigins;
    service->url = s->url;
    *s = old;
}

static int check(const struct connect_config *c, char *text)
{
    const struct addr *all[] = {&c->listen, &c->app_listen};

    for (size_t i = 0; i < 2; i++) {
        if (all[i]->family == ADDR_NONE || c->cert || addr_is_loopback(all[i]))
            continue;
        snprintf(text, CONNECT_TEXT_MAX, "%s-listen beyond loopback needs TLS: set cert and pkey, or listen on 127.0.0.1",
                 i ? "app" : "connect");
        return ERR_CONFIG;
    }
    return 0;
}

/* ---- Mailbox. ---- */

static void wake(struct connect *c)
{
    uint64_t one = 1;
    ssize_t n = write(c->wake_fd, &one, sizeof(one));

    (void)n; /* the counter is full only if a wake-up is pending */
}

static int post(struct connect *c, const struct letter *letter)
{
    struct letter *l = malloc(sizeof(*l));

    if (!l)
        return ERR_NOMEM;
    *l = *letter;
    pthread_mutex_lock(&c->lock);
    l->next = c->letters;
    c->letters = l;
    pthread_mutex_unlock(&c->lock);
    wake(c);
    return 0;
}

/* In the order in which they were posted. */
static struct letter *take_letters(struct connect *c)
{
    struct letter *newest, *oldest = NULL, *next;

    pthread_mutex_lock(&c->lock);
    newest = c->letters;
    c->letters = NULL;
    pthread_mutex_unlock(&c->lock);
    for (; newest; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    return oldest;
}

static void read_letters(struct connect *c)
{
    struct letter *l = take_letters(c), *next;

    for (; l; l = next) {
        next = l->next;
        switch (l->kind) {
        case LETTER_SETTINGS:
            swap_settings(&c->service, &l->settings);
            break;
        case LETTER_REVOCATION:
            desk_revoke(c->service.desk, &l->revocation, &c->service.now);
            break;
        case LETTER_RECHECK:
            auth_recheck(c->config.auth, c->config.asker);
            break;
        case LETTER_PROBE:
            desk_probe(c->service.desk, l->probe, &c->service.now);
            break;
        }
        free_settings(&l->settings);
        free(l);
    }
}

/* ---- The connect thread. ---- */

static void stop_listening(struct connect *c)
{
    for (size_t i = 0; i < 2; i++)
        accept_free(&c->acceptors[i]);
}

/* Nothing new comes in; who is here hears why. */
static void begin_to_stop(struct connect *c)
{
    c->stop_ms = c->service.now.ms;
    stop_listening(c);
    desk_stop(c->service.desk, &c->service.now);
    conns_end(&c->service.conns);
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    struct connect *c = ctx;
    uint64_t n;
    ssize_t got = read(fd, &n, sizeof(n));

    (void)what, (void)got;
    c->service.now = clock_now();
    read_letters(c);
    if (atomic_load(&c->stopping) && !c->stop_ms)
        begin_to_stop(c);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct connect *c = ctx;
    struct service *s = &c->service;

    (void)fd, (void)what;
    s->now = clock_now();
    for (size_t i = 0; i < 2; i++)
        accept_tick(c->acceptors[i]);
    if (s->now.ms - c->desk_ms >= DESK_MS) {
        c->desk_ms = s->now.ms;
        desk_tick(s->desk, &s->now);
    }
    conns_tick(&s->conns);
    if (c->stop_ms && (!s->conns.n || s->now.ms - c->stop_ms > STOP_MS))
        event_base_loopbreak(s->base);
}

static void each_user(void *ctx, void (*visit)(void *visitor, const char *name), void *visitor)
{
    struct connect *c = ctx;

    desk_each(c->service.desk, visit, visitor);
}

static void end_revoked(void *ctx, const struct auth_revocation *revocation)
{
    struct connect *c = ctx;

    c->service.now = clock_now();
    desk_revoke(c->service.desk, revocation, &c->service.now);
}

static void *run(void *ctx)
{
    struct connect *c = ctx;

    pthread_setname_np(pthread_self(), "connect");
    event_base_dispatch(c->service.base);
    return NULL;
}

/* ---- Life. ---- */

static int listen_on(struct connect *c, char *text)
{
    struct service *s = &c->service;
    bool both = s->listen.family != ADDR_NONE && addr_equal(&s->listen, &s->app);
    int fd, err = 0;

    if (s->listen.family != ADDR_NONE) {
        err = accept_bind(&fd, &s->listen, "connect-listen", text, CONNECT_TEXT_MAX);
        if (!err)
            err = accept_new(&c->acceptors[0], s, fd, true, both);
    }
    if (both)
        s->app = s->listen;
    if (!err && !both && s->app.family != ADDR_NONE) {
        err = accept_bind(&fd, &s->app, "app-listen", text, CONNECT_TEXT_MAX);
        if (!err)
            err = accept_new(&c->acceptors[1], s, fd, false, true);
    }
    return err;
}

/* What of it asks and is asked: auth, the host, the desk. Before the thread runs, this one stands for it. */
static int attach(struct connect *c)
{
    const struct connect_config *config = &c->config;
    int err = auth_attach(config->auth, config->asker, c->service.base, &(struct auth_live){each_user, end_revoked, c});

    c->attached = true; /* also after an error: then all that was attached is still to be detached */
    if (!err && config->attach)
        err = config->attach(config->host.host, c->service.base);
    if (!err)
        err = desk_new(&c->service.desk, &(struct desk_config){.auth = config->auth, .worker = config->asker, .host = config->host},
                       &c->service.now);
    return err;
}

static int build(struct connect *c, char *text)
{
    const struct timeval tick = {.tv_usec = CONN_TICK_MS * 1000};
    struct service *s = &c->service;
    struct settings settings;
    int err = read_settings(&settings, &c->config, text);

    if (err)
        return err;
    swap_settings(s, &settings);
    s->now = clock_now();
    rate_init(&s->log, CONN_REFUSALS_LOGGED, CONN_REFUSALS_LOGGED, s->now.ms);
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->base = event_base_new();
    if (c->wake_fd < 0 || !s->base || conns_init(&s->conns) ||
        event_assign(&c->wake, s->base, c->wake_fd, EV_READ | EV_PERSIST, on_wake, c) || event_add(&c->wake, NULL) ||
        event_assign(&c->tick, s->base, -1, EV_PERSIST, on_tick, c) || event_add(&c->tick, &tick))
        return ERR_NOMEM;
    err = attach(c);
    return err ? err : listen_on(c, text);
}

static int start(struct connect *c)
{
    sigset_t all, before;
    int err;

    sigfillset(&all); /* signals are the control thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    c->started = !err;
    return -err;
}

int connect_new(struct connect **out, const struct connect_config *config, char text[static CONNECT_TEXT_MAX])
{
    struct connect *c = NULL;
    int err = check(config, text);

    *out = NULL;
    if (err)
        return err;
    text[0] = '\0';
    c = calloc(1, sizeof(*c));
    if (c) {
        c->config = *config;
        c->wake_fd = -1;
        c->service.listen = config->listen;
        c->service.app = config->app_listen;
        snprintf(c->service.stun, sizeof(c->service.stun), "%s", config->stun ? config->stun : "");
        pthread_mutex_init(&c->lock, NULL);
    }
    err = c ? build(c, text) : ERR_NOMEM;
    if (!err)
        err = start(c);
    if (err && !text[0])
        snprintf(text, CONNECT_TEXT_MAX, "the connect service can't start: %s", err_str(err));
    if (err)
        connect_free(&c);
    *out = c;
    return err;
}

/* All that the thread has used, when it has ended, or never was. */
static void tear_down(struct connect *c)
{
    struct service *s = &c->service;
    struct settings settings = {0};
    struct letter *l, *next;

    stop_listening(c);
    if (s->conns.sources.slots)
        conns_deinit(&s->conns);
    if (c->attached && c->config.detach)
        c->config.detach(c->config.host.host);
    desk_free(&s->desk);
    if (c->attached)
        auth_detach(c->config.auth, c->config.asker);
    for (l = take_letters(c); l; l = next) {
        next = l->next;
        free_settings(&l->settings);
        free(l);
    }
    swap_settings(s, &settings);
    free_settings(&settings);
    if (event_initialized(&c->tick))
        event_del(&c->tick);
    if (event_initialized(&c->wake))
        event_del(&c->wake);
    if (s->base)
        event_base_free(s->base);
    if (c->wake_fd >= 0)
        close(c->wake_fd);
    pthread_mutex_destroy(&c->lock);
}

void connect_free(struct connect **cp)
{
    struct connect *c = *cp;

    *cp = NULL;
    if (!c)
        return;
    if (c->started) {
        atomic_store(&c->stopping, true);
        wake(c);
        pthread_join(c->thread, NULL);
    }
    tear_down(c);
    free(c);
}

/* ---- From other threads. ---- */

int connect_check(const struct connect *c, const struct connect_config *config, char text[static CONNECT_TEXT_MAX])
{
    struct settings settings = {0};
    int err = c ? check(config, text) : 0;

    if (c && !err)
        err = read_settings(&settings, config, text);
    free_settings(&settings);
    return err;
}

int connect_reload(struct connect *c, const struct connect_config *config, char text[static CONNECT_TEXT_MAX])
{
    struct letter letter = {.kind = LETTER_SETTINGS};
    int err = c ? check(config, text) : 0;

    if (c && !err)
        err = read_settings(&letter.settings, config, text);
    if (!c || err)
        return err;
    err = post(c, &letter);
    if (err) {
        snprintf(text, CONNECT_TEXT_MAX, "%s", err_str(err));
        free_settings(&letter.settings);
    }
    return err;
}

int connect_revoke(struct connect *c, const struct auth_revocation *revocation)
{
    return c ? post(c, &(struct letter){.kind = LETTER_REVOCATION, .revocation = *revocation}) : 0;
}

int connect_recheck(struct connect *c)
{
    return c ? post(c, &(struct letter){.kind = LETTER_RECHECK}) : 0;
}

struct addr connect_address(const struct connect *c, bool app)
{
    const struct addr none = {0};

    if (!c)
        return none;
    return app ? c->service.app : c->service.listen;
}

void connect_read(const struct connect *c, struct connect_counts *out)
{
    *out = (struct connect_counts){0};
    if (!c)
        return;
    out->connections = atomic_load_explicit(&c->service.connections, memory_order_relaxed);
    for (int i = 0; i < CONNECT_REFUSALS; i++)
        out->refused[i] = atomic_load_explicit(&c->service.refused[i], memory_order_relaxed);
    desk_read(c->service.desk, &out->desk);
}

json_t *connect_bridges(const struct connect *c, const char *tenant)
{
    return c ? desk_bridges(c->service.desk, tenant) : json_array();
}

struct probes *connect_probes(const struct connect *c)
{
    return c ? desk_probes(c->service.desk) : NULL;
}

int connect_probe(struct connect *c, const char *id)
{
    struct letter letter = {.kind = LETTER_PROBE};

    snprintf(letter.probe, sizeof(letter.probe), "%s", id);
    return post(c, &letter);
}
