/*
 * The local APIC's error status (SDM Vol. 3, 10.5.3): an IPI with a vector of 0-15 is not delivered
 * but sets bit 5 (send) or 6 (receive); ESR shows what came up to the latest write to it; LVT error
 * is raised.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* not on QEMU: it delivers vector 5 */
#include "apic.h"

enum { ERROR_VECTOR = 0x48 };

static unsigned errors;

static unsigned on_error(Frame *f)
{
    errors++;
    apic_write(APIC_EOI, 0);
    return 0;
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    trap_handlers[ERROR_VECTOR] = on_error;
    apic_write(APIC_LVT_ERROR, ERROR_VECTOR);
    apic_write(APIC_ESR, 0);
    apic_self(5);
    interrupt_window();
    check_eq("vector 5 raises the error interrupt", errors, 1);
    apic_write(APIC_ESR, 0);
    check("  and is in ESR", apic_read(APIC_ESR) & 0x60);
    apic_write(APIC_ESR, 0);
    check_eq("  once", apic_read(APIC_ESR), 0);
}
