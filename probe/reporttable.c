#include "probe/reporttable.h"

enum {
    RULE_MAX = 64,   /* bytes of a rule's name in the table, and its NUL */
    RULE_WIDTH = 30, /* columns of it: a role's; a long host name takes what it needs */
};

/* "office -> connect tcp/443". */
static const char *name_of(const struct report_line *l, char out[static RULE_MAX])
{
    const struct rule *r = l->rule;

    snprintf(out, RULE_MAX, "%s -> %.30s %s/%u", rules_source_place(r->source),
             r->target == RULES_HOST ? r->host : rules_target_name(r->target), rules_protocol_name(r->protocol),
             (unsigned)(l->port ? l->port : r->port));
    return out;
}

static void print_line(const struct report_line *l, FILE *out)
{
    char name[RULE_MAX];

    fprintf(out, "%s %4u  %-*s  %s\n", report_verdict_name(l->verdict), l->rule->number, RULE_WIDTH, name_of(l, name), l->evidence);
    if (l->code == CODE_NONE)
        return;
    fprintf(out, "           %s: %s: %s\n", report_stage_name(l->stage), codes_name(l->code), codes_text(l->code));
    if (*l->add)
        fprintf(out, "           add: %s\n", l->add);
    else
        fprintf(out, "           cure: %s\n", codes_cure(l->code));
}

static unsigned count(const struct report *r, enum report_verdict verdict)
{
    unsigned n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += r->line[i].verdict == verdict;
    return n;
}

void reporttable_print(const struct report *r, FILE *out)
{
    for (size_t i = 0; i < r->n; i++)
        print_line(&r->line[i], out);
    fprintf(out, "%zu of the rules of the %s in %u.%u s: %u pass, %u warn, %u fail, %u not tried.%s\n", r->n,
            rules_source_place(r->role), r->took_ms / 1000, r->took_ms % 1000 / 100, count(r, REPORT_PASS), count(r, REPORT_WARN),
            count(r, REPORT_FAIL), count(r, REPORT_SKIP), r->quick ? " Quick: short waits, and no idle time-outs." : "");
}
