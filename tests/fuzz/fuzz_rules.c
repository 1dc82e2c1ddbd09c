/* Whatever is in a file of firewall rules: it is refused in one line that names the file, or each rule of it is whole. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
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
    free(text);
    return 0;
}
