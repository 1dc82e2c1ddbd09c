/*
 * Drives programs/storeops on a real store: `storedrive redis URL | embedded DIR` reads a request a line, as JSON:
 * {"operation":"putUser","id":"carol","query":{},"body":{},"if_match":"…"}, and answers each with {"status","body","detail","secret"}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "programs/storeops.h"

static int find(enum admin_operation *out, const char *name)
{
    for (int i = 0; i < ADMIN_OPERATIONS_N; i++)
        if (strcmp(admin_operation_name((enum admin_operation)i), name) == 0) {
            *out = (enum admin_operation)i;
            return 0;
        }
    return -1;
}

static void answer(struct storeops *s, const json_t *line)
{
    struct admin_request r = {.caller = "test", .now = (int64_t)time(NULL)};
    struct admin_answer a = {0};
    json_t *none = json_object(), *said;

    r.id = json_string_value(json_object_get(line, "id"));
    r.query = json_object_get(line, "query");
    r.body = json_object_get(line, "body");
    r.if_match = json_string_value(json_object_get(line, "if_match"));
    if (!r.query)
        r.query = none;
    if (find(&r.operation, json_string_value(json_object_get(line, "operation"))) == 0)
        storeops_run(s, &r, &a);
    said = json_pack("{s:i,s:O?,s:s,s:b}", "status", a.status, "body", a.body, "detail", a.detail, "secret", a.secret);
    json_dumpf(said, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(said);
    json_decref(none);
    admin_answer_clear(&a);
}

int main(int argc, char **argv)
{
    static const char *const URIS[] = {"stun:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=udp"};
    struct storeops_config c = {
        .prefix = "tp:", .realm = "example.org", .node = "drive", .separator = ':', .uris = URIS, .nuris = 2};
    struct redis_target target;
    struct storeops *s;
    const char *why;
    char text[65536];
    json_t *line;

    if (argc != 3)
        return 2;
    if (strcmp(argv[1], "redis") == 0) {
        if (redisurl_parse(&target, argv[2], &why))
            return 2;
        c.redis = &target;
    }
    c.state_dir = argv[2];
    if (storeops_new(&s, &c))
        return 1;
    while (fgets(text, sizeof(text), stdin)) {
        line = json_loads(text, 0, NULL);
        answer(s, line);
        json_decref(line);
    }
    storeops_free(&s);
    return 0;
}
