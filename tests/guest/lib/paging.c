/*
 * Page tables for the guest tests, in all three formats. Tables come from RAM at 2 MB.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { TABLES_START = 0x200000, TABLES_END = 0x400000 };
enum { LINK = PTE_P | PTE_W | PTE_U };
#define ADDRESS_BITS 0x000ffffffffff000ull

static Word next_table = TABLES_START;
static Word root;
static PagingMode mode;

static const struct Format {
    unsigned levels, index_bits, entry_bytes, top_bits;
} formats[] = {
    [PAGING_32BIT] = {2, 10, 4, 10},
    [PAGING_PAE] = {3, 9, 8, 2},
    [PAGING_4LEVEL] = {4, 9, 8, 9},
};

static Word new_table(void)
{
    Word table = next_table;
    next_table += 4096;
    if (next_table > TABLES_END) {
        check("page tables fit their area", false);
        finish();
    }
    memset((void *)table, 0, 4096);
    return table;
}

static uint64_t load_entry(Word at)
{
    return formats[mode].entry_bytes == 4 ? *(volatile uint32_t *)at : *(volatile uint64_t *)at;
}

static void store_entry(Word at, uint64_t value)
{
    if (formats[mode].entry_bytes == 4)
        *(volatile uint32_t *)at = value;
    else
        *(volatile uint64_t *)at = value;
}

/* The address of the entry, tables above it made as needed. */
static Word entry_address(Word va, unsigned level)
{
    const struct Format *f = &formats[mode];
    Word table = root;
    for (unsigned l = f->levels;; l--) {
        unsigned bits = l == f->levels ? f->top_bits : f->index_bits;
        unsigned index = (uint64_t)va >> (12 + (l - 1) * f->index_bits) & ((1u << bits) - 1);
        Word at = table + index * f->entry_bytes;
        if (l == level)
            return at;
        uint64_t entry = load_entry(at);
        if (!(entry & PTE_P)) {
            /* A PAE directory pointer has no W and U: they are reserved. */
            entry = new_table() | (mode == PAGING_PAE && l == 3 ? PTE_P : LINK);
            store_entry(at, entry);
        }
        table = entry & ADDRESS_BITS;
    }
}

uint64_t get_entry(Word va, unsigned level)
{
    return load_entry(entry_address(va, level));
}

void set_entry(Word va, unsigned level, uint64_t value)
{
    store_entry(entry_address(va, level), value);
}

void map(Word va, uint64_t entry)
{
    set_entry(va, 1, entry);
    invlpg(va);
}

static void map_large(Word first, Word last)
{
    Word step = mode == PAGING_32BIT ? 0x400000 : 0x200000;
    for (Word va = first;; va += step) {
        set_entry(va, 2, va | LINK | PTE_PS);
        if (va + (step - 1) >= last)
            break;
    }
}

void paging_on(PagingMode wanted)
{
    mode = wanted;
    root = new_table();
    map_large(0, 0x3fffffff);
    map_large(0xfec00000, 0xfeffffff);
    if (mode == PAGING_PAE)
        for (unsigned i = 0; i < 4; i++) /* all four are loaded with CR3 */
            entry_address((Word)i << 30, 2);
#ifdef __x86_64__
    WRITE_REG("cr3", root);
#else
    Word cr4 = READ_REG("cr4") & ~(Word)(CR4_PAE | CR4_PSE);
    WRITE_REG("cr4", cr4 | (mode == PAGING_PAE ? CR4_PAE : CR4_PSE));
    WRITE_REG("cr3", root);
    WRITE_REG("cr0", READ_REG("cr0") | CR0_PG);
#endif
}

void paging_off(void)
{
    WRITE_REG("cr0", READ_REG("cr0") & ~CR0_PG);
}
