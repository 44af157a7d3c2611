/*
 * The other CPU: INIT and SIPI by the local APIC at its place after reset, and the real-mode loop that it runs at
 * 8000h (SDM vol. 3, 8.4.4).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define AP_PAGE 0x8000
#define ICR     0xfee00300

/* Copies the code there, then INIT and SIPI to all but this CPU. */
#define START_AP                                                                                                       \
        movl $ap_code, %esi;                                                                                           \
        movl $AP_PAGE, %edi;                                                                                           \
        movl $(ap_end - ap_code), %ecx;                                                                                \
        cld;                                                                                                           \
        rep movsb;                                                                                                     \
        movl $ICR, %edi;                                                                                               \
        movl $0xc4500, (%edi);                                                                                         \
        movl $0xc4600 + (AP_PAGE >> 12), (%edi)

/* Counts in its own page, by an access through DS = CS. */
#define AP_CODE                                                                                                        \
        .balign 16;                                                                                                    \
        .code16;                                                                                                       \
ap_code:                                                                                                               \
        movw %cs, %ax;                                                                                                 \
        movw %ax, %ds;                                                                                                 \
        xorl %ecx, %ecx;                                                                                               \
ap_loop:                                                                                                               \
        incl %ecx;                                                                                                     \
        movl %ecx, ap_count - ap_code;                                                                                 \
        jmp ap_loop;                                                                                                   \
        .balign 4;                                                                                                     \
ap_count: .long 0;                                                                                                     \
ap_end:                                                                                                                \
        .code32
