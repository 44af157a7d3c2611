/*
 * A debugger's breakpoints, watchpoints and steps, on both engines: where the CPU stops, what it
 * has done by then, and that the guest's memory and debug registers stay as they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/debugger.h"

#include "target-i386/accel.h"
#include "tests/unit/target-i386/exec-fixture.h"

static const AccelOps *const engines[] = {&accel_interp, &accel_jit};
#define ENGINES 2

/* The tests' CPU has no thread, and so no list of CPUs finds it. */
static void points_changed(void)
{
    tlb_flush(env);
}

static void set_up(unsigned engine)
{
    fixture();
    accel_select(engines[engine]);
    debugger_point_remove_all();
    debugger_clear(env);
    points_changed();
}

static void insert(DebuggerPointKind kind, uint64_t addr, uint64_t size)
{
    debugger_point_insert(kind, addr, size);
    points_changed();
}

/* As the thread does: what asked for the exit has been seen. */
static CpuExit go(void)
{
    cpu_exit_seen(env);
    return cpu_exec(env);
}

static CpuExit go_on(void)
{
    debugger_clear(env);
    debugger_skip_breakpoint(env);
    return go();
}

/* add eax, 1; add ebx, 2; dec ecx; jnz CODE; hlt */
static void put_loop(unsigned rounds)
{
    PUT_CODE(0x83, 0xc0, 1, 0x83, 0xc3, 2, 0x49, 0x75, 0xf7);
    env->regs[R_AX] = env->regs[R_BX] = 0;
    env->regs[R_CX] = rounds;
    env->rip = CODE;
    env->halted = false;
}

static void breakpoint_comes_before_its_instruction(void)
{
    for (unsigned e = 0; e < ENGINES; e++) {
        set_up(e);
        put_loop(1000);
        CHECK_EQ(go(), CPU_EXIT_HALT); /* known, linked, translated */
        put_loop(5);
        insert(DEBUGGER_BREAK_SOFT, CODE + 3, 1);
        for (unsigned i = 1; i <= 5; i++) {
            CHECK_EQ(go_on(), CPU_EXIT_DEBUG);
            CHECK_EQ(env->rip, CODE + 3);
            CHECK_EQ(env->regs[R_AX], i);
            CHECK_EQ(env->regs[R_BX], 2 * (i - 1));
            CHECK_EQ(env->debugger.stop, DEBUGGER_STOP_BREAK);
            CHECK_EQ(env->debugger.kind, DEBUGGER_BREAK_SOFT);
            CHECK_EQ(env->debugger.addr, CODE + 3);
        }
        CHECK_EQ(at(CODE)[3], 0x83);
        CHECK_EQ(env->dr[7], 0x400);
        CHECK_EQ(go_on(), CPU_EXIT_HALT);
        CHECK_EQ(env->regs[R_BX], 10);
    }
}

static void breakpoint_stops_again_unless_skipped(void)
{
    for (unsigned e = 0; e < ENGINES; e++) {
        set_up(e);
        put_loop(2);
        insert(DEBUGGER_BREAK_HARD, CODE, 1);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        debugger_clear(env);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->regs[R_AX], 0);
        CHECK_EQ(go_on(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->regs[R_AX], 1);
        CHECK(debugger_point_remove(DEBUGGER_BREAK_HARD, CODE, 1));
        CHECK(!debugger_point_remove(DEBUGGER_BREAK_HARD, CODE, 1));
        points_changed();
        debugger_clear(env);
        CHECK_EQ(go(), CPU_EXIT_HALT);
    }
}

/* In the page that is jumped to, called, and returned to. */
static void breakpoints_behind_jumps_from_other_pages(void)
{
    const uint32_t far = CODE + 0x3000;

    for (unsigned e = 0; e < ENGINES; e++) {
        set_up(e);
        PUT_CODE(0xe8, 0xfb, 0x2f, 0, 0,                   /* call far */
                 0x49, 0x75, 0xf8);                        /* dec ecx; jnz back */
        memcpy(at(far), (const uint8_t[]){0x40, 0xc3}, 2); /* inc eax; ret */
        env->regs[R_CX] = 1000;
        CHECK_EQ(run_code(), CPU_EXIT_HALT);
        CHECK_EQ(env->regs[R_AX], 1000);
        env->regs[R_CX] = 3;
        env->regs[R_AX] = 0;
        env->rip = CODE;
        env->halted = false;
        insert(DEBUGGER_BREAK_SOFT, far, 1);
        insert(DEBUGGER_BREAK_SOFT, CODE + 5, 1);
        for (unsigned i = 0; i < 3; i++) {
            CHECK_EQ(go_on(), CPU_EXIT_DEBUG);
            CHECK_EQ(env->rip, far);
            CHECK_EQ(env->regs[R_AX], i);
            CHECK_EQ(go_on(), CPU_EXIT_DEBUG);
            CHECK_EQ(env->rip, CODE + 5);
            CHECK_EQ(env->regs[R_AX], i + 1);
        }
        CHECK_EQ(go_on(), CPU_EXIT_HALT);
    }
}

static void breakpoint_is_linear(void)
{
    for (unsigned e = 0; e < ENGINES; e++) {
        set_up(e);
        put_loop(1);
        env->segs[SEG_CS].base = 0x100;
        env->rip = CODE - 0x100;
        cpu_update_hflags(env);
        CHECK_EQ(debugger_pc(env), CODE);
        insert(DEBUGGER_BREAK_SOFT, CODE + 6, 1);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->rip, CODE + 6 - 0x100);
        uint8_t pc[16] = {(CODE + 3) & 0xff, (CODE + 3) >> 8};
        CHECK(debugger_reg_write(env, DEBUGGER_REG_PC, 0, pc));
        CHECK_EQ(env->rip, CODE + 3 - 0x100);
    }
}

static void steps_one_instruction(void)
{
    static const uint32_t ends[] = {CODE + 3, CODE + 6, CODE + 7, CODE, CODE + 3};

    for (unsigned e = 0; e < ENGINES; e++) {
        set_up(e);
        put_loop(2);
        insert(DEBUGGER_BREAK_SOFT, CODE + 3, 1); /* a step goes from it and to it */
        for (unsigned i = 0; i < 5; i++) {
            debugger_clear(env);
            debugger_step(env, false, 0, 0);
            CHECK_EQ(go(), CPU_EXIT_DEBUG);
            CHECK_EQ(env->rip, ends[i]);
            CHECK_EQ(env->debugger.stop, DEBUGGER_STOP_STEP);
        }
    }
}

static void steps_over_a_range(void)
{
    for (unsigned e = 0; e < ENGINES; e++) {
        set_up(e);
        put_loop(100);
        debugger_step(env, false, CODE, CODE + 9);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->rip, CODE + 9);
        CHECK_EQ(env->regs[R_AX], 100);
        put_loop(100);
        insert(DEBUGGER_BREAK_SOFT, CODE + 6, 1);
        debugger_clear(env);
        debugger_step(env, false, CODE, CODE + 9);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->rip, CODE + 6);
        CHECK_EQ(env->regs[R_AX], 1);
    }
}

/* A gate for vector n to a handler of its own: CODE + 0x100 + n, all HLT. */
static void put_tables(void)
{
    const uint64_t code = 0x00cf9b000000ffffull;

    env->idt = (DescriptorTable){0x3000, 0x7ff};
    env->gdt = (DescriptorTable){0x4000, 0xff};
    memcpy(at(0x4008), &code, 8);
    for (unsigned n = 0; n < 256; n++) {
        uint64_t gate = (CODE + 0x100 + n) | 8u << 16 | 0x8e00ull << 32;
        memcpy(at(0x3000 + 8 * n), &gate, 8);
        at(CODE + 0x100 + n)[0] = 0xf4;
    }
}

static void a_fault_is_a_step(void)
{
    for (unsigned e = 0; e < ENGINES; e++) {
        set_up(e);
        PUT_CODE(0x0f, 0x0b); /* ud2 */
        put_tables();
        env->rip = CODE;
        debugger_step(env, false, 0, 0);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->rip, CODE + 0x100 + EXCP_UD);
    }
}

static int acknowledge(void *opaque)
{
    cpu_interrupt_clear(opaque, CPU_INTERRUPT_HARD);
    return 0x40;
}

static void steps_hold_interrupts(void)
{
    static const CpuIntController intc = {.acknowledge = acknowledge};

    for (unsigned e = 0; e < ENGINES; e++) {
        set_up(e);
        PUT_CODE(0x40, 0x40, 0xf4, 0x40); /* inc eax; inc eax; hlt; inc eax */
        put_tables();
        env->intc = &intc;
        env->intc_opaque = env;
        env->eflags |= FLAG_IF;
        env->rip = CODE;
        cpu_interrupt(env, CPU_INTERRUPT_HARD);
        debugger_step(env, true, 0, 0);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->rip, CODE + 1);
        /* Not held: the handler's first instruction is next. */
        debugger_clear(env);
        debugger_step(env, false, 0, 0);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->rip, CODE + 0x140);
        /* A halted CPU takes the one it waits for, held or not. */
        env->rip = CODE + 2;
        env->eflags |= FLAG_IF;
        debugger_clear(env);
        debugger_step(env, true, 0, 0);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->rip, CODE + 3);
        CHECK(env->halted);
        cpu_interrupt(env, CPU_INTERRUPT_HARD);
        debugger_clear(env);
        debugger_step(env, true, 0, 0);
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->rip, CODE + 0x140);
        CHECK(!env->halted);
        env->intc = NULL;
    }
}

static void watchpoints_stop_behind_the_access(void)
{
    static const struct {
        DebuggerPointKind kind;
        uint32_t addr, size;
        uint32_t rip; /* where it stops; CODE + 13: not at all */
    } cases[] = {
        {DEBUGGER_WATCH_WRITE, DATA, 4, CODE + 12},
        {DEBUGGER_WATCH_READ, DATA, 4, CODE + 6},
        {DEBUGGER_WATCH_ACCESS, DATA, 4, CODE + 6},
        {DEBUGGER_WATCH_WRITE, DATA + 3, 1, CODE + 12},
        {DEBUGGER_WATCH_WRITE, DATA - 1, 1, CODE + 13},
        {DEBUGGER_WATCH_WRITE, DATA + 4, 1, CODE + 13},
        {DEBUGGER_WATCH_WRITE, DATA - 16, 100, CODE + 12},
    };

    for (unsigned e = 0; e < ENGINES; e++) {
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            set_up(e);
            PUT_CODE(0x8b, 0x1d, 0, DATA >> 8, 0, 0,  /* mov ebx, [DATA] */
                     0x89, 0x0d, 0, DATA >> 8, 0, 0); /* mov [DATA], ecx */
            run_code();
            env->regs[R_CX] = 77;
            env->rip = CODE;
            env->halted = false;
            insert(cases[i].kind, cases[i].addr, cases[i].size);
            CHECK_EQ(go(), cases[i].rip == CODE + 13 ? CPU_EXIT_HALT : CPU_EXIT_DEBUG);
            CHECK_EQ(env->rip, cases[i].rip);
            if (cases[i].rip != CODE + 13) {
                CHECK_EQ(env->debugger.addr, cases[i].addr);
                CHECK_EQ(env->debugger.kind, cases[i].kind);
                CHECK(debugger_watch_pending(env));
                debugger_point_remove_all();
                CHECK(!debugger_watch_pending(env));
            }
            if (cases[i].rip >= CODE + 12) {
                CHECK_EQ(at(DATA)[0], 77);
            }
            CHECK_EQ(env->dr[6], 0xffff0ff0);
        }
    }
}

static void watchpoints_see_stacks_and_strings(void)
{
    for (unsigned e = 0; e < ENGINES; e++) {
        set_up(e);
        PUT_CODE(0x50, 0xf3, 0xaa); /* push eax; rep stosb */
        insert(DEBUGGER_WATCH_WRITE, STACK - 4, 4);
        insert(DEBUGGER_WATCH_WRITE, DATA + 5, 1);
        env->regs[R_DI] = DATA;
        env->regs[R_CX] = 100;
        env->rip = CODE;
        CHECK_EQ(go(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->rip, CODE + 1);
        CHECK_EQ(env->debugger.addr, STACK - 4);
        CHECK_EQ(go_on(), CPU_EXIT_DEBUG);
        CHECK_EQ(env->debugger.addr, DATA + 5);
        CHECK(env->regs[R_CX] < 100 && env->regs[R_DI] > DATA + 5);
    }
}

static void too_many_points_are_refused(void)
{
    set_up(0);
    for (unsigned i = 0; i < DEBUGGER_MAX_POINTS; i++) {
        CHECK(debugger_point_insert(DEBUGGER_BREAK_SOFT, 0x100000 + i, 1));
    }
    CHECK(debugger_point_insert(DEBUGGER_BREAK_SOFT, 0x100000, 1));
    CHECK(!debugger_point_insert(DEBUGGER_BREAK_SOFT, 0x90000, 1));
    CHECK_EQ(debugger_point_count(), DEBUGGER_MAX_POINTS);
    debugger_point_remove_all();
    CHECK(!debugger_point_insert(DEBUGGER_WATCH_WRITE, 0x90000, 0));
    CHECK_EQ(debugger_point_count(), 0);
}

static bool write_reg(DebuggerReg kind, unsigned index, uint64_t v)
{
    uint8_t value[16] = {0};

    memcpy(value, &v, sizeof(v));
    return debugger_reg_write(env, kind, index, value);
}

static void registers_keep_what_the_cpu_relies_on(void)
{
    set_up(0);
    put_tables();
    CHECK(!write_reg(DEBUGGER_REG_CONTROL, 0, CR0_PG)); /* paging without protection */
    CHECK(!write_reg(DEBUGGER_REG_CONTROL, 4, ~0ull));
    CHECK(write_reg(DEBUGGER_REG_CONTROL, 0, env->cr0 | CR0_WP));
    CHECK(env->cr0 & CR0_WP);
    CHECK(!write_reg(DEBUGGER_REG_MXCSR, 0, 0xffffffff));
    CHECK(write_reg(DEBUGGER_REG_MXCSR, 0, 0x1fa0));
    CHECK(!write_reg(DEBUGGER_REG_SEG_BASE, SEG_FS, 0x0123456789abcdefull)); /* not canonical */
    CHECK(!write_reg(DEBUGGER_REG_EFER, 0, ~0ull));
    CHECK(write_reg(DEBUGGER_REG_FLAGS, 0, 0xffffffff));
    CHECK(!(env->eflags & FLAG_VM) && env->eflags & FLAG_ID);
    CHECK(write_reg(DEBUGGER_REG_FLAGS, 0, 0));
    CHECK_EQ(env->eflags, FLAG_1);
    CHECK(!write_reg(DEBUGGER_REG_SELECTOR, SEG_DS, 0x7f0));    /* beyond the table */
    CHECK(!write_reg(DEBUGGER_REG_SELECTOR, SEG_SS, 8 + 0x20)); /* code */
    CHECK(!write_reg(DEBUGGER_REG_SELECTOR, SEG_CS, 0));
    CHECK(write_reg(DEBUGGER_REG_SELECTOR, SEG_DS, 0));
    CHECK_EQ(env->segs[SEG_DS].attr, 0);
    env->halted = true;
    CHECK(write_reg(DEBUGGER_REG_PC, 0, CODE + 1));
    CHECK(!env->halted);
    CHECK(env->excp_vector == -1 && !env->fault_jmp);
}

TESTS(TEST(breakpoint_comes_before_its_instruction), TEST(breakpoint_stops_again_unless_skipped),
      TEST(breakpoints_behind_jumps_from_other_pages), TEST(breakpoint_is_linear),
      TEST(steps_one_instruction), TEST(steps_over_a_range), TEST(a_fault_is_a_step),
      TEST(steps_hold_interrupts), TEST(watchpoints_stop_behind_the_access),
      TEST(watchpoints_see_stacks_and_strings), TEST(too_many_points_are_refused),
      TEST(registers_keep_what_the_cpu_relies_on))
