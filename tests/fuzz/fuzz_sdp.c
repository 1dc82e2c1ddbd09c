/* Descriptions of strangers: taken or refused, and what is written from one that was taken can be read again and says the same. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "bridge/sdp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void bounded(const struct sdp *s)
{
    need(s->nsections <= SDP_SECTIONS_MAX && s->audio < (int)s->nsections && s->audio >= -1);
    need(s->fingerprint.len <= SDP_DIGEST_MAX && s->direction <= SDP_SENDRECV);
    for (unsigned i = 0; i < SDP_CODECS; i++)
        need(s->types[i] < 128 || s->types[i] == SDP_NO_TYPE);
}

/* Every section keeps its place, and the audio what was agreed on. */
static void answered(const struct sdp *offer, const char *text)
{
    struct sdp again;
    need(sdp_parse(&again, text) == 0);
    need(again.nsections == offer->nsections && again.audio == offer->audio);
    need(memcmp(again.types, offer->types, sizeof(again.types)) == 0);
    need(again.direction == sdp_mirror(offer->direction));
    for (unsigned i = 0; i < again.nsections; i++)
        need(strcmp(again.sections[i].mid, offer->sections[i].mid) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char out[1 << 16];
    struct sdp s;
    const char *why;
    char candidate[SDP_CANDIDATE_MAX], *text = malloc(size + 1);
    size_t at = 0;
    int err;

    need(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    err = sdp_parse(&s, text);
    need(err == 0 || err == ERR_MALFORMED || err == ERR_NOSPC);
    bounded(&s);
    for (unsigned n = 0; n < SDP_CANDIDATES_MAX && sdp_candidate(text, &at, candidate); n++)
        need(strncmp(candidate, "candidate:", 10) == 0 && at <= strlen(text));
    free(text);
    if (err)
        return 0;
    if (sdp_check_browser(&s, &why) == 0) {
        struct sdp_browser b = {.offer = &s, .ufrag = "uuuu", .pwd = "pppppppppppppppppppppp", .fingerprint = "sha-256 00"};
        memcpy(b.text.types, s.types, sizeof(b.text.types));
        b.fingerprint = "md5 00"; /* one that is passed over */
        b.text.direction = sdp_mirror(s.direction);
        need(sdp_write_browser(out, sizeof(out), &b) > 0);
        answered(&s, out);
    }
    if (sdp_check_pbx(&s, &why) == 0) {
        struct sdp_pbx p = {.offer = &s, .rtp = {.family = ADDR_V4, .port = 4000, .ip = {192, 0, 2, 1}}};
        memcpy(p.text.types, s.types, sizeof(p.text.types));
        p.text.direction = sdp_mirror(s.direction);
        need(sdp_write_pbx(out, sizeof(out), &p) > 0);
        answered(&s, out);
    }
    return 0;
}
