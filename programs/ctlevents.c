/* turnpikectl events: what happens, as it happens; after a break it goes on where it was. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "programs/ctl.h"
#include "programs/show.h"

enum { AGAIN_S = 1 }; /* from the end of one connection to the next */

struct following {
    const struct ctl *ctl;
    bool told; /* that the relay is away */
};

static void print_fields(const json_t *data)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)data, key, value)
    {
        char *text = strcmp(key, "type") != 0 && strcmp(key, "at") != 0 ? show_text(value, SHOW_TEXT, NULL) : NULL;

        if (text && text[0])
            printf(strchr(text, ' ') ? " %s=\"%s\"" : " %s=%s", key, text);
        free(text);
    }
}

static bool on_event(void *ctx, const struct ctlhttp_event *e)
{
    struct following *f = ctx;
    json_t *data = json_loads(e->data, 0, NULL), *event;
    char time[SHOW_TIME_MAX], *type;

    f->told = false;
    if (f->ctl->options->json) {
        event = json_pack("{s:s,s:s}", "event_id", e->id, "type", e->type);
        json_object_update_missing(event, data);
        show_json(event, true);
    } else {
        show_time(time, (int64_t)json_number_value(json_object_get(data, "at")), "-");
        event = json_string(e->type);
        type = show_text(event, SHOW_TEXT, NULL);
        printf("%s %s", time, type ? type : "");
        print_fields(data);
        putchar('\n');
        free(type);
        json_decref(event);
    }
    json_decref(data);
    return fflush(stdout) == 0;
}

static char *path_of(struct ctl *c)
{
    char *type = c->options->type ? ctlhttp_escape(c->http, c->options->type) : NULL, *path = NULL;

    if (asprintf(&path, "/api/v1/events%s%s", type ? "?type=" : "", type ? type : "") < 0)
        path = NULL;
    free(type);
    return path;
}

/* A refusal, which no second try would change: the relay has answered, and not with events. */
static int refused(const struct ctlhttp_answer *a)
{
    const char *detail = json_string_value(json_object_get(a->body, "detail"));
    struct ctl_answer answer = {.status = a->status, .body = a->body};

    if (detail)
        snprintf(answer.detail, sizeof(answer.detail), "%s", detail);
    else
        snprintf(answer.detail, sizeof(answer.detail), "the relay answers with status %d", a->status);
    return ctl_refused(&answer);
}

int ctlevents_follow(struct ctl *c)
{
    char last[CTLHTTP_ID_MAX + 1] = "", *path;
    struct following f = {.ctl = c};
    struct ctlhttp_answer a;
    bool reached = false;
    const char *since = c->options->since ? c->options->since : "";
    int err, status;

    if (strlen(since) >= sizeof(last))
        return ctl_complain(CTL_USAGE, "--since: the id of an event is expected, of at most %d bytes", CTLHTTP_ID_MAX);
    status = ctl_connect(c);
    if (status)
        return status;
    snprintf(last, sizeof(last), "%s", since);
    path = path_of(c);
    while (path && !status) {
        err = ctlhttp_events(c->http, path, last, on_event, &f, &a);
        if (ferror(stdout))
            status = ctl_complain(CTL_FAULT, "standard output: %s", strerror(errno));
        else if (a.status && a.status != 200 && (!reached || a.status < 500))
            status = refused(&a);
        else if (!a.status && !reached)
            status = ctl_unreachable(c, err);
        else {
            json_decref(a.body);
            if (!f.told)
                fprintf(stderr, "turnpikectl: the events have ended (%s): trying again\n",
                        err ? err_str(err) : "the relay closed them");
            f.told = true;
            sleep(AGAIN_S);
        }
        reached = true;
    }
    free(path);
    return path ? status : ctl_complain(CTL_FAULT, "%s", err_str(ERR_NOMEM));
}
