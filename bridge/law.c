#include "bridge/law.h"

#include <stdbool.h>

enum {
    SIGN = 0x80,
    MANTISSA = 0x0F,
    A_MASK = 0x55, /* even bits are sent inverted */
    MU_BIAS = 33,  /* in units of 14 bits */
    MU_MAX = 8158,
    A_MAX = 4095, /* of 13 bits */
};

static uint8_t to_mu[256], to_a[256];
static bool made;

/* ---- G.711 as numbers; magnitudes in 14 bits for both, sign apart ---- */
static int magnitude_of_a(uint8_t code)
{
    int segment = (code & 0x70) >> 4, m = code & MANTISSA;
    int value = segment ? ((m << 1) + 33) << (segment - 1) : (m << 1) + 1; /* 13 bits */
    return value << 1;
}

static int magnitude_of_mu(uint8_t code)
{
    int segment = (code & 0x70) >> 4, m = code & MANTISSA;
    return (((m << 1) + 33) << segment) - MU_BIAS;
}

static uint8_t code_of_mu(int magnitude)
{
    int value = (magnitude > MU_MAX ? MU_MAX : magnitude) + MU_BIAS, segment = 0;
    while (segment < 7 && value >> (segment + 6))
        segment++;
    return (uint8_t)(segment << 4 | ((value >> (segment + 1)) & MANTISSA));
}

static uint8_t code_of_a(int magnitude)
{
    int value = magnitude >> 1, segment = 0;
    if (value > A_MAX)
        value = A_MAX;
    while (segment < 7 && value >> (segment + 5))
        segment++;
    return (uint8_t)(segment << 4 | ((value >> (segment ? segment : 1)) & MANTISSA));
}

/* The sign bit of A-law says plus, that of mu-law (which is sent inverted) too. */
static void make(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint8_t a = (uint8_t)(i ^ A_MASK), mu = (uint8_t)(i ^ 0xFF);
        to_mu[i] = (uint8_t)((code_of_mu(magnitude_of_a(a & 0x7F)) | (a & SIGN ? 0 : SIGN)) ^ 0xFF);
        to_a[i] = (uint8_t)((code_of_a(magnitude_of_mu(mu & 0x7F)) | (mu & SIGN ? 0 : SIGN)) ^ A_MASK);
    }
    made = true;
}

static void convert(uint8_t *samples, size_t n, const uint8_t table[static 256])
{
    if (!made)
        make();
    for (size_t i = 0; i < n; i++)
        samples[i] = table[samples[i]];
}

void law_from_a_to_mu(uint8_t *samples, size_t n)
{
    convert(samples, n, to_mu);
}

void law_from_mu_to_a(uint8_t *samples, size_t n)
{
    convert(samples, n, to_a);
}
