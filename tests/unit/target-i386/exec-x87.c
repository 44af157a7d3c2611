/*
 * x87, MMX, SSE state: what the oracle cannot see from user mode. Environment formats of real mode,
 * when pending exceptions are reported, control bits that forbid the unit, the executor's own
 * handling of AVX state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/host-thunk.h"
#include "tests/unit/target-i386/exec-fixture.h"

/* Runs code that is to end in a fault; the IDT is empty, so that is a shutdown. The vector of the
 * first fault is not kept by then, so that CODE + n tells which instruction it was. */
static uint64_t faulting_offset(void)
{
    env->idt.limit = 0;
    return run_code() == CPU_EXIT_RESET ? env->rip - CODE : ~0ull;
}

static void pending_exception_waits_for_the_next_instruction(void)
{
    fixture();
    at(DATA)[0] = 0x7b; /* FCW: division by zero is unmasked */
    at(DATA)[1] = 0x03;
    PUT_CODE(0xdb, 0xe3,                     /* fninit */
             0xd9, 0x2d, 0, DATA >> 8, 0, 0, /* fldcw [DATA] */
             0xd9, 0xe8, 0xd9, 0xee,         /* fld1; fldz */
             0xde, 0xf9,                     /* fdivp: raises */
             0xdf, 0xe0,                     /* fnstsw ax: does not wait */
             0xd9, 0x3d, 4, DATA >> 8, 0, 0, /* fnstcw [DATA + 4]: neither */
             0xd9, 0xe8);                    /* fld1: #MF */
    CHECK_EQ(faulting_offset(), 22);
    CHECK_EQ(env->regs[R_AX] & 0x80ff, 0x8084);
    CHECK_EQ(env->fpu.fip, CODE + 12);
    CHECK_EQ(env->fpu.fop, 0x6f9);
}

static void fnclex_takes_it_back(void)
{
    fixture();
    at(DATA)[0] = 0x7b;
    at(DATA)[1] = 0x03;
    PUT_CODE(0xdb, 0xe3, 0xd9, 0x2d, 0, DATA >> 8, 0, 0, /* fninit; fldcw [DATA] */
             0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9,         /* fld1; fldz; fdivp */
             0xdb, 0xe2, 0xd9, 0xe8);                    /* fnclex; fld1 */
    CHECK_EQ(run_code(), CPU_EXIT_HALT);
    CHECK_EQ(env->fpu.fsw & 0x80ff, 0);
}

static void host_state_is_its_own_afterwards(void)
{
    uint16_t fcw, fsw;
    uint32_t mxcsr;

    pending_exception_waits_for_the_next_instruction();
    __asm__ volatile("fnstcw %0\n\tfnstsw %1\n\tstmxcsr %2" : "=m"(fcw), "=m"(fsw), "=m"(mxcsr));
    CHECK_EQ(fcw, 0x37f);
    CHECK_EQ(fsw & 0x80ff, 0);
    CHECK_EQ(mxcsr & 0xffc0, 0x1f80);
}

static void ts_and_em_raise(void)
{
    fixture();
    PUT_CODE(0x40, 0xd9, 0xe8); /* inc eax; fld1 */
    env->cr0 |= CR0_TS;
    CHECK_EQ(faulting_offset(), 1);
    fixture();
    PUT_CODE(0x40, 0x0f, 0x58, 0xc1); /* inc eax; addps xmm0, xmm1 */
    env->cr4 &= ~CR4_OSFXSR;
    CHECK_EQ(faulting_offset(), 1);
    fixture();
    PUT_CODE(0x40, 0xc5, 0xf8, 0x58, 0xc1); /* inc eax; vaddps xmm0, xmm0, xmm1 */
    env->xcr0 = 3;
    CHECK_EQ(faulting_offset(), 1);
}

static void wait_looks_at_mp_and_ts(void)
{
    fixture();
    PUT_CODE(0x9b, 0x40); /* wait; inc eax */
    env->cr0 = (env->cr0 & ~CR0_MP) | CR0_TS;
    CHECK_EQ(run_code(), CPU_EXIT_HALT);
    env->cr0 |= CR0_MP;
    CHECK_EQ(faulting_offset(), 0);
}

static uint16_t word(uint32_t addr)
{
    return (uint16_t)(at(addr)[0] | at(addr)[1] << 8);
}

/* In real mode the environment holds linear addresses, in pieces, and the opcode. */
static void environment_of_real_mode(void)
{
    fixture();
    env->cr0 &= ~CR0_PE;
    env->segs[SEG_CS] = (Segment){.selector = 0x100, .base = 0x1000, .limit = 0xffff, .attr = 0x9b};
    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        if (s != SEG_CS) {
            env->segs[s] =
                (Segment){.selector = 0x1800, .base = 0x18000, .limit = 0xffff, .attr = 0x93};
        }
    }
    cpu_update_hflags(env);
    env->rip = 0;
    PUT_CODE(0xdb, 0xe3, 0xd9, 0xe8,        /* fninit; fld1 */
             0xd9, 0x16, 0x00, 0x90,        /* fst dword [9000] */
             0xd9, 0x36, 0x00, 0x20,        /* fnstenv [2000] */
             0x66, 0xd9, 0x36, 0x00, 0x30); /* o32 fnstenv [3000] */
    env->halted = false;
    CHECK_EQ(cpu_exec(env), CPU_EXIT_HALT);
    CHECK_EQ(word(0x1a000), 0x037f);
    CHECK_EQ(word(0x1a004), 0x3fff); /* register 7 valid, others empty */
    CHECK_EQ(word(0x1a006), 0x1004); /* 0100:0004 */
    CHECK_EQ(word(0x1a008), 0x116);  /* address bits 19:16, D9 16 */
    CHECK_EQ(word(0x1a00a), 0x1000); /* 1800:9000 is 21000 */
    CHECK_EQ(word(0x1a00c), 0x2000);
    CHECK_EQ(word(0x1b00c), 0x1004);
    CHECK_EQ(word(0x1b010), 0x116);
    CHECK_EQ(word(0x1b014), 0x1000);
    CHECK_EQ(word(0x1b018), 0x2000);
}

static void masked_and_unmasked_simd_exceptions(void)
{
    fixture();
    PUT_CODE(0x0f, 0x5e, 0xc1); /* divps xmm0, xmm1 */
    for (unsigned i = 0; i < 4; i++) {
        memcpy(&env->fpu.xmm[0][4 * i], (const float[]){1.0f}, 4);
    }
    memset(env->fpu.xmm[1], 0, 16);
    env->fpu.mxcsr = 0x1f80;
    CHECK_EQ(run_code(), CPU_EXIT_HALT);
    CHECK_EQ(env->fpu.mxcsr, 0x1f84);
    CHECK_EQ(env->fpu.xmm[0][3], 0x7f); /* infinity */
    memcpy(env->fpu.xmm[0], (const float[]){2.0f, 2.0f, 2.0f, 2.0f}, 16);
    env->fpu.mxcsr = 0x1d80; /* #Z unmasked */
    CHECK_EQ(faulting_offset(), 0);
    CHECK_EQ(env->fpu.mxcsr, 0x1d84);
    CHECK_EQ(env->fpu.xmm[0][3], 0x40); /* as it was */
}

/* VZEROUPPER outside 64-bit mode leaves registers 8 to 15 alone. */
static void vzeroupper_of_32_bits(void)
{
    fixture();
    memset(env->fpu.ymmh, 0xaa, sizeof(env->fpu.ymmh));
    PUT_CODE(0xc5, 0xf8, 0x77);
    CHECK_EQ(run_code(), CPU_EXIT_HALT);
    CHECK_EQ(env->fpu.ymmh[7][15], 0);
    CHECK_EQ(env->fpu.ymmh[8][0], 0xaa);
}

/* W is ignored outside 64-bit mode by moves between general and vector registers. */
static void vex_w_of_32_bits(void)
{
    fixture();
    env->regs[R_AX] = 0x12345678;
    memset(env->fpu.xmm[1], 0xff, 16);
    PUT_CODE(0xc4, 0xe1, 0xf9, 0x6e, 0xc8); /* vmovd xmm1, eax with W set */
    CHECK_EQ(run_code(), CPU_EXIT_HALT);
    CHECK_EQ(env->fpu.xmm[1][3], 0x12);
    CHECK_EQ(env->fpu.xmm[1][4], 0);
}

static void misaligned_operand_faults(void)
{
    fixture();
    PUT_CODE(0x40, 0x0f, 0x28, 0x05, 8, DATA >> 8, 0, 0); /* inc eax; movaps xmm0, [DATA + 8] */
    CHECK_EQ(faulting_offset(), 1);
    fixture();
    PUT_CODE(0x0f, 0x10, 0x05, 8, DATA >> 8, 0, 0); /* movups */
    CHECK_EQ(run_code(), CPU_EXIT_HALT);
}

TESTS(TEST(pending_exception_waits_for_the_next_instruction), TEST(fnclex_takes_it_back),
      TEST(host_state_is_its_own_afterwards), TEST(ts_and_em_raise), TEST(wait_looks_at_mp_and_ts),
      TEST(environment_of_real_mode), TEST(masked_and_unmasked_simd_exceptions),
      TEST(vzeroupper_of_32_bits), TEST(vex_w_of_32_bits), TEST(misaligned_operand_faults))
