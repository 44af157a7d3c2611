/*
 * Descriptors taken apart, segments loaded and refused, limits, stacks of a TSS.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/seg.h"

#include "tests/unit/target-i386/cpu-fixture.h"

enum { GDT = 0x1000, TSS = 0x2000 };

static uint64_t descriptor(uint32_t base, uint32_t limit, unsigned type, unsigned flags)
{
    return (uint64_t)(limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)type << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 |
           (uint64_t)(base >> 24) << 56;
}

static void set(unsigned selector, uint64_t d)
{
    poke64(GDT + (selector & ~7u), d);
}

/* Protected mode at CPL 0 with a flat stack. */
static void start(void)
{
    fixture_cpu("pentium3");
    env->gdt = (DescriptorTable){GDT, 0x7f};
    env->cr0 |= CR0_PE;
    env->segs[SEG_SS] = (Segment){.limit = 0xffffffff, .attr = 0xc093};
    env->segs[SEG_CS] = (Segment){.limit = 0xffffffff, .attr = 0xc09b, .selector = 8};
    cpu_update_hflags(env);
}

static void taken_apart(void)
{
    Descriptor d = {.low = 0x5678ffff, .high = 0x12cf9b34, .linear = 0};
    Segment s = desc_segment(&d, 0x10);

    CHECK_EQ(s.base, 0x12345678);
    CHECK_EQ(s.limit, 0xffffffff);
    CHECK_EQ(s.attr, 0xc09b);
    CHECK_EQ(s.selector, 0x10);
    CHECK(desc_is_code(&d) && !desc_is_conforming(&d) && desc_present(&d) && desc_is_db(&d));
}

static void loads(void)
{
    start();
    set(0x10, descriptor(0x1000, 0xfff, 0x92, 0));
    CHECK_NO_FAULT(seg_load(env, SEG_DS, 0x10));
    CHECK_EQ(env->segs[SEG_DS].base, 0x1000);
    CHECK_EQ(env->segs[SEG_DS].limit, 0xfff);
    CHECK_EQ(peek64(GDT + 0x10) >> 40 & 0xff, 0x93); /* marked accessed */
    CHECK_RAISES(seg_load(env, SEG_DS, 0x80), EXCP_GP, 0x80);
    CHECK_RAISES(seg_load(env, SEG_DS, 0x14), EXCP_GP, 0x14); /* no LDT */
    set(0x18, descriptor(0, 0xffff, 0x12, 0));
    CHECK_RAISES(seg_load(env, SEG_DS, 0x18), EXCP_NP, 0x18);
    CHECK_RAISES(seg_load(env, SEG_SS, 0), EXCP_GP, 0);
    set(0x20, descriptor(0, 0xffff, 0x90, 0));
    CHECK_RAISES(seg_load(env, SEG_SS, 0x20), EXCP_GP, 0x20); /* read-only */
    CHECK_RAISES(seg_load(env, SEG_SS, 0x13), EXCP_GP, 0x10); /* RPL */
    CHECK_NO_FAULT(seg_load(env, SEG_ES, 0));
    CHECK_RAISES(mem_read8(env, SEG_ES, 0), EXCP_GP, 0);
}

static void limits(void)
{
    start();
    set(0x10, descriptor(0, 0xfff, 0x92, 0));
    set(0x18, descriptor(0, 0xfff, 0x96, 0)); /* expand-down: 0x1000 .. 0xffff */
    CHECK_NO_FAULT(seg_load(env, SEG_DS, 0x10));
    CHECK_NO_FAULT(seg_load(env, SEG_ES, 0x18));
    CHECK_NO_FAULT(mem_write32(env, SEG_DS, 0xffc, 1));
    CHECK_RAISES(mem_write32(env, SEG_DS, 0xffd, 1), EXCP_GP, 0);
    CHECK_RAISES(mem_read16(env, SEG_DS, 0xffffffff), EXCP_GP, 0);
    CHECK_RAISES(mem_read8(env, SEG_ES, 0xfff), EXCP_GP, 0);
    CHECK_NO_FAULT(mem_read8(env, SEG_ES, 0x1000));
    CHECK_RAISES(mem_read16(env, SEG_ES, 0xffff), EXCP_GP, 0);
    CHECK_RAISES(mem_write8(env, SEG_CS, 0, 1), EXCP_GP, 0);
}

static void bulk_ends_with_the_segment(void)
{
    start();
    set(0x10, descriptor(0x1000, 0x17ff, 0x92, 0));
    CHECK_NO_FAULT(seg_load(env, SEG_DS, 0x10));
    uint64_t len = 1 << 20;
    static void *p;
    CHECK_NO_FAULT(mem_write8(env, SEG_DS, 0x1010, 0));
    CHECK_NO_FAULT(p = mem_bulk_ptr(env, SEG_DS, 0x1010, &len, true));
    CHECK(p == fixture_ram.host + 0x2010);
    CHECK_EQ(len, 0x7f0);
}

static void unreal_mode(void)
{
    start();
    set(0x10, descriptor(0, 0xfffff, 0x92, 8));
    CHECK_NO_FAULT(seg_load(env, SEG_DS, 0x10));
    env->cr0 &= ~CR0_PE;
    cpu_update_hflags(env);
    CHECK_NO_FAULT(seg_load(env, SEG_DS, 0x100));
    CHECK_EQ(env->segs[SEG_DS].base, 0x1000);
    CHECK_NO_FAULT(mem_write8(env, SEG_DS, 0x200000, 7));
    CHECK_EQ(fixture_ram.host[0x201000], 7);
}

static void stacks_of_the_tss(void)
{
    uint16_t ss = 0;
    uint64_t sp = 0;

    start();
    env->segs[SEG_TR] = (Segment){.selector = 0x28, .base = TSS, .limit = 0x67, .attr = 0x8b};
    poke32(TSS + 12, 0x1234);
    poke32(TSS + 16, 0x31);
    CHECK_NO_FAULT(tss_stack(env, 1, &ss, &sp, 0));
    CHECK_EQ(ss, 0x31);
    CHECK_EQ(sp, 0x1234);
    env->segs[SEG_TR].limit = 0x12;
    CHECK_RAISES(tss_stack(env, 1, &ss, &sp, 1), EXCP_TS, 0x29);
}

TESTS(TEST(taken_apart), TEST(loads), TEST(limits), TEST(bulk_ends_with_the_segment),
      TEST(unreal_mode), TEST(stacks_of_the_tss))
