/*
 * A TLB belongs to one CPU (SDM Vol. 3, 4.10.5): another CPU's INVLPG and MOV to CR3 do nothing to
 * it, so systems send an IPI whose handler invalidates. After that the old translation must be
 * gone.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 2 */
#include "second-cpu.h"

enum { VECTOR = 0x66, ROUNDS = 500 };

static volatile uint32_t *const here = (uint32_t *)TEST_VA;
static volatile uint32_t handled, go, seen, second_ready;
static Word root;

static unsigned on_shootdown(Frame *f)
{
    invlpg(TEST_VA);
    handled++;
    apic_write(APIC_EOI, 0);
    return 0;
}

/* The second CPU reads the page all the time, with interrupts on. */
static void reader(void)
{
    WRITE_REG("cr4", READ_REG("cr4") | CR4_PSE);
    WRITE_REG("cr3", root);
    WRITE_REG("cr0", READ_REG("cr0") | CR0_PG);
    second_ready = 1;
    for (;;) {
        (void)*here;
        interrupt_window();
        if (go) {
            seen = *here;
            go = 0;
        }
    }
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    unsigned wrong = 0;
    trap_handlers[VECTOR] = on_shootdown;
    for (unsigned i = 0; i < 2; i++)
        *(volatile uint32_t *)(TEST_PA + i * 0x1000) = i;
    paging_on(PAGING_32BIT);
    apic_enable();
    map(TEST_VA, TEST_PA | PTE_P | PTE_W);
    root = READ_REG("cr3");
    check("the second CPU starts", start_second_cpu(reader));
    check("  and turns paging on", wait_until(&second_ready, 1));
    uint32_t i;
    for (i = 1; i <= ROUNDS; i++) {
        set_entry(TEST_VA, 1, (TEST_PA + (i & 1) * 0x1000) | PTE_P | PTE_W);
        apic_write(APIC_ICR_HIGH, 1 << 24);
        apic_write(APIC_ICR_LOW, ICR_ASSERT | VECTOR);
        if (!wait_until(&handled, i))
            break;
        go = 1;
        if (!wait_until(&go, 0))
            break;
        wrong += seen != (i & 1);
    }
    check_eq("all shoot-downs are answered", i, ROUNDS + 1);
    check_eq("no old translation is left", wrong, 0);
}
