#include "base/utf8.h"

#include <string.h>

size_t utf8_at(const uint8_t *p, size_t left, uint32_t *cp)
{
    size_t n = p[0] < 0x80                    ? 1
               : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
               : (p[0] & 0xf0) == 0xe0        ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t v;

    *cp = UTF8_REPLACEMENT;
    if (n == 0 || n > left)
        return 1;
    v = n == 1 ? p[0] : p[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 1;
        v = v << 6 | (p[i] & 0x3f);
    }
    if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return 1;
    *cp = v;
    return n;
}

/* U+FFFD itself has three bytes. */
static bool broken(const char *text, size_t *len)
{
    uint32_t cp;

    *len = utf8_at((const uint8_t *)text, strlen(text), &cp);
    return cp == UTF8_REPLACEMENT && *len == 1;
}

bool utf8_ok(const char *text)
{
    size_t len;

    for (; *text; text += len)
        if (broken(text, &len))
            return false;
    return true;
}

void utf8_mend(char *text)
{
    size_t len;

    for (; *text; text += len)
        if (broken(text, &len))
            *text = '?';
}

void utf8_mask(char *text)
{
    for (size_t len; *text; text += len) {
        uint32_t cp;

        len = utf8_at((const uint8_t *)text, strlen(text), &cp);
        if (cp < ' ' || (cp >= 0x7f && cp < 0xa0) || (cp == UTF8_REPLACEMENT && len == 1))
            memset(text, '?', len);
    }
}
