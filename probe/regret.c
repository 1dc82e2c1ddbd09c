/* The last step of a rule that has failed before the other end was met, or with it: that end is told, so that it does not wait for us. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "probe/hold.h"
#include "probe/mark.h"
#include "probe/pair.h"
#include "probe/trial.h"

enum {
    SLOW_MS = 150000, /* as long as an end that is well looks for the other one */
    QUICK_MS = 20000,
    LOOK_MS = 1000,
};

struct regret {
    uint64_t deadline_ms;
    bool asked; /* the service has not answered call.start yet */
    char words[MARK_FAILED_MAX];
};

/* The call's reason is one of docs/connect-protocol.md: media have no path. */
static void hang_up(struct trial *t, const char *call)
{
    const struct regret *r = t->state;

    hold_hang_up(t->probe->held, call, "media_failed", r->words);
    trial_pass(t);
}

/* The trial outlives its steps, so it may be late. What is in the description stays with the other end though the call is over at once. */
static void on_started(void *ctx, const json_t *result, const json_t *error)
{
    struct trial *t = ctx;
    struct regret *r = t->state;
    const char *call = json_string_value(json_object_get(result, "call"));

    (void)error; /* it is not there yet, say: we ask again */
    if (t->finished || t->settled)
        return;
    r->asked = false;
    if (call)
        hang_up(t, call);
}

/* The browser's end calls, the server's is called. */
static void seek(struct trial *t)
{
    struct regret *r = t->state;
    struct hold *held = t->probe->held;
    const json_t *call = hold_call(held);

    if (t->probe->config->role == RULES_SERVER) {
        if (mark_is(call))
            hang_up(t, json_string_value(json_object_get(call, "call")));
    } else if (!r->asked) {
        struct mark mark = {0};

        snprintf(mark.failed, sizeof(mark.failed), "%s", r->words);
        r->asked =
            hold_ask(held, "call.start", json_pack("{s:s,s:o}", "to", "probe", "sdp", mark_write(&mark, "")), on_started, t) == 0;
    }
}

static void look(struct trial *t)
{
    const struct regret *r = t->state;
    const struct probe *p = t->probe;

    if (clock_now().ms >= r->deadline_ms || (!p->held && !trial_awaits(p, RULES_WEBSOCKET))) {
        trial_pass(t);
        return;
    }
    trial_wait(t, LOOK_MS);
    if (p->held && !*hold_failed(p->held))
        seek(t);
    else if (p->held)
        trial_pass(t); /* it does not wait either */
}

static void begin(struct trial *t)
{
    const struct report_line *l = t->line;
    struct probe *p = t->probe;
    struct regret *r;
    char words[REPORT_EVIDENCE_MAX + 64];

    if (l->verdict != REPORT_FAIL || !p->config->both || t->told || (p->meets && p->meets != t)) {
        trial_pass(t);
        return;
    }
    p->meets = t;
    t->state = r = calloc(1, sizeof(*r));
    if (!r) {
        trial_pass(t); /* what it has failed by counts more */
        return;
    }
    snprintf(words, sizeof(words), "rule %u fails with %s: %s", l->rule->number, codes_name(l->code), l->evidence);
    mark_clean(r->words, words, strlen(words));
    r->deadline_ms = clock_now().ms + trial_ms(t, SLOW_MS, QUICK_MS);
    if (t->pair && *t->pair->call) {
        hang_up(t, t->pair->call);
    } else {
        pair_free(&t->pair); /* what comes for it is of no account any more */
        look(t);
    }
}

static void end(struct trial *t)
{
    free(t->state);
}

const struct step REGRET_STEP = {REPORT_STAGES, RULES_TURN | TRIAL_ANSWER, begin, look, end};
