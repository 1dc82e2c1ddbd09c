#include "auth/redisconn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/redis.h"
#include "auth/redisreply.h"
#include "auth/redistls.h"
#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"

enum state { STARTING, LOOKING_UP, CONNECTING, LOGGING_IN, READY, DOWN };

enum step_kind { STEP_AUTH, STEP_SELECT, STEP_NAME, STEP_PING, STEP_ROLE, STEPS };

enum {
    ARGS_MAX = 256,  /* arguments of a command: their pointers lie on the stack */
    TICKS = 4,       /* looks at the silence in one silence_timeout */
    QUOTED_ARG = 16, /* room for a database's number */
};

struct step {
    struct redis_sent sent;
    struct redisconn *conn;
    enum step_kind kind;
};

/* A look-up outlives its connection: libevent may still hold it when the connection is gone. */
struct lookup {
    struct redisconn *conn; /* NULL: nobody waits any more */
};

struct redisconn {
    struct redisconn_config config;
    struct redisconn_events events;
    void *ctx;
    enum state state;
    struct bufferevent *bev;
    struct ssl_st *ssl; /* belongs to bev */
    struct redisreply_reader *reader;
    struct lookup *lookup;
    struct event timer; /* starts; ends connecting and log-in */
    struct event tick;  /* looks whether an answer is late */
    struct redis_sent *first, **last;
    size_t unanswered;
    uint64_t heard_ms; /* when something came, or was first owed */
    struct step steps[STEPS];
    unsigned steps_left;
    struct redis_sent ping;
    bool pinging;
    bool busy;   /* a callback runs: freeing waits until it has returned */
    bool doomed; /* freed while busy */
};

/* ---- The end of a connection. ---- */

static void release(struct redisconn *c)
{
    redisreply_free(&c->reader);
    free(c);
}

/* Closes what is open; the struct stays. */
static void close_all(struct redisconn *c)
{
    c->state = DOWN;
    event_del(&c->timer);
    event_del(&c->tick);
    if (c->lookup)
        c->lookup->conn = NULL;
    c->lookup = NULL;
    if (c->bev)
        bufferevent_free(c->bev); /* closes the descriptor, frees the session */
    c->bev = NULL;
    c->ssl = NULL;
}

static void down(struct redisconn *c, const char *reason, bool broken)
{
    bool busy = c->busy;

    if (c->state == DOWN)
        return;
    close_all(c);
    c->busy = true;
    while (c->first && !c->doomed) {
        struct redis_sent *s = c->first;
        c->first = s->next;
        c->unanswered--;
        s->done(s, ERR_NOTCONN, NULL);
    }
    c->last = &c->first;
    if (!c->doomed)
        c->events.down(c->ctx, reason, broken);
    c->busy = busy;
    if (c->doomed && !busy)
        release(c);
}

void redisconn_free(struct redisconn **c)
{
    struct redisconn *conn = *c;

    *c = NULL;
    if (!conn)
        return;
    close_all(conn);
    conn->doomed = true;
    if (!conn->busy)
        release(conn);
}

void redisconn_close(struct redisconn *c, const char *reason)
{
    down(c, reason, false);
}

/* ---- Sending. ---- */

int redisconn_format(char **wire, size_t *len, const struct redis_arg *argv, size_t argc)
{
    const char *texts[ARGS_MAX];
    size_t lens[ARGS_MAX], sum = 0;
    int n;

    *wire = NULL;
    if (argc == 0 || argc > ARGS_MAX)
        return ERR_INVAL;
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].len > REDIS_COMMAND_MAX - sum)
            return ERR_INVAL;
        sum += argv[i].len;
        texts[i] = argv[i].len ? argv[i].data : "";
        lens[i] = argv[i].len;
    }
    n = redisFormatCommandArgv(wire, (int)argc, texts, lens);
    if (n < 0)
        return ERR_NOMEM;
    *len = (size_t)n;
    return 0;
}

int redisconn_send(struct redisconn *c, const char *wire, size_t len, struct redis_sent *sent)
{
    if (evbuffer_add(bufferevent_get_output(c->bev), wire, len))
        return ERR_NOMEM;
    if (!c->first)
        c->heard_ms = clock_now().ms;
    sent->next = NULL;
    *c->last = sent;
    c->last = &sent->next;
    c->unanswered++;
    return 0;
}

size_t redisconn_unanswered(const struct redisconn *c)
{
    return c->unanswered - (c->pinging ? 1 : 0);
}

/* ---- Logging in: all steps are sent at once, the first refusal ends it. ---- */

static bool begins(const redisReply *reply, const char *code)
{
    size_t n = strlen(code);

    return reply->type == REDIS_REPLY_ERROR && reply->len >= n && memcmp(reply->str, code, n) == 0 &&
           (reply->len == n || reply->str[n] == ' ');
}

/* Nothing of the server's text is quoted: it may repeat what we sent. NULL: the step has gone well enough. */
static const char *refusal(const struct redisconn *c, enum step_kind kind, const redisReply *reply)
{
    bool sentinel = c->config.role == REDISCONN_SENTINEL;

    if (kind == STEP_ROLE && reply->type == REDIS_REPLY_ARRAY)
        return reply->elements && reply->element[0]->type == REDIS_REPLY_STRING && strcmp(reply->element[0]->str, "master") == 0
                   ? NULL
                   : "the server is not the master (any more)";
    if (reply->type != REDIS_REPLY_ERROR)
        return NULL;
    if (begins(reply, "ERR max number of clients"))
        return "the server has as many clients as it takes";
    if (begins(reply, "NOAUTH"))
        return sentinel ? "the sentinel wants a password (NOAUTH)" : "the server wants a password (NOAUTH)";
    if (begins(reply, "WRONGPASS"))
        return sentinel ? "the sentinel refuses the user's name or password (WRONGPASS)"
                        : "the server refuses the user's name or password (WRONGPASS)";
    if (begins(reply, "LOADING"))
        return "the server is loading its data (LOADING)";
    if (begins(reply, "MASTERDOWN"))
        return "the server is a replica that has lost its master (MASTERDOWN)";
    if (begins(reply, "DENIED"))
        return "the server is in protected mode and refuses connections that are not local (DENIED)";
    if (kind == STEP_AUTH)
        return sentinel ? "the sentinel refuses AUTH: has it this user, or a password at all?"
                        : "the server refuses AUTH: has it this user, or a password at all?";
    if (kind == STEP_SELECT)
        return begins(reply, "NOPERM") ? "the user may not SELECT the database (NOPERM)"
                                       : "the server has no such database (SELECT)";
    return NULL; /* a user who may not PING or name himself can still do his work */
}

static void on_step(struct redis_sent *sent, int err, const struct redisReply *reply)
{
    struct step *step = (struct step *)(void *)sent;
    struct redisconn *c = step->conn;
    const char *why;

    if (err)
        return;
    why = refusal(c, step->kind, reply);
    if (why) {
        down(c, why, false);
        return;
    }
    if (--c->steps_left)
        return;
    event_del(&c->timer);
    c->state = READY;
    c->events.ready(c->ctx);
}

static int send_step(struct redisconn *c, enum step_kind kind, const struct redis_arg *argv, size_t argc)
{
    struct step *step = &c->steps[kind];
    char *wire;
    size_t len;
    int err = redisconn_format(&wire, &len, argv, argc);

    if (err)
        return err;
    *step = (struct step){.sent = {.done = on_step}, .conn = c, .kind = kind};
    err = redisconn_send(c, wire, len, &step->sent);
    explicit_bzero(wire, len);
    free(wire);
    if (!err)
        c->steps_left++;
    return err;
}

#define WORD(text) ((struct redis_arg){(text), strlen(text)})

static int log_in(struct redisconn *c)
{
    const struct redis_target *t = c->config.target;
    bool sentinel = c->config.role == REDISCONN_SENTINEL;
    const char *user = sentinel ? t->sentinel_user : t->user, *password = sentinel ? t->sentinel_password : t->password;
    struct redis_arg argv[3];
    char db[QUOTED_ARG];
    int err = 0;

    if (*password) {
        size_t n = 0;
        argv[n++] = WORD("AUTH");
        if (*user)
            argv[n++] = WORD(user);
        argv[n++] = WORD(password);
        err = send_step(c, STEP_AUTH, argv, n);
    }
    if (!err && !sentinel && t->db) {
        snprintf(db, sizeof(db), "%u", t->db);
        err = send_step(c, STEP_SELECT, (struct redis_arg[]){WORD("SELECT"), WORD(db)}, 2);
    }
    if (!err)
        err = send_step(c, STEP_NAME, (struct redis_arg[]){WORD("CLIENT"), WORD("SETNAME"), WORD("turnpike")}, 3);
    if (!err)
        err = send_step(c, STEP_PING, (struct redis_arg[]){WORD("PING")}, 1);
    if (!err && c->config.role == REDISCONN_MASTER)
        err = send_step(c, STEP_ROLE, (struct redis_arg[]){WORD("ROLE")}, 1);
    return err;
}

/* ---- Receiving. ---- */

/* RESP 2 sends a subscription's messages between the answers. */
static bool is_message(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->type == REDIS_REPLY_STRING &&
           strcmp(reply->element[0]->str, "message") == 0;
}

static void take(struct redisconn *c, const redisReply *reply)
{
    struct redis_sent *s = c->first;

    if (c->events.push && is_message(reply)) {
        c->events.push(c->ctx, reply);
        return;
    }
    if (!s) {
        down(c, "an answer to no question", true);
        return;
    }
    c->first = s->next;
    if (!c->first)
        c->last = &c->first;
    c->unanswered--;
    s->done(s, 0, reply);
}

/* False: the connection is over. */
static bool take_all(struct redisconn *c)
{
    redisReply *reply;
    int got;

    while ((got = redisreply_next(c->reader, &reply)) == 1) {
        take(c, reply);
        redisreply_done(reply);
        if (c->state == DOWN)
            return false;
    }
    if (got < 0)
        down(c, redisreply_why(c->reader), true);
    return got == 0;
}

static void on_read(struct bufferevent *bev, void *ctx)
{
    struct redisconn *c = ctx;
    struct evbuffer *in = bufferevent_get_input(bev);
    char chunk[REDIS_REPLY_CHUNK];
    int n;

    c->busy = true;
    c->heard_ms = clock_now().ms;
    while ((n = evbuffer_remove(in, chunk, sizeof(chunk))) > 0) {
        if (redisreply_feed(c->reader, chunk, (size_t)n)) {
            down(c, redisreply_why(c->reader), true);
            break;
        }
        if (!take_all(c))
            break;
    }
    c->busy = false;
    if (c->doomed)
        release(c);
}

static void on_pong(struct redis_sent *sent, int err, const struct redisReply *reply)
{
    struct redisconn *c = (struct redisconn *)(void *)((char *)sent - offsetof(struct redisconn, ping));

    (void)err;
    (void)reply;
    c->pinging = false;
}

/* An answer that is owed for too long ends the connection; one that owes nothing is asked for a sign of life. */
static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    static const char PING[] = "*1\r\n$4\r\nPING\r\n";
    struct redisconn *c = ctx;
    unsigned limit = c->config.target->silence_timeout_ms;
    uint64_t silent = clock_now().ms - c->heard_ms;
    char reason[REDIS_REASON_MAX];

    (void)fd;
    (void)what;
    if (c->state != READY)
        return;
    if (c->first && silent > limit) {
        snprintf(reason, sizeof(reason), "no answer for more than %u ms", limit);
        down(c, reason, false);
    } else if (!c->first && silent > limit / 2) {
        c->ping.done = on_pong;
        c->pinging = redisconn_send(c, PING, sizeof(PING) - 1, &c->ping) == 0;
    }
}

/* ---- Connecting. ---- */

static void fail(struct redisconn *c, const char *what, int number)
{
    char reason[REDIS_REASON_MAX];

    snprintf(reason, sizeof(reason), "%s: %s", what, err_str(-number));
    down(c, reason, false);
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
    struct redisconn *c = ctx;
    char reason[REDIS_REASON_MAX];
    int number = EVUTIL_SOCKET_ERROR();

    if (what & BEV_EVENT_CONNECTED) {
        c->state = LOGGING_IN;
        bufferevent_enable(bev, EV_READ | EV_WRITE);
        if (log_in(c))
            down(c, "no memory", false);
    } else if (c->ssl && redistls_why(c->ssl, bufferevent_get_openssl_error(bev), reason, sizeof(reason))) {
        down(c, reason, false);
    } else if (what & BEV_EVENT_EOF) {
        down(c, c->state == READY ? "closed by the server" : "closed by the server before it was ready", false);
    } else if (what & BEV_EVENT_ERROR) {
        fail(c, c->state == CONNECTING ? "cannot connect" : "connection lost", number ? number : ECONNRESET);
    }
}

static void connect_to(struct redisconn *c, const struct sockaddr *sa, socklen_t len)
{
    const int on = 1;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        fail(c, "no socket", errno);
        return;
    }
    if (sa->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (c->config.tls) {
        c->ssl = redistls_session(c->config.tls, c->config.host->name);
        if (c->ssl)
            c->bev = bufferevent_openssl_socket_new(c->config.base, fd, c->ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
    } else {
        c->bev = bufferevent_socket_new(c->config.base, fd, BEV_OPT_CLOSE_ON_FREE);
    }
    if (!c->bev) {
        close(fd);
        down(c, "no memory", false);
        return;
    }
    c->state = CONNECTING;
    bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
    if (bufferevent_socket_connect(c->bev, sa, (int)len) && c->state == CONNECTING)
        fail(c, "cannot connect", errno);
}

static void on_address(int result, struct evutil_addrinfo *list, void *ctx)
{
    struct lookup *l = ctx;
    struct redisconn *c = l->conn;
    struct evutil_addrinfo *a = list;
    char reason[REDIS_REASON_MAX];
    unsigned n = 0;

    free(l);
    if (c) {
        c->lookup = NULL;
        for (const struct evutil_addrinfo *i = list; i; i = i->ai_next)
            n++;
        for (unsigned skip = n ? c->config.attempt % n : 0; skip; skip--)
            a = a->ai_next;
        if (result || !a) {
            snprintf(reason, sizeof(reason), "the name cannot be resolved: %s", evutil_gai_strerror(result));
            down(c, reason, false);
        } else {
            connect_to(c, a->ai_addr, a->ai_addrlen);
        }
    }
    if (list)
        evutil_freeaddrinfo(list);
}

static void look_up(struct redisconn *c)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct lookup *l = calloc(1, sizeof(*l));
    char port[QUOTED_ARG];

    if (!l || !c->config.dns) {
        free(l);
        down(c, "no memory", false);
        return;
    }
    c->state = LOOKING_UP;
    c->lookup = l;
    l->conn = c;
    snprintf(port, sizeof(port), "%u", (unsigned)c->config.host->port);
    /* What stands in /etc/hosts is answered before this returns. */
    evdns_getaddrinfo(c->config.dns, c->config.host->name, port, &hints, on_address, l);
}

static void start(struct redisconn *c)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_storage ss;
    struct addr a;

    if (!c->config.host) {
        _Static_assert(sizeof(un.sun_path) == sizeof(c->config.target->path), "a path that is parsed fits");
        memcpy(un.sun_path, c->config.target->path, sizeof(un.sun_path));
        connect_to(c, (const struct sockaddr *)&un, sizeof(un));
    } else if (addr_parse_ip(&a, c->config.host->name) == 0) {
        a.port = c->config.host->port;
        socklen_t len = addr_to_sockaddr(&a, &ss);
        connect_to(c, (const struct sockaddr *)&ss, len);
    } else {
        look_up(c);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    static const char *const WHERE[] = {[STARTING] = "",
                                        [LOOKING_UP] = "looking up the name",
                                        [CONNECTING] = "connecting",
                                        [LOGGING_IN] = "logging in",
                                        [READY] = "",
                                        [DOWN] = ""};
    struct redisconn *c = ctx;
    unsigned ms = c->config.target->connect_timeout_ms;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L};
    char reason[REDIS_REASON_MAX];

    (void)fd;
    (void)what;
    if (c->state != STARTING) {
        snprintf(reason, sizeof(reason), "no answer in %u ms while %s", ms, WHERE[c->state]);
        down(c, reason, false);
        return;
    }
    evtimer_add(&c->timer, &tv);
    start(c);
}

int redisconn_new(struct redisconn **out, const struct redisconn_config *config, const struct redisconn_events *events, void *ctx)
{
    unsigned tick = config->target->silence_timeout_ms / TICKS;
    struct timeval tv = {.tv_sec = tick / 1000, .tv_usec = tick % 1000 * 1000L};
    struct redisconn *c = calloc(1, sizeof(*c));

    *out = NULL;
    if (!c)
        return ERR_NOMEM;
    if (redisreply_new(&c->reader)) {
        free(c);
        return ERR_NOMEM;
    }
    c->config = *config;
    c->events = *events;
    c->ctx = ctx;
    c->last = &c->first;
    evtimer_assign(&c->timer, config->base, on_timer, c);
    event_assign(&c->tick, config->base, -1, EV_PERSIST, on_tick, c);
    if (evtimer_add(&c->timer, &(struct timeval){0}) || event_add(&c->tick, &tv)) {
        redisconn_free(&c);
        return ERR_NOMEM;
    }
    *out = c;
    return 0;
}
