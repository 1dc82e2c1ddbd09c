/* The second step of what goes by TCP: a connection. */
#include "base/clock.h"
#include "base/err.h"
#include "probe/tcp.h"
#include "probe/trial.h"

enum { SLOW_MS = 20000, QUICK_MS = 4000 }; /* a SYN is sent again after 1, 3, 7 and 15 s */

/* `connect_us` is the time of the beginning until it is there. */
static uint32_t ms_now(void)
{
    return (uint32_t)clock_now().ms;
}

static void on_done(void *ctx, enum code code, int fd, const char *why)
{
    struct trial *t = ctx;
    const char *proxy = t->reach_host == t->line->host ? "" : "the proxy: ";
    uint32_t *us = &t->line->measures.connect_us;

    *us = code == CODE_NONE ? (ms_now() - *us) * 1000 : 0;
    t->fd = fd;
    if (code == CODE_NONE)
        trial_pass(t);
    else
        trial_fail(t, code, "%s%s", proxy, why);
}

static void begin(struct trial *t)
{
    struct tcp *tcp = NULL;
    int err = tcp_open(&tcp, t->probe->base, &t->line->address, trial_ms(t, SLOW_MS, QUICK_MS), on_done, t);

    t->state = tcp;
    if (err)
        trial_broken(t, err);
    else
        t->line->measures.connect_us = ms_now();
}

static void end(struct trial *t)
{
    struct tcp *tcp = t->state;

    tcp_free(&tcp);
}

const struct step REACH_STEP = {REPORT_REACH, RULES_WEBSOCKET | RULES_HTTP, begin, NULL, end};
