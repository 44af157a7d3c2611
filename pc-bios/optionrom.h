/*
 * What our option ROMs share: the ROM header with its Plug and Play expansion header (BIOS Boot
 * Specification 1.01, Plug and Play BIOS Specification 1.0A), and access to the machine's
 * configuration device (fw_cfg) by its DMA registers or, where the device has none, by its data
 * port. 16-bit real mode; a ROM includes this once and defines boot_entry.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PC_BIOS_OPTIONROM_H
#define PC_BIOS_OPTIONROM_H

/* Ports, and the items the loader fills. */
#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511
#define FW_CFG_DMA_HIGH 0x514
#define FW_CFG_DMA_LOW 0x518
#define FW_CFG_ID 0x01
#define FW_CFG_ID_HAS_DMA 0x02
#define FW_CFG_KERNEL_ADDR 0x07
#define FW_CFG_KERNEL_SIZE 0x08
#define FW_CFG_INITRD_ADDR 0x0a
#define FW_CFG_INITRD_SIZE 0x0b
#define FW_CFG_KERNEL_ENTRY 0x10
#define FW_CFG_KERNEL_DATA 0x11
#define FW_CFG_INITRD_DATA 0x12
#define FW_CFG_CMDLINE_ADDR 0x13
#define FW_CFG_CMDLINE_SIZE 0x14
#define FW_CFG_CMDLINE_DATA 0x15
#define FW_CFG_SETUP_ADDR 0x16
#define FW_CFG_SETUP_SIZE 0x17
#define FW_CFG_SETUP_DATA 0x18

/* Bits of a DMA command's control word. */
#define FW_CFG_DMA_ERROR 0x01
#define FW_CFG_DMA_READ 0x02
#define FW_CFG_DMA_SELECT 0x08

/* The BIOS makes a ROM read-only before it boots from it, so variables live in low memory, at
   and above the place where a boot sector would have been; the stack grows down from there. */
#define STACK_TOP 0x7c00
#define VAR_HAS_DMA 0x7c00
#define VAR_WORD 0x7c04
#define VAR_ROM 0x7c08

/* Selectors of the ROM's descriptor table. */
#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10

        .code16
        .text
        .globl _start
_start:
        .byte 0x55, 0xaa
        .byte 0                         /* length in 512-byte units, set by signrom */
        lret                            /* initialisation: nothing to do */
        .org 0x1a
        .word pnp_header

        .balign 16
pnp_header:
        .ascii "$PnP"
        .byte 1                         /* structure revision */
        .byte (pnp_end - pnp_header) / 16
        .word 0                         /* next header */
        .byte 0
        .byte 0                         /* checksum, set by signrom */
        .long 0                         /* device identifier */
        .word manufacturer
        .word product
        .byte 0, 0x80, 0                /* class: other mass storage */
        .byte 0x14                      /* initial program load device, BIOS may shadow it */
        .word 0                         /* boot connection vector */
        .word 0                         /* disconnect vector */
        .word boot_vector               /* bootstrap entry vector */
        .word 0
        .word 0
pnp_end:

manufacturer:
        .asciz "Vole"

/* The BIOS far-calls this to boot. What we start never comes back, so its stack is forgotten. */
boot_vector:
        cli
        cld
        xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movl $STACK_TOP, %esp
        xorl %eax, %eax
        movw %cs, %ax
        shll $4, %eax
        movl %eax, VAR_ROM              /* this ROM's linear address */
        call fw_cfg_find_dma
        jmp boot_entry

/* Fetches the device's feature word by its data port and notes whether it has the DMA registers. */
fw_cfg_find_dma:
        movw $FW_CFG_SELECT, %dx
        movw $FW_CFG_ID, %ax
        outw %ax, %dx
        incw %dx                        /* FW_CFG_DATA */
        inb %dx, %al
        andb $FW_CFG_ID_HAS_DMA, %al
        movb %al, VAR_HAS_DMA
        ret

/* AX = item of four bytes, little endian; its value comes back in EAX. */
fw_cfg_word:
        pushl %ecx
        pushl %edi
        movl $4, %ecx
        movl $VAR_WORD, %edi
        call fw_cfg_read
        movl VAR_WORD, %eax
        popl %edi
        popl %ecx
        ret

/* AX = item, EDI = linear destination, ECX = bytes, from the item's start. Keeps all registers.
   DS and SS are 0, and ES where the item comes by the data port. */
fw_cfg_read:
        pushal
        jecxz fw_cfg_read_done
        cmpb $0, VAR_HAS_DMA
        je fw_cfg_read_port
        /* The command, big endian: control, length, address of 64 bits. */
        shll $16, %eax
        movw $(FW_CFG_DMA_SELECT | FW_CFG_DMA_READ), %ax
        bswapl %edi
        bswapl %ecx
        bswapl %eax
        pushl %edi
        pushl $0
        pushl %ecx
        pushl %eax
        movl %esp, %ebp
        movw $FW_CFG_DMA_HIGH, %dx
        xorl %eax, %eax
        outl %eax, %dx
        movw $FW_CFG_DMA_LOW, %dx
        movl %ebp, %eax
        bswapl %eax
        outl %eax, %dx                  /* the write of the low half starts it */
fw_cfg_read_wait:
        movl (%bp), %eax
        bswapl %eax
        testl $FW_CFG_DMA_ERROR, %eax
        jnz boot_failed
        testl %eax, %eax
        jnz fw_cfg_read_wait
        addw $16, %sp
fw_cfg_read_done:
        popal
        ret

/* A byte at a time, to any address below 4 GB through an ES with a 4 GB limit. */
fw_cfg_read_port:
        movw $FW_CFG_SELECT, %dx
        outw %ax, %dx
        call big_es
        movw $FW_CFG_DATA, %dx
        addr32 rep insb
        popal
        ret

/* Gives ES base 0 and a 4 GB limit. The limit of a segment stays when real mode reloads it. */
big_es:
        call load_gdt
        movl %cr0, %eax
        orb $1, %al
        movl %eax, %cr0
        jmp 1f
1:      movw $DATA_SELECTOR, %bx
        movw %bx, %es
        andb $0xfe, %al
        movl %eax, %cr0
        jmp 2f
2:      xorw %bx, %bx
        movw %bx, %es
        ret

/* The table needs its linear address, which depends on where the BIOS put the ROM. */
load_gdt:
        pushl %eax
        movl VAR_ROM, %eax
        addl $gdt, %eax
        pushl %eax
        pushw $(gdt_end - gdt - 1)
        movl %esp, %eax
        lgdtl (%eax)
        addw $6, %sp
        popl %eax
        ret

        .balign 8
gdt:
        .quad 0
        .quad 0x00cf9b000000ffff        /* 32-bit code, base 0, 4 GB, accessed */
        .quad 0x00cf93000000ffff        /* data, base 0, 4 GB, accessed */
gdt_end:

/* Says so on the screen and lets the BIOS try the next device. */
boot_failed:
        movw $failed_text, %si
1:      lodsb %cs:(%si), %al
        testb %al, %al
        jz 2f
        movb $0x0e, %ah
        movw $0x0007, %bx
        int $0x10
        jmp 1b
2:      int $0x18
failed_text:
        .asciz "Vole: the kernel could not be loaded into memory.\r\n"

#endif
