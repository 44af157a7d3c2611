/*
 * The host's memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/host-memory.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Linux 5.14; the C library's header may be older. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

void host_bring_in(void *start, size_t size)
{
    (void)madvise(start, size, MADV_POPULATE_WRITE);
}

void host_bring_in_read(void *start, size_t size)
{
    (void)madvise(start, size, MADV_POPULATE_READ);
}

/* ---- ahead ---- */

typedef struct BringIn {
    HostBringIn *fn;
    void *start;
    size_t size;
} BringIn;

enum { MOST_WAITING = 64 };

/* To wake the thread costs its caller some 60 us where the host's processors are virtual themselves: so it looks for more a few times first. */
enum { LOOK_US = 1000, LOOKS = 10 };

/* Waiting are those from `taken` up to `asked`; one is under way where `done` is less than `taken`. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t work, idle;
    BringIn items[MOST_WAITING];
    uint64_t asked, taken, done;
    bool started, runs, sleeps;
} ahead = {.mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

/* Under the lock, with nothing waiting. */
static void wait_for_work(void)
{
    for (unsigned i = 0; i < LOOKS && ahead.taken == ahead.asked; i++) {
        pthread_mutex_unlock(&ahead.mutex);
        usleep(LOOK_US);
        pthread_mutex_lock(&ahead.mutex);
    }
    ahead.sleeps = true;
    while (ahead.taken == ahead.asked) {
        pthread_cond_wait(&ahead.work, &ahead.mutex);
    }
    ahead.sleeps = false;
}

static void *bring_in_ahead(void *arg)
{
    (void)arg;
    pthread_setname_np(pthread_self(), "memory");
    pthread_mutex_lock(&ahead.mutex);
    for (;;) {
        if (ahead.taken == ahead.asked) {
            wait_for_work();
        }
        BringIn item = ahead.items[ahead.taken++ % MOST_WAITING];
        pthread_mutex_unlock(&ahead.mutex);
        item.fn(item.start, item.size);
        pthread_mutex_lock(&ahead.mutex);
        ahead.done = ahead.taken;
        pthread_cond_broadcast(&ahead.idle);
    }
    return NULL;
}

/* Under the lock. On one processor the thread would only take the caller's time, and another switch. */
static void start_ahead(void)
{
    cpu_set_t host;
    sigset_t all, old;
    pthread_t thread;

    ahead.started = true;
    if (sched_getaffinity(0, sizeof(host), &host) || CPU_COUNT(&host) < 2) {
        return;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    ahead.runs = pthread_create(&thread, NULL, bring_in_ahead, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (ahead.runs) {
        pthread_detach(thread);
    }
}

void host_bring_in_soon(HostBringIn *fn, void *start, size_t size)
{
    pthread_mutex_lock(&ahead.mutex);
    if (!ahead.started) {
        start_ahead();
    }
    bool queued = ahead.runs && ahead.asked - ahead.taken < MOST_WAITING;
    if (queued) {
        ahead.items[ahead.asked++ % MOST_WAITING] = (BringIn){fn, start, size};
        if (ahead.sleeps) {
            pthread_cond_signal(&ahead.work);
        }
    }
    pthread_mutex_unlock(&ahead.mutex);
    if (!queued) {
        fn(start, size);
    }
}

void host_bring_in_wait(void)
{
    pthread_mutex_lock(&ahead.mutex);
    for (uint64_t all = ahead.asked; ahead.done < all;) {
        pthread_cond_wait(&ahead.idle, &ahead.mutex);
    }
    pthread_mutex_unlock(&ahead.mutex);
}

/* ---- bounds ---- */

/* What the file of the control group says; UINT64_MAX: no bound. */
static uint64_t group_limit(const char *root, const char *hierarchy, const char *group, const char *file)
{
    char path[2 * PATH_MAX];
    unsigned long long bytes;

    snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s%s/%s", root, hierarchy, group, file);
    FILE *f = fopen(path, "r");
    if (!f) {
        return UINT64_MAX;
    }
    bool known = fscanf(f, "%llu", &bytes) == 1; /* or "max" */
    fclose(f);
    return known ? bytes : UINT64_MAX;
}

/* The least bound of a control group ("/a/b", cut short here) and of those around it. */
static uint64_t least_limit(const char *root, const char *hierarchy, char *group, const char *file)
{
    uint64_t limit = UINT64_MAX;

    for (char *end = group + strlen(group);; end = strrchr(group, '/')) {
        *end = '\0';
        uint64_t bytes = group_limit(root, hierarchy, group, file);
        limit = bytes < limit ? bytes : limit;
        if (end == group) {
            return limit;
        }
    }
}

/* cgroups(7): lines "number:controllers:/path"; version 2 has number 0 and names no controllers. */
uint64_t host_memory_group_limit(const char *root)
{
    char line[PATH_MAX];
    uint64_t limit = UINT64_MAX, bytes;

    snprintf(line, sizeof(line), "%s/proc/self/cgroup", root);
    FILE *f = fopen(line, "r");
    while (f && fgets(line, sizeof(line), f)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group || group[1] != '/') {
            continue;
        }
        group++;
        group[strcspn(group, "\n")] = '\0';
        if (strncmp(controllers, "::", 2) == 0) {
            bytes = least_limit(root, "", group, "memory.max");
        } else if (strncmp(controllers, ":memory:", 8) == 0) {
            bytes = least_limit(root, "/memory", group, "memory.limit_in_bytes");
        } else {
            continue;
        }
        limit = bytes < limit ? bytes : limit;
    }
    if (f) {
        fclose(f);
    }
    return limit;
}

uint64_t host_memory_limit(void)
{
    uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES), limit = host_memory_group_limit("");
    uint64_t bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);

    return limit < bytes ? limit : bytes;
}
