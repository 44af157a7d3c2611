/*
 * Block jobs from the inside: what a kind of job has of the frame.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_JOB_INT_H
#define BLOCK_JOB_INT_H

#include "block/driver.h"
#include "block/job.h"
#include "util/coroutine.h"
#include "util/loop.h"

typedef struct BlockJobDriver {
    const char *type; /* "mirror" */
    size_t size;      /* of the job's struct, whose first member is a BlockJob */
    bool completable; /* has a state "ready" */
    /* In the job's coroutine, until all is copied; 0 or a negative errno. */
    int (*run)(BlockJob *job);
    /* On the main loop: lets go of nodes, and where ret is 0, changes the graph. Gives ret, or an
     * error of its own with a text in job->err. */
    int (*finish)(BlockJob *job, int ret);
} BlockJobDriver;

struct BlockJob {
    const BlockJobDriver *driver;
    char *id;
    JobStatus status;
    Coroutine *co;
    uint64_t offset, len, speed;
    int64_t free_at; /* CLOCK_HOST: when the limit lets the next piece go */
    Timer timer;
    bool waiting; /* job->co has yielded until job_kick() */
    bool user_paused, in_pause;
    unsigned drains; /* users of a node want quiet */
    bool cancelled, forced, should_complete;
    bool auto_finalize, auto_dismiss;
    BlkErrorPolicy on_error[2]; /* of the target, of the source (is_read) */
    const char *io_status;
    int ret;
    Error *err;
    BlockNode *nodes[3]; /* that it works on, for job_uses() */
    BlockJob *next;
};

/* A job that does not run yet; NULL with an error. */
BlockJob *job_new(const BlockJobDriver *driver, BlockNode *node, const JobOptions *options,
                  Error **errp);
void job_run(BlockJob *job);
/* Of a job that never ran. */
void job_free(BlockJob *job);

/* A job's use of a node; takes over the reference. Drains pause the job. */
BlockChild *job_attach(BlockJob *job, BlockNode *node, unsigned perm, Error **errp);

/* In the job's coroutine: waits while it is paused. True: it shall end. */
bool job_pause_point(BlockJob *job);
/* Waits for `ns`, or until it is kicked; then as job_pause_point(). */
bool job_sleep(BlockJob *job, int64_t ns);
/* After `bytes` were copied: as long as the speed limit asks for. */
bool job_limit(BlockJob *job, uint64_t bytes);
void job_kick(BlockJob *job);
void job_progress(BlockJob *job, uint64_t bytes);
void job_set_ready(BlockJob *job);
/* A request failed: what shall be done; STOP has paused the job already. */
BlkErrorAction job_error(BlockJob *job, bool is_read, int error);
static inline bool job_is_ready(const BlockJob *job)
{
    return job->status == JOB_READY || job->status == JOB_STANDBY;
}
/* Ended before its work was done, and what it leaves is not whole. */
static inline bool job_must_stop(const BlockJob *job)
{
    return job->cancelled && (job->forced || !job_is_ready(job));
}

#endif
