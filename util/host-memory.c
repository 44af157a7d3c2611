/*
 * The host's memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/host-memory.h"

#include <limits.h>
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
