/* The user agent and its lines; sipcall.c has the calls. */
#include "bridge/sip.h"

#include <event2/event.h>
#include <glib.h>
#include <netinet/in.h>
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/nta_tag.h>
#include <sofia-sip/su_glib.h>
#include <sofia-sip/su_log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/random.h"
#include "bridge/pump.h"
#include "bridge/sipparts.h"
#include "bridge/sipplace.h"
#include "bridge/siptext.h"

enum {
    TIMEOUT_MS = 8000,   /* without any answer a request has failed: RFC 3261's 32 s are too long for who waits for a call */
    SESSION_S = 1800,    /* RFC 4028 section 4.2's recommendation */
    MIN_SE_S = 90,       /* RFC 4028 section 4.2: the least that may be asked for */
    RETRY_MIN_MS = 2000, /* to register again; doubled up to */
    RETRY_MAX_MS = 30000,
    RETRY_DOUBLINGS = 4,
    GOODBYE_MS = 300, /* at the end: time to un-register and to end calls */
    GOODBYE_STEP_MS = 20,
    PORT_TRIES = 5,
};

/* ---- Lines. ---- */

void sipparts_uri(const struct sip *s, char out[static SIP_URI_MAX], const char *user)
{
    snprintf(out, SIP_URI_MAX, "sip:%.200s@%.255s", user, s->domain);
}

/* `quoted` is the realm in its quotes, as the challenge has it. */
static bool challenge_realm(const msg_auth_t *challenge, const char **scheme, const char **quoted)
{
    for (; challenge; challenge = challenge->au_next) {
        *scheme = challenge->au_scheme;
        *quoted = msg_header_find_param((const msg_common_t *)(const void *)challenge, "realm");
        if (*quoted && strcasecmp(*scheme, "Digest") == 0)
            return true;
    }
    return false;
}

bool sipparts_authenticate(struct sip *s, unsigned line, unsigned *challenges, nua_handle_t *nh, const sip_t *sip)
{
    const struct sip_registration *r = &s->lines[line];
    const char *scheme, *realm;
    char *auth;

    if (!sip || !r->password || ++*challenges > SIP_CHALLENGES_MAX)
        return false;
    if (!challenge_realm(sip->sip_www_authenticate, &scheme, &realm) &&
        !challenge_realm(sip->sip_proxy_authenticate, &scheme, &realm))
        return false;
    if (asprintf(&auth, "%s:%s:%s:%s", scheme, realm, r->auth_user ? r->auth_user : r->user, r->password) < 0)
        return false;
    nua_authenticate(nh, NUTAG_AUTH(auth), TAG_END());
    explicit_bzero(auth, strlen(auth));
    free(auth);
    return true;
}

static void register_line(struct sip_registration *r)
{
    struct sip *s = r->sip;
    char uri[SIP_URI_MAX], expires[16];

    sipparts_uri(s, uri, r->user);
    snprintf(expires, sizeof(expires), "%u", s->config.expires_s);
    r->challenges = 0;
    if (!r->nh)
        r->nh = nua_handle(s->nua, &r->peg, SIPTAG_TO_STR(uri), SIPTAG_FROM_STR(uri), TAG_END());
    if (r->nh)
        nua_register(r->nh, NUTAG_REGISTRAR(s->registrar), NUTAG_M_USERNAME(r->user), SIPTAG_EXPIRES_STR(expires),
                     NUTAG_OUTBOUND("no-options-keepalive no-validate no-natify"), NUTAG_KEEPALIVE(0), TAG_END());
}

static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    register_line(ctx);
}

static bool known_source(const struct sip *s, const struct addr *a)
{
    for (unsigned i = 0; i < s->nsources; i++) {
        if (addr_same_ip(&s->sources[i], a))
            return true;
    }
    return false;
}

bool sipparts_source(const struct sip *s, struct addr *out)
{
    msg_t *msg = nua_current_request(s->nua);
    su_sockaddr_t *su = msg ? msg_addr(msg) : NULL;

    return su && addr_from_sockaddr(out, &su->su_sa) == 0;
}

/* The PBX is where its answers come from: of a name with several addresses, those that have answered. */
static void learn_source(struct sip *s)
{
    struct addr a;

    if (!sipparts_source(s, &a) || known_source(s, &a))
        return;
    s->sources[s->next_source] = a;
    s->next_source = (s->next_source + 1) % SIP_SOURCES_MAX;
    if (s->nsources < SIP_SOURCES_MAX)
        s->nsources++;
}

static void registered(struct sip_registration *r)
{
    learn_source(r->sip);
    r->failures = r->challenges = 0;
    if (r->registered && r->told)
        return; /* a refresh */
    r->registered = r->told = true;
    *r->why = '\0';
    r->sip->events.registered(r->sip->ctx, r->index, true, "");
}

/* Why a line is not registered, with the cure where there is one. */
static void explain(char out[static SIP_TEXT_MAX], const struct sip_registration *r, int status, const char *phrase, bool local)
{
    const char *where = r->sip->pbx;

    if (local)
        snprintf(out, SIP_TEXT_MAX, "the PBX (%.80s) does not answer: is it up, and the address right? (%.80s)", where, phrase);
    else if (status == 401 || status == 407)
        snprintf(out, SIP_TEXT_MAX, "the PBX refuses the password of %.64s", r->auth_user ? r->auth_user : r->user);
    else if (status == 403)
        snprintf(out, SIP_TEXT_MAX, "the PBX forbids %.64s to register (403 %.80s): is its password right?", r->user, phrase);
    else if (status == 404)
        snprintf(out, SIP_TEXT_MAX, "the PBX does not know %.64s (404 %.80s)", r->user, phrase);
    else
        snprintf(out, SIP_TEXT_MAX, "the PBX refuses to register %.64s: %d %.80s", r->user, status, phrase);
}

static void failed(struct sip_registration *r, int status, const char *phrase, bool local)
{
    uint32_t random, ms = r->failures < RETRY_DOUBLINGS ? (uint32_t)RETRY_MIN_MS << r->failures : RETRY_MAX_MS;
    char why[SIP_TEXT_MAX];
    struct timeval tv;
    bool news;

    r->failures++;
    random_bytes(&random, sizeof(random));
    ms = ms / 2 + random % (ms / 2 + 1); /* many lines don't come back in the same moment */
    tv = (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L};
    event_add(&r->retry, &tv);
    explain(why, r, status, phrase, local);
    news = !r->told || r->registered || strcmp(why, r->why) != 0;
    r->registered = false;
    r->told = true;
    memcpy(r->why, why, sizeof(why));
    if (news)
        r->sip->events.registered(r->sip->ctx, r->index, false, why);
}

static void line_event(struct sip_registration *r, nua_event_t event, int status, const char *phrase, const sip_t *sip)
{
    struct addr source;

    if (event != nua_r_register && event != nua_r_unregister)
        return;
    if (status < 200 || ((status == 401 || status == 407) && sipparts_authenticate(r->sip, r->index, &r->challenges, r->nh, sip)))
        return;
    if (event == nua_r_unregister || r->sip->silent)
        return;
    if (status == SIP_NO_CHALLENGE)
        status = 401;
    if (status < 300)
        registered(r);
    else
        failed(r, status, phrase, status != 401 && !sipparts_source(r->sip, &source));
}

/* ---- Events of sofia-sip. ---- */

static bool from_pbx(const struct sip *s)
{
    struct addr a;

    return sipparts_source(s, &a) && known_source(s, &a);
}

/* A request outside of any call. */
static void stray_event(struct sip *s, nua_event_t event, int status, nua_handle_t *nh, const sip_t *sip)
{
    if (event == nua_i_invite && !s->silent && sip && from_pbx(s)) {
        sipcall_invited(s, nh, sip);
        return;
    }
    if (event == nua_i_invite && status < 200)
        nua_respond(nh, 403, siptext_phrase(403), TAG_END());
    /* What sofia-sip has answered by itself (OPTIONS, and 405 to what is not in Allow) leaves a handle behind. */
    if (nh && nua_event_is_incoming_request(event))
        nua_handle_destroy(nh);
}

static void on_event(nua_event_t event, int status, const char *phrase, nua_t *nua, struct sip *s, nua_handle_t *nh,
                     struct sip_peg *peg, const sip_t *sip, tagi_t tags[])
{
    (void)nua;
    (void)tags;
    if (event == nua_r_shutdown) {
        s->down |= status >= 200;
    } else if (!peg) {
        stray_event(s, event, status, nh, sip);
    } else if (peg->kind == SIP_PEG_LINE) {
        line_event((struct sip_registration *)(void *)peg, event, status, phrase, sip);
    } else {
        sipcall_event((struct sip_call *)(void *)peg, event, status, phrase, sip);
    }
}

/* ---- The life of a user agent. ---- */

static void quiet(void *stream, const char *format, va_list ap)
{
    (void)stream;
    (void)format;
    (void)ap;
}

static char *copied(const char *text, bool *ok)
{
    char *copy = text ? strdup(text) : NULL;

    *ok = *ok && (!text || copy);
    return copy;
}

static int copy_lines(struct sip *s)
{
    bool ok = true;

    s->lines = calloc(s->config.nlines ? s->config.nlines : 1, sizeof(*s->lines));
    if (!s->lines)
        return ERR_NOMEM;
    s->nlines = s->config.nlines;
    for (unsigned i = 0; i < s->nlines; i++) {
        const struct sip_line *from = &s->config.lines[i];
        struct sip_registration *r = &s->lines[i];
        r->peg.kind = SIP_PEG_LINE;
        r->sip = s;
        r->index = i;
        r->user = copied(from->user, &ok);
        r->auth_user = copied(from->auth_user, &ok);
        r->password = copied(from->password, &ok);
        evtimer_assign(&r->retry, s->config.base, on_retry, r);
    }
    return ok ? 0 : ERR_NOMEM;
}

/* Where everything goes to, and whose address calls are taken from. */
static int place_registrar(struct sip *s, char text[static SIP_TEXT_MAX])
{
    struct sipplace place;

    if (sipplace_read(&place, s->config.registrar)) {
        snprintf(text, SIP_TEXT_MAX, "the registrar can't be read: write HOST or HOST:PORT");
        return ERR_INVAL;
    }
    snprintf(s->domain, sizeof(s->domain), "%.255s", s->config.domain ? s->config.domain : place.domain);
    snprintf(s->pbx, sizeof(s->pbx), "%s", s->config.registrar);
    snprintf(s->registrar, sizeof(s->registrar), "sip:%s;transport=%s", place.all, s->config.tcp ? "tcp" : "udp");
    s->sources[0] = place.ip;
    s->nsources = s->next_source = place.ip.family != ADDR_NONE;
    for (unsigned i = 0; i < s->config.nlines; i++) {
        if (!s->config.lines[i].password && !s->nsources) {
            snprintf(text, SIP_TEXT_MAX, "line %.64s has no password: then the registrar must be an IP address",
                     s->config.lines[i].user);
            return ERR_INVAL;
        }
    }
    return 0;
}

/* A port that is free now. */
static int free_port(struct sip *s)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&s->address, &ss);
    int fd = socket(ss.ss_family, (s->config.tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0), err = 0;
    struct addr got;

    if (fd < 0 || bind(fd, (const struct sockaddr *)&ss, len) || getsockname(fd, (struct sockaddr *)&ss, &len) ||
        addr_from_sockaddr(&got, (const struct sockaddr *)&ss))
        err = ERR_ADDRINUSE;
    else
        s->address.port = got.port;
    if (fd >= 0)
        close(fd);
    return err;
}

static nua_t *make_nua(struct sip *s)
{
    char ip[ADDR_TEXT_MAX], url[SIP_URI_MAX];

    snprintf(url, sizeof(url), "sip:%s;transport=%s", addr_text(&s->address, ip), s->config.tcp ? "tcp" : "udp");
    return nua_create(s->root, on_event, s, NUTAG_URL(url), NUTAG_PROXY(s->registrar), NUTAG_MEDIA_ENABLE(0), NUTAG_AUTOACK(0),
                      NUTAG_AUTOALERT(0), NUTAG_AUTOANSWER(0), NUTAG_ENABLEMESSAGE(0), NUTAG_DETECT_NETWORK_UPDATES(0),
                      NUTAG_APPL_METHOD("UPDATE"), NUTAG_SESSION_TIMER(SESSION_S), NUTAG_MIN_SE(MIN_SE_S),
                      NUTAG_SESSION_REFRESHER(nua_remote_refresher), NUTAG_UPDATE_REFRESH(1), NTATAG_SIP_T1X64(TIMEOUT_MS),
                      SIPTAG_ALLOW_STR("INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO"), SIPTAG_SUPPORTED_STR("timer"),
                      SIPTAG_USER_AGENT_STR("turnpike-bridge"), TAG_END());
}

static int start(struct sip *s, char text[static SIP_TEXT_MAX])
{
    bool any = s->address.port == 0;
    char ip[ADDR_TEXT_MAX];

    su_init();
    su_log_redirect(su_log_default, quiet, NULL);
    su_log_redirect(su_log_global, quiet, NULL);
    s->root = su_glib_root_create(NULL);
    if (!s->root || su_root_threading(s->root, 0) < 0 || !g_source_attach(su_glib_root_gsource(s->root), pump_context(s->pump)))
        return ERR_NOMEM;
    for (int i = 0; !s->nua && i < (any ? PORT_TRIES : 1); i++) {
        if (any)
            s->address.port = 0;
        if (any && free_port(s))
            break;
        s->nua = make_nua(s);
    }
    if (s->nua)
        return 0;
    snprintf(text, SIP_TEXT_MAX, "the address for SIP (%s) can't be used: is another program on it?", addr_text(&s->address, ip));
    return ERR_ADDRINUSE;
}

int sip_new(struct sip **out, const struct sip_config *config, const struct sip_events *events, void *ctx,
            char text[static SIP_TEXT_MAX])
{
    struct sip *s = calloc(1, sizeof(*s));
    int err;

    *out = NULL;
    snprintf(text, SIP_TEXT_MAX, "no memory");
    if (!s)
        return ERR_NOMEM;
    LIST_INIT(&s->calls);
    s->config = *config;
    s->events = *events;
    s->ctx = ctx;
    s->address = config->local;
    if ((err = place_registrar(s, text)) != 0 || (err = copy_lines(s)) != 0 || (err = pump_new(&s->pump, config->base)) != 0 ||
        (err = start(s, text)) != 0)
        goto out;
    s->config.lines = NULL; /* these are the caller's, and have been copied */
    s->config.registrar = s->config.domain = NULL;
    for (unsigned i = 0; i < s->nlines; i++) {
        if (s->lines[i].password)
            register_line(&s->lines[i]);
    }
    *text = '\0';
    *out = s;
    return 0;
out:
    sip_free(&s);
    return err;
}

static gboolean on_step(gpointer ctx)
{
    (void)ctx;
    return G_SOURCE_CONTINUE;
}

/* Iterates sofia-sip's context until `s->down`, or for so long. */
static void iterate(struct sip *s, int ms)
{
    GMainContext *context = pump_context(s->pump);
    GSource *step = g_timeout_source_new(GOODBYE_STEP_MS);

    g_source_set_callback(step, on_step, NULL, NULL);
    g_source_attach(step, context);
    for (gint64 end = g_get_monotonic_time() + ms * 1000LL; !s->down && g_get_monotonic_time() < end;)
        g_main_context_iteration(context, TRUE);
    g_source_destroy(step);
    g_source_unref(step);
}

/* Ends what the PBX knows of us. */
static void say_goodbye(struct sip *s)
{
    struct sip_call *call, *next;

    for (call = LIST_FIRST(&s->calls); call; call = next) {
        next = LIST_NEXT(call, link);
        if (!call->dead)
            sip_hangup(call, 503);
    }
    for (unsigned i = 0; i < s->nlines; i++) {
        if (s->lines[i].registered && s->lines[i].nh)
            nua_unregister(s->lines[i].nh, TAG_END());
    }
    nua_shutdown(s->nua);
    iterate(s, GOODBYE_MS);
    while ((call = LIST_FIRST(&s->calls)) != NULL)
        sipcall_release(call);
    for (unsigned i = 0; i < s->nlines; i++) {
        if (s->lines[i].nh)
            nua_handle_destroy(s->lines[i].nh);
        s->lines[i].nh = NULL;
    }
    /* Without handles there is nothing to wait for, but for a BYE that is not answered. */
    if (!s->down) {
        nua_shutdown(s->nua);
        iterate(s, GOODBYE_MS);
    }
}

/* sofia-sip frees nothing before every request has been answered or has timed out. What the PBX leaves unanswered at our end stays, without a loop to run on. */
static struct left {
    struct left *next;
    nua_t *nua;
    su_root_t *root;
    GMainContext *context;
} * left;

static void leave_behind(struct sip *s)
{
    struct left *l = calloc(1, sizeof(*l));

    if (!l)
        return;
    *l = (struct left){.next = left, .nua = s->nua, .root = s->root, .context = g_main_context_ref(pump_context(s->pump))};
    left = l;
}

static void free_stack(struct sip *s)
{
    if (s->nua)
        say_goodbye(s);
    if (s->nua && !s->down) {
        leave_behind(s);
    } else {
        if (s->nua)
            nua_destroy(s->nua);
        if (s->root)
            su_root_destroy(s->root);
    }
    pump_free(&s->pump);
}

void sip_free(struct sip **s)
{
    struct sip *sip = *s;

    *s = NULL;
    if (!sip)
        return;
    sip->silent = true;
    for (unsigned i = 0; i < sip->nlines; i++)
        event_del(&sip->lines[i].retry);
    free_stack(sip);
    for (unsigned i = 0; i < sip->nlines; i++) {
        struct sip_registration *r = &sip->lines[i];
        if (r->password)
            explicit_bzero(r->password, strlen(r->password));
        free(r->password);
        free(r->auth_user);
        free(r->user);
    }
    free(sip->lines);
    free(sip);
}

struct addr sip_address(const struct sip *s)
{
    return s->address;
}
