#include "probe/reportjunit.h"

#include <string.h>
#include <time.h>

#include "base/utf8.h"

/* XML 1.0 section 2.2: no reference makes these characters legal. */
static bool is_legal(uint32_t cp)
{
    return (cp >= ' ' && cp != 0x7F && cp != 0xFFFE && cp != 0xFFFF && cp != UTF8_REPLACEMENT) || cp == '\n' || cp == '\t';
}

static void escape(FILE *f, const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t left = strlen(text);
    uint32_t cp;

    while (left) {
        size_t n = utf8_at(p, left, &cp);

        /* blanks by number: an attribute's value would else be folded */
        if (strchr("&<>\"'\n\t", (int)*p))
            fprintf(f, "&#%u;", (unsigned)*p);
        else if (is_legal(cp))
            fwrite(p, 1, n, f); // NOLINT(cert-err33-c): the caller asks ferror
        else
            fputc('?', f);
        p += n;
        left -= n;
    }
}

static void attribute(FILE *f, const char *name, const char *value)
{
    fprintf(f, " %s=\"", name);
    escape(f, value);
    fputc('"', f);
}

/* ---- A rule. ---- */

static bool is_failure(const struct report_line *l, bool strict)
{
    return l->verdict == REPORT_FAIL || (strict && l->verdict == REPORT_WARN);
}

static void write_name(FILE *f, const struct report_line *l)
{
    char name[REPORT_ADD_MAX];

    snprintf(name, sizeof(name), "rule %u: %s -> %s %s/%u", l->rule->number, rules_source_place(l->rule->source),
             l->rule->target == RULES_HOST ? l->rule->host : rules_target_name(l->rule->target),
             rules_protocol_name(l->rule->protocol), (unsigned)(l->port ? l->port : l->rule->port));
    attribute(f, "name", name);
}

/* What a person reads behind the message. */
static void write_body(FILE *f, const struct report_line *l)
{
    fprintf(f, "%s at the stage '%s'\n", codes_name(l->code), report_stage_name(l->stage));
    escape(f, l->evidence);
    fprintf(f, "\nto do: ");
    escape(f, codes_cure(l->code));
    if (*l->add) {
        fputs("\nadd: ", f);
        escape(f, l->add);
    }
}

static void write_outcome(FILE *f, const struct report_line *l, bool strict)
{
    bool failed = is_failure(l, strict);

    if (l->verdict == REPORT_SKIP) {
        fputs("      <skipped", f);
        attribute(f, "message", l->evidence);
        fputs("/>\n", f);
    } else if (l->code != CODE_NONE) {
        if (failed) {
            fputs("      <failure", f);
            attribute(f, "type", codes_name(l->code));
            attribute(f, "message", codes_text(l->code));
            fputc('>', f);
        } else {
            fputs("      <system-out>warning: ", f);
        }
        write_body(f, l);
        fputs(failed ? "</failure>\n" : "</system-out>\n", f);
    } else if (*l->evidence) {
        fputs("      <system-out>", f);
        escape(f, l->evidence);
        fputs("</system-out>\n", f);
    }
}

static void write_case(FILE *f, const struct report *r, const struct report_line *l, bool strict)
{
    const struct report_measures *m = &l->measures;

    fputs("    <testcase", f);
    write_name(f, l);
    fprintf(f, " classname=\"turnpike-probe.%s\" time=\"%.3f\">\n", rules_source_place(r->role),
            (m->open_us > m->connect_us ? m->open_us : m->connect_us) / 1e6);
    write_outcome(f, l, strict);
    fputs("    </testcase>\n", f);
}

/* ---- All of them. ---- */

static void write_counts(FILE *f, const struct report *r, bool strict)
{
    size_t failures = 0, skipped = 0;

    for (size_t i = 0; i < r->n; i++) {
        failures += is_failure(&r->line[i], strict);
        skipped += r->line[i].verdict == REPORT_SKIP;
    }
    fprintf(f, " tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\" time=\"%.3f\"", r->n, failures, skipped,
            r->took_ms / 1e3);
}

void reportjunit_print(const struct report *r, bool strict, FILE *f)
{
    const time_t began = (time_t)r->began;
    char when[32] = "1970-01-01T00:00:00"; /* in UTC, without a zone: readers take no other form */
    struct tm tm;

    if (gmtime_r(&began, &tm) && !strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm))
        when[0] = '\0';
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"turnpike-probe\"", f);
    write_counts(f, r, strict);
    fprintf(f, ">\n  <testsuite name=\"firewall rules: %s\" timestamp=\"%s\"", rules_source_place(r->role), when);
    write_counts(f, r, strict);
    fputs(">\n", f);
    for (size_t i = 0; i < r->n; i++)
        write_case(f, r, &r->line[i], strict);
    fputs("  </testsuite>\n</testsuites>\n", f);
}
