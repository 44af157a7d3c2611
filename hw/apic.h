/*
 * Local APICs, one a CPU, and the messages between them and the I/O APIC.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_APIC_H
#define HW_APIC_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/device.h"
#include "hw/irq.h"
#include "target-i386/cpu.h"

extern const DeviceClass apic_class;

#define APIC_DEFAULT_BASE 0xfee00000u

/*
 * The local APIC of env, with APIC ID env->index; becomes env's interrupt controller. Each
 * CPU sees its own registers, at APIC_DEFAULT_BASE until it moves them. x2apic: CPUID shows that
 * mode.
 */
Device *apic_create(CPUX86State *env, bool x2apic);
/* Where an ExtINT fetches its vector. */
void apic_set_pic(Device *i8259);
/* LINT0 (n = 0: the 8259's INT) or LINT1 (n = 1: NMI) of all local APICs. */
IrqLine *apic_lint(unsigned n);

/* Delivery modes, as the redirection table and the ICR encode them. */
typedef enum ApicMode {
    APIC_MODE_FIXED = 0,
    APIC_MODE_LOWEST = 1,
    APIC_MODE_SMI = 2,
    APIC_MODE_NMI = 4,
    APIC_MODE_INIT = 5,
    APIC_MODE_SIPI = 6,
    APIC_MODE_EXTINT = 7,
} ApicMode;

typedef struct ApicMessage {
    uint32_t destination;
    bool wide;    /* destination has 32 bits (x2APIC), else 8 */
    bool logical; /* destination is logical, else an APIC ID */
    bool level;   /* level triggered: its EOI goes to the I/O APICs */
    ApicMode mode;
    uint8_t vector;
} ApicMessage;

/* False: nobody took it. */
bool apic_send(const ApicMessage *message);
/* A CPU among the destinations has a request of the message's vector and has not taken it yet. */
bool apic_is_waiting(const ApicMessage *message);

/* ---- apic-info.c ---- */
struct Buffer;
/* The state of a CPU's APIC as text; false: there is none. The CPUs are paused. */
bool apic_dump(unsigned cpu, struct Buffer *out);
/* A delivery mode, by its encoding in three bits. */
const char *apic_mode_name(unsigned mode);

#endif
