#include "probe/generate.h"

#include <string.h>

#include "base/utf8.h"
#include "probe/generateparts.h"

static const struct {
    const char *name;
    void (*write)(FILE *f, const struct openings *openings, enum generate_way way);
} FORMATS[GENERATE_FORMATS] = {[GENERATE_NFTABLES] = {"nftables", generate_nftables},
                               [GENERATE_IPTABLES] = {"iptables", generate_iptables},
                               [GENERATE_WINDOWS] = {"windows", generate_windows},
                               [GENERATE_TEXT] = {"text", generate_text}};
static const char *const PLACES[GENERATE_PLACES] = {[GENERATE_GATEWAY] = "gateway", [GENERATE_HOST] = "host"};

bool generate_format(const char *word, enum generate_format *out)
{
    for (int i = 0; i < GENERATE_FORMATS; i++) {
        if (strcmp(word, FORMATS[i].name) == 0) {
            *out = (enum generate_format)i;
            return true;
        }
    }
    return false;
}

bool generate_place(const char *word, enum generate_place *out)
{
    for (int i = 0; i < GENERATE_PLACES; i++) {
        if (strcmp(word, PLACES[i]) == 0) {
            *out = (enum generate_place)i;
            return true;
        }
    }
    return false;
}

enum generate_way generate_way(const struct openings *openings, enum generate_place place)
{
    if (openings->side == OPENINGS_RELAY)
        return GENERATE_INPUT;
    return place == GENERATE_HOST ? GENERATE_OUTPUT : GENERATE_FORWARD;
}

void generate_write(FILE *f, enum generate_format format, const struct openings *openings, enum generate_place place)
{
    FORMATS[format].write(f, openings, generate_way(openings, place));
}

/* ---- What somebody else has chosen. ---- */

static bool is_control(uint32_t cp)
{
    return cp < ' ' || (cp >= 0x7F && cp < 0xA0) || cp == 0x2028 || cp == 0x2029 || cp == UTF8_REPLACEMENT;
}

void generate_words(FILE *f, const char *words, bool ascii)
{
    const uint8_t *p = (const uint8_t *)words;
    size_t left = strlen(words);
    uint32_t cp;

    while (left) {
        size_t n = utf8_at(p, left, &cp);

        if (is_control(cp) || (ascii && cp > '~'))
            fputc('?', f);
        else
            fwrite(p, 1, n, f); // NOLINT(cert-err33-c): the caller asks ferror
        p += n;
        left -= n;
    }
}

/* ---- Comments. ---- */

const char *generate_purpose(const struct openings *openings)
{
    static const char *const PURPOSES[OPENINGS_SIDES] = {
        [OPENINGS_OFFICE] = "What the UC server has to reach, so that people away from the office can call.",
        [OPENINGS_BROWSER] = "What a browser has to reach, so that it can call the office.",
        [OPENINGS_RELAY] = "What the host of relay, connect service and web app has to let in."};

    return PURPOSES[openings->side];
}

void generate_head(FILE *f, const struct openings *openings, enum generate_way way)
{
    static const char *const DROPS[GENERATE_WAYS] = {
        [GENERATE_FORWARD] = "Answers come back by themselves; nothing else is forwarded, in either direction.",
        [GENERATE_OUTPUT] = "Answers come in by themselves; nothing else goes out.",
        [GENERATE_INPUT] = "Answers to what the host itself asks come in by themselves; nothing else comes in."};

    fprintf(f, "# %s\n# %s\n# Written by turnpike-probe --generate. Names stand for the addresses that they had then.\n",
            generate_purpose(openings), DROPS[way]);
}

void generate_comment(FILE *f, const struct opening *o, unsigned indent, bool ascii)
{
    fprintf(f, "%*s# ", (int)indent, "");
    if (o->rule)
        fprintf(f, "%u: ", o->rule);
    generate_words(f, *o->text ? o->text : o->service, ascii);
    if (*o->to) {
        fputs(" (", f);
        generate_words(f, o->to, ascii);
        fputc(')', f);
    }
    fputc('\n', f);
}

size_t generate_addresses(FILE *f, const struct opening *o, enum addr_family family, const char *between)
{
    char ip[ADDR_TEXT_MAX];
    size_t n = 0;

    for (size_t i = 0; i < o->n; i++) {
        if (family != ADDR_NONE && o->address[i].family != family)
            continue;
        if (f)
            fprintf(f, "%s%s", n ? between : "", addr_ip_text(&o->address[i], ip));
        n++;
    }
    return n;
}
