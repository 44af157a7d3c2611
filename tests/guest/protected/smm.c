/*
 * System management mode on the board (SDM Vol. 3, 34; data sheets 82441FX: SMRAM, 82371AB: APM).
 *   a write to port 0xb2 is an SMI; the first enters at SMBASE 0x30000 + 0x8000: CS 0x3000,
 *     PE = PG = 0, EFLAGS 2, 4 GB limits; the save state has its revision at 0xfefc, SMBASE at
 *     0xff00 in the 64-bit map and 0xfef8 in the 32-bit map
 *   RSM brings every register back; a changed SMBASE moves the next entry
 *   RAM at 0xa0000 is seen in SMM, and outside only while the i440FX's D_OPEN is set; with D_CLS
 *   SMM's code is fetched from there while its data goes to the display
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { APM_CONTROL = 0xb2, SMBASE = 0x30000, NEW_SMBASE = 0xa0000, ENTRY = 0x8000 };
enum { SMRAM_REGISTER = 0x72, SMRAM_OPEN = 0x4a, SMRAM_CLOSED = 0x0a };

volatile uint8_t seen_parted, seen_joined;
volatile uint32_t smi_count, smi_cs, smi_cr0, smi_flags, smi_revision;

/* DS is base 0: addresses are linear. The first handler moves SMBASE. */
CODE16(handler, "pushfl\n movl $smi_flags, %ebx\n popl (%ebx)\n"
                "movl $smi_count, %ebx\n incl (%ebx)\n"
                "movl $smi_cs, %ebx\n movw %cs, (%ebx)\n"
                "movl $smi_cr0, %ebx\n movl %cr0, %eax\n movl %eax, (%ebx)\n"
                "movl %cs:0xfefc, %eax\n movl $smi_revision, %ebx\n movl %eax, (%ebx)\n"
                "movl $0x3ff00, %ebx\n cmpb $0x64, %al\n je 1f\n movl $0x3fef8, %ebx\n"
                "1: movl $0xa0000, (%ebx)\n"
                "movl $0x11223344, %ecx\n movl $0x55667788, %esi\n rsm\n handler_end:");
CODE16(second, "movl $smi_count, %ebx\n addl $100, (%ebx)\n movl $smi_cs, %ebx\n movw %cs, (%ebx)\n"
               "rsm\n second_end:");
/* Parts and joins code and data; both times looks at its own first byte. */
CODE16(parted, "movl $smi_count, %ebx\n addl $1000, (%ebx)\n"
               "movl $0x80000070, %eax\n movw $0xcf8, %dx\n outl %eax, %dx\n"
               "movb $0x2a, %al\n movw $0xcfe, %dx\n outb %al, %dx\n"
               "movl $0xa8000, %esi\n movb (%esi), %cl\n movl $seen_parted, %ebx\n movb %cl, (%ebx)\n"
               "movb $0x55, (%esi)\n"
               "movb $0x0a, %al\n outb %al, %dx\n"
               "movb (%esi), %cl\n movl $seen_joined, %ebx\n movb %cl, (%ebx)\n"
               "rsm\n parted_end:");
CODE32(raise, "outb %al, $0xb2\n nop\n nop");
extern char handler_end[], second_end[], parted_end[];

static void pci_write(unsigned function, unsigned reg, unsigned bytes, uint32_t value)
{
    outl(0xcf8, 0x80000000u | function << 8 | (reg & ~3u));
    if (bytes == 1)
        outb(0xcfc + (reg & 3), value);
    else
        outl(0xcfc, value);
}

enum { HOST_BRIDGE = 0, PIIX4_PM = 1 << 3 | 3, PMBASE = 0x600 };

static void enable_smi(void)
{
    pci_write(PIIX4_PM, 0x40, 4, PMBASE | 1);
    pci_write(PIIX4_PM, 0x80, 1, 1);           /* PMREGMISC: the I/O space is on */
    pci_write(PIIX4_PM, 0x58, 4, 1u << 25);    /* DEVACTB: APMC writes raise SMI */
    outl(PMBASE + 0x28, 1 | 1 << 16);          /* GLBCTL: SMI_EN, EOS */
}

static Context smi(void)
{
    Context c = kernel_context(raise);
    c.bx = 0xb1b1b1b1;
    c.cx = 0xc1c1c1c1;
    c.si = 0x51515151;
    c.flags |= FLAG_CF | FLAG_DF;
    run(&c);
    return c;
}

static void check_kept(const Context *c)
{
    check("  registers", c->bx == 0xb1b1b1b1 && c->cx == 0xc1c1c1c1 && c->si == 0x51515151);
    check_eq("  EFLAGS", c->flags & (FLAG_CF | FLAG_DF), FLAG_CF | FLAG_DF);
    check_eq("  EIP", c->ip, (Word)raise + 6);
    check_eq("  CS", c->cs, SEL_CODE);
}

void guest_test(void)
{
    memcpy((void *)(SMBASE + ENTRY), (void *)LINEAR16(handler), handler_end - handler);
    enable_smi();
    Context c = smi();
    check_context("an SMI and RSM", &c, DONE);
    check_eq("  the handler ran", smi_count, 1);
    check_kept(&c);
    check_eq("  CS in SMM", smi_cs, SMBASE >> 4);
    check_eq("  CR0 in SMM: no PE, no PG", smi_cr0 & (CR0_PE | CR0_PG), 0);
    check_eq("  EFLAGS in SMM", smi_flags, 2);
    check_eq("  SMBASE can be moved; 32- or 64-bit map", smi_revision & 0x2ffff,
             cpu_has(0x80000001, 'd', 29) ? 0x20064 : 0x20000);

    volatile uint32_t *window = (uint32_t *)(NEW_SMBASE + ENTRY);
    pci_write(HOST_BRIDGE, SMRAM_REGISTER, 1, SMRAM_OPEN);
    memcpy((void *)window, (void *)LINEAR16(second), second_end - second);
    uint32_t code = *window;
    check_eq("D_OPEN shows SMRAM", code, *(uint32_t *)LINEAR16(second));
    pci_write(HOST_BRIDGE, SMRAM_REGISTER, 1, SMRAM_CLOSED);
    check("  without it another thing is there", *window != code);
    c = smi();
    check_context("an SMI at the new SMBASE", &c, DONE);
    check_eq("  the handler in SMRAM ran", smi_count, 101);
    check_eq("  CS in SMM", smi_cs, NEW_SMBASE >> 4);
    check_kept(&c);

    pci_write(HOST_BRIDGE, SMRAM_REGISTER, 1, SMRAM_OPEN);
    memcpy((void *)window, (void *)LINEAR16(parted), parted_end - parted);
    uint8_t first = *(uint8_t *)window;
    pci_write(HOST_BRIDGE, SMRAM_REGISTER, 1, SMRAM_CLOSED);
    smi_count = 0;
    c = smi();
    check_context("an SMI that closes SMRAM to data", &c, DONE);
    check_eq("  the handler ran on", smi_count, 1000);
    qemu_deviates("D_CLS has no effect");
    check("  data is elsewhere", seen_parted != first);
    qemu_deviates("D_CLS has no effect");
    check_eq("  and back again, as it was", seen_joined, first);
    check_kept(&c);
}
