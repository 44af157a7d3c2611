/*
 * 32-bit tests: start, the 256 trap entries, context switches to other rings, V86 and real mode.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* Offsets in Context. */
    AX = 0
    BX = 4
    CX = 8
    DX = 12
    SI = 16
    DI = 20
    BP = 24
    SP = 28
    IP = 32
    FLAGS = 36
    CS = 40
    SS = 44
    DS = 48
    ES = 52
    FS = 56
    GS = 60
    CONTEXT_SIZE = 76
    VM = 0x20000
    SEG16 = 0x1000
    LINEAR16 = SEG16 * 16       /* where .text16, linked at 0, lies */

    .text
    .code32
    .globl start32
start32:
    movl $stack_top, %esp
    lgdt gdt_pointer
    ljmp $0x08, $1f
1:  movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    call guest_start

/*
 * One entry a vector. Afterwards the stack holds vector and error code below the return frame
 * whether the CPU pushed an error code or not.
 */
    .globl trap_entries, trap_entry_end
    .balign 16
trap_entries:
    vector = 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    pushl $0
    .endif
    pushl $vector
    jmp trap_common
    vector = vector + 1
    .endr

trap_common:
    pushal
    pushl %ds
    pushl %es
    pushl %fs
    pushl %gs
    movw %ss, %ax
    movw $0x10, %bx
    movw %bx, %ds
    movw %bx, %es
    cld
    movzwl %ax, %eax
    movl %eax, trap_ss
    movl %esp, %edx
    movl %edx, trap_sp
    cmpl $0x10, %eax
    je 2f
    /* A kernel stack of the test's own: C wants a flat one. Find where the frame lies. */
    movl %eax, %ecx
    andl $0xfff8, %ecx
    movl gdt+2(%ecx), %esi
    andl $0xffffff, %esi
    movl gdt+4(%ecx), %edi
    testl $0x400000, %edi       /* B: is SP or ESP the pointer? */
    jnz 1f
    movzwl %dx, %edx
1:  andl $0xff000000, %edi
    orl %edi, %esi
    addl %esi, %edx
    movw %bx, %ss
    movl $trap_stack_top, %esp
2:  pushl %edx
    call trap_c                 /* 0: return to where it trapped; else leave run() */
    testl %eax, %eax
    jnz context_leave
    addl $12, %esp              /* FS and GS are as they were: C uses neither */
    popl %es
    popl %ds
    popal
    addl $8, %esp
    iretl

/* void context_enter(Context *c): returns when trap_c says so. */
    .globl context_enter
context_enter:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    pushfl
    movl 24(%esp), %eax
    movl %esp, run_sp
    testl $VM, FLAGS(%eax)
    jnz 1f
    testl $3, CS(%eax)
    jnz 2f
    movl SP(%eax), %ecx
    movw SS(%eax), %ss
    movl %ecx, %esp
    jmp 3f
1:  pushl GS(%eax)
    pushl FS(%eax)
    pushl DS(%eax)
    pushl ES(%eax)
2:  pushl SS(%eax)
    pushl SP(%eax)
3:  pushl FLAGS(%eax)
    pushl CS(%eax)
    pushl IP(%eax)
    movl $0x10, %ecx
    testl $VM, FLAGS(%eax)
    jnz 4f
    movw ES(%eax), %es
    movw FS(%eax), %fs
    movw GS(%eax), %gs
    movl DS(%eax), %ecx
4:  pushl %ecx
    pushl AX(%eax)
    movl BX(%eax), %ebx
    movl CX(%eax), %ecx
    movl DX(%eax), %edx
    movl SI(%eax), %esi
    movl DI(%eax), %edi
    movl BP(%eax), %ebp
    popl %eax
    popl %ds
    iretl

/* The catching task begins here, its vector in ECX, the error code, if there is one, on top. */
    .globl task_trap
task_trap:
    movl (%esp), %eax
    pushl %eax
    pushl %ecx
    call task_trap_c

context_leave:
    movl run_sp, %esp
    movw $0x10, %ax
    movw %ax, %fs
    movw %ax, %gs
    popfl
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    ret

/* void real_enter(const Context *c): likewise, in real mode. */
    .globl real_enter
real_enter:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    pushfl
    movl %esp, run_sp
    movl 24(%esp), %esi
    movl $(real_frame + LINEAR16), %edi
    movl $CONTEXT_SIZE, %ecx
    rep movsb
    lidt real_idt_pointer + LINEAR16
    movw real_preload, %ax
    ljmp $0x18, $to_real

    .section .text16, "ax"
real_frame:
    .skip CONTEXT_SIZE
real_sp:
    .long 0
real_ss:
    .word 0
    .balign 4
real_idt_pointer:
    .word 0x3ff
    .long 0

    .code16
to_real:
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw $0x20, %ax
    movw %ax, %ss
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmp $SEG16, $1f
1:  movw $SEG16, %ax
    movw %ax, %ds
    movw $real_frame, %bp
    movw %ds:SS(%bp), %ss
    movl %ds:SP(%bp), %esp
    pushw %ds:FLAGS(%bp)
    pushw %ds:CS(%bp)
    pushw %ds:IP(%bp)
    pushw %ds:DS(%bp)
    pushl %ds:BP(%bp)
    movw %ds:ES(%bp), %es
    movw %ds:FS(%bp), %fs
    movw %ds:GS(%bp), %gs
    movl %ds:AX(%bp), %eax
    movl %ds:BX(%bp), %ebx
    movl %ds:CX(%bp), %ecx
    movl %ds:DX(%bp), %edx
    movl %ds:SI(%bp), %esi
    movl %ds:DI(%bp), %edi
    popl %ebp
    popw %ds
    iretw

    .globl real_entries
    .balign 8
real_entries:
    vector = 0
    .rept 256
    .balign 8
    .byte 0x68                  /* pushw imm16 */
    .word vector
    jmp real_common
    vector = vector + 1
    .endr

real_common:
    cli
    pushal
    pushw %ds
    pushw %es
    pushw %fs
    pushw %gs
    movw $SEG16, %ax
    movw %ax, %ds
    movl %esp, real_sp
    movw %ss, real_ss
    lgdtl real_gdt_pointer
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $0x08, $from_real
    .balign 4
real_gdt_pointer:
    .word 1023
    .long gdt

    .text
    .code32
from_real:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl run_sp, %esp
    lidt idt_pointer
    cld
    movzwl real_ss + LINEAR16, %eax
    pushl real_sp + LINEAR16
    pushl %eax
    call real_capture
    jmp context_leave

    .bss
    .balign 16
    .skip 16384
    .globl stack_top
stack_top:
    .skip 8192
trap_stack_top:
    .skip 8192
    .globl ring0_stack_top
ring0_stack_top:
