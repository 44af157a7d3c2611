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
#include "util/buffer.h"
#include "util/loop.h"

typedef struct ChrDriver ChrDriver;
typedef struct ChrFile ChrFile;

/* What -serial, -monitor and -chardev say, parsed. Strings are owned by the struct. */
typedef struct ChrOptions {
    const ChrDriver *driver;
    char *path;                  /* file, pipe, unix socket, pty's link, host's device */
    char *host, *port;           /* TCP, UDP: the other host */
    char *localaddr, *localport; /* UDP: where to be reached */
    bool server, nowait, delay;
    bool telnet;
    bool has_fd;
    uint64_t fd;        /* a socket that whoever started us has opened */
    uint64_t reconnect; /* seconds; 0: a lost connection stays lost */
    bool mux;
    bool append;   /* file */
    char *logfile; /* a copy of the output goes there */
    bool logappend, has_logappend;
    bool no_signals;                    /* stdio: Ctrl-C, Ctrl-Z and Ctrl-\ are data */
    uint64_t size;                      /* ringbuf */
    uint64_t width, height, cols, rows; /* vc: in pixels, or in characters */
} ChrOptions;

struct ChrDriver {
    const char *name;
    const char *help;
    /* What stands behind the colon, up to the first comma; NULL: nothing may stand there. */
    bool (*parse)(ChrOptions *o, const char *text, Error **errp);
    bool path_is_rest; /* the whole rest is o->path, commas and all; instead of parse */
    /* Sets chr->state. On failure leaves nothing behind. */
    bool (*open)(CharBackend *chr, const ChrOptions *o, Error **errp);
    void (*close)(CharBackend *chr);
    size_t (*write)(CharBackend *chr, const uint8_t *data, size_t size);
    /* The front end came, went or takes more than before. May be NULL. */
    void (*update_input)(CharBackend *chr);
    void (*set_line)(CharBackend *chr, unsigned baud, unsigned data_bits, char parity,
                     unsigned stop_bits);
    void (*set_break)(CharBackend *chr, bool on);
    void (*set_modem)(CharBackend *chr, bool dtr, bool rts);
    unsigned (*modem)(CharBackend *chr);
    bool (*parallel)(CharBackend *chr, ChrParallelReg reg, uint8_t *value, bool write);
    /* Only a mux has these: it takes several front ends. */
    void (*send_break)(CharBackend *chr);
    bool (*attach)(CharBackend *chr, const CharHandlers *h, void *opaque, Error **errp);
    void (*detach)(CharBackend *chr, void *opaque);
};

struct CharBackend {
    char *id, *spec;
    const ChrDriver *driver;
    void *state;
    ChrFile *log;                 /* NULL: none */
    const CharHandlers *handlers; /* NULL: no front end */
    void *opaque;
    bool connected;   /* a peer is there */
    bool interactive; /* a person may be typing */
    CharBackend *next;
};

extern const ChrDriver chr_null_driver, chr_stdio_driver, chr_file_driver, chr_pipe_driver,
    chr_pipe_client_driver, chr_pty_driver, chr_unix_driver, chr_tcp_driver, chr_telnet_driver,
    chr_udp_driver, chr_ringbuf_driver, chr_tty_driver, chr_parport_driver, chr_mux_driver;

/* ---- char-options.c ---- */
/* "kind:rest,flag,..." into o (zeroed before); rest is checked by the kind's open. */
bool chr_parse_spec(ChrOptions *o, const char *spec, Error **errp);
/* "kind,id=ID,key=value,..."; *id is the caller's to free. */
bool chr_parse_option(ChrOptions *o, char **id, const char *option, Error **errp);
/* One key of either notation; value NULL: the key stands alone. */
bool chr_parse_key(ChrOptions *o, const char *name, const char *value, Error **errp);
/* -chardev's word for a kind ("socket" is one of several, by what o holds), or NULL. */
const ChrDriver *chr_kind_by_name(const char *kind, const ChrOptions *o);
/* "HOST:PORT", "[::1]:PORT", ":PORT"; replaces both strings. False when there is no port. */
bool chr_parse_host_port(const char *text, char **host, char **port);
void chr_options_free(ChrOptions *o);
void chr_print_kinds(void);
/* A kind that another room brings (ui/); the driver is kept. Once, before anything is parsed. */
void chr_register_driver(const ChrDriver *driver);

/* ---- char.c: the backends' way to the front end ---- */
/* Bytes the front end takes now; 0 when there is none. */
size_t chr_fe_can_receive(CharBackend *chr);
void chr_fe_receive(CharBackend *chr, const uint8_t *data, size_t size);
void chr_fe_writable(CharBackend *chr);
/* Also keeps chr->connected. */
void chr_fe_event(CharBackend *chr, ChrEvent event);

/* ---- char-file.c ---- */
/* Opens a file for output, emptied if it does not append; NULL with an error. */
ChrFile *chr_file_new(const char *path, bool append, Error **errp);
void chr_file_free(ChrFile *f); /* NULL: nothing */
/*
 * A regular file always takes everything. When the disk is full there is no later moment to wait
 * for, so the rest is dropped and said so once ("WHAT is lost"); the guest goes on.
 */
void chr_file_put(ChrFile *f, const CharBackend *chr, const char *what, const uint8_t *data,
                  size_t size);

/* ---- char-mux.c ---- */
/* Puts a mux with the given id in front of `lower`, which it owns from then on. */
CharBackend *chr_mux_new(const char *id, CharBackend *lower);

/* ---- char-fd.c: a backend over file descriptors ---- */
/* What a protocol does to the bytes on the wire. */
typedef struct ChrFilter {
    /*
     * Takes some of `size` bytes that came, at least one, and makes at most `room` bytes of data of
     * them. Returns those taken; *is_break: a break follows the data. Size and room are not 0.
     */
    size_t (*decode)(CharBackend *chr, const uint8_t *in, size_t size, uint8_t *out, size_t room,
                     size_t *made, bool *is_break);
    void (*encode)(CharBackend *chr, const uint8_t *data, size_t size, Buffer *out);
} ChrFilter;

typedef struct ChrFd {
    /* Set before chr_fd_start(). */
    const ChrFilter *filter; /* NULL: none */
    bool datagram;           /* keeps datagrams whole, and one that is lost is no error */
    /* Nothing more will come, though some of it is still to be delivered. May be NULL. */
    void (*at_end)(CharBackend *chr);

    CharBackend *chr;
    int in, out;           /* may be the same one; -1: none */
    bool reading, writing; /* what the loop watches for now */
    uint8_t *ahead;        /* what was read and the front end has not taken yet */
    size_t head, used;
    bool delivering;
    bool ended;  /* nothing more will come */
    bool failed; /* nothing more can be written */
    Buffer collected;
    bool blocked;    /* the descriptor takes no more for now */
    bool want_write; /* the front end waits for room */
    /* The stream is over: all that came is delivered. Called from the loop, never from a write. */
    void (*closed)(CharBackend *chr);
    Timer later; /* what has to be done from the loop */
} ChrFd;

/* Starts watching. The descriptors are nonblocking already and stay the caller's. */
void chr_fd_start(ChrFd *f, CharBackend *chr, int in, int out, void (*closed)(CharBackend *chr));
/* Writes what was collected (waiting a moment for a slow reader) and stops for good, without
 * closing anything. Harmless on a zeroed or stopped one. */
void chr_fd_stop(ChrFd *f);
/* Goes on with another descriptor; what came on the old one is delivered first. */
void chr_fd_replace(ChrFd *f, int fd);
/* From `closed`: goes on writing only. */
void chr_fd_end_input(ChrFd *f);
/* True when nothing more will come, though the front end may not have taken all yet. */
bool chr_fd_has_ended(const ChrFd *f);
/* A driver's update_input. */
void chr_fd_update(ChrFd *f);
size_t chr_fd_write(ChrFd *f, const uint8_t *data, size_t size);
/* Puts bytes on the wire behind what was collected, past the filter. */
void chr_fd_send_raw(ChrFd *f, const uint8_t *data, size_t size);
/* Writes what was collected now, as far as it goes. */
void chr_fd_flush(ChrFd *f);
bool chr_fd_set_nonblocking(int fd, Error **errp);

#endif
