/*
 * The page walk in its three formats, rights, A and D bits, and what flushes drop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/mmu-walk.h"
#include "tests/unit/target-i386/cpu-fixture.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
enum { CR3 = 0x1000, L3 = 0x2000, L2 = 0x3000, L1 = 0x4000, DATA = 0x200000 };

static void paging(uint32_t cr4, uint64_t efer)
{
    env->cr3 = CR3;
    env->cr4 = cr4;
    env->efer = efer;
    env->cr0 |= CR0_PE | CR0_PG | CR0_WP;
    cpu_update_hflags(env);
    tlb_flush(env);
}

/* Four levels that map linear 0 .. 2 MB by 4 KB pages; page n to DATA + n * 4 KB. */
static void long_tables(uint64_t flags)
{
    poke64(CR3, L3 | P | W | U);
    poke64(L3, L2 | P | W | U);
    poke64(L2, L1 | P | W | U);
    for (unsigned i = 0; i < 512; i++) {
        poke64(L1 + 8 * i, (DATA + 0x1000 * i) | flags);
    }
    paging(CR4_PAE | CR4_PGE, EFER_LME | EFER_LMA | EFER_NXE);
}

static uint64_t got;
#define READ(cls, addr)  (got = mmu_read(env, cls, addr, 4))
#define WRITE(cls, addr) mmu_write(env, cls, addr, 0x55, 4)

static void without_paging(void)
{
    fixture_cpu("max");
    poke32(0x12344, 0xcafe);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x12344));
    CHECK_EQ(got, 0xcafe);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x80000000));
    CHECK_EQ(got, 0xffffffff);
}

static void four_levels(void)
{
    fixture_cpu("max");
    long_tables(P | W | U);
    poke32(DATA + 0x3004, 0x1234);
    CHECK_NO_FAULT(READ(MMU_USER, 0x3004));
    CHECK_EQ(got, 0x1234);
    CHECK_EQ(peek64(L1 + 8 * 3) & (A | D), A);
    CHECK_NO_FAULT(WRITE(MMU_USER, 0x3004));
    CHECK_EQ(peek64(L1 + 8 * 3) & (A | D), A | D);
    CHECK_EQ(peek32(DATA + 0x3004), 0x55);
    CHECK_RAISES(READ(MMU_USER, 0x40000000), EXCP_PF, 4);
    CHECK_EQ(env->cr2, 0x40000000);
    CHECK_RAISES(READ(MMU_KERNEL, 0x800000000000), EXCP_GP, 0);
}

static void rights(void)
{
    fixture_cpu("max");
    long_tables(P);
    CHECK_RAISES(READ(MMU_USER, 0), EXCP_PF, 5);
    CHECK_RAISES(WRITE(MMU_KERNEL, 0), EXCP_PF, 3);
    env->cr0 &= ~CR0_WP;
    tlb_flush(env);
    CHECK_NO_FAULT(WRITE(MMU_KERNEL, 0));

    poke64(L1 + 8, (DATA + 0x1000) | P | W | U | 1ull << 63);
    CHECK_RAISES(mmu_probe(env, MMU_KERNEL, 0x1000, 1, MMU_EXEC), EXCP_PF, 0x11);
    poke64(L1 + 16, (DATA + 0x2000) | P | W | U);
    env->cr4 |= CR4_SMEP | CR4_SMAP;
    tlb_flush(env);
    CHECK_RAISES(mmu_probe(env, MMU_KERNEL, 0x2000, 1, MMU_EXEC), EXCP_PF, 0x11);
    CHECK_RAISES(READ(MMU_KERNEL, 0x2000), EXCP_PF, 1);
    CHECK_NO_FAULT(READ(MMU_KERNEL_USER, 0x2000));
    poke64(L1 + 24, 1ull << 50 | P);
    CHECK_RAISES(READ(MMU_KERNEL, 0x3000), EXCP_PF, 9);
}

static void large_pages(void)
{
    fixture_cpu("max");
    poke64(CR3, L3 | P | W | U);
    poke64(L3, 0 | P | W | U | PS); /* 1 GB at 0 */
    poke64(L3 + 8, L2 | P | W | U);
    poke64(L2, DATA | P | W | U | PS); /* 2 MB */
    paging(CR4_PAE, EFER_LME | EFER_LMA);
    poke32(0x345678, 77);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x345678));
    CHECK_EQ(got, 77);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x40145678));
    CHECK_EQ(got, 77);
    CHECK_EQ(peek64(L2) & (A | D), A);
    /* INVLPG of one address drops all of the large page. */
    poke64(L2, 0x400000 | P | W | U | PS);
    poke32(0x545678, 78);
    tlb_flush_page(env, 0x40000000);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x40145678));
    CHECK_EQ(got, 78);
}

static void two_levels(void)
{
    fixture_cpu("pentium3");
    poke32(CR3, L1 | P | W | U);
    poke32(CR3 + 4, 0x400000 | P | W | PS);
    poke32(L1 + 4, DATA | P | W);
    poke32(DATA + 8, 5);
    poke32(0x400010, 6);
    paging(CR4_PSE, 0);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x1008));
    CHECK_EQ(got, 5);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x400010));
    CHECK_EQ(got, 6);
    CHECK_RAISES(WRITE(MMU_USER, 0x1008), EXCP_PF, 7);
    poke32(CR3 + 8, 0x800000 | P | PS | 1 << 21);
    CHECK_RAISES(READ(MMU_KERNEL, 0x800000), EXCP_PF, 9);
    poke32(CR3 + 12, P | PS | 1 << 17); /* PSE-36: address bit 36 is beyond 36 bits */
    CHECK_RAISES(READ(MMU_KERNEL, 0xc00000), EXCP_PF, 9);
}

static void pae_pointers(void)
{
    fixture_cpu("pentium3");
    poke64(CR3, L2 | P);
    poke64(L2, L1 | P | W | U);
    poke64(L1, DATA | P | W | U);
    poke32(DATA, 9);
    CHECK(mmu_load_pdptrs(env, CR3));
    paging(CR4_PAE, 0);
    CHECK_NO_FAULT(READ(MMU_USER, 0));
    CHECK_EQ(got, 9);
    poke64(CR3, 0); /* the loaded copy counts */
    tlb_flush(env);
    CHECK_NO_FAULT(READ(MMU_USER, 0));
    poke64(CR3, L2 | P | W);
    CHECK(!mmu_load_pdptrs(env, CR3));
}

static void global_pages(void)
{
    fixture_cpu("max");
    long_tables(P | W | G);
    poke64(L1 + 8, (DATA + 0x1000) | P | W);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0));
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x1000));
    poke64(L1, 0);
    poke64(L1 + 8, 0);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0));
    tlb_flush_nonglobal(env);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0));
    CHECK_RAISES(READ(MMU_KERNEL, 0x1000), EXCP_PF, 0);
    tlb_flush_page(env, 0);
    CHECK_RAISES(READ(MMU_KERNEL, 0), EXCP_PF, 0);
}

static void page_crossing(void)
{
    fixture_cpu("max");
    long_tables(P | W | U);
    poke64(L1 + 8, 0);
    poke32(DATA + 0xffc, 0x11111111);
    CHECK_RAISES(mmu_write(env, MMU_USER, 0xffe, ~0ull, 4), EXCP_PF, 6);
    CHECK_EQ(env->cr2, 0x1000);
    CHECK_EQ(peek32(DATA + 0xffc), 0x11111111); /* nothing of it was written */
    poke64(L1 + 8, 0x600000 | P | W | U);
    CHECK_NO_FAULT(mmu_write(env, MMU_USER, 0xffe, 0xaabbccdd, 4));
    CHECK_EQ(peek32(DATA + 0xffc), 0xccdd1111);
    CHECK_EQ(peek32(0x600000), 0xaabb);
    CHECK_NO_FAULT(READ(MMU_USER, 0xffe));
    CHECK_EQ(got, 0xaabbccdd);
}

static void tables_in_no_memory(void)
{
    fixture_cpu("max");
    env->cr3 = 0x80000000;
    paging(CR4_PAE, EFER_LME | EFER_LMA);
    env->cr3 = 0x80000000;
    tlb_flush(env);
    CHECK_RAISES(READ(MMU_KERNEL, 0), EXCP_PF, 9);
}

static void dirty_clients(void)
{
    fixture_cpu("max");
    long_tables(P | W | U);
    CHECK_NO_FAULT(WRITE(MMU_USER, 0x2000));
    memory_dirty_reset(fixture_ram.ram_offset + DATA + 0x2000, 0x1000, DIRTY_DISPLAY);
    CHECK(!memory_dirty_get(fixture_ram.ram_offset + DATA + 0x2000, DIRTY_DISPLAY));
    CHECK_NO_FAULT(WRITE(MMU_USER, 0x2000));
    CHECK(memory_dirty_get(fixture_ram.ram_offset + DATA + 0x2000, DIRTY_DISPLAY));
    CHECK_EQ(tlb_slot(env->tlb, MMU_USER, 0x2000)->tag[MMU_WRITE], 0x2000);
}

static void a20(void)
{
    fixture_cpu("max");
    poke32(0x100000, 1);
    poke32(0, 2);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x100000));
    CHECK_EQ(got, 1);
    cpu_set_a20(false);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x100000));
    CHECK_EQ(got, 2);
    cpu_set_a20(true);
    CHECK_NO_FAULT(READ(MMU_KERNEL, 0x100000));
    CHECK_EQ(got, 1);
}

/* The pages that check_peek() looks at, by the entries for them. */
static const uint64_t peek_entries[] = {
    0,
    DATA | P | W | U | A | D,
    DATA | P | W | U | A,          /* not dirty */
    DATA | P | U | A | D,          /* read-only */
    DATA | P | W | U | D,          /* not accessed */
    DATA | P | W | A | D,          /* the system's */
    DATA | W | U | A | D,          /* not present */
    0x8000000 | P | W | U | A | D, /* no RAM */
};

/* What may be used as if the TLB had it: nothing that would have to set a bit, fault or tell
 * somebody. */
static void check_peek(void)
{
    const uint64_t data = fixture_ram.ram_offset + DATA, none = RAM_ADDR_INVALID;

    for (MmuAccess a = MMU_READ; a <= MMU_WRITE; a++) {
        const uint64_t if_read = a == MMU_READ ? data : none;
        CHECK_EQ(mmu_peek_ram(env, 0x1000, MMU_USER, a), data);
        CHECK_EQ(mmu_peek_ram(env, 0x2000, MMU_USER, a), if_read);
        CHECK_EQ(mmu_peek_ram(env, 0x3000, MMU_USER, a), if_read);
        CHECK_EQ(mmu_peek_ram(env, 0x5000, MMU_KERNEL, a), data);
        for (unsigned page = 4; page < 8; page++) {
            CHECK_EQ(mmu_peek_ram(env, 0x1000 * page, MMU_USER, a), none);
        }
        CHECK_EQ(mmu_peek_ram(env, 0x400000, MMU_USER, a), none); /* a large page */
        CHECK_EQ(mmu_peek_ram(env, 0x800000, MMU_USER, a), none); /* its table is not accessed */
    }
}

static void peeks_in_long_mode(void)
{
    fixture_cpu("max");
    long_tables(0);
    poke64(CR3, L3 | P | W | U | A);
    poke64(L3, L2 | P | W | U | A);
    poke64(L2, L1 | P | W | U | A);
    poke64(L2 + 8 * 2, DATA | P | W | U | A | D | PS);
    poke64(L2 + 8 * 4, L1 | P | W | U);
    for (unsigned i = 0; i < sizeof(peek_entries) / sizeof(peek_entries[0]); i++) {
        poke64(L1 + 8 * i, peek_entries[i]);
    }
    poke64(L1, DATA | P | W | U | A | D);
    check_peek();
}

static void peeks_in_32_bits(void)
{
    fixture_cpu("pentium3");
    poke32(CR3, L1 | P | W | U | A);
    poke32(CR3 + 4, 0x400000 | P | W | U | A | D | PS);
    poke32(CR3 + 8, L1 | P | W | U);
    for (unsigned i = 0; i < sizeof(peek_entries) / sizeof(peek_entries[0]); i++) {
        poke32(L1 + 4 * i, (uint32_t)peek_entries[i]);
    }
    poke32(L1, DATA | P | W | U | A | D);
    paging(CR4_PSE, 0);
    check_peek();
}

/* A place that a global page has taken over does not hide that slots may lead to what was there
 * before. */
static void slots_of_forgotten_pages(void)
{
    static unsigned other = 1;

    fixture_cpu("max");
    long_tables(P | W | U);
    while (tlb_index((uint64_t)other << 12) != tlb_index(0x40000000)) {
        other++; /* any page with the place of the one at 1 GB */
    }
    poke64(L3 + 8, L2 | P | W | U);
    poke64(L1, DATA | P | W | U | G);
    poke64(L3 + 8 * (other >> 18), L2 | P | W | U);
    poke64(L2 + 8 * (other >> 9 & 511), L1 | P | W | U);
    poke64(L1 + 8 * (other & 511), (DATA + 0x1000) | P | W | U);
    tlb_flush(env);
    CHECK_NO_FAULT(READ(MMU_USER, (uint64_t)other << 12));
    env->jit_slots_used[MMU_USER][MMU_READ][0] = 1;
    env->jit_slots[MMU_USER][MMU_READ][0].tag = (uint64_t)other << 12;
    CHECK_NO_FAULT(READ(MMU_USER, 0x40000000));
    tlb_flush_nonglobal(env);
    CHECK(env->jit_slots[MMU_USER][MMU_READ][0].tag != (uint64_t)other << 12);
}

TESTS(TEST(without_paging), TEST(four_levels), TEST(rights), TEST(large_pages), TEST(two_levels),
      TEST(pae_pointers), TEST(global_pages), TEST(page_crossing), TEST(tables_in_no_memory),
      TEST(dirty_clients), TEST(a20), TEST(peeks_in_long_mode), TEST(peeks_in_32_bits),
      TEST(slots_of_forgotten_pages))
