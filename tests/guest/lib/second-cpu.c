/*
 * The second CPU of a 32-bit test: trampoline in real mode at 0x8000, then protected mode.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "second-cpu.h"

enum { TRAMPOLINE = 0x8000 };

CODE16(second_cpu_16,
       "cli\n movw %cs, %ax\n movw %ax, %ds\n lgdtl second_cpu_gdt - second_cpu_16\n"
       "movl $0x11, %eax\n movl %eax, %cr0\n ljmpl $8, $second_cpu_32\n"
       ".balign 4\n second_cpu_gdt: .word 1023\n .long gdt\n second_cpu_16_end:");
CODE32(second_cpu_32, "movw $0x10, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %ss\n"
                      "movl $second_cpu_stack + 8192, %esp\n lidt idt_pointer\n"
                      "call second_cpu_main");
extern char second_cpu_16_end[];

uint8_t second_cpu_stack[8192] __attribute__((aligned(16)));
static void (*volatile entry)(void);
static volatile uint32_t arrived;

void second_cpu_main(void);
void second_cpu_main(void)
{
    apic_write(APIC_SVR, 0x1ff);
    arrived = 1;
    entry();
    for (;;)
        asm volatile("hlt");
}

bool wait_until(volatile uint32_t *what, uint32_t value)
{
    uint64_t end = rdtsc() + 30000000000ull;
    while (*what != value && rdtsc() < end)
        asm volatile("pause");
    return *what == value;
}

static void send(uint32_t command)
{
    apic_write(APIC_ICR_HIGH, 1 << 24);
    apic_write(APIC_ICR_LOW, command | ICR_ASSERT);
    while (apic_read(APIC_ICR_LOW) & ICR_PENDING)
        ;
}

bool start_second_cpu(void (*fn)(void))
{
    memcpy((void *)TRAMPOLINE, (void *)LINEAR16(second_cpu_16), second_cpu_16_end - second_cpu_16);
    entry = fn;
    arrived = 0;
    send(ICR_INIT);
    uint64_t end = rdtsc() + 30000000;
    while (rdtsc() < end)
        asm volatile("pause");
    send(ICR_STARTUP | TRAMPOLINE >> 12);
    return wait_until(&arrived, 1);
}
