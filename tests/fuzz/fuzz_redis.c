/*
 * What comes back from a server of Redis: the reader of replies, and what reads slots, redirects and sentinels' answers out of them.
 * The first byte says in how large pieces the rest arrives; that may change nothing.
 */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/rediscluster.h"
#include "auth/redisreply.h"
#include "auth/redissentinel.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH_MAX = 9 }; /* eight arrays in each other, and what lies in the innermost */

struct seen {
    size_t replies, items;
    uint64_t sum;
    bool broken;
};

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void check_host(const struct redis_host *host)
{
    need(memchr(host->name, 0, sizeof(host->name)) != NULL && host->port != 0);
    for (const char *p = host->name; *p; p++)
        need(*p > ' ' && *p < 0x7f && *p != '/' && *p != '@');
}

static void on_range(void *ctx, unsigned first, unsigned last, const struct redis_host *host)
{
    need(first <= last && last < REDIS_SLOTS);
    check_host(host);
    *(size_t *)ctx += 1;
}

static void walk(struct seen *seen, const redisReply *r, int depth)
{
    need(depth < DEPTH_MAX);
    seen->items++;
    seen->sum = seen->sum * 31 + (uint64_t)r->type;
    switch (r->type) {
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < r->elements; i++)
            walk(seen, r->element[i], depth + 1);
        break;
    case REDIS_REPLY_INTEGER:
        seen->sum += (uint64_t)r->integer;
        break;
    case REDIS_REPLY_NIL:
        break;
    default:
        need(r->str[r->len] == '\0');
        for (size_t i = 0; i < r->len; i++)
            seen->sum = seen->sum * 31 + (unsigned char)r->str[i];
        break;
    }
}

static void use(const redisReply *r)
{
    struct redis_host host;
    size_t ranges = 0;
    unsigned slot = REDIS_SLOTS;
    enum rediscluster_error error = rediscluster_error(r, &slot, &host);

    need(error == REDISCLUSTER_NONE || r->type == REDIS_REPLY_ERROR);
    if (error == REDISCLUSTER_MOVED || error == REDISCLUSTER_ASK) {
        need(slot < REDIS_SLOTS);
        check_host(&host);
    }
    if (rediscluster_slots(r, on_range, &ranges) == 0)
        need(r->type == REDIS_REPLY_ARRAY && ranges <= r->elements);
    if (redissentinel_answer(&host, r) == 0)
        check_host(&host);
    if (redissentinel_switch(&host, r, "mymaster") == 0)
        check_host(&host);
}

static struct seen read_all(const uint8_t *data, size_t size, size_t piece)
{
    struct redisreply_reader *reader;
    struct seen seen = {0};

    if (redisreply_new(&reader))
        return seen;
    for (size_t at = 0; at < size && !seen.broken; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        redisReply *reply;
        int got = redisreply_feed(reader, data + at, n) ? -1 : 1;
        while (got == 1 && (got = redisreply_next(reader, &reply)) == 1) {
            seen.replies++;
            walk(&seen, reply, 0);
            use(reply);
            redisreply_done(reply);
        }
        seen.broken = got < 0;
        need(seen.broken == (*redisreply_why(reader) != '\0'));
    }
    redisreply_free(&reader);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, pieces;

    if (size < 2)
        return 0;
    whole = read_all(data + 1, size - 1, REDIS_REPLY_CHUNK);
    pieces = read_all(data + 1, size - 1, (size_t)data[0] + 1);
    need(whole.replies == pieces.replies && whole.items == pieces.items && whole.sum == pieces.sum &&
         whole.broken == pieces.broken);
    need(whole.items <= size);
    return 0;
}
