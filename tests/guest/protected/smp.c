/*
 * A second processor (SDM Vol. 3, 8.4): INIT, then SIPI with vector v starts it in real mode at
 * v00:0000, CR0 as from reset. IPIs reach it: fixed, NMI, to all, to all others; INIT stops it.
 * LOCK makes read-modify-write atomic between the two; XCHG without LOCK likewise.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 2 */
#include "apic.h"

enum { TRAMPOLINE = 0x8000, VECTOR = 0x66, ROUNDS = 20000 };

/* Real mode at 0800:0000: notes CS and CR0, then on to protected mode. */
CODE16(trampoline,
       "cli\n movw %cs, %ax\n movw %ax, %ds\n movw %ax, ap_cs - trampoline\n movl %cr0, %eax\n"
       "movl %eax, ap_cr0 - trampoline\n lgdtl ap_gdt - trampoline\n movl $0x11, %eax\n"
       "movl %eax, %cr0\n"
       "ljmpl $8, $ap_start\n"
       ".balign 4\n ap_gdt: .word 1023\n .long gdt\n ap_cs: .long 0\n"
       "ap_cr0: .long 0\n trampoline_end:");
extern char ap_cs[], ap_cr0[], trampoline_end[];
CODE32(ap_start, "movw $0x10, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %ss\n"
                 "movl $ap_stack + 8192, %esp\n lidt idt_pointer\n call ap_main");

uint8_t ap_stack[8192] __attribute__((aligned(16)));
static volatile uint32_t ap_state, ap_command, ap_interrupts, ap_nmis, counter, locked, ap_id;
static volatile uint32_t bsp_interrupts;

enum { READY = 1, ADD, EXCHANGE, HALT };

static void add_rounds(void)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        asm volatile("lock incl %0" : "+m"(counter));
}

static void spin_rounds(void)
{
    for (unsigned i = 0; i < ROUNDS / 20; i++) {
        uint32_t got = 1;
        do {
            got = 1;
            asm volatile("xchgl %0, %1; pause" : "+r"(got), "+m"(locked) : : "memory");
        } while (got);
        counter++;
        asm volatile("" : : : "memory");
        locked = 0;
    }
}

void ap_main(void);
void ap_main(void)
{
    apic_write(APIC_SVR, 0x1ff);
    ap_id = apic_read(APIC_ID) >> 24;
    ap_state = READY;
    for (;;) {
        interrupt_window();
        uint32_t command = ap_command;
        if (!command)
            continue;
        ap_command = 0;
        if (command == ADD)
            add_rounds();
        else if (command == EXCHANGE)
            spin_rounds();
        ap_state = command;
        if (command == HALT)
            for (;;)
                asm volatile("sti; hlt");
    }
}

static unsigned on_interrupt(Frame *f)
{
    if (apic_read(APIC_ID) >> 24)
        ap_interrupts++;
    else
        bsp_interrupts++;
    apic_write(APIC_EOI, 0);
    return 0;
}

static unsigned on_nmi(Frame *f)
{
    ap_nmis++;
    return 0;
}

/* Half a minute at most. */
static bool wait_for(volatile uint32_t *what, uint32_t value)
{
    uint64_t end = rdtsc() + 30000000000ull;
    while (*what != value && rdtsc() < end)
        interrupt_window();
    return *what == value;
}

static void send(uint32_t command)
{
    apic_write(APIC_ICR_HIGH, 1 << 24);
    apic_write(APIC_ICR_LOW, command);
    while (apic_read(APIC_ICR_LOW) & ICR_PENDING)
        ;
}

static void delay(void)
{
    uint64_t end = rdtsc() + 30000000;
    while (rdtsc() < end)
        asm volatile("pause");
}

static void start(void)
{
    ap_state = 0;
    send(ICR_INIT | ICR_ASSERT);
    delay();
    send(ICR_STARTUP | ICR_ASSERT | TRAMPOLINE >> 12);
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    trap_handlers[VECTOR] = on_interrupt;
    trap_handlers[2] = on_nmi;
    memcpy((void *)TRAMPOLINE, (void *)LINEAR16(trampoline), trampoline_end - trampoline);
    delay();
    check_eq("the second CPU waits", ap_state, 0);
    start();
    check("INIT and SIPI start it", wait_for(&ap_state, READY));
    check_eq("  at v00:0000", *(uint16_t *)(TRAMPOLINE + (ap_cs - trampoline)), TRAMPOLINE >> 4);
    check_eq("  CR0", *(uint32_t *)(TRAMPOLINE + (ap_cr0 - trampoline)), 0x60000010);
    check_eq("  its APIC ID", ap_id, 1);

    send(ICR_ASSERT | VECTOR);
    check("a fixed IPI reaches it", wait_for(&ap_interrupts, 1));
    send(ICR_ASSERT | ICR_NMI);
    check("an NMI reaches it", wait_for(&ap_nmis, 1));
    apic_write(APIC_ICR_LOW, ICR_OTHERS | ICR_ASSERT | VECTOR);
    check("an IPI to all others", wait_for(&ap_interrupts, 2));
    check_eq("  not to self", bsp_interrupts, 0);
    apic_write(APIC_ICR_LOW, ICR_ALL | ICR_ASSERT | VECTOR);
    check("an IPI to all", wait_for(&ap_interrupts, 3));
    check("  also to self", wait_for(&bsp_interrupts, 1));

    counter = 0;
    ap_command = ADD;
    add_rounds();
    check("LOCK INC: done", wait_for(&ap_state, ADD));
    check_eq("  none is lost", counter, 2 * ROUNDS);
    counter = 0;
    ap_command = EXCHANGE;
    spin_rounds();
    check("XCHG as a lock: done", wait_for(&ap_state, EXCHANGE));
    check_eq("  none is lost", counter, 2 * (ROUNDS / 20));

    ap_command = HALT;
    check("it halts", wait_for(&ap_state, HALT));
    delay();
    send(ICR_ASSERT | VECTOR);
    check("an IPI wakes it", wait_for(&ap_interrupts, 4));
    start();
    check("INIT and SIPI start it again", wait_for(&ap_state, READY));
}
