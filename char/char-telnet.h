/*
 * The telnet protocol, without the socket.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHAR_CHAR_TELNET_H
#define CHAR_CHAR_TELNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buffer.h"

#define TELNET_OPTIONS 4 /* those below 4 are kept track of; the others are declined */

typedef struct Telnet {
    bool server;
    uint8_t state, verb;
    bool after_cr, sent_cr;
    bool us[TELNET_OPTIONS], him[TELNET_OPTIONS];             /* options in force */
    bool asked_us[TELNET_OPTIONS], asked_him[TELNET_OPTIONS]; /* we asked and wait */
    void (*send)(void *opaque, const uint8_t *data,
                 size_t n); /* puts bytes on the wire as they are */
    void *opaque;
} Telnet;

/* A new connection: sends the server's wishes. */
void telnet_start(Telnet *t, bool server, void (*send)(void *opaque, const uint8_t *data, size_t n),
                  void *opaque);
/* As ChrFilter's. */
size_t telnet_decode(Telnet *t, const uint8_t *in, size_t size, uint8_t *out, size_t room,
                     size_t *made, bool *is_break);
void telnet_encode(Telnet *t, const uint8_t *data, size_t size, Buffer *out);

#endif
