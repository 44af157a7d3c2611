/*
 * Copies for jobs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/job-copy.h"

#include <errno.h>
#include <stdlib.h>

#include "block/util.h"

static int copy_data(BlockChild *from, BlockChild *to, uint64_t offset, uint64_t bytes,
                     unsigned flags, uint8_t *buf, bool *read_failed)
{
    int ret = bdrv_co_pread(from, offset, bytes, buf, 0);

    *read_failed = ret < 0;
    return ret < 0 ? ret : bdrv_co_pwrite(to, offset, bytes, buf, flags);
}

int job_copy(BlockChild *from, BlockChild *to, uint64_t offset, uint64_t bytes, unsigned flags,
             bool *read_failed)
{
    uint8_t *buf = NULL;
    int ret = 0;

    *read_failed = false;
    for (uint64_t n; bytes && ret == 0; offset += n, bytes -= n) {
        n = MIN(bytes, COPY_CHUNK);
        uint64_t run;
        int status =
            bdrv_co_block_status_above(from->node, NULL, false, offset, n, &run, NULL, NULL, NULL);
        *read_failed = status < 0;
        n = status >= 0 && run ? run : n;
        if (status >= 0 && (status & BDRV_BLOCK_ZERO)) {
            ret = bdrv_co_pwrite_zeroes(to, offset, n,
                                        BDRV_REQ_MAY_UNMAP | (flags & ~BDRV_REQ_COMPRESSED));
            continue;
        }
        buf = buf ? buf : block_try_alloc(to->node, MIN(bytes, COPY_CHUNK));
        ret = !buf ? -ENOMEM : copy_data(from, to, offset, n, flags, buf, read_failed);
    }
    free(buf);
    return ret;
}
