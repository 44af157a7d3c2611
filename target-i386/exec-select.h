/*
 * How exec.c finds handlers that are made for one form of an operation.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_EXEC_SELECT_H
#define TARGET_I386_EXEC_SELECT_H

#include "target-i386/insn.h"

/* A handler for just these operand kinds and sizes of a frequent operation, or NULL. */
InsnExec *exec_integer_select(const Insn *insn);
InsnExec *exec_control_select(const Insn *insn);

/* The handler of all instructions that run as they are on the host; insn->aux is the thunk. */
InsnExec exec_on_host;

#endif
