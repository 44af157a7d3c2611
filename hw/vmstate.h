/*
 * Saved state of devices: one const table of fields beside the struct, used in both directions.
 *
 *     static const VMStateField i8254_fields[] = {
 *         VMSTATE_U16(latch, I8254State),
 *         VMSTATE_TIMER(irq_timer, I8254State),
 *         VMSTATE_STRUCT_ARRAY(channels, I8254State, channel_vmstate),
 *         VMSTATE_END
 *     };
 *     static const VMState i8254_vmstate = {
 *         "i8254", .version = 1, .fields = i8254_fields, .post_load = ...
 *     };
 *
 * In the stream each field carries its name and length: loading goes by name. A field this program
 * does not know, or with another length, is refused by name (state of a newer version); a field
 * that came with a later version than the stream's keeps its value after reset.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VMSTATE_H
#define HW_VMSTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buffer.h"
#include "util/error.h"

typedef enum VMStateKind {
    VMS_END,
    VMS_U8,
    VMS_U16,
    VMS_U32,
    VMS_U64, /* integers, `count` of them, little endian in the stream; signed ones too */
    VMS_BOOL,
    VMS_BYTES,  /* `size` raw bytes, any `count` */
    VMS_VBYTES, /* uint8_t * pointing at *(uint32_t at count_offset) bytes, at most `size`;
                   allocated by owner */
    VMS_TIMER,  /* a Timer: its deadline */
    VMS_STRUCT, /* `count` structs of `size` bytes by `sub` */
} VMStateKind;

typedef struct VMState VMState;

typedef struct VMStateField {
    const char *name;
    VMStateKind kind;
    size_t offset;
    size_t size; /* bytes of one element */
    unsigned count;
    size_t count_offset; /* VMS_VBYTES */
    const VMState *sub;  /* VMS_STRUCT */
    int since;           /* version that brought it; 0 and 1: the first */
} VMStateField;

struct VMState {
    const char *name;
    int version;
    const VMStateField *fields;
    void (*pre_save)(void *opaque);
    /* Checks everything that is used as an index or size, recomputes what is derived; false
     * refuses. */
    bool (*post_load)(void *opaque, int version, Error **errp);
};

#define VMS_SIZEOF(f, S) sizeof(((S *)0)->f)
#define VMSTATE_FIELD_(f, S, K, n)                                                                 \
    {                                                                                              \
        .name = #f, .kind = (K), .offset = offsetof(S, f), .size = VMS_SIZEOF(f, S) / (n),         \
        .count = (n)                                                                               \
    }
#define VMSTATE_U8(f, S)         VMSTATE_FIELD_(f, S, VMS_U8, 1)
#define VMSTATE_U16(f, S)        VMSTATE_FIELD_(f, S, VMS_U16, 1)
#define VMSTATE_U32(f, S)        VMSTATE_FIELD_(f, S, VMS_U32, 1)
#define VMSTATE_U64(f, S)        VMSTATE_FIELD_(f, S, VMS_U64, 1)
#define VMSTATE_BOOL(f, S)       VMSTATE_FIELD_(f, S, VMS_BOOL, 1)
#define VMS_COUNT_(f, S)         (VMS_SIZEOF(f, S) / VMS_SIZEOF(f[0], S))
#define VMSTATE_U8_ARRAY(f, S)   VMSTATE_FIELD_(f, S, VMS_U8, VMS_COUNT_(f, S))
#define VMSTATE_U16_ARRAY(f, S)  VMSTATE_FIELD_(f, S, VMS_U16, VMS_COUNT_(f, S))
#define VMSTATE_U32_ARRAY(f, S)  VMSTATE_FIELD_(f, S, VMS_U32, VMS_COUNT_(f, S))
#define VMSTATE_U64_ARRAY(f, S)  VMSTATE_FIELD_(f, S, VMS_U64, VMS_COUNT_(f, S))
#define VMSTATE_BOOL_ARRAY(f, S) VMSTATE_FIELD_(f, S, VMS_BOOL, VMS_COUNT_(f, S))
#define VMSTATE_BYTES(f, S)      VMSTATE_FIELD_(f, S, VMS_BYTES, 1)
#define VMSTATE_VBYTES(f, S, count_field, max)                                                     \
    {                                                                                              \
        .name = #f, .kind = VMS_VBYTES, .offset = offsetof(S, f), .size = (max), .count = 1,       \
        .count_offset = offsetof(S, count_field)                                                   \
    }
#define VMSTATE_TIMER(f, S) VMSTATE_FIELD_(f, S, VMS_TIMER, 1)
#define VMSTATE_STRUCT(f, S, substate)                                                             \
    {                                                                                              \
        .name = #f, .kind = VMS_STRUCT, .offset = offsetof(S, f), .size = VMS_SIZEOF(f, S),        \
        .count = 1, .sub = &(substate)                                                             \
    }
#define VMSTATE_STRUCT_ARRAY(f, S, substate)                                                       \
    {                                                                                              \
        .name = #f, .kind = VMS_STRUCT, .offset = offsetof(S, f), .size = VMS_SIZEOF(f[0], S),     \
        .count = VMS_COUNT_(f, S), .sub = &(substate)                                              \
    }
#define VMSTATE_END                                                                                \
    {                                                                                              \
        .kind = VMS_END                                                                            \
    }

/* Appends one section (name, instance, version, fields) to out. */
void vmstate_save(Buffer *out, const VMState *vms, const char *instance, void *opaque);
/* Reads one section that must be for (vms, instance). On failure opaque may be half loaded: reset
 * it. */
bool vmstate_load(Reader *in, const VMState *vms, const char *instance, void *opaque, Error **errp);

/*
 * The whole machine: every device with a saved state (hw/device.h), the CPUs and whatever else was
 * registered, in registration order; RAM is not among them. Instance names must be unique for a
 * vms.
 */
void vmstate_register(const VMState *vms, const char *instance, void *opaque);
void vmstate_unregister(const VMState *vms, void *opaque);
void vmstate_save_all(Buffer *out);
bool vmstate_load_all(Reader *in, Error **errp);

#endif
