/*
 * Block jobs: the frame.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/job-int.h"
#include "block/util.h"

static BlockJob *jobs;
static void (*listener)(BlockJob *job, JobEvent event, bool is_read, BlkErrorAction action);

/* ---- what they are ---- */

const char *job_status_name(JobStatus status)
{
    static const char *const names[] = {
        [JOB_CREATED] = "created",   [JOB_RUNNING] = "running",     [JOB_PAUSED] = "paused",
        [JOB_READY] = "ready",       [JOB_STANDBY] = "standby",     [JOB_PENDING] = "pending",
        [JOB_ABORTING] = "aborting", [JOB_CONCLUDED] = "concluded",
    };
    return names[status];
}

void job_info(const BlockJob *job, JobInfo *info)
{
    *info = (JobInfo){
        .id = job->id,
        .type = job->driver->type,
        .status = job->status,
        .offset = job->offset,
        .len = job->len,
        .speed = job->speed,
        .busy = job->co && !job->in_pause,
        .paused = job->user_paused,
        .ready = job_is_ready(job),
        .auto_finalize = job->auto_finalize,
        .auto_dismiss = job->auto_dismiss,
        .io_status = job->io_status,
        .error = job->err                                 ? error_text(job->err)
                 : job->ret < 0 && job->ret != -ECANCELED ? strerror(-job->ret)
                                                          : NULL,
    };
}

BlockJob *job_find(const char *id)
{
    for (BlockJob *job = jobs; job; job = job->next) {
        if (!strcmp(job->id, id)) {
            return job;
        }
    }
    return NULL;
}

void job_each(void (*fn)(BlockJob *job, void *opaque), void *opaque)
{
    for (BlockJob *job = jobs, *next; job; job = next) {
        next = job->next;
        fn(job, opaque);
    }
}

bool job_uses(const BlockNode *node)
{
    for (const BlockJob *job = jobs; job; job = job->next) {
        for (size_t i = 0; i < ARRAY_SIZE(job->nodes); i++) {
            if (job->nodes[i] == node && job->status < JOB_CONCLUDED) {
                return true;
            }
        }
    }
    return false;
}

void job_set_listener(void (*fn)(BlockJob *job, JobEvent event, bool is_read,
                                 BlkErrorAction action))
{
    listener = fn;
}

static void tell(BlockJob *job, JobEvent event)
{
    if (listener) {
        listener(job, event, false, BLK_ERROR_REPORT);
    }
}

static void set_status(BlockJob *job, JobStatus status)
{
    if (job->status != status) {
        job->status = status;
        tell(job, JOB_EVENT_STATUS);
    }
}

/* ---- life ---- */

BlockJob *job_new(const BlockJobDriver *driver, BlockNode *node, const JobOptions *options,
                  Error **errp)
{
    if (!options->id || !*options->id) {
        error_set(errp, "An explicit job ID is required");
        return NULL;
    }
    if (job_find(options->id)) {
        error_set(errp, "Job ID '%s' already in use", options->id);
        return NULL;
    }
    if (job_uses(node)) {
        error_set(errp, "Node '%s' is busy: block device is in use by block job",
                  bdrv_node_name(node));
        return NULL;
    }
    BlockJob *job = calloc(1, driver->size);
    if (!job || !(job->id = strdup(options->id))) {
        error_exit("out of memory");
    }
    job->driver = driver;
    job->speed = options->speed;
    job->auto_finalize = !options->manual_finalize;
    job->auto_dismiss = !options->manual_dismiss;
    job->on_error[0] = options->on_target_error;
    job->on_error[1] = options->on_source_error;
    job->io_status = "ok";
    job->nodes[0] = node;
    BlockJob **last = &jobs;
    while (*last) {
        last = &(*last)->next;
    }
    *last = job;
    return job;
}

void job_free(BlockJob *job)
{
    for (BlockJob **p = &jobs; *p; p = &(*p)->next) {
        if (*p == job) {
            *p = job->next;
            break;
        }
    }
    error_free(job->err);
    free(job->id);
    free(job);
}

/* The end of all: the events, and the job goes or waits to be dismissed. */
static void conclude(BlockJob *job)
{
    if (job->ret < 0) {
        set_status(job, JOB_ABORTING);
    }
    job->ret = job->driver->finish(job, job->ret);
    memset(job->nodes, 0, sizeof(job->nodes));
    tell(job, job->ret == -ECANCELED ? JOB_EVENT_CANCELLED : JOB_EVENT_COMPLETED);
    set_status(job, JOB_CONCLUDED);
    if (job->auto_dismiss) {
        job_free(job);
    }
}

static void job_ended(void *opaque)
{
    BlockJob *job = opaque;

    job->co = NULL;
    if (job->ret == 0 && !job->auto_finalize && !job_must_stop(job)) {
        set_status(job, JOB_PENDING);
        tell(job, JOB_EVENT_PENDING);
        return;
    }
    conclude(job);
}

static void job_entry(void *opaque)
{
    BlockJob *job = opaque;

    job->ret = job->driver->run(job);
    if (job_must_stop(job)) {
        job->ret = -ECANCELED;
    }
    loop_defer(job_ended, job);
}

static void start(void *opaque)
{
    BlockJob *job = opaque;

    coroutine_enter(job->co);
}

void job_run(BlockJob *job)
{
    job->co = coroutine_create(job_entry, job);
    set_status(job, JOB_RUNNING);
    loop_defer(start, job);
}

/* ---- a job's nodes ---- */

static const char *user_name(void *opaque)
{
    return ((BlockJob *)opaque)->id;
}

static void user_drained_begin(void *opaque)
{
    ((BlockJob *)opaque)->drains++;
}

static void user_drained_end(void *opaque)
{
    BlockJob *job = opaque;

    if (--job->drains == 0) {
        job_kick(job);
    }
}

static const ChildUser job_user = {
    .name = user_name, .drained_begin = user_drained_begin, .drained_end = user_drained_end};

BlockChild *job_attach(BlockJob *job, BlockNode *node, unsigned perm, Error **errp)
{
    return bdrv_root_attach(node, perm, BLK_PERM_ALL, &job_user, job, errp);
}

/* ---- waiting ---- */

/* Until job_kick(); no more than ns (negative: for ever). */
static void wait(BlockJob *job, int64_t ns);

static void timed_out(void *opaque)
{
    job_kick(opaque);
}

static void wait(BlockJob *job, int64_t ns)
{
    timer_init(&job->timer, CLOCK_HOST, timed_out, job);
    if (ns >= 0) {
        timer_set(&job->timer, clock_now(CLOCK_HOST) + ns);
    }
    job->waiting = true;
    coroutine_yield();
    timer_cancel(&job->timer);
}

void job_kick(BlockJob *job)
{
    if (job->waiting) {
        job->waiting = false;
        coroutine_wake(job->co);
    }
}

bool job_pause_point(BlockJob *job)
{
    const JobStatus before = job->status;

    while ((job->user_paused || job->drains) && !job->forced && !job_must_stop(job)) {
        if (job->user_paused) {
            set_status(job, job_is_ready(job) ? JOB_STANDBY : JOB_PAUSED);
        }
        job->in_pause = true;
        wait(job, -1);
        job->in_pause = false;
    }
    set_status(job, before == JOB_STANDBY  ? JOB_READY
                    : before == JOB_PAUSED ? JOB_RUNNING
                                           : before);
    return job_must_stop(job);
}

bool job_sleep(BlockJob *job, int64_t ns)
{
    if (!job_must_stop(job)) {
        wait(job, ns);
    }
    return job_pause_point(job);
}

bool job_limit(BlockJob *job, uint64_t bytes)
{
    int64_t now = clock_now(CLOCK_HOST);

    if (!job->speed) {
        return job_pause_point(job);
    }
    job->free_at =
        MAX(job->free_at, now) + (int64_t)((double)bytes * NS_PER_SEC / (double)job->speed);
    while (job->speed && job->free_at > now && !job_must_stop(job) && !job->should_complete) {
        wait(job, job->free_at - now);
        now = clock_now(CLOCK_HOST);
    }
    return job_pause_point(job);
}

void job_progress(BlockJob *job, uint64_t bytes)
{
    job->offset += bytes;
}

void job_set_ready(BlockJob *job)
{
    if (!job_is_ready(job)) {
        set_status(job, JOB_READY);
        tell(job, JOB_EVENT_READY);
    }
}

BlkErrorAction job_error(BlockJob *job, bool is_read, int error)
{
    BlkErrorPolicy policy = job->on_error[is_read];
    BlkErrorAction action =
        policy == BLK_ON_ERROR_IGNORE ? BLK_ERROR_IGNORE
        : policy == BLK_ON_ERROR_STOP || (policy == BLK_ON_ERROR_ENOSPC && error == ENOSPC)
            ? BLK_ERROR_STOP
            : BLK_ERROR_REPORT;

    if (listener) {
        listener(job, JOB_EVENT_ERROR, is_read, action);
    }
    if (action == BLK_ERROR_STOP) {
        job->user_paused = true;
        job->io_status = error == ENOSPC ? "nospace" : "failed";
    }
    return action;
}

/* ---- what users do with them ---- */

static bool refuse(const BlockJob *job, const char *verb, Error **errp)
{
    error_set(errp, "Job '%s' in state '%s' cannot accept command verb '%s'", job->id,
              job_status_name(job->status), verb);
    return false;
}

bool job_set_speed(BlockJob *job, uint64_t speed, Error **errp)
{
    if (job->status >= JOB_PENDING) {
        return refuse(job, "set-speed", errp);
    }
    if (speed > INT64_MAX) {
        error_set(errp, "Parameter 'speed' expects a non-negative value");
        return false;
    }
    job->speed = speed;
    job->free_at = 0;
    job_kick(job);
    return true;
}

bool job_pause(BlockJob *job, Error **errp)
{
    if (job->status >= JOB_PENDING) {
        return refuse(job, "pause", errp);
    }
    if (job->user_paused) {
        error_set(errp, "Job is already paused");
        return false;
    }
    job->user_paused = true;
    job_kick(job);
    return true;
}

bool job_resume(BlockJob *job, Error **errp)
{
    if (!job->user_paused) {
        error_set(errp, "Can't resume a job that was not paused");
        return false;
    }
    job->user_paused = false;
    job->io_status = "ok";
    job_kick(job);
    return true;
}

bool job_cancel(BlockJob *job, bool force, Error **errp)
{
    if (job->status == JOB_PENDING) {
        job->cancelled = true;
        job->ret = -ECANCELED;
        conclude(job);
        return true;
    }
    if (job->status > JOB_PENDING) {
        return refuse(job, "cancel", errp);
    }
    job->cancelled = true;
    job->forced |= force || !job_is_ready(job);
    job_kick(job);
    return true;
}

bool job_complete(BlockJob *job, Error **errp)
{
    if (!job_is_ready(job) || job->cancelled) {
        error_set(errp, "The active block job '%s' cannot be completed", job->id);
        return false;
    }
    if (job->user_paused) {
        error_set(errp, "The paused job '%s' cannot be completed", job->id);
        return false;
    }
    job->should_complete = true;
    job_kick(job);
    return true;
}

bool job_finalize(BlockJob *job, Error **errp)
{
    if (job->status != JOB_PENDING) {
        return refuse(job, "finalize", errp);
    }
    conclude(job);
    return true;
}

bool job_dismiss(BlockJob *job, Error **errp)
{
    if (job->status != JOB_CONCLUDED) {
        return refuse(job, "dismiss", errp);
    }
    job_free(job);
    return true;
}

void job_cancel_all(void)
{
    while (jobs) {
        BlockJob *job = jobs;
        if (job->status == JOB_CONCLUDED) {
            job_free(job);
        } else if (!job->cancelled || !job->forced) {
            job_cancel(job, true, NULL);
        } else {
            loop_run_once(-1);
        }
    }
}
