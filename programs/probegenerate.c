#include "programs/probegenerate.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "programs/output.h"

enum { MIN_PORT = 49152, MAX_PORT = 65535 }; /* turnpiked's own, unless its configuration says otherwise */

static bool read_port(const char *text, char end, uint16_t *out)
{
    size_t n = strspn(text, "0123456789");
    unsigned long value = n && n <= 5 && text[n] == end ? strtoul(text, NULL, 10) : 0;

    *out = (uint16_t)value;
    return value >= 1 && value <= UINT16_MAX;
}

/* "49152-65535"; NULL: the usual ones. */
static bool read_ports(struct probegenerate *g, const char *text)
{
    const char *dash = text ? strchr(text, '-') : NULL;

    g->ports_given = true;
    g->min_port = MIN_PORT;
    g->max_port = MAX_PORT;
    return !text ||
           (dash && read_port(text, '-', &g->min_port) && read_port(dash + 1, '\0', &g->max_port) && g->min_port <= g->max_port);
}

bool probegenerate_take(struct probegenerate *g, int option, const char *value)
{
    switch (option) {
    case PROBEGENERATE_FORMAT:
        g->wanted = true;
        return generate_format(value, &g->format);
    case PROBEGENERATE_SIDE:
        g->side_given = true;
        return openings_side(value, &g->side);
    case PROBEGENERATE_AT:
        return generate_place(value, &g->place);
    case PROBEGENERATE_FROM:
        g->from = value;
        return true;
    case PROBEGENERATE_PEERS_OUTSIDE:
        return read_ports(g, value);
    }
    return false;
}

int probegenerate_run(const struct probegenerate *g, const struct rules *rules, const struct probe_host host[static RULES_HOST])
{
    struct openings_config config = {.rules = rules,
                                     .side = g->side,
                                     .from = g->from,
                                     .peers_outside = g->ports_given,
                                     .min_port = g->min_port,
                                     .max_port = g->max_port};
    static struct openings openings; /* too large for a stack */
    char error[OPENINGS_ERROR_MAX] = "--generate needs --side office, browser or relay: whose firewall is it?";
    int err = ERR_CONFIG;

    memcpy(config.host, host, sizeof(config.host));
    if (g->ports_given && g->side != OPENINGS_RELAY)
        snprintf(error, sizeof(error), "--peers-outside is for --side relay: the others reach no relayed address directly");
    else if (g->side_given)
        err = openings_make(&openings, &config, error);
    if (!err) {
        generate_write(stdout, g->format, &openings, g->place);
        return output_flush("turnpike-probe");
    }
    fprintf(stderr, "turnpike-probe: %s\n", error);
    return err;
}
