/*
 * The CPU as a whole: reset, hflags, the TSC, saved state, SMM and back, double and triple faults.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/cpu.h"

#include "hw/vmstate.h"
#include "target-i386/excp.h"
#include "target-i386/smm.h"
#include "target-i386/sysinsn.h"
#include "tests/unit/target-i386/cpu-fixture.h"

static void power_on(void)
{
    fixture_cpu("max");
    CHECK_EQ(env->segs[SEG_CS].base + env->rip, 0xfffffff0);
    CHECK_EQ(env->segs[SEG_CS].selector, 0xf000);
    CHECK_EQ(env->cr0, CR0_ET | CR0_CD | CR0_NW);
    CHECK_EQ(env->eflags, 2);
    CHECK_EQ(env->dr[6], 0xffff0ff0);
    CHECK_EQ(env->dr[7], 0x400);
    CHECK_EQ(env->hflags, 0);
    CHECK(!env->wait_sipi);
    env->fpu.xmm[0][0] = 1;
    env->lstar = 5;
    env->cr0 = CR0_PE | CR0_ET;
    cpu_reset(env, true); /* INIT keeps these */
    CHECK_EQ(env->fpu.xmm[0][0], 1);
    CHECK_EQ(env->lstar, 5);
    CHECK_EQ(env->cr0, CR0_ET);
}

static void mode_flags(void)
{
    fixture_cpu("max");
    env->cr0 |= CR0_PE;
    env->segs[SEG_CS] = (Segment){.limit = 0xffffffff, .attr = 0xc09b};
    for (unsigned s = 0; s < 6; s++) {
        if (s != SEG_CS) {
            env->segs[s] = (Segment){.limit = 0xffffffff, .attr = 0xc093};
        }
    }
    cpu_update_hflags(env);
    CHECK_EQ(env->hflags, HF_PE | HF_CS32 | HF_SS32 | HF_FLAT);
    CHECK_EQ(env->decode_mode.code_size, 4);
    env->segs[SEG_DS].base = 1;
    cpu_update_hflags(env);
    CHECK(!(env->hflags & HF_FLAT));
    env->eflags |= FLAG_VM;
    cpu_update_hflags(env);
    CHECK_EQ(env->hflags, HF_PE | HF_VM | 3);
    CHECK(!env->decode_mode.protected_mode);
    env->eflags = 2 | FLAG_AC | FLAG_TF;
    env->cr0 |= CR0_AM | CR0_PG;
    env->efer = EFER_LMA | EFER_LME;
    env->segs[SEG_CS].attr = 0xa0fb;
    env->segs[SEG_SS].attr = 0xc0f3;
    cpu_update_hflags(env);
    CHECK_EQ(env->hflags,
             HF_PE | HF_PG | HF_LMA | HF_CS64 | HF_SS32 | HF_FLAT | HF_AC | HF_STEP | 3);
    CHECK_EQ(env->decode_mode.code_size, 8);
}

static void time_stamp_counter(void)
{
    fixture_cpu("max");
    clock_use_stepped();
    cpu_reset(env, false);
    CHECK_EQ(cpu_tsc(env), 0);
    clock_step(NS_PER_SEC);
    CHECK_EQ(cpu_tsc(env), cpu_tsc_hz());
    Insn insn = {.op = OP_WRMSR};
    env->regs[R_CX] = 0x10;
    env->regs[R_AX] = 100;
    env->regs[R_DX] = 0;
    CHECK_NO_FAULT(sys_wrmsr(env, &insn));
    CHECK_EQ(cpu_tsc(env), 100);
    CHECK_EQ(env->tsc_adjust, 100 - cpu_tsc_hz());
}

static void unknown_msr(void)
{
    Insn insn = {.op = OP_RDMSR};

    fixture_cpu("max");
    env->regs[R_CX] = 0x12345;
    CHECK_RAISES(sys_rdmsr(env, &insn), EXCP_GP, 0);
    CHECK_RAISES(sys_wrmsr(env, &insn), EXCP_GP, 0);
}

/* Every byte that is architectural comes back after save, disturb, load. */
static void saved_state(void)
{
    Buffer out = {0};
    Error *err = NULL;

    fixture_cpu("max");
    for (unsigned i = 0; i < 16; i++) {
        env->regs[i] = i * 0x0101010101010101ull;
    }
    env->cr2 = 77;
    env->dr[3] = 33;
    env->lstar = 0xffffffff81000000;
    env->halted = true;
    env->pdptr[2] = 0x5001;
    env->mtrr_mask[7] = 0x800;
    env->fpu.ymmh[15][15] = 0x5a;
    env->fpu.st[7][9] = 0xa5;
    env->segs[SEG_FS].base = 0x123456789;
    CPUX86State before = *env;
    vmstate_save(&out, &cpu_vmstate, "0", env);
    cpu_reset(env, false);
    memset(env->regs, 0xff, sizeof(env->regs));
    Reader in = {.data = out.data, .size = out.size};
    bool ok = vmstate_load(&in, &cpu_vmstate, "0", env, &err);
    if (!ok) {
        printf("# %s\n", error_text(err));
        error_free(err);
    }
    CHECK(ok);
    CHECK(!memcmp(before.regs, env->regs, sizeof(before.regs)));
    CHECK(!memcmp(before.segs, env->segs, sizeof(before.segs)));
    CHECK(!memcmp(before.dr, env->dr, sizeof(before.dr)));
    CHECK(!memcmp(before.pdptr, env->pdptr, sizeof(before.pdptr)));
    CHECK(!memcmp(before.mtrr_mask, env->mtrr_mask, sizeof(before.mtrr_mask)));
    CHECK(!memcmp(&before.fpu, &env->fpu, sizeof(before.fpu)));
    CHECK_EQ(env->cr2, 77);
    CHECK_EQ(env->lstar, 0xffffffff81000000);
    CHECK(env->halted);
    CHECK_EQ(env->hflags, before.hflags);
    buffer_free(&out);
}

static void smm_and_back(const char *model, uint32_t revision)
{
    Insn rsm = {.op = OP_RSM};

    fixture_cpu(model);
    for (unsigned i = 0; i < 8; i++) {
        env->regs[i] = 0x1000 + i;
    }
    env->rip = 0x1234;
    env->eflags = 0x246;
    env->halted = true;
    Segment cs = env->segs[SEG_CS];
    smm_enter(env);
    CHECK(env->smm && !env->halted && env->nmi_blocked);
    CHECK_EQ(env->segs[SEG_CS].base + env->rip, 0x38000);
    CHECK_EQ(env->segs[SEG_DS].limit, 0xffffffff);
    CHECK_EQ(peek32(0x3fefc), revision);
    poke32(revision == 0x20000 ? 0x3fef8 : 0x3ff00, 0xa0000); /* SMBASE moves */
    memset(env->regs, 0, sizeof(env->regs));
    CHECK_NO_FAULT(sys_rsm(env, &rsm));
    CHECK(!env->smm && env->halted && !env->nmi_blocked);
    CHECK_EQ(env->smbase, 0xa0000);
    CHECK_EQ(env->rip, 0x1234);
    CHECK_EQ(env->rip_next, 0x1234);
    CHECK_EQ(env->eflags, 0x246);
    CHECK_EQ(env->regs[7], 0x1007);
    CHECK(!memcmp(&cs, &env->segs[SEG_CS], sizeof(cs)));
    CHECK_RAISES(sys_rsm(env, &rsm), EXCP_UD, 0);
}

static void smm_64(void)
{
    smm_and_back("qemu64", 0x20064);
}

static void smm_32(void)
{
    smm_and_back("pentium3", 0x20000);
}

static void faults_upon_faults(void)
{
    jmp_buf landing;
    volatile unsigned landings = 0;
    volatile bool alive = true;

    fixture_cpu("max");
    env->cr0 |= CR0_PE;
    env->idt.limit = 0; /* no vector can be delivered */
    cpu_update_hflags(env);
    env->fault_jmp = &landing;
    /* #UD; #GP on its delivery; #DF; shutdown */
    if (setjmp(landing)) {
        landings++;
        alive = cpu_deliver_fault(env);
    } else {
        cpu_raise(env, EXCP_UD);
    }
    env->fault_jmp = NULL;
    CHECK(!alive);
    CHECK_EQ(landings, 4);
}

TESTS(TEST(power_on), TEST(mode_flags), TEST(time_stamp_counter), TEST(unknown_msr),
      TEST(saved_state), TEST(smm_64), TEST(smm_32), TEST(faults_upon_faults))
