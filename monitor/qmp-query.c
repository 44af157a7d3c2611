/*
 * The JSON monitor's questions: each asks a room for its facts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "config.h"
#include "hw/device.h"
#include "hw/machine.h"
#include "hw/pci.h"
#include "monitor/qmp-int.h"
#include "target-i386/cpuid.h"
#include "target-i386/vcpu.h"
#include "ui/display.h"
#include "util/options.h"

/* The version of the protocol's commands, which clients go by. */
enum { PROTOCOL_MAJOR = 7, PROTOCOL_MINOR = 2 };

json_t *qmp_query_nothing(json_t *args, Error **errp)
{
    return json_array();
}

json_t *qmp_query_migrate(json_t *args, Error **errp)
{
    return qmp_empty();
}

/* There is no migration to have events about, but whether they are wanted is remembered. */
static bool migration_events;

json_t *qmp_query_migrate_capabilities(json_t *args, Error **errp)
{
    return json_pack("[{s:s, s:b}]", "capability", "events", "state", migration_events);
}

json_t *qmp_migrate_set_capabilities(json_t *args, Error **errp)
{
    json_t *item;
    size_t i;

    json_array_foreach(json_object_get(args, "capabilities"), i, item)
    {
        const char *name = qmp_str(item, "capability");
        if (!name || strcmp(name, "events") != 0) {
            error_set(errp, "Parameter 'capability' does not accept value '%s'", name ? name : "");
            return NULL;
        }
        migration_events = qmp_bool(item, "state", false);
    }
    return qmp_empty();
}

/* ---- program and machine ---- */

json_t *qmp_query_version(json_t *args, Error **errp)
{
    return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", PROTOCOL_MAJOR, "minor",
                     PROTOCOL_MINOR, "micro", 0, "package", "Vole " VOLE_VERSION);
}

json_t *qmp_query_commands(json_t *args, Error **errp)
{
    json_t *list = json_array();

    for (const QmpCommand *c = qmp_commands; c->name; c++) {
        json_array_append_new(list, json_pack("{s:s}", "name", c->name));
    }
    return list;
}

json_t *qmp_query_status(json_t *args, Error **errp)
{
    return json_pack("{s:b, s:b, s:s}", "running", machine_running(), "singlestep", 0, "status",
                     run_state_name(machine_run_state()));
}

json_t *qmp_query_name(json_t *args, Error **errp)
{
    json_t *name = machine_config.name ? json_string(machine_config.name) : NULL;

    return name ? json_pack("{s:o}", "name", name) : qmp_empty();
}

json_t *qmp_query_uuid(json_t *args, Error **errp)
{
    const uint8_t *u = machine_config.uuid;
    char text[40];

    snprintf(text, sizeof(text),
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
             u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
    return json_pack("{s:s}", "UUID", text);
}

/* There is no suspend to RAM to wake up from. */
json_t *qmp_query_current_machine(json_t *args, Error **errp)
{
    return json_pack("{s:b}", "wakeup-suspend-support", 0);
}

/* A dump is made before the next command is read. */
json_t *qmp_query_dump(json_t *args, Error **errp)
{
    return json_pack("{s:s, s:i, s:i}", "status", "none", "completed", 0, "total", 0);
}

json_t *qmp_query_replay(json_t *args, Error **errp)
{
    return json_pack("{s:s, s:i}", "mode", "none", "icount", 0);
}

json_t *qmp_query_target(json_t *args, Error **errp)
{
    return json_pack("{s:s}", "arch", "x86_64");
}

json_t *qmp_query_kvm(json_t *args, Error **errp)
{
    return json_pack("{s:b, s:b}", "enabled", 0, "present", 0);
}

json_t *qmp_query_memory(json_t *args, Error **errp)
{
    return json_pack("{s:I}", "base-memory", (json_int_t)machine_config.ram_size);
}

json_t *qmp_query_machines(json_t *args, Error **errp)
{
    json_t *list = json_array();

    json_array_append_new(list, json_pack("{s:s, s:b, s:i, s:b, s:b, s:b}", "name", "pc",
                                          "is-default", 1, "cpu-max", 64, "hotpluggable-cpus", 0,
                                          "numa-mem-supported", 0, "deprecated", 0));
    json_array_append_new(list, json_pack("{s:s, s:i, s:b, s:b, s:b}", "name", "isapc", "cpu-max",
                                          1, "hotpluggable-cpus", 0, "numa-mem-supported", 0,
                                          "deprecated", 0));
    return list;
}

json_t *qmp_query_display_options(json_t *args, Error **errp)
{
    return json_pack("{s:s}", "type", "none");
}

json_t *qmp_query_dump_capability(json_t *args, Error **errp)
{
    return json_pack("{s:[s, s]}", "formats", "elf", "kdump-zlib");
}

static const Option *option_table;

void qmp_set_options(const Option *table)
{
    option_table = table;
}

/* Each option's own keys are its handler's business, so none are listed. */
json_t *qmp_query_command_line_options(json_t *args, Error **errp)
{
    const char *only = qmp_str(args, "option");
    json_t *list = json_array();

    for (const Option *o = option_table; o && o->name; o++) {
        if (!only || strcmp(only, o->name) == 0) {
            json_array_append_new(list, json_pack("{s:s, s:[]}", "option", o->name, "parameters"));
        }
    }
    if (only && json_array_size(list) == 0) {
        json_decref(list);
        error_set(errp, "invalid option name: %s", only);
        return NULL;
    }
    return list;
}

/* ---- CPUs ---- */

/* The host's number of the thread with this name, or 0. */
static long thread_id(const char *name)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    long found = 0;

    while (dir && !found && (entry = readdir(dir))) {
        char path[300], comm[32] = "";
        FILE *f;
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        f = isdigit((unsigned char)entry->d_name[0]) ? fopen(path, "r") : NULL;
        if (f && fgets(comm, sizeof(comm), f)) {
            comm[strcspn(comm, "\n")] = '\0';
            found = strcmp(comm, name) == 0 ? atol(entry->d_name) : 0;
        }
        if (f) {
            fclose(f);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return found;
}

json_t *qmp_query_cpus_fast(json_t *args, Error **errp)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < vcpu_count(); i++) {
        char name[16], path[32];
        snprintf(name, sizeof(name), "vcpu-%u", i);
        snprintf(path, sizeof(path), "/machine/cpu%u", i);
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:I, s:s, s:{s:i, s:i, s:i}}", "cpu-index", (int)i,
                            "qom-path", path, "thread-id", (json_int_t)thread_id(name), "target",
                            "x86_64", "props", "socket-id", (int)i, "core-id", 0, "thread-id", 0));
    }
    return list;
}

json_t *qmp_query_cpu_definitions(json_t *args, Error **errp)
{
    json_t *list = json_array();

    for (unsigned n = 0; cpu_model_name(n); n++) {
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:b, s:[], s:b}", "name",
                                              cpu_model_name(n), "typename", cpu_model_name(n),
                                              "static", 0, "migration-safe", 1,
                                              "unavailable-features", "deprecated", 0));
    }
    return list;
}

/* ---- lines, screens, mice ---- */

/* A name may be no UTF-8. */
static json_t *text(const char *s)
{
    json_t *t = s ? json_string(s) : NULL;

    return t ? t : json_string("");
}

static void add_chardev(CharBackend *chr, void *opaque)
{
    json_array_append_new(opaque,
                          json_pack("{s:s, s:o, s:b}", "label", chr_id(chr), "filename",
                                    text(chr_spec(chr)), "frontend-open", chr_has_front_end(chr)));
}

json_t *qmp_query_chardev(json_t *args, Error **errp)
{
    json_t *list = json_array();

    chr_each(add_chardev, list);
    return list;
}

static void add_kind(const char *name, void *opaque)
{
    json_array_append_new(opaque, json_pack("{s:s}", "name", name));
}

json_t *qmp_query_chardev_backends(json_t *args, Error **errp)
{
    json_t *list = json_array();

    chr_each_kind(add_kind, list);
    return list;
}

static void add_mouse(unsigned n, const char *name, bool current, void *opaque)
{
    json_array_append_new(opaque, json_pack("{s:s, s:i, s:b, s:b}", "name", name, "index", (int)n,
                                            "current", current, "absolute", 0));
}

json_t *qmp_query_mice(json_t *args, Error **errp)
{
    json_t *list = json_array();

    input_each_mouse(add_mouse, list);
    return list;
}

/* ---- PCI ---- */

static json_t *pci_regions(const PciDevice *d)
{
    json_t *list = json_array();

    for (int i = 0; i < PCI_BARS; i++) {
        const PciBar *bar = &d->bars[i];
        if (bar->region && bar->addr != PCI_BAR_UNMAPPED) {
            json_array_append_new(list,
                                  json_pack("{s:i, s:s, s:I, s:I}", "bar", i, "type",
                                            bar->flags & PCI_BAR_IO ? "io" : "memory", "address",
                                            (json_int_t)bar->addr, "size", (json_int_t)bar->size));
        }
    }
    return list;
}

static void add_pci_device(PciDevice *d, void *opaque)
{
    const uint8_t *c = d->config;

    json_array_append_new(
        opaque, json_pack("{s:i, s:i, s:i, s:{s:i}, s:{s:i, s:i}, s:i, s:s, s:o}", "bus", 0, "slot",
                          PCI_SLOT(d->devfn), "function", PCI_FUNCTION(d->devfn), "class_info",
                          "class", pci_get_word(c + 0x0a), "id", "device", pci_get_word(c + 2),
                          "vendor", pci_get_word(c), "irq_pin", c[0x3d], "qdev_id",
                          d->dev.id ? d->dev.id : "", "regions", pci_regions(d)));
}

json_t *qmp_query_pci(json_t *args, Error **errp)
{
    json_t *devices = json_array(), *list = json_array();

    if (!pci_bus_first()) {
        json_decref(devices);
        return list;
    }
    pci_each_device(pci_bus_first(), add_pci_device, devices);
    json_array_append_new(list, json_pack("{s:i, s:o}", "bus", 0, "devices", devices));
    return list;
}

/* ---- the tree of devices ---- */

json_t *qmp_qom_list_types(json_t *args, Error **errp)
{
    json_t *list = json_array();

    for (const DeviceClass *const *c = device_classes; *c; c++) {
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "name", (*c)->name, "parent", "device"));
    }
    /* -accel's, by which libvirt sees that guests can run without hardware's help. */
    json_array_append_new(list, json_pack("{s:s, s:s}", "name", "tcg-accel", "parent", "accel"));
    return list;
}

static const char *property_type(const Property *p)
{
    static const char *const names[] = {
        [PROP_BOOL] = "bool",  [PROP_U8] = "uint8",   [PROP_U16] = "uint16", [PROP_U32] = "uint32",
        [PROP_U64] = "uint64", [PROP_SIZE] = "size",  [PROP_STRING] = "str", [PROP_CHR] = "str",
        [PROP_DRIVE] = "str",  [PROP_NETDEV] = "str",
    };

    return names[p->kind];
}

static void add_properties(json_t *list, const DeviceClass *class)
{
    for (const Property *p = class->props; p && p->name; p++) {
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", p->name, "type",
                                              property_type(p), "description", p->help));
    }
}

json_t *qmp_device_list_properties(json_t *args, Error **errp)
{
    const char *name = qmp_str(args, "typename");
    const DeviceClass *class = device_class_find(name);
    json_t *list;

    if (!class) {
        qmp_error(errp, "DeviceNotFound", "Device '%s' not found", name);
        return NULL;
    }
    list = json_array();
    add_properties(list, class);
    return list;
}

/* A type that is not there has none: libvirt asks for those of objects, and does not expect an
 * error. */
json_t *qmp_qom_list_properties(json_t *args, Error **errp)
{
    const DeviceClass *class = device_class_find(qmp_str(args, "typename"));
    json_t *list = json_array();

    if (class) {
        add_properties(list, class);
    }
    return list;
}

/* "/machine" and "/machine/ID", or a device's id. */
static Device *find_path(const char *path)
{
    static const char *const prefixes[] = {"/machine/peripheral/", "/machine/unattached/",
                                           "/machine/"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t n = strlen(prefixes[i]);
        if (strncmp(path, prefixes[i], n) == 0) {
            return device_find(path + n);
        }
    }
    return device_find(path);
}

static void add_child(Device *dev, int depth, void *opaque)
{
    char type[80];

    if (dev->id) {
        snprintf(type, sizeof(type), "child<%s>", dev->class->name);
        json_array_append_new(opaque, json_pack("{s:s, s:s}", "name", dev->id, "type", type));
    }
}

/* What -device and device_add can make. */
static void add_peripheral(Device *dev, int depth, void *opaque)
{
    if (dev->class->user_creatable) {
        add_child(dev, depth, opaque);
    }
}

json_t *qmp_qom_list(json_t *args, Error **errp)
{
    const char *path = qmp_str(args, "path");
    json_t *list = json_array();
    Device *dev;

    if (strcmp(path, "/") == 0) {
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "name", "machine", "type", "child<machine>"));
        return list;
    }
    if (strcmp(path, "/machine/peripheral") == 0) {
        device_each(add_peripheral, list);
        return list;
    }
    if (strcmp(path, "/machine") == 0) {
        device_each(add_child, list);
        return list;
    }
    dev = find_path(path);
    if (!dev) {
        json_decref(list);
        qmp_error(errp, "DeviceNotFound", "Device '%s' not found", path);
        return NULL;
    }
    json_array_append_new(list, json_pack("{s:s, s:s}", "name", "type", "type", "string"));
    add_properties(list, dev->class);
    return list;
}

static json_t *property_value(Device *dev, const Property *p)
{
    char *value = device_property_text(dev, p);
    json_t *result;

    if (p->kind == PROP_BOOL) {
        result = json_boolean(value && strcmp(value, "on") == 0);
    } else if (p->kind <= PROP_SIZE) {
        result = json_integer(value ? (json_int_t)strtoull(value, NULL, 0) : 0);
    } else {
        result = text(value);
    }
    free(value);
    return result;
}

json_t *qmp_qom_get(json_t *args, Error **errp)
{
    const char *path = qmp_str(args, "path"), *name = qmp_str(args, "property");
    Device *dev = find_path(path);

    if (!dev) {
        qmp_error(errp, "DeviceNotFound", "Device '%s' not found", path);
        return NULL;
    }
    if (strcmp(name, "type") == 0) {
        return json_string(dev->class->name);
    }
    for (const Property *p = dev->class->props; p && p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            return property_value(dev, p);
        }
    }
    error_set(errp, "Property '%s.%s' not found", dev->class->name, name);
    return NULL;
}
