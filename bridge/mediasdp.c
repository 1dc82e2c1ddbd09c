#include "bridge/mediaparts.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* Payload types of our own offers: the static ones of RFC 3551, and what most telephones use for events. */
static const uint8_t our_types[SDP_CODECS] = {[SDP_PCMU] = 0, [SDP_PCMA] = 8, [SDP_EVENT] = 101, [SDP_CN] = RTP_COMFORT_NOISE};

/* Reads and judges. `text` gets the reason. */
static int read_sdp(struct sdp *out, const char *sdp, int (*check)(const struct sdp *s, const char **why),
                    char text[static MEDIA_TEXT_MAX])
{
    const char *why = "";
    int err = strnlen(sdp, MEDIA_SDP_MAX) == MEDIA_SDP_MAX ? ERR_NOSPC : sdp_parse(out, sdp);
    *text = '\0';
    if (err)
        snprintf(text, MEDIA_TEXT_MAX, "the description can't be read: %s", err_str(err));
    else if ((err = check(out, &why)) != 0)
        snprintf(text, MEDIA_TEXT_MAX, "%s", why);
    return err;
}

/* ---- the browser ---- */
static bool same_fingerprint(const struct sdp_fingerprint *a, const struct sdp_fingerprint *b)
{
    return strcmp(a->hash, b->hash) == 0 && a->len == b->len && memcmp(a->digest, b->digest, a->len) == 0;
}

static bool has_pbx(const struct media *m)
{
    return m->pbx_sdp.nsections > 0;
}

/* Comfort noise and keys only where the PBX has them: see bridge/media.h. */
static void choose_browser_types(const struct media *m, const struct sdp *offer, uint8_t out[static SDP_CODECS])
{
    static const enum sdp_codec both[] = {SDP_CN, SDP_EVENT};

    memcpy(out, offer->types, SDP_CODECS);
    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++)
        if (!has_pbx(m) || m->pbx_sdp.types[both[i]] == SDP_NO_TYPE)
            out[both[i]] = SDP_NO_TYPE;
}

static int write_answer(struct media *m, const struct sdp *offer, char answer[static MEDIA_SDP_MAX])
{
    const struct ice *ice = m->fresh ? m->fresh : m->ice;
    struct sdp_browser b = {
        .text = {.id = m->session_id, .version = ++m->browser_version, .direction = sdp_mirror(offer->direction)},
        .offer = offer,
        .ufrag = ice_ufrag(ice),
        .pwd = ice_pwd(ice),
        .fingerprint = dtls_cert_fingerprint(m->hub->cert)};
    int n;

    choose_browser_types(m, offer, b.text.types);
    /* The PBX's law first, where it is known; PCMA else: then nothing has to be mapped. */
    b.text.pcmu_first = has_pbx(m) && m->pbx_sdp.pcmu_first;
    n = sdp_write_browser(answer, MEDIA_SDP_MAX, &b);
    if (n < 0)
        return n;
    memcpy(m->browser.types, b.text.types, sizeof(b.text.types));
    memset(m->browser.codecs, SDP_CODECS, sizeof(m->browser.codecs));
    media_know_types(&m->browser, b.text.types);
    return 0;
}

/* Which parts of the offer are new. */
static int begin(struct media *m, const struct sdp *offer, char text[static MEDIA_TEXT_MAX])
{
    bool first = m->offer.nsections == 0;
    bool keys = first || dtls_state(m->dtls) >= DTLS_CLOSED || !same_fingerprint(&offer->fingerprint, &m->offer.fingerprint);
    bool path = keys || strcmp(offer->ufrag, m->offer.ufrag) != 0 || strcmp(offer->pwd, m->offer.pwd) != 0;
    int err = 0;

    if (path && !rate_take(&m->paths, MEDIA_PATH_COST, media_now_ns() / MS_NS)) {
        snprintf(text, MEDIA_TEXT_MAX, "too many ICE restarts: a call may have one every 2 s");
        return ERR_NOSPC;
    }
    if (first)
        m->began_ns = media_now_ns();
    if (keys)
        err = media_begin_keys(m, &offer->fingerprint);
    if (!err && path)
        err = media_begin_path(m, offer);
    if (err)
        return err;
    m->offer = *offer;
    if (path)
        media_gather(m);
    return 0;
}

int media_offer(struct media *m, const char *sdp, char answer[static MEDIA_SDP_MAX], char text[static MEDIA_TEXT_MAX])
{
    char candidate[SDP_CANDIDATE_MAX];
    struct sdp offer;
    size_t at = 0;
    int err = read_sdp(&offer, sdp, sdp_check_browser, text);

    if (!err)
        err = begin(m, &offer, text);
    if (!err)
        err = write_answer(m, &offer, answer);
    if (err) {
        if (!*text)
            snprintf(text, MEDIA_TEXT_MAX, "%s", err_str(err));
        return err;
    }
    m->browser.open = offer.direction & SDP_RECV;
    m->heard_ns = media_now_ns(); /* whoever held is given time to begin */
    /* A candidate that can't be read is one less. */
    for (unsigned i = 0; i < SDP_CANDIDATES_MAX && sdp_candidate(sdp, &at, candidate); i++)
        (void)media_candidate(m, candidate);
    return 0;
}

/* ---- the PBX ---- */
static void our_text(struct media *m, struct sdp_text *t)
{
    *t = (struct sdp_text){.id = m->session_id, .version = ++m->pbx_version, .direction = m->we_hold ? SDP_SEND : SDP_SENDRECV};
}

/* Takes a description of the PBX's over: where it is, what it takes. */
static void aim(struct media *m, const struct sdp *s, bool mux)
{
    m->pbx_sdp = *s;
    memcpy(m->pbx.types, s->types, sizeof(s->types));
    media_know_types(&m->pbx, s->types);
    m->pbx.open = (s->direction & SDP_RECV) && s->rtp.family != ADDR_NONE;
    leg_aim(m->leg, &s->rtp, mux ? &s->rtp : &s->rtcp, mux);
}

int media_pbx_offer(struct media *m, bool hold, char sdp[static MEDIA_SDP_MAX])
{
    struct sdp_pbx p = {.rtp = leg_address(m->leg)};
    bool browser = m->offer.nsections > 0;
    int n;

    m->we_hold = hold;
    our_text(m, &p.text);
    memcpy(p.text.types, our_types, sizeof(our_types));
    if (m->browser.types[SDP_CN] == SDP_NO_TYPE)
        p.text.types[SDP_CN] = SDP_NO_TYPE;
    p.text.pcmu_first = browser && m->offer.types[SDP_PCMA] == SDP_NO_TYPE;
    n = sdp_write_pbx(sdp, MEDIA_SDP_MAX, &p);
    if (n < 0)
        return n;
    media_know_types(&m->pbx, p.text.types);
    return 0;
}

int media_pbx_answer(struct media *m, const char *sdp, char text[static MEDIA_TEXT_MAX])
{
    struct sdp answer;
    int err = read_sdp(&answer, sdp, sdp_check_pbx, text);
    if (!err)
        aim(m, &answer, false); /* our offers have no rtcp-mux */
    return err;
}

int media_pbx_offered(struct media *m, const char *sdp, char answer[static MEDIA_SDP_MAX], bool *held,
                      char text[static MEDIA_TEXT_MAX])
{
    struct sdp_pbx p = {.rtp = leg_address(m->leg)};
    struct sdp offer;
    int err = read_sdp(&offer, sdp, sdp_check_pbx, text), n;

    if (err)
        return err;
    our_text(m, &p.text);
    p.text.direction &= sdp_mirror(offer.direction);
    memcpy(p.text.types, offer.types, sizeof(offer.types));
    p.text.pcmu_first = offer.pcmu_first;
    p.offer = &offer;
    n = sdp_write_pbx(answer, MEDIA_SDP_MAX, &p);
    if (n < 0) {
        snprintf(text, MEDIA_TEXT_MAX, "%s", err_str(n));
        return n;
    }
    aim(m, &offer, offer.mux);
    *held = !m->pbx.open;
    return 0;
}
