/*
 * A boot sector that goes to protected mode and comes back the way programs of the 286 do: the
 * CMOS' shutdown code (0Fh) says how, 40:67 says where, the CPU is reset. After each return the
 * timer must still tick. Prints "CODE WAY " on COM1 after each; then resets without a code, which
 * starts the machine anew, and prints "restarted".
 *
 * IBM PC/AT technical reference, "Shutdown" and the BIOS listing's SHUT5 and SHUT10.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
    .equ CMOS_SHUTDOWN, 0x0f
    .equ CMOS_MARK, 0x7e
    .equ MARK, 0xa5
    .equ RESUME_AT, 0x467
    .equ TICKS, 0x46c
    .equ NEXT_TRY, 0x600
    .equ COM1, 0x3f8

    .code16
    .globl _start
_start:
    ljmp $0, $1f
1:  call real_mode
    movb $CMOS_MARK, %al
    outb %al, $0x70
    inb $0x71, %al
    cmpb $MARK, %al
    je restarted
    movw $tries, %si
next:
    cli
    movb $CMOS_SHUTDOWN, %al
    outb %al, $0x70
    lodsb
    testb %al, %al
    jz last
    outb %al, $0x71
    movb (%si), %bl             /* the way; stays for after the return */
    movw $returned, RESUME_AT
    cmpb $0x0a, %al
    jbe 1f
    pushfw                      /* 0Bh and 0Ch take a stack with a frame instead of an address */
    pushw %cs
    pushw $returned
    movw %sp, RESUME_AT
1:  movw $0, RESUME_AT + 2
    lgdtl gdt_pointer
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmp $8, $protected

    .code32
protected:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw %si, NEXT_TRY          /* registers are lost */
    cmpb $'p', %bl
    je 1f
    cmpb $'c', %bl
    je 2f
    movb $0xfe, %al
    outb %al, $0x64
    jmp 3f
1:  inb $0x92, %al
    andb $0xfe, %al
    outb %al, $0x92
    orb $1, %al
    outb %al, $0x92
    jmp 3f
2:  movw $0xcf9, %dx
    xorb %al, %al
    outb %al, %dx
    movb $4, %al
    outb %al, %dx
3:  hlt
    jmp 3b

    .code16
returned:
    call real_mode
    movw NEXT_TRY, %si
    sti
    movw TICKS, %cx
1:  hlt
    cmpw TICKS, %cx
    je 1b
    movb -1(%si), %al
    addb $'0', %al
    call put
    lodsb
    call put
    movb $' ', %al
    call put
    jmp next

last:
    movb $CMOS_MARK, %al
    outb %al, $0x70
    movb $MARK, %al
    outb %al, $0x71
    movb $0xfe, %al
    outb %al, $0x64
1:  hlt
    jmp 1b

restarted:
    xorb %al, %al
    outb %al, $0x71
    movw $text, %si
1:  lodsb
    testb %al, %al
    jz 2f
    call put
    jmp 1b
2:  hlt
    jmp 2b

put:
    movw $COM1, %dx
    outb %al, %dx
    ret

/* Segments and a stack; keeps nothing but BX and SI. */
real_mode:
    popw %dx
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    cld
    jmp *%dx

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word . - gdt - 1
    .long gdt
/* Codes with the ways: k the keyboard controller, p port 92h, c port CF9h. */
tries:
    .byte 0x05, 'k', 0x0a, 'k', 0x05, 'p', 0x0a, 'p', 0x0b, 'k', 0x0c, 'k'
#ifdef PCI
    .byte 0x0a, 'c'
#endif
    .byte 0
text: .asciz "restarted\r\n"
    .org 510
    .word 0xaa55
