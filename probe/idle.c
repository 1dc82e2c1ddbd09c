/* The last step of quality: is an end still found when it has been silent for as long as ICE lets it be? */
#include "probe/pair.h"
#include "probe/trial.h"

enum {
    IDLE_S = 30,    /* an address translation that forgets sooner cuts whoever only listens */
    LENGTHS = 3,    /* of silence: all of it, two thirds, one third */
    KNOCKS = 4,     /* packets that look for the silent end */
    KNOCK_MS = 300, /* between them */
};

static unsigned length_s(const struct trial *t, unsigned attempt)
{
    unsigned all = t->probe->config->idle_s ? t->probe->config->idle_s : IDLE_S;

    return all * (LENGTHS - attempt) / LENGTHS;
}

static void warn(struct trial *t, unsigned attempt)
{
    unsigned lives = length_s(t, attempt), needed = length_s(t, 0);

    t->line->measures.udp_idle_s = lives;
    if (lives)
        trial_warn(t, CODE_UDP_IDLE_SHORT, "UDP idle time-out of at least %u s is below %u s", lives, needed);
    else
        trial_warn(t, CODE_UDP_IDLE_SHORT, "UDP idle time-out is below %u s", length_s(t, LENGTHS - 1));
    trial_pass(t);
}

static void on_packet(struct trial *t, unsigned by, const struct pair_packet *packet)
{
    unsigned attempt = packet->sequence;

    if (packet->kind != PAIR_IDLE || by != 0 || attempt != t->pair->silence)
        return;
    if (attempt) {
        warn(t, attempt);
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

/* The second end wakes itself by what it sends: the first end's mapping alone is in question. */
static void knock(struct trial *t)
{
    struct pair *p = t->pair;

    if (p->knocks++ < KNOCKS) {
        (void)pair_send(p, 1, PAIR_IDLE, p->silence, PAIR_HEAD);
        trial_wait(t, KNOCK_MS);
    } else if (++p->silence < LENGTHS) {
        fall_silent(t);
    } else {
        warn(t, LENGTHS);
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
