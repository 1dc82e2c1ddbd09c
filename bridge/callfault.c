/* Why media have no path: which of the two sides lacks what, and which of the firewall's five rules gives it. */
#include <stdio.h>
#include <string.h>

#include "bridge/call.h"
#include "bridge/sdp.h"

void call_note_candidate(struct call_types *types, const char *candidate)
{
    const char *type = strstr(candidate, " typ ");
    const struct {
        const char *name;
        bool *has;
    } known[] = {{"host", &types->host}, {"srflx", &types->srflx}, {"prflx", &types->prflx}, {"relay", &types->relay}};

    if (!type)
        return;
    type += strlen(" typ ");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strncmp(type, known[i].name, strlen(known[i].name)) == 0)
            *known[i].has = true;
}

void call_note_candidates(struct call_types *types, const char *sdp)
{
    char candidate[SDP_CANDIDATE_MAX];
    size_t at = 0;

    while (sdp_candidate(sdp, &at, candidate))
        call_note_candidate(types, candidate);
}

/* "host, relay" or "none". */
static void list(const struct call_types *t, char out[static 32])
{
    const char *names[4];
    size_t n = 0, len = 0;

    if (t->host)
        names[n++] = "host";
    if (t->srflx)
        names[n++] = "srflx";
    if (t->prflx)
        names[n++] = "prflx";
    if (t->relay)
        names[n++] = "relay";
    snprintf(out, 32, "none");
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(out + len, 32 - len, "%s%s", i ? ", " : "", names[i]);
}

void call_fault_text(const struct call *c, char out[static CALL_TEXT_MAX])
{
    const char *relay = c->calls->relay[0] ? c->calls->relay : "the relay";
    struct media_stats stats = {.path = {.local = ""}};
    char ours[32], theirs[32];

    if (c->media)
        c->calls->ends->media_read(c->media, &stats);
    list(&c->ours, ours);
    list(&c->theirs, theirs);
    if (stats.path.local[0])
        snprintf(out, CALL_TEXT_MAX, "ICE has a path (bridge: %.7s, phone: %.7s), but the DTLS handshake over it has failed",
                 stats.path.local, stats.path.remote);
    else if (!c->ours.relay && !c->theirs.relay)
        snprintf(out, CALL_TEXT_MAX,
                 "no path for media: neither the bridge nor the phone has a relay candidate; is UDP to %s blocked, from the "
                 "bridge's host "
                 "(firewall rule 4) and from the browser's (rule 5)?",
                 relay);
    else if (!c->ours.relay)
        snprintf(out, CALL_TEXT_MAX,
                 "no path for media: the bridge has no relay candidate; UDP from its host to %s is blocked (firewall rule 4); "
                 "bridge: %s; "
                 "phone: %s",
                 relay, ours, theirs);
    else if (!c->theirs.relay)
        snprintf(out, CALL_TEXT_MAX,
                 "no path for media: the phone has no relay candidate; UDP from its browser to %s is blocked (firewall rule 5); "
                 "bridge: %s; "
                 "phone: %s",
                 relay, ours, theirs);
    else
        snprintf(out, CALL_TEXT_MAX,
                 "no path for media, although both sides have relay candidates (bridge: %s; phone: %s); does %s allow its own "
                 "addresses as "
                 "peers?",
                 ours, theirs, relay);
}
