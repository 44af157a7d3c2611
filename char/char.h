/*
 * CharBackend: a byte stream to the outside (terminal, file, socket ...), as a UART or the monitor
 * sees it.
 *
 * Flow control works both ways. Input: the backend asks can_receive() for how many bytes the front
 * end takes now, hands over no more, and stops reading its fd until chr_accept_input(). Output:
 * chr_write() takes as many bytes as it can; the front end keeps the rest and is called at
 * writable() when there is room. Main thread or a vCPU, machine lock held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHAR_CHAR_H
#define CHAR_CHAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

typedef struct CharBackend CharBackend;

typedef enum ChrEvent {
    CHR_EVENT_OPENED, /* a peer is there; also told to a front end that attaches later */
    CHR_EVENT_CLOSED, /* the peer has gone */
    CHR_EVENT_BREAK,
    CHR_EVENT_MODEM,     /* chr_modem() has changed */
    CHR_EVENT_FOCUS_IN,  /* mux: what is typed goes to this front end now ... */
    CHR_EVENT_FOCUS_OUT, /* ... and not any more */
} ChrEvent;

typedef struct CharHandlers {
    size_t (*can_receive)(void *opaque); /* bytes the front end takes now */
    void (*receive)(void *opaque, const uint8_t *data, size_t size);
    void (*writable)(void *opaque);              /* may be NULL */
    void (*event)(void *opaque, ChrEvent event); /* may be NULL */
    /* receive() and event() may be called by the vCPU that made room, from inside
     * chr_accept_input(); else the main loop calls them. */
    bool any_thread;
} CharHandlers;

/* The modem's lines as a UART sees them. */
enum { CHR_CTS = 1, CHR_DSR = 2, CHR_RI = 4, CHR_DCD = 8 };

/* The registers of a parallel port. */
typedef enum ChrParallelReg {
    CHR_PARALLEL_DATA,
    CHR_PARALLEL_STATUS,
    CHR_PARALLEL_CONTROL
} ChrParallelReg;

/*
 * Makes a backend from the tradition's words: stdio, null, file:PATH, pipe:PATH, pipe_client:PATH,
 * pty, unix:PATH[,server][,nowait][,reconnect=SEC], tcp:HOST:PORT and telnet:HOST:PORT likewise,
 * udp:[HOST]:PORT[@[HOST]:PORT], vc[:WxH], msmouse, ringbuf[:SIZE], /dev/TTY and /dev/parportN of
 * the host, mon:SPEC (multiplexed with the monitor), chardev:ID (one that is open already), none
 * (NULL without error). With mon:stdio Ctrl-C and its like go to the guest. A server without nowait
 * waits here for its first peer.
 */
CharBackend *chr_open(const char *id, const char *spec, Error **errp);
/*
 * The same from the words of -chardev: "socket,id=ID,path=PATH,server=on,wait=off",
 * "stdio,id=ID,mux=on" ...; "help" lists the kinds on stdout (NULL without error).
 */
CharBackend *chr_open_option(const char *option, Error **errp);
/* True for a mux: several front ends share it, the first one attached has the focus. */
bool chr_is_mux(const CharBackend *chr);
/* True when a device, a monitor or the like is behind it. */
bool chr_has_front_end(const CharBackend *chr);
void chr_each_kind(void (*fn)(const char *name, void *opaque), void *opaque);
/* True when a person's terminal may be at the other end (a tty, a pty, a socket). */
bool chr_is_interactive(const CharBackend *chr);
CharBackend *chr_find(const char *id);
const char *chr_id(const CharBackend *chr);
const char *chr_spec(const CharBackend *chr);
void chr_each(void (*fn)(CharBackend *chr, void *opaque), void *opaque);
void chr_close(CharBackend *chr);
void chr_close_all(void); /* also puts the terminal back as it was */

/* Bytes a ring buffer backend holds for reading, taken out; 0 on any other kind. */
size_t chr_ringbuf_read(CharBackend *chr, void *buf, size_t size);
/* Feeds a ring buffer backend's front end, as far as it takes it; returns the bytes taken. */
size_t chr_ringbuf_feed(CharBackend *chr, const void *data, size_t size);

/* The front end hears a break, as if one had come. */
void chr_send_break(CharBackend *chr);

/* One front end a backend, except a mux, which takes several and Ctrl-a c switches between them. */
bool chr_attach(CharBackend *chr, const CharHandlers *handlers, void *opaque, Error **errp);
void chr_detach(CharBackend *chr, void *opaque);
/* Bytes taken, 0..size; a backend without a peer takes and drops everything. chr NULL: takes
 * everything. */
size_t chr_write(CharBackend *chr, const void *data, size_t size);
void chr_printf(CharBackend *chr, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* can_receive() has grown: go on reading. */
void chr_accept_input(CharBackend *chr);
/* Line settings for a host serial port or pty; others ignore them. */
void chr_set_line(CharBackend *chr, unsigned baud, unsigned data_bits, char parity,
                  unsigned stop_bits);
void chr_set_break(CharBackend *chr, bool on);
/* The UART's outputs; and the inputs (CHR_CTS ...), which without a real line say: a peer that is
 * ready. */
void chr_set_modem(CharBackend *chr, bool dtr, bool rts);
unsigned chr_modem(CharBackend *chr);
/* A host's parallel port passes its registers through; on anything else false: bytes are written to
 * it. */
bool chr_parallel_read(CharBackend *chr, ChrParallelReg reg, uint8_t *value);
bool chr_parallel_write(CharBackend *chr, ChrParallelReg reg, uint8_t value);

#endif
