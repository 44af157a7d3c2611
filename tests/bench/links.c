/*
 * The guest's end of the link benchmark: takes bytes from a serial line and adds them up, answers
 * packets, or keeps the CPU busy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { PACKET = 64 };

static int open_line(const char *path)
{
    struct termios tio;
    int fd = open(path, O_RDWR | O_NOCTTY);

    if (fd < 0 || tcgetattr(fd, &tio) < 0) {
        perror(path);
        exit(1);
    }
    cfmakeraw(&tio);
    cfsetspeed(&tio, B115200);
    tio.c_cflag |= CLOCAL;
    tcsetattr(fd, TCSANOW, &tio);
    tcflush(fd, TCIOFLUSH);
    return fd;
}

static void put_all(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k <= 0) {
            exit(1);
        }
        p += k;
        n -= (size_t)k;
    }
}

static size_t get(int fd, void *data, size_t n)
{
    ssize_t k = read(fd, data, n);

    if (k <= 0) {
        exit(1);
    }
    return (size_t)k;
}

/* FNV-1a over all bytes: notices lost, doubled and swapped ones. */
static void receive(int fd, size_t left)
{
    static uint8_t buf[65536];
    uint32_t sum = 2166136261u;

    puts("READY");
    fflush(stdout);
    while (left > 0) {
        size_t n = get(fd, buf, left < sizeof(buf) ? left : sizeof(buf));
        for (size_t i = 0; i < n; i++) {
            sum = (sum ^ buf[i]) * 16777619u;
        }
        left -= n;
    }
    put_all(fd, "!", 1);
    printf("SUM %08x\n", sum);
}

/* The other way: bytes of a known pattern. */
static void transmit(int fd, size_t left)
{
    static uint8_t buf[4096];
    uint32_t x = 1;

    puts("READY");
    fflush(stdout);
    get(fd, buf, 1); /* the host says go */
    while (left > 0) {
        size_t n = left < sizeof(buf) ? left : sizeof(buf);
        for (size_t i = 0; i < n; i++) {
            x = x * 1103515245 + 12345;
            buf[i] = (uint8_t)(x >> 16);
        }
        put_all(fd, buf, n);
        left -= n;
    }
    puts("SENT");
}

static void answer(int fd, size_t packets)
{
    uint8_t buf[PACKET];

    puts("READY");
    fflush(stdout);
    while (packets-- > 0) {
        for (size_t have = 0; have < PACKET;) {
            have += get(fd, buf + have, PACKET - have);
        }
        for (size_t i = 0; i < PACKET; i++) {
            buf[i] ^= 0xff;
        }
        put_all(fd, buf, PACKET);
    }
    puts("ANSWERED");
}

int main(int argc, char **argv)
{
    volatile unsigned long spins = 0;

    if (argc == 2 && strcmp(argv[1], "spin") == 0) {
        for (;;) {
            spins++;
        }
    }
    if (argc != 4) {
        return 1;
    }
    int fd = open_line(argv[2]);
    size_t n = strtoul(argv[3], NULL, 0);
    if (strcmp(argv[1], "receive") == 0) {
        receive(fd, n);
    } else if (strcmp(argv[1], "transmit") == 0) {
        transmit(fd, n);
    } else {
        answer(fd, n);
    }
    return 0;
}
