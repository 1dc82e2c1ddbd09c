/* What the client of Redis reads out of replies; tests/func/redisfaults.py and redisfleet.py have real servers. */
#include "tests/unit/tap.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "auth/redis.h"
#include "auth/rediscluster.h"
#include "auth/redisreply.h"
#include "auth/redissentinel.h"
#include "base/err.h"

static struct redis_host host;
static unsigned slot;

/* The first reply in these bytes, or NULL. */
static redisReply *reply_of(const char *text)
{
    struct redisreply_reader *reader;
    redisReply *reply = NULL;

    if (redisreply_new(&reader))
        return NULL;
    if (redisreply_feed(reader, text, strlen(text)) == 0)
        (void)redisreply_next(reader, &reply);
    redisreply_free(&reader);
    return reply;
}

static enum rediscluster_error error_of(const char *text)
{
    redisReply *reply = reply_of(text);
    enum rediscluster_error error = REDISCLUSTER_NONE;

    if (reply) {
        error = rediscluster_error(reply, &slot, &host);
        redisreply_done(reply);
    }
    return error;
}

static unsigned slot_of(const char *key)
{
    return rediscluster_slot(key, strlen(key));
}

static void slots_of_keys(void)
{
    CHECK_INT(slot_of("123456789"), 0x31c3); /* the specification's own vector */
    CHECK_INT(slot_of("foo"), 12182);
    CHECK_INT(slot_of(""), 0);
    CHECK_INT(slot_of("tp:token:{foo}"), slot_of("foo"));
    CHECK_INT(slot_of("{user1000}.following"), slot_of("user1000"));
    CHECK_INT(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    CHECK_INT(slot_of("foo{bar}{zap}"), slot_of("bar"));
    CHECK(slot_of("foo{}{bar}") != slot_of("bar"));
    CHECK(slot_of("foo{bar") != slot_of("bar"));
    CHECK(slot_of("}foo{bar}") == slot_of("bar"));
}

static void errors(void)
{
    CHECK_INT(error_of("-MOVED 3999 127.0.0.1:6381\r\n"), REDISCLUSTER_MOVED);
    CHECK_INT(slot, 3999);
    CHECK_STR(host.name, "127.0.0.1");
    CHECK_INT(host.port, 6381);
    CHECK_INT(error_of("-ASK 0 2001:db8::1:7000\r\n"), REDISCLUSTER_ASK);
    CHECK_STR(host.name, "2001:db8::1");
    CHECK_INT(error_of("-MOVED 3999 :6381\r\n"), REDISCLUSTER_MOVED);
    CHECK_STR(host.name, "");
    CHECK_INT(error_of("-CLUSTERDOWN The cluster is down\r\n"), REDISCLUSTER_DOWN);
    CHECK_INT(error_of("-TRYAGAIN x\r\n"), REDISCLUSTER_WAIT);
    CHECK_INT(error_of("-READONLY x\r\n"), REDISCLUSTER_LEAVE);
    CHECK_INT(error_of("-LOADING x\r\n"), REDISCLUSTER_LEAVE);
    CHECK_INT(error_of("-MASTERDOWN x\r\n"), REDISCLUSTER_LEAVE);
    CHECK_INT(error_of("-WRONGTYPE x\r\n"), REDISCLUSTER_NONE);
    CHECK_INT(error_of("-READONLYISH x\r\n"), REDISCLUSTER_NONE);
    CHECK_INT(error_of("+MOVED 3999 127.0.0.1:6381\r\n"), REDISCLUSTER_NONE);
}

static void bad_redirects(void)
{
    static const char *const BAD[] = {"-MOVED\r\n",         "-MOVED 1\r\n",       "-MOVED 1 h\r\n",        "-MOVED 16384 h:1\r\n",
                                      "-MOVED -1 h:1\r\n",  "-MOVED 1 h:0\r\n",   "-MOVED 1 h:65536\r\n",  "-MOVED 1 h:\r\n",
                                      "-MOVED 1 a@b:1\r\n", "-MOVED 1 a b:1\r\n", "-MOVED 123456 h:1\r\n", "-MOVED  h:1\r\n",
                                      "-ASK 1 h/x:1\r\n"};

    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (error_of(BAD[i]) != REDISCLUSTER_NONE)
            printf("# %s", BAD[i]);
        CHECK_INT(error_of(BAD[i]), REDISCLUSTER_NONE);
    }
}

struct ranges {
    unsigned n, last;
    struct redis_host host;
};

static void on_range(void *ctx, unsigned first, unsigned last, const struct redis_host *where)
{
    struct ranges *r = ctx;

    r->n += first <= last;
    r->last = last;
    r->host = *where;
}

static int slots_in(struct ranges *r, const char *text)
{
    redisReply *reply = reply_of(text);
    int err = reply ? rediscluster_slots(reply, on_range, r) : ERR_TRUNCATED;

    if (reply)
        redisreply_done(reply);
    return err;
}

static void tables(void)
{
    struct ranges r = {0};

    /* Redis 3 has no id, Redis 7 a list of names behind it. */
    CHECK_INT(slots_in(&r, "*2\r\n*3\r\n:0\r\n:5460\r\n*2\r\n$1\r\na\r\n:7000\r\n"
                           "*4\r\n:5461\r\n:16383\r\n*4\r\n$1\r\nb\r\n:7001\r\n$2\r\nid\r\n*0\r\n*2\r\n$1\r\nc\r\n:7002\r\n"),
              0);
    CHECK(r.n == 2 && r.last == 16383 && r.host.port == 7001);
    CHECK_STR(r.host.name, "b");
    CHECK_INT(slots_in(&r, "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$-1\r\n:7000\r\n"), 0);
    CHECK_STR(r.host.name, "");
    r.n = 0;
    CHECK_INT(slots_in(&r, "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\n?\r\n:7000\r\n"), 0);
    CHECK_INT(r.n, 0);
    CHECK_INT(slots_in(&r, "+OK\r\n"), ERR_MALFORMED);
    CHECK_INT(slots_in(&r, "*1\r\n+OK\r\n"), ERR_MALFORMED);
    CHECK_INT(slots_in(&r, "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:7000\r\n"), ERR_MALFORMED);
    CHECK_INT(slots_in(&r, "*1\r\n*3\r\n:2\r\n:1\r\n*2\r\n$1\r\na\r\n:7000\r\n"), ERR_MALFORMED);
    CHECK_INT(slots_in(&r, "*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$1\r\na\r\n:7000\r\n"), ERR_MALFORMED);
    CHECK_INT(slots_in(&r, "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:0\r\n"), ERR_MALFORMED);
    CHECK_INT(slots_in(&r, "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n"), ERR_MALFORMED);
    CHECK_INT(slots_in(&r, "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$3\r\na b\r\n:7000\r\n"), ERR_MALFORMED);
}

static int sentinel_says(const char *text)
{
    redisReply *reply = reply_of(text);
    int err = reply ? redissentinel_answer(&host, reply) : ERR_TRUNCATED;

    if (reply)
        redisreply_done(reply);
    return err;
}

static int news(const char *payload, const char *master)
{
    redisReply element[3] = {{.type = REDIS_REPLY_STRING}, {.type = REDIS_REPLY_STRING}, {.type = REDIS_REPLY_STRING}};
    redisReply *elements[3] = {&element[0], &element[1], &element[2]};
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 3, .element = elements};
    char *text = strdup(payload);
    int err = ERR_NOMEM;

    if (text) {
        element[2].str = text;
        element[2].len = strlen(text);
        err = redissentinel_switch(&host, &reply, master);
    }
    free(text);
    return err;
}

static void sentinels(void)
{
    CHECK_INT(sentinel_says("*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7001\r\n"), 0);
    CHECK_STR(host.name, "127.0.0.1");
    CHECK_INT(host.port, 7001);
    CHECK_INT(sentinel_says("*-1\r\n"), ERR_NOENT);
    CHECK_INT(sentinel_says("+OK\r\n"), ERR_MALFORMED);
    CHECK_INT(sentinel_says("*2\r\n$0\r\n\r\n$4\r\n7001\r\n"), ERR_MALFORMED);
    CHECK_INT(sentinel_says("*2\r\n$1\r\nh\r\n$3\r\n7x1\r\n"), ERR_MALFORMED);
    CHECK_INT(sentinel_says("*2\r\n$1\r\nh\r\n:7001\r\n"), ERR_MALFORMED);
    CHECK_INT(news("mymaster 127.0.0.1 7000 127.0.0.1 7002", "mymaster"), 0);
    CHECK_INT(host.port, 7002);
    CHECK_INT(news("mymaster2 127.0.0.1 7000 127.0.0.1 7002", "mymaster"), ERR_NOENT);
    CHECK_INT(news("mymaster 127.0.0.1 7000 127.0.0.1", "mymaster"), ERR_MALFORMED);
    CHECK_INT(news("mymaster 127.0.0.1 7000 127.0.0.1 7002 x", "mymaster"), ERR_MALFORMED);
    CHECK_INT(news("mymaster 127.0.0.1 7000  7002", "mymaster"), ERR_MALFORMED);
    CHECK_INT(news("", "mymaster"), ERR_MALFORMED);
}

/* Feeds `piece` again and again; how many bytes were taken before the reader gave up, or 0 if it never did. */
static size_t until_refused(const char *head, const char *piece, size_t most)
{
    struct redisreply_reader *reader;
    redisReply *reply;
    size_t fed = strlen(head);
    int got = 0;

    if (redisreply_new(&reader))
        return 0;
    if (redisreply_feed(reader, head, fed))
        got = ERR_MALFORMED;
    while (got >= 0 && fed < most) {
        got = redisreply_feed(reader, piece, strlen(piece));
        fed += strlen(piece);
        while (got >= 0 && (got = redisreply_next(reader, &reply)) == 1)
            redisreply_done(reply);
    }
    redisreply_free(&reader);
    return got < 0 ? fed : 0;
}

static void limits(void)
{
    char piece[4097];
    size_t most = (size_t)4 * REDIS_REPLY_BYTES_MAX;

    memset(piece, 'x', sizeof(piece));
    piece[sizeof(piece) - 1] = '\0';
    CHECK(until_refused("+", piece, most) > REDIS_REPLY_BYTES_MAX && until_refused("+", piece, most) < most / 2);
    CHECK(until_refused("$3000000\r\n", piece, most) < most / 2);
    CHECK(until_refused("*65000\r\n", "$20\r\nxxxxxxxxxxxxxxxxxxxx\r\n", most) > 0);
    CHECK(until_refused("*2\r\n*40000\r\n", ":1\r\n", most) == 0);
    CHECK(until_refused("*2\r\n*40000\r\n", "*2\r\n:1\r\n:1\r\n", most) > 0);
    CHECK(until_refused("*70000\r\n", "", 8) > 0 || reply_of("*70000\r\n") == NULL);
    CHECK_INT(until_refused("", "$10\r\nxxxxxxxxxx\r\n", most), 0); /* the limits are of one reply, not of a connection */
}

static void formats(void)
{
    struct redis_arg argv[300] = {{"SET", 3}, {"a\r\nb", 4}, {NULL, 0}};
    char *wire;
    size_t len;

    CHECK_INT(redisconn_format(&wire, &len, argv, 3), 0);
    CHECK_INT(len, 29);
    CHECK_MEM(wire, "*3\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n", len);
    free(wire);
    CHECK_INT(redisconn_format(&wire, &len, argv, 0), ERR_INVAL);
    CHECK_INT(redisconn_format(&wire, &len, argv, 300), ERR_INVAL);
    argv[1] = (struct redis_arg){"", REDIS_COMMAND_MAX};
    CHECK_INT(redisconn_format(&wire, &len, argv, 2), ERR_INVAL);
    CHECK(wire == NULL);
}

static struct {
    int calls, err;
    bool inside;
} answer;

static void on_answer(void *ctx, int err, const struct redisReply *reply)
{
    (void)ctx;
    answer.calls++;
    answer.err = err;
    answer.inside = answer.inside || reply;
}

/* Nothing listens at this path: all that happens is deadlines and refusals. */
static void bounded(void)
{
    struct event_base *base = event_base_new();
    struct redis_target target;
    struct redis_arg ping = {"PING", 4};
    struct redis_call *first, *call;
    struct redis *r;
    const char *why;

    memset(&answer, 0, sizeof(answer));
    memset(&target, 0, sizeof(target));
    CHECK_INT(redis_new(&r, base, &target, NULL, NULL), ERR_INVAL);
    CHECK(base && redisurl_parse(&target, "redis+unix:///nonexistent/s", &why) == 0 &&
          redis_new(&r, base, &target, NULL, NULL) == 0);
    CHECK_INT(redis_command(r, NULL, 0, &ping, 1, 60000, on_answer, NULL, &first), 0);
    for (int i = 1; i < REDIS_PENDING_MAX; i++)
        CHECK_INT(redis_command(r, NULL, 0, &ping, 1, 60000, on_answer, NULL, NULL), 0);
    CHECK_INT(redis_command(r, NULL, 0, &ping, 1, 60000, on_answer, NULL, &call), 0);
    CHECK_INT(answer.calls, 0); /* never from within */
    CHECK_INT(redis_health(r)->refused, 1);
    event_base_loop(base, EVLOOP_NONBLOCK);
    CHECK_INT(answer.calls, 1);
    CHECK_INT(answer.err, ERR_NOSPC);
    redis_cancel(&first);
    CHECK(first == NULL);
    redis_cancel(&first);
    CHECK_INT(redis_command(r, NULL, 0, &ping, 1, 0, on_answer, NULL, NULL), 0);
    while (answer.calls == 1)
        event_base_loop(base, EVLOOP_ONCE);
    CHECK_INT(answer.err, ERR_TIMEDOUT);
    CHECK_INT(redis_health(r)->pending, REDIS_PENDING_MAX - 1);
    CHECK(!redis_health(r)->ready && strstr(redis_health(r)->reason, "/nonexistent/s"));
    redis_free(&r);
    CHECK(r == NULL);
    redis_free(&r);
    event_base_loop(base, EVLOOP_NONBLOCK);
    CHECK_INT(answer.calls, 2);
    event_base_free(base);
}

static const struct tap_test tests[] = {
    {"redis: the slot of a key, by its hash tag", slots_of_keys},
    {"redis: which errors of Redis are followed", errors},
    {"redis: a redirect that makes no sense is not followed", bad_redirects},
    {"redis: CLUSTER SLOTS of Redis 3 to 7, and nonsense", tables},
    {"redis: a sentinel's answer, and its news of a switch", sentinels},
    {"F8 a reply's bytes, elements and depth have limits", limits},
    {"S23 a command is formatted by length and bounded", formats},
    {"redis: pending commands are bounded, cancelled and freed ones silent", bounded},
};

TAP_MAIN(tests)
