/*
 * Chance for tests that can be run again: numbers that follow from a seed (xorshift64*, S. Vigna,
 * "An experimental exploration of Marsaglia's xorshift generators, scrambled").
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_RNG_H
#define TESTS_RNG_H

#include <stdint.h>

static uint64_t rng_state = 1; /* the seed; not 0 */

static inline uint64_t rng(void)
{
    rng_state ^= rng_state >> 12;
    rng_state ^= rng_state << 25;
    rng_state ^= rng_state >> 27;
    return rng_state * 0x2545f4914f6cdd1dull;
}

/* One of 0 to n - 1; of nothing: 0. */
static inline uint64_t below(uint64_t n)
{
    return n ? (rng() >> 16) % n : 0;
}

#endif
