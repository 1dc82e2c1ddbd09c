#include "probe/probe.h"

#include <event2/dns.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/utf8.h"
#include "connect/dial.h"
#include "probe/hold.h"
#include "probe/pair.h"
#include "probe/siptry.h"
#include "probe/trial.h"
#include "stun/integrity.h"

/* The stages of a rule, in order. A rule takes the steps that are for one of its checks; the first that fails is its end. */
static const struct step *const STEPS[] = {&NAME_STEP,    &SIPTRY_STEP, &REACH_STEP,      &LINE_STEP,     &HOLD_STEP,
                                           &BINDING_STEP, &NAT_STEP,    &UNALTERED_STEP,  &ALLOCATE_STEP, &BIND_STEP,
                                           &PAIR_STEP,    &STREAM_STEP, &SIZE_STEP,       &WIDE_STEP,     &IDLE_STEP,
                                           &MEET_STEP,    &FAR_STEP,    &SIPTRY_END_STEP, &REGRET_STEP};

enum {
    STEPS_N = sizeof(STEPS) / sizeof(STEPS[0]),
    LAST_STEPS = STEPS_N - 2, /* from here on they are for rules that have failed, too */
};

/* ---- How a step ends. ---- */

__attribute__((format(printf, 2, 0))) static void add_words(struct report_line *l, const char *format, va_list args)
{
    size_t n = strlen(l->evidence);

    if (n)
        n += (size_t)snprintf(l->evidence + n, sizeof(l->evidence) - n, ", ");
    if (n < sizeof(l->evidence))
        vsnprintf(l->evidence + n, sizeof(l->evidence) - n, format, args);
    utf8_mask(l->evidence); /* it may have been cut within a character, or hold what others have chosen */
}

static void settle(struct trial *t)
{
    t->settled = true;
    event_active(&t->advance, EV_TIMEOUT, 0);
}

void trial_pass(struct trial *t)
{
    if (!t->settled)
        settle(t);
}

void trial_fail(struct trial *t, enum code code, const char *format, ...)
{
    struct report_line *l = t->line;
    va_list args;

    if (t->settled)
        return;
    l->verdict = REPORT_FAIL;
    l->code = code;
    l->stage = STEPS[t->step]->stage;
    *l->evidence = '\0';
    va_start(args, format);
    add_words(l, format, args);
    va_end(args);
    t->over = true;
    settle(t);
}

void trial_broken(struct trial *t, int err)
{
    if (err == -ENETUNREACH || err == -EHOSTUNREACH)
        trial_fail(t, CODE_NET_UNREACHABLE, "this host has no route");
    else if (err == ERR_AFNOSUPPORT || err == -EADDRNOTAVAIL)
        trial_fail(t, CODE_NET_UNREACHABLE, "this host has no address of that family (IPv6 is switched off, say)");
    else if (err == -EPERM || err == ERR_ACCES)
        trial_fail(t, CODE_LOCAL_BLOCKED, "this host's own rules forbid it");
    else
        trial_fail(t, CODE_INTERNAL, "the probe could not go on: %s", err_str(err));
}

void trial_note(struct trial *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_words(t->line, format, args);
    va_end(args);
}

__attribute__((format(printf, 4, 0))) static void warn(struct report_line *l, enum report_stage stage, enum code code,
                                                       const char *format, va_list args)
{
    if (l->verdict != REPORT_WARN) {
        l->verdict = REPORT_WARN;
        l->stage = stage;
        l->code = code;
    }
    add_words(l, format, args);
}

void trial_warn(struct trial *t, enum code code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    warn(t->line, t->line->stage, code, format, args);
    va_end(args);
}

void trial_too_wide(struct trial *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (t->line->verdict == REPORT_FAIL)
        add_words(t->line, format, args);
    else
        warn(t->line, REPORT_QUALITY, CODE_OPEN_TOO_WIDE, format, args);
    va_end(args);
}

void trial_wait(struct trial *t, unsigned ms)
{
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    event_add(&t->timer, &tv);
}

unsigned trial_ms(const struct trial *t, unsigned slow, unsigned quick)
{
    return t->probe->config->quick ? quick : slow;
}

bool trial_awaits(const struct probe *p, unsigned checks)
{
    for (size_t i = 0; i < p->report->n; i++) {
        const struct trial *t = &p->trials[i];

        if ((t->checks & checks) && t->line->verdict != REPORT_SKIP && !t->finished)
            return true;
    }
    return false;
}

/* ---- From step to step. ---- */

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct trial *t = ctx;

    (void)fd;
    (void)what;
    if (!t->settled && STEPS[t->step]->late)
        STEPS[t->step]->late(t);
}

static void finish(struct trial *t)
{
    struct probe *p = t->probe;
    struct report_line *l = t->line;

    pair_free(&t->pair);
    siptry_free(&t->siptry);
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    if (l->verdict == REPORT_FAIL && t->private_answer &&
        l->stage == REPORT_REACH) { /* it could not be reached, because it is not there */
        char ip[ADDR_TEXT_MAX], why[REPORT_EVIDENCE_MAX];

        snprintf(why, sizeof(why), "%s", l->evidence);
        snprintf(l->evidence, sizeof(l->evidence), "%.100s is %s, which is private; %.150s", l->host, addr_ip_text(&l->address, ip),
                 why);
        utf8_mask(l->evidence); /* likewise */
        l->code = CODE_DNS_PRIVATE_ANSWER;
        l->stage = REPORT_NAME;
    }
    if (l->verdict == REPORT_FAIL && codes_adds_rule(l->code))
        report_rule_line(l, l->add);
    t->finished = true;
    p->running--;
    if (p->config->progress)
        p->config->progress(p->config->ctx, p->report, p->report->n - p->running);
    if (!p->running)
        event_active(&p->over, EV_TIMEOUT, 0);
}

static void begin(struct trial *t)
{
    while (t->step < STEPS_N && !(STEPS[t->step]->checks & t->checks))
        t->step++;
    if (t->step == STEPS_N) {
        finish(t);
        return;
    }
    if (t->line->verdict == REPORT_PASS &&
        STEPS[t->step]->stage != REPORT_STAGES) /* else it stays at what has failed, or was warned of */
        t->line->stage = STEPS[t->step]->stage;
    t->settled = false;
    STEPS[t->step]->begin(t);
}

static void on_advance(evutil_socket_t fd, short what, void *ctx)
{
    struct trial *t = ctx;

    (void)fd;
    (void)what;
    event_del(&t->timer);
    if (STEPS[t->step]->end)
        STEPS[t->step]->end(t);
    t->state = NULL;
    t->step = t->over && t->step < LAST_STEPS ? LAST_STEPS : t->step + 1;
    t->over = false;
    begin(t);
}

/* ---- The beginning of a run, and its end. ---- */

bool trial_destination(const struct probe_config *c, const struct rule *r, char host[static RULES_HOST_MAX], uint16_t *port)
{
    const struct probe_host *h = r->target == RULES_HOST ? NULL : &c->host[r->target];

    if (h && !h->name)
        return false;
    snprintf(host, RULES_HOST_MAX, "%s", h ? h->name : r->host);
    *port = h && h->port ? h->port : r->port;
    return true;
}

static void prepare(struct probe *p, const struct rule *rule)
{
    struct report *r = p->report;
    struct trial *t = &p->trials[r->n];
    struct report_line *l = &r->line[r->n++];
    bool proxied = rule->protocol == RULES_TCP && p->config->proxy;

    *l = (struct report_line){.rule = rule, .verdict = REPORT_PASS};
    *t = (struct trial){.probe = p, .line = l, .checks = rule->checks, .fd = -1};
    event_assign(&t->advance, p->base, -1, 0, on_advance, t);
    evtimer_assign(&t->timer, p->base, on_timer, t);
    if (!trial_destination(p->config, rule, l->host, &l->port)) {
        l->verdict = REPORT_SKIP;
        if (rule->target != RULES_HOST && p->config->host[rule->target].missing)
            trial_note(t, "not tried: %s", p->config->host[rule->target].missing);
        else
            trial_note(t, "not tried: no --%s was given", rules_target_name(rule->target));
        return;
    }
    if (p->config->answer)
        t->checks = TRIAL_ANSWER;
    if ((t->checks & RULES_TURN) && !p->config->user && !p->config->token_user) {
        t->checks &= ~(unsigned)RULES_TURN;
        t->checks |= RULES_STUN;
        trial_note(t, "relaying not tried without credentials");
    }
    t->reach_host = proxied ? p->proxy.host : l->host;
    t->reach_port = proxied ? p->proxy.port : l->port;
    p->running++;
}

static int choose_rules(struct probe *p, char error[static PROBE_ERROR_MAX])
{
    const struct probe_config *c = p->config;

    for (size_t i = 0; i < c->rules->n; i++) {
        const struct rule *r = &c->rules->item[i];

        if (r->source == c->role && (!c->only || c->only == r->number) && (!c->answer || (r->checks & RULES_TURN)))
            prepare(p, r);
    }
    if (p->report->n)
        return 0;
    snprintf(error, PROBE_ERROR_MAX, "there is no such rule for the role %s", rules_source_name(c->role));
    return ERR_NOENT;
}

static int open_dns(struct probe *p, char error[static PROBE_ERROR_MAX])
{
    const char *server = p->config->dns;

    p->dns = evdns_base_new(p->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!p->dns)
        return ERR_NOMEM;
    evdns_base_set_option(p->dns, "timeout:", p->config->quick ? "1" : "3");
    evdns_base_set_option(p->dns, "attempts:", "2");
    evdns_base_set_option(p->dns, "randomize-case:", "0"); /* some name servers of firewalls can't bear it: no verdict of ours */
    if (!server) {
        if (evdns_base_resolv_conf_parse(p->dns, DNS_OPTION_NAMESERVERS | DNS_OPTION_SEARCH | DNS_OPTION_HOSTSFILE,
                                         "/etc/resolv.conf"))
            evdns_base_load_hosts(p->dns, "/etc/hosts"); /* without a name server there are still its names */
        return 0;
    }
    if (evdns_base_nameserver_ip_add(p->dns, server) == 0)
        return 0;
    snprintf(error, PROBE_ERROR_MAX, "the name server is an IP with or without a port, not '%.100s'", server);
    return ERR_CONFIG;
}

static int open_all(struct probe *p, char error[static PROBE_ERROR_MAX])
{
    const struct probe_config *c = p->config;
    const char *why = NULL;
    int err;

    p->trials = calloc(RULES_MAX, sizeof(*p->trials));
    if (!p->trials)
        return ERR_NOMEM;
    if (c->proxy && dialurl_proxy(&p->proxy, c->proxy, &why)) {
        snprintf(error, PROBE_ERROR_MAX, "%s", why);
        return ERR_CONFIG;
    }
    if (c->tls) {
        p->tls = c->tls;
        err = SSL_CTX_up_ref(p->tls) == 1 ? 0 : ERR_CRYPTO;
    } else if ((err = dial_tls(&p->tls, c->ca_file)) == ERR_INVAL) {
        snprintf(error, PROBE_ERROR_MAX, "the authorities' certificates can't be read as PEM: %.150s",
                 c->ca_file ? c->ca_file : "the system's");
        return ERR_CONFIG;
    }
    if (err || (err = stun_mac_new(&p->mac)))
        return err;
    return open_dns(p, error);
}

static void on_over(evutil_socket_t fd, short what, void *ctx)
{
    struct probe *p = ctx;

    (void)fd;
    (void)what;
    p->report->took_ms = (uint32_t)(clock_now().ms - p->began_ms);
    p->done(p->done_ctx);
}

/* However far it has come. */
static void cancel(struct trial *t)
{
    event_del(&t->advance);
    event_del(&t->timer);
    if (t->line->verdict == REPORT_SKIP || t->finished)
        return;
    if (STEPS[t->step]->end)
        STEPS[t->step]->end(t);
    pair_free(&t->pair);
    siptry_free(&t->siptry);
    if (t->fd >= 0)
        close(t->fd);
}

/* Look-ups that are under way let go of what they hold, from the loop. */
static void free_dns(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    evdns_base_free(ctx, 1);
}

void probe_free(struct probe **probe)
{
    struct probe *p = *probe;

    *probe = NULL;
    if (!p)
        return;
    event_del(&p->over);
    for (size_t i = 0; p->begun && i < p->report->n; i++)
        cancel(&p->trials[i]);
    if (p->held != p->config->answer)
        hold_free(&p->held);
    /* A look-up that was cancelled or answered has a callback waiting in the loop, which uses the base: it goes behind that one. */
    if (p->dns && event_base_once(p->base, -1, EV_TIMEOUT, free_dns, p->dns, NULL))
        free_dns(-1, 0, p->dns);
    SSL_CTX_free(p->tls);
    stun_mac_free(&p->mac);
    if (p->ice_password)
        explicit_bzero(p->ice_password, strlen(p->ice_password));
    free(p->ice_password);
    free(p->ice_user);
    free(p->trials);
    free(p);
}

int probe_new(struct probe **out, struct event_base *base, const struct probe_config *config, struct report *report,
              probe_done *done, void *ctx, char error[static PROBE_ERROR_MAX])
{
    struct probe *p = calloc(1, sizeof(*p));
    struct now now = clock_now();
    int err = p ? 0 : ERR_NOMEM;

    *error = '\0';
    *report = (struct report){.role = config->role, .quick = config->quick, .began = now.wall};
    if (p) {
        *p = (struct probe){.config = config,
                            .base = base,
                            .report = report,
                            .held = config->answer,
                            .began_ms = now.ms,
                            .done = done,
                            .done_ctx = ctx};
        event_assign(&p->over, base, -1, 0, on_over, p);
        err = open_all(p, error);
    }
    if (!err)
        err = choose_rules(p, error);
    if (err) {
        if (!*error)
            snprintf(error, PROBE_ERROR_MAX, "the probe can't start: %s", err_str(err));
        probe_free(&p);
        return err;
    }
    p->begun = true;
    for (size_t i = 0; i < report->n; i++) {
        if (report->line[i].verdict != REPORT_SKIP)
            begin(&p->trials[i]);
    }
    if (!p->running)
        event_active(&p->over, EV_TIMEOUT, 0);
    *out = p;
    return 0;
}

static void leave_loop(void *ctx)
{
    event_base_loopbreak(ctx);
}

static void on_signal(evutil_socket_t number, short what, void *ctx)
{
    (void)number;
    (void)what;
    event_base_loopexit(ctx, NULL);
}

int probe_run(const struct probe_config *config, struct report *out, char error[static PROBE_ERROR_MAX])
{
    struct event_base *base = event_base_new();
    struct event ends[2];
    struct probe *p = NULL;
    int err;

    if (!base) {
        snprintf(error, PROBE_ERROR_MAX, "the probe can't start: %s", err_str(ERR_NOMEM));
        return ERR_NOMEM;
    }
    evsignal_assign(&ends[0], base, SIGINT, on_signal, base);
    evsignal_assign(&ends[1], base, SIGTERM, on_signal, base);
    err = probe_new(&p, base, config, out, leave_loop, base, error);
    if (!err) {
        evsignal_add(&ends[0], NULL);
        evsignal_add(&ends[1], NULL);
        event_base_dispatch(base);
        err = event_base_got_exit(base) ? ERR_CANCELLED : 0;
        if (err)
            snprintf(error, PROBE_ERROR_MAX, "ended by a signal before all rules were tried");
        evsignal_del(&ends[0]);
        evsignal_del(&ends[1]);
    }
    probe_free(&p);
    event_base_loop(base, EVLOOP_NONBLOCK); /* what has been let go is freed from there */
    event_base_free(base);
    return err;
}
