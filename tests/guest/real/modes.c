/*
 * Between real and protected mode (SDM Vol. 3, 9.9): LMSW or MOV to CR0 sets PE; until CS is loaded
 * the code goes on with the old CS; segment registers keep base and limit. In real mode TF, INT and
 * IRET work with 16 bits; LIDT moves the vectors; privileged instructions are allowed,
 * protected-mode ones #UD.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE16(enter_leave, "movl %cr0, %eax\n orb $1, %al\n movl %eax, %cr0\n"
                    "movw %cs:probe, %bx\n movw probe, %cx\n"
                    "andb $0xfe, %al\n movl %eax, %cr0\n jmp 1f\n probe: .word 0x1234\n 1:");
CODE16(by_lmsw, "smsw %ax\n orb $1, %al\n lmsw %ax\n smsw %bx\n"
                "movl %cr0, %eax\n andb $0xfe, %al\n movl %eax, %cr0\n smsw %cx");
CODE16(privileged, "movl %cr0, %eax\n clts\n invd\n wbinvd\n cli\n movl %cr3, %ecx\n"
                   "movl %dr7, %edx");
CODE16(load_task, "ltr %ax");
CODE16(store_task, "str %ax");
CODE16(arpl, "arpl %ax, %bx");
CODE16(step, "nop\n nop");
CODE16(moved_ivt, "sidt old_ivt\n lidt new_ivt\n int $2\n"
                  "new_ivt: .word 0x3ff\n .long 0x9000\n old_ivt: .word 0, 0, 0\n"
                  "moved_handler: popw %bx\n popw %cx\n popw %dx\n lidt old_ivt");
extern char moved_handler[];
CODE16(iret_32, "pushl $0x46\n pushl $0x1000\n pushl $iret_to\n iretl\n"
                "iret_to: pushfw\n popw %ax");

static Context go(const char *code)
{
    Context c = real_context(code);
    run_real(&c);
    return c;
}

void guest_test(void)
{
    Context c = go(enter_leave);
    check_context("PE set and cleared, no far jump", &c, DONE);
    check_eq("  CS works as before", c.bx & 0xffff, 0x1234);
    check_eq("  DS works as before", c.cx & 0xffff, 0x1234);
    c = go(by_lmsw);
    check_context("LMSW", &c, DONE);
    check_eq("  SMSW in between", c.bx & 1, 1);
    check_eq("  SMSW after", c.cx & 1, 0);
    c = go(privileged);
    check_context("privileged instructions", &c, DONE);
    c = go(load_task);
    check_context("LTR", &c, UD);
    c = go(store_task);
    check_context("STR", &c, UD);
    c = go(arpl);
    check_context("ARPL", &c, UD);

    c = real_context(step);
    c.flags |= FLAG_TF;
    run_real(&c);
    check_context("single step", &c, DB);
    check_eq("  IP", c.ip, (Word)step + 1);
    check_eq("  TF is pushed", c.flags & FLAG_TF, FLAG_TF);

    *(volatile uint32_t *)(0x9000 + 8) = SEG16 << 16 | (Word)moved_handler;
    c = go(moved_ivt);
    check_context("LIDT moves the vectors", &c, DONE);
    check_eq("  CS pushed", c.cx & 0xffff, SEG16);
    c = go(iret_32);
    check_context("IRETD", &c, DONE);
    check_eq("  FLAGS", c.ax & (FLAG_CF | FLAG_ZF | 4), FLAG_ZF | 4);
}
