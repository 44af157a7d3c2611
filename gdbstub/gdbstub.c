/*
 * The GDB stub's connection: bytes in and out, and the session's beginning and end.
 *
 * A connection stops the machine, as a debugger expects to find it. When it breaks, breakpoints go
 * and the machine stays as it is, running or stopped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gdbstub/gdbstub-int.h"
#include "target-i386/vcpu.h"
#include "util/loop.h"

/* While so much output waits, no further packet is read. */
#define OUTPUT_HIGH 262144

static GdbStub *stub;
char *(*gdb_monitor)(const char *line);

/* ---- output ---- */

static void flush_output(GdbStub *s)
{
    size_t n;

    if (s->out.size) {
        n = chr_write(s->chr, s->out.data, s->out.size);
        memmove(s->out.data, s->out.data + n, s->out.size - n);
        s->out.size -= n;
    }
}

void gdb_send(GdbStub *s, const void *data, size_t size)
{
    buffer_clear(&s->last);
    gdb_put_packet(&s->last, data, size);
    buffer_append(&s->out, s->last.data, s->last.size);
    flush_output(s);
}

void gdb_send_text(GdbStub *s, const char *text)
{
    gdb_send(s, text, strlen(text));
}

void gdb_send_output(GdbStub *s, const char *text)
{
    const size_t most = GDB_PACKET_MAX / 2 - 1;
    size_t left = strlen(text);

    while (left) {
        size_t n = left < most ? left : most;
        Buffer packet = {0};
        buffer_put_u8(&packet, 'O');
        gdb_put_hex_bytes(&packet, text, n);
        gdb_send(s, packet.data, packet.size);
        buffer_free(&packet);
        text += n;
        left -= n;
    }
}

/* ---- input ---- */

/* GDB speaks although it believes the machine to stand: somebody else has started it. */
static void stand_still(GdbStub *s)
{
    if (machine_running() && s->attached) {
        machine_stop(RUN_STATE_PAUSED);
    }
}

static void handle_packet(GdbStub *s)
{
    Buffer packet = {0}, reply = {0};
    unsigned session = s->session;

    if (!s->no_ack) {
        buffer_put_u8(&s->out, '+');
    }
    stand_still(s);
    buffer_append(&packet, s->parser.data, s->parser.size);
    s->busy = true;
    if (gdb_handle_packet(s, packet.data, packet.size, &reply) && s->session == session) {
        gdb_send(s, reply.data, reply.size);
    } else {
        flush_output(s);
    }
    s->busy = false;
    buffer_free(&packet);
    buffer_free(&reply);
}

static void handle_input(GdbStub *s, GdbInput input)
{
    switch (input) {
    case GDB_INPUT_NONE:
    case GDB_INPUT_ACK:
        break;
    case GDB_INPUT_NAK:
        if (!s->no_ack) {
            buffer_append(&s->out, s->last.data, s->last.size);
            flush_output(s);
        }
        break;
    case GDB_INPUT_BAD:
        if (!s->no_ack) {
            buffer_put_u8(&s->out, '-');
            flush_output(s);
        }
        break;
    case GDB_INPUT_INTERRUPT:
        if (machine_running() && s->attached) {
            machine_stop(RUN_STATE_PAUSED);
        }
        break;
    case GDB_INPUT_PACKET:
        handle_packet(s);
        break;
    }
}

static void close_later(void *opaque)
{
    if (stub && stub->close_due) {
        gdbstub_close();
    }
}

/* A monitor command may run the main loop, which may bring more input: it waits for its turn. */
static void take_input(GdbStub *s)
{
    if (s->busy) {
        return;
    }
    while (s->taken < s->unread.size && s->out.size < OUTPUT_HIGH && !s->close_due) {
        handle_input(s, gdb_parser_feed(&s->parser, s->unread.data[s->taken++]));
    }
    if (s->taken) {
        memmove(s->unread.data, s->unread.data + s->taken, s->unread.size - s->taken);
        s->unread.size -= s->taken;
        s->taken = 0;
    }
    if (s->close_due) {
        loop_defer(close_later, NULL);
    }
}

static size_t gdb_can_receive(void *opaque)
{
    GdbStub *s = opaque;

    return s->unread.size < GDB_PACKET_MAX && s->out.size < OUTPUT_HIGH && !s->close_due
               ? GDB_PACKET_MAX
               : 0;
}

static void gdb_receive(void *opaque, const uint8_t *data, size_t size)
{
    GdbStub *s = opaque;

    buffer_append(&s->unread, data, size);
    take_input(s);
}

static void gdb_writable(void *opaque)
{
    GdbStub *s = opaque;

    flush_output(s);
    take_input(s);
    chr_accept_input(s->chr);
}

/* ---- sessions ---- */

static void begin_session(GdbStub *s)
{
    memset(&s->parser, 0, sizeof(s->parser));
    buffer_clear(&s->unread);
    s->taken = 0;
    buffer_clear(&s->out);
    buffer_clear(&s->last);
    s->attached = true;
    s->waiting = s->no_ack = s->multiprocess = s->swbreak = s->hwbreak = s->physical = false;
    s->sstep = GDB_SSTEP_ENABLE | GDB_SSTEP_NOIRQ | GDB_SSTEP_NOTIMER;
    s->g_cpu = 0;
    s->c_cpu = -1;
    s->session++;
    if (machine_running()) {
        machine_stop(RUN_STATE_PAUSED);
    }
    gdb_describe(&s->description, vcpu_env(0));
}

static void end_session(GdbStub *s)
{
    gdb_let_go(s);
    s->attached = false;
    buffer_clear(&s->out); /* nobody will read it */
    buffer_clear(&s->unread);
    s->taken = 0;
}

static void gdb_event(void *opaque, ChrEvent event)
{
    GdbStub *s = opaque;

    switch (event) {
    case CHR_EVENT_OPENED:
        begin_session(s);
        break;
    case CHR_EVENT_CLOSED:
        end_session(s);
        break;
    case CHR_EVENT_BREAK:
        handle_input(s, GDB_INPUT_INTERRUPT);
        break;
    default:
        break;
    }
}

static const CharHandlers handlers = {.can_receive = gdb_can_receive,
                                      .receive = gdb_receive,
                                      .writable = gdb_writable,
                                      .event = gdb_event};

static void state_changed(void *opaque, bool running, RunState state)
{
    if (stub) {
        gdb_state_changed(stub, running, state);
    }
}

/* ---- opening and closing ---- */

/* A socket without a word about who calls whom is a server that waits for nobody: that is what
 * GDB's user means. */
static char *complete_spec(const char *spec)
{
    bool tcp = strncmp(spec, "tcp:", 4) == 0, local = strncmp(spec, "unix:", 5) == 0;
    char *text;

    if ((!tcp && !local) || strstr(spec, "server=off")) {
        return strdup(spec);
    }
    if (asprintf(&text, "%s%s,wait=off%s", spec, strstr(spec, ",server") ? "" : ",server=on",
                 tcp ? ",nodelay=on" : "") < 0) {
        abort();
    }
    return text;
}

bool gdbstub_open(const char *spec, Error **errp)
{
    static bool listening;
    char *text;
    Error *err = NULL;

    if (stub && stub->busy && strcmp(spec, "none") != 0) {
        error_set(errp, "a session cannot replace itself; 'gdbserver none' ends it");
        return false;
    }
    gdbstub_close();
    text = complete_spec(spec);
    CharBackend *chr = chr_open("gdb", text, &err);
    free(text);
    if (!chr) {
        error_propagate(errp, err);
        return !err; /* none */
    }
    GdbStub *s = calloc(1, sizeof(*s));
    if (!s) {
        abort();
    }
    s->chr = chr;
    s->own_chr = strncmp(spec, "chardev:", 8) != 0;
    s->stdio = strncmp(spec, "stdio", 5) == 0;
    stub = s; /* the connection may be there already, and stops the machine */
    if (!chr_attach(chr, &handlers, s, errp)) {
        stub = NULL;
        if (s->own_chr) {
            chr_close(chr);
        }
        free(s);
        return false;
    }
    if (!listening) {
        listening = true;
        machine_add_state_handler(state_changed, NULL);
    }
    return true;
}

void gdbstub_close(void)
{
    GdbStub *s = stub;

    if (!s) {
        return;
    }
    if (s->busy) {
        s->close_due = true; /* "monitor gdbserver none" */
        return;
    }
    end_session(s);
    stub = NULL;
    chr_detach(s->chr, s);
    if (s->own_chr) {
        chr_close(s->chr);
    }
    buffer_free(&s->unread);
    buffer_free(&s->out);
    buffer_free(&s->last);
    buffer_free(&s->description.xml);
    free(s);
}

void gdbstub_exit(int status)
{
    char text[32];

    if (stub && stub->attached) {
        snprintf(text, sizeof(text), stub->multiprocess ? "W%02x;process:1" : "W%02x",
                 (unsigned)status & 0xff);
        gdb_send_text(stub, text);
    }
    gdbstub_close();
}

void gdbstub_set_monitor(char *(*run)(const char *line))
{
    gdb_monitor = run;
}

bool gdbstub_take_sigint(void)
{
    if (!stub || !stub->stdio) {
        return false;
    }
    handle_input(stub, GDB_INPUT_INTERRUPT);
    return true;
}
