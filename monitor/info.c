/*
 * What `info` shows. Each handler asks a room for its facts and prints them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "config.h"
#include "hw/apic.h"
#include "hw/device.h"
#include "hw/i8259.h"
#include "hw/ioapic.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "hw/pci.h"
#include "monitor/monitor-int.h"
#include "target-i386/cpu-query.h"
#include "target-i386/jit-stats.h"
#include "target-i386/vcpu.h"
#include "ui/display.h"

static void print_buffer(Monitor *mon, Buffer *b)
{
    monitor_write(mon, b->data, b->size);
    buffer_free(b);
}

/* ---- machine ---- */

static void info_version(Monitor *mon, const ArgValue *args)
{
    monitor_printf(mon, "%s\n", VOLE_VERSION);
}

static void info_status(Monitor *mon, const ArgValue *args)
{
    RunState state = machine_run_state();

    if (machine_running()) {
        monitor_printf(mon, "VM status: running\n");
    } else {
        monitor_printf(mon, "VM status: paused (%s)\n", run_state_name(state));
    }
}

static void info_name(Monitor *mon, const ArgValue *args)
{
    if (machine_config.name) {
        monitor_printf(mon, "%s\n", machine_config.name);
    }
}

/* ---- CPU ---- */

static void on_cpu(Monitor *mon, void (*dump)(CPUX86State *env, Buffer *out))
{
    CPUX86State *env = monitor_cpu(mon);
    Buffer b = {0};
    bool paused;

    if (env) {
        paused = monitor_pause_cpus();
        dump(env, &b);
        monitor_resume_cpus(paused);
        print_buffer(mon, &b);
    }
}

static void dump_all_registers(CPUX86State *env, Buffer *out)
{
    cpu_dump_registers(env, out);
    cpu_dump_fpu(env, out);
}

static void info_registers(Monitor *mon, const ArgValue *args)
{
    Buffer b = {0};
    bool paused;

    if (!args[0].present) {
        on_cpu(mon, dump_all_registers);
        return;
    }
    if (strcmp(args[0].text, "-a") != 0) {
        monitor_printf(mon, "info registers takes -a (all CPUs) or nothing\n");
        return;
    }
    paused = monitor_pause_cpus();
    for (unsigned i = 0; i < vcpu_count(); i++) {
        buffer_printf(&b, "\nCPU#%u\n", i);
        dump_all_registers(vcpu_env(i), &b);
    }
    monitor_resume_cpus(paused);
    print_buffer(mon, &b);
}

static void info_mem(Monitor *mon, const ArgValue *args)
{
    on_cpu(mon, cpu_dump_mem_mappings);
}

static void info_tlb(Monitor *mon, const ArgValue *args)
{
    on_cpu(mon, cpu_dump_tlb);
}

static void info_cpus(Monitor *mon, const ArgValue *args)
{
    bool paused = monitor_pause_cpus();
    Buffer b = {0};

    for (unsigned i = 0; i < vcpu_count(); i++) {
        buffer_printf(&b, "%c ", i == monitor_cpu_index() ? '*' : ' ');
        cpu_dump_summary(vcpu_env(i), &b);
    }
    monitor_resume_cpus(paused);
    print_buffer(mon, &b);
}

static void info_jit(Monitor *mon, const ArgValue *args)
{
    bool paused = monitor_pause_cpus();
    Buffer b = {0};

    jit_info(&b);
    monitor_resume_cpus(paused);
    print_buffer(mon, &b);
}

/* ---- devices ---- */

static void info_pci(Monitor *mon, const ArgValue *args)
{
    char *text;

    if (!pci_bus_first()) {
        monitor_printf(mon, "the machine has no PCI bus\n");
        return;
    }
    text = pci_info_text();
    monitor_printf(mon, "%s", text);
    free(text);
}

static void print_device(Device *dev, int depth, void *opaque)
{
    Monitor *mon = opaque;
    int indent = depth * 2;

    monitor_printf(mon, "%*sdev: %s, id \"%s\"\n", indent, "", dev->class->name,
                   dev->id ? dev->id : "");
    for (const Property *p = dev->class->props; p && p->name; p++) {
        char *text = device_property_text(dev, p);
        monitor_printf(mon, "%*s  %s = %s\n", indent, "", p->name, text ? text : "");
        free(text);
    }
}

static void info_qtree(Monitor *mon, const ArgValue *args)
{
    device_each(print_device, mon);
}

static void print_range(hwaddr addr, uint64_t size, const MemoryRegion *mr, bool readonly,
                        void *opaque)
{
    static const char *const kinds[] = {"container", "ram", "rom", "i/o", "alias"};

    monitor_printf(opaque, "  %016llx-%016llx (%s): %s\n", (unsigned long long)addr,
                   (unsigned long long)(addr + size - 1),
                   mr->kind == MEMORY_RAM && readonly ? "rom" : kinds[mr->kind], mr->name);
}

static void info_mtree(Monitor *mon, const ArgValue *args)
{
    AddressSpace *const spaces[] = {&memory_as, &memory_smm_as, &memory_io_as};

    for (unsigned i = 0; i < 3; i++) {
        monitor_printf(mon, "address-space: %s\n", spaces[i]->name);
        memory_each_range(spaces[i], print_range, mon);
    }
}

static void print_pic(Device *dev, int depth, void *opaque)
{
    if (dev->class != &i8259_class) {
        return;
    }
    monitor_printf(opaque,
                   "i8259: INT output %s, requests waiting:", i8259_output(dev) ? "high" : "low");
    for (unsigned n = 0; n < 16; n++) {
        if (i8259_waiting(dev, n)) {
            monitor_printf(opaque, " %u", n);
        }
    }
    monitor_printf(opaque, "\n");
}

static void info_pic(Monitor *mon, const ArgValue *args)
{
    device_each(print_pic, mon);
}

static void info_lapic(Monitor *mon, const ArgValue *args)
{
    uint64_t id = args[0].present ? args[0].number : monitor_cpu_index();
    bool paused, found;
    Buffer b = {0};

    if (id >= vcpu_count()) {
        monitor_printf(mon, "there is no CPU with APIC ID %llu; info cpus lists them\n",
                       (unsigned long long)id);
        return;
    }
    paused = monitor_pause_cpus();
    found = apic_dump((unsigned)id, &b);
    monitor_resume_cpus(paused);
    print_buffer(mon, &b);
    if (!found) {
        monitor_printf(mon, "CPU %u has no local APIC\n", (unsigned)id);
    }
}

static void info_ioapic(Monitor *mon, const ArgValue *args)
{
    bool paused = monitor_pause_cpus(), found;
    Buffer b = {0};

    found = ioapic_dump(&b);
    monitor_resume_cpus(paused);
    print_buffer(mon, &b);
    if (!found) {
        monitor_printf(mon, "the machine has no I/O APIC\n");
    }
}

/* ---- backends ---- */

static void print_chardev(CharBackend *chr, void *opaque)
{
    monitor_printf(opaque, "%s: filename=%s\n", chr_id(chr), chr_spec(chr));
}

static void info_chardev(Monitor *mon, const ArgValue *args)
{
    chr_each(print_chardev, mon);
}

static void print_mouse(unsigned n, const char *name, bool current, void *opaque)
{
    monitor_printf(opaque, "%c Mouse #%u: %s\n", current ? '*' : ' ', n, name);
}

static void info_mice(Monitor *mon, const ArgValue *args)
{
    input_each_mouse(print_mouse, mon);
}

static void print_screen(Display *d, void *opaque)
{
    const Surface *s = display_surface(d);

    monitor_printf(opaque, "%c %s: %u x %u\n", d == display_selected() ? '*' : ' ', display_name(d),
                   s->width, s->height);
}

static void info_screens(Monitor *mon, const ArgValue *args)
{
    display_each(print_screen, mon);
}

static void print_history(const char *line, void *opaque)
{
    monitor_printf(opaque, "%s\n", line);
}

static void info_history(Monitor *mon, const ArgValue *args)
{
    monitor_each_line(mon, print_history, mon);
}

static void info_kvm(Monitor *mon, const ArgValue *args)
{
    monitor_printf(mon, "kvm support: not compiled\n");
}

static void info_uuid(Monitor *mon, const ArgValue *args)
{
    const uint8_t *u = machine_config.uuid;

    for (unsigned i = 0; i < sizeof(machine_config.uuid); i++) {
        monitor_printf(mon, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
    }
    monitor_printf(mon, "\n");
}

static void info_memory_size(Monitor *mon, const ArgValue *args)
{
    monitor_printf(mon, "base memory: %llu\n", (unsigned long long)machine_config.ram_size);
}

static void info_qdm(Monitor *mon, const ArgValue *args)
{
    for (const DeviceClass *const *c = device_classes; *c; c++) {
        monitor_printf(mon, "name \"%s\", bus %s, desc \"%s\"%s\n", (*c)->name, (*c)->bus,
                       (*c)->desc, (*c)->user_creatable ? "" : ", no-user");
    }
}

/* clang-format off */
const MonitorCommand info_commands[] = {
    {"block", {{"-n", ARG_FLAG, true, NULL}, {"-v", ARG_FLAG, true, NULL}, {"drive", ARG_WORD, true, complete_blk}},
     "disk drives and their images; -n: all nodes, -v: in detail", info_block, NULL},
    {"block-jobs", {{0}}, "copies, commits and their like that run beside the guest", info_block_jobs, NULL},
    {"blockstats", {{0}}, "what the disk drives have done so far", info_blockstats, NULL},
    {"chardev", {{0}}, "character devices", info_chardev, NULL},
    {"cpus", {{0}}, "the CPUs; * marks the one that commands look at", info_cpus, NULL},
    {"history", {{0}}, "the lines typed so far", info_history, NULL},
    {"ioapic", {{0}}, "the I/O APIC: its redirection table", info_ioapic, NULL},
    {"kvm", {{0}}, "whether hardware runs guest code", info_kvm, NULL},
    {"lapic", {{"apic-id", ARG_NUMBER, true, NULL}},
     "the local APIC of the CPU looked at, or of the one with that ID", info_lapic, NULL},
    {"mem", {{0}}, "ranges of mapped virtual memory", info_mem, NULL},
    {"memory_size_summary", {{0}}, "the size of RAM in bytes", info_memory_size, NULL},
    {"jit", {{0}}, "the translator: blocks, cache, what took the slow paths", info_jit, NULL},
    {"mice", {{0}}, "the mice; * marks the one that moves", info_mice, NULL},
    {"mtree", {{0}}, "the memory and port map", info_mtree, NULL},
    {"name", {{0}}, "the machine's name", info_name, NULL},
    {"pci", {{0}}, "PCI devices", info_pci, NULL},
    {"pic|irq", {{0}}, "the interrupt controllers' waiting requests", info_pic, NULL},
    {"qdm", {{0}}, "the kinds of devices there are", info_qdm, NULL},
    {"qtree", {{0}}, "the tree of devices with their properties", info_qtree, NULL},
    {"registers", {{"-a", ARG_WORD, true, NULL}}, "the CPU's registers; -a: all CPUs'",
     info_registers, NULL},
    {"screens", {{0}}, "the screens; * marks the one that is looked at", info_screens, NULL},
    {"snapshots", {{0}}, "snapshots of the machine, and those of single disks", info_snapshots, NULL},
    {"status", {{0}}, "whether the machine runs, and why not", info_status, NULL},
    {"tlb", {{0}}, "mapped virtual pages", info_tlb, NULL},
    {"uuid", {{0}}, "the machine's UUID", info_uuid, NULL},
    {"version", {{0}}, "the emulator's version", info_version, NULL},
    {NULL, {{0}}, NULL, NULL, NULL},
};
/* clang-format on */
