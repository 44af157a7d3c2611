/*
 * Fuzzes what listens to people and programs: the JSON monitor, the human one's lines and
 * expressions, and telnet. Templates are mutated byte by byte and spliced; after every case the
 * JSON monitor must still answer.
 *
 *   monitor [--cases N] [--seed S]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "char/char-telnet.h"
#include "config.h"
#include "hw/memory.h"
#include "monitor/monitor.h"
#include "util/loop.h"
#ifdef CONFIG_JANSSON
#include "monitor/qmp-int.h"
#endif

static uint64_t seed = 1;

static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* None of them writes files or ends the program, whatever a mutation makes of its arguments. */
static const char *const templates[] = {
    "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}",
    "{\"execute\":\"query-status\",\"id\":{\"a\":[1,2.5e3,null,true,\"\\u00e9\\ud83d\\ude00\"]}}",
    "{\"execute\":\"query-qmp-schema\"}{\"execute\":\"query-commands\"}",
    "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"isa-debugcon\",\"id\":\"x,y\","
    "\"iobase\":77,\"b\":true}}",
    "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"x\"}}",
    "{\"execute\":\"send-key\",\"arguments\":{\"keys\":[{\"type\":\"qcode\",\"data\":\"ctrl\"},{"
    "\"data\":30}],\"hold-time\":5}}",
    "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"/machine/x\",\"property\":\"type\"}}",
    "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/machine\"}}",
    "{\"execute\":\"device-list-properties\",\"arguments\":{\"typename\":\"isa-serial\"}}",
    "{\"execute\":\"ringbuf-write\",\"arguments\":{\"device\":\"ring\",\"data\":\"\\u0000x\"}}",
    "{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"ring\",\"size\":65}}",
    "{\"execute\":\"query-block\"}{\"execute\":\"query-chardev\"}{\"execute\":\"query-pci\"}",
    "[[[[[[[[[[[[[[[[{\"a\":[[[[",
    "}}]]\n\"\\\"\n",
};
static const char *const lines[] = {
    "help",
    "help info",
    "info status",
    "info qtree",
    "info chardev",
    "info mtree",
    "info nothing",
    "print /x (1+2)*3/4-~5",
    "p /d 1<<63",
    "p $rax",
    "x /10xw 0x1000",
    "xp /4096xb 0xfffffff0",
    "xp /s 0",
    "sendkey ctrl-alt-delete 10",
    "sendkey 0x1e",
    "mouse_move 10 -20",
    "mouse_button 7",
    "cpu 99",
    "ringbuf_read ring 5",
    "device_del \"a b\\\"c\"",
    "i /w 0x1f0",
    "log none",
    "screentext",
    "infoo",
    "\"",
    "xp /99999999x 0",
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static size_t mutate(const char *text, uint8_t *out, size_t max)
{
    static const char interesting[] = "{}[]\":,\\\n\xff\xc3\x80\0ue0-9";
    size_t n = strlen(text);

    n = n < max ? n : max;
    memcpy(out, text, n);
    for (uint32_t k = rnd(6); k > 0 && n > 0; k--) {
        size_t at = rnd((uint32_t)n), len = rnd(8);
        switch (rnd(5)) {
        case 0:
            out[at] = (uint8_t)rnd(256);
            break;
        case 1:
            out[at] = (uint8_t)interesting[rnd(sizeof(interesting) - 1)];
            break;
        case 2: /* doubled */
            if (n + len < max && at + len < n) {
                memmove(out + at + len, out + at, n - at);
                n += len;
            }
            break;
        case 3: /* cut out */
            if (at + len < n) {
                memmove(out + at, out + at + len, n - at - len);
                n -= len;
            }
            break;
        default:
            n -= rnd(4) == 0 ? rnd((uint32_t)n) : 0;
        }
    }
    return n;
}

#ifdef CONFIG_JANSSON
static QmpSession *qmp;

static void fuzz_qmp(const uint8_t *data, size_t size)
{
    static const char probe[] = "\n{\"execute\":\"query-target\"}\n";
    Buffer *out = qmp_session_output(qmp);

    qmp_session_feed(qmp, data, size);
    if (rnd(4)) {
        buffer_clear(out);
        return;
    }
    /* Close whatever is open. */
    for (int i = 0; i < 300; i++) {
        qmp_session_feed(qmp, (const uint8_t *)"\n", 1);
        qmp_session_feed(qmp, (const uint8_t *)"}", 1);
    }
    buffer_clear(out);
    qmp_session_feed(qmp, (const uint8_t *)probe, sizeof(probe) - 1);
    if (!memmem(out->data, out->size, "x86_64", 6) &&
        !memmem(out->data, out->size, "negotiation", 11)) {
        fprintf(stderr, "no answer any more: %.*s\n", (int)out->size, (char *)out->data);
        abort();
    }
    buffer_clear(out);
}
#endif

static void fuzz_line(const uint8_t *data, size_t size)
{
    static const char *const never[] = {
        "quit",      "q",          "screendump", "logfile",
        "log",       "memsave",    "pmemsave",   "dump-guest-memory",
        "gdbserver", "device_add", "change",     "savevm"};
    char *line = strndup((const char *)data, size);
    size_t word = strspn(line, " \t"), len = strcspn(line + word, " \t/");
    bool run = true;

    for (size_t i = 0; i < COUNT(never); i++) {
        run &= strlen(never[i]) != len || strncmp(line + word, never[i], len) != 0;
    }
    if (run && !strpbrk(line, "\n")) {
        free(monitor_run(line));
    }
    free(line);
}

static void to_nowhere(void *opaque, const uint8_t *data, size_t n)
{
}

static void fuzz_telnet(void)
{
    static const uint8_t often[] = {255, 255, 253, 251, 250, 240, 243, 0, 1, 3, '\r', 'x'};
    uint8_t in[64], room[32];
    bool is_break = false;
    Buffer out = {0};
    size_t made;
    Telnet t;

    telnet_start(&t, rnd(2), to_nowhere, NULL);
    for (int round = 0; round < 20; round++) {
        size_t n = 1 + rnd(sizeof(in)), space = 1 + rnd(sizeof(room)), taken;
        uint8_t *exact = malloc(space);
        for (size_t i = 0; i < n; i++) {
            in[i] = rnd(3) ? often[rnd(sizeof(often))] : (uint8_t)rnd(256);
        }
        is_break = false;
        taken = telnet_decode(&t, in, n, exact, space, &made, &is_break);
        if (taken == 0 || taken > n || made > space) {
            abort();
        }
        telnet_encode(&t, in, n, &out);
        free(exact);
    }
    buffer_free(&out);
}

int main(int argc, char **argv)
{
    unsigned long cases = 20000;
    uint8_t data[4096];

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--cases") == 0) {
            cases = strtoul(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoul(argv[i + 1], NULL, 0);
        }
    }
    machine_lock();
    loop_init();
    memory_init();
    memory_ram_init(2 << 20, NULL);
    CharBackend *ring = chr_open("ring", "ringbuf", NULL);
#ifdef CONFIG_JANSSON
    qmp = qmp_session_new(false);
#endif
    for (unsigned long i = 0; i < cases; i++) {
#ifdef CONFIG_JANSSON
        fuzz_qmp(data, mutate(templates[rnd(COUNT(templates))], data, sizeof(data)));
#endif
        fuzz_line(data, mutate(lines[rnd(COUNT(lines))], data, sizeof(data)));
        fuzz_telnet();
    }
    chr_close(ring);
    printf("%lu cases\n", cases);
    return 0;
}
