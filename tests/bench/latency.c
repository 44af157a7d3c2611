/*
 * How late a timer's interrupt reaches a busy machine: a thread of high priority sleeps to absolute
 * times 1 ms apart, beside a thread on the same CPU that never rests; what the clock shows at each
 * waking, less the time asked for, is the lateness.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PERIOD = 1000000, WARM_UP = 50 };

static volatile int stop;

/* Loops, branches, memory; and no system calls. */
static void *be_busy(void *unused)
{
    static volatile uint32_t memory[4096];
    uint32_t seed = 1;

    while (!stop) {
        for (int i = 0; i < 10000; i++) {
            uint32_t at = bench_random(&seed) % 4096;
            memory[at] = memory[at] & 1 ? memory[at] * 3 + 1 : memory[at] / 2 + (uint32_t)i;
        }
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(double *late, int samples)
{
    struct timespec due, now;

    clock_gettime(CLOCK_MONOTONIC, &due);
    for (int i = -WARM_UP; i < samples; i++) {
        due.tv_nsec += PERIOD;
        if (due.tv_nsec >= 1000000000) {
            due.tv_nsec -= 1000000000;
            due.tv_sec++;
        }
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR) {
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (i >= 0) {
            late[i] = (double)(now.tv_sec - due.tv_sec) * 1e6 +
                      (double)(now.tv_nsec - due.tv_nsec) * 1e-3;
        }
    }
}

void latency(double seconds)
{
    int samples = (int)(seconds * 1e9 / PERIOD);
    struct sched_param priority = {.sched_priority = 50};
    double *late = calloc((size_t)samples + 1, sizeof(*late));
    pthread_t busy;

    bench_must(late != NULL && samples > 0, "latency");
    bench_must(pthread_create(&busy, NULL, be_busy, NULL) == 0, "pthread_create");
    int status = pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
    measure(late, samples);
    stop = 1;
    pthread_join(busy, NULL);
    qsort(late, (size_t)samples, sizeof(*late), compare);
    printf("lateness %d samples: p50 %.1f us, p99 %.1f us, max %.1f us%s\n", samples,
           late[samples / 2], late[samples * 99 / 100], late[samples - 1],
           status ? " (without real-time priority)" : "");
    free(late);
}
