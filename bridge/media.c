#include "bridge/mediaparts.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/random.h"

/* ---- what is told, from the loop ---- */
static void call_back(struct media *m, const struct media_note *n)
{
    switch (n->kind) {
    case NOTE_CANDIDATE:
    case NOTE_NO_MORE:
        if (m->events.candidate)
            m->events.candidate(m->ctx, n->kind == NOTE_CANDIDATE ? n->candidate : NULL);
        break;
    case NOTE_STATE:
        if (m->events.state)
            m->events.state(m->ctx, n->state, &n->path);
        break;
    case NOTE_DIGIT:
        if (m->events.digit)
            m->events.digit(m->ctx, n->digit);
        break;
    }
}

static void on_deliver(evutil_socket_t fd, short what, void *ctx)
{
    struct media *m = ctx;
    (void)fd;
    (void)what;
    m->telling = true;
    while (m->notes) {
        struct media_note *n = m->notes;
        m->notes = n->next;
        if (!m->notes)
            m->last = &m->notes;
        call_back(m, n);
        free(n);
    }
    m->telling = false;
    if (m->doomed)
        free(m);
}

/* Without memory something is not told; the states are told again when they change. */
static void tell(struct media *m, const struct media_note *note)
{
    struct media_note *n = malloc(sizeof(*n));
    if (!n)
        return;
    *n = *note;
    n->next = NULL;
    *m->last = n;
    m->last = &n->next;
    event_active(&m->deliver, EV_TIMEOUT, 1);
}

static void forget_notes(struct media *m, bool candidates_alone)
{
    struct media_note **at = &m->notes;
    while (*at) {
        struct media_note *n = *at;
        if (candidates_alone && n->kind != NOTE_CANDIDATE && n->kind != NOTE_NO_MORE) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        free(n);
    }
    m->last = at;
}

void media_tell_state(struct media *m, enum media_state state)
{
    m->state = state;
    tell(m, &(struct media_note){.kind = NOTE_STATE, .state = state, .path = m->path});
}

void media_tell_digit(struct media *m, char digit)
{
    tell(m, &(struct media_note){.kind = NOTE_DIGIT, .digit = digit});
}

/* ---- keys ---- */
static void on_dtls_send(void *ctx, const uint8_t *data, size_t len)
{
    struct media *m = ctx;
    if (m->ice)
        (void)ice_send(m->ice, data, len); /* what doesn't go out is sent again by DTLS's timer */
}

static void await_dtls(struct media *m)
{
    int ms = m->dtls ? dtls_due_ms(m->dtls) : -1;
    struct timeval left = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    if (ms < 0)
        evtimer_del(&m->dtls_timer);
    else
        evtimer_add(&m->dtls_timer, &left);
}

/* The handshake's state has perhaps changed. */
static void look_at_dtls(struct media *m)
{
    struct secure_keys keys;
    enum dtls_state state = dtls_state(m->dtls);
    int err;

    await_dtls(m);
    if (state == DTLS_FAILED && m->state != MEDIA_FAILED)
        media_tell_state(m, MEDIA_FAILED);
    if (state != DTLS_UP || m->secure)
        return;
    err = dtls_keys(m->dtls, &keys);
    err = err ? err : secure_new(&m->secure, &keys);
    explicit_bzero(&keys, sizeof(keys));
    m->keys_ns = media_now_ns();
    m->heard_ns = m->keys_ns;
    media_tell_state(m, err ? MEDIA_FAILED : MEDIA_CONNECTED);
}

static void on_dtls_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct media *m = ctx;
    (void)fd;
    (void)what;
    dtls_timeout(m->dtls);
    look_at_dtls(m);
}

static void start_dtls(struct media *m)
{
    dtls_start(m->dtls);
    look_at_dtls(m);
}

int media_begin_keys(struct media *m, const struct sdp_fingerprint *peer)
{
    struct dtls *dtls;
    int err = dtls_new(&dtls, m->hub->cert, peer, on_dtls_send, m);
    if (err)
        return err;
    secure_free(&m->secure);
    dtls_free(&m->dtls);
    m->dtls = dtls;
    await_dtls(m);
    return 0;
}

/* ---- the path ---- */
static void on_candidate(void *ctx, const struct ice *ice, const char *candidate)
{
    struct media *m = ctx;
    struct media_note note = {.kind = candidate ? NOTE_CANDIDATE : NOTE_NO_MORE};
    if (ice != (m->fresh ? m->fresh : m->ice))
        return; /* one that is on its way out */
    if (candidate) {
        if (strlen(candidate) >= sizeof(note.candidate))
            return;
        memcpy(note.candidate, candidate, strlen(candidate));
    }
    tell(m, &note);
}

static void on_selected(void *ctx, const struct ice *ice, const struct media_path *path)
{
    struct media *m = ctx;
    bool moved = memcmp(&m->path, path, sizeof(*path)) != 0;

    if (ice == m->fresh) {
        ice_close(&m->ice);
        m->ice = m->fresh;
        m->fresh = NULL;
        moved = true;
    }
    m->path = *path;
    m->consent = true;
    m->heard_ns = media_now_ns();
    if (!m->selected_ns)
        m->selected_ns = m->heard_ns;
    if (dtls_state(m->dtls) == DTLS_NEW)
        start_dtls(m);
    else if (m->secure && (moved || m->state != MEDIA_CONNECTED))
        media_tell_state(m, MEDIA_CONNECTED);
}

static void on_failed(void *ctx, const struct ice *ice)
{
    struct media *m = ctx;
    if (ice == m->fresh)
        return; /* the path that there is goes on, or is being looked for already */
    m->consent = false;
    if (m->state == MEDIA_CONNECTED)
        media_tell_state(m, MEDIA_RECONNECTING);
    else if (m->state == MEDIA_CHECKING)
        media_tell_state(m, MEDIA_FAILED);
}

static bool is_dtls(const uint8_t *buf, size_t len)
{
    return len > 0 && buf[0] >= 20 && buf[0] <= 63; /* RFC 7983 section 7 */
}

static void on_packet(void *ctx, uint8_t *buf, size_t len)
{
    struct media *m = ctx;
    if (!is_dtls(buf, len)) {
        media_from_browser(m, buf, len);
        return;
    }
    dtls_input(m->dtls, buf, len);
    look_at_dtls(m);
}

static const struct ice_events ice_events = {
    .candidate = on_candidate, .selected = on_selected, .failed = on_failed, .packet = on_packet};

void media_gather(struct media *m)
{
    struct ice *ice = m->fresh ? m->fresh : m->ice;
    m->waits_for_servers = !servers_ready(m->hub->servers);
    /* Without an address to gather on there may still be one tomorrow: the call fails when its time is over. */
    if (ice && !m->waits_for_servers)
        (void)ice_gather(ice, m->hub->servers);
}

int media_begin_path(struct media *m, const struct sdp *offer)
{
    const struct media_hub_config *c = &m->hub->config;
    const struct ice_config config = {
        .base = c->base, .yard = &m->hub->yard, .force_relay = c->force_relay, .ips = m->hub->ips, .nips = c->nice_ips};
    struct ice *ice;
    int err = ice_new(&ice, &config, &ice_events, m);

    err = err ? err : ice_remote(ice, offer->ufrag, offer->pwd);
    if (err) {
        ice_close(&ice);
        return err;
    }
    ice_close(&m->fresh);
    forget_notes(m, true);
    if (m->selected_ns) {
        m->fresh = ice;
    } else {
        ice_close(&m->ice);
        m->ice = ice;
    }
    m->offered_ns = media_now_ns();
    if (m->state == MEDIA_NEW || m->state == MEDIA_FAILED)
        media_tell_state(m, MEDIA_CHECKING);
    return 0;
}

int media_candidate(struct media *m, const char *candidate)
{
    struct ice *ice = m->fresh ? m->fresh : m->ice;
    if (!ice)
        return ERR_NOTCONN;
    if (candidate && strncmp(candidate, "a=", 2) == 0)
        candidate += 2;
    if (candidate && *candidate)
        return ice_remote_candidate(ice, candidate);
    ice_remote_done(ice);
    return 0;
}

/* Whatever time alone tells. */
void media_look(struct media *m, uint64_t now_ns)
{
    bool sends = m->offer.direction & SDP_SEND;
    if (m->state == MEDIA_CHECKING && now_ns - m->offered_ns > (uint64_t)MEDIA_CONNECT_MS * MS_NS)
        media_tell_state(m, MEDIA_FAILED);
    if (m->state == MEDIA_CONNECTED && sends && m->browser.heard && now_ns > m->heard_ns &&
        now_ns - m->heard_ns > (uint64_t)MEDIA_SILENCE_MS * MS_NS)
        media_tell_state(m, MEDIA_RECONNECTING);
    media_reports(m, now_ns);
}

/* ---- begin and end ---- */
static void on_leg(void *ctx, uint8_t *buf, size_t len)
{
    media_from_pbx(ctx, buf, len);
}

static void init_side(struct media_side *side, uint64_t now_ns)
{
    memset(side->types, SDP_NO_TYPE, sizeof(side->types));
    memset(side->codecs, SDP_CODECS, sizeof(side->codecs));
    flow_init(&side->out, now_ns);
    side->rtt_s = -1;
}

int media_new(struct media **out, struct media_hub *hub, const struct media_events *events, void *ctx)
{
    struct media *m = NULL;
    uint64_t now = media_now_ns();
    int err = ERR_NOSPC;

    if (hub->ncalls == MEDIA_CALLS_MAX)
        goto out;
    err = ERR_NOMEM;
    m = calloc(1, sizeof(*m));
    if (!m)
        goto out;
    m->events = *events;
    m->ctx = ctx;
    m->last = &m->notes;
    random_bytes(&m->session_id, sizeof(m->session_id));
    m->session_id >>= 2; /* RFC 8829 section 5.2.1: a positive number in 63 bits */
    rate_init(&m->paths, 1, MEDIA_PATHS_BURST * MEDIA_PATH_COST, now / MS_NS);
    init_side(&m->browser, now);
    init_side(&m->pbx, now);
    err = leg_new(&m->leg, hub->config.base, &hub->config.rtp_ip, hub->config.rtp_min, hub->config.rtp_max, on_leg, m);
    if (err)
        goto out;
    m->hub = hub;
    evtimer_assign(&m->deliver, hub->config.base, on_deliver, m);
    evtimer_assign(&m->dtls_timer, hub->config.base, on_dtls_timer, m);
    media_keys_init(m);
    m->next = hub->calls;
    hub->calls = m;
    hub->ncalls++;
out:
    if (err)
        free(m);
    *out = err ? NULL : m;
    return err;
}

void media_free(struct media **slot)
{
    struct media *m = *slot, **at;
    if (!m)
        return;
    *slot = NULL;
    media_bye(m);
    for (at = &m->hub->calls; *at != m; at = &(*at)->next)
        ;
    *at = m->next;
    m->hub->ncalls--;
    media_keys_stop(m);
    event_del(&m->deliver);
    event_del(&m->dtls_timer);
    forget_notes(m, false);
    ice_close(&m->fresh);
    ice_close(&m->ice);
    secure_free(&m->secure);
    dtls_free(&m->dtls);
    leg_free(&m->leg);
    m->doomed = m->telling;
    if (!m->doomed)
        free(m);
}

static double since(const struct media *m, uint64_t at_ns)
{
    return at_ns ? (double)(at_ns - m->began_ns) / 1e9 : -1;
}

static struct media_leg_stats read_side(const struct media_side *side)
{
    struct media_leg_stats s = side->count;
    s.packets_out = side->out.packets;
    s.lost = rtcp_source_lost(&side->in);
    s.jitter_s = side->in.jitter / FLOW_CLOCK_HZ;
    s.rtt_s = side->rtt_s;
    return s;
}

void media_read(const struct media *m, struct media_stats *out)
{
    *out = (struct media_stats){
        .browser = read_side(&m->browser),
        .pbx = read_side(&m->pbx),
        .ice_s = since(m, m->selected_ns),
        .dtls_s = since(m, m->keys_ns),
        .audio_s = since(m, m->audio_ns),
        .path = m->path,
    };
}
