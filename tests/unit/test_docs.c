/* The documents name what the table of keys has, so that they can't rot. */
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "programs/bridgeconfig.h"
#include "programs/config.h"
#include "programs/ctloptions.h"
#include "programs/ctlverbs.h"
#include "programs/keys.h"
#include "tests/unit/tap.h"

static char dir[] = "/tmp/turnpike-test-XXXXXX";
static char file[64];

/* What --check-config does with this file. */
static int load_relay(int argc, char *const argv[], struct conf_error *e)
{
    char *envp[] = {NULL};
    struct config *c = NULL;
    int err = config_load(&c, argc, argv, envp, e);
    config_free(&c);
    return err;
}

static int load_bridge(int argc, char *const argv[], struct conf_error *e)
{
    char *envp[] = {NULL};
    struct bridgeconfig *c = NULL;
    int err = bridgeconfig_load(&c, argc, argv, envp, e);
    bridgeconfig_free(&c);
    return err;
}

/* A program with a table of keys, and what is written about them. `needs`: what a file must have that says nothing else; an example may have
 * it too. */
static const struct program {
    const char *example, *keys_page, *options_page, *needs[4];
    const struct conf_table *(*table)(void);
    int (*load)(int argc, char *const argv[], struct conf_error *e);
} PROGRAMS[] = {
    {"packaging/examples/turnpiked.conf", "docs/turnpiked.conf.5", "docs/turnpiked.8", {NULL}, keys_table, load_relay},
    {"packaging/examples/turnpike-bridge.conf",
     "docs/turnpike-bridge.conf.5",
     "docs/turnpike-bridge.8",
     {"connect-url=wss://c.example/connect", "sip-registrar=pbx", "token=t:p", "line=30::p:alice"},
     bridgeconfig_table,
     load_bridge},
};
enum { NPROGRAMS = sizeof(PROGRAMS) / sizeof(PROGRAMS[0]) };

/* A file of this text, and of what is needed beside it. */
static int load(const struct program *p, const char *text)
{
    char name[] = "program", option[80];
    char *argv[] = {name, option, NULL};
    struct conf_error e;
    FILE *f = fopen(file, "w");
    if (!f || fputs(text, f) < 0)
        abort();
    for (size_t i = 0; i < 4 && p->needs[i]; i++) {
        size_t key = strcspn(p->needs[i], "=") + 1;
        if (strncmp(text, p->needs[i], key) != 0)
            fprintf(f, "%s\n", p->needs[i]);
    }
    if (fclose(f))
        abort();
    snprintf(option, sizeof(option), "--config=%s", file);
    int err = p->load(2, argv, &e);
    if (err)
        printf("# %s\n", e.text);
    return err;
}

/* A file of the source tree, NUL-terminated; the caller frees. */
static char *source_file(const char *name)
{
    const char *top = getenv("TP_SRCDIR");
    char path[4096], *text = calloc(1, 1 << 20);
    snprintf(path, sizeof(path), "%s/%s", top ? top : ".", name);
    FILE *f = fopen(path, "r");
    if (!text || !f || fread(text, 1, (1 << 20) - 1, f) == 0) {
        printf("# %s can't be read\n", path);
        abort();
    }
    fclose(f);
    return text;
}

/* The line `#key=value` of the example, without its `#` and newline. */
static bool example_line(const char *text, const char *key, char *out, size_t cap)
{
    char want[80];
    int n = snprintf(want, sizeof(want), "\n#%s=", key);
    const char *at = strstr(text, want);
    if (!at)
        return false;
    snprintf(out, cap, "%.*s", (int)strcspn(at + 2, "\n"), at + 2);
    return strlen(out) > (size_t)n - 2;
}

/* A service that others can reach has TLS, and a page knows where the service is. */
static bool add_what_it_needs(const char *text, const char *key, char *all, size_t cap)
{
    static const char *const BESIDE[] = {"cert", "pkey", "connect-url"};
    char line[256];

    if (strcmp(key, "connect-listen") != 0 && strcmp(key, "app-listen") != 0)
        return true;
    for (size_t i = 0; i < sizeof(BESIDE) / sizeof(BESIDE[0]); i++) {
        size_t len = strlen(all);

        if (!example_line(text, BESIDE[i], line, sizeof(line)))
            return false;
        snprintf(all + len, cap - len, "%s\n", line);
    }
    return true;
}

/* A key that names a file with secrets: in the example it isn't there, and stands beside what it would replace. */
static bool names_secrets(const struct conf_key *k)
{
    return strcmp(k->name, "token-file") == 0 || strcmp(k->name, "lines-file") == 0;
}

static void example_of(const struct program *p)
{
    char *text = source_file(p->example), line[256], other[256], all[1200];
    const struct conf_table *t = p->table();
    CHECK_INT(load(p, text), 0);
    for (size_t i = 0; i < t->n; i++) {
        const struct conf_key *k = &t->keys[i];
        if (k->flags & CONF_OPTION_ONLY)
            continue;
        printf("# %s\n", k->name);
        CHECK(example_line(text, k->name, line, sizeof(line)));
        if (k->preset) /* the default is what stands there */
            CHECK_STR(strchr(line, '=') + 1, k->preset);
        *other = '\0';
        if (k->needs)
            CHECK(example_line(text, k->needs, other, sizeof(other)));
        snprintf(all, sizeof(all), "%s\n%s\n", line, other);
        CHECK(add_what_it_needs(text, k->name, all, sizeof(all)));
        CHECK_INT(load(p, all), names_secrets(k) ? ERR_CONFIG : 0);
    }
    free(text);
}

static void example_file(void)
{
    for (size_t i = 0; i < NPROGRAMS && !tap_failed; i++)
        example_of(&PROGRAMS[i]);
}

/* What looks like a key in the example is one: a commented line without a blank before its `=`. */
static void no_other_key(const struct program *p)
{
    char *text = source_file(p->example);
    const struct conf_table *t = p->table();
    for (const char *at = text; (at = strstr(at, "\n#")); at++) {
        size_t len = strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-");
        bool known = false;
        if (len == 0 || at[2 + len] != '=')
            continue;
        for (size_t i = 0; i < t->n; i++)
            known = known || (strlen(t->keys[i].name) == len && strncmp(t->keys[i].name, at + 2, len) == 0);
        if (!known)
            printf("# %.*s\n", (int)len, at + 2);
        CHECK(known);
    }
    free(text);
}

static void example_has_no_other_key(void)
{
    for (size_t i = 0; i < NPROGRAMS && !tap_failed; i++)
        no_other_key(&PROGRAMS[i]);
}

static void pages_of(const struct program *p)
{
    char *keys = source_file(p->keys_page), *options = source_file(p->options_page), want[80];
    const struct conf_table *t = p->table();
    for (size_t i = 0; i < t->n; i++) {
        const struct conf_key *k = &t->keys[i];
        bool option = k->flags & CONF_OPTION_ONLY;
        snprintf(want, sizeof(want), option ? "Fl Fl %s" : "Cm %s Ns =", k->name);
        printf("# %s\n", k->name);
        CHECK(strstr(option ? options : keys, want) != NULL);
        CHECK(!k->alias || strstr(options, k->alias));
    }
    free(keys);
    free(options);
}

static void manual_pages(void)
{
    for (size_t i = 0; i < NPROGRAMS && !tap_failed; i++)
        pages_of(&PROGRAMS[i]);
}

static void turnpikectl(void)
{
    char *manual = source_file("docs/turnpikectl.8"), *help = source_file("programs/ctlverbs.c"), want[80];
    const char *name;
    bool belongs;
    for (size_t i = 0; (name = ctloptions_nth(i, CTL_STATUS, &belongs)); i++) {
        printf("# %s\n", name);
        snprintf(want, sizeof(want), "Fl Fl %s", name);
        CHECK(strstr(manual, want) != NULL);
        snprintf(want, sizeof(want), "--%s", name);
        CHECK(strstr(help, want) != NULL || strcmp(name, "output") == 0); /* which is -o there */
    }
    free(manual);
    free(help);
}

/* What stands between these quotes behind `head`, or NULL; the caller frees. */
static char *quoted_after(const char *text, const char *head)
{
    const char *at = strstr(text, head);
    at = at ? at + strlen(head) : NULL;
    return at && *at == '"' ? strndup(at + 1, strcspn(at + 1, "\"")) : NULL;
}

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

/* The options of one command, as the completion has them, are those that it takes. */
static void completion_of(const char *script, enum ctl_verb verb)
{
    static const char *const ANY[] = {"help",   "version", "output",     "json",   "config",
                                      "socket", "url",     "token-file", "cacert", "offline"};
    const struct ctlverb *v = &CTLVERBS[verb];
    const char *name;
    char head[80], option[80], *made = quoted_after(script, "local made="), *own;
    bool belongs;
    snprintf(head, sizeof(head), v->verb ? "[\"%s %s\"]=" : "[%s]=", v->noun, v->verb);
    own = quoted_after(script, head);
    printf("# %s\n", head);
    CHECK(made && own);
    for (size_t i = 0; (name = ctloptions_nth(i, verb, &belongs)); i++) {
        bool any = false;
        for (size_t k = 0; k < sizeof(ANY) / sizeof(ANY[0]); k++)
            any = any || strcmp(ANY[k], name) == 0;
        snprintf(option, sizeof(option), "--%s", name);
        if (!any && belongs != (has_word(own, option) || (has_word(own, "$made") && has_word(made, option))))
            printf("# %s\n", option);
        CHECK(any || belongs == (has_word(own, option) || (has_word(own, "$made") && has_word(made, option))));
    }
    free(made);
    free(own);
}

static void completion(void)
{
    char *script = source_file("packaging/completion/turnpikectl");
    for (int verb = 0; verb < CTL_VERBS && !tap_failed; verb++)
        completion_of(script, (enum ctl_verb)verb);
    free(script);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"the example names every key with its default, and each line of it works", example_file},
        {"the example names nothing else", example_has_no_other_key},
        {"turnpiked.conf(5) and turnpike-bridge.conf(5) name every key, (8) every other option and variable", manual_pages},
        {"turnpikectl(8) and turnpikectl --help name every option", turnpikectl},
        {"bash completes every command of turnpikectl, with its own options and no other's", completion},
    };
    if (!mkdtemp(dir))
        return 99;
    snprintf(file, sizeof(file), "%s/program.conf", dir);
    int rc = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    unlink(file);
    rmdir(dir);
    return rc;
}
