/*
 * Saving and restoring vector state: FXSAVE and the XSAVE family.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_XSAVE_H
#define TARGET_I386_XSAVE_H

#include "target-i386/exec-fpu.h" /* XSTATE_* */

#define XSAVE_HEADER_OFFSET 512u
#define XSAVE_AVX_OFFSET    576u
#define XSAVE_AVX_SIZE      256u

/* Bytes of an area for these components; the compacted format's is the same, as AVX comes first in
 * either. */
static inline uint32_t xsave_area_size(uint64_t components)
{
    return components & XSTATE_AVX ? XSAVE_AVX_OFFSET + XSAVE_AVX_SIZE : XSAVE_AVX_OFFSET;
}

/* Components that are not in their initial state, by looking at them. */
uint64_t xsave_in_use(CPUX86State *env);

#endif
