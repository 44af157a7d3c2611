/*
 * The options: one table, which also makes -help and the manual page, and a handler a row. Handlers
 * only check and note values; the room that owns a value parses it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "vl-options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "block/drive.h"
#include "config.h"
#include "hw/loader.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "target-i386/accel.h"
#include "target-i386/jit-stats.h"
#include "target-i386/cpuid.h"
#include "util/log.h"
#include "util/options.h"

#define MIB (1ull << 20)

enum {
    DEFAULT_RAM_MIB = 128,
    MAX_RAM_MIB = 1 << 20, /* 40 physical address bits */
};

LaunchOptions launch;

static bool list_add(TextList *list, const char *option, const char *value, Error **errp)
{
    if (list->count == MAX_LISTED) {
        error_set(errp, "%s %s: given too often; at most %d are possible", option, value,
                  MAX_LISTED);
        return false;
    }
    list->items[list->count++] = value;
    return true;
}

/* ---- options: machine ---- */

/* Finds value in words; the error lists them. */
static bool choose(const char *option, const char *value, const char *const *words,
                   unsigned *choice, Error **errp)
{
    char all[256] = "";

    for (unsigned i = 0; words[i]; i++) {
        if (!strcmp(value, words[i])) {
            *choice = i;
            return true;
        }
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", words[i]);
    }
    const char *near = nearest_name(value, words);
    error_set(errp, "%s: '%s' is not possible%s%s%s; possible: %s", option, value,
              near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "", all);
    return false;
}

/* What -accel jit takes to show what the translator does. */
static bool accel_looking_inside(const SubOptions *so, bool jit, Error **errp)
{
    static const char *const switches[] = {"off", "on", NULL};
    const char *profile = suboptions_get(so, "profile"), *perfmap = suboptions_get(so, "perfmap");
    const char *symbols = suboptions_get(so, "perfmap-symbols");
    unsigned count = 0, map = 0;

    if (!jit && (profile || perfmap || symbols)) {
        error_set(errp, "-accel: %s belongs to 'jit'",
                  profile   ? "profile"
                  : perfmap ? "perfmap"
                            : "perfmap-symbols");
        return false;
    }
    if ((profile && !choose("-accel: profile", profile, switches, &count, errp)) ||
        (perfmap && !choose("-accel: perfmap", perfmap, switches, &map, errp))) {
        return false;
    }
    if (symbols && !map) {
        error_set(errp, "-accel: perfmap-symbols goes with perfmap=on");
        return false;
    }
    jit_set_profile(count);
    return (!map || jit_set_perfmap(errp)) && (!symbols || jit_set_perfmap_symbols(symbols, errp));
}

/* tcg: what scripts written for QEMU ask for when they want its translator. */
static bool opt_accel(const char *value, Error **errp)
{
    enum { JIT, TCG, INTERP, LIST };
    static const char *const accels[] = {"jit", "tcg", "interp", "help", NULL};
    static const char *const keys[] = {"accel",   "cache-size",      "profile",
                                       "perfmap", "perfmap-symbols", NULL};
    SubOptions so;
    unsigned choice = JIT;
    uint64_t bytes;

    suboptions_parse(&so, value, "accel");
    const char *name = suboptions_get(&so, "accel"), *size = suboptions_get(&so, "cache-size");
    bool ok = suboptions_check(&so, "-accel", keys, errp) &&
              choose("-accel", name ? name : "", accels, &choice, errp);
    if (ok && choice == LIST) {
        puts("jit      the translator (default); cache-size=SIZE bounds the translated code of a CPU\n"
             "         (without it all CPUs together have half as much as the guest has memory, from 64M\n"
             "         to 256M and to a sixteenth of the host's memory, but 8M each);\n"
             "         profile=on counts how often blocks run for 'info jit'; perfmap=on writes\n"
             "         /tmp/perf-PID.map for perf, with the symbols of perfmap-symbols=FILE (a System.map)\n"
             "tcg      the same\n"
             "interp   the reference executor");
        exit(0);
    }
    ok = ok && accel_looking_inside(&so, choice != INTERP, errp);
    if (ok && size && choice == INTERP) {
        error_set(errp, "-accel: cache-size belongs to 'jit'");
        ok = false;
    }
    if (ok && size) {
        ok = parse_size("-accel", size, MIB, &bytes, errp);
        if (ok && (bytes < JIT_CACHE_SIZE_MIN || bytes > JIT_CACHE_SIZE_MAX)) {
            error_set(errp, "-accel: cache-size '%s' is not possible; possible: 1M to 1G", size);
            ok = false;
        }
        if (ok) {
            jit_set_cache_size(bytes);
        }
    }
    if (ok) {
        accel_select(choice == INTERP ? &accel_interp : &accel_jit);
    }
    suboptions_free(&so);
    return ok;
}

/* "kvm:tcg", as programs ask that go by what there is: the first one that we have. */
static bool first_accel(const char *list, Error **errp)
{
    const char *colon = strchr(list, ':');
    bool ok;

    if (!colon) {
        return opt_accel(list, errp);
    }
    char *first = strndup(list, (size_t)(colon - list));
    ok = opt_accel(first, NULL) || first_accel(colon + 1, errp);
    free(first);
    return ok;
}

static bool opt_machine(const char *value, Error **errp)
{
    enum { PC, ISAPC, NONE, LIST };
    static const char *const machines[] = {"pc", "isapc", "none", "help", NULL};
    static const char *const keys[] = {"type", "accel", "usb", "dump-guest-core", NULL};
    SubOptions so;
    unsigned choice = 0;

    suboptions_parse(&so, value, "type");
    const char *type = suboptions_get(&so, "type"), *accel = suboptions_get(&so, "accel");
    bool ok = suboptions_check(&so, "-machine", keys, errp) &&
              (!type || choose("-machine", type, machines, &choice, errp)) &&
              (!accel || first_accel(accel, errp));
    const char *usb = suboptions_get(&so, "usb"), *dump = suboptions_get(&so, "dump-guest-core");
    ok = ok && (!dump || set_dump_guest_core(dump, errp));
    if (ok && usb && strcmp(usb, "off")) {
        error_set(errp, "-machine: usb=%s is not possible; possible: off", usb);
        ok = false;
    }
    if (ok && choice == LIST) {
        puts("pc       i440FX and PIIX3, PCI (default)");
        puts("isapc    ISA only, no PCI");
        puts("none     nothing at all, for programs that only ask questions (-qmp)");
        exit(0);
    }
    if (ok && type) {
        machine_config.machine = machines[choice];
    }
    suboptions_free(&so);
    return ok;
}

static bool opt_cpu(const char *value, Error **errp)
{
    if (!strcmp(value, "help") || !strcmp(value, "?")) {
        cpu_model_help();
        exit(0);
    }
    machine_config.cpu_model = value;
    return true;
}

static bool opt_smp(const char *value, Error **errp)
{
    static const char *const keys[] = {"cpus", "maxcpus", "sockets", "cores", "threads", NULL};
    SubOptions so;
    uint64_t cpus = 0, n;

    suboptions_parse(&so, value, "cpus");
    bool ok = suboptions_check(&so, "-smp", keys, errp);
    for (size_t i = 0; ok && i < so.count; i++) {
        const char *key = so.items[i].key;
        bool one = !strcmp(key, "cores") || !strcmp(key, "threads");
        /* Every CPU is a package of its own. */
        ok = parse_number("-smp", so.items[i].value, 1, one ? 1 : CPU_MAX, &n, errp);
        if (ok && (!strcmp(key, "cpus") || (!cpus && !strcmp(key, "sockets")))) {
            cpus = n;
        }
    }
    suboptions_free(&so);
    if (ok && cpus) {
        machine_config.cpus = (unsigned)cpus;
    }
    return ok;
}

static bool opt_m(const char *value, Error **errp)
{
    static const char *const keys[] = {"size", NULL};
    SubOptions so;
    uint64_t bytes;

    suboptions_parse(&so, value, "size");
    const char *size = suboptions_get(&so, "size");
    bool ok = suboptions_check(&so, "-m", keys, errp) &&
              parse_size("-m", size ? size : "", MIB, &bytes, errp);
    if (ok && (bytes < MIB || bytes > MAX_RAM_MIB * MIB)) {
        error_set(errp, "-m: '%s' is not possible; possible: 1M to 1T", value);
        ok = false;
    }
    if (ok) {
        machine_config.ram_size = (bytes + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    }
    suboptions_free(&so);
    return ok;
}

static bool opt_boot(const char *value, Error **errp)
{
    static const char *const keys[] = {"order",          "once",   "menu", "splash-time",
                                       "reboot-timeout", "strict", NULL};
    SubOptions so;

    suboptions_parse(&so, value, "order");
    bool ok = suboptions_check(&so, "-boot", keys, errp);
    const char *order = suboptions_get(&so, "order");
    if (ok && order && order[strspn(order, "acdn")]) {
        error_set(errp,
                  "-boot: order '%s' is not possible; possible: letters of c (disk), d (CD-ROM), "
                  "a (floppy), n (network)",
                  order);
        ok = false;
    }
    suboptions_free(&so);
    machine_config.boot = value;
    return ok;
}

static bool opt_name(const char *value, Error **errp)
{
    SubOptions so;

    suboptions_parse(&so, value, "guest");
    const char *name = suboptions_get(&so, "guest");
    machine_config.name = strdup(name ? name : value);
    suboptions_free(&so);
    return true;
}

/* base=utc, localtime or 2026-11-21T08:00:00; clock=host or vm. */
static bool opt_rtc(const char *value, Error **errp)
{
    static const char *const keys[] = {"base", "clock", "driftfix", NULL};
    static const char *const clocks[] = {"host", "rt", "vm", NULL};
    static const char *const driftfixes[] = {"none", "slew", NULL};
    SubOptions so;
    unsigned choice = 0;

    suboptions_parse(&so, value, "base");
    bool ok = suboptions_check(&so, "-rtc", keys, errp);
    const char *base = suboptions_get(&so, "base"), *clock = suboptions_get(&so, "clock");
    const char *driftfix = suboptions_get(&so, "driftfix");
    ok = ok && (!driftfix || choose("-rtc: driftfix", driftfix, driftfixes, &choice, errp));
    if (ok && clock && (ok = choose("-rtc: clock", clock, clocks, &choice, errp))) {
        machine_config.rtc_clock_vm = choice == 2;
    }
    if (ok && base) {
        struct tm tm = {0};
        const char *end;
        machine_config.rtc_localtime = !strcmp(base, "localtime");
        if (!machine_config.rtc_localtime && strcmp(base, "utc")) {
            end = strptime(base, "%Y-%m-%dT%H:%M:%S", &tm);
            end = end ? end : strptime(base, "%Y-%m-%d", &tm);
            if (!end || *end) {
                error_set(errp,
                          "-rtc: base '%s' is not possible; possible: utc, localtime, "
                          "2026-01-31T12:00:00, 2026-01-31",
                          base);
                ok = false;
            }
            machine_config.rtc_offset_sec = timegm(&tm) - time(NULL);
        }
    }
    suboptions_free(&so);
    return ok;
}

static bool opt_localtime(const char *value, Error **errp)
{
    machine_config.rtc_localtime = true;
    return true;
}

static bool opt_no_acpi(const char *value, Error **errp)
{
    machine_config.acpi = false;
    return true;
}

/* ---- options: files to start from ---- */

static bool need_file(const char *option, const char *path, Error **errp)
{
    if (access(path, R_OK)) {
        error_set_errno(errp, errno, "%s: cannot read '%s'", option, path);
        return false;
    }
    return true;
}

static bool opt_bios(const char *value, Error **errp)
{
    machine_config.bios = value;
    return true;
}

static bool opt_kernel(const char *value, Error **errp)
{
    machine_config.kernel = value;
    return need_file("-kernel", value, errp);
}

static bool opt_initrd(const char *value, Error **errp)
{
    machine_config.initrd = value;
    /* A list of Multiboot modules with arguments is taken apart by the loader. */
    return strpbrk(value, " ,") || need_file("-initrd", value, errp);
}

static bool opt_append(const char *value, Error **errp)
{
    machine_config.append = value;
    return true;
}

static bool opt_data_dir(const char *value, Error **errp)
{
    loader_add_data_dir(value);
    return true;
}

/* ---- options: disks ---- */

static bool opt_hda(const char *value, Error **errp)
{
    return drive_add_file("-hda", 0, false, value, errp);
}

static bool opt_hdb(const char *value, Error **errp)
{
    return drive_add_file("-hdb", 1, false, value, errp);
}

static bool opt_hdc(const char *value, Error **errp)
{
    return drive_add_file("-hdc", 2, false, value, errp);
}

static bool opt_hdd(const char *value, Error **errp)
{
    return drive_add_file("-hdd", 3, false, value, errp);
}

static bool opt_cdrom(const char *value, Error **errp)
{
    return drive_add_file("-cdrom", 2, true, value, errp);
}

static bool opt_drive(const char *value, Error **errp)
{
    return drive_add(value, errp);
}

static bool opt_blockdev(const char *value, Error **errp)
{
    return drive_add_node(value, errp);
}

static bool opt_loadvm(const char *value, Error **errp)
{
    launch.loadvm = value;
    return true;
}

static bool opt_snapshot(const char *value, Error **errp)
{
    drive_set_snapshot(true);
    return true;
}

/* ---- options: screens, lines, devices ---- */

static bool opt_nographic(const char *value, Error **errp)
{
    machine_config.nographic = true;
    launch.display_chosen = true;
    return true;
}

static bool opt_display(const char *value, Error **errp)
{
    static const char *const displays[] = {"none", "help", NULL};
    unsigned choice;

    if (!choose("-display", value, displays, &choice, errp)) {
        return false;
    }
    if (choice == 1) {
        puts("none     no window; the screen can be seen with the monitor's screendump");
        exit(0);
    }
    launch.display_chosen = true;
    return true;
}

static bool opt_vga(const char *value, Error **errp)
{
    static const char *const cards[] = {"none", "std", NULL};
    unsigned choice;

    if (!choose("-vga", value, cards, &choice, errp)) {
        return false;
    }
    machine_config.vga = choice == 1;
    return true;
}

static bool opt_serial(const char *value, Error **errp)
{
    if (launch.serials.count == MAX_SERIALS) {
        error_set(errp, "-serial %s: the board has %d serial ports", value, MAX_SERIALS);
        return false;
    }
    return list_add(&launch.serials, "-serial", value, errp);
}

static bool opt_parallel(const char *value, Error **errp)
{
    if (launch.parallels.count == MAX_PARALLELS) {
        error_set(errp, "-parallel %s: the board has %d parallel ports", value, MAX_PARALLELS);
        return false;
    }
    return list_add(&launch.parallels, "-parallel", value, errp);
}

static bool opt_monitor(const char *value, Error **errp)
{
    return list_add(&launch.monitors, "-monitor", value, errp);
}

static bool opt_qmp(const char *value, Error **errp)
{
    return list_add(&launch.qmps, "-qmp", value, errp);
}

static bool opt_qmp_pretty(const char *value, Error **errp)
{
    return list_add(&launch.qmp_pretties, "-qmp-pretty", value, errp);
}

static bool opt_mon(const char *value, Error **errp)
{
    static const char *const keys[] = {"chardev", "mode", "pretty", "id", "name", NULL};
    SubOptions so;

    suboptions_parse(&so, value, "chardev");
    bool ok = suboptions_check(&so, "-mon", keys, errp);
    if (ok && !suboptions_get(&so, "chardev")) {
        error_set(errp, "-mon: chardev= is missing; it names a -chardev");
        ok = false;
    }
    suboptions_free(&so);
    return ok && list_add(&launch.mons, "-mon", value, errp);
}

static bool opt_chardev(const char *value, Error **errp)
{
    return list_add(&launch.chardevs, "-chardev", value, errp);
}

static bool opt_debugcon(const char *value, Error **errp)
{
    launch.debugcon = value;
    return true;
}

static bool opt_device(const char *value, Error **errp)
{
    return list_add(&launch.devices, "-device", value, errp);
}

/* There is no configuration file that could be left out. */
static bool opt_no_user_config(const char *value, Error **errp)
{
    return true;
}

static bool opt_nodefaults(const char *value, Error **errp)
{
    launch.nodefaults = true;
    machine_config.vga = false;
    return true;
}

/* ---- options: running ---- */

static bool opt_no_reboot(const char *value, Error **errp)
{
    machine_config.no_reboot = true;
    return true;
}

static bool opt_no_shutdown(const char *value, Error **errp)
{
    machine_config.no_shutdown = true;
    return true;
}

static bool opt_stopped(const char *value, Error **errp)
{
    machine_config.start_stopped = true;
    return true;
}

static bool opt_gdb(const char *value, Error **errp)
{
    launch.gdb = value;
    return true;
}

static bool opt_gdb_default(const char *value, Error **errp)
{
    launch.gdb = "tcp::1234";
    return true;
}

static bool opt_pidfile(const char *value, Error **errp)
{
    launch.pidfile = value;
    return true;
}

static bool opt_daemonize(const char *value, Error **errp)
{
    launch.daemonize = true;
    return true;
}

static bool opt_log_items(const char *value, Error **errp)
{
    if (!log_set_items(value, errp)) {
        return false;
    }
    if (!strcmp(value, "help")) {
        exit(0);
    }
    return true;
}

static bool opt_log_filter(const char *value, Error **errp)
{
    return log_set_filter(value, errp);
}

static bool opt_log_file(const char *value, Error **errp)
{
    return log_set_file(value, errp);
}

static bool opt_help(const char *value, Error **errp);
static bool opt_manual(const char *value, Error **errp);

static bool opt_version(const char *value, Error **errp)
{
    puts("Vole PC emulator version " VOLE_VERSION);
    exit(0);
}

#define MACHINE "Machine"
#define START   "What to start"
#define DISKS   "Disks"
#define IO      "Screen, lines and devices"
#define RUN     "Running"
#define LOGGING "Looking inside"
#define HELP    "Help"

static const Option options[] = {
    {"M", "TYPE", MACHINE, "the board: pc (default), isapc or none", NULL, opt_machine},
    {"machine", "TYPE[,accel=NAME]", MACHINE, "same as -M", NULL, opt_machine},
    {"accel", "NAME[,cache-size=SIZE][,profile=on][,perfmap=on]", MACHINE,
     "how guest code runs: jit, the translator (default), or interp, the reference executor",
     "profile=on counts how often each block of code runs, for the monitor's info jit. perfmap=on writes "
     "/tmp/perf-PID.map, by which perf report names guest code: by address, or by the symbols of "
     "perfmap-symbols=FILE (a System.map).",
     opt_accel},
    {"cpu", "MODEL[,+FEATURE][,-FEATURE]", MACHINE, "the CPU; -cpu help lists models and features",
     "The default, max, has everything that the host's CPU has and Vole runs.", opt_cpu},
    {"smp", "N", MACHINE, "number of CPUs, 1 to 64 (default 1)", NULL, opt_smp},
    {"m", "SIZE", MACHINE, "guest memory in MB, or with K, M, G, T (default 128)", NULL, opt_m},
    {"rtc", "base=TIME,clock=CLOCK", MACHINE,
     "the clock chip: base=utc, localtime or a date; clock=host or vm",
     "With clock=host the guest's clock chip follows the host's time, also while the guest is "
     "stopped; with "
     "clock=vm it stands still then.",
     opt_rtc},
    {"localtime", NULL, MACHINE, "the clock chip shows local time, as some systems want", NULL,
     opt_localtime},
    {"no-acpi", NULL, MACHINE, "a board without ACPI tables", NULL, opt_no_acpi},
    {"uuid", "UUID", MACHINE, "the machine's UUID, shown in SMBIOS tables", NULL, opt_uuid},
    {"overcommit", "mem-lock=off,cpu-pm=off", MACHINE, "what programs say that start emulators; nothing is locked",
     NULL, opt_overcommit},
    {"object", "secret,id=ID,file=FILE", MACHINE,
     "a password for encrypted disk images, which name it by -drive ...,key-secret=ID (qcow2: encrypt.key-secret=ID)",
     "data=TEXT gives it on the command line, where others can see it; format=base64 for bytes that are no text.", opt_object},
    {"name", "NAME", MACHINE, "the machine's name, shown in SMBIOS tables", NULL, opt_name},

    {"kernel", "FILE", START, "start this Linux (bzImage) or Multiboot kernel", NULL, opt_kernel},
    {"initrd", "FILE", START, "initial RAM disk; for Multiboot: \"FILE ARGS,FILE ARGS\" as modules",
     NULL, opt_initrd},
    {"append", "TEXT", START, "the kernel's command line", NULL, opt_append},
    {"boot", "ORDER", START, "boot order: c disk, d CD-ROM, as in -boot order=dc,menu=on", NULL,
     opt_boot},
    {"bios", "FILE", START, "another BIOS image", NULL, opt_bios},
    {"L", "DIR", START, "look for BIOS images in DIR first", NULL, opt_data_dir},

    {"hda", "FILE", DISKS, "first hard disk (primary master); fat:rw:DIR shows a directory as a disk",
     "fat:DIR is a disk with a FAT file system that holds what is in the host's directory DIR; with fat:rw:DIR the "
     "guest may write, and when it flushes or the machine ends, what it did is carried out in DIR if its file system "
     "is in order. fat:12:, fat:16: and fat:32: choose the kind, fat:floppy: makes a floppy. The host should leave "
     "the directory alone meanwhile.",
     opt_hda},
    {"hdb", "FILE", DISKS, "second hard disk (primary slave)", NULL, opt_hdb},
    {"hdc", "FILE", DISKS, "third hard disk (secondary master)", NULL, opt_hdc},
    {"hdd", "FILE", DISKS, "fourth hard disk (secondary slave)", NULL, opt_hdd},
    {"cdrom", "FILE", DISKS, "CD-ROM image (secondary master)", NULL, opt_cdrom},
    {"drive", "file=FILE,...", DISKS,
     "a drive in detail: file= if= index= media= format= readonly= snapshot= cache= aio= ...",
     "file= is a path, a device, or a disk elsewhere: nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH, "
     "http://..., rbd:POOL/IMAGE (docs/protocols.md lists all). if= is ide or none; index= counts primary master, primary slave, secondary master, secondary "
     "slave from 0; media= is disk or cdrom; format= is raw, qcow2 or another that vole-img --help "
     "lists, guessed where it is missing; readonly= and snapshot= are on or off. cache= is writeback "
     "(default), none (past the host's cache), writethrough, directsync or unsafe; aio= is io_uring, "
     "native or threads; discard= is ignore or unmap, detect-zeroes= off, on or unmap; werror= and "
     "rerror= say what a failed request does: report, ignore, stop, or enospc (stop when the host's disk is "
     "full, default for writes). throttling.bps-total=, -read, -write and throttling.iops-total=, "
     "-read, -write limit bytes and requests a second; each with -max and -max-length lets bursts have that rate "
     "for so many seconds (1). throttling.iops-size= counts larger requests as several; drives with the same "
     "throttling.group= share its limits. Options of the image's own node go along: "
     "l2-cache-size=, backing.file.filename=, file.locking=, node-name= ...",
     opt_drive},
    {"blockdev", "driver=DRIVER,node-name=NAME,...", DISKS,
     "a node of the block graph: file, raw, qcow2 ...; -drive file=NAME or drive=NAME uses it",
     "file= and backing= name other nodes or, with dots, say what they are: "
     "driver=qcow2,node-name=disk,file.driver=file,file.filename=disk.qcow2. The same as JSON in { } is "
     "taken, too.",
     opt_blockdev},
    {"snapshot", NULL, DISKS, "throw away what the guest writes to its disks when it ends", NULL,
     opt_snapshot},

    {"nographic", NULL, IO, "no window; serial port and monitor share the terminal (Ctrl-a h)",
     NULL, opt_nographic},
    {"display", "NAME", IO, "none", NULL, opt_display},
    {"vga", "CARD", IO, "std (default) or none", NULL, opt_vga},
    {"serial", "CHARDEV", IO, "a serial port on stdio, file:PATH, unix:PATH,server, pty, none ...",
     "CHARDEV is one of: stdio; vc[:WIDTHxHEIGHT]; pty; null; none; file:PATH; pipe:PATH (PATH.in and PATH.out, "
     "made where there are none) and pipe_client:PATH, its other end; unix:PATH and tcp:HOST:PORT and "
     "telnet:HOST:PORT with ,server ,nowait ,delay ,reconnect=SECONDS; udp:HOST:PORT[@[OUR-HOST]:OUR-PORT]; "
     "msmouse; ringbuf[:SIZE]; /dev/TTY, a serial port of the host; chardev:ID, a -chardev; mon:CHARDEV, shared "
     "with a monitor (Ctrl-a c switches).",
     opt_serial},
    {"parallel", "CHARDEV", IO, "a parallel port with a printer: file:PATH, or /dev/parport0 of the host ...",
     "CHARDEV as for -serial.", opt_parallel},
    {"monitor", "CHARDEV", IO, "a monitor on stdio, unix:PATH,server, tcp::PORT,server ...", NULL,
     opt_monitor},
    {"qmp", "CHARDEV", IO, "a JSON monitor (QMP) for programs: unix:PATH,server,nowait, tcp::PORT,server ...",
     "The protocol and the names of commands are those of QEMU 7.2; query-commands lists what there is.", opt_qmp},
    {"qmp-pretty", "CHARDEV", IO, "the same with answers over several lines, for people", NULL, opt_qmp_pretty},
    {"mon", "chardev=ID[,mode=MODE]", IO, "a monitor on a -chardev: mode=readline (default) or control (QMP)",
     "pretty=on goes with mode=control.", opt_mon},
    {"debugcon", "CHARDEV", IO, "what the guest writes to port 0xe9", NULL, opt_debugcon},
    {"chardev", "TYPE,id=ID,...", IO, "a character device for -device to name",
     "-chardev help lists the types. Each takes mux=on (several may share it) and logfile=PATH: what the guest writes "
     "to it also goes into that file, behind what is there with logappend=on. -serial and its like take them behind a "
     "comma, too, except behind file:PATH, pipe:PATH and /dev/TTY.", opt_chardev},
    {"device", "NAME[,PROP=VALUE]", IO,
     "adds a device; -device help lists them, NAME,help its properties", NULL, opt_device},
    {"no-user-config", NULL, IO, "read no configuration file; none is ever read", NULL, opt_no_user_config},
    {"audiodev", "none,id=ID", IO, "no sound", NULL, opt_audiodev},
    {"nodefaults", NULL, IO, "nothing on the board but what is asked for", NULL, opt_nodefaults},

    {"S", NULL, RUN, "do not start the guest; the monitor's cont does", NULL, opt_stopped},
    {"gdb", "CHARDEV", RUN, "wait for GDB on tcp::PORT, unix:PATH, stdio, pty ... or chardev:ID",
     "A connection stops the guest. In GDB: target remote :PORT (or the socket's path, or | vole -gdb stdio ...). "
     "Breakpoints and watchpoints need nothing of the guest; each CPU is a thread; \"monitor COMMAND\" runs a "
     "command of the monitor. $pc is a linear address: CS's base is added, so that x/i $pc shows real-mode code.",
     opt_gdb},
    {"s", NULL, RUN, "the same as -gdb tcp::1234", NULL, opt_gdb_default},
    {"loadvm", "TAG", RUN, "start from a snapshot of the machine that savevm made",
     "The machine has to be made as it was: the same -M, -m, -smp, -cpu, drives and devices. The clock of the mainboard goes on with the "
     "host's time, or with -rtc clock=vm with the time the guest had. file:PATH names the file that \"savevm file:PATH\" wrote.",
     opt_loadvm},
    {"no-reboot", NULL, RUN, "end instead of rebooting", NULL, opt_no_reboot},
    {"no-shutdown", NULL, RUN, "stop instead of ending when the guest powers off", NULL,
     opt_no_shutdown},
    {"daemonize", NULL, RUN, "go to the background once the machine is made", NULL, opt_daemonize},
    {"pidfile", "FILE", RUN, "write the process number to FILE", NULL, opt_pidfile},

    {"msg", "timestamp=on", LOGGING, "messages begin with the time", NULL, opt_msg},
    {"d", "ITEM,...", LOGGING, "log these items; -d help lists them", NULL, opt_log_items},
    {"dfilter", "RANGE,...", LOGGING, "in_asm, out_asm, exec, cpu: only code at FIRST..LAST, FIRST+SIZE or LAST-SIZE", NULL, opt_log_filter},
    {"D", "FILE", LOGGING, "log to FILE instead of stderr", NULL, opt_log_file},

    {"help", NULL, HELP, "this list", NULL, opt_help},
    {"h", NULL, HELP, "this list", NULL, opt_help},
    {"version", NULL, HELP, "the version", NULL, opt_version},
    {"help-manual", NULL, HELP, "the list as a section of the manual page", NULL, opt_manual},
    {0},
};

static bool opt_help(const char *value, Error **errp)
{
    puts("Usage: vole [OPTIONS] [DISK]\n\nA PC emulator. DISK is the same as -hda DISK.\n");
    options_print_help(options);
    exit(0);
}

static bool opt_manual(const char *value, Error **errp)
{
    options_print_manual(options);
    exit(0);
}

static bool opt_positional(const char *value, Error **errp)
{
    return opt_hda(value, errp);
}

/* What only makes sense together. */
static bool check_options(Error **errp)
{
    if (!machine_config.kernel && (machine_config.initrd || machine_config.append)) {
        error_set(errp, "%s: only has a meaning together with -kernel FILE",
                  machine_config.initrd ? "-initrd" : "-append");
        return false;
    }
    if (log_enabled(LOG_LOCKSTEP) && accel_selected() != &accel_jit) {
        error_set(errp, "-d lockstep: checks the translator; not possible with -accel %s",
                  accel_selected()->name);
        return false;
    }
    if (log_enabled(LOG_LOCKSTEP) && machine_config.cpus > 1) {
        error_set(errp, "-d lockstep: runs one CPU; not possible with -smp %u", machine_config.cpus);
        return false;
    }
    if (!strcmp(machine_config.machine, "none") && launch.devices.count) {
        error_set(errp, "-device %s: the board 'none' has no place for devices",
                  launch.devices.items[0]);
        return false;
    }
    if (launch.daemonize && machine_config.nographic && !launch.nodefaults && !launch.serials.count) {
        error_set(
            errp,
            "-daemonize: cannot go together with -nographic; use -display none -serial file:PATH");
        return false;
    }
    return true;
}

const Option *launch_options_table(void)
{
    return options;
}

bool launch_options_parse(int argc, char **argv, Error **errp)
{
    machine_config = (MachineConfig){
        .ram_size = DEFAULT_RAM_MIB * MIB, .cpus = 1, .machine = "pc", .acpi = true, .vga = true};
    accel_select(&accel_jit);
    return options_parse(options, argc, argv, opt_positional, errp) && check_options(errp);
}
