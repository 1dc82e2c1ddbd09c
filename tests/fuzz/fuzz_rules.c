/* Whatever is in a file of firewall rules: it is refused in one line that names the file, or each rule of it is whole. What is generated from it
 * has a line for each rule, and what the file says in words stands in comments. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "probe/generate.h"
#include "probe/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void check_rule(const struct rules *rules, size_t i)
{
    const struct rule *r = &rules->item[i];
    unsigned tcp = RULES_WEBSOCKET | RULES_HTTP, udp = RULES_STUN | RULES_TURN;

    need(r->number >= 1 && r->number <= RULES_NUMBER_MAX && r->port);
    need(r->source < RULES_SOURCES && r->target < RULES_TARGETS && r->protocol < RULES_PROTOCOLS);
    need((r->target == RULES_HOST) == (*r->host != '\0') && memchr(r->host, '\0', sizeof(r->host)));
    need(r->checks && !(r->checks & ~(r->protocol == RULES_TCP ? tcp : udp)));
    need(memchr(r->text, '\0', sizeof(r->text)) && utf8_ok(r->text) && !strpbrk(r->text, "\r\n\x1b\""));
    for (size_t before = 0; before < i; before++)
        need(rules->item[before].number != r->number);
}

/* ---- What is generated. ---- */

static int resolve(const char *name, struct addr *out, size_t max)
{
    need(*name && max);
    need(addr_parse_ip(out, "203.0.113.10") == 0);
    return 1;
}

/* Lines that a firewall acts on; comments may hold UTF-8, unless the format is ASCII. */
static size_t count_lines(char *text, bool ascii)
{
    char *rest = NULL;
    size_t n = 0;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        bool comment = line[strspn(line, " ")] == '#';

        for (const char *p = line; *p; p++)
            need(*p >= ' ' || (*p < 0 && comment && !ascii));
        n += !comment;
    }
    return n;
}

static void check_generated(const struct openings *openings, enum generate_format format)
{
    /* beside the openings: of a gateway, and of the relay's own host with loopback, neighbours and "too big" */
    static const size_t FIXED[][2] = {[GENERATE_NFTABLES] = {8, 12}, [GENERATE_IPTABLES] = {6, 13}, [GENERATE_WINDOWS] = {3, 3}};
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    need(f);
    generate_write(f, format, openings, GENERATE_GATEWAY);
    need(fclose(f) == 0 && utf8_ok(text));
    if (format != GENERATE_TEXT)
        need(count_lines(text, format == GENERATE_WINDOWS) == FIXED[format][openings->side == OPENINGS_RELAY] + openings->n);
    free(text);
}

static void check_openings(const struct rules *rules)
{
    static struct openings openings;
    char error[OPENINGS_ERROR_MAX];

    for (int side = 0; side < OPENINGS_SIDES; side++) {
        struct openings_config config = {.rules = rules, .side = (enum openings_side)side, .resolve = resolve};

        for (int target = 0; target < RULES_HOST; target++)
            config.host[target].name = "turn.example.org";
        if (openings_make(&openings, &config, error))
            continue; /* no rule of that side */
        need(openings.n && openings.n <= OPENINGS_MAX);
        for (int format = 0; format < GENERATE_FORMATS; format++)
            check_generated(&openings, (enum generate_format)format);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rules rules;
    char error[RULES_ERROR_MAX];
    char *text = malloc(size + !size); /* of its own size: the sanitizer sees one byte too far */
    int err;

    if (!text)
        return 0;
    memcpy(text, data, size);
    err = rules_parse(&rules, "fuzz.rules", text, size, error);
    need(err == 0 || (err == ERR_CONFIG && strncmp(error, "fuzz.rules:", 11) == 0));
    need(err == 0 || (utf8_ok(error) && !strpbrk(error, "\r\n\x1b")));
    need(err != 0 || (rules.n > 0 && rules.n <= RULES_MAX && !*error));
    for (size_t i = 0; !err && i < rules.n; i++)
        check_rule(&rules, i);
    if (!err)
        check_openings(&rules);
    free(text);
    return 0;
}
