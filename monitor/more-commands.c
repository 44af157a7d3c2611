/*
 * Commands about character devices, and those that look at or set single things of the machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "hw/device.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "hw/pc.h"
#include "monitor/memory-file.h"
#include "monitor/monitor-int.h"
#include "target-i386/mem.h"

/* ---- character devices ---- */

static CharBackend *find_chr(Monitor *mon, const char *id)
{
    CharBackend *chr = chr_find(id);

    if (!chr) {
        monitor_printf(mon, "there is no character device '%s'\n", id);
    }
    return chr;
}

void cmd_chardev_add(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;

    if (strcmp(args[0].text, "help") == 0) {
        monitor_printf(mon, "vole -chardev help lists the kinds\n");
    } else if (strstr(args[0].text, "wait=on") ||
               (strstr(args[0].text, "server") && !strstr(args[0].text, "wait"))) {
        /* It would stand still until somebody calls. */
        monitor_printf(mon, "a server needs wait=off while the machine is there\n");
    } else if (!chr_open_option(args[0].text, &err) && err) {
        monitor_error(mon, err);
    }
}

void cmd_chardev_remove(Monitor *mon, const ArgValue *args)
{
    CharBackend *chr = find_chr(mon, args[0].text);

    if (chr && chr_has_front_end(chr)) {
        monitor_printf(mon, "character device '%s' is in use\n", args[0].text);
    } else if (chr) {
        chr_close(chr);
    }
}

void cmd_chardev_send_break(Monitor *mon, const ArgValue *args)
{
    CharBackend *chr = find_chr(mon, args[0].text);

    if (chr) {
        chr_send_break(chr);
    }
}

void cmd_ringbuf_write(Monitor *mon, const ArgValue *args)
{
    CharBackend *chr = find_chr(mon, args[0].text);
    size_t size = strlen(args[1].text);

    if (chr && chr_ringbuf_feed(chr, args[1].text, size) != size) {
        monitor_printf(mon, "what is behind '%s' does not take all of it\n", args[0].text);
    }
}

/* ---- memory ---- */

void cmd_dump_guest_memory(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;

    if (args[2].present || args[3].present) {
        monitor_printf(mon, "pages are packed by zlib (-z); lzo and snappy are not there\n");
    } else if (!memory_dump_core(args[4].text, args[1].present ? DUMP_KDUMP_ZLIB : DUMP_ELF,
                                 args[0].present, &err)) {
        monitor_error(mon, err);
    }
}

/* The tradition's sum of bytes, each added to the sum turned right by a bit: 16 bits. */
void cmd_sum(Monitor *mon, const ArgValue *args)
{
    uint64_t addr = args[0].number, left = args[1].number;
    bool paused = monitor_pause_cpus();
    uint16_t sum = 0;
    uint8_t buf[4096];

    while (left > 0) {
        size_t n = left < sizeof(buf) ? left : sizeof(buf);
        if (!dma_read(addr, buf, n)) {
            monitor_printf(mon, "Cannot access memory at 0x%llx\n", (unsigned long long)addr);
            break;
        }
        for (size_t i = 0; i < n; i++) {
            sum = (uint16_t)((sum >> 1 | sum << 15) + buf[i]);
        }
        addr += n;
        left -= n;
    }
    monitor_resume_cpus(paused);
    if (left == 0) {
        monitor_printf(mon, "%05d\n", sum);
    }
}

void cmd_gva2gpa(Monitor *mon, const ArgValue *args)
{
    CPUX86State *env = monitor_cpu(mon);
    hwaddr phys;
    bool paused;

    if (!env) {
        return;
    }
    paused = monitor_pause_cpus();
    if (mem_debug_translate(env, args[0].number, &phys)) {
        monitor_printf(mon, "gpa: 0x%llx\n", (unsigned long long)phys);
    } else {
        monitor_printf(mon, "Unmapped\n");
    }
    monitor_resume_cpus(paused);
}

/* ---- the machine ---- */

/* An ISA guest finds what it looks for; PCI's wants to be told, and there is nobody to tell it. */
bool monitor_device_add(const char *spec, Error **errp)
{
    char *name = strndup(spec, strcspn(spec, ","));
    const DeviceClass *class = device_class_find(name);

    free(name);
    if (class && strcmp(class->bus, "isa") != 0) {
        error_set(
            errp,
            "%s: the %s bus takes nothing while the machine is there; -device adds it at the start",
            class->name, class->bus);
        return false;
    }
    return device_add(spec, errp) != NULL;
}

void cmd_boot_set(Monitor *mon, const ArgValue *args)
{
    const char *order = args[0].text;

    if (!*order || strlen(order) > 3 || order[strspn(order, "acdn")]) {
        monitor_printf(mon,
                       "boot order '%s' is not possible; possible: up to three letters of a "
                       "(floppy), c (disk), d (CD-ROM), n (network)\n",
                       order);
    } else {
        pc_set_boot_order(order);
    }
}
