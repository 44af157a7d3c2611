/*
 * The command table, and how a line finds its command and arguments.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "gdbstub/gdbstub.h"
#include "hw/device.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "monitor/memory-file.h"
#include "monitor/monitor-int.h"
#include "monitor/qmp.h"
#include "target-i386/cpu-query.h"
#include "target-i386/mem.h"
#include "target-i386/vcpu.h"
#include "ui/display.h"
#include "util/log.h"
#include "util/loop.h"

/* ---- the CPU that commands look at ---- */

static unsigned cpu_index;

unsigned monitor_cpu_index(void)
{
    return cpu_index;
}

CPUX86State *monitor_cpu(Monitor *mon)
{
    if (cpu_index >= vcpu_count()) {
        monitor_printf(mon, "the machine has no CPU\n");
        return NULL;
    }
    return vcpu_env(cpu_index);
}

bool monitor_pause_cpus(void)
{
    if (!machine_running()) {
        return false; /* they stand still already */
    }
    vcpu_pause_all();
    return true;
}

void monitor_resume_cpus(bool paused)
{
    if (paused) {
        vcpu_resume_all();
    }
}

/* ---- handlers ---- */

static void report(Monitor *mon, bool ok, Error **err)
{
    if (!ok) {
        monitor_error(mon, *err);
    }
}

static void cmd_quit(Monitor *mon, const ArgValue *args)
{
    monitor_finish(mon);
    qmp_quitting();
    loop_quit(0);
}

static void cmd_stop(Monitor *mon, const ArgValue *args)
{
    machine_stop(RUN_STATE_PAUSED);
}

static void cmd_cont(Monitor *mon, const ArgValue *args)
{
    if (machine_run_state() == RUN_STATE_INTERNAL_ERROR ||
        machine_run_state() == RUN_STATE_SHUTDOWN) {
        monitor_printf(mon, "the machine has to be reset first (system_reset): %s\n",
                       run_state_name(machine_run_state()));
        return;
    }
    machine_start();
}

static void cmd_system_reset(Monitor *mon, const ArgValue *args)
{
    qmp_host_request();
    machine_request_reset();
}

static void cmd_system_powerdown(Monitor *mon, const ArgValue *args)
{
    machine_request_powerdown();
}

static void cmd_sendkey(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;

    report(mon, input_send_keys(args[0].text, args[1].present ? (unsigned)args[1].number : 0, &err),
           &err);
}

static unsigned mouse_buttons;

static void cmd_mouse_move(Monitor *mon, const ArgValue *args)
{
    input_mouse((int)args[0].number, (int)args[1].number, args[2].present ? (int)args[2].number : 0,
                mouse_buttons);
}

/* The tradition's bits: 1 left, 2 middle, 4 right. */
static void cmd_mouse_button(Monitor *mon, const ArgValue *args)
{
    uint64_t b = args[0].number;

    mouse_buttons = (unsigned)((b & 1) | (b & 2 ? 4 : 0) | (b & 4 ? 2 : 0));
    input_mouse(0, 0, 0, mouse_buttons);
}

static void cmd_mouse_set(Monitor *mon, const ArgValue *args)
{
    if (args[0].number > UINT32_MAX || !input_select_mouse_number((unsigned)args[0].number)) {
        monitor_printf(mon, "there is no such mouse; info mice lists them\n");
    }
}

/* The screen that an argument names, or the one that is looked at; NULL with a message. */
static Display *find_screen(Monitor *mon, const ArgValue *arg)
{
    Display *d = arg->present ? display_find(arg->text) : display_selected();

    if (!d && arg->present) {
        monitor_printf(mon, "there is no screen '%s'; info screens lists them\n", arg->text);
    } else if (!d) {
        monitor_printf(mon, "the machine has no screen\n");
    }
    return d;
}

static void cmd_screen(Monitor *mon, const ArgValue *args)
{
    Display *d = find_screen(mon, &args[0]);

    if (d) {
        display_select(d);
    }
}

static void cmd_screendump(Monitor *mon, const ArgValue *args)
{
    Display *d = find_screen(mon, &args[1]);
    Error *err = NULL;

    if (d) {
        report(mon, display_screendump(d, args[0].text, &err), &err);
    }
}

static void cmd_screentext(Monitor *mon, const ArgValue *args)
{
    Display *d = find_screen(mon, &args[0]);
    char *text;

    if (!d) {
        return;
    }
    text = display_text(d);
    monitor_printf(mon, "%s", text ? text : "the screen is not in a text mode\n");
    free(text);
}

static void dump_memory(Monitor *mon, const ArgValue *args, bool physical)
{
    static Format last = {1, 'x', 4};
    bool paused;

    if (args[0].present) {
        last.letter = args[0].format.letter ? args[0].format.letter : last.letter;
        last.size = args[0].format.size ? args[0].format.size : last.size;
    }
    last.count = args[0].present && args[0].format.count ? args[0].format.count : 1;
    if (last.count > 65536) {
        monitor_printf(mon, "a count of at most 65536 is possible\n");
        return;
    }
    paused = monitor_pause_cpus();
    monitor_dump_memory(mon, last, args[1].number, physical);
    monitor_resume_cpus(paused);
}

static void cmd_x(Monitor *mon, const ArgValue *args)
{
    dump_memory(mon, args, false);
}

static void cmd_xp(Monitor *mon, const ArgValue *args)
{
    dump_memory(mon, args, true);
}

static void save_memory(Monitor *mon, const ArgValue *args, bool physical)
{
    CPUX86State *env = physical ? NULL : monitor_cpu(mon);
    Error *err = NULL;

    if (physical || env) {
        report(mon, memory_save_file(env, args[0].number, args[1].number, args[2].text, &err), &err);
    }
}

static void cmd_memsave(Monitor *mon, const ArgValue *args)
{
    save_memory(mon, args, false);
}

static void cmd_pmemsave(Monitor *mon, const ArgValue *args)
{
    save_memory(mon, args, true);
}

static Format format_or(const ArgValue *arg, char letter, unsigned size)
{
    return (Format){1, arg->present && arg->format.letter ? arg->format.letter : letter,
                    arg->present && arg->format.size ? arg->format.size : size};
}

static void cmd_print(Monitor *mon, const ArgValue *args)
{
    monitor_print_value(mon, format_or(&args[0], 'x', 8), args[1].number);
}

static bool port_ok(Monitor *mon, uint64_t port, unsigned size)
{
    if (port > 0xffff || size > 4) {
        monitor_printf(mon, "there are ports 0 to 0xffff, of 1, 2 or 4 bytes\n");
        return false;
    }
    return true;
}

static void cmd_in(Monitor *mon, const ArgValue *args)
{
    Format f = format_or(&args[0], 'x', 1);
    uint64_t port = args[1].number;

    if (port_ok(mon, port, f.size)) {
        monitor_printf(mon, "port%c[0x%04x] = 0x%0*x\n", "?bw?l"[f.size], (unsigned)port,
                       (int)f.size * 2, ioport_read((uint16_t)port, f.size));
    }
}

static void cmd_out(Monitor *mon, const ArgValue *args)
{
    Format f = format_or(&args[0], 'x', 1);
    uint64_t port = args[1].number;

    if (port_ok(mon, port, f.size)) {
        ioport_write((uint16_t)port, (uint32_t)args[2].number, f.size);
    }
}

static void cmd_nmi(Monitor *mon, const ArgValue *args)
{
    for (unsigned i = 0; i < vcpu_count(); i++) {
        cpu_interrupt(vcpu_env(i), CPU_INTERRUPT_NMI);
    }
}

static void cmd_cpu(Monitor *mon, const ArgValue *args)
{
    if (args[0].number >= vcpu_count()) {
        monitor_printf(mon, "there are CPUs 0 to %d\n", (int)vcpu_count() - 1);
        return;
    }
    cpu_index = (unsigned)args[0].number;
}

static void print_log_item(const char *name, const char *help, void *opaque)
{
    monitor_printf(opaque, "%-14s %s\n", name, help);
}

static void cmd_log(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;

    if (strcmp(args[0].text, "help") == 0) {
        log_each_item(print_log_item, mon);
    } else if (strcmp(args[0].text, "none") == 0) {
        log_mask = 0;
    } else {
        report(mon, log_set_items(args[0].text, &err), &err);
    }
}

static void cmd_logfile(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;

    report(mon, log_set_file(args[0].text, &err), &err);
}

static void cmd_ringbuf_read(Monitor *mon, const ArgValue *args)
{
    CharBackend *chr = chr_find(args[0].text);
    uint64_t left = args[1].present ? args[1].number : 65536;
    char buf[512];
    size_t n;

    if (!chr) {
        monitor_printf(mon, "there is no character device '%s'\n", args[0].text);
        return;
    }
    while (left && (n = chr_ringbuf_read(chr, buf, left < sizeof(buf) ? left : sizeof(buf))) > 0) {
        monitor_write(mon, buf, n);
        left -= n;
    }
    monitor_printf(mon, "\n");
}

static void cmd_device_add(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;

    if (!monitor_device_add(args[0].text, &err) && err) {
        monitor_error(mon, err);
    }
}

static void cmd_device_del(Monitor *mon, const ArgValue *args)
{
    Device *dev = device_find(args[0].text);

    if (!dev) {
        monitor_printf(mon, "there is no device '%s'\n", args[0].text);
    } else if (!dev->class->unrealize || !dev->class->user_creatable) {
        monitor_printf(mon, "device '%s' cannot be taken out of the running machine\n",
                       args[0].text);
    } else {
        device_unrealize(dev);
        qmp_device_deleted(args[0].text);
    }
}

static void cmd_eject(Monitor *mon, const ArgValue *args)
{
    BlockBackend *blk = blk_find(args[1].text);
    Error *err = NULL;

    if (!blk) {
        monitor_printf(mon, "there is no drive '%s'\n", args[1].text);
    } else if (!blk_is_cdrom(blk)) {
        monitor_printf(mon, "drive '%s' has a fixed medium\n", args[1].text);
    } else if (!blk_may_eject(blk, args[0].present, &err)) {
        monitor_error(mon, err);
    } else if (blk_has_medium(blk)) {
        blk_eject(blk);
        qmp_tray_moved(blk_id(blk), true);
    }
}

static void cmd_change(Monitor *mon, const ArgValue *args)
{
    BlockBackend *blk = blk_find(args[1].text);
    BlkOpenOptions o = {.file = args[2].text, .readonly = true, .cdrom = true};
    Error *err = NULL;

    if (!blk) {
        monitor_printf(mon, "there is no drive '%s'\n", args[1].text);
    } else if (!blk_is_cdrom(blk)) {
        monitor_printf(mon, "drive '%s' has a fixed medium\n", args[1].text);
    } else if (!blk_may_eject(blk, args[0].present, &err)) {
        monitor_error(mon, err);
    } else {
        if (args[4].present && strcmp(args[4].text, "retain") && strcmp(args[4].text, "read-only")) {
            monitor_printf(mon, "'%s': a medium is read-only here; possible: retain, read-only\n",
                           args[4].text);
            return;
        }
        o.format = args[3].present ? args[3].text : NULL;
        if (blk_change_medium(blk, &o, &err)) {
            qmp_tray_moved(blk_id(blk), true);
            qmp_tray_moved(blk_id(blk), false);
        } else {
            monitor_error(mon, err);
        }
    }
}

static void cmd_gdbserver(Monitor *mon, const ArgValue *args)
{
    const char *spec = args[0].present ? args[0].text : "tcp::1234";
    Error *err = NULL;

    if (!gdbstub_open(spec, &err)) {
        monitor_error(mon, err);
    } else if (strcmp(spec, "none") == 0) {
        monitor_printf(mon, "The GDB server is off\n");
    } else {
        monitor_printf(mon, "Waiting for GDB on '%s'\n", spec);
    }
}

static void cmd_info(Monitor *mon, const ArgValue *args)
{
    monitor_print_help(mon, info_commands, "info ");
}

static const MonitorCommand *find_command(const MonitorCommand *table, const char *name,
                                          size_t len);

static void cmd_help(Monitor *mon, const ArgValue *args)
{
    const MonitorCommand *cmd;

    if (!args[0].present) {
        monitor_print_help(mon, monitor_commands, "");
        return;
    }
    cmd = find_command(monitor_commands, args[0].text, strlen(args[0].text));
    if (!cmd) {
        monitor_printf(mon, "there is no command '%s'\n", args[0].text);
    } else if (cmd->sub) {
        monitor_print_help(mon, cmd->sub, "info ");
    } else {
        MonitorCommand one[2] = {*cmd, {.name = NULL}};
        monitor_print_help(mon, one, "");
    }
}

/* ---- values for completion ---- */

typedef struct Emitter {
    void (*emit)(const char *value, void *opaque);
    void *opaque;
} Emitter;

static void complete_commands(void (*emit)(const char *value, void *opaque), void *opaque);

static void complete_keys(void (*emit)(const char *value, void *opaque), void *opaque)
{
    for (const char *const *name = input_key_names(); *name; name++) {
        emit(*name, opaque);
    }
}

static void emit_log_item(const char *name, const char *help, void *opaque)
{
    Emitter *e = opaque;

    e->emit(name, e->opaque);
}

static void complete_log(void (*emit)(const char *value, void *opaque), void *opaque)
{
    Emitter e = {emit, opaque};

    log_each_item(emit_log_item, &e);
    emit("none", opaque);
}

static void emit_chr(CharBackend *chr, void *opaque)
{
    Emitter *e = opaque;

    e->emit(chr_id(chr), e->opaque);
}

static void complete_chr(void (*emit)(const char *value, void *opaque), void *opaque)
{
    Emitter e = {emit, opaque};

    chr_each(emit_chr, &e);
}

static void emit_blk(BlockBackend *blk, void *opaque)
{
    Emitter *e = opaque;

    e->emit(blk_id(blk), e->opaque);
}

void complete_blk(void (*emit)(const char *value, void *opaque), void *opaque)
{
    Emitter e = {emit, opaque};

    blk_each(emit_blk, &e);
}

static void emit_screen(Display *d, void *opaque)
{
    Emitter *e = opaque;

    e->emit(display_name(d), e->opaque);
}

static void complete_screens(void (*emit)(const char *value, void *opaque), void *opaque)
{
    Emitter e = {emit, opaque};

    display_each(emit_screen, &e);
}

/* Stands for files, whose names depend on what is there already: monitor_complete() sees to it. */
static void complete_files(void (*emit)(const char *value, void *opaque), void *opaque)
{
}

static void complete_devices(void (*emit)(const char *value, void *opaque), void *opaque)
{
    for (const DeviceClass *const *c = device_classes; *c; c++) {
        if ((*c)->user_creatable) {
            emit((*c)->name, opaque);
        }
    }
}

static void emit_id(Device *dev, int depth, void *opaque)
{
    Emitter *e = opaque;

    if (dev->id && dev->class->user_creatable && dev->class->unrealize) {
        e->emit(dev->id, e->opaque);
    }
}

static void complete_ids(void (*emit)(const char *value, void *opaque), void *opaque)
{
    Emitter e = {emit, opaque};

    device_each(emit_id, &e);
}

/* ---- the table ---- */

/* clang-format off */
#define FMT               {"/fmt", ARG_FORMAT, true, NULL}
#define NUMBER(n)         {n, ARG_NUMBER, false, NULL}
#define OPTIONAL_NUMBER(n) {n, ARG_NUMBER, true, NULL}
#define WORD(n, c)        {n, ARG_WORD, false, c}
#define OPTIONAL_WORD(n, c) {n, ARG_WORD, true, c}

const MonitorCommand monitor_commands[] = {
    {"block_job_cancel", {{"-f", ARG_FLAG, true, NULL}, WORD("drive", complete_blk)},
     "end a drive's job; a mirror that is ready is left whole, with -f as it is", cmd_block_job_cancel, NULL},
    {"block_job_complete", {WORD("drive", complete_blk)}, "a mirror that is ready: go over to the copy",
     cmd_block_job_complete, NULL},
    {"block_job_pause", {WORD("drive", complete_blk)}, "stop a drive's job for a while", cmd_block_job_pause, NULL},
    {"block_job_resume", {WORD("drive", complete_blk)}, "let a paused job go on", cmd_block_job_resume, NULL},
    {"block_job_set_speed", {WORD("drive", complete_blk), NUMBER("bytes")},
     "limit a job's bytes a second; 0: no limit", cmd_block_job_set_speed, NULL},
    {"block_resize", {WORD("drive", complete_blk), WORD("size", NULL)}, "give a drive's image another size: 512M, 10G",
     cmd_block_resize, NULL},
    {"block_set_io_throttle", {WORD("drive", complete_blk), NUMBER("bps"), NUMBER("bps_rd"), NUMBER("bps_wr"),
     NUMBER("iops"), NUMBER("iops_rd"), NUMBER("iops_wr")},
     "limit a drive's bytes and requests a second; 0: no limit", cmd_block_set_io_throttle, NULL},
    {"block_stream", {WORD("drive", complete_blk), OPTIONAL_NUMBER("speed"), OPTIONAL_WORD("base", complete_files)},
     "take what the images below hold into a drive's image; base and what is below it stay", cmd_block_stream, NULL},
    {"boot_set", {WORD("order", NULL)}, "the boot order from the next reset on, as -boot's", cmd_boot_set, NULL},
    {"change", {{"-f", ARG_FLAG, true, NULL}, WORD("drive", complete_blk), WORD("file", complete_files),
     OPTIONAL_WORD("format", NULL), OPTIONAL_WORD("read-only-mode", NULL)},
     "put another medium into a removable drive; -f: also where the guest has locked it", cmd_change, NULL},
    {"chardev-add", {WORD("kind,id=ID,...", NULL)}, "make a character device, as -chardev does", cmd_chardev_add, NULL},
    {"chardev-remove", {WORD("chardev", complete_chr)}, "close a character device that nothing uses",
     cmd_chardev_remove, NULL},
    {"chardev-send-break", {WORD("chardev", complete_chr)}, "a break for what is behind a character device",
     cmd_chardev_send_break, NULL},
    {"commit", {WORD("drive|all", complete_blk)},
     "write what was changed since snapshot=on, or over a backing file, into the image below", cmd_commit, NULL},
    {"cont|c", {{0}}, "let the machine run on", cmd_cont, NULL},
    {"cpu", {NUMBER("index")}, "choose the CPU that commands look at", cmd_cpu, NULL},
    {"delvm", {WORD("tag", complete_tags)}, "delete a snapshot of the machine", cmd_delvm, NULL},
    {"device_add", {WORD("device,prop=value,...", complete_devices)}, "add a device, as -device does",
     cmd_device_add, NULL},
    {"device_del", {WORD("id", complete_ids)}, "take out a device that device_add or -device added",
     cmd_device_del, NULL},
    {"drive_backup", {{"-n", ARG_FLAG, true, NULL}, {"-f", ARG_FLAG, true, NULL}, {"-c", ARG_FLAG, true, NULL},
     WORD("drive", complete_blk), WORD("file", complete_files), OPTIONAL_WORD("format", NULL)},
     "copy a drive as it is now; -n: the file is there already, -f: with the images below, -c: compressed",
     cmd_drive_backup, NULL},
    {"drive_mirror", {{"-n", ARG_FLAG, true, NULL}, {"-f", ARG_FLAG, true, NULL}, WORD("drive", complete_blk),
     WORD("file", complete_files), OPTIONAL_WORD("format", NULL)},
     "keep a copy of a drive in step; -n: the file is there already, -f: with the images below",
     cmd_drive_mirror, NULL},
    {"dump-guest-memory", {{"-p", ARG_FLAG, true, NULL}, {"-z", ARG_FLAG, true, NULL}, {"-l", ARG_FLAG, true, NULL},
     {"-s", ARG_FLAG, true, NULL}, WORD("file", complete_files)},
     "write RAM and registers as an ELF core; -p: with virtual addresses; -z: packed, in crash's format",
     cmd_dump_guest_memory, NULL},
    {"eject", {{"-f", ARG_FLAG, true, NULL}, WORD("drive", complete_blk)},
     "take the medium out of a removable drive; -f: also where the guest has locked it", cmd_eject, NULL},
    {"gdbserver", {OPTIONAL_WORD("device", NULL)},
     "wait for GDB on a character device (tcp::1234); 'none' ends it", cmd_gdbserver, NULL},
    {"gva2gpa", {NUMBER("address")}, "the physical address of a virtual one", cmd_gva2gpa, NULL},
    {"help|?", {OPTIONAL_WORD("command", complete_commands)}, "what commands there are, or one of them",
     cmd_help, NULL},
    {"i", {FMT, NUMBER("port")}, "read an I/O port; /b /h /w", cmd_in, NULL},
    {"info", {OPTIONAL_WORD("what", NULL)}, "show something about the machine; help info lists what",
     cmd_info, info_commands},
    {"loadvm", {WORD("tag", complete_tags)}, "the machine goes back to a snapshot, with its disks", cmd_loadvm, NULL},
    {"log", {WORD("item,...", complete_log)}, "choose what is logged; 'none' for nothing, 'help' lists the items",
     cmd_log, NULL},
    {"logfile", {WORD("file", complete_files)}, "log into a file", cmd_logfile, NULL},
    {"memsave", {NUMBER("address"), NUMBER("size"), WORD("file", complete_files)},
     "write virtual memory to a file", cmd_memsave, NULL},
    {"mouse_button", {NUMBER("state")}, "press mouse buttons: 1 left, 2 middle, 4 right, added",
     cmd_mouse_button, NULL},
    {"mouse_move", {NUMBER("dx"), NUMBER("dy"), OPTIONAL_NUMBER("dz")}, "move the mouse", cmd_mouse_move, NULL},
    {"mouse_set", {NUMBER("mouse")}, "choose the mouse that moves; info mice lists them", cmd_mouse_set, NULL},
    {"nbd_server_add", {{"-w", ARG_FLAG, true, NULL}, WORD("drive", complete_blk), OPTIONAL_WORD("name", NULL)},
     "let NBD clients have a drive; -w: for writing", cmd_nbd_server_add, NULL},
    {"nbd_server_remove", {{"-f", ARG_FLAG, true, NULL}, WORD("name", NULL)},
     "NBD clients have a drive no more; -f: also where one is connected", cmd_nbd_server_remove, NULL},
    {"nbd_server_start", {{"-a", ARG_FLAG, true, NULL}, {"-w", ARG_FLAG, true, NULL}, WORD("host:port|unix:path", NULL)},
     "serve drives to NBD clients; -a: all of them at once, -w: for writing", cmd_nbd_server_start, NULL},
    {"nbd_server_stop", {{0}}, "end the NBD server", cmd_nbd_server_stop, NULL},
    {"nmi", {{0}}, "send every CPU an NMI", cmd_nmi, NULL},
    {"o", {FMT, NUMBER("port"), NUMBER("value")}, "write an I/O port; /b /h /w", cmd_out, NULL},
    {"pmemsave", {NUMBER("address"), NUMBER("size"), WORD("file", complete_files)},
     "write physical memory to a file", cmd_pmemsave, NULL},
    {"print|p", {FMT, NUMBER("expression")}, "print a value; $rax is a register", cmd_print, NULL},
    {"qemu-io", {WORD("drive", complete_blk), WORD("command", NULL)},
     "fault injection with blkdebug: \"break EVENT TAG\" holds up a request, \"resume TAG\" lets it go", cmd_qemu_io, NULL},
    {"quit|q", {{0}}, "end the emulator", cmd_quit, NULL},
    {"ringbuf_read", {WORD("chardev", complete_chr), OPTIONAL_NUMBER("size")},
     "take bytes out of a ring buffer character device", cmd_ringbuf_read, NULL},
    {"ringbuf_write", {WORD("chardev", complete_chr), WORD("data", NULL)},
     "type text for what is behind a ring buffer character device", cmd_ringbuf_write, NULL},
    {"savevm", {{"-v", ARG_FLAG, true, NULL}, OPTIONAL_WORD("tag", complete_tags)},
     "a snapshot of the machine in its disk images, or with the tag file:PATH in a file; -v: tells how long it took",
     cmd_savevm, NULL},
    {"screen", {WORD("screen", complete_screens)},
     "choose the screen that is looked at and that sendkey types to", cmd_screen, NULL},
    {"screendump", {WORD("file", complete_files), OPTIONAL_WORD("screen", complete_screens)},
     "write a screen's picture: PNG, or PPM where the name ends in .ppm", cmd_screendump, NULL},
    {"screentext", {OPTIONAL_WORD("screen", complete_screens)}, "print the characters of a text screen", cmd_screentext, NULL},
    {"sendkey", {WORD("keys", complete_keys), OPTIONAL_NUMBER("hold_ms")},
     "press keys together, as ctrl-alt-delete, shift-a, ret, 0x1e", cmd_sendkey, NULL},
    {"snapshot_blkdev", {{"-n", ARG_FLAG, true, NULL}, WORD("drive", complete_blk), WORD("file", complete_files),
     OPTIONAL_WORD("format", NULL)},
     "from now on write to a new image over the present one; -n: the file is there already", cmd_snapshot_blkdev, NULL},
    {"snapshot_blkdev_internal", {WORD("drive", complete_blk), WORD("name", NULL)},
     "a snapshot of one disk inside of its image, without machine state", cmd_snapshot_blkdev_internal, NULL},
    {"snapshot_delete_blkdev_internal", {WORD("drive", complete_blk), WORD("name", complete_tags), OPTIONAL_WORD("id", NULL)},
     "delete a snapshot of one disk", cmd_snapshot_delete_blkdev_internal, NULL},
    {"stop|s", {{0}}, "stop the machine", cmd_stop, NULL},
    {"sum", {NUMBER("address"), NUMBER("size")}, "16-bit checksum of physical memory", cmd_sum, NULL},
    {"system_powerdown", {{0}}, "press the power button", cmd_system_powerdown, NULL},
    {"system_reset", {{0}}, "reset the machine", cmd_system_reset, NULL},
    {"x", {FMT, NUMBER("address")}, "show virtual memory: count, format x d u o c i s, size b h w g", cmd_x, NULL},
    {"xp", {FMT, NUMBER("address")}, "show physical memory likewise", cmd_xp, NULL},
    {NULL, {{0}}, NULL, NULL, NULL},
};
/* clang-format on */

/* ---- help ---- */

static void complete_commands(void (*emit)(const char *value, void *opaque), void *opaque)
{
    for (const MonitorCommand *c = monitor_commands; c->name; c++) {
        char name[32];
        strncpy(name, c->name, sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        name[strcspn(name, "|")] = '\0';
        emit(name, opaque);
    }
}

void monitor_print_help(Monitor *mon, const MonitorCommand *table, const char *prefix)
{
    for (const MonitorCommand *c = table; c->name; c++) {
        monitor_printf(mon, "%s%s", prefix, c->name);
        for (const ArgSpec *a = c->args; a < c->args + MAX_ARGS && a->kind != ARG_END; a++) {
            monitor_printf(mon,
                           a->kind == ARG_FORMAT ? "%s"
                           : a->optional || a->kind == ARG_FLAG ? " [%s]"
                                                 : " %s",
                           a->name);
        }
        monitor_printf(mon, " -- %s\n", c->help);
    }
}

/* ---- finding the command ---- */

bool command_has_name(const MonitorCommand *cmd, const char *name, size_t len)
{
    for (const char *p = cmd->name; *p; p += *p == '|') {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, name, len) == 0) {
            return true;
        }
        p += n;
    }
    return false;
}

static const MonitorCommand *find_command(const MonitorCommand *table, const char *name, size_t len)
{
    for (const MonitorCommand *c = table; c->name; c++) {
        if (command_has_name(c, name, len)) {
            return c;
        }
    }
    return NULL;
}

static const char *skip_space(const char *p)
{
    while (isspace((unsigned char)*p)) {
        p++;
    }
    return p;
}

/* A command's name ends at white space or at the slash of a format. */
static size_t name_length(const char *p)
{
    size_t n = strcspn(p, " \t/");

    return n ? n : strcspn(p, " \t");
}

static void print_unknown(Monitor *mon, const MonitorCommand *table, const char *name, size_t len)
{
    const char *names[128], *near;
    char word[64];
    unsigned n = 0;

    snprintf(word, sizeof(word), "%.*s", (int)len, name);
    for (const MonitorCommand *c = table; c->name && n < 127; c++) {
        static char first[128][32];
        snprintf(first[n], sizeof(first[n]), "%.*s", (int)strcspn(c->name, "|"), c->name);
        names[n] = first[n];
        n++;
    }
    names[n] = NULL;
    near = nearest_name(word, names);
    monitor_printf(mon,
                   near ? "unknown command '%s'; did you mean '%s'?\n"
                        : "unknown command '%s'; try help\n",
                   word, near);
}

/* ---- arguments ---- */

/* A word, or text in quotes with \ before a quote or backslash. */
static char *take_word(const char **p)
{
    char *word = malloc(strlen(*p) + 1), *out = word;
    bool quoted = **p == '"';

    *p += quoted;
    while (**p && (quoted ? **p != '"' : !isspace((unsigned char)**p))) {
        if (quoted && **p == '\\' && (*p)[1]) {
            (*p)++;
        }
        *out++ = *(*p)++;
    }
    *p += quoted && **p == '"';
    *out = '\0';
    return word;
}

static bool take_arg(const ArgSpec *spec, const char **p, ArgValue *value, Error **errp)
{
    size_t len = strlen(spec->name);

    value->present = true;
    switch (spec->kind) {
    case ARG_FLAG:
        value->present =
            strncmp(*p, spec->name, len) == 0 && (!(*p)[len] || isspace((unsigned char)(*p)[len]));
        *p += value->present ? len : 0;
        return true;
    case ARG_FORMAT:
        value->present = **p == '/';
        if (value->present) {
            (*p)++;
            if (!format_parse(*p, &value->format, errp)) {
                return false;
            }
            *p += strcspn(*p, " \t");
        }
        return true;
    case ARG_NUMBER:
        if (!monitor_eval(p, &value->number, errp)) {
            error_prepend(errp, "%s: ", spec->name);
            return false;
        }
        return true;
    case ARG_REST:
        value->text = strdup(*p);
        *p += strlen(*p);
        return true;
    default:
        value->text = take_word(p);
        return true;
    }
}

static bool take_args(const MonitorCommand *cmd, const char *p, ArgValue *values, Error **errp)
{
    for (unsigned i = 0; i < MAX_ARGS && cmd->args[i].kind != ARG_END; i++) {
        const ArgSpec *spec = &cmd->args[i];
        p = skip_space(p);
        if (!*p) {
            if (!spec->optional && spec->kind != ARG_FLAG) {
                error_set(errp, "'%.*s' needs %s", (int)strcspn(cmd->name, "|"), cmd->name,
                          spec->name);
                return false;
            }
            continue;
        }
        if (!take_arg(spec, &p, &values[i], errp)) {
            return false;
        }
    }
    p = skip_space(p);
    if (*p) {
        error_set(errp, "'%.*s' does not take '%s'", (int)strcspn(cmd->name, "|"), cmd->name, p);
        return false;
    }
    return true;
}

void monitor_execute(Monitor *mon, const char *line)
{
    const MonitorCommand *table = monitor_commands, *cmd = NULL, *next;
    const char *p = skip_space(line);
    ArgValue values[MAX_ARGS] = {0};
    Error *err = NULL;

    while (table && *p) {
        size_t len = name_length(p);
        next = find_command(table, p, len);
        if (!next) {
            print_unknown(mon, table, p, len);
            return;
        }
        cmd = next;
        table = cmd->sub;
        p += len;
        if (table) {
            p = skip_space(p);
        }
    }
    if (!cmd) {
        return;
    }
    if (take_args(cmd, p, values, &err)) {
        cmd->run(mon, values);
    } else {
        monitor_error(mon, err);
    }
    for (unsigned i = 0; i < MAX_ARGS; i++) {
        free(values[i].text);
    }
}

/* ---- completion ---- */

typedef struct Filter {
    const char *prefix;
    size_t len;
    void (*emit)(const char *value, void *opaque);
    void *opaque;
} Filter;

static void emit_matching(const char *value, void *opaque)
{
    Filter *f = opaque;

    if (strncmp(value, f->prefix, f->len) == 0) {
        f->emit(value, f->opaque);
    }
}

static void emit_names(const MonitorCommand *table, Filter *f)
{
    for (const MonitorCommand *c = table; c->name; c++) {
        for (const char *p = c->name; *p; p += *p == '|') {
            size_t n = strcspn(p, "|");
            char name[32];
            snprintf(name, sizeof(name), "%.*s", (int)n, p);
            emit_matching(name, f);
            p += n;
        }
    }
}

/* Keys and log items are joined by - and , : only what is behind the last one is completed. */
static size_t joined_start(const char *line, size_t from, size_t len)
{
    for (size_t i = len; i > from; i--) {
        if (line[i - 1] == '-' || line[i - 1] == ',') {
            return i;
        }
    }
    return from;
}

static size_t complete_arg(const ArgSpec *arg, const char *line, size_t word, size_t len, Filter *f)
{
    if (arg->complete == complete_files) {
        complete_paths(line + word, len - word, f->emit, f->opaque);
        return word;
    }
    if (arg->complete == complete_keys || arg->complete == complete_log) {
        word = joined_start(line, word, len);
    }
    f->prefix = line + word;
    f->len = len - word;
    if (arg->complete) {
        arg->complete(emit_matching, f);
    }
    return word;
}

/* The argument that a word is for: flags that are not said leave their place to what follows. `n` counts up. */
static const ArgSpec *arg_of_word(const MonitorCommand *cmd, unsigned *n, const char *word,
                                  size_t len)
{
    while (*n < MAX_ARGS && cmd->args[*n].kind == ARG_FLAG &&
           (strlen(cmd->args[*n].name) != len || memcmp(cmd->args[*n].name, word, len) != 0)) {
        (*n)++;
    }
    return *n < MAX_ARGS && cmd->args[*n].kind != ARG_END ? &cmd->args[(*n)++] : NULL;
}

size_t monitor_complete(const char *line, size_t len, void (*emit)(const char *value, void *opaque),
                        void *opaque)
{
    const MonitorCommand *table = monitor_commands, *cmd = NULL;
    size_t start = 0, word = 0;
    unsigned arg = 0;

    for (;;) {
        Filter f = {.emit = emit, .opaque = opaque};
        while (start < len && line[start] == ' ') {
            start++;
        }
        word = start;
        while (start < len && line[start] != ' ') {
            start++;
        }
        if (start == len) {
            f.prefix = line + word;
            f.len = len - word;
            if (table) {
                emit_names(table, &f);
            } else if (cmd) {
                const ArgSpec *spec = arg_of_word(cmd, &arg, line + word, len - word);
                return spec ? complete_arg(spec, line, word, len, &f) : word;
            }
            return word;
        }
        if (table) {
            cmd = find_command(table, line + word, start - word);
            if (!cmd) {
                return len;
            }
            table = cmd->sub;
        } else {
            arg_of_word(cmd, &arg, line + word, start - word);
        }
    }
}
