/*
 * What the parts of the VGA share: registers (vga.c), drawing (vga-draw.c) and the two bus
 * attachments.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VGA_INT_H
#define HW_VGA_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/device.h"
#include "hw/memory.h"
#include "ui/display.h"

/* Indexed registers, by the IBM VGA's names. */
#define SEQ_RESET         0
#define SEQ_CLOCKING      1
#define SEQ_MAP_MASK      2
#define SEQ_CHAR_MAP      3
#define SEQ_MEMORY        4
#define SEQ_REGS          5
#define CLOCKING_8DOT     0x01
#define CLOCKING_HALF     0x08 /* dot clock divided by two */
#define CLOCKING_OFF      0x20
#define MEMORY_EXTENDED   0x02
#define MEMORY_SEQUENTIAL 0x04 /* odd/even off */
#define MEMORY_CHAIN4     0x08

#define GFX_SET_RESET     0
#define GFX_ENABLE_SR     1
#define GFX_COMPARE       2
#define GFX_ROTATE        3
#define GFX_READ_MAP      4
#define GFX_MODE          5
#define GFX_MISC          6
#define GFX_DONT_CARE     7
#define GFX_BIT_MASK      8
#define GFX_REGS          9
#define GFX_MODE_WRITE    0x03
#define GFX_MODE_READ1    0x08
#define GFX_MODE_ODDEVEN  0x10
#define GFX_MODE_SHIFT4   0x20 /* shift register interleaved: CGA's two bits a pixel */
#define GFX_MODE_256      0x40
#define GFX_MISC_GRAPHICS 0x01
#define GFX_MISC_CHAIN    0x02
#define GFX_MISC_MAP      0x0c

#define CRTC_HTOTAL       0x00
#define CRTC_HDISP_END    0x01
#define CRTC_VTOTAL       0x06
#define CRTC_OVERFLOW     0x07
#define CRTC_PRESET_ROW   0x08
#define CRTC_MAX_SCAN     0x09
#define CRTC_CURSOR_START 0x0a
#define CRTC_CURSOR_END   0x0b
#define CRTC_START_HIGH   0x0c
#define CRTC_START_LOW    0x0d
#define CRTC_CURSOR_HIGH  0x0e
#define CRTC_CURSOR_LOW   0x0f
#define CRTC_VSYNC_START  0x10
#define CRTC_VSYNC_END    0x11
#define CRTC_VDISP_END    0x12
#define CRTC_OFFSET       0x13
#define CRTC_UNDERLINE    0x14
#define CRTC_MODE         0x17
#define CRTC_LINE_COMPARE 0x18
#define CRTC_REGS         0x19
#define MAX_SCAN_DOUBLE   0x80
#define CURSOR_OFF        0x20
#define VSYNC_END_PROTECT 0x80
#define UNDERLINE_DWORD   0x40
#define CRTC_MODE_CMS0    0x01 /* clear: address bit 13 is row scan bit 0 */
#define CRTC_MODE_CMS1    0x02
#define CRTC_MODE_HALF_V  0x04
#define CRTC_MODE_WRAP    0x20
#define CRTC_MODE_BYTE    0x40
#define CRTC_MODE_ON      0x80

#define ATTR_MODE          0x10
#define ATTR_OVERSCAN      0x11
#define ATTR_PLANE_ENABLE  0x12
#define ATTR_PANNING       0x13
#define ATTR_COLOR_SELECT  0x14
#define ATTR_REGS          0x15
#define ATTR_MODE_GRAPHICS 0x01
#define ATTR_MODE_LINE9    0x04
#define ATTR_MODE_BLINK    0x08
#define ATTR_MODE_PAN_TOP  0x20 /* panning stops at the line compare */
#define ATTR_MODE_P54S     0x80
#define ATTR_INDEX_PAS     0x20 /* palette address source: clear blanks the screen */

/* The Bochs display interface (VBE DISPI). */
#define DISPI_ID          0x0
#define DISPI_XRES        0x1
#define DISPI_YRES        0x2
#define DISPI_BPP         0x3
#define DISPI_ENABLE      0x4
#define DISPI_BANK        0x5
#define DISPI_VIRT_WIDTH  0x6
#define DISPI_VIRT_HEIGHT 0x7
#define DISPI_X_OFFSET    0x8
#define DISPI_Y_OFFSET    0x9
#define DISPI_MEMORY_64K  0xa
#define DISPI_REGS        0xb
#define DISPI_ENABLED     0x01
#define DISPI_GETCAPS     0x02
#define DISPI_8BIT_DAC    0x20
#define DISPI_LFB         0x40
#define DISPI_NOCLEAR     0x80

#define VGA_WINDOW_BASE 0xa0000
#define VGA_WINDOW_SIZE 0x20000
#define VGA_PLANE_BYTES 0x10000 /* of each plane the VGA proper can reach */
#define VGA_IO_BASE     0x3c0   /* first port of the block that BAR 2 shows */

/*
 * Display memory is one array in which the four planes alternate: plane p's byte at offset n stands
 * at 4n + p. So a planar access touches neighbours, chained (256-colour) addresses are plain array
 * indexes, and a linear frame buffer is the array itself.
 */
typedef struct Vga Vga;

typedef struct VgaPorts {
    MemoryRegion io;
    Vga *vga;
    unsigned base;
} VgaPorts;
#define VGA_PORT_BLOCKS 5

struct Vga {
    /* wiring */
    uint32_t vgamem_mb;
    MemoryRegion vram, window, window_alias, dispi_io;
    VgaPorts ports[VGA_PORT_BLOCKS];
    uint8_t *mem;
    uint32_t mem_size;
    Display *display;
    /* saved */
    uint8_t seq_index, seq[SEQ_REGS];
    uint8_t gfx_index, gfx[16];
    uint8_t crtc_index, crtc[256]; /* those beyond CRTC_REGS have no effect, but read back */
    uint8_t attr_index, attr[ATTR_REGS];
    bool attr_data; /* the flip-flop of port 3C0: the next write is data */
    uint8_t misc, feature;
    uint8_t latch[4];
    uint8_t dac_mask, dac_read_index, dac_write_index, dac_step, dac_state;
    uint8_t dac_latch[3];
    uint8_t dac[256 * 3];
    uint16_t dispi_index, dispi[DISPI_REGS];
    /* derived */
    uint32_t bank_offset;   /* of the window, bytes of address */
    bool redraw;            /* something changed that every line may depend on */
    unsigned width, height; /* of the last picture */
    unsigned phase;         /* of cursor and blinking in it */
    uint32_t colors[256];   /* the DAC's pixels, for the picture being drawn */
    uint32_t *line;         /* one line of the picture being drawn */
    uint8_t *page_dirty;    /* a byte a page of display memory: changed since the last picture */
    uint16_t *cells;        /* what text() returned last */
};

/* ---- vga.c ---- */
#define VGA_PROPERTIES(S)                                                                          \
    PROPERTY("vgamem_mb", PROP_U32, S, vga.vgamem_mb, "16",                                        \
             "display memory in MB, a power of two, 1 to 256")
/* Makes memory, regions and display; adds neither to a map. */
bool vga_init(Vga *s, Error **errp);
void vga_exit(Vga *s);
/* Shows the legacy window in `mem` and the ports. */
void vga_map_legacy(Vga *s, MemoryRegion *mem);
void vga_unmap_legacy(Vga *s);
void vga_reset(Vga *s);
extern const VMState vga_vmstate;
/* Ports 3B0-3DF and the display interface's registers, for BAR 2 as well. */
uint8_t vga_port_read(Vga *s, unsigned port);
void vga_port_write(Vga *s, unsigned port, uint8_t value);
uint16_t vga_dispi_read(Vga *s, unsigned index);
void vga_dispi_write(Vga *s, unsigned index, uint16_t value);

static inline bool vga_dispi_on(const Vga *s)
{
    return s->dispi[DISPI_ENABLE] & DISPI_ENABLED;
}
/* Bytes a line of the linear frame buffer; for 4 bits a pixel, of one plane. */
uint32_t vga_dispi_pitch(const Vga *s);

/* ---- vga-draw.c ---- */
extern const DisplayAdapter vga_adapter;

#endif
