/*
 * Option ROM that starts a Multiboot 1 kernel which the emulator's loader has prepared: it copies
 * the image (kernel and modules in one piece) and the information structure into memory, adds what
 * only the BIOS knows (memory sizes and the memory map), and enters the kernel in the state of the
 * Multiboot Specification 0.6.96, section 3.2. A kernel below 64 KB may lie where this ROM and the
 * BIOS have their variables and stacks: it is copied last, when nobody needs them any more.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "optionrom.h"

#define BOOTLOADER_MAGIC 0x2badb002
#define CR0_PE 0x01
#define CR0_PG 0x80000000

/* Offsets in the information structure, and its flags this ROM adds. */
#define MBI_FLAGS 0
#define MBI_MEM_LOWER 4
#define MBI_MEM_UPPER 8
#define MBI_MMAP_LENGTH 44
#define MBI_MMAP_ADDR 48
#define MBI_HAS_MEMORY 0x01
#define MBI_HAS_MMAP 0x40

/* A map entry: its own size (not counting this field), base, length, type. */
#define MMAP_ENTRY_SIZE 24
#define MMAP_MAX_ENTRIES 128
#define E820_SIZE 20
#define E820_MAGIC 0x534d4150           /* "SMAP" */
#define E820_RAM 1

/* The information structure with the map behind it is made here, and moved once it is complete;
   the loader keeps its place out of the first 64 KB but for this one and what lies below 7000h. */
#define STAGING 0x9000
#define LOW_IMAGE 0x10000               /* an image from below here is copied last */

/* More variables. */
#define VAR_INFO 0x7c0c                 /* where the structure goes */
#define VAR_ENTRY 0x7c10
#define VAR_IMAGE 0x7c14
#define VAR_LEFT 0x7c18                 /* bytes of the image that are still to be copied */

product:
        .asciz "Multiboot kernel"

boot_entry:
        movw $FW_CFG_KERNEL_ENTRY, %ax
        call fw_cfg_word
        movl %eax, VAR_ENTRY
        movw $FW_CFG_KERNEL_ADDR, %ax
        call fw_cfg_word
        movl %eax, %edi
        movl %eax, VAR_IMAGE
        movw $FW_CFG_KERNEL_SIZE, %ax
        call fw_cfg_word
        movl %eax, %ecx
        movl %eax, VAR_LEFT
        cmpl $LOW_IMAGE, %edi
        jb 1f
        movw $FW_CFG_KERNEL_DATA, %ax
        call fw_cfg_read
        movl $0, VAR_LEFT
1:
        /* DS = 0 reaches the place where the structure is made; the memory map follows it. */
        movw $FW_CFG_INITRD_ADDR, %ax
        call fw_cfg_word
        movl %eax, VAR_INFO
        movl $STAGING, %edi
        movw $FW_CFG_INITRD_SIZE, %ax
        call fw_cfg_word
        movl %eax, %ecx
        movw $FW_CFG_INITRD_DATA, %ax
        call fw_cfg_read
        movl %edi, %ebp
        addl %edi, %ecx
        addl $3, %ecx
        andl $~3, %ecx
        movl %ecx, MBI_MMAP_ADDR(%bp)
        movl $0, MBI_MMAP_LENGTH(%bp)
        movl $0, MBI_MEM_UPPER(%bp)

        int $0x12                       /* KB of conventional memory */
        movzwl %ax, %eax
        movl %eax, MBI_MEM_LOWER(%bp)
        call memory_map
        orl $MBI_HAS_MEMORY, MBI_FLAGS(%bp)
        movl VAR_INFO, %eax
        subl $STAGING, %eax
        addl %eax, MBI_MMAP_ADDR(%bp)
        cli
        cld
        call enable_a20
        call load_gdt

        /* To protected mode by a far return, as the ROM's linear address is not fixed. */
        movl VAR_ROM, %ecx
        addl $protected_entry, %ecx
        movl %cr0, %eax
        andl $~CR0_PG, %eax
        orb $CR0_PE, %al
        movl %eax, %cr0
        pushl $CODE_SELECTOR
        pushl %ecx
        lretl

/* Fills the map behind the information structure (DS:BP) from INT 15h, AX=E820h. mem_upper is
   the memory from 1 MB up to the first hole. */
memory_map:
        movw MBI_MMAP_ADDR(%bp), %di
        xorl %ebx, %ebx
1:      movl $0xe820, %eax
        movl $E820_SIZE, %ecx
        movl $E820_MAGIC, %edx
        pushw %ds
        popw %es
        pushw %di
        pushl %ebp
        addw $4, %di
        int $0x15
        popl %ebp
        popw %di
        jc 3f
        cmpl $E820_MAGIC, %eax
        jne 3f
        movl $E820_SIZE, (%di)
        cmpl $E820_RAM, 20(%di)
        jne 2f
        cmpl $0x100000, 4(%di)
        jne 2f
        cmpl $0, 8(%di)
        jne 2f
        movl 12(%di), %eax
        movl 16(%di), %edx
        shrdl $10, %edx, %eax
        movl %eax, MBI_MEM_UPPER(%bp)
2:      addw $MMAP_ENTRY_SIZE, %di
        addl $MMAP_ENTRY_SIZE, MBI_MMAP_LENGTH(%bp)
        orl $MBI_HAS_MMAP, MBI_FLAGS(%bp)
        cmpl $(MMAP_ENTRY_SIZE * MMAP_MAX_ENTRIES), MBI_MMAP_LENGTH(%bp)
        jae 3f
        testl %ebx, %ebx
        jnz 1b
3:      ret

/* The BIOS leaves the gate open; the specification asks for it, so be sure (port 92h, bit 1). */
enable_a20:
        inb $0x92, %al
        testb $2, %al
        jnz 1f
        orb $2, %al
        andb $0xfe, %al
        outb %al, $0x92
1:      ret

        .code32
protected_entry:
        movl $DATA_SELECTOR, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %fs
        movl %eax, %gs
        movl %eax, %ss
        movl $STACK_TOP, %esp

        movl VAR_INFO, %ebx
        movl %ebx, %edi
        movl %ebp, %esi
        movl MBI_MMAP_ADDR(%ebp), %ecx
        addl MBI_MMAP_LENGTH(%ebp), %ecx
        subl %ebx, %ecx
        rep movsb

        movl VAR_ENTRY, %ebp
        movl VAR_IMAGE, %edi
        movl VAR_LEFT, %ecx
        movw $FW_CFG_SELECT, %dx
        movw $FW_CFG_KERNEL_DATA, %ax
        outw %ax, %dx
        incw %dx                        /* FW_CFG_DATA */
        rep insb                        /* from here on no memory of ours is left */
        movl $BOOTLOADER_MAGIC, %eax
        jmp *%ebp
