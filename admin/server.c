#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/adminparts.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

/* TLS 1.2 at least, with forward secrecy (S26). */
static const char PRIORITIES[] =
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:+AES-128-CCM";

/* One that is open. libmicrohttpd has no time for a whole request, only for silence: who sends a byte now and then would stay. */
struct connection {
    struct connection *next, **at;
    struct MHD_Connection *mhd;
    enum { CONNECTION_NEW, CONNECTION_READS, CONNECTION_SERVES, CONNECTION_ANSWERS, CONNECTION_IDLE } state;
    uint64_t since_ms;
};

struct server {
    struct admin *admin;
    struct MHD_Daemon *daemon;
    struct event ready, timer;
    bool is_unix;
    bool ends;
    bool closed;                /* a connection has, in this run of the daemon */
    int fd;                     /* libmicrohttpd gets copies: it closes what it was given when TLS is not to its liking */
    char *cert, *key;           /* in use; NULL: no TLS */
    char *next_cert, *next_key; /* to be used; NULL: as now */
    struct connection *connections;
};

/* ---- Connections. ---- */

static struct connection *of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static void enter(struct MHD_Connection *c, int state)
{
    struct connection *conn = of(c);

    if (!conn)
        return;
    conn->state = state;
    conn->since_ms = clock_now().ms;
}

void connection_reads(struct MHD_Connection *c)
{
    enter(c, CONNECTION_READS);
}

void connection_serves(struct MHD_Connection *c)
{
    enter(c, CONNECTION_SERVES);
}

void connection_answers(struct MHD_Connection *c)
{
    enter(c, CONNECTION_ANSWERS);
}

void connection_idle(struct MHD_Connection *c)
{
    enter(c, CONNECTION_IDLE);
}

void connection_cut(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

    if (info)
        shutdown(info->connect_fd, SHUT_RDWR); /* libmicrohttpd sees its end */
}

static void on_connection(void *ctx, struct MHD_Connection *c, void **socket_context, enum MHD_ConnectionNotificationCode code)
{
    struct server *s = ctx;
    struct connection *conn = *socket_context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        conn = calloc(1, sizeof(*conn));
        *socket_context = conn;
        if (!conn) { /* without it there would be no limit to its time */
            connection_cut(c);
            return;
        }
        *conn = (struct connection){
            .next = s->connections, .at = &s->connections, .mhd = c, .state = CONNECTION_NEW, .since_ms = clock_now().ms};
        if (conn->next)
            conn->next->at = &conn->next;
        s->connections = conn;
        return;
    }
    s->closed = true;
    if (conn) {
        *conn->at = conn->next;
        if (conn->next)
            conn->next->at = conn->at;
        free(conn);
        *socket_context = NULL;
    }
}

/* ---- The daemon on the event base. ---- */

/* libmicrohttpd says itself when it wants to run again. */
static void schedule(struct server *s)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
        event_add(&s->timer, &(struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)});
    else
        evtimer_del(&s->timer);
}

static void on_ready(evutil_socket_t fd, short what, void *ctx)
{
    struct server *s = ctx;

    (void)fd, (void)what;
    s->closed = false;
    MHD_run(s->daemon);
    if (s->closed) /* At its limit it takes the listening socket out of its epoll set, and puts it back at the beginning of a run only: */
        MHD_run(s->daemon); /* after the end of the last connection there may be none. */
    schedule(s);
}

/* Paths and parameters are decoded by admin/route: an encoded slash is not a slash. */
static size_t leave_encoded(void *ctx, struct MHD_Connection *c, char *text)
{
    (void)ctx, (void)c;
    return strlen(text);
}

static int start(struct server *s)
{
    const struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, s->cert},
                                         {MHD_OPTION_HTTPS_MEM_KEY, 0, s->key},
                                         {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)PRIORITIES},
                                         {MHD_OPTION_END, 0, NULL}},
                                none[] = {{MHD_OPTION_END, 0, NULL}};
    const union MHD_DaemonInfo *info;
    int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (s->cert ? MHD_USE_TLS : 0U);

    if (fd < 0)
        return -errno;
    s->ends = false;
    s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, http_access, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)ADMIN_CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                                 s->is_unix ? 0U : (unsigned)ADMIN_CONNECTIONS_SOURCE, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                 (size_t)ADMIN_CONNECTION_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED,
                                 http_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_UNESCAPE_CALLBACK,
                                 leave_encoded, NULL, MHD_OPTION_ARRAY, s->cert ? tls : none, MHD_OPTION_END);
    if (!s->daemon)
        return ERR_CONFIG;
    info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info || event_assign(&s->ready, s->admin->base, info->epoll_fd, EV_READ | EV_PERSIST, on_ready, s) ||
        event_add(&s->ready, NULL))
        return ERR_NOMEM;
    schedule(s);
    return 0;
}

/* The listening socket stays open. Nothing new may begin while what waits is brought to its end: a connection that is suspended when the daemon stops
 * aborts the process. */
static void stop(struct server *s)
{
    int fd;

    if (!s->daemon)
        return;
    s->ends = true;
    fd = MHD_quiesce_daemon(s->daemon);
    http_release(s->admin, s);
    MHD_run(s->daemon);
    if (event_initialized(&s->ready))
        event_del(&s->ready); /* to resume has made it active */
    evtimer_del(&s->timer);
    MHD_stop_daemon(s->daemon);
    s->daemon = NULL;
    if (fd >= 0)
        close(fd);
}

static void wipe(char **text)
{
    if (*text)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

int server_new(struct server **out, struct admin *a, int fd, bool is_unix, const char *cert, const char *key)
{
    struct server *s = calloc(1, sizeof(*s));
    int err = ERR_NOMEM;

    *out = NULL;
    if (!s) {
        close(fd);
        return err;
    }
    *s = (struct server){
        .admin = a, .is_unix = is_unix, .fd = fd, .cert = cert ? strdup(cert) : NULL, .key = key ? strdup(key) : NULL};
    evtimer_assign(&s->timer, a->base, on_ready, s);
    if (!cert || (s->cert && s->key))
        err = start(s);
    if (err)
        server_free(&s);
    *out = s;
    return err;
}

void server_free(struct server **sp)
{
    struct server *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    stop(s);
    close(s->fd);
    wipe(&s->cert);
    wipe(&s->key);
    wipe(&s->next_cert);
    wipe(&s->next_key);
    free(s);
}

void server_renew(struct server *s, char *cert, char *key)
{
    wipe(&s->next_cert);
    wipe(&s->next_key);
    if (cert && s->cert && strcmp(cert, s->cert) == 0 && strcmp(key, s->key) == 0) { /* nobody need notice */
        wipe(&cert);
        wipe(&key);
        return;
    }
    s->next_cert = cert;
    s->next_key = key;
}

/* With the old pair again if the new one is not to libmicrohttpd's liking: admin/admin has checked it, so that is the last resort. */
static void renew(struct server *s)
{
    char *cert = s->cert, *key = s->key;

    stop(s);
    s->cert = s->next_cert;
    s->key = s->next_key;
    s->next_cert = s->next_key = NULL;
    if (start(s) == 0) {
        wipe(&cert);
        wipe(&key);
        LOG(LOG_INFO, "admin_certificate_renewed", LOG_ADDR("address", &s->admin->address));
        return;
    }
    wipe(&s->cert);
    wipe(&s->key);
    s->cert = cert;
    s->key = key;
    LOG(LOG_ERROR, "admin_certificate_refused", LOG_STR("reason", "TLS can't use it"),
        LOG_STR("effect", start(s) ? "the admin plane is off on TCP" : "the old one stays in use"));
}

void server_sweep(struct server *s, uint64_t now_ms)
{
    static const uint64_t MOST_MS[] = {[CONNECTION_NEW] = ADMIN_REQUEST_MS,
                                       [CONNECTION_READS] = ADMIN_REQUEST_MS,
                                       [CONNECTION_SERVES] = UINT64_MAX,
                                       [CONNECTION_ANSWERS] = ADMIN_IDLE_S * 1000,
                                       [CONNECTION_IDLE] = ADMIN_IDLE_S * 1000};

    for (struct connection *c = s->connections; c; c = c->next)
        if (now_ms - c->since_ms > MOST_MS[c->state])
            connection_cut(c->mhd);
    if (s->next_cert && !http_busy(s->admin, s))
        renew(s);
}

/* Without a thread of its own libmicrohttpd does not notice it by itself. */
void server_run(struct server *s)
{
    if (event_initialized(&s->ready))
        event_active(&s->ready, EV_READ, 0);
}

bool server_ends(const struct server *s)
{
    return s->ends;
}

bool server_is_unix(const struct server *s)
{
    return s->is_unix;
}

struct admin *server_admin(const struct server *s)
{
    return s->admin;
}
