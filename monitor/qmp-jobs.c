/*
 * Jobs of the JSON monitor: snapshot-save, snapshot-load, snapshot-delete, and what asks about
 * them. A job stays in the list when it has ended, until it is dismissed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/qmp-int.h"
#include "snapshot/snapshot.h"
#include "util/loop.h"

typedef enum JobStatus {
    JOB_CREATED,
    JOB_RUNNING,
    JOB_WAITING,
    JOB_PENDING,
    JOB_ABORTING,
    JOB_CONCLUDED,
    JOB_NULL
} JobStatus;

typedef struct Job {
    char *id;
    const char *type;
    JobStatus status;
    char *error;          /* NULL: none */
    uint64_t done, total; /* as job_progress() last saw them */
    json_t *args;
    struct Job *next;
} Job;

static Job *jobs;

static const char *status_name(JobStatus s)
{
    static const char *const names[] = {"created",  "running",   "waiting", "pending",
                                        "aborting", "concluded", "null"};

    return names[s];
}

static void set_status(Job *job, JobStatus s)
{
    job->status = s;
    qmp_event("JOB_STATUS_CHANGE",
              json_pack("{s:s, s:s}", "status", status_name(s), "id", job->id));
}

static Job *find_job(const char *id)
{
    Job *job = jobs;

    while (job && strcmp(job->id, id)) {
        job = job->next;
    }
    return job;
}

static Job *need_job(json_t *args, Error **errp)
{
    Job *job = find_job(qmp_str(args, "id"));

    if (!job) {
        error_set(errp, "Job not found");
    }
    return job;
}

static Job *new_job(json_t *args, const char *type, Error **errp)
{
    const char *id = qmp_str(args, "job-id");

    if (!id[0] || find_job(id)) {
        error_set(errp, id[0] ? "Job ID '%s' already in use" : "Invalid job ID '%s'", id);
        return NULL;
    }
    Job *job = calloc(1, sizeof(*job));
    char *copy = strdup(id);
    if (!job || !copy) {
        abort();
    }
    *job = (Job){.id = copy, .type = type, .args = json_incref(args)};
    Job **end = &jobs;
    while (*end) {
        end = &(*end)->next;
    }
    *end = job;
    set_status(job, JOB_CREATED);
    set_status(job, JOB_RUNNING);
    return job;
}

/* Saving counts bytes of RAM; the others are done in one step. */
static void job_progress(Job *job)
{
    if (job->status == JOB_RUNNING && !strcmp(job->type, "snapshot-save")) {
        snapshot_progress(&job->done, &job->total);
    }
}

/* Takes over err. */
static void conclude(Job *job, Error *err)
{
    job_progress(job);
    if (err) {
        job->error = strdup(error_text(err));
        error_free(err);
        set_status(job, JOB_ABORTING);
    } else {
        job->total = job->total ? job->total : 1;
        job->done = job->total;
        set_status(job, JOB_WAITING);
        set_status(job, JOB_PENDING);
    }
    set_status(job, JOB_CONCLUDED);
}

/* ---- the three ---- */

enum { DEVICES_MAX = 32 };

static bool get_target(json_t *args, const char **devices, SnapshotTarget *target, Error **errp)
{
    json_t *list = json_object_get(args, "devices"), *value;
    size_t i;

    *target = (SnapshotTarget){.tag = qmp_str(args, "tag"), .vmstate = qmp_str(args, "vmstate")};
    if (!list) {
        return true; /* all of them */
    }
    json_array_foreach(list, i, value)
    {
        if (i >= DEVICES_MAX || !json_is_string(value)) {
            error_set(errp, "Parameter 'devices' expects at most %d names of nodes", DEVICES_MAX);
            return false;
        }
        devices[i] = json_string_value(value);
    }
    devices[json_array_size(list)] = NULL;
    target->devices = devices;
    return true;
}

static void save_done(void *opaque, Error *err)
{
    conclude(opaque, err);
}

json_t *qmp_snapshot_save(json_t *args, Error **errp)
{
    const char *devices[DEVICES_MAX + 1];
    SnapshotTarget target;

    if (!get_target(args, devices, &target, errp)) {
        return NULL;
    }
    Job *job = new_job(args, "snapshot-save", errp);
    if (!job) {
        return NULL;
    }
    snapshot_save_start(&target, save_done, job);
    return qmp_empty();
}

/* Not within the command, whose answer comes first. */
static void run_deferred(void *opaque)
{
    Job *job = opaque;
    const char *devices[DEVICES_MAX + 1];
    SnapshotTarget target;
    Error *err = NULL;

    if (get_target(job->args, devices, &target, &err)) {
        if (!strcmp(job->type, "snapshot-load")) {
            snapshot_load(&target, &err);
        } else {
            snapshot_delete(&target, &err);
        }
    }
    conclude(job, err);
}

static json_t *defer_job(json_t *args, const char *type, Error **errp)
{
    const char *devices[DEVICES_MAX + 1];
    SnapshotTarget target;
    Job *job = get_target(args, devices, &target, errp) ? new_job(args, type, errp) : NULL;

    if (!job) {
        return NULL;
    }
    loop_defer(run_deferred, job);
    return qmp_empty();
}

json_t *qmp_snapshot_load(json_t *args, Error **errp)
{
    return defer_job(args, "snapshot-load", errp);
}

json_t *qmp_snapshot_delete(json_t *args, Error **errp)
{
    return defer_job(args, "snapshot-delete", errp);
}

/* ---- asking and dismissing ---- */

json_t *qmp_query_jobs(json_t *args, Error **errp)
{
    json_t *list = json_array();

    for (Job *job = jobs; job; job = job->next) {
        job_progress(job);
        json_t *o =
            json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", job->id, "type", job->type, "status",
                      status_name(job->status), "current-progress", (json_int_t)job->done,
                      "total-progress", (json_int_t)(job->total ? job->total : 1));
        if (job->error) {
            json_object_set_new(o, "error", json_string(job->error));
        }
        json_array_append_new(list, o);
    }
    return list;
}

json_t *qmp_job_dismiss(json_t *args, Error **errp)
{
    Job *job = need_job(args, errp);

    if (!job) {
        return NULL;
    }
    if (job->status != JOB_CONCLUDED) {
        error_set(errp, "Job '%s' in state '%s' cannot accept command verb 'dismiss'", job->id,
                  status_name(job->status));
        return NULL;
    }
    for (Job **place = &jobs; *place; place = &(*place)->next) {
        if (*place == job) {
            *place = job->next;
            break;
        }
    }
    set_status(job, JOB_NULL);
    json_decref(job->args);
    free(job->error);
    free(job->id);
    free(job);
    return qmp_empty();
}

/* A snapshot being saved is given up; loading and deleting are one step that nothing comes in
 * between. */
json_t *qmp_job_cancel(json_t *args, Error **errp)
{
    Job *job = need_job(args, errp);

    if (job && job->status == JOB_RUNNING && !strcmp(job->type, "snapshot-save")) {
        snapshot_cancel();
        return qmp_empty();
    }
    if (job) {
        error_set(errp, "Job '%s' in state '%s' cannot accept command verb 'cancel'", job->id,
                  status_name(job->status));
    }
    return NULL;
}
