/*
 * The monitor: parsing of lines and expressions, messages, line editing and completion on a
 * terminal, a slow reader.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "monitor/monitor.h"

#include <sys/stat.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "hw/memory.h"
#include "util/loop.h"

#include "../test.h"

static char output[65536];

static const char *run(const char *line)
{
    char *text = monitor_run(line);

    snprintf(output, sizeof(output), "%s", text);
    free(text);
    return output;
}

static void set_up(void)
{
    static bool once;
    static MemoryRegion ram;

    if (!once) {
        once = true;
        machine_lock();
        memory_init();
        memory_ram_init(1 << 20, NULL);
        memory_region_init_ram(&ram, "ram", 0x10000, NULL);
        memory_region_add(memory_as.root, 0, &ram, 0);
    }
}

static void evaluates_expressions(void)
{
    static const struct {
        const char *line, *want;
    } cases[] = {
        {"p 0x10", "0x10\n"}, {"print 1+2*3", "0x7\n"}, {"p (1+2)*3", "0x9\n"},
        {"p/d -1", "-1\n"},   {"p/db 255", "-1\n"},     {"p/u 0x80 | 1 + 1", "130\n"},
        {"p/c 65", "'A'\n"},  {"p/c 10", "'\\n'\n"},    {"p/o 8", "00000000000000000000010\n"},
        {"p 5 - 2", "0x3\n"}, {"p 5-2", "0x3\n"},       {"p ~0", "0xffffffffffffffff\n"},
        {"p 'a'", "0x61\n"},  {"p 7%4", "0x3\n"},       {"  p   5  ", "0x5\n"},
    };

    set_up();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_STR(run(cases[i].line), cases[i].want);
    }
}

static void explains_what_is_wrong(void)
{
    char nested[300];

    set_up();
    CHECK_STR(run("sendkye a"), "unknown command 'sendkye'; did you mean 'sendkey'?\n");
    CHECK_STR(run("zzzzz"), "unknown command 'zzzzz'; try help\n");
    CHECK_STR(run("info regsters"), "unknown command 'regsters'; did you mean 'registers'?\n");
    CHECK_STR(run("sendkey"), "Error: 'sendkey' needs keys\n");
    CHECK_STR(run("stop now"), "Error: 'stop' does not take 'now'\n");
    CHECK_STR(run("p 1 -2"),
              "Error: 'print' does not take '-2'\n"); /* two arguments, "1 - 2" is one */
    CHECK(strstr(run("sendkey ctrl-alt-delet"), "unknown key 'delet'; did you mean 'delete'?"));
    CHECK(strstr(run("p 1/0"), "division by zero"));
    CHECK(strstr(run("p (1"), "')' is missing"));
    CHECK(strstr(run("p $rax"), "unknown register"));
    CHECK(strstr(run("xp/10q 0"), "unknown format letter 'q'"));
    CHECK(strstr(run("info registers"), "no CPU"));
    CHECK(strstr(run("i 0x12345"), "0xffff"));
    CHECK(strstr(run("screendump x.png"), "no screen"));
    memset(nested, '(', sizeof(nested));
    nested[0] = 'p';
    nested[1] = ' ';
    nested[299] = 0;
    CHECK(strstr(run(nested), "Error"));
    CHECK_STR(run(""), "");
    CHECK_STR(run("   "), "");
}

static void helps(void)
{
    set_up();
    CHECK(strstr(run("help"), "system_reset -- "));
    CHECK(strstr(output, "\nx/fmt address -- "));
    CHECK_STR(run("help stop"), "stop|s -- stop the machine\n");
    CHECK(strstr(run("info"), "info registers [-a] -- "));
    CHECK(strstr(run("? info"), "info tlb -- "));
}

static void shows_memory(void)
{
    set_up();
    for (unsigned i = 0; i < 32; i++) {
        memory_write(&memory_as, 0x100 + i, 0x41 + i, 1);
    }
    CHECK_STR(run("xp/2xw 0x100"), "0000000000000100: 0x44434241 0x48474645\n");
    CHECK_STR(run("xp/3hx 0x100"), "0000000000000100: 0x4241 0x4443 0x4645\n");
    CHECK_STR(run("xp 0x100"),
              "0000000000000100: 0x4241\n"); /* letter and size are kept, the count is not */
    CHECK_STR(run("xp/3c 0x100"), "0000000000000100: 'A' 'B' 'C'\n");
    CHECK_STR(run("xp/1gx 0x100"), "0000000000000100: 0x4847464544434241\n");
    memory_write(&memory_as, 0x104, 0, 1);
    CHECK_STR(run("xp/s 0x100"), "0x0000000000000100: \"ABCD\"\n");
    CHECK(strstr(run("xp/4xb 0xfffe"), "Cannot access memory at 0x10000"));
    CHECK(strstr(run("info mtree"), "0000000000000000-000000000000ffff (ram): ram"));
}

static void saves_memory(void)
{
    char path[] = "/tmp/vole-pmemsave-XXXXXX", line[128], buf[8] = "";
    int fd = mkstemp(path);

    set_up();
    memory_write(&memory_as, 0x200, 0x006c6f6576, 8);
    snprintf(line, sizeof(line), "pmemsave 0x200 0x5 \"%s\"", path);
    CHECK_STR(run(line), "");
    CHECK_EQ(read(fd, buf, 8), 5);
    CHECK_STR(buf, "veol");
    CHECK(strstr(run("pmemsave 0xfffff 1 /dev/null"), "Cannot access memory at 0xfffff"));
    CHECK(strstr(run("pmemsave 0 1 /nonexistent/x"), "cannot write '/nonexistent/x'"));
    close(fd);
    unlink(path);
}

static void adds_and_takes_out_devices(void)
{
    set_up();
    CHECK_STR(run("device_add isa-debugcon,id=dbg0"), "");
    CHECK_STR(run("i 0xe9"), "portb[0x00e9] = 0xe9\n");
    CHECK(strstr(run("info qtree"), "dev: isa-debugcon, id \"dbg0\"\n  iobase = 233\n"));
    CHECK_STR(run("device_del dbg0"), "");
    CHECK_STR(run("i 0xe9"), "portb[0x00e9] = 0xff\n");
    CHECK(strstr(run("device_del dbg0"), "there is no device"));
    CHECK(strstr(run("device_add isa-debugco"), "isa-debugcon"));
    CHECK(strstr(run("device_add VGA,id=v"), "VGA: the pci bus takes nothing"));
}

static uint8_t port_value;

static uint64_t port_read(void *opaque, hwaddr addr, unsigned size)
{
    return port_value;
}

static void port_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    port_value = (uint8_t)value;
}

static void reaches_ports(void)
{
    static const MemoryOps ops = {.read = port_read, .write = port_write, .max_size = 1};
    static MemoryRegion mr;

    set_up();
    memory_region_init_io(&mr, "port", 1, &ops, NULL);
    ioport_add(&mr, 0x77);
    CHECK_STR(run("o 0x77 0x5a"), "");
    CHECK_EQ(port_value, 0x5a);
    CHECK_STR(run("i/b 0x77"), "portb[0x0077] = 0x5a\n");
    CHECK_STR(run("i/h 0x77"), "portw[0x0077] = 0xff5a\n");
}

/* ---- on a terminal ---- */

static void fe_collect(void *opaque, const uint8_t *data, size_t size)
{
    size_t used = strlen(output);

    if (used + size < sizeof(output)) {
        memcpy(output + used, data, size);
        output[used + size] = 0;
    }
}

static size_t reader_room = 65536;

static size_t fe_room(void *opaque)
{
    return reader_room;
}

static const CharHandlers client_handlers = {.can_receive = fe_room, .receive = fe_collect};

/* A monitor behind a socket, and what a user at the other end sees. */
static CharBackend *client;

static Monitor *open_on_socket(void)
{
    char path[] = "/tmp/vole-monitor-XXXXXX", spec[64];
    CharBackend *server;
    Monitor *mon;

    if (!mkdtemp(path)) {
        return NULL;
    }
    snprintf(spec, sizeof(spec), "unix:%s/s,server,nowait", path);
    server = chr_open("mon", spec, NULL);
    mon = monitor_open(server, NULL);
    snprintf(spec, sizeof(spec), "unix:%s/s", path);
    output[0] = 0;
    client = chr_open("user", spec, NULL);
    chr_attach(client, &client_handlers, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        loop_run_once(5);
    }
    return mon;
}

static const char *type(const char *keys)
{
    output[0] = 0;
    chr_write(client, keys, strlen(keys));
    for (int i = 0; i < 4; i++) {
        loop_run_once(1);
    }
    return output;
}

static void edits_lines(void)
{
    Monitor *mon;

    set_up();
    mon = open_on_socket();
    CHECK(mon != NULL);
    CHECK(strstr(output, "monitor - type 'help'") && strstr(output, "(vole) "));
    CHECK_STR(type("p 1"), "p 1");
    CHECK_STR(type("\r"), "\r\n0x1\r\n(vole) ");
    CHECK_STR(type("p 12\b\x7f"
                   "3\r\n"),
              "p 12\b \b\b \b3\r\n0x3\r\n(vole) ");
    CHECK(strstr(type("p 999\x15p 4\n"), "0x4\r\n"));      /* ^U */
    CHECK(strstr(type("\x1b[A\x1b[A\r"), "0x3\r\n"));      /* up, up */
    CHECK(strstr(type("\x10\n"), "0x3\r\n"));              /* ^P: the last one again */
    CHECK(strstr(type("3\x01p \x05+1\n"), "0x4\r\n"));     /* ^A, ^E */
    CHECK(strstr(type("p 12\x1b[D\x1b[3~\n"), "0x1\r\n")); /* left, delete */
    CHECK(strstr(type("p 1 junk\x17\n"), "0x1\r\n"));      /* ^W */
    CHECK(strstr(type("p 1\x03p 2\n"), "^C\r\n(vole) p 2\r\n0x2\r\n"));
    CHECK(strstr(type("sys\t"), "system_"));
    CHECK(strstr(type("\t"), "system_powerdown\r\nsystem_reset\r\n(vole) system_"));
    CHECK(strstr(type("\x15info stat\t"), "info status "));
    CHECK(strstr(type("\x15sendkey ctrl-del\t"), "ctrl-delete "));
    type("\x15");
    monitor_close(mon);
    chr_close_all();
}

/* Several at once, of different kinds: what one types the others do not see. */
static void several_at_once(void)
{
    CharBackend *ring = chr_open("ring", "ringbuf", NULL), *telnet, *caller;
    Monitor *first, *second, *third;
    char answer[2048] = "";

    set_up();
    first = open_on_socket();
    second = monitor_open(ring, NULL);
    telnet = chr_open("tel", "telnet:127.0.0.1:0,server,nowait", NULL);
    third = monitor_open(telnet, NULL);
    CHECK(first && second && third);
    caller = chr_open("x", "chardev:ring", NULL);
    CHECK(caller == ring);
    chr_ringbuf_read(ring, answer, sizeof(answer));
    CHECK(strstr(answer, "monitor - type 'help'"));
    memset(answer, 0, sizeof(answer));
    output[0] = 0;
    CHECK_EQ(chr_ringbuf_feed(ring, "p 7\n", 4), 4);
    chr_ringbuf_read(ring, answer, sizeof(answer) - 1);
    CHECK(strstr(answer, "0x7\n(vole) "));
    CHECK(strstr(type("p 8\n"), "0x8\r\n"));
    memset(answer, 0, sizeof(answer));
    CHECK_EQ(chr_ringbuf_read(ring, answer, sizeof(answer) - 1), 0);
    monitor_close(third);
    monitor_close(second);
    monitor_close(first);
    chr_close_all();
}

static void completes_files_and_takes_flags(void)
{
    char path[] = "/tmp/vole-files-XXXXXX", keys[200], name[64];
    Monitor *mon;
    char *text;

    set_up();
    CHECK(mkdtemp(path) != NULL);
    snprintf(name, sizeof(name), "%s/image-one", path);
    close(open(name, O_CREAT | O_WRONLY, 0600));
    snprintf(name, sizeof(name), "%s/folder", path);
    mkdir(name, 0700);
    mon = open_on_socket();
    snprintf(keys, sizeof(keys), "logfile %s/im\t", path);
    CHECK(strstr(type(keys), "/image-one "));
    snprintf(keys, sizeof(keys), "\x15memsave 0 1 %s/fo\t", path);
    CHECK(strstr(type(keys), "/folder/") && !strstr(output, "/folder/ "));
    type("\x15");
    CHECK(strstr(type("device_add isa-debugc\t"), "isa-debugcon "));
    CHECK(strstr(type("\x15info history\n"), "info history\r\n"));
    monitor_close(mon);
    chr_close_all();
    snprintf(keys, sizeof(keys), "dump-guest-memory -p %s/image-one extra", path);
    text = monitor_run(keys);
    CHECK_STR(text, "Error: 'dump-guest-memory' does not take 'extra'\n");
    free(text);
    snprintf(keys, sizeof(keys), "rm -r %s", path);
    CHECK_EQ(system(keys), 0);
}

static void character_devices(void)
{
    set_up();
    CHECK_STR(run("chardev-add ringbuf,id=c1,size=64"), "");
    CHECK(strstr(run("info chardev"), "c1: filename=ringbuf"));
    CHECK(strstr(run("chardev-add ringbuf,id=c1"), "already in use"));
    CHECK(strstr(run("chardev-add socket,id=c2,path=/nonexistent/x,server=on"), "wait=off"));
    CHECK(strstr(run("ringbuf_write c1 hello"), "does not take")); /* nobody is behind it */
    CHECK(strstr(run("device_add isa-serial,id=s9,chardev=c1,iobase=0x100,irq=9"), ""));
    CHECK(strstr(run("chardev-remove c1"), "in use"));
    CHECK_STR(run("chardev-send-break c1"), "");
    CHECK_STR(run("i /b 0x105"), "portb[0x0105] = 0x79\n"); /* break, framing error, data */
    CHECK_STR(run("device_del s9"), "");
    CHECK_STR(run("chardev-remove c1"), "");
    CHECK(strstr(run("chardev-remove c1"), "there is no character device 'c1'"));
    CHECK(strstr(run("boot_set xyz"), "not possible"));
}

static void waits_for_a_slow_reader(void)
{
    Monitor *mon;
    size_t seen = 0;

    set_up();
    mon = open_on_socket();
    reader_room = 0;
    for (int i = 0; i < 60; i++) {
        type("xp/4096xb 0\n"); /* 20 KB of output each */
    }
    output[0] = 0;
    reader_room = 65536;
    for (int i = 0; i < 400; i++) {
        chr_accept_input(client);
        loop_run_once(0);
        for (const char *p = output; (p = strstr(p, "(vole) ")); p++) {
            seen++;
        }
        memmove(output, output + (strlen(output) > 6 ? strlen(output) - 6 : 0), 7);
    }
    CHECK_EQ(seen, 60);
    monitor_close(mon);
    chr_close_all();
}

TESTS(TEST(evaluates_expressions), TEST(explains_what_is_wrong), TEST(helps), TEST(shows_memory),
      TEST(saves_memory), TEST(adds_and_takes_out_devices), TEST(reaches_ports), TEST(edits_lines),
      TEST(several_at_once), TEST(completes_files_and_takes_flags), TEST(character_devices),
      TEST(waits_for_a_slow_reader))
