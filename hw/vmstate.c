/*
 * Saved state: the stream, in both directions.
 *
 * A section is: name, instance (strings), version (u32), length of the rest (u32), fields. A field
 * is its name (string, empty after the last), length (u32) and bytes. A string is a length byte and
 * as many bytes. A struct field holds, for each element, a version (u32) and fields like a
 * section's. A whole machine is a magic number, the guest's clock (u64, ns), sections, and an
 * empty name.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/vmstate.h"

#include <stdlib.h>
#include <string.h>

#include "util/loop.h"

#define MACHINE_MAGIC 0x31766d56u /* "Vmv1" */
/* No guest has run for longer (73 years); deadlines computed from it cannot overflow. */
#define CLOCK_MAX (INT64_C(1) << 61)

typedef struct Entry {
    const VMState *vms;
    const char *instance;
    void *opaque;
    bool loaded;
    struct Entry *next;
} Entry;

static Entry *entries;

/* ---- fields ---- */

/* Bytes of an integer kind; 0: another kind. */
static unsigned integer_size(VMStateKind kind)
{
    switch (kind) {
    case VMS_U8:
    case VMS_BOOL:
        return 1;
    case VMS_U16:
        return 2;
    case VMS_U32:
        return 4;
    case VMS_U64:
        return 8;
    default:
        return 0;
    }
}

/* A table that does not fit its struct would save garbage: found on the first save. */
static void check_field(const VMState *vms, const VMStateField *f)
{
    unsigned size = integer_size(f->kind);

    if ((size && size != f->size) || (f->kind == VMS_TIMER && f->size != sizeof(Timer)) ||
        (f->kind == VMS_STRUCT && !f->sub) || strlen(f->name) > UINT8_MAX) {
        error_report("internal error: %s: the saved state's field '%s' has the wrong kind",
                     vms->name, f->name);
        abort();
    }
}

static uint32_t vbytes_count(const VMStateField *f, const uint8_t *base)
{
    uint32_t n;

    memcpy(&n, base + f->count_offset, sizeof(n));
    return n < f->size ? n : (uint32_t)f->size;
}

/* ---- saving ---- */

static void put_string(Buffer *out, const char *s)
{
    size_t len = strlen(s);

    len = len < UINT8_MAX ? len : UINT8_MAX;
    buffer_put_u8(out, (uint8_t)len);
    buffer_append(out, s, len);
}

/* Room for a length; end_length() fills in how much came behind it. */
static size_t begin_length(Buffer *out)
{
    buffer_put_le32(out, 0);
    return out->size;
}

static void end_length(Buffer *out, size_t start)
{
    uint32_t len = (uint32_t)(out->size - start);

    for (unsigned i = 0; i < 4; i++) {
        out->data[start - 4 + i] = (uint8_t)(len >> (8 * i));
    }
}

static void save_fields(Buffer *out, const VMState *vms, void *opaque);

static void save_value(Buffer *out, const VMStateField *f, uint8_t *base)
{
    uint8_t *p = base + f->offset;
    uint8_t *bytes;

    switch (f->kind) {
    case VMS_U8:
    case VMS_U16:
    case VMS_U32:
    case VMS_U64: /* the host is little endian too */
    case VMS_BYTES:
        buffer_append(out, p, f->size * f->count);
        break;
    case VMS_BOOL:
        for (unsigned i = 0; i < f->count; i++) {
            buffer_put_u8(out, p[i] != 0);
        }
        break;
    case VMS_VBYTES:
        memcpy(&bytes, p, sizeof(bytes));
        buffer_append(out, bytes, bytes ? vbytes_count(f, base) : 0);
        break;
    case VMS_TIMER:
        for (unsigned i = 0; i < f->count; i++) {
            buffer_put_le64(out, (uint64_t)((Timer *)(void *)p)[i].deadline);
        }
        break;
    case VMS_STRUCT:
        for (unsigned i = 0; i < f->count; i++) {
            buffer_put_le32(out, (uint32_t)f->sub->version);
            save_fields(out, f->sub, p + i * f->size);
        }
        break;
    case VMS_END:
        break;
    }
}

static void save_fields(Buffer *out, const VMState *vms, void *opaque)
{
    if (vms->pre_save) {
        vms->pre_save(opaque);
    }
    for (const VMStateField *f = vms->fields; f->kind != VMS_END; f++) {
        check_field(vms, f);
        put_string(out, f->name);
        size_t start = begin_length(out);
        save_value(out, f, opaque);
        end_length(out, start);
    }
    buffer_put_u8(out, 0);
}

void vmstate_save(Buffer *out, const VMState *vms, const char *instance, void *opaque)
{
    put_string(out, vms->name);
    put_string(out, instance);
    buffer_put_le32(out, (uint32_t)vms->version);
    size_t start = begin_length(out);
    save_fields(out, vms, opaque);
    end_length(out, start);
}

/* ---- loading ---- */

typedef struct StreamString {
    const char *text; /* no NUL behind it */
    int len;
} StreamString;

static StreamString get_string(Reader *in)
{
    uint8_t len = reader_u8(in);
    const char *text = reader_bytes(in, len);

    return text ? (StreamString){text, len} : (StreamString){"", 0};
}

static bool string_is(StreamString s, const char *text)
{
    return strlen(text) == (size_t)s.len && memcmp(s.text, text, (size_t)s.len) == 0;
}

/* What the stream holds may be anything: only printable ASCII gets into a message. */
static char *printable(StreamString s)
{
    char *copy = malloc((size_t)s.len + 1);

    if (!copy) {
        abort();
    }
    for (int i = 0; i < s.len; i++) {
        copy[i] = s.text[i] >= ' ' && s.text[i] <= '~' ? s.text[i] : '?';
    }
    copy[s.len] = 0;
    return copy;
}

static void set_named_error(Error **errp, const char *fmt, const char *owner, StreamString name)
{
    char *text = printable(name);
    Buffer message = {0};

    buffer_printf(&message, fmt, owner, text);
    buffer_put_u8(&message, 0);
    error_set(errp, "%s", (char *)message.data);
    buffer_free(&message);
    free(text);
}

static bool version_is_known(const VMState *vms, uint32_t version, Error **errp)
{
    if (version > (uint32_t)vms->version) {
        error_set(errp, "%s: saved by a newer program: version %u, this one knows up to %d",
                  vms->name, version, vms->version);
        return false;
    }
    return true;
}

static bool load_fields(Reader *in, const VMState *vms, uint32_t version, void *opaque,
                        Error **errp);

static bool wrong_length(const VMState *vms, const VMStateField *f, size_t got, Error **errp)
{
    error_set(errp,
              "%s: field '%s' of the saved state has %zu bytes, which this program does not know",
              vms->name, f->name, got);
    return false;
}

static bool load_vbytes(Reader *in, const VMState *vms, const VMStateField *f, uint8_t *base,
                        Error **errp)
{
    uint8_t *to;
    uint32_t n = (uint32_t)in->size;

    memcpy(&to, base + f->offset, sizeof(to));
    if (in->size > f->size || (in->size && !to)) {
        return wrong_length(vms, f, in->size, errp);
    }
    if (n) {
        memcpy(to, in->data, n);
    }
    in->pos = n;
    memcpy(base + f->count_offset, &n, sizeof(n));
    return true;
}

static bool load_structs(Reader *in, const VMState *vms, const VMStateField *f, uint8_t *base,
                         Error **errp)
{
    for (unsigned i = 0; i < f->count; i++) {
        uint32_t version = reader_le32(in);
        if (in->failed) {
            return wrong_length(vms, f, in->size, errp);
        }
        if (!version_is_known(f->sub, version, errp) ||
            !load_fields(in, f->sub, version, base + f->offset + i * f->size, errp)) {
            error_prepend(errp, "%s: ", vms->name);
            return false;
        }
    }
    if (in->pos != in->size) {
        return wrong_length(vms, f, in->size, errp);
    }
    return true;
}

static void load_timer(Timer *t, int64_t deadline)
{
    if (deadline < 0) {
        timer_cancel(t);
    } else {
        timer_set(t, deadline);
    }
}

/* in holds exactly the field's bytes. */
static bool load_value(Reader *in, const VMState *vms, const VMStateField *f, uint8_t *base,
                       Error **errp)
{
    uint8_t *p = base + f->offset;
    size_t size = f->kind == VMS_TIMER ? sizeof(int64_t) * f->count : f->size * f->count;

    if (f->kind == VMS_STRUCT) {
        return load_structs(in, vms, f, base, errp);
    }
    if (f->kind == VMS_VBYTES) {
        return load_vbytes(in, vms, f, base, errp);
    }
    if (in->size != size) {
        return wrong_length(vms, f, in->size, errp);
    }
    if (f->kind == VMS_TIMER) {
        for (unsigned i = 0; i < f->count; i++) {
            load_timer((Timer *)(void *)p + i, (int64_t)reader_le64(in));
        }
    } else if (f->kind == VMS_BOOL) {
        for (unsigned i = 0; i < f->count; i++) {
            p[i] = reader_u8(in) != 0;
        }
    } else {
        memcpy(p, in->data, size);
    }
    return true;
}

enum { FIELDS_MAX = 512 };

static int find_field(const VMState *vms, StreamString name)
{
    for (int i = 0; vms->fields[i].kind != VMS_END; i++) {
        if (string_is(name, vms->fields[i].name)) {
            return i;
        }
    }
    return -1;
}

static bool all_fields_came(const VMState *vms, uint32_t version, const bool *came, Error **errp)
{
    for (int i = 0; vms->fields[i].kind != VMS_END; i++) {
        if (!came[i] && (vms->fields[i].since <= 1 || (uint32_t)vms->fields[i].since <= version)) {
            error_set(errp, "%s: field '%s' is missing in the saved state", vms->name,
                      vms->fields[i].name);
            return false;
        }
    }
    return true;
}

static bool load_fields(Reader *in, const VMState *vms, uint32_t version, void *opaque,
                        Error **errp)
{
    bool came[FIELDS_MAX] = {false};

    for (;;) {
        StreamString name = get_string(in);
        if (in->failed) {
            error_set(errp, "%s: the saved state is cut short", vms->name);
            return false;
        }
        if (name.len == 0) {
            break;
        }
        int i = find_field(vms, name);
        uint32_t len = reader_le32(in);
        const uint8_t *data = reader_bytes(in, len);
        if (i < 0) {
            set_named_error(
                errp, "%s: the saved state has a field '%s', which this program does not know",
                vms->name, name);
            return false;
        }
        if (!data || i >= FIELDS_MAX || came[i]) {
            set_named_error(errp, "%s: field '%s' of the saved state is cut short or comes twice",
                            vms->name, name);
            return false;
        }
        Reader value = {.data = data, .size = len};
        if (!load_value(&value, vms, &vms->fields[i], opaque, errp)) {
            return false;
        }
        came[i] = true;
    }
    if (!all_fields_came(vms, version, came, errp)) {
        return false;
    }
    return !vms->post_load || vms->post_load(opaque, (int)version, errp);
}

typedef struct SectionHead {
    StreamString name, instance;
    uint32_t version;
} SectionHead;

/* Behind the name. The section's fields come out in *body. */
static bool get_section(Reader *in, SectionHead *head, Reader *body, Error **errp)
{
    head->instance = get_string(in);
    head->version = reader_le32(in);
    uint32_t len = reader_le32(in);
    const uint8_t *data = reader_bytes(in, len);

    if (in->failed) {
        error_set(errp, "the saved state is cut short");
        return false;
    }
    *body = (Reader){.data = data, .size = len};
    return true;
}

static bool load_section(const SectionHead *head, Reader *body, const VMState *vms, void *opaque,
                         Error **errp)
{
    if (!version_is_known(vms, head->version, errp) ||
        !load_fields(body, vms, head->version, opaque, errp)) {
        return false;
    }
    if (body->pos != body->size) {
        error_set(errp, "%s: bytes are left over in the saved state", vms->name);
        return false;
    }
    return true;
}

bool vmstate_load(Reader *in, const VMState *vms, const char *instance, void *opaque, Error **errp)
{
    SectionHead head = {.name = get_string(in)};
    Reader body;

    if (!get_section(in, &head, &body, errp)) {
        return false;
    }
    if (!string_is(head.name, vms->name) || !string_is(head.instance, instance)) {
        set_named_error(errp, "%s: the saved state is that of '%s'", vms->name, head.name);
        return false;
    }
    return load_section(&head, &body, vms, opaque, errp);
}

/* ---- the whole machine ---- */

void vmstate_register(const VMState *vms, const char *instance, void *opaque)
{
    Entry **place = &entries;

    for (; *place; place = &(*place)->next) {
        if (strcmp((*place)->vms->name, vms->name) == 0 &&
            strcmp((*place)->instance, instance) == 0) {
            error_report("internal error: the state of %s '%s' is registered twice", vms->name,
                         instance);
            abort();
        }
    }
    Entry *e = calloc(1, sizeof(*e));
    if (!e) {
        abort();
    }
    *e = (Entry){.vms = vms, .instance = instance, .opaque = opaque};
    *place = e;
}

void vmstate_unregister(const VMState *vms, void *opaque)
{
    for (Entry **place = &entries; *place; place = &(*place)->next) {
        Entry *e = *place;
        if (e->vms == vms && e->opaque == opaque) {
            *place = e->next;
            free(e);
            return;
        }
    }
}

void vmstate_save_all(Buffer *out)
{
    buffer_put_le32(out, MACHINE_MAGIC);
    buffer_put_le64(out, (uint64_t)clock_now(CLOCK_VIRTUAL));
    for (Entry *e = entries; e; e = e->next) {
        vmstate_save(out, e->vms, e->instance, e->opaque);
    }
    buffer_put_u8(out, 0);
}

static Entry *find_entry(const SectionHead *head)
{
    for (Entry *e = entries; e; e = e->next) {
        if (string_is(head->name, e->vms->name) && string_is(head->instance, e->instance)) {
            return e;
        }
    }
    return NULL;
}

static bool load_next_section(Reader *in, StreamString name, Error **errp)
{
    SectionHead head = {.name = name};
    Reader body;

    if (!get_section(in, &head, &body, errp)) {
        return false;
    }
    Entry *e = find_entry(&head);
    if (!e || e->loaded) {
        char *instance = printable(head.instance);
        set_named_error(errp,
                        e ? "%s: the saved state of '%s' comes twice"
                          : "%s: the saved state has a device '%s', which this machine lacks",
                        instance, name);
        free(instance);
        return false;
    }
    e->loaded = true;
    if (!load_section(&head, &body, e->vms, e->opaque, errp)) {
        error_prepend(errp, "%s: ", e->instance);
        return false;
    }
    return true;
}

bool vmstate_load_all(Reader *in, Error **errp)
{
    for (Entry *e = entries; e; e = e->next) {
        e->loaded = false;
    }
    if (reader_le32(in) != MACHINE_MAGIC) {
        error_set(errp, "this is no saved state of a machine");
        return false;
    }
    /* First, as devices work out their next events from it. */
    uint64_t now = reader_le64(in);
    if (in->failed || now > CLOCK_MAX) {
        error_set(errp, "the saved state is cut short or damaged at its clock");
        return false;
    }
    clock_virtual_set((int64_t)now);
    for (;;) {
        StreamString name = get_string(in);
        if (in->failed) {
            error_set(errp, "the saved state is cut short");
            return false;
        }
        if (name.len == 0) {
            break;
        }
        if (!load_next_section(in, name, errp)) {
            return false;
        }
    }
    for (Entry *e = entries; e; e = e->next) {
        if (!e->loaded) {
            error_set(errp, "%s: the saved state of '%s' is missing", e->instance, e->vms->name);
            return false;
        }
    }
    return true;
}
