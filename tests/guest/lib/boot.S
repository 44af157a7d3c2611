/*
 * From the reset vector to the program in RAM: A20 on, flat protected mode, the program copied
 * out of the ROM, its variables cleared. Needs no firmware.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
    .section .reset, "ax"
    .code16
    .globl reset_vector
reset_vector:
    jmp boot16
    .balign 16, 0

    .section .boot, "ax"
boot16:
    cli
    cld
    inb $0x92, %al
    orb $2, %al
    andb $0xfe, %al             /* bit 0 would reset the machine */
    outb %al, $0x92
    lgdtl %cs:(boot_gdt_pointer - boot16 + 0xfc00) /* CS base is 0xffff0000 */
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $0x08, $boot32

    .code32
boot32:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    movl $0xfffe0000, %esi
    movl $0x10000, %edi
    movl $program_size, %ecx
    rep movsb
    movl $bss_start, %edi
    movl $bss_end, %ecx
    subl %edi, %ecx
    xorl %eax, %eax
    rep stosb
    movl $start32, %eax
    jmp *%eax

    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    /* 0x08: flat code */
    .quad 0x00cf93000000ffff    /* 0x10: flat data */
boot_gdt_pointer:
    .word boot_gdt_pointer - boot_gdt - 1
    .long boot_gdt
