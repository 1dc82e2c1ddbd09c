#include "base/log.h"

#include "base/addr.h"
#include "base/err.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { STOP_WAIT_S = 1 }; /* SIGTERM ends the process within two seconds, whoever reads the log */

static _Atomic int log_level_now = LOG_INFO;
static _Atomic int log_format_now = LOG_LOGFMT;
static _Atomic uint64_t dropped; /* since the start */

/* Lines are appended to `fill` under the lock; the writer takes the whole buffer, gives back an empty one and writes without the
 * lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;    /* to the writer: lines, a new file, or the end */
    pthread_cond_t drained; /* to log_stop: the writer has returned */
    pthread_t thread;
    bool running, stopping, ended;
    bool abandoned; /* log_stop went away from a writer that hung; it ends when its write does */
    int fd;         /* the writer's; STDERR_FILENO or a file */
    int next_fd;    /* the one to go on with, or -1 */
    uint64_t told;  /* the writer's: as many of `dropped` are known to the reader, or were before log_start */
    char *fill;
    size_t fill_len;
} queue = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
    .fd = STDERR_FILENO,
    .next_fd = -1,
};

static char buffers[2][LOG_QUEUE_BYTES];

static int64_t unix_ms(void)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Writes all, waiting while it must; the number of bytes that went out. */
static size_t write_all(int fd, const char *p, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(fd, p + done, len - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) { /* standard error may have been made non-blocking by somebody else */
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            break;
        }
    }
    return done;
}

static void close_file(int fd)
{
    if (fd > STDERR_FILENO)
        close(fd);
}

/* The lines behind the first `done` bytes, the one cut in the middle included. */
static uint64_t count_lines(const char *p, size_t done, size_t len)
{
    uint64_t n = 0;
    for (size_t i = done; i < len; i++)
        n += p[i] == '\n';
    return n;
}

/* Returns the number of lines that were lost. `*torn`: the file ends in the middle of a line, because it took no more; the next
 * line must not become a part of that. */
static uint64_t write_lines(int fd, const char *p, size_t len, bool *torn)
{
    size_t done = 0;

    if (len && *torn)
        *torn = write_all(fd, "\n", 1) != 1;
    if (!*torn)
        done = write_all(fd, p, len);
    if (done)
        *torn = p[done - 1] != '\n';
    return count_lines(p, done, len);
}

static void tell_dropped(int fd, bool *torn)
{
    char line[LOG_LINE_MAX];
    uint64_t now = atomic_load_explicit(&dropped, memory_order_relaxed);
    struct log_field count = LOG_INT("count", now - queue.told);
    size_t len;

    if (now == queue.told)
        return;
    len = log_line(line, (enum log_format)atomic_load(&log_format_now), unix_ms(), LOG_WARNING, "log_lines_dropped", &count, 1);
    if (write_lines(fd, line, len, torn) == 0)
        queue.told = now;
}

static void *writer(void *arg)
{
    bool more = true, torn = false;

    while (more) {
        char *full;
        size_t len;
        int fd, old = -1;

        pthread_mutex_lock(&queue.lock);
        while (!queue.fill_len && queue.next_fd < 0 && !queue.stopping)
            pthread_cond_wait(&queue.wake, &queue.lock);
        if (queue.next_fd >= 0) {
            old = queue.fd;
            queue.fd = queue.next_fd;
            queue.next_fd = -1;
            torn = false;
        }
        fd = queue.fd;
        full = queue.fill;
        len = queue.fill_len;
        queue.fill = full == buffers[0] ? buffers[1] : buffers[0];
        queue.fill_len = 0;
        more = !queue.stopping;
        pthread_mutex_unlock(&queue.lock);

        close_file(old); /* without the lock: on a network's file system this can hang like a write */
        atomic_fetch_add_explicit(&dropped, write_lines(fd, full, len, &torn), memory_order_relaxed);
        tell_dropped(fd, &torn);
    }
    close_file(queue.fd); /* the last one: log_reconfigure comes before log_stop */
    pthread_mutex_lock(&queue.lock);
    queue.ended = true;
    pthread_cond_signal(&queue.drained);
    pthread_mutex_unlock(&queue.lock);
    return arg;
}

/* A descriptor, or a negated errno. Never waits for a FIFO's reader; the writes of the writer may wait for it, though. */
static int open_file(const char *file)
{
    int fd, flags;

    if (!file)
        return STDERR_FILENO;
    fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0)
        return -errno;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) {
        int err = -errno;
        close_file(fd);
        return err;
    }
    return fd;
}

static void take_config(const struct log_config *config)
{
    atomic_store(&log_level_now, (int)config->level);
    atomic_store(&log_format_now, (int)config->format);
}

/* The deadline in log_stop is by the monotonic clock: somebody may set the time meanwhile. Never destroyed, because an abandoned
 * writer still signals it. */
static void init_drained(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&queue.drained, &attr);
    pthread_condattr_destroy(&attr);
}

/* Whether an abandoned writer still hangs. */
static bool hangs(void)
{
    bool yes;
    pthread_mutex_lock(&queue.lock);
    yes = queue.abandoned && !queue.ended;
    pthread_mutex_unlock(&queue.lock);
    return yes;
}

int log_start(const struct log_config *config)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t all, old;
    int fd, err;

    if (queue.running)
        return ERR_EXIST;
    if (hangs())
        return ERR_AGAIN;
    pthread_once(&once, init_drained);
    fd = open_file(config->file);
    if (fd < 0)
        return fd;
    pthread_mutex_lock(&queue.lock);
    queue.fd = fd;
    queue.fill = buffers[0];
    queue.fill_len = 0;
    queue.stopping = queue.ended = queue.abandoned = false;
    queue.told = log_dropped(); /* not when the writer first runs: by then the queue may have been full */
    pthread_mutex_unlock(&queue.lock);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old); /* inherited by the writer: signals are for the threads that wait for them */
    err = pthread_create(&queue.thread, NULL, writer, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err) {
        close_file(fd);
        return -err;
    }
    take_config(config);
    pthread_mutex_lock(&queue.lock);
    queue.running = true;
    pthread_mutex_unlock(&queue.lock);
    return 0;
}

void log_stop(void)
{
    struct timespec until;
    bool ended;

    if (!queue.running)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_WAIT_S;
    pthread_mutex_lock(&queue.lock);
    queue.running = false; /* from here on lines go straight to standard error */
    queue.stopping = true;
    pthread_cond_signal(&queue.wake);
    while (!queue.ended && pthread_cond_timedwait(&queue.drained, &queue.lock, &until) == 0)
        ;
    ended = queue.ended;
    queue.abandoned = !ended;
    pthread_mutex_unlock(&queue.lock);
    if (ended)
        pthread_join(queue.thread, NULL);
    else
        pthread_detach(queue.thread);
}

int log_reconfigure(const struct log_config *config)
{
    int fd = STDERR_FILENO, unused;

    if (queue.running && (fd = open_file(config->file)) < 0)
        return fd;
    take_config(config);
    if (!queue.running)
        return 0;
    pthread_mutex_lock(&queue.lock);
    unused = queue.next_fd;
    queue.next_fd = fd;
    pthread_cond_signal(&queue.wake);
    pthread_mutex_unlock(&queue.lock);
    close_file(unused);
    return 0;
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

int log_level_parse(enum log_level *out, const char *text)
{
    static const struct {
        const char *text;
        enum log_level level;
    } names[] = {
        {"error", LOG_ERROR}, {"warning", LOG_WARNING}, {"info", LOG_INFO},  {"debug", LOG_DEBUG}, {"warn", LOG_WARNING},
        {"emerg", LOG_ERROR}, {"alert", LOG_ERROR},     {"crit", LOG_ERROR}, {"err", LOG_ERROR},   {"notice", LOG_INFO},
        {"0", LOG_ERROR},     {"1", LOG_ERROR},         {"2", LOG_ERROR},    {"3", LOG_ERROR},     {"4", LOG_WARNING},
        {"5", LOG_INFO},      {"6", LOG_INFO},          {"7", LOG_DEBUG},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(text, names[i].text) == 0) {
            *out = names[i].level;
            return 0;
        }
    }
    return ERR_INVAL;
}

const char *log_level_name(enum log_level level)
{
    static const char *const NAMES[] = {
        [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

    return NAMES[level];
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    char line[LOG_LINE_MAX];
    size_t len = log_line(line, (enum log_format)atomic_load_explicit(&log_format_now, memory_order_relaxed), unix_ms(), level,
                          event, fields, n);
    bool direct, stuck, wake = false;

    pthread_mutex_lock(&queue.lock);
    stuck = queue.abandoned && !queue.ended && queue.fd == STDERR_FILENO; /* we would hang beside the writer */
    direct = !queue.running && !stuck;
    if (direct) {
        ;
    } else if (stuck || len > LOG_QUEUE_BYTES - queue.fill_len) {
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    } else {
        wake = queue.fill_len == 0; /* else it is on its way already */
        memcpy(queue.fill + queue.fill_len, line, len);
        queue.fill_len += len;
    }
    if (wake)
        pthread_cond_signal(&queue.wake);
    pthread_mutex_unlock(&queue.lock);
    if (direct)
        write_all(STDERR_FILENO, line, len);
}
