#include "programs/show.h"

#include <jansson.h>
#include <stdio.h>
#include <time.h>

void show_add_text(json_t *object, const char *key, const char *text)
{
    if (text[0])
        json_object_set_new(object, key, json_string(text));
}

static void add_number(json_t *object, const char *key, int64_t n)
{
    if (n)
        json_object_set_new(object, key, json_integer(n));
}

json_t *show_token_json(const struct token *t)
{
    json_t *object = json_object();
    char scope[32];

    token_scope_write(t->scope, scope);
    show_add_text(object, "id", t->id);
    show_add_text(object, "owner", t->owner);
    show_add_text(object, "label", t->label);
    show_add_text(object, "tenant", t->tenant);
    show_add_text(object, "realm", t->realm);
    show_add_text(object, "scope", scope);
    show_add_text(object, "peers", t->peers);
    add_number(object, "issued_at", t->issued_at);
    add_number(object, "not_before", t->not_before);
    add_number(object, "expires_at", t->expires_at);
    add_number(object, "revoked_at", t->revoked_at);
    add_number(object, "max_allocations", t->max_allocations);
    add_number(object, "max_bps", t->max_bps);
    add_number(object, "max_bytes", t->max_bytes);
    return object;
}

void show_json(json_t *root)
{
    json_dumpf(root, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(root);
}

void show_time(char out[static 32], int64_t t, const char *none)
{
    time_t when = (time_t)t;
    struct tm tm;

    if (!t || !gmtime_r(&when, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, 32, "%s", none);
}

const char *show_state(const struct token *t, int64_t now)
{
    if (t->revoked_at)
        return "revoked";
    if (t->expires_at && t->expires_at <= now)
        return "expired";
    return t->not_before > now ? "not yet" : "valid";
}

void show_line(const char *name, const char *value)
{
    if (value[0])
        printf("%-16s %s\n", name, value);
}

static void print_number(const char *name, int64_t n)
{
    if (n)
        printf("%-16s %lld\n", name, (long long)n);
}

void show_token(const struct token *t, int64_t now)
{
    char text[32];

    show_line("id", t->id);
    show_line("state", show_state(t, now));
    show_line("owner", t->owner);
    show_line("label", t->label);
    show_line("tenant", t->tenant);
    show_line("realm", t->realm);
    token_scope_write(t->scope, text);
    show_line("scope", text);
    show_time(text, t->issued_at, "");
    show_line("issued", text);
    show_time(text, t->not_before, "");
    show_line("not before", text);
    show_time(text, t->expires_at, "never");
    show_line("expires", text);
    show_time(text, t->revoked_at, "");
    show_line("revoked", text);
    print_number("max allocations", t->max_allocations);
    print_number("max bps", t->max_bps);
    print_number("max bytes", t->max_bytes);
    show_line("allowed peers", t->peers);
}

void show_made(const struct token *t, int64_t now, const char *password, bool json)
{
    if (json) {
        json_t *root = show_token_json(t);

        show_add_text(root, "password", password);
        show_json(root);
        return;
    }
    show_token(t, now);
    show_line("password", password);
    if (password[0])
        puts("\nThe id is the user name. The password is not kept anywhere, and not shown again.");
}
