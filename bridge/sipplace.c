#include "bridge/sipplace.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/conf.h"
#include "base/err.h"

enum { PORT_MAX = 6 }; /* characters of ":65535" */

static const char NAME_CHARS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

/* ":1" to ":65535", or nothing. */
static bool port_ok(const char *text)
{
    uint64_t port;

    return !*text || (*text == ':' && strlen(text) <= PORT_MAX && conf_read_uint(&port, text + 1, 1, UINT16_MAX) == 0);
}

int sipplace_read(struct sipplace *out, const char *text)
{
    bool whole = addr_parse_ip(&out->ip, text) == 0, bracket = !whole && *text == '[';
    size_t len = whole ? strlen(text) : bracket ? strcspn(++text, "]") : strspn(text, NAME_CHARS);
    const char *port = text + len + bracket;

    if (len == 0 || len + sizeof("[]:65535") > SIPPLACE_MAX || (bracket && text[len] != ']') || !port_ok(port))
        return ERR_INVAL;
    snprintf(out->host, sizeof(out->host), "%.*s", (int)len, text);
    if (!whole && addr_parse_ip(&out->ip, out->host))
        out->ip = (struct addr){0};
    if (bracket && out->ip.family != ADDR_V6)
        return ERR_INVAL;
    snprintf(out->domain, sizeof(out->domain), out->ip.family == ADDR_V6 ? "[%.*s]" : "%.*s", (int)len, text);
    snprintf(out->all, sizeof(out->all), "%.*s%.6s", (int)strlen(out->domain), out->domain, port);
    return 0;
}
