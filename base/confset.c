#include "base/confparts.h"

#include "base/err.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int conf_read_uint(uint64_t *out, const char *text, uint64_t min, uint64_t max)
{
    uint64_t v = 0;
    size_t n = strspn(text, "0123456789");

    if (n == 0 || text[n])
        return ERR_INVAL;
    for (size_t i = 0; i < n; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return ERR_RANGE;
        v = v * 10 + digit;
    }
    if (v < min || (max && v > max))
        return ERR_RANGE;
    *out = v;
    return 0;
}

int conf_read_bps(uint64_t *out, const char *text)
{
    char digits[24];
    uint64_t unit = 1, v;
    size_t n = strlen(text);
    int err;

    if (n == 0 || n >= sizeof(digits))
        return ERR_INVAL;
    switch (text[n - 1]) {
    case 'k':
    case 'K':
        unit = 1000;
        break;
    case 'M':
        unit = 1000000;
        break;
    case 'G':
        unit = 1000000000;
        break;
    default:
        break;
    }
    n -= unit > 1;
    memcpy(digits, text, n);
    digits[n] = '\0';
    err = conf_read_uint(&v, digits, 0, 0);
    if (err)
        return err;
    if (v > UINT64_MAX / unit)
        return ERR_RANGE;
    *out = v * unit;
    return 0;
}

int conf_read_bool(bool *out, const char *text)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2;
            return 0;
        }
    }
    return ERR_INVAL;
}

int conf_list_add(struct conf_list *l, const char *text)
{
    char **grown = realloc(l->item, (l->n + 1) * sizeof(*grown));
    if (!grown)
        return ERR_NOMEM;
    l->item = grown;
    grown[l->n] = strdup(text);
    if (!grown[l->n])
        return ERR_NOMEM;
    l->n++;
    return 0;
}

static int set_string(const struct conf_key *k, void *field, const char *value, char *expected, size_t cap)
{
    char **text = field;
    int err = k->check ? k->check(value, expected, cap) : 0;

    if (err)
        return err;
    *text = strdup(value);
    return *text ? 0 : ERR_NOMEM;
}

static int set_list(const struct conf_key *k, void *field, const char *value, char *expected, size_t cap)
{
    int err = k->check ? k->check(value, expected, cap) : 0;
    return err ? err : conf_list_add(field, value);
}

static int set_uint(const struct conf_key *k, void *field, const char *value, char *expected, size_t cap)
{
    uint64_t v;
    int err = conf_read_uint(&v, value, k->min, k->max);

    if (err && k->max)
        snprintf(expected, cap, "a number from %" PRIu64 " to %" PRIu64, k->min, k->max);
    else if (err)
        snprintf(expected, cap, "a number, at least %" PRIu64, k->min);
    else
        memcpy(field, &v, sizeof(v));
    return err;
}

static int set_port(const struct conf_key *k, void *field, const char *value, char *expected, size_t cap)
{
    uint64_t v;
    uint16_t port;
    int err = conf_read_uint(&v, value, 0, UINT16_MAX);

    (void)k;
    if (err) {
        snprintf(expected, cap, "a port from 0 to 65535");
        return err;
    }
    port = (uint16_t)v;
    memcpy(field, &port, sizeof(port));
    return 0;
}

static int set_bool(const struct conf_key *k, void *field, const char *value, char *expected, size_t cap)
{
    bool v;
    int err = conf_read_bool(&v, value);

    (void)k;
    if (err)
        snprintf(expected, cap, "yes or no");
    else
        memcpy(field, &v, sizeof(v));
    return err;
}

static int set_bps(const struct conf_key *k, void *field, const char *value, char *expected, size_t cap)
{
    uint64_t v;
    int err = conf_read_bps(&v, value);

    if (!err && (v < k->min || (k->max && v > k->max)))
        err = ERR_RANGE;
    if (err && k->max)
        snprintf(expected, cap, "bits per second such as 500k, 20M or 1G, from %" PRIu64 " to %" PRIu64, k->min, k->max);
    else if (err)
        snprintf(expected, cap, "bits per second such as 500k, 20M or 1G");
    else
        memcpy(field, &v, sizeof(v));
    return err;
}

static int set_choice(const struct conf_key *k, void *field, const char *value, char *expected, size_t cap)
{
    size_t len = 0;

    for (unsigned i = 0; k->choices[i]; i++) {
        if (strcmp(value, k->choices[i]) == 0) {
            memcpy(field, &i, sizeof(i));
            return 0;
        }
    }
    for (unsigned i = 0; k->choices[i] && len < cap; i++)
        len += (size_t)snprintf(expected + len, cap - len, "%s%s", i ? ", " : "one of ", k->choices[i]);
    return ERR_INVAL;
}

static int set_custom(const struct conf_key *k, void *field, const char *value, char *expected, size_t cap)
{
    return k->set(field, value, expected, cap);
}

static const struct {
    size_t size; /* of the field; 0: the caller's own affair */
    int (*set)(const struct conf_key *k, void *field, const char *value, char *expected, size_t cap);
    const char *meta; /* in the help */
} types[] = {
    [CONF_STRING] = {sizeof(char *), set_string, "=TEXT"},
    [CONF_LIST] = {sizeof(struct conf_list), set_list, "=TEXT"},
    [CONF_UINT] = {sizeof(uint64_t), set_uint, "=N"},
    [CONF_PORT] = {sizeof(uint16_t), set_port, "=PORT"},
    [CONF_BOOL] = {sizeof(bool), set_bool, ""},
    [CONF_BPS] = {sizeof(uint64_t), set_bps, "=BPS"},
    [CONF_CHOICE] = {sizeof(unsigned), set_choice, "="},
    [CONF_CUSTOM] = {0, set_custom, "=TEXT"},
};

bool confset_fits(const struct conf_key *k)
{
    return (k->type == CONF_CUSTOM) == (k->set != NULL) && (k->type == CONF_CHOICE) == (k->choices != NULL) &&
           (k->type == CONF_CUSTOM || k->size == types[k->type].size);
}

int confset(const struct conf_key *k, void *target, const char *value, char *expected, size_t cap)
{
    /* A custom setter gets the struct, because its value may go to more than one field. */
    void *field = k->type == CONF_CUSTOM ? target : (char *)target + k->offset;

    snprintf(expected, cap, "another value");
    return types[k->type].set(k, field, value, expected, cap);
}

static void free_text(char *text, bool secret)
{
    if (text && secret)
        explicit_bzero(text, strlen(text));
    free(text);
}

void conf_release(const struct conf_table *table, void *target)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct conf_key *k = &table->keys[i];
        void *field = (char *)target + k->offset;
        if (k->type == CONF_STRING) {
            char *text;
            memcpy(&text, field, sizeof(text));
            free_text(text, k->flags & CONF_SECRET);
            memset(field, 0, sizeof(text));
        } else if (k->type == CONF_LIST) {
            struct conf_list *l = field;
            for (size_t j = 0; j < l->n; j++)
                free_text(l->item[j], k->flags & CONF_SECRET);
            free(l->item);
            *l = (struct conf_list){0};
        }
    }
}

static void help_left(const struct conf_table *table, const struct conf_key *k, char *out, size_t cap)
{
    size_t len;

    if (k->flags & CONF_SECRET) {
        len = (size_t)snprintf(out, cap, "%s%s", table->env_prefix ? table->env_prefix : "", k->name);
        for (size_t i = 0; i < len && i < cap; i++)
            out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
        return;
    }
    len = (size_t)snprintf(out, cap, "--%s%s", k->name, types[k->type].meta);
    for (size_t i = 0; k->choices && k->choices[i] && len < cap; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? "|" : "", k->choices[i]);
}

void conf_help(const struct conf_table *table, FILE *out)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct conf_key *k = &table->keys[i];
        char left[128];

        help_left(table, k, left, sizeof(left));
        fprintf(out, "  %-34s %s", left, k->help ? k->help : "");
        if (k->preset && *k->preset)
            fprintf(out, " (default %s)", k->preset);
        if (k->type == CONF_LIST || k->flags & CONF_REPEAT)
            fputs(" (may repeat)", out);
        fputc('\n', out);
    }
}
