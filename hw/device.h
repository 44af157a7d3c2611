/*
 * Devices: a class with properties, a reset and a saved state; instances in a tree.
 *
 * Every class stands in the table of hw/devices.c, which serves `-device help`, the reference
 * manual, reset and save/restore. The board makes its own devices with plain calls
 * (i8254_create(...)), which use device_new() and device_realize(); `-device NAME,prop=value` goes
 * through the same two.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_DEVICE_H
#define HW_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hw/vmstate.h"
#include "util/error.h"

typedef struct Device Device;
typedef struct DeviceClass DeviceClass;

typedef enum PropertyKind {
    PROP_BOOL, /* bool; on/off/yes/no/true/false */
    PROP_U8,
    PROP_U16,
    PROP_U32,
    PROP_U64,    /* decimal, 0x hex */
    PROP_SIZE,   /* uint64_t with K/M/G/T suffix */
    PROP_STRING, /* char *, owned by the device */
    PROP_CHR,    /* CharBackend *: a character device's id */
    PROP_DRIVE,  /* BlockBackend *: a drive's id */
    PROP_NETDEV, /* NetClient *: a network backend's id */
} PropertyKind;

typedef struct Property {
    const char *name;
    PropertyKind kind;
    size_t offset;             /* in the device's struct */
    const char *default_value; /* as the user would write it; NULL: zero */
    const char *help;
} Property;

#define PROPERTY(name_, kind_, S, f, default_, help_)                                              \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .offset = offsetof(S, f), .default_value = (default_),   \
        .help = (help_)                                                                            \
    }
#define PROPERTY_END                                                                               \
    {                                                                                              \
        .name = NULL                                                                               \
    }

struct DeviceClass {
    const char *name;       /* "i8254" */
    const char *desc;       /* one line */
    const char *bus;        /* what it plugs into: "board", "isa", "pci", "ide", ... */
    bool user_creatable;    /* shown in -device help and makeable with -device */
    size_t size;            /* of the struct, whose first member is a Device */
    const Property *props;  /* ends with PROPERTY_END; may be NULL */
    const VMState *vmstate; /* may be NULL for a device without state */
    /* Claims regions, lines and backends. On failure leaves nothing behind. */
    bool (*realize)(Device *dev, Error **errp);
    /* Power-on state; also right after realize. Must not call out except to lower its own lines. */
    void (*reset)(Device *dev);
    /* Undoes realize; for hot unplug. May be NULL: then it cannot be unplugged. */
    void (*unrealize)(Device *dev);
};

struct Device {
    const DeviceClass *class;
    char *id; /* the user's or the board's name, unique; owned */
    Device *parent;
    Device *children, *next; /* in order of creation */
    bool realized;
};

extern const DeviceClass *const device_classes[]; /* hw/devices.c; ends with NULL */
const DeviceClass *device_class_find(const char *name);

/* A zeroed instance with its properties at their defaults; parent NULL: the machine. id NULL: made
 * up. */
Device *device_new(const DeviceClass *class, Device *parent, const char *id);
bool device_set_property(Device *dev, const char *name, const char *value, Error **errp);
/* Realizes, registers the saved state, resets. On failure the device is gone. */
bool device_realize(Device *dev, Error **errp);
/* As device_realize(), for the board's own devices, which cannot fail but by a bug. */
void device_realize_or_die(Device *dev);
void device_unrealize(Device *dev);
Device *device_find(const char *id);
Device *device_root(void);
/* "-device NAME,prop=value,...", "NAME,help" and "help" (printed on stdout, result NULL without
 * error). */
Device *device_add(const char *spec, Error **errp);
/* Every device, parents first. */
void devices_reset(void);
/* The devices alone, without what reset_register() added: before a saved state is loaded, whose missing fields then have what a
 * reset gives them. */
void devices_reset_only(void);
void device_each(void (*fn)(Device *dev, int depth, void *opaque), void *opaque);
/* A property's present value as the user would write it; the string is the caller's (free). */
char *device_property_text(Device *dev, const Property *prop);

/* Calls fn(opaque) on machine reset, after the devices: CPUs, boot loaders. In order of
 * registration. */
void reset_register(void (*fn)(void *opaque), void *opaque);

#endif
