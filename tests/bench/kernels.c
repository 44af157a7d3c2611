/*
 * Small kernels that show how fast an emulator runs user code: each is timed by itself, the best of three runs is
 * printed in milliseconds with a checksum of what it computed. Static, so that it runs in a bare initramfs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint8_t data[1 << 20];
static uint32_t words[1 << 18];

static uint64_t crc(void)
{
    static uint32_t table[256];
    uint32_t c = ~0u;

    for (uint32_t i = 0; i < 256; i++) {
        uint32_t v = i;
        for (int k = 0; k < 8; k++) {
            v = v & 1 ? v >> 1 ^ 0xedb88320u : v >> 1;
        }
        table[i] = v;
    }
    for (int round = 0; round < 8; round++) {
        for (size_t i = 0; i < sizeof(data); i++) {
            c = table[(c ^ data[i]) & 255] ^ c >> 8;
        }
    }
    return c;
}

static uint64_t sieve(void)
{
    static uint8_t composite[4 << 20];
    uint64_t n = 0;

    memset(composite, 0, sizeof(composite));
    for (size_t i = 2; i < sizeof(composite); i++) {
        if (!composite[i]) {
            n++;
            for (size_t k = i * 2; k < sizeof(composite); k += i) {
                composite[k] = 1;
            }
        }
    }
    return n;
}

static void sort(uint32_t *a, long lo, long hi)
{
    while (lo < hi) {
        uint32_t pivot = a[(lo + hi) / 2];
        long i = lo, k = hi;
        while (i <= k) {
            while (a[i] < pivot) {
                i++;
            }
            while (a[k] > pivot) {
                k--;
            }
            if (i <= k) {
                uint32_t t = a[i];
                a[i++] = a[k];
                a[k--] = t;
            }
        }
        sort(a, lo, k);
        lo = i;
    }
}

static uint64_t quicksort(void)
{
    uint32_t x = 1;
    size_t n = sizeof(words) / sizeof(words[0]);

    for (size_t i = 0; i < n; i++) {
        words[i] = x = x * 1664525u + 1013904223u;
    }
    sort(words, 0, (long)n - 1);
    return words[n / 3];
}

static __attribute__((noinline)) uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t recursion(void)
{
    return fib(30);
}

static uint64_t add1(uint64_t v) { return v + 1; }
static uint64_t mul3(uint64_t v) { return v * 3; }
static uint64_t xor5(uint64_t v) { return v ^ 5; }
static uint64_t rot7(uint64_t v) { return v << 7 | v >> 57; }

static uint64_t indirect_calls(void)
{
    static uint64_t (*volatile const table[4])(uint64_t) = {add1, mul3, xor5, rot7};
    uint64_t v = 1;

    for (int i = 0; i < 5000000; i++) {
        v = table[v & 3](v);
    }
    return v;
}

static uint64_t copying(void)
{
    static uint8_t to[sizeof(data)];

    for (int i = 0; i < 200; i++) {
        memcpy(to, data, sizeof(data));
        to[i] ^= 1;
    }
    return to[100];
}

static uint64_t lengths(void)
{
    uint64_t n = 0;

    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] |= 1;
    }
    data[sizeof(data) - 1] = 0;
    for (int i = 0; i < 100; i++) {
        n += strlen((char *)data + i);
    }
    return n;
}

static uint64_t matrix(void)
{
    enum { N = 160 };
    static double a[N][N], b[N][N], c[N][N];
    double sum = 0;

    for (int i = 0; i < N; i++) {
        for (int k = 0; k < N; k++) {
            a[i][k] = i + k;
            b[i][k] = i - k;
        }
    }
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < N; k++) {
            double s = 0;
            for (int j = 0; j < N; j++) {
                s += a[i][j] * b[j][k];
            }
            c[i][k] = s;
            sum += s;
        }
    }
    return (uint64_t)(int64_t)sum + (uint64_t)c[3][4];
}

static uint64_t system_calls(void)
{
    uint64_t n = 0;

    for (int i = 0; i < 200000; i++) {
        n += (uint64_t)getppid() != 0;
    }
    return n;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

int main(void)
{
    static const struct {
        const char *name;
        uint64_t (*fn)(void);
    } kernels[] = {
        {"crc", crc}, {"sieve", sieve}, {"quicksort", quicksort}, {"recursion", recursion},
        {"indirect-calls", indirect_calls}, {"memcpy", copying}, {"strlen", lengths},
        {"matrix", matrix}, {"syscall", system_calls},
    };

    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        double best = 1e9;
        uint64_t result = 0;
        for (int run = 0; run < 3; run++) {
            double start = now();
            result = kernels[i].fn();
            double ms = now() - start;
            best = ms < best ? ms : best;
        }
        printf("%-16s %9.2f ms  %016llx\n", kernels[i].name, best, (unsigned long long)result);
    }
    return 0;
}
