/*
 * The memory map: random trees flattened against a model that works out each byte by itself,
 * accesses split and widened, read-only views, aliases, ports, DMA, dirty bitmaps, lookups while
 * the map changes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/memory.h"
#include "util/host-memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "util/loop.h"

#include "../test.h"

static void set_up(void)
{
    memory_set_listener(NULL);
    memory_init();
    memory_ram_init(64 << 20, NULL);
}

/* ---- a device that keeps a journal of its accesses ---- */

static char journal[1024];
static uint8_t device_bytes[64];

static uint64_t journal_read(void *opaque, hwaddr addr, unsigned size)
{
    uint64_t v = 0;

    sprintf(journal + strlen(journal), "r%u@%x ", size, (unsigned)addr);
    memcpy(&v, device_bytes + addr % 32, size);
    return v;
}

static void journal_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    sprintf(journal + strlen(journal), "w%u@%x=%llx ", size, (unsigned)addr,
            (unsigned long long)value);
}

static void start_journal(void)
{
    journal[0] = 0;
    for (unsigned i = 0; i < sizeof(device_bytes); i++) {
        device_bytes[i] = (uint8_t)(0x10 + i);
    }
}

static MemoryOps ops_with(uint8_t min, uint8_t max, bool unaligned)
{
    return (MemoryOps){.read = journal_read,
                       .write = journal_write,
                       .min_size = min,
                       .max_size = max,
                       .unaligned = unaligned};
}

static void splits_and_widens_accesses(void)
{
    MemoryOps byte = ops_with(1, 1, false), word = ops_with(2, 2, false),
              dword = ops_with(4, 4, false);
    MemoryOps any = ops_with(1, 8, true), plain = ops_with(0, 0, false);
    MemoryRegion r[5];

    set_up();
    memory_region_init_io(&r[0], "byte", 16, &byte, NULL);
    memory_region_init_io(&r[1], "word", 16, &word, NULL);
    memory_region_init_io(&r[2], "dword", 16, &dword, NULL);
    memory_region_init_io(&r[3], "any", 16, &any, NULL);
    memory_region_init_io(&r[4], "plain", 16, &plain, NULL);
    for (unsigned i = 0; i < 5; i++) {
        memory_region_add(memory_as.root, 0x1000 + 0x100 * i, &r[i], 0);
    }

    start_journal();
    CHECK_EQ(memory_read(&memory_as, 0x1004, 4), 0x17161514);
    memory_write(&memory_as, 0x1004, 0xaabb, 2);
    CHECK_STR(journal, "r1@4 r1@5 r1@6 r1@7 w1@4=bb w1@5=aa ");

    start_journal();
    CHECK_EQ(memory_read(&memory_as, 0x1103, 1), 0x13);
    CHECK_EQ(memory_read(&memory_as, 0x1102, 4), 0x15141312);
    memory_write(&memory_as, 0x1103, 0xff77, 1);
    CHECK_STR(journal, "r2@2 r2@2 r2@4 w1@3=77 ");

    start_journal();
    CHECK_EQ(memory_read(&memory_as, 0x1203, 1), 0x13);
    CHECK_EQ(memory_read(&memory_as, 0x1206, 2), 0x1716);
    CHECK_EQ(memory_read(&memory_as, 0x1204, 8), 0x1b1a191817161514);
    memory_write(&memory_as, 0x1204, 0x1122334455667788, 8);
    CHECK_STR(journal, "r4@0 r4@4 r4@4 r4@8 w4@4=55667788 w4@8=11223344 ");

    start_journal();
    CHECK_EQ(memory_read(&memory_as, 0x1303, 4), 0x16151413);
    CHECK_EQ(memory_read(&memory_as, 0x1301, 8), 0x1817161514131211);
    CHECK_STR(journal, "r4@3 r8@1 ");

    start_journal();
    CHECK_EQ(memory_read(&memory_as, 0x1402, 4), 0x15141312); /* not aligned: bytes */
    CHECK_EQ(memory_read(&memory_as, 0x1400, 8), 0x1716151413121110);
    CHECK_STR(journal, "r1@2 r1@3 r1@4 r1@5 r4@0 r4@4 ");

    /* Beyond the region's end nobody answers. */
    start_journal();
    CHECK_EQ(memory_read(&memory_as, 0x140e, 4), 0xffff1f1e);
    memory_write(&memory_as, 0x13ff, 0x1234, 2);
    CHECK_STR(journal, "r1@e r1@f w1@0=12 ");
}

static void nobody_reads_as_ones(void)
{
    set_up();
    CHECK_EQ(memory_read(&memory_as, 0x5000, 4), 0xffffffff);
    CHECK_EQ(memory_read(&memory_as, ~0ull, 1), 0xff);
    CHECK_EQ(memory_read(&memory_as, ~0ull, 8), ~0ull);
    CHECK_EQ(memory_read(&memory_as, (1ull << 52) - 1, 4), 0xffffffff);
    memory_write(&memory_as, ~0ull - 2, 0, 8);
    CHECK_EQ(ioport_read(0xffff, 4), 0xffffffff);
    ioport_write(0xfffe, 0, 4);
    uint8_t buf[64] = {0};
    CHECK(!dma_read(~0ull - 10, buf, sizeof(buf)));
    CHECK_EQ(buf[0], 0xff);
    CHECK_EQ(buf[63], 0xff);
    CHECK(!dma_write(~0ull, buf, sizeof(buf)));
    CHECK(memory_page_lookup(&memory_as, ~0ull).host == NULL);
}

static void ports_are_bytes(void)
{
    MemoryOps byte = ops_with(1, 1, false);
    MemoryRegion a, b;

    set_up();
    memory_region_init_io(&a, "a", 1, &byte, NULL);
    memory_region_init_io(&b, "b", 2, &byte, NULL);
    ioport_add(&a, 0x92);
    ioport_add(&b, 0xfffe);
    start_journal();
    CHECK_EQ(ioport_read(0x92, 2), 0xff10);
    CHECK_EQ(ioport_read(0xffff, 1), 0x11);
    CHECK_EQ(ioport_read(0xfffe, 4), 0xffff1110);
    CHECK_STR(journal, "r1@0 r1@1 r1@0 r1@1 ");
}

/* ---- RAM, ROM, read-only ---- */

static void ram_and_rom(void)
{
    MemoryRegion ram, rom, alias;

    set_up();
    CHECK(memory_region_init_ram(&ram, "ram", 1 << 20, NULL));
    CHECK(memory_region_init_rom(&rom, "rom", 0x2000, NULL));
    CHECK_EQ(ram.ram_offset, 0);
    CHECK_EQ(rom.ram_offset, 1 << 20);
    CHECK_EQ(memory_ram_used(), (1 << 20) + 0x2000);
    rom.host[0x1fff] = 0x5a;
    memory_region_add(memory_as.root, 0, &ram, 0);
    memory_region_add(memory_as.root, 0xfffe000, &rom, 0);

    for (unsigned size = 1; size <= 8; size *= 2) {
        memory_write(&memory_as, 0xffd, 0x8877665544332211, size); /* across pages */
        uint64_t mask = size == 8 ? ~0ull : (1ull << 8 * size) - 1;
        CHECK_EQ(memory_read(&memory_as, 0xffd, size), 0x8877665544332211 & mask);
    }
    memory_write(&memory_as, 0xfffffff, 0, 1);
    CHECK_EQ(memory_read(&memory_as, 0xfffffff, 1), 0x5a);
    CHECK_EQ(memory_read(&memory_as, 0xfffffff, 2), 0xff5a);

    MemoryPage page = memory_page_lookup(&memory_as, 0x3123);
    CHECK(page.host == ram.host + 0x3000 && page.ram == 0x3000 && !page.readonly);
    page = memory_page_lookup(&memory_as, 0xffff000);
    CHECK(page.host == rom.host + 0x1000 && page.ram == (1 << 20) + 0x1000 && page.readonly);
    CHECK(memory_page_lookup(&memory_as, 0x100000).host == NULL);

    /* A read-only alias over RAM, as for shadowed ROM, then writable again. */
    memory_region_init_alias(&alias, "alias", &ram, 0xc0000, 0x4000);
    memory_region_set_readonly(&alias, true);
    memory_region_add(memory_as.root, 0xc0000, &alias, 1);
    ram.host[0xc0010] = 7;
    memory_write(&memory_as, 0xc0010, 99, 1);
    CHECK_EQ(memory_read(&memory_as, 0xc0010, 1), 7);
    CHECK(memory_page_lookup(&memory_as, 0xc3000).readonly);
    CHECK(!memory_page_lookup(&memory_as, 0xc4000).readonly);
    uint8_t byte = 98;
    CHECK(dma_write(0xc0010, &byte, 1));
    CHECK_EQ(ram.host[0xc0010], 7);
    memory_region_set_readonly(&alias, false);
    memory_write(&memory_as, 0xc0010, 99, 1);
    CHECK_EQ(ram.host[0xc0010], 99);

    Error *err = NULL;
    MemoryRegion big;
    CHECK(!memory_region_init_ram(&big, "big", 1 << 30, &err));
    CHECK(strncmp(error_text(err), "big: no room", 12) == 0);
    error_free(err);
}

static void memory_beyond_4_gb_with_the_pci_hole(void)
{
    MemoryRegion ram, low, high, unaligned;

    set_up();
    CHECK(memory_region_init_ram(&ram, "ram", 32 << 20, NULL));
    memory_region_init_alias(&low, "low", &ram, 0, 24 << 20);
    memory_region_init_alias(&high, "high", &ram, 24 << 20, 8 << 20);
    memory_region_add(memory_as.root, 0, &low, 0);
    memory_region_add(memory_as.root, 1ull << 32, &high, 0);
    CHECK(memory_page_lookup(&memory_as, (24 << 20) - 4096).host == ram.host + (24 << 20) - 4096);
    CHECK(memory_page_lookup(&memory_as, 24 << 20).host == NULL);
    CHECK(memory_page_lookup(&memory_as, 1ull << 32).host == ram.host + (24 << 20));
    CHECK(memory_page_lookup(&memory_as, (1ull << 32) + (8 << 20)).host == NULL);
    uint32_t v = 0x12345678, got = 0;
    CHECK(dma_write((1ull << 32) + 4094, &v, 4));
    CHECK(dma_read((1ull << 32) + 4094, &got, 4));
    CHECK_EQ(got, v);

    /* RAM at an odd offset is reached, but its pages are not handed out whole. */
    memory_region_init_alias(&unaligned, "unaligned", &ram, 0x10, 0x3000);
    memory_region_add(memory_as.root, 1ull << 40, &unaligned, 0);
    ram.host[0x1011] = 0x77;
    CHECK_EQ(memory_read(&memory_as, (1ull << 40) + 0x1001, 1), 0x77);
    CHECK(memory_page_lookup(&memory_as, (1ull << 40) + 0x1000).host == NULL);
}

static void dma_reaches_memory_only(void)
{
    MemoryOps any = ops_with(1, 8, true);
    MemoryRegion ram, io;
    uint8_t out[0x300], in[0x300];

    set_up();
    start_journal();
    CHECK(memory_region_init_ram(&ram, "ram", 0x4000, NULL));
    memory_region_init_io(&io, "io", 0x100, &any, NULL);
    memory_region_add(memory_as.root, 0, &ram, 0);
    memory_region_add(memory_as.root, 0x1100, &io, 1);
    memset(out, 0x42, sizeof(out));
    CHECK(!dma_write(0x1000, out, sizeof(out)));
    CHECK_EQ(ram.host[0x10ff], 0x42);
    CHECK_EQ(ram.host[0x1100], 0);
    CHECK_EQ(ram.host[0x11ff], 0);
    CHECK_EQ(ram.host[0x1200], 0x42);
    CHECK(!dma_read(0x1000, in, sizeof(in)));
    CHECK_EQ(in[0xff], 0x42);
    CHECK_EQ(in[0x100], 0xff);
    CHECK_EQ(in[0x1ff], 0xff);
    CHECK_EQ(in[0x200], 0x42);
    CHECK_STR(journal, "");
    CHECK(dma_write(0x1200, out, 0x100));
    CHECK(!dma_write(0x3fff, out, 2));
    CHECK_EQ(ram.host[0x3fff], 0x42);
}

/* ---- changing the map ---- */

static unsigned map_changes;

static void count_map_change(AddressSpace *as)
{
    map_changes += as == &memory_as;
}

static void a_transaction_publishes_once(void)
{
    static const MemoryListener listener = {.map_changed = count_map_change};
    MemoryRegion a, b;

    set_up();
    CHECK(memory_region_init_ram(&a, "a", 0x1000, NULL));
    CHECK(memory_region_init_ram(&b, "b", 0x1000, NULL));
    map_changes = 0;
    memory_set_listener(&listener);
    memory_transaction_begin();
    memory_region_add(memory_as.root, 0x1000, &a, 0);
    memory_transaction_begin();
    memory_region_add(memory_as.root, 0x1000, &b, 0);
    memory_transaction_commit();
    CHECK_EQ(map_changes, 0);
    CHECK(memory_page_lookup(&memory_as, 0x1000).host == NULL);
    memory_transaction_commit();
    CHECK_EQ(map_changes, 1);
    CHECK(memory_page_lookup(&memory_as, 0x1000).host == b.host); /* the one added last */
    memory_region_set_enabled(&a, false);
    CHECK_EQ(map_changes, 1); /* a was hidden: nothing changed */
    memory_region_set_enabled(&b, false);
    CHECK_EQ(map_changes, 2);
    CHECK(memory_page_lookup(&memory_as, 0x1000).host == NULL);
    memory_region_set_enabled(&a, true);
    CHECK(memory_page_lookup(&memory_as, 0x1000).host == a.host);
    memory_region_set_addr(&a, 0x5000);
    CHECK(memory_page_lookup(&memory_as, 0x1000).host == NULL);
    CHECK(memory_page_lookup(&memory_as, 0x5000).host == a.host);
    memory_region_add(memory_as.root, 0x6000, &a, 0); /* from one place to another */
    CHECK(memory_page_lookup(&memory_as, 0x5000).host == NULL);
    CHECK(memory_page_lookup(&memory_as, 0x6000).host == a.host);
    memory_region_remove(&a);
    CHECK(memory_page_lookup(&memory_as, 0x6000).host == NULL);
    memory_set_listener(NULL);
}

static MemoryRegion *toggled;

static void toggling_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    memory_region_set_enabled(toggled, !toggled->enabled);
}

static void a_device_may_change_the_map_that_leads_to_it(void)
{
    static const MemoryOps ops = {.write = toggling_write, .max_size = 1};
    MemoryRegion io, ram;

    set_up();
    CHECK(memory_region_init_ram(&ram, "ram", 0x1000, NULL));
    memory_region_init_io(&io, "io", 0x1000, &ops, NULL);
    memory_region_add(memory_as.root, 0, &io, 0);
    memory_region_add(memory_as.root, 0, &ram, 1);
    toggled = &ram;
    memory_region_set_enabled(&ram, false);
    memory_write(&memory_as, 4, 0, 1);
    CHECK(memory_page_lookup(&memory_as, 0).host == ram.host);
    CHECK_EQ(memory_read(&memory_as, 4, 1), 0);
}

/* ---- random trees against a model ---- */

enum { MODEL_SIZE = 0x20000, REGIONS = 24 };

static MemoryRegion regions[REGIONS];
static unsigned region_count;

typedef struct Place {
    MemoryRegion *mr;
    hwaddr offset;
    bool readonly;
} Place;

/* What shows at offset of mr: the definition, without any cleverness. */
static Place model_at(MemoryRegion *mr, hwaddr offset, bool readonly)
{
    if (!mr->enabled || offset >= mr->size) {
        return (Place){0};
    }
    readonly |= mr->readonly;
    for (MemoryRegion *child = mr->children; child; child = child->next) {
        Place p = model_at(child, offset - child->addr, readonly);
        if (p.mr) {
            return p;
        }
    }
    if (mr->kind == MEMORY_CONTAINER) {
        return (Place){0};
    }
    if (mr->kind == MEMORY_ALIAS) {
        return model_at(mr->alias_of, offset + mr->alias_offset, readonly);
    }
    return (Place){mr, offset, readonly || mr->kind == MEMORY_ROM};
}

static Place shown[MODEL_SIZE];

static void note_range(hwaddr addr, uint64_t size, const MemoryRegion *mr, bool readonly,
                       void *opaque)
{
    hwaddr *last_end = opaque;

    CHECK(addr >= *last_end && addr + size <= MODEL_SIZE && size > 0);
    *last_end = addr + size;
    for (uint64_t i = 0; i < size; i++) {
        shown[addr + i] = (Place){(MemoryRegion *)mr, 0, readonly};
    }
}

static uint64_t offset_read(void *opaque, hwaddr addr, unsigned size)
{
    return (uintptr_t)opaque * 0x100 + addr;
}

static hwaddr random_addr(unsigned *seed)
{
    hwaddr a = (hwaddr)rand_r(seed) % MODEL_SIZE;
    return rand_r(seed) % 4 ? a & ~(hwaddr)0xff : a;
}

static void random_region(unsigned i, unsigned *seed)
{
    static const MemoryOps ops = {.read = offset_read, .max_size = 1};
    uint64_t size = 1 + random_addr(seed);
    unsigned kind = (unsigned)rand_r(seed) % 4;

    if (kind == 0) {
        memory_region_init_container(&regions[i], "container", size);
    } else if (kind == 1 && i > 1) { /* of an earlier one, so that no circle comes about */
        memory_region_init_alias(&regions[i], "alias",
                                 &regions[1 + (unsigned)rand_r(seed) % (i - 1)], random_addr(seed),
                                 size);
    } else {
        memory_region_init_io(&regions[i], "io", size, &ops, (void *)(uintptr_t)i);
    }
    regions[i].readonly = rand_r(seed) % 8 == 0;
}

static bool aliases_reach(MemoryRegion *from, MemoryRegion *target)
{
    if (from == target || (from->kind == MEMORY_ALIAS && aliases_reach(from->alias_of, target))) {
        return true;
    }
    for (MemoryRegion *c = from->children; c; c = c->next) {
        if (aliases_reach(c, target)) {
            return true;
        }
    }
    return false;
}

static void add_somewhere(unsigned i, unsigned *seed)
{
    MemoryRegion *parent = &regions[(unsigned)rand_r(seed) % i];

    if (parent->kind != MEMORY_CONTAINER || aliases_reach(&regions[i], parent)) {
        parent = &regions[0];
    }
    memory_region_add(parent, random_addr(seed), &regions[i], rand_r(seed) % 4);
}

static void compare_with_model(AddressSpace *as)
{
    hwaddr last_end = 0;

    memset(shown, 0, sizeof(shown));
    memory_each_range(as, note_range, &last_end);
    for (hwaddr a = 0; a < as->root->size; a++) {
        Place want = model_at(&regions[0], a, false);
        CHECK(shown[a].mr == want.mr);
        CHECK(shown[a].readonly == want.readonly);
        uint8_t value = want.mr ? (uint8_t)want.offset : 0xff;
        CHECK_EQ(memory_read(as, a, 1), value);
    }
}

static void random_trees_flatten_as_the_model_says(void)
{
    unsigned seed = 7;

    for (unsigned round = 0; round < 60 && !test_failed; round++) {
        static AddressSpace as;
        set_up();
        region_count = 4 + (unsigned)rand_r(&seed) % (REGIONS - 4);
        /* As ports with a leaf a byte, and as memory with a leaf a page. */
        memory_region_init_container(&regions[0], "root", round % 2 ? MODEL_SIZE / 2 : MODEL_SIZE);
        for (unsigned i = 1; i < region_count; i++) {
            random_region(i, &seed);
        }
        address_space_init(&as, &regions[0], "test");
        memory_transaction_begin();
        for (unsigned i = 1; i < region_count; i++) {
            add_somewhere(i, &seed);
        }
        memory_transaction_commit();
        memory_region_set_enabled(&regions[1], false);
        compare_with_model(&as);
        for (unsigned change = 0; change < 4 && !test_failed; change++) {
            MemoryRegion *mr = &regions[1 + (unsigned)rand_r(&seed) % (region_count - 1)];
            memory_region_set_enabled(mr, rand_r(&seed) % 2);
            memory_region_set_addr(mr, random_addr(&seed));
            memory_region_set_readonly(mr, rand_r(&seed) % 2);
            if (mr->kind == MEMORY_ALIAS) {
                memory_region_set_alias_offset(mr, random_addr(&seed));
            }
            compare_with_model(&as);
        }
    }
}

/* ---- dirty bitmaps ---- */

static ram_addr told_addr;
static uint64_t told_size;
static unsigned protects, code_writes;

static void note_protect(ram_addr addr, uint64_t size)
{
    protects++;
    told_addr = addr;
    told_size = size;
}

static void note_code_written(ram_addr addr, uint64_t size)
{
    code_writes++;
    told_addr = addr;
    told_size = size;
}

static void dirty_bits_follow_writes(void)
{
    static const MemoryListener listener = {.protect = note_protect,
                                            .code_written = note_code_written};
    MemoryRegion ram;

    set_up();
    memory_set_listener(&listener);
    CHECK(memory_region_init_ram(&ram, "ram", 1 << 20, NULL));
    memory_region_add(memory_as.root, 0, &ram, 0);
    protects = code_writes = 0;
    CHECK(memory_dirty_all(0) && memory_dirty_all((1 << 20) - 1));

    memory_dirty_reset(0x3000, 0x80000, DIRTY_DISPLAY);
    CHECK_EQ(protects, 1);
    CHECK_EQ(told_addr, 0x3000);
    CHECK_EQ(told_size, 0x80000);
    memory_dirty_reset(0x3000, 0x80000, DIRTY_DISPLAY);
    CHECK_EQ(protects, 1);
    for (ram_addr a = 0; a < 1 << 20; a += 4096) {
        bool inside = a >= 0x3000 && a < 0x83000;
        CHECK_EQ(memory_dirty_get(a, DIRTY_DISPLAY), !inside);
        CHECK(memory_dirty_get(a, DIRTY_CODE) && memory_dirty_get(a, DIRTY_SNAPSHOT));
        CHECK_EQ(memory_dirty_all(a), !inside);
    }
    memory_write(&memory_as, 0x4fff, 0, 2);
    CHECK(!memory_dirty_get(0x3fff, DIRTY_DISPLAY) && memory_dirty_get(0x4000, DIRTY_DISPLAY) &&
          memory_dirty_get(0x5000, DIRTY_DISPLAY) && !memory_dirty_get(0x6000, DIRTY_DISPLAY));
    CHECK_EQ(code_writes, 0);

    memory_dirty_reset(0x7000, MEMORY_CODE_PIECE, DIRTY_CODE);
    uint8_t bytes[8] = {0};
    CHECK(dma_write(0x6000, bytes, 8));
    CHECK_EQ(code_writes, 0);
    CHECK(dma_write(0x6ffc, bytes, 8));
    CHECK_EQ(code_writes, 1);
    CHECK_EQ(told_addr, 0x6ffc);
    CHECK_EQ(told_size, 8);
    CHECK(memory_dirty_get(0x7000, DIRTY_CODE));
    CHECK(dma_write(0x7000, bytes, 8));
    CHECK_EQ(code_writes, 1);

    /* Only pieces with code count, and each ends its watch by itself. */
    uint64_t epoch = memory_code_epoch();
    memory_dirty_reset(0x9030, 0x20, DIRTY_CODE);
    CHECK_EQ(memory_code_epoch(), epoch + 1);
    memory_dirty_reset(0x9fff, 1, DIRTY_CODE);
    CHECK_EQ(memory_code_epoch(), epoch + 1);
    CHECK(!memory_dirty_set(0x9080, 0xf40));
    CHECK(!memory_dirty_set(0x8000, 0x1000) && !memory_dirty_set(0xa000, 0x1000));
    CHECK(memory_dirty_set(0x9000, 1) && memory_code_untold());
    CHECK(!memory_dirty_set(0x9000, MEMORY_CODE_PIECE));
    CHECK(memory_dirty_set(0x907f, 1));
    CHECK(!memory_dirty_get(0x9000, DIRTY_CODE) && !memory_dirty_all(0x9000));
    CHECK(memory_dirty_set(0x8000, 0x3000));
    CHECK(memory_dirty_get(0x9000, DIRTY_CODE) && memory_dirty_all(0x9000));
    for (unsigned i = 0; i < 3; i++) {
        CHECK(memory_code_untold());
        memory_code_told();
    }
    CHECK(!memory_code_untold());

    /* Beyond the end of RAM: ignored. */
    memory_dirty_set(~0ull - 5, 100);
    memory_dirty_reset(63 << 20, ~0ull, DIRTY_SNAPSHOT);
    CHECK(!memory_dirty_get((64 << 20) - 1, DIRTY_SNAPSHOT));
    CHECK(memory_dirty_get(64ull << 20, DIRTY_SNAPSHOT));
    memory_set_listener(NULL);
}

/* ---- lookups while another thread changes the map ---- */

static _Atomic bool stop_looking;
static _Atomic unsigned long looked, wrong;
static uint8_t *first_host, *second_host;

static void *look_up(void *arg)
{
    while (!atomic_load(&stop_looking)) {
        MemoryPage page = memory_page_lookup(&memory_as, 0x8000);
        if (page.host != first_host && page.host != second_host) {
            atomic_fetch_add(&wrong, 1);
        }
        atomic_fetch_add(&looked, 1);
    }
    return NULL;
}

static void lookups_see_the_old_map_or_the_new(void)
{
    MemoryRegion a, b, clutter[40];
    pthread_t threads[2];

    set_up();
    CHECK(memory_region_init_ram(&a, "a", 0x10000, NULL));
    CHECK(memory_region_init_ram(&b, "b", 0x1000, NULL));
    memory_region_add(memory_as.root, 0, &a, 0);
    memory_region_add(memory_as.root, 0x8000, &b, 1);
    for (unsigned i = 0; i < 40; i++) {
        memory_region_init_io(&clutter[i], "clutter", 0x1000, NULL, NULL);
        memory_region_add(memory_as.root, 0xe0000000 + 0x1000000ull * i, &clutter[i], 0);
    }
    first_host = a.host + 0x8000;
    second_host = b.host;
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, look_up, NULL);
    }
    enum { CHANGES = 4000 };
    int64_t start = clock_now(CLOCK_HOST);
    for (unsigned i = 0; i < CHANGES; i++) {
        memory_region_set_enabled(&b, i % 2);
    }
    printf("# %d ns a change beside two readers\n",
           (int)((clock_now(CLOCK_HOST) - start) / CHANGES));
    atomic_store(&stop_looking, true);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQ(wrong, 0);
    CHECK(looked > 0);
    start = clock_now(CLOCK_HOST);
    for (unsigned i = 0; i < CHANGES; i++) {
        memory_region_set_enabled(&b, i % 2);
    }
    printf("# %d ns a change alone\n", (int)((clock_now(CLOCK_HOST) - start) / CHANGES));
    start = clock_now(CLOCK_HOST);
    for (unsigned i = 0; i < 1000000; i++) {
        looked += memory_page_lookup(&memory_as, 0x8000).host != NULL;
    }
    printf("# %d ps a lookup\n", (int)((clock_now(CLOCK_HOST) - start) / 1000));
}

/* Pages of the chunk at addr that the host has. */
static unsigned pages_in(ram_addr addr)
{
    unsigned char in[16];
    unsigned n = 0;

    mincore(memory_ram_base() + addr, sizeof(in) * 4096, in);
    for (unsigned i = 0; i < sizeof(in); i++) {
        n += in[i] & 1;
    }
    return n;
}

static void ram_in_a_row_is_brought_in_ahead(void)
{
    enum { CHUNK = 64 << 10 };

    memory_ram_init(1 << 20, NULL);
    memory_bring_in(0x5000);
    CHECK_EQ(pages_in(0), 0); /* one alone: who knows */
    memory_bring_in(4 * CHUNK);
    CHECK_EQ(pages_in(4 * CHUNK), 0);
    memory_bring_in(CHUNK + 0x3000);
    unsigned brought = pages_in(CHUNK);
    CHECK(brought == 16 || brought == 0);
    if (!brought) {
        printf("# the host cannot bring in pages (Linux before 5.14)\n");
    }
    CHECK_EQ(pages_in(2 * CHUNK), 0);
    memory_bring_in(3 * CHUNK); /* or downwards */
    CHECK_EQ(pages_in(3 * CHUNK), brought);
    host_bring_in_wait();
    CHECK_EQ(pages_in(5 * CHUNK), 0);
    memory_bring_in(2 * CHUNK); /* 256 KB are in use: the next ones follow */
    host_bring_in_wait();
    for (unsigned i = 4; i < 8; i++) {
        CHECK_EQ(pages_in(i * CHUNK), brought);
    }
    CHECK_EQ(pages_in(8 * CHUNK), 0);
    memory_bring_in(5 * CHUNK); /* the guest is there, and so on */
    host_bring_in_wait();
    for (unsigned i = 8; i < 12; i++) {
        CHECK_EQ(pages_in(i * CHUNK), brought);
    }
    CHECK_EQ(pages_in(12 * CHUNK), 0);
    for (unsigned i = 6; i < 16; i++) {
        memory_bring_in(i * CHUNK);
    }
    memory_bring_in(16 * CHUNK); /* behind the end */
    host_bring_in_wait();
    CHECK_EQ(pages_in(15 * CHUNK), brought);
    for (unsigned i = 0; i < 16 * CHUNK; i++) {
        if (memory_ram_base()[i]) {
            CHECK_EQ(i, ~0u);
        }
    }
}

TESTS(TEST(splits_and_widens_accesses), TEST(nobody_reads_as_ones), TEST(ports_are_bytes),
      TEST(ram_and_rom), TEST(ram_in_a_row_is_brought_in_ahead),
      TEST(memory_beyond_4_gb_with_the_pci_hole), TEST(dma_reaches_memory_only),
      TEST(a_transaction_publishes_once), TEST(a_device_may_change_the_map_that_leads_to_it),
      TEST(random_trees_flatten_as_the_model_says), TEST(dirty_bits_follow_writes),
      TEST(lookups_see_the_old_map_or_the_new))
