/* nftables: a table of its own, which a second load replaces. */
#include "probe/generateparts.h"

static const struct {
    const char *hook, *loopback; /* what comes before all rules */
    const char *neighbours;      /* RFC 4890 section 4.4: without these a host has no IPv6 */
    bool too_big;                /* ICMP about what is exempt from tracking is `related` to nothing, and goes by itself */
} WAYS[GENERATE_WAYS] = {
    [GENERATE_FORWARD] = {"forward", NULL, NULL, false},
    [GENERATE_OUTPUT] =
        {"output", "oifname \"lo\"",
         "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report }",
         false},
    [GENERATE_INPUT] = {"input", "iifname \"lo\"",
                        "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query }", true}};

/* What else the host may need: whoever loads this decides. */
static const char *const HINTS[GENERATE_WAYS] = {
    [GENERATE_FORWARD] =
        "# In a firewall that carries more than this, take over the lines of the rules: two tables that drop don't add up.\n",
    [GENERATE_OUTPUT] = "# The host's other needs (name server, PBX, clock) go before the rules, such as: ip daddr 192.0.2.53 udp "
                        "dport 53 accept\n",
    [GENERATE_INPUT] =
        "# Your own way in goes before the rules, or you are locked out: ip saddr 192.0.2.0/24 tcp dport 22 accept\n"};

static void write_match(FILE *f, const struct opening *o, enum addr_family family, const char *from)
{
    const char *ip = family == ADDR_V6 ? "ip6" : "ip";
    size_t n = generate_addresses(NULL, o, family, "");

    fputs("        ", f);
    if (*from)
        fprintf(f, "%s saddr %s ", ip, from);
    if (n) {
        fprintf(f, "%s daddr %s", ip, n > 1 ? "{ " : "");
        generate_addresses(f, o, family, ", ");
        fputs(n > 1 ? " } " : " ", f);
    }
    fprintf(f, "%s dport %u", rules_protocol_name(o->protocol), (unsigned)o->port);
    if (o->last != o->port)
        fprintf(f, "-%u", (unsigned)o->last);
    /* what comes in at the relay may be exempt from tracking: thousands of streams have no use for it */
    fputs(o->n ? " ct state new accept" : " accept", f);
    if (o->rule)
        fprintf(f, " comment \"turnpike rule %u\"", o->rule);
    fputc('\n', f);
}

static void write_opening(FILE *f, const struct openings *openings, const struct opening *o)
{
    generate_comment(f, o, 8, false);
    if (!o->n) {
        write_match(f, o, openings->from_family, openings->from);
        return;
    }
    for (int family = ADDR_V4; family <= ADDR_V6; family++) {
        if (generate_addresses(NULL, o, (enum addr_family)family, ""))
            write_match(f, o, (enum addr_family)family, openings->from);
    }
}

void generate_nftables(FILE *f, const struct openings *openings, enum generate_way way)
{
    fputs("#!/usr/sbin/nft -f\n", f);
    generate_head(f, openings, way);
    fputs(HINTS[way], f);
    fprintf(f,
            "table inet turnpike\n"
            "delete table inet turnpike\n"
            "table inet turnpike {\n"
            "    chain %s {\n"
            "        type filter hook %s priority filter; policy drop;\n"
            "        ct state established,related accept\n",
            WAYS[way].hook, WAYS[way].hook);
    if (WAYS[way].loopback)
        fprintf(f, "        %s accept\n", WAYS[way].loopback);
    if (WAYS[way].neighbours && openings_family(openings, ADDR_V6))
        fprintf(f, "        %s accept\n", WAYS[way].neighbours);
    if (WAYS[way].too_big)
        fputs("        icmp type destination-unreachable icmp code frag-needed accept\n"
              "        icmpv6 type packet-too-big accept\n",
              f);
    for (size_t i = 0; i < openings->n; i++)
        write_opening(f, openings, &openings->item[i]);
    fputs("    }\n}\n", f);
}
