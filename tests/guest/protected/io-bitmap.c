/*
 * Port access at CPL > IOPL asks the TSS's I/O permission bitmap (SDM Vol. 1, 19.5.2): all bits of
 * all bytes accessed must be 0, else #GP(0). Two bytes are read, always; if the second lies beyond
 * the TSS's limit: #GP(0). CLI and STI have no bitmap: #GP(0) at CPL > IOPL.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { PORT = 0x4f8 }; /* nothing answers here */

CODE32(in_byte, "inb %dx, %al");
CODE32(in_word, "inw %dx, %ax");
CODE32(in_dword, "inl %dx, %eax");
CODE32(out_byte, "outb %al, %dx");
CODE32(out_immediate, "outb %al, $0xed");
CODE32(ins_byte, "insb");
CODE32(outs_word, "outsw");
CODE32(clear_if, "cli");
CODE32(set_if, "sti\n cli");
static uint8_t buffer[8];

static void user(const char *name, const char *code, unsigned port, unsigned want, unsigned iopl)
{
    Context c = user_context(code);
    c.dx = port;
    c.si = c.di = (Word)buffer;
    c.flags |= iopl << 12;
    run(&c);
    check_context(name, &c, want);
    if (want != DONE)
        check_eq("  EIP", c.ip, (Word)code);
}

static void tss_limit(unsigned limit)
{
    set_gdt(SEL_TSS, segment((Word)&tss, limit, TYPE_TSS, 0));
    asm volatile("ltr %w0" : : "r"(SEL_TSS));
}

void guest_test(void)
{
    user("all bits clear: byte", in_byte, PORT, DONE, 0);
    user("all bits clear: dword", in_dword, PORT, DONE, 0);
    tss.bitmap[PORT / 8] = 0x08; /* port 0x4fb */
    user("bit set: byte below", in_byte, PORT + 2, DONE, 0);
    user("bit set: byte", in_byte, PORT + 3, GP(0), 0);
    user("bit set: OUT", out_byte, PORT + 3, GP(0), 0);
    user("bit set: byte above", in_byte, PORT + 4, DONE, 0);
    user("bit set: word that ends below", in_word, PORT + 1, DONE, 0);
    user("bit set: word that ends in it", in_word, PORT + 2, GP(0), 0);
    user("bit set: dword that ends in it", in_dword, PORT, GP(0), 0);
    user("bit set: INS", ins_byte, PORT + 3, GP(0), 0);
    user("bit set: OUTS", outs_word, PORT + 2, GP(0), 0);
    user("bit set, IOPL 3", in_byte, PORT + 3, DONE, 3);
    tss.bitmap[PORT / 8] = 0;
    tss.bitmap[PORT / 8 + 1] = 1; /* port 0x500 */
    user("across a byte of the bitmap", in_word, PORT + 7, GP(0), 0);
    tss.bitmap[PORT / 8 + 1] = 0;
    tss.bitmap[0xed / 8] = 1 << (0xed % 8);
    user("immediate port", out_immediate, 0, GP(0), 0);
    tss.bitmap[0xed / 8] = 0;

    unsigned base = offsetof(Tss32, bitmap);
    tss_limit(base + PORT / 8);
    user("second byte beyond the limit", in_byte, PORT, GP(0), 0);
    user("both bytes within the limit", in_byte, PORT - 8, DONE, 0);
    tss_limit(103);
    user("no bitmap", in_byte, PORT, GP(0), 0);
    tss_limit(sizeof(tss) - 1);

    user("CLI, IOPL 0", clear_if, 0, GP(0), 0);
    user("STI, IOPL 2", set_if, 0, GP(0), 2);
    user("CLI, IOPL 3", clear_if, 0, DONE, 3);
}
