#include "bridge/icelist.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

enum { STUN_PORT_DEFAULT = 3478, TTL_MAX_S = 30 * 86400 };

/* "turn:relay.example?transport=udp" is at "relay.example:3478". */
static void note_relay(struct icelist *s, const char *uri)
{
    const char *host = uri + strlen("turn:");
    size_t len = strcspn(host, "?");
    const char *bracket = memchr(host, ']', len),
               *name = bracket ? bracket : host; /* colons within brackets are the address's own */
    bool port = memchr(name, ':', len - (size_t)(name - host)) != NULL;

    if (s->relay[0])
        return;
    s->turn = s->n;
    if (port)
        snprintf(s->relay, sizeof(s->relay), "%.*s", (int)len, host);
    else
        snprintf(s->relay, sizeof(s->relay), "%.*s:%d", (int)len, host, STUN_PORT_DEFAULT);
}

static void add(struct icelist *s, const json_t *entry, const char *uri)
{
    const char *username = json_string_value(json_object_get(entry, "username")),
               *credential = json_string_value(json_object_get(entry, "credential"));
    bool turn = uri && strncmp(uri, "turn:", 5) == 0, stun = uri && strncmp(uri, "stun:", 5) == 0;
    struct media_server *to = &s->server[s->n];

    if ((!turn && !stun) || s->n == MEDIA_SERVERS_MAX || strlen(uri) >= sizeof(to->uri))
        return;
    if (turn &&
        (!username || !credential || strlen(username) >= sizeof(to->username) || strlen(credential) >= sizeof(to->password)))
        return;
    snprintf(to->uri, sizeof(to->uri), "%s", uri);
    snprintf(to->username, sizeof(to->username), "%s", turn ? username : "");
    snprintf(to->password, sizeof(to->password), "%s", turn ? credential : "");
    if (turn)
        note_relay(s, uri);
    s->n++;
}

int icelist_read(struct icelist *out, const json_t *ice)
{
    const json_t *list = json_object_get(ice, "iceServers"), *entry;
    json_int_t ttl = json_integer_value(json_object_get(ice, "ttl"));
    size_t i, k;

    *out = (struct icelist){0};
    if (!json_is_array(list))
        return ERR_MALFORMED;
    out->ttl_s = ttl < 0 ? 0 : ttl > TTL_MAX_S ? TTL_MAX_S : (unsigned)ttl;
    json_array_foreach(list, i, entry)
    {
        const json_t *urls = json_object_get(entry, "urls");
        const json_t *url;

        if (json_is_string(urls))
            add(out, entry, json_string_value(urls));
        json_array_foreach(urls, k, url)
        {
            add(out, entry, json_string_value(url));
        }
    }
    return 0;
}
