/*
 * Purpose:  where Redis is and how to log in: read from a URL or from coturn's connection string.
 * Owner:    any thread; a plain value.
 * Lifetime: a value, copied freely; it holds passwords: wipe copies that are no longer needed.
 * Callers:  programs/ (configuration), auth/redis.
 * RFC:      3986 (percent-encoding).
 */
#ifndef AUTH_REDISURL_H
#define AUTH_REDISURL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REDIS_HOSTS_MAX = 16,   /* sentinels, or nodes to start from */
    REDIS_HOST_MAX = 255,   /* bytes of a name: a domain name's limit */
    REDIS_SECRET_MAX = 255, /* bytes of a user name or password, decoded */
    REDIS_MASTER_MAX = 63,  /* bytes of a Sentinel master's name */
    REDIS_FILE_MAX = 255,   /* bytes of a certificate's path */
    REDIS_SOCKET_MAX = 107, /* bytes of a unix socket's path: sun_path without its NUL */
    REDIS_DB_MAX = 65535,   /* far beyond any server's `databases` */
    REDIS_PORT = 6379,      /* when none is given */
    REDIS_SENTINEL_PORT = 26379,
    REDIS_CONNECT_MS = 3000,  /* connecting, TLS and log-in together, by default */
    REDIS_BACKOFF_MS = 5000,  /* between two tries to connect, at most, by default */
    REDIS_SILENCE_MS = 10000, /* a connection that owes an answer and says nothing for so long is closed, by default */
    REDIS_TIMEOUT_MAX_S = 60, /* the most that either may be set to */
    REDIS_DESCRIBE_MAX = 512, /* room for redisurl_describe; longer lists end in "..." */
};

enum redis_kind { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };

struct redis_host {
    char name[REDIS_HOST_MAX + 1]; /* domain name or IP, without brackets */
    uint16_t port;
};

struct redis_target {
    enum redis_kind kind;
    bool tls;
    char path[REDIS_SOCKET_MAX + 1]; /* unix socket; "" unless REDIS_SINGLE is reached that way, then nhosts is 0 */
    struct redis_host hosts[REDIS_HOSTS_MAX];
    size_t nhosts;
    char master[REDIS_MASTER_MAX + 1]; /* REDIS_SENTINEL only */
    char user[REDIS_SECRET_MAX + 1];   /* "": the default user */
    char password[REDIS_SECRET_MAX + 1];
    char sentinel_user[REDIS_SECRET_MAX + 1];
    char sentinel_password[REDIS_SECRET_MAX + 1];
    unsigned db;
    unsigned connect_timeout_ms;
    unsigned silence_timeout_ms;
    unsigned backoff_max_ms;
    char cacert[REDIS_FILE_MAX + 1]; /* PEM file; "": the system's authorities */
    char cert[REDIS_FILE_MAX + 1];   /* our own certificate, for a server that asks for one; "": none */
    char key[REDIS_FILE_MAX + 1];
};

/*
 * Reads one of
 *   redis://[[user]:password@]host[:port][/db]        rediss:// with TLS
 *   redis+unix://[[user]:password@]/path/of.sock
 *   redis+sentinel://[[user]:password@]host[:port][,host...]/master[/db]   rediss+sentinel://
 *   redis+cluster://[[user]:password@]host[:port][,host...]                rediss+cluster://
 * each with ?db=, connect_timeout= and silence_timeout= (seconds), cacert=, cert=, key= (files; TLS), sentinel_user=,
 * sentinel_password=; or coturn's "ip=... dbname=... user=... password=... port=... connect_timeout=...".
 * ERR_INVAL: `*why` is a static text that quotes nothing of the input, which may hold a password.
 */
int redisurl_parse(struct redis_target *out, const char *text, const char **why);
/* Do both name the same, with the same log-in and options? */
bool redisurl_equal(const struct redis_target *a, const struct redis_target *b);
/* As a URL without user, password and options: for logs. Always NUL-terminated (cap > 0). */
void redisurl_describe(const struct redis_target *t, char *out, size_t cap);
/* "host:port", "[v6]:port" or the path's text; always NUL-terminated. */
void redisurl_host_text(const struct redis_host *host, char *out, size_t cap);

#endif
