/*
 * The parallel port: registers, a byte a strobe, a slow printer, the acknowledgement's interrupt,
 * saved state in the middle of a byte.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/parallel.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/isa.h"
#include "hw/memory.h"
#include "util/loop.h"

#include "../test.h"

enum { DATA, STATUS, CONTROL };

static IrqLine lines[16];
static bool level[16];
static unsigned edges;
static CharBackend *chr;
static Device *port;

static void set_level(void *opaque, int n, bool on)
{
    edges += on && !level[n];
    level[n] = on;
}

static void set_up_on(const char *spec)
{
    static bool once;

    if (!once) {
        once = true;
        machine_lock();
        loop_init();
        memory_init();
        memory_ram_init(1 << 20, NULL);
        for (int i = 0; i < 16; i++) {
            irq_init(&lines[i], set_level, NULL, i);
        }
        isa_set_irqs(lines, 16);
    }
    if (port) {
        device_unrealize(port);
        chr_close(chr);
    }
    chr = chr_open("printer", spec, NULL);
    port = parallel_create(0, chr, NULL);
    edges = 0;
}

static uint8_t rd(unsigned reg)
{
    return (uint8_t)ioport_read((uint16_t)(0x378 + reg), 1);
}

static void wr(unsigned reg, uint8_t v)
{
    ioport_write((uint16_t)(0x378 + reg), v, 1);
}

static void strobe(uint8_t c, uint8_t control)
{
    wr(DATA, c);
    wr(CONTROL, control | 1);
    wr(CONTROL, control);
}

static void registers_keep_their_bits(void)
{
    set_up_on("ringbuf");
    CHECK_EQ(rd(DATA), 0);
    CHECK_EQ(rd(STATUS), 0xdf);
    CHECK_EQ(rd(CONTROL), 0xcc);
    wr(DATA, 0x5a);
    wr(STATUS, 0);
    wr(CONTROL, 0x0c);
    CHECK_EQ(rd(DATA), 0x5a);
    CHECK_EQ(rd(STATUS), 0xdf);
    CHECK_EQ(rd(CONTROL), 0xcc);
    wr(CONTROL, 0x2c); /* input: nobody drives the pins */
    CHECK_EQ(rd(DATA), 0xff);
    wr(CONTROL, 0x0c);
    CHECK_EQ(rd(DATA), 0x5a);
}

static void a_strobe_prints(void)
{
    char buf[16] = "";

    set_up_on("ringbuf");
    strobe('h', 0x0c);
    strobe('i', 0x0c);
    wr(DATA, 'x'); /* no strobe, no byte */
    wr(CONTROL, 0x0d);
    wr(CONTROL, 0x0d); /* one pulse, one byte */
    CHECK_EQ(chr_ringbuf_read(chr, buf, sizeof(buf)), 3);
    CHECK_STR(buf, "hix");
    CHECK_EQ(edges, 0);
}

static void acknowledgement_interrupts(void)
{
    set_up_on("ringbuf");
    wr(CONTROL, 0x1c);
    CHECK(!level[7]);
    strobe('a', 0x1c);
    CHECK(level[7] && edges == 1);
    strobe('b', 0x1c);
    CHECK(level[7] && edges == 2);
    wr(CONTROL, 0x0c);
    CHECK(!level[7]);
}

/* A pipe that nobody reads: the printer gets busy, nothing is lost, state goes on in the middle. */
static void slow_printer(void)
{
    char path[] = "/tmp/vole-lpt-XXXXXX", spec[64];
    uint8_t buf[4096];
    size_t written = 0, received = 0;
    Buffer state = {0};
    Reader in;
    int fd;

    CHECK(mkdtemp(path) != NULL);
    snprintf(spec, sizeof(spec), "pipe:%s/p", path);
    set_up_on(spec);
    snprintf(spec, sizeof(spec), "%s/p.out", path);
    fd = open(spec, O_RDWR | O_NONBLOCK);
    CHECK(port && chr);
    while (rd(STATUS) & 0x80) {
        strobe((uint8_t)(written++ * 7 >> 2), 0x1c);
        if (written % 1000 == 0) {
            loop_run_once(0);
        }
        CHECK(written < 1000000);
    }
    CHECK_EQ(edges, written - 1);
    strobe('!', 0x1c); /* a busy printer does not look */
    vmstate_save_all(&state);
    devices_reset();
    in = (Reader){state.data, state.size, 0, false};
    CHECK(vmstate_load_all(&in, NULL));
    CHECK(!(rd(STATUS) & 0x80));
    for (int i = 0; i < 5000 && received < written; i++) {
        ssize_t n = read(fd, buf, sizeof(buf));
        for (ssize_t i = 0; i < n; i++) {
            CHECK_EQ(buf[i], (uint8_t)(received++ * 7 >> 2));
        }
        loop_run_once(1);
    }
    CHECK_EQ(received, written);
    CHECK(rd(STATUS) & 0x80);
    CHECK(read(fd, buf, 1) < 0);
    buffer_free(&state);
    close(fd);
    unlink(spec);
    snprintf(spec, sizeof(spec), "%s/p.in", path);
    unlink(spec);
    rmdir(path);
}

static void ports_have_their_places(void)
{
    Error *err = NULL;
    Device *second;

    set_up_on("ringbuf");
    second = parallel_create(1, NULL, NULL);
    CHECK(second != NULL);
    ioport_write(0x278, 0x77, 1);
    CHECK_EQ(ioport_read(0x278, 1), 0x77);
    CHECK(!parallel_create(1, NULL, &err));
    CHECK(strstr(error_text(err), "index=1"));
    error_free(err);
    device_unrealize(second);
}

TESTS(TEST(registers_keep_their_bits), TEST(a_strobe_prints), TEST(acknowledgement_interrupts),
      TEST(slow_printer), TEST(ports_have_their_places))
