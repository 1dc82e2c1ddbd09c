#include "auth/redisreply.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/err.h"

_Static_assert((int)REDIS_READER_MAX_BUF <= (int)REDIS_REPLY_BYTES_MAX, "an idle reader keeps less than a reply may have");

struct redisreply_reader {
    redisReader *reader;
    redisReplyObjectFunctions limited; /* count, then do what hiredis does */
    const redisReplyObjectFunctions *plain;
    size_t items, bytes; /* of the reply that is being read */
    const char *why;
};

/* A constructor that returns NULL makes hiredis give the whole reply up. */
static bool within(struct redisreply_reader *r, size_t items, size_t bytes)
{
    if (items > REDIS_REPLY_ITEMS_MAX - r->items || bytes > REDIS_REPLY_BYTES_MAX - r->bytes) {
        r->why = "a reply that is too large";
        return false;
    }
    r->items += items;
    r->bytes += bytes;
    return true;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    struct redisreply_reader *r = task->privdata;

    return within(r, 1, len) ? r->plain->createString(task, text, len) : NULL;
}

static void *create_array(const redisReadTask *task, int n)
{
    struct redisreply_reader *r = task->privdata;

    /* The elements count themselves when they come; until then they are room for pointers. */
    if (n > REDIS_REPLY_ITEMS_MAX - (int)r->items) {
        r->why = "a reply that is too large";
        return NULL;
    }
    return within(r, 1, 0) ? r->plain->createArray(task, n) : NULL;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct redisreply_reader *r = task->privdata;

    return within(r, 1, 0) ? r->plain->createInteger(task, value) : NULL;
}

static void *create_nil(const redisReadTask *task)
{
    struct redisreply_reader *r = task->privdata;

    return within(r, 1, 0) ? r->plain->createNil(task) : NULL;
}

int redisreply_new(struct redisreply_reader **out)
{
    struct redisreply_reader *r = calloc(1, sizeof(*r));

    *out = NULL;
    if (!r)
        return ERR_NOMEM;
    r->reader = redisReaderCreate();
    if (!r->reader) {
        free(r);
        return ERR_NOMEM;
    }
    r->plain = r->reader->fn;
    r->limited = (redisReplyObjectFunctions){create_string, create_array, create_integer, create_nil, r->plain->freeObject};
    r->reader->fn = &r->limited;
    r->reader->privdata = r;
    *out = r;
    return 0;
}

void redisreply_free(struct redisreply_reader **r)
{
    if (!*r)
        return;
    redisReaderFree((*r)->reader);
    free(*r);
    *r = NULL;
}

static int broken(struct redisreply_reader *r, const char *why)
{
    if (!r->why)
        r->why = why;
    return ERR_MALFORMED;
}

int redisreply_feed(struct redisreply_reader *r, const void *data, size_t len)
{
    if (r->why || redisReaderFeed(r->reader, data, len) != REDIS_OK)
        return broken(r, "no memory for a reply");
    return 0;
}

int redisreply_next(struct redisreply_reader *r, struct redisReply **reply)
{
    void *got = NULL;

    *reply = NULL;
    if (r->why)
        return ERR_MALFORMED;
    if (redisReaderGetReply(r->reader, &got) != REDIS_OK)
        return broken(r, "bytes that are not Redis's protocol");
    if (!got) {
        /* What waits here is one string or line that is not whole: it would be too large once it is. */
        if (r->reader->len - r->reader->pos > REDIS_REPLY_BYTES_MAX + REDIS_REPLY_CHUNK)
            return broken(r, "a reply that is too large");
        return 0;
    }
    r->items = 0;
    r->bytes = 0;
    *reply = got;
    return 1;
}

void redisreply_done(struct redisReply *reply)
{
    freeReplyObject(reply);
}

const char *redisreply_why(const struct redisreply_reader *r)
{
    return r->why ? r->why : "";
}
