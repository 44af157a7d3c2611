/*
 * x87 kernels (compiled with -mfpmath=387): stack arithmetic in registers, doubles through memory,
 * conversions. Arithmetic and square roots only, so that results are the same bits everywhere.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "bench.h"

#include <string.h>

/* ---- power series in extended precision ---- */
enum { SERIES_TERMS = 24, SERIES_POINTS = 40000 };

static uint64_t mantissa(long double value)
{
    uint64_t v;

    memcpy(&v, &value, sizeof(v));
    return v;
}

static uint64_t series_run(void *memory)
{
    uint64_t sum = 0;

    for (int p = 0; p < SERIES_POINTS; p++) {
        long double x = (long double)p / SERIES_POINTS, square = x * x;
        long double sine = x, term = x, power = 1, exponential = 1;

        for (int n = 1; n <= SERIES_TERMS; n++) {
            term = -term * square / ((2 * n) * (2 * n + 1));
            sine += term;
            power = power * x / n;
            exponential += power;
        }
        sum = sum * 31 + mantissa(__builtin_sqrtl(sine * sine + exponential));
    }
    return sum;
}

/* ---- Gaussian elimination with pivots ---- */
enum { EQUATIONS = 100, ELIMINATIONS = 16 };

typedef struct Equations {
    double a[EQUATIONS][EQUATIONS + 1];
} Equations;

static void fill(Equations *e, uint32_t seed)
{
    for (int i = 0; i < EQUATIONS; i++) {
        for (int k = 0; k <= EQUATIONS; k++) {
            e->a[i][k] = bench_random(&seed) / 1e6 - 8;
        }
    }
}

static void eliminate(Equations *e)
{
    for (int c = 0; c < EQUATIONS; c++) {
        int pivot = c;

        for (int i = c + 1; i < EQUATIONS; i++) {
            if (__builtin_fabs(e->a[i][c]) > __builtin_fabs(e->a[pivot][c])) {
                pivot = i;
            }
        }
        for (int k = c; k <= EQUATIONS; k++) {
            double t = e->a[c][k];
            e->a[c][k] = e->a[pivot][k];
            e->a[pivot][k] = t;
        }
        for (int i = 0; i < EQUATIONS; i++) {
            double factor = e->a[i][c] / e->a[c][c];
            for (int k = c; i != c && k <= EQUATIONS; k++) {
                e->a[i][k] -= factor * e->a[c][k];
            }
        }
    }
}

static uint64_t elimination_run(void *memory)
{
    Equations *e = memory;
    uint64_t sum = 0;

    for (uint32_t round = 0; round < ELIMINATIONS; round++) {
        fill(e, round + 1);
        eliminate(e);
        for (int i = 0; i < EQUATIONS; i++) {
            double x = e->a[i][EQUATIONS] / e->a[i][i];
            uint64_t v;

            memcpy(&v, &x, sizeof(v));
            sum = sum * 31 + v;
        }
    }
    return sum;
}

/* ---- mixing sound: 16-bit integers to floating point and back, comparisons ---- */
enum { SOUND = 1 << 15, MIX_ROUNDS = 40 };

static void mixing_setup(void *memory)
{
    int16_t *sound = memory;
    uint32_t seed = 5;

    for (int i = 0; i < 2 * SOUND; i++) {
        sound[i] = (int16_t)bench_random(&seed);
    }
}

static uint64_t mixing_run(void *memory)
{
    const int16_t *left = memory, *right = left + SOUND;
    uint64_t sum = 0;

    for (int round = 0; round < MIX_ROUNDS; round++) {
        double volume = 0.3 + 0.02 * round, balance = 0.9 - 0.01 * round, held = 0;

        for (int i = 0; i < SOUND; i++) {
            double v = left[i] * volume + right[i] * balance;

            held = held * 0.75 + v * 0.25;
            v = held > 32767 ? 32767 : held < -32768 ? -32768 : held;
            sum = sum * 3 + (uint32_t)(int)v;
        }
    }
    return sum;
}

const Kernel x87_kernels[] = {
    {"x87-series", 0, NULL, series_run, NULL},
    {"x87-elimination", sizeof(Equations), NULL, elimination_run, NULL},
    {"x87-mixing", SOUND * 2 * sizeof(int16_t), mixing_setup, mixing_run, NULL},
    {0},
};
