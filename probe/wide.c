/* The third step of quality: what no rule names should not pass, such as a packet straight to a relayed address. */
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "probe/pair.h"
#include "probe/trial.h"

enum {
    TRIES = 3,
    WAIT_MS = 500, /* that they may take */
};

static void on_packet(struct trial *t, unsigned by, const struct pair_packet *packet)
{
    char text[ADDR_TEXT_MAX];

    if (packet->kind != PAIR_WIDE)
        return;
    trial_too_wide(t, "UDP passes to %s, too, which no rule names", addr_text(&t->pair->relayed[by], text));
    trial_pass(t);
}

/* From a port of its own, so that no firewall takes it for the answer to something. */
static void send_straight(struct trial *t)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&t->pair->relayed[1], &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint8_t head[PAIR_HEAD];

    pair_head(head, PAIR_WIDE, 0, 0);
    for (unsigned i = 0; i < TRIES && fd >= 0; i++)
        (void)sendto(fd, head, sizeof(head), MSG_DONTWAIT, (struct sockaddr *)&ss, len);
    if (fd >= 0)
        close(fd);
}

/* A relay whose peer rules forbid our own address lets nothing in from there, open or not. */
static void on_permission(struct trial *t, unsigned which, const struct end_result *r)
{
    (void)which;
    if (r->how != END_ANSWERED) {
        trial_pass(t);
        return;
    }
    send_straight(t);
    trial_wait(t, WAIT_MS);
}

static void begin(struct trial *t)
{
    struct pair *p = t->pair;

    if (t->line->measures.mapped.family != p->relayed[1].family) { /* no permission would be given for it, or none is known */
        trial_pass(t);
        return;
    }
    p->heard_packet = on_packet;
    p->done = on_permission;
    p->params[1] = (struct turn_params){.peers = &t->line->measures.mapped, .npeers = 1};
    end_request(p->end[1], STUN_CREATE_PERMISSION, &p->params[1]);
}

const struct step WIDE_STEP = {REPORT_QUALITY, RULES_TURN, begin, trial_pass, NULL};
