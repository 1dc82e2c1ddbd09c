/*
 * Purpose:  structured log lines with stable event names, as logfmt or JSON.
 * Owner:    any thread may log; one thread writes. A full queue drops lines and counts them: logging never blocks.
 * Lifetime: log_start to log_stop; before and after, lines go straight to standard error, unless a writer hangs there.
 * Callers:  the edges (relay/worker, programs/). Library code returns errors instead.
 * RFC:      3339 (time stamps).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_config {
    enum log_level level;
    enum log_format format;
    const char *file; /* NULL: standard error */
};

/* A field of a line. Values are escaped: no byte that a stranger sent can break a line or forge a field. */
struct log_field {
    const char *key;
    enum { LOG_F_STR, LOG_F_BYTES, LOG_F_INT, LOG_F_ADDR, LOG_F_ERR } kind;
    const void *p;
    size_t len;
    int64_t i;
};

#define LOG_STR(k, v)      ((struct log_field){.key = (k), .kind = LOG_F_STR, .p = (v)})
#define LOG_BYTES(k, v, n) ((struct log_field){.key = (k), .kind = LOG_F_BYTES, .p = (v), .len = (n)})
#define LOG_INT(k, v)      ((struct log_field){.key = (k), .kind = LOG_F_INT, .i = (int64_t)(v)})
#define LOG_ADDR(k, v)     ((struct log_field){.key = (k), .kind = LOG_F_ADDR, .p = (v)})
#define LOG_ERR(k, v)      ((struct log_field){.key = (k), .kind = LOG_F_ERR, .i = (v)})

/* A negated errno when the file cannot be opened or no thread started (-ENXIO: a FIFO that nobody reads; never waits for a reader);
 * ERR_EXIST when it runs already, ERR_AGAIN while the writer of an earlier log_stop still hangs in its write. The file is opened
 * for appending, mode 0640. From log_start to log_stop the three calls here belong to one thread. */
int log_start(const struct log_config *config);
/* Writes what is queued (bounded wait of one second: then a reader that does not read loses the rest), then stops the thread. */
void log_stop(void);
/* Reopens the file (after rotation) and takes the new level and format. On a negated errno nothing has changed. */
int log_reconfigure(const struct log_config *config);
bool log_enabled(enum log_level level);
/* Lines dropped since the process began: the queue was full, the file took no more, or a writer hangs on standard error. When room
 * returns, a line log_lines_dropped tells how many since log_start. */
uint64_t log_dropped(void);
/* Parses "error", "warning", "info", "debug", in any case (also "warn", and syslog's names and numbers); ERR_INVAL. */
int log_level_parse(enum log_level *out, const char *text);

/* "error", "warning", "info", "debug". */
const char *log_level_name(enum log_level level);

enum {
    LOG_LINE_MAX = 4096,      /* bytes of a line with its newline; what is longer is cut, and says truncated=true */
    LOG_QUEUE_BYTES = 524288, /* the queue: some 2,500 lines of 200 bytes, a second's worth at the rate that strangers can cause */
};

/* Formats one line with its newline and returns its length; no NUL at the end. `unix_ms` is the wall clock in milliseconds. Text is
 * quoted and escaped as JSON does it, in both formats; a byte that is not UTF-8 becomes U+FFFD. For log_write and for tests. */
size_t log_line(char out[static LOG_LINE_MAX], enum log_format format, int64_t unix_ms, enum log_level level, const char *event,
                const struct log_field *fields, size_t n);

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);

/* LOG(LOG_INFO, "allocation_created", LOG_STR("user", name), LOG_ADDR("relayed", &a)); a line needs at least one field. */
#define LOG(level, event, ...)                                                                                                     \
    do {                                                                                                                           \
        if (log_enabled(level)) {                                                                                                  \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                                                  \
            log_write((level), (event), log_fields_, sizeof(log_fields_) / sizeof(log_fields_[0]));                                \
        }                                                                                                                          \
    } while (0)

#endif
