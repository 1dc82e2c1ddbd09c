/*
 * Purpose:  the media of one call between a browser's end (mediapeer) and a PBX's sockets, all in one process; orders come as JSON lines, what happens goes out
 *           as JSON lines.
 * Owner:    one thread.
 * Lifetime: until standard input ends.
 * Callers:  tests/func/media.py.
 * RFC:      none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "bridge/law.h"
#include "bridge/mediaparts.h"
#include "tests/func/mediapeer.h"

enum { FRAME_MS = 20, HEAD = 4, LINE_MAX_BYTES = 65536, BENCH_MAX = 20000 };

/* One of the two talkers: what it sends, and what it has heard. */
struct talker {
    struct rtp rtp;
    bool speaks;
    uint8_t type; /* of its voice */
    uint32_t counter;
    unsigned sent, heard, same, mapped, other, comfort, events, ends, seq_gaps, new_ssrcs, reports;
    uint32_t ssrc, event_timestamp;
    uint16_t seq;
    uint64_t heard_ns;
    double longest_gap_s;
    char digits[64];
    unsigned ndigits;
};

static struct event_base *base;
static struct media_hub *hub;
static struct media *media;
static struct peer *peer;
static struct peer_config peer_config;
static struct talker browser, pbx;
static int pbx_rtp = -1, pbx_rtcp = -1, stranger = -1;
static struct addr pbx_address, leg_addr;
static bool pbx_mux;

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(line);
}

/* ---- what the talkers say and hear: each frame begins with its number and is a pattern of it ---- */
static void fill(uint8_t frame[static PEER_FRAME], uint32_t counter)
{
    for (unsigned i = 0; i < HEAD; i++)
        frame[i] = (uint8_t)(0x80 | (counter >> (7 * i) & 0x7F));
    for (unsigned i = HEAD; i < PEER_FRAME; i++)
        frame[i] = (uint8_t)(counter + i * 7);
}

/* The number is told by the bytes themselves; mapped ones are looked for among the numbers around the last that came. */
static void judge(struct talker *t, const struct talker *from, const uint8_t *payload, size_t len)
{
    uint8_t frame[PEER_FRAME];
    if (len != PEER_FRAME) {
        t->other++;
        return;
    }
    for (uint32_t back = 0; back < 100 && back <= from->counter; back++) {
        fill(frame, from->counter - back);
        if (memcmp(frame, payload, len) == 0) {
            t->same++;
            return;
        }
        if (from->type == PEER_PCMA)
            law_from_a_to_mu(frame, len);
        else
            law_from_mu_to_a(frame, len);
        if (memcmp(frame, payload, len) == 0) {
            t->mapped++;
            return;
        }
    }
    t->other++;
}

static void hear_event(struct talker *t, const struct rtp *p)
{
    struct rtp_event e;
    if (rtp_event_decode(&e, p->payload, p->len))
        return;
    t->events++;
    t->ends += e.end;
    if (t->ndigits && p->timestamp == t->event_timestamp)
        return;
    t->event_timestamp = p->timestamp;
    if (t->ndigits < sizeof(t->digits) - 1)
        t->digits[t->ndigits++] = rtp_event_digit(e.event);
}

static void hear(struct talker *t, const struct talker *from, uint8_t event_type, const uint8_t *buf, size_t len)
{
    uint64_t now = now_ns();
    struct rtp p;
    if (rtp_decode(&p, buf, len))
        return;
    if (t->heard && now - t->heard_ns > (uint64_t)(t->longest_gap_s * 1e9))
        t->longest_gap_s = (double)(now - t->heard_ns) / 1e9;
    t->heard_ns = now;
    t->new_ssrcs += t->heard > 0 && p.ssrc != t->ssrc;
    t->seq_gaps += t->heard > 0 && p.seq != (uint16_t)(t->seq + 1);
    t->ssrc = p.ssrc;
    t->seq = p.seq;
    t->heard++;
    if (p.type == event_type)
        hear_event(t, &p);
    else if (p.type == PEER_CN)
        t->comfort++;
    else if (p.type == PEER_PCMA || p.type == PEER_PCMU)
        judge(t, from, p.payload, p.len);
    else
        t->other++;
}

static bool send_as(struct talker *t, const uint8_t *payload, size_t len, uint8_t type, bool marker)
{
    uint8_t buf[RTP_HEADER_LEN + PEER_FRAME];
    struct sockaddr_storage ss;
    socklen_t ss_len = addr_to_sockaddr(&leg_addr, &ss);
    struct rtp p = t->rtp;
    p.type = type;
    p.marker = marker;
    t->rtp.seq++;
    rtp_header(buf, &p);
    memcpy(buf + RTP_HEADER_LEN, payload, len);
    if (t == &browser)
        return peer && peer_send(peer, buf, RTP_HEADER_LEN + len);
    return ss_len && sendto(pbx_rtp, buf, RTP_HEADER_LEN + len, 0, (struct sockaddr *)&ss, ss_len) > 0;
}

static void send_frame(struct talker *t)
{
    uint8_t frame[PEER_FRAME];
    if (!t->speaks)
        return;
    fill(frame, ++t->counter);
    t->rtp.timestamp += PEER_FRAME;
    t->sent += send_as(t, frame, sizeof(frame), t->type, false);
}

/* A key, at once: begin, middle, three ends. */
static void press(struct talker *t, char digit, uint8_t type)
{
    struct rtp_event e = {.event = (uint8_t)rtp_digit_event(digit), .volume = 10};
    uint8_t payload[RTP_EVENT_LEN];
    t->rtp.timestamp += PEER_FRAME;
    for (unsigned i = 0; i < 5; i++) {
        e.duration = (uint16_t)(PEER_FRAME * (i < 2 ? i + 1 : 3));
        e.end = i >= 2;
        rtp_event_encode(payload, &e);
        send_as(t, payload, sizeof(payload), type, i == 0);
    }
    t->rtp.timestamp += 2 * PEER_FRAME;
}

static void on_frame(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
    send_frame(&browser);
    send_frame(&pbx);
}

static void on_pbx(evutil_socket_t fd, short what, void *ctx)
{
    uint8_t buf[2048];
    ssize_t n;
    (void)what;
    (void)ctx;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
        if (rtp_is_rtcp(buf, (size_t)n))
            pbx.reports++;
        else
            hear(&pbx, &browser, 101, buf, (size_t)n);
    }
}

/* ---- events ---- */
static void on_media_candidate(void *ctx, const char *candidate)
{
    (void)ctx;
    if (peer)
        peer_candidate(peer, candidate);
}

static void on_media_state(void *ctx, enum media_state state, const struct media_path *path)
{
    static const char *const names[] = {"new", "checking", "connected", "reconnecting", "failed"};
    (void)ctx;
    say(json_pack("{s:s,s:s,s:s,s:s}", "event", "state", "state", names[state], "local", path->local, "remote", path->remote));
}

static void on_media_digit(void *ctx, char digit)
{
    char text[] = {digit, 0};
    (void)ctx;
    say(json_pack("{s:s,s:s}", "event", "digit", "digit", text));
}

static void on_peer_candidate(void *ctx, const char *candidate)
{
    (void)ctx;
    if (media)
        (void)media_candidate(media, candidate);
}

static void on_peer_selected(void *ctx, const char *local, const char *remote)
{
    (void)ctx;
    say(json_pack("{s:s,s:s,s:s}", "event", "peer", "local", local, "remote", remote));
}

static void on_peer_rtp(void *ctx, const uint8_t *buf, size_t len)
{
    (void)ctx;
    hear(&browser, &pbx, PEER_EVENT, buf, len);
}

/* Answered at once by a report of our own, so that the round trip is measured without a wait. */
static void on_peer_rtcp(void *ctx, const uint8_t *buf, size_t len)
{
    struct wire w = wire_over(buf, len);
    struct rtcp r;
    uint8_t out[RTCP_REPORT_MAX];
    (void)ctx;
    browser.reports++;
    while (rtcp_next(&w, &r) == 1) {
        struct rtcp_block b = {.ssrc = r.ssrc, .lsr = (uint32_t)(r.ntp >> 16), .highest = browser.seq};
        struct rtcp_report report = {.ssrc = browser.rtp.ssrc, .block = &b, .cname = "peer"};
        if (r.type == RTCP_SR && peer)
            peer_send_rtcp(peer, out, rtcp_report(out, &report));
    }
}

static const struct media_events media_events = {.candidate = on_media_candidate, .state = on_media_state, .digit = on_media_digit};
static const struct peer_events peer_events = {
    .candidate = on_peer_candidate, .selected = on_peer_selected, .rtp = on_peer_rtp, .rtcp = on_peer_rtcp};

/* ---- orders ---- */
static const char *text_of(const json_t *order, const char *key)
{
    const char *text = json_string_value(json_object_get(order, key));
    return text ? text : "";
}

static json_t *result(int err, const char *why, const char *sdp)
{
    return json_pack("{s:s,s:i,s:s,s:s}", "event", "done", "err", err, "why", why, "sdp", sdp);
}

static json_t *do_begin(const json_t *order)
{
    int err;
    peer_free(&peer);
    media_free(&media);
    browser = (struct talker){.rtp = {.ssrc = 0xB0B0, .seq = 65500, .timestamp = 4000000000U}, .type = PEER_PCMA};
    pbx = (struct talker){.rtp = {.ssrc = 0xCAFE, .seq = 100, .timestamp = 7}, .type = PEER_PCMA};
    peer_config.profiles = json_object_get(order, "profiles") ? text_of(order, "profiles") : "SRTP_AEAD_AES_128_GCM";
    peer = peer_new(&peer_config, &peer_events, NULL);
    err = media_new(&media, hub, &media_events, NULL);
    return result(err, "", "");
}

static json_t *do_offer(const json_t *order)
{
    static char offer[PEER_SDP_MAX], answer[MEDIA_SDP_MAX];
    char text[MEDIA_TEXT_MAX] = "";
    int err;
    if (json_is_true(json_object_get(order, "restart")))
        peer_restart(peer);
    peer_offer(peer, json_is_true(json_object_get(order, "wrong")), text_of(order, "direction"), offer);
    answer[0] = '\0';
    err = media_offer(media, offer, answer, text);
    if (!err && !peer_answer(peer, answer))
        err = 1;
    /* Nothing has come from the loop yet: what the call says when so much time has gone by. */
    if (json_object_get(order, "later_s"))
        media_look(media, media_now_ns() + (uint64_t)json_integer_value(json_object_get(order, "later_s")) * 1000000000);
    return result(err, text, answer);
}

/* Where the bridge's leg is, as its description says. */
static void find_leg(const char *sdp)
{
    struct sdp s;
    if (sdp_parse(&s, sdp))
        return;
    leg_addr = s.rtp;
}

static void pbx_sdp(char *out, size_t cap, const json_t *order)
{
    const char *types = *text_of(order, "types") ? text_of(order, "types") : "8 0 101";
    char ip[ADDR_TEXT_MAX];
    snprintf(out, cap,
             "v=0\r\no=pbx 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %u RTP/AVP %s\r\na=rtpmap:101 "
             "telephone-event/8000\r\na=%s\r\n%s",
             addr_ip_text(&pbx_address, ip), ip, pbx_address.port, types, text_of(order, "direction"),
             pbx_mux ? "a=rtcp-mux\r\n" : "");
}

static json_t *do_pbx_offer(const json_t *order)
{
    static char offer[MEDIA_SDP_MAX], answer[MEDIA_SDP_MAX];
    char text[MEDIA_TEXT_MAX] = "";
    int err = media_pbx_offer(media, json_is_true(json_object_get(order, "hold")), offer);
    find_leg(offer);
    pbx_sdp(answer, sizeof(answer), order);
    err = err ? err : media_pbx_answer(media, answer, text);
    return result(err, text, offer);
}

static json_t *do_pbx_offered(const json_t *order)
{
    static char offer[MEDIA_SDP_MAX], answer[MEDIA_SDP_MAX];
    char text[MEDIA_TEXT_MAX] = "";
    bool held = false;
    int err;
    json_t *out;
    pbx_mux = json_is_true(json_object_get(order, "mux"));
    pbx_sdp(offer, sizeof(offer), order);
    answer[0] = '\0';
    err = media_pbx_offered(media, offer, answer, &held, text);
    find_leg(answer);
    out = result(err, text, answer);
    json_object_set_new(out, "held", json_boolean(held));
    return out;
}

static struct talker *who(const json_t *order)
{
    return strcmp(text_of(order, "who"), "pbx") == 0 ? &pbx : &browser;
}

static json_t *do_speak(const json_t *order)
{
    struct talker *t = who(order);
    t->speaks = json_is_true(json_object_get(order, "on"));
    if (json_object_get(order, "type"))
        t->type = (uint8_t)json_integer_value(json_object_get(order, "type"));
    if (json_is_true(json_object_get(order, "new"))) {
        t->rtp.ssrc++;
        t->rtp.seq = (uint16_t)(t->rtp.seq + 20000);
        t->rtp.timestamp += 1000000;
    }
    return result(0, "", "");
}

static json_t *do_press(const json_t *order)
{
    const char *digits = text_of(order, "digits");
    int err = 0;
    if (strcmp(text_of(order, "who"), "bridge") == 0)
        err = media_dtmf(media, digits);
    else
        for (; *digits; digits++)
            press(who(order), *digits, who(order) == &pbx ? 101 : PEER_EVENT);
    return result(err, "", "");
}

static json_t *do_comfort(const json_t *order)
{
    static const uint8_t level[] = {60};
    struct talker *t = who(order);
    t->rtp.timestamp += PEER_FRAME;
    return result(send_as(t, level, sizeof(level), PEER_CN, false) ? 0 : 1, "", "");
}

static json_t *do_replay(const json_t *order)
{
    (void)order;
    return result(peer_replay(peer) ? 0 : 1, "", "");
}

/* Somebody else's packet, as if the PBX had sent it. */
static json_t *do_stranger(const json_t *order)
{
    uint8_t buf[RTP_HEADER_LEN + PEER_FRAME] = {0x80, PEER_PCMA};
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&leg_addr, &ss);
    (void)order;
    return result(sendto(stranger, buf, sizeof(buf), 0, (struct sockaddr *)&ss, len) > 0 ? 0 : errno, "", "");
}

static json_t *talker_json(const struct talker *t)
{
    return json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:f}", "sent", t->sent, "heard", t->heard, "same", t->same,
                     "mapped", t->mapped, "other", t->other, "comfort", t->comfort, "events", t->events, "ends", t->ends,
                     "seq_gaps", t->seq_gaps, "new_ssrcs", t->new_ssrcs, "reports", t->reports, "digits", t->digits,
                     "longest_gap_s", t->longest_gap_s);
}

static json_t *leg_json(const struct media_leg_stats *s)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:f,s:f}", "packets_in", (json_int_t)s->packets_in, "bytes_in", (json_int_t)s->bytes_in,
                     "packets_out", (json_int_t)s->packets_out, "bytes_out", (json_int_t)s->bytes_out, "lost", (json_int_t)s->lost,
                     "jitter_s", s->jitter_s, "rtt_s", s->rtt_s);
}

static json_t *do_stats(const json_t *order)
{
    struct media_stats s;
    json_t *out = result(0, "", "");
    media_read(media, &s);
    json_object_set_new(out, "browser", talker_json(&browser));
    json_object_set_new(out, "pbx", talker_json(&pbx));
    json_object_set_new(out, "leg_browser", leg_json(&s.browser));
    json_object_set_new(out, "leg_pbx", leg_json(&s.pbx));
    json_object_set_new(out, "strangers", json_integer((json_int_t)leg_strangers(media->leg)));
    json_object_set_new(out, "local", json_string(s.path.local));
    json_object_set_new(out, "remote", json_string(s.path.remote));
    json_object_set_new(out, "ice_s", json_real(s.ice_s));
    json_object_set_new(out, "dtls_s", json_real(s.dtls_s));
    json_object_set_new(out, "audio_s", json_real(s.audio_s));
    if (json_is_true(json_object_get(order, "reset"))) {
        browser.longest_gap_s = pbx.longest_gap_s = 0;
        browser.other = pbx.other = 0;
    }
    return out;
}

static double cpu_s(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* What a packet costs on its way through, each way, with the send and without the receive. */
static json_t *do_bench(const json_t *order)
{
    static uint8_t packets[BENCH_MAX][RTP_HEADER_LEN + PEER_FRAME + SECURE_TRAILER_MAX];
    static size_t lens[BENCH_MAX];
    size_t n = (size_t)json_integer_value(json_object_get(order, "packets"));
    double begin, down = 0, up = 0;
    struct talker *talkers[] = {&pbx, &browser};
    json_t *out;

    n = n > BENCH_MAX ? BENCH_MAX : n;
    for (unsigned t = 0; t < 2; t++) {
        struct rtp p = talkers[t]->rtp;
        p.type = PEER_PCMA;
        for (size_t i = 0; i < n; i++, p.seq++, p.timestamp += PEER_FRAME) {
            rtp_header(packets[i], &p);
            fill(packets[i] + RTP_HEADER_LEN, (uint32_t)i);
            lens[i] = RTP_HEADER_LEN + PEER_FRAME;
            if (t == 1 && !peer_protect(peer, packets[i], &lens[i]))
                return result(1, "", "");
        }
        talkers[t]->rtp = p;
        begin = cpu_s();
        for (size_t i = 0; i < n; i++) {
            if (t == 0)
                media_from_pbx(media, packets[i], lens[i]);
            else
                media_from_browser(media, packets[i], lens[i]);
        }
        *(t == 0 ? &down : &up) = cpu_s() - begin;
    }
    out = result(0, "", "");
    json_object_set_new(out, "to_browser_us", json_real(down / (double)n * 1e6));
    json_object_set_new(out, "to_pbx_us", json_real(up / (double)n * 1e6));
    return out;
}

static const struct {
    const char *name;
    json_t *(*run)(const json_t *order);
} orders[] = {
    {"begin", do_begin},       {"offer", do_offer}, {"pbx_offer", do_pbx_offer}, {"pbx_offered", do_pbx_offered},
    {"speak", do_speak},       {"press", do_press}, {"comfort", do_comfort},     {"replay", do_replay},
    {"stranger", do_stranger}, {"stats", do_stats}, {"bench", do_bench},
};

static void obey(const char *line)
{
    json_t *order = json_loads(line, 0, NULL);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        if (strcmp(text_of(order, "do"), orders[i].name) == 0)
            say(orders[i].run(order));
    }
    json_decref(order);
}

static void on_order(evutil_socket_t fd, short what, void *ctx)
{
    static char buf[LINE_MAX_BYTES];
    static size_t len;
    ssize_t n = read(fd, buf + len, sizeof(buf) - 1 - len);
    char *end;
    (void)what;
    (void)ctx;
    if (n <= 0) {
        event_base_loopbreak(base);
        return;
    }
    len += (size_t)n;
    buf[len] = '\0';
    while ((end = strchr(buf, '\n')) != NULL) {
        *end = '\0';
        obey(buf);
        len -= (size_t)(end + 1 - buf);
        memmove(buf, end + 1, len + 1);
    }
}

/* On a free port, or on `port`; negative: it is taken. */
static int bind_udp(const char *ip, uint16_t port, struct addr *out)
{
    struct addr a;
    struct sockaddr_storage ss;
    socklen_t len;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (addr_parse_ip(&a, ip) || fd < 0)
        exit(2);
    a.port = port;
    len = addr_to_sockaddr(&a, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) || getsockname(fd, (struct sockaddr *)&ss, &len) ||
        addr_from_sockaddr(out, (struct sockaddr *)&ss)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* RTP on a port, RTCP on the next. */
static void bind_pbx(const char *ip)
{
    struct addr rtcp;
    do {
        if (pbx_rtp >= 0)
            close(pbx_rtp);
        pbx_rtp = bind_udp(ip, 0, &pbx_address);
        pbx_rtcp = pbx_rtp < 0 || pbx_address.port == UINT16_MAX ? -1 : bind_udp(ip, (uint16_t)(pbx_address.port + 1), &rtcp);
    } while (pbx_rtcp < 0);
}

/* mediadrive BRIDGE-IP BROWSER-IP PBX-IP STRANGER-IP [TURN-IP TURN-PORT USER PASSWORD FORCE] */
int main(int argc, char **argv)
{
    static const struct timeval frame = {.tv_usec = FRAME_MS * 1000};
    struct media_hub_config config = {.rtp_min = 40000, .rtp_max = 40099};
    struct media_server server = {.uri = ""};
    struct event *events[4];
    struct addr ice_ip, own;

    if (argc < 5 || !(base = event_base_new()) || addr_parse_ip(&ice_ip, argv[1]))
        return 2;
    config.base = base;
    config.rtp_ip = ice_ip;
    config.ice_ips = &ice_ip;
    config.nice_ips = 1;
    config.force_relay = argc > 9 && strcmp(argv[9], "relay") == 0;
    peer_config = (struct peer_config){.base = base, .ip = argv[2], .force_relay = config.force_relay};
    if (media_hub_new(&hub, &config))
        return 2;
    if (argc > 8) {
        snprintf(server.uri, sizeof(server.uri), "turn:%s:%s?transport=udp", argv[5], argv[6]);
        snprintf(server.username, sizeof(server.username), "%s", argv[7]);
        snprintf(server.password, sizeof(server.password), "%s", argv[8]);
        peer_config.turn_ip = argv[5];
        peer_config.turn_port = (unsigned)strtoul(argv[6], NULL, 10);
        peer_config.user = argv[7];
        peer_config.password = argv[8];
        if (media_hub_servers(hub, &server, 1))
            return 2;
    }
    bind_pbx(argv[3]);
    stranger = bind_udp(argv[4], 0, &own);
    events[0] = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_order, NULL);
    events[1] = event_new(base, pbx_rtp, EV_READ | EV_PERSIST, on_pbx, NULL);
    events[2] = event_new(base, pbx_rtcp, EV_READ | EV_PERSIST, on_pbx, NULL);
    events[3] = event_new(base, -1, EV_PERSIST, on_frame, NULL);
    for (unsigned i = 0; i < 4; i++)
        event_add(events[i], i == 3 ? &frame : NULL);
    say(json_pack("{s:s}", "event", "ready"));
    event_base_dispatch(base);
    peer_free(&peer);
    media_free(&media);
    media_hub_free(&hub);
    for (unsigned i = 0; i < 4; i++)
        event_free(events[i]);
    event_base_free(base);
    return 0;
}
