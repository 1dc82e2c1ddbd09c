#include "bridge/sdp.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/random.h"

enum {
    STATIC_PCMU = 0, /* RFC 3551 table 4 */
    STATIC_PCMA = 8,
    STATIC_CN = 13,
    TYPES = 128,
    UFRAG_MIN = 4, /* characters, RFC 8839 section 5.4 */
    PWD_MIN = 22,
};

/* Bytes of the description: a line, a word of it. */
struct span {
    const char *p;
    size_t len;
};
/* One reading: where it is. */
struct reading {
    struct sdp *out;
    bool session;         /* still before the first m= line */
    bool audio;           /* in the section that is ours */
    uint8_t place[TYPES]; /* of a payload type in its m= line, from 1; 0: not there */
    struct span groups;   /* the last a=group:BUNDLE */
    bool said_rtcp;
    uint16_t rtcp_port;
};

static bool is(struct span s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

/* Takes the next word off a line; an empty one at its end. */
static struct span word(struct span *line)
{
    struct span w;
    while (line->len && *line->p == ' ')
        line->p++, line->len--;
    w = (struct span){line->p, 0};
    while (line->len && *line->p != ' ')
        line->p++, line->len--, w.len++;
    return w;
}

/* Splits at a byte: what stands before it; the rest stays. Without the byte all is taken. */
static struct span until(struct span *s, char byte)
{
    const char *at = memchr(s->p, byte, s->len);
    struct span head = {s->p, at ? (size_t)(at - s->p) : s->len};
    size_t gone = at ? head.len + 1 : head.len;
    s->p += gone;
    s->len -= gone;
    return head;
}

/* Digits alone, up to `max`; negative: anything else. */
static long number(struct span s, long max)
{
    long n = 0;
    if (s.len == 0)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
        n = n * 10 + (s.p[i] - '0');
        if (n > max)
            return -1;
    }
    return n;
}

/* ERR_MALFORMED: longer than there may be. */
static int copy(char *out, size_t cap, struct span s)
{
    if (s.len >= cap)
        return ERR_MALFORMED;
    memcpy(out, s.p, s.len);
    out[s.len] = '\0';
    return 0;
}

static int copy_word(char out[static SDP_WORD_MAX], struct span s)
{
    return s.len ? copy(out, SDP_WORD_MAX, s) : ERR_MALFORMED;
}

/* ---- attributes: each is told its value, in the session's part or in the audio's ---- */
static int on_rtpmap(struct reading *r, struct span value)
{
    static const struct {
        const char *name;
        enum sdp_codec codec;
    } names[] = {{"PCMU", SDP_PCMU}, {"PCMA", SDP_PCMA}, {"telephone-event", SDP_EVENT}, {"CN", SDP_CN}};
    long type = number(word(&value), TYPES - 1);
    struct span rest = word(&value), name = until(&rest, '/'), rate = until(&rest, '/');

    if (type < 0 || !r->place[type] || number(rate, 1000000) != 8000 || (rest.len && !is(rest, "1")))
        return 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint8_t *have = &r->out->types[names[i].codec];
        if (is(name, names[i].name) && (*have == SDP_NO_TYPE || r->place[type] < r->place[*have]))
            *have = (uint8_t)type;
    }
    return 0;
}

static int on_direction(struct reading *r, unsigned direction)
{
    r->out->direction = direction;
    return 0;
}

static int on_sendrecv(struct reading *r, struct span value)
{
    (void)value;
    return on_direction(r, SDP_SENDRECV);
}

static int on_sendonly(struct reading *r, struct span value)
{
    (void)value;
    return on_direction(r, SDP_SEND);
}

static int on_recvonly(struct reading *r, struct span value)
{
    (void)value;
    return on_direction(r, SDP_RECV);
}

static int on_inactive(struct reading *r, struct span value)
{
    (void)value;
    return on_direction(r, SDP_INACTIVE);
}

static int on_mux(struct reading *r, struct span value)
{
    (void)value;
    r->out->mux = true;
    return 0;
}

/* RFC 8839 section 5.4: letters, digits, '+' and '/'. */
static int ice_text(char out[static SDP_ICE_MAX], struct span value, size_t min)
{
    for (size_t i = 0; i < value.len; i++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", value.p[i]))
            return ERR_MALFORMED;
    }
    return value.len < min ? ERR_MALFORMED : copy(out, SDP_ICE_MAX, value);
}

static int on_ufrag(struct reading *r, struct span value)
{
    return ice_text(r->out->ufrag, value, UFRAG_MIN);
}

static int on_pwd(struct reading *r, struct span value)
{
    return ice_text(r->out->pwd, value, PWD_MIN);
}

/* "AA:BB:CC" of exactly n bytes. */
static int read_digest(uint8_t *out, size_t n, struct span text)
{
    char hex[2 * SDP_DIGEST_MAX + 1] = "";
    if (text.len != 3 * n - 1)
        return ERR_MALFORMED;
    for (size_t i = 0; i < n; i++) {
        if (i && text.p[3 * i - 1] != ':')
            return ERR_MALFORMED;
        memcpy(hex + 2 * i, text.p + 3 * i, 2);
    }
    return hex_decode(out, n, hex) ? ERR_MALFORMED : 0;
}

static int on_fingerprint(struct reading *r, struct span value)
{
    static const struct {
        const char *hash;
        size_t len;
    } hashes[] = {{"sha-256", 32}, {"sha-384", 48}, {"sha-512", 64}};
    struct sdp_fingerprint *f = &r->out->fingerprint;
    struct span hash = word(&value);

    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        if (!is(hash, hashes[i].hash))
            continue;
        memcpy(f->hash, hashes[i].hash, sizeof(f->hash));
        f->len = hashes[i].len;
        return read_digest(f->digest, f->len, word(&value));
    }
    return 0; /* one that is too weak, or too new */
}

static int on_setup(struct reading *r, struct span value)
{
    static const struct {
        const char *name;
        enum sdp_setup setup;
    } setups[] = {{"actpass", SDP_ACTPASS}, {"active", SDP_ACTIVE}, {"passive", SDP_PASSIVE}};
    for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]); i++) {
        if (is(value, setups[i].name))
            r->out->setup = setups[i].setup;
    }
    return 0;
}

static int on_group(struct reading *r, struct span value)
{
    struct span semantics = word(&value);
    if (r->session && is(semantics, "BUNDLE"))
        r->groups = value;
    return 0;
}

/* RFC 3605: a port, and perhaps an address that differs from that of c=. */
static int on_rtcp(struct reading *r, struct span value)
{
    struct span port = word(&value), net = word(&value), family = word(&value), ip = word(&value);
    long n = number(port, 65535);
    char text[ADDR_TEXT_MAX];
    (void)net;
    (void)family;
    if (n < 0)
        return ERR_MALFORMED;
    r->said_rtcp = true;
    r->rtcp_port = (uint16_t)n;
    if (ip.len && (copy(text, sizeof(text), ip) || addr_parse_ip(&r->out->rtcp, text)))
        r->out->rtcp = (struct addr){0};
    return 0;
}

static const struct {
    const char *name;
    int (*on)(struct reading *r, struct span value);
} attributes[] = {
    {"rtpmap", on_rtpmap},           {"sendrecv", on_sendrecv}, {"sendonly", on_sendonly}, {"recvonly", on_recvonly},
    {"inactive", on_inactive},       {"rtcp-mux", on_mux},      {"ice-ufrag", on_ufrag},   {"ice-pwd", on_pwd},
    {"fingerprint", on_fingerprint}, {"setup", on_setup},       {"group", on_group},       {"rtcp", on_rtcp},
};

static int on_attribute(struct reading *r, struct span line)
{
    struct span name = until(&line, ':');
    if (is(name, "mid") && r->out->nsections)
        return copy_word(r->out->sections[r->out->nsections - 1].mid, line);
    for (size_t i = 0; (r->session || r->audio) && i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        if (is(name, attributes[i].name))
            return attributes[i].on(r, line);
    }
    return 0;
}

/* ---- the other lines that tell something ---- */
/* The formats of the audio's m= line: which there are, in which order. */
static void read_types(struct reading *r, struct span line)
{
    static const struct {
        uint8_t type;
        enum sdp_codec codec;
    } known[] = {{STATIC_PCMU, SDP_PCMU}, {STATIC_PCMA, SDP_PCMA}, {STATIC_CN, SDP_CN}};
    struct span format;
    for (uint8_t place = 1; place < 0xFF && (format = word(&line)).len > 0; place++) {
        long type = number(format, TYPES - 1);
        if (type >= 0 && !r->place[type])
            r->place[type] = place;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (r->place[known[i].type])
            r->out->types[known[i].codec] = known[i].type;
    }
}

static int on_media(struct reading *r, struct span line)
{
    struct sdp *s = r->out;
    struct sdp_section *section;
    struct span kind = word(&line), port = word(&line), proto = word(&line), formats = line, format = word(&line);
    long n = number(until(&port, '/'), 65535);
    int err;

    if (s->nsections == SDP_SECTIONS_MAX)
        return ERR_NOSPC;
    section = &s->sections[s->nsections];
    if (n < 0)
        return ERR_MALFORMED;
    err = copy_word(section->kind, kind);
    err = err ? err : copy_word(section->proto, proto);
    err = err ? err : copy_word(section->format, format);
    if (err)
        return err;
    r->session = false;
    r->audio = s->audio < 0 && n > 0 && is(kind, "audio");
    if (r->audio) {
        s->audio = (int)s->nsections;
        s->rtp.port = (uint16_t)n;
        read_types(r, formats);
    }
    s->nsections++;
    return 0;
}

/* "IN IP4 192.0.2.1[/ttl]". A name is nothing that we can send to; the browser's "0.0.0.0" neither. */
static int on_connection(struct reading *r, struct span line)
{
    struct span net = word(&line), family = word(&line), ip = word(&line);
    struct addr a;
    char text[ADDR_TEXT_MAX];

    if (!r->session && !r->audio)
        return 0;
    if (!net.len || !family.len || !ip.len)
        return ERR_MALFORMED;
    ip = until(&ip, '/');
    if (copy(text, sizeof(text), ip) || addr_parse_ip(&a, text) || addr_is_any(&a))
        a = (struct addr){0};
    a.port = r->out->rtp.port;
    r->out->rtp = a;
    return 0;
}

static int on_line(struct reading *r, struct span line)
{
    char kind = line.p[0];
    if (line.len < 2 || line.p[1] != '=')
        return ERR_MALFORMED;
    for (size_t i = 0; i < line.len; i++) {
        if ((unsigned char)line.p[i] < ' ' && line.p[i] != '\t')
            return ERR_MALFORMED;
    }
    line.p += 2;
    line.len -= 2;
    return kind == 'm' ? on_media(r, line) : kind == 'a' ? on_attribute(r, line) : kind == 'c' ? on_connection(r, line) : 0;
}

/* The next line without its end; an empty one at the end of the text. */
static struct span next_line(const char **text)
{
    struct span line = {*text, strcspn(*text, "\n")};
    *text += line.len + ((*text)[line.len] == '\n');
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* What only the whole tells. */
static void conclude(struct reading *r)
{
    struct sdp *s = r->out;
    const char *mid = s->audio >= 0 ? s->sections[s->audio].mid : "";
    struct span w;
    uint8_t a = s->types[SDP_PCMA], u = s->types[SDP_PCMU];

    while (*mid && (w = word(&r->groups)).len > 0)
        s->bundled |= w.len == strlen(mid) && memcmp(w.p, mid, w.len) == 0;
    s->pcmu_first = u != SDP_NO_TYPE && (a == SDP_NO_TYPE || r->place[u] < r->place[a]);
    if (s->rtcp.family == ADDR_NONE)
        s->rtcp = s->rtp;
    s->rtcp.port = (uint16_t)(r->said_rtcp ? r->rtcp_port : s->rtp.port + 1);
    if (addr_is_any(&s->rtcp) || s->rtcp.port == 0)
        s->rtcp = (struct addr){0};
    if (s->rtp.family == ADDR_NONE)
        s->rtp = (struct addr){0};
}

int sdp_parse(struct sdp *out, const char *text)
{
    struct reading r = {.out = out, .session = true};
    struct span line = next_line(&text);
    int err = is(line, "v=0") ? 0 : ERR_MALFORMED;

    *out = (struct sdp){.audio = -1, .direction = SDP_SENDRECV};
    memset(out->types, SDP_NO_TYPE, sizeof(out->types));
    while (!err && *text) {
        line = next_line(&text);
        if (line.len || *text)
            err = line.len ? on_line(&r, line) : ERR_MALFORMED;
    }
    if (!err)
        conclude(&r);
    return err;
}

bool sdp_candidate(const char *text, size_t *at, char out[static SDP_CANDIDATE_MAX])
{
    static const char begin[] = "a=candidate:";
    const char *p = text + *at;
    bool ours = false, past = false;

    /* From the begin each time, because the section must be known; descriptions are short. */
    for (const char *q = text; *q && !(past && !ours);) {
        struct span line = next_line(&q);
        if (line.len > 2 && strncmp(line.p, "m=", 2) == 0) {
            struct span rest = {line.p + 2, line.len - 2}, kind = word(&rest), port = word(&rest);
            past = past || ours;
            ours = !past && is(kind, "audio") && number(until(&port, '/'), 65535) > 0;
        }
        if (ours && line.p >= p && line.len >= sizeof(begin) && strncmp(line.p, begin, sizeof(begin) - 1) == 0) {
            *at = (size_t)(q - text);
            if (copy(out, SDP_CANDIDATE_MAX, (struct span){line.p + 2, line.len - 2}) == 0)
                return true;
        }
    }
    return false;
}

unsigned sdp_mirror(unsigned direction)
{
    return (direction & SDP_SEND ? SDP_RECV : 0U) | (direction & SDP_RECV ? SDP_SEND : 0U);
}

/* ---- what a description must have ---- */
static bool speaks(const struct sdp *s)
{
    return s->types[SDP_PCMA] != SDP_NO_TYPE || s->types[SDP_PCMU] != SDP_NO_TYPE;
}

/* The first of these that holds is the reason. */
struct lack {
    bool missing;
    const char *why;
};

static int judge(const struct lack *lacks, size_t n, const char **why)
{
    for (size_t i = 0; i < n; i++) {
        if (lacks[i].missing) {
            *why = lacks[i].why;
            return ERR_NOTSUP;
        }
    }
    *why = "";
    return 0;
}

int sdp_check_browser(const struct sdp *s, const char **why)
{
    const struct lack lacks[] = {
        {s->audio < 0, "the offer has no audio"},
        {s->audio >= 0 && !strstr(s->sections[s->audio].proto, "TLS/RTP/SAVP"), "the offer is not DTLS-SRTP"},
        {!speaks(s), "no codec in common: PCMA or PCMU must be offered"},
        {!s->mux, "the offer has no a=rtcp-mux"},
        {!*s->ufrag || !*s->pwd, "the offer has no ICE user fragment and password"},
        {s->fingerprint.len == 0, "the offer has no fingerprint of SHA-256 or better"},
        {s->setup == SDP_ACTIVE, "the offer says a=setup:active, which leaves no side to wait"},
    };
    return judge(lacks, sizeof(lacks) / sizeof(lacks[0]), why);
}

int sdp_check_pbx(const struct sdp *s, const char **why)
{
    const struct lack lacks[] = {
        {s->audio < 0, "no audio"},
        {s->audio >= 0 && strncmp(s->sections[s->audio].proto, "RTP/AVP", 7) != 0, "the audio is not RTP/AVP"},
        {!speaks(s), "no codec in common: PCMA or PCMU is needed"},
    };
    return judge(lacks, sizeof(lacks) / sizeof(lacks[0]), why);
}
