#include "auth/rediscluster.h"

#include <hiredis/hiredis.h>
#include <string.h>

#include "base/err.h"

enum { CRC16_POLYNOMIAL = 0x1021 }; /* XMODEM */

static unsigned crc16(const uint8_t *p, size_t len)
{
    unsigned crc = 0;

    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned)p[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000 ? crc << 1 ^ CRC16_POLYNOMIAL : crc << 1) & 0xffff;
    }
    return crc;
}

unsigned rediscluster_slot(const void *key, size_t len)
{
    const uint8_t *p = key;
    const uint8_t *open = len ? memchr(p, '{', len) : NULL;
    const uint8_t *shut = open ? memchr(open, '}', len - (size_t)(open - p)) : NULL;

    /* The hash tag, unless it is empty. */
    if (shut && shut != open + 1) {
        p = open + 1;
        len = (size_t)(shut - p);
    }
    return crc16(p, len) % REDIS_SLOTS;
}

int rediscluster_host(struct redis_host *out, const char *name, size_t len, long long port)
{
    memset(out, 0, sizeof(*out));
    if (len >= sizeof(out->name) || port < 1 || port > UINT16_MAX)
        return ERR_MALFORMED;
    for (size_t i = 0; i < len; i++) {
        char c = name[i], letter = (char)(c | 0x20);
        if (!((letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == ':'))
            return ERR_MALFORMED;
    }
    memcpy(out->name, name, len);
    out->port = (uint16_t)port;
    return 0;
}

/* [first, last, [host, port, ...], replicas...] */
static int read_range(const redisReply *r, rediscluster_range *range, void *ctx)
{
    const redisReply *node;
    struct redis_host host;
    long long first, last;
    int err;

    if (r->type != REDIS_REPLY_ARRAY || r->elements < 3 || r->element[0]->type != REDIS_REPLY_INTEGER ||
        r->element[1]->type != REDIS_REPLY_INTEGER)
        return ERR_MALFORMED;
    first = r->element[0]->integer;
    last = r->element[1]->integer;
    node = r->element[2];
    if (first < 0 || first > last || last >= REDIS_SLOTS)
        return ERR_MALFORMED;
    if (node->type != REDIS_REPLY_ARRAY || node->elements < 2 || node->element[1]->type != REDIS_REPLY_INTEGER)
        return ERR_MALFORMED;
    if (node->element[0]->type == REDIS_REPLY_STRING && strcmp(node->element[0]->str, "?") == 0)
        return 0; /* its name is not known yet: these slots have no master for now */
    if (node->element[0]->type == REDIS_REPLY_STRING)
        err = rediscluster_host(&host, node->element[0]->str, node->element[0]->len, node->element[1]->integer);
    else if (node->element[0]->type == REDIS_REPLY_NIL) /* cluster-preferred-endpoint-type unknown-endpoint */
        err = rediscluster_host(&host, "", 0, node->element[1]->integer);
    else
        err = ERR_MALFORMED;
    if (!err)
        range(ctx, (unsigned)first, (unsigned)last, &host);
    return err;
}

int rediscluster_slots(const struct redisReply *reply, rediscluster_range *range, void *ctx)
{
    int err = 0;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements > REDIS_SLOTS)
        return ERR_MALFORMED;
    for (size_t i = 0; i < reply->elements && !err; i++)
        err = read_range(reply->element[i], range, ctx);
    return err;
}

/* A decimal number up to `end`, or -1. */
static long long digits(const char *p, const char *end)
{
    long long v = 0;

    if (p == end || end - p > 5)
        return -1;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return -1;
        v = v * 10 + (*p - '0');
    }
    return v;
}

/* "MOVED 3999 127.0.0.1:6381"; an IPv6 address has no brackets, the host may be missing. */
static bool redirect(const redisReply *reply, unsigned *slot, struct redis_host *host)
{
    const char *end = reply->str + reply->len, *blank = memchr(reply->str, ' ', reply->len), *second, *colon;
    long long number, port;

    if (!blank)
        return false;
    second = memchr(blank + 1, ' ', (size_t)(end - blank - 1));
    if (!second)
        return false;
    colon = memrchr(second + 1, ':', (size_t)(end - second - 1));
    if (!colon)
        return false;
    number = digits(blank + 1, second);
    port = digits(colon + 1, end);
    if (number < 0 || number >= REDIS_SLOTS || rediscluster_host(host, second + 1, (size_t)(colon - second - 1), port))
        return false;
    *slot = (unsigned)number;
    return true;
}

enum rediscluster_error rediscluster_error(const struct redisReply *reply, unsigned *slot, struct redis_host *host)
{
    static const struct {
        const char *code;
        enum rediscluster_error error;
    } codes[] = {
        {"MOVED", REDISCLUSTER_MOVED},      {"ASK", REDISCLUSTER_ASK},         {"CLUSTERDOWN", REDISCLUSTER_DOWN},
        {"TRYAGAIN", REDISCLUSTER_WAIT},    {"READONLY", REDISCLUSTER_LEAVE},  {"LOADING", REDISCLUSTER_LEAVE},
        {"MASTERDOWN", REDISCLUSTER_LEAVE}, {"UNBLOCKED", REDISCLUSTER_LEAVE},
    };

    if (reply->type != REDIS_REPLY_ERROR)
        return REDISCLUSTER_NONE;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        size_t n = strlen(codes[i].code);
        if (reply->len < n || memcmp(reply->str, codes[i].code, n) != 0 || (reply->len > n && reply->str[n] != ' '))
            continue;
        if ((codes[i].error == REDISCLUSTER_MOVED || codes[i].error == REDISCLUSTER_ASK) && !redirect(reply, slot, host))
            return REDISCLUSTER_NONE;
        return codes[i].error;
    }
    return REDISCLUSTER_NONE;
}
