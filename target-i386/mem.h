/*
 * Memory as instructions see it: segmentation, paging, the soft TLB; inline fast paths.
 *
 * `seg` is SEG_ES..SEG_GS, `off` the effective address already cut to the address size. Each access makes
 * the segment's checks (#GP/#SS), the canonical check in 64-bit mode, #AC when HF_AC, then translates for the current
 * privilege (#PF). Accesses that cross a page check both pages before anything is written.
 * Everything that can fault leaves by longjmp: call it before changing state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_MEM_H
#define TARGET_I386_MEM_H

#include "target-i386/cpu.h"

/*
 * Data reads and writes at the current privilege, by width and by size in bytes: mem_read8 .. mem_read64,
 * mem_write8 .. mem_write64, mem_read, mem_write.
 */
#include "target-i386/mem-inline.h"

/* Any length (vectors, FXSAVE, descriptors); a write checks all of it before the first byte. */
void mem_read_bytes(CPUX86State *env, unsigned seg, uint64_t off, void *buf, unsigned size);
void mem_write_bytes(CPUX86State *env, unsigned seg, uint64_t off, const void *buf, unsigned size);
/* Faults as such an access would by its segment (not canonical: #GP or #SS), whatever alignment and pages say. */
void mem_check_segment(CPUX86State *env, unsigned seg, uint64_t off, unsigned size, bool write);
/* Faults as a write of size bytes would, changes nothing: for read-modify-write and multi-part stores. */
void mem_probe_write(CPUX86State *env, unsigned seg, uint64_t off, unsigned size);
/*
 * For atomics: checks for writing and returns the host address when the operand lies in RAM within one page; NULL
 * otherwise (device or page crossing: use vcpu_exclusive_begin() and plain accesses). Once it is written mem_write_done()
 * has to tell those who watch the page; nothing may fault in between.
 */
void *mem_atomic_ptr(CPUX86State *env, unsigned seg, uint64_t off, unsigned size);
static inline void mem_write_done(CPUX86State *env)
{
    if (__builtin_expect(env->tlb->pending_write.size, 0)) {
        mmu_write_done(env);
    }
}
/*
 * For bulk string operations: the host address of off and in *len the number of bytes (at most the value
 * passed in) that lie in plain RAM from there up to the page's end with all checks made; NULL where bulk access is not possible
 * (device, breakpoint, address wrap): then do one element the slow way. Once all of *len is written call mem_write_done().
 */
void *mem_bulk_ptr(CPUX86State *env, unsigned seg, uint64_t off, uint64_t *len, bool write);

/* System structures (GDT, LDT, IDT, TSS, SMRAM): linear addresses, supervisor rights whatever the CPL. */
uint64_t mem_sys_read(CPUX86State *env, uint64_t linear, unsigned size);
void mem_sys_write(CPUX86State *env, uint64_t linear, uint64_t v, unsigned size);

/* Stack pushes and pops by operand size, honouring the stack's address size; SP changes only if all went well. */
void mem_push(CPUX86State *env, uint64_t v, unsigned size);
uint64_t mem_pop(CPUX86State *env, unsigned size);

/*
 * Code: the page's bytes for executing at CS:rip (checks limit, canonical, NX, SMEP, user): *host points at the instruction,
 * *avail is the number of bytes to the page's end, *phys its physical address. host NULL: the page is no RAM; fetch
 * byte-wise with mem_fetch_bytes(). May fault.
 */
const uint8_t *mem_code_ptr(CPUX86State *env, uint64_t rip, unsigned *avail, hwaddr *phys);
/* The same, but also where a debugger's breakpoints are: whoever runs code from there has to look for them. */
const uint8_t *mem_code_ptr_watched(CPUX86State *env, uint64_t rip, unsigned *avail, hwaddr *phys);
/* Copies up to size bytes of code from rip, stops before a byte that would fault (unless the very first does); returns how many. */
unsigned mem_fetch_bytes(CPUX86State *env, uint64_t rip, uint8_t *buf, unsigned size);

/* Without side effects, for debuggers: false where not mapped. No A/D bits, no faults, no MMIO. */
bool mem_debug_translate(CPUX86State *env, uint64_t linear, hwaddr *phys);
bool mem_debug_read(CPUX86State *env, uint64_t linear, void *buf, unsigned size);
bool mem_debug_write(CPUX86State *env, uint64_t linear, const void *buf, unsigned size);

/* TLB upkeep, own thread. */
void tlb_flush(CPUX86State *env);            /* all, global pages too */
void tlb_flush_nonglobal(CPUX86State *env);  /* MOV CR3 */
void tlb_flush_page(CPUX86State *env, uint64_t linear);
/* From any thread: this vCPU must again take the slow path on writes to the RAM page. */
void tlb_protect_ram(CPUX86State *env, ram_addr addr, uint64_t size);
/* Afterwards, with a barrier on the vCPU's thread in between: it must not write past the TLB either (translate-mem.c). */
void tlb_empty_write_slots(CPUX86State *env);

#endif
