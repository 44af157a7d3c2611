/*
 * Independent integer jobs: one alone, then several at once, each on a CPU of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES = 24 }; /* the best counts: on a host that others use, too, few are undisturbed */

/* About a tenth of a second: sorting, hashing, a checksum; little memory, so that CPUs do not wait
 * for each other. */
static uint64_t job(void)
{
    static uint64_t memory[(4 << 20) / sizeof(uint64_t)];
    uint64_t sum = 0;

    for (const Kernel *k = integer_kernels; k->name; k++) {
        if (k->bytes <= sizeof(memory) / 4) {
            for (size_t i = 0; i < k->bytes / sizeof(memory[0]); i++) {
                memory[i] = 0;
            }
            if (k->setup) {
                k->setup(memory);
            }
            sum = sum * 31 + k->run(memory);
        }
    }
    return sum;
}

static double run_jobs(int jobs, uint64_t want)
{
    double start = bench_now();

    for (int i = 0; i < jobs; i++) {
        pid_t child = fork();

        bench_must(child >= 0, "fork");
        if (!child) {
            cpu_set_t cpus;
            CPU_ZERO(&cpus);
            CPU_SET(i, &cpus);
            bench_must(sched_setaffinity(0, sizeof(cpus), &cpus) == 0, "a CPU for each job");
            _exit(job() != want);
        }
    }
    for (int i = 0; i < jobs; i++) {
        int status;

        bench_must(wait(&status) > 0, "wait");
        if (status) {
            printf("a job came to another result\n");
            _exit(1);
        }
    }
    return bench_now() - start;
}

void parallel(int jobs)
{
    double one = 1e9, all = 1e9;
    uint64_t want = job();

    fflush(stdout);
    for (int i = 0; i < TRIES; i++) {
        double ms = run_jobs(1, want);
        one = ms < one ? ms : one;
        ms = run_jobs(jobs, want);
        all = ms < all ? ms : all;
    }
    printf("parallel 1 job %.1f ms, %d jobs %.1f ms, throughput %.2f\n", one, jobs, all,
           jobs * one / all);
}
