#include "probe/rules.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/utf8.h"

enum { WORD_MAX = 300 }; /* bytes of a column and its NUL: more than a name may have */

static const char *const SOURCES[] = {[RULES_SERVER] = "server", [RULES_BROWSER] = "browser"};
static const char *const PLACES[] = {[RULES_SERVER] = "office", [RULES_BROWSER] = "browser"};
static const char *const TARGETS[] = {
    [RULES_CONNECT] = "connect", [RULES_APP] = "app", [RULES_RELAY] = "relay", [RULES_HOST] = "host"};
static const char *const PROTOCOLS[] = {[RULES_TCP] = "tcp", [RULES_UDP] = "udp"};

static const struct {
    const char *name;
    enum rules_check check;
    enum rules_protocol protocol; /* what carries it */
} CHECKS[] = {{"websocket", RULES_WEBSOCKET, RULES_TCP},
              {"http", RULES_HTTP, RULES_TCP},
              {"stun", RULES_STUN, RULES_UDP},
              {"turn", RULES_TURN, RULES_UDP}};

static const struct rules FIVE = {
    .n = 5,
    .item = {
        {1, RULES_SERVER, RULES_CONNECT, "", RULES_TCP, 443, RULES_WEBSOCKET,
         "The UC server reaches the connect service; WebSocket must pass"},
        {2, RULES_BROWSER, RULES_APP, "", RULES_TCP, 443, RULES_HTTP, "The browser fetches the web app"},
        {3, RULES_BROWSER, RULES_CONNECT, "", RULES_TCP, 443, RULES_WEBSOCKET,
         "The web app reaches the connect service; WebSocket must pass"},
        {4, RULES_SERVER, RULES_RELAY, "", RULES_UDP, 3478, RULES_STUN | RULES_TURN,
         "The media server finds server-reflexive and relayed addresses, and relays"},
        {5, RULES_BROWSER, RULES_RELAY, "", RULES_UDP, 3478, RULES_STUN | RULES_TURN,
         "The web app finds server-reflexive and relayed addresses, and relays"},
    }};

const struct rules *rules_five(void)
{
    return &FIVE;
}

const char *rules_source_name(enum rules_source source)
{
    return SOURCES[source];
}

const char *rules_source_place(enum rules_source source)
{
    return PLACES[source];
}

const char *rules_target_name(enum rules_target target)
{
    return TARGETS[target];
}

const char *rules_protocol_name(enum rules_protocol protocol)
{
    return PROTOCOLS[protocol];
}

/* ---- Columns. ---- */

/* A line that is being read; an error names the file and the line. */
struct line {
    const char *name;
    unsigned number;
    const char *at; /* what is left of it */
    char *error;
};

__attribute__((format(printf, 2, 3))) static int fail(const struct line *l, const char *format, ...)
{
    va_list args;
    int n = snprintf(l->error, RULES_ERROR_MAX, "%.200s:%u: ", l->name, l->number);

    va_start(args, format);
    vsnprintf(l->error + n, RULES_ERROR_MAX - (size_t)n, format, args);
    va_end(args);
    utf8_mend(l->error); /* a word may have been cut */
    return ERR_CONFIG;
}

/* The next column; "" when there is none. */
static void next_word(struct line *l, char out[static WORD_MAX])
{
    size_t n;

    l->at += strspn(l->at, " \t");
    n = strcspn(l->at, " \t");
    snprintf(out, WORD_MAX, "%.*s", (int)n, l->at); /* one that is cut is longer than any that is right */
    l->at += n;
}

/* The index of a word among some; -1: not there. */
static int one_of(const char *word, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(word, names[i]) == 0)
            return (int)i;
    }
    return -1;
}

/* Digits only, 1 to `max`; 0: it is none. */
static unsigned small_number(const char *word, unsigned max)
{
    size_t n = strspn(word, "0123456789");
    unsigned long value;

    if (n == 0 || n > 5 || word[n])
        return 0;
    value = strtoul(word, NULL, 10);
    return value <= max ? (unsigned)value : 0;
}

static int read_number(struct line *l, const struct rules *before, struct rule *r)
{
    char word[WORD_MAX];

    next_word(l, word);
    r->number = small_number(word, RULES_NUMBER_MAX);
    if (!r->number)
        return fail(l, "a rule begins with its number, 1 to %d, not with '%.40s'", RULES_NUMBER_MAX, word);
    for (size_t i = 0; i < before->n; i++) {
        if (before->item[i].number == r->number)
            return fail(l, "there is a rule %u already: give this one another number", r->number);
    }
    return 0;
}

static int read_source(struct line *l, struct rule *r)
{
    char word[WORD_MAX];
    int which;

    next_word(l, word);
    if (strcmp(word, "out") != 0)
        return fail(l, "the direction is 'out' (answers come back by themselves), not '%.40s'", word);
    next_word(l, word);
    which = one_of(word, SOURCES, RULES_SOURCES);
    if (which < 0)
        return fail(l, "the source is 'server' or 'browser', not '%.40s'", word);
    r->source = (enum rules_source)which;
    return 0;
}

/* Is the last label a number? Resolvers take such a word for an address in a short, octal or hexadecimal form, as inet_aton(3) does, and it leads to where nobody meant. */
static bool ends_in_number(const char *word)
{
    size_t end = strlen(word), n;

    while (end && word[end - 1] == '.')
        end--;
    for (n = 0; n < end && word[end - n - 1] != '.'; n++)
        ;
    word += end - n;
    if (n > 1 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X'))
        return 2 + strspn(word + 2, "0123456789abcdefABCDEF") >= n;
    return strspn(word, "0123456789") >= n;
}

bool rules_is_host(const char *word)
{
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    struct addr a;

    return *word && strlen(word) < RULES_HOST_MAX &&
           (addr_parse_ip(&a, word) == 0 || (*word != '-' && word[strspn(word, LETTERS)] == '\0' && !ends_in_number(word)));
}

static int read_destination(struct line *l, struct rule *r)
{
    char word[WORD_MAX];
    int which;

    next_word(l, word);
    which = one_of(word, TARGETS, RULES_HOST);
    r->target = which < 0 ? RULES_HOST : (enum rules_target)which;
    if (which < 0 && !rules_is_host(word))
        return fail(l, "the destination is 'connect', 'app', 'relay', a name or an IP address, not '%.60s'", word);
    if (which < 0)
        memcpy(r->host, word, strlen(word) + 1); /* rules_is_host has measured it */
    return 0;
}

static int read_port(struct line *l, struct rule *r)
{
    char word[WORD_MAX], *slash;
    int which;

    next_word(l, word);
    slash = strchr(word, '/');
    if (slash)
        *slash = '\0';
    which = one_of(word, PROTOCOLS, RULES_PROTOCOLS);
    r->port = slash ? (uint16_t)small_number(slash + 1, UINT16_MAX) : 0;
    if (which < 0 || !r->port)
        return fail(l, "protocol and port are 'tcp/443' or 'udp/3478', say, not '%.40s%s%.40s'", word, slash ? "/" : "",
                    slash ? slash + 1 : "");
    r->protocol = (enum rules_protocol)which;
    return 0;
}

static int read_checks(struct line *l, struct rule *r)
{
    char word[WORD_MAX], *rest = NULL;

    next_word(l, word);
    for (char *name = strtok_r(word, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        size_t i = 0;

        while (i < sizeof(CHECKS) / sizeof(CHECKS[0]) && strcmp(name, CHECKS[i].name) != 0)
            i++;
        if (i == sizeof(CHECKS) / sizeof(CHECKS[0]))
            return fail(l, "checks are 'websocket', 'http', 'stun', 'turn', divided by commas, not '%.40s'", name);
        if (CHECKS[i].protocol != r->protocol)
            return fail(l, "'%s' goes by %s: correct the check, or the protocol", name, PROTOCOLS[CHECKS[i].protocol]);
        r->checks |= CHECKS[i].check;
    }
    if (!r->checks)
        return fail(l, "a check is missing: 'websocket', 'http', 'stun' or 'turn'");
    if ((r->checks & RULES_WEBSOCKET) && (r->checks & RULES_HTTP))
        return fail(l, "'websocket' and 'http' are two rules: write a line for each");
    return 0;
}

/* A text in quotes, or nothing. */
static int read_text(struct line *l, struct rule *r)
{
    size_t n;

    l->at += strspn(l->at, " \t");
    if (!*l->at)
        return 0;
    n = *l->at == '"' ? strcspn(l->at + 1, "\"") : 0;
    if (*l->at != '"' || l->at[1 + n] != '"')
        return fail(l, "the text stands in double quotes");
    if (n >= RULES_TEXT_MAX)
        return fail(l, "a text of at most %d bytes is expected", RULES_TEXT_MAX - 1);
    snprintf(r->text, sizeof(r->text), "%.*s", (int)n, l->at + 1);
    l->at += n + 2;
    l->at += strspn(l->at, " \t");
    return *l->at ? fail(l, "nothing is expected behind the text, but there is '%.40s'", l->at) : 0;
}

/* ---- Lines. ---- */

static int read_rule(struct line *l, struct rules *out)
{
    struct rule r = {0};
    int err;

    if (out->n == RULES_MAX)
        return fail(l, "at most %d rules are expected", RULES_MAX);
    if ((err = read_number(l, out, &r)) || (err = read_source(l, &r)) || (err = read_destination(l, &r)) ||
        (err = read_port(l, &r)) || (err = read_checks(l, &r)) || (err = read_text(l, &r)))
        return err;
    out->item[out->n++] = r;
    return 0;
}

static bool is_text(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 127)
            return false;
    }
    return utf8_ok(line);
}

int rules_parse(struct rules *out, const char *name, const char *text, size_t len, char error[static RULES_ERROR_MAX])
{
    static const char MARK[] = "\xef\xbb\xbf"; /* an editor on Windows begins UTF-8 with it */
    struct line l = {.name = name, .error = error};
    char line[RULES_LINE_MAX + 1];
    const char *end = text + len;
    int err = 0;

    if (len >= sizeof(MARK) - 1 && memcmp(text, MARK, sizeof(MARK) - 1) == 0)
        text += sizeof(MARK) - 1;
    *error = '\0';
    *out = (struct rules){0};
    while (text < end && !err) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((newline ? newline : end) - text);

        l.number++;
        if (n > RULES_LINE_MAX)
            return fail(&l, "a line of at most %d bytes is expected", RULES_LINE_MAX);
        memcpy(line, text, n);
        line[n] = '\0';
        if (n && line[n - 1] == '\r')
            line[--n] = '\0';
        if (!is_text(line, n))
            return fail(&l, "text in UTF-8 without control characters is expected");
        l.at = line + strspn(line, " \t");
        if (*l.at && *l.at != '#')
            err = read_rule(&l, out);
        text = newline ? newline + 1 : end;
    }
    if (!err && !out->n)
        return fail(&l, "there is no rule in it: packaging/examples/ucconnect.rules shows how they are written");
    return err;
}

int rules_read(struct rules *out, const char *path, char error[static RULES_ERROR_MAX])
{
    char *buf = malloc(RULES_FILE_MAX + 1);
    FILE *f = fopen(path, "re");
    size_t n = 0;
    int err = 0;

    if (!buf)
        err = ERR_NOMEM;
    else if (!f)
        err = -errno;
    else if ((n = fread(buf, 1, RULES_FILE_MAX + 1, f)) > RULES_FILE_MAX)
        err = -EFBIG;
    else if (ferror(f))
        err = errno ? -errno : ERR_IO; /* a folder, say */
    if (err)
        snprintf(error, RULES_ERROR_MAX, "%.200s: cannot be read: %s", path, strerror(-err));
    else
        err = rules_parse(out, path, buf, n, error);
    if (f)
        fclose(f);
    free(buf);
    return err;
}
