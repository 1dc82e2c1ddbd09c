#include "programs/peers.h"

#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"

static const char *const SOURCES[PEERS_SOURCES] = {[PEERS_REALM] = "realm", [PEERS_STORED] = "stored"};

struct lists {
    struct conf_list allowed, denied;
};

struct peers {
    struct lists lists[PEERS_SOURCES]; /* the last ones that could be read */
    int (*renew)(void *ctx, char text[static RELAY_TEXT_MAX]);
    void *ctx;
};

static void free_list(struct conf_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->item[i]);
    free(l->item);
    *l = (struct conf_list){0};
}

static void free_lists(struct lists *l)
{
    free_list(&l->allowed);
    free_list(&l->denied);
}

int peers_new(struct peers **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : ERR_NOMEM;
}

void peers_free(struct peers **p)
{
    if (!*p)
        return;
    for (int i = 0; i < PEERS_SOURCES; i++)
        free_lists(&(*p)->lists[i]);
    free(*p);
    *p = NULL;
}

void peers_watch(struct peers *p, int (*renew)(void *ctx, char text[static RELAY_TEXT_MAX]), void *ctx)
{
    p->renew = renew;
    p->ctx = ctx;
}

/* ---- In. ---- */

static int copy(struct conf_list *out, const char *const *entries, size_t n)
{
    int err = 0;

    for (size_t i = 0; i < n && !err; i++)
        err = conf_list_add(out, entries[i]);
    return err;
}

static int split(struct conf_list *out, const char *text)
{
    int err = 0;

    for (text += strspn(text, " "); *text && !err; text += strspn(text, " ")) {
        size_t len = strcspn(text, " ");
        char *entry = strndup(text, len);

        err = entry ? conf_list_add(out, entry) : ERR_NOMEM;
        free(entry);
        text += len;
    }
    return err;
}

/* Takes the lists over. What else has changed for the relay holds also when they can't be read. */
static int renew(struct peers *p, enum peers_source source, struct lists *fresh)
{
    struct lists old = p->lists[source];
    char text[RELAY_TEXT_MAX] = "";
    int err;

    p->lists[source] = *fresh;
    err = p->renew ? p->renew(p->ctx, text) : 0;
    if (!err) {
        free_lists(&old);
        return 0;
    }
    LOG(LOG_ERROR, "peers_refused", LOG_STR("source", SOURCES[source]), LOG_STR("reason", text[0] ? text : err_str(err)));
    free_lists(fresh);
    p->lists[source] = old;
    if (p->renew(p->ctx, text))
        LOG(LOG_ERROR, "settings_refused", LOG_STR("source", SOURCES[source]), LOG_STR("reason", text));
    return err;
}

static int take(struct peers *p, enum peers_source source, struct lists *fresh, int err)
{
    if (!err)
        return renew(p, source, fresh);
    LOG(LOG_ERROR, "peers_refused", LOG_STR("source", SOURCES[source]), LOG_ERR("reason", err));
    free_lists(fresh);
    return err;
}

int peers_set(struct peers *p, enum peers_source source, const struct peers_list *list)
{
    struct lists fresh = {0};
    int err = copy(&fresh.allowed, list->allowed, list->nallowed);

    if (!err)
        err = copy(&fresh.denied, list->denied, list->ndenied);
    return take(p, source, &fresh, err);
}

int peers_set_texts(struct peers *p, enum peers_source source, const char *allowed, const char *denied)
{
    struct lists fresh = {0};
    int err = split(&fresh.allowed, allowed);

    if (!err)
        err = split(&fresh.denied, denied);
    return take(p, source, &fresh, err);
}

/* ---- Out. ---- */

static const char *const *entries_of(const struct conf_list *l)
{
    return (const char *const *)l->item;
}

static struct policy_entries policy_entries_of(const struct lists *l)
{
    return (struct policy_entries){entries_of(&l->allowed), l->allowed.n, entries_of(&l->denied), l->denied.n};
}

void peers_add(const struct peers *p, struct relay_config *rc)
{
    rc->realm = policy_entries_of(&p->lists[PEERS_REALM]);
    rc->stored = policy_entries_of(&p->lists[PEERS_STORED]);
}
