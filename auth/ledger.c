#include "auth/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/map.h"

enum { SLOTS = 1024 };

/* One label or token of an owner, waiting for its flush. */
struct line {
    struct map_node by_text;
    TAILQ_ENTRY(line) link;
    struct owner *owner;
    bool is_token;
    uint64_t max_bytes;
    struct auth_used used;
    uint64_t peak;
    char text[];
};

TAILQ_HEAD(lines, line);

struct owner {
    struct map_node by_name;
    TAILQ_ENTRY(owner) link; /* of those that are due */
    bool is_due;
    struct lines labels, tokens; /* not in a flush yet */
    struct flush *flush;         /* not answered yet; NULL: none */
    char name[];
};

TAILQ_HEAD(owners, owner);

/* With room for as many lines as it has: whoever has used something has one while the store refuses it. */
struct flush {
    struct ledger_flush flush;
    struct owner *owner;
    bool sent;          /* and not answered */
    struct lines lines; /* whose texts it borrows */
    struct ledger_line line[];
};

struct ledger {
    struct map owners, lines;
    struct owners due;
    size_t waiting; /* lines, those in flushes included */
    uint64_t sequence, lost;
};

static struct flush *of_flush(const struct ledger_flush *f)
{
    return (struct flush *)(void *)(uintptr_t)f; /* the first member */
}

int ledger_new(struct ledger **out)
{
    struct ledger *l = calloc(1, sizeof(*l));
    int err = l ? map_init(&l->owners, SLOTS) : ERR_NOMEM;

    *out = NULL;
    if (!err)
        err = map_init(&l->lines, SLOTS);
    if (err) {
        ledger_free(&l);
        return err;
    }
    TAILQ_INIT(&l->due);
    *out = l;
    return 0;
}

static void free_lines(struct ledger *l, struct lines *lines)
{
    struct line *line;

    while ((line = TAILQ_FIRST(lines))) {
        TAILQ_REMOVE(lines, line, link);
        l->waiting--;
        free(line);
    }
}

static void free_flush(struct ledger *l, struct flush *f)
{
    if (f)
        free_lines(l, &f->lines);
    free(f);
}

static void free_owner(struct map_node *n, void *ctx)
{
    struct owner *o = (struct owner *)(void *)n; /* the node is the first member */

    free_lines(ctx, &o->labels);
    free_lines(ctx, &o->tokens);
    free_flush(ctx, o->flush);
    free(o);
}

void ledger_free(struct ledger **l)
{
    if (!*l)
        return;
    if ((*l)->owners.slots)
        map_each(&(*l)->owners, free_owner, *l);
    map_deinit(&(*l)->owners);
    map_deinit(&(*l)->lines);
    free(*l);
    *l = NULL;
}

/* ---- Adding. ---- */

static struct owner *owner_of(struct ledger *l, const char *name)
{
    size_t len = strlen(name);
    uint64_t hash = map_hash(&l->owners, name, len);
    struct owner *o;

    for (struct map_node *n = map_first(&l->owners, hash); n; n = map_next(n)) {
        o = (struct owner *)(void *)n;
        if (strcmp(o->name, name) == 0)
            return o;
    }
    o = calloc(1, sizeof(*o) + len + 1);
    if (!o)
        return NULL;
    memcpy(o->name, name, len);
    TAILQ_INIT(&o->labels);
    TAILQ_INIT(&o->tokens);
    map_insert(&l->owners, &o->by_name, hash);
    return o;
}

static bool is_idle(const struct owner *o)
{
    return !o->flush && TAILQ_EMPTY(&o->labels) && TAILQ_EMPTY(&o->tokens);
}

static void drop_if_idle(struct ledger *l, struct owner *o)
{
    if (!is_idle(o))
        return;
    assert(!o->is_due);
    map_remove(&l->owners, &o->by_name);
    free(o);
}

static struct line *find_line(const struct ledger *l, const struct owner *o, bool is_token, const char *text, uint64_t hash)
{
    for (struct map_node *n = map_first(&l->lines, hash); n; n = map_next(n)) {
        struct line *line = (struct line *)(void *)n; /* the node is the first member */

        if (line->owner == o && line->is_token == is_token && strcmp(line->text, text) == 0)
            return line;
    }
    return NULL;
}

/* ERR_NOSPC: as many wait as may. */
static int line_of(struct line **out, struct ledger *l, struct owner *o, bool is_token, const char *text)
{
    size_t len = strlen(text);
    uint64_t hash = map_hash(&l->lines, text, len) ^ (uintptr_t)o;
    struct line *line = find_line(l, o, is_token, text, hash);

    *out = line;
    if (line)
        return 0;
    if (l->waiting >= LEDGER_WAITING_MAX)
        return ERR_NOSPC;
    line = calloc(1, sizeof(*line) + len + 1);
    if (!line)
        return ERR_NOMEM;
    line->owner = o;
    line->is_token = is_token;
    memcpy(line->text, text, len);
    map_insert(&l->lines, &line->by_text, hash);
    l->waiting++;
    TAILQ_INSERT_TAIL(is_token ? &o->tokens : &o->labels, line, link);
    *out = line;
    return 0;
}

/* What began and ended between two looks was one, at least. */
static void add_used(struct line *line, const struct auth_used *more, uint32_t held)
{
    for (int i = 0; i < AUTH_USED_N; i++)
        line->used.n[i] += more->n[i];
    if (!held && more->n[AUTH_USED_ALLOCATIONS])
        held = 1;
    if (held > line->peak)
        line->peak = held;
}

/* Both lines, or none: one that was made and not added to is flushed, and changes nothing. */
int ledger_add(void *ledger, const struct usage_who *who, const struct auth_used *more)
{
    struct ledger *l = ledger;
    struct owner *o = owner_of(l, who->owner);
    struct line *label, *token = NULL;
    int err = o ? line_of(&label, l, o, false, who->label) : ERR_NOMEM;

    if (!err && who->token)
        err = line_of(&token, l, o, true, who->token);
    if (!err)
        add_used(label, more, who->held);
    if (!err && token) {
        add_used(token, more, who->held);
        token->max_bytes = who->max_bytes;
    }
    if (o)
        drop_if_idle(l, o);
    if (err != ERR_NOSPC)
        return err;
    l->lost++;
    return 0;
}

/* ---- Flushing. ---- */

static void make_due(struct ledger *l, struct owner *o)
{
    if (!o->is_due)
        TAILQ_INSERT_TAIL(&l->due, o, link);
    o->is_due = true;
}

static void begin(struct map_node *n, void *ctx)
{
    struct owner *o = (struct owner *)(void *)n;

    if (!o->flush || !o->flush->sent)
        make_due(ctx, o);
}

void ledger_begin(struct ledger *l)
{
    map_each(&l->owners, begin, l);
}

static size_t count_lines(const struct lines *lines)
{
    const struct line *line;
    size_t n = 0;

    TAILQ_FOREACH(line, lines, link)
    if (++n == LEDGER_LINES_MAX)
        break;
    return n;
}

/* The oldest lines of one sort, out of the tables: what is used from now on makes new ones. */
static void cut(struct ledger *l, struct flush *f, struct lines *from, struct ledger_line *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct line *line = TAILQ_FIRST(from);

        TAILQ_REMOVE(from, line, link);
        map_remove(&l->lines, &line->by_text);
        to[i] = (struct ledger_line){line->text, line->max_bytes, line->used, line->peak};
        TAILQ_INSERT_TAIL(&f->lines, line, link);
    }
}

static struct flush *make_flush(struct ledger *l, struct owner *o, int64_t wall)
{
    size_t nlabels = count_lines(&o->labels), ntokens = count_lines(&o->tokens);
    struct flush *f = calloc(1, sizeof(*f) + (nlabels + ntokens) * sizeof(f->line[0]));

    if (!f)
        return NULL;
    f->owner = o;
    TAILQ_INIT(&f->lines);
    f->flush = (struct ledger_flush){.owner = o->name,
                                     .sequence = ++l->sequence,
                                     .wall = wall,
                                     .nlabels = nlabels,
                                     .ntokens = ntokens,
                                     .labels = f->line,
                                     .tokens = f->line + nlabels};
    cut(l, f, &o->labels, f->line, nlabels);
    cut(l, f, &o->tokens, f->line + nlabels, ntokens);
    return f;
}

const struct ledger_flush *ledger_next(struct ledger *l, int64_t wall)
{
    struct owner *o = TAILQ_FIRST(&l->due);

    if (o && !o->flush)
        o->flush = make_flush(l, o, wall);
    if (!o || !o->flush)
        return NULL;
    TAILQ_REMOVE(&l->due, o, link);
    o->is_due = false;
    o->flush->sent = true;
    return &o->flush->flush;
}

void ledger_done(struct ledger *l, const struct ledger_flush *flush)
{
    struct flush *f = of_flush(flush);
    struct owner *o = f->owner;

    o->flush = NULL;
    free_flush(l, f);
    if (!is_idle(o))
        make_due(l, o); /* more than one flush can hold, or used meanwhile */
    drop_if_idle(l, o);
}

void ledger_again(struct ledger *l, const struct ledger_flush *flush)
{
    (void)l;
    of_flush(flush)->sent = false;
}

bool ledger_empty(const struct ledger *l)
{
    return l->owners.count == 0;
}

uint64_t ledger_lost(const struct ledger *l)
{
    return l->lost;
}
