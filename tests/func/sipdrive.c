/*
 * Drives the SIP user agent by lines of JSON, for the functional tests: a line in is an order, a line out is what has happened.
 *   {"new": "IP:PORT", "registrar": "HOST:PORT", "tcp": BOOL, "expires": S, "ring": S, "lines": [{"user":…, "password":…}]}   {"free": true}
 *   {"invite": ID, "line": N, "to": TEXT, "sdp": TEXT}   {"ring": ID}   {"answer": ID, "sdp": TEXT}   {"reinvite": ID, "sdp": TEXT}
 *   {"digit": ID, "key": "5"}   {"hangup": ID, "status": N}
 * Calls that come in get the next free ID from 100 on.
 */
#include "bridge/sip.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

enum { CALLS_MAX = 1000, FIRST_INCOMING = 100 };

struct slot {
    int id;
    struct sip_call *call;
};

static struct event_base *base;
static struct sip *ua;
static struct slot slots[CALLS_MAX];
static int incoming = FIRST_INCOMING;
static bool within; /* a function of sip.h runs: no event may come */

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);

    if (within)
        printf("{\"within\":true}\n");
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(line);
}

static void on_registered(void *ctx, unsigned line, bool ok, const char *why)
{
    (void)ctx;
    say(json_pack("{s:i,s:b,s:s}", "registered", (int)line, "ok", ok, "why", why));
}

static void on_invited(void *ctx, struct sip_call *call, unsigned line, const char *from, const char *name, const char *sdp)
{
    struct slot *s = &slots[incoming % CALLS_MAX];

    (void)ctx;
    s->id = incoming++;
    s->call = call;
    sip_set_ctx(call, s);
    say(json_pack("{s:i,s:i,s:s,s:s,s:s?}", "invited", s->id, "line", (int)line, "from", from, "name", name, "sdp", sdp));
}

static void tell(const char *what, void *call_ctx, const char *sdp)
{
    say(json_pack("{s:i,s:s?}", what, ((struct slot *)call_ctx)->id, "sdp", sdp));
}

static void on_ringing(void *ctx, void *call_ctx, const char *sdp)
{
    (void)ctx;
    tell("ringing", call_ctx, sdp);
}

static void on_answered(void *ctx, void *call_ctx, const char *sdp)
{
    (void)ctx;
    tell("answered", call_ctx, sdp);
}

static void on_crossed(void *ctx, void *call_ctx)
{
    (void)ctx;
    tell("crossed", call_ctx, NULL);
}

static void on_reoffered(void *ctx, void *call_ctx, const char *sdp)
{
    (void)ctx;
    tell("reoffered", call_ctx, sdp);
}

static void on_reanswered(void *ctx, void *call_ctx, const char *sdp)
{
    (void)ctx;
    tell("reanswered", call_ctx, sdp);
}

static void on_digit(void *ctx, void *call_ctx, char digit)
{
    char text[2] = {digit, '\0'};

    (void)ctx;
    say(json_pack("{s:i,s:s}", "digit", ((struct slot *)call_ctx)->id, "key", text));
}

static void on_ended(void *ctx, void *call_ctx, const struct sip_end *end)
{
    struct slot *s = call_ctx;

    (void)ctx;
    s->call = NULL;
    say(json_pack("{s:i,s:s,s:i,s:s}", "ended", s->id, "reason", end->reason, "status", end->status, "text", end->text));
}

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static int number_of(const json_t *o, const char *key)
{
    return (int)json_integer_value(json_object_get(o, key));
}

static void start(const json_t *order)
{
    static const struct sip_events EVENTS = {on_registered, on_invited, on_ringing, on_answered, on_reoffered,
                                             on_reanswered, on_crossed, on_digit,   on_ended};
    struct sip_line lines[SIP_LINES_MAX] = {{0}};
    struct sip_config config = {.base = base,
                                .tcp = json_is_true(json_object_get(order, "tcp")),
                                .registrar = text_of(order, "registrar"),
                                .domain = text_of(order, "domain"),
                                .lines = lines,
                                .expires_s = (unsigned)number_of(order, "expires"),
                                .ring_s = (unsigned)number_of(order, "ring")};
    char why[SIP_TEXT_MAX], address[ADDR_TEXT_MAX] = "";
    json_t *line;
    size_t i;
    int err = addr_parse(&config.local, text_of(order, "new"));

    json_array_foreach(json_object_get(order, "lines"), i, line)
    {
        if (i == SIP_LINES_MAX)
            break;
        lines[config.nlines++] = (struct sip_line){
            .user = text_of(line, "user"), .auth_user = text_of(line, "auth_user"), .password = text_of(line, "password")};
    }
    if (!err)
        err = sip_new(&ua, &config, &EVENTS, NULL, why);
    if (!err) {
        struct addr a = sip_address(ua);
        addr_text(&a, address);
    }
    within = false;
    say(json_pack("{s:s,s:s,s:s}", "new", err ? err_str(err) : "", "why", err ? why : "", "address", address));
}

static struct slot *slot_of(const json_t *order, const char *key)
{
    return &slots[(unsigned)number_of(order, key) % CALLS_MAX];
}

static int call_order(const json_t *order, bool *known)
{
    const char *sdp = text_of(order, "sdp");
    struct slot *s;

    *known = true;
    if (json_object_get(order, "invite")) {
        s = slot_of(order, "invite");
        s->id = number_of(order, "invite");
        return sip_invite(&s->call, ua, (unsigned)number_of(order, "line"), text_of(order, "to"), sdp, "c1", s);
    }
    if (json_object_get(order, "ring"))
        return sip_ring(slot_of(order, "ring")->call);
    if (json_object_get(order, "answer"))
        return sip_answer(slot_of(order, "answer")->call, sdp);
    if (json_object_get(order, "reinvite"))
        return sip_reinvite(slot_of(order, "reinvite")->call, sdp);
    if (json_object_get(order, "digit"))
        return sip_info_digit(slot_of(order, "digit")->call, *text_of(order, "key"));
    if (json_object_get(order, "hangup")) {
        sip_hangup(slot_of(order, "hangup")->call, number_of(order, "status"));
        return 0;
    }
    *known = false;
    return 0;
}

static void obey(const char *line)
{
    json_t *order = json_loads(line, 0, NULL);
    bool known = true;
    int err = 0;

    within = true;
    if (json_object_get(order, "new"))
        start(order);
    else if (json_object_get(order, "free"))
        sip_free(&ua);
    else
        err = call_order(order, &known);
    within = false;
    if (err || !known)
        say(json_pack("{s:s,s:s}", "error", err ? err_str(err) : "unknown order", "order", line));
    else if (json_object_get(order, "free"))
        say(json_pack("{s:b}", "freed", true));
    json_decref(order);
}

static void on_lines(struct bufferevent *bev, void *ctx)
{
    char *line;

    (void)ctx;
    while ((line = evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_LF)) != NULL) {
        obey(line);
        free(line);
    }
}

static void on_end(struct bufferevent *bev, short what, void *ctx)
{
    (void)bev;
    (void)what;
    (void)ctx;
    event_base_loopbreak(base);
}

int main(void)
{
    struct event_config *config = event_config_new();
    struct bufferevent *bev;

    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    event_config_avoid_method(config, "epoll"); /* standard input may be a file, which epoll does not take */
    base = event_base_new_with_config(config);
    event_config_free(config);
    bev = bufferevent_socket_new(base, STDIN_FILENO, 0);
    bufferevent_setcb(bev, on_lines, NULL, on_end, NULL);
    bufferevent_enable(bev, EV_READ);
    event_base_dispatch(base);
    sip_free(&ua);
    bufferevent_free(bev);
    event_base_free(base);
    return 0;
}
