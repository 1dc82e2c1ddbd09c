#include "admin/metric.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct metric_writer {
    FILE *out; /* into memory */
    char *text;
    size_t len;
    bool openmetrics;
    const char *family;
    enum metric_type type;
};

static const char PREFIX[] = "turnpike_";

int metric_open(struct metric_writer **out, bool openmetrics)
{
    struct metric_writer *w = calloc(1, sizeof(*w));

    *out = NULL;
    if (!w)
        return ERR_NOMEM;
    w->openmetrics = openmetrics;
    w->out = open_memstream(&w->text, &w->len);
    if (!w->out) {
        free(w);
        return ERR_NOMEM;
    }
    *out = w;
    return 0;
}

char *metric_close(struct metric_writer **wp, size_t *len)
{
    struct metric_writer *w = *wp;
    char *text;
    bool whole;

    *wp = NULL;
    if (w->openmetrics)
        fputs("# EOF\n", w->out);
    whole = !ferror(w->out);
    whole = fclose(w->out) == 0 && whole;
    text = w->text;
    *len = w->len;
    free(w);
    if (!whole) {
        free(text);
        return NULL;
    }
    return text;
}

const char *metric_type_name(bool openmetrics)
{
    return openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
}

/* OpenMetrics names a counter's family without the suffix that its values have. */
void metric_family(struct metric_writer *w, const char *name, enum metric_type type, const char *help)
{
    static const char *const TYPES[] = {[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    const char *suffix = type == METRIC_COUNTER && !w->openmetrics ? "_total" : "";

    w->family = name;
    w->type = type;
    fprintf(w->out, "# HELP %s%s%s %s\n# TYPE %s%s%s %s\n", PREFIX, name, suffix, help, PREFIX, name, suffix, TYPES[type]);
}

/* Label values may hold any UTF-8; these three are escaped in both formats. */
static void escaped(FILE *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            fputc('\\', out);
        if (*value == '\n')
            fputs("\\n", out);
        else
            fputc(*value, out);
    }
}

/* "turnpike_NAME SUFFIX {a="b",c="d"} ". `extra` comes last; NULL: none. */
static void name_of(struct metric_writer *w, const char *suffix, const struct metric_label *labels, const char *extra,
                    const char *extra_value)
{
    const char *before = "{";

    fprintf(w->out, "%s%s%s", PREFIX, w->family, suffix);
    for (; labels && labels->name; labels++) {
        fprintf(w->out, "%s%s=\"", before, labels->name);
        escaped(w->out, labels->value);
        fputc('"', w->out);
        before = ",";
    }
    if (extra) {
        fprintf(w->out, "%s%s=\"%s\"", before, extra, extra_value);
        before = ",";
    }
    fputs(*before == ',' ? "} " : " ", w->out);
}

static const char *suffix_of(const struct metric_writer *w)
{
    return w->type == METRIC_COUNTER ? "_total" : "";
}

/* The shortest text that reads as the same number. */
static const char *number_text(char text[static 40], double value)
{
    snprintf(text, 40, "%.15g", value);
    if (strtod(text, NULL) != value)
        snprintf(text, 40, "%.17g", value);
    return text;
}

/* OpenMetrics has its bounds with a point. */
static void bound_text(const struct metric_writer *w, char text[static 40], double bound)
{
    number_text(text, bound);
    if (w->openmetrics && !strpbrk(text, ".e"))
        snprintf(text + strlen(text), 3, ".0");
}

void metric_value(struct metric_writer *w, const struct metric_label *labels, double value)
{
    char text[40];

    name_of(w, suffix_of(w), labels, NULL, NULL);
    fprintf(w->out, "%s\n", number_text(text, value));
}

void metric_count(struct metric_writer *w, const struct metric_label *labels, uint64_t value)
{
    name_of(w, suffix_of(w), labels, NULL, NULL);
    fprintf(w->out, "%" PRIu64 "\n", value);
}

void metric_histogram(struct metric_writer *w, const struct metric_label *labels, const double *bound, const uint64_t *count,
                      size_t n, double sum)
{
    uint64_t all = 0;
    char text[40];

    for (size_t i = 0; i <= n; i++) {
        all += count[i];
        if (i < n)
            bound_text(w, text, bound[i]);
        name_of(w, "_bucket", labels, "le", i < n ? text : "+Inf");
        fprintf(w->out, "%" PRIu64 "\n", all);
    }
    name_of(w, "_sum", labels, NULL, NULL);
    fprintf(w->out, "%s\n", number_text(text, sum));
    name_of(w, "_count", labels, NULL, NULL);
    fprintf(w->out, "%" PRIu64 "\n", all);
}
