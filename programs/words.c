#include "programs/words.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

int words_time(int64_t *out, const char *text, int64_t now)
{
    static const struct {
        char unit;
        int64_t seconds;
    } UNITS[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    const char *digits = text[0] == '@' ? text + 1 : text;
    char *end;
    long long n;

    errno = 0;
    n = strtoll(digits, &end, 10);
    if (digits[0] < '0' || digits[0] > '9' || errno || n > INT64_C(100000000000))
        return ERR_INVAL;
    if (digits != text) {
        *out = n;
        return *end ? ERR_INVAL : 0;
    }
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++)
        if (end[0] == UNITS[i].unit && !end[1]) {
            *out = now + n * UNITS[i].seconds;
            return 0;
        }
    return ERR_INVAL;
}

int words_size(int64_t *out, const char *text)
{
    static const char UNITS[] = "kMG";
    char *end;
    long long n, factor = 1;
    const char *unit;

    errno = 0;
    n = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno)
        return ERR_INVAL;
    if (*end) {
        unit = strchr(UNITS, *end);
        if (!unit || end[1])
            return ERR_INVAL;
        for (const char *p = UNITS; p <= unit; p++)
            factor *= 1000;
    }
    if (n > INT64_MAX / factor)
        return ERR_INVAL;
    *out = n * factor;
    return 0;
}
