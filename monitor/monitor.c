/*
 * Monitors on character devices: output that waits for its reader, input a line at a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "monitor/monitor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "monitor/monitor-int.h"

/* While so much output waits, no further command is read. */
#define OUTPUT_HIGH 65536

struct Monitor {
    CharBackend *chr; /* NULL: output is only collected */
    Buffer out;       /* waits to be written; with chr NULL all of it */
    LineEditor editor;
    Buffer unread; /* input behind the line being executed */
    bool running;  /* a command is being executed */
    bool finished; /* the program ends: no further prompt */
    bool focused, greeted;
    bool crlf; /* a terminal wants CR before LF */
};

/* ---- output ---- */

static void flush_output(Monitor *mon)
{
    size_t n;

    if (mon->chr && mon->out.size) {
        n = chr_write(mon->chr, mon->out.data, mon->out.size);
        memmove(mon->out.data, mon->out.data + n, mon->out.size - n);
        mon->out.size -= n;
    }
}

void monitor_write(Monitor *mon, const void *data, size_t size)
{
    const char *p = data;

    for (size_t i = 0; i < size; i++) {
        if (p[i] == '\n' && mon->crlf) {
            buffer_put_u8(&mon->out, '\r');
        }
        buffer_put_u8(&mon->out, (uint8_t)p[i]);
    }
    flush_output(mon);
}

void monitor_printf(Monitor *mon, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n >= 0) {
        monitor_write(mon, text, (size_t)n);
        free(text);
    }
}

void monitor_error(Monitor *mon, Error *err)
{
    monitor_printf(mon, "Error: %s\n", error_text(err));
    error_free(err);
}

char *monitor_run(const char *line)
{
    Monitor mon = {0};

    monitor_execute(&mon, line);
    buffer_put_u8(&mon.out, 0);
    return (char *)mon.out.data;
}

void monitor_finish(Monitor *mon)
{
    mon->finished = true;
}

void monitor_each_line(Monitor *mon, void (*fn)(const char *line, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < mon->editor.history_count; i++) {
        fn(mon->editor.history[i], opaque);
    }
}

/* ---- input ---- */

static void execute_line(Monitor *mon)
{
    char line[LINE_MAX_CHARS + 1];

    memcpy(line, mon->editor.line, mon->editor.len);
    line[mon->editor.len] = '\0';
    line_editor_next(&mon->editor);
    mon->running = true;
    monitor_execute(mon, line);
    mon->running = false;
    if (!mon->finished) {
        line_editor_prompt(&mon->editor);
    }
}

/* A command may run the main loop, which may bring more input: it waits for its turn. */
static void take_input(Monitor *mon)
{
    size_t i = 0;

    while (i < mon->unread.size && !mon->running && !mon->finished && mon->out.size < OUTPUT_HIGH) {
        if (line_editor_feed(&mon->editor, mon->unread.data[i++])) {
            execute_line(mon);
        }
    }
    if (!mon->running) {
        memmove(mon->unread.data, mon->unread.data + i, mon->unread.size - i);
        mon->unread.size -= i;
    }
}

static size_t mon_can_receive(void *opaque)
{
    Monitor *mon = opaque;

    return mon->unread.size == 0 && mon->out.size < OUTPUT_HIGH ? LINE_MAX_CHARS : 0;
}

static void mon_receive(void *opaque, const uint8_t *data, size_t size)
{
    Monitor *mon = opaque;

    buffer_append(&mon->unread, data, size);
    take_input(mon);
}

static void mon_writable(void *opaque)
{
    Monitor *mon = opaque;

    flush_output(mon);
    take_input(mon);
    chr_accept_input(mon->chr);
}

static void greet(Monitor *mon)
{
    if (!mon->greeted) {
        monitor_printf(mon, "Vole %s monitor - type 'help' for more information\n", VOLE_VERSION);
        mon->greeted = true;
    }
    line_editor_prompt(&mon->editor);
}

static void mon_event(void *opaque, ChrEvent event)
{
    Monitor *mon = opaque;

    switch (event) {
    case CHR_EVENT_OPENED:
        mon->greeted = false;
        mon->out.size = mon->unread.size = 0;
        line_editor_next(&mon->editor);
        if (mon->focused) {
            greet(mon);
        }
        break;
    case CHR_EVENT_FOCUS_IN:
        mon->focused = true;
        monitor_write(mon, "\n", 1);
        greet(mon);
        break;
    case CHR_EVENT_FOCUS_OUT:
        mon->focused = false;
        break;
    case CHR_EVENT_CLOSED:
        mon->out.size = 0; /* nobody will read it */
        break;
    case CHR_EVENT_BREAK:
    case CHR_EVENT_MODEM:
        break;
    }
}

static const CharHandlers mon_handlers = {mon_can_receive, mon_receive, mon_writable, mon_event,
                                          .any_thread = false};

Monitor *monitor_open(CharBackend *chr, Error **errp)
{
    Monitor *mon = calloc(1, sizeof(*mon));

    mon->chr = chr;
    mon->focused = !chr_is_mux(chr);
    mon->editor.mon = mon;
    mon->editor.echo = mon->crlf = chr_is_interactive(chr);
    if (!chr_attach(chr, &mon_handlers, mon, errp)) {
        free(mon);
        return NULL;
    }
    return mon;
}

void monitor_close(Monitor *mon)
{
    chr_detach(mon->chr, mon);
    line_editor_free(&mon->editor);
    buffer_free(&mon->out);
    buffer_free(&mon->unread);
    free(mon);
}
