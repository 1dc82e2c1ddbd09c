/*
 * Drives the client of the connect service by lines of JSON, for the functional tests: a line in is an order, a line out is what has happened.
 *   {"new": URL, "ca": FILE, "proxy": URL, "role": TEXT, "token": [NAME, PASSWORD]}   {"free": true}
 *   {"request": METHOD, "id": N, "params": {…}}   {"notify": METHOD, "params": {…}}
 */
#include "connect/client.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

static struct event_base *base;
static struct connect_client *client;

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);

    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(line);
}

static void on_up(void *ctx, const json_t *hello, bool resumed)
{
    (void)ctx;
    say(json_pack("{s:o,s:b}", "up", json_deep_copy(hello), "resumed", resumed));
}

static void on_down(void *ctx, const char *why, bool lost)
{
    (void)ctx;
    say(json_pack("{s:s,s:b}", "down", why, "lost", lost));
}

static void on_message(void *ctx, const char *method, const json_t *params)
{
    (void)ctx;
    say(json_pack("{s:s,s:o}", "message", method, "params", params ? json_deep_copy(params) : json_null()));
}

static void on_answer(void *ctx, const json_t *result, const json_t *error)
{
    say(json_pack("{s:I,s:o,s:o}", "answer", (json_int_t)(intptr_t)ctx, "result", result ? json_deep_copy(result) : json_null(),
                  "error", error ? json_deep_copy(error) : json_null()));
}

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static void start(const json_t *order)
{
    static const struct connect_client_events EVENTS = {on_up, on_down, on_message};
    const json_t *token = json_object_get(order, "token");
    struct connect_client_config config = {.base = base,
                                           .url = text_of(order, "new"),
                                           .ca_file = text_of(order, "ca"),
                                           .proxy = text_of(order, "proxy"),
                                           .role = text_of(order, "role"),
                                           .username = json_string_value(json_array_get(token, 0)),
                                           .password = json_string_value(json_array_get(token, 1))};
    char text[CONNECT_CLIENT_TEXT_MAX];
    int err = connect_client_new(&client, &config, &EVENTS, NULL, text);

    say(json_pack("{s:s,s:s}", "new", err ? err_str(err) : "", "why", text));
}

static void obey(const char *line)
{
    json_t *order = json_loads(line, 0, NULL), *params = json_incref(json_object_get(order, "params"));
    const char *request = text_of(order, "request"), *notify = text_of(order, "notify");
    int err = 0;

    if (request)
        err = connect_client_request(client, request, params, on_answer,
                                     (void *)(intptr_t)json_integer_value(json_object_get(order, "id")));
    else if (notify)
        err = connect_client_notify(client, notify, params);
    else if (text_of(order, "new"))
        start(order);
    else
        connect_client_free(&client);
    if (err)
        say(json_pack("{s:s}", "error", err_str(err)));
    json_decref(order);
}

static void on_lines(struct bufferevent *bev, void *ctx)
{
    char *line;

    (void)ctx;
    while ((line = evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_LF)) != NULL) {
        obey(line);
        free(line);
    }
}

static void on_end(struct bufferevent *bev, short what, void *ctx)
{
    (void)bev;
    (void)what;
    (void)ctx;
    event_base_loopbreak(base);
}

int main(void)
{
    struct bufferevent *bev;

    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    base = event_base_new();
    bev = bufferevent_socket_new(base, STDIN_FILENO, 0);
    bufferevent_setcb(bev, on_lines, NULL, on_end, NULL);
    bufferevent_enable(bev, EV_READ);
    event_base_dispatch(base);
    connect_client_free(&client);
    bufferevent_free(bev);
    event_base_free(base);
    return 0;
}
