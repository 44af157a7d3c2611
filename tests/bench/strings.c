/*
 * The C library's string functions on operands from a few bytes to a few thousand, and on whole
 * buffers. Which instructions they are made of is the library's choice, by CPUID.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "bench.h"

#include <string.h>
#ifdef __i386__
#include <emmintrin.h>
#endif

enum { HALF = 128 << 10, PIECES = 2000, LONGEST = 4000 };
enum { COPIES = 25, FILLS = 150, SCANS = 200, COMPARISONS = 150 };

/* Two halves of text, and pieces of a half in random order; both halves are cut into strings at the
 * same places. */
typedef struct Text {
    char a[HALF], b[HALF];
    struct {
        uint32_t at, length;
    } pieces[PIECES];
} Text;

/* Three of four are short. */
static uint32_t some_length(uint32_t *seed)
{
    uint32_t r = bench_random(seed);

    return (r % 4 ? r / 4 % 100 : r / 4 % LONGEST) + 1;
}

static void text_setup(void *memory)
{
    Text *t = memory;
    uint32_t seed = 1;

    for (size_t i = 0; i < HALF; i++) {
        t->a[i] = t->b[i] = (char)('a' + bench_random(&seed) % 26);
    }
    for (size_t i = 0; i < PIECES; i++) {
        t->pieces[i].length = some_length(&seed);
        t->pieces[i].at = bench_random(&seed) % (HALF - LONGEST);
    }
}

static void strings_setup(void *memory)
{
    Text *t = memory;
    uint32_t seed = 2;

    text_setup(memory);
    for (size_t at = some_length(&seed); at < HALF / 2; at += some_length(&seed)) {
        t->a[at] = t->b[at] = 0;
    }
    t->a[HALF - 1] = t->b[HALF - 1] = 0;
}

static uint64_t sample(const char *p)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < HALF; i += 111) {
        sum = sum * 31 + (uint8_t)p[i];
    }
    return sum;
}

static uint64_t memcpy_run(void *memory)
{
    Text *t = memory;

    for (size_t round = 0; round < COPIES; round++) {
        for (size_t i = 0; i < PIECES; i++) {
            memcpy(t->b + t->pieces[i].at, t->a + (t->pieces[i].at ^ 5), t->pieces[i].length);
        }
        for (size_t i = 0; i < 10; i++) {
            memcpy(t->b + i, t->a + round, HALF - COPIES);
        }
    }
    return sample(t->b);
}

static uint64_t memset_run(void *memory)
{
    Text *t = memory;

    for (size_t round = 0; round < FILLS; round++) {
        for (size_t i = 0; i < PIECES; i++) {
            memset(t->b + t->pieces[i].at, (int)(round + i), t->pieces[i].length);
        }
        for (size_t i = 0; i < 10; i++) {
            memset(t->b + i, (int)i, HALF - FILLS);
        }
    }
    return sample(t->b);
}

#ifdef __i386__
/* What the shared 32-bit library takes on a machine with SSE2; the static one has only a scalar strlen. */
static __attribute__((noinline, target("sse2"))) size_t length_of(const char *s)
{
    const char *block = (const char *)((uintptr_t)s & ~(uintptr_t)15);
    const __m128i zero = _mm_setzero_si128();
    unsigned mask = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(*(const __m128i *)block, zero)) >> (s - block);

    if (mask) {
        return (size_t)__builtin_ctz(mask);
    }
    do {
        block += 16;
        mask = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(*(const __m128i *)block, zero));
    } while (!mask);
    return (size_t)(block - s) + (size_t)__builtin_ctz(mask);
}
#else
#define length_of strlen
#endif

static uint64_t strlen_run(void *memory)
{
    const Text *t = memory;
    uint64_t sum = 0;

    for (int round = 0; round < SCANS; round++) {
        for (size_t at = 0; at < HALF;) {
            size_t length = length_of(t->a + at);
            sum = sum * 3 + length;
            at += length + 1;
        }
        for (size_t i = 0; i < 20; i++) {
            sum += length_of(t->b + HALF / 2 + i);
        }
    }
    return sum;
}

/* Equal strings, so that each comparison reads to the end; and one that differs soon. */
static uint64_t strcmp_run(void *memory)
{
    const Text *t = memory;
    uint64_t sum = 0;

    for (int round = 0; round < COMPARISONS; round++) {
        for (size_t at = 0; at < HALF; at += strlen(t->a + at) + 1) {
            sum = sum * 3 + (strcmp(t->a + at, t->b + at) == 0) +
                  (strcmp(t->a + at, t->b + at + 1) > 0);
        }
        for (size_t i = 0; i < 20; i++) {
            sum += strcmp(t->a + HALF / 2 + i, t->b + HALF / 2 + i) == 0;
        }
    }
    return sum;
}

const Kernel string_kernels[] = {
    {"memcpy", sizeof(Text), text_setup, memcpy_run, NULL},
    {"memset", sizeof(Text), text_setup, memset_run, NULL},
    {"strlen", sizeof(Text), strings_setup, strlen_run, NULL},
    {"strcmp", sizeof(Text), strings_setup, strcmp_run, NULL},
    {0},
};
