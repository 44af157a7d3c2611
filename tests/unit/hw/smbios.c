/*
 * SMBIOS: walks the structures as an operating system does and checks them against the entry point.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/smbios.h"

#include "../test.h"

#define GB (1ull << 30)

static Buffer tables, anchor;

static void build(uint64_t low, uint64_t high, unsigned cpus)
{
    SmbiosConfig config = {.ram_below_4g = low, .ram_above_4g = high, .cpus = cpus, .name = "box"};

    buffer_free(&tables);
    buffer_free(&anchor);
    smbios_build(&tables, &anchor, &config);
}

/* The structure after p, or NULL where it does not end within the tables. */
static const uint8_t *next(const uint8_t *p)
{
    const uint8_t *end = tables.data + tables.size;

    for (p += p[1]; p + 1 < end; p++) {
        if (p[0] == 0 && p[1] == 0) {
            return p + 2;
        }
    }
    return NULL;
}

static unsigned count(uint8_t type)
{
    unsigned n = 0;
    for (const uint8_t *p = tables.data; p && p < tables.data + tables.size; p = next(p)) {
        n += p[0] == type;
    }
    return n;
}

static const uint8_t *find(uint8_t type)
{
    for (const uint8_t *p = tables.data; p && p < tables.data + tables.size; p = next(p)) {
        if (p[0] == type) {
            return p;
        }
    }
    return NULL;
}

static const char *string(const uint8_t *p, unsigned n)
{
    const char *s = (const char *)p + p[1];
    while (--n) {
        s += strlen(s) + 1;
    }
    return s;
}

static void entry_point_agrees_with_structures(void)
{
    unsigned structures = 0, largest = 0;
    bool end = false;

    build(128 << 20, 0, 4);
    for (const uint8_t *p = tables.data, *q; p < tables.data + tables.size; p = q) {
        CHECK(!end);
        q = next(p);
        CHECK(q);
        structures++;
        largest = q - p > largest ? q - p : largest;
        end = p[0] == 127;
    }
    CHECK(end);
    CHECK_EQ(anchor.size, 31);
    CHECK(memcmp(anchor.data, "_SM_", 4) == 0);
    CHECK(memcmp(anchor.data + 16, "_DMI_", 5) == 0);
    CHECK_EQ(anchor.data[8] | anchor.data[9] << 8, largest);
    CHECK_EQ(anchor.data[22] | anchor.data[23] << 8, tables.size);
    CHECK_EQ(anchor.data[28] | anchor.data[29] << 8, structures);
}

static void sizes_are_those_of_version_2_8(void)
{
    static const uint8_t sizes[][2] = {{1, 27},  {3, 22},  {4, 42},  {16, 23},
                                       {17, 40}, {19, 31}, {32, 11}, {127, 4}};

    build(128 << 20, 0, 1);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const uint8_t *p = find(sizes[i][0]);
        CHECK(p);
        CHECK_EQ(p[1], sizes[i][1]);
    }
    CHECK_STR(string(find(1), find(1)[4]), "Vole");
    CHECK_STR(string(find(1), find(1)[7]), "box");
}

static void memory_adds_up(void)
{
    uint64_t mb = 0;

    build(3 * GB, 37 * GB, 64);
    CHECK_EQ(count(4), 64);
    CHECK_EQ(count(17), 3);
    CHECK_EQ(count(19), 2);
    for (const uint8_t *p = tables.data; p && p < tables.data + tables.size; p = next(p)) {
        if (p[0] == 17) {
            mb += p[12] | p[13] << 8;
        }
    }
    CHECK_EQ(mb, 40 * 1024);
    const uint8_t *a = find(16);
    uint32_t kb;
    memcpy(&kb, a + 7, 4);
    CHECK_EQ(kb, 40u << 20);
    CHECK_EQ(a[13], 3);
}

TESTS(TEST(entry_point_agrees_with_structures), TEST(sizes_are_those_of_version_2_8),
      TEST(memory_adds_up))
