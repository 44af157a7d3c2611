/*
 * What the translator tells about itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/jit-stats.h"

#include "target-i386/lockstep.h"
#include "target-i386/vcpu.h"
#include "util/log.h"

void jit_log_summary(void)
{
    Buffer text = {0};

    for (unsigned i = 0; i < vcpu_count(); i++) {
        lockstep_summary(vcpu_env(i), &text);
    }
    if (text.size) {
        log_write("%.*s", (int)text.size, (const char *)text.data);
    }
    buffer_free(&text);
}
