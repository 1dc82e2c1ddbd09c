#include "tests/func/mediapeer.h"

#include <event2/event.h>
#include <glib.h>
#include <nice/agent.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "bridge/pump.h"
#include "bridge/rtp.h"
#include "bridge/sdp.h"
#include "bridge/secure.h"

enum { PACKET_MAX = 1500, DTLS_HEAD = 13, TIMER_MS = 50 };

/* An agent with its context. */
struct agent {
    NiceAgent *nice;
    struct pump *pump;
    guint stream;
    struct peer *peer;
    bool selected;
};

struct peer {
    struct peer_config config;
    const struct peer_events *events;
    void *ctx;
    struct agent *now, *next; /* `next`: of a restart, until it has a pair */
    unsigned version;
    SSL_CTX *context;
    SSL *ssl;
    char fingerprint[128];
    struct event *timer;
    struct secure *secure;
    uint8_t last[PACKET_MAX + SECURE_TRAILER_MAX];
    size_t last_len;
};

static bool send_bytes(struct peer *p, const uint8_t *buf, size_t len)
{
    return p->now->selected && nice_agent_send(p->now->nice, p->now->stream, 1, (guint)len, (const gchar *)buf) == (gint)len;
}

/* ---- DTLS, the waiting side ---- */
static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static bool make_certificate(struct peer *p)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    uint8_t digest[32];
    unsigned n = 0;
    int at = snprintf(p->fingerprint, sizeof(p->fingerprint), "sha-256 ");
    bool ok = key && x && X509_gmtime_adj(X509_getm_notBefore(x), -3600) && X509_gmtime_adj(X509_getm_notAfter(x), 86400) &&
              X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256()) && SSL_CTX_use_certificate(p->context, x) &&
              SSL_CTX_use_PrivateKey(p->context, key) && X509_digest(x, EVP_sha256(), digest, &n);
    for (unsigned i = 0; i < n; i++)
        at += snprintf(p->fingerprint + at, sizeof(p->fingerprint) - (size_t)at, "%s%02X", i ? ":" : "", digest[i]);
    X509_free(x);
    EVP_PKEY_free(key);
    return ok;
}

static bool begin_dtls(struct peer *p)
{
    p->context = SSL_CTX_new(DTLS_server_method());
    if (!p->context || !make_certificate(p))
        return false;
    SSL_CTX_set_verify(p->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, accept_any);
    SSL_CTX_set_options(p->context, SSL_OP_NO_QUERY_MTU);
    SSL_CTX_set_tlsext_use_srtp(p->context, p->config.profiles);
    p->ssl = SSL_new(p->context);
    SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(p->ssl), -1);
    SSL_set_mtu(p->ssl, 1200);
    SSL_set_accept_state(p->ssl);
    return true;
}

static void make_keys(struct peer *p)
{
    uint8_t bytes[2 * SECURE_KEY_MAX];
    struct secure_keys keys;
    const SRTP_PROTECTION_PROFILE *profile = SSL_get_selected_srtp_profile(p->ssl);
    size_t key, salt;

    if (!profile)
        return;
    keys.profile = profile->id == SRTP_AEAD_AES_128_GCM ? SECURE_AEAD_AES_128_GCM : SECURE_AES_CM_SHA1_80;
    key = secure_key_len(keys.profile);
    salt = secure_salt_len(keys.profile);
    SSL_export_keying_material(p->ssl, bytes, 2 * (key + salt), "EXTRACTOR-dtls_srtp", 19, NULL, 0, 0);
    memcpy(keys.remote, bytes, key);
    memcpy(keys.local, bytes + key, key);
    memcpy(keys.remote + key, bytes + 2 * key, salt);
    memcpy(keys.local + key, bytes + 2 * key + salt, salt);
    (void)secure_new(&p->secure, &keys);
}

/* A memory BIO keeps no datagrams: each record goes out as one. As a browser does it, what came before the pair is selected is answered then. */
static void flush_dtls(struct peer *p)
{
    static uint8_t buf[1 << 14];
    int n = !p->now->selected ? 0 : BIO_read(SSL_get_wbio(p->ssl), buf, sizeof(buf));
    for (int at = 0; at + DTLS_HEAD <= n;) {
        size_t record = DTLS_HEAD + ((size_t)buf[at + 11] << 8 | buf[at + 12]);
        (void)send_bytes(p, buf + at, record);
        at += (int)record;
    }
}

static void on_dtls(struct peer *p, const uint8_t *buf, size_t len)
{
    char nothing[64];
    BIO_write(SSL_get_rbio(p->ssl), buf, (int)len);
    if (SSL_do_handshake(p->ssl) == 1) {
        if (!p->secure)
            make_keys(p);
        (void)SSL_read(p->ssl, nothing, sizeof(nothing));
    }
    flush_dtls(p);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct peer *p = ctx;
    (void)fd;
    (void)what;
    if (SSL_is_init_finished(p->ssl))
        event_del(p->timer); /* hundreds of calls need no timers for what is over */
    else if (DTLSv1_handle_timeout(p->ssl) > 0)
        flush_dtls(p);
}

/* ---- ICE ---- */
static void on_candidate(NiceAgent *nice, NiceCandidate *c, gpointer ctx)
{
    struct agent *a = ctx;
    gchar *text = nice_agent_generate_local_candidate_sdp(nice, c);
    a->peer->events->candidate(a->peer->ctx, text + 2);
    g_free(text);
}

static void on_gathered(NiceAgent *nice, guint stream, gpointer ctx)
{
    struct agent *a = ctx;
    (void)nice;
    (void)stream;
    a->peer->events->candidate(a->peer->ctx, NULL);
}

static void free_agent(struct agent **a)
{
    if (!*a)
        return;
    g_signal_handlers_disconnect_by_data((*a)->nice, *a);
    nice_agent_attach_recv((*a)->nice, (*a)->stream, 1, pump_context((*a)->pump), NULL, NULL);
    g_object_unref((*a)->nice);
    pump_free(&(*a)->pump);
    free(*a);
    *a = NULL;
}

static const char *type_name(const NiceCandidate *c)
{
    static const char *const names[] = {"host", "srflx", "prflx", "relay"};
    return names[c->type];
}

static void on_selected(NiceAgent *nice, guint stream, guint component, NiceCandidate *local, NiceCandidate *remote, gpointer ctx)
{
    struct agent *a = ctx;
    struct peer *p = a->peer;
    (void)nice;
    (void)stream;
    (void)component;
    a->selected = true;
    if (a == p->next) {
        free_agent(&p->now);
        p->now = a;
        p->next = NULL;
    }
    flush_dtls(p);
    p->events->selected(p->ctx, type_name(local), type_name(remote));
}

static void on_packet(NiceAgent *nice, guint stream, guint component, guint n, gchar *bytes, gpointer ctx)
{
    struct peer *p = ((struct agent *)ctx)->peer;
    uint8_t *buf = (uint8_t *)bytes;
    size_t len = n;
    (void)nice;
    (void)stream;
    (void)component;
    if (len && buf[0] >= 20 && buf[0] <= 63) {
        on_dtls(p, buf, len);
    } else if (p->secure && rtp_is_rtcp(buf, len)) {
        if (secure_unprotect_rtcp(p->secure, buf, &len) == 0)
            p->events->rtcp(p->ctx, buf, len);
    } else if (p->secure && secure_unprotect(p->secure, buf, &len) == 0) {
        p->events->rtp(p->ctx, buf, len);
    }
}

static struct agent *make_agent(struct peer *p)
{
    struct agent *a = calloc(1, sizeof(*a));
    NiceAddress address;
    if (!a || pump_new(&a->pump, p->config.base))
        abort();
    a->peer = p;
    a->nice = nice_agent_new_full(pump_context(a->pump), NICE_COMPATIBILITY_RFC5245,
                                  NICE_AGENT_OPTION_REGULAR_NOMINATION | NICE_AGENT_OPTION_ICE_TRICKLE |
                                      NICE_AGENT_OPTION_CONSENT_FRESHNESS);
    g_object_set(a->nice, "controlling-mode", TRUE, "upnp", FALSE, "ice-tcp", FALSE, "force-relay", (gboolean)p->config.force_relay,
                 NULL);
    nice_address_init(&address);
    nice_address_set_from_string(&address, p->config.ip);
    nice_agent_add_local_address(a->nice, &address);
    g_signal_connect(a->nice, "new-candidate-full", G_CALLBACK(on_candidate), a);
    g_signal_connect(a->nice, "candidate-gathering-done", G_CALLBACK(on_gathered), a);
    g_signal_connect(a->nice, "new-selected-pair-full", G_CALLBACK(on_selected), a);
    a->stream = nice_agent_add_stream(a->nice, 1);
    if (p->config.turn_ip)
        nice_agent_set_relay_info(a->nice, a->stream, 1, p->config.turn_ip, p->config.turn_port, p->config.user, p->config.password,
                                  NICE_RELAY_TYPE_TURN_UDP);
    nice_agent_attach_recv(a->nice, a->stream, 1, pump_context(a->pump), on_packet, a);
    return a;
}

static struct agent *newest(struct peer *p)
{
    return p->next ? p->next : p->now;
}

void peer_restart(struct peer *p)
{
    free_agent(&p->next);
    p->next = make_agent(p);
}

bool peer_answer(struct peer *p, const char *sdp)
{
    struct agent *a = newest(p);
    struct sdp s;
    if (sdp_parse(&s, sdp) || s.setup != SDP_ACTIVE)
        return false;
    nice_agent_set_remote_credentials(a->nice, a->stream, s.ufrag, s.pwd);
    if (!a->selected)
        nice_agent_gather_candidates(a->nice, a->stream);
    return true;
}

void peer_candidate(struct peer *p, const char *candidate)
{
    struct agent *a = newest(p);
    char line[SDP_CANDIDATE_MAX + 2];
    NiceCandidate *c;
    GSList *list;
    if (!candidate) {
        nice_agent_peer_candidate_gathering_done(a->nice, a->stream);
        return;
    }
    snprintf(line, sizeof(line), "a=%s", candidate);
    c = nice_agent_parse_remote_candidate_sdp(a->nice, a->stream, line);
    if (!c)
        return;
    list = g_slist_append(NULL, c);
    nice_agent_set_remote_candidates(a->nice, a->stream, 1, list);
    g_slist_free(list);
    nice_candidate_free(c);
}

/* ---- the rest ---- */
void peer_offer(struct peer *p, bool wrong, const char *direction, char out[static PEER_SDP_MAX])
{
    struct agent *a = newest(p);
    gchar *ufrag, *pwd;
    char fingerprint[sizeof(p->fingerprint)];
    nice_agent_get_local_credentials(a->nice, a->stream, &ufrag, &pwd);
    memcpy(fingerprint, p->fingerprint, sizeof(fingerprint));
    if (wrong)
        fingerprint[8] = (char)(fingerprint[8] == '0' ? '1' : '0');
    snprintf(
        out, PEER_SDP_MAX,
        "v=0\r\no=- 1 %u IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 13 126\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na=setup:actpass\r\na=%s\r\n"
        "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=ice-options:trickle\r\na=fingerprint:%s\r\n"
        "a=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\n"
        "a=rtpmap:126 telephone-event/8000\r\n",
        ++p->version, direction, ufrag, pwd, fingerprint);
    g_free(ufrag);
    g_free(pwd);
}

struct peer *peer_new(const struct peer_config *config, const struct peer_events *events, void *ctx)
{
    static const struct timeval interval = {.tv_usec = TIMER_MS * 1000};
    struct peer *p = calloc(1, sizeof(*p));
    if (!p)
        abort();
    p->config = *config;
    p->events = events;
    p->ctx = ctx;
    if (!begin_dtls(p))
        abort();
    p->now = make_agent(p);
    p->timer = event_new(config->base, -1, EV_PERSIST, on_timer, p);
    event_add(p->timer, &interval);
    return p;
}

void peer_free(struct peer **slot)
{
    struct peer *p = *slot;
    if (!p)
        return;
    event_free(p->timer);
    free_agent(&p->next);
    free_agent(&p->now);
    secure_free(&p->secure);
    SSL_free(p->ssl);
    SSL_CTX_free(p->context);
    free(p);
    *slot = NULL;
}

bool peer_is_up(const struct peer *p)
{
    return p->secure != NULL;
}

bool peer_send(struct peer *p, const uint8_t *rtp, size_t len)
{
    if (!p->secure)
        return false;
    memcpy(p->last, rtp, len);
    p->last_len = len;
    return secure_protect(p->secure, p->last, &p->last_len) == 0 && peer_replay(p);
}

bool peer_send_rtcp(struct peer *p, const uint8_t *rtcp, size_t len)
{
    uint8_t buf[PACKET_MAX + SECURE_TRAILER_MAX];
    memcpy(buf, rtcp, len);
    return p->secure && secure_protect_rtcp(p->secure, buf, &len) == 0 && send_bytes(p, buf, len);
}

bool peer_replay(struct peer *p)
{
    return send_bytes(p, p->last, p->last_len);
}

bool peer_protect(struct peer *p, uint8_t *buf, size_t *len)
{
    return p->secure && secure_protect(p->secure, buf, len) == 0;
}
