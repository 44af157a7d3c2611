/*
 * -d lockstep: what it takes for the same, and what it does not let pass.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/lockstep.h"

#include <signal.h>
#include <sys/time.h>

#include "exec-fixture.h"
#include "hw/machine.h"
#include "target-i386/accel.h"
#include "util/log.h"
#include "util/loop.h"

#define LOOK 0x2000u /* other code than at CODE */

/* A fresh state, and both engines' memory the same. */
static void lockstep_fixture(void)
{
    static bool begun;

    fixture();
    if (!begun) {
        loop_init();
        log_mask |= LOG_LOCKSTEP;
        accel_select(&accel_jit);
        begun = true;
    }
    PUT_CODE(0x90);
    lockstep_ram_written(0, 1 << 21);
    run_code(); /* the first time it makes the copy of memory */
    lockstep_test(env, 0, false);
}

/* Memory is written as a device would: both engines see it. */
static void put_data(uint32_t addr, const void *bytes, size_t n)
{
    memcpy(at(addr), bytes, n);
    lockstep_ram_written(addr, n);
}

static void put(uint32_t addr, const void *bytes, size_t n)
{
    put_data(addr, bytes, n);
    exec_flush_code(env);
}

static uint32_t get32(uint32_t addr)
{
    uint32_t v;

    memcpy(&v, at(addr), sizeof(v));
    return v;
}

static volatile unsigned requests;

static void on_alarm(int sig)
{
    requests++;
    cpu_request_exit(env);
}

static void request_each(long us)
{
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, us}, {0, us}};

    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

/* As an interrupt's handler might: what is in memory has to be the same for both now, and not after more rounds only. */
static void look_at_counter(void)
{
    uint64_t rip = env->rip, ax = env->regs[R_AX];

    env->rip = LOOK;
    do {
        cpu_exit_seen(env);
        cpu_exec(env);
    } while (!env->halted && !lockstep_found_difference(env));
    env->halted = false;
    env->rip = rip;
    env->regs[R_AX] = ax;
}

/*
 * A loop whose counters are in memory comes to the same registers and flags round by round, and with those on its way to the loop. The
 * executor must not pass for being there before it has run as much as the translator; nor when a request comes while translated code runs.
 */
static void counts_in_memory_under_requests(void)
{
    static const uint8_t loop[] = {
        0xa8, 0x00,       /* test $0,%al */
        0xeb, 0x00,       /* jmp 1f: where the loop begins, everything is as behind a round already */
        0xff, 0x06,       /* 1: incl (%esi) */
        0x01, 0x5e, 0x04, /* add %ebx,4(%esi) */
        0x39, 0x3e,       /* cmp %edi,(%esi) */
        0x74, 0x04,       /* je 2f */
        0xa8, 0x00,       /* test $0,%al: the same flags in each round */
        0x74, 0xf3,       /* jz 1b */
        0xf4,             /* 2: hlt */
    };
    static const uint8_t look[] = {0x8b, 0x06, 0xf4}; /* mov (%esi),%eax; hlt */
    enum { FEW = 20, MANY = 50000, REQUESTS = 4000, STEP = 7 };

    lockstep_fixture();
    put(CODE, loop, sizeof(loop));
    put(LOOK, look, sizeof(look));
    env->regs[R_SI] = DATA;
    env->regs[R_BX] = STEP;
    requests = 0;
    request_each(50);
    bool right = true;
    for (unsigned i = 0; requests < REQUESTS && right; i++) {
        const uint32_t rounds = i % 32 ? FEW : MANY;
        put_data(DATA, (uint8_t[8]){0}, 8);
        if (i % 3 == 0) {
            exec_flush_code(env); /* new jumps are not linked yet */
        }
        env->regs[R_DI] = rounds;
        run_code();
        while (!env->halted && !lockstep_found_difference(env)) {
            look_at_counter();
            cpu_exec(env);
        }
        right = !lockstep_found_difference(env) && get32(DATA) == rounds && get32(DATA + 4) == STEP * rounds;
    }
    request_each(0);
    CHECK(!lockstep_found_difference(env));
    CHECK(right);
    CHECK(lockstep_runs(env) > REQUESTS / 2);
}

/* What only one engine's memory holds shows as soon as it is read. */
static void memory_that_differs_is_found(void)
{
    lockstep_fixture();
    put(CODE, (uint8_t[]){0x03, 0x06, 0xf4}, 3); /* add (%esi),%eax; hlt */
    put(DATA, (uint8_t[4]){1}, 4);
    env->regs[R_SI] = DATA;
    env->regs[R_AX] = 41;
    run_code();
    CHECK(!lockstep_found_difference(env));
    CHECK_EQ(env->regs[R_AX], 42);
    at(DATA)[0] = 2; /* nobody hears of it */
    run_code();
    CHECK(lockstep_found_difference(env));
    lockstep_test(env, 0, false);
    CHECK(!lockstep_found_difference(env));
    run_code();
    CHECK(!lockstep_found_difference(env));
}

TESTS(TEST(counts_in_memory_under_requests), TEST(memory_that_differs_is_found))
