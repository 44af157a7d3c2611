/*
 * Fuzzes the GDB stub: packets of every kind with numbers from corners, damaged ones, noise, in
 * pieces of any size, while the machine is stopped and started behind its back. Nothing runs on the
 * CPUs; what they would report is invented. The stub must survive (built with sanitizers), and
 * every answer must be a well-formed frame.
 *
 *     tests/fuzz/gdb [-runs=N] [-seed=N]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "char/char.h"
#include "gdbstub/gdbstub.h"
#include "gdbstub/packet.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "target-i386/debugger.h"
#include "target-i386/exec.h"
#include "target-i386/vcpu.h"
#include "util/loop.h"

enum { CPUS = 3, RAM_SIZE = 1 << 20, SESSION = 200 /* packets */ };

static uint64_t state = 1;
static MemoryRegion ram;
static CharBackend *chr;
static unsigned long answers, errors; /* frames heard */

/* ---- chance ---- */

static uint32_t rnd(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 32);
}

static uint32_t below(uint32_t n)
{
    return rnd() % n;
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

static uint64_t number(void)
{
    static const uint64_t corners[] = {0,
                                       1,
                                       2,
                                       7,
                                       0xfff,
                                       0x1000,
                                       0x2000,
                                       0x3fff,
                                       0x4000,
                                       0x4001,
                                       0xfffff,
                                       0x100000,
                                       0xffffffff,
                                       0x100000000,
                                       0x7fffffffffff,
                                       0x800000000000,
                                       ~0ull,
                                       1ull << 63};

    switch (below(4)) {
    case 0:
        return corners[below(sizeof(corners) / sizeof(corners[0]))];
    case 1:
        return below(16);
    case 2:
        return below(RAM_SIZE);
    default:
        return (uint64_t)rnd() << 32 | rnd();
    }
}

/* ---- packets ---- */

/* '%' becomes a number, '*' some bytes in hexadecimal, '!' any bytes, '@' a thread. */
static const char *const shapes[] = {
    "?",
    "!",
    "g",
    "G*",
    "p%",
    "P%=*",
    "m%,%",
    "M%,%:*",
    "X%,%:!",
    "Z%,%,%",
    "z%,%,%",
    "Z0,%,1",
    "Z2,%,%",
    "Z3,%,%",
    "c",
    "s",
    "c%",
    "s%",
    "C05",
    "S05;%",
    "vCont?",
    "vCont;c",
    "vCont;s:@",
    "vCont;s:@;c",
    "vCont;r%,%:@",
    "vCont;C05:@;s",
    "vCont;t",
    "Hg@",
    "Hc@",
    "Hg-1",
    "T@",
    "qC",
    "qfThreadInfo",
    "qsThreadInfo",
    "qThreadExtraInfo,@",
    "qSupported:swbreak+;hwbreak+",
    "qSupported:multiprocess+;swbreak+",
    "qSupported:!",
    "QStartNoAckMode",
    "qXfer:features:read:target.xml:%,%",
    "qXfer:features:read:!:%,%",
    "qAttached:%",
    "D",
    "D;%",
    "vAttach;%",
    "vKill;%",
    "k",
    "qRcmd,*",
    "qqemu.PhyMemMode",
    "Qqemu.PhyMemMode:%",
    "qqemu.sstepbits",
    "qqemu.sstep",
    "Qqemu.sstep=%",
    "vMustReplyEmpty",
    "vFile:!",
    "R00",
    "!",
};

static void put_thread(Buffer *b)
{
    static const char *const odd[] = {"-1",   "0", "p1.-1", "p-1.-1", "p1",
                                      "p2.1", "p", "p.",    "p1.",    "ffffffffffffffffff"};

    if (one_in(3)) {
        buffer_printf(b, "%s", odd[below(sizeof(odd) / sizeof(odd[0]))]);
    } else {
        buffer_printf(b, one_in(2) ? "p1.%x" : "%x", below(CPUS + 2));
    }
}

static void put_shape(Buffer *b, const char *shape)
{
    for (; *shape; shape++) {
        switch (*shape) {
        case '%':
            buffer_printf(b, "%" PRIx64, number());
            break;
        case '*':
            for (unsigned n = one_in(8) ? below(3000) : below(40); n; n--) {
                buffer_printf(b, "%02x", one_in(2) ? 0 : below(256));
            }
            break;
        case '!':
            for (unsigned n = below(64); n; n--) {
                buffer_put_u8(b, (uint8_t)rnd());
            }
            break;
        case '@':
            put_thread(b);
            break;
        default:
            buffer_put_u8(b, (uint8_t)*shape);
        }
    }
}

/* What GDB would send, mostly. */
static void make_input(Buffer *b)
{
    Buffer content = {0};

    put_shape(&content, shapes[below(sizeof(shapes) / sizeof(shapes[0]))]);
    if (one_in(200)) {
        memset(buffer_extend(&content, GDB_PACKET_MAX), 'a', GDB_PACKET_MAX);
    }
    for (unsigned n = one_in(4) ? below(4) : 0; n && content.size; n--) {
        content.data[below((uint32_t)content.size)] = (uint8_t)rnd();
    }
    gdb_put_packet(b, content.data, one_in(8) ? below((uint32_t)content.size + 1) : content.size);
    buffer_free(&content);
    if (one_in(16)) {
        b->data[below((uint32_t)b->size)] = (uint8_t)rnd();
    }
    if (one_in(8)) {
        buffer_put_u8(b, "+-\x03$#}"[below(6)]);
    }
}

/* ---- the other side ---- */

/* Everything that was answered is frames, acknowledgements and nothing else. */
static bool answers_are_frames(void)
{
    static GdbParser parser;
    uint8_t buf[4096];
    size_t n;

    memset(&parser, 0, sizeof(parser));
    while ((n = chr_ringbuf_read(chr, buf, sizeof(buf))) > 0) {
        for (size_t i = 0; i < n; i++) {
            bool idle = parser.state == GDB_IDLE;
            GdbInput input = gdb_parser_feed(&parser, buf[i]);
            answers += input == GDB_INPUT_PACKET;
            errors += input == GDB_INPUT_PACKET && parser.data[0] == 'E';
            if ((idle && !strchr("+-$", buf[i])) || input == GDB_INPUT_BAD) {
                printf("# a bad answer at %.*s\n", (int)(n - i < 80 ? n - i : 80), (char *)buf + i);
                return false;
            }
        }
    }
    return parser.state == GDB_IDLE;
}

/* False: nobody listens any more. */
static bool feed(const Buffer *b)
{
    size_t at = 0;

    while (at < b->size) {
        size_t n = 1 + below(one_in(2) ? 8 : 4096);
        n = n < b->size - at ? n : b->size - at;
        size_t taken = chr_ringbuf_feed(chr, b->data + at, n);
        at += taken;
        if (!taken) {
            return false;
        }
    }
    return true;
}

/* A vCPU comes to something; the machine is stopped and started by others. */
static void outside_events(void)
{
    static const RunState states[] = {RUN_STATE_PAUSED, RUN_STATE_DEBUG, RUN_STATE_IO_ERROR,
                                      RUN_STATE_SHUTDOWN, RUN_STATE_DEBUG};
    CPUX86State *env = vcpu_env(below(CPUS));

    switch (below(6)) {
    case 0:
        debugger_data_access(env, number(), 1u << below(4), one_in(2));
        break;
    case 1:
        debugger_step_done(env);
        break;
    case 2:
        debugger_insn_begin(env);
        break;
    case 3:
        machine_stop(states[below(5)]);
        break;
    case 4:
        machine_start();
        break;
    default:
        env->halted = one_in(2);
        env->wait_sipi = one_in(4);
        loop_run_once(0);
        break;
    }
}

static char *fake_monitor(const char *line)
{
    Error *err = NULL;

    switch (below(8)) {
    case 0:
        return NULL;
    case 1:
        machine_start();
        return strdup("");
    case 2:
        gdbstub_open("none", &err);
        return strdup("off\n");
    case 3:
        if (!gdbstub_open("chardev:line", &err)) {
            error_free(err);
        }
        return strdup("on\n");
    default: {
        size_t n = one_in(4) ? below(100000) : below(100);
        char *text = malloc(n + 1);
        memset(text, 'x', n);
        text[n] = '\0';
        return text;
    }
    }
}

static void make_machine(void)
{
    Error *err = NULL;

    loop_init();
    machine_lock();
    clock_use_stepped();
    memory_ram_init(16 << 20, NULL);
    memory_init();
    memory_region_init_ram(&ram, "ram", RAM_SIZE, NULL);
    memory_region_add(memory_as.root, 0, &ram, 0);
    exec_init();
    if (!vcpu_create_all(CPUS, "max", &err) || !chr_open_option("ringbuf,id=line,size=16M", &err)) {
        error_report_free(err);
        exit(1);
    }
    chr = chr_find("line");
    gdbstub_set_monitor(fake_monitor);
}

static bool session(void)
{
    Error *err = NULL;
    bool ok = true;

    if (!gdbstub_open("chardev:line", &err)) {
        error_report_free(err);
        return false;
    }
    for (unsigned i = 0; i < SESSION && ok; i++) {
        Buffer b = {0};
        if (one_in(8)) {
            gdb_put_packet(&b, "vAttach;1", 9); /* a detach is not the end */
        }
        make_input(&b);
        if (!feed(&b) && !gdbstub_open("chardev:line", &err)) {
            error_report_free(err); /* the "monitor" had closed it */
            ok = false;
        }
        buffer_free(&b);
        if (one_in(3)) {
            outside_events();
        }
        ok = ok && answers_are_frames();
    }
    if (one_in(4)) {
        gdbstub_exit((int)below(256));
    }
    gdbstub_close();
    loop_run_once(0);
    if (debugger_point_count()) {
        printf("# points are left behind\n");
        ok = false;
    }
    return ok && answers_are_frames();
}

int main(int argc, char **argv)
{
    unsigned long runs = 100, seed = 1;

    for (int i = 1; i < argc; i++) {
        if (sscanf(argv[i], "-runs=%lu", &runs) != 1 && sscanf(argv[i], "-seed=%lu", &seed) != 1) {
            fprintf(stderr, "usage: %s [-runs=N] [-seed=N]\n", argv[0]);
            return 1;
        }
    }
    make_machine();
    for (unsigned long i = 0; i < runs; i++) {
        state = seed + i;
        if (!session()) {
            printf("not ok 1 - gdb stub, -runs=1 -seed=%lu\n", seed + i);
            return 1;
        }
    }
    printf("ok 1 - gdb stub, %lu sessions of %d packets: %lu answers, %lu of them errors\n", runs,
           SESSION, answers, errors);
    return 0;
}
