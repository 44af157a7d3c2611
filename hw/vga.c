/*
 * The VGA's registers and its window into display memory, and the Bochs display interface.
 *
 * Sources: IBM VGA technical reference; the Bochs VBE extension's description (dispi registers at
 * 1CE and 1CF); the standard VGA specification (PCI ID 1234:1111). Not modelled: the vertical
 * retrace interrupt (PCI adapters do not wire it), display enable skew, light pen, the switch sense
 * of input status register 0.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/vga-int.h"

#include <stdlib.h>
#include <string.h>

#include "util/loop.h"

#define PORT_CRTC_MONO  0x3b4
#define PORT_IS1_MONO   0x3ba
#define PORT_ATTR       0x3c0
#define PORT_ATTR_READ  0x3c1
#define PORT_IS0_MISC   0x3c2
#define PORT_ENABLE     0x3c3
#define PORT_SEQ        0x3c4
#define PORT_DAC_MASK   0x3c6
#define PORT_DAC_READ   0x3c7 /* reads as the DAC's state */
#define PORT_DAC_WRITE  0x3c8
#define PORT_DAC_DATA   0x3c9
#define PORT_FEATURE    0x3ca
#define PORT_MISC_READ  0x3cc
#define PORT_GFX        0x3ce
#define PORT_CRTC_COLOR 0x3d4
#define PORT_IS1_COLOR  0x3da
#define PORT_DISPI      0x1ce

#define MISC_COLOR     0x01
#define MISC_RAM       0x02
#define MISC_CLOCK     0x0c
#define MISC_CLOCK_28M 0x04

#define IS1_BLANK   0x01
#define IS1_RETRACE 0x08

#define DAC_STATE_READ 3

#define DISPI_ID0      0xb0c0
#define DISPI_ID5      0xb0c5
#define DISPI_MAX_XRES 16000
#define DISPI_MAX_YRES 12000
#define DISPI_MAX_BPP  32

static const struct {
    uint16_t base, size;
} port_blocks[VGA_PORT_BLOCKS] = {
    {PORT_CRTC_MONO, 2},  {PORT_IS1_MONO, 1},  {PORT_ATTR, 16},
    {PORT_CRTC_COLOR, 2}, {PORT_IS1_COLOR, 1},
};

/* ---- the window into display memory ---- */

/* Which of its bits the CPU's byte touches in each plane; a nibble's bits spread over four bytes.
 */
static uint32_t spread(unsigned nibble)
{
    return (nibble & 1 ? 0x000000ffu : 0) | (nibble & 2 ? 0x0000ff00u : 0) |
           (nibble & 4 ? 0x00ff0000u : 0) | (nibble & 8 ? 0xff000000u : 0);
}

/* The address within display memory as the window's map and bank have it; false: not decoded. */
static bool window_address(const Vga *s, hwaddr addr, uint32_t *off)
{
    uint32_t a = (uint32_t)addr;

    if (!(s->misc & MISC_RAM)) {
        return false;
    }
    switch (s->gfx[GFX_MISC] & GFX_MISC_MAP) {
    case 0x0:
        *off = a;
        return true;
    case 0x4:
        *off = a + s->bank_offset;
        return a < 0x10000;
    case 0x8:
        *off = a - 0x10000;
        return a >= 0x10000 && a < 0x18000;
    default:
        *off = a - 0x18000;
        return a >= 0x18000;
    }
}

static bool chain4(const Vga *s)
{
    return s->seq[SEQ_MEMORY] & MEMORY_CHAIN4;
}

/* The group of four bytes, one of each plane, that holds the address; NULL: beyond the memory. */
static uint8_t *plane_group(const Vga *s, uint32_t off, bool odd_even)
{
    uint32_t n = chain4(s) ? off >> 2 : odd_even ? off & ~1u : off;

    return (uint64_t)n * 4 + 4 <= s->mem_size ? s->mem + (size_t)n * 4 : NULL;
}

static uint8_t window_read_byte(Vga *s, hwaddr addr)
{
    bool odd_even = s->gfx[GFX_MODE] & GFX_MODE_ODDEVEN;
    unsigned plane = s->gfx[GFX_READ_MAP] & 3;
    uint32_t off, differ;
    uint8_t *group;
    uint32_t latch;

    if (!window_address(s, addr, &off) || !(group = plane_group(s, off, odd_even))) {
        return 0xff;
    }
    memcpy(s->latch, group, 4);
    if (chain4(s)) {
        return s->latch[off & 3];
    }
    if (s->gfx[GFX_MODE] & GFX_MODE_READ1) {
        memcpy(&latch, s->latch, 4);
        differ = (latch ^ spread(s->gfx[GFX_COMPARE])) & spread(s->gfx[GFX_DONT_CARE]);
        differ |= differ >> 16;
        return (uint8_t) ~(differ | differ >> 8);
    }
    if (odd_even) {
        plane = (plane & 2) | (off & 1);
    }
    return s->latch[plane];
}

/* What the graphics controller makes of a written byte: four planes at once. */
static uint32_t write_data(const Vga *s, uint8_t value, uint32_t latch)
{
    unsigned rotate = s->gfx[GFX_ROTATE] & 7, mode = s->gfx[GFX_MODE] & GFX_MODE_WRITE;
    uint8_t mask_byte = s->gfx[GFX_BIT_MASK];
    uint8_t rotated = (uint8_t)(value >> rotate | value << (8 - rotate));
    uint32_t data, mask, set_reset;

    if (mode == 1) {
        return latch;
    }
    if (mode == 2) {
        data = spread(value);
    } else if (mode == 3) {
        data = spread(s->gfx[GFX_SET_RESET]);
        mask_byte &= rotated;
    } else {
        set_reset = spread(s->gfx[GFX_ENABLE_SR]);
        data = (rotated * 0x01010101u & ~set_reset) | (spread(s->gfx[GFX_SET_RESET]) & set_reset);
    }
    switch (s->gfx[GFX_ROTATE] >> 3 & 3) {
    case 1:
        data &= latch;
        break;
    case 2:
        data |= latch;
        break;
    case 3:
        data ^= latch;
        break;
    }
    mask = mask_byte * 0x01010101u;
    return (data & mask) | (latch & ~mask);
}

static void window_write_byte(Vga *s, hwaddr addr, uint8_t value)
{
    bool odd_even = !(s->seq[SEQ_MEMORY] & MEMORY_SEQUENTIAL);
    unsigned planes = s->seq[SEQ_MAP_MASK];
    uint32_t off, latch, old, mask;
    uint8_t *group;

    if (!window_address(s, addr, &off) || !(group = plane_group(s, off, odd_even))) {
        return;
    }
    if (chain4(s)) {
        planes &= 1u << (off & 3);
    } else if (odd_even) {
        planes &= off & 1 ? 0xa : 0x5;
    }
    memcpy(&latch, s->latch, 4);
    memcpy(&old, group, 4);
    mask = spread(planes);
    old = (old & ~mask) | (write_data(s, value, latch) & mask);
    memory_before_write(s->vram.ram_offset + (ram_addr)(group - s->mem), 4);
    memcpy(group, &old, 4);
    memory_ram_written(s->vram.ram_offset + (ram_addr)(group - s->mem), 4);
}

static uint64_t window_read(void *opaque, hwaddr addr, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++) {
        v |= (uint64_t)window_read_byte(opaque, addr + i) << (8 * i);
    }
    return v;
}

static void window_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        window_write_byte(opaque, addr + i, (uint8_t)(value >> (8 * i)));
    }
}

static const MemoryOps window_ops = {
    .read = window_read,
    .write = window_write,
    .max_size = 8,
    .unaligned = true,
};

/*
 * While the controller passes chained bytes through unchanged, the window is plain memory: an alias
 * that lies over it. Reads through the alias do not load the latches; nobody mixes chained reads
 * with latched writes.
 */
static void update_window(Vga *s)
{
    bool plain = chain4(s) && (s->misc & MISC_RAM) && s->seq[SEQ_MAP_MASK] == 0xf &&
                 !(s->gfx[GFX_MODE] & (GFX_MODE_WRITE | GFX_MODE_READ1)) && !s->gfx[GFX_ROTATE] &&
                 !s->gfx[GFX_ENABLE_SR] && s->gfx[GFX_BIT_MASK] == 0xff &&
                 (s->gfx[GFX_MISC] & GFX_MISC_MAP) == 0x4 &&
                 s->bank_offset + 0x10000 <= s->mem_size;

    if (plain != s->window_alias.enabled ||
        (plain && s->window_alias.alias_offset != s->bank_offset)) {
        memory_transaction_begin();
        memory_region_set_alias_offset(&s->window_alias, s->bank_offset);
        memory_region_set_enabled(&s->window_alias, plain);
        memory_transaction_commit();
    }
}

/* ---- display interface ---- */

static unsigned dispi_bpp(const Vga *s)
{
    return s->dispi[DISPI_BPP] == 15 ? 16 : s->dispi[DISPI_BPP];
}

uint32_t vga_dispi_pitch(const Vga *s)
{
    uint32_t width = s->dispi[DISPI_VIRT_WIDTH];

    return dispi_bpp(s) == 4 ? width / 8 : width * dispi_bpp(s) / 8;
}

/* Bytes that a picture's lines are counted in: for 4 bits a pixel, those of one plane. */
static uint32_t dispi_space(const Vga *s)
{
    return dispi_bpp(s) == 4 ? s->mem_size / 4 : s->mem_size;
}

/* Brings whatever was written into what memory can hold; the resolution itself has been checked
 * before. */
static void dispi_fit(Vga *s)
{
    uint16_t *r = s->dispi;
    uint32_t pitch, lines;

    if (r[DISPI_VIRT_WIDTH] < r[DISPI_XRES]) {
        r[DISPI_VIRT_WIDTH] = r[DISPI_XRES];
    }
    r[DISPI_VIRT_WIDTH] &= (uint16_t)~7u;
    pitch = vga_dispi_pitch(s);
    if (pitch == 0 || dispi_space(s) / pitch < r[DISPI_YRES]) {
        r[DISPI_VIRT_WIDTH] = r[DISPI_XRES];
        pitch = vga_dispi_pitch(s);
    }
    lines = pitch ? dispi_space(s) / pitch : 0;
    r[DISPI_VIRT_HEIGHT] = (uint16_t)(lines < 0xffff ? lines : 0xffff);
    if (r[DISPI_X_OFFSET] + r[DISPI_XRES] > r[DISPI_VIRT_WIDTH]) {
        r[DISPI_X_OFFSET] = (uint16_t)(r[DISPI_VIRT_WIDTH] - r[DISPI_XRES]);
    }
    if (r[DISPI_Y_OFFSET] + r[DISPI_YRES] > lines) {
        r[DISPI_Y_OFFSET] = (uint16_t)(lines - r[DISPI_YRES]);
    }
}

static bool dispi_mode_possible(const Vga *s)
{
    const uint16_t *r = s->dispi;
    uint64_t bytes = (uint64_t)r[DISPI_XRES] * r[DISPI_YRES] * dispi_bpp(s) / 8;

    return r[DISPI_XRES] >= 8 && r[DISPI_YRES] >= 1 && bytes <= s->mem_size;
}

static void dispi_set_bank(Vga *s, uint16_t bank)
{
    s->dispi[DISPI_BANK] = (uint16_t)(bank % (dispi_space(s) >> 16));
    s->bank_offset = (uint32_t)s->dispi[DISPI_BANK] << 16;
    update_window(s);
}

static void dispi_enable(Vga *s, uint16_t value)
{
    bool was_on = vga_dispi_on(s);
    uint16_t *r = s->dispi;

    if ((value & DISPI_ENABLED) && !dispi_mode_possible(s)) {
        value &= (uint16_t)~DISPI_ENABLED;
    }
    r[DISPI_ENABLE] = value;
    if (!(value & DISPI_ENABLED)) {
        r[DISPI_BANK] = 0;
        s->bank_offset = 0;
        update_window(s);
        return;
    }
    if (!was_on) {
        r[DISPI_VIRT_WIDTH] = r[DISPI_XRES];
        r[DISPI_X_OFFSET] = r[DISPI_Y_OFFSET] = 0;
        dispi_fit(s);
        if (!(value & DISPI_NOCLEAR)) {
            size_t bytes = (size_t)vga_dispi_pitch(s) * r[DISPI_YRES] * (dispi_bpp(s) == 4 ? 4 : 1);
            memory_before_write(s->vram.ram_offset, bytes);
            memset(s->mem, 0, bytes);
            memory_ram_written(s->vram.ram_offset, bytes);
        }
        dispi_set_bank(s, 0);
    }
}

uint16_t vga_dispi_read(Vga *s, unsigned index)
{
    if (index >= DISPI_REGS) {
        return 0;
    }
    if (s->dispi[DISPI_ENABLE] & DISPI_GETCAPS) {
        switch (index) {
        case DISPI_XRES:
            return DISPI_MAX_XRES;
        case DISPI_YRES:
            return DISPI_MAX_YRES;
        case DISPI_BPP:
            return DISPI_MAX_BPP;
        }
    }
    return index == DISPI_MEMORY_64K ? (uint16_t)(s->mem_size >> 16) : s->dispi[index];
}

void vga_dispi_write(Vga *s, unsigned index, uint16_t value)
{
    bool on = vga_dispi_on(s);

    s->redraw = true;
    switch (index) {
    case DISPI_ID:
        if (value >= DISPI_ID0 && value <= DISPI_ID5) {
            s->dispi[DISPI_ID] = value;
        }
        break;
    case DISPI_XRES:
        if (!on && value <= DISPI_MAX_XRES) {
            s->dispi[DISPI_XRES] = value & (uint16_t)~7u;
        }
        break;
    case DISPI_YRES:
        if (!on && value <= DISPI_MAX_YRES) {
            s->dispi[DISPI_YRES] = value;
        }
        break;
    case DISPI_BPP:
        if (value == 0) {
            value = 8;
        }
        if (!on && (value == 4 || value == 8 || value == 15 || value == 16 || value == 24 ||
                    value == 32)) {
            s->dispi[DISPI_BPP] = value;
        }
        break;
    case DISPI_ENABLE:
        dispi_enable(s, value);
        break;
    case DISPI_BANK:
        if (on) {
            dispi_set_bank(s, value);
        }
        break;
    case DISPI_VIRT_WIDTH:
    case DISPI_X_OFFSET:
    case DISPI_Y_OFFSET:
        if (on) {
            s->dispi[index] = value;
            dispi_fit(s);
        }
        break;
    default:
        break; /* the virtual height follows from the width; the memory's size is what it is */
    }
}

static uint64_t dispi_io_read(void *opaque, hwaddr addr, unsigned size)
{
    Vga *s = opaque;

    return addr == 0 ? s->dispi_index : vga_dispi_read(s, s->dispi_index);
}

/* The data register stands at 1CF, and at 1D0 for whoever wants it aligned. */
static void dispi_io_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Vga *s = opaque;

    if (addr == 0) {
        s->dispi_index = (uint16_t)value;
    } else {
        vga_dispi_write(s, s->dispi_index, (uint16_t)value);
    }
}

static const MemoryOps dispi_ops = {
    .read = dispi_io_read,
    .write = dispi_io_write,
    .min_size = 2,
    .max_size = 2,
    .unaligned = true,
};

/* ---- raster ---- */

static unsigned crtc_vertical(const Vga *s, unsigned reg, unsigned bit8, unsigned bit9)
{
    unsigned ov = s->crtc[CRTC_OVERFLOW];

    return s->crtc[reg] | (ov >> bit8 & 1) << 8 | (ov >> bit9 & 1) << 9;
}

/* Input status register 1 from the virtual clock: whether the beam is off the picture, and in the
 * retrace. */
static uint8_t raster_status(const Vga *s)
{
    int64_t now = clock_now(CLOCK_VIRTUAL);
    unsigned total = crtc_vertical(s, CRTC_VTOTAL, 0, 5) + 2;
    unsigned visible = crtc_vertical(s, CRTC_VDISP_END, 1, 6) + 1;
    unsigned sync = crtc_vertical(s, CRTC_VSYNC_START, 2, 7);
    unsigned sync_lines =
        ((s->crtc[CRTC_VSYNC_END] - sync) & 0xf) ? (s->crtc[CRTC_VSYNC_END] - sync) & 0xf : 16;
    unsigned chars = s->crtc[CRTC_HTOTAL] + 5u;
    unsigned dots = s->seq[SEQ_CLOCKING] & CLOCKING_8DOT ? 8 : 9;
    unsigned khz = (s->misc & MISC_CLOCK) == MISC_CLOCK_28M ? 28322 : 25175;
    int64_t line_ns, in_line;
    unsigned line;
    uint8_t v = 0;

    if (vga_dispi_on(s) || visible >= total || sync >= total) {
        /* Its timing is nowhere set: 60 pictures a second, a 20th of each in the retrace. */
        return now % (NS_PER_SEC / 60) > NS_PER_SEC / 60 * 19 / 20 ? IS1_BLANK | IS1_RETRACE : 0;
    }
    line_ns =
        (int64_t)chars * dots * 1000000 / khz * (s->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 2 : 1);
    line = (unsigned)(now / line_ns % total);
    in_line = now % line_ns * chars / line_ns;
    if (line >= visible || in_line > s->crtc[CRTC_HDISP_END]) {
        v |= IS1_BLANK;
    }
    if (line >= sync && line < sync + sync_lines) {
        v |= IS1_RETRACE;
    }
    return v;
}

/* ---- ports ---- */

static uint8_t dac_read_data(Vga *s)
{
    uint8_t v = s->dac[s->dac_read_index * 3 + s->dac_step];

    if (!(s->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC)) {
        v &= 0x3f;
    }
    if (++s->dac_step == 3) {
        s->dac_step = 0;
        s->dac_read_index++;
    }
    return v;
}

/* The three values of an entry take effect together. */
static void dac_write_data(Vga *s, uint8_t value)
{
    s->dac_latch[s->dac_step] = value;
    if (++s->dac_step == 3) {
        s->dac_step = 0;
        memcpy(s->dac + s->dac_write_index * 3, s->dac_latch, 3);
        s->dac_write_index++;
        s->redraw = true;
    }
}

static void attr_write(Vga *s, uint8_t value)
{
    unsigned index = s->attr_index & 0x1f;

    if (!s->attr_data) {
        s->redraw |= (value ^ s->attr_index) & ATTR_INDEX_PAS;
        s->attr_index = value & 0x3f;
    } else if (index < ATTR_REGS) {
        s->attr[index] = index < 16 ? value & 0x3f : value;
        s->redraw = true;
    }
    s->attr_data = !s->attr_data;
}

static void seq_write(Vga *s, uint8_t value)
{
    static const uint8_t masks[SEQ_REGS] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};

    if (s->seq_index >= SEQ_REGS) {
        return;
    }
    s->seq[s->seq_index] = value & masks[s->seq_index];
    s->redraw |= s->seq_index != SEQ_MAP_MASK;
    update_window(s);
}

static void gfx_write(Vga *s, uint8_t value)
{
    static const uint8_t masks[GFX_REGS] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};

    if (s->gfx_index >= GFX_REGS) {
        return;
    }
    /* The others steer the CPU's accesses, not the picture. */
    s->redraw |= (s->gfx_index == GFX_MODE &&
                  ((value ^ s->gfx[GFX_MODE]) & (GFX_MODE_256 | GFX_MODE_SHIFT4))) ||
                 s->gfx_index == GFX_MISC;
    s->gfx[s->gfx_index] = value & masks[s->gfx_index];
    update_window(s);
}

static void crtc_write(Vga *s, uint8_t value)
{
    unsigned index = s->crtc_index;

    if (index <= CRTC_OVERFLOW && (s->crtc[CRTC_VSYNC_END] & VSYNC_END_PROTECT)) {
        if (index != CRTC_OVERFLOW) {
            return;
        }
        /* Only the line compare's bit 8 stays writable. */
        value = (s->crtc[index] & ~0x10) | (value & 0x10);
    }
    /* Cursor and start address move all the time; the drawing code compares pictures, so no harm.
     */
    s->redraw |= s->crtc[index] != value;
    s->crtc[index] = value;
}

static bool port_decoded(const Vga *s, unsigned port)
{
    if (port < PORT_ATTR) {
        return !(s->misc & MISC_COLOR);
    }
    return port < PORT_CRTC_COLOR || (s->misc & MISC_COLOR);
}

uint8_t vga_port_read(Vga *s, unsigned port)
{
    if (!port_decoded(s, port)) {
        return 0xff;
    }
    switch (port) {
    case PORT_ATTR:
        return s->attr_data ? 0 : s->attr_index;
    case PORT_ATTR_READ:
        return (s->attr_index & 0x1f) < ATTR_REGS ? s->attr[s->attr_index & 0x1f] : 0;
    case PORT_IS0_MISC:
        return 0;
    case PORT_ENABLE:
        return 1;
    case PORT_SEQ:
        return s->seq_index;
    case PORT_SEQ + 1:
        return s->seq_index < SEQ_REGS ? s->seq[s->seq_index] : 0;
    case PORT_DAC_MASK:
        return s->dac_mask;
    case PORT_DAC_READ:
        return s->dac_state;
    case PORT_DAC_WRITE:
        return s->dac_write_index;
    case PORT_DAC_DATA:
        return dac_read_data(s);
    case PORT_FEATURE:
        return s->feature;
    case PORT_MISC_READ:
        return s->misc;
    case PORT_GFX:
        return s->gfx_index;
    case PORT_GFX + 1:
        return s->gfx_index < GFX_REGS ? s->gfx[s->gfx_index] : 0;
    case PORT_CRTC_MONO:
    case PORT_CRTC_COLOR:
        return s->crtc_index;
    case PORT_CRTC_MONO + 1:
    case PORT_CRTC_COLOR + 1:
        return s->crtc[s->crtc_index];
    case PORT_IS1_MONO:
    case PORT_IS1_COLOR:
        s->attr_data = false;
        return raster_status(s);
    default:
        return 0xff;
    }
}

void vga_port_write(Vga *s, unsigned port, uint8_t value)
{
    if (!port_decoded(s, port)) {
        return;
    }
    switch (port) {
    case PORT_ATTR:
        attr_write(s, value);
        break;
    case PORT_IS0_MISC:
        s->misc = value & 0xef;
        s->redraw = true;
        update_window(s);
        break;
    case PORT_SEQ:
        s->seq_index = value;
        break;
    case PORT_SEQ + 1:
        seq_write(s, value);
        break;
    case PORT_DAC_MASK:
        s->dac_mask = value;
        s->redraw = true;
        break;
    case PORT_DAC_READ:
        s->dac_read_index = value;
        s->dac_step = 0;
        s->dac_state = DAC_STATE_READ;
        break;
    case PORT_DAC_WRITE:
        s->dac_write_index = value;
        s->dac_step = 0;
        s->dac_state = 0;
        break;
    case PORT_DAC_DATA:
        dac_write_data(s, value);
        break;
    case PORT_GFX:
        s->gfx_index = value;
        break;
    case PORT_GFX + 1:
        gfx_write(s, value);
        break;
    case PORT_CRTC_MONO:
    case PORT_CRTC_COLOR:
        s->crtc_index = value;
        break;
    case PORT_CRTC_MONO + 1:
    case PORT_CRTC_COLOR + 1:
        crtc_write(s, value);
        break;
    case PORT_IS1_MONO:
    case PORT_IS1_COLOR:
        s->feature = value & 0x10;
        break;
    default:
        break;
    }
}

static uint64_t ports_read(void *opaque, hwaddr addr, unsigned size)
{
    VgaPorts *p = opaque;

    return vga_port_read(p->vga, p->base + (unsigned)addr);
}

static void ports_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    VgaPorts *p = opaque;

    vga_port_write(p->vga, p->base + (unsigned)addr, (uint8_t)value);
}

static const MemoryOps ports_ops = {
    .read = ports_read,
    .write = ports_write,
    .max_size = 1,
};

/* ---- reset, saved state ---- */

/* Registers to zero, except what makes the adapter answer as a colour VGA; the memory keeps its
 * contents. */
void vga_reset(Vga *s)
{
    memset(s->seq, 0, sizeof(s->seq));
    memset(s->gfx, 0, sizeof(s->gfx));
    memset(s->crtc, 0, sizeof(s->crtc));
    memset(s->attr, 0, sizeof(s->attr));
    memset(s->dac, 0, sizeof(s->dac));
    memset(s->dac_latch, 0, sizeof(s->dac_latch));
    memset(s->latch, 0, sizeof(s->latch));
    memset(s->dispi, 0, sizeof(s->dispi));
    s->seq_index = s->gfx_index = s->crtc_index = s->attr_index = 0;
    s->attr_data = false;
    s->misc = MISC_COLOR | MISC_RAM;
    s->feature = 0;
    s->dac_mask = 0xff;
    s->dac_read_index = s->dac_write_index = s->dac_step = s->dac_state = 0;
    s->dispi_index = 0;
    s->dispi[DISPI_ID] = DISPI_ID5;
    s->dispi[DISPI_BPP] = 8;
    s->bank_offset = 0;
    s->redraw = true;
    update_window(s);
}

static const VMStateField vga_fields[] = {
    VMSTATE_U8(seq_index, Vga),       VMSTATE_U8_ARRAY(seq, Vga),
    VMSTATE_U8(gfx_index, Vga),       VMSTATE_U8_ARRAY(gfx, Vga),
    VMSTATE_U8(crtc_index, Vga),      VMSTATE_U8_ARRAY(crtc, Vga),
    VMSTATE_U8(attr_index, Vga),      VMSTATE_U8_ARRAY(attr, Vga),
    VMSTATE_BOOL(attr_data, Vga),     VMSTATE_U8(misc, Vga),
    VMSTATE_U8(feature, Vga),         VMSTATE_U8_ARRAY(latch, Vga),
    VMSTATE_U8(dac_mask, Vga),        VMSTATE_U8(dac_read_index, Vga),
    VMSTATE_U8(dac_write_index, Vga), VMSTATE_U8(dac_step, Vga),
    VMSTATE_U8(dac_state, Vga),       VMSTATE_U8_ARRAY(dac_latch, Vga),
    VMSTATE_U8_ARRAY(dac, Vga),       VMSTATE_U16(dispi_index, Vga),
    VMSTATE_U16_ARRAY(dispi, Vga),    VMSTATE_END,
};

static bool vga_post_load(void *opaque, int version, Error **errp)
{
    Vga *s = opaque;
    uint16_t bpp = s->dispi[DISPI_BPP];

    if (s->dac_step > 2 ||
        (bpp != 4 && bpp != 8 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32) ||
        (vga_dispi_on(s) && !dispi_mode_possible(s))) {
        error_set(errp, "VGA: the saved state does not fit this adapter (vgamem_mb=%u)",
                  s->vgamem_mb);
        return false;
    }
    s->bank_offset = 0;
    s->redraw = true;
    if (vga_dispi_on(s)) {
        dispi_fit(s);
        dispi_set_bank(s, s->dispi[DISPI_BANK]);
    } else {
        update_window(s);
    }
    return true;
}

const VMState vga_vmstate = {
    .name = "vga",
    .version = 1,
    .fields = vga_fields,
    .post_load = vga_post_load,
};

/* ---- making ---- */

bool vga_init(Vga *s, Error **errp)
{
    uint32_t mb = s->vgamem_mb;

    if (mb < 1 || mb > 256 || (mb & (mb - 1))) {
        error_set(errp, "VGA: vgamem_mb=%u: must be a power of two, 1 to 256", mb);
        return false;
    }
    s->mem_size = mb << 20;
    if (!memory_region_init_ram(&s->vram, "vga.vram", s->mem_size, errp)) {
        return false;
    }
    s->mem = s->vram.host;
    s->page_dirty = calloc(s->mem_size / GUEST_PAGE_SIZE, 1);
    memory_region_init_io(&s->window, "vga.window", VGA_WINDOW_SIZE, &window_ops, s);
    memory_region_init_alias(&s->window_alias, "vga.chain4", &s->vram, 0, 0x10000);
    memory_region_set_enabled(&s->window_alias, false);
    memory_region_init_io(&s->dispi_io, "vga.dispi", 4, &dispi_ops, s);
    for (int i = 0; i < VGA_PORT_BLOCKS; i++) {
        VgaPorts *p = &s->ports[i];
        p->vga = s;
        p->base = port_blocks[i].base;
        memory_region_init_io(&p->io, "vga.ports", port_blocks[i].size, &ports_ops, p);
    }
    s->display = display_new(&vga_adapter, s);
    return true;
}

void vga_exit(Vga *s)
{
    display_free(s->display);
    free(s->page_dirty);
    free(s->line);
    free(s->cells);
}

void vga_map_legacy(Vga *s, MemoryRegion *mem)
{
    memory_transaction_begin();
    memory_region_add(mem, VGA_WINDOW_BASE, &s->window, 1);
    memory_region_add(mem, VGA_WINDOW_BASE, &s->window_alias, 2);
    ioport_add(&s->dispi_io, PORT_DISPI);
    for (int i = 0; i < VGA_PORT_BLOCKS; i++) {
        ioport_add(&s->ports[i].io, (uint16_t)s->ports[i].base);
    }
    memory_transaction_commit();
}

void vga_unmap_legacy(Vga *s)
{
    memory_transaction_begin();
    memory_region_remove(&s->window);
    memory_region_remove(&s->window_alias);
    memory_region_remove(&s->dispi_io);
    for (int i = 0; i < VGA_PORT_BLOCKS; i++) {
        memory_region_remove(&s->ports[i].io);
    }
    memory_transaction_commit();
}
