/*
 * Purpose:  code points of UTF-8, and text made well-formed.
 * Owner:    any thread; no state.
 * Lifetime: no state.
 * Callers:  base/logline, admin/, probe/.
 * RFC:      3629.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_REPLACEMENT = 0xFFFD };

/* The code point at p and its length in bytes; UTF8_REPLACEMENT and 1 where the `left` bytes are not UTF-8 (RFC 3629 section 4: no overlong form, no
 * surrogate, nothing above U+10FFFF). */
size_t utf8_at(const uint8_t *p, size_t left, uint32_t *cp);
bool utf8_ok(const char *text);
/* Writes '?' over every byte that belongs to no code point, such as what is left of one that was cut. */
void utf8_mend(char *text);
/* The same, and over what a terminal may take for a command: control characters, U+0080 to U+009F among them. */
void utf8_mask(char *text);

#endif
