/*
 * The same with so many pages that a TLB forgets some of them for others: what is found out about all goes on for those.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define PAGES 14000
enum { ROW = 16, STEPS = 120000, MOVES = 8, CODE_ROUNDS = 10 };
#include "scattered-pages.c"
