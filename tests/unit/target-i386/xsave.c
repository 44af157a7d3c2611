/*
 * FXSAVE and the XSAVE family: what they write, what they take back, what they refuse.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/xsave.h"

#include "target-i386/cpuid.h"
#include "target-i386/sysinsn.h"
#include "tests/unit/target-i386/cpu-fixture.h"

enum { AREA = 0x10000 };

/* A CPU in flat real mode (limits of 4 GB), with all of XCR0 that there is. */
static void start(void)
{
    fixture_cpu("max");
    for (unsigned i = 0; i < 6; i++) {
        env->segs[i].base = 0;
        env->segs[i].limit = 0xffffffff;
    }
    env->cr4 = env->model->cr4_valid & (CR4_OSFXSR | CR4_OSXSAVE);
    env->xcr0 = env->model->xcr0_valid;
    env->cr0 &= ~(CR0_TS | CR0_EM);
    cpu_update_hflags(env);
    env->fpu.fcw = 0x37f;
    env->fpu.fsw = 0x3800;
    env->fpu.ftw = 0x81;
    env->fpu.fip = 0x11223344;
    env->fcs = 0x1234;
    memset(env->fpu.st[0], 0xab, 10);
    for (unsigned i = 0; i < 8; i++) {
        memset(env->fpu.xmm[i], (int)(0x10 + i), 16);
    }
    env->regs[R_AX] = 7;
    env->regs[R_DX] = 0;
}

static Insn at(unsigned op, unsigned insn_class, uint64_t address)
{
    Insn i = {.op = (uint16_t)op,
              .insn_class = (uint8_t)insn_class,
              .disp = (int64_t)address,
              .addrsize = 4,
              .base = INSN_REG_NONE,
              .index = INSN_REG_NONE,
              .seg = INSN_SEG_DS,
              .seg_override = INSN_SEG_NONE};

    return i;
}

static bool has_xsave(void)
{
    return env->model->cr4_valid & CR4_OSXSAVE;
}

static void fxsave_and_back(void)
{
    start();
    Insn save = at(OP_FXSAVE, INSN_CLASS_FXSR, AREA), load = at(OP_FXRSTOR, INSN_CLASS_FXSR, AREA);
    memset(fixture_ram.host + AREA, 0xee, 512);
    CHECK_NO_FAULT(sys_fxsave(env, &save));
    CHECK_EQ(peek32(AREA), 0x3800037f);
    CHECK_EQ(fixture_ram.host[AREA + 4], 0x81);
    CHECK_EQ(peek32(AREA + 8), 0x11223344);
    CHECK_EQ(peek32(AREA + 12), 0x1234);
    CHECK_EQ(peek32(AREA + 24), 0x1f80);
    CHECK_EQ(peek32(AREA + 160 + 16 * 7), 0x17171717);
    CHECK_EQ(peek32(AREA + 160 + 16 * 8), 0xeeeeeeee); /* no XMM8 outside 64-bit code */
    FpuState before = env->fpu;
    memset(&env->fpu.st, 0, sizeof(env->fpu.st));
    memset(&env->fpu.xmm, 0, sizeof(env->fpu.xmm));
    env->fpu.fcw = 0;
    CHECK_NO_FAULT(sys_fxrstor(env, &load));
    CHECK(!memcmp(&before, &env->fpu, sizeof(before)));
    CHECK_EQ(env->fcs, 0x1234);
}

static void refusals(void)
{
    start();
    Insn save = at(OP_FXSAVE, INSN_CLASS_FXSR, AREA + 8),
         load = at(OP_FXRSTOR, INSN_CLASS_FXSR, AREA);
    CHECK_RAISES(sys_fxsave(env, &save), EXCP_GP, 0);
    poke32(AREA + 24, 0x80000000);
    CHECK_RAISES(sys_fxrstor(env, &load), EXCP_GP, 0);
    env->cr0 |= CR0_TS;
    CHECK_RAISES(sys_fxrstor(env, &load), EXCP_NM, 0);
    env->cr4 = 0;
    Insn xsave = at(OP_XSAVE, INSN_CLASS_XSAVE, AREA);
    CHECK_RAISES(sys_xsave(env, &xsave), EXCP_UD, 0);
}

static void loaded_exception_is_pending(void)
{
    start();
    Insn load = at(OP_FXRSTOR, INSN_CLASS_FXSR, AREA);
    memset(fixture_ram.host + AREA, 0, 512);
    poke32(AREA, 0x0004037b); /* zero divide unmasked, and flagged */
    CHECK_NO_FAULT(sys_fxrstor(env, &load));
    CHECK_EQ(env->fpu.fsw, 0x8084);
}

static void xsave_components(void)
{
    start();
    if (!has_xsave()) {
        return;
    }
    Insn save = at(OP_XSAVE, INSN_CLASS_XSAVE, AREA);
    memset(fixture_ram.host + AREA, 0xee, 1024);
    poke64(AREA + 512, 5);
    env->regs[R_AX] = 2;
    CHECK_NO_FAULT(sys_xsave(env, &save));
    CHECK_EQ(peek64(AREA + 512), 7); /* SSE in use; the bits not asked for stay */
    CHECK_EQ(peek32(AREA), 0xeeeeeeee);
    CHECK_EQ(peek32(AREA + 160), 0x10101010);
    CHECK_EQ(peek32(AREA + 576), 0xeeeeeeee);
}

static void xsaveopt_leaves_out_the_initial(void)
{
    start();
    if (!has_xsave() || !(env->xcr0 & XSTATE_AVX)) {
        return;
    }
    Insn save = at(OP_XSAVEOPT, INSN_CLASS_XSAVE, AREA);
    memset(fixture_ram.host + AREA, 0xee, 1024);
    poke64(AREA + 512, 7);
    CHECK_NO_FAULT(sys_xsave(env, &save));
    CHECK_EQ(peek64(AREA + 512), 3);
    CHECK_EQ(peek32(AREA + 576), 0xeeeeeeee);
    env->fpu.ymmh[3][5] = 1;
    CHECK_NO_FAULT(sys_xsave(env, &save));
    CHECK_EQ(peek64(AREA + 512), 7);
    CHECK_EQ(fixture_ram.host[AREA + 576 + 16 * 3 + 5], 1);
}

static void xrstor_initialises(void)
{
    start();
    if (!has_xsave()) {
        return;
    }
    Insn load = at(OP_XRSTOR, INSN_CLASS_XSAVE, AREA);
    memset(fixture_ram.host + AREA, 0, 1024);
    poke32(AREA + 24, 0x1fa0);
    env->fpu.ymmh[0][0] = 9;
    CHECK_NO_FAULT(sys_xrstor(env, &load));
    CHECK_EQ(xsave_in_use(env), 0);
    CHECK_EQ(env->fpu.fcw, 0x37f);
    CHECK_EQ(env->fpu.mxcsr, 0x1fa0); /* comes from memory all the same */
    poke64(AREA + 512, 1ull << 9);
    CHECK_RAISES(sys_xrstor(env, &load), EXCP_GP, 0);
    poke64(AREA + 512, 0);
    poke64(AREA + 520, 1);
    CHECK_RAISES(sys_xrstor(env, &load), EXCP_GP, 0);
}

static void compacted(void)
{
    start();
    if (!has_xsave() || !cpu_has_bit(env, FEAT_D_1_EAX, FD1_XSAVEC)) {
        return;
    }
    Insn save = at(OP_XSAVEC, INSN_CLASS_XSAVE, AREA), load = at(OP_XRSTOR, INSN_CLASS_XSAVE, AREA);
    FpuState before = env->fpu;
    CHECK_NO_FAULT(sys_xsave(env, &save));
    CHECK_EQ(peek64(AREA + 512), 3);
    CHECK_EQ(peek64(AREA + 520), 1ull << 63 | (7 & env->xcr0));
    memset(env->fpu.xmm, 1, sizeof(env->fpu.xmm));
    memset(env->fpu.xmm[8], 0, 8 * 16);
    CHECK_NO_FAULT(sys_xrstor(env, &load));
    CHECK(!memcmp(&before, &env->fpu, sizeof(before)));
}

static void xcr0(void)
{
    start();
    if (!has_xsave()) {
        return;
    }
    Insn set = at(OP_XSETBV, INSN_CLASS_INTEGER, 0);
    env->regs[R_CX] = 0;
    env->regs[R_AX] = 2;
    CHECK_RAISES(sys_xsetbv(env, &set), EXCP_GP, 0);
    env->regs[R_AX] = 5;
    CHECK_RAISES(sys_xsetbv(env, &set), EXCP_GP, 0);
    env->regs[R_AX] = 3;
    CHECK_NO_FAULT(sys_xsetbv(env, &set));
    CHECK_EQ(env->xcr0, 3);
}

TESTS(TEST(fxsave_and_back), TEST(refusals), TEST(loaded_exception_is_pending),
      TEST(xsave_components), TEST(xsaveopt_leaves_out_the_initial), TEST(xrstor_initialises),
      TEST(compacted), TEST(xcr0))
