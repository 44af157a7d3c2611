/*
 * The launcher: start, main loop, exit status. vl-options.c notes what the command line asks for;
 * the machine is made of it afterwards, in the order of main().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "block/block.h"
#include "block/drive.h"
#include "block/kdf.h"
#include "block/nbd-server.h"
#include "char/char.h"
#include "gdbstub/gdbstub.h"
#include "hw/device.h"
#include "hw/loader.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "hw/pc.h"
#include "monitor/monitor.h"
#include "monitor/qmp.h"
#include "snapshot/snapshot.h"
#include "target-i386/exec.h"
#include "target-i386/jit-stats.h"
#include "target-i386/vcpu.h"
#include "ui/msmouse.h"
#include "ui/vc.h"
#include "util/loop.h"
#include "util/options.h"
#include "vl-options.h"

#define MIB (1ull << 20)

/* Beyond the guest's RAM the RAM file holds ROMs and video memory. */
#define RAM_FILE_EXTRA (1024 * MIB)

static int pidfile_fd = -1;

/* ---- starting ---- */

static void die(Error *err)
{
    error_report_free(err);
    nbd_server_free(nbd_monitor_server);
    nbd_monitor_server = NULL;
    blk_close_all();
    drive_close_nodes();
    chr_close_all();
    exit(1);
}

/*
 * Forks: the child goes on, the parent waits until it says through *ready_fd that the machine is
 * made, or ends with the child's status.
 */
static void go_to_background(int *ready_fd)
{
    int fds[2];
    char ok;

    if (pipe2(fds, O_CLOEXEC)) {
        error_exit("-daemonize: cannot make a pipe: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid < 0) {
        error_exit("-daemonize: cannot fork: %s", strerror(errno));
    }
    if (pid > 0) {
        close(fds[1]);
        _exit(read(fds[0], &ok, 1) == 1 ? 0 : 1);
    }
    close(fds[0]);
    setsid();
    *ready_fd = fds[1];
}

static void finish_background(int ready_fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
    }
    if (write(ready_fd, "", 1) != 1) {
        exit(1); /* the parent is gone and so is whoever wanted this machine */
    }
    close(ready_fd);
}

static void remove_pidfile(void)
{
    unlink(launch.pidfile);
}

static bool write_pidfile(Error **errp)
{
    char text[32];

    pidfile_fd = open(launch.pidfile, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (pidfile_fd < 0) {
        error_set_errno(errp, errno, "-pidfile: cannot write '%s'", launch.pidfile);
        return false;
    }
    if (flock(pidfile_fd, LOCK_EX | LOCK_NB)) {
        error_set(errp, "-pidfile: '%s' belongs to another running process", launch.pidfile);
        return false;
    }
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(pidfile_fd, 0) || write(pidfile_fd, text, (size_t)n) != n) {
        error_set_errno(errp, errno, "-pidfile: cannot write '%s'", launch.pidfile);
        return false;
    }
    atexit(remove_pidfile);
    return true;
}

static void signal_arrived(void *opaque)
{
    int number = (int)(intptr_t)opaque;

    if (number == SIGINT && gdbstub_take_sigint()) {
        return;
    }
    kdf_cancel(); /* a password is perhaps being tried on an image that is opened */
    fprintf(stderr, "\r\nvole: ended by signal %d (%s)\r\n", number, strsignal(number));
    machine_config.no_shutdown = false;
    machine_request_shutdown(0);
}

static void *wait_for_signals(void *set)
{
    int number;

    for (;;) {
        if (sigwait(set, &number) == 0) {
            loop_defer(signal_arrived, (void *)(intptr_t)number);
        }
    }
    return NULL;
}

/*
 * SIGINT, SIGTERM and SIGHUP end the machine through the main loop, so that disks are flushed. A thread waits for them. A signalfd in the
 * loop would do without one, but the kernel wakes whoever sleeps for that at each signal of each thread, and vCPUs get one for each
 * of their timers' ticks.
 */
static void catch_signals(void)
{
    static sigset_t set;
    pthread_t thread;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int err = pthread_create(&thread, NULL, wait_for_signals, &set);
    if (err) {
        error_exit("cannot start a thread for signals: %s", strerror(err));
    }
    pthread_setname_np(thread, "signals");
    pthread_detach(thread);
}

/*
 * Without a word from the user: -nographic shares the terminal between serial port and monitor;
 * else the monitor has it.
 */
static void choose_default_lines(void)
{
    if (launch.nodefaults) {
        return;
    }
    if (machine_config.nographic) {
        if (!launch.serials.count) {
            launch.serials.items[launch.serials.count++] =
                launch.monitors.count ? "stdio" : "mon:stdio";
        }
    } else if (!launch.display_chosen && !launch.monitors.count && !launch.serials.count &&
               isatty(STDIN_FILENO)) {
        launch.monitors.items[launch.monitors.count++] = "stdio";
    }
}

/* The character devices of ui/; the consoles have the look of the guest's text screen. */
static void add_ui_lines(void)
{
    uint8_t font[4096];

    msmouse_register();
    vc_register();
    if (loader_vga_font(font)) {
        vc_set_font(font);
    }
}

/* -serial's or -parallel's: kind0, kind1 ... */
static bool open_ports(const char *kind, const TextList *specs, CharBackend **ports, Error **errp)
{
    char id[32];

    for (unsigned i = 0; i < specs->count; i++) {
        Error *err = NULL;
        snprintf(id, sizeof(id), "%s%u", kind, i);
        ports[i] = chr_open(id, specs->items[i], &err);
        if (err) {
            error_prepend(&err, "-%s: ", kind);
            error_propagate(errp, err);
            return false;
        }
    }
    return true;
}

static bool open_lines(Error **errp)
{
    add_ui_lines();
    for (unsigned i = 0; i < launch.chardevs.count; i++) {
        Error *err = NULL;
        if (!chr_open_option(launch.chardevs.items[i], &err)) {
            if (!err) {
                exit(0); /* it was a request for help */
            }
            error_prepend(&err, "-chardev: ");
            error_propagate(errp, err);
            return false;
        }
    }
    return open_ports("serial", &launch.serials, machine_config.serial, errp) &&
           open_ports("parallel", &launch.parallels, machine_config.parallel, errp);
}

static bool open_human(CharBackend *chr, Error **errp)
{
    return monitor_open(chr, errp) != NULL;
}

static bool open_json(CharBackend *chr, Error **errp)
{
    return qmp_open(chr, false, errp);
}

static bool open_pretty_json(CharBackend *chr, Error **errp)
{
    return qmp_open(chr, true, errp);
}

/* -monitor's, -qmp's and their kin: the option's name and a number are the character device's. */
static bool open_monitor_list(const char *option, const TextList *specs,
                              bool (*open)(CharBackend *chr, Error **errp), Error **errp)
{
    char id[32];

    for (unsigned i = 0; i < specs->count; i++) {
        Error *err = NULL;
        snprintf(id, sizeof(id), "%s%u", option, i);
        CharBackend *chr = chr_open(id, specs->items[i], &err);
        if (chr) {
            open(chr, &err);
        }
        if (err) {
            error_prepend(&err, "-%s: ", option);
            error_propagate(errp, err);
            return false;
        }
    }
    return true;
}

/* -mon chardev=ID,mode=readline|control,pretty=on */
static bool open_mon(const char *spec, Error **errp)
{
    SubOptions so;
    bool pretty = false, control, ok;

    suboptions_parse(&so, spec, "chardev");
    const char *id = suboptions_get(&so, "chardev"), *mode = suboptions_get(&so, "mode");
    const char *pretty_text = suboptions_get(&so, "pretty");
    CharBackend *chr = chr_find(id);
    control = mode && !strcmp(mode, "control");
    if (!chr) {
        error_set(errp, "chardev '%s' is not there; -chardev makes one", id);
        ok = false;
    } else if (mode && !control && strcmp(mode, "readline")) {
        error_set(errp, "mode '%s' is not possible; possible: readline, control", mode);
        ok = false;
    } else {
        ok = !pretty_text || parse_bool("pretty", pretty_text, &pretty, errp);
        ok = ok && (control ? qmp_open(chr, pretty, errp) : monitor_open(chr, errp) != NULL);
    }
    suboptions_free(&so);
    if (!ok) {
        error_prepend(errp, "-mon: ");
    }
    return ok;
}

/* The monitors asked for, and one behind each serial line that shares its stream with it (mon:). */
static bool open_monitors(Error **errp)
{
    qmp_set_options(launch_options_table());
    for (unsigned i = 0; i < launch.serials.count; i++) {
        if (!strncmp(launch.serials.items[i], "mon:", 4) &&
            !monitor_open(machine_config.serial[i], errp)) {
            return false;
        }
    }
    for (unsigned i = 0; i < launch.mons.count; i++) {
        if (!open_mon(launch.mons.items[i], errp)) {
            return false;
        }
    }
    return open_monitor_list("monitor", &launch.monitors, open_human, errp) &&
           open_monitor_list("qmp", &launch.qmps, open_json, errp) &&
           open_monitor_list("qmp-pretty", &launch.qmp_pretties, open_pretty_json, errp);
}

static bool open_debugger(Error **errp)
{
    gdbstub_set_monitor(monitor_run);
    if (launch.gdb && !gdbstub_open(launch.gdb, errp)) {
        error_prepend(errp, "-gdb: ");
        return false;
    }
    return true;
}

static bool add_devices(Error **errp)
{
    if (launch.debugcon) {
        if (!chr_open("debugcon", launch.debugcon, errp)) {
            error_prepend(errp, "-debugcon: ");
            return !*errp; /* none */
        }
        if (!device_add("isa-debugcon,iobase=0xe9,chardev=debugcon", errp)) {
            return false;
        }
    }
    for (unsigned i = 0; i < launch.devices.count; i++) {
        if (!device_add(launch.devices.items[i], errp)) {
            if (!*errp) {
                exit(0); /* it was a request for help */
            }
            error_prepend(errp, "-device: ");
            return false;
        }
    }
    return true;
}

/* Questions that need no machine: -device help, -device NAME,help. */
static void answer_device_help(void)
{
    for (unsigned i = 0; i < launch.devices.count; i++) {
        const char *spec = launch.devices.items[i];
        const char *comma = strrchr(spec, ',');
        if (!strcmp(spec, "help") || !strcmp(spec, "?") || (comma && !strcmp(comma, ",help"))) {
            Error *err = NULL;
            device_add(spec, &err);
            if (err) {
                die(err);
            }
            exit(0);
        }
    }
}

/* The board 'none': monitors that answer questions about the program, and nothing to run. */
static bool make_nothing(Error **errp)
{
    return open_lines(errp) && open_monitors(errp) && (!launch.pidfile || write_pidfile(errp));
}

static bool make_machine(Error **errp)
{
    if (!strcmp(machine_config.machine, "none")) {
        return make_nothing(errp);
    }
    return open_lines(errp) && drive_open_all(errp) &&
           memory_ram_init(machine_config.ram_size + RAM_FILE_EXTRA, errp) &&
           vcpu_create_all(machine_config.cpus, machine_config.cpu_model, errp) &&
           pc_init(&machine_config, errp) && add_devices(errp) && open_monitors(errp) &&
           open_debugger(errp) &&
           (!launch.pidfile || write_pidfile(errp)) && vcpu_start_threads(errp);
}

static bool load_snapshot(Error **errp)
{
    SnapshotTarget target = {.tag = launch.loadvm};
    bool ok = snapshot_load(&target, errp);

    if (!ok) {
        error_prepend(errp, "-loadvm %s: ", launch.loadvm);
    }
    machine_config.state_comes = false;
    for (unsigned i = 0; i < MAX_SERIALS; i++) {
        if (machine_config.serial[i]) {
            chr_accept_input(machine_config.serial[i]);
        }
    }
    return ok;
}

int main(int argc, char **argv)
{
    Error *err = NULL;
    int ready_fd = -1;

    if (!launch_options_parse(argc, argv, &err)) {
        die(err);
    }
    answer_device_help();
    if (launch.daemonize) {
        go_to_background(&ready_fd);
    }
    loop_init();
    machine_lock();
    catch_signals();
    memory_init();
    exec_init();
    choose_default_lines();
    machine_config.state_comes = launch.loadvm != NULL;
    if (!make_machine(&err)) {
        die(err);
    }
    vcpu_reset_all();
    if (launch.loadvm && !load_snapshot(&err)) {
        die(err);
    }
    if (ready_fd >= 0) {
        finish_background(ready_fd);
    }
    if (!machine_config.start_stopped) {
        machine_start();
    }
    int status = loop_run();
    gdbstub_exit(status);
    snapshot_finish();
    machine_stop(RUN_STATE_SHUTDOWN);
    vcpu_stop_threads();
    jit_log_summary();
    nbd_server_free(nbd_monitor_server);
    nbd_monitor_server = NULL;
    blk_close_all();
    drive_close_nodes();
    chr_close_all();
    return status;
}
