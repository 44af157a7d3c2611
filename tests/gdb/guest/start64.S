/*
 * Entry of the 64-bit guest: 32-bit code that maps the first gigabyte, enters long mode and calls guest_main().
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define MAGIC 0x1badb002
#define FLAGS 0x10003

        .section .head, "ax"
        .code32
        .globl start, long_mode
        .balign 4
header:
        .long MAGIC, FLAGS, -(MAGIC + FLAGS)
        .long header, image_start, data_end, bss_end, start
start:
        movl $pml4, %edi
        leal 4096 + 7(%edi), %eax
        movl %eax, (%edi)
        leal 8192 + 7(%edi), %eax
        movl %eax, 4096(%edi)
        movl $0x87, %eax                /* present, writable, user, 2 MB */
        leal 8192(%edi), %esi
1:      movl %eax, (%esi)
        addl $8, %esi
        addl $0x200000, %eax
        cmpl $0x40000087, %eax
        jne 1b
        movl %edi, %cr3
        movl %cr4, %eax
        orl $0x40620, %eax              /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
        movl %eax, %cr4
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x100, %eax                /* EFER.LME */
        wrmsr
        movl %cr0, %eax
        andl $~4, %eax
        orl $0x80000002, %eax           /* PG, MP */
        movl %eax, %cr0
        lgdt gdt_pointer
        ljmp $8, $long_mode

        .code64
long_mode:
        movl $16, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movq $stack_end, %rsp
        xorl %ecx, %ecx
        xorl %edx, %edx
        movl $7, %eax
        xsetbv
        xorl %ebp, %ebp
        pushq $0                        /* no caller: the end of a backtrace */
        call guest_main
1:      hlt
        jmp 1b

        .balign 8
gdt:    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
        .word 23
        .long gdt

        .bss
        .balign 4096
pml4:   .skip 3 * 4096
        .skip 8192
stack_end:
