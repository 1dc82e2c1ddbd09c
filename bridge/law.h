/*
 * Purpose:  A-law to mu-law and back, where the two legs of a call have not agreed on one of them: a byte for a byte.
 * Owner:    any thread; constant tables.
 * Lifetime: static.
 * Callers:  bridge/media.
 * RFC:      3551 sections 4.5.14; ITU-T G.711.
 */
#ifndef BRIDGE_LAW_H
#define BRIDGE_LAW_H

#include <stddef.h>
#include <stdint.h>

/* In place. */
void law_from_a_to_mu(uint8_t *samples, size_t n);
void law_from_mu_to_a(uint8_t *samples, size_t n);

#endif
