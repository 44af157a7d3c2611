/*
 * Saved state: every kind of field there and back; older, newer, damaged and truncated streams.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/vmstate.h"

#include <stdlib.h>

#include "util/loop.h"

#include "../test.h"

typedef struct Part {
    uint16_t a;
    bool b;
} Part;

typedef struct Thing {
    uint8_t u8;
    uint16_t u16[3];
    uint32_t u32;
    int64_t i64;
    bool flags[2];
    uint8_t raw[5];
    uint8_t *fifo;
    uint32_t fifo_count;
    Timer timer;
    Part part, parts[2];
    unsigned loads, saves;
} Thing;

static const VMStateField part_fields[] = {
    VMSTATE_U16(a, Part),
    VMSTATE_BOOL(b, Part),
    VMSTATE_END,
};
static const VMState part_vmstate = {.name = "part", .version = 1, .fields = part_fields};

static void thing_pre_save(void *opaque)
{
    ((Thing *)opaque)->saves++;
}

static bool thing_post_load(void *opaque, int version, Error **errp)
{
    Thing *t = opaque;

    t->loads++;
    if (t->u8 == 0xee) {
        error_set(errp, "thing: u8 cannot be 0xee");
        return false;
    }
    return true;
}

static const VMStateField thing_fields[] = {
    VMSTATE_U8(u8, Thing),
    VMSTATE_U16_ARRAY(u16, Thing),
    VMSTATE_U32(u32, Thing),
    VMSTATE_U64(i64, Thing),
    VMSTATE_BOOL_ARRAY(flags, Thing),
    VMSTATE_BYTES(raw, Thing),
    VMSTATE_VBYTES(fifo, Thing, fifo_count, 8),
    VMSTATE_TIMER(timer, Thing),
    VMSTATE_STRUCT(part, Thing, part_vmstate),
    VMSTATE_STRUCT_ARRAY(parts, Thing, part_vmstate),
    VMSTATE_END,
};
static const VMState thing_vmstate = {
    .name = "thing",
    .version = 2,
    .fields = thing_fields,
    .pre_save = thing_pre_save,
    .post_load = thing_post_load,
};

static uint8_t fifo_bytes[2][8];

static void no_callback(void *opaque)
{
}

static void fill(Thing *t, unsigned which)
{
    *t = (Thing){
        .u8 = 1,
        .u16 = {2, 0xfffe, 3},
        .u32 = 0xdeadbeef,
        .i64 = -5,
        .flags = {true, false},
        .raw = "abcd",
        .fifo = fifo_bytes[which],
        .fifo_count = 3,
        .part = {9, true},
        .parts = {{10, false}, {11, true}},
    };
    memcpy(t->fifo, "xyz", 3);
    timer_init(&t->timer, CLOCK_VIRTUAL, no_callback, NULL);
}

static void empty(Thing *t, unsigned which)
{
    *t = (Thing){.fifo = fifo_bytes[which]};
    memset(t->fifo, 0, 8);
    timer_init(&t->timer, CLOCK_VIRTUAL, no_callback, NULL);
}

static void every_kind_there_and_back(void)
{
    Buffer b = {0};
    Thing a, c;

    clock_use_stepped();
    fill(&a, 0);
    timer_set(&a.timer, 123456);
    vmstate_save(&b, &thing_vmstate, "0", &a);
    CHECK_EQ(a.saves, 1);
    empty(&c, 1);
    Reader r = {.data = b.data, .size = b.size};
    CHECK(vmstate_load(&r, &thing_vmstate, "0", &c, NULL));
    CHECK_EQ(r.pos, b.size);
    CHECK_EQ(c.loads, 1);
    CHECK(c.u8 == 1 && c.u16[1] == 0xfffe && c.u16[2] == 3 && c.u32 == 0xdeadbeef && c.i64 == -5);
    CHECK(c.flags[0] && !c.flags[1] && memcmp(c.raw, "abcd", 5) == 0);
    CHECK(c.fifo_count == 3 && memcmp(c.fifo, "xyz", 3) == 0);
    CHECK(timer_pending(&c.timer) && c.timer.deadline == 123456);
    CHECK(c.part.a == 9 && c.part.b && c.parts[0].a == 10 && !c.parts[0].b && c.parts[1].b);

    /* A timer that was not set is cancelled by loading. */
    timer_cancel(&a.timer);
    buffer_clear(&b);
    vmstate_save(&b, &thing_vmstate, "0", &a);
    r = (Reader){.data = b.data, .size = b.size};
    CHECK(vmstate_load(&r, &thing_vmstate, "0", &c, NULL));
    CHECK(!timer_pending(&c.timer));
    buffer_free(&b);
}

/* Loads b as vms and compares the error with want (NULL: must succeed). */
static void check_load(Buffer *b, const VMState *vms, const char *instance, void *opaque,
                       const char *want)
{
    Reader r = {.data = b->data, .size = b->size};
    Error *err = NULL;
    bool ok = vmstate_load(&r, vms, instance, opaque, &err);

    CHECK_EQ(ok, want == NULL);
    if (want) {
        CHECK_STR(error_text(err), want);
        error_free(err);
    }
}

typedef struct Grown {
    uint32_t old, young;
} Grown;

static const VMStateField v1_fields[] = {VMSTATE_U32(old, Grown), VMSTATE_END};
static const VMState v1 = {.name = "grown", .version = 1, .fields = v1_fields};
static const VMStateField v2_fields[] = {
    VMSTATE_U32(old, Grown),
    {.name = "young",
     .kind = VMS_U32,
     .offset = offsetof(Grown, young),
     .size = 4,
     .count = 1,
     .since = 2},
    VMSTATE_END,
};
static const VMState v2 = {.name = "grown", .version = 2, .fields = v2_fields};
static const VMState v1_with_young = {.name = "grown", .version = 1, .fields = v2_fields};
static const VMState v2_without_young = {.name = "grown", .version = 2, .fields = v1_fields};
static const VMStateField wide_fields[] = {
    {.name = "old", .kind = VMS_U16, .offset = 0, .size = 2, .count = 1}, VMSTATE_END};
static const VMState wide = {.name = "grown", .version = 1, .fields = wide_fields};

static void other_versions(void)
{
    Grown g = {1, 2}, h = {0, 77};
    Buffer b = {0};

    vmstate_save(&b, &v1, "x", &g);
    check_load(&b, &v2, "x", &h, NULL);
    CHECK(h.old == 1 && h.young == 77); /* a younger field keeps its value */
    check_load(&b, &v1, "y", &h, "grown: the saved state is that of 'grown'");
    check_load(&b, &part_vmstate, "x", &h, "part: the saved state is that of 'grown'");
    check_load(
        &b, &wide, "x", &h,
        "grown: field 'old' of the saved state has 4 bytes, which this program does not know");

    buffer_clear(&b);
    vmstate_save(&b, &v2, "x", &g);
    check_load(&b, &v1, "x", &h,
               "grown: saved by a newer program: version 2, this one knows up to 1");
    buffer_clear(&b);
    vmstate_save(&b, &v1_with_young, "x", &g);
    check_load(&b, &v1, "x", &h,
               "grown: the saved state has a field 'young', which this program does not know");
    buffer_clear(&b);
    vmstate_save(&b, &v2_without_young, "x", &g);
    check_load(&b, &v2, "x", &h, "grown: field 'young' is missing in the saved state");
    buffer_free(&b);
}

static void post_load_may_refuse(void)
{
    Buffer b = {0};
    Thing a, c;

    fill(&a, 0);
    a.u8 = 0xee;
    vmstate_save(&b, &thing_vmstate, "0", &a);
    empty(&c, 1);
    check_load(&b, &thing_vmstate, "0", &c, "thing: u8 cannot be 0xee");
    buffer_free(&b);
}

static void a_stream_cut_anywhere_is_refused(void)
{
    Buffer b = {0};
    Thing a, c;

    fill(&a, 0);
    vmstate_save(&b, &thing_vmstate, "0", &a);
    for (size_t size = 0; size < b.size; size++) {
        uint8_t *copy = malloc(size + 1); /* so that a sanitizer sees a read beyond its end */
        memcpy(copy, b.data, size);
        Reader r = {.data = copy, .size = size};
        Error *err = NULL;
        empty(&c, 1);
        bool ok = vmstate_load(&r, &thing_vmstate, "0", &c, &err);
        CHECK(!ok && err);
        error_free(err);
        free(copy);
    }
    buffer_free(&b);
}

static void damaged_streams_do_no_harm(void)
{
    unsigned seed = 3, refused = 0;
    Buffer b = {0};
    Thing a, c;

    fill(&a, 0);
    vmstate_save(&b, &thing_vmstate, "0", &a);
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t copy[1024];
        CHECK(b.size <= sizeof(copy));
        memcpy(copy, b.data, b.size);
        for (int n = 1 + rand_r(&seed) % 4; n > 0; n--) {
            copy[(unsigned)rand_r(&seed) % b.size] = (uint8_t)rand_r(&seed);
        }
        Reader r = {.data = copy, .size = b.size};
        Error *err = NULL;
        empty(&c, 1);
        if (!vmstate_load(&r, &thing_vmstate, "0", &c, &err)) {
            CHECK(err != NULL);
            refused++;
        }
        error_free(err);
        CHECK(c.fifo == fifo_bytes[1] && c.fifo_count <= 8);
        timer_cancel(&c.timer);
    }
    CHECK(refused > 1000 && refused < 20000);
    buffer_free(&b);
}

static void the_whole_machine(void)
{
    Grown g[2] = {{1, 2}, {3, 4}};
    Part p = {5, true};
    Buffer b = {0};
    Error *err = NULL;

    vmstate_register(&v2, "a", &g[0]);
    vmstate_register(&v2, "b", &g[1]);
    vmstate_register(&part_vmstate, "a", &p);
    vmstate_save_all(&b);
    memset(g, 0, sizeof(g));
    memset(&p, 0, sizeof(p));
    Reader r = {.data = b.data, .size = b.size};
    CHECK(vmstate_load_all(&r, NULL));
    CHECK_EQ(r.pos, b.size);
    CHECK(g[0].old == 1 && g[1].young == 4 && p.a == 5 && p.b);

    vmstate_unregister(&part_vmstate, &p);
    r = (Reader){.data = b.data, .size = b.size};
    CHECK(!vmstate_load_all(&r, &err));
    CHECK_STR(error_text(err), "a: the saved state has a device 'part', which this machine lacks");
    error_free(err);

    buffer_clear(&b);
    vmstate_save_all(&b);
    vmstate_register(&part_vmstate, "a", &p);
    err = NULL;
    r = (Reader){.data = b.data, .size = b.size};
    CHECK(!vmstate_load_all(&r, &err));
    CHECK_STR(error_text(err), "a: the saved state of 'part' is missing");
    error_free(err);
    vmstate_unregister(&part_vmstate, &p);
    vmstate_unregister(&v2, &g[0]);
    vmstate_unregister(&v2, &g[1]);

    err = NULL;
    r = (Reader){.data = (const uint8_t *)"something else", .size = 14};
    CHECK(!vmstate_load_all(&r, &err));
    CHECK_STR(error_text(err), "this is no saved state of a machine");
    error_free(err);
    buffer_free(&b);
}

TESTS(TEST(every_kind_there_and_back), TEST(other_versions), TEST(post_load_may_refuse),
      TEST(a_stream_cut_anywhere_is_refused), TEST(damaged_streams_do_no_harm),
      TEST(the_whole_machine))
