/*
 * x87: availability and #MF (SDM Vol. 1, 8.7; Vol. 3, 2.5).
 *   x87 instructions: #NM with CR0.EM or CR0.TS; WAIT: #NM with TS and MP together only
 *   SSE: #UD with CR0.EM or without CR4.OSFXSR, #NM with TS
 *   an unmasked exception is raised by the next waiting x87 instruction or WAIT, not by FNxxx:
 *     #MF with CR0.NE = 1, EIP of that instruction
 *   FNSTENV shows instruction and operand pointers of the one that caused it
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static const float one = 1, zero = 0;

CODE32(divide_by_0, "flds one\n divide_here: fdivs zero\n nop\n raise_here: fwait\n nop");
CODE32(divide_no_wait, "flds one\n fdivs zero\n fnstsw %ax\n fnclex\n fnop");
CODE32(divide_next, "flds one\n fdivs zero\n next_here: fld1");
CODE32(divide_emms, "flds one\n fdivs zero\n emms_here: emms");
extern char divide_here[], raise_here[], next_here[], emms_here[];

static Context unmasked(const char *code)
{
    static const uint16_t zero_divide_only = 0x37b;
    asm volatile("fninit; fldcw %0" : : "m"(zero_divide_only));
    Context c = kernel_context(code);
    run(&c);
    return c;
}

static void availability(void)
{
    Word cr0 = READ_REG("cr0") & ~(Word)(CR0_EM | CR0_TS | CR0_MP);
    uint16_t word;
    WRITE_REG("cr0", cr0 | CR0_TS);
    EXPECT("TS: FNOP", NM, "fnop", :);
    EXPECT("TS: FNSTSW", NM, "fnstsw %0", : "=m"(word));
    EXPECT("TS: WAIT", NONE, "fwait", :);
    WRITE_REG("cr0", cr0 | CR0_TS | CR0_MP);
    EXPECT("TS, MP: WAIT", NM, "fwait", :);
    EXPECT("TS, MP: FNOP", NM, "fnop", :);
    EXPECT("TS: MMX", NM, "movd %%eax, %%mm0", :);
    WRITE_REG("cr0", cr0 | CR0_MP);
    EXPECT("MP: WAIT", NONE, "fwait", :);
    WRITE_REG("cr0", cr0 | CR0_EM);
    EXPECT("EM: FNOP", NM, "fnop", :);
    EXPECT("EM: WAIT", NONE, "fwait", :);
    EXPECT("EM: MMX", UD, "movd %%eax, %%mm0", :);
    WRITE_REG("cr0", cr0);
    EXPECT("MMX", NONE, "movd %%eax, %%mm0; emms", :);

    WRITE_REG("cr4", READ_REG("cr4") & ~(Word)CR4_OSFXSR);
    EXPECT("SSE without OSFXSR", UD, "xorps %%xmm0, %%xmm0", :);
    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSFXSR);
    EXPECT("SSE", NONE, "xorps %%xmm0, %%xmm0", :);
    WRITE_REG("cr0", cr0 | CR0_EM);
    EXPECT("EM: SSE", UD, "xorps %%xmm0, %%xmm0", :);
    WRITE_REG("cr0", cr0 | CR0_TS);
    EXPECT("TS: SSE", NM, "xorps %%xmm0, %%xmm0", :);
    EXPECT("TS: PREFETCH, SFENCE", NONE, "prefetchnta (%0); sfence", : : "r"(&one));
    WRITE_REG("cr0", cr0);
}

static void native_error(void)
{
    struct {
        uint32_t control, status, tag, ip, cs_opcode, operand, ds;
    } environment;
    WRITE_REG("cr0", READ_REG("cr0") | CR0_NE);
    Context c = unmasked(divide_by_0);
    check_context("division by 0, WAIT", &c, MF);
    check_eq("  EIP", c.ip, (Word)raise_here);
    asm volatile("fnstenv %0" : "=m"(environment));
    check_eq("  status: ZE, ES, B, top 7", environment.status & 0xffff, 0xb884);
    check_eq("  FIP", environment.ip, (Word)divide_here);
    check_eq("  FDP", environment.operand, (Word)&zero);
    c = unmasked(divide_next);
    qemu_deviates("WAIT alone raises #MF");
    check_context("the next x87 instruction", &c, MF);
    qemu_deviates("WAIT alone raises #MF");
    check_eq("  EIP", c.ip, (Word)next_here);
    c = unmasked(divide_emms);
    qemu_deviates("WAIT alone raises #MF");
    check_context("an MMX instruction", &c, MF);
    qemu_deviates("WAIT alone raises #MF");
    check_eq("  EIP", c.ip, (Word)emms_here);
    c = unmasked(divide_no_wait);
    check_context("FNSTSW and FNCLEX do not wait", &c, DONE);
    check_eq("  AX: ZE, ES, B", c.ax & 0x80ff, 0x8084);
}

void guest_test(void)
{
    if (!need(1, 'd', 25, "SSE"))
        return;
    asm volatile("fninit");
    availability();
    native_error();
}
