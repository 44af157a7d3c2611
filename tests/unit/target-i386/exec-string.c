/*
 * String instructions: overlap, direction, faults in the middle, interruption.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/vcpu.h"
#include "tests/unit/target-i386/exec-fixture.h"

static void fill(uint32_t addr, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        at(addr)[i] = (uint8_t)(i * 7 + 1);
    }
}

static void copies_over_pages(void)
{
    fixture();
    fill(DATA + 3, 10000);
    PUT_CODE(0xf3, 0xa4); /* rep movsb */
    env->regs[R_SI] = DATA + 3;
    env->regs[R_DI] = 0x10001;
    env->regs[R_CX] = 10000;
    CHECK_EQ(run_code(), CPU_EXIT_HALT);
    CHECK(!memcmp(at(DATA + 3), at(0x10001), 10000));
    CHECK_EQ(env->regs[R_CX], 0);
    CHECK_EQ(env->regs[R_SI], DATA + 3 + 10000);
    CHECK_EQ(env->regs[R_DI], 0x10001 + 10000);
}

/* A copy onto bytes that are still to be read repeats them. */
static void overlap_repeats(void)
{
    fixture();
    memcpy(at(DATA), "abc", 3);
    PUT_CODE(0xf3, 0xa4); /* rep movsb */
    env->regs[R_SI] = DATA;
    env->regs[R_DI] = DATA + 3;
    env->regs[R_CX] = 9;
    run_code();
    CHECK(!memcmp(at(DATA), "abcabcabcabc\0", 13));
}

static void overlap_through_an_alias_repeats(void)
{
    fixture();
    memcpy(at(DATA), "abc", 3);
    PUT_CODE(0xf3, 0xa4); /* rep movsb */
    env->regs[R_SI] = DATA;
    env->regs[R_DI] = ALIAS + DATA + 3;
    env->regs[R_CX] = 9;
    run_code();
    CHECK(!memcmp(at(DATA), "abcabcabcabc\0", 13));
}

static void goes_down_with_df(void)
{
    fixture();
    fill(DATA, 0x2000);
    PUT_CODE(0xfd, 0xf3, 0xa5, 0xfc); /* std; rep movsd; cld */
    env->regs[R_SI] = DATA + 0x1ffc;
    env->regs[R_DI] = 0x12ffc;
    env->regs[R_CX] = 0x800;
    run_code();
    CHECK(!memcmp(at(DATA), at(0x11000), 0x2000));
    CHECK_EQ(env->regs[R_DI], 0x10ffc);
}

static void fault_leaves_exact_registers(void)
{
    fixture();
    PUT_CODE(0xf3, 0xab); /* rep stosd */
    env->segs[SEG_ES].limit = DATA + 0x100b;
    env->segs[SEG_ES].attr &= ~SEG_ATTR_G;
    cpu_update_hflags(env);
    env->idt.limit = 0;
    env->regs[R_AX] = 0x11223344;
    env->regs[R_DI] = DATA;
    env->regs[R_CX] = 0x1000;
    CHECK_EQ(run_code(), CPU_EXIT_RESET);
    CHECK_EQ(env->rip, CODE);
    CHECK_EQ(env->regs[R_DI], DATA + 0x100c);
    CHECK_EQ(env->regs[R_CX], 0x1000 - 0x403);
    CHECK_EQ(at(DATA + 0x100b)[0], 0x11);
    CHECK_EQ(at(DATA + 0x100c)[0], 0);
}

static void leaves_when_somebody_wants_the_cpu(void)
{
    fixture();
    PUT_CODE(0xf3, 0xaa); /* rep stosb */
    env->regs[R_AX] = 0x55;
    env->regs[R_DI] = DATA;
    env->regs[R_CX] = 0x5000;
    unsigned times = 0;
    while (env->rip == CODE) {
        atomic_store(&env->exit_request, 1);
        cpu_exec_one(env);
        times++;
        CHECK_EQ(env->regs[R_DI] - DATA + env->regs[R_CX], 0x5000);
    }
    CHECK(times > 1);
    CHECK_EQ(env->regs[R_CX], 0);
    CHECK_EQ(at(DATA + 0x4fff)[0], 0x55);
    CHECK_EQ(at(DATA + 0x5000)[0], 0);
}

static void one_element_a_step(void)
{
    fixture();
    PUT_CODE(0xf3, 0xaa); /* rep stosb */
    env->regs[R_DI] = DATA;
    env->regs[R_CX] = 3;
    env->eflags |= FLAG_TF;
    cpu_update_hflags(env);
    cpu_exec_one(env);
    CHECK_EQ(env->regs[R_CX], 2);
    CHECK_EQ(env->rip, CODE);
    CHECK_EQ(env->pending_db, 0x4000);
}

static void scan_stops_at_the_byte(void)
{
    fixture();
    memset(at(DATA), 'x', 0x1800);
    at(DATA + 0x1234)[0] = 0;
    PUT_CODE(0xf2, 0xae); /* repne scasb */
    env->regs[R_AX] = 0;
    env->regs[R_DI] = DATA;
    env->regs[R_CX] = 0xffffffff;
    run_code();
    CHECK_EQ(env->regs[R_DI], DATA + 0x1235);
    CHECK_EQ(env->regs[R_CX], 0xffffffff - 0x1235);
    CHECK(env->eflags & FLAG_ZF);
}

static void compare_stops_at_the_difference(void)
{
    fixture();
    fill(DATA, 0x1800);
    fill(DATA + 0x4001, 0x1800);
    at(DATA + 0x4001 + 0x1100)[0] ^= 0x80;
    PUT_CODE(0xf3, 0xa6); /* repe cmpsb */
    env->regs[R_SI] = DATA;
    env->regs[R_DI] = DATA + 0x4001;
    env->regs[R_CX] = 0x1800;
    run_code();
    CHECK_EQ(env->regs[R_SI], DATA + 0x1101);
    CHECK_EQ(env->regs[R_CX], 0x1800 - 0x1101);
    CHECK(!(env->eflags & FLAG_ZF));
}

static void overwrites_code_behind_it(void)
{
    fixture();
    PUT_CODE(0xf3, 0xaa, 0xb3, 1); /* rep stosb; mov bl, 1 */
    env->regs[R_AX] = 0x40;        /* inc eax, twice in place of the mov */
    env->regs[R_DI] = CODE + 2;
    env->regs[R_CX] = 2;
    env->regs[R_BX] = 0;
    run_code();
    CHECK_EQ(env->regs[R_AX], 0x42);
    CHECK_EQ(env->regs[R_BX], 0);
}

TESTS(TEST(copies_over_pages), TEST(overlap_repeats), TEST(overlap_through_an_alias_repeats),
      TEST(goes_down_with_df), TEST(fault_leaves_exact_registers),
      TEST(leaves_when_somebody_wants_the_cpu), TEST(one_element_a_step),
      TEST(scan_stops_at_the_byte), TEST(compare_stops_at_the_difference),
      TEST(overwrites_code_behind_it))
