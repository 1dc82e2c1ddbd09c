#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "programs/storeparts.h"

enum {
    SCAN_MAX = 10000, /* records that one page looks at: where a filter fits few, a page is short, and the next one goes on */
    STALE_S = 86400,  /* for so long a cursor is taken */
    CURSOR_MAX = 48,  /* bytes of one: two numbers, and what is between */
};

/*
 * A cursor is "POSITION.TIME": the place in the store's list, as it was at the time of the first page, from which on all pages of one listing leave
 * out the same old records.
 */
struct page {
    const char *owner, *label; /* NULL: each */
    int64_t limit, now;
    json_t *items;
    size_t offset, seen, bad; /* of the store's page that is read now: where it began, and what it has brought */
    bool full;                /* there is one more */
    int64_t wall;             /* for how a token stands */
};

static bool read_cursor(const struct admin_request *r, struct page *p, struct admin_answer *a)
{
    unsigned long long offset;
    long long at;
    const char *text;
    int end = 0;

    p->now = p->wall = r->now;
    if (!admin_text(r, "cursor", CURSOR_MAX, &text, a))
        return false;
    if (!text)
        return true;
    if (strspn(text, "0123456789.") == strlen(text) && sscanf(text, "%18llu.%18lld%n", &offset, &at, &end) == 2 && !text[end] &&
        at <= r->now && at > r->now - STALE_S) {
        p->offset = (size_t)offset;
        p->now = at;
        return true;
    }
    admin_answer_problem(a, 400, "cursor: this is none of this list, or an old one: begin anew without");
    return false;
}

static bool see(void *ctx, const struct token *t)
{
    struct page *p = ctx;

    if ((!p->owner || strcmp(p->owner, t->owner) == 0) && (!p->label || strcmp(p->label, t->label) == 0)) {
        if (json_array_size(p->items) == (size_t)p->limit) {
            p->full = true;
            return false;
        }
        json_array_append_new(p->items, storejson_token(t, p->wall));
    }
    p->seen++;
    return true;
}

/* Until the page is full, the list is at its end (a page of the store without anything: one that is short may have been swept), or enough has been
 * looked at, or it took too long. */
static int fill(struct storeops *s, const struct admin_request *r, struct page *p, storelists_fn *list)
{
    size_t scanned = 0;
    int err;

    do {
        p->seen = 0;
        err = list(&s->store, p->now, p->offset, see, p, &p->bad);
        p->offset += p->seen + p->bad;
        scanned += p->seen + p->bad;
        p->full = p->full || (p->seen + p->bad && (scanned >= SCAN_MAX || storeops_late(r)));
    } while (!err && !p->full && p->seen + p->bad);
    return err;
}

void storelists_page(struct storeops *s, const struct admin_request *r, struct admin_answer *a, storelists_fn *list,
                     const char *what)
{
    struct page p = {.items = json_array()};
    char cursor[CURSOR_MAX];
    int err;

    if (!admin_text(r, "owner", TOKEN_TEXT_MAX, &p.owner, a) || !admin_text(r, "label", TOKEN_TEXT_MAX, &p.label, a) ||
        !admin_number(r, "limit", 1, ADMIN_PAGE_MAX, ADMIN_PAGE, &p.limit, a) || !read_cursor(r, &p, a))
        goto out;
    err = fill(s, r, &p, list);
    if (err) {
        storeops_store_failed(s, err, what, a);
        goto out;
    }
    snprintf(cursor, sizeof(cursor), "%zu.%lld", p.offset, (long long)p.now);
    admin_answer_json(a, 200, json_pack("{s:O,s:o}", "items", p.items, "next", p.full ? json_string(cursor) : json_null()));
out:
    json_decref(p.items);
}
