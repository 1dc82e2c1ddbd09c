/* The second step of quality: how large a packet passes over the pair, uncut. */
#include "probe/pair.h"
#include "probe/trial.h"

enum {
    ROUNDS = 3, /* a packet of each size, of those that have not come yet: not all at once, which would fill a small line's queue */
    ROUND_MS = 700,    /* between them, and behind the last one */
    NEEDED = 1280,     /* bytes of an IP packet: a browser's DTLS comes near to it */
    HEADS_V4 = 20 + 8, /* bytes of IP and UDP */
    HEADS_V6 = 40 + 8,
};

/* Bytes of IP packets: some tunnels, the least that IPv6 carries, PPPoE, Ethernet. */
static const unsigned SIZES[] = {576, 1000, 1200, NEEDED, 1400, 1492, 1500};

enum { SIZES_N = sizeof(SIZES) / sizeof(SIZES[0]) };

static void judge(struct trial *t);

static void on_packet(struct trial *t, unsigned by, const struct pair_packet *packet)
{
    unsigned *largest = t->pair->largest;

    if (packet->kind == PAIR_SIZE && packet->sequence < SIZES_N && SIZES[packet->sequence] > largest[by])
        largest[by] = SIZES[packet->sequence];
    if (largest[0] == SIZES[SIZES_N - 1] && largest[1] == SIZES[SIZES_N - 1])
        judge(t);
}

static void judge(struct trial *t)
{
    const unsigned *largest = t->pair->largest;
    unsigned mtu = largest[0] < largest[1] ? largest[0] : largest[1];

    t->line->measures.mtu = mtu;
    if (mtu < NEEDED) {
        trial_fail(t, CODE_MTU_LOW, "IP packets of %u bytes pass over the relay, larger ones do not; %d are needed", mtu, NEEDED);
        return;
    }
    trial_note(t, "MTU %u", mtu);
    trial_pass(t);
}

static void send_round(struct trial *t)
{
    unsigned heads = END_ROOM + (t->line->address.family == ADDR_V6 ? HEADS_V6 : HEADS_V4);
    struct pair *p = t->pair;

    if (p->pending++ == ROUNDS) {
        judge(t);
        return;
    }
    for (unsigned i = 0; i < SIZES_N; i++) {
        for (unsigned from = 0; from < 2; from++) {
            if (SIZES[i] > p->largest[!from])
                (void)pair_send(p, from, PAIR_SIZE, i, SIZES[i] - heads);
        }
    }
    trial_wait(t, ROUND_MS);
}

static void begin(struct trial *t)
{
    t->pair->pending = 0;
    t->pair->heard_packet = on_packet;
    send_round(t);
}

const struct step SIZE_STEP = {REPORT_QUALITY, RULES_TURN, begin, send_round, NULL};
