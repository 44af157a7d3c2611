/*
 * What the operating system does for programs: calls, processes, memory, switches, signals. All on
 * one CPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SYSCALLS = 50000,
    FORKS = 80,
    FAULT_PAGES = 2048,
    FAULT_ROUNDS = 3,
    MAPS = 4000,
    PING_PONGS = 2000,
    RING = 8,
    RING_ROUNDS = 500,
    SIGNALS = 5000
};

static uint64_t syscall_run(void *memory)
{
    uint64_t n = 0;

    for (int i = 0; i < SYSCALLS; i++) {
        n += syscall(SYS_getppid) > 0;
    }
    return n;
}

static uint64_t fork_run(void *memory)
{
    uint64_t sum = 0;

    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();

        bench_must(child >= 0, "fork");
        if (!child) {
            _exit(i);
        }
        bench_must(waitpid(child, &status, 0) == child, "waitpid");
        sum = sum * 3 + (uint64_t)WEXITSTATUS(status);
    }
    return sum;
}

/* Small pages each, so that each first write is a fault. */
static uint64_t page_faults_run(void *memory)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = FAULT_PAGES * page;
    uint64_t n = 0;

    for (int round = 0; round < FAULT_ROUNDS; round++) {
        char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        bench_must(p != MAP_FAILED, "mmap");
        madvise(p, bytes, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < bytes; at += page) {
            n += p[at] == 0;
            p[at] = 1;
        }
        bench_must(munmap(p, bytes) == 0, "munmap");
    }
    return n;
}

static uint64_t mmap_run(void *memory)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t n = 0;

    for (int i = 0; i < MAPS; i++) {
        void *p =
            mmap(NULL, (size_t)(i % 8 + 1) * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        bench_must(p != MAP_FAILED, "mmap");
        bench_must(munmap(p, (size_t)(i % 8 + 1) * page) == 0, "munmap");
        n++;
    }
    return n;
}

/* ---- processes in a ring of pipes; each adds one to what comes by ---- */
typedef struct Ring {
    int members;
    int pipes[RING][2]; /* pipes[i] leads to member i */
    pid_t children[RING];
} Ring;

static void ring_member(const Ring *ring, int i)
{
    uint32_t v;

    while (read(ring->pipes[i][0], &v, sizeof(v)) == sizeof(v)) {
        v++;
        if (write(ring->pipes[(i + 1) % ring->members][1], &v, sizeof(v)) != sizeof(v)) {
            break;
        }
    }
    _exit(0);
}

static void ring_setup(Ring *ring, int members)
{
    ring->members = members;
    for (int i = 0; i < members; i++) {
        bench_must(pipe(ring->pipes[i]) == 0, "pipe");
    }
    for (int i = 1; i < members; i++) {
        ring->children[i] = fork();
        bench_must(ring->children[i] >= 0, "fork");
        if (!ring->children[i]) {
            ring_member(ring, i);
        }
    }
}

static uint64_t ring_run(Ring *ring, int rounds)
{
    uint32_t v = 0;

    for (int i = 0; i < rounds; i++) {
        bench_must(write(ring->pipes[1][1], &v, sizeof(v)) == sizeof(v), "write to a pipe");
        bench_must(read(ring->pipes[0][0], &v, sizeof(v)) == sizeof(v), "read from a pipe");
    }
    return v;
}

static void ring_teardown(void *memory)
{
    Ring *ring = memory;

    for (int i = 1; i < ring->members; i++) {
        kill(ring->children[i], SIGKILL);
        waitpid(ring->children[i], NULL, 0);
    }
    for (int i = 0; i < ring->members; i++) {
        close(ring->pipes[i][0]);
        close(ring->pipes[i][1]);
    }
}

static void pipe_setup(void *memory)
{
    ring_setup(memory, 2);
}

static uint64_t pipe_run(void *memory)
{
    return ring_run(memory, PING_PONGS);
}

static void switches_setup(void *memory)
{
    ring_setup(memory, RING);
}

static uint64_t switches_run(void *memory)
{
    return ring_run(memory, RING_ROUNDS);
}

/* ---- signals ---- */
static volatile sig_atomic_t signals_seen;

static void on_signal(int number)
{
    signals_seen++;
}

static uint64_t signal_run(void *memory)
{
    struct sigaction action = {.sa_handler = on_signal}, before;

    sigaction(SIGUSR1, &action, &before);
    signals_seen = 0;
    for (int i = 0; i < SIGNALS; i++) {
        raise(SIGUSR1);
    }
    sigaction(SIGUSR1, &before, NULL);
    return (uint64_t)signals_seen;
}

const Kernel system_kernels[] = {
    {"syscall", 0, NULL, syscall_run, NULL},
    {"fork-wait", 0, NULL, fork_run, NULL},
    {"page-faults", 0, NULL, page_faults_run, NULL},
    {"pipe", sizeof(Ring), pipe_setup, pipe_run, ring_teardown},
    {"mmap", 0, NULL, mmap_run, NULL},
    {"switches", sizeof(Ring), switches_setup, switches_run, ring_teardown},
    {"signal", 0, NULL, signal_run, NULL},
    {0},
};
