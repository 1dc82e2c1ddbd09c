/* Usage on its way into a store: summed, cut into flushes, repeated until they are answered, and never changed in between. */
#include "auth/ledger.h"

#include "base/err.h"
#include "tests/unit/tap.h"

static struct ledger *l;

static int add(const char *owner, const char *label, const char *token, uint64_t bytes)
{
    struct usage_who who = {.owner = owner, .label = label, .token = token, .max_bytes = 77};

    return ledger_add(l, &who, &(struct auth_used){{[AUTH_USED_BYTES_UP] = bytes, [AUTH_USED_PACKETS_UP] = 1}});
}

#define UP() CHECK_INT(ledger_new(&l), 0)
#define DOWN()                                                                                                                     \
    do {                                                                                                                           \
        CHECK(ledger_empty(l));                                                                                                    \
        ledger_free(&l);                                                                                                           \
        CHECK(l == NULL);                                                                                                          \
    } while (0)

static void sums(void)
{
    const struct ledger_flush *f;

    UP();
    CHECK_INT(add("acme", "desk", "t1", 5), 0);
    CHECK_INT(add("acme", "desk", "t2", 7), 0);
    CHECK_INT(add("acme", "desk", "t1", 1), 0);
    CHECK_INT(add("acme", "t1", NULL, 2), 0); /* a label is no token */
    CHECK(ledger_next(l, 1000) == NULL);      /* nothing before its time */
    ledger_begin(l);
    f = ledger_next(l, 1000);
    CHECK(f != NULL);
    CHECK_STR(f->owner, "acme");
    CHECK_INT(f->wall, 1000);
    CHECK_INT(f->nlabels, 2);
    CHECK_INT(f->ntokens, 2);
    CHECK_STR(f->labels[0].text, "desk");
    CHECK_INT(f->labels[0].used.n[AUTH_USED_BYTES_UP], 13);
    CHECK_INT(f->labels[0].used.n[AUTH_USED_PACKETS_UP], 3);
    CHECK_INT(f->labels[1].used.n[AUTH_USED_BYTES_UP], 2);
    CHECK_STR(f->tokens[0].text, "t1");
    CHECK_INT(f->tokens[0].used.n[AUTH_USED_BYTES_UP], 6);
    CHECK_INT(f->tokens[0].max_bytes, 77);
    CHECK_INT(f->tokens[1].used.n[AUTH_USED_BYTES_UP], 7);
    CHECK(ledger_next(l, 1000) == NULL);
    CHECK(!ledger_empty(l));
    ledger_done(l, f);
    DOWN();
}

static int hold(const char *label, uint32_t held, uint64_t begun)
{
    struct usage_who who = {.owner = "acme", .label = label, .held = held};

    return ledger_add(l, &who, &(struct auth_used){{[AUTH_USED_ALLOCATIONS] = begun}});
}

static void peaks(void)
{
    const struct ledger_flush *f;

    UP();
    CHECK_INT(hold("desk", 2, 2), 0);
    CHECK_INT(hold("desk", 5, 3), 0);
    CHECK_INT(hold("desk", 1, 0), 0);
    CHECK_INT(hold("short", 0, 3), 0); /* begun and ended between two looks */
    CHECK_INT(hold("last", 0, 0), 0);
    ledger_begin(l);
    f = ledger_next(l, 1000);
    CHECK(f && f->nlabels == 3);
    CHECK_INT(f->labels[0].peak, 5);
    CHECK_INT(f->labels[1].peak, 1);
    CHECK_INT(f->labels[2].peak, 0);
    CHECK_INT(hold("desk", 3, 0), 0); /* for the flush behind it */
    CHECK_INT(f->labels[0].peak, 5);
    ledger_done(l, f);
    ledger_begin(l);
    f = ledger_next(l, 1001);
    CHECK(f && f->labels[0].peak == 3);
    ledger_done(l, f);
    DOWN();
}

static void again(void)
{
    const struct ledger_flush *f;
    uint64_t sequence;

    UP();
    CHECK_INT(add("acme", "desk", "t1", 5), 0);
    ledger_begin(l);
    f = ledger_next(l, 1000);
    sequence = f->sequence;
    CHECK_INT(add("acme", "desk", "t1", 100), 0);
    ledger_begin(l); /* another second, and still no answer: one at a time */
    CHECK(ledger_next(l, 1001) == NULL);
    ledger_again(l, f);
    CHECK(ledger_next(l, 1001) == NULL); /* not at once */
    CHECK_INT(add("acme", "lobby", NULL, 1), 0);
    ledger_begin(l);
    f = ledger_next(l, 4600);
    CHECK_INT(f->sequence, sequence);
    CHECK_INT(f->wall, 1000);
    CHECK_INT(f->nlabels, 1);
    CHECK_INT(f->labels[0].used.n[AUTH_USED_BYTES_UP], 5);
    CHECK_INT(f->tokens[0].used.n[AUTH_USED_BYTES_UP], 5);
    ledger_done(l, f);
    f = ledger_next(l, 4600); /* what came meanwhile, in the same round */
    CHECK(f->sequence > sequence);
    CHECK_INT(f->wall, 4600);
    CHECK_INT(f->nlabels, 2);
    CHECK_INT(f->labels[0].used.n[AUTH_USED_BYTES_UP], 100);
    CHECK_INT(f->ntokens, 1);
    ledger_done(l, f);
    CHECK(ledger_next(l, 4600) == NULL);
    DOWN();
}

/* One owner's wait holds nobody else up, and sequences only grow. */
static void owners(void)
{
    const struct ledger_flush *a, *b;

    UP();
    CHECK_INT(add("acme", "", NULL, 1), 0);
    CHECK_INT(add("", "", NULL, 2), 0);
    ledger_begin(l);
    a = ledger_next(l, 1);
    b = ledger_next(l, 1);
    CHECK(a && b && a->sequence != b->sequence);
    CHECK(ledger_next(l, 1) == NULL);
    ledger_again(l, a);
    ledger_done(l, b);
    CHECK_INT(add(strcmp(a->owner, "") == 0 ? "acme" : "", "", NULL, 3), 0);
    ledger_begin(l);
    CHECK(ledger_next(l, 2) != NULL);
    CHECK(ledger_next(l, 2) != NULL);
    CHECK(ledger_next(l, 2) == NULL);
    ledger_free(&l);
}

static void in_pieces(void)
{
    enum { TOKENS = 3 * LEDGER_LINES_MAX + 1 };
    const struct ledger_flush *f;
    uint64_t bytes_of_tokens = 0, bytes_of_labels = 0, last = 0;
    unsigned flushes = 0;
    char token[16];

    UP();
    for (unsigned i = 0; i < TOKENS; i++) {
        snprintf(token, sizeof(token), "t%u", i);
        CHECK_INT(add("acme", i % 2 ? "odd" : "even", token, i), 0);
    }
    ledger_begin(l);
    while ((f = ledger_next(l, 1))) {
        CHECK(f->ntokens <= LEDGER_LINES_MAX && f->sequence > last);
        last = f->sequence;
        for (size_t i = 0; i < f->nlabels; i++)
            bytes_of_labels += f->labels[i].used.n[AUTH_USED_BYTES_UP];
        for (size_t i = 0; i < f->ntokens; i++)
            bytes_of_tokens += f->tokens[i].used.n[AUTH_USED_BYTES_UP];
        CHECK(ledger_next(l, 1) == NULL); /* one at a time */
        ledger_done(l, f);
        flushes++;
    }
    CHECK_INT(flushes, 4);
    CHECK_INT(bytes_of_tokens, TOKENS * (TOKENS - 1) / 2);
    CHECK_INT(bytes_of_labels, bytes_of_tokens);
    DOWN();
}

/* A store that is away for days costs a bounded memory; those who are known go on being counted. */
static void too_many(void)
{
    const struct ledger_flush *f;
    uint64_t bytes = 0;
    char label[16];

    UP();
    for (unsigned i = 0; i < LEDGER_WAITING_MAX; i++) {
        snprintf(label, sizeof(label), "%u", i);
        CHECK_INT(add("acme", label, NULL, 1), 0);
    }
    CHECK_INT(ledger_lost(l), 0);
    CHECK_INT(add("acme", "new", NULL, 1), 0);
    CHECK_INT(add("umbrella", "new", NULL, 1), 0);
    CHECK_INT(ledger_lost(l), 2);
    CHECK_INT(add("acme", "7", NULL, 10), 0);
    CHECK_INT(ledger_lost(l), 2);
    ledger_begin(l);
    while ((f = ledger_next(l, 1))) {
        for (size_t i = 0; i < f->nlabels; i++)
            bytes += f->labels[i].used.n[AUTH_USED_BYTES_UP];
        ledger_done(l, f);
    }
    CHECK_INT(bytes, LEDGER_WAITING_MAX + 10);
    DOWN();
}

/* A store that answers and takes nothing: what is in flushes counts as what is not. */
static void refused(void)
{
    const struct ledger_flush *f;
    char owner[16];

    UP();
    for (unsigned i = 0; i < LEDGER_WAITING_MAX; i++) {
        snprintf(owner, sizeof(owner), "%u", i);
        CHECK_INT(add(owner, "", NULL, 1), 0);
    }
    ledger_begin(l);
    for (unsigned i = 0; i < LEDGER_WAITING_MAX; i++) {
        f = ledger_next(l, 1);
        CHECK(f != NULL);
        ledger_again(l, f);
    }
    CHECK(ledger_next(l, 1) == NULL);
    CHECK_INT(add("new", "", NULL, 1), 0);
    CHECK_INT(add("7", "", NULL, 1), 0);
    CHECK_INT(ledger_lost(l), 2);
    ledger_begin(l);
    ledger_done(l, ledger_next(l, 1));
    CHECK_INT(add("new", "", NULL, 1), 0);
    CHECK_INT(add("newer", "", NULL, 1), 0);
    CHECK_INT(ledger_lost(l), 3);
    ledger_begin(l);
    while ((f = ledger_next(l, 1)))
        ledger_done(l, f);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"usage: a flush holds the sums by label and by token", sums},
    {"the most that an owner held at a look goes with what was used", peaks},
    {"usage: a flush without an answer comes again as it was, and what came meanwhile goes into the next", again},
    {"usage: each owner's flushes follow each other, whatever the others' do", owners},
    {"usage: what does not fit into one flush goes into further ones of the same round", in_pieces},
    {"usage: what waits for a store is bounded, and what is lost is counted", too_many},
    {"usage: what a store refuses again and again is bounded, too", refused},
};

TAP_MAIN(TESTS)
