/* sdp: what a browser offers and a PBX says, and what both are answered. */
#include "bridge/sdp.h"

#include "base/err.h"
#include "tests/unit/tap.h"

#define FINGERPRINT "AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89"

static const char chromium[] =
    "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
    "a=extmap-allow-mixed\r\na=msid-semantic: WMS x\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
    "a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host generation 0\r\n"
    "a=candidate:2 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active\r\n"
    "a=ice-ufrag:Ab+/\r\na=ice-pwd:0123456789012345678901\r\na=ice-options:trickle\r\n"
    "a=fingerprint:sha-1 AB:CD\r\na=fingerprint:sha-256 " FINGERPRINT "\r\na=setup:actpass\r\na=mid:0\r\n"
    "a=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n"
    "a=rtpmap:126 telephone-event/8000\r\na=ssrc:1 cname:x\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n"
    "a=candidate:3 1 udp 1 192.0.2.8 50001 typ host\r\n";

static const char pbx[] = "v=0\no=pbx 1 1 IN IP4 192.0.2.1\ns=call\nc=IN IP4 192.0.2.9\nt=0 0\n"
                          "m=audio 40000 RTP/AVP 8 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=ptime:20\n";

static struct sdp s;
static const char *why;
static char out[4096];

static void browser(void)
{
    CHECK_INT(sdp_parse(&s, chromium), 0);
    CHECK_INT(sdp_check_browser(&s, &why), 0);
    CHECK_INT(s.nsections, 2);
    CHECK_INT(s.audio, 0);
    CHECK(s.bundled && s.mux && s.pcmu_first);
    CHECK_INT(s.types[SDP_PCMU], 0);
    CHECK_INT(s.types[SDP_PCMA], 8);
    CHECK_INT(s.types[SDP_CN], 13);
    CHECK_INT(s.types[SDP_EVENT], 126);
    CHECK_INT(s.direction, SDP_SENDRECV);
    CHECK_STR(s.ufrag, "Ab+/");
    CHECK_STR(s.pwd, "0123456789012345678901");
    CHECK_STR(s.fingerprint.hash, "sha-256");
    CHECK_INT(s.fingerprint.len, 32);
    CHECK_INT(s.fingerprint.digest[0], 0xAB);
    CHECK_INT(s.fingerprint.digest[31], 0x89);
    CHECK_INT(s.setup, SDP_ACTPASS);
    CHECK_INT(s.rtp.family, ADDR_NONE);
    CHECK_INT(s.rtcp.family, ADDR_NONE);
}

static void candidates(void)
{
    char line[SDP_CANDIDATE_MAX];
    size_t at = 0;
    CHECK(sdp_candidate(chromium, &at, line));
    CHECK_STR(line, "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host generation 0");
    CHECK(sdp_candidate(chromium, &at, line));
    CHECK(strstr(line, "tcptype active"));
    CHECK(!sdp_candidate(chromium, &at, line)); /* the video's is not ours */
    at = 0;
    CHECK(!sdp_candidate(pbx, &at, line));
    at = 0; /* nor is an audio's that is refused */
    CHECK(sdp_candidate("v=0\r\nm=audio 0 UDP/TLS/RTP/SAVPF 8\r\na=candidate:5 1 udp 1 192.0.2.9 5 typ host\r\n"
                        "m=audio 9/2 UDP/TLS/RTP/SAVPF 8\r\na=candidate:6 1 udp 1 192.0.2.9 6 typ host\r\n",
                        &at, line));
    CHECK_STR(line, "candidate:6 1 udp 1 192.0.2.9 6 typ host");
}

static void answers_browser(void)
{
    struct sdp_browser b = {.text = {.id = 77, .version = 3, .types = {0, 8, 126, SDP_NO_TYPE}, .direction = SDP_SENDRECV},
                            .offer = &s,
                            .ufrag = "uuuu",
                            .pwd = "pppppppppppppppppppppp",
                            .fingerprint = "sha-256 " FINGERPRINT};
    struct sdp mine;
    CHECK_INT(sdp_parse(&s, chromium), 0);
    CHECK(sdp_write_browser(out, sizeof(out), &b) > 0);
    CHECK(strstr(out, "a=group:BUNDLE 0\r\n"));
    CHECK(strstr(out, "m=audio 9 UDP/TLS/RTP/SAVPF 8 0 126\r\n"));
    CHECK(strstr(out, "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"));
    CHECK(strstr(out, "a=setup:active\r\n"));
    CHECK(!strstr(out, "a=ssrc"));
    CHECK_INT(sdp_parse(&mine, out), 0);
    CHECK_INT(mine.setup, SDP_ACTIVE);
    CHECK_INT(mine.types[SDP_EVENT], 126);
    CHECK_INT(mine.types[SDP_CN], SDP_NO_TYPE);
    CHECK(mine.mux && mine.bundled && !mine.pcmu_first);
    CHECK_STR(mine.ufrag, "uuuu");
    CHECK_INT(mine.fingerprint.len, 32);
    for (size_t cap = 0; cap < strlen(out); cap += 7) {
        char small[4096];
        CHECK_INT(sdp_write_browser(small, cap + 1, &b), ERR_NOSPC);
    }
}

static void talks_to_pbx(void)
{
    struct sdp_pbx p = {.text = {.id = 5, .version = 1, .types = {0, 8, 101, SDP_NO_TYPE}, .direction = SDP_SEND}};
    struct sdp mine;
    CHECK_INT(sdp_parse(&s, pbx), 0);
    CHECK_INT(sdp_check_pbx(&s, &why), 0);
    CHECK(!s.pcmu_first && !s.mux && !s.bundled);
    CHECK_STR(addr_text(&s.rtp, out), "192.0.2.9:40000");
    CHECK_STR(addr_text(&s.rtcp, out), "192.0.2.9:40001");
    CHECK_INT(s.types[SDP_EVENT], 101);
    CHECK_INT(addr_parse(&p.rtp, "192.0.2.3:5000"), 0);
    CHECK(sdp_write_pbx(out, sizeof(out), &p) > 0);
    CHECK_INT(sdp_parse(&mine, out), 0);
    CHECK(addr_equal(&mine.rtp, &p.rtp));
    CHECK_INT(mine.direction, SDP_SEND);
    CHECK_INT(mine.types[SDP_PCMA], 8);
    CHECK(strstr(out, "m=audio 5000 RTP/AVP 8 0 101\r\n"));
    CHECK_INT(addr_parse(&p.rtp, "[2001:db8::1]:5000"), 0);
    p.offer = &s;
    p.text.types[SDP_PCMA] = SDP_NO_TYPE;
    CHECK(sdp_write_pbx(out, sizeof(out), &p) > 0);
    CHECK(strstr(out, "c=IN IP6 2001:db8::1\r\n"));
    CHECK(strstr(out, "m=audio 5000 RTP/AVP 0 101\r\n"));
}

static void rtcp_elsewhere(void)
{
    static const char head[] = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\nm=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.9\n";
    char text[512];
    snprintf(text, sizeof(text), "%sa=rtcp:5001\n", head);
    CHECK_INT(sdp_parse(&s, text), 0);
    CHECK_STR(addr_text(&s.rtcp, out), "192.0.2.9:5001");
    snprintf(text, sizeof(text), "%sa=rtcp:5001 IN IP4 192.0.2.10\na=rtcp-mux\na=recvonly\n", head);
    CHECK_INT(sdp_parse(&s, text), 0);
    CHECK_STR(addr_text(&s.rtcp, out), "192.0.2.10:5001");
    CHECK(s.mux);
    CHECK_INT(s.direction, SDP_RECV);
    CHECK_INT(sdp_mirror(s.direction), SDP_SEND);
    CHECK_INT(sdp_mirror(SDP_SENDRECV), SDP_SENDRECV);
    CHECK_INT(sdp_parse(&s, "v=0\ns=-\nc=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0\n"), 0); /* hold as it was once */
    CHECK_INT(s.rtp.family, ADDR_NONE);
    CHECK_INT(s.rtcp.family, ADDR_NONE);
    CHECK_INT(sdp_parse(&s, "v=0\ns=-\nc=IN IP4 pbx.example\nm=audio 4000 RTP/AVP 0\n"), 0);
    CHECK_INT(s.rtp.family, ADDR_NONE);
}

/* Sections that are refused, or aren't audio, keep their places. */
static void many_sections(void)
{
    static const char text[] =
        "v=0\r\ns=-\r\nm=audio 0 RTP/AVP 0\r\nm=video 5000 RTP/AVP 31\r\na=sendonly\r\na=rtpmap:31 H261/90000\r\n"
        "m=audio 6000/2 RTP/AVP 97 96\r\nc=IN IP4 192.0.2.1/127\r\na=rtpmap:96 PCMU/8000/1\r\na=rtpmap:97 PCMA/8000\r\n"
        "m=audio 7000 RTP/AVP 8\r\na=inactive\r\n";
    struct sdp_pbx p = {.text = {.types = {96, 97, SDP_NO_TYPE, SDP_NO_TYPE}, .direction = SDP_SENDRECV}, .offer = &s};
    CHECK_INT(sdp_parse(&s, text), 0);
    CHECK_INT(s.audio, 2);
    CHECK_INT(s.types[SDP_PCMU], 96);
    CHECK_INT(s.types[SDP_PCMA], 97);
    CHECK(!s.pcmu_first);
    CHECK_INT(s.direction, SDP_SENDRECV);
    CHECK_STR(addr_text(&s.rtp, out), "192.0.2.1:6000");
    CHECK_INT(addr_parse(&p.rtp, "192.0.2.3:5000"), 0);
    CHECK(sdp_write_pbx(out, sizeof(out), &p) > 0);
    CHECK(strstr(out, "m=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\nm=audio 5000 RTP/AVP 97 96\r\n"));
    CHECK(strstr(out, "a=sendrecv\r\nm=audio 0 RTP/AVP 8\r\n"));
}

static void malformed(void)
{
    static const char *const bad[] = {
        "",
        "v=1\r\n",
        "v=0\r\nnonsense\r\n",
        "v=0\r\n\r\ns=-\r\n",
        "v=0\r\nm=audio\r\n",
        "v=0\r\nm=audio 70000 RTP/AVP 0\r\n",
        "v=0\r\nm=audio x RTP/AVP 0\r\n",
        "v=0\r\nm=audio 1 RTP/AVP\r\n",
        "v=0\r\ns=a\001b\r\n",
        "v=0\r\nm=audio 9 RTP/AVP 0\r\na=mid:a-name-that-is-longer-than-any-browser-has-it\r\n",
        "v=0\r\nc=IN\r\n",
        "v=0\r\na=ice-ufrag:abc\r\n",
        "v=0\r\na=ice-ufrag:ab c\r\n",
        "v=0\r\na=ice-pwd:short\r\n",
        "v=0\r\na=fingerprint:sha-256 AB:CD\r\n",
        "v=0\r\na=fingerprint:sha-384 AB:CD\r\n",
        "v=0\r\na=fingerprint:sha-512 AB\r\n",
        "v=0\r\na=rtcp:70000\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_INT(sdp_parse(&s, bad[i]), ERR_MALFORMED);
    snprintf(out, sizeof(out), "v=0\r\n");
    for (unsigned i = 0; i <= SDP_SECTIONS_MAX; i++)
        strncat(out, "m=video 1 RTP/AVP 0\r\n", sizeof(out) - strlen(out) - 1);
    CHECK_INT(sdp_parse(&s, out), ERR_NOSPC);
}

/* One thing taken out of a good offer, and its reason. */
static void of_no_use(void)
{
    static const struct {
        const char *gone, *instead, *why;
    } cases[] = {
        {"m=audio 9", "m=audio 0", "no audio"},
        {"a=rtcp-mux", "a=rtcp-mus", "rtcp-mux"},
        {"a=fingerprint:sha-256", "a=fingerprint:sha-257", "fingerprint"},
        {"a=setup:actpass", "a=setup:active\r\na=x", "setup"},
        {"a=ice-pwd", "a=ice-pwt", "password"},
        {"UDP/TLS/RTP/SAVPF 111", "UDP/ELSE/RTP/SAVPF 111", "DTLS"},
        {"9 0 8 13", "9 10 18 13", "codec"},
    };
    char text[sizeof(chromium) + 64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *at = strstr(chromium, cases[i].gone);
        CHECK(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - chromium), chromium, cases[i].instead, at + strlen(cases[i].gone));
        CHECK_INT(sdp_parse(&s, text), 0);
        CHECK_INT(sdp_check_browser(&s, &why), ERR_NOTSUP);
        CHECK(strstr(why, cases[i].why));
    }
    CHECK_INT(sdp_parse(&s, chromium), 0);
    CHECK_INT(sdp_check_pbx(&s, &why), ERR_NOTSUP);
    CHECK_INT(sdp_parse(&s, pbx), 0);
    CHECK_INT(sdp_check_browser(&s, &why), ERR_NOTSUP);
}

static const struct tap_test tests[] = {
    {"a browser's offer is read", browser},
    {"candidates of the audio, and of nothing else", candidates},
    {"the answer to a browser: active, muxed, bundled, the rest refused", answers_browser},
    {"offer and answer of a PBX", talks_to_pbx},
    {"RTCP where a=rtcp says, hold as c=0.0.0.0", rtcp_elsewhere},
    {"the first audio that isn't refused, at its place among others", many_sections},
    {"what is malformed is refused", malformed},
    {"an offer that lacks something is refused with the reason", of_no_use},
};

TAP_MAIN(tests)
