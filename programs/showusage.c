#include "programs/showusage.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/usage.h"
#include "base/err.h"

enum {
    MS_PER_S = 1000,
    HOURS_SHOWN_S = TOKENSTORE_DAY_S,
    DAYS_SHOWN_S = 30 * TOKENSTORE_DAY_S,
};

int showusage_period(struct tokenstore_period *out, const char *owner, const char *by, int64_t since, int64_t now)
{
    int64_t kept;

    *out = (struct tokenstore_period){.owner = owner, .until = now + 1};
    if (!by)
        return 0;
    if (strcmp(by, "hour") == 0)
        out->span = TOKENSTORE_HOUR;
    else if (strcmp(by, "day") == 0)
        out->span = TOKENSTORE_DAY;
    else
        return ERR_INVAL;
    kept = now - (out->span == TOKENSTORE_HOUR ? TOKENSTORE_HOURS_S : TOKENSTORE_DAYS_S);
    if (!since)
        since = now - (out->span == TOKENSTORE_HOUR ? HOURS_SHOWN_S : DAYS_SHOWN_S);
    out->since = since > kept ? since : kept;
    return 0;
}

/* ---- JSON. ---- */

void showusage_add(json_t *object, const struct auth_used *used)
{
    for (unsigned i = 0; i < AUTH_USED_N; i++)
        json_object_set_new(object, usage_name(i), json_integer((json_int_t)used->n[i]));
}

static json_t *json_of(const struct tokenstore_usage *u)
{
    json_t *object = json_object();

    json_object_set_new(object, "owner", json_string(u->owner));
    json_object_set_new(object, "label", json_string(u->label));
    if (u->from)
        json_object_set_new(object, "from", json_integer(u->from));
    showusage_add(object, &u->used);
    return object;
}

/* ---- Lines. ---- */

void showusage_lines(const struct auth_used *used)
{
    static const char *const NAMES[] = {
        [AUTH_USED_BYTES_UP] = "bytes up",         [AUTH_USED_BYTES_DOWN] = "bytes down",   [AUTH_USED_PACKETS_UP] = "packets up",
        [AUTH_USED_PACKETS_DOWN] = "packets down", [AUTH_USED_ALLOCATIONS] = "allocations", [AUTH_USED_MS] = "seconds"};

    for (int i = 0; i < AUTH_USED_N && used->n[AUTH_USED_ALLOCATIONS]; i++)
        printf("%-16s %llu\n", NAMES[i], (unsigned long long)used->n[i] / (i == AUTH_USED_MS ? MS_PER_S : 1));
}

struct listing {
    const struct showusage_query *query;
    json_t *array; /* NULL: lines */
    size_t shown;
};

static void print_head(bool times)
{
    printf("%-20s  %-20s  ", "OWNER", "LABEL");
    if (times)
        printf("%-16s  ", "FROM");
    printf("%11s  %10s  %14s  %14s  %16s  %16s\n", "ALLOCATIONS", "SECONDS", "PACKETS UP", "PACKETS DOWN", "BYTES UP",
           "BYTES DOWN");
}

static void print_usage(const struct tokenstore_usage *u)
{
    const uint64_t *n = u->used.n;
    time_t from = (time_t)u->from;
    char text[32] = "";
    struct tm tm;

    printf("%-20s  %-20s  ", u->owner, u->label);
    if (u->from && gmtime_r(&from, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%MZ", &tm))
        printf("%-16s  ", text);
    printf("%11llu  %10llu  %14llu  %14llu  %16llu  %16llu\n", (unsigned long long)n[AUTH_USED_ALLOCATIONS],
           (unsigned long long)n[AUTH_USED_MS] / MS_PER_S, (unsigned long long)n[AUTH_USED_PACKETS_UP],
           (unsigned long long)n[AUTH_USED_PACKETS_DOWN], (unsigned long long)n[AUTH_USED_BYTES_UP],
           (unsigned long long)n[AUTH_USED_BYTES_DOWN]);
}

static bool show(void *ctx, const struct tokenstore_usage *u)
{
    struct listing *l = ctx;

    if (l->query->label && strcmp(l->query->label, u->label) != 0)
        return true;
    if (l->array) {
        json_array_append_new(l->array, json_of(u));
        return true;
    }
    if (!l->shown++)
        print_head(l->query->period.span != TOKENSTORE_ALL);
    print_usage(u);
    return true;
}

int showusage(struct tokenstore *s, const struct showusage_query *q)
{
    struct listing l = {.query = q, .array = q->json ? json_array() : NULL};
    int err = tokenstore_usage(s, &q->period, show, &l);

    if (!err && l.array) {
        json_dumpf(l.array, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    if (!err && !l.array && !l.shown)
        puts("Nothing has been used.");
    json_decref(l.array);
    return err;
}
