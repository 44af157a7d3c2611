/*
 * System management mode.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_SMM_H
#define TARGET_I386_SMM_H

#include "target-i386/cpu.h"

/* Takes an SMI between instructions: saves the state at SMBASE and enters the handler. */
void smm_enter(CPUX86State *env);

#endif
