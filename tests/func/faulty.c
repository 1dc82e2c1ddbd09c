/*
 * What the linker puts between turnpiked and its libraries in turnpiked-faulty (--wrap in Makefile.am): sends that fail, memory that runs
 * out, clocks that jump. Nothing of turnpiked is built anew, and unlike a preloaded library it gets along with every sanitizer.
 * A test says what is to happen in a file that both map: its path is in FAULTY_CONTROL. libevent and OpenSSL take their memory here, too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* As tests/func/lib/faulty.py has it. */
static struct control {
    _Atomic int64_t send_port;    /* datagrams to this port: */
    _Atomic int64_t send_every;   /* each so manieth fails, 0: none, */
    _Atomic int64_t send_errno;   /* with this */
    _Atomic int64_t memory_every; /* each so manieth allocation fails, 0: none */
    _Atomic int64_t wall_ahead_s; /* of the real clock */
    _Atomic int64_t boot_ahead_s;
    _Atomic int64_t sends, sends_failed; /* to that port; told by us */
    _Atomic int64_t memory, memory_failed;
} nothing, *control = &nothing;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
int __real_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);
int __real_clock_gettime(clockid_t id, struct timespec *t);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

/* ---- Memory. ---- */

static bool no_memory(void)
{
    int64_t every = atomic_load(&control->memory_every);

    if (!every || (atomic_fetch_add(&control->memory, 1) + 1) % every != 0)
        return false;
    atomic_fetch_add(&control->memory_failed, 1);
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return no_memory() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return no_memory() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return no_memory() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return no_memory() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
    return no_memory() ? NULL : __real_strdup(s);
}

static void *openssl_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return __wrap_malloc(n);
}

static void *openssl_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return __wrap_realloc(p, n);
}

static void openssl_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* ---- Sends. ---- */

static bool fails(const struct msghdr *m)
{
    const struct sockaddr_in *to = m->msg_name; /* sockaddr_in6 has its port at the same place */
    int64_t every = atomic_load(&control->send_every);

    if (!every || !to || ntohs(to->sin_port) != atomic_load(&control->send_port) ||
        (atomic_fetch_add(&control->sends, 1) + 1) % every)
        return false;
    atomic_fetch_add(&control->sends_failed, 1);
    errno = (int)atomic_load(&control->send_errno);
    return true;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
    return fails(m) ? -1 : __real_sendmsg(fd, m, flags);
}

/* As the kernel does it: an error is told by the call that begins with its message. */
int __wrap_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    static _Thread_local const struct mmsghdr *failed;
    unsigned i;

    if (failed == m) {
        failed = NULL;
        errno = (int)atomic_load(&control->send_errno);
        return -1;
    }
    for (i = 0; i < n && !fails(&m[i].msg_hdr); i++)
        ;
    if (i == 0 && n)
        return -1;
    if (i < n)
        failed = m + i;
    return __real_sendmmsg(fd, m, i, flags);
}

/* ---- Clocks. ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    int err = __real_clock_gettime(id, t);

    if (id == CLOCK_REALTIME)
        t->tv_sec += (time_t)atomic_load(&control->wall_ahead_s);
    else if (id == CLOCK_BOOTTIME)
        t->tv_sec += (time_t)atomic_load(&control->boot_ahead_s);
    return err;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTY_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p = fd >= 0 ? mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (p != MAP_FAILED)
        control = p;
    if (fd >= 0)
        close(fd);
    event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
    CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
}
