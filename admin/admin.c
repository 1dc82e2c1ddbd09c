#include "admin/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/adminparts.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

enum {
    BACKLOG = 64,
    SWEEP_MS = 250,
    REFUSALS_PER_S = 10,       /* that are logged: strangers can cause them; all are counted */
    PEM_MAX = 1 << 20,         /* bytes of a certificate chain or key */
    SOCKET_MODE = 0660,        /* its group may do everything */
    EVENT_IDS_PER_S = 1000000, /* ids begin with the wall clock: later than any of an earlier process */
};

/* ---- Certificate and key. ---- */

static int read_text(const char *path, char **out)
{
    FILE *file = fopen(path, "re");
    char *text = file ? calloc(1, PEM_MAX + 1) : NULL;
    int err = !file ? -errno : !text ? ERR_NOMEM : 0;

    if (!err && fread(text, 1, PEM_MAX + 1, file) > PEM_MAX)
        err = ERR_NOSPC;
    else if (!err && ferror(file))
        err = ERR_IO;
    if (file)
        fclose(file);
    if (err && text) {
        explicit_bzero(text, PEM_MAX + 1);
        free(text);
    }
    *out = err ? NULL : text;
    return err;
}

/* Nobody sits before this process: an encrypted key is none. */
static int no_passphrase(char *text, int size, int writes, void *ctx)
{
    (void)text, (void)size, (void)writes, (void)ctx;
    return 0;
}

/* Each certificate of the chain, and the key that belongs to the first. */
static bool pair_fits(const char *cert, const char *key)
{
    BIO *c = BIO_new_mem_buf(cert, -1), *k = BIO_new_mem_buf(key, -1);
    X509 *x = c ? PEM_read_bio_X509(c, NULL, no_passphrase, NULL) : NULL, *next = NULL;
    EVP_PKEY *p = k ? PEM_read_bio_PrivateKey(k, NULL, no_passphrase, NULL) : NULL;
    bool fits = x && p && X509_check_private_key(x, p) == 1;

    ERR_clear_error();
    while (fits && (next = PEM_read_bio_X509(c, NULL, no_passphrase, NULL)))
        X509_free(next);
    fits = fits && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE; /* and not in the middle of one */
    EVP_PKEY_free(p);
    X509_free(x);
    BIO_free(k);
    BIO_free(c);
    ERR_clear_error();
    return fits;
}

/* Both NULL when there is no TLS. */
static int read_pair(const struct admin_config *c, char **cert, char **key, char *text)
{
    int err;

    *cert = *key = NULL;
    if (!c->cert)
        return 0;
    err = read_text(c->cert, cert);
    if (err) {
        snprintf(text, ADMIN_TEXT_MAX, "admin-cert %s can't be read: %s", c->cert, err_str(err));
        return ERR_CONFIG;
    }
    err = read_text(c->pkey, key);
    if (err)
        snprintf(text, ADMIN_TEXT_MAX, "admin-pkey %s can't be read: %s", c->pkey, err_str(err));
    else if (!pair_fits(*cert, *key))
        snprintf(text, ADMIN_TEXT_MAX, "admin-cert %s and admin-pkey %s are no pair of certificate and private key in PEM", c->cert,
                 c->pkey);
    else
        return 0;
    if (*key)
        explicit_bzero(*key, strlen(*key));
    free(*key);
    free(*cert);
    *cert = *key = NULL;
    return ERR_CONFIG;
}

/* ---- Sockets. ---- */

static int listen_tcp(struct admin *a, const struct admin_config *c, char *text)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&c->listen, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, err = 0;
    char *cert = NULL, *key = NULL, where[ADDR_TEXT_MAX];

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) || bind(fd, (struct sockaddr *)&sa, len) ||
        listen(fd, BACKLOG))
        err = -errno;
    len = sizeof(sa);
    if (!err && getsockname(fd, (struct sockaddr *)&sa, &len))
        err = -errno;
    if (err) {
        snprintf(text, ADMIN_TEXT_MAX, "admin-listen=%s: %s%s", addr_text(&c->listen, where), err_str(err),
                 err == ERR_ADDRINUSE    ? " (another server is there: take another port)"
                 : err == -EADDRNOTAVAIL ? " (not an address of this host: see `ip addr`)"
                                         : "");
        if (fd >= 0)
            close(fd);
        return err;
    }
    addr_from_sockaddr(&a->address, (struct sockaddr *)&sa);
    err = read_pair(c, &cert, &key, text);
    if (err) {
        close(fd);
        return err;
    }
    err = server_new(&a->servers[1], a, fd, false, cert, key);
    if (err)
        snprintf(text, ADMIN_TEXT_MAX, "admin-listen=%s: %s", addr_text(&c->listen, where),
                 err == ERR_CONFIG ? "TLS can't use this certificate and key" : err_str(err));
    if (key)
        explicit_bzero(key, strlen(key));
    free(key);
    free(cert);
    return err;
}

/* A socket that nobody listens on was left behind by a process that was killed (F16). Anything else of that name is somebody's. */
static int bind_unix(int fd, const struct sockaddr_un *sa)
{
    const struct sockaddr *where = (const struct sockaddr *)sa;
    struct stat st;
    int probe, err;

    if (bind(fd, where, sizeof(*sa)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    if (lstat(sa->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return ERR_INVAL;
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return -errno;
    err = connect(probe, where, sizeof(*sa)) == 0 || errno == EAGAIN ? ERR_EXIST : errno == ECONNREFUSED ? 0 : ERR_EXIST;
    close(probe);
    if (err)
        return err;
    if (unlink(sa->sun_path) || bind(fd, where, sizeof(*sa)))
        return -errno;
    return 0;
}

/* systemd makes /run/turnpike; started by hand, its last part is made here. */
static void make_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash && slash != path ? strndup(path, (size_t)(slash - path)) : NULL;

    if (parent)
        mkdir(parent, 0755); /* if that fails, so does bind, which says why */
    free(parent);
}

static int listen_unix(struct admin *a, const char *path, char *text)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = -1, err = strlen(path) < sizeof(sa.sun_path) ? 0 : ERR_NOSPC;
    mode_t mask;

    if (!err) {
        memcpy(sa.sun_path, path, strlen(path));
        make_parent(path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        err = fd < 0 ? -errno : 0;
    }
    if (!err) {
        mask = umask(0777 & ~SOCKET_MODE);
        err = bind_unix(fd, &sa);
        umask(mask);
    }
    if (!err) {
        a->socket_path = strdup(path);
        err = listen(fd, BACKLOG) ? -errno : 0;
    }
    if (!err) {
        err = server_new(&a->servers[0], a, fd, true, NULL, NULL);
        fd = -1; /* the server's */
    }
    if (err) {
        snprintf(text, ADMIN_TEXT_MAX, "admin-socket=%s: %s%s", path, err_str(err),
                 err == ERR_INVAL   ? " (there is something else of that name, which is left alone)"
                 : err == ERR_EXIST ? " (another server listens there: give each an admin-socket of its own)"
                 : err == ERR_ACCES ? " (its directory is somebody else's: set admin-socket to a path that this user may write)"
                 : err == ERR_NOSPC ? " (a path of at most 107 bytes is expected)"
                                    : "");
        if (fd >= 0)
            close(fd);
    }
    return err;
}

/* ---- Life. ---- */

static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
    struct admin *a = ctx;
    uint64_t now_ms = clock_now().ms;

    (void)fd, (void)what;
    http_sweep(a, now_ms);
    for (size_t i = 0; i < 2; i++)
        if (a->servers[i])
            server_sweep(a->servers[i], now_ms);
    replays_sweep(a->replays, now_ms);
}

static void free_origins(char **origins, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(origins[i]);
    free(origins);
}

static int take_origins(struct admin *a, const struct admin_config *c)
{
    char **copy = calloc(c->norigins + 1, sizeof(*copy));
    bool whole = copy != NULL;

    for (size_t i = 0; whole && i < c->norigins; i++)
        whole = (copy[i] = strdup(c->origins[i])) != NULL;
    if (!whole) {
        free_origins(copy, copy ? c->norigins : 0);
        return ERR_NOMEM;
    }
    free_origins(a->origins, a->norigins);
    a->origins = copy;
    a->norigins = c->norigins;
    return 0;
}

static int check(const struct admin_config *c, char *text)
{
    char where[ADDR_TEXT_MAX];

    if (c->listen.family == ADDR_NONE || c->cert || addr_is_loopback(&c->listen))
        return 0;
    snprintf(text, ADMIN_TEXT_MAX,
             "admin-listen=%s: beyond loopback the admin plane needs TLS: set admin-cert and admin-pkey, or listen on 127.0.0.1",
             addr_text(&c->listen, where));
    return ERR_CONFIG;
}

static int build(struct admin *a, const struct admin_config *c)
{
    int err = take_origins(a, c);

    a->base = c->base;
    rate_init(&a->refusals, REFUSALS_PER_S, REFUSALS_PER_S, clock_now().ms);
    a->config = (struct admin_config){.operations = c->operations, .ctx = c->ctx};
    if (!err)
        err = bearers_new(&a->bearers, c->tokens_path);
    if (!err)
        err = replays_new(&a->replays);
    if (!err)
        err = events_new(&a->events, (uint64_t)clock_now().wall * EVENT_IDS_PER_S);
    if (!err && (event_assign(&a->sweep, a->base, -1, EV_PERSIST, on_sweep, a) ||
                 evtimer_add(&a->sweep, &(struct timeval){.tv_usec = SWEEP_MS * 1000})))
        err = ERR_NOMEM;
    return err;
}

int admin_new(struct admin **out, const struct admin_config *c, char text[static ADMIN_TEXT_MAX])
{
    struct admin *a = NULL;
    int err = check(c, text);

    *out = NULL;
    if (err)
        return err;
    a = calloc(1, sizeof(*a));
    err = a ? build(a, c) : ERR_NOMEM;
    if (err)
        snprintf(text, ADMIN_TEXT_MAX, "the admin plane can't start: %s", err_str(err));
    if (!err && c->listen.family != ADDR_NONE)
        err = listen_tcp(a, c, text);
    if (err) {
        admin_free(&a);
        return err;
    }
    *out = a;
    return c->socket_path ? listen_unix(a, c->socket_path, text) : 0;
}

void admin_free(struct admin **ap)
{
    struct admin *a = *ap;

    *ap = NULL;
    if (!a)
        return;
    for (size_t i = 0; i < 2; i++)
        server_free(&a->servers[i]);
    http_abandon(a);
    if (a->socket_path)
        unlink(a->socket_path);
    free(a->socket_path);
    if (event_initialized(&a->sweep))
        evtimer_del(&a->sweep);
    events_free(&a->events);
    replays_free(&a->replays);
    bearers_free(&a->bearers);
    free_origins(a->origins, a->norigins);
    free(a);
}

int admin_reload(struct admin *a, const struct admin_config *c, char text[static ADMIN_TEXT_MAX])
{
    char *cert = NULL, *key = NULL;
    int err = a->servers[1] ? read_pair(c, &cert, &key, text) : 0;

    if (!err && (err = take_origins(a, c)))
        snprintf(text, ADMIN_TEXT_MAX, "%s", err_str(err));
    if (!err && cert) {
        server_renew(a->servers[1], cert, key);
    } else if (cert) {
        explicit_bzero(key, strlen(key));
        free(key);
        free(cert);
    }
    return err;
}

struct addr admin_address(const struct admin *a)
{
    return a->address;
}

void admin_tell(struct admin *a, const char *type, json_t *data)
{
    if (a && data)
        events_tell(a->events, type, data, clock_now().wall);
    else
        json_decref(data);
}

uint64_t admin_refusals(const struct admin *a, bool known)
{
    return a->refused[known];
}
