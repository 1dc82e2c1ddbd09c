#include "connect/probes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/err.h"
#include "connect/deskparts.h"

_Static_assert((int)PROBES_ID_MAX == (int)DESK_ID_MAX, "sessions and runs have ids alike");

enum state { RUNNING, DONE, FAILED };

struct probe {
    TAILQ_ENTRY(probe) all;
    char id[PROBES_ID_MAX];
    char *bridge, *tenant, *name;
    bool quick;
    enum state state;
    int64_t began, ended; /* wall clock, seconds; 0: it goes on */
    uint64_t began_ms;
    uint64_t heard_ms; /* when there was something new */
    unsigned done, of;
    const char *verdict; /* NULL: none */
    char *report, *error;
    bool changed; /* since probes_news */
    bool spare;   /* newer ones say more of this bridge, or it is gone */
};

struct probes {
    pthread_mutex_t lock;
    TAILQ_HEAD(all_probes, probe) all; /* the newest first */
};

int probes_new(struct probes **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return ERR_NOMEM;
    pthread_mutex_init(&(*out)->lock, NULL);
    TAILQ_INIT(&(*out)->all);
    return 0;
}

static void free_probe(struct probe *r)
{
    free(r->bridge);
    free(r->tenant);
    free(r->name);
    free(r->report);
    free(r->error);
    free(r);
}

void probes_free(struct probes **pp)
{
    struct probes *p = *pp;
    struct probe *r, *next;

    *pp = NULL;
    if (!p)
        return;
    for (r = TAILQ_FIRST(&p->all); r; r = next) {
        next = TAILQ_NEXT(r, all);
        free_probe(r);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- Under the lock. ---- */

static struct probe *find(const struct probes *p, const char *id)
{
    struct probe *r;

    TAILQ_FOREACH(r, &p->all, all)
    if (strcmp(r->id, id) == 0)
        return r;
    return NULL;
}

static bool runs_at(const struct probe *r, const char *bridge)
{
    return r->state == RUNNING && strcmp(r->bridge, bridge) == 0;
}

static bool is_busy(const struct probes *p, const char *bridge)
{
    const struct probe *r;

    TAILQ_FOREACH(r, &p->all, all)
    if (runs_at(r, bridge))
        return true;
    return false;
}

/* The oldest of those that nobody misses make room; an end is told first. */
static void trim(struct probes *p)
{
    struct probe *r, *older;
    unsigned n = 0;

    for (r = TAILQ_FIRST(&p->all); r; r = older) {
        older = TAILQ_NEXT(r, all);
        if (r->spare && !r->changed && ++n > PROBES_KEPT) {
            TAILQ_REMOVE(&p->all, r, all);
            free_probe(r);
        }
    }
}

/* A report stands until there is another one: a run that has failed proves nothing. All others of this bridge are older. */
static void end(struct probe *r, enum state state, const struct now *now)
{
    r->state = state;
    r->ended = now->wall;
    r->changed = true;
    for (struct probe *older = TAILQ_NEXT(r, all); older; older = TAILQ_NEXT(older, all))
        if (strcmp(older->bridge, r->bridge) == 0 && (state == DONE || older->state == FAILED))
            older->spare = true;
}

static void fail(struct probe *r, const char *why, const struct now *now)
{
    r->error = strdup(why); /* with no memory it has failed for a reason that is not told */
    end(r, FAILED, now);
}

/* What the bridge may say something of. */
static int find_running(struct probe **out, const struct probes *p, const char *id, const char *bridge)
{
    struct probe *r = find(p, id);

    *out = r;
    if (!r || strcmp(r->bridge, bridge) != 0)
        return ERR_NOENT;
    return r->state == RUNNING ? 0 : ERR_STALE;
}

/* ---- The control thread. ---- */

int probes_begin(char id[static PROBES_ID_MAX], struct probes *p, const struct probes_config *config, const struct now *now)
{
    struct probe *r = calloc(1, sizeof(*r));
    bool busy;

    if (!r)
        return ERR_NOMEM;
    desk_id(r->id, 'p');
    r->bridge = strdup(config->bridge);
    r->tenant = strdup(config->tenant);
    r->name = strdup(config->name);
    r->quick = config->quick;
    r->began = now->wall;
    r->began_ms = r->heard_ms = now->ms;
    if (!r->bridge || !r->tenant || !r->name) {
        free_probe(r);
        return ERR_NOMEM;
    }
    memcpy(id, r->id, sizeof(r->id));
    pthread_mutex_lock(&p->lock);
    busy = is_busy(p, r->bridge);
    if (!busy) {
        TAILQ_INSERT_HEAD(&p->all, r, all);
        trim(p);
    }
    pthread_mutex_unlock(&p->lock);
    if (busy)
        free_probe(r);
    return busy ? ERR_EXIST : 0;
}

/* ---- The connect thread. ---- */

bool probes_asked(struct probes *p, const char *id, char bridge[static PROBES_ID_MAX], bool *quick)
{
    const struct probe *r;
    bool runs;

    pthread_mutex_lock(&p->lock);
    r = find(p, id);
    runs = r && r->state == RUNNING;
    if (runs) {
        snprintf(bridge, PROBES_ID_MAX, "%s", r->bridge);
        *quick = r->quick;
    }
    pthread_mutex_unlock(&p->lock);
    return runs;
}

int probes_progress(struct probes *p, const char *id, const char *bridge, unsigned done, unsigned of, const struct now *now)
{
    struct probe *r;
    int err;

    pthread_mutex_lock(&p->lock);
    err = find_running(&r, p, id, bridge);
    if (!err && done > r->done) /* who says the same again and again, or goes back, does not get on */
        r->heard_ms = now->ms;
    if (!err && (done > r->done || (of && !r->of))) { /* each is told to all who watch: so many times and no more */
        r->done = done;
        r->of = of;
        r->changed = true;
    }
    pthread_mutex_unlock(&p->lock);
    return err;
}

int probes_done(struct probes *p, const char *id, const char *bridge, struct probereport *report, const struct now *now)
{
    struct probe *r;
    int err;

    pthread_mutex_lock(&p->lock);
    err = find_running(&r, p, id, bridge);
    if (!err) {
        r->report = report->text;
        report->text = NULL;
        r->verdict = report->verdict;
        r->done = r->of = report->rules;
        end(r, DONE, now);
    }
    pthread_mutex_unlock(&p->lock);
    return err;
}

int probes_failed(struct probes *p, const char *id, const char *bridge, const char *why, const struct now *now)
{
    struct probe *r;
    int err;

    pthread_mutex_lock(&p->lock);
    err = find_running(&r, p, id, bridge);
    if (!err)
        fail(r, why, now);
    pthread_mutex_unlock(&p->lock);
    return err;
}

void probes_gone(struct probes *p, const char *bridge, const char *why, const struct now *now)
{
    struct probe *r;

    pthread_mutex_lock(&p->lock);
    TAILQ_FOREACH(r, &p->all, all)
    {
        if (runs_at(r, bridge))
            fail(r, why, now);
        if (strcmp(r->bridge, bridge) == 0)
            r->spare = true;
    }
    pthread_mutex_unlock(&p->lock);
}

/* False: it may go on. */
static bool is_late(const struct probe *r, const struct now *now, char why[static PROBES_ERROR_MAX])
{
    uint64_t silent_ms = r->quick ? PROBES_SILENT_QUICK_MS : PROBES_SILENT_MS;
    bool whole = now->ms >= r->began_ms + PROBES_WHOLE_MS, silent = now->ms >= r->heard_ms + silent_ms;

    if (whole)
        snprintf(why, PROBES_ERROR_MAX, "the bridge has come to no end in %d minutes: its log tells why", PROBES_WHOLE_MS / 60000);
    else if (silent)
        snprintf(why, PROBES_ERROR_MAX,
                 "the bridge has said nothing for %u s: an older turnpike-bridge knows no such check (update it); else its log "
                 "tells why",
                 (unsigned)(silent_ms / 1000));
    return whole || silent;
}

void probes_sweep(struct probes *p, const struct now *now)
{
    struct probe *r;
    char why[PROBES_ERROR_MAX];

    pthread_mutex_lock(&p->lock);
    TAILQ_FOREACH(r, &p->all, all)
    if (r->state == RUNNING && is_late(r, now, why))
        fail(r, why, now);
    pthread_mutex_unlock(&p->lock);
}

/* ---- Any thread. ---- */

static const char *state_name(enum state state)
{
    static const char *const NAMES[] = {[RUNNING] = "running", [DONE] = "done", [FAILED] = "failed"};

    return NAMES[state];
}

static json_t *how_far(const struct probe *r)
{
    return json_pack("{s:s,s:s,s:s,s:i,s:i,s:s?,s:s?}", "id", r->id, "bridge", r->bridge, "state", state_name(r->state), "done",
                     (int)r->done, "of", (int)r->of, "verdict", r->verdict, "error", r->error);
}

static json_t *probe_json(const struct probe *r)
{
    json_t *o = how_far(r),
           *more = json_pack("{s:s,s:s,s:b,s:I,s:o}", "tenant", r->tenant, "name", r->name, "quick", r->quick, "began",
                             (json_int_t)r->began, "ended", r->ended ? json_integer(r->ended) : json_null());

    if (!o || !more || json_object_update(o, more)) {
        json_decref(o);
        o = NULL;
    }
    json_decref(more);
    return o;
}

json_t *probes_list(struct probes *p)
{
    const struct probe *r;
    json_t *list = json_array();

    pthread_mutex_lock(&p->lock);
    TAILQ_FOREACH(r, &p->all, all)
    json_array_append_new(list, probe_json(r));
    pthread_mutex_unlock(&p->lock);
    return list;
}

json_t *probes_get(struct probes *p, const char *id)
{
    const struct probe *r;
    json_t *o = NULL;

    pthread_mutex_lock(&p->lock);
    r = find(p, id);
    if (r)
        o = probe_json(r);
    if (o && json_object_set_new(o, "report", r->report ? json_string(r->report) : json_null())) {
        json_decref(o);
        o = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    return o;
}

json_t *probes_news(struct probes *p, bool *running)
{
    struct probe *r;
    json_t *list = json_array(), *news;

    *running = false;
    pthread_mutex_lock(&p->lock);
    TAILQ_FOREACH_REVERSE(r, &p->all, all_probes, all)
    {
        *running = *running || r->state == RUNNING;
        if (!r->changed)
            continue;
        r->changed = false;
        news = how_far(r);
        json_object_set_new(news, "what", json_string(r->state == RUNNING ? "progress" : "done"));
        json_array_append_new(list, news);
    }
    pthread_mutex_unlock(&p->lock);
    return list;
}
