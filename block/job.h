/*
 * Block jobs: long work on images that goes on beside the guest's requests. A job is a coroutine
 * that copies; between two pieces it stops for its speed limit, a pause or a cancel. What changes
 * the graph of nodes at its end happens outside of coroutines, from the main loop.
 *
 * Names of states, types and events are those that QMP has.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_JOB_H
#define BLOCK_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"
#include "block/dirty.h"
#include "block/node.h"

typedef struct BlockJob BlockJob;

typedef enum JobStatus {
    JOB_CREATED,
    JOB_RUNNING,
    JOB_PAUSED,
    JOB_READY,   /* a mirror in step with its source */
    JOB_STANDBY, /* that, paused */
    JOB_PENDING, /* done; waits to be finalized */
    JOB_ABORTING,
    JOB_CONCLUDED, /* waits to be dismissed */
} JobStatus;

typedef enum JobEvent {
    JOB_EVENT_READY,
    JOB_EVENT_COMPLETED,
    JOB_EVENT_CANCELLED,
    JOB_EVENT_ERROR, /* a request failed */
    JOB_EVENT_PENDING,
    JOB_EVENT_STATUS,
} JobEvent;

/* What all jobs take. */
typedef struct JobOptions {
    const char *id;
    uint64_t speed; /* bytes a second; 0: no limit */
    bool manual_finalize, manual_dismiss;
    BlkErrorPolicy on_source_error, on_target_error; /* default: report */
} JobOptions;

/* What a listener sees of a job. */
typedef struct JobInfo {
    const char *id, *type;
    JobStatus status;
    uint64_t offset, len, speed;
    bool busy, paused, ready, auto_finalize, auto_dismiss;
    const char *io_status; /* "ok", "failed", "nospace" */
    const char *error;     /* NULL: none */
} JobInfo;

void job_info(const BlockJob *job, JobInfo *info);
const char *job_status_name(JobStatus status);
BlockJob *job_find(const char *id); /* NULL: none */
void job_each(void (*fn)(BlockJob *job, void *opaque), void *opaque);
/* is_read, action: of JOB_EVENT_ERROR. */
void job_set_listener(void (*fn)(BlockJob *job, JobEvent event, bool is_read,
                                 BlkErrorAction action));

bool job_set_speed(BlockJob *job, uint64_t speed, Error **errp);
bool job_pause(BlockJob *job, Error **errp);
bool job_resume(BlockJob *job, Error **errp);
/* A mirror that is ready ends without a switch to its target, unless forced, which leaves the
 * target in the middle. */
bool job_cancel(BlockJob *job, bool force, Error **errp);
/* A mirror that is ready: the source's users go over to the target. */
bool job_complete(BlockJob *job, Error **errp);
bool job_finalize(BlockJob *job, Error **errp);
bool job_dismiss(BlockJob *job, Error **errp);
/* Before the program ends: cancels all and waits. */
void job_cancel_all(void);
/* Whether a job works on the node. */
bool job_uses(const BlockNode *node);

/* ---- the kinds of jobs; each starts at once. NULL with an error ---- */

typedef enum JobSync {
    SYNC_FULL,
    SYNC_TOP,  /* what the topmost image holds */
    SYNC_NONE, /* what is written from now on */
    SYNC_BITMAP,
} JobSync;

typedef enum JobBitmapMode {
    BITMAP_ON_SUCCESS, /* cleared by what was copied, if all went well */
    BITMAP_NEVER,
    BITMAP_ALWAYS,
} JobBitmapMode;

typedef struct MirrorOptions {
    JobSync sync;
    bool write_blocking;  /* the guest's writes go to both before they complete */
    uint32_t granularity; /* 0: 64 KB */
    bool target_is_zero;  /* it reads as zeroes now */
    bool set_backing;     /* at completion the target gets the backing file that fits `sync` */
    BlockNode *replaces;  /* below filters of the source: its users go over. NULL: the source's */
} MirrorOptions;

/* From node, and what is written to it meanwhile, to target (takes over the reference). */
BlockJob *mirror_start(BlockNode *node, BlockNode *target, const MirrorOptions *o,
                       const JobOptions *job, Error **errp);
/* What `node` and those below it down to `base` hold goes into base, which then takes node's place.
 */
BlockJob *commit_active_start(BlockNode *node, BlockNode *base, const JobOptions *job,
                              Error **errp);
/* The same for an image in the middle: `overlay` has `top` as its backing file, and then `base`.
 * backing_file: the name for overlay's header; NULL: base's. */
BlockJob *commit_start(BlockNode *overlay, BlockNode *top, BlockNode *base,
                       const char *backing_file, const JobOptions *job, Error **errp);
/* What node shows of the images below it, down to `base` (NULL: all of them) but without it, goes
 * into node, whose backing file then is base. */
BlockJob *stream_start(BlockNode *node, BlockNode *base, const char *backing_file,
                       const JobOptions *job, Error **errp);

typedef struct BackupOptions {
    JobSync sync;
    const char *bitmap; /* SYNC_BITMAP */
    JobBitmapMode bitmap_mode;
    bool compress;
    bool target_is_zero;
} BackupOptions;

/* To target (takes over the reference), what node shows at this moment. */
BlockJob *backup_start(BlockNode *node, BlockNode *target, const BackupOptions *o,
                       const JobOptions *job, Error **errp);

#endif
