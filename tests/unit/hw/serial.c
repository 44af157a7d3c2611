/*
 * The 16550A: every register, FIFOs and trigger levels, the timeout and THRE interrupts, loopback
 * and modem lines, errors, flow control in both directions, and saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/serial.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hw/isa.h"
#include "hw/memory.h"
#include "util/loop.h"

#include "../test.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR, THR = 0, FCR = 2 };

static IrqLine lines[16];
static bool level[16];
static CharBackend *chr;
static Device *port;

static void set_level(void *opaque, int n, bool on)
{
    level[n] = on;
}

/* A port on a ring buffer, as after power-on. */
static void set_up_on(const char *spec)
{
    static bool once;

    if (!once) {
        once = true;
        machine_lock();
        clock_use_stepped();
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
    chr = chr_open("com", spec, NULL);
    port = serial_create(0, chr, NULL);
}

static void set_up(void)
{
    set_up_on("ringbuf");
}

static uint8_t rd(unsigned reg)
{
    return (uint8_t)ioport_read((uint16_t)(0x3f8 + reg), 1);
}

static void wr(unsigned reg, uint8_t v)
{
    ioport_write((uint16_t)(0x3f8 + reg), v, 1);
}

static const char *sent(void)
{
    static char buf[256];

    buf[chr_ringbuf_read(chr, buf, sizeof(buf) - 1)] = 0;
    return buf;
}

static size_t feed(const char *text)
{
    return chr_ringbuf_feed(chr, text, strlen(text));
}

static void starts_as_the_data_sheet_says(void)
{
    set_up();
    CHECK_EQ(rd(IER), 0);
    CHECK_EQ(rd(IIR), 0x01);
    CHECK_EQ(rd(LCR), 0);
    CHECK_EQ(rd(MCR), 0);
    CHECK_EQ(rd(LSR), 0x60);
    CHECK_EQ(rd(MSR), 0xb0);
    CHECK(!level[4]);
}

static void registers_keep_their_bits(void)
{
    set_up();
    wr(SCR, 0xa5);
    wr(IER, 0xff);
    wr(MCR, 0xef);
    wr(LCR, 0xff);
    CHECK_EQ(rd(SCR), 0xa5);
    CHECK_EQ(rd(MCR), 0x0f);
    CHECK_EQ(rd(LCR), 0xff);
    wr(0, 0x34); /* DLAB is set: the divisor */
    wr(1, 0x12);
    CHECK_EQ(rd(0), 0x34);
    CHECK_EQ(rd(1), 0x12);
    wr(LCR, 0x03);
    CHECK_EQ(rd(IER), 0x0f);
    CHECK_STR(sent(), "");
    wr(LSR, 0x00);
    wr(MSR, 0x00);
    CHECK_EQ(rd(LSR), 0x60);
}

static void sends_at_once_and_interrupts(void)
{
    set_up();
    wr(THR, 'h');
    wr(THR, 'i');
    CHECK_STR(sent(), "hi");
    wr(MCR, 0x08); /* OUT2 */
    CHECK(!level[4]);
    wr(IER, 0x02); /* enabling while empty interrupts at once */
    CHECK(level[4]);
    CHECK_EQ(rd(IIR), 0x02);
    CHECK(!level[4]); /* reading it clears that one */
    CHECK_EQ(rd(IIR), 0x01);
    wr(THR, '!');
    CHECK(level[4]);
    wr(IER, 0x00);
    CHECK(!level[4]);
    wr(IER, 0x02);
    CHECK(level[4]);
    wr(MCR, 0x00); /* the line is gated by OUT2, the IIR is not */
    CHECK(!level[4]);
    CHECK_EQ(rd(IIR), 0x02);
}

static void receives_without_fifo(void)
{
    set_up();
    wr(MCR, 0x08);
    wr(IER, 0x01);
    CHECK_EQ(feed("ab"), 1); /* one register: the second byte waits outside */
    CHECK(level[4]);
    CHECK_EQ(rd(IIR), 0x04);
    CHECK_EQ(rd(LSR), 0x61);
    CHECK_EQ(rd(RBR), 'a');
    CHECK(!level[4]);
    CHECK_EQ(rd(LSR), 0x60);
    CHECK_EQ(feed("b"), 1);
    CHECK_EQ(rd(RBR), 'b');
}

static void fifo_triggers_at_its_level(void)
{
    static const unsigned triggers[4] = {1, 4, 8, 14};

    for (unsigned t = 0; t < 4; t++) {
        set_up();
        wr(MCR, 0x08);
        wr(FCR, (uint8_t)(t << 6 | 0x01));
        wr(IER, 0x01);
        for (unsigned i = 1; i <= 16; i++) {
            CHECK_EQ(feed("x"), 1);
            CHECK_EQ(level[4], i >= triggers[t]);
            CHECK_EQ(rd(IIR), i >= triggers[t] ? 0xc4 : 0xc1);
        }
        CHECK_EQ(feed("x"), 0); /* full, nothing is overrun */
        CHECK_EQ(rd(LSR), 0x61);
        for (unsigned i = 15; i + 1 > triggers[t]; i--) {
            rd(RBR);
            CHECK_EQ(level[4], i >= triggers[t]);
        }
    }
}

static void timeout_interrupts_for_the_rest(void)
{
    const int64_t character = NS_PER_SEC * 10 / 9600; /* 8N1 at the divisor's 9600 baud */

    set_up();
    wr(LCR, 0x03);
    wr(MCR, 0x08);
    wr(FCR, 0x81); /* level 8 */
    wr(IER, 0x01);
    feed("abc");
    clock_step(4 * character - 100 * NS_PER_US);
    CHECK(!level[4]);
    clock_step(200 * NS_PER_US);
    CHECK(level[4]);
    CHECK_EQ(rd(IIR), 0xcc);
    CHECK(level[4]); /* only reading the data clears it */
    CHECK_EQ(rd(RBR), 'a');
    CHECK(!level[4]);
    clock_step(4 * character + 100 * NS_PER_US);
    CHECK_EQ(rd(IIR), 0xcc);
    CHECK_EQ(rd(RBR), 'b');
    CHECK_EQ(rd(RBR), 'c');
    clock_step(10 * character);
    CHECK_EQ(rd(IIR), 0xc1);
}

static void fcr_resets_fifos(void)
{
    set_up();
    wr(FCR, 0x01);
    feed("abc");
    wr(FCR, 0x03);
    CHECK_EQ(rd(LSR), 0x60);
    feed("abc");
    wr(FCR, 0x00); /* leaving FIFO mode empties them too */
    CHECK_EQ(rd(LSR), 0x60);
    CHECK_EQ(rd(IIR), 0x01);
    wr(FCR, 0xc0); /* without the enable bit nothing else is written */
    feed("d");
    CHECK_EQ(rd(IIR), 0x01);
    CHECK_EQ(rd(RBR), 'd');
}

static void loops_back(void)
{
    set_up();
    wr(MCR, 0x10);
    CHECK_EQ(rd(MSR) & 0xf0, 0x00);
    rd(MSR);
    wr(MCR, 0x1f);
    CHECK_EQ(rd(MSR), 0xfb); /* CTS, DSR, DCD changed; RI only counts when it ends */
    CHECK_EQ(rd(MSR), 0xf0);
    wr(MCR, 0x1b);
    CHECK_EQ(rd(MSR), 0xb4);
    wr(FCR, 0x01);
    CHECK_EQ(feed("outside"), 0);
    wr(THR, 'x');
    wr(THR, 'y');
    CHECK_STR(sent(), "");
    CHECK_EQ(rd(LSR), 0x61);
    CHECK_EQ(rd(RBR), 'x');
    CHECK_EQ(rd(RBR), 'y');
    wr(IER, 0x01);
    wr(THR, 'z');
    CHECK_EQ(rd(IIR), 0xc4);
    CHECK(!level[4]); /* OUT2's pin is inactive in loopback */
    for (int i = 0; i < 17; i++) {
        wr(THR, 'o');
    }
    CHECK_EQ(rd(LSR), 0x63); /* overrun: the guest's own doing */
    CHECK_EQ(rd(LSR), 0x61);
    CHECK_EQ(rd(RBR), 'z');
}

static void modem_changes_interrupt(void)
{
    set_up();
    wr(MCR, 0x08);
    wr(IER, 0x08);
    CHECK(!level[4]);
    wr(MCR, 0x18); /* into the loop and out again: CTS falls and rises */
    wr(MCR, 0x08);
    CHECK(level[4]);
    CHECK_EQ(rd(IIR), 0x00);
    CHECK_EQ(rd(MSR) & 0xf0, 0xb0);
    CHECK(!level[4]);
}

static CharBackend *socket_chr(int *fd)
{
    char path[] = "/tmp/vole-serial-XXXXXX", spec[64];
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    close(mkstemp(path));
    unlink(path);
    snprintf(spec, sizeof(spec), "mon:unix:%s,server,nowait", path);
    set_up_on(spec);
    *fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(sa.sun_path, path);
    if (connect(*fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        return NULL;
    }
    fcntl(*fd, F_SETFL, O_NONBLOCK);
    loop_run_once(10);
    loop_run_once(1);
    return chr;
}

static void break_is_an_error_with_its_byte(void)
{
    int fd;

    CHECK(socket_chr(&fd) != NULL);
    wr(MCR, 0x08);
    wr(IER, 0x05);
    wr(FCR, 0x01);
    CHECK_EQ(write(fd, "a\1bc", 4), 4); /* the mux's key for a break */
    for (int i = 0; i < 3; i++) {
        loop_run_once(1);
    }
    CHECK_EQ(rd(IIR), 0xc4);
    CHECK_EQ(rd(LSR), 0xe1 & ~0x1e); /* an error is in the FIFO, but not at the top */
    CHECK_EQ(rd(RBR), 'a');
    CHECK_EQ(rd(IIR), 0xc6);
    CHECK_EQ(rd(LSR), 0xf9);
    CHECK_EQ(rd(LSR), 0x61);
    CHECK_EQ(rd(IIR), 0xc4);
    CHECK_EQ(rd(RBR), 0);
    CHECK_EQ(rd(RBR), 'c');
    close(fd);
}

static void slow_peer_throttles_the_guest_without_loss(void)
{
    const unsigned total = 1 << 20;
    unsigned written = 0, received = 0, stalls = 0;
    int fd;

    CHECK(socket_chr(&fd) != NULL);
    wr(FCR, 0x01);
    while (received < total) {
        uint8_t buf[4096];
        ssize_t n;
        while (written < total && (rd(LSR) & 0x20)) {
            for (int i = 0; i < 16 && written < total; i++) {
                wr(THR, (uint8_t)(written++ * 31 >> 3));
            }
        }
        stalls += written < total;
        n = read(fd, buf, sizeof(buf));
        for (ssize_t i = 0; i < n; i++) {
            CHECK_EQ(buf[i], (uint8_t)(received++ * 31 >> 3));
        }
        loop_run_once(0);
    }
    CHECK(stalls > 10);
    CHECK_EQ(rd(LSR), 0x60);
    close(fd);
}

/*
 * A driver that reads as long as there is something comes to an end, its interrupt line falls, and
 * after a gap the rest comes.
 */
static void bursts_and_gaps(void)
{
    static uint8_t big[8192], got[8192];
    unsigned used = 0, bursts = 0;
    int fd;

    for (unsigned i = 0; i < sizeof(big); i++) {
        big[i] = (uint8_t)(i ^ i >> 8) | 2; /* no Ctrl-a */
    }
    CHECK(socket_chr(&fd) != NULL);
    wr(FCR, 0x81);
    wr(MCR, 0x0b);
    wr(IER, 0x01);
    CHECK_EQ(write(fd, big, sizeof(big)), sizeof(big));
    for (int turn = 0; turn < 1000 && used < sizeof(big); turn++) {
        unsigned before = used;
        loop_run_once(0);
        while (rd(LSR) & 0x01) {
            got[used++] = rd(RBR);
            CHECK(used - before <= 600);
        }
        CHECK(!level[4]);
        bursts += used > before;
        clock_step(NS_PER_MS);
    }
    CHECK_EQ(used, sizeof(big));
    CHECK(memcmp(big, got, sizeof(big)) == 0);
    CHECK(bursts >= sizeof(big) / 512);
    close(fd);
}

/* RTS going off alone holds the other side back; a driver that never raised it gets its bytes. */
static void rts_holds_back(void)
{
    set_up();
    wr(FCR, 0x01);
    wr(MCR, 0x09);
    CHECK_EQ(feed("ab"), 2);
    wr(MCR, 0x0b);
    CHECK_EQ(feed("c"), 1);
    wr(MCR, 0x09);
    CHECK_EQ(feed("d"), 0);
    wr(MCR, 0x0b);
    CHECK_EQ(feed("e"), 1);
    wr(MCR, 0x09);
    wr(MCR, 0x08); /* DTR off: the port is closed, and the next user may know nothing of this */
    wr(MCR, 0x09);
    CHECK_EQ(feed("f"), 1);
    for (const char *p = "abcef"; *p; p++) {
        CHECK_EQ(rd(RBR), *p);
    }
}

/* The port in the middle of everything: FIFO half full, a byte being looked at, timeout running. */
static void get_busy(void)
{
    wr(LCR, 0x83);
    wr(0, 0x0c);
    wr(1, 0x00);
    wr(LCR, 0x1b);
    wr(FCR, 0x81);
    wr(MCR, 0x0b);
    wr(IER, 0x0f);
    wr(SCR, 0x5a);
    rd(MSR);
    rd(IIR);
    feed("state");
    clock_step(NS_PER_MS);
}

static void check_continues(void)
{
    CHECK_EQ(rd(IIR), 0xc1);
    CHECK_EQ(rd(SCR), 0x5a);
    clock_step(4 * NS_PER_MS);
    CHECK_EQ(rd(IIR), 0xcc);
    CHECK(level[4]);
    for (const char *p = "state"; *p; p++) {
        CHECK_EQ(rd(RBR), *p);
    }
    CHECK_EQ(rd(IIR), 0xc1);
}

static void state_is_complete(void)
{
    Buffer before = {0}, after = {0};
    Error *err = NULL;
    Reader in;
    int64_t saved_at;

    set_up();
    get_busy();
    saved_at = clock_now(CLOCK_VIRTUAL);
    vmstate_save_all(&before);
    check_continues();
    devices_reset();
    wr(FCR, 0x01);
    feed("disturbance");
    CHECK_EQ(rd(SCR), 0);
    clock_virtual_set(saved_at);
    in = (Reader){before.data, before.size, 0, false};
    CHECK(vmstate_load_all(&in, &err));
    vmstate_save_all(&after);
    CHECK_EQ(before.size, after.size);
    CHECK(memcmp(before.data, after.data, before.size) == 0);
    check_continues();
    buffer_free(&before);
    buffer_free(&after);
}

/* COM1 and COM3 are on IRQ 4; who holds it is known after loading, too. */
static void ports_share_a_line(void)
{
    enum { COM3 = 0x3e8 };
    Buffer state = {0};

    set_up();
    Device *com3 = serial_create(2, NULL, NULL);
    wr(MCR, 8);
    wr(IER, 2);
    ioport_write(COM3 + MCR, 8, 1);
    ioport_write(COM3 + IER, 2, 1);
    CHECK(level[4]);
    vmstate_save_all(&state);
    rd(IIR);
    CHECK(level[4]);
    ioport_read(COM3 + IIR, 1);
    CHECK(!level[4]);
    devices_reset();

    Reader in = {state.data, state.size, 0, false};
    CHECK(vmstate_load_all(&in, NULL));
    level[4] = true; /* the receiver's own state */
    ioport_read(COM3 + IIR, 1);
    CHECK(level[4]);
    rd(IIR);
    CHECK(!level[4]);
    wr(IER, 0);
    wr(IER, 2);
    CHECK(level[4]);
    device_unrealize(port); /* a port that goes lets go of the line */
    CHECK(!level[4]);
    device_unrealize(com3);
    port = NULL;
    chr_close(chr);
    buffer_free(&state);
}

static void refuses_state_out_of_bounds(void)
{
    Buffer state = {0};
    unsigned refused = 0;

    set_up();
    get_busy();
    vmstate_save_all(&state);
    for (size_t i = 0; i < state.size; i++) {
        Error *err = NULL;
        uint8_t old = state.data[i];
        Reader in = {state.data, state.size, 0, false};
        state.data[i] = 0xff;
        if (!vmstate_load_all(&in, &err)) {
            refused++;
            error_free(err);
            devices_reset(); /* a refused state may be half loaded */
        }
        state.data[i] = old;
        /* Whatever was loaded, the port must not leave its FIFOs. */
        for (int k = 0; k < 40; k++) {
            rd(RBR);
            rd(LSR);
            wr(THR, 'x');
        }
        devices_reset();
    }
    CHECK(refused > 10);
    buffer_free(&state);
}

TESTS(TEST(starts_as_the_data_sheet_says), TEST(registers_keep_their_bits),
      TEST(sends_at_once_and_interrupts), TEST(receives_without_fifo),
      TEST(fifo_triggers_at_its_level), TEST(timeout_interrupts_for_the_rest),
      TEST(fcr_resets_fifos), TEST(loops_back), TEST(modem_changes_interrupt),
      TEST(break_is_an_error_with_its_byte), TEST(slow_peer_throttles_the_guest_without_loss),
      TEST(bursts_and_gaps), TEST(rts_holds_back), TEST(state_is_complete),
      TEST(ports_share_a_line), TEST(refuses_state_out_of_bounds))
