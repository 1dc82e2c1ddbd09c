#include "probe/openings.h"

#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

static const char *const SIDES[OPENINGS_SIDES] = {
    [OPENINGS_OFFICE] = "office", [OPENINGS_BROWSER] = "browser", [OPENINGS_RELAY] = "relay"};

const char *openings_side_name(enum openings_side side)
{
    return SIDES[side];
}

bool openings_side(const char *word, enum openings_side *out)
{
    for (int i = 0; i < OPENINGS_SIDES; i++) {
        if (strcmp(word, SIDES[i]) == 0) {
            *out = (enum openings_side)i;
            return true;
        }
    }
    return false;
}

__attribute__((format(printf, 2, 3))) static int fail(char error[static OPENINGS_ERROR_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, OPENINGS_ERROR_MAX, format, args);
    va_end(args);
    utf8_mend(error); /* a word may have been cut */
    return ERR_CONFIG;
}

/* ---- Addresses. ---- */

static int resolve(const char *name, struct addr *out, size_t max)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    size_t n = 0;

    if (getaddrinfo(name, NULL, &hints, &list))
        return ERR_NOENT;
    for (const struct addrinfo *a = list; a && n < max; a = a->ai_next) {
        if (addr_from_sockaddr(&out[n], a->ai_addr) == 0)
            n++;
    }
    freeaddrinfo(list);
    return (int)n;
}

/* IPv4 first, then by value: the same text each time, in whatever order a name server answers. */
static int by_value(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct addr));
}

/* Each once, and of one family if that is asked for. */
static void tidy(struct opening *o, enum addr_family family)
{
    size_t kept = 0;

    qsort(o->address, o->n, sizeof(o->address[0]), by_value);
    for (size_t i = 0; i < o->n; i++) {
        bool again = kept > 0 && addr_equal(&o->address[kept - 1], &o->address[i]);

        if (!again && (family == ADDR_NONE || o->address[i].family == family))
            o->address[kept++] = o->address[i];
    }
    o->n = kept;
}

static int find_addresses(struct opening *o, const struct openings_config *config, enum addr_family family,
                          char error[static OPENINGS_ERROR_MAX])
{
    int n = 1;

    if (!rules_is_host(o->to))
        return fail(error, "'%.100s' is neither a name nor an IP address", o->to);
    if (addr_parse_ip(&o->address[0], o->to))
        n = (config->resolve ? config->resolve : resolve)(o->to, o->address, OPENINGS_ADDRESSES_MAX);
    if (n <= 0)
        return fail(error, "the name %.254s has no address: give it one, or write the IP address in its place", o->to);
    o->n = (size_t)n;
    tidy(o, family);
    if (!o->n)
        return fail(error, "%.254s has no address of the family of '%.60s': leave that out, or name one of the same family", o->to,
                    config->from);
    return 0;
}

/* Writes a prefix as every firewall reads it: what lies behind its bits is zero. */
static int read_from(struct openings *out, const char *word, char error[static OPENINGS_ERROR_MAX])
{
    size_t n = strcspn(word, "/"), digits = word[n] ? strspn(word + n + 1, "0123456789") : 0;
    char ip[ADDR_TEXT_MAX] = "";
    unsigned long bits, most;
    struct addr a;

    if (n < sizeof(ip))
        memcpy(ip, word, n);
    if (addr_parse_ip(&a, ip) || (word[n] && (!digits || digits > 3 || word[n + 1 + digits])))
        return fail(error, "'%.100s' is neither an IP address nor a network such as 10.20.0.0/16", word);
    most = addr_ip_len(&a) * 8;
    bits = word[n] ? strtoul(word + n + 1, NULL, 10) : most;
    if (bits > most)
        return fail(error, "'%.100s': at most %lu bits are expected", word, most);
    for (size_t i = bits; i < most; i++)
        a.ip[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    if (bits == most)
        snprintf(out->from, sizeof(out->from), "%s", addr_ip_text(&a, ip));
    else
        snprintf(out->from, sizeof(out->from), "%s/%lu", addr_ip_text(&a, ip), bits);
    out->from_family = (enum addr_family)a.family;
    return 0;
}

/* ---- A firewall before those who begin: each rule of their side. ---- */

static int open_rule(struct openings *out, const struct openings_config *config, const struct rule *r,
                     char error[static OPENINGS_ERROR_MAX])
{
    const struct probe_host *h = r->target == RULES_HOST ? NULL : &config->host[r->target];
    struct opening *o = &out->item[out->n];

    if (h && !h->name)
        return fail(error, "rule %u is about the %s host: name it with --%s", r->number, rules_target_name(r->target),
                    rules_target_name(r->target));
    *o = (struct opening){.rule = r->number,
                          .to = h ? h->name : r->host,
                          .service = rules_target_name(r->target),
                          .protocol = r->protocol,
                          .port = h && h->port ? h->port : r->port,
                          .text = r->text};
    o->last = o->port;
    out->n++;
    return find_addresses(o, config, out->from_family, error);
}

static int open_out(struct openings *out, const struct openings_config *config, char error[static OPENINGS_ERROR_MAX])
{
    enum rules_source source = config->side == OPENINGS_OFFICE ? RULES_SERVER : RULES_BROWSER;
    int err = 0;

    for (size_t i = 0; i < config->rules->n && !err; i++) {
        if (config->rules->item[i].source == source)
            err = open_rule(out, config, &config->rules->item[i], error);
    }
    if (!err && !out->n)
        return fail(error, "no rule is about the side '%s'", SIDES[config->side]);
    return err;
}

/* ---- The relay's own host: what the rules of both sides lead to. ---- */

static void open_here(struct openings *out, const char *service, enum rules_protocol protocol, uint16_t port, uint16_t last,
                      const char *text)
{
    for (size_t i = 0; i < out->n; i++) {
        if (out->item[i].protocol == protocol && out->item[i].port == port && out->item[i].last == last)
            return;
    }
    out->item[out->n++] =
        (struct opening){.to = "", .service = service, .protocol = protocol, .port = port, .last = last, .text = text};
}

static void open_in(struct openings *out, const struct openings_config *config)
{
    static const char *const TEXTS[RULES_HOST] = {[RULES_CONNECT] = "The connect service: WebSocket over TLS",
                                                  [RULES_APP] = "The web app: its page",
                                                  [RULES_RELAY] = "STUN and TURN: all that calls from relay to relay need"};

    for (size_t i = 0; i < config->rules->n; i++) {
        const struct rule *r = &config->rules->item[i];

        if (r->target != RULES_HOST) {
            uint16_t port = config->host[r->target].port ? config->host[r->target].port : r->port;

            open_here(out, rules_target_name(r->target), r->protocol, port, port, TEXTS[r->target]);
            if (r->target == RULES_RELAY && r->protocol == RULES_UDP)
                open_here(out, "relay", RULES_TCP, port, port, "TURN for clients that may send no UDP");
        }
    }
    if (config->peers_outside)
        open_here(out, "relay", RULES_UDP, config->min_port, config->max_port,
                  "Relayed addresses, for peers that reach them without a TURN client of their own");
}

int openings_make(struct openings *out, const struct openings_config *config, char error[static OPENINGS_ERROR_MAX])
{
    *error = '\0';
    *out = (struct openings){.side = config->side};
    if (config->from && read_from(out, config->from, error))
        return ERR_CONFIG;
    if (config->side != OPENINGS_RELAY)
        return open_out(out, config, error);
    open_in(out, config);
    return out->n ? 0 : fail(error, "no rule leads to the relay's host: their destinations are all hosts of their own");
}

bool openings_family(const struct openings *o, enum addr_family family)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct opening *item = &o->item[i];

        /* sorted: the first and the last one tell */
        if (!item->n || item->address[0].family == family || item->address[item->n - 1].family == family)
            return true;
    }
    return false;
}
