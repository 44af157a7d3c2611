/*
 * The JSON monitor's table of commands, and those that do something.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "hw/device.h"
#include "hw/machine.h"
#include "monitor/memory-file.h"
#include "monitor/monitor-int.h"
#include "monitor/qmp-int.h"
#include "target-i386/vcpu.h"
#include "ui/display.h"
#include "util/loop.h"

/* A function's verdict as a command's result. */
static json_t *done(bool ok)
{
    return ok ? qmp_empty() : NULL;
}

/* ---- the machine ---- */

static json_t *run_quit(json_t *args, Error **errp)
{
    qmp_quitting();
    loop_quit(0);
    return qmp_empty();
}

static json_t *run_stop(json_t *args, Error **errp)
{
    if (machine_running()) {
        machine_stop(RUN_STATE_PAUSED);
    }
    return qmp_empty();
}

static json_t *run_cont(json_t *args, Error **errp)
{
    RunState state = machine_run_state();

    if (state == RUN_STATE_INTERNAL_ERROR || state == RUN_STATE_SHUTDOWN) {
        error_set(errp, "Resetting the Virtual Machine is required");
        return NULL;
    }
    machine_start();
    return qmp_empty();
}

static json_t *run_system_reset(json_t *args, Error **errp)
{
    qmp_host_request();
    machine_request_reset();
    return qmp_empty();
}

static json_t *run_system_powerdown(json_t *args, Error **errp)
{
    machine_request_powerdown();
    return qmp_empty();
}

static json_t *run_inject_nmi(json_t *args, Error **errp)
{
    for (unsigned i = 0; i < vcpu_count(); i++) {
        cpu_interrupt(vcpu_env(i), CPU_INTERRUPT_NMI);
    }
    return qmp_empty();
}

static json_t *run_human_command(json_t *args, Error **errp)
{
    char *text = monitor_run(qmp_str(args, "command-line"));
    json_t *result = json_string(text);

    free(text);
    return result ? result : json_string("(the answer has bytes that are no UTF-8)\n");
}

/* ---- input and screen ---- */

/* [{"type": "qcode", "data": "ctrl"}, {"type": "number", "data": 30}] as sendkey writes it. */
static bool key_text(json_t *keys, char *text, size_t size, Error **errp)
{
    size_t i, used = 0;
    json_t *key;

    json_array_foreach(keys, i, key)
    {
        json_t *data = json_object_get(key, "data");
        const char *between = i ? "-" : "";
        if (json_is_string(data)) {
            used += (size_t)snprintf(text + used, size - used, "%s%s", between,
                                     json_string_value(data));
        } else if (json_is_integer(data)) {
            used += (size_t)snprintf(text + used, size - used, "%s0x%llx", between,
                                     (unsigned long long)json_integer_value(data));
        } else {
            error_set(errp, "Parameter 'keys' must be a list of objects with 'type' and 'data'");
            return false;
        }
        if (used >= size) {
            error_set(errp, "Parameter 'keys' has too many keys");
            return false;
        }
    }
    return true;
}

static json_t *run_send_key(json_t *args, Error **errp)
{
    int64_t hold = qmp_int(args, "hold-time", 0);
    char text[512] = "";

    if (hold < 0 || hold > 3600000) {
        error_set(errp, "Parameter 'hold-time' expects milliseconds, at most an hour");
        return NULL;
    }
    return done(key_text(json_object_get(args, "keys"), text, sizeof(text), errp) &&
                input_send_keys(text, (unsigned)hold, errp));
}

static json_t *run_screendump(json_t *args, Error **errp)
{
    const char *name = qmp_str(args, "device");
    Display *d = name ? display_find(name) : display_selected();

    if (!d) {
        error_set(errp, name ? "There is no screen '%s'" : "There is no screen%s",
                  name ? name : "");
        return NULL;
    }
    return done(display_screendump(d, qmp_str(args, "filename"), errp));
}

/* What a reset, or the guest's power off, does from now on, as -no-reboot and -no-shutdown. */
static json_t *run_set_action(json_t *args, Error **errp)
{
    const char *reboot = qmp_str(args, "reboot"), *shutdown = qmp_str(args, "shutdown");

    if (reboot && strcmp(reboot, "reset") && strcmp(reboot, "shutdown")) {
        error_set(errp, "Parameter 'reboot' does not accept value '%s'", reboot);
        return NULL;
    }
    if (shutdown && strcmp(shutdown, "poweroff") && strcmp(shutdown, "pause")) {
        error_set(errp, "Parameter 'shutdown' does not accept value '%s'", shutdown);
        return NULL;
    }
    if (reboot) {
        machine_config.no_reboot = !strcmp(reboot, "shutdown");
    }
    if (shutdown) {
        machine_config.no_shutdown = !strcmp(shutdown, "pause");
    }
    return qmp_empty();
}

/* ---- memory ---- */

static json_t *save(json_t *args, bool physical, Error **errp)
{
    int64_t cpu = qmp_int(args, "cpu-index", 0);

    if (cpu < 0 || cpu >= vcpu_count()) {
        error_set(errp, "Parameter 'cpu-index' expects a CPU number");
        return NULL;
    }
    return done(memory_save_file(
        physical ? NULL : vcpu_env((unsigned)cpu), (uint64_t)qmp_int(args, "val", 0),
        (uint64_t)qmp_int(args, "size", 0), qmp_str(args, "filename"), errp));
}

static json_t *run_memsave(json_t *args, Error **errp)
{
    return save(args, false, errp);
}

static json_t *run_pmemsave(json_t *args, Error **errp)
{
    return save(args, true, errp);
}

static json_t *run_dump(json_t *args, Error **errp)
{
    const char *protocol = qmp_str(args, "protocol"), *format = qmp_str(args, "format");

    if (strncmp(protocol, "file:", 5) != 0) {
        error_set(errp, "Parameter 'protocol' expects 'file:' and a name");
        return NULL;
    }
    if (format && strcmp(format, "elf") != 0 && strcmp(format, "kdump-zlib") != 0) {
        error_set(errp, "Parameter 'format' expects 'elf' or 'kdump-zlib'");
        return NULL;
    }
    if (json_object_get(args, "begin") || json_object_get(args, "length")) {
        error_set(errp, "A part of the memory cannot be dumped; pmemsave saves one");
        return NULL;
    }
    return done(memory_dump_core(protocol + 5,
                                 format && *format == 'k' ? DUMP_KDUMP_ZLIB : DUMP_ELF,
                                 qmp_bool(args, "paging", false), errp));
}

/* ---- devices ---- */

/* "driver,key=value,..." as -device takes it; a comma in a value is doubled. */
static void device_spec(json_t *args, Buffer *spec)
{
    const char *key;
    json_t *value;

    buffer_printf(spec, "%s", qmp_str(args, "driver"));
    json_object_foreach(args, key, value)
    {
        if (strcmp(key, "driver") == 0) {
            continue;
        }
        buffer_printf(spec, ",%s=", key);
        if (json_is_string(value)) {
            for (const char *p = json_string_value(value); *p; p++) {
                buffer_printf(spec, *p == ',' ? ",," : "%c", *p);
            }
        } else if (json_is_boolean(value)) {
            buffer_printf(spec, "%s", json_is_true(value) ? "on" : "off");
        } else {
            buffer_printf(spec, "%lld", (long long)json_integer_value(value));
        }
    }
    buffer_put_u8(spec, 0);
}

static json_t *run_device_add(json_t *args, Error **errp)
{
    Buffer spec = {0};
    bool ok;

    if (strpbrk(qmp_str(args, "driver"), ",?") || strcmp(qmp_str(args, "driver"), "help") == 0) {
        error_set(errp, "Parameter 'driver' expects a device's name");
        return NULL;
    }
    device_spec(args, &spec);
    ok = monitor_device_add((const char *)spec.data, errp);
    buffer_free(&spec);
    return done(ok);
}

static json_t *run_device_del(json_t *args, Error **errp)
{
    const char *id = qmp_str(args, "id");
    Device *dev;

    id = strncmp(id, "/machine/peripheral/", 20) == 0 ? id + 20 : id;
    dev = device_find(id);
    if (!dev) {
        qmp_error(errp, "DeviceNotFound", "Device '%s' not found", id);
        return NULL;
    }
    if (!dev->class->unrealize || !dev->class->user_creatable) {
        error_set(errp, "Device '%s' cannot be taken out of the running machine", id);
        return NULL;
    }
    char *gone = strdup(id);
    device_unrealize(dev);
    qmp_device_deleted(gone);
    free(gone);
    return qmp_empty();
}

/* ---- media ---- */

static json_t *run_change_medium(json_t *args, Error **errp)
{
    BlkOpenOptions o = {.file = qmp_str(args, "filename"),
                        .format = qmp_str(args, "format"),
                        .readonly = true,
                        .cdrom = true};
    BlockBackend *blk = qmp_find_removable(args, errp);

    if (!blk || !blk_may_eject(blk, qmp_bool(args, "force", false), errp) ||
        !blk_change_medium(blk, &o, errp)) {
        return NULL;
    }
    qmp_tray_moved(blk_id(blk), true);
    qmp_tray_moved(blk_id(blk), false);
    return qmp_empty();
}

/* ---- character devices ---- */

static CharBackend *find_ringbuf(json_t *args, Error **errp)
{
    const char *id = qmp_str(args, "device");
    CharBackend *chr = chr_find(id);

    if (!chr) {
        qmp_error(errp, "DeviceNotFound", "Device '%s' not found", id);
    }
    return chr;
}

static json_t *run_ringbuf_read(json_t *args, Error **errp)
{
    int64_t size = qmp_int(args, "size", 0);
    CharBackend *chr = find_ringbuf(args, errp);
    json_t *text;
    char *buf;
    size_t n;

    if (!chr) {
        return NULL;
    }
    if (size <= 0 || size > 64 << 20) {
        error_set(errp, "Parameter 'size' expects a size from 1 byte to 64 MB");
        return NULL;
    }
    buf = malloc((size_t)size);
    n = chr_ringbuf_read(chr, buf, (size_t)size);
    text = json_stringn(buf, n);
    if (!text) {
        for (size_t i = 0; i < n; i++) {
            buf[i] = (unsigned char)buf[i] < 0x80 ? buf[i] : '?';
        }
        text = json_stringn(buf, n);
    }
    free(buf);
    return text;
}

static json_t *run_ringbuf_write(json_t *args, Error **errp)
{
    json_t *data = json_object_get(args, "data");
    CharBackend *chr = find_ringbuf(args, errp);

    if (!chr) {
        return NULL;
    }
    if (chr_ringbuf_feed(chr, json_string_value(data), json_string_length(data)) !=
        json_string_length(data)) {
        error_set(errp, "What is behind '%s' does not take all of it", chr_id(chr));
        return NULL;
    }
    return qmp_empty();
}

/* ---- the table ---- */

/* clang-format off */
#define S(n) {n, QMP_STR, false}
#define I(n) {n, QMP_INT, false}
#define OPT(n, t) {n, QMP_##t, true}
#define NO_ARGS {{0}}
#define EMPTY QMP_NONE

const QmpCommand qmp_commands[] = {
    {"block-commit", {OPT("job-id", STR), S("device"), OPT("base-node", STR), OPT("base", STR), OPT("top-node", STR), OPT("top", STR),
      OPT("backing-file", STR), OPT("speed", INT), OPT("on-error", STR), OPT("filter-node-name", STR),
      OPT("auto-finalize", BOOL), OPT("auto-dismiss", BOOL)}, false,
      qmp_block_commit, EMPTY},
    {"block-dirty-bitmap-add", {S("node"), S("name"), OPT("granularity", INT), OPT("persistent", BOOL),
      OPT("disabled", BOOL)}, false,
      qmp_bitmap_add, EMPTY},
    {"block-dirty-bitmap-clear", {S("node"), S("name")}, false,
      qmp_bitmap_clear, EMPTY},
    {"block-dirty-bitmap-disable", {S("node"), S("name")}, false,
      qmp_bitmap_disable, EMPTY},
    {"block-dirty-bitmap-enable", {S("node"), S("name")}, false,
      qmp_bitmap_enable, EMPTY},
    {"block-dirty-bitmap-merge", {S("node"), S("target"), {"bitmaps", QMP_ARRAY, false}}, false,
      qmp_bitmap_merge, EMPTY},
    {"block-dirty-bitmap-remove", {S("node"), S("name")}, false,
      qmp_bitmap_remove, EMPTY},
    {"block-export-add", {S("type"), S("id"), S("node-name"), OPT("name", STR), OPT("description", STR),
      OPT("writable", BOOL), OPT("bitmaps", ARRAY)}, true, qmp_block_export_add, EMPTY},
    {"block-export-del", {S("id"), OPT("mode", STR)}, false, qmp_block_export_del, EMPTY},
    {"block-job-cancel", {S("device"), OPT("force", BOOL)}, false,
      qmp_block_job_cancel, EMPTY},
    {"block-job-complete", {S("device")}, false,
      qmp_block_job_complete, EMPTY},
    {"block-job-dismiss", {S("id")}, false,
      qmp_block_job_dismiss, EMPTY},
    {"block-job-finalize", {S("id")}, false,
      qmp_block_job_finalize, EMPTY},
    {"block-job-pause", {S("device")}, false,
      qmp_block_job_pause, EMPTY},
    {"block-job-resume", {S("device")}, false,
      qmp_block_job_resume, EMPTY},
    {"block-job-set-speed", {S("device"), I("speed")}, false,
      qmp_block_job_set_speed, EMPTY},
    {"block-stream", {OPT("job-id", STR), S("device"), OPT("base", STR), OPT("base-node", STR), OPT("backing-file", STR),
      OPT("bottom", STR), OPT("speed", INT), OPT("on-error", STR), OPT("filter-node-name", STR), OPT("auto-finalize", BOOL), OPT("auto-dismiss", BOOL)}, false,
      qmp_block_stream, EMPTY},
    {"block_resize", {OPT("device", STR), OPT("node-name", STR), I("size")}, false,
      qmp_block_resize, EMPTY},
    {"block_set_io_throttle", {OPT("id", STR), OPT("device", STR), I("bps"), I("bps_rd"), I("bps_wr"), I("iops"),
      I("iops_rd"), I("iops_wr"), OPT("bps_max", INT), OPT("bps_rd_max", INT), OPT("bps_wr_max", INT), OPT("iops_max", INT),
      OPT("iops_rd_max", INT), OPT("iops_wr_max", INT), OPT("bps_max_length", INT), OPT("bps_rd_max_length", INT),
      OPT("bps_wr_max_length", INT), OPT("iops_max_length", INT), OPT("iops_rd_max_length", INT),
      OPT("iops_wr_max_length", INT), OPT("iops_size", INT), OPT("group", STR)}, false, qmp_block_set_io_throttle, EMPTY},
    {"blockdev-add", {S("driver"), OPT("node-name", STR)}, true,
      qmp_blockdev_add, EMPTY},
    {"blockdev-backup", {OPT("job-id", STR), S("device"), S("target"), S("sync"), OPT("speed", INT), OPT("bitmap", STR),
      OPT("bitmap-mode", STR), OPT("compress", BOOL), OPT("on-source-error", STR), OPT("on-target-error", STR), OPT("filter-node-name", STR),
      OPT("auto-finalize", BOOL), OPT("auto-dismiss", BOOL)}, false,
      qmp_blockdev_backup, EMPTY},
    {"blockdev-change-medium", {OPT("id", STR), OPT("device", STR), S("filename"), OPT("format", STR),
      OPT("force", BOOL), OPT("read-only-mode", STR)}, false, run_change_medium, EMPTY},
    {"blockdev-del", {S("node-name")}, false,
      qmp_blockdev_del, EMPTY},
    {"blockdev-insert-medium", {S("id"), S("node-name")}, false, qmp_blockdev_insert_medium, EMPTY},
    {"blockdev-mirror", {OPT("job-id", STR), S("device"), S("target"), S("sync"), OPT("speed", INT), OPT("granularity", INT),
      OPT("buf-size", INT), OPT("on-source-error", STR), OPT("on-target-error", STR), OPT("filter-node-name", STR),
      OPT("replaces", STR), OPT("copy-mode", STR), OPT("auto-finalize", BOOL), OPT("auto-dismiss", BOOL)}, false,
      qmp_blockdev_mirror, EMPTY},
    {"blockdev-remove-medium", {S("id")}, false, qmp_blockdev_remove_medium, EMPTY},
    {"blockdev-snapshot", {S("node"), S("overlay")}, false,
      qmp_blockdev_snapshot, EMPTY},
    {"blockdev-snapshot-delete-internal-sync", {S("device"), OPT("id", STR), OPT("name", STR)}, false,
      qmp_snapshot_delete_internal, QMP_OBJECT},
    {"blockdev-snapshot-internal-sync", {S("device"), S("name")}, false, qmp_snapshot_internal, EMPTY},
    {"blockdev-snapshot-sync", {OPT("device", STR), OPT("node-name", STR), S("snapshot-file"),
      OPT("snapshot-node-name", STR), OPT("format", STR), OPT("mode", STR)}, false,
      qmp_blockdev_snapshot_sync, EMPTY},
    {"change-backing-file", {S("device"), S("image-node-name"), S("backing-file")}, false,
      qmp_change_backing_file, EMPTY},
    {"chardev-add", {S("id"), {"backend", QMP_OBJECT, false}}, false, qmp_chardev_add, QMP_OBJECT},
    {"chardev-remove", {S("id")}, false, qmp_chardev_remove, EMPTY},
    {"chardev-send-break", {S("id")}, false, qmp_chardev_send_break, EMPTY},
    {"cont", NO_ARGS, false, run_cont, EMPTY},
    {"device-list-properties", {S("typename")}, false, qmp_device_list_properties, QMP_ARRAY},
    {"device_add", {S("driver"), OPT("id", STR), OPT("bus", STR)}, true, run_device_add, EMPTY},
    {"device_del", {S("id")}, false, run_device_del, EMPTY},
    {"drive-backup", {OPT("job-id", STR), S("device"), S("target"), S("sync"), OPT("format", STR), OPT("mode", STR), OPT("speed", INT),
      OPT("bitmap", STR), OPT("bitmap-mode", STR), OPT("compress", BOOL), OPT("on-source-error", STR), OPT("on-target-error", STR),
      OPT("filter-node-name", STR), OPT("auto-finalize", BOOL), OPT("auto-dismiss", BOOL)}, false,
      qmp_drive_backup, EMPTY},
    {"drive-mirror", {OPT("job-id", STR), S("device"), S("target"), OPT("format", STR), OPT("node-name", STR), S("sync"),
      OPT("mode", STR), OPT("speed", INT), OPT("granularity", INT), OPT("buf-size", INT), OPT("on-source-error", STR), OPT("on-target-error", STR),
      OPT("unmap", BOOL), OPT("replaces", STR), OPT("copy-mode", STR), OPT("auto-finalize", BOOL), OPT("auto-dismiss", BOOL)}, false,
      qmp_drive_mirror, EMPTY},
    {"dump-guest-memory", {{"paging", QMP_BOOL, false}, S("protocol"), OPT("detach", BOOL), OPT("begin", INT),
      OPT("length", INT), OPT("format", STR)}, false, run_dump, EMPTY},
    {"eject", {OPT("id", STR), OPT("device", STR), OPT("force", BOOL)}, false, qmp_blockdev_remove_medium, EMPTY},
    {"human-monitor-command", {S("command-line"), OPT("cpu-index", INT)}, false, run_human_command, QMP_STR},
    {"inject-nmi", NO_ARGS, false, run_inject_nmi, EMPTY},
    {"input-send-event", {OPT("device", STR), OPT("head", INT), {"events", QMP_ARRAY, false}}, false,
      qmp_input_send_event, EMPTY},
    {"job-cancel", {S("id")}, false, qmp_any_job_cancel, EMPTY},
    {"job-complete", {S("id")}, false,
      qmp_block_job_complete, EMPTY},
    {"job-dismiss", {S("id")}, false, qmp_any_job_dismiss, EMPTY},
    {"job-finalize", {S("id")}, false,
      qmp_block_job_finalize, EMPTY},
    {"job-pause", {S("id")}, false,
      qmp_block_job_pause, EMPTY},
    {"job-resume", {S("id")}, false,
      qmp_block_job_resume, EMPTY},
    {"memsave", {I("val"), I("size"), S("filename"), OPT("cpu-index", INT)}, false, run_memsave, EMPTY},
    {"migrate-set-capabilities", {{"capabilities", QMP_ARRAY, false}}, false, qmp_migrate_set_capabilities, EMPTY},
    {"nbd-server-add", {S("device"), OPT("name", STR), OPT("description", STR), OPT("writable", BOOL),
      OPT("bitmap", STR)}, false, qmp_nbd_server_add, EMPTY},
    {"nbd-server-remove", {S("name"), OPT("mode", STR)}, false, qmp_nbd_server_remove, EMPTY},
    {"nbd-server-start", {{"addr", QMP_OBJECT, false}, OPT("tls-creds", STR), OPT("max-connections", INT)}, false,
     qmp_nbd_server_start, EMPTY},
    {"nbd-server-stop", NO_ARGS, false, qmp_nbd_server_stop, EMPTY},
    {"pmemsave", {I("val"), I("size"), S("filename")}, false, run_pmemsave, EMPTY},
    {"qmp_capabilities", {OPT("enable", ARRAY)}, false, NULL, EMPTY},
    {"qom-get", {S("path"), S("property")}, false, qmp_qom_get, QMP_ANY},
    {"qom-list", {S("path")}, false, qmp_qom_list, QMP_ARRAY},
    {"qom-list-properties", {S("typename")}, false, qmp_qom_list_properties, QMP_ARRAY},
    {"qom-list-types", {OPT("implements", STR), OPT("abstract", BOOL)}, false, qmp_qom_list_types, QMP_ARRAY},
    {"query-acpi-ospm-status", NO_ARGS, false, qmp_query_nothing, QMP_ARRAY},
    {"query-block", NO_ARGS, false, qmp_query_block, QMP_ARRAY},
    {"query-block-exports", NO_ARGS, false, qmp_query_block_exports, QMP_ARRAY},
    {"query-block-jobs", NO_ARGS, false,
      qmp_query_block_jobs, QMP_ARRAY},
    {"query-blockstats", {OPT("query-nodes", BOOL)}, false, qmp_query_blockstats, QMP_ARRAY},
    {"query-chardev", NO_ARGS, false, qmp_query_chardev, QMP_ARRAY},
    {"query-chardev-backends", NO_ARGS, false, qmp_query_chardev_backends, QMP_ARRAY},
    {"query-command-line-options", {OPT("option", STR)}, false, qmp_query_command_line_options, QMP_ARRAY},
    {"query-commands", NO_ARGS, false, qmp_query_commands, QMP_ARRAY},
    {"query-cpu-definitions", NO_ARGS, false, qmp_query_cpu_definitions, QMP_ARRAY},
    {"query-cpus-fast", NO_ARGS, false, qmp_query_cpus_fast, QMP_ARRAY},
    {"query-current-machine", NO_ARGS, false, qmp_query_current_machine, QMP_OBJECT},
    {"query-display-options", NO_ARGS, false, qmp_query_display_options, QMP_OBJECT},
    {"query-dump", NO_ARGS, false, qmp_query_dump, QMP_OBJECT},
    {"query-dump-guest-memory-capability", NO_ARGS, false, qmp_query_dump_capability, QMP_OBJECT},
    {"query-fdsets", NO_ARGS, false, qmp_query_nothing, QMP_ARRAY},
    {"query-hotpluggable-cpus", NO_ARGS, false, qmp_query_nothing, QMP_ARRAY},
    {"query-iothreads", NO_ARGS, false, qmp_query_nothing, QMP_ARRAY},
    {"query-jobs", NO_ARGS, false, qmp_query_any_jobs, QMP_ARRAY},
    {"query-kvm", NO_ARGS, false, qmp_query_kvm, QMP_OBJECT},
    {"query-machines", NO_ARGS, false, qmp_query_machines, QMP_ARRAY},
    {"query-memdev", NO_ARGS, false, qmp_query_nothing, QMP_ARRAY},
    {"query-memory-devices", NO_ARGS, false, qmp_query_nothing, QMP_ARRAY},
    {"query-memory-size-summary", NO_ARGS, false, qmp_query_memory, QMP_OBJECT},
    {"query-mice", NO_ARGS, false, qmp_query_mice, QMP_ARRAY},
    {"query-migrate", NO_ARGS, false, qmp_query_migrate, QMP_OBJECT},
    {"query-migrate-capabilities", NO_ARGS, false, qmp_query_migrate_capabilities, QMP_ARRAY},
    {"query-name", NO_ARGS, false, qmp_query_name, QMP_OBJECT},
    {"query-named-block-nodes", {OPT("flat", BOOL)}, false, qmp_query_named_block_nodes, QMP_ARRAY},
    {"query-pci", NO_ARGS, false, qmp_query_pci, QMP_ARRAY},
    {"query-qmp-schema", NO_ARGS, false, qmp_query_schema, QMP_ARRAY},
    {"query-replay", NO_ARGS, false, qmp_query_replay, QMP_OBJECT},
    {"query-rx-filter", {OPT("name", STR)}, false, qmp_query_nothing, QMP_ARRAY},
    {"query-status", NO_ARGS, false, qmp_query_status, QMP_OBJECT},
    {"query-target", NO_ARGS, false, qmp_query_target, QMP_OBJECT},
    {"query-tpm", NO_ARGS, false, qmp_query_nothing, QMP_ARRAY},
    {"query-tpm-models", NO_ARGS, false, qmp_query_nothing, QMP_ARRAY},
    {"query-tpm-types", NO_ARGS, false, qmp_query_nothing, QMP_ARRAY},
    {"query-uuid", NO_ARGS, false, qmp_query_uuid, QMP_OBJECT},
    {"query-version", NO_ARGS, false, qmp_query_version, QMP_OBJECT},
    {"quit", NO_ARGS, false, run_quit, EMPTY},
    {"ringbuf-read", {S("device"), I("size"), OPT("format", STR)}, false, run_ringbuf_read, QMP_STR},
    {"ringbuf-write", {S("device"), S("data"), OPT("format", STR)}, false, run_ringbuf_write, EMPTY},
    {"screendump", {S("filename"), OPT("device", STR), OPT("head", INT), OPT("format", STR)}, false,
      run_screendump, EMPTY},
    {"send-key", {{"keys", QMP_ARRAY, false}, OPT("hold-time", INT)}, false, run_send_key, EMPTY},
    {"set-action", {OPT("reboot", STR), OPT("shutdown", STR)}, false, run_set_action, EMPTY},
    {"snapshot-delete", {S("job-id"), S("tag"), {"devices", QMP_ARRAY, false}}, false, qmp_snapshot_delete, EMPTY},
    {"snapshot-load", {S("job-id"), S("tag"), S("vmstate"), {"devices", QMP_ARRAY, false}}, false, qmp_snapshot_load,
     EMPTY},
    {"snapshot-save", {S("job-id"), S("tag"), S("vmstate"), {"devices", QMP_ARRAY, false}}, false, qmp_snapshot_save,
     EMPTY},
    {"stop", NO_ARGS, false, run_stop, EMPTY},
    {"system_powerdown", NO_ARGS, false, run_system_powerdown, EMPTY},
    {"system_reset", NO_ARGS, false, run_system_reset, EMPTY},
    {"transaction", {{"actions", QMP_ARRAY, false}, OPT("properties", OBJECT)}, false,
      qmp_transaction, EMPTY},
    {NULL, NO_ARGS, false, NULL, EMPTY},
};
/* clang-format on */
