/*
 * A CPU for the executor's unit tests: flat 32-bit code at CPL 0 without paging, 2 MB of RAM at 0,
 * the first 64 KB of it shown again at 16 MB. No machine, no threads.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_TARGET_I386_EXEC_FIXTURE_H
#define TESTS_UNIT_TARGET_I386_EXEC_FIXTURE_H

#include <stdlib.h>

#include "hw/memory.h"
#include "target-i386/cpu.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"
#include "tests/unit/test.h"

#define CODE  0x1000u
#define DATA  0x8000u
#define STACK 0x20000u
#define ALIAS 0x1000000u

static CPUX86State *env;
static MemoryRegion fixture_ram, fixture_alias;

static uint8_t *at(uint32_t addr)
{
    return fixture_ram.host + addr;
}

static void fixture_segments(void)
{
    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        env->segs[s] = (Segment){
            .selector = 0x10, .limit = 0xffffffff, .attr = 0x93 | SEG_ATTR_G | SEG_ATTR_DB};
    }
    env->segs[SEG_CS].selector = 8;
    env->segs[SEG_CS].attr = 0x9b | SEG_ATTR_G | SEG_ATTR_DB;
    cpu_update_hflags(env);
}

/* A fresh state each time; memory is cleared. */
static void fixture(void)
{
    Error *err = NULL;

    if (!env) {
        if (!memory_ram_init(1 << 22, &err)) {
            abort();
        }
        memory_init();
        if (!memory_region_init_ram(&fixture_ram, "ram", 1 << 21, &err)) {
            abort();
        }
        memory_region_init_alias(&fixture_alias, "alias", &fixture_ram, 0, 0x10000);
        memory_region_add(memory_as.root, 0, &fixture_ram, 0);
        memory_region_add(memory_as.root, ALIAS, &fixture_alias, 0);
        exec_init();
        env = cpu_new(0, "max", &err);
        if (!env) {
            abort();
        }
        current_cpu = env;
    }
    cpu_reset(env, false);
    exec_flush_code(env);
    memset(fixture_ram.host, 0, 1 << 21);
    env->halted = env->wait_sipi = false;
    env->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_MP;
    env->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    env->xcr0 = 7;
    env->regs[R_SP] = STACK;
    env->rip = CODE;
    atomic_store(&env->exit_request, 0);
    fixture_segments();
}

/* Puts code at CODE and HLT behind it. */
static void put_code(const void *bytes, size_t n)
{
    memcpy(at(CODE), bytes, n);
    at(CODE)[n] = 0xf4;
    exec_flush_code(env);
}
#define PUT_CODE(...)                                                                              \
    put_code((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static CpuExit run_code(void)
{
    env->rip = CODE;
    env->halted = false;
    return cpu_exec(env);
}

#endif
