/*
 * Bounds of control groups, in trees of files as Linux shows them; memory brought in ahead.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/host-memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char root[64];
static _Atomic size_t bytes_marked;

static bool run(const char *format, const char *more)
{
    char command[300];

    snprintf(command, sizeof(command), format, root, more);
    return system(command) == 0;
}

static bool write_file(const char *path, const char *text)
{
    char name[300];

    snprintf(name, sizeof(name), "%s/%s", root, path);
    FILE *f = fopen(name, "w");
    return f && fputs(text, f) >= 0 && fclose(f) == 0;
}

static bool make_tree(const char *folder, const char *groups)
{
    snprintf(root, sizeof(root), "/tmp/host-memory.XXXXXX");
    return mkdtemp(root) && run("mkdir -p %s/proc/self %s", "") && run("mkdir -p %s/%s", folder) &&
           write_file("proc/self/cgroup", groups);
}

static bool remove_tree(void)
{
    return run("rm -rf %s %s", "");
}

static void the_least_bound_counts(void)
{
    CHECK(make_tree("sys/fs/cgroup/jobs/one", "0::/jobs/one\n"));
    CHECK_EQ(host_memory_group_limit(root), UINT64_MAX);
    CHECK(write_file("sys/fs/cgroup/jobs/one/memory.max", "max\n"));
    CHECK_EQ(host_memory_group_limit(root), UINT64_MAX);
    CHECK(write_file("sys/fs/cgroup/jobs/memory.max", "536870912\n"));
    CHECK_EQ(host_memory_group_limit(root), 512 << 20);
    CHECK(write_file("sys/fs/cgroup/jobs/one/memory.max", "268435456\n"));
    CHECK_EQ(host_memory_group_limit(root), 256 << 20);
    CHECK(write_file("sys/fs/cgroup/memory.max", "1048576\n"));
    CHECK_EQ(host_memory_group_limit(root), 1 << 20);
    CHECK(remove_tree());
}

static void version_1_has_a_hierarchy_of_its_own(void)
{
    CHECK(make_tree("sys/fs/cgroup/memory/box", "9:cpu,cpuacct:/other\n4:memory:/box\n0::/\n"));
    CHECK(write_file("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "629145600\n"));
    CHECK_EQ(host_memory_group_limit(root), 600 << 20);
    CHECK(remove_tree());
}

/* A container sees its own group as the root, and perhaps the name that the host has for it. */
static void in_a_container_the_root_is_the_group(void)
{
    CHECK(make_tree("sys/fs/cgroup/memory", "4:memory:/docker/0123456789\n"));
    CHECK(write_file("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"));
    CHECK_EQ(host_memory_group_limit(root), 1 << 30);
    CHECK(remove_tree());
}

static void without_groups_there_is_no_bound(void)
{
    CHECK(make_tree("sys", "garbage\n0:\n::\n"));
    CHECK_EQ(host_memory_group_limit(root), UINT64_MAX);
    CHECK(remove_tree());
    CHECK_EQ(host_memory_group_limit(root), UINT64_MAX);
}

static void this_machine_has_memory(void)
{
    uint64_t bytes = host_memory_limit();

    CHECK(bytes >= 1 << 20);
    CHECK(bytes <= (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
}

/* Takes its time over a page, and marks it. */
static void mark_slowly(void *start, size_t size)
{
    usleep(200);
    atomic_fetch_add((_Atomic unsigned char *)start, 1);
    atomic_fetch_add(&bytes_marked, size);
}

/* More than fit into the queue, with pauses of all lengths: asleep, looking, at work. */
static void what_is_asked_for_is_done_once_each(void)
{
    enum { PAGE = 4096, PAGES = 300 };
    unsigned char *pages = aligned_alloc(PAGE, PAGES * PAGE);

    CHECK(pages != NULL);
    memset(pages, 0, PAGES * PAGE);
    host_bring_in_wait(); /* for nothing */
    for (unsigned i = 0; i < PAGES; i++) {
        host_bring_in_soon(mark_slowly, pages + i * PAGE, PAGE);
        if (i % 50 == 49) {
            usleep(i * 100);
        }
    }
    host_bring_in_wait();
    CHECK_EQ(atomic_load(&bytes_marked), PAGES * PAGE);
    for (unsigned i = 0; i < PAGES; i++) {
        CHECK_EQ(pages[i * PAGE], 1);
    }
    free(pages);
}

TESTS(TEST(the_least_bound_counts), TEST(version_1_has_a_hierarchy_of_its_own), TEST(in_a_container_the_root_is_the_group),
      TEST(without_groups_there_is_no_bound), TEST(this_machine_has_memory),
      TEST(what_is_asked_for_is_done_once_each))
