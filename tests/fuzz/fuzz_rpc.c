/*
 * The desk of the connect service with four clients, who may be phones and bridges of two tenants. Each line of the input is what happens:
 *   0 to 3   what the client says: the rest of the line; $c $s $k $p stand for the call, session, secret and check that anybody has heard of last
 *   p        the bridge of session $s is asked to check its rules, quickly
 *   oN cN    client N connects, its connection is gone
 *   tN       10^N ms pass
 *   i n      ICE servers come, or can't be had; w: they are waited for from now on, v: they come at once
 *   a b      from now on the store is asked, which b answers; d: it is away; e: all is known at once
 *   r x      alice's token is revoked; tokens end within a minute, from now on
 * What is judged: everything that a client hears is JSON-RPC within a message's size, answers what it has asked, once, and is of its own tenant; and what is
 * counted adds up; a check that is kept can be shown.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>

#include "connect/probes.h"
#include "connect/rpc.h"
#include "tests/unit/deskfake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 4, LINES_MAX = 400, TEXT_MAX = 32 };

/* The calls that somebody has heard of, and of which tenant he was: nobody of another one may. */
enum { CALLS_MAX = 64 };
static struct {
    char id[TEXT_MAX], tenant[TEXT_MAX];
} calls[CALLS_MAX];
static size_t ncalls;
static char call[TEXT_MAX], session[TEXT_MAX], secret[2 * TEXT_MAX], probe[TEXT_MAX];
static unsigned asked[CLIENTS];
static char tenant[CLIENTS][TEXT_MAX]; /* as their hellos were answered */

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void remember(char *out, size_t cap, const json_t *of, const char *name)
{
    const char *text = json_string_value(json_object_get(of, name));

    if (text)
        snprintf(out, cap, "%s", text);
}

static void check_call(int i, const char *id)
{
    size_t n = 0;

    while (n < ncalls && strcmp(calls[n].id, id) != 0)
        n++;
    if (n == CALLS_MAX)
        return;
    if (n == ncalls) {
        snprintf(calls[n].id, TEXT_MAX, "%s", id);
        memcpy(calls[n].tenant, tenant[i], TEXT_MAX);
        ncalls++;
    }
    need(strcmp(calls[n].tenant, tenant[i]) == 0);
}

static void check_heard(int i, const json_t *m)
{
    const json_t *result = json_object_get(m, "result"), *params = json_object_get(m, "params"), *of = result ? result : params;
    const char *version = json_string_value(json_object_get(m, "jsonrpc")),
               *method = json_string_value(json_object_get(m, "method")), *id;

    need(version && strcmp(version, "2.0") == 0);
    need(method ? json_is_object(params) && !json_object_get(m, "id") : json_object_get(m, "id") != NULL);
    if (!method) {
        need(!result == (json_object_get(m, "error") != NULL));
        need(asked[i] > 0);
        asked[i]--;
    }
    remember(tenant[i], TEXT_MAX, result, "tenant");
    id = json_string_value(json_object_get(of, "call"));
    if (id)
        check_call(i, id);
    remember(call, sizeof(call), of, "call");
    remember(session, sizeof(session), of, "session");
    remember(secret, sizeof(secret), of, "secret");
    remember(probe, sizeof(probe), of, "probe");
}

/* Its report is whole, and none that is over lacks a reason. */
static void check_probe(const char *id)
{
    json_t *o = probes_get(desk_probes(fake_desk), id), *text = json_object_get(o, "report"), *report;
    const char *state = json_string_value(json_object_get(o, "state"));

    need(state && json_is_string(json_object_get(o, "error")) == (strcmp(state, "failed") == 0));
    need(json_is_string(text) == (strcmp(state, "done") == 0));
    if (json_is_string(text)) {
        report = json_loads(json_string_value(text), 0, NULL);
        need(json_is_array(json_object_get(report, "rules")));
        json_decref(report);
    }
    json_decref(o);
}

static void check_probes(void)
{
    json_t *list = probes_list(desk_probes(fake_desk));

    for (size_t i = 0; i < json_array_size(list); i++)
        check_probe(json_string_value(json_object_get(json_array_get(list, i), "id")));
    json_decref(list);
}

static void check_all(void)
{
    struct desk_counts counts;
    uint64_t ended = 0;

    for (int i = 0; i < CLIENTS; i++) {
        for (size_t n = 0; n < json_array_size(fake[i].heard); n++)
            check_heard(i, json_array_get(fake[i].heard, n));
        json_array_clear(fake[i].heard);
    }
    desk_read(fake_desk, &counts);
    for (int i = 0; i < DESK_REASONS; i++)
        ended += counts.ended[i];
    check_probes();
    need(counts.started == counts.calls + ended);
    need(counts.phones + counts.bridges <= CLIENTS);
    need(counts.answered <= counts.started && counts.refused + counts.hellos + counts.resumed <= LINES_MAX);
}

/* As large as a message may be, and a little more. */
static void say(int i, const uint8_t *line, size_t len)
{
    static char text[RPC_TEXT_MAX + 256];
    size_t n = 0;

    for (size_t at = 0; at < len && n < RPC_TEXT_MAX + 64; at++) {
        const char *known = at + 1 == len || line[at] != '$' ? NULL
                            : line[at + 1] == 'c'            ? call
                            : line[at + 1] == 's'            ? session
                            : line[at + 1] == 'k'            ? secret
                            : line[at + 1] == 'p'            ? probe
                                                             : NULL;

        if (known) {
            memcpy(text + n, known, strlen(known));
            n += strlen(known);
            at++;
        } else {
            text[n++] = (char)line[at];
        }
    }
    if (!fake[i].seat)
        return;
    asked[i]++; /* at most one answer for each message */
    desk_text(fake[i].seat, text, n, &fake_now);
    if (!fake_ice_waits)
        fake_ice_comes(true);
}

static void pass(int digit)
{
    static const unsigned MS[] = {1, 10, 100, 1000, 10000, 100000, 1000000};

    fake_after(MS[digit % 7]);
}

static void revoke(void)
{
    desk_revoke(fake_desk, &(struct auth_revocation){.name = "alice"}, &fake_now);
}

/* The new one, what may be left, and of each bridge one that goes on, its newest report and its newest failure. */
static void check_kept(void)
{
    json_t *list = probes_list(desk_probes(fake_desk)), *bridges = desk_bridges(fake_desk, NULL);

    need(json_array_size(list) <= 1 + PROBES_KEPT + 3 * json_array_size(bridges));
    json_decref(list);
    json_decref(bridges);
}

static void begin_probe(void)
{
    char id[PROBES_ID_MAX];
    bool running;

    json_decref(probes_news(desk_probes(fake_desk), &running));
    if (probes_begin(id, desk_probes(fake_desk), &(struct probes_config){session, "", "", true}, &fake_now))
        return;
    check_kept();
    desk_probe(fake_desk, id, &fake_now);
}

static void happen(const uint8_t *line, size_t len)
{
    int digit = len > 1 && isdigit(line[1]) ? line[1] - '0' : 0, i = digit % CLIENTS;

    switch (line[0]) {
    case '0':
    case '1':
    case '2':
    case '3':
        say(line[0] - '0', line + 1, len - 1);
        break;
    case 'p':
        begin_probe();
        break;
    case 'o':
        fake_open(i);
        asked[i] = 0;
        break;
    case 'c':
        fake_gone(i);
        break;
    case 't':
        pass(digit);
        break;
    case 'i':
    case 'n':
        fake_ice_comes(line[0] == 'i');
        break;
    case 'w':
    case 'v':
        fake_ice_waits = line[0] == 'w';
        break;
    case 'a':
    case 'd':
    case 'e':
        fake_auth_is = line[0] == 'a' ? AUTH_PENDING : line[0] == 'd' ? AUTH_UNAVAILABLE : AUTH_OK;
        break;
    case 'b':
        fake_auth_answers();
        break;
    case 'r':
        revoke();
        break;
    case 'x':
        fake_expires_at = fake_now.wall + 60;
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    need(fake_up());
    ncalls = 0;
    call[0] = session[0] = secret[0] = probe[0] = '\0';
    for (int i = 0; i < CLIENTS; i++) {
        fake_open(i);
        asked[i] = 0;
    }
    for (int n = 0; size && n < LINES_MAX; n++) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t len = end ? (size_t)(end - data) : size;

        if (len)
            happen(data, len);
        check_all();
        data += len + (end ? 1 : 0);
        size -= len + (end ? 1 : 0);
    }
    desk_stop(fake_desk, &fake_now);
    check_all();
    fake_down();
    return 0;
}
