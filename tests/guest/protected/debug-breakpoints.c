/*
 * Debug registers (SDM Vol. 3, 17.2, 17.3.1).
 *   execution: fault, before the instruction, DR6.Bn; EFLAGS.RF lets it run; the pushed RF is for
 *     the handler to set
 *   data write, read/write: trap, behind the instruction; any byte in common counts; REP: behind
 *     the iteration
 *   I/O (CR4.DE): trap
 *   disabled in DR7: none (DR6 may show it); several at once: all bits
 *   DR7.GD: MOV DRn is #DB, a fault with DR6.BD, and GD is cleared for the handler
 *   DR4, DR5 are DR6, DR7 while CR4.DE = 0, else #UD. DR7 bit 10 is 1.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { DR6_FIXED = 0xffff0ff0, DR6_BS = 1 << 14, DR6_BD = 1 << 13, DR7_FIXED = 0x400 };
enum { EXEC = 0, WRITE = 1, IO = 2, ACCESS = 3 };

#define NO_GD "DR7.GD is not modelled"

static uint32_t cells[8] __attribute__((aligned(16)));

static Word dr7(unsigned n, unsigned type, unsigned length)
{
    return DR7_FIXED | 1u << 2 * n | (type | (length - 1) << 2) << (16 + 4 * n);
}

CODE32(instructions, "nop\n incl %ebx\n nop");
CODE32(write, "movl %eax, (%esi)\n nop");
CODE32(read, "movl (%esi), %eax\n nop");
CODE32(modify, "incl (%esi)\n nop");
CODE32(rep_store, "rep stosl\n nop");
CODE32(out, "outb %al, $0x80\n nop");
CODE32(in, "inb $0x80, %al\n nop");

static Context start(const char *code, unsigned offset)
{
    Context c = kernel_context(code);
    c.si = c.di = (Word)cells + offset;
    c.cx = 4;
    WRITE_REG("dr6", DR6_FIXED);
    run(&c);
    c.dx = READ_REG("dr6");
    return c;
}

static void hit(const char *name, const char *code, unsigned offset, unsigned ip_offset, Word bits)
{
    Context c = start(code, offset);
    check_context(name, &c, DB);
    check_eq("  EIP", c.ip - (Word)code, ip_offset);
    check_eq("  DR6", c.dx, DR6_FIXED | bits);
}

static void miss(const char *name, const char *code, unsigned offset)
{
    Context c = start(code, offset);
    check_context(name, &c, DONE);
}

static void execution(void)
{
    WRITE_REG("dr0", (Word)instructions + 1);
    WRITE_REG("dr7", dr7(0, EXEC, 1));
    hit("execution", instructions, 0, 1, 1);
    Context c = start(instructions, 0);
    check_eq("  EBX is unchanged", c.bx, 0);
    check_eq("  DR7 is unchanged", READ_REG("dr7"), dr7(0, EXEC, 1));
    c = kernel_context(instructions + 1);
    c.flags |= FLAG_RF;
    run(&c);
    check_context("RF lets it run", &c, DONE);
    check_eq("  once", c.bx, 1);
    qemu_deviates("RF is cleared at the end of a block");
    check_eq("  RF is clear again", c.flags & FLAG_RF, 0);
    WRITE_REG("dr3", (Word)instructions + 1);
    WRITE_REG("dr7", dr7(0, EXEC, 1) | dr7(3, EXEC, 1));
    hit("two at one place", instructions, 0, 1, 9);
    WRITE_REG("dr7", DR7_FIXED);
    miss("disabled", instructions, 0);
}

static void data(void)
{
    WRITE_REG("dr1", (Word)&cells[1]);
    WRITE_REG("dr7", dr7(1, WRITE, 4));
    hit("write", write, 4, 2, 2);
    check_eq("  the write is done", cells[1], 0);
    miss("a read", read, 4);
    miss("write below", write, 0);
    miss("write above", write, 8);
    hit("write that overlaps its first byte", write, 1, 2, 2);
    hit("write that overlaps its last byte", write, 7, 2, 2);
    hit("read-modify-write", modify, 4, 2, 2);
    WRITE_REG("dr7", dr7(1, ACCESS, 4));
    hit("read", read, 4, 2, 2);
    WRITE_REG("dr7", dr7(1, ACCESS, 1));
    Context c = start(read, 5);
    qemu_deviates("a misaligned read is made of two aligned ones");
    check_context("misaligned read above a byte", &c, DONE);
    hit("read of a byte", read, 4, 2, 2);
    WRITE_REG("dr7", dr7(1, WRITE, 4));
    c = start(rep_store, 0);
    check_context("REP STOS", &c, DB);
    check_eq("  two done", c.cx, 2);
    check_eq("  EIP at REP", c.ip, (Word)rep_store);
    WRITE_REG("dr7", DR7_FIXED);
}

static void input_output(void)
{
    if (!cpu_has(1, 'd', 2)) {
        skip("I/O breakpoints", "no DE");
        return;
    }
    WRITE_REG("cr4", READ_REG("cr4") | CR4_DE);
    WRITE_REG("dr2", 0x80);
    WRITE_REG("dr7", dr7(2, IO, 1));
    hit("OUT", out, 0, 2, 4);
    hit("IN", in, 0, 2, 4);
    EXPECT("DR4 with CR4.DE", UD, "mov %%dr4, %%eax", : : : "eax");
    WRITE_REG("dr7", DR7_FIXED);
    WRITE_REG("cr4", READ_REG("cr4") & ~(Word)CR4_DE);
}

static void access_to_registers(void)
{
    WRITE_REG("dr6", DR6_FIXED);
    Word value;
    asm volatile("mov %%dr4, %0" : "=r"(value));
    check_eq("DR4 is DR6", value, DR6_FIXED);
    asm volatile("mov %%dr5, %0" : "=r"(value));
    check_eq("DR5 is DR7", value, DR7_FIXED);
    WRITE_REG("dr7", 0);
    check_eq("DR7 bit 10", READ_REG("dr7"), DR7_FIXED);
    WRITE_REG("dr7", DR7_FIXED | 1 << 13);
    TRY("mov %%dr0, %%eax", : : : "eax");
    qemu_deviates(NO_GD);
    check_fault_at_start("MOV DR0 with DR7.GD", DB);
    qemu_deviates(NO_GD);
    check_eq("  GD is cleared", READ_REG("dr7") & 1 << 13, 0);
    qemu_deviates(NO_GD);
    check_eq("  DR6.BD", READ_REG("dr6") & (DR6_BD | DR6_BS), DR6_BD);
    WRITE_REG("dr6", 0);
    check_eq("DR6: what is always 1", READ_REG("dr6"), DR6_FIXED);
    WRITE_REG("dr6", 0xffffffff);
    qemu_deviates("reserved bits of DR6 can be set");
    check_eq("DR6: bit 12 is always 0", READ_REG("dr6") & 1 << 12, 0);
}

static void with_step(void)
{
    WRITE_REG("dr6", DR6_FIXED);
    WRITE_REG("dr1", (Word)&cells[1]);
    WRITE_REG("dr7", dr7(1, WRITE, 4));
    Context c = kernel_context(write);
    c.si = (Word)&cells[1];
    c.flags |= FLAG_TF;
    run(&c);
    check_context("write and single step", &c, DB);
    check_eq("  DR6 shows both", READ_REG("dr6"), DR6_FIXED | DR6_BS | 2);
    WRITE_REG("dr7", DR7_FIXED);
}

void guest_test(void)
{
    execution();
    data();
    input_output();
    access_to_registers();
    with_step();
}
