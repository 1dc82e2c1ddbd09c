/* iptables: one file for iptables-restore and for ip6tables-restore; each skips the lines that are marked for the other. */
#include "probe/generateparts.h"

static const struct {
    const char *chain, *loopback;
    const char *const *neighbours; /* RFC 4890 section 4.4: ICMPv6 without which a host has no IPv6 */
    bool too_big;                  /* ICMP about what is exempt from tracking is RELATED to nothing, and goes by itself */
} WAYS[GENERATE_WAYS] = {
    [GENERATE_FORWARD] = {"FORWARD", NULL, NULL, false},
    [GENERATE_OUTPUT] = {"OUTPUT", "-o lo", (const char *const[]){"133", "135", "136", "131", "143", NULL}, false},
    [GENERATE_INPUT] = {"INPUT", "-i lo", (const char *const[]){"134", "135", "136", "130", NULL}, true},
};

static const char *const HINTS[GENERATE_WAYS] = {
    [GENERATE_FORWARD] =
        "# It replaces the filter table: in a firewall that carries more than this, take over the lines of the rules.\n",
    [GENERATE_OUTPUT] =
        "# It replaces the filter table. The host's other needs (name server, PBX, clock) go before the rules, such as:\n"
        "#   -A OUTPUT -d 192.0.2.53 -p udp --dport 53 -j ACCEPT\n",
    [GENERATE_INPUT] = "# It replaces the filter table. Your own way in goes before the rules, or you are locked out:\n"
                       "#   -A INPUT -s 192.0.2.0/24 -p tcp --dport 22 -j ACCEPT\n"};

static void write_line(FILE *f, const struct openings *openings, const struct opening *o, enum addr_family family,
                       const char *chain)
{
    static const char *const MARKS[] = {[ADDR_NONE] = "", [ADDR_V4] = "-4 ", [ADDR_V6] = "-6 "};

    fprintf(f, "%s-A %s", MARKS[family], chain);
    if (*openings->from)
        fprintf(f, " -s %s", openings->from);
    if (o->n) {
        fputs(" -d ", f);
        generate_addresses(f, o, family, ",");
    }
    fprintf(f, " -p %s --dport %u", rules_protocol_name(o->protocol), (unsigned)o->port);
    if (o->last != o->port)
        fprintf(f, ":%u", (unsigned)o->last);
    /* what comes in at the relay may be exempt from tracking: thousands of streams have no use for it */
    if (o->n)
        fputs(" -m conntrack --ctstate NEW", f);
    if (o->rule)
        fprintf(f, " -m comment --comment \"turnpike rule %u\"", o->rule);
    fputs(" -j ACCEPT\n", f);
}

static void write_opening(FILE *f, const struct openings *openings, const struct opening *o, const char *chain)
{
    generate_comment(f, o, 0, false);
    if (!o->n) {
        write_line(f, openings, o, openings->from_family, chain);
        return;
    }
    for (int family = ADDR_V4; family <= ADDR_V6; family++) {
        if (generate_addresses(NULL, o, (enum addr_family)family, ""))
            write_line(f, openings, o, (enum addr_family)family, chain);
    }
}

void generate_iptables(FILE *f, const struct openings *openings, enum generate_way way)
{
    const char *chain = WAYS[way].chain;

    generate_head(f, openings, way);
    fputs("# Load it by iptables-restore, and by ip6tables-restore: both, or what is of the other family passes as it did.\n", f);
    fputs(HINTS[way], f);
    fputs("*filter\n", f);
    for (int w = 0; w < GENERATE_WAYS; w++)
        fprintf(f, ":%s %s [0:0]\n", WAYS[w].chain, w == (int)way ? "DROP" : "ACCEPT");
    fprintf(f, "-A %s -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n", chain);
    if (WAYS[way].loopback)
        fprintf(f, "-A %s %s -j ACCEPT\n", chain, WAYS[way].loopback);
    for (const char *const *type = WAYS[way].neighbours; type && *type; type++)
        fprintf(f, "-6 -A %s -p ipv6-icmp --icmpv6-type %s -j ACCEPT\n", chain, *type);
    if (WAYS[way].too_big)
        fprintf(f,
                "-4 -A %s -p icmp --icmp-type fragmentation-needed -j ACCEPT\n-6 -A %s -p ipv6-icmp --icmpv6-type packet-too-big "
                "-j ACCEPT\n",
                chain, chain);
    for (size_t i = 0; i < openings->n; i++)
        write_opening(f, openings, &openings->item[i], chain);
    fputs("COMMIT\n", f);
}
