/*
 * A load that checks itself, for a machine that is saved and loaded all the time: packing and unpacking, disks written and read
 * back, messages over TCP, timers, floating point, memory. Each worker is a process that counts its rounds in shared
 * memory; the first process says the counts ten times a second. What is wrong is said as "BAD ..." and ends everything.
 *
 * usage: load WORKERS DISK...
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { WORKERS_MAX = 64, BLOCK = 4096, BLOCKS = 4096, PAGES = 6144 };

static volatile uint64_t *counts;
static volatile int *bad;
static unsigned workers;
static uint64_t seed;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void wrong(const char *fmt, ...)
{
    va_list ap;
    char text[256];

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    *bad = 1;
    printf("BAD %s\n", text);
    fflush(stdout);
    for (;;) {
        pause();
    }
}

static void fill(uint8_t *data, size_t size, uint64_t from)
{
    uint64_t x = from * 0x9e3779b97f4a7c15ull | 1;

    for (size_t i = 0; i < size; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(data + i, &x, 8);
    }
}

/* ---- workers: never return ---- */

static void packing(volatile uint64_t *count, const char *argument)
{
    enum { SIZE = 1 << 17 };
    static uint8_t data[SIZE], packed[SIZE * 2], back[SIZE];

    (void)argument;
    for (;; (*count)++) {
        for (size_t i = 0; i < SIZE; i++) {
            data[i] = (uint8_t)(rnd() % (1 + i % 61));
        }
        uLongf size = sizeof(packed), got = SIZE;
        if (compress2(packed, &size, data, SIZE, 1 + (int)(rnd() % 6)) != Z_OK) {
            wrong("compress");
        }
        if (uncompress(back, &got, packed, size) != Z_OK || got != SIZE || memcmp(data, back, SIZE)) {
            wrong("unpacked data differ in round %llu", (unsigned long long)*count);
        }
    }
}

/* Each block holds its number and how often it was written; memory remembers. */
static void disk(volatile uint64_t *count, const char *path)
{
    static uint32_t generation[BLOCKS];
    uint64_t *block = aligned_alloc(BLOCK, BLOCK), *want = aligned_alloc(BLOCK, BLOCK);
    int fd = open(path, O_RDWR | O_DIRECT);

    if (fd < 0) {
        wrong("no disk %s: %s", path, strerror(errno));
    }
    for (;; (*count)++) {
        unsigned n = (unsigned)(rnd() % BLOCKS);
        if (rnd() % 2) {
            fill((uint8_t *)block, BLOCK, ((uint64_t)n << 32) + ++generation[n]);
            if (pwrite(fd, block, BLOCK, (off_t)n * BLOCK) != BLOCK) {
                wrong("%s: writing block %u: %s", path, n, strerror(errno));
            }
        } else if (generation[n]) {
            fill((uint8_t *)want, BLOCK, ((uint64_t)n << 32) + generation[n]);
            if (pread(fd, block, BLOCK, (off_t)n * BLOCK) != BLOCK || memcmp(block, want, BLOCK)) {
                wrong("%s: block %u is not its generation %u", path, n, generation[n]);
            }
        }
        if (rnd() % 64 == 0 && fsync(fd) < 0) {
            wrong("%s: fsync: %s", path, strerror(errno));
        }
    }
}

static void network_up(void)
{
    struct ifreq r = {0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    strcpy(r.ifr_name, "lo");
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &r) < 0) {
        wrong("lo: %s", strerror(errno));
    }
    close(fd);
}

static void move(int fd, void *data, size_t size, ssize_t (*fn)(int, void *, size_t))
{
    for (size_t done = 0; done < size;) {
        ssize_t n = fn(fd, (char *)data + done, size - done);
        if (n <= 0) {
            wrong("the connection has ended: %s", strerror(errno));
        }
        done += (size_t)n;
    }
}

static ssize_t write_some(int fd, void *data, size_t size)
{
    return write(fd, data, size);
}

static void answer(int fd)
{
    uint64_t message[64];

    for (;;) {
        move(fd, message, sizeof(message), read);
        for (unsigned i = 0; i < 64; i++) {
            message[i] = ~message[i];
        }
        move(fd, message, sizeof(message), write_some);
    }
}

static void ping_pong(volatile uint64_t *count, const char *argument)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(a);
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    uint64_t message[64];

    (void)argument;
    network_up();
    if (bind(server, (struct sockaddr *)&a, sizeof(a)) || listen(server, 1) || getsockname(server, (struct sockaddr *)&a, &length) ||
        connect(client, (struct sockaddr *)&a, sizeof(a))) {
        wrong("TCP: %s", strerror(errno));
    }
    if (fork() == 0) {
        answer(accept(server, NULL, NULL));
    }
    for (;; (*count)++) {
        for (unsigned i = 0; i < 64; i++) {
            message[i] = *count + i;
        }
        move(client, message, sizeof(message), write_some);
        move(client, message, sizeof(message), read);
        for (unsigned i = 0; i < 64; i++) {
            if (message[i] != ~(*count + i)) {
                wrong("message %llu came back wrong", (unsigned long long)*count);
            }
        }
        if (*count % 64 == 0) {
            usleep(1000);
        }
    }
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Minutes late is the host's business, which may stop the whole machine; more is a clock that jumped. */
static void timers(volatile uint64_t *count, const char *argument)
{
    int64_t last = now_ns(CLOCK_MONOTONIC);

    (void)argument;
    for (;; (*count)++) {
        int64_t start = now_ns(CLOCK_MONOTONIC), ns = 500000 + (int64_t)(rnd() % 15000000);
        nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
        int64_t end = now_ns(CLOCK_MONOTONIC);
        if (start < last || end - start < ns || end - start > ns + 600000000000) {
            wrong("slept %lld ns in place of %lld (%lld ns since the last)", (long long)(end - start), (long long)ns,
                  (long long)(start - last));
        }
        last = end;
    }
}

static double series(double x)
{
    double sum = 0, term = 1;

    for (unsigned i = 1; i < 4000; i++) {
        term = term * x / (1 + i % 7);
        sum += term - sum / i;
        term = term > 1e6 ? 1 / term : term;
    }
    return sum;
}

static long double long_series(long double x)
{
    long double sum = 0;

    for (unsigned i = 1; i < 4000; i++) {
        sum += x / i - sum * x / 3;
    }
    return sum;
}

static void floats(volatile uint64_t *count, const char *argument)
{
    double want = series(1.25);
    long double want_long = long_series(0.7L);

    (void)argument;
    for (;; (*count)++) {
        double got = series(1.25);
        long double got_long = long_series(0.7L);
        if (memcmp(&got, &want, sizeof(got)) || memcmp(&got_long, &want_long, 10)) {
            wrong("arithmetic: %a, %La in place of %a, %La", got, got_long, want, want_long);
        }
    }
}

static void memory(volatile uint64_t *count, const char *argument)
{
    static uint32_t generation[PAGES];
    static uint64_t want[512];
    uint8_t *pages = mmap(NULL, (size_t)PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)argument;
    for (;; (*count)++) {
        unsigned n = (unsigned)(rnd() % PAGES);
        uint8_t *page = pages + (size_t)n * 4096;
        if (generation[n]) {
            fill((uint8_t *)want, 4096, ((uint64_t)n << 32) + generation[n]);
            if (memcmp(page, want, 4096)) {
                wrong("page %u of memory is not its generation %u", n, generation[n]);
            }
        }
        if (rnd() % 4 == 0) {
            fill(page, 4096, ((uint64_t)n << 32) + ++generation[n]);
        }
    }
}

static void start(void (*work)(volatile uint64_t *count, const char *argument), const char *argument)
{
    unsigned index = workers++;

    if (index >= WORKERS_MAX) {
        wrong("too many workers");
    }
    fflush(stdout);
    if (fork() == 0) {
        seed = 88172645463325252 + index * 7919;
        work(&counts[index], argument);
    }
}

int main(int argc, char **argv)
{
    unsigned times = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;

    counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bad = (volatile int *)(counts + WORKERS_MAX);
    for (unsigned i = 0; i < times; i++) {
        start(packing, NULL);
        start(ping_pong, NULL);
        start(timers, NULL);
        start(floats, NULL);
        start(memory, NULL);
    }
    for (int i = 2; i < argc; i++) {
        start(disk, argv[i]);
    }
    for (uint64_t n = 0;; n++) {
        char line[2048];
        int at = snprintf(line, sizeof(line), "OK %llu", (unsigned long long)n);
        for (unsigned i = 0; i < workers; i++) {
            at += snprintf(line + at, sizeof(line) - (size_t)at, " %llu", (unsigned long long)counts[i]);
        }
        if (!*bad) {
            puts(line);
            fflush(stdout);
        }
        usleep(100000);
        if (waitpid(-1, NULL, WNOHANG) > 0) {
            wrong("a worker has ended");
        }
    }
}
