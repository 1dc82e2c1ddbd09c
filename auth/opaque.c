/*
 * Purpose:  user names and passwords in one form: the OpaqueString profile of PRECIS.
 * Owner:    any thread; there is no state.
 * Lifetime: nothing is kept.
 * Callers:  auth/, relay/turn (through auth.h).
 * RFC:      8265 section 4.2; 8264 sections 4.3, 8 and 9; 5892 appendix A (contextual rules).
 */
#include <stdlib.h>
#include <string.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "auth/auth.h"
#include "base/err.h"

enum {
    CP_SPACE = 0x20,
    CP_ZWNJ = 0x200C,
    CP_ZWJ = 0x200D,
    CCC_VIRAMA = 9,
};

struct range {
    ucs4_t first, last;
};

static bool in_ranges(ucs4_t c, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= r[i].first && c <= r[i].last)
            return true;
    return false;
}

#define IN(c, table) in_ranges((c), (table), sizeof(table) / sizeof((table)[0]))

/* RFC 8264 section 9.6; the exceptions that it makes valid are valid in FreeformClass anyway, by their category. */
static const struct range EXCEPTION_CONTEXT[] = {{0xB7, 0xB7},   {0x375, 0x375}, {0x5F3, 0x5F4},
                                                 {0x660, 0x669}, {0x6F0, 0x6F9}, {0x30FB, 0x30FB}};
static const struct range EXCEPTION_DISALLOWED[] = {
    {0x640, 0x640}, {0x7FA, 0x7FA}, {0x302E, 0x302F}, {0x3031, 0x3035}, {0x303B, 0x303B}};
/* Section 9.9: Hangul_Syllable_Type L, V, T. */
static const struct range OLD_HANGUL_JAMO[] = {{0x1100, 0x11FF}, {0xA960, 0xA97C}, {0xD7B0, 0xD7C6}, {0xD7CB, 0xD7FB}};

static bool printable_ascii(ucs4_t c)
{
    return c >= 0x20 && c <= 0x7E;
}

/* What FreeformClass takes without looking at the neighbours (RFC 8264 section 8). HasCompat adds nothing to the categories below.
 */
static bool freeform_valid(ucs4_t c)
{
    if (IN(c, EXCEPTION_DISALLOWED) || IN(c, OLD_HANGUL_JAMO))
        return false;
    /* Unassigned, surrogates, private use, controls and formats are no part of the class; nor are line and paragraph separators. */
    const uint32_t classes = UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_M | UC_CATEGORY_MASK_N | UC_CATEGORY_MASK_P |
                             UC_CATEGORY_MASK_S | UC_CATEGORY_MASK_Zs;
    if (uc_is_property(c, UC_PROPERTY_DEFAULT_IGNORABLE_CODE_POINT) || uc_is_property(c, UC_PROPERTY_NOT_A_CHARACTER))
        return false;
    return uc_is_general_category_withtable(c, classes);
}

/* The script of the code point is `name`; nothing has no script. */
static bool has_script(ucs4_t c, const char *name)
{
    const uc_script_t *s = uc_script(c);
    return s && strcmp(s->name, name) == 0;
}

/* RFC 5892 appendix A.1: a virama before, or joining letters on both sides, transparent ones passed over. */
static bool joins(const ucs4_t *s, size_t n, size_t i)
{
    if (i > 0 && uc_combining_class(s[i - 1]) == CCC_VIRAMA)
        return true;
    if (s[i] == CP_ZWJ)
        return false; /* A.2 knows the virama only */
    size_t before = i, after = i + 1;
    while (before > 0 && uc_joining_type(s[before - 1]) == UC_JOINING_TYPE_T)
        before--;
    while (after < n && uc_joining_type(s[after]) == UC_JOINING_TYPE_T)
        after++;
    if (before == 0 || after == n)
        return false;
    int left = uc_joining_type(s[before - 1]), right = uc_joining_type(s[after]);
    return (left == UC_JOINING_TYPE_L || left == UC_JOINING_TYPE_D) && (right == UC_JOINING_TYPE_R || right == UC_JOINING_TYPE_D);
}

static bool any_in(const ucs4_t *s, size_t n, ucs4_t first, ucs4_t last)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] >= first && s[i] <= last)
            return true;
    return false;
}

/* RFC 5892 appendix A.3 to A.9. */
static bool context_allows(const ucs4_t *s, size_t n, size_t i)
{
    switch (s[i]) {
    case 0xB7: /* middle dot: between two l, as in Catalan */
        return i > 0 && i + 1 < n && s[i - 1] == 'l' && s[i + 1] == 'l';
    case 0x375: /* Greek keraia: a Greek letter follows */
        return i + 1 < n && has_script(s[i + 1], "Greek");
    case 0x5F3: /* Hebrew geresh, gershayim: a Hebrew letter stands before */
    case 0x5F4:
        return i > 0 && has_script(s[i - 1], "Hebrew");
    case 0x30FB: /* Katakana middle dot: with at least one kana or Han somewhere */
        for (size_t k = 0; k < n; k++)
            if (k != i && (has_script(s[k], "Hiragana") || has_script(s[k], "Katakana") || has_script(s[k], "Han")))
                return true;
        return false;
    default: /* the two sets of Arabic-Indic digits are not mixed */
        return s[i] < 0x6F0 ? !any_in(s, n, 0x6F0, 0x6F9) : !any_in(s, n, 0x660, 0x669);
    }
}

static bool freeform(const ucs4_t *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool ok = IN(s[i], EXCEPTION_CONTEXT)         ? context_allows(s, n, i)
                  : s[i] == CP_ZWNJ || s[i] == CP_ZWJ ? joins(s, n, i)
                                                      : freeform_valid(s[i]);
        if (!ok)
            return false;
    }
    return true;
}

static bool all_printable_ascii(const char *in, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!printable_ascii((unsigned char)in[i]))
            return false;
    return true;
}

static void wipe_free(void *p, size_t n)
{
    if (p)
        explicit_bzero(p, n);
    free(p);
}

int auth_opaque_string(char *out, size_t cap, const char *in, size_t len)
{
    ucs4_t *wide = NULL, *normal = NULL;
    size_t wide_n = 0, normal_n = 0, out_n = cap;
    int err = ERR_INVAL;

    if (len == 0)
        return ERR_INVAL;
    if (all_printable_ascii(in, len)) { /* nearly every name: nothing to map, nothing to normalise */
        if (len >= cap)
            return ERR_NOSPC;
        memmove(out, in, len);
        out[len] = '\0';
        return 0;
    }
    if (u8_check((const uint8_t *)in, len))
        return ERR_INVAL;

    wide = u8_to_u32((const uint8_t *)in, len, NULL, &wide_n);
    if (!wide)
        return ERR_NOMEM;
    for (size_t i = 0; i < wide_n; i++)
        if (wide[i] > 0x7F && uc_is_general_category(wide[i], UC_CATEGORY_Zs))
            wide[i] = CP_SPACE;
    normal = u32_normalize(UNINORM_NFC, wide, wide_n, NULL, &normal_n);
    if (!normal) {
        err = ERR_NOMEM;
        goto out;
    }
    /* Checked after NFC, so that a decomposed name (macOS types Hangul as jamo) is judged by what it is compared as. */
    if (!freeform(normal, normal_n))
        goto out;

    uint8_t *text = u32_to_u8(normal, normal_n, NULL, &out_n);
    if (!text) {
        err = ERR_NOMEM;
        goto out;
    }
    err = out_n < cap ? 0 : ERR_NOSPC;
    if (!err) {
        memcpy(out, text, out_n);
        out[out_n] = '\0';
    }
    wipe_free(text, out_n);
out:
    wipe_free(normal, normal_n * sizeof(*normal));
    wipe_free(wide, wide_n * sizeof(*wide));
    return err;
}
