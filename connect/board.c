#include "connect/board.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/err.h"

struct board_entry {
    TAILQ_ENTRY(board_entry) all;
    struct board *board;
    char *id, *tenant, *user, *name;
    bool connected;
    struct addr client; /* the last one, as `since` */
    int64_t since, status_at;
    char *status; /* NULL: none yet */
};

/* The lock is held for as long as a list is made at most: nobody's packet waits for it. */
struct board {
    pthread_mutex_t lock;
    TAILQ_HEAD(, board_entry) entries;
};

int board_new(struct board **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return ERR_NOMEM;
    pthread_mutex_init(&(*out)->lock, NULL);
    TAILQ_INIT(&(*out)->entries);
    return 0;
}

void board_free(struct board **b)
{
    if (!*b)
        return;
    pthread_mutex_destroy(&(*b)->lock);
    free(*b);
    *b = NULL;
}

/* ---- The connect thread. ---- */

static void free_entry(struct board_entry *e)
{
    free(e->id);
    free(e->tenant);
    free(e->user);
    free(e->name);
    free(e->status);
    free(e);
}

int board_add(struct board_entry **out, struct board *b, const struct board_config *config)
{
    struct board_entry *e = calloc(1, sizeof(*e));

    *out = NULL;
    if (!e)
        return ERR_NOMEM;
    e->board = b;
    e->id = strdup(config->id);
    e->tenant = strdup(config->tenant);
    e->user = strdup(config->user);
    e->name = strdup(config->name);
    if (!e->id || !e->tenant || !e->user || !e->name) {
        free_entry(e);
        return ERR_NOMEM;
    }
    pthread_mutex_lock(&b->lock);
    TAILQ_INSERT_TAIL(&b->entries, e, all);
    pthread_mutex_unlock(&b->lock);
    *out = e;
    return 0;
}

void board_remove(struct board_entry **slot)
{
    struct board_entry *e = *slot;

    *slot = NULL;
    if (!e)
        return;
    pthread_mutex_lock(&e->board->lock);
    TAILQ_REMOVE(&e->board->entries, e, all);
    pthread_mutex_unlock(&e->board->lock);
    free_entry(e);
}

void board_connected(struct board_entry *e, const struct addr *client, int64_t since)
{
    pthread_mutex_lock(&e->board->lock);
    e->connected = true;
    e->client = *client;
    e->since = since;
    pthread_mutex_unlock(&e->board->lock);
}

void board_gone(struct board_entry *e)
{
    pthread_mutex_lock(&e->board->lock);
    e->connected = false;
    pthread_mutex_unlock(&e->board->lock);
}

void board_status(struct board_entry *e, char **text, int64_t at)
{
    char *old;

    pthread_mutex_lock(&e->board->lock);
    old = e->status;
    e->status = *text;
    e->status_at = at;
    pthread_mutex_unlock(&e->board->lock);
    *text = NULL;
    free(old);
}

/* ---- Any thread. ---- */

static json_t *entry_json(const struct board_entry *e)
{
    char client[ADDR_TEXT_MAX];

    return json_pack("{s:s,s:s,s:s,s:s,s:b,s:s,s:I,s:o,s:s?}", "id", e->id, "tenant", e->tenant, "user", e->user, "name", e->name,
                     "connected", e->connected, "client", addr_text(&e->client, client), "connected_at", (json_int_t)e->since,
                     "status_at", e->status ? json_integer(e->status_at) : json_null(), "status", e->status);
}

json_t *board_list(struct board *b, const char *tenant)
{
    const struct board_entry *e;
    json_t *list = json_array();

    pthread_mutex_lock(&b->lock);
    TAILQ_FOREACH(e, &b->entries, all)
    if (!tenant || strcmp(e->tenant, tenant) == 0)
        json_array_append_new(list, entry_json(e));
    pthread_mutex_unlock(&b->lock);
    return list;
}
