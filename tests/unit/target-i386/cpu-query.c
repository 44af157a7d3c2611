/*
 * What the monitor asks of a CPU: registers by name and as text, page tables of every kind walked.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/cpu-query.h"

#include <stdlib.h>

#include "util/loop.h"

#include "../test.h"

static CPUX86State *env;
static Buffer out;

static void set_up(void)
{
    static MemoryRegion ram;

    if (!env) {
        machine_lock();
        memory_init();
        memory_ram_init(1 << 20, NULL);
        memory_region_init_ram(&ram, "ram", 0x10000, NULL);
        memory_region_add(memory_as.root, 0, &ram, 0);
        env = aligned_alloc(_Alignof(CPUX86State), sizeof(*env));
    }
    memset(env, 0, sizeof(*env));
    memset(memory_ram_base(), 0, 0x10000);
    env->a20_mask = ~0ull;
    buffer_clear(&out);
}

static const char *text(void)
{
    buffer_put_u8(&out, 0);
    return (const char *)out.data;
}

static void entry(hwaddr table, unsigned index, unsigned bytes, uint64_t value)
{
    memory_write(&memory_as, table + index * bytes, value, bytes);
}

static void registers_by_name(void)
{
    uint64_t v;

    set_up();
    env->regs[R_AX] = 0x1122334455667788;
    env->regs[R_BP] = 0xfedcba9876543210;
    env->regs[R_12] = 12;
    env->rip = 0x1000;
    env->segs[SEG_CS].base = 0xf0000;
    env->segs[SEG_CS].selector = 0xf000;
    env->cr3 = 0x3000;
    CHECK(cpu_register_value(env, "rax", &v) && v == 0x1122334455667788);
    CHECK(cpu_register_value(env, "eax", &v) && v == 0x55667788);
    CHECK(cpu_register_value(env, "ax", &v) && v == 0x7788);
    CHECK(cpu_register_value(env, "ah", &v) && v == 0x77);
    CHECK(cpu_register_value(env, "al", &v) && v == 0x88);
    CHECK(cpu_register_value(env, "rbp", &v) && v == 0xfedcba9876543210);
    CHECK(cpu_register_value(env, "r12", &v) && v == 12);
    CHECK(cpu_register_value(env, "pc", &v) && v == 0xf1000);
    CHECK(cpu_register_value(env, "eip", &v) && v == 0x1000);
    CHECK(cpu_register_value(env, "cs", &v) && v == 0xf000);
    CHECK(cpu_register_value(env, "cr3", &v) && v == 0x3000);
    CHECK(!cpu_register_value(env, "r16", &v) && !cpu_register_value(env, "xyz", &v) &&
          !cpu_register_value(env, "r12x", &v));
    for (unsigned i = 0; cpu_register_name(i); i++) {
        CHECK(cpu_register_value(env, cpu_register_name(i), &v));
    }
}

static void registers_as_text(void)
{
    set_up();
    env->regs[R_CX] = 0xdeadbeef;
    env->eflags = FLAG_1 | FLAG_ZF | FLAG_CF;
    env->segs[SEG_CS] = (Segment){0x08, 0xc09b, 0xffffffff, 0};
    env->cr0 = CR0_PE;
    cpu_dump_registers(env, &out);
    CHECK(strstr(text(), "EAX=00000000 EBX=00000000 ECX=deadbeef EDX=00000000\n"));
    CHECK(strstr((char *)out.data, "EFL=00000043 [---Z--C] CPL=0"));
    CHECK(strstr((char *)out.data, "CS =0008 00000000 ffffffff c09b DPL=0 CS32 [-RA]"));
    CHECK(strstr((char *)out.data, "CR0=00000001"));
    buffer_clear(&out);
    env->hflags = HF_LMA;
    env->fpu.fsw = 3 << 11;
    env->fpu.st[0][0] = 0x55; /* the stack's top is register 3 */
    cpu_dump_registers(env, &out);
    cpu_dump_fpu(env, &out);
    CHECK(strstr(text(), "RCX=00000000deadbeef") && strstr((char *)out.data, "R15=0000"));
    CHECK(strstr((char *)out.data, "FPR3=0000000000000055 0000\n"));
    CHECK(strstr((char *)out.data, "YMM15="));
}

static void paging_off(void)
{
    set_up();
    cpu_dump_tlb(env, &out);
    CHECK_STR(text(), "paging is off\n");
}

static void two_levels(void)
{
    set_up();
    env->cr0 = CR0_PE | CR0_PG;
    env->cr4 = CR4_PSE;
    env->cr3 = 0x1018;
    entry(0x1000, 0, 4, 0x2007);
    entry(0x1000, 1, 4, 0x00404083); /* 4 MB, PSE-36: bit 13 is address bit 32 */
    entry(0x2000, 1, 4, 0x5067);
    entry(0x2000, 2, 4, 0x6001);
    cpu_dump_tlb(env, &out);
    CHECK_STR(text(), "0000000000001000: 0000000000005000 ---DA--UW\n"
                      "0000000000002000: 0000000000006000 ---------\n"
                      "0000000000400000: 0000000200400000 --P-----W\n");
    buffer_clear(&out);
    cpu_dump_mem_mappings(env, &out);
    CHECK_STR(text(), "0000000000001000-0000000000002000 0000000000001000 urw\n"
                      "0000000000002000-0000000000003000 0000000000001000 -r-\n"
                      "0000000000400000-0000000000800000 0000000000400000 -rw\n");
}

static void pae(void)
{
    set_up();
    env->cr0 = CR0_PE | CR0_PG;
    env->cr4 = CR4_PAE;
    env->cr3 = 0x1020;
    entry(0x1020, 3, 8, 0x2001); /* without rights of its own */
    entry(0x2000, 0, 8, 0x3007);
    entry(0x2000, 1, 8, 0x8000000000200183);
    entry(0x3000, 511, 8, 0x7003);
    cpu_dump_tlb(env, &out);
    CHECK_STR(text(), "00000000c01ff000: 0000000000007000 --------W\n"
                      "00000000c0200000: 0000000000200000 XGP-----W\n");
}

static void four_levels(void)
{
    set_up();
    env->cr0 = CR0_PE | CR0_PG;
    env->cr4 = CR4_PAE;
    env->hflags = HF_LMA;
    env->cr3 = 0x1000;
    entry(0x1000, 0, 8, 0x2007);
    entry(0x1000, 511, 8, 0x2003);
    entry(0x2000, 1, 8, 0x40000083); /* 1 GB */
    entry(0x2000, 511, 8, 0x3007);
    entry(0x3000, 511, 8, 0x4007);
    entry(0x4000, 511, 8, 0x5007);
    entry(0x4000, 510, 8, 0x6007);
    cpu_dump_mem_mappings(env, &out);
    CHECK_STR(text(), "0000000040000000-0000000080000000 0000000040000000 -rw\n"
                      "0000007fffffe000-0000008000000000 0000000000002000 urw\n"
                      "ffffff8040000000-ffffff8080000000 0000000040000000 -rw\n"
                      "ffffffffffffe000-0000000000000000 0000000000002000 -rw\n");
}

/* Tables that point at themselves or nowhere end all the same. */
static void strange_tables(void)
{
    set_up();
    env->cr0 = CR0_PE | CR0_PG;
    env->cr3 = 0x1000;
    for (unsigned i = 0; i < 1024; i++) {
        entry(0x1000, i, 4, 0x1007);
    }
    cpu_dump_mem_mappings(env, &out);
    CHECK_STR(text(), "0000000000000000-0000000100000000 0000000100000000 urw\n");
    buffer_clear(&out);
    env->cr3 = 0xdead0000;
    cpu_dump_mem_mappings(env, &out);
    CHECK_EQ(out.size, 0);

    /* A four-level map of one table only would take 2^36 steps: it is given up with a word. */
    env->cr4 = CR4_PAE;
    env->hflags = HF_LMA;
    env->cr3 = 0x1000;
    for (unsigned i = 0; i < 512; i++) {
        entry(0x1000, i, 8, 0x1007);
    }
    cpu_dump_mem_mappings(env, &out);
    CHECK(strstr(text(), "too many page tables"));
}

TESTS(TEST(registers_by_name), TEST(registers_as_text), TEST(paging_off), TEST(two_levels),
      TEST(pae), TEST(four_levels), TEST(strange_tables))
