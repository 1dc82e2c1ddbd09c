/* Windows: PowerShell for the firewall of the host itself. ASCII alone, because Windows PowerShell reads a file without a mark in the code page of the system, where what was a letter may be
 * a quotation mark, or swallow the end of its line. */
#include "probe/generateparts.h"

static void write_opening(FILE *f, const struct openings *openings, const struct opening *o, enum generate_way way)
{
    bool in = way == GENERATE_INPUT;
    const char *peer = in ? "Local" : "Remote";

    generate_comment(f, o, 0, true);
    fprintf(f, "New-NetFirewallRule -Group $group -DisplayName 'Turnpike ");
    if (o->rule)
        fprintf(f, "rule %u: ", o->rule);
    fprintf(f, "%s %s/%u", o->service, rules_protocol_name(o->protocol), (unsigned)o->port);
    fprintf(f, "' -Direction %s -Action Allow -Profile Any -Protocol %s", in ? "Inbound" : "Outbound",
            o->protocol == RULES_TCP ? "TCP" : "UDP");
    if (*openings->from)
        fprintf(f, " -%sAddress '%s'", in ? "Remote" : "Local", openings->from);
    if (o->n) {
        fputs(" -RemoteAddress '", f);
        generate_addresses(f, o, ADDR_NONE, "', '");
        fputc('\'', f);
    }
    fprintf(f, " -%sPort %u", peer, (unsigned)o->port);
    if (o->last != o->port)
        fprintf(f, "-%u", (unsigned)o->last);
    fputs(" | Out-Null\n", f);
}

void generate_windows(FILE *f, const struct openings *openings, enum generate_way way)
{
    bool in = way == GENERATE_INPUT;

    fprintf(f,
            "# %s\n"
            "# Written by turnpike-probe --generate. Names stand for the addresses that they had then.\n"
            "# Run it as an administrator; again: what it had before is replaced.\n"
            "$ErrorActionPreference = 'Stop'\n"
            "$group = 'Turnpike (%s)'\n"
            "Get-NetFirewallRule -Group $group -ErrorAction SilentlyContinue | Remove-NetFirewallRule\n",
            generate_purpose(openings), openings_side_name(openings->side));
    for (size_t i = 0; i < openings->n; i++)
        write_opening(f, openings, &openings->item[i], way);
    if (in)
        fputs("# Nothing else comes in that no other rule allows, which is how Windows begins:\n"
              "# Set-NetFirewallProfile -All -DefaultInboundAction Block\n",
              f);
    else
        fputs("# By itself Windows lets everything out, and these rules change nothing. Only where the host may send nothing else, "
              "its\n"
              "# domain controller, name server and PBX having rules of their own:\n"
              "# Set-NetFirewallProfile -All -DefaultOutboundAction Block\n",
              f);
}
