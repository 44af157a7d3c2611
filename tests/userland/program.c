/*
 * What gcc compiles and runs in the guest: integers, sorting, floating point in and out of text, long double, structures
 * by value, indirect calls. Its output is compared with that of the same program on the host.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Point {
    double x, y;
    float weight;
    int16_t tag;
} Point;

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static Point rotate(Point p, double angle)
{
    Point q = p;

    q.x = p.x * cos(angle) - p.y * sin(angle);
    q.y = p.x * sin(angle) + p.y * cos(angle);
    q.weight *= 0.5f;
    q.tag = (int16_t)(p.tag * 3 + 1);
    return q;
}

static int queens(int n, unsigned columns, unsigned left, unsigned right)
{
    int count = 0;
    unsigned all = (1u << n) - 1;

    if (columns == all) {
        return 1;
    }
    for (unsigned open = all & ~(columns | left | right); open; open &= open - 1) {
        unsigned bit = open & -open;
        count += queens(n, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return count;
}

static double sum(int n, ...)
{
    va_list list;
    double total = 0;

    va_start(list, n);
    while (n--) {
        total += va_arg(list, double) * va_arg(list, int);
    }
    va_end(list);
    return total;
}

static jmp_buf back;

static void unwind(int depth)
{
    if (!depth) {
        longjmp(back, 42);
    }
    unwind(depth - 1);
}

static void texts(void)
{
    static double values[1000];

    for (int i = 0; i < 1000; i++) {
        values[i] = ldexp((double)(int64_t)next(), (int)(next() % 200) - 160);
    }
    qsort(values, 1000, sizeof(values[0]), by_value);
    for (int i = 0; i < 1000; i += 37) {
        char text[64];

        snprintf(text, sizeof(text), "%.17g", values[i]);
        printf("%s %a %d\n", text, values[i], strtod(text, NULL) == values[i]);
    }
}

static void integers(void)
{
    for (int i = 0; i < 40; i++) {
        uint64_t a = next(), b = next() >> (i + 1);
        __uint128_t product = (__uint128_t)a * b;

        printf("%llx %llx %lld %llu %d %d %d\n", (unsigned long long)(product >> 64), (unsigned long long)(a % (b | 1)),
               (long long)((int64_t)a / (int64_t)(b | 1)), (unsigned long long)(a << i | a >> (63 - i)),
               __builtin_popcountll(a), __builtin_clzll(b | 1), __builtin_ctzll(a | 1ull << 63));
    }
}

int main(void)
{
    Point p = {1, 2, 3, 4};
    long double e = 1, term = 1;

    integers();
    texts();
    for (int i = 0; i < 100; i++) {
        p = rotate(p, i * 0.37);
    }
    for (int i = 1; i < 30; i++) {
        term /= i;
        e += term;
    }
    printf("%.12f %.12f %g %d\n", p.x, p.y, p.weight, p.tag);
    printf("%.18Lf %d %.3f\n", e, queens(8, 0, 0, 0), sum(3, 1.5, 2, 2.5, 3, -0.25, 4));
    int jumped = setjmp(back);
    if (!jumped) {
        unwind(100);
    }
    printf("%d %s\n", jumped, strerror(2));
    return 0;
}
