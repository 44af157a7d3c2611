/*
 * Debug console, exit port and test device: ports, properties, lines, saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/debugcon.h"

#include <stdlib.h>

#include "hw/isa.h"
#include "hw/memory.h"
#include "util/loop.h"

#include "../test.h"

static IrqLine lines[24];
static bool level[24];

static void set_level(void *opaque, int n, bool on)
{
    level[n] = on;
}

static void set_up(void)
{
    static bool once;

    if (!once) {
        once = true;
        machine_lock();
        memory_init();
        memory_ram_init(1 << 20, NULL);
        for (int i = 0; i < 24; i++) {
            irq_init(&lines[i], set_level, NULL, i);
        }
        isa_set_irqs(lines, 24);
    }
}

static void console_writes_and_is_found(void)
{
    CharBackend *chr;
    Device *dev;
    char buf[8] = "";

    set_up();
    chr = chr_open("dbg", "ringbuf", NULL);
    dev = debugcon_create(chr, NULL);
    CHECK(dev != NULL);
    CHECK_EQ(ioport_read(0xe9, 1), 0xe9);
    ioport_write(0xe9, 'o', 1);
    ioport_write(0xe9, 'k', 1);
    CHECK_EQ(chr_ringbuf_read(chr, buf, 7), 2);
    CHECK_STR(buf, "ok");
    device_unrealize(dev);
    CHECK_EQ(ioport_read(0xe9, 1), 0xff);

    dev = device_add("isa-debugcon,iobase=0x402,readback=0x55,chardev=dbg", NULL);
    CHECK(dev != NULL);
    CHECK_EQ(ioport_read(0x402, 1), 0x55);
    device_unrealize(dev);
    chr_close(chr);
}

static void exit_port_checks_its_ports(void)
{
    Error *err = NULL;
    Device *dev;

    set_up();
    CHECK(device_add("isa-debug-exit,iosize=0", &err) == NULL && err);
    error_free(err);
    err = NULL;
    CHECK(device_add("isa-debug-exit,iobase=0xffff", &err) == NULL && err);
    error_free(err);
    dev = device_add("isa-debug-exit,iobase=0xf4,iosize=4", NULL);
    CHECK(dev != NULL);
    CHECK_EQ(ioport_read(0xf4, 4), 0);
    device_unrealize(dev);
}

static void test_device_answers(void)
{
    Buffer before = {0}, after = {0};
    Reader in;

    set_up();
    CHECK(device_add("pc-testdev", NULL) != NULL);
    ioport_write(0xe0, 0x12345678, 4);
    CHECK_EQ(ioport_read(0xe0, 1), 0x78);
    CHECK_EQ(ioport_read(0xe2, 2), 0x1234);
    ioport_write(0xe1, 0xab, 1);
    ioport_write(0xe2, 0xcdef, 2);
    CHECK_EQ(ioport_read(0xe0, 4), 0xcdefab78);
    CHECK_EQ(ioport_read(0xe8, 4), 0xcdefab78);
    ioport_write(0xe8, 0x11223344, 4);
    CHECK_EQ(ioport_read(0xe0, 4), 0x11223344);
    ioport_write(0xe4, 0x1000, 4);

    ioport_write(0x2000 + 23, 1, 1);
    CHECK(level[23]);
    ioport_write(0x2000 + 23, 0, 1);
    CHECK(!level[23]);

    memory_write(&memory_as, 0xff000000, 0x1122334455667788, 8);
    memory_write(&memory_as, 0xff00ffff, 0x99, 1);
    CHECK_EQ(memory_read(&memory_as, 0xff000003, 4), 0x22334455);
    CHECK_EQ(memory_read(&memory_as, 0xff00ffff, 1), 0x99);

    vmstate_save_all(&before);
    ioport_write(0xe0, 0, 4);
    memory_write(&memory_as, 0xff000000, 0, 8);
    in = (Reader){before.data, before.size, 0, false};
    CHECK(vmstate_load_all(&in, NULL));
    vmstate_save_all(&after);
    CHECK(before.size == after.size && memcmp(before.data, after.data, after.size) == 0);
    CHECK_EQ(ioport_read(0xe0, 4), 0x11223344);
    CHECK_EQ(memory_read(&memory_as, 0xff000000, 8), 0x1122334455667788);
    buffer_free(&before);
    buffer_free(&after);
}

/* The test device's byte registers surround the console's port. */
static void console_lies_in_front_of_the_test_device(void)
{
    CharBackend *chr = chr_open("dbg", "ringbuf", NULL);

    set_up();
    for (int console_first = 0; console_first < 2; console_first++) {
        Device *console = console_first ? debugcon_create(chr, NULL) : NULL;
        Device *testdev = device_add("pc-testdev", NULL);
        char buf[8] = "";

        console = console ? console : debugcon_create(chr, NULL);
        CHECK(console && testdev);
        ioport_write(0xe0, 0x11223344, 4);
        ioport_write(0xe9, 'x', 1);
        CHECK_EQ(chr_ringbuf_read(chr, buf, 7), 1);
        CHECK_EQ(ioport_read(0xe9, 1), 0xe9);
        CHECK_EQ(ioport_read(0xe8, 1), 0x44);
        CHECK_EQ(ioport_read(0xea, 1), 0x22);
        device_unrealize(console);
        CHECK_EQ(ioport_read(0xe9, 1), 0x33);
        device_unrealize(testdev);
    }
    chr_close(chr);
}

TESTS(TEST(console_writes_and_is_found), TEST(console_lies_in_front_of_the_test_device),
      TEST(exit_port_checks_its_ports), TEST(test_device_answers))
