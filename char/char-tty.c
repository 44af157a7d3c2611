/*
 * The host's serial ports: the guest's line settings, breaks and modem lines are those of the real
 * line. Also any other terminal device of the host, which then ignores what it has no notion of.
 *
 * A received break comes as the three bytes FF 00 00, and FF as FF FF, by termios' PARMRK.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "char/char-int.h"

/* A change of the inputs has no descriptor to watch: they are looked at this often. */
#define MODEM_INTERVAL (20 * NS_PER_MS)

typedef struct ChrTty {
    ChrFd fd;
    int tty;
    struct termios saved;
    uint8_t mark;   /* bytes of a mark seen: 0, 1 (FF) or 2 (FF 00) */
    unsigned modem; /* the inputs when last looked at */
    Timer poll;
} ChrTty;

/* ---- line settings ---- */

static const struct {
    unsigned baud;
    speed_t speed;
} speeds[] = {
    {50, B50},         {75, B75},         {110, B110},       {134, B134},       {150, B150},
    {200, B200},       {300, B300},       {600, B600},       {1200, B1200},     {1800, B1800},
    {2400, B2400},     {4800, B4800},     {9600, B9600},     {19200, B19200},   {38400, B38400},
    {57600, B57600},   {115200, B115200}, {230400, B230400}, {460800, B460800}, {500000, B500000},
    {576000, B576000}, {921600, B921600},
};

/* A divisor's rate is never quite a standard one: the nearest is meant. */
static speed_t nearest_speed(unsigned baud)
{
    size_t best = 0;

    for (size_t i = 1; i < sizeof(speeds) / sizeof(speeds[0]); i++) {
        if (llabs((long long)speeds[i].baud - baud) < llabs((long long)speeds[best].baud - baud)) {
            best = i;
        }
    }
    return speeds[best].speed;
}

static void tty_set_line(CharBackend *chr, unsigned baud, unsigned data_bits, char parity,
                         unsigned stop_bits)
{
    static const tcflag_t sizes[] = {CS5, CS6, CS7, CS8};
    ChrTty *t = chr->state;
    struct termios tio;

    if (tcgetattr(t->tty, &tio) < 0 || data_bits < 5 || data_bits > 8) {
        return;
    }
    cfmakeraw(&tio);
    cfsetspeed(&tio, nearest_speed(baud));
    tio.c_iflag &= ~(IGNBRK | BRKINT | INPCK | IGNPAR);
    tio.c_iflag |= PARMRK;
    tio.c_cflag &= ~(CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS | HUPCL);
    tio.c_cflag |= sizes[data_bits - 5] | CLOCAL | CREAD;
    tio.c_cflag |= parity == 'N' ? 0 : PARENB | (parity == 'O' ? PARODD : 0);
    tio.c_cflag |= stop_bits == 2 ? CSTOPB : 0;
    tio.c_cc[VMIN] = 1;
    tio.c_cc[VTIME] = 0;
    /* Not TCSADRAIN, which would hold up the machine until the line has sent everything. */
    chr_fd_flush(&t->fd);
    tcsetattr(t->tty, TCSANOW, &tio);
}

static void tty_set_break(CharBackend *chr, bool on)
{
    ChrTty *t = chr->state;

    ioctl(t->tty, on ? TIOCSBRK : TIOCCBRK);
}

/* ---- modem lines ---- */

static void tty_set_modem(CharBackend *chr, bool dtr, bool rts)
{
    ChrTty *t = chr->state;
    int lines = (dtr ? TIOCM_DTR : 0) | (rts ? TIOCM_RTS : 0), others = 0;

    if (ioctl(t->tty, TIOCMGET, &others) == 0) {
        lines |= others & ~(TIOCM_DTR | TIOCM_RTS);
        ioctl(t->tty, TIOCMSET, &lines);
    }
}

/* A pseudo-terminal has no such lines: its peer is ready. */
static unsigned read_modem(ChrTty *t)
{
    int lines;

    if (ioctl(t->tty, TIOCMGET, &lines) < 0) {
        return CHR_CTS | CHR_DSR | CHR_DCD;
    }
    return (lines & TIOCM_CTS ? CHR_CTS : 0) | (lines & TIOCM_DSR ? CHR_DSR : 0) |
           (lines & TIOCM_RI ? CHR_RI : 0) | (lines & TIOCM_CAR ? CHR_DCD : 0);
}

static unsigned tty_modem(CharBackend *chr)
{
    ChrTty *t = chr->state;

    return t->modem;
}

static void poll_modem(void *opaque)
{
    CharBackend *chr = opaque;
    ChrTty *t = chr->state;
    unsigned now = read_modem(t);

    if (now != t->modem) {
        t->modem = now;
        chr_fe_event(chr, CHR_EVENT_MODEM);
    }
    timer_set(&t->poll, clock_now(CLOCK_HOST) + MODEM_INTERVAL);
}

/* ---- bytes ---- */

static size_t decode(CharBackend *chr, const uint8_t *in, size_t size, uint8_t *out, size_t room,
                     size_t *made, bool *is_break)
{
    ChrTty *t = chr->state;
    size_t taken = 0;

    while (taken < size && *made < room && !*is_break) {
        uint8_t c = in[taken++];
        if (t->mark == 0 && c == 0xff) {
            t->mark = 1;
        } else if (t->mark == 1 && c == 0) {
            t->mark = 2;
        } else if (t->mark == 2 && c == 0) {
            t->mark = 0;
            *is_break = true;
        } else {
            t->mark = 0; /* FF FF; or FF 00 c, a byte with a parity or framing error */
            out[(*made)++] = c;
        }
    }
    return taken;
}

static void encode(CharBackend *chr, const uint8_t *data, size_t size, Buffer *out)
{
    buffer_append(out, data, size);
}

static const ChrFilter mark_filter = {decode, encode};

static void tty_gone(CharBackend *chr)
{
    ChrTty *t = chr->state;

    timer_cancel(&t->poll);
    chr_fd_stop(&t->fd);
    chr_fe_event(chr, CHR_EVENT_CLOSED);
}

static bool tty_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    struct termios saved;
    ChrTty *t;
    int fd;

    if (!o->path) {
        error_set(errp, "character device '%s': needs path=, a serial device of the host", chr->id);
        return false;
    }
    fd = open(o->path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot open '%s'", chr->id, o->path);
        return false;
    }
    if (tcgetattr(fd, &saved) < 0) {
        error_set(errp, "character device '%s': '%s' is no serial port or terminal", chr->id,
                  o->path);
        close(fd);
        return false;
    }
    t = calloc(1, sizeof(*t));
    t->tty = fd;
    t->saved = saved;
    t->fd.filter = &mark_filter;
    chr->state = t;
    chr->connected = true;
    tty_set_line(chr, 115200, 8, 'N', 1);
    t->modem = read_modem(t);
    timer_init(&t->poll, CLOCK_HOST, poll_modem, chr);
    timer_set(&t->poll, clock_now(CLOCK_HOST) + MODEM_INTERVAL);
    chr_fd_start(&t->fd, chr, fd, fd, tty_gone);
    return true;
}

static void tty_close(CharBackend *chr)
{
    ChrTty *t = chr->state;

    timer_cancel(&t->poll);
    chr_fd_stop(&t->fd);
    tcsetattr(t->tty, TCSANOW, &t->saved);
    close(t->tty);
    free(t);
}

static size_t tty_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    ChrTty *t = chr->state;

    return chr_fd_write(&t->fd, data, size);
}

static void tty_update_input(CharBackend *chr)
{
    ChrTty *t = chr->state;

    chr_fd_update(&t->fd);
}

const ChrDriver chr_tty_driver = {
    .name = "tty",
    .help = "a serial port of the host, path=",
    .open = tty_open,
    .close = tty_close,
    .write = tty_write,
    .update_input = tty_update_input,
    .set_line = tty_set_line,
    .set_break = tty_set_break,
    .set_modem = tty_set_modem,
    .modem = tty_modem,
};
