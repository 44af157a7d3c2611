/*
 * The loop: blocks, modified code, aliases, kicks, single step, faults.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <pthread.h>

#include "target-i386/vcpu.h"
#include "tests/unit/target-i386/exec-fixture.h"

static void runs_to_hlt(void)
{
    fixture();
    PUT_CODE(0xb8, 5, 0, 0, 0, /* mov eax, 5 */
             0x01, 0xc3,       /* add ebx, eax */
             0x48,             /* dec eax */
             0x75, 0xfb);      /* jnz back to the add */
    CHECK_EQ(run_code(), CPU_EXIT_HALT);
    CHECK_EQ(env->regs[R_BX], 15);
    CHECK_EQ(env->regs[R_AX], 0);
    CHECK_EQ(env->rip, CODE + 11);
}

/* The store changes the instruction right behind it, in the same block. */
static void modified_code_is_seen_at_once(void)
{
    fixture();
    for (unsigned i = 0; i < 3; i++) {
        PUT_CODE(0xc6, 0x05, (CODE + 8) & 0xff, CODE >> 8, 0, 0,
                 7,        /* mov byte [immediate of the next], 7 */
                 0xb3, 1); /* mov bl, 1 */
        env->regs[R_BX] = 0;
        CHECK_EQ(run_code(), CPU_EXIT_HALT);
        CHECK_EQ(env->regs[R_BX], 7);
    }
}

static void code_is_decoded_again_after_dma(void)
{
    const uint8_t other = 9;

    fixture();
    PUT_CODE(0xb3, 1); /* mov bl, 1 */
    run_code();
    CHECK_EQ(env->regs[R_BX], 1);
    CHECK(dma_write(CODE + 1, &other, 1));
    run_code();
    CHECK_EQ(env->regs[R_BX], 9);
}

static void code_is_seen_through_an_alias(void)
{
    fixture();
    PUT_CODE(0xb3, 1); /* mov bl, 1 */
    run_code();
    mem_write8(env, SEG_DS, ALIAS + CODE + 1, 5);
    run_code();
    CHECK_EQ(env->regs[R_BX], 5);
}

static void instruction_across_pages_belongs_to_both(void)
{
    const uint32_t start = 0x2ffe;
    const uint8_t insn[] = {0xb8, 1, 0, 0, 0, 0xf4}; /* mov eax, 1; hlt */

    fixture();
    memcpy(at(start), insn, sizeof(insn));
    for (uint32_t i = 0; i < 2; i++) {
        env->rip = start;
        CHECK_EQ(cpu_exec(env), CPU_EXIT_HALT);
        CHECK_EQ(env->regs[R_AX], 1);
        env->halted = false;
    }
    mem_write8(env, SEG_DS, 0x3001, 2); /* bits 23:16 */
    env->rip = start;
    cpu_exec(env);
    CHECK_EQ(env->regs[R_AX], 0x00020001);
    mem_write8(env, SEG_DS, 0x2fff, 3); /* bits 7:0 */
    env->rip = start;
    env->halted = false;
    cpu_exec(env);
    CHECK_EQ(env->regs[R_AX], 0x00020003);
}

static void *kick(void *arg)
{
    vcpu_kick(arg);
    return NULL;
}

static void endless_loop_leaves_when_kicked(void)
{
    pthread_t thread;

    fixture();
    PUT_CODE(0xeb, 0xfe); /* jmp to itself */
    CHECK_EQ(pthread_create(&thread, NULL, kick, env), 0);
    CHECK_EQ(run_code(), CPU_EXIT_KICK);
    pthread_join(thread, NULL);
    CHECK_EQ(env->rip, CODE);
}

static void single_step_is_due_after_each_instruction(void)
{
    fixture();
    PUT_CODE(0x40, 0x43); /* inc eax; inc ebx */
    env->eflags |= FLAG_TF;
    cpu_update_hflags(env);
    CHECK_EQ(cpu_exec_one(env), CPU_EXIT_KICK);
    CHECK_EQ(env->regs[R_AX], 1);
    CHECK_EQ(env->regs[R_BX], 0);
    CHECK_EQ(env->pending_db, 0x4000);
}

static void code_breakpoint_comes_before_its_instruction(void)
{
    fixture();
    PUT_CODE(0x40, 0x43); /* inc eax; inc ebx */
    at(0)[0] = 0;
    env->idt.limit = 0; /* so the fault becomes a shutdown */
    env->dr[0] = CODE + 1;
    env->dr[7] = 1;
    cpu_update_hflags(env);
    CHECK_EQ(run_code(), CPU_EXIT_RESET);
    CHECK_EQ(env->regs[R_AX], 1);
    CHECK_EQ(env->regs[R_BX], 0);
    CHECK_EQ(env->rip, CODE + 1);
    CHECK_EQ(env->dr[6] & 15, 1);
}

static void sti_shadows_one_instruction(void)
{
    fixture();
    PUT_CODE(0xfb, 0x40); /* sti; inc eax */
    CHECK_EQ(cpu_exec_one(env), CPU_EXIT_KICK);
    CHECK_EQ(env->shadow, CPU_SHADOW_STI);
    cpu_exec_one(env);
    CHECK_EQ(env->shadow, 0);
    CHECK_EQ(env->regs[R_AX], 1);
}

static void undefined_opcode_changes_nothing(void)
{
    fixture();
    PUT_CODE(0x40, 0x0f, 0x0b); /* inc eax; ud2 */
    env->idt.limit = 0;
    CHECK_EQ(run_code(), CPU_EXIT_RESET);
    CHECK_EQ(env->regs[R_AX], 1);
    CHECK_EQ(env->rip, CODE + 1);
}

static void fetch_stops_at_the_limit(void)
{
    fixture();
    PUT_CODE(0x40, 0xb8, 1, 0, 0, 0); /* inc eax; mov eax, 1 */
    env->segs[SEG_CS].limit = CODE + 3;
    env->segs[SEG_CS].attr &= ~SEG_ATTR_G;
    cpu_update_hflags(env);
    env->idt.limit = 0;
    for (unsigned i = 0; i < 2; i++) { /* the second time from the cache */
        CHECK_EQ(run_code(), CPU_EXIT_RESET);
        CHECK_EQ(env->regs[R_AX], i + 1);
        CHECK_EQ(env->rip, CODE + 1);
    }
}

/* Far more code than the cache holds, each page of it different. */
static void full_cache_starts_over(void)
{
    fixture();
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t a = 0x40000; a < 0x1f0000; a += 4) {
            memcpy(at(a), (const uint8_t[]){0x40, 0xeb, 0, 0x90}, 4); /* inc eax; jmp on */
        }
        memcpy(at(0x1f0000), (const uint8_t[]){0xf4}, 1);
        exec_invalidate_code(env, 0x40000, 0x1b0001);
        env->regs[R_AX] = 0;
        env->rip = 0x40000;
        env->halted = false;
        CHECK_EQ(cpu_exec(env), CPU_EXIT_HALT);
        CHECK_EQ(env->regs[R_AX], (0x1f0000 - 0x40000) / 4);
    }
}

TESTS(TEST(runs_to_hlt), TEST(modified_code_is_seen_at_once), TEST(code_is_decoded_again_after_dma),
      TEST(code_is_seen_through_an_alias), TEST(instruction_across_pages_belongs_to_both),
      TEST(endless_loop_leaves_when_kicked), TEST(single_step_is_due_after_each_instruction),
      TEST(code_breakpoint_comes_before_its_instruction), TEST(sti_shadows_one_instruction),
      TEST(undefined_opcode_changes_nothing), TEST(fetch_stops_at_the_limit),
      TEST(full_cache_starts_over))
