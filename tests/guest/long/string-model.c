/*
 * Repeated string instructions beside a model that does one element after the other (SDM Vol. 2, REP):
 *   MOVS with every width, both directions, all overlaps, across pages
 *   a page that is missing in the middle, for source and destination: registers at the element that
 *   faults, everything before it done, nothing behind it; it goes on when the page is there
 *   STOS, LODS, SCAS, CMPS: widths, directions, where they stop, and their flags
 *   a segment base for the source
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define VA 0x7000000000ul
#define PAGE 4096u
#define PAGES 3u
#define SIZE (PAGES * PAGE)

/* code[log2 of the width][going down] */
#define CODES(name, insn)                                                                          \
    CODE64(name##_b, "rep " insn "b");                                                             \
    CODE64(name##_w, "rep " insn "w");                                                             \
    CODE64(name##_l, "rep " insn "l");                                                             \
    CODE64(name##_q, "rep " insn "q");                                                             \
    static const char *const name[] = {name##_b, name##_w, name##_l, name##_q}
#define CODES_UNTIL(name, prefix, insn)                                                            \
    CODE64(name##_b, prefix insn "b");                                                             \
    CODE64(name##_w, prefix insn "w");                                                             \
    CODE64(name##_l, prefix insn "l");                                                             \
    CODE64(name##_q, prefix insn "q");                                                             \
    static const char *const name[] = {name##_b, name##_w, name##_l, name##_q}

CODES(moves, "movs");
CODES(stores, "stos");
CODES(loads, "lods");
CODES_UNTIL(scans_until, "repne ", "scas");
CODES_UNTIL(scans_while, "repe ", "scas");
CODES_UNTIL(compares_while, "repe ", "cmps");
CODES_UNTIL(compares_until, "repne ", "cmps");
CODE64(move_gs, "pushq %rcx\n movl $0xc0000101, %ecx\n movq %rax, %rdx\n shrq $32, %rdx\n wrmsr\n popq %rcx\n"
                "rep movsl %gs:(%rsi), %es:(%rdi)");
CODE64(single, "movsb\n movsw\n movsl\n movsq\n stosb\n stosw\n stosl\n stosq\n lodsb\n lodsw");

static uint8_t *const memory = (uint8_t *)VA, shadow[SIZE];
static uint32_t seed = 1;

static uint32_t random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static void map_all(void)
{
    for (unsigned i = 0; i < PAGES; i++) {
        map(VA + i * PAGE, (TEST_PA + i * PAGE) | PTE_P | PTE_W);
    }
}

static void pattern(void)
{
    for (unsigned i = 0; i < SIZE; i++) {
        memory[i] = shadow[i] = (uint8_t)random();
    }
}

static Context go(const char *code, bool down, Word cx, Word si, Word di, Word ax)
{
    Context c = kernel_context(code);

    c.cx = cx;
    c.si = si;
    c.di = di;
    c.ax = ax;
    c.flags |= down ? FLAG_DF : 0;
    run(&c);
    return c;
}

static bool same(const uint8_t *a, const uint8_t *b, unsigned n)
{
    while (n && *a == *b) {
        a++;
        b++;
        n--;
    }
    return !n;
}

static void model_move(unsigned size, long step, unsigned n, long si, long di)
{
    for (; n; n--, si += step, di += step) {
        uint8_t element[8];
        for (unsigned i = 0; i < size; i++) {
            element[i] = shadow[si + (long)i];
        }
        for (unsigned i = 0; i < size; i++) {
            shadow[di + (long)i] = element[i];
        }
    }
}

static void random_moves(void)
{
    unsigned wrong = 0, wrong_registers = 0;

    for (unsigned round = 0; round < 3000; round++) {
        unsigned log = random() % 4, size = 1u << log, n = random() % (round % 3 ? 40 : 600);
        bool down = random() & 1;
        long step = down ? -(long)size : (long)size, span = (long)(n * size);
        long low = random() % (SIZE - span - 64), other = low + (long)(random() % 48) - 24;
        if (round % 4 == 0) {
            other = random() % (SIZE - span - 64);
        }
        other = other < 0 ? 0 : other > (long)SIZE - span - 8 ? (long)SIZE - span - 8 : other;
        long si = down && n ? low + span - (long)size : low, di = down && n ? other + span - (long)size : other;
        if (round % 64 == 0) {
            pattern();
        }
        model_move(size, step, n, si, di);
        Context c = go(moves[log], down, n, VA + (Word)si, VA + (Word)di, 0);
        wrong += !same(memory, shadow, SIZE);
        wrong_registers += c.vector != 0x30 || c.cx != 0 || c.si != VA + (Word)(si + step * (long)n) ||
                           c.di != VA + (Word)(di + step * (long)n);
    }
    check_eq("REP MOVS of all widths, directions and overlaps: memory", wrong, 0);
    check_eq("  registers", wrong_registers, 0);
}

/* The middle page is missing for one of the operands. */
static void missing_page(unsigned log, bool down, bool source)
{
    unsigned size = 1u << log, n = 24, wrong = 0;
    long step = down ? -(long)size : (long)size;
    Word at = down ? VA + 2 * PAGE + 8 * size : VA + PAGE - 8 * size; /* some elements are on this side of it */
    Word fine = TEST_PA + 0x10000 + 64 * 8;

    for (unsigned odd = 0; odd < size; odd++) { /* the first element that faults may straddle the page's end */
        map(VA + PAGE, 0);
        Context c = go(moves[log], down, n, source ? at + odd : fine, source ? fine : at + odd, 0);
        long done = (long)n - (long)c.cx;
        Word touched = (source ? c.si : c.di), first = touched, last = touched + size - 1;
        bool in_missing = last >= VA + PAGE && first < VA + 2 * PAGE;
        Word fault = first < VA + PAGE ? VA + PAGE : first;
        wrong += c.vector != 14 || c.error != (source ? 0u : 2u) || !in_missing || c.cr2 != fault ||
                 c.si != (source ? at + odd : fine) + (Word)(step * done) ||
                 c.di != (source ? fine : at + odd) + (Word)(step * done);
        /* One element less would not have touched it. */
        Word previous = touched - (Word)step;
        wrong += done && previous + size - 1 >= VA + PAGE && previous < VA + 2 * PAGE;
        map_all();
        run(&c);
        wrong += c.vector != 0x30 || c.cx != 0;
    }
    check_eq(source ? "a source page missing in the middle" : "a destination page missing in the middle", wrong, 0);
}

static void model_fill(unsigned size, long step, unsigned n, long di, uint64_t v)
{
    for (; n; n--, di += step) {
        for (unsigned i = 0; i < size; i++) {
            shadow[di + (long)i] = (uint8_t)(v >> (8 * i));
        }
    }
}

static uint64_t element(unsigned size, long at)
{
    uint64_t v = 0;

    for (unsigned i = size; i--;) {
        v = v << 8 | memory[at + (long)i];
    }
    return v;
}

static void fills_and_loads(void)
{
    unsigned wrong = 0, wrong_load = 0;

    pattern();
    for (unsigned round = 0; round < 600; round++) {
        unsigned log = random() % 4, size = 1u << log, n = 1 + random() % 500;
        bool down = random() & 1;
        long step = down ? -(long)size : (long)size, span = (long)(n * size), low = random() % (SIZE - span);
        long first = down ? low + span - (long)size : low, last = down ? low : low + span - (long)size;
        uint64_t v = round % 3 ? (uint64_t)random() * random() * random() : 0x0101010101010101 * (uint8_t)random();

        model_fill(size, step, n, first, v);
        Context c = go(stores[log], down, n, 0, VA + (Word)first, v);
        wrong += c.vector != 0x30 || c.cx || c.di != VA + (Word)(first + step * (long)n) || !same(memory, shadow, SIZE);

        memory[last] = shadow[last] = (uint8_t)random();
        c = go(loads[log], down, n, VA + (Word)first, 0, 0x1122334455667788);
        uint64_t keep = size == 8 || size == 4 ? 0 : 0x1122334455667788 >> (8 * size) << (8 * size);
        wrong_load += c.vector != 0x30 || c.cx || c.si != VA + (Word)(first + step * (long)n) ||
                      c.ax != (keep | element(size, last));
    }
    check_eq("REP STOS", wrong, 0);
    check_eq("REP LODS: the last element", wrong_load, 0);
}

/* ZF, CF, SF, and OF of a - b. */
static Word compare_flags(uint64_t a, uint64_t b, unsigned size)
{
    uint64_t top = 1ull << (8 * size - 1), difference = a - b;

    return (a == b ? FLAG_ZF : 0) | (a < b ? FLAG_CF : 0) | (difference & top ? 0x80 : 0) |
           ((a ^ b) & (a ^ difference) & top ? 0x800 : 0);
}

static void comparisons(void)
{
    const Word flags = FLAG_ZF | FLAG_CF | 0x80 | 0x800;
    unsigned wrong = 0, wrong_scan = 0;

    for (unsigned round = 0; round < 1500; round++) {
        unsigned log = random() % 4, size = 1u << log, n = 1 + random() % 300, i = 0;
        bool down = random() & 1, until = random() & 1;
        long step = down ? -(long)size : (long)size, span = (long)(n * size), low = random() % (SIZE / 2 - span);
        long a = down ? low + span - (long)size : low, b = a + SIZE / 2 + (long)(random() % 8) - 8;
        uint8_t base = (uint8_t)random();
        uint64_t x, y;

        for (unsigned k = 0; k < SIZE; k++) { /* long runs of the same, or hardly anything the same */
            memory[k] = until ? (uint8_t)(k < SIZE / 2 ? random() | 1 : random() & ~1u) : base;
        }
        memory[low + random() % span] ^= (uint8_t)(random() % 3);
        if (until && round % 2) {
            for (unsigned k = 0; k < size; k++) {
                long at = (long)(random() % n) * (long)size;
                memory[low + at + (long)k] = memory[b - a + low + at + (long)k];
            }
        }
        do {
            x = element(size, a + step * (long)i);
            y = element(size, b + step * (long)i);
            i++;
        } while (i < n && (x == y) != until);
        Context c = go((until ? compares_until : compares_while)[log], down, n, VA + (Word)a, VA + (Word)b, 0);
        wrong += c.vector != 0x30 || c.cx != n - i || c.si != VA + (Word)(a + step * (long)i) ||
                 c.di != VA + (Word)(b + step * (long)i) || (c.flags & flags) != compare_flags(x, y, size);

        uint64_t key = element(size, a + step * (long)(random() % n));
        i = 0;
        do {
            y = element(size, a + step * (long)i);
            i++;
        } while (i < n && (key == y) != until);
        c = go((until ? scans_until : scans_while)[log], down, n, 0, VA + (Word)a, key);
        wrong_scan += c.vector != 0x30 || c.cx != n - i || c.di != VA + (Word)(a + step * (long)i) ||
                      (c.flags & flags) != compare_flags(key, y, size);
    }
    check_eq("REPE and REPNE CMPS", wrong, 0);
    check_eq("REPE and REPNE SCAS", wrong_scan, 0);
}

static void others(void)
{
    pattern();
    model_move(4, 4, 900, 3, 5000);
    Context c = go(move_gs, false, 900, 12345 + 3, VA + 5000, VA - 12345);
    check_context("a segment base for the source", &c, DONE);
    check("  memory", same(memory, shadow, SIZE));
    check_eq("  RSI", c.si, 12345 + 3 + 3600);

    for (unsigned down = 0; down < 2; down++) {
        long step = down ? -1 : 1, si = 100, di = PAGE + (down ? 5 : -5);
        pattern();
        for (long size = 1; size <= 8; size *= 2) {
            model_move((unsigned)size, 0, 1, si, di);
            si += step * size;
            di += step * size;
        }
        for (long size = 1; size <= 8; size *= 2) {
            model_fill((unsigned)size, 0, 1, di, 0x8877665544332211);
            di += step * size;
        }
        c = go(single, down, 0, VA + 100, VA + PAGE + (down ? 5 : -5), 0x8877665544332211);
        check_context(down ? "single elements, down" : "single elements", &c, DONE);
        check_eq("  RSI", c.si, VA + 100 + (Word)(step * 18));
        check_eq("  RDI", c.di, VA + (Word)di);
        check_eq("  RAX", c.ax, 0x8877665544330000 | element(2, si + step));
        check("  memory", same(memory, shadow, SIZE));
    }
}

void guest_test(void)
{
    paging_on(PAGING_4LEVEL);
    map_all();
    random_moves();
    for (unsigned log = 0; log < 4; log++) {
        for (unsigned way = 0; way < 4; way++) {
            missing_page(log, way & 1, way & 2);
        }
    }
    map_all();
    fills_and_loads();
    comparisons();
    others();
}
