/*
 * A stand-in for a Linux kernel of any boot protocol: its setup code writes to COM1 where it runs, its command line
 * and what lies at the kernel's and the ramdisk's addresses, and ends the emulator by the debug exit port.
 * VERSION, LOADFLAGS and SETUP_SECTS come from the command line.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define COM1 0x3f8
#define EXIT_PORT 0x501

        .code16
        .text
        .globl _start
_start:
        .org 0x1f1
        .byte SETUP_SECTS
        .org 0x1fe
        .word 0xaa55
        .org 0x200
        jmp entry
        .org 0x202
        .ascii "HdrS"
        .word VERSION
        .org 0x211
loadflags:
        .byte LOADFLAGS
        .org 0x214
        .long 0x100000
        .org 0x22c
#if VERSION >= 0x203
        .long 0x37ffffff
#else
        .long 0
#endif
        .org 0x238
#if VERSION >= 0x206
        .long 1023
#endif
        .org 0x264

/* DS, ES and SS are the setup's segment, whose offset 0 is the file's; CS is 20h more. */
entry:
        cld
        movw %sp, %bp
        movw $s_cs, %si
        movw %cs, %ax
        call put_word
        movw $s_ds, %si
        movw %ds, %ax
        call put_word
        movw $s_ss, %si
        movw %ss, %ax
        call put_word
        movw $s_sp, %si
        movw %bp, %ax
        call put_word
        movw $s_flags, %si
        movzbw loadflags, %ax
        call put_word
        movw $s_heap, %si
        movw 0x224, %ax
        call put_word

        movw $s_cmdline, %si
        call put
#if VERSION >= 0x202
        movl 0x228, %eax
        movw %ax, %si
        andw $15, %si
        shrl $4, %eax
        pushw %ds
        movw %ax, %ds
        call put
        popw %ds
#else
        cmpw $0xa33f, 0x20
        jne 1f
        movw 0x22, %si
        call put
1:
#endif
        movw $s_kernel, %si
        movl $0x10000, %eax
        testb $1, loadflags
        jz 2f
        movl $0x100000, %eax
2:      call put_memory
        movw $s_initrd, %si
        movl 0x218, %eax
        call put_memory
        movw $s_size, %si
        movw 0x21c, %ax
        call put_word
        movw $s_end, %si
        call put
        movw $EXIT_PORT, %dx
        movb $0x10, %al
        outb %al, %dx
3:      hlt
        jmp 3b

/* SI = text; 16 bytes from linear address EAX, fetched by the BIOS's block move. */
put_memory:
        call put
        movw %ax, move_source
        shrl $16, %eax
        movb %al, move_source + 2
        movb %ah, move_source + 5
        xorl %eax, %eax
        movw %ds, %ax
        shll $4, %eax
        addl $buffer, %eax
        movw %ax, move_target
        shrl $16, %eax
        movb %al, move_target + 2
        movw $move_table, %si
        movw $8, %cx
        movb $0x87, %ah
        int $0x15
        movw $buffer, %si
        call put
        movw $s_newline, %si
        jmp put

/* SI = text, AX = number after it. */
put_word:
        pushw %ax
        call put
        popw %bx
        movw $4, %cx
1:      rolw $4, %bx
        movb %bl, %al
        andb $15, %al
        cmpb $10, %al
        sbbb $0x69, %al
        das
        call put_char
        loop 1b
        movb $'\n', %al
        jmp put_char

/* DS:SI = text. */
put:
        pushw %ax
1:      lodsb
        testb %al, %al
        jz 2f
        call put_char
        jmp 1b
2:      popw %ax
        ret

put_char:
        pushw %dx
        pushw %ax
        movw $(COM1 + 5), %dx
1:      inb %dx, %al
        testb $0x20, %al
        jz 1b
        popw %ax
        movw $COM1, %dx
        outb %al, %dx
        popw %dx
        ret

s_cs:      .asciz "cs "
s_ds:      .asciz "ds "
s_ss:      .asciz "ss "
s_sp:      .asciz "sp "
s_flags:   .asciz "loadflags "
s_heap:    .asciz "heap "
s_cmdline: .asciz "command line "
s_kernel:  .asciz "\nkernel "
s_initrd:  .asciz "initrd "
s_size:    .asciz "initrd size "
s_newline: .asciz "\n"
s_end:     .asciz "END\n"
buffer:    .skip 17

        .balign 8
move_table:
        .quad 0, 0
        .word 0xffff
move_source:
        .word 0
        .byte 0, 0x93, 0, 0
        .word 0xffff
move_target:
        .word 0
        .byte 0, 0x93, 0, 0
        .quad 0, 0
        /* Whole sectors; a setup_sects of 0 stands for 4. */
        .org (SETUP_SECTS + (SETUP_SECTS == 0) * -4 + 1) * 512
        .ascii "KERNEL-PAYLOAD-1"
        .skip 70000
