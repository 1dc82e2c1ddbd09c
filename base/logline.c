/* One log line as text: what a stranger sent stays inside its own quotes. */
#include "base/log.h"

#include "base/addr.h"
#include "base/err.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    TAIL_MAX = 32,                     /* bytes: the end of a line always fits: a closing quote, ,"truncated":true}, the newline */
    BODY_MAX = LOG_LINE_MAX - TAIL_MAX /* bytes of what may be cut */
};

struct line {
    char *p;
    size_t len;
    bool cut;
    bool json;
};

/* A closing quote may have taken the first byte of the tail: `len` may be above BODY_MAX. */
static bool fits(const struct line *l, size_t n)
{
    return l->len + n <= BODY_MAX;
}

/* All of it or nothing; after the first thing that did not fit, nothing. */
static void put(struct line *l, const char *s, size_t n)
{
    if (l->cut || !fits(l, n)) {
        l->cut = true;
        return;
    }
    memcpy(l->p + l->len, s, n);
    l->len += n;
}

/* Only with what is in TAIL_MAX. */
static void put_tail(struct line *l, const char *s)
{
    size_t n = strlen(s);
    memcpy(l->p + l->len, s, n);
    l->len += n;
}

/* Controls, line separators and what turns the direction of writing: nothing that a terminal or a viewer obeys. */
static bool must_escape(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x200e || cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff || cp == 0xfffd;
}

static void put_quoted(struct line *l, const uint8_t *s, size_t n)
{
    put(l, "\"", 1);
    if (l->cut)
        return;
    while (n && !l->cut) {
        char unit[8];
        uint32_t cp;
        size_t used = utf8_at(s, n, &cp);

        if (cp == '"' || cp == '\\') {
            unit[0] = '\\';
            unit[1] = (char)cp;
            put(l, unit, 2);
        } else if (cp == '\n' || cp == '\r' || cp == '\t') {
            put(l, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t", 2);
        } else if (must_escape(cp)) {
            snprintf(unit, sizeof(unit), "\\u%04x", (unsigned)cp & 0xffff);
            put(l, unit, 6);
        } else {
            put(l, (const char *)s, used);
        }
        s += used;
        n -= used;
    }
    put_tail(l, "\""); /* also when it was cut */
}

/* Bare only when every byte is a visible ASCII character without a meaning of its own: also a reader that splits at any kind of
 * blank that Unicode knows then finds our fields and no others. */
static bool is_bare(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '=' || s[i] == '\\')
            return false;
    }
    return n > 0;
}

/* A long bare text is quoted after all, because then it can be cut. */
static void put_text(struct line *l, const void *s, size_t n)
{
    if (!l->json && fits(l, n) && is_bare(s, n))
        put(l, s, n);
    else
        put_quoted(l, s, n);
}

/* Keys come from our own code. */
static void put_key(struct line *l, const char *key)
{
    put(l, l->json ? ",\"" : " ", l->json ? 2 : 1);
    put(l, key, strlen(key));
    put(l, l->json ? "\":" : "=", l->json ? 2 : 1);
}

static void put_value(struct line *l, const struct log_field *f)
{
    char text[ADDR_TEXT_MAX];
    const char *s = "";

    switch (f->kind) {
    case LOG_F_STR:
        s = f->p ? f->p : "";
        break;
    case LOG_F_BYTES:
        put_text(l, f->len ? f->p : "", f->len);
        return;
    case LOG_F_INT:
        snprintf(text, sizeof(text), "%" PRId64, f->i);
        put(l, text, strlen(text));
        return;
    case LOG_F_ADDR:
        if (f->p)
            s = addr_text(f->p, text);
        break;
    case LOG_F_ERR:
        s = err_str((int)f->i);
        break;
    }
    put_text(l, s, strlen(s));
}

static void put_time(struct line *l, int64_t unix_ms)
{
    char text[64];
    int64_t ms = unix_ms % 1000 + (unix_ms % 1000 < 0 ? 1000 : 0);
    time_t s = (time_t)((unix_ms - ms) / 1000);
    struct tm tm = {0};

    gmtime_r(&s, &tm);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec, (int)ms);
    put_text(l, text, strlen(text));
}

size_t log_line(char out[static LOG_LINE_MAX], enum log_format format, int64_t unix_ms, enum log_level level, const char *event,
                const struct log_field *fields, size_t n)
{
    static const char *const levels[] = {
        [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};
    struct line l = {.p = out, .json = format == LOG_JSON};

    if (l.json)
        put(&l, "{\"ts\":", 6);
    else
        put(&l, "ts=", 3);
    put_time(&l, unix_ms);
    put_key(&l, "level");
    put_text(&l, levels[level], strlen(levels[level]));
    put_key(&l, "event");
    put_text(&l, event, strlen(event));
    for (size_t i = 0; i < n; i++) {
        size_t before = l.len;
        put_key(&l, fields[i].key);
        if (!l.cut)
            put_value(&l, &fields[i]);
        if (l.cut) {
            /* Text is cut between two characters and closed; what has no end of its own is left out as a whole. */
            if (l.p[l.len - 1] != '"' || l.len - before < strlen(fields[i].key) + 5)
                l.len = before;
            break;
        }
    }
    if (l.cut)
        put_tail(&l, l.json ? ",\"truncated\":true" : " truncated=true");
    put_tail(&l, l.json ? "}\n" : "\n");
    return l.len;
}
