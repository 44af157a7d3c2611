/*
 * What the parts of the JSON monitor share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MONITOR_QMP_INT_H
#define MONITOR_QMP_INT_H

#include <jansson.h>

#include "monitor/qmp.h"
#include "util/buffer.h"

typedef enum QmpType {
    QMP_NONE,
    QMP_STR,
    QMP_INT,
    QMP_BOOL,
    QMP_OBJECT,
    QMP_ARRAY,
    QMP_ANY
} QmpType;

typedef struct QmpArg {
    const char *name; /* NULL: the end */
    QmpType type;
    bool optional;
} QmpArg;

#define QMP_MAX_ARGS 24

typedef struct QmpCommand {
    const char *name; /* NULL: the table's end */
    QmpArg args[QMP_MAX_ARGS];
    bool more_args; /* takes any others as well */
    /*
     * args is an object that has what the table asks for. Returns a new reference to the result
     * (qmp_empty() where there is none), or NULL with an error.
     */
    json_t *(*run)(json_t *args, Error **errp);
    QmpType returns; /* of the result; of an array: objects */
} QmpCommand;

extern const QmpCommand qmp_commands[]; /* qmp-commands.c */
extern const char *const qmp_events[];  /* qmp.c; NULL ends it */

json_t *qmp_empty(void);
/* Sets an error of another class than GenericError; the class is kept until the command's answer.
 */
void qmp_error(Error **errp, const char *error_class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* To every monitor that has finished its greeting; takes over data, which may be NULL. */
void qmp_event(const char *name, json_t *data);
/* The argument, or NULL / the default where it was left out. */
const char *qmp_str(json_t *args, const char *name);
int64_t qmp_int(json_t *args, const char *name, int64_t otherwise);
bool qmp_bool(json_t *args, const char *name, bool otherwise);

/* ---- a session without its stream, for tests and the fuzzer ---- */
typedef struct QmpSession QmpSession;
QmpSession *qmp_session_new(bool pretty);
void qmp_session_free(QmpSession *q);
/* Takes bytes; answers are appended to the session's output. */
void qmp_session_feed(QmpSession *q, const uint8_t *data, size_t size);
Buffer *qmp_session_output(QmpSession *q);

/* ---- qmp-nbd.c ---- */
json_t *qmp_nbd_server_start(json_t *args, Error **errp);
json_t *qmp_nbd_server_add(json_t *args, Error **errp);
json_t *qmp_nbd_server_remove(json_t *args, Error **errp);
json_t *qmp_nbd_server_stop(json_t *args, Error **errp);
json_t *qmp_block_export_add(json_t *args, Error **errp);
json_t *qmp_block_export_del(json_t *args, Error **errp);
json_t *qmp_query_block_exports(json_t *args, Error **errp);

/* ---- qmp-query.c ---- */
json_t *qmp_query_version(json_t *args, Error **errp);
json_t *qmp_query_commands(json_t *args, Error **errp);
json_t *qmp_query_status(json_t *args, Error **errp);
json_t *qmp_query_name(json_t *args, Error **errp);
json_t *qmp_query_uuid(json_t *args, Error **errp);
json_t *qmp_query_cpus_fast(json_t *args, Error **errp);
json_t *qmp_query_block(json_t *args, Error **errp);
json_t *qmp_query_named_block_nodes(json_t *args, Error **errp);
json_t *qmp_query_blockstats(json_t *args, Error **errp);
json_t *qmp_query_chardev(json_t *args, Error **errp);
json_t *qmp_query_chardev_backends(json_t *args, Error **errp);
json_t *qmp_query_mice(json_t *args, Error **errp);
json_t *qmp_query_machines(json_t *args, Error **errp);
json_t *qmp_query_pci(json_t *args, Error **errp);
json_t *qmp_query_target(json_t *args, Error **errp);
json_t *qmp_query_kvm(json_t *args, Error **errp);
json_t *qmp_query_memory(json_t *args, Error **errp);
json_t *qmp_query_cpu_definitions(json_t *args, Error **errp);
json_t *qmp_query_display_options(json_t *args, Error **errp);
json_t *qmp_query_dump_capability(json_t *args, Error **errp);
json_t *qmp_query_dump(json_t *args, Error **errp);
json_t *qmp_query_current_machine(json_t *args, Error **errp);
json_t *qmp_query_replay(json_t *args, Error **errp);
json_t *qmp_query_nothing(json_t *args, Error **errp); /* an empty list */
json_t *qmp_query_migrate(json_t *args, Error **errp); /* an empty object */
json_t *qmp_device_list_properties(json_t *args, Error **errp);
json_t *qmp_query_migrate_capabilities(json_t *args, Error **errp);
json_t *qmp_migrate_set_capabilities(json_t *args, Error **errp);
json_t *qmp_query_command_line_options(json_t *args, Error **errp);
json_t *qmp_qom_list_properties(json_t *args, Error **errp);
json_t *qmp_qom_list_types(json_t *args, Error **errp);
json_t *qmp_qom_list(json_t *args, Error **errp);
json_t *qmp_qom_get(json_t *args, Error **errp);

/* ---- qmp-char.c ---- */
json_t *qmp_chardev_add(json_t *args, Error **errp);
json_t *qmp_chardev_remove(json_t *args, Error **errp);
json_t *qmp_chardev_send_break(json_t *args, Error **errp);
json_t *qmp_input_send_event(json_t *args, Error **errp);

/* ---- qmp-media.c ---- */
struct BlockBackend;
/* The drive that "id" or "device" names; NULL with an error. */
struct BlockBackend *qmp_find_removable(json_t *args, Error **errp);
json_t *qmp_blockdev_remove_medium(json_t *args, Error **errp);
json_t *qmp_blockdev_insert_medium(json_t *args, Error **errp);
json_t *qmp_block_set_io_throttle(json_t *args, Error **errp);
json_t *qmp_snapshot_internal(json_t *args, Error **errp);
json_t *qmp_snapshot_delete_internal(json_t *args, Error **errp);

/* ---- qmp-jobs.c ---- */
json_t *qmp_snapshot_save(json_t *args, Error **errp);
json_t *qmp_snapshot_load(json_t *args, Error **errp);
json_t *qmp_snapshot_delete(json_t *args, Error **errp);
json_t *qmp_query_jobs(json_t *args, Error **errp);
json_t *qmp_job_dismiss(json_t *args, Error **errp);
json_t *qmp_job_cancel(json_t *args, Error **errp);

/* ---- qmp-block.c ---- */
json_t *qmp_any_job_cancel(json_t *args, Error **errp);
json_t *qmp_any_job_dismiss(json_t *args, Error **errp);
json_t *qmp_bitmap_add(json_t *args, Error **errp);
json_t *qmp_bitmap_clear(json_t *args, Error **errp);
json_t *qmp_bitmap_disable(json_t *args, Error **errp);
json_t *qmp_bitmap_enable(json_t *args, Error **errp);
json_t *qmp_bitmap_merge(json_t *args, Error **errp);
json_t *qmp_bitmap_remove(json_t *args, Error **errp);
json_t *qmp_block_commit(json_t *args, Error **errp);
json_t *qmp_block_job_cancel(json_t *args, Error **errp);
json_t *qmp_block_job_complete(json_t *args, Error **errp);
json_t *qmp_block_job_dismiss(json_t *args, Error **errp);
json_t *qmp_block_job_finalize(json_t *args, Error **errp);
json_t *qmp_block_job_pause(json_t *args, Error **errp);
json_t *qmp_block_job_resume(json_t *args, Error **errp);
json_t *qmp_block_job_set_speed(json_t *args, Error **errp);
json_t *qmp_block_resize(json_t *args, Error **errp);
json_t *qmp_block_stream(json_t *args, Error **errp);
json_t *qmp_blockdev_add(json_t *args, Error **errp);
json_t *qmp_blockdev_backup(json_t *args, Error **errp);
json_t *qmp_blockdev_del(json_t *args, Error **errp);
json_t *qmp_blockdev_mirror(json_t *args, Error **errp);
json_t *qmp_blockdev_snapshot(json_t *args, Error **errp);
json_t *qmp_blockdev_snapshot_sync(json_t *args, Error **errp);
json_t *qmp_change_backing_file(json_t *args, Error **errp);
json_t *qmp_drive_backup(json_t *args, Error **errp);
json_t *qmp_drive_mirror(json_t *args, Error **errp);
json_t *qmp_query_any_jobs(json_t *args, Error **errp);
json_t *qmp_query_block_jobs(json_t *args, Error **errp);
json_t *qmp_transaction(json_t *args, Error **errp);
/* The actions of a transaction that change images; false with an error. */
bool qmp_do_snapshot(json_t *args, Error **errp);
bool qmp_do_snapshot_sync(json_t *args, Error **errp);
void qmp_watch_jobs(void);

/* ---- qmp-schema.c ---- */
json_t *qmp_query_schema(json_t *args, Error **errp);

/* ---- qmp-events.c ---- */
/* Once: tells other rooms what is wanted to be heard of. */
void qmp_watch_machine(void);

#endif
