#include "connect/jsontext.h"

#include <stdlib.h>

/* Not json_dumps: where memory ends while its text grows, it may leave out a quote and go on. */
char *jsontext_of(const json_t *json, size_t *len)
{
    size_t n = json ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0;
    char *text = n ? malloc(n + 1) : NULL;

    if (text && json_dumpb(json, text, n, JSON_COMPACT) != n) {
        free(text);
        text = NULL;
    }
    if (text)
        text[n] = '\0';
    if (len)
        *len = text ? n : 0;
    return text;
}
