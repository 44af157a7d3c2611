/*
 * What the translator tells about itself: to the log when the program ends, to the monitor.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_JIT_STATS_H
#define TARGET_I386_JIT_STATS_H

/* Writes what the log items op_count and lockstep have gathered to the log; vCPUs stopped. */
void jit_log_summary(void);

#endif
