/* The last step of quality: is an end still found when it has been silent for as long as ICE lets it be? */
#include "probe/pair.h"
#include "probe/trial.h"

enum {
    IDLE_S = 30,    /* an address translation that forgets sooner cuts whoever only listens */
    MOST_S = 240,   /* a permission lives for 300 s (RFC 8656 section 9), and only its own end renews it */
    LENGTHS = 3,    /* of silence: all of it, two thirds, one third */
    KNOCKS = 4,     /* packets that look for the silent end */
    KNOCK_MS = 300, /* between them */
};

static unsigned length_s(const struct trial *t, unsigned attempt)
{
    unsigned asked = t->probe->config->idle_s, all = asked ? asked : IDLE_S;

    return (all < MOST_S ? all : MOST_S) * (LENGTHS - attempt) / LENGTHS;
}

static void warn_found(struct trial *t)
{
    t->line->measures.udp_idle_s = length_s(t, t->pair->silence);
    trial_warn(t, CODE_UDP_IDLE_SHORT, "UDP idle time-out of at least %u s is below %u s", t->line->measures.udp_idle_s,
               length_s(t, 0));
    trial_pass(t);
}

/* The silence before this one was too long, and none has been short enough. */
static void warn_lost(struct trial *t)
{
    trial_warn(t, CODE_UDP_IDLE_SHORT, "UDP idle time-out is below %u s", length_s(t, t->pair->silence - 1));
    trial_pass(t);
}

static void on_packet(struct trial *t, unsigned by, const struct pair_packet *packet)
{
    unsigned attempt = packet->sequence;

    if (packet->kind != PAIR_IDLE || by != 0 || attempt != t->pair->silence)
        return;
    if (attempt) {
        warn_found(t);
        return;
    }
    t->line->measures.udp_idle_s = length_s(t, 0);
    trial_note(t, "UDP idle %u s survived", length_s(t, 0));
    trial_pass(t);
}

/* The first end says a last word. */
static void fall_silent(struct trial *t)
{
    t->pair->knocks = 0;
    (void)pair_send(t->pair, 0, PAIR_HELLO, 0, PAIR_HEAD);
    trial_wait(t, length_s(t, t->pair->silence) * 1000);
}

/* Where the translation has forgotten the first end, it may give it another port: that has no allocation, and nothing shorter can be tried. */
static void on_bound(struct trial *t, unsigned which, const struct end_result *r)
{
    (void)which;
    if (r->how != END_ANSWERED)
        warn_lost(t);
    else if (--t->pair->pending == 0)
        fall_silent(t);
}

/* The second end wakes itself by what it sends: the first end's mapping alone is in question. */
static void knock(struct trial *t)
{
    struct pair *p = t->pair;

    if (p->knocks++ < KNOCKS) {
        (void)pair_send(p, 1, PAIR_IDLE, p->silence, PAIR_HEAD);
        trial_wait(t, KNOCK_MS);
    } else if (++p->silence < LENGTHS) {
        p->done = on_bound;
        pair_bind_channels(p); /* which renews the permissions, too */
    } else {
        warn_lost(t);
    }
}

static void begin(struct trial *t)
{
    if (t->probe->config->quick && !t->probe->config->idle_s) {
        trial_pass(t);
        return;
    }
    t->pair->heard_packet = on_packet;
    fall_silent(t);
}

const struct step IDLE_STEP = {REPORT_QUALITY, RULES_TURN, begin, knock, NULL};
