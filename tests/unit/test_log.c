/* The log: one line as text (S7: a stranger's bytes), and the thread that writes lines. Waits for conditions, never for a time;
 * each wait has an end, which is a failure. */
#include "base/log.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"
#include "tests/unit/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char line[LOG_LINE_MAX + 1];
static char dir[] = "/tmp/turnpike-log.XXXXXX";
static char path[64], rotated[64];

static const char *format(enum log_format f, const struct log_field *fields, size_t n)
{
    /* 2026-11-22T21:00:00.123Z */
    line[log_line(line, f, 1795381200123, LOG_INFO, "allocation_created", fields, n)] = '\0';
    return line;
}

#define PREFIX "ts=2026-11-22T21:00:00.123Z level=info event=allocation_created"
#define JSON   "{\"ts\":\"2026-11-22T21:00:00.123Z\",\"level\":\"info\",\"event\":\"allocation_created\""

static void test_kinds(void)
{
    struct addr a;
    CHECK_INT(addr_parse(&a, "[2001:db8::1]:3478"), 0);
    const struct log_field f[] = {
        LOG_STR("user", "a b"), LOG_STR("realm", "example.org"), LOG_BYTES("id", "\x01z", 2), LOG_INT("n", -5),
        LOG_ADDR("peer", &a),   LOG_ERR("error", ERR_INTEGRITY), LOG_STR("none", NULL),       LOG_BYTES("empty", NULL, 0)};
    CHECK_STR(format(LOG_LOGFMT, f, 8), PREFIX " user=\"a b\" realm=example.org id=\"\\u0001z\" n=-5 peer=[2001:db8::1]:3478 "
                                               "error=\"message integrity does not match\" none=\"\" empty=\"\"\n");
    CHECK_STR(format(LOG_JSON, f, 8),
              JSON ",\"user\":\"a b\",\"realm\":\"example.org\",\"id\":\"\\u0001z\",\"n\":-5,\"peer\":\"[2001:db8::1]:3478\","
                   "\"error\":\"message integrity does not match\",\"none\":\"\",\"empty\":\"\"}\n");
}

static void test_stranger(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *text; /* between the quotes, in both formats */
    } t[] = {
        {"x\r\nts=0 level=error", 19, "x\\r\\nts=0 level=error"},
        {"a\0b", 3, "a\\u0000b"},
        {"\" admin=\"yes", 12, "\\\" admin=\\\"yes"},
        {"a=b", 3, "a=b"},
        {"a\\", 2, "a\\\\"},
        {"\t\x1b[31m\x7f", 7, "\\t\\u001b[31m\\u007f"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"}, /* valid UTF-8 of each length */
        {"\xff\xc0\xaf", 3, "\\ufffd\\ufffd\\ufffd"},                                        /* no UTF-8, an overlong slash */
        {"\xe0\x80\x80", 3, "\\ufffd\\ufffd\\ufffd"},                                        /* overlong */
        {"\xed\xa0\x80", 3, "\\ufffd\\ufffd\\ufffd"},                                        /* a surrogate */
        {"\xf4\x90\x80\x80", 4, "\\ufffd\\ufffd\\ufffd\\ufffd"},                             /* above U+10FFFF */
        {"\xe2\x82", 2, "\\ufffd\\ufffd"},                                                   /* cut short */
        {"\xc2\x85\xe2\x80\xa8\xe2\x80\xae", 8, "\\u0085\\u2028\\u202e"}, /* next line, line separator, right to left */
        {"\xc2\xa0", 2, "\xc2\xa0"},                                      /* a blank, by some: quoted */
    };
    char want[512];

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        const struct log_field f[] = {LOG_BYTES("user", t[i].bytes, t[i].len), LOG_INT("n", 1)};
        snprintf(want, sizeof(want), PREFIX " user=\"%s\" n=1\n", t[i].text);
        CHECK_STR(format(LOG_LOGFMT, f, 2), want);
        snprintf(want, sizeof(want), JSON ",\"user\":\"%s\",\"n\":1}\n", t[i].text);
        CHECK_STR(format(LOG_JSON, f, 2), want);
    }
}

static void test_every_byte(void)
{
    for (int f = LOG_LOGFMT; f <= LOG_JSON; f++) {
        for (int b = 0; b < 256; b++) {
            const char c = (char)b;
            const struct log_field field = LOG_BYTES("user", &c, 1);
            size_t len = strlen(format((enum log_format)f, &field, 1));
            CHECK(line[len - 1] == '\n');
            for (size_t i = 0; i + 1 < len; i++)
                CHECK((unsigned char)line[i] >= ' ' && (unsigned char)line[i] < 0x7f);
        }
    }
}

static void test_long(void)
{
    static const char *const bytes[] = {"a", "\x01", "\xe2\x82\xac", " ", "\""};
    char value[3 * LOG_LINE_MAX];

    /* Whatever is cut, at whatever place: the line has its newline, its end and its closed quote. */
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        size_t unit = strlen(bytes[i]);
        for (size_t j = 0; j < sizeof(value); j++)
            value[j] = bytes[i][j % unit];
        for (size_t n = 0; n<LOG_LINE_MAX + 100; n += n> LOG_LINE_MAX / 8 - 100 ? 1 : 97) {
            const struct log_field f[] = {LOG_BYTES("user", value, n * unit > sizeof(value) ? sizeof(value) : n * unit),
                                          LOG_INT("after", 7)};
            const char *end = NULL;
            for (int k = LOG_LOGFMT; k <= LOG_JSON; k++) {
                size_t len = strlen(format((enum log_format)k, f, 2));
                CHECK(len <= LOG_LINE_MAX);
                end = strstr(line, k == LOG_JSON ? ",\"truncated\":true}\n" : " truncated=true\n");
                if (end) /* what did not fit has left nothing of its key */
                    CHECK(!strstr(line, "aft") && end[-1] != ' ' && (end[-1] != '"' || end[-2] != ','));
                else
                    end = strstr(line, k == LOG_JSON ? ",\"after\":7}\n" : " after=7\n");
                CHECK(end != NULL);
                CHECK(strchr(end, '\n') == line + len - 1);
                CHECK(n <= LOG_LINE_MAX || end[-1] == '"');
            }
        }
    }
}

/* A quoted text that ends where the line's tail begins, and more than the tail has room for behind it. */
static void test_full_to_the_brim(void)
{
    char value[LOG_LINE_MAX], behind[600];
    struct {
        char line[LOG_LINE_MAX], fence[sizeof(behind)];
    } room;

    memset(value, 'a', sizeof(value));
    value[0] = ' '; /* quoted in both formats */
    memset(behind, 'b', sizeof(behind));
    for (int f = LOG_LOGFMT; f <= LOG_JSON; f++) {
        const char *end = f == LOG_JSON ? ",\"truncated\":true}\n" : " truncated=true\n";

        for (size_t n = LOG_LINE_MAX - 200; n < LOG_LINE_MAX; n++) {
            const struct log_field fields[] = {LOG_BYTES("user", value, n), LOG_BYTES("behind", behind, sizeof(behind))};
            size_t len;

            memset(room.fence, 0, sizeof(room.fence));
            len = log_line(room.line, (enum log_format)f, 1795381200123, LOG_INFO, "allocation_created", fields, 2);
            CHECK(len <= LOG_LINE_MAX);
            CHECK(memcmp(room.line + len - strlen(end), end, strlen(end)) == 0);
            for (size_t i = 0; i < sizeof(room.fence); i++)
                CHECK_INT(room.fence[i], 0);
        }
    }
}

static void test_levels(void)
{
    static const struct {
        const char *text;
        enum log_level level;
    } t[] = {{"error", LOG_ERROR}, {"Warn", LOG_WARNING}, {"warning", LOG_WARNING}, {"INFO", LOG_INFO},   {"debug", LOG_DEBUG},
             {"notice", LOG_INFO}, {"crit", LOG_ERROR},   {"4", LOG_WARNING},       {"emerg", LOG_ERROR}, {"7", LOG_DEBUG}};
    enum log_level level = LOG_DEBUG;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        CHECK_INT(log_level_parse(&level, t[i].text), 0);
        CHECK_INT(level, t[i].level);
    }
    CHECK_INT(log_level_parse(&level, ""), ERR_INVAL);
    CHECK_INT(log_level_parse(&level, "loud"), ERR_INVAL);
    CHECK_INT(log_level_parse(&level, "8"), ERR_INVAL);
}

/* ---- The writer ---- */

enum {
    PATIENCE_MS = 15000, /* for what takes milliseconds on a machine of its own */
    LOOK_MS = 1,
    WATCHDOG_S = 60,    /* for one test: a call that should come back and does not */
    PIPE_BYTES = 65536, /* less than the tests write */
};

static const char *const nowhere = "/nowhere/at/all";
static int reader = -1; /* of the FIFO at `path` */
static char content[1 << 20];

static void look_again_soon(void)
{
    nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
}

/* Looks until the condition holds, which may have effects. */
#define AWAIT(cond)                                                                                                                \
    do {                                                                                                                           \
        uint64_t await_until_ = clock_now().ms + PATIENCE_MS;                                                                      \
        while (!(cond)) {                                                                                                          \
            if (clock_now().ms > await_until_) {                                                                                   \
                printf("# %s:%d: waited for %d ms in vain: %s\n", __FILE__, __LINE__, PATIENCE_MS, #cond);                         \
                tap_failed = true;                                                                                                 \
                return;                                                                                                            \
            }                                                                                                                      \
            look_again_soon();                                                                                                     \
        }                                                                                                                          \
    } while (0)

static void on_watchdog(int sig)
{
    static const char text[] = "Bail out! a call into the log did not come back\n";
    ssize_t n = write(STDOUT_FILENO, text, sizeof(text) - 1);
    (void)n;
    _exit(sig ? 1 : 0);
}

/* log_stop gives the writer one second. On a loaded machine it may need more, and is left behind: as long as that lives, log_start
 * answers ERR_AGAIN, and afterwards what is wrong with the file. */
static bool writer_gone(void)
{
    log_stop();
    return log_start(&(struct log_config){.file = nowhere}) == ERR_NOENT;
}

static void close_reader(void)
{
    if (reader >= 0)
        close(reader);
    reader = -1;
}

/* Of a test before that has failed, nothing may be left: no FIFO, no reader, no writer. */
static void begin(void)
{
    alarm(WATCHDOG_S);
    close_reader();
    unlink(path);
    unlink(rotated);
    AWAIT(writer_gone());
}

#define BEGIN()                                                                                                                    \
    do {                                                                                                                           \
        begin();                                                                                                                   \
        if (tap_failed)                                                                                                            \
            return;                                                                                                                \
    } while (0)

/* The log's file is a FIFO, of known size, with a reader that reads when told to. */
static bool make_fifo(void)
{
    return mkfifo(path, 0600) == 0 && (reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) >= 0 &&
           fcntl(reader, F_SETPIPE_SZ, PIPE_BYTES) == PIPE_BYTES;
}

static const char *slurp(const char *file)
{
    FILE *f = fopen(file, "r");
    size_t n = f ? fread(content, 1, sizeof(content) - 1, f) : 0;
    content[n] = '\0';
    if (f)
        fclose(f);
    return content;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

static void test_file(void)
{
    struct log_config c = {.level = LOG_INFO, .file = path};
    struct stat st;

    BEGIN();
    CHECK_INT(log_start(&c), 0);
    CHECK_INT(log_start(&c), ERR_EXIST);
    CHECK(log_enabled(LOG_INFO) && log_enabled(LOG_ERROR) && !log_enabled(LOG_DEBUG));
    LOG(LOG_INFO, "first", LOG_INT("n", 1));
    LOG(LOG_DEBUG, "hidden", LOG_INT("n", 2));
    LOG(LOG_WARNING, "second", LOG_STR("text", "a b"));
    log_stop();
    log_stop();
    AWAIT(writer_gone());
    slurp(path);
    CHECK_INT(count(content, "\n"), 2);
    CHECK(strstr(content, " level=info event=first n=1\n"));
    CHECK(strstr(content, " level=warning event=second text=\"a b\"\n"));
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_mode & 07777, 0640);
    unlink(path);
}

static void test_start_fails(void)
{
    struct log_config c = {.level = LOG_ERROR, .file = nowhere};

    BEGIN();
    CHECK_INT(log_start(&c), ERR_NOENT);
    CHECK(log_enabled(LOG_INFO)); /* nothing has changed */
    log_stop();
}

static void test_rotate(void)
{
    struct log_config c = {.level = LOG_INFO, .file = path};

    BEGIN();
    CHECK_INT(log_start(&c), 0);
    LOG(LOG_INFO, "before", LOG_INT("n", 1));
    /* The first line must be in the old file: it is there as soon as the writer has come round. */
    AWAIT(strstr(slurp(path), "before"));
    CHECK_INT(rename(path, rotated), 0);
    c.format = LOG_JSON;
    c.level = LOG_DEBUG;
    CHECK_INT(log_reconfigure(&c), 0);
    CHECK_INT(log_reconfigure(&c), 0); /* twice before the writer may have noticed */
    LOG(LOG_DEBUG, "after", LOG_INT("n", 2));
    AWAIT(strstr(slurp(path), "after"));
    LOG(LOG_DEBUG, "later", LOG_INT("n", 3)); /* the new file stays open */
    CHECK_INT(log_reconfigure(&(struct log_config){.file = nowhere}), ERR_NOENT);
    AWAIT(writer_gone());
    CHECK_INT(count(slurp(rotated), "\n"), 1);
    CHECK_INT(count(slurp(path), "\n"), 2);
    CHECK(strstr(content, "\"level\":\"debug\",\"event\":\"after\",\"n\":2}\n"));
    unlink(path);
    unlink(rotated);
    CHECK_INT(log_reconfigure(&(struct log_config){.level = LOG_INFO}), 0); /* not running: the level and format alone */
    CHECK(!log_enabled(LOG_DEBUG));
}

static unsigned open_files(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_descriptors(void)
{
    struct log_config c = {.level = LOG_INFO, .file = path};
    unsigned before;

    BEGIN();
    before = open_files();
    CHECK_INT(log_start(&c), 0);
    for (int i = 0; i < 200; i++) /* more often than the writer can notice */
        CHECK_INT(log_reconfigure(&c), 0);
    AWAIT(writer_gone());
    unlink(path);
    CHECK_INT(open_files(), before);
}

enum { THREADS = 4, LINES = 500 };

static void *many(void *arg)
{
    for (int i = 0; i < LINES; i++)
        LOG(LOG_INFO, "many", LOG_INT("i", i));
    return arg;
}

static void test_threads(void)
{
    struct log_config c = {.level = LOG_INFO, .file = path};
    pthread_t t[THREADS];
    uint64_t dropped;

    BEGIN();
    dropped = log_dropped();
    CHECK_INT(log_start(&c), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&t[i], NULL, many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    AWAIT(writer_gone());
    dropped = log_dropped() - dropped;
    slurp(path);
    CHECK_INT(count(content, "event=many i=") + dropped, THREADS * LINES);
    CHECK_INT(count(content, "\nts="), count(content, "\n") - 1); /* whole lines only */
    unlink(path);
}

/* What came through the FIFO. */
struct tally {
    unsigned lines; /* of the flood */
    uint64_t told;  /* how many were dropped, by the lines that say so: when the queue was full twice, there may be two */
    size_t len;
    char rest[PIPE_BYTES]; /* the start of a line */
};

static void tally_line(struct tally *t, const char *text)
{
    static const char dropped[] = " event=log_lines_dropped count=";
    const char *at = strstr(text, dropped);

    t->lines += strstr(text, " event=flood ") != NULL;
    t->told += at ? strtoull(at + sizeof(dropped) - 1, NULL, 10) : 0;
}

/* Reads what is there; the number of lines whose fate is known. */
static uint64_t tally_read(struct tally *t)
{
    ssize_t n;

    while ((n = read(reader, t->rest + t->len, sizeof(t->rest) - t->len)) > 0) {
        char *from = t->rest, *end;
        t->len += (size_t)n;
        while ((end = memchr(from, '\n', t->len - (size_t)(from - t->rest)))) {
            *end = '\0';
            tally_line(t, from);
            from = end + 1;
        }
        t->len -= (size_t)(from - t->rest);
        memmove(t->rest, from, t->len);
    }
    return t->lines + t->told;
}

/* A pipe that nobody reads: the writer hangs, the queue fills up. Lines are counted, and told of when the reader comes back. When
 * the writer runs is not ours to say: it may begin after the first line was dropped, and tell of some before it hangs. */
static void test_dropped(void)
{
    static struct tally t;
    struct log_config c = {.level = LOG_INFO, .file = path};
    const unsigned lines = 3 * LOG_QUEUE_BYTES / 64;
    uint64_t before, dropped;

    BEGIN();
    before = log_dropped();
    CHECK(make_fifo());
    CHECK_INT(log_start(&c), 0);
    for (unsigned i = 0; i < lines; i++)
        LOG(LOG_INFO, "flood", LOG_INT("i", i)); /* never blocks */
    dropped = log_dropped() - before;
    CHECK(dropped > 0 && dropped < lines);
    AWAIT(tally_read(&t) >= lines);
    CHECK_INT(t.told, dropped);
    CHECK_INT(t.lines, lines - dropped);
    CHECK_INT(log_dropped() - before, dropped);
    AWAIT(writer_gone());
    close_reader();
    unlink(path);
}

static void test_stop_is_bounded(void)
{
    struct log_config c = {.level = LOG_INFO, .file = path};

    BEGIN();
    CHECK(make_fifo());
    CHECK_INT(log_start(&c), 0);
    for (unsigned i = 0; i < 4000; i++)
        LOG(LOG_INFO, "stuck", LOG_INT("i", i));
    log_stop(); /* comes back, although nobody reads */
    CHECK_INT(log_start(&c), ERR_AGAIN);
    close_reader();
    unlink(path);
    AWAIT(writer_gone()); /* it has met the closed pipe */
    CHECK_INT(log_start(&c), 0);
    LOG(LOG_INFO, "again", LOG_INT("n", 1));
    AWAIT(writer_gone());
    CHECK_INT(count(slurp(path), "\n"), 1);
    unlink(path);
}

/* The same with standard error: a line after log_stop must not hang where the writer does. */
static void test_stuck_standard_error(void)
{
    struct log_config c = {.level = LOG_INFO};
    uint64_t before = 0;
    int saved, fd, err;

    BEGIN();
    CHECK(make_fifo());
    saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(saved >= 0 && fd >= 0);
    dup2(fd, STDERR_FILENO);
    close(fd);
    err = log_start(&c);
    for (unsigned i = 0; i < 4000; i++)
        LOG(LOG_INFO, "stuck", LOG_INT("i", i));
    log_stop();
    before = log_dropped();
    LOG(LOG_INFO, "after", LOG_INT("n", 1)); /* comes back */
    before = log_dropped() - before;
    close_reader();
    AWAIT(writer_gone()); /* before standard error is back: the rest is not for it */
    dup2(saved, STDERR_FILENO);
    close(saved);
    unlink(path);
    CHECK_INT(err, 0);
    CHECK_INT(before, 1);
}

static void test_fifo_without_reader(void)
{
    struct log_config c = {.level = LOG_INFO, .file = path}, fifo = {.level = LOG_INFO, .file = rotated};

    BEGIN();
    CHECK_INT(mkfifo(rotated, 0600), 0);
    CHECK_INT(log_start(&fifo), -ENXIO); /* at once */
    CHECK_INT(log_start(&c), 0);
    CHECK_INT(log_reconfigure(&fifo), -ENXIO);
    LOG(LOG_INFO, "still", LOG_INT("n", 1));
    AWAIT(writer_gone());
    CHECK_INT(count(slurp(path), "\n"), 1);
    unlink(path);
    unlink(rotated);
}

static volatile sig_atomic_t signalled_other;
static pthread_t self;

static void on_signal(int sig)
{
    (void)sig;
    if (!pthread_equal(pthread_self(), self))
        signalled_other = 1;
}

static void test_signals_are_not_the_writers(void)
{
    struct log_config c = {.level = LOG_INFO, .file = path};
    struct sigaction sa = {.sa_handler = on_signal};
    sigset_t set, pending;

    BEGIN();
    self = pthread_self();
    sigaction(SIGUSR1, &sa, NULL);
    CHECK_INT(log_start(&c), 0);
    sigemptyset(&set);
    pthread_sigmask(SIG_SETMASK, NULL, &pending);
    CHECK(!sigismember(&pending, SIGUSR1)); /* log_start gave our own mask back */
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1); /* the only thread that could take it is the writer */
    LOG(LOG_INFO, "line", LOG_INT("n", 1));
    AWAIT(writer_gone());
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1));
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    CHECK(!signalled_other);
    unlink(path);
}

static void test_direct(void)
{
    int saved = dup(STDERR_FILENO), fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(saved >= 0 && fd >= 0);
    dup2(fd, STDERR_FILENO);
    LOG(LOG_ERROR, "direct", LOG_INT("n", 1));
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fd);
    CHECK(strstr(slurp(path), "level=error event=direct n=1\n"));
    unlink(path);
}

static const struct tap_test tests[] = {
    {"log: every kind of field in both formats", test_kinds},
    {"S7 a stranger's CR, LF, NUL, quotes and broken UTF-8 stay in their field", test_stranger},
    {"S7 no single byte breaks a line", test_every_byte},
    {"S7 a line that is cut is still a whole line", test_long},
    {"S7 a text that ends where the line is full lets nothing be written behind it", test_full_to_the_brim},
    {"log: names of levels", test_levels},
    {"log: before log_start lines go to standard error", test_direct},
    {"log: a file", test_file},
    {"log: a file that cannot be opened", test_start_fails},
    {"log: rotation, new level and format", test_rotate},
    {"log: no descriptor is left behind", test_descriptors},
    {"log: several threads, whole lines", test_threads},
    {"F28 log: a full queue drops, counts and tells", test_dropped},
    {"log: stopping is bounded", test_stop_is_bounded},
    {"log: after that no line hangs on standard error", test_stuck_standard_error},
    {"log: nothing waits for the reader of a FIFO", test_fifo_without_reader},
    {"log: the writer takes no signal", test_signals_are_not_the_writers},
};

int main(void)
{
    int failed;
    if (!mkdtemp(dir))
        return 99;
    snprintf(path, sizeof(path), "%s/log", dir);
    snprintf(rotated, sizeof(rotated), "%s/log.1", dir);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_watchdog}, NULL);
    failed = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    rmdir(dir);
    return failed;
}
