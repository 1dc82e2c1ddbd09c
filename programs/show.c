#include "programs/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COLUMNS_MAX = 16 };

void show_json(json_t *root, bool compact)
{
    json_dumpf(root, stdout, compact ? JSON_COMPACT : JSON_INDENT(1));
    putchar('\n');
    json_decref(root);
}

/* ---- Cells. ---- */

void show_time(char out[static SHOW_TIME_MAX], int64_t t, const char *none)
{
    time_t when = (time_t)t;
    struct tm tm;

    if (!t || !gmtime_r(&when, &tm) || !strftime(out, SHOW_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, SHOW_TIME_MAX, "%s", none);
}

static void write_span(FILE *f, int64_t s)
{
    static const struct {
        char unit;
        int64_t seconds;
    } UNITS[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    size_t i = 0;

    while (i < 3 && s < UNITS[i].seconds)
        i++;
    fprintf(f, "%lld%c", (long long)(s / UNITS[i].seconds), UNITS[i].unit);
    if (i < 3 && s % UNITS[i].seconds / UNITS[i + 1].seconds)
        fprintf(f, " %lld%c", (long long)(s % UNITS[i].seconds / UNITS[i + 1].seconds), UNITS[i + 1].unit);
}

static void write_short(FILE *f, double n)
{
    static const char UNITS[] = " kMGTPE";
    size_t i = 0;

    while (n >= 1000 && UNITS[i + 1]) {
        n /= 1000;
        i++;
    }
    if (i)
        fprintf(f, "%.1f%c", n, UNITS[i]);
    else
        fprintf(f, "%.0f", n);
}

static void write_array(FILE *f, const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        char *text = show_text(json_array_get(array, i), SHOW_TEXT, "");

        fprintf(f, "%s%s", i ? ", " : "", text ? text : "");
        free(text);
    }
}

static void write_plain(FILE *f, const json_t *v)
{
    if (json_is_string(v))
        fputs(json_string_value(v), f);
    else if (json_is_integer(v))
        fprintf(f, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        fprintf(f, "%g", json_real_value(v));
    else if (json_is_boolean(v))
        fputs(json_is_true(v) ? "yes" : "no", f);
    else if (json_is_array(v))
        write_array(f, v);
}

static void write_cell(FILE *f, const json_t *v, enum show_kind kind)
{
    char time[SHOW_TIME_MAX];

    if (!json_is_number(v)) {
        write_plain(f, v);
        return;
    }
    switch (kind) {
    case SHOW_TEXT:
    case SHOW_NUMBER:
        write_plain(f, v);
        break;
    case SHOW_TIME:
        show_time(time, json_integer_value(v), "");
        fputs(time, f);
        break;
    case SHOW_SPAN:
        write_span(f, json_integer_value(v));
        break;
    case SHOW_SHORT:
        write_short(f, json_number_value(v));
        break;
    case SHOW_SHARE:
        fprintf(f, "%.1f%%", 100 * json_number_value(v));
        break;
    }
}

/* Names come from strangers: what would move a terminal's cursor is shown as '?' (C0 and C1 controls). */
static void disarm(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < ' ' || *p == 0x7F)
            *p = '?';
        else if (*p == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0)
            p[0] = p[1] = '?';
}

const char *show_member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

char *show_text(const json_t *value, enum show_kind kind, const char *none)
{
    char *text = NULL;
    size_t size;
    FILE *f;

    if (!value || json_is_null(value))
        return strdup(none ? none : "");
    f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    write_cell(f, value, kind);
    if (fclose(f)) {
        free(text);
        return NULL;
    }
    disarm(text);
    return text;
}

static const json_t *member(const json_t *object, const char *key)
{
    char name[64];

    while (object && *key) {
        size_t n = strcspn(key, ".");

        snprintf(name, sizeof(name), "%.*s", (int)n, key);
        object = json_object_get(object, name);
        key += n + (key[n] == '.');
    }
    return object;
}

/* ---- Tables. ---- */

/* Characters, of which UTF-8 has several bytes each. */
static size_t width_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static bool is_right(enum show_kind kind)
{
    return kind == SHOW_NUMBER || kind == SHOW_SHORT || kind == SHOW_SHARE;
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
    int pad = (int)(width - width_of(text));

    if (right)
        printf("%*s%s", pad, "", text);
    else
        printf("%s%*s", text, last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

void show_table(const json_t *items, const struct show_column *columns, const char *none)
{
    size_t n = 0, rows = json_array_size(items), width[COLUMNS_MAX];
    char **cell;

    while (n < COLUMNS_MAX && columns[n].title)
        n++;
    if (!rows)
        puts(none);
    cell = calloc(rows * n + 1, sizeof(*cell));
    for (size_t k = 0; k < n && cell; k++) {
        width[k] = width_of(columns[k].title);
        for (size_t i = 0; i < rows; i++) {
            char *text = show_text(member(json_array_get(items, i), columns[k].key), columns[k].kind, columns[k].none);

            if (text && width_of(text) > width[k])
                width[k] = width_of(text);
            cell[i * n + k] = text;
        }
    }
    for (size_t k = 0; k < n && cell && rows; k++)
        print_cell(columns[k].title, width[k], is_right(columns[k].kind), k + 1 == n);
    for (size_t i = 0; i < rows * n && cell; i++) {
        print_cell(cell[i] ? cell[i] : "", width[i % n], is_right(columns[i % n].kind), i % n + 1 == n);
        free(cell[i]);
    }
    free(cell);
}

/* ---- Lines. ---- */

static void print_line(const char *name, const char *value)
{
    if (value[0])
        printf("%-16s %s\n", name, value);
}

void show_line(const char *name, const char *value)
{
    char *text = strdup(value);

    if (text) {
        disarm(text);
        print_line(name, text);
    }
    free(text);
}

void show_lines(const json_t *object, const struct show_column *columns)
{
    for (; columns->title; columns++) {
        char *text = show_text(member(object, columns->key), columns->kind, columns->none);

        if (text)
            print_line(columns->title, text);
        free(text);
    }
}
