#include "connect/params.h"

#include <string.h>

static bool is_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7F)
            return false;
    return true;
}

static bool is_word(const char *text, const char *words)
{
    size_t len = strlen(text);

    for (const char *at = words; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");

        if (n == len && memcmp(at, text, n) == 0)
            return true;
        at += n;
    }
    return false;
}

static bool text_fits(const json_t *value, const struct params_member *m)
{
    size_t len = json_string_length(value);

    return json_is_string(value) && len >= m->least && len <= m->most;
}

static bool fits(const json_t *value, const struct params_member *m)
{
    const char *text = json_string_value(value);

    switch (m->kind) {
    case PARAMS_TEXT:
        return text_fits(value, m);
    case PARAMS_LINE:
        return text_fits(value, m) && is_line(text);
    case PARAMS_OR_NULL:
        return json_is_null(value) || (text_fits(value, m) && is_line(text));
    case PARAMS_CHARS:
        return text_fits(value, m) && text[strspn(text, m->of)] == '\0';
    case PARAMS_WORD:
        return text && is_word(text, m->of);
    case PARAMS_FLAG:
        return json_is_boolean(value);
    case PARAMS_NUMBER:
        return json_is_number(value) && json_number_value(value) >= 0 && (!m->most || json_number_value(value) <= (double)m->most);
    case PARAMS_WHOLE:
        return json_is_integer(value) && json_integer_value(value) >= (json_int_t)m->least &&
               json_integer_value(value) <= (json_int_t)m->most;
    case PARAMS_OBJECT:
        return json_is_object(value);
    case PARAMS_ARRAY:
        return json_is_array(value) && json_array_size(value) >= m->least && json_array_size(value) <= m->most;
    }
    return false;
}

const char *params_check(const json_t *params, const struct params_member *members)
{
    for (const struct params_member *m = members; m->name; m++) {
        const json_t *value = json_object_get(params, m->name);

        if (value ? !fits(value, m) : m->needed)
            return m->name;
    }
    return NULL;
}

const char *params_text(const json_t *params, const char *name)
{
    const char *text = json_string_value(json_object_get(params, name));

    return text ? text : "";
}
