/*
 * The mux: several front ends (a UART and the monitor) on one backend. What is typed goes to the
 * one with the focus; what any of them writes comes out. Ctrl-a is the escape key.
 *
 * Escape keys must work while the guest takes no input, so typed bytes wait in a queue here and the
 * backend is read on until that queue is full.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "char/char-int.h"
#include "util/buffer.h"

#define ESCAPE    0x01 /* Ctrl-a */
#define MAX_ENDS  4
#define QUEUE_MAX 4096

typedef struct MuxEnd {
    const CharHandlers *handlers; /* NULL: free */
    void *opaque;
    uint8_t *queue; /* QUEUE_MAX bytes, a ring */
    size_t head, used;
} MuxEnd;

typedef struct ChrMux {
    CharBackend *chr;   /* what the front ends see */
    CharBackend *lower; /* owned */
    MuxEnd ends[MAX_ENDS];
    int focus; /* -1: nobody is there */
    bool escaped;
    bool timestamps, line_start;
    int64_t start; /* of the timestamps, host clock */
    Buffer own;    /* the mux's own text, still to be written; front ends wait */
    Timer later;   /* hands over from the loop what a vCPU must not */
} ChrMux;

static const char help_text[] = "\r\n"
                                "Ctrl-a h    this help\r\n"
                                "Ctrl-a x    end the emulator\r\n"
                                "Ctrl-a c    switch between the console and the monitor\r\n"
                                "Ctrl-a b    send a break (the Linux console's SysRq)\r\n"
                                "Ctrl-a t    switch timestamps on or off\r\n"
                                "Ctrl-a Ctrl-a  send Ctrl-a\r\n";

/* ---- output ---- */

/* True when nothing of the mux's own is left to write. */
static bool flush_own(ChrMux *m)
{
    size_t n;

    if (m->own.size == 0) {
        return true;
    }
    n = chr_write(m->lower, m->own.data, m->own.size);
    memmove(m->own.data, m->own.data + n, m->own.size - n);
    m->own.size -= n;
    return m->own.size == 0;
}

static void say(ChrMux *m, const char *text)
{
    buffer_append(&m->own, text, strlen(text));
    flush_own(m);
}

static void put_timestamp(ChrMux *m)
{
    int64_t ms = (clock_now(CLOCK_HOST) - m->start) / NS_PER_MS;

    buffer_printf(&m->own, "[%02d:%02d:%02d.%03d] ", (int)(ms / 3600000), (int)(ms / 60000 % 60),
                  (int)(ms / 1000 % 60), (int)(ms % 1000));
}

static size_t mux_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    ChrMux *m = chr->state;
    size_t done = 0;

    if (!flush_own(m)) {
        return 0;
    }
    if (!m->timestamps) {
        done = chr_write(m->lower, data, size);
        if (done > 0) {
            m->line_start = data[done - 1] == '\n';
        }
        return done;
    }
    /* A line at a time, each behind its time. */
    while (done < size) {
        const uint8_t *nl = memchr(data + done, '\n', size - done);
        size_t len = nl ? (size_t)(nl - data) + 1 - done : size - done, n;

        if (m->line_start) {
            put_timestamp(m);
            m->line_start = false;
            if (!flush_own(m)) {
                break;
            }
        }
        n = chr_write(m->lower, data + done, len);
        done += n;
        if (n < len) {
            break;
        }
        m->line_start = nl != NULL;
    }
    return done;
}

/* ---- focus ---- */

static void end_event(MuxEnd *e, ChrEvent event)
{
    if (e->handlers && e->handlers->event) {
        e->handlers->event(e->opaque, event);
    }
}

static void set_focus(ChrMux *m, int focus)
{
    if (focus == m->focus) {
        return;
    }
    if (m->focus >= 0) {
        end_event(&m->ends[m->focus], CHR_EVENT_FOCUS_OUT);
    }
    m->focus = focus;
    if (focus >= 0) {
        end_event(&m->ends[focus], CHR_EVENT_FOCUS_IN);
    }
}

static void next_focus(ChrMux *m)
{
    for (int i = 1; i <= MAX_ENDS; i++) {
        int n = (m->focus + i) % MAX_ENDS;
        if (m->ends[n].handlers) {
            set_focus(m, n);
            return;
        }
    }
    set_focus(m, -1);
}

/* ---- input ---- */

static void drain_queue(MuxEnd *e)
{
    while (e->handlers && e->used > 0) {
        size_t room = e->handlers->can_receive(e->opaque);
        size_t n = QUEUE_MAX - e->head;

        n = n < e->used ? n : e->used;
        n = n < room ? n : room;
        if (n == 0) {
            return;
        }
        e->used -= n;
        e->handlers->receive(e->opaque, e->queue + e->head, n);
        e->head = (e->head + n) % QUEUE_MAX;
    }
}

static void type_byte(ChrMux *m, uint8_t c)
{
    MuxEnd *e;

    if (m->focus < 0) {
        return;
    }
    e = &m->ends[m->focus];
    if (e->used < QUEUE_MAX) {
        e->queue[(e->head + e->used++) % QUEUE_MAX] = c;
    }
}

static void escape_key(ChrMux *m, uint8_t c)
{
    switch (c) {
    case 'h':
    case '?':
        say(m, help_text);
        break;
    case 'x':
        say(m, "\r\nvole: ended from the terminal\r\n");
        loop_quit(0);
        break;
    case 'c':
        next_focus(m);
        break;
    case 'b':
        if (m->focus >= 0) {
            end_event(&m->ends[m->focus], CHR_EVENT_BREAK);
        }
        break;
    case 't':
        m->timestamps = !m->timestamps;
        m->line_start = true;
        m->start = clock_now(CLOCK_HOST);
        break;
    case 's':
        say(m, "\r\nwriting a temporary snapshot back to its disk is not available\r\n");
        break;
    case ESCAPE:
        type_byte(m, ESCAPE);
        break;
    default:
        break; /* as the tradition has it: an unknown key is swallowed */
    }
}

static size_t mux_can_receive(void *opaque)
{
    ChrMux *m = opaque;

    /* A byte adds at most one to the queue, whoever has the focus when it comes. */
    return m->focus < 0 ? QUEUE_MAX : QUEUE_MAX - m->ends[m->focus].used;
}

static void mux_receive(void *opaque, const uint8_t *data, size_t size)
{
    ChrMux *m = opaque;

    for (size_t i = 0; i < size; i++) {
        if (m->escaped) {
            m->escaped = false;
            if (m->focus >= 0) {
                drain_queue(&m->ends[m->focus]);
            }
            escape_key(m, data[i]);
        } else if (data[i] == ESCAPE) {
            m->escaped = true;
        } else {
            type_byte(m, data[i]);
        }
    }
    if (m->focus >= 0) {
        drain_queue(&m->ends[m->focus]);
    }
}

static void mux_writable(void *opaque)
{
    ChrMux *m = opaque;

    if (!flush_own(m)) {
        return;
    }
    for (int i = 0; i < MAX_ENDS; i++) {
        MuxEnd *e = &m->ends[i];
        if (e->handlers && e->handlers->writable) {
            e->handlers->writable(e->opaque);
        }
    }
}

static void mux_event(void *opaque, ChrEvent event)
{
    ChrMux *m = opaque;

    if (event == CHR_EVENT_BREAK || event == CHR_EVENT_MODEM) {
        if (m->focus >= 0) {
            end_event(&m->ends[m->focus], event);
        }
        return;
    }
    m->chr->connected = m->lower->connected;
    for (int i = 0; i < MAX_ENDS; i++) {
        end_event(&m->ends[i], event);
    }
}

static const CharHandlers mux_handlers = {mux_can_receive, mux_receive, mux_writable, mux_event,
                                          .any_thread = false};

static void drain_all(void *opaque)
{
    ChrMux *m = opaque;

    for (int i = 0; i < MAX_ENDS; i++) {
        drain_queue(&m->ends[i]);
    }
    chr_accept_input(m->lower);
}

/* ---- the backend the front ends see ---- */

static bool mux_attach(CharBackend *chr, const CharHandlers *handlers, void *opaque, Error **errp)
{
    ChrMux *m = chr->state;

    for (int i = 0; i < MAX_ENDS; i++) {
        MuxEnd *e = &m->ends[i];
        if (e->handlers) {
            continue;
        }
        *e = (MuxEnd){.handlers = handlers, .opaque = opaque, .queue = malloc(QUEUE_MAX)};
        if (chr->connected) {
            end_event(e, CHR_EVENT_OPENED);
        }
        if (m->focus < 0) {
            set_focus(m, i);
        } else {
            end_event(e, CHR_EVENT_FOCUS_OUT);
        }
        chr_accept_input(m->lower);
        return true;
    }
    error_set(errp, "character device '%s': more than %d front ends cannot share it", chr->id,
              MAX_ENDS);
    return false;
}

static void mux_detach(CharBackend *chr, void *opaque)
{
    ChrMux *m = chr->state;

    for (int i = 0; i < MAX_ENDS; i++) {
        MuxEnd *e = &m->ends[i];
        if (e->handlers && e->opaque == opaque) {
            free(e->queue);
            *e = (MuxEnd){0};
            if (m->focus == i) {
                next_focus(m);
            }
        }
    }
}

static void mux_update_input(CharBackend *chr)
{
    ChrMux *m = chr->state;

    for (int i = 0; i < MAX_ENDS; i++) {
        MuxEnd *e = &m->ends[i];
        if (e->handlers && e->handlers->any_thread) {
            drain_queue(e);
        } else if (e->used > 0 && !timer_pending(&m->later)) {
            timer_set(&m->later, clock_now(CLOCK_HOST));
        }
    }
    chr_accept_input(m->lower);
}

static void mux_close(CharBackend *chr)
{
    ChrMux *m = chr->state;

    flush_own(m);
    timer_cancel(&m->later);
    for (int i = 0; i < MAX_ENDS; i++) {
        free(m->ends[i].queue);
    }
    chr_close(m->lower);
    buffer_free(&m->own);
    free(m);
}

static void mux_set_line(CharBackend *chr, unsigned baud, unsigned data_bits, char parity,
                         unsigned stop_bits)
{
    ChrMux *m = chr->state;

    chr_set_line(m->lower, baud, data_bits, parity, stop_bits);
}

static void mux_set_break(CharBackend *chr, bool on)
{
    ChrMux *m = chr->state;

    chr_set_break(m->lower, on);
}

static void mux_set_modem(CharBackend *chr, bool dtr, bool rts)
{
    ChrMux *m = chr->state;

    chr_set_modem(m->lower, dtr, rts);
}

static unsigned mux_modem(CharBackend *chr)
{
    ChrMux *m = chr->state;

    return chr_modem(m->lower);
}

static void mux_send_break(CharBackend *chr)
{
    mux_event(chr->state, CHR_EVENT_BREAK);
}

const ChrDriver chr_mux_driver = {
    .name = "mux",
    .help = "several front ends on one backend",
    .close = mux_close,
    .write = mux_write,
    .update_input = mux_update_input,
    .set_line = mux_set_line,
    .set_break = mux_set_break,
    .set_modem = mux_set_modem,
    .modem = mux_modem,
    .send_break = mux_send_break,
    .attach = mux_attach,
    .detach = mux_detach,
};

CharBackend *chr_mux_new(const char *id, CharBackend *lower)
{
    CharBackend *chr = calloc(1, sizeof(*chr));
    ChrMux *m = calloc(1, sizeof(*m));

    chr->id = strdup(id);
    chr->spec = strdup(lower->spec);
    chr->driver = &chr_mux_driver;
    chr->state = m;
    chr->connected = lower->connected;
    chr->interactive = lower->interactive;
    m->chr = chr;
    m->lower = lower;
    m->focus = -1;
    m->line_start = true;
    timer_init(&m->later, CLOCK_HOST, drain_all, m);
    /* Nobody else can have it: it was made a moment ago. */
    chr_attach(lower, &mux_handlers, m, NULL);
    return chr;
}
