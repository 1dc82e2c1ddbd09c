/*
 * Purpose:  random bytes from the kernel, and text forms of bytes.
 * Owner:    any thread.
 * Lifetime: no state.
 * Callers:  every room.
 * RFC:      4648 (base64).
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* getrandom(2); never fails on a kernel that has booted (aborts if it does). */
void random_bytes(void *out, size_t n);
/* Choices that must not be guessed from outside (relay ports), without a system call each: random_bytes, read ahead. One a thread. */
struct random {
    uint8_t buf[256];
    size_t used; /* bytes of buf already handed out; starts at sizeof buf */
};
void random_init(struct random *r);
uint32_t random_u32(struct random *r);
/* Uniform in [0, n), n > 0. */
uint32_t random_below(struct random *r, uint32_t n);

/* Base64 with padding; out needs 4 * ((n + 2) / 3) + 1 bytes. Returns the length without the NUL. */
size_t base64_encode(char *out, const void *in, size_t n);
/* Lower-case hex; out needs 2 n + 1 bytes. */
void hex_encode(char *out, const void *in, size_t n);
/* ERR_INVAL unless `hex` is exactly 2 n digits. */
int hex_decode(uint8_t *out, size_t n, const char *hex);

#endif
