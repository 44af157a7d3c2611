/*
 * Integer kernels: what compilers, interpreters and databases do all day.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "bench.h"

#include <string.h>

/* ---- CRC-32 by a table ---- */
enum { CRC_BYTES = 1 << 20, CRC_ROUNDS = 6 };

typedef struct Crc {
    uint32_t table[256];
    uint8_t data[CRC_BYTES];
} Crc;

static void crc_setup(void *memory)
{
    Crc *crc = memory;
    uint32_t seed = 1;

    for (uint32_t i = 0; i < 256; i++) {
        uint32_t v = i;
        for (int k = 0; k < 8; k++) {
            v = v & 1 ? v >> 1 ^ 0xedb88320u : v >> 1;
        }
        crc->table[i] = v;
    }
    for (size_t i = 0; i < CRC_BYTES; i++) {
        crc->data[i] = (uint8_t)bench_random(&seed);
    }
}

static uint64_t crc_run(void *memory)
{
    const Crc *crc = memory;
    uint32_t c = ~0u;

    for (int round = 0; round < CRC_ROUNDS; round++) {
        for (size_t i = 0; i < CRC_BYTES; i++) {
            c = crc->table[(c ^ crc->data[i]) & 255] ^ c >> 8;
        }
    }
    return ~c;
}

/* ---- sieve of Eratosthenes ---- */
enum { SIEVE_BYTES = 4 << 20 };

static uint64_t sieve_run(void *memory)
{
    uint8_t *composite = memory;
    uint64_t primes = 0;

    memset(composite, 0, SIEVE_BYTES);
    for (size_t i = 2; i < SIEVE_BYTES; i++) {
        if (!composite[i]) {
            primes++;
            for (size_t k = i * 2; k < SIEVE_BYTES; k += i) {
                composite[k] = 1;
            }
        }
    }
    return primes;
}

/* ---- quicksort ---- */
enum { SORT_WORDS = 1 << 17 };

static void sort(uint32_t *a, long low, long high)
{
    while (low < high) {
        uint32_t pivot = a[(low + high) / 2];
        long i = low, k = high;

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
        sort(a, low, k);
        low = i;
    }
}

static uint64_t quicksort_run(void *memory)
{
    uint32_t *words = memory, seed = 1;
    uint64_t sum = 0;

    for (size_t i = 0; i < SORT_WORDS; i++) {
        words[i] = bench_random(&seed);
    }
    sort(words, 0, SORT_WORDS - 1);
    for (size_t i = 0; i < SORT_WORDS; i += 100) {
        sum = sum * 31 + words[i];
    }
    return sum;
}

/* ---- recursion ---- */
static __attribute__((noinline)) uint32_t fibonacci(uint32_t n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static __attribute__((noinline)) int takeuchi(int x, int y, int z)
{
    return y >= x ? z
                  : takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y));
}

static uint64_t recursion_run(void *memory)
{
    return ((uint64_t)fibonacci(32) << 8) + (uint64_t)takeuchi(18, 12, 6);
}

/* ---- SHA-256 (FIPS 180-4) ---- */
enum { SHA_BYTES = 1 << 20, SHA_ROUNDS = 3 };

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t ror(uint32_t v, int n)
{
    return v >> n | v << (32 - n);
}

static void sha_block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], v[8];

    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3) +
               (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
    }
    memcpy(v, h, sizeof(v));
    for (int i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t t1 = v[7] + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & v[5]) ^ (~e & v[6])) +
                      sha_k[i] + w[i];
        uint32_t t2 =
            (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

        v[7] = v[6];
        v[6] = v[5];
        v[5] = e;
        v[4] = v[3] + t1;
        v[3] = v[2];
        v[2] = v[1];
        v[1] = a;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) {
        h[i] += v[i];
    }
}

static void random_bytes(void *memory, size_t bytes)
{
    uint8_t *data = memory;
    uint32_t seed = 2;

    for (size_t i = 0; i < bytes; i++) {
        data[i] = (uint8_t)bench_random(&seed);
    }
}

static void sha256_setup(void *memory)
{
    random_bytes(memory, SHA_BYTES);
}

static uint64_t sha256_run(void *memory)
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint8_t *data = memory;

    for (int round = 0; round < SHA_ROUNDS; round++) {
        for (size_t i = 0; i < SHA_BYTES; i += 64) {
            sha_block(h, data + i);
        }
    }
    return (uint64_t)h[0] << 32 | h[7];
}

/* ---- calls through a table of functions ---- */
static __attribute__((noinline)) uint32_t add_one(uint32_t v)
{
    return v + 1;
}

static __attribute__((noinline)) uint32_t times_three(uint32_t v)
{
    return v * 3;
}

static __attribute__((noinline)) uint32_t xor_five(uint32_t v)
{
    return v ^ 5;
}

static __attribute__((noinline)) uint32_t rotate_seven(uint32_t v)
{
    return ror(v, 25);
}

static uint64_t indirect_calls_run(void *memory)
{
    static uint32_t (*volatile const table[4])(uint32_t) = {add_one, times_three, xor_five,
                                                            rotate_seven};
    uint32_t v = 1;

    for (int i = 0; i < 3000000; i++) {
        v = table[v >> 3 & 3](v);
    }
    return v;
}

/* ---- the dispatch loop of a small virtual machine ---- */
typedef enum Op {
    OP_LOAD,
    OP_MOVE,
    OP_ADD,
    OP_SUB,
    OP_TRIPLE,
    OP_HALVE,
    OP_INC,
    OP_ODD,
    OP_JUMP_ZERO,
    OP_JUMP_NOT,
    OP_JUMP,
    OP_HALT
} Op;

typedef struct Code {
    uint8_t op, a, b;
    int32_t value;
} Code;

/* r0: the sum of the lengths of the Collatz sequences that start below r1's first value. */
static const Code collatz[] = {
    {OP_LOAD, 0, 0, 0},       /*  0: sum = 0 */
    {OP_LOAD, 1, 0, 10000},   /*  1: start = 10000 */
    {OP_MOVE, 2, 1, 0},       /*  2: n = start */
    {OP_MOVE, 3, 2, 0},       /*  3: is n 1? */
    {OP_LOAD, 4, 0, 1},       /*  4 */
    {OP_SUB, 3, 4, 0},        /*  5 */
    {OP_JUMP_ZERO, 3, 0, 14}, /*  6 */
    {OP_INC, 0, 0, 0},        /*  7: sum++ */
    {OP_ODD, 3, 2, 0},        /*  8 */
    {OP_JUMP_NOT, 3, 0, 12},  /*  9 */
    {OP_HALVE, 2, 0, 0},      /* 10: n = n / 2 */
    {OP_JUMP, 0, 0, 3},       /* 11 */
    {OP_TRIPLE, 2, 0, 0},     /* 12: n = 3 n + 1 */
    {OP_JUMP, 0, 0, 3},       /* 13 */
    {OP_SUB, 1, 4, 0},        /* 14: start-- */
    {OP_JUMP_NOT, 1, 0, 2},   /* 15 */
    {OP_HALT, 0, 0, 0},       /* 16 */
};

static __attribute__((noinline)) uint32_t interpret(const Code *code, uint32_t *r)
{
    for (const Code *pc = code;;) {
        const Code *c = pc++;

        switch ((Op)c->op) {
        case OP_LOAD:
            r[c->a] = (uint32_t)c->value;
            break;
        case OP_MOVE:
            r[c->a] = r[c->b];
            break;
        case OP_ADD:
            r[c->a] += r[c->b];
            break;
        case OP_SUB:
            r[c->a] -= r[c->b];
            break;
        case OP_TRIPLE:
            r[c->a] = 3 * r[c->a] + 1;
            break;
        case OP_HALVE:
            r[c->a] >>= 1;
            break;
        case OP_INC:
            r[c->a]++;
            break;
        case OP_ODD:
            r[c->a] = r[c->b] & 1;
            break;
        case OP_JUMP_ZERO:
            pc = r[c->a] ? pc : code + c->value;
            break;
        case OP_JUMP_NOT:
            pc = r[c->a] ? code + c->value : pc;
            break;
        case OP_JUMP:
            pc = code + c->value;
            break;
        case OP_HALT:
            return r[0];
        }
    }
}

static uint64_t dispatch_run(void *memory)
{
    return interpret(collatz, memory);
}

/* ---- pointer chase: one cycle through all of the memory in random order ---- */
enum { CHASE_LINE = 64, CHASE_NEAR = 32 << 10, CHASE_FAR = 64 << 20 };

typedef struct Node {
    struct Node *next;
    uint32_t number;
} Node;

static Node *node(void *memory, size_t i)
{
    return (Node *)((char *)memory + i * CHASE_LINE);
}

/* Sattolo's shuffle makes a single cycle. */
static void chase_setup(void *memory, size_t bytes)
{
    size_t nodes = bytes / CHASE_LINE;
    uint32_t seed = 3;

    for (size_t i = 0; i < nodes; i++) {
        node(memory, i)->next = node(memory, i);
        node(memory, i)->number = (uint32_t)i;
    }
    for (size_t i = nodes - 1; i > 0; i--) {
        size_t k = bench_random(&seed) % i;
        Node *t = node(memory, i)->next;

        node(memory, i)->next = node(memory, k)->next;
        node(memory, k)->next = t;
    }
}

static uint64_t chase(void *memory, size_t steps)
{
    const Node *n = memory;
    uint64_t sum = 0;

    while (steps--) {
        sum += n->number;
        n = n->next;
    }
    return sum;
}

static void chase_near_setup(void *memory)
{
    chase_setup(memory, CHASE_NEAR);
}

static uint64_t chase_near_run(void *memory)
{
    return chase(memory, 5000000);
}

static void chase_far_setup(void *memory)
{
    chase_setup(memory, CHASE_FAR);
}

static uint64_t chase_far_run(void *memory)
{
    return chase(memory, 200000);
}

/* ---- hash table: open addressing, linear probing ---- */
enum { HASH_SLOTS = 1 << 16, HASH_OPERATIONS = 2000000 };

typedef struct Slot {
    uint32_t key, count;
} Slot;

static uint64_t hash_run(void *memory)
{
    Slot *slots = memory;
    uint32_t seed = 4, longest = 0;
    uint64_t sum = 0;

    memset(slots, 0, HASH_SLOTS * sizeof(Slot));
    for (int i = 0; i < HASH_OPERATIONS; i++) {
        uint32_t key = bench_random(&seed) % 40000 + 1;
        uint32_t at = key * 2654435769u >> 16, probes = 0;

        while (slots[at].key && slots[at].key != key) {
            at = (at + 1) % HASH_SLOTS;
            probes++;
        }
        slots[at].key = key;
        sum += (uint64_t)key * slots[at].count++;
        longest = probes > longest ? probes : longest;
    }
    return sum << 8 | (longest & 255);
}

const Kernel integer_kernels[] = {
    {"crc", sizeof(Crc), crc_setup, crc_run, NULL},
    {"sieve", SIEVE_BYTES, NULL, sieve_run, NULL},
    {"quicksort", SORT_WORDS * sizeof(uint32_t), NULL, quicksort_run, NULL},
    {"recursion", 0, NULL, recursion_run, NULL},
    {"sha256", SHA_BYTES, sha256_setup, sha256_run, NULL},
    {"indirect-calls", 0, NULL, indirect_calls_run, NULL},
    {"vm-dispatch", 64, NULL, dispatch_run, NULL},
    {"chase-near", CHASE_NEAR, chase_near_setup, chase_near_run, NULL},
    {"chase-far", CHASE_FAR, chase_far_setup, chase_far_run, NULL},
    {"hash-table", HASH_SLOTS * sizeof(Slot), NULL, hash_run, NULL},
    {0},
};
