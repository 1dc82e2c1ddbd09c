/*
 * Purpose:  many browsers that call at the same time: for each a session at the connect service, and the media of tests/func/mediapeer over the relay that
 *           the service names.
 * Owner:    one thread.
 * Lifetime: until standard input ends.
 * Callers:  tests/bench/soakcalls.py.
 * RFC:      none.
 *
 *   callers URL CA OWN-IP TURN-IP TURN-PORT CALLS CALLS-A-SECOND TOKENS
 * TOKENS is a file of "NAME PASSWORD" a line; the calls take them in turn. The n-th call is to the number n.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "connect/client.h"
#include "tests/bench/voices.h"
#include "tests/func/mediapeer.h"

enum { TOKENS_MAX = 256, WORD_MAX = 256, ID_MAX = 64, NUMBER_MAX = 16, TELL_S = 1 };

enum caller_state { CALLER_NEW, CALLER_READY, CALLER_DIALLED, CALLER_TALKS, CALLER_OVER };

struct caller {
    unsigned number;
    enum caller_state state;
    struct connect_client *client;
    struct peer *peer;
    char id[ID_MAX], user[WORD_MAX], password[WORD_MAX];
    bool answered, relayed;
};

struct token {
    char name[WORD_MAX], password[WORD_MAX];
};

static struct {
    struct event_base *base;
    const char *url, *ca, *ip, *turn_ip;
    unsigned turn_port, calls, rate, begun, dialled, ended, turns, ntokens;
    struct token tokens[TOKENS_MAX];
    struct caller *callers;
    struct voices *voices;
    struct event *next, *tick;
    char why[CONNECT_CLIENT_TEXT_MAX]; /* the last one ended */
} all;

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static void over(struct caller *c, const char *why)
{
    if (c->state == CALLER_OVER)
        return;
    c->state = CALLER_OVER;
    all.ended++;
    snprintf(all.why, sizeof(all.why), "%s", why);
    voices_up(all.voices, c->number, false);
}

/* It talks once it is answered, has a path from relay to relay, and keys. */
static void look(struct caller *c)
{
    if (c->state == CALLER_DIALLED && c->answered && c->relayed && peer_is_up(c->peer)) {
        c->state = CALLER_TALKS;
        voices_up(all.voices, c->number, true);
    }
}

static void tell(struct caller *c, const char *method, json_t *params)
{
    json_object_set_new(params, "call", json_string(c->id));
    if (connect_client_notify(c->client, method, params))
        over(c, "the service takes nothing more");
}

/* ---- media ---- */
static bool send_rtp(void *ctx, unsigned call, const uint8_t *rtp, size_t len)
{
    (void)ctx;
    return peer_send(all.callers[call].peer, rtp, len);
}

static void on_candidate(void *ctx, const char *candidate)
{
    struct caller *c = ctx;
    tell(c, "call.candidate", json_pack("{s:s?,s:s}", "candidate", candidate, "mid", "0"));
}

static void on_selected(void *ctx, const char *local, const char *remote)
{
    struct caller *c = ctx;
    c->relayed = strcmp(local, "relay") == 0 && strcmp(remote, "relay") == 0;
    look(c);
}

static void on_rtp(void *ctx, const uint8_t *buf, size_t len)
{
    struct caller *c = ctx;
    voices_heard(all.voices, c->number, buf, len);
}

static void on_rtcp(void *ctx, const uint8_t *buf, size_t len)
{
    (void)ctx;
    (void)buf;
    (void)len;
}

static const struct peer_events PEER_EVENTS = {.candidate = on_candidate, .selected = on_selected, .rtp = on_rtp, .rtcp = on_rtcp};

/* ---- the service ---- */
static void on_started(void *ctx, const json_t *result, const json_t *error)
{
    struct caller *c = ctx;
    if (!result) {
        over(c, error ? text_of(error, "message") : "the service has gone");
        return;
    }
    snprintf(c->id, sizeof(c->id), "%s", text_of(result, "call"));
}

/* What the service has handed out for its relay. */
static void take_credentials(struct caller *c, const json_t *hello)
{
    const json_t *servers = json_object_get(json_object_get(hello, "ice"), "iceServers");
    for (size_t i = 0; i < json_array_size(servers); i++) {
        const json_t *server = json_array_get(servers, i);
        if (!json_object_get(server, "username"))
            continue;
        snprintf(c->user, sizeof(c->user), "%s", text_of(server, "username"));
        snprintf(c->password, sizeof(c->password), "%s", text_of(server, "credential"));
    }
}

static void on_up(void *ctx, const json_t *hello, bool resumed)
{
    struct caller *c = ctx;
    if (resumed || c->state != CALLER_NEW)
        return;
    take_credentials(c, hello);
    c->state = CALLER_READY;
}

static void dial(struct caller *c)
{
    char sdp[PEER_SDP_MAX], number[NUMBER_MAX];
    struct peer_config config;

    if (c->state != CALLER_READY) {
        over(c, "the service has not answered the hello in time");
        return;
    }
    config = (struct peer_config){.base = all.base,
                                  .ip = all.ip,
                                  .turn_ip = all.turn_ip,
                                  .turn_port = all.turn_port,
                                  .user = c->user,
                                  .password = c->password,
                                  .force_relay = true,
                                  .profiles = "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"};
    c->peer = peer_new(&config, &PEER_EVENTS, c);
    peer_offer(c->peer, false, "sendrecv", sdp);
    snprintf(number, sizeof(number), "%u", c->number);
    c->state = CALLER_DIALLED;
    if (connect_client_request(c->client, "call.start", json_pack("{s:s,s:s}", "to", number, "sdp", sdp), on_started, c))
        over(c, "the service takes no call");
}

static void on_down(void *ctx, const char *why, bool lost)
{
    if (lost)
        over(ctx, why);
}

static void on_answer(struct caller *c, const json_t *params)
{
    if (!peer_answer(c->peer, text_of(params, "sdp")))
        over(c, "the bridge's answer can't be read");
}

static void on_their_candidate(struct caller *c, const json_t *params)
{
    peer_candidate(c->peer, json_string_value(json_object_get(params, "candidate")));
}

static void on_answered(struct caller *c, const json_t *params)
{
    (void)params;
    c->answered = true;
}

static void on_ended(struct caller *c, const json_t *params)
{
    char why[WORD_MAX];
    snprintf(why, sizeof(why), "%s: %s", text_of(params, "reason"), text_of(params, "text"));
    over(c, why);
}

static void on_message(void *ctx, const char *method, const json_t *params)
{
    static const struct {
        const char *method;
        void (*run)(struct caller *c, const json_t *params);
    } table[] = {{"call.answer", on_answer},
                 {"call.candidate", on_their_candidate},
                 {"call.answered", on_answered},
                 {"call.ended", on_ended}};
    struct caller *c = ctx;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && c->state != CALLER_OVER && c->peer; i++) {
        if (strcmp(table[i].method, method) == 0)
            table[i].run(c, params);
    }
}

static const struct connect_client_events CLIENT_EVENTS = {.up = on_up, .down = on_down, .message = on_message};

/* ---- begin and end ---- */
static void sign_in(struct caller *c)
{
    const struct token *t = &all.tokens[all.begun % all.ntokens];
    struct connect_client_config config = {
        .base = all.base, .url = all.url, .ca_file = all.ca, .role = "phone", .username = t->name, .password = t->password};
    char text[CONNECT_CLIENT_TEXT_MAX] = "";
    c->number = all.begun++;
    if (connect_client_new(&c->client, &config, &CLIENT_EVENTS, c, text))
        over(c, text);
}

/* One signs in, and one that has done so a second ago calls: as people do, and the relay has heard of his credentials. */
static void on_next(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
    if (all.turns++ >= all.rate)
        dial(&all.callers[all.dialled++]);
    if (all.begun < all.calls)
        sign_in(&all.callers[all.begun]);
    if (all.dialled == all.calls)
        event_del(all.next);
}

/* The last that a call waits for, its keys, is not told by anybody. */
static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
    for (unsigned i = 0; i < all.begun; i++)
        look(&all.callers[i]);
    voices_say(json_pack("{s:s,s:i,s:i,s:i,s:s}", "event", "state", "begun", (int)all.begun, "up", (int)voices_are_up(all.voices),
                         "ended", (int)all.ended, "why", all.why));
}

static bool read_tokens(const char *path)
{
    FILE *f = fopen(path, "re");
    while (f && all.ntokens < TOKENS_MAX &&
           fscanf(f, "%255s %255s", all.tokens[all.ntokens].name, all.tokens[all.ntokens].password) == 2)
        all.ntokens++;
    if (f)
        fclose(f);
    return all.ntokens > 0;
}

static bool read_words(int argc, char **argv, struct timeval *pace)
{
    if (argc != 9)
        return false;
    all.url = argv[1];
    all.ca = argv[2];
    all.ip = argv[3];
    all.turn_ip = argv[4];
    all.turn_port = (unsigned)strtoul(argv[5], NULL, 10);
    all.calls = (unsigned)strtoul(argv[6], NULL, 10);
    all.rate = (unsigned)strtoul(argv[7], NULL, 10);
    pace->tv_usec = all.rate ? 1000000 / all.rate : 0;
    return all.rate > 1 && all.calls >= 1 && all.calls <= VOICES_MAX && read_tokens(argv[8]);
}

/* The agents are left as they are: the process ends, and the relay with it. */
static void end(void)
{
    for (unsigned i = 0; i < all.begun; i++) {
        struct caller *c = &all.callers[i];
        if (c->state == CALLER_DIALLED || c->state == CALLER_TALKS)
            tell(c, "call.hangup", json_pack("{s:s}", "reason", "hangup"));
        connect_client_free(&c->client);
    }
}

int main(int argc, char **argv)
{
    static const struct timeval second = {.tv_sec = TELL_S};
    struct timeval pace = {0};

    signal(SIGPIPE, SIG_IGN);
    all.base = event_base_new();
    if (!all.base || !read_words(argc, argv, &pace))
        return 2;
    all.callers = calloc(all.calls, sizeof(*all.callers));
    all.voices = voices_new(all.base, all.calls, send_rtp, NULL);
    all.next = event_new(all.base, -1, EV_PERSIST, on_next, NULL);
    all.tick = event_new(all.base, -1, EV_PERSIST, on_tick, NULL);
    if (!all.callers || !all.next || !all.tick || event_add(all.next, &pace) || event_add(all.tick, &second))
        return 2;
    event_base_dispatch(all.base);
    end();
    event_free(all.next);
    event_free(all.tick);
    voices_free(&all.voices);
    event_base_free(all.base);
    free(all.callers);
    return 0;
}
