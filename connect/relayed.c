#include "connect/relayed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINE_MAX = 512 }; /* bytes of a candidate that is looked at: it has some 150 */

/* The fields of candidate-attribute, in their order. */
enum { FOUNDATION, COMPONENT, TRANSPORT, PRIORITY, ADDRESS, PORT, TYP, TYPE, FIELDS };

bool relayed_read(struct addr *out, const char *candidate)
{
    static const char HEAD[] = "candidate:";
    char line[LINE_MAX], *field[FIELDS], *rest = NULL, *end;
    unsigned long port;

    if (strncmp(candidate, HEAD, sizeof(HEAD) - 1) != 0)
        return false;
    snprintf(line, sizeof(line), "%s", candidate);
    for (int i = 0; i < FIELDS; i++) {
        field[i] = strtok_r(i ? NULL : line, " ", &rest);
        if (!field[i])
            return false;
    }
    if (strcasecmp(field[TRANSPORT], "udp") != 0 || strcmp(field[TYP], "typ") != 0 || strcmp(field[TYPE], "relay") != 0)
        return false;
    port = strtoul(field[PORT], &end, 10);
    if (*end || port < 1 || port > UINT16_MAX || addr_parse_ip(out, field[ADDRESS]))
        return false;
    out->port = (uint16_t)port;
    return true;
}

void relayed_each(const char *sdp, void (*found)(void *ctx, const struct addr *relayed), void *ctx)
{
    char line[LINE_MAX];
    struct addr relayed;

    for (const char *at = sdp; *at; at += strspn(at, "\r\n")) {
        size_t n = strcspn(at, "\r\n");

        if (n < sizeof(line) && n > 2 && memcmp(at, "a=", 2) == 0) {
            memcpy(line, at + 2, n - 2);
            line[n - 2] = '\0';
            if (relayed_read(&relayed, line))
                found(ctx, &relayed);
        }
        at += n;
    }
}
