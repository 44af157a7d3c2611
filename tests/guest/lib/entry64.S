/*
 * 64-bit tests: from flat protected mode into long mode, the 256 trap entries, context switches.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* Offsets in Context. */
    AX = 0
    BX = 8
    CX = 16
    DX = 24
    SI = 32
    DI = 40
    BP = 48
    SP = 56
    IP = 64
    FLAGS = 72
    CS = 80
    SS = 88
    DS = 96
    ES = 104
    FS = 112
    GS = 120
    R8 = 152

    .text
    .code32
    .globl start32
start32:
    movl $stack_top, %esp
    /* 4 GB 1:1 by 2 MB pages: present, writable, user. */
    movl $boot_pd, %edi
    movl $0x87, %eax
    xorl %edx, %edx
1:  movl %eax, (%edi)
    movl %edx, 4(%edi)
    addl $8, %edi
    addl $0x200000, %eax
    jnc 1b
    movl $boot_pd + 7, boot_pdpt
    movl $boot_pd + 0x1007, boot_pdpt + 8
    movl $boot_pd + 0x2007, boot_pdpt + 16
    movl $boot_pd + 0x3007, boot_pdpt + 24
    movl $boot_pdpt + 7, boot_pml4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax             /* PAE */
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax            /* EFER.LME */
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax       /* PG */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmpl $0x08, $1f
    .code64
1:  movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    lgdt gdt_pointer
    call guest_start

    .globl trap_entries
    .balign 16
trap_entries:
    vector = 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    vector = vector + 1
    .endr

trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    call trap_c                 /* 0: return to where it trapped; else leave run() */
    testl %eax, %eax
    jnz context_leave
    movq %rbx, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

/* void context_enter(Context *c): returns when trap_c says so. */
    .globl context_enter
context_enter:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushfq
    movq %rsp, run_sp
    pushq SS(%rdi)
    pushq SP(%rdi)
    pushq FLAGS(%rdi)
    pushq CS(%rdi)
    pushq IP(%rdi)
    movw DS(%rdi), %ds
    movw ES(%rdi), %es
    movw FS(%rdi), %fs
    movw GS(%rdi), %gs
    movq AX(%rdi), %rax
    movq BX(%rdi), %rbx
    movq CX(%rdi), %rcx
    movq DX(%rdi), %rdx
    movq SI(%rdi), %rsi
    movq BP(%rdi), %rbp
    movq R8(%rdi), %r8
    movq R8+8(%rdi), %r9
    movq R8+16(%rdi), %r10
    movq R8+24(%rdi), %r11
    movq R8+32(%rdi), %r12
    movq R8+40(%rdi), %r13
    movq R8+48(%rdi), %r14
    movq R8+56(%rdi), %r15
    movq DI(%rdi), %rdi
    iretq

context_leave:
    movq run_sp, %rsp
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret

    .bss
    .balign 4096
    .globl boot_pml4
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pd:
    .skip 4 * 4096
    .skip 16384
    .globl stack_top
stack_top:
    .skip 16384
    .globl ring0_stack_top
ring0_stack_top:
