/*
 * V86 mode with CR4.VME (SDM Vol. 3, 20.3).
 *   INT n, bit n of the redirection bitmap 0: to the V86 code's own vector at 0:n*4, with 16-bit
 *     FLAGS, CS, IP; pushed IF is VIF and pushed IOPL 3 when IOPL < 3
 *   bit n 1: through the IDT if IOPL = 3, else #GP(0)
 *   IOPL < 3: CLI STI PUSHF POPF IRET work on VIF in place of IF
 *     STI, or POPF and IRET that set IF, while VIP: #GP(0); POPF that sets TF: #GP(0)
 *     with a 32-bit operand PUSHF, POPF, IRET are #GP(0)
 * CR4.PVI gives CLI and STI at CPL 3, IOPL < 3 the same on VIF.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE16(int_55, "int $0x55");
CODE16(handler_55, "popw %ax\n popw %bx\n popw %cx");
CODE16(clear_if, "cli");
CODE16(set_if, "sti");
CODE16(push_flags, "pushfw\n popw %ax");
CODE16(push_flags_32, "pushfl");
CODE16(pop_flags, "pushw %ax\n popfw");
CODE16(pop_flags_32, "pushl %eax\n popfl");
CODE16(iret_16, "pushw %ax\n pushw %cs\n pushw $iret_to\n iretw\n iret_to:");

static Context v86(const char *code, Word flags, Word ax)
{
    Context c = v86_context(code);
    c.flags |= flags;
    c.ax = ax;
    run(&c);
    return c;
}

static void redirect_int(unsigned vector, bool to_idt)
{
    if (to_idt)
        tss.redirection[vector / 8] |= 1 << vector % 8;
    else
        tss.redirection[vector / 8] &= ~(1 << vector % 8);
}

static void interrupts(void)
{
    volatile uint16_t *ivt = (uint16_t *)(0x55 * 4);
    asm("" : "+r"(ivt));
    ivt[0] = (Word)handler_55;
    ivt[1] = SEG16;
    redirect_int(0x30, true); /* each snippet ends by INT 0x30: through the IDT needs IOPL 3 */
    redirect_int(0x55, false);
    Context c = v86(int_55, FLAG_IOPL3 | FLAG_IF, 0);
    check_context("INT, redirected, IOPL 3", &c, DONE);
    check_eq("  IP pushed", c.ax & 0xffff, (Word)int_55 + 2);
    check_eq("  CS pushed", c.bx & 0xffff, SEG16);
    check_eq("  FLAGS pushed", c.cx & 0xffff, FLAG_IOPL3 | FLAG_IF | 2);
    check_eq("  IF cleared", c.flags & FLAG_IF, 0);

    redirect_int(0x55, true);
    put_idt(0x55, get_idt(0x55) | (uint64_t)DPL(3) << 40);
    c = v86(int_55, FLAG_IOPL3, 0);
    check_context("INT, not redirected, IOPL 3", &c, TRAP(0x55, 0));
    c = v86(int_55, 0, 0);
    check_context("INT, not redirected, IOPL 0", &c, GP(0));

    /* With IOPL 0 the ending INT 0x30 is #GP(0), too. */
    redirect_int(0x55, false);
    c = v86(int_55, FLAG_VIF, 0);
    check_context("INT, redirected, IOPL 0", &c, GP(0));
    check_eq("  IP", c.ip, (Word)handler_55 + 3);
    check_eq("  FLAGS pushed: VIF as IF, IOPL 3", c.cx & 0xffff, FLAG_IOPL3 | FLAG_IF | 2);
    check_eq("  VIF cleared, IF is not touched", c.flags & (FLAG_VIF | FLAG_IF), 0);
}

/* At IOPL 0: runs until the ending INT, or the fault, and tells VIF, VIP, IF. */
static void virtual_if(const char *name, const char *code, Word flags, Word ax, bool fault,
                       Word want)
{
    Context c = v86(code, flags, ax);
    check_context(name, &c, GP(0));
    bool at_end = *(uint8_t *)LINEAR16(c.ip) == 0xcd;
    check_eq("  faulted", !at_end, fault);
    if (!fault)
        check_eq("  VIF, VIP, IF", c.flags & (FLAG_VIF | FLAG_VIP | FLAG_IF), want);
}

CODE32(cli_32, "cli");
CODE32(sti_32, "sti");

static void protected_mode_virtual_interrupts(void)
{
    WRITE_REG("cr4", (READ_REG("cr4") & ~(Word)CR4_VME) | CR4_PVI);
    Context c = user_context(sti_32);
    run(&c);
    check_context("PVI: STI", &c, DONE);
    check_eq("  VIF", c.flags & (FLAG_VIF | FLAG_IF), FLAG_VIF);
    c = user_context(cli_32);
    c.flags |= FLAG_VIF | FLAG_IF;
    run(&c);
    check_context("PVI: CLI", &c, DONE);
    check_eq("  VIF", c.flags & (FLAG_VIF | FLAG_IF), FLAG_IF);
    c = user_context(sti_32);
    c.flags |= FLAG_VIP;
    run(&c);
    check_context("PVI: STI with VIP", &c, GP(0));
}

void guest_test(void)
{
    if (!cpu_has(1, 'd', 1)) {
        qemu_deviates("bits of CR4 that CPUID does not show are dropped");
        EXPECT("CR4.VME without VME", GP(0), "mov %0, %%cr4", : : "r"(CR4_VME));
        return;
    }
    WRITE_REG("cr4", READ_REG("cr4") | CR4_VME);
    interrupts();
    virtual_if("STI", set_if, 0, 0, false, FLAG_VIF);
    virtual_if("STI with VIP", set_if, FLAG_VIP, 0, true, 0);
    virtual_if("CLI", clear_if, FLAG_VIF | FLAG_IF, 0, false, FLAG_IF);
    virtual_if("CLI with VIP", clear_if, FLAG_VIF | FLAG_VIP, 0, false, FLAG_VIP);
    virtual_if("POPF sets IF", pop_flags, 0, FLAG_IF, false, FLAG_VIF);
    virtual_if("POPF clears IF", pop_flags, FLAG_VIF | FLAG_IF, 0, false, FLAG_IF);
    virtual_if("POPF sets IF with VIP", pop_flags, FLAG_VIP, FLAG_IF, true, 0);
    virtual_if("POPF sets TF", pop_flags, 0, FLAG_TF, true, 0);
    virtual_if("IRET sets IF", iret_16, 0, FLAG_IF, false, FLAG_VIF);
    virtual_if("IRET sets IF with VIP", iret_16, FLAG_VIP, FLAG_IF, true, 0);
    virtual_if("PUSHFD", push_flags_32, 0, 0, true, 0);
    virtual_if("POPFD", pop_flags_32, 0, 0, true, 0);
    Context c = v86(push_flags, FLAG_VIF, 0);
    check_eq("PUSHF: VIF as IF, IOPL 3", c.ax & 0xffff, FLAG_IOPL3 | FLAG_IF | 2);
    c = v86(push_flags, FLAG_IF, 0);
    check_eq("PUSHF: not IF", c.ax & 0xffff, FLAG_IOPL3 | 2);
    protected_mode_virtual_interrupts();
}
