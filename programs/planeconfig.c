#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "programs/planeparts.h"

enum { CONFIG_TEXT_MAX = 65536 }; /* bytes of a configuration that is to be checked */

static json_t *list_json(const struct conf_list *l)
{
    json_t *array = json_array();

    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(array, json_string(l->item[i]));
    return array;
}

static void free_list(struct conf_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->item[i]);
    free(l->item);
    *l = (struct conf_list){0};
}

/* ---- GET /config ---- */

static json_t *value_json(const struct config_shown *s)
{
    const char *text = s->values.n ? s->values.item[0] : "";
    uint64_t n;
    bool flag;

    if (s->may_repeat)
        return list_json(&s->values);
    if (((s->type == CONF_UINT || s->type == CONF_PORT) && conf_read_uint(&n, text, 0, 0) == 0) ||
        (s->type == CONF_BPS && conf_read_bps(&n, text) == 0))
        return json_integer((json_int_t)n);
    if (s->type == CONF_BOOL && conf_read_bool(&flag, text) == 0)
        return json_boolean(flag);
    return json_string(text);
}

void planeconfig_get(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    const struct config *c = p->config.host.config(p->config.host.ctx);
    json_t *items = json_array();

    for (size_t i = 0; i < c->nshown; i++)
        json_array_append_new(items, json_pack("{s:s,s:o,s:s}", "id", c->shown[i].key, "value", value_json(&c->shown[i]), "source",
                                               c->shown[i].source));
    admin_answer_page(&call->request, items, &call->answer);
    admin_done(&call);
}

/* ---- POST /config/check, POST /reload ---- */

void planeconfig_check(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    char why[RELAY_TEXT_MAX] = "";
    struct conf_list warnings = {0};
    const char *text;
    int err;

    if (admin_only(&call->request, "text", &call->answer) &&
        admin_text(&call->request, "text", CONFIG_TEXT_MAX, &text, &call->answer)) {
        err = p->config.host.check(p->config.host.ctx, text, &warnings, why);
        if (err && err != ERR_CONFIG)
            admin_answer_problem(&call->answer, 503, "%s", why[0] ? why : err_str(err));
        else
            admin_answer_json(
                &call->answer, 200,
                json_pack("{s:b,s:s?,s:o}", "valid", !err, "error", err ? why : NULL, "warnings", list_json(&warnings)));
    }
    free_list(&warnings);
    admin_done(&call);
}

void planeconfig_reload(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    char why[RELAY_TEXT_MAX] = "";
    struct conf_list keys = {0};
    int err;

    if (admin_only(&call->request, "", &call->answer)) {
        err = p->config.host.reload(p->config.host.ctx, &keys, why);
        if (err)
            admin_answer_problem(&call->answer, err == ERR_NOMEM ? 503 : 422, "the old configuration stays in force: %s",
                                 why[0] ? why : err_str(err));
        else
            admin_answer_json(&call->answer, 200, json_pack("{s:b,s:o}", "reloaded", 1, "needs_restart", list_json(&keys)));
    }
    free_list(&keys);
    admin_done(&call);
}

/* ---- PUT /log-level ---- */

void planeconfig_log_level(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    const char *text;
    enum log_level level;
    int err;

    if (!admin_only(&call->request, "level", &call->answer) || !admin_text(&call->request, "level", 16, &text, &call->answer))
        goto out;
    if (!text || log_level_parse(&level, text)) {
        admin_answer_problem(&call->answer, 400, "level: one of error, warning, info, debug is expected");
        goto out;
    }
    err = p->config.host.log_level(p->config.host.ctx, level);
    if (err)
        admin_answer_problem(&call->answer, 503, "the log can't be opened: %s", err_str(err));
    else
        admin_answer_json(&call->answer, 200, json_pack("{s:s}", "level", log_level_name(level)));
out:
    admin_done(&call);
}
