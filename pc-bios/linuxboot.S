/*
 * Option ROM that starts a Linux kernel which the emulator's loader has prepared: it copies the
 * real-mode setup code, the kernel proper, the command line and the initial ramdisk to the
 * addresses the loader chose, and enters the setup code as the Linux/x86 boot protocol says.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "optionrom.h"

/* Offsets in the setup header (Linux/x86 boot protocol, "The real-mode kernel header"). */
#define HDR_VERSION 0x206
#define HDR_LOADFLAGS 0x211
#define HDR_HEAP_END_PTR 0x224
#define CAN_USE_HEAP 0x80
/* Where the stack starts when the kernel knows no heap: the protocol's classic layout. */
#define CLASSIC_STACK 0x9800

product:
        .asciz "Linux kernel"

/* Items of one part: address, size, data. */
        .balign 2
parts:
        .word FW_CFG_SETUP_ADDR, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_DATA
        .word FW_CFG_KERNEL_ADDR, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA
        .word FW_CFG_CMDLINE_ADDR, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE_DATA
        .word FW_CFG_INITRD_ADDR, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA
parts_end:

boot_entry:
        movw $parts, %si
next_part:
        movw %cs:(%si), %ax
        call fw_cfg_word
        movl %eax, %edi
        movw %cs:2(%si), %ax
        call fw_cfg_word
        movl %eax, %ecx
        movw %cs:4(%si), %ax
        call fw_cfg_read
        addw $6, %si
        cmpw $parts_end, %si
        jne next_part

        movw $FW_CFG_SETUP_ADDR, %ax
        call fw_cfg_word
        shrl $4, %eax
        movw %ax, %ds

        /* The stack lies above the heap when there is one. */
        movl $CLASSIC_STACK, %ecx
        cmpw $0x0201, HDR_VERSION
        jb enter
        testb $CAN_USE_HEAP, HDR_LOADFLAGS
        jz enter
        movzwl HDR_HEAP_END_PTR, %ecx
        addw $0x200, %cx
enter:
        /* All data segments are the setup's; its code starts 512 bytes in. */
        movw %ax, %es
        movw %ax, %fs
        movw %ax, %gs
        movw %ax, %ss
        movl %ecx, %esp
        addw $0x20, %ax
        pushw %ax
        pushw $0
        lretw
