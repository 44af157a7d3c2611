/*
 * The memory map: the tree of regions, and the flat views made of it.
 *
 * A tree is flattened by walking it from the highest priority down and giving each region what is
 * still free of its place, which leaves a sorted list of ranges that do not overlap. Over the list
 * stands a radix tree on the address with 256 entries a node; an entry is a node, a range that
 * covers all of the entry's addresses, nothing, or "several": then the list is searched. Whole
 * ranges end high up in the tree, so building it takes some ten microseconds whatever the size of
 * RAM. Spaces of up to 64 K (the ports) have a leaf a byte, the others a leaf a page.
 *
 * A new view is published with one store. Lookups announce themselves in a counter of their thread,
 * odd while they are inside, and an old view is freed by a later change once every counter was seen
 * even or moved on. Neither side ever waits for the other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "hw/memory-internal.h"

enum {
    NODE_BITS = 8,
    NODE_ENTRIES = 1 << NODE_BITS,
    PAGE_LEVELS = 5, /* of a space with 2^52 addresses: 40 bits of page number */
    BYTE_LEVELS = 2, /* of a space with 2^16 addresses */
};

#define ADDRESS_BITS 52
#define PORT_BITS    16

/* Entries: ENTRY_NODE with a node's number; or a range's number + 1; or one of these two. */
#define ENTRY_NONE    0u
#define ENTRY_SEVERAL 0x7fffffffu
#define ENTRY_NODE    0x80000000u

struct FlatView {
    FlatRange *ranges;
    unsigned count, capacity;
    uint32_t *nodes; /* node n's entries are at n * NODE_ENTRIES; node 0 is the root */
    unsigned node_count, node_capacity;
    unsigned leaf_bits; /* of the address, below the radix tree */
    unsigned levels;
    FlatView *next; /* among those that wait to be freed */
};

AddressSpace memory_as, memory_smm_as, memory_io_as;

static AddressSpace *spaces;
static unsigned transaction_depth;
static bool changes_pending;

/* ---- flattening ---- */

static void *grow(void *array, unsigned needed, unsigned *capacity, size_t element)
{
    if (needed > *capacity) {
        *capacity = needed > 2 * *capacity ? needed : 2 * *capacity;
        array = realloc(array, *capacity * element);
        if (!array) {
            abort();
        }
    }
    return array;
}

/* Number of the first range that ends behind addr. */
static unsigned first_range_behind(const FlatView *view, hwaddr addr)
{
    unsigned low = 0, high = view->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (view->ranges[middle].end > addr) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static void insert_range(FlatView *view, unsigned at, const FlatRange *range)
{
    view->ranges = grow(view->ranges, view->count + 1, &view->capacity, sizeof(*view->ranges));
    memmove(&view->ranges[at + 1], &view->ranges[at], (view->count - at) * sizeof(*view->ranges));
    view->ranges[at] = *range;
    view->count++;
}

/* Gives the range whatever is still free between its ends. */
static void fill_gaps(FlatView *view, FlatRange range)
{
    unsigned i = first_range_behind(view, range.start);

    while (range.start < range.end) {
        FlatRange part = range;
        hwaddr resume = range.end;
        if (i < view->count && view->ranges[i].start < range.end) {
            part.end = view->ranges[i].start;
            resume = view->ranges[i].end;
        }
        if (part.start < part.end) {
            insert_range(view, i, &part);
            i++;
        }
        i++;
        if (resume >= range.end) {
            return;
        }
        range.offset += resume - range.start;
        range.start = resume;
    }
}

/* An address that may lie before the space's start: aliases move their target about. */
typedef __int128 WideAddr;

static void render(FlatView *view, MemoryRegion *mr, WideAddr base, WideAddr low, WideAddr high,
                   bool readonly)
{
    if (!mr->enabled) {
        return;
    }
    low = base > low ? base : low;
    high = base + mr->size < high ? base + mr->size : high;
    if (low >= high) {
        return;
    }
    readonly |= mr->readonly;
    for (MemoryRegion *child = mr->children; child; child = child->next) {
        render(view, child, base + child->addr, low, high, readonly);
    }
    switch (mr->kind) {
    case MEMORY_CONTAINER:
        break;
    case MEMORY_ALIAS:
        render(view, mr->alias_of, base - mr->alias_offset, low, high, readonly);
        break;
    case MEMORY_RAM:
    case MEMORY_ROM:
    case MEMORY_IO:
        fill_gaps(view, (FlatRange){.start = (hwaddr)low,
                                    .end = (hwaddr)high,
                                    .mr = mr,
                                    .offset = (hwaddr)(low - base),
                                    .readonly = readonly || mr->kind == MEMORY_ROM});
        break;
    }
}

/* Joins neighbours that go on in one region: an alias beside its original, a region cut by what is
 * gone. */
static void join_ranges(FlatView *view)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < view->count; i++) {
        FlatRange *last = kept ? &view->ranges[kept - 1] : NULL, *range = &view->ranges[i];
        if (last && last->end == range->start && last->mr == range->mr &&
            last->readonly == range->readonly &&
            last->offset + (last->end - last->start) == range->offset) {
            last->end = range->end;
        } else {
            view->ranges[kept++] = *range;
        }
    }
    view->count = kept;
}

/* ---- the radix tree ---- */

static unsigned new_node(FlatView *view, uint32_t fill)
{
    unsigned n = view->node_count++;

    view->nodes = grow(view->nodes, view->node_count * NODE_ENTRIES, &view->node_capacity,
                       sizeof(*view->nodes));
    for (unsigned i = 0; i < NODE_ENTRIES; i++) {
        view->nodes[n * NODE_ENTRIES + i] = fill;
    }
    return n;
}

/* Sets the leaves first..last (leaf numbers within the node at `level`, 0 the lowest) to entry. */
static void set_leaves(FlatView *view, unsigned node, unsigned level, uint64_t first, uint64_t last,
                       uint32_t entry)
{
    unsigned shift = level * NODE_BITS;
    uint64_t span_mask = ((uint64_t)1 << shift) - 1;

    for (uint64_t i = first >> shift; i <= last >> shift; i++) {
        uint64_t from = i == first >> shift ? first & span_mask : 0;
        uint64_t to = i == last >> shift ? last & span_mask : span_mask;
        size_t slot = node * NODE_ENTRIES + i;
        if (from == 0 && to == span_mask) {
            view->nodes[slot] = entry;
            continue;
        }
        uint32_t old = view->nodes[slot];
        if (!(old & ENTRY_NODE)) {
            old = new_node(view, old) | ENTRY_NODE;
            view->nodes[slot] = old;
        }
        set_leaves(view, old & ~ENTRY_NODE, level - 1, from, to, entry);
    }
}

static void build_radix(FlatView *view)
{
    hwaddr leaf_mask = ((hwaddr)1 << view->leaf_bits) - 1;

    new_node(view, ENTRY_NONE);
    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *range = &view->ranges[i];
        uint64_t first = range->start >> view->leaf_bits,
                 last = (range->end - 1) >> view->leaf_bits;
        uint64_t whole = (range->start + leaf_mask) >> view->leaf_bits;
        uint64_t whole_end = range->end >> view->leaf_bits;
        if (first < whole) {
            set_leaves(view, 0, view->levels - 1, first, first, ENTRY_SEVERAL);
        }
        if (last >= whole_end) {
            set_leaves(view, 0, view->levels - 1, last, last, ENTRY_SEVERAL);
        }
        if (whole < whole_end) {
            set_leaves(view, 0, view->levels - 1, whole, whole_end - 1, i + 1);
        }
    }
}

static bool space_is_small(const AddressSpace *as)
{
    return as->root->size <= (uint64_t)1 << PORT_BITS;
}

static FlatView *make_view(const AddressSpace *as)
{
    FlatView *view = calloc(1, sizeof(*view));
    bool small = space_is_small(as);

    if (!view) {
        abort();
    }
    view->leaf_bits = small ? 0 : GUEST_PAGE_BITS;
    view->levels = small ? BYTE_LEVELS : PAGE_LEVELS;
    render(view, as->root, 0, 0, (WideAddr)1 << (small ? PORT_BITS : ADDRESS_BITS), false);
    join_ranges(view);
    return view;
}

static void free_view(FlatView *view)
{
    if (view) {
        free(view->ranges);
        free(view->nodes);
        free(view);
    }
}

static bool same_views(const FlatView *a, const FlatView *b)
{
    if (a->count != b->count || a->leaf_bits != b->leaf_bits) {
        return false;
    }
    for (unsigned i = 0; i < a->count; i++) {
        const FlatRange *x = &a->ranges[i], *y = &b->ranges[i];
        if (x->start != y->start || x->end != y->end || x->mr != y->mr || x->offset != y->offset ||
            x->readonly != y->readonly) {
            return false;
        }
    }
    return true;
}

/* ---- readers, publication ---- */

typedef struct ReaderSlot {
    _Atomic uint64_t turns; /* odd while its thread is inside a lookup */
    uint64_t snapshot;      /* the writer's */
    struct ReaderSlot *next;
} ReaderSlot;

static _Atomic(ReaderSlot *) reader_slots; /* only ever grows */
static _Thread_local ReaderSlot *own_slot;
static pthread_key_t slot_key; /* hands an ended thread's slot on to a later thread */
static pthread_once_t slot_key_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t free_slots_mutex = PTHREAD_MUTEX_INITIALIZER;
static ReaderSlot *free_slots[256];
static unsigned free_slot_count;

static void release_slot(void *slot)
{
    pthread_mutex_lock(&free_slots_mutex);
    if (free_slot_count < sizeof(free_slots) / sizeof(free_slots[0])) {
        free_slots[free_slot_count++] = slot;
    }
    pthread_mutex_unlock(&free_slots_mutex);
}

static void make_slot_key(void)
{
    pthread_key_create(&slot_key, release_slot);
}

static ReaderSlot *claim_slot(void)
{
    ReaderSlot *slot = NULL;

    pthread_once(&slot_key_once, make_slot_key);
    pthread_mutex_lock(&free_slots_mutex);
    if (free_slot_count) {
        slot = free_slots[--free_slot_count];
    }
    pthread_mutex_unlock(&free_slots_mutex);
    if (!slot) {
        slot = calloc(1, sizeof(*slot));
        if (!slot) {
            abort();
        }
        slot->next = atomic_load(&reader_slots);
        while (!atomic_compare_exchange_weak(&reader_slots, &slot->next, slot)) {
        }
    }
    pthread_setspecific(slot_key, slot);
    own_slot = slot;
    return slot;
}

/* The view, which stays until reader_leave(). */
static const FlatView *reader_enter(AddressSpace *as)
{
    ReaderSlot *slot = own_slot ? own_slot : claim_slot();

    atomic_store(&slot->turns, atomic_load_explicit(&slot->turns, memory_order_relaxed) + 1);
    return atomic_load(&as->view);
}

static void reader_leave(void)
{
    atomic_store_explicit(&own_slot->turns,
                          atomic_load_explicit(&own_slot->turns, memory_order_relaxed) + 1,
                          memory_order_release);
}

/* Views that a lookup may still be in: `waiting` until all lookups under way when its snapshot was
   taken have ended, then `retired` take their turn. */
static FlatView *waiting, *retired;

static void take_snapshot(void)
{
    for (ReaderSlot *slot = atomic_load(&reader_slots); slot; slot = slot->next) {
        slot->snapshot = atomic_load(&slot->turns);
    }
}

static bool snapshot_passed(void)
{
    for (ReaderSlot *slot = atomic_load(&reader_slots); slot; slot = slot->next) {
        if ((slot->snapshot & 1) && atomic_load(&slot->turns) == slot->snapshot) {
            return false;
        }
    }
    return true;
}

static void free_views(FlatView *view)
{
    while (view) {
        FlatView *next = view->next;
        free_view(view);
        view = next;
    }
}

/* Frees the view when no lookup is in it any more; never waits. */
static void retire_view(FlatView *view)
{
    view->next = retired;
    retired = view;
    if (waiting && !snapshot_passed()) {
        return;
    }
    free_views(waiting);
    waiting = retired;
    retired = NULL;
    take_snapshot();
    if (snapshot_passed()) {
        free_views(waiting);
        waiting = NULL;
    }
}

static void update_space(AddressSpace *as)
{
    FlatView *old = atomic_load(&as->view), *view = make_view(as);

    if (old && same_views(old, view)) {
        free_view(view);
        return;
    }
    build_radix(view);
    atomic_store(&as->view, view);
    if (old) {
        retire_view(old);
    }
    if (memory_listener->map_changed) {
        memory_listener->map_changed(as);
    }
}

static void tree_changed(void)
{
    changes_pending = true;
    if (transaction_depth == 0) {
        changes_pending = false;
        for (AddressSpace *as = spaces; as; as = as->next) {
            update_space(as);
        }
    }
}

void memory_transaction_begin(void)
{
    transaction_depth++;
}

void memory_transaction_commit(void)
{
    transaction_depth--;
    if (changes_pending) {
        tree_changed();
    }
}

/* ---- lookups ---- */

static uint32_t find_entry(const FlatView *view, hwaddr addr)
{
    uint64_t leaf = addr >> view->leaf_bits;
    unsigned shift = view->levels * NODE_BITS;
    uint32_t entry = ENTRY_NODE;

    if (leaf >> shift) {
        return ENTRY_NONE;
    }
    while (entry & ENTRY_NODE) {
        shift -= NODE_BITS;
        size_t node = entry & ~ENTRY_NODE;
        entry = view->nodes[node * NODE_ENTRIES + (leaf >> shift & (NODE_ENTRIES - 1))];
    }
    return entry;
}

static FlatRange find_range(const FlatView *view, hwaddr addr)
{
    uint32_t entry = find_entry(view, addr);
    FlatRange gap = {.start = addr, .end = (addr | (((hwaddr)1 << view->leaf_bits) - 1)) + 1};

    if (entry == ENTRY_NONE) {
        return gap;
    }
    if (entry != ENTRY_SEVERAL) {
        return view->ranges[entry - 1];
    }
    unsigned i = first_range_behind(view, addr);
    if (i < view->count && view->ranges[i].start <= addr) {
        return view->ranges[i];
    }
    if (i < view->count && view->ranges[i].start < gap.end) {
        gap.end = view->ranges[i].start;
    }
    return gap;
}

FlatRange flat_lookup(AddressSpace *as, hwaddr addr)
{
    FlatRange range = find_range(reader_enter(as), addr);

    reader_leave();
    return range;
}

static MemoryPage page_in_range(const FlatRange *range, hwaddr page_addr)
{
    MemoryPage page = {.host = NULL, .ram = RAM_ADDR_INVALID};

    if (!flat_range_is_memory(range) || range->start > page_addr || range->end - page_addr < GUEST_PAGE_SIZE) {
        return page;
    }
    ram_addr ram = flat_range_ram(range, page_addr);
    if (ram & ~GUEST_PAGE_MASK) {
        return page; /* an alias at an odd offset: its pages straddle those of the dirty bitmaps */
    }
    page.host = flat_range_host(range, page_addr);
    page.ram = ram;
    page.readonly = range->readonly;
    return page;
}

MemoryPage memory_page_lookup(AddressSpace *as, hwaddr page_addr)
{
    FlatRange range = flat_lookup(as, page_addr & GUEST_PAGE_MASK);
    MemoryPage page = page_in_range(&range, page_addr & GUEST_PAGE_MASK);

    if (page.host) {
        memory_before_access(page.ram, GUEST_PAGE_SIZE);
    }
    return page;
}

bool memory_extent(AddressSpace *as, hwaddr page_addr, MemoryPage *page, hwaddr *first, hwaddr *end)
{
    FlatRange range = flat_lookup(as, page_addr & GUEST_PAGE_MASK);

    *page = page_in_range(&range, page_addr & GUEST_PAGE_MASK);
    *first = (range.start + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    *end = range.end & GUEST_PAGE_MASK;
    return page->host;
}

void memory_each_range(AddressSpace *as,
                       void (*fn)(hwaddr addr, uint64_t size, const MemoryRegion *mr, bool readonly,
                                  void *opaque),
                       void *opaque)
{
    const FlatView *view = atomic_load(&as->view);

    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *range = &view->ranges[i];
        fn(range->start, range->end - range->start, range->mr, range->readonly, opaque);
    }
}

/* ---- regions ---- */

static void init_region(MemoryRegion *mr, const char *name, MemoryKind kind, uint64_t size)
{
    *mr = (MemoryRegion){
        .name = name,
        .kind = kind,
        .size = size,
        .enabled = true,
        .ram_offset = RAM_ADDR_INVALID,
    };
}

void memory_region_init_container(MemoryRegion *mr, const char *name, uint64_t size)
{
    init_region(mr, name, MEMORY_CONTAINER, size);
}

void memory_region_init_io(MemoryRegion *mr, const char *name, uint64_t size, const MemoryOps *ops,
                           void *opaque)
{
    init_region(mr, name, MEMORY_IO, size);
    mr->ops = ops;
    mr->opaque = opaque;
}

static bool init_with_bytes(MemoryRegion *mr, const char *name, MemoryKind kind, uint64_t size,
                            Error **errp)
{
    init_region(mr, name, kind, size);
    mr->ram_offset = memory_ram_alloc(size, errp);
    if (mr->ram_offset == RAM_ADDR_INVALID) {
        error_prepend(errp, "%s: ", name);
        return false;
    }
    mr->host = memory_ram_base() + mr->ram_offset;
    return true;
}

bool memory_region_init_ram(MemoryRegion *mr, const char *name, uint64_t size, Error **errp)
{
    return init_with_bytes(mr, name, MEMORY_RAM, size, errp);
}

bool memory_region_init_rom(MemoryRegion *mr, const char *name, uint64_t size, Error **errp)
{
    return init_with_bytes(mr, name, MEMORY_ROM, size, errp);
}

void memory_region_init_alias(MemoryRegion *mr, const char *name, MemoryRegion *of, hwaddr offset,
                              uint64_t size)
{
    init_region(mr, name, MEMORY_ALIAS, size);
    mr->alias_of = of;
    mr->alias_offset = offset;
}

void memory_region_add(MemoryRegion *container, hwaddr addr, MemoryRegion *mr, int priority)
{
    MemoryRegion **place = &container->children;

    memory_transaction_begin();
    memory_region_remove(mr);
    mr->addr = addr;
    mr->priority = priority;
    mr->parent = container;
    while (*place && (*place)->priority > priority) {
        place = &(*place)->next;
    }
    mr->next = *place;
    *place = mr;
    tree_changed();
    memory_transaction_commit();
}

void memory_region_remove(MemoryRegion *mr)
{
    if (!mr->parent) {
        return;
    }
    MemoryRegion **place = &mr->parent->children;
    while (*place != mr) {
        place = &(*place)->next;
    }
    *place = mr->next;
    mr->parent = NULL;
    mr->next = NULL;
    tree_changed();
}

void memory_region_set_enabled(MemoryRegion *mr, bool enabled)
{
    if (mr->enabled != enabled) {
        mr->enabled = enabled;
        tree_changed();
    }
}

void memory_region_set_addr(MemoryRegion *mr, hwaddr addr)
{
    if (mr->addr != addr) {
        mr->addr = addr;
        tree_changed();
    }
}

void memory_region_set_alias_offset(MemoryRegion *mr, hwaddr offset)
{
    if (mr->alias_offset != offset) {
        mr->alias_offset = offset;
        tree_changed();
    }
}

void memory_region_set_readonly(MemoryRegion *mr, bool readonly)
{
    if (mr->readonly != readonly) {
        mr->readonly = readonly;
        tree_changed();
    }
}

/* ---- spaces ---- */

void address_space_init(AddressSpace *as, MemoryRegion *root, const char *name)
{
    AddressSpace **place = &spaces;

    while (*place && *place != as) {
        place = &(*place)->next;
    }
    if (!*place) {
        as->next = NULL;
        *place = as;
    }
    as->name = name;
    as->root = root;
    update_space(as);
}

void memory_init(void)
{
    static MemoryRegion memory_root, smm_root, io_root;

    transaction_depth = 0;
    changes_pending = false;
    spaces = NULL;
    memory_region_init_container(&memory_root, "memory", (uint64_t)1 << ADDRESS_BITS);
    memory_region_init_container(&smm_root, "smm", (uint64_t)1 << ADDRESS_BITS);
    memory_region_init_container(&io_root, "io", (uint64_t)1 << PORT_BITS);
    address_space_init(&memory_as, &memory_root, "memory");
    address_space_init(&memory_smm_as, &smm_root, "memory-smm");
    address_space_init(&memory_io_as, &io_root, "io");
}

void ioport_add(MemoryRegion *mr, uint16_t port)
{
    memory_region_add(memory_io_as.root, port, mr, 0);
}
