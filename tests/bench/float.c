/*
 * Floating point and vectors: doubles as the compiler makes them (scalar SSE2 in both builds), and
 * SSE2 by intrinsics. No approximating instructions, so that results are the same bits everywhere.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "bench.h"

#include <emmintrin.h>
#include <math.h>
#include <string.h>

static uint64_t bits(double d)
{
    uint64_t v;

    memcpy(&v, &d, sizeof(v));
    return v;
}

/* ---- matrix product ---- */
enum { SIDE = 240 };

typedef struct Matrices {
    double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
} Matrices;

static void matrix_setup(void *memory)
{
    Matrices *m = memory;
    uint32_t seed = 1;

    for (int i = 0; i < SIDE; i++) {
        for (int k = 0; k < SIDE; k++) {
            m->a[i][k] = bench_random(&seed) / 1e6 - 8;
            m->b[i][k] = bench_random(&seed) / 1e6 - 8;
        }
    }
}

static uint64_t matrix_run(void *memory)
{
    Matrices *m = memory;
    double trace = 0;

    for (int i = 0; i < SIDE; i++) {
        for (int k = 0; k < SIDE; k++) {
            double sum = 0;
            for (int j = 0; j < SIDE; j++) {
                sum += m->a[i][j] * m->b[j][k];
            }
            m->c[i][k] = sum;
        }
        trace += m->c[i][i];
    }
    return bits(trace) ^ bits(m->c[3][4]);
}

/* ---- n bodies under gravity ---- */
enum { BODIES = 5, NBODY_STEPS = 90000 };

typedef struct Body {
    double x[3], v[3], mass;
} Body;

static void nbody_step(Body *bodies, double dt)
{
    for (int i = 0; i < BODIES; i++) {
        for (int k = i + 1; k < BODIES; k++) {
            Body *a = &bodies[i], *b = &bodies[k];
            double d[3], square = 1e-3;

            for (int c = 0; c < 3; c++) {
                d[c] = a->x[c] - b->x[c];
                square += d[c] * d[c];
            }
            double force = dt / (square * sqrt(square));
            for (int c = 0; c < 3; c++) {
                a->v[c] -= d[c] * b->mass * force;
                b->v[c] += d[c] * a->mass * force;
            }
        }
    }
    for (int i = 0; i < BODIES; i++) {
        for (int c = 0; c < 3; c++) {
            bodies[i].x[c] += dt * bodies[i].v[c];
        }
    }
}

static uint64_t nbody_run(void *memory)
{
    Body *bodies = memory;
    uint32_t seed = 2;
    uint64_t sum = 0;

    for (int i = 0; i < BODIES; i++) {
        for (int c = 0; c < 3; c++) {
            bodies[i].x[c] = bench_random(&seed) / 1e7 * (i + 1);
            bodies[i].v[c] = bench_random(&seed) / 1e7 - 0.8;
        }
        bodies[i].mass = i ? 0.1 / i : 10;
    }
    for (int step = 0; step < NBODY_STEPS; step++) {
        nbody_step(bodies, 1e-4);
    }
    for (int i = 0; i < BODIES; i++) {
        sum = sum * 31 + bits(bodies[i].x[0]);
    }
    return sum;
}

/* ---- four Mandelbrot points at a time: float arithmetic in registers ---- */
static uint64_t mandelbrot_run(void *memory)
{
    const __m128 four = _mm_set1_ps(4);
    uint64_t inside = 0;

    for (int y = 0; y < 400; y++) {
        __m128 ci = _mm_set1_ps((float)y / 200 - 1);

        for (int x = 0; x < 400; x += 4) {
            __m128 cr = _mm_add_ps(_mm_set1_ps((float)x / 160 - 2),
                                   _mm_setr_ps(0, 1 / 160.f, 2 / 160.f, 3 / 160.f));
            __m128 r = _mm_setzero_ps(), i = r;
            __m128i count = _mm_setzero_si128();

            for (int n = 0; n < 128; n++) {
                __m128 rr = _mm_mul_ps(r, r), ii = _mm_mul_ps(i, i), ri = _mm_mul_ps(r, i);
                __m128 small = _mm_cmplt_ps(_mm_add_ps(rr, ii), four);
                if (!_mm_movemask_ps(small)) {
                    break;
                }
                count = _mm_sub_epi32(count, _mm_castps_si128(small));
                r = _mm_add_ps(_mm_sub_ps(rr, ii), cr);
                i = _mm_add_ps(_mm_add_ps(ri, ri), ci);
            }
            count = _mm_add_epi32(count, _mm_shuffle_epi32(count, _MM_SHUFFLE(1, 0, 3, 2)));
            count = _mm_add_epi32(count, _mm_shuffle_epi32(count, _MM_SHUFFLE(2, 3, 0, 1)));
            inside = inside * 3 + (uint32_t)_mm_cvtsi128_si32(count);
        }
    }
    return inside;
}

/* ---- a filter over samples: float vectors through memory ---- */
enum { SAMPLES = 1 << 14, TAPS = 16, FILTER_ROUNDS = 120 };

typedef struct Filter {
    float taps[TAPS], in[SAMPLES + TAPS], out[SAMPLES];
} Filter;

static void filter_setup(void *memory)
{
    Filter *f = memory;
    uint32_t seed = 3;

    for (int i = 0; i < TAPS; i++) {
        f->taps[i] = (float)(i % 5) / 20 - 0.05f;
    }
    for (int i = 0; i < SAMPLES + TAPS; i++) {
        f->in[i] = (float)bench_random(&seed) / 8388608 - 1;
    }
}

static uint64_t filter_run(void *memory)
{
    Filter *f = memory;
    uint64_t sum = 0;

    for (int round = 0; round < FILTER_ROUNDS; round++) {
        __m128 low = _mm_set1_ps(-0.4f), high = _mm_set1_ps(0.4f + (float)round / 1000);

        for (int i = 0; i < SAMPLES; i += 4) {
            __m128 v = _mm_setzero_ps();
            for (int k = 0; k < TAPS; k++) {
                v = _mm_add_ps(v, _mm_mul_ps(_mm_loadu_ps(&f->in[i + k]), _mm_set1_ps(f->taps[k])));
            }
            _mm_storeu_ps(&f->out[i], _mm_max_ps(low, _mm_min_ps(high, v)));
        }
        for (int i = 0; i < SAMPLES; i += 100) {
            sum = sum * 31 + (uint64_t)(int64_t)(f->out[i] * 1e6f);
        }
    }
    return sum;
}

/* ---- blending pictures: integer vectors, packing and unpacking ---- */
enum { PIXELS = 1 << 16, BLEND_ROUNDS = 200 };

static void blend_setup(void *memory)
{
    uint8_t *p = memory;
    uint32_t seed = 4;

    for (int i = 0; i < PIXELS * 8; i++) {
        p[i] = (uint8_t)bench_random(&seed);
    }
}

static __m128i blend(__m128i a, __m128i b, __m128i alpha)
{
    __m128i rest = _mm_sub_epi16(_mm_set1_epi16(256), alpha);

    return _mm_srli_epi16(_mm_add_epi16(_mm_mullo_epi16(a, alpha), _mm_mullo_epi16(b, rest)), 8);
}

static uint64_t blend_run(void *memory)
{
    const __m128i *a = memory, *b = a + PIXELS / 4;
    const __m128i zero = _mm_setzero_si128();
    __m128i sum = zero;

    for (int round = 0; round < BLEND_ROUNDS; round++) {
        __m128i alpha = _mm_set1_epi16((short)(round + 20));

        for (int i = 0; i < PIXELS / 4; i++) {
            __m128i x = _mm_loadu_si128(a + i), y = _mm_loadu_si128(b + i);
            __m128i low = blend(_mm_unpacklo_epi8(x, zero), _mm_unpacklo_epi8(y, zero), alpha);
            __m128i high = blend(_mm_unpackhi_epi8(x, zero), _mm_unpackhi_epi8(y, zero), alpha);

            sum = _mm_add_epi64(sum, _mm_sad_epu8(_mm_packus_epi16(low, high), _mm_max_epu8(x, y)));
        }
    }
    return (uint64_t)_mm_cvtsi128_si32(sum) << 32 |
           (uint32_t)_mm_cvtsi128_si32(_mm_srli_si128(sum, 8));
}

const Kernel float_kernels[] = {
    {"matrix", sizeof(Matrices), matrix_setup, matrix_run, NULL},
    {"nbody", BODIES * sizeof(Body), NULL, nbody_run, NULL},
    {"sse2-mandelbrot", 0, NULL, mandelbrot_run, NULL},
    {"sse2-filter", sizeof(Filter), filter_setup, filter_run, NULL},
    {"sse2-blend", PIXELS * 8, blend_setup, blend_run, NULL},
    {0},
};
