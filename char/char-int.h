/*
 * What the kinds of character backends share; private to char/.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHAR_CHAR_INT_H
#define CHAR_CHAR_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "char/char.h"
#include "util/loop.h"

typedef struct ChrDriver ChrDriver;

/* What -serial, -monitor and -chardev say, parsed. Strings are owned by the struct. */
typedef struct ChrOptions {
    const ChrDriver *driver;
    char *path;        /* file, pipe, unix socket, pty's link */
    char *host, *port; /* TCP */
    bool server, nowait, nodelay;
    bool mux;
    bool append;     /* file */
    bool no_signals; /* stdio: Ctrl-C, Ctrl-Z and Ctrl-\ are data */
    uint64_t size;   /* ringbuf */
} ChrOptions;

struct ChrDriver {
    const char *name;
    const char *help;
    /* Sets chr->state. On failure leaves nothing behind. */
    bool (*open)(CharBackend *chr, const ChrOptions *o, Error **errp);
    void (*close)(CharBackend *chr);
    size_t (*write)(CharBackend *chr, const uint8_t *data, size_t size);
    /* The front end came, went or takes more than before. May be NULL. */
    void (*update_input)(CharBackend *chr);
    void (*set_line)(CharBackend *chr, unsigned baud, unsigned data_bits, char parity,
                     unsigned stop_bits);
    void (*set_break)(CharBackend *chr, bool on);
    /* Only a mux has these: it takes several front ends. */
    bool (*attach)(CharBackend *chr, const CharHandlers *h, void *opaque, Error **errp);
    void (*detach)(CharBackend *chr, void *opaque);
};

struct CharBackend {
    char *id, *spec;
    const ChrDriver *driver;
    void *state;
    const CharHandlers *handlers; /* NULL: no front end */
    void *opaque;
    bool connected;   /* a peer is there */
    bool interactive; /* a person may be typing */
    CharBackend *next;
};

extern const ChrDriver chr_null_driver, chr_stdio_driver, chr_file_driver, chr_pipe_driver,
    chr_pty_driver, chr_unix_driver, chr_tcp_driver, chr_ringbuf_driver, chr_mux_driver;

/* ---- char-options.c ---- */
/* "kind:rest,flag,..." into o (zeroed before); rest is checked by the kind's open. */
bool chr_parse_spec(ChrOptions *o, const char *spec, Error **errp);
/* "kind,id=ID,key=value,..."; *id is the caller's to free. */
bool chr_parse_option(ChrOptions *o, char **id, const char *option, Error **errp);
void chr_options_free(ChrOptions *o);
void chr_print_kinds(void);

/* ---- char.c: the backends' way to the front end ---- */
/* Bytes the front end takes now; 0 when there is none. */
size_t chr_fe_can_receive(CharBackend *chr);
void chr_fe_receive(CharBackend *chr, const uint8_t *data, size_t size);
void chr_fe_writable(CharBackend *chr);
/* Also keeps chr->connected. */
void chr_fe_event(CharBackend *chr, ChrEvent event);

/* ---- char-mux.c ---- */
/* Puts a mux with the given id in front of `lower`, which it owns from then on. */
CharBackend *chr_mux_new(const char *id, CharBackend *lower);

/* ---- char-fd.c: a backend over file descriptors ---- */
typedef struct ChrFd {
    CharBackend *chr;
    int in, out;           /* may be the same one; -1: none */
    bool want_write;       /* the front end waits for room */
    bool reading, writing; /* what the loop watches for now */
    bool failed;
    /* End of file on `in`, or an error on either; called from the loop, never from a write. */
    void (*closed)(CharBackend *chr);
    Timer failure; /* reports a failed write from the loop */
} ChrFd;

/* Starts watching. The descriptors are nonblocking already and stay the caller's. */
void chr_fd_start(ChrFd *f, CharBackend *chr, int in, int out, void (*closed)(CharBackend *chr));
/* Stops for good, without closing anything. Harmless on a zeroed or stopped one. */
void chr_fd_stop(ChrFd *f);
void chr_fd_update(ChrFd *f);
size_t chr_fd_write(ChrFd *f, const uint8_t *data, size_t size);
bool chr_fd_set_nonblocking(int fd, Error **errp);

#endif
