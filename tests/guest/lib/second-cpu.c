/*
 * The other CPUs of a 32-bit test: trampoline in real mode at 0x8000, then protected mode.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "second-cpu.h"

enum { TRAMPOLINE = 0x8000 };

CODE16(second_cpu_16,
       "cli\n movw %cs, %ax\n movw %ax, %ds\n lgdtl second_cpu_gdt - second_cpu_16\n"
       "movl $0x11, %eax\n movl %eax, %cr0\n ljmpl $8, $second_cpu_32\n"
       ".balign 4\n second_cpu_gdt: .word 1023\n .long gdt\n second_cpu_16_end:");
CODE32(second_cpu_32, "movw $0x10, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %ss\n"
                      "movl second_cpu_sp, %esp\n lidt idt_pointer\n"
                      "call second_cpu_main");
extern char second_cpu_16_end[];

enum { STACK_SIZE = 8192 };
static uint8_t stacks[OTHER_CPUS_MOST][STACK_SIZE] __attribute__((aligned(16)));
uint8_t *second_cpu_sp;
static void (*volatile entry)(unsigned cpu);
static void (*volatile second_entry)(void);
static volatile uint32_t starting, arrived;

void second_cpu_main(void);
void second_cpu_main(void)
{
    apic_write(APIC_SVR, 0x1ff);
    unsigned cpu = starting;
    arrived = 1;
    entry(cpu);
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

static void send(unsigned cpu, uint32_t command)
{
    apic_write(APIC_ICR_HIGH, cpu << 24);
    apic_write(APIC_ICR_LOW, command | ICR_ASSERT);
    while (apic_read(APIC_ICR_LOW) & ICR_PENDING)
        ;
}

static bool start_cpu(unsigned cpu, void (*fn)(unsigned cpu))
{
    memcpy((void *)TRAMPOLINE, (void *)LINEAR16(second_cpu_16), second_cpu_16_end - second_cpu_16);
    entry = fn;
    starting = cpu;
    second_cpu_sp = stacks[cpu - 1] + STACK_SIZE;
    arrived = 0;
    send(cpu, ICR_INIT);
    uint64_t end = rdtsc() + 30000000;
    while (rdtsc() < end)
        asm volatile("pause");
    send(cpu, ICR_STARTUP | TRAMPOLINE >> 12);
    return wait_until(&arrived, 1);
}

static void run_second_entry(unsigned cpu)
{
    (void)cpu;
    second_entry();
}

bool start_second_cpu(void (*fn)(void))
{
    second_entry = fn;
    return start_cpu(1, run_second_entry);
}

bool start_other_cpus(unsigned n, void (*fn)(unsigned cpu))
{
    for (unsigned cpu = 1; cpu <= n; cpu++)
        if (!start_cpu(cpu, fn))
            return false;
    return true;
}
