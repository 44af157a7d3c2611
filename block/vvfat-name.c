/*
 * Names in FAT directories: 8.3 and long ones (Microsoft's FAT specification, sections 6 and 7).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/util.h"
#include "block/vvfat.h"

enum { LONG_UNITS = 13, CASE_BASE = 8, CASE_EXT = 16 };

static const uint8_t unit_places[LONG_UNITS] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};

/* ---- UTF-8 and UTF-16 ---- */

static unsigned decode_utf8(const uint8_t *p, uint32_t *c)
{
    unsigned n = p[0] < 0x80       ? 1
                 : p[0] >> 5 == 6  ? 2
                 : p[0] >> 4 == 14 ? 3
                 : p[0] >> 3 == 30 ? 4
                                   : 0;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    if (!n) {
        return 0;
    }
    *c = n == 1 ? p[0] : p[0] & (0x7f >> n);
    for (unsigned i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        *c = *c << 6 | (p[i] & 0x3f);
    }
    return *c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ? 0 : n;
}

bool fat_name_to_units(const char *name, uint16_t *units, unsigned *count)
{
    *count = 0;
    for (const uint8_t *p = (const uint8_t *)name; *p;) {
        uint32_t c;
        unsigned n = decode_utf8(p, &c);
        if (!n || *count + 2 > FAT_MAX_NAME) {
            return false;
        }
        if (c >= 0x10000) {
            units[(*count)++] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        units[(*count)++] = (uint16_t)c;
        p += n;
    }
    return true;
}

static unsigned encode_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    unsigned n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (unsigned i = n - 1; i > 0; i--, c >>= 6) {
        out[i] = (char)(0x80 | (c & 0x3f));
    }
    out[0] = (char)((0xf00 >> n) | c);
    return n;
}

bool fat_units_to_name(const uint16_t *units, unsigned count, char *name)
{
    unsigned at = 0;

    for (unsigned i = 0; i < count; i++) {
        uint32_t c = units[i];
        if (c >= 0xd800 && c < 0xe000) {
            if (c >= 0xdc00 || i + 1 == count || units[i + 1] < 0xdc00 || units[i + 1] >= 0xe000) {
                return false;
            }
            c = 0x10000 + ((c - 0xd800) << 10) + (units[++i] - 0xdc00);
        }
        if (at + 4 > FAT_MAX_NAME) {
            return false;
        }
        at += encode_utf8(c, name + at);
    }
    name[at] = 0;
    return fat_name_possible(name);
}

/* In a FAT directory and in one of the host: nothing that leads elsewhere. */
bool fat_name_possible(const char *name)
{
    size_t n = strlen(name);

    if (!n || n > FAT_MAX_NAME || !strcmp(name, ".") || !strcmp(name, "..") || name[n - 1] == '.' ||
        name[n - 1] == ' ' || !strncmp(name, FAT_TEMP_PREFIX, strlen(FAT_TEMP_PREFIX))) {
        return false;
    }
    for (const char *p = name; *p; p++) {
        if ((uint8_t)*p < ' ' || *p == 0x7f || strchr("\"*/:<>?\\|", *p)) {
            return false;
        }
    }
    return true;
}

/* ---- 8.3 ---- */

static bool short_char(uint8_t c)
{
    return isupper(c) || isdigit(c) || (c && strchr("$%'-_@~`!(){}^#&", c));
}

/* Up to `most` characters of a part; *exact goes where some had to be changed or left out. */
static unsigned put_part(const char *from, const char *end, uint8_t *out, unsigned most,
                         bool *exact)
{
    unsigned n = 0;

    for (; from < end; from++) {
        uint8_t c = (uint8_t)*from;
        if (c == ' ' || c == '.') {
            *exact = false;
            continue;
        }
        if (n == most) {
            *exact = false;
            break;
        }
        c = (uint8_t)toupper(c);
        if (!short_char(c)) {
            *exact = false;
            c = '_';
        }
        out[n++] = c;
    }
    return n;
}

static bool has(const char *from, const char *end, int (*kind)(int))
{
    for (; from < end; from++) {
        if (kind((uint8_t)*from)) {
            return true;
        }
    }
    return false;
}

void fat_make_short(const char *name, unsigned tail, uint8_t *out, uint8_t *case_flags, bool *exact)
{
    const char *end = name + strlen(name), *dot = strrchr(name, '.');
    const char *base_end = dot && dot != name ? dot : end;
    const char *ext = base_end == end ? end : dot + 1;
    char mark[16];

    memset(out, ' ', 11);
    *exact = true;
    unsigned n = put_part(name, base_end, out, 8, exact);
    put_part(ext, end, out + 8, 3, exact);
    *case_flags =
        (has(name, base_end, islower) ? CASE_BASE : 0) | (has(ext, end, islower) ? CASE_EXT : 0);
    /* A part is in one case; upper case alone gets a long name, too, as not all know the bits. */
    if (has(name, end, isupper) || !n) {
        *exact = false;
    }
    if (!*exact) {
        *case_flags = 0;
    }
    if (!tail) {
        return;
    }
    /* Like MAKEFI~1; for many of the same beginning with a hash of the whole name in between. */
    if (tail <= 4) {
        snprintf(mark, sizeof(mark), "~%u", tail);
    } else {
        uint32_t hash = tail * 2654435761u;
        for (const char *p = name; *p; p++) {
            hash = (hash ^ (uint8_t)*p) * 16777619u;
        }
        snprintf(mark, sizeof(mark), "%04X~1", (hash ^ hash >> 16) & 0xffff);
        n = MIN(n, 2);
    }
    n = MIN(n, 8 - (unsigned)strlen(mark));
    memset(out + n, ' ', 8 - n);
    memcpy(out + n, mark, strlen(mark));
}

/* Two bits tell which parts are in lower case. */
bool fat_short_to_name(const uint8_t *entry, char *name)
{
    unsigned at = 0, base = 8, ext = 3;

    while (base && entry[base - 1] == ' ') {
        base--;
    }
    while (ext && entry[8 + ext - 1] == ' ') {
        ext--;
    }
    for (unsigned i = 0; i < base + ext; i++) {
        uint8_t c = i < base ? entry[i] : entry[8 + i - base];
        if (i == base) {
            name[at++] = '.';
        }
        if (i == 0 && c == 0x05) {
            return false; /* 0xe5: a character of some code page */
        }
        if (!short_char(c) && c != ' ') {
            return false;
        }
        bool lower = entry[12] & (i < base ? CASE_BASE : CASE_EXT);
        name[at++] = (char)(lower ? tolower(c) : c);
    }
    name[at] = 0;
    return base && fat_name_possible(name);
}

uint8_t fat_checksum(const uint8_t *short_name)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < 11; i++) {
        sum = (uint8_t)((sum >> 1 | sum << 7) + short_name[i]);
    }
    return sum;
}

/* ---- entries ---- */

unsigned fat_long_entries(const char *name)
{
    uint16_t units[FAT_MAX_NAME + 1];
    unsigned count;

    return fat_name_to_units(name, units, &count) ? DIV_ROUND_UP(count, LONG_UNITS) : 0;
}

static void put_long(const FatNode *n, uint8_t *out, unsigned entries)
{
    uint16_t units[FAT_MAX_NAME + 1 + LONG_UNITS];
    unsigned count;

    fat_name_to_units(n->name, units, &count);
    for (unsigned i = count; i < entries * LONG_UNITS; i++) {
        units[i] = i == count ? 0 : 0xffff;
    }
    for (unsigned e = entries; e > 0; e--, out += FAT_ENTRY) {
        memset(out, 0, FAT_ENTRY);
        out[0] = (uint8_t)(e | (e == entries ? 0x40 : 0));
        out[11] = 0x0f;
        out[13] = fat_checksum(n->short_name);
        for (unsigned i = 0; i < LONG_UNITS; i++) {
            store_le16(out + unit_places[i], units[(e - 1) * LONG_UNITS + i]);
        }
    }
}

unsigned fat_put_entry(const FatNode *n, uint8_t *out)
{
    unsigned entries = n->has_long ? fat_long_entries(n->name) : 0;
    uint8_t *e = out + entries * FAT_ENTRY;

    if (entries) {
        put_long(n, out, entries);
    }
    memset(e, 0, FAT_ENTRY);
    memcpy(e, n->short_name, 11);
    e[11] = n->is_dir ? 0x10 : 0x20;
    e[12] = n->has_long ? 0 : n->case_flags;
    store_le16(e + 14, n->time);
    store_le16(e + 16, n->date);
    store_le16(e + 18, n->date);
    store_le16(e + 20, (uint16_t)(n->cluster >> 16));
    store_le16(e + 22, n->time);
    store_le16(e + 24, n->date);
    store_le16(e + 26, (uint16_t)n->cluster);
    store_le32(e + 28, n->is_dir ? 0 : (uint32_t)n->size);
    return (entries + 1) * FAT_ENTRY;
}
