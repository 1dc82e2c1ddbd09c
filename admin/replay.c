#include <stdlib.h>
#include <string.h>

#include "admin/adminparts.h"
#include "base/err.h"

struct replay {
    char *name; /* NULL: free */
    char digest[ADMIN_ETAG_MAX];
    uint64_t since_ms;
    bool running;
    struct admin_answer answer;
};

struct replays {
    struct replay replay[ADMIN_REPLAYS_MAX];
};

int replays_new(struct replays **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : ERR_NOMEM;
}

static void forget(struct replay *r)
{
    admin_answer_clear(&r->answer);
    free(r->name);
    *r = (struct replay){0};
}

void replays_free(struct replays **r)
{
    if (!*r)
        return;
    for (size_t i = 0; i < ADMIN_REPLAYS_MAX; i++)
        forget(&(*r)->replay[i]);
    free(*r);
    *r = NULL;
}

static struct replay *find(struct replays *rs, const char *name)
{
    for (size_t i = 0; i < ADMIN_REPLAYS_MAX; i++)
        if (rs->replay[i].name && strcmp(rs->replay[i].name, name) == 0)
            return &rs->replay[i];
    return NULL;
}

static bool is_over(const struct replay *r, uint64_t now_ms)
{
    return !r->running && now_ms - r->since_ms > ADMIN_REPLAY_MS;
}

void replays_sweep(struct replays *rs, uint64_t now_ms)
{
    for (size_t i = 0; i < ADMIN_REPLAYS_MAX; i++)
        if (rs->replay[i].name && is_over(&rs->replay[i], now_ms))
            forget(&rs->replay[i]);
}

/* A free one, or the oldest that has its answer. */
static struct replay *room(struct replays *rs)
{
    struct replay *oldest = NULL;

    for (size_t i = 0; i < ADMIN_REPLAYS_MAX; i++) {
        struct replay *r = &rs->replay[i];

        if (!r->name)
            return r;
        if (!r->running && (!oldest || r->since_ms < oldest->since_ms))
            oldest = r;
    }
    if (oldest)
        forget(oldest);
    return oldest;
}

static void copy(struct admin_answer *to, const struct admin_answer *from)
{
    *to = *from;
    to->text = NULL; /* no POST answers with a text, nor with an ETag */
    to->version = NULL;
    to->body = json_incref(from->body);
}

enum replay_state replay_find(struct replays *rs, const char *name, const char *digest, uint64_t now_ms,
                              struct admin_answer *answer)
{
    struct replay *r = find(rs, name);

    if (r && is_over(r, now_ms)) {
        forget(r);
        r = NULL;
    }
    if (r) {
        if (strcmp(r->digest, digest) != 0)
            return REPLAY_OTHER;
        if (r->running)
            return REPLAY_RUNNING;
        copy(answer, &r->answer);
        return REPLAY_KEPT;
    }
    r = room(rs);
    if (!r || !(r->name = strdup(name)))
        return REPLAY_NEW; /* it can't be told from a repetition: better than to refuse it */
    snprintf(r->digest, sizeof(r->digest), "%s", digest);
    r->since_ms = now_ms;
    r->running = true;
    return REPLAY_NEW;
}

void replay_keep(struct replays *rs, const char *name, const struct admin_answer *answer)
{
    struct replay *r = find(rs, name);

    if (!r)
        return;
    copy(&r->answer, answer);
    r->running = false;
}

void replay_forget(struct replays *rs, const char *name)
{
    struct replay *r = find(rs, name);

    if (r)
        forget(r);
}
