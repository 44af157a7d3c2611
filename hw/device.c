/*
 * Devices: the tree, properties, reset, and making them from the command line.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "char/char.h"
#include "util/options.h"

typedef struct ResetHook {
    void (*fn)(void *opaque);
    void *opaque;
    struct ResetHook *next;
} ResetHook;

static const DeviceClass machine_class = {
    .name = "machine",
    .desc = "the machine",
    .bus = "",
    .size = sizeof(Device),
};

static Device machine = {.class = &machine_class, .id = "machine", .realized = true};
static ResetHook *reset_hooks;

/* ---- classes ---- */

const DeviceClass *device_class_find(const char *name)
{
    for (const DeviceClass *const *entry = device_classes; *entry; entry++) {
        if (strcmp((*entry)->name, name) == 0) {
            return *entry;
        }
    }
    return NULL;
}

static const Property *find_property(const DeviceClass *class, const char *name)
{
    for (const Property *p = class->props; p && p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            return p;
        }
    }
    return NULL;
}

/* ---- the tree ---- */

Device *device_root(void)
{
    return &machine;
}

static Device *find_below(Device *parent, const char *id)
{
    for (Device *d = parent->children; d; d = d->next) {
        Device *found = strcmp(d->id, id) == 0 ? d : find_below(d, id);
        if (found) {
            return found;
        }
    }
    return NULL;
}

Device *device_find(const char *id)
{
    return find_below(&machine, id);
}

/* The class's name, with a number behind it where that is taken. */
static char *make_up_id(const char *class_name)
{
    char *id = strdup(class_name);

    for (unsigned n = 1; id && device_find(id); n++) {
        free(id);
        if (asprintf(&id, "%s.%u", class_name, n) < 0) {
            abort();
        }
    }
    return id;
}

static void each_below(Device *parent, int depth, void (*fn)(Device *dev, int depth, void *opaque),
                       void *opaque)
{
    Device *next;

    for (Device *d = parent->children; d; d = next) {
        next = d->next;
        fn(d, depth, opaque);
        each_below(d, depth + 1, fn, opaque);
    }
}

void device_each(void (*fn)(Device *dev, int depth, void *opaque), void *opaque)
{
    each_below(&machine, 0, fn, opaque);
}

static void unlink_device(Device *dev)
{
    Device **place = &dev->parent->children;

    while (*place != dev) {
        place = &(*place)->next;
    }
    *place = dev->next;
}

static void free_device(Device *dev)
{
    while (dev->children) {
        Device *child = dev->children;
        dev->children = child->next;
        free_device(child);
    }
    for (const Property *p = dev->class->props; p && p->name; p++) {
        if (p->kind == PROP_STRING) {
            free(*(char **)(void *)((char *)dev + p->offset));
        }
    }
    free(dev->id);
    free(dev);
}

/* ---- properties ---- */

static bool set_integer(void *place, PropertyKind kind, const char *what, const char *value,
                        Error **errp)
{
    static const uint64_t maxima[] = {
        [PROP_U8] = UINT8_MAX,
        [PROP_U16] = UINT16_MAX,
        [PROP_U32] = UINT32_MAX,
        [PROP_U64] = UINT64_MAX,
    };
    uint64_t v;

    if (!parse_number(what, value, 0, maxima[kind], &v, errp)) {
        return false;
    }
    switch (kind) {
    case PROP_U8:
        *(uint8_t *)place = (uint8_t)v;
        break;
    case PROP_U16:
        *(uint16_t *)place = (uint16_t)v;
        break;
    case PROP_U32:
        *(uint32_t *)place = (uint32_t)v;
        break;
    default:
        *(uint64_t *)place = v;
        break;
    }
    return true;
}

static bool set_backend(void **place, void *backend, const char *what, const char *kind,
                        const char *value, Error **errp)
{
    if (!backend) {
        error_set(errp, "%s: there is no %s with the id '%s'", what, kind, value);
        return false;
    }
    *place = backend;
    return true;
}

static bool set_value(void *place, PropertyKind kind, const char *what, const char *value,
                      Error **errp)
{
    char *copy;

    switch (kind) {
    case PROP_BOOL:
        return parse_bool(what, value, place, errp);
    case PROP_U8:
    case PROP_U16:
    case PROP_U32:
    case PROP_U64:
        return set_integer(place, kind, what, value, errp);
    case PROP_SIZE:
        return parse_size(what, value, 1, place, errp);
    case PROP_STRING:
        copy = strdup(value);
        if (!copy) {
            abort();
        }
        free(*(char **)place);
        *(char **)place = copy;
        return true;
    case PROP_CHR:
        return set_backend(place, chr_find(value), what, "character device", value, errp);
    case PROP_DRIVE:
        return set_backend(place, blk_find_for_device(value), what, "drive", value, errp);
    case PROP_NETDEV: /* no network backend exists that could be named */
        return set_backend(place, NULL, what, "network backend", value, errp);
    }
    return false;
}

static void set_unknown_property(Error **errp, const DeviceClass *class, const char *name)
{
    const char *names[64] = {NULL};
    unsigned n = 0;

    for (const Property *p = class->props; p && p->name && n < 63; p++) {
        names[n++] = p->name;
    }
    const char *near = nearest_name(name, names);
    if (near) {
        error_set(errp, "%s: unknown property '%s': did you mean '%s'?", class->name, name, near);
    } else {
        error_set(errp, "%s: unknown property '%s': '-device %s,help' lists them", class->name,
                  name, class->name);
    }
}

bool device_set_property(Device *dev, const char *name, const char *value, Error **errp)
{
    const Property *p = find_property(dev->class, name);
    char *what;

    if (!p) {
        set_unknown_property(errp, dev->class, name);
        return false;
    }
    if (dev->realized) {
        error_set(errp, "%s: property '%s' cannot change any more", dev->id, name);
        return false;
    }
    if (asprintf(&what, "%s: %s", dev->class->name, name) < 0) {
        abort();
    }
    bool ok = set_value((char *)dev + p->offset, p->kind, what, value, errp);
    free(what);
    return ok;
}

char *device_property_text(Device *dev, const Property *prop)
{
    const void *place = (const char *)dev + prop->offset;
    char *text = NULL;
    int n = -1;

    switch (prop->kind) {
    case PROP_BOOL:
        n = asprintf(&text, "%s", *(const bool *)place ? "on" : "off");
        break;
    case PROP_U8:
        n = asprintf(&text, "%u", *(const uint8_t *)place);
        break;
    case PROP_U16:
        n = asprintf(&text, "%u", *(const uint16_t *)place);
        break;
    case PROP_U32:
        n = asprintf(&text, "%" PRIu32, *(const uint32_t *)place);
        break;
    case PROP_U64:
    case PROP_SIZE:
        n = asprintf(&text, "%" PRIu64, *(const uint64_t *)place);
        break;
    case PROP_STRING: {
        const char *s = *(char *const *)place;
        n = asprintf(&text, "%s", s ? s : "");
        break;
    }
    case PROP_CHR: {
        const CharBackend *chr = *(CharBackend *const *)place;
        n = asprintf(&text, "%s", chr ? chr_id(chr) : "");
        break;
    }
    case PROP_DRIVE: {
        const BlockBackend *blk = *(BlockBackend *const *)place;
        n = asprintf(&text, "%s", blk ? blk_id(blk) : "");
        break;
    }
    case PROP_NETDEV:
        n = asprintf(&text, "%s", "");
        break;
    }
    if (n < 0) {
        abort();
    }
    return text;
}

/* ---- making and ending ---- */

Device *device_new(const DeviceClass *class, Device *parent, const char *id)
{
    Device *dev = calloc(1, class->size);

    if (!dev) {
        abort();
    }
    dev->class = class;
    dev->parent = parent ? parent : &machine;
    dev->id = id ? strdup(id) : make_up_id(class->name);
    if (!dev->id) {
        abort();
    }
    for (const Property *p = class->props; p && p->name; p++) {
        Error *err = NULL;
        if (p->default_value && !device_set_property(dev, p->name, p->default_value, &err)) {
            error_report("internal error: default of a property: %s", error_text(err));
            abort();
        }
    }
    Device **place = &dev->parent->children;
    while (*place) {
        place = &(*place)->next;
    }
    *place = dev;
    return dev;
}

bool device_realize(Device *dev, Error **errp)
{
    if (dev->class->realize && !dev->class->realize(dev, errp)) {
        unlink_device(dev);
        free_device(dev);
        return false;
    }
    dev->realized = true;
    if (dev->class->vmstate) {
        vmstate_register(dev->class->vmstate, dev->id, dev);
    }
    if (dev->class->reset) {
        dev->class->reset(dev);
    }
    return true;
}

void device_realize_or_die(Device *dev)
{
    const char *name = dev->class->name;
    Error *err = NULL;

    if (!device_realize(dev, &err)) {
        error_exit("cannot make the board's %s: %s", name, error_text(err));
    }
}

void device_unrealize(Device *dev)
{
    if (!dev->class->unrealize) {
        return;
    }
    for (Device *child = dev->children, *next; child; child = next) {
        next = child->next;
        device_unrealize(child);
    }
    if (dev->class->vmstate) {
        vmstate_unregister(dev->class->vmstate, dev);
    }
    dev->class->unrealize(dev);
    unlink_device(dev);
    free_device(dev);
}

/* ---- -device ---- */

static const char *const property_kind_names[] = {
    [PROP_BOOL] = "on|off",   [PROP_U8] = "0..255",   [PROP_U16] = "0..65535",
    [PROP_U32] = "NUMBER",    [PROP_U64] = "NUMBER",  [PROP_SIZE] = "SIZE",
    [PROP_STRING] = "TEXT",   [PROP_CHR] = "CHARDEV", [PROP_DRIVE] = "DRIVE",
    [PROP_NETDEV] = "NETDEV",
};

static void print_classes(void)
{
    printf("Devices for -device:\n");
    for (const DeviceClass *const *entry = device_classes; *entry; entry++) {
        if ((*entry)->user_creatable) {
            printf("  %-20s %-6s %s\n", (*entry)->name, (*entry)->bus, (*entry)->desc);
        }
    }
}

static void print_properties(const DeviceClass *class)
{
    printf("Properties of %s (%s):\n", class->name, class->desc);
    printf("  %-28s %s\n", "id=TEXT", "the device's name");
    for (const Property *p = class->props; p && p->name; p++) {
        char left[64];
        snprintf(left, sizeof(left), "%s=%s", p->name, property_kind_names[p->kind]);
        printf("  %-28s %s", left, p->help ? p->help : "");
        if (p->default_value) {
            printf(" (default: %s)", p->default_value);
        }
        printf("\n");
    }
}

static const DeviceClass *find_user_class(const char *name, Error **errp)
{
    const char *names[256] = {NULL};
    unsigned n = 0;

    for (const DeviceClass *const *entry = device_classes; *entry && n < 255; entry++) {
        if ((*entry)->user_creatable) {
            if (strcmp((*entry)->name, name) == 0) {
                return *entry;
            }
            names[n++] = (*entry)->name;
        }
    }
    const char *near = nearest_name(name, names);
    if (device_class_find(name)) {
        error_set(errp, "%s: this device is part of the board and cannot be added", name);
    } else if (near) {
        error_set(errp, "%s: unknown device: did you mean '%s'?", name, near);
    } else {
        error_set(errp, "%s: unknown device: '-device help' lists them", name);
    }
    return NULL;
}

static Device *make_device(const DeviceClass *class, const SubOptions *so, Error **errp)
{
    const char *id = suboptions_get(so, "id");

    if (id && (!*id || device_find(id))) {
        error_set(errp, "%s: the id '%s' is %s", class->name, id, *id ? "taken" : "empty");
        return NULL;
    }
    Device *dev = device_new(class, NULL, id);
    for (size_t i = 0; i < so->count; i++) {
        const char *key = so->items[i].key;
        if (strcmp(key, "driver") != 0 && strcmp(key, "id") != 0 &&
            !device_set_property(dev, key, so->items[i].value, errp)) {
            unlink_device(dev);
            free_device(dev);
            return NULL;
        }
    }
    return device_realize(dev, errp) ? dev : NULL;
}

Device *device_add(const char *spec, Error **errp)
{
    const DeviceClass *class;
    Device *dev = NULL;
    SubOptions so;

    suboptions_parse(&so, spec, "driver");
    const char *name = suboptions_get(&so, "driver");
    if (!name || !*name) {
        error_set(errp, "the device's name is missing: '-device help' lists them");
    } else if (strcmp(name, "help") == 0) {
        print_classes();
    } else if ((class = find_user_class(name, errp)) != NULL) {
        if (suboptions_get(&so, "help")) {
            print_properties(class);
        } else {
            dev = make_device(class, &so, errp);
        }
    }
    suboptions_free(&so);
    return dev;
}

/* ---- reset ---- */

static void reset_one(Device *dev, int depth, void *opaque)
{
    if (dev->realized && dev->class->reset) {
        dev->class->reset(dev);
    }
}

void devices_reset_only(void)
{
    device_each(reset_one, NULL);
}

void devices_reset(void)
{
    devices_reset_only();
    for (ResetHook *hook = reset_hooks; hook; hook = hook->next) {
        hook->fn(hook->opaque);
    }
}

void reset_register(void (*fn)(void *opaque), void *opaque)
{
    ResetHook **place = &reset_hooks;

    while (*place) {
        place = &(*place)->next;
    }
    *place = malloc(sizeof(**place));
    if (!*place) {
        abort();
    }
    **place = (ResetHook){.fn = fn, .opaque = opaque};
}
