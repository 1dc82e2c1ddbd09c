/* Values from a process's options and environment. */
#include "base/confparts.h"
#include "base/err.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- Options ---- */

static void env_name(const struct conf *c, const char *key, char *out, size_t cap)
{
    int len = snprintf(out, cap, "%s%s", c->table.env_prefix ? c->table.env_prefix : "", key);
    for (int i = 0; i < len && (size_t)i < cap; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static int fail_secret(const struct conf *c, const struct conf_key *k, struct conf_error *e)
{
    char variable[2 * CONF_KEY_MAX];
    env_name(c, k->name, variable, sizeof(variable));
    return conf_fail(
        e,
        "--%s: refused, because everybody on this machine can read a process's arguments; set it as %s in the environment or "
        "as %s= in the file",
        k->name, variable, k->name);
}

static int fail_option(const struct conf *c, const char *name, struct conf_error *e)
{
    const char *near = conf_nearest(c, name);
    return conf_fail(e, "--%.64s: unknown option%s%s%s", name, near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
}

/* One option at argv[*at], whose value may be the next argument. */
static int option(struct conf *c, int argc, char *const argv[], int *at, struct conf_error *e)
{
    const char *arg = argv[*at] + 2;
    const char *value = strchr(arg, '=');
    const struct conf_key *k;
    char name[CONF_KEY_MAX + 1], origin[CONF_KEY_MAX + 3];

    snprintf(name, sizeof(name), "%.*s",
             (int)(value ? (size_t)(value - arg) < CONF_KEY_MAX ? value - arg : CONF_KEY_MAX : CONF_KEY_MAX), arg);
    k = conf_find(c, name);
    if (!k)
        return fail_option(c, name, e);
    if (k->flags & CONF_SECRET)
        return fail_secret(c, k, e);
    if (value)
        value++;
    else if (k->type == CONF_BOOL)
        value = "yes";
    else if (*at + 1 < argc && strncmp(argv[*at + 1], "--", 2) != 0)
        value = argv[++*at];
    else
        return conf_fail(e, "--%s: a value is expected", name);
    snprintf(origin, sizeof(origin), "--%s", name);
    return conf_add(c, k, CONF_FROM_OPTION, value, origin, e);
}

int conf_options(struct conf *c, int argc, char *const argv[], int *first, struct conf_error *e)
{
    int i, err = 0;

    for (i = 1; i < argc && !err; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (strncmp(argv[i], "--", 2) != 0)
            break;
        err = option(c, argc, argv, &i, e);
    }
    if (err)
        return err;
    if (first)
        *first = i;
    else if (i < argc && argv[i][0] == '-')
        return conf_fail(e, "%.64s: unknown option; options begin with two dashes", argv[i]);
    else if (i < argc)
        return conf_fail(e, "%.64s: unexpected argument", argv[i]);
    return 0;
}

/* ---- Environment ---- */

static int variable_value(struct conf *c, const struct conf_key *k, enum conf_source from, const char *name, const char *value,
                          struct conf_error *e)
{
    size_t len = strlen(value);
    const char *start = conf_trim(value, &len);
    char *copy;
    int err = 0;

    if (!len)
        return 0;
    for (const struct conf_value *v = *conf_values(c, k); v; v = v->next) {
        if (v->from == from && strcmp(v->origin, name) == 0)
            return 0; /* a variable that stands in the environment twice: getenv(3) knows the first, too */
    }
    copy = strndup(start, len);
    if (!copy)
        return conf_fail_nomem(e);
    err = from == CONF_FROM_ALIAS ? conf_put(c, from, k->name, copy, name, e) : conf_add_lines(c, k, from, copy, name, e);
    explicit_bzero(copy, len);
    free(copy);
    return err;
}

static void warn_variable(struct conf *c, const char *name)
{
    char key[CONF_KEY_MAX + 1], text[4 * CONF_KEY_MAX];
    const char *near, *p = name + strlen(c->table.env_prefix);
    size_t n = 0;

    for (; *p && n < CONF_KEY_MAX; p++)
        key[n++] = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    key[n] = '\0';
    near = conf_nearest(c, key);
    snprintf(text, sizeof(text), "%.100s: no such key%s%s%s", name, near ? " (nearest: " : "", near ? near : "", near ? ")" : "");
    conf_warn(c, text, "; left alone");
}

static int variable(struct conf *c, const char *name, const char *value, struct conf_error *e)
{
    bool ours = c->table.env_prefix && strncmp(name, c->table.env_prefix, strlen(c->table.env_prefix)) == 0;
    bool known = false;
    char want[2 * CONF_KEY_MAX];
    int err = 0;

    for (size_t i = 0; i < c->table.n && !err; i++) {
        const struct conf_key *k = &c->table.keys[i];
        env_name(c, k->name, want, sizeof(want));
        if (ours && !(k->flags & CONF_OPTION_ONLY) && strcmp(name, want) == 0) {
            known = true;
            err = variable_value(c, k, CONF_FROM_ENVIRONMENT, name, value, e);
        } else if (k->alias && strcmp(name, k->alias) == 0) {
            known = true;
            err = variable_value(c, k, CONF_FROM_ALIAS, name, value, e);
        }
    }
    if (ours && !known)
        warn_variable(c, name);
    return err;
}

int conf_environment(struct conf *c, char *const envp[], struct conf_error *e)
{
    char name[2 * CONF_KEY_MAX];
    int err = 0;

    for (; *envp && !err; envp++) {
        const char *value = strchr(*envp, '=');
        if (!value || (size_t)(value - *envp) >= sizeof(name))
            continue; /* longer than any of ours */
        snprintf(name, sizeof(name), "%.*s", (int)(value - *envp), *envp);
        err = variable(c, name, value + 1, e);
    }
    return err;
}

int conf_load(struct conf *c, int argc, char *const argv[], char *const envp[], const char *file_key, int *first,
              struct conf_error *e)
{
    const char *path;
    int err = conf_options(c, argc, argv, first, e);

    if (!err)
        err = conf_environment(c, envp, e);
    path = !err && file_key ? conf_text(c, file_key) : NULL;
    if (path && *path)
        err = conffile_read(c, path, conf_source(c, file_key) == CONF_FROM_PRESET, e);
    return err;
}
