/*
 * Entry of the 32-bit guest: starts the other CPU, if there is one, and calls guest_main().
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ap.h"
#define MAGIC 0x1badb002
#define FLAGS 0x10003

        .section .head, "ax"
        .globl start
        .balign 4
header:
        .long MAGIC, FLAGS, -(MAGIC + FLAGS)
        .long header, image_start, data_end, bss_end, start
start:
        movl $stack_end, %esp
        movl %cr0, %eax
        andl $~4, %eax                  /* no emulation: x87 and SSE are there */
        orl $2, %eax
        movl %eax, %cr0
        movl %cr4, %eax
        orl $0x40600, %eax              /* OSFXSR, OSXMMEXCPT, OSXSAVE */
        movl %eax, %cr4
        xorl %ecx, %ecx
        xorl %edx, %edx
        movl $7, %eax                   /* x87, SSE, AVX */
        xsetbv
        START_AP
        xorl %ebp, %ebp
        pushl $0                        /* no caller: the end of a backtrace */
        call guest_main
1:      hlt
        jmp 1b

        AP_CODE

        .bss
        .skip 8192
stack_end:
