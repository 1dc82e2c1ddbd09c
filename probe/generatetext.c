/* A table that goes into a ticket as it is: one line for each address, so that it can be ticked off. */
#include <string.h>

#include "probe/generateparts.h"

enum { TO_MAX = RULES_HOST_MAX + ADDR_TEXT_MAX + 4 }; /* "turn.example.org (203.0.113.10)" */

static const char *const FROM[OPENINGS_SIDES] = {
    [OPENINGS_OFFICE] = "UC server", [OPENINGS_BROWSER] = "browser", [OPENINGS_RELAY] = "anywhere"};

/* Where the i-th address of an opening is; the name stands beside it, unless it is the address. */
static const char *to_text(const struct opening *o, size_t i, char out[static TO_MAX])
{
    char ip[ADDR_TEXT_MAX];

    if (!o->n)
        snprintf(out, TO_MAX, "this host");
    else if (addr_ip_text(&o->address[i], ip) && strcmp(ip, o->to) == 0)
        snprintf(out, TO_MAX, "%s", ip);
    else
        snprintf(out, TO_MAX, "%s (%s)", ip, o->to);
    return out;
}

static void write_line(FILE *f, const struct openings *openings, const struct opening *o, size_t i, int width)
{
    const char *from = *openings->from ? openings->from : FROM[openings->side];
    char to[TO_MAX], number[16] = "", ports[16];
    int n;

    if (o->rule)
        snprintf(number, sizeof(number), "%u", o->rule);
    n = snprintf(ports, sizeof(ports), "%u", (unsigned)o->port);
    if (o->last != o->port)
        snprintf(ports + n, sizeof(ports) - (size_t)n, "-%u", (unsigned)o->last);
    fprintf(f, "%-4s  %-3s  %-19s  %-*s  %-8s  %-11s  ", number, openings->side == OPENINGS_RELAY ? "in" : "out", from, width,
            to_text(o, i, to), o->protocol == RULES_TCP ? "TCP" : "UDP", ports);
    generate_words(f, o->text, false);
    fputc('\n', f);
}

void generate_text(FILE *f, const struct openings *openings, enum generate_way way)
{
    char to[TO_MAX];
    int width = 2;

    for (size_t k = 0; k < openings->n; k++) {
        for (size_t i = 0; i == 0 || i < openings->item[k].n; i++) {
            int n = (int)strlen(to_text(&openings->item[k], i, to));

            width = n > width ? n : width;
        }
    }
    (void)way;
    fprintf(f, "%s\nThe firewall lets answers back by itself (stateful). Nothing else has to be open.\n\n",
            generate_purpose(openings));
    fprintf(f, "%-4s  %-3s  %-19s  %-*s  %-8s  %-11s  %s\n", "Rule", "Way", "From, any port", width, "To", "Protocol", "Port",
            "What for");
    for (size_t k = 0; k < openings->n; k++) {
        for (size_t i = 0; i == 0 || i < openings->item[k].n; i++)
            write_line(f, openings, &openings->item[k], i, width);
    }
}
