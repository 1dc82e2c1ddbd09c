/*
 * Purpose:  writes metrics as Prometheus text or OpenMetrics.
 * Owner:    any thread; a writer belongs to one.
 * Lifetime: metric_open to metric_close.
 * Callers:  programs/ fills it, admin/ sends it.
 * RFC:      none (Prometheus exposition format 0.0.4, OpenMetrics 1.0).
 */
#ifndef ADMIN_METRIC_H
#define ADMIN_METRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metric_writer;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* ERR_NOMEM. */
int metric_open(struct metric_writer **out, bool openmetrics);
/* What was written, malloc'ed, with its length; NULL: there was no memory. Frees and nulls the writer. */
char *metric_close(struct metric_writer **w, size_t *len);
/* The media type of what is written. */
const char *metric_type_name(bool openmetrics);

/* Begins a family: all values up to the next one are its. `name` without the prefix "turnpike_" and, of a counter, without "_total". */
void metric_family(struct metric_writer *w, const char *name, enum metric_type type, const char *help);

/* A label and its value, which is escaped. A list ends with {NULL}. */
struct metric_label {
    const char *name, *value;
};
#define METRIC_LABELS(...) ((const struct metric_label[]){__VA_ARGS__, {NULL, NULL}})
/* `labels` NULL: none. */
void metric_value(struct metric_writer *w, const struct metric_label *labels, double value);
void metric_count(struct metric_writer *w, const struct metric_label *labels, uint64_t value);
/* `count[i]` observations at most `bound[i]` and above the one before; `count[n]` those beyond; `sum` of all. */
void metric_histogram(struct metric_writer *w, const struct metric_label *labels, const double *bound, const uint64_t *count,
                      size_t n, double sum);

#endif
