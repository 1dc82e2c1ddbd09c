/*
 * Purpose:  tests/vectors/stun.json for the tests: each string value by the vector's name and its key.
 * Owner:    one test program.
 * Lifetime: static buffers; a value lives until the program ends.
 * Callers:  tests/unit/test_stun.c.
 * RFC:      5769, 8489 appendix B.1.
 */
#ifndef TESTS_UNIT_VECTORS_H
#define TESTS_UNIT_VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

enum { VECTOR_MAX = 1024 };

struct vector {
    uint8_t msg[VECTOR_MAX];
    size_t len;
    char username[64], realm[64], password[64], nonce[64], key_hex[65];
};

/* The file, once. `make check` says where the sources are. */
static inline const char *vector_file(void)
{
    static char text[16384], path[4096];
    if (text[0])
        return text;
    const char *dir = getenv("TP_SRCDIR");
    snprintf(path, sizeof(path), "%s/tests/vectors/stun.json", dir ? dir : ".");
    FILE *f = fopen(path, "r");
    if (!f || fread(text, 1, sizeof(text) - 1, f) == 0) {
        printf("Bail out! cannot read %s\n", path);
        exit(1);
    }
    fclose(f);
    return text;
}

/* Copies the string behind `"key": "` that stands between `from` and `end`; empty when it is not there. No value has an escape. */
static inline size_t vector_string(const char *from, const char *end, const char *key, char *out, size_t cap)
{
    char pattern[64];
    snprintf(pattern, sizeof(pattern), "\"%s\": \"", key);
    const char *p = strstr(from, pattern);
    out[0] = 0;
    if (!p || p > end)
        return 0;
    p += strlen(pattern);
    size_t n = strcspn(p, "\"");
    if (n >= cap)
        return 0;
    memcpy(out, p, n);
    out[n] = 0;
    return n;
}

static inline bool vector_load(struct vector *v, const char *name)
{
    char pattern[128], hex[2 * VECTOR_MAX + 1];
    snprintf(pattern, sizeof(pattern), "\"name\": \"%s\"", name);
    const char *at = strstr(vector_file(), pattern);
    if (!at)
        return false;
    const char *end = strchr(at, '}');
    vector_string(at, end, "username", v->username, sizeof(v->username));
    vector_string(at, end, "realm", v->realm, sizeof(v->realm));
    vector_string(at, end, "password", v->password, sizeof(v->password));
    vector_string(at, end, "nonce", v->nonce, sizeof(v->nonce));
    vector_string(at, end, "key_hex", v->key_hex, sizeof(v->key_hex));
    v->len = vector_string(at, end, "hex", hex, sizeof(hex)) / 2;
    return v->len > 0 && hex_decode(v->msg, v->len, hex) == 0;
}

#endif
