/*
 * The border between the last page of the linear address space and the first, for the tests of accesses across it: two pages of
 * RAM mapped there, what they hold, and what is known of their translations beforehand.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BORDER_H
#define BORDER_H

#include "guest.h"

#define LAST (~(Word)0xfff)
#define ACROSS (~(Word)1) /* two bytes in the last page, the others in the first */
#define LAST_PA TEST_PA
#define FIRST_PA (TEST_PA + 0x1000)
#define OTHERS_PA (TEST_PA + 0x10000)
#define TABLE_PA (TEST_PA + 0x100000)
#define LIST ((volatile Word *)(TEST_PA + 0x200000))
enum { TIMES = 6000, OTHERS = 16, EVERY = 61 };

static volatile uint8_t *const last = (uint8_t *)LAST_PA, *const first = (uint8_t *)FIRST_PA;

/* Page 0 gets an entry of its own. */
static void small_pages(void)
{
    volatile Word *table = (Word *)TABLE_PA;

    for (unsigned i = 0; i < 0x1000 / sizeof(Word); i++)
        table[i] = 0x1000 * i | PTE_P | PTE_W | PTE_U;
    set_entry(0, 2, TABLE_PA | PTE_P | PTE_W | PTE_U);
    WRITE_REG("cr3", READ_REG("cr3"));
}

static void fill(void)
{
    for (unsigned i = 0; i < 0x1000; i++) {
        last[i] = 0xa0 | (i & 15);
        first[i] = 0xb0 | (i & 15);
    }
}

static void map_both(Word last_bits, Word first_bits)
{
    map(LAST, last_bits ? LAST_PA | last_bits | PTE_U : 0);
    map(0, first_bits ? FIRST_PA | first_bits | PTE_U : 0);
}

/* Only the bytes [from, from + n) around the border may differ from what fill() wrote; -2 is the last but one. */
static bool untouched_but(int from, int n)
{
    for (int i = -0x1000; i < 0x1000; i++) {
        uint8_t is = i < 0 ? last[0x1000 + i] : first[i];
        if ((i < from || i >= from + n) && is != ((i < 0 ? 0xa0 : 0xb0) | (i & 15)))
            return false;
    }
    return true;
}

/* A register's width from ACROSS on. */
static Word border(void)
{
    Word v = 0;

    for (int i = (int)sizeof(Word) - 3; i >= -2; i--)
        v = v << 8 | (i < 0 ? last[0x1000 + i] : first[i]);
    return v;
}

/* What touches the pages before the access, so that their translations are known. */
typedef enum Known { NOTHING, FIRST_PAGE, LAST_PAGE, BOTH_PAGES, KNOWN_COUNT } Known;
static const char *const known_names[] = {"", ", first page known", ", last page known", ", both known"};

static void touch(unsigned known)
{
    if (known & FIRST_PAGE)
        asm volatile("lock orb $0, (%0)" : : "r"((Word)0) : "memory");
    if (known & LAST_PAGE)
        asm volatile("lock orb $0, (%0)" : : "r"(LAST) : "memory");
}

static void make_known(Known known)
{
    invlpg(0);
    invlpg(LAST);
    touch(known);
}

static void say(const char *name, Known known, bool ok)
{
    char text[80], *to = text;

    for (const char *s = name; *s; s++)
        *to++ = *s;
    for (const char *s = known_names[known]; *s; s++)
        *to++ = *s;
    *to = 0;
    check(text, ok);
}

#endif
