/*
 * For the CPU's unit tests: a CPU without a thread and 16 MB of RAM from address 0.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_CPU_FIXTURE_H
#define TESTS_UNIT_CPU_FIXTURE_H

#include <string.h>

#include "hw/memory.h"
#include "target-i386/cpu.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"
#include "tests/unit/test.h"
#include "util/loop.h"

#define RAM_SIZE (16u << 20)

static CPUX86State *env;
static MemoryRegion fixture_ram, fixture_smram;

/* A fresh CPU of the model with cleared RAM, at power-on state. */
static inline void fixture_cpu(const char *model)
{
    static bool made;

    if (!made) {
        made = true;
        loop_init();
        machine_lock();
        memory_ram_init(64u << 20, NULL);
        memory_init();
        memory_region_init_ram(&fixture_ram, "ram", RAM_SIZE, NULL);
        memory_region_add(memory_as.root, 0, &fixture_ram, 0);
        memory_region_init_alias(&fixture_smram, "ram", &fixture_ram, 0, RAM_SIZE);
        memory_region_add(memory_smm_as.root, 0, &fixture_smram, 0);
        machine_unlock();
        exec_init();
    }
    if (env) {
        current_cpu = NULL;
        cpu_free(env);
    }
    memset(fixture_ram.host, 0, RAM_SIZE);
    env = cpu_new(0, model, NULL);
    current_cpu = env;
}

static inline void poke32(uint32_t addr, uint32_t v)
{
    memcpy(fixture_ram.host + addr, &v, 4);
}
static inline void poke64(uint32_t addr, uint64_t v)
{
    memcpy(fixture_ram.host + addr, &v, 8);
}
static inline uint32_t peek32(uint32_t addr)
{
    uint32_t v;
    memcpy(&v, fixture_ram.host + addr, 4);
    return v;
}
static inline uint64_t peek64(uint32_t addr)
{
    uint64_t v;
    memcpy(&v, fixture_ram.host + addr, 8);
    return v;
}

/* Runs a statement; afterwards env->excp_vector is what it raised, or -1. */
#define CATCH(statement)                                                                           \
    do {                                                                                           \
        jmp_buf landing_;                                                                          \
        env->excp_vector = -1;                                                                     \
        env->excp_error = 0;                                                                       \
        env->fault_jmp = &landing_;                                                                \
        if (!setjmp(landing_)) {                                                                   \
            statement;                                                                             \
        }                                                                                          \
        env->fault_jmp = NULL;                                                                     \
    } while (0)

#define CHECK_RAISES(statement, vector, error)                                                     \
    do {                                                                                           \
        CATCH(statement);                                                                          \
        CHECK_EQ((int64_t)env->excp_vector, (int64_t)(vector));                                    \
        CHECK_EQ(env->excp_error, error);                                                          \
    } while (0)
#define CHECK_NO_FAULT(statement)                                                                  \
    do {                                                                                           \
        CATCH(statement);                                                                          \
        CHECK_EQ((int64_t)env->excp_vector, (int64_t)-1);                                          \
    } while (0)

#endif
