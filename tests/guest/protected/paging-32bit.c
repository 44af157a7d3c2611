/*
 * 32-bit paging (SDM Vol. 3, 4.3, 4.6, 4.7): permissions, accessed and dirty bits, #PF error codes.
 * Error code: 1 P (protection), 2 W/R, 4 U/S, 8 RSVD, 16 I/D (only with NX or SMEP).
 *                          user read  user write  kernel read  kernel write  same, CR0.WP
 *   not present            4          6           0            2             2
 *   P                      5          7           -            -             3
 *   P, U                   -          7           -            -             3
 *   P, W                   5          7           -            -             -
 *   P, W, U                -          -           -            -             -
 * The directory's W and U are ANDed with the table's. CR2 is the first byte that faults.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE32(read, "movl (%ebx), %eax");
CODE32(write, "movl %eax, (%ebx)");
CODE32(modify, "orl $0, (%ebx)");

static void access(const char *name, const char *code, bool user, Word va, unsigned want)
{
    Context c = user ? user_context(code) : kernel_context(code);
    c.bx = va;
    run(&c);
    check_context(name, &c, want);
    if (want != DONE) {
        check_eq("  CR2", c.cr2, va);
        check_eq("  EIP", c.ip, (Word)code);
    }
}

static void permissions(const char *name, unsigned bits, const int want[6])
{
    put_string("# ");
    put_string(name);
    put_string("\n");
    map(TEST_VA, TEST_PA | bits);
    for (unsigned i = 0; i < 6; i++) {
        static const char *const names[] = {"user read",   "user write",   "kernel read",
                                            "kernel write", "kernel read, WP", "kernel write, WP"};
        Word cr0 = READ_REG("cr0");
        if (i >= 4)
            WRITE_REG("cr0", cr0 | CR0_WP);
        access(names[i], i & 1 ? write : read, i < 2, TEST_VA + 0x123,
               want[i] < 0 ? DONE : PF(want[i]));
        WRITE_REG("cr0", cr0);
    }
}

static void accessed_dirty(void)
{
    enum { AD = PTE_A | PTE_D };
    map(TEST_VA, TEST_PA | PTE_P | PTE_W | PTE_U);
    set_entry(TEST_VA, 2, get_entry(TEST_VA, 2) & ~(uint64_t)PTE_A);
    WRITE_REG("cr3", READ_REG("cr3"));
    access("read", read, false, TEST_VA, DONE);
    check_eq("  sets A", get_entry(TEST_VA, 1) & AD, PTE_A);
    check_eq("  and A of the directory", get_entry(TEST_VA, 2) & AD, PTE_A);
    access("write", write, false, TEST_VA, DONE);
    check_eq("  sets D, though the TLB knew the page", get_entry(TEST_VA, 1) & AD, AD);
    check_eq("  not D of the directory", get_entry(TEST_VA, 2) & AD, PTE_A);
    map(TEST_VA, TEST_PA | PTE_P | PTE_W | PTE_U);
    access("write at once", write, false, TEST_VA, DONE);
    check_eq("  sets both", get_entry(TEST_VA, 1) & AD, AD);
    map(TEST_VA, TEST_PA | PTE_P | PTE_U);
    access("write that faults", write, true, TEST_VA, PF(7));
    check_eq("  does not set D", get_entry(TEST_VA, 1) & PTE_D, 0);

    Word large = 0x30000000;
    set_entry(large, 2, 0x400000 | PTE_P | PTE_W | PTE_U | PTE_PS);
    WRITE_REG("cr3", READ_REG("cr3"));
    access("read a 4 MB page", read, false, large, DONE);
    check_eq("  sets A", get_entry(large, 2) & AD, PTE_A);
    access("write it", write, false, large, DONE);
    check_eq("  sets D", get_entry(large, 2) & AD, AD);
}

static void directory(void)
{
    map(TEST_VA, TEST_PA | PTE_P | PTE_W | PTE_U);
    uint64_t entry = get_entry(TEST_VA, 2);
    set_entry(TEST_VA, 2, entry & ~(uint64_t)PTE_U);
    invlpg(TEST_VA);
    access("directory without U", read, true, TEST_VA, PF(5));
    set_entry(TEST_VA, 2, entry & ~(uint64_t)PTE_W);
    invlpg(TEST_VA);
    access("directory without W", write, true, TEST_VA, PF(7));
    set_entry(TEST_VA, 2, entry & ~(uint64_t)PTE_P);
    invlpg(TEST_VA);
    access("directory without P", read, true, TEST_VA, PF(4));
    set_entry(TEST_VA, 2, entry);
    invlpg(TEST_VA);
    qemu_deviates("the fault of a read-modify-write is that of a read");
    access("read-modify-write is a write", modify, true, TEST_VA + 0x1000, PF(6));
}

static void reserved(void)
{
    Word large = 0x30000000;
    set_entry(large, 2, 0x400000 | PTE_P | PTE_PS | 1 << 21);
    WRITE_REG("cr3", READ_REG("cr3"));
    qemu_deviates("a reserved bit does not set P");
    access("bit 21 of a 4 MB page", read, false, large, PF(9));
    qemu_deviates("a reserved bit does not set P");
    access("bit 21 of a 4 MB page, user write", write, true, large, PF(0xf));
}

void guest_test(void)
{
    paging_on(PAGING_32BIT);
    set_entry(TEST_VA, 1, 0); /* makes the table */
    permissions("not present", PTE_W | PTE_U, (int[]){4, 6, 0, 2, 0, 2});
    permissions("P", PTE_P, (int[]){5, 7, -1, -1, -1, 3});
    permissions("P, U", PTE_P | PTE_U, (int[]){-1, 7, -1, -1, -1, 3});
    permissions("P, W", PTE_P | PTE_W, (int[]){5, 7, -1, -1, -1, -1});
    permissions("P, W, U", PTE_P | PTE_W | PTE_U, (int[]){-1, -1, -1, -1, -1, -1});
    accessed_dirty();
    directory();
    reserved();
}
