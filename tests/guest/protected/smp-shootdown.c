/*
 * A page that four CPUs write to becomes read-only and is shot down (SDM Vol. 3, 4.10.5): once all have answered, nobody
 * writes to it any more, until it is writable again. Then it moves to another frame: nobody writes to the old one.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 4 */
#include "second-cpu.h"

enum { CPUS = 4, VECTOR = 0x66, ROUNDS = 150, FRAMES = 2, LOOK = 2000 };

static volatile uint32_t handled, turned_on, faults, stop, stopped;
static Word root;

static unsigned on_shootdown(Frame *f)
{
    (void)f;
    WRITE_REG("cr3", READ_REG("cr3"));
    asm volatile("lock incl %0" : "+m"(handled) : : "memory");
    apic_write(APIC_EOI, 0);
    return 0;
}

/* A write to the page while it is read-only: again, until it is not. */
static unsigned on_page_fault(Frame *f)
{
    if (f->error != 3)
        return 1;
    asm volatile("lock incl %0" : "+m"(faults) : : "memory");
    interrupt_window();
    return 0;
}

/* Writes to the page all the time, each CPU to a place of its own, in several ways. */
static void writer(unsigned cpu)
{
    volatile uint32_t *mine = (uint32_t *)TEST_VA + 64 * cpu;

    WRITE_REG("cr4", READ_REG("cr4") | CR4_PSE);
    WRITE_REG("cr3", root);
    WRITE_REG("cr0", READ_REG("cr0") | CR0_PG | CR0_WP);
    asm volatile("lock incl %0" : "+m"(turned_on) : : "memory");
    while (!stop) {
        for (unsigned i = 0; i < 50; i++) {
            mine[0]++;
            mine[1] = i;
            asm volatile("lock incl %0" : "+m"(mine[2]) : : "memory");
            asm volatile("cld; rep stosl" : : "a"(i), "D"(mine + 4), "c"(8) : "memory");
        }
        interrupt_window();
    }
    asm volatile("lock incl %0" : "+m"(stopped) : : "memory");
}

static bool shoot_down(void)
{
    invlpg(TEST_VA);
    handled = 0;
    apic_write(APIC_ICR_LOW, ICR_OTHERS | ICR_ASSERT | VECTOR);
    return wait_until(&handled, CPUS - 1);
}

static uint32_t sum(unsigned frame)
{
    const volatile uint32_t *page = (uint32_t *)(TEST_PA + 0x1000 * frame);
    uint32_t total = 0;

    for (unsigned i = 0; i < 1024; i++)
        total = total * 31 + page[i];
    return total;
}

/* Whether the frame stays as it is for a while. */
static bool is_quiet(unsigned frame)
{
    uint32_t before = sum(frame);

    for (unsigned i = 0; i < LOOK; i++)
        asm volatile("pause");
    return sum(frame) == before;
}

void guest_test(void)
{
    unsigned answered = 0, changed = 0, old_frame = 0, frame = 0;

    if (!need(1, 'd', 9, "APIC"))
        return;
    trap_handlers[VECTOR] = on_shootdown;
    trap_handlers[14] = on_page_fault;
    paging_on(PAGING_32BIT);
    WRITE_REG("cr0", READ_REG("cr0") | CR0_WP);
    apic_enable();
    map(TEST_VA, TEST_PA | PTE_P | PTE_W);
    root = READ_REG("cr3");
    check("three CPUs start", start_other_cpus(CPUS - 1, writer));
    check("  and turn paging on", wait_until(&turned_on, CPUS - 1));
    for (unsigned i = 0; i < ROUNDS; i++) {
        set_entry(TEST_VA, 1, (TEST_PA + 0x1000 * frame) | PTE_P);
        answered += shoot_down();
        changed += !is_quiet(frame);
        frame = i % FRAMES;
        set_entry(TEST_VA, 1, (TEST_PA + 0x1000 * frame) | PTE_P | PTE_W);
        answered += shoot_down();
        old_frame += !is_quiet(!frame);
    }
    stop = 1;
    check_eq("all shoot-downs are answered", answered, 2 * ROUNDS);
    check_eq("nobody writes to a page that is read-only", changed, 0);
    check_eq("nobody writes to the old frame", old_frame, 0);
    check("the page was written to, and found read-only", faults > 0 && *(volatile uint32_t *)(TEST_PA + 256) > 0);
    check("all CPUs end", wait_until(&stopped, CPUS - 1));
}
