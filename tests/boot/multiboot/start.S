/*
 * Entry of the Multiboot test kernel: keeps what the boot loader left in the registers for main.c.
 * ADDRESSES: with address fields in the header, for a kernel that is no ELF file.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define MAGIC 0x1badb002
#ifdef ADDRESSES
#define FLAGS 0x10003
#else
#define FLAGS 0x00003
#endif

        .section .head, "ax"
        .globl start
        .balign 4
header:
        .long MAGIC
        .long FLAGS
        .long -(MAGIC + FLAGS)
#ifdef ADDRESSES
        .long header
        .long image_start
        .long data_end
        .long bss_end
        .long start
#endif
start:
        movl %eax, boot_magic
        movl %ebx, boot_info
        movl %cr0, %ecx
        movl %ecx, boot_cr0
        movw %cs, boot_cs
        movw %ds, boot_segments
        movw %es, boot_segments + 2
        movw %fs, boot_segments + 4
        movw %gs, boot_segments + 6
        movw %ss, boot_segments + 8
        movl $stack_end, %esp
        pushfl
        popl boot_eflags
        cld
        call main
1:      hlt
        jmp 1b

        .data
        .globl boot_magic, boot_info, boot_cr0, boot_eflags, boot_cs, boot_segments
boot_magic:    .long 0
boot_info:     .long 0
boot_cr0:      .long 0
boot_eflags:   .long 0
boot_cs:       .long 0
boot_segments: .skip 12

        .bss
        .skip 4096
stack_end:
