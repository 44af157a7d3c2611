/*
 * What the debugger is shown: nested calls, variables that change, vector and x87 registers with known values.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
volatile unsigned rounds, watched, beside, read_only = 7, spins;
volatile unsigned idle; /* set by the debugger: wait for interrupts that never come */
char text[16] = "unchanged";

static const float floats[8] = {1, 2, 3, 4, 5, 6, 7, 8};

__attribute__((noinline)) unsigned leaf(unsigned n)
{
    watched += n;
    beside++;
    return n * 2;
}

__attribute__((noinline)) unsigned middle(unsigned n)
{
    unsigned result = leaf(n + 1);

    return result + 1;
}

__attribute__((noinline)) unsigned top(unsigned n)
{
    unsigned a = middle(n);

    return a + read_only;
}

__attribute__((noinline)) void set_registers(void)
{
    asm volatile("vmovups %0, %%ymm0\n\t"
                 "fninit\n\t"
                 "fld1\n\t"
                 "fldpi" ::"m"(floats));
}

__attribute__((noinline)) void registers_set(void)
{
    asm volatile("" ::: "memory");
}

/* Much code without a call, so that it is interrupted here. */
__attribute__((noinline)) void spin(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        spins++;
    }
}

void guest_main(void)
{
    set_registers();
    registers_set();
    for (;;) {
        rounds++;
        top(rounds);
        spin();
        while (idle) {
            asm volatile("hlt");
        }
    }
}
