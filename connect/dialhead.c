#include "connect/dialhead.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/random.h"
#include "connect/wskey.h"

void dialhead_key(char out[static DIAL_KEY_MAX])
{
    unsigned char nonce[16];

    random_bytes(nonce, sizeof(nonce));
    base64_encode(out, nonce, sizeof(nonce));
}

int dialhead_accept(char out[static DIAL_ACCEPT_MAX], const char *key)
{
    return wskey_accept(out, key, strlen(key));
}

size_t dialhead_connect(char out[static DIAL_REQUEST_MAX], const struct dialurl *url)
{
    char authority[DIAL_AUTHORITY_MAX];

    dialurl_authority(url, false, authority);
    return (size_t)snprintf(out, DIAL_REQUEST_MAX, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority);
}

size_t dialhead_upgrade(char out[static DIAL_REQUEST_MAX], const struct dialurl *url, const char *key, const char *subprotocol)
{
    char authority[DIAL_AUTHORITY_MAX];

    return (size_t)snprintf(out, DIAL_REQUEST_MAX,
                            "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
                            url->path, dialurl_authority(url, true, authority), key, subprotocol);
}

int dialhead_len(const char *text, size_t len)
{
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    size_t n = end ? (size_t)(end - text) + 4 : len;

    if (n > DIAL_HEAD_MAX || (!end && len == DIAL_HEAD_MAX))
        return ERR_MSGSIZE;
    return end ? (int)n : 0;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

int dialhead_status(const char *head, size_t len)
{
    if (len < sizeof("HTTP/1.1 200\r") - 1 || memcmp(head, "HTTP/1.", 7) != 0 || !digit(head[7]) || head[8] != ' ' ||
        !digit(head[9]) || !digit(head[10]) || !digit(head[11]) || (head[12] != ' ' && head[12] != '\r'))
        return ERR_MALFORMED;
    return (head[9] - '0') * 100 + (head[10] - '0') * 10 + (head[11] - '0');
}

const char *dialhead_field(const char *head, size_t len, const char *name, size_t *n)
{
    size_t namelen = strlen(name);
    const char *p = head, *end = head + len, *found = NULL;

    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        const char *from = ++p, *to = memchr(from, '\r', (size_t)(end - from));
        if (!to || (size_t)(to - from) <= namelen || from[namelen] != ':' || strncasecmp(from, name, namelen) != 0)
            continue;
        if (found)
            return NULL;
        for (from += namelen + 1; from < to && (*from == ' ' || *from == '\t'); from++)
            ;
        for (; to > from && (to[-1] == ' ' || to[-1] == '\t'); to--)
            ;
        found = from;
        *n = (size_t)(to - from);
    }
    return found;
}

static bool has(const char *head, size_t len, const char *name, const char *value, bool any_case)
{
    size_t n = 0;
    const char *p = dialhead_field(head, len, name, &n);

    return p && n == strlen(value) && (any_case ? strncasecmp(p, value, n) : strncmp(p, value, n)) == 0;
}

/* Is it one of the words of a list, whatever their case? */
static bool lists(const char *head, size_t len, const char *name, const char *word)
{
    size_t n = 0, wordlen = strlen(word), item;
    const char *p = dialhead_field(head, len, name, &n), *end = p ? p + n : NULL;

    for (; p < end; p += item + 1) {
        p += strspn(p, " \t,");
        item = strcspn(p, " \t,\r");
        if (p + item <= end && item == wordlen && strncasecmp(p, word, item) == 0)
            return true;
    }
    return false;
}

const char *dialhead_wrong(const char *head, size_t len, const char *accept, const char *subprotocol)
{
    size_t n = 0;

    if (!has(head, len, "upgrade", "websocket", true) || !lists(head, len, "connection", "upgrade"))
        return "a proxy between has taken the upgrade to a WebSocket out of the answer";
    if (!has(head, len, "sec-websocket-accept", accept, false))
        return "the answer is not one to our request (a proxy's cache?)";
    if (!has(head, len, "sec-websocket-protocol", subprotocol, false))
        return "the server does not speak our version of the connect protocol";
    if (dialhead_field(head, len, "sec-websocket-extensions", &n) || n)
        return "the server uses an extension of WebSockets that we have not offered";
    return NULL;
}
