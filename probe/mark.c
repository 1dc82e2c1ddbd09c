#include "probe/mark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "probe/way.h"

enum { SDP_MAX = 512 }; /* bytes of our description and its NUL */

#define LINE_END  "\r\n"
#define MARK      LINE_END "a=x-turnpike-probe:"
#define FAILED    LINE_END "a=x-turnpike-probe-failed:"
#define CANDIDATE LINE_END "a=candidate:1 1 udp 1 "

json_t *mark_write(const struct mark *m, const char *lines)
{
    char ip[ADDR_TEXT_MAX], sdp[SDP_MAX];

    if (*m->failed)
        snprintf(sdp, sizeof(sdp), "v=0" MARK "0" FAILED "%s" LINE_END, m->failed);
    else
        snprintf(sdp, sizeof(sdp), "v=0" MARK "%u" CANDIDATE "%s %u typ relay" LINE_END "%s", m->packets,
                 addr_ip_text(&m->relayed, ip), (unsigned)m->relayed.port, lines);
    return json_string(sdp);
}

const char *mark_clean(char out[static MARK_FAILED_MAX], const char *text, size_t len)
{
    snprintf(out, MARK_FAILED_MAX, "%.*s", len < MARK_FAILED_MAX ? (int)len : MARK_FAILED_MAX, text);
    utf8_mask(out);
    return out;
}

static const char *sdp_of(const json_t *params)
{
    const char *sdp = json_string_value(json_object_get(params, "sdp"));

    return sdp ? sdp : "";
}

bool mark_is(const json_t *params)
{
    return strstr(sdp_of(params), MARK) != NULL;
}

bool mark_read(struct mark *out, const json_t *params)
{
    const char *sdp = sdp_of(params), *mark = strstr(sdp, MARK), *failed = strstr(sdp, FAILED), *candidate = strstr(sdp, CANDIDATE);
    char ip[ADDR_TEXT_MAX];
    unsigned port;

    *out = (struct mark){0};
    if (!mark)
        return false;
    if (failed) {
        failed += strlen(FAILED);
        mark_clean(out->failed, failed, strcspn(failed, LINE_END));
        return *out->failed;
    }
    if (!candidate || sscanf(candidate + strlen(CANDIDATE), "%45s %5u", ip, &port) != 2 || port == 0 || port > UINT16_MAX ||
        sscanf(mark + strlen(MARK), "%4u", &out->packets) != 1 || out->packets == 0 || out->packets > WAY_SLOW_PACKETS ||
        addr_parse_ip(&out->relayed, ip) || addr_is_any(&out->relayed))
        return false;
    out->relayed.port = (uint16_t)port;
    return true;
}
