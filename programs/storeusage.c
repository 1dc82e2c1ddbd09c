#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "programs/storeparts.h"

enum {
    HOURS_SHOWN_S = TOKENSTORE_DAY_S, /* how far back, unless asked, */
    DAYS_SHOWN_S = 30 * TOKENSTORE_DAY_S,
    SUMS_MAX = 2000,  /* of hours or days, or of all time, that one page asks about: where few have used anything it is short, */
    OWNERS_MAX = 500, /* likewise; and the next one goes on */
    TEXT_MAX = STUN_USERNAME_MAX,
    ESCAPED_MAX = 3 * TEXT_MAX + 1,
    ID_MAX = 2 * ESCAPED_MAX + 32,
};

/*
 * Lines go by owner, then by time, then by label. An entry's id says all three, and is the cursor behind it: so a page begins where the one before
 * has ended, whatever has been used meanwhile.
 */
struct place {
    char owner[TEXT_MAX + 1];
    int64_t from;
    char label[TEXT_MAX + 1];
};
static const int64_t END = INT64_MAX; /* `from` behind all lines of an owner */

struct line {
    int64_t from;
    char *label;
    struct auth_used used;
    uint64_t peak;
};

struct query {
    struct tokenstore_period period;
    const char *label; /* NULL: each */
    int64_t limit;
    bool behind; /* a place: only what comes after it */
    struct place place;
    json_t *items;
    bool full;     /* there are more */
    char **owners; /* to be asked about, in order */
    size_t nowners;
    struct line *lines; /* of one owner */
    size_t nlines;
    bool nomem;
};

/* ---- Places as text. ---- */

static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("-._~", c));
}

static const char DIGITS[] = "0123456789ABCDEF";

static size_t escape(char *out, const char *text)
{
    size_t n = 0;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (is_plain(*text)) {
            out[n++] = *text;
        } else {
            out[n++] = '%';
            out[n++] = DIGITS[c >> 4];
            out[n++] = DIGITS[c & 0xF];
        }
    }
    out[n] = '\0';
    return n;
}

static void write_place(char out[static ID_MAX], const char *owner, int64_t from, const char *label)
{
    size_t n = escape(out, owner);

    n += (size_t)snprintf(out + n, ID_MAX - n, ":%lld:", (long long)from);
    escape(out + n, label);
}

static int digit(char c)
{
    const char *p = c ? strchr(DIGITS, c) : NULL;

    return p ? (int)(p - DIGITS) : -1;
}

/* Up to a colon or the end; NULL: it is not written like that. */
static const char *unescape(char out[static TEXT_MAX + 1], const char *text)
{
    size_t n = 0;

    for (; *text && *text != ':'; text++) {
        int high = -1, low = -1;

        if (*text == '%' && (high = digit(text[1])) >= 0)
            low = digit(text[2]);
        if (n == TEXT_MAX || (*text == '%' && (low < 0 || (high == 0 && low == 0))))
            return NULL;
        out[n++] = (char)(*text == '%' ? high << 4 | low : *text);
        text += *text == '%' ? 2 : 0;
    }
    out[n] = '\0';
    return text;
}

static bool read_place(struct place *p, const char *text)
{
    char *end;
    const char *at = unescape(p->owner, text);

    if (!at || *at != ':' || at[1] < '0' || at[1] > '9')
        return false;
    p->from = strtoll(at + 1, &end, 10);
    if (*end != ':')
        return false;
    at = unescape(p->label, end + 1);
    return at && !*at;
}

/* ---- What is asked for. ---- */

static bool read_span(const struct admin_request *r, struct query *q, struct admin_answer *a)
{
    static const char *const SPANS[] = {[TOKENSTORE_ALL] = "total", [TOKENSTORE_HOUR] = "hour", [TOKENSTORE_DAY] = "day"};
    const char *by;

    if (!admin_text(r, "by", TEXT_MAX, &by, a))
        return false;
    for (int i = TOKENSTORE_ALL; i <= TOKENSTORE_DAY; i++)
        if (strcmp(SPANS[i], by ? by : SPANS[TOKENSTORE_ALL]) == 0) {
            q->period.span = (enum tokenstore_span)i;
            return true;
        }
    admin_answer_problem(a, 400, "by: hour, day or total is expected");
    return false;
}

/* Never further back than it is kept. */
static bool read_period(const struct admin_request *r, struct query *q, struct admin_answer *a)
{
    bool hour = q->period.span == TOKENSTORE_HOUR;
    int64_t kept = r->now - (hour ? TOKENSTORE_HOURS_S : TOKENSTORE_DAYS_S), shown = r->now - (hour ? HOURS_SHOWN_S : DAYS_SHOWN_S);

    if (!admin_number(r, "since", 0, INT64_MAX, -1, &q->period.since, a) ||
        !admin_number(r, "until", 0, INT64_MAX, -1, &q->period.until, a))
        return false;
    if (q->period.span == TOKENSTORE_ALL && (q->period.since >= 0 || q->period.until >= 0)) {
        admin_answer_problem(a, 400, "since, until: with by=hour or by=day; what was used in all has no time");
        return false;
    }
    if (q->period.since < 0)
        q->period.since = shown;
    if (q->period.since < kept)
        q->period.since = kept;
    if (q->period.until < 0 || q->period.until > r->now + 1)
        q->period.until = r->now + 1;
    return true;
}

static bool read_query(const struct admin_request *r, struct query *q, struct admin_answer *a)
{
    const char *cursor;

    if (!admin_text(r, "owner", TEXT_MAX, &q->period.owner, a) || !admin_text(r, "label", TEXT_MAX, &q->label, a) ||
        !admin_number(r, "limit", 1, ADMIN_PAGE_MAX, ADMIN_PAGE, &q->limit, a) || !admin_text(r, "cursor", ID_MAX, &cursor, a) ||
        !read_span(r, q, a) || !read_period(r, q, a))
        return false;
    q->behind = cursor != NULL;
    if (!cursor || read_place(&q->place, cursor))
        return true;
    admin_answer_problem(a, 400, "cursor: this is none of this list: begin anew without");
    return false;
}

/* ---- One owner's lines, in order. ---- */

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return strcmp(x->label, y->label);
}

static bool take_line(void *ctx, const struct tokenstore_usage *u)
{
    struct query *q = ctx;
    struct line *grown;

    if (q->label && strcmp(q->label, u->label) != 0)
        return true;
    grown = reallocarray(q->lines, q->nlines + 1, sizeof(*grown));
    q->nomem = !grown;
    if (!grown)
        return false;
    q->lines = grown;
    q->lines[q->nlines] = (struct line){u->from, strdup(u->label), u->used, u->peak};
    q->nomem = !q->lines[q->nlines].label;
    q->nlines += !q->nomem;
    return !q->nomem;
}

static void drop_lines(struct query *q)
{
    for (size_t i = 0; i < q->nlines; i++)
        free(q->lines[i].label);
    free(q->lines);
    q->lines = NULL;
    q->nlines = 0;
}

static bool is_behind(const struct query *q, const char *owner, const struct line *l)
{
    struct line place = {.from = q->place.from, .label = (char *)(uintptr_t)q->place.label};

    return !q->behind || strcmp(owner, q->place.owner) != 0 || compare_lines(l, &place) > 0;
}

static json_t *line_json(const char *owner, const struct line *l)
{
    json_t *object = json_object(), *used = storejson_used(&l->used);
    char id[ID_MAX];

    write_place(id, owner, l->from, l->label);
    json_object_set_new(object, "id", json_string(id));
    json_object_set_new(object, "owner", json_string(owner));
    storejson_text(object, "label", l->label);
    storejson_number(object, "from", l->from);
    json_object_update(object, used);
    storejson_number(object, "peak", (int64_t)l->peak);
    json_decref(used);
    return object;
}

static int add_owner(struct storeops *s, struct query *q, const char *owner)
{
    struct tokenstore_period period = q->period;
    int err;

    period.owner = owner;
    err = tokenstore_usage(&s->store, &period, take_line, q);
    if (!err && q->nomem)
        err = ERR_NOMEM;
    if (!err && q->nlines)
        qsort(q->lines, q->nlines, sizeof(*q->lines), compare_lines);
    for (size_t i = 0; i < q->nlines && !err && !q->full; i++) {
        if (!is_behind(q, owner, &q->lines[i]))
            continue;
        q->full = json_array_size(q->items) == (size_t)q->limit;
        if (!q->full)
            json_array_append_new(q->items, line_json(owner, &q->lines[i]));
    }
    drop_lines(q);
    return err;
}

/* ---- The owners, in order. ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool take_owner(void *ctx, const char *owner)
{
    struct query *q = ctx;
    char **grown;
    int after = q->behind ? strcmp(owner, q->place.owner) : 1;

    if (after < 0 || (after == 0 && q->place.from == END)) /* or a page of one owner would lead to itself */
        return true;
    grown = reallocarray(q->owners, q->nowners + 1, sizeof(*grown));
    q->nomem = !grown;
    if (!grown)
        return false;
    q->owners = grown;
    q->owners[q->nowners] = strdup(owner);
    q->nomem = !q->owners[q->nowners];
    q->nowners += !q->nomem;
    return !q->nomem;
}

/* At least one: a page that is asked about nobody would never come to an end. */
static size_t most_owners(const struct tokenstore_period *p)
{
    int64_t step = p->span == TOKENSTORE_HOUR ? TOKENSTORE_HOUR_S : TOKENSTORE_DAY_S, sums = 1;

    if (p->span != TOKENSTORE_ALL && p->until > p->since)
        sums = (p->until - p->since) / step + 1;
    if (sums >= SUMS_MAX)
        return 1;
    return SUMS_MAX / sums < OWNERS_MAX ? (size_t)(SUMS_MAX / sums) : OWNERS_MAX;
}

static int add_owners(struct storeops *s, const struct admin_request *r, struct query *q, char next[static ID_MAX])
{
    size_t i = 0, most = most_owners(&q->period);
    int err = tokenstore_owners(&s->store, r->now, take_owner, q);

    if (!err && q->nomem)
        err = ERR_NOMEM;
    if (!err && q->nowners)
        qsort(q->owners, q->nowners, sizeof(*q->owners), compare_names);
    for (; i < q->nowners && i < most && !err && !q->full && !(i && storeops_late(r)); i++)
        err = add_owner(s, q, q->owners[i]);
    if (!err && !q->full && i < q->nowners)
        write_place(next, q->owners[i - 1], END, "");
    for (i = 0; i < q->nowners; i++)
        free(q->owners[i]);
    free(q->owners);
    return err;
}

void storeusage_list(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct query q = {.items = json_array()};
    char next[ID_MAX] = "";
    int err;

    if (!read_query(r, &q, a))
        goto out;
    err = q.period.owner ? add_owner(s, &q, q.period.owner) : add_owners(s, r, &q, next);
    if (err) {
        storeops_store_failed(s, err, "usage", a);
        goto out;
    }
    if (q.full)
        snprintf(next, sizeof(next), "%s",
                 json_string_value(json_object_get(json_array_get(q.items, json_array_size(q.items) - 1), "id")));
    admin_answer_json(a, 200, json_pack("{s:O,s:o}", "items", q.items, "next", next[0] ? json_string(next) : json_null()));
out:
    json_decref(q.items);
}
