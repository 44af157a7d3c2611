/*
 * A segment keeps the limit it had when protected mode was left; loading it in real mode changes
 * selector and base only ("unreal" or "big real" mode; SDM Vol. 3, 9.9.2).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE16(read_far, "movl (%ebx), %eax");
CODE16(write_far, "movl %eax, %es:(%edi)");
CODE16(reload, "movw $0x10, %cx\n movw %cx, %ds\n movl -0x100(%ebx), %eax");
CODE16(string, "cld\n movl $4, %ecx\n addr32 rep movsl");

void guest_test(void)
{
    volatile uint32_t *high = (uint32_t *)0x300000;
    high[0] = 0x13572468;
    real_preload = SEL_DATA;
    Context c = real_context(read_far);
    c.ds = 0;
    c.bx = 0x300000;
    run_real(&c);
    check_context("read at 3 MB", &c, DONE);
    check_eq("  EAX", c.ax, 0x13572468);

    c = real_context(write_far);
    c.es = 0x100;
    c.di = 0x300004 - 0x1000;
    c.ax = 0xabcdef;
    run_real(&c);
    check_context("write at 3 MB, ES=0x100", &c, DONE);
    check_eq("  memory", high[1], 0xabcdef);

    c = real_context(reload);
    c.ds = 0;
    c.bx = 0x300000;
    run_real(&c);
    check_context("DS loaded in real mode keeps the limit", &c, DONE);
    check_eq("  EAX", c.ax, 0x13572468);

    for (unsigned i = 0; i < 4; i++)
        high[i] = i + 1;
    c = real_context(string);
    c.ds = c.es = 0;
    c.si = 0x300000;
    c.di = 0x300100;
    run_real(&c);
    check_context("REP MOVSD with 32-bit addresses", &c, DONE);
    check_eq("  memory", high[0x43], 4);
    check_eq("  ESI", c.si, 0x300010);

    real_preload = SEL_DATA16;
    c = real_context(read_far);
    c.ds = 0;
    c.bx = 0x300000;
    run_real(&c);
    qemu_deviates("data accesses do not check the segment's limit");
    check_context("with a limit of 64 KB", &c, GP(0));
}
