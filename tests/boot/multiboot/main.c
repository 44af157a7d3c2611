/*
 * The Multiboot test kernel: writes the machine state and all information it was given to COM1, a
 * line a fact, and ends the emulator by the debug exit port. SPDX-License-Identifier:
 * GPL-2.0-or-later
 */
#include <stdint.h>

extern uint32_t boot_magic, boot_info, boot_cr0, boot_eflags, boot_cs;
extern uint16_t boot_segments[5];

static uint8_t zeroes[0x3000]; /* in the bss */

void main(void);

static void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static void put_char(char c)
{
    while (!(inb(0x3fd) & 0x20)) {
    }
    outb(0x3f8, c);
}

static void put(const char *s)
{
    while (*s) {
        put_char(*s++);
    }
}

static void put_hex(const char *name, uint64_t v)
{
    put(name);
    put_char(' ');
    for (int i = v >> 32 ? 60 : 28; i >= 0; i -= 4) {
        put_char("0123456789abcdef"[v >> i & 15]);
    }
    put_char('\n');
}

static void put_text(const char *name, uint32_t address)
{
    put(name);
    put_char(' ');
    put((const char *)address);
    put_char('\n');
}

/* An address and the one 1 MB above differ only when the gate is open. */
static int a20_open(void)
{
    volatile uint32_t *low = (uint32_t *)0x7000, *high = (uint32_t *)0x107000;
    uint32_t keep = *high;

    *low = 0x12345678;
    *high = 0x9abcdef0;
    int open = *low == 0x12345678;
    *high = keep;
    return open;
}

static void show_state(void)
{
    put_hex("magic", boot_magic);
    put_hex("pe", boot_cr0 & 1);
    put_hex("pg", boot_cr0 >> 31);
    put_hex("if", boot_eflags >> 9 & 1);
    put_hex("vm", boot_eflags >> 17 & 1);
    put_hex("a20", a20_open());
    uint32_t same = 1;
    for (int i = 1; i < 5; i++) {
        same &= boot_segments[i] == boot_segments[0];
    }
    put_hex("data segments alike", same && boot_segments[0] != 0);
    uint32_t dirty = 0;
    for (unsigned i = 0; i < sizeof(zeroes); i++) {
        dirty |= zeroes[i];
    }
    put_hex("bss", dirty);
}

static void show_modules(const uint32_t *info)
{
    const uint32_t *m = (const uint32_t *)info[6];

    for (uint32_t i = 0; i < info[5]; i++, m += 4) {
        uint32_t sum = 0;
        for (const uint8_t *p = (const uint8_t *)m[0]; p < (const uint8_t *)m[1]; p++) {
            sum += *p;
        }
        put_hex("module start", m[0]);
        put_hex("module size", m[1] - m[0]);
        put_hex("module sum", sum);
        put_text("module string", m[2]);
    }
}

static void show_map(const uint32_t *info)
{
    uint32_t at = info[12], end = at + info[11];

    while (at < end) {
        const uint32_t *e = (const uint32_t *)at;
        put_hex("map base", e[1] | (uint64_t)e[2] << 32);
        put_hex("map size", e[3] | (uint64_t)e[4] << 32);
        put_hex("map type", e[5]);
        at += e[0] + 4;
    }
}

void main(void)
{
    const uint32_t *info = (const uint32_t *)boot_info;

    show_state();
    put_hex("flags", info[0]);
    if (info[0] & 1) {
        put_hex("lower", info[1]);
        put_hex("upper", info[2]);
    }
    if (info[0] & 4) {
        put_text("command line", info[4]);
    }
    if (info[0] & 8) {
        show_modules(info);
    }
    if (info[0] & 0x40) {
        show_map(info);
    }
    if (info[0] & 0x200) {
        put_text("loader", info[16]);
    }
    put("END\n");
    outb(0x501, 0x10);
}
