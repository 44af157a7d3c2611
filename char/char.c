/*
 * The registry of character backends and the front end's side of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char/char.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "char/char-int.h"

static CharBackend *backends;

/* ---- making and finding ---- */

static bool open_log(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    if (!o->logfile) {
        if (o->has_logappend) {
            error_set(errp, "character device '%s': logappend= goes with logfile=PATH", chr->id);
        }
        return !o->has_logappend;
    }
    if (o->driver->parallel) {
        error_set(
            errp,
            "character device '%s': logfile=%s: a parallel port of the host has registers, no "
            "stream to keep; possible with all other kinds",
            chr->id, o->logfile);
        return false;
    }
    chr->log = chr_file_new(o->logfile, o->logappend, errp);
    if (!chr->log) {
        error_prepend(errp, "character device '%s': logfile: ", chr->id);
    }
    return chr->log != NULL;
}

static void backend_free(CharBackend *chr)
{
    chr_file_free(chr->log);
    free(chr->id);
    free(chr->spec);
    free(chr);
}

static CharBackend *backend_new(const char *id, const char *spec, const ChrOptions *o, Error **errp)
{
    CharBackend *chr = calloc(1, sizeof(*chr));

    chr->id = strdup(id);
    chr->spec = strdup(spec);
    chr->driver = o->driver;
    if (!open_log(chr, o, errp) || !o->driver->open(chr, o, errp)) {
        backend_free(chr);
        return NULL;
    }
    return chr;
}

static CharBackend *open_parsed(const char *id, const char *spec, ChrOptions *o, Error **errp)
{
    CharBackend *chr, **end;

    if (chr_find(id)) {
        error_set(errp, "character device '%s': the name is already in use", id);
        return NULL;
    }
    /* A peer that has gone must show as EPIPE, not end the program. */
    signal(SIGPIPE, SIG_IGN);
    chr = backend_new(id, spec, o, errp);
    if (!chr) {
        return NULL;
    }
    if (o->mux) {
        chr = chr_mux_new(id, chr);
    }
    for (end = &backends; *end; end = &(*end)->next) {
    }
    *end = chr;
    return chr;
}

CharBackend *chr_open(const char *id, const char *spec, Error **errp)
{
    ChrOptions o = {0};
    CharBackend *chr = NULL;

    if (strcmp(spec, "none") == 0) {
        return NULL;
    }
    if (strncmp(spec, "chardev:", 8) == 0) {
        chr = chr_find(spec + 8);
        if (!chr) {
            error_set(errp, "there is no character device '%s'", spec + 8);
        }
        return chr;
    }
    if (chr_parse_spec(&o, spec, errp)) {
        chr = open_parsed(id, spec, &o, errp);
    }
    chr_options_free(&o);
    return chr;
}

CharBackend *chr_open_option(const char *option, Error **errp)
{
    ChrOptions o = {0};
    CharBackend *chr = NULL;
    char *id = NULL;

    if (strcmp(option, "help") == 0 || strcmp(option, "?") == 0) {
        chr_print_kinds();
        return NULL;
    }
    if (chr_parse_option(&o, &id, option, errp)) {
        chr = open_parsed(id, option, &o, errp);
    }
    free(id);
    chr_options_free(&o);
    return chr;
}

CharBackend *chr_find(const char *id)
{
    for (CharBackend *chr = backends; chr; chr = chr->next) {
        if (strcmp(chr->id, id) == 0) {
            return chr;
        }
    }
    return NULL;
}

const char *chr_id(const CharBackend *chr)
{
    return chr->id;
}

const char *chr_spec(const CharBackend *chr)
{
    return chr->spec;
}

bool chr_is_mux(const CharBackend *chr)
{
    return chr->driver == &chr_mux_driver;
}

bool chr_has_front_end(const CharBackend *chr)
{
    return chr->handlers || chr_is_mux(chr);
}

bool chr_is_interactive(const CharBackend *chr)
{
    return chr->interactive;
}

void chr_each(void (*fn)(CharBackend *chr, void *opaque), void *opaque)
{
    for (CharBackend *chr = backends; chr; chr = chr->next) {
        fn(chr, opaque);
    }
}

void chr_close(CharBackend *chr)
{
    for (CharBackend **p = &backends; *p; p = &(*p)->next) {
        if (*p == chr) {
            *p = chr->next;
            break;
        }
    }
    chr->handlers = NULL;
    chr->driver->close(chr);
    backend_free(chr);
}

void chr_close_all(void)
{
    while (backends) {
        chr_close(backends);
    }
}

/* ---- the front end's side ---- */

bool chr_attach(CharBackend *chr, const CharHandlers *handlers, void *opaque, Error **errp)
{
    if (chr->driver->attach) {
        return chr->driver->attach(chr, handlers, opaque, errp);
    }
    if (chr->handlers) {
        error_set(
            errp,
            "character device '%s' is in use already; with mux=on (or mon:%s) several can share it",
            chr->id, chr->spec);
        return false;
    }
    chr->handlers = handlers;
    chr->opaque = opaque;
    if (chr->driver->update_input) {
        chr->driver->update_input(chr);
    }
    if (chr->connected && handlers->event) {
        handlers->event(opaque, CHR_EVENT_OPENED);
    }
    return true;
}

void chr_detach(CharBackend *chr, void *opaque)
{
    if (!chr) {
        return;
    }
    if (chr->driver->detach) {
        chr->driver->detach(chr, opaque);
        return;
    }
    if (chr->handlers && chr->opaque == opaque) {
        chr->handlers = NULL;
        if (chr->driver->update_input) {
            chr->driver->update_input(chr);
        }
    }
}

size_t chr_write(CharBackend *chr, const void *data, size_t size)
{
    if (!chr || size == 0) {
        return size;
    }
    size = chr->driver->write(chr, data, size);
    if (chr->log) {
        chr_file_put(chr->log, chr, "the log of its output", data, size);
    }
    return size;
}

void chr_printf(CharBackend *chr, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n >= 0) {
        chr_write(chr, text, (size_t)n);
        free(text);
    }
}

void chr_accept_input(CharBackend *chr)
{
    if (chr && chr->driver->update_input) {
        chr->driver->update_input(chr);
    }
}

void chr_set_line(CharBackend *chr, unsigned baud, unsigned data_bits, char parity,
                  unsigned stop_bits)
{
    if (chr && chr->driver->set_line) {
        chr->driver->set_line(chr, baud, data_bits, parity, stop_bits);
    }
}

void chr_set_break(CharBackend *chr, bool on)
{
    if (chr && chr->driver->set_break) {
        chr->driver->set_break(chr, on);
    }
}

void chr_send_break(CharBackend *chr)
{
    if (chr->driver->send_break) {
        chr->driver->send_break(chr);
    } else {
        chr_fe_event(chr, CHR_EVENT_BREAK);
    }
}

void chr_set_modem(CharBackend *chr, bool dtr, bool rts)
{
    if (chr && chr->driver->set_modem) {
        chr->driver->set_modem(chr, dtr, rts);
    }
}

unsigned chr_modem(CharBackend *chr)
{
    return chr && chr->driver->modem ? chr->driver->modem(chr) : CHR_CTS | CHR_DSR | CHR_DCD;
}

bool chr_parallel_read(CharBackend *chr, ChrParallelReg reg, uint8_t *value)
{
    return chr && chr->driver->parallel && chr->driver->parallel(chr, reg, value, false);
}

bool chr_parallel_write(CharBackend *chr, ChrParallelReg reg, uint8_t value)
{
    return chr && chr->driver->parallel && chr->driver->parallel(chr, reg, &value, true);
}

/* ---- the backends' way to the front end ---- */

size_t chr_fe_can_receive(CharBackend *chr)
{
    return chr->handlers ? chr->handlers->can_receive(chr->opaque) : 0;
}

void chr_fe_receive(CharBackend *chr, const uint8_t *data, size_t size)
{
    if (chr->handlers && size > 0) {
        chr->handlers->receive(chr->opaque, data, size);
    }
}

void chr_fe_writable(CharBackend *chr)
{
    if (chr->handlers && chr->handlers->writable) {
        chr->handlers->writable(chr->opaque);
    }
}

void chr_fe_event(CharBackend *chr, ChrEvent event)
{
    if (event == CHR_EVENT_OPENED) {
        chr->connected = true;
    } else if (event == CHR_EVENT_CLOSED) {
        chr->connected = false;
    }
    if (chr->handlers && chr->handlers->event) {
        chr->handlers->event(chr->opaque, event);
    }
}
