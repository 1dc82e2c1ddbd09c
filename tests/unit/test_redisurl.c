#include "tests/unit/tap.h"

#include "auth/redisurl.h"
#include "base/err.h"

static struct redis_target target;
static const char *why;
static char text[REDIS_DESCRIBE_MAX];

static bool parses(const char *url)
{
    int err = redisurl_parse(&target, url, &why);

    if (err)
        printf("# %s\n", why);
    return err == 0;
}

static const char *described(const char *url)
{
    if (!parses(url))
        return "";
    redisurl_describe(&target, text, sizeof(text));
    return text;
}

static void single(void)
{
    CHECK(parses("redis://:s3cret@redis.example.org:6380/7"));
    CHECK(target.kind == REDIS_SINGLE && !target.tls && target.nhosts == 1);
    CHECK_STR(target.hosts[0].name, "redis.example.org");
    CHECK_INT(target.hosts[0].port, 6380);
    CHECK_INT(target.db, 7);
    CHECK_STR(target.user, "");
    CHECK_STR(target.password, "s3cret");
    CHECK_INT(target.connect_timeout_ms, REDIS_CONNECT_MS);
    CHECK_INT(target.silence_timeout_ms, REDIS_SILENCE_MS);
    CHECK(parses("redis://192.0.2.1"));
    CHECK_INT(target.hosts[0].port, REDIS_PORT);
    CHECK(parses("redis://192.0.2.1/"));
    CHECK_INT(target.db, 0);
    CHECK(parses("redis://[2001:db8::1]:7000?db=3&connect_timeout=2&silence_timeout=9"));
    CHECK_STR(target.hosts[0].name, "2001:db8::1");
    CHECK_INT(target.hosts[0].port, 7000);
    CHECK_INT(target.db, 3);
    CHECK_INT(target.connect_timeout_ms, 2000);
    CHECK_INT(target.silence_timeout_ms, 9000);
}

static void percent(void)
{
    CHECK(parses("redis://us%40er:p%40ss%2Fw%3Aord%25@h/0"));
    CHECK_STR(target.user, "us@er");
    CHECK_STR(target.password, "p@ss/w:ord%");
    CHECK(parses("redis://u:p@ss:word@h"));
    CHECK_STR(target.password, "p@ss:word");
    CHECK(!parses("redis://u:p%4@h"));
    CHECK(!parses("redis://u:p%zz@h"));
    CHECK(!parses("redis://u:p%00@h"));
    CHECK(!parses("redis://u:p%0aq@h"));
}

static void tls(void)
{
    CHECK(parses("rediss://h?cacert=/etc/ca.pem&cert=/etc/c.pem&key=/etc/k.pem"));
    CHECK(target.tls);
    CHECK_STR(target.cacert, "/etc/ca.pem");
    CHECK_STR(target.cert, "/etc/c.pem");
    CHECK_STR(target.key, "/etc/k.pem");
    CHECK(!parses("rediss://h?cert=/etc/c.pem"));
    CHECK(!parses("redis://h?cacert=/etc/ca.pem"));
}

static void unix_socket(void)
{
    CHECK(parses("redis+unix:///run/redis/redis.sock?db=2"));
    CHECK_STR(target.path, "/run/redis/redis.sock");
    CHECK(target.nhosts == 0 && target.db == 2);
    CHECK(parses("redis+unix://u:p@/run/r.sock"));
    CHECK_STR(target.path, "/run/r.sock");
    CHECK_STR(target.password, "p");
    CHECK(!parses("redis+unix://run/r.sock"));
    CHECK(!parses("redis+unix://"));
}

static void fleets(void)
{
    CHECK(parses("redis+sentinel://u:p@a,b:26380,[::1]/mymaster/4?sentinel_user=s&sentinel_password=t%20t"));
    CHECK(target.kind == REDIS_SENTINEL && target.nhosts == 3);
    CHECK_INT(target.hosts[0].port, REDIS_SENTINEL_PORT);
    CHECK_INT(target.hosts[1].port, 26380);
    CHECK_STR(target.hosts[2].name, "::1");
    CHECK_STR(target.master, "mymaster");
    CHECK_INT(target.db, 4);
    CHECK_STR(target.sentinel_user, "s");
    CHECK_STR(target.sentinel_password, "t t");
    CHECK(!parses("redis+sentinel://a"));
    CHECK(!parses("redis://a?sentinel_password=t"));
    CHECK(parses("rediss+cluster://a:7000,b:7001"));
    CHECK(target.kind == REDIS_CLUSTER && target.tls && target.nhosts == 2);
    CHECK(!parses("redis+cluster://a/1"));
    CHECK(!parses("redis://a,b"));
    CHECK(!parses("redis+cluster://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"));
    CHECK(parses("redis+cluster://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"));
}

static void coturn(void)
{
    CHECK(parses("ip=192.0.2.7 dbname=2 user=turn password=a=b://c port=6390 connect_timeout=5"));
    CHECK(target.kind == REDIS_SINGLE && target.nhosts == 1);
    CHECK_STR(target.hosts[0].name, "192.0.2.7");
    CHECK_INT(target.hosts[0].port, 6390);
    CHECK_INT(target.db, 2);
    CHECK_STR(target.user, "turn");
    CHECK_STR(target.password, "a=b://c");
    CHECK_INT(target.connect_timeout_ms, 5000);
    CHECK(parses("  password=p%20"));
    CHECK_STR(target.password, "p%20");
    CHECK_STR(target.hosts[0].name, "127.0.0.1");
    CHECK(parses("ip=::1"));
    CHECK_STR(target.hosts[0].name, "::1");
    CHECK(parses("ip=h user=turn"));
    CHECK_STR(target.user, "");
    CHECK(!parses(""));
    CHECK(!parses("somewhere"));
    CHECK(!parses("ip=h colour=red"));
}

static void refused(void)
{
    static const char *const WRONG[] = {"http://h",
                                        "redis://",
                                        "redis://h:0",
                                        "redis://h:65536",
                                        "redis://h:x",
                                        "redis://h/x",
                                        "redis://h/65536",
                                        "redis://us er@h",
                                        "redis://u@h",
                                        "redis://u:@h",
                                        "redis://h h",
                                        "redis://[::1",
                                        "redis://[::1]x",
                                        "redis://[h]",
                                        "redis://h?connect_timeout=0",
                                        "redis://h?connect_timeout=61",
                                        "redis://h?what=1",
                                        "redis://,",
                                        "ip=h port=0"};

    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        why = NULL;
        if (redisurl_parse(&target, WRONG[i], &why) != ERR_INVAL || !why || !*why)
            printf("# %s\n", WRONG[i]);
        CHECK_INT(redisurl_parse(&target, WRONG[i], &why), ERR_INVAL);
        CHECK(why && *why);
    }
}

static void long_parts(void)
{
    char url[1024], part[300];

    memset(part, 'a', sizeof(part));
    part[REDIS_HOST_MAX] = '\0';
    snprintf(url, sizeof(url), "redis://%s", part);
    CHECK(parses(url));
    snprintf(url, sizeof(url), "redis://%sb", part);
    CHECK(!parses(url));
    snprintf(url, sizeof(url), "redis://:%s@h", part);
    CHECK(parses(url));
    snprintf(url, sizeof(url), "redis://:%sb@h", part);
    CHECK(!parses(url));
}

static void no_secret(void)
{
    static const char *const URLS[] = {
        "redis://zzuser:zzpass@h:1/0",
        "redis+sentinel://zzuser:zzpass@a,b/m/1?sentinel_user=zzuser&sentinel_password=zzpass",
        "ip=h user=zzuser password=zzpass",
        "redis+unix://zzuser:zzpass@/s",
    };

    for (size_t i = 0; i < sizeof(URLS) / sizeof(URLS[0]); i++) {
        CHECK(*described(URLS[i]));
        CHECK(!strstr(text, "zz"));
    }
    CHECK(!parses("redis://zzuser:zzpass@h:zz") && !strstr(why, "zz"));
    CHECK(!parses("password=zzpass zzpass") && !strstr(why, "zz"));
    for (size_t i = 0; i < sizeof(target); i++) /* nothing is left behind after a refusal */
        CHECK_INT(((const unsigned char *)&target)[i], 0);
}

static void describe(void)
{
    CHECK_STR(described("redis://u:p@h"), "redis://h:6379");
    CHECK_STR(described("rediss://[::1]:1/3"), "rediss://[::1]:1/3");
    CHECK_STR(described("redis+unix:///s?db=1"), "redis+unix:///s?db=1");
    CHECK_STR(described("redis+sentinel://a,b:2/m/1"), "redis+sentinel://a:26379,b:2/m/1");
    CHECK_STR(described("rediss+cluster://a"), "rediss+cluster://a:6379");
    CHECK(parses("redis+cluster://aaaaaaaa,bbbbbbbb,cccccccc"));
    for (size_t cap = 1; cap < sizeof(text); cap++) {
        memset(text, 'x', sizeof(text));
        redisurl_describe(&target, text, cap);
        CHECK(memchr(text, 0, cap) && text[cap] == 'x');
    }
}

static const struct tap_test tests[] = {
    {"redisurl: redis:// with host, port, database and time limits", single},
    {"redisurl: percent-encoding of user and password", percent},
    {"redisurl: rediss:// with authority and own certificate", tls},
    {"redisurl: redis+unix://", unix_socket},
    {"redisurl: Sentinel and Cluster with several hosts", fleets},
    {"redisurl: coturn's connection string", coturn},
    {"redisurl: what is wrong is refused with a reason", refused},
    {"redisurl: parts of the longest length are taken, longer ones refused", long_parts},
    {"S24 neither description nor reason shows user or password", no_secret},
    {"redisurl: the description fits its buffer and names the place", describe},
};

TAP_MAIN(tests)
