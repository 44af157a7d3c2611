/*
 * Prints decoded instructions in Intel's syntax, for the monitor's x/i and the in_asm log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_DISAS_H
#define TARGET_I386_DISAS_H

#include "target-i386/insn.h"

/* Writes the instruction at address `ip` into buf, always terminated, cut off when `size` (at least
 * 1) is too small; 128 bytes always suffice. Branch targets are absolute. Returns buf. */
char *insn_print(const Insn *insn, uint64_t ip, char *buf, size_t size);

#endif
