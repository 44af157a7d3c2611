/*
 * usage: kernels [--class CLASS[,CLASS...]] [--only NAME[,NAME...]]
 *        kernels latency SECONDS
 *        kernels parallel JOBS
 *        kernels list
 * Prints for each kernel its class, its best time in milliseconds, and its checksum.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* At least RUNS_MIN times; then until this much time has passed. */
enum { RUNS_MIN = 2, RUNS_MAX = 40, ENOUGH_MS = 350 };

static const struct {
    const char *name;
    const Kernel *kernels;
} classes[] = {
    {"integer", integer_kernels}, {"string", string_kernels}, {"float", float_kernels},
    {"x87", x87_kernels},         {"system", system_kernels},
};

double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void bench_must(int success, const char *what)
{
    if (!success) {
        perror(what);
        _exit(1);
    }
}

/* Whether name is in the comma-separated list; everything is when there is none. */
static int listed(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (!strncmp(p, name, length) && (p[length] == ',' || !p[length])) {
            return 1;
        }
    }
    return !list;
}

static void run_kernel(const char *class, const Kernel *kernel)
{
    size_t bytes = kernel->bytes + 1;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    double best = 1e12, total = 0;
    uint64_t result = 0;

    bench_must(memory != MAP_FAILED, "memory");
    if (kernel->setup) {
        kernel->setup(memory);
    }
    for (int i = 0; i < RUNS_MIN || (i < RUNS_MAX && total < ENOUGH_MS); i++) {
        double start = bench_now();
        uint64_t now = kernel->run(memory);
        double ms = bench_now() - start;

        if (i && now != result) {
            printf("%s computes something else the second time\n", kernel->name);
            exit(1);
        }
        result = now;
        total += ms;
        best = ms < best ? ms : best;
    }
    if (kernel->teardown) {
        kernel->teardown(memory);
    }
    munmap(memory, bytes);
    printf("%-16s %-8s %11.3f ms  %016llx\n", kernel->name, class, best,
           (unsigned long long)result);
    fflush(stdout);
}

/* All but the jobs on CPUs of their own run on one CPU, as they do on a machine that has only one.
 */
static void stay_on_this_cpu(void)
{
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(sched_getcpu(), &cpus);
    sched_setaffinity(0, sizeof(cpus), &cpus);
}

static void all_kernels(const char *only, const char *only_class, int list)
{
    for (size_t c = 0; c < sizeof(classes) / sizeof(classes[0]); c++) {
        for (const Kernel *k = classes[c].kernels; k->name; k++) {
            if (list) {
                printf("%s %s\n", k->name, classes[c].name);
            } else if (listed(only, k->name) && listed(only_class, classes[c].name)) {
                run_kernel(classes[c].name, k);
            }
        }
    }
}

int main(int argc, char **argv)
{
    const char *only = NULL, *class = NULL;

    if (argc == 3 && !strcmp(argv[1], "parallel") && atoi(argv[2]) > 0) {
        parallel(atoi(argv[2]));
        return 0;
    }
    stay_on_this_cpu();
    if (argc == 3 && !strcmp(argv[1], "latency") && atof(argv[2]) > 0) {
        latency(atof(argv[2]));
        return 0;
    }
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--only")) {
            only = argv[i + 1];
        } else if (!strcmp(argv[i], "--class")) {
            class = argv[i + 1];
        }
    }
    all_kernels(only, class, argc == 2 && !strcmp(argv[1], "list"));
    return 0;
}
