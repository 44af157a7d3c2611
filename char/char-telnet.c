/*
 * Telnet on a socket: options, commands and escapes of RFC 854; the state of each option as RFC
 * 1143 keeps it, without its queue, because nothing here changes its mind.
 *
 * We want a line that is transparent and echoed by the guest: binary both ways (RFC 856), no
 * go-aheads (RFC 858), and as the server we say that we echo (RFC 857), so that the peer's terminal
 * does not. Every other option is declined. A peer that declines binary gets and sends CR NUL for a
 * lone CR. Urgent data stays in line (the socket is set so), where its mark is a command as any
 * other: the guest loses nothing by a Synch.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char/char-telnet.h"

#include <string.h>

#define IAC   255
#define DONT  254
#define DO    253
#define WONT  252
#define WILL  251
#define SB    250
#define EL    248
#define EC    247
#define AYT   246
#define IP    244
#define BRK   243
#define SE    240
#define ABORT 238
#define SUSP  237
#define XEOF  236

#define OPT_BINARY 0
#define OPT_ECHO   1
#define OPT_SGA    3

enum { DATA, AFTER_IAC, AFTER_VERB, IN_SB, SB_IAC }; /* Telnet.state */

/* ---- options ---- */

static void send_option(Telnet *t, uint8_t verb, uint8_t option)
{
    const uint8_t text[3] = {IAC, verb, option};

    t->send(t->opaque, text, sizeof(text));
}

static void ask(Telnet *t, uint8_t verb, uint8_t option)
{
    if (verb == WILL) {
        t->asked_us[option] = true;
    } else {
        t->asked_him[option] = true;
    }
    send_option(t, verb, option);
}

void telnet_start(Telnet *t, bool server, void (*send)(void *opaque, const uint8_t *data, size_t n),
                  void *opaque)
{
    *t = (Telnet){.server = server, .send = send, .opaque = opaque};
    if (server) {
        ask(t, WILL, OPT_ECHO);
        ask(t, WILL, OPT_SGA);
        ask(t, DO, OPT_SGA);
        ask(t, WILL, OPT_BINARY);
        ask(t, DO, OPT_BINARY);
    }
}

/* Whether we (the peer) may do this. */
static bool we_may(const Telnet *t, uint8_t option)
{
    return option == OPT_BINARY || option == OPT_SGA || (option == OPT_ECHO && t->server);
}

static bool he_may(const Telnet *t, uint8_t option)
{
    return option == OPT_BINARY || option == OPT_SGA || (option == OPT_ECHO && !t->server);
}

/* Only a change of state is answered, and an answer to our own question is none. */
static void negotiate(Telnet *t, uint8_t verb, uint8_t option)
{
    bool ours = verb == DO || verb == DONT, on = verb == DO || verb == WILL;
    bool allowed = ours ? we_may(t, option) : he_may(t, option);
    bool *state, *asked;

    if (!allowed) {
        if (on) {
            send_option(t, ours ? WONT : DONT, option);
        }
        return;
    }
    state = ours ? &t->us[option] : &t->him[option];
    asked = ours ? &t->asked_us[option] : &t->asked_him[option];
    if (*state != on && !*asked) {
        send_option(t, ours ? (on ? WILL : WONT) : on ? DO : DONT, option);
    }
    *state = on;
    *asked = false;
}

/* ---- in ---- */

/* The character that a command stands for on a terminal's line; 0: none. */
static uint8_t command_character(uint8_t command)
{
    switch (command) {
    case IAC:
        return IAC;
    case IP:
        return 0x03;
    case ABORT:
        return 0x1c;
    case SUSP:
        return 0x1a;
    case XEOF:
        return 0x04;
    case EC:
        return 0x7f;
    case EL:
        return 0x15;
    default:
        return 0;
    }
}

static size_t command(Telnet *t, uint8_t c, uint8_t *out, bool *is_break)
{
    static const char here[] = "\r\n[yes]\r\n";

    t->state = DATA;
    if (c >= WILL && c <= DONT) {
        t->verb = c;
        t->state = AFTER_VERB;
    } else if (c == SB) {
        t->state = IN_SB;
    } else if (c == AYT) {
        t->send(t->opaque, (const uint8_t *)here, sizeof(here) - 1);
    } else if (c == BRK) {
        *is_break = true;
    } else {
        *out = command_character(c);
        return *out != 0;
    }
    return 0;
}

/* Takes a byte; makes at most one. */
static size_t take_byte(Telnet *t, uint8_t c, uint8_t *out, bool *is_break)
{
    bool after_cr = t->after_cr;

    switch (t->state) {
    case AFTER_IAC:
        return command(t, c, out, is_break);
    case AFTER_VERB:
        t->state = DATA;
        if (c < TELNET_OPTIONS) {
            negotiate(t, t->verb, c);
        } else if (t->verb == DO || t->verb == WILL) {
            send_option(t, t->verb == DO ? WONT : DONT, c);
        }
        return 0;
    case IN_SB:
        t->state = c == IAC ? SB_IAC : IN_SB;
        return 0;
    case SB_IAC:
        t->state = c == SE ? DATA : IN_SB;
        return 0;
    default:
        break;
    }
    if (c == IAC) {
        t->state = AFTER_IAC;
        return 0;
    }
    t->after_cr = c == '\r';
    if (c == 0 && after_cr && !t->him[OPT_BINARY]) {
        return 0;
    }
    *out = c;
    return 1;
}

size_t telnet_decode(Telnet *t, const uint8_t *in, size_t size, uint8_t *out, size_t room,
                     size_t *made, bool *is_break)
{
    size_t taken = 0;

    *made = 0;
    while (taken < size && *made < room && !*is_break) {
        *made += take_byte(t, in[taken++], out + *made, is_break);
    }
    return taken;
}

/* ---- out ---- */

void telnet_encode(Telnet *t, const uint8_t *data, size_t size, Buffer *out)
{
    for (size_t i = 0; i < size; i++) {
        /* A line's end is CR LF, a lone CR is CR NUL (RFC 854); which, the next byte tells. */
        if (t->sent_cr && data[i] != '\n' && !t->us[OPT_BINARY]) {
            buffer_put_u8(out, 0);
        }
        if (data[i] == IAC) {
            buffer_put_u8(out, IAC);
        }
        buffer_put_u8(out, data[i]);
        t->sent_cr = data[i] == '\r';
    }
}
