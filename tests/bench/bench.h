/*
 * The benchmark's guest program: kernels of five classes, a measure of timer lateness, and
 * independent jobs. One static program that runs natively and, from a bare initramfs, in an
 * emulator.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/*
 * A piece of work of a few milliseconds on this decade's machines. Its checksum depends on the
 * build alone, so that the same program has to print the same everywhere.
 */
typedef struct Kernel {
    const char *name;
    size_t bytes; /* zeroed memory it is given; fresh, so that kernels do not disturb each other */
    void (*setup)(void *memory);    /* once, not timed; may be NULL */
    uint64_t (*run)(void *memory);  /* timed, several times; returns the same each time */
    void (*teardown)(void *memory); /* once, not timed; may be NULL */
} Kernel;

/* A kernel without a name ends each list. */
extern const Kernel integer_kernels[];
extern const Kernel string_kernels[];
extern const Kernel float_kernels[];
extern const Kernel x87_kernels[];
extern const Kernel system_kernels[];

/* Milliseconds of CLOCK_MONOTONIC. */
double bench_now(void);

/* Ends the program with "what: error" when the condition, a system call's success, does not hold.
 */
void bench_must(int success, const char *what);

/* The same pseudo-random numbers of 24 bits everywhere; the state starts with anything but 0
 * (Marsaglia's xorshift). */
static inline uint32_t bench_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state >> 8;
}

/* Prints the lateness of a 1 kHz timer beside a busy thread on the same CPU, measured for so many
 * seconds. */
void latency(double seconds);

/* Prints how long one and how long `jobs` independent integer jobs take, each on a CPU of its own.
 */
void parallel(int jobs);

#endif
