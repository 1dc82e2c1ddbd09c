/*
 * Purpose:  session descriptions of one audio stream: read, and written towards a browser and towards a PBX.
 * Owner:    any thread; plain values.
 * Lifetime: a struct sdp owns all that it holds; sdp_candidate reads the text again.
 * Callers:  bridge/media.
 * RFC:      8866, 3264, 8839 (ICE), 8122 (fingerprint), 8842 (setup), 8843 (BUNDLE), 5761 (rtcp-mux), 3605 (rtcp), 4733.
 */
#ifndef BRIDGE_SDP_H
#define BRIDGE_SDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum {
    SDP_SECTIONS_MAX = 16,   /* media sections; a browser's call has one to three */
    SDP_WORD_MAX = 32,       /* bytes of a mid, a protocol, a format, with NUL */
    SDP_ICE_MAX = 257,       /* ufrag and password, RFC 8839 section 5.4, with NUL */
    SDP_DIGEST_MAX = 64,     /* SHA-512 */
    SDP_CANDIDATE_MAX = 256, /* bytes of a candidate line, with NUL */
    SDP_CANDIDATES_MAX = 32, /* of one description; libnice takes 25 */
    SDP_NO_TYPE = 0xFF,      /* no payload type: the codec isn't there */
    SDP_PTIME_MS = 20,       /* packets as telephones have them; RFC 3551 section 4.2 */
};

enum sdp_codec { SDP_PCMU, SDP_PCMA, SDP_EVENT, SDP_CN, SDP_CODECS };
/* Bits: what the describing side does. */
enum { SDP_INACTIVE = 0, SDP_SEND = 1, SDP_RECV = 2, SDP_SENDRECV = SDP_SEND | SDP_RECV };
enum sdp_setup { SDP_SETUP_NONE, SDP_ACTPASS, SDP_ACTIVE, SDP_PASSIVE };

struct sdp_section {
    char kind[SDP_WORD_MAX], proto[SDP_WORD_MAX], format[SDP_WORD_MAX]; /* of its m= line; the first format alone */
    char mid[SDP_WORD_MAX];
};
struct sdp_fingerprint {
    char hash[8]; /* "sha-256", as RFC 8122 names it; "" none */
    uint8_t digest[SDP_DIGEST_MAX];
    size_t len;
};
struct sdp {
    struct sdp_section sections[SDP_SECTIONS_MAX];
    unsigned nsections;
    int audio;    /* the first section of audio that isn't refused; -1: none */
    bool bundled; /* the audio's mid is in a BUNDLE group */
    bool mux;
    uint8_t types[SDP_CODECS]; /* payload type of each, or SDP_NO_TYPE */
    bool pcmu_first;           /* of the two laws the one that comes first */
    unsigned direction;
    char ufrag[SDP_ICE_MAX], pwd[SDP_ICE_MAX];
    struct sdp_fingerprint fingerprint;
    enum sdp_setup setup;
    struct addr rtp, rtcp; /* ADDR_NONE: not said, a name, or the unspecified address; RTCP as a=rtcp says, else one port above */
};

/* What isn't needed is passed over. ERR_MALFORMED, ERR_NOSPC (more sections than we read). */
int sdp_parse(struct sdp *out, const char *text);
/* What an offer of a browser, and a description of a PBX, must have to be of use. ERR_NOTSUP with the reason (static). */
int sdp_check_browser(const struct sdp *s, const char **why);
int sdp_check_pbx(const struct sdp *s, const char **why);
/* The candidates of the audio section, one a call: "candidate:...". `*at` begins as 0. False: no further one. */
bool sdp_candidate(const char *text, size_t *at, char out[static SDP_CANDIDATE_MAX]);
/* What the other side does, seen from here. */
unsigned sdp_mirror(unsigned direction);

/* What is written. */
struct sdp_text {
    uint64_t id; /* of the session, RFC 8866 section 5.2 */
    unsigned version;
    uint8_t types[SDP_CODECS];
    bool pcmu_first;
    unsigned direction;
};
/* An answer to a browser: BUNDLE of the audio alone, rtcp-mux, setup:active, trickle; every other section is refused. Returns the length, or ERR_NOSPC. */
struct sdp_browser {
    struct sdp_text text;
    const struct sdp *offer;
    const char *ufrag, *pwd, *fingerprint; /* "sha-256 AA:BB:..." */
};
int sdp_write_browser(char *out, size_t cap, const struct sdp_browser *b);
/* An offer to a PBX (`offer` NULL), or an answer to its offer. */
struct sdp_pbx {
    struct sdp_text text;
    const struct sdp *offer;
    struct addr rtp; /* RTCP is one port above, or beside it where the offer has rtcp-mux */
};
int sdp_write_pbx(char *out, size_t cap, const struct sdp_pbx *p);

#endif
