/*
 * The guest of the snapshot benchmark: fills memory, then says the time of its own clock on the serial line every other
 * millisecond, so that the host sees when it stands still and when it goes on.
 *
 * What the memory holds is a quarter random, a half like text or tables, a quarter hardly more than zeroes: programs, caches and
 * heaps pack about as well.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed = 88172645463325252;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void fill_page(uint64_t *page, unsigned kind)
{
    static char words[64][9];

    for (unsigned i = 0; !words[63][0] && i < 64; i++) {
        snprintf(words[i], 9, "%08llx", (unsigned long long)rnd() & 0xffffffff);
    }
    for (unsigned i = 0; i < 512; i++) {
        if (kind == 0) {
            page[i] = rnd();
        } else if (kind < 3) {
            memcpy(&page[i], words[rnd() % 64], 8);
        } else {
            page[i] = i % 64 == 0 ? rnd() : 0;
        }
    }
}

int main(int argc, char **argv)
{
    size_t megabytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 100, bytes = megabytes << 20;
    uint64_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        puts("no memory");
        return 1;
    }
    for (size_t i = 0; i < bytes / 4096; i++) {
        fill_page(memory + i * 512, i / 16 % 4);
    }
    printf("FILLED\n");
    fflush(stdout);
    for (unsigned long n = 0;; n++) {
        struct timespec pause = {.tv_nsec = 2000000};
        char text[32];
        int size = snprintf(text, sizeof(text), "T%lu\n", n);
        if (write(1, text, (size_t)size) != size) {
            return 1;
        }
        /* A page here and there changes. */
        for (unsigned i = 0; i < 4; i++) {
            memory[rnd() % (bytes / 8)] = n;
        }
        nanosleep(&pause, NULL);
    }
}
