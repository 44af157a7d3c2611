/*
 * Links to other programs, hosts and ports: telnet's options and escapes, udp, calling again, the
 * two ends of a pipe pair, a terminal device of the host.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "char/char-telnet.h"
#include "tests/unit/char/front-end.h"

/* A free TCP or UDP port of this machine. */
static unsigned free_port(int type)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, type, 0);

    if (bind(fd, (struct sockaddr *)&sa, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
        abort();
    }
    close(fd);
    return ntohs(sa.sin_port);
}

static int tcp_connect(unsigned port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static CharBackend *open_printf(const char *id, Error **errp, const char *fmt, ...)
{
    char spec[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(spec, sizeof(spec), fmt, ap);
    va_end(ap);
    return chr_open(id, spec, errp);
}

/* ---- telnet, the protocol alone ---- */

static Buffer wire;

static void to_wire(void *opaque, const uint8_t *data, size_t n)
{
    buffer_append(&wire, data, n);
}

/* What decode makes of text, fed in pieces of `step` bytes with room for `room`. */
static size_t decode_all(Telnet *t, const char *text, size_t n, size_t step, size_t room,
                         uint8_t *out, unsigned *breaks)
{
    size_t made_all = 0;

    for (size_t at = 0; at < n;) {
        size_t made, piece = n - at < step ? n - at : step;
        bool brk = false;
        at +=
            telnet_decode(t, (const uint8_t *)text + at, piece, out + made_all, room, &made, &brk);
        made_all += made;
        *breaks += brk;
    }
    return made_all;
}

static void telnet_commands_and_escapes(void)
{
    static const char in[] = "a\xff\xff"
                             "b\xff\xf3"
                             "c\xff\xfa\x18\x01\xff\xff\xf0x\xff\xf0"
                             "d\r\0e\r\nf\xff\xf4g\xff\xf2h";
    static const char want[] = "a\xff"
                               "bcd\re\r\nf\3gh";
    uint8_t out[64];

    for (size_t step = 1; step < 8; step++) {
        Telnet t;
        unsigned breaks = 0;
        telnet_start(&t, false, to_wire, NULL);
        CHECK_EQ(decode_all(&t, in, sizeof(in) - 1, step, step, out, &breaks), sizeof(want) - 1);
        CHECK(memcmp(out, want, sizeof(want) - 1) == 0);
        CHECK_EQ(breaks, 1);
    }
    CHECK_EQ(wire.size, 0);
}

static void telnet_output_is_escaped(void)
{
    Buffer out = {0};
    Telnet t;

    telnet_start(&t, false, to_wire, NULL);
    telnet_encode(&t, (const uint8_t *)"a\xff\rb\r\nc\r", 8, &out);
    telnet_encode(&t, (const uint8_t *)"d", 1, &out);
    CHECK_EQ(out.size, 12);
    CHECK(memcmp(out.data, "a\xff\xff\r\0b\r\nc\r\0d", 11) == 0);
    /* In binary a CR is a CR. */
    t.us[0] = true;
    buffer_clear(&out);
    telnet_encode(&t, (const uint8_t *)"\rb", 2, &out);
    CHECK_EQ(out.size, 2);
    buffer_free(&out);
}

static void telnet_negotiation_ends(void)
{
    static const char agreed[] = "\xff\xfd\x01\xff\xfd\x03\xff\xfb\x03\xff\xfd\x00\xff\xfb\x00";
    static const char foreign[] = "\xff\xfb\x18\xff\xfd\x05\xff\xfc\x1f\xff\xfe\x20";
    unsigned breaks = 0;
    uint8_t out[64];
    Telnet t;

    telnet_start(&t, true, to_wire, NULL);
    CHECK_EQ(wire.size, 15);
    CHECK(memcmp(wire.data, "\xff\xfb\x01", 3) == 0); /* WILL ECHO */
    buffer_clear(&wire);
    CHECK_EQ(decode_all(&t, agreed, sizeof(agreed) - 1, 15, 8, out, &breaks), 0);
    CHECK_EQ(wire.size, 0); /* answers are not answered */
    CHECK(t.us[0] && t.him[0] && t.us[1]);
    CHECK_EQ(decode_all(&t, agreed, sizeof(agreed) - 1, 15, 8, out, &breaks), 0);
    CHECK_EQ(wire.size, 0); /* nor what is in force already */
    CHECK_EQ(decode_all(&t, foreign, sizeof(foreign) - 1, 15, 8, out, &breaks), 0);
    CHECK_EQ(wire.size, 6);
    CHECK(memcmp(wire.data, "\xff\xfe\x18\xff\xfc\x05", 6) == 0); /* DONT, WONT */
    buffer_free(&wire);
}

/* ---- telnet on a socket ---- */

static void telnet_server_and_client(void)
{
    FrontEnd a = {.room = 8000}, b = {.room = 8000};
    unsigned port = free_port(SOCK_STREAM);
    CharBackend *server = open_printf("ts", NULL, "telnet:127.0.0.1:%u,server,nowait", port);
    CharBackend *client = open_printf("tc", NULL, "telnet:127.0.0.1:%u", port);
    uint8_t all[256];

    CHECK(server && client);
    CHECK(chr_attach(server, &fe_handlers, &a, NULL) && chr_attach(client, &fe_handlers, &b, NULL));
    turns(10); /* they agree */
    for (unsigned i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(chr_write(client, all, 256), 256);
        CHECK_EQ(chr_write(server, all, 256), 256);
        turns(4);
    }
    CHECK(a.used == 2048 && b.used == 2048);
    for (unsigned i = 0; i < 2048; i++) {
        CHECK(a.got[i] == (uint8_t)i && b.got[i] == (uint8_t)i);
    }
    chr_close(client);
    chr_close(server);
}

static void telnet_break_and_urgent_data(void)
{
    FrontEnd fe = {.room = 100};
    unsigned port = free_port(SOCK_STREAM);
    CharBackend *chr = open_printf("tb", NULL, "tcp:127.0.0.1:%u,server,nowait,telnet=on", port);
    int fd;

    /* The short notation's tcp: with telnet=on is telnet, too. */
    CHECK(chr && chr_attach(chr, &fe_handlers, &fe, NULL));
    fd = tcp_connect(port);
    CHECK(fd >= 0);
    turns(3);
    CHECK_EQ(write(fd,
                   "ab\xff\xf3"
                   "cd",
                   6),
             6);
    turns(3);
    CHECK_STR((char *)fe.got, "abcd");
    CHECK(fe.breaks == 1 && fe.break_at == 2);
    /* A Synch: IAC and, as urgent data, its DM. Out of line the DM would leave a lone IAC behind.
     */
    CHECK_EQ(send(fd, "\xff", 1, 0), 1);
    CHECK_EQ(send(fd, "\xf2", 1, MSG_OOB), 1);
    CHECK_EQ(send(fd, "ef", 2, 0), 2);
    for (int i = 0; i < 50 && fe.used < 6; i++) {
        turns(2);
    }
    CHECK_STR((char *)fe.got, "abcdef");
    /* A break waits for its place in the stream. */
    fe.room = 1;
    CHECK_EQ(write(fd, "gh\xff\xf3", 4), 4);
    turns(3);
    CHECK(fe.breaks == 1 && fe.used == 7);
    fe.room = 10;
    chr_accept_input(chr);
    turns(1);
    CHECK(fe.breaks == 2 && fe.break_at == 8);
    close(fd);
    chr_close(chr);
}

/* ---- udp ---- */

static void udp_both_ways(void)
{
    FrontEnd a = {.room = 10}, b = {.room = 8000};
    unsigned p = free_port(SOCK_DGRAM), q = free_port(SOCK_DGRAM);
    CharBackend *one, *two;
    uint8_t big[3000];

    if (p == q) {
        q = free_port(SOCK_DGRAM);
    }
    one = open_printf("u1", NULL, "udp:127.0.0.1:%u@127.0.0.1:%u", q, p);
    two = open_printf("u2", NULL, "udp:127.0.0.1:%u@:%u", p, q);
    CHECK(one && two);
    CHECK(chr_attach(one, &fe_handlers, &a, NULL) && chr_attach(two, &fe_handlers, &b, NULL));
    chr_write(two, "what is longer than ten bytes", 29);
    turns(3);
    CHECK_EQ(a.used, 10);
    chr_write(two, ", and a second one", 18);
    turns(3);
    a.room = 100;
    chr_accept_input(one);
    turns(3);
    CHECK_STR((char *)a.got, "what is longer than ten bytes, and a second one");
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (uint8_t)(i * 13);
    }
    CHECK_EQ(chr_write(one, big, sizeof(big)), sizeof(big));
    turns(5);
    CHECK(b.used == sizeof(big) && memcmp(b.got, big, sizeof(big)) == 0);
    chr_close(two);
    chr_write(one, "nobody", 6);
    turns(2);
    chr_write(one, "is there", 8); /* the other host says so, which is no end */
    turns(2);
    CHECK_EQ(a.closed, 0);
    chr_close(one);
}

/* ---- calling again ---- */

static void client_calls_again(void)
{
    FrontEnd a = {.room = 100}, b = {.room = 100};
    char spec[300];
    CharBackend *client, *server;

    strcpy(spec, spec_in_dir("unix", "again", ",server,nowait"));
    client = chr_open("rc", spec_in_dir("unix", "again", ",reconnect=1"), NULL);
    CHECK(client && chr_attach(client, &fe_handlers, &a, NULL));
    CHECK_EQ(a.opened, 0); /* nobody listens yet: no error */
    for (unsigned round = 1; round <= 2; round++) {
        server = chr_open("rs", spec, NULL);
        CHECK(server && chr_attach(server, &fe_handlers, &b, NULL));
        for (int i = 0; i < 60 && a.opened < round; i++) {
            loop_run_once(50);
        }
        CHECK_EQ(a.opened, round);
        chr_write(client, "x", 1);
        turns(3);
        CHECK_EQ(b.used, round);
        chr_close(server);
        turns(3);
        CHECK_EQ(a.closed, round);
    }
    chr_close(client);
}

static void reconnect_is_refused_to_servers(void)
{
    Error *err = NULL;

    CHECK(!chr_open("rx", spec_in_dir("unix", "x", ",server,nowait,reconnect=1"), &err));
    CHECK(strstr(error_text(err), "reconnect="));
    error_free(err);
}

/* ---- pipes ---- */

static void two_ends_of_a_pipe_pair(void)
{
    static uint8_t big[300000], back[300000];
    FrontEnd a = {.room = 100}, b = {.room = 0};
    char client_spec[300];
    CharBackend *server = chr_open("ps", spec_in_dir("pipe", "pair", ""), NULL), *client;
    size_t sent = 0, got = 0;

    strcpy(client_spec, spec_in_dir("pipe_client", "pair", ""));
    client = chr_open("pc", client_spec, NULL);
    CHECK(server && client);
    CHECK(chr_attach(server, &fe_handlers, &a, NULL) && chr_attach(client, &fe_handlers, &b, NULL));
    chr_write(client, "hello", 5);
    turns(3);
    CHECK_STR((char *)a.got, "hello");
    /* The client reads nothing for now: pipe and buffers fill up, and then the writer waits. */
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (uint8_t)(i ^ i >> 8);
    }
    for (int i = 0; i < 2000 && sent < sizeof(big); i++) {
        size_t n = sizeof(big) - sent < 100 ? sizeof(big) - sent : 100;
        sent += chr_write(server, big + sent, n);
        turns(i % 50 == 0);
    }
    CHECK(sent < 100000);
    while (got < sizeof(big)) {
        b.room = 1000;
        b.used = 0;
        chr_accept_input(client);
        turns(1);
        memcpy(back + got, b.got, b.used);
        got += b.used;
        sent += chr_write(server, big + sent, sizeof(big) - sent);
    }
    CHECK(memcmp(big, back, sizeof(big)) == 0);
    chr_close(client);
    chr_close(server);
}

static void client_needs_a_server(void)
{
    Error *err = NULL;

    CHECK(!chr_open("px", "pipe_client:/nonexistent/p", &err));
    CHECK(strstr(error_text(err), "pipe:/nonexistent/p"));
    error_free(err);
}

/* ---- a terminal device of the host: a pseudo-terminal stands for the port ---- */

static void host_line_settings(void)
{
    FrontEnd fe = {.room = 100};
    struct termios tio;
    char name[128], buf[16] = "";
    int master, slave;
    CharBackend *chr;

    CHECK_EQ(openpty(&master, &slave, name, NULL, NULL), 0);
    fcntl(master, F_SETFL, O_NONBLOCK);
    chr = chr_open("tty", name, NULL);
    CHECK(chr && chr_attach(chr, &fe_handlers, &fe, NULL));
    chr_set_line(chr, 1843200 / 16 / 96, 7, 'E', 2);
    CHECK_EQ(tcgetattr(slave, &tio), 0);
    CHECK_EQ(cfgetospeed(&tio), B1200);
    CHECK_EQ(tio.c_cflag & CSTOPB, CSTOPB);
    CHECK_EQ(tio.c_cflag & PARODD, 0);
    CHECK_EQ(tio.c_lflag & (ICANON | ECHO | ISIG), 0);
    CHECK_EQ(tio.c_iflag & PARMRK, PARMRK);
    chr_set_line(chr, 115200, 8, 'O', 1);
    CHECK_EQ(tcgetattr(slave, &tio), 0);
    CHECK_EQ(cfgetospeed(&tio), B115200);
    CHECK_EQ(tio.c_cflag & CSTOPB, 0);
    CHECK_EQ(chr_modem(chr), CHR_CTS | CHR_DSR | CHR_DCD);
    chr_write(chr, "a\n\xff", 3);
    turns(2);
    CHECK_EQ(read(master, buf, sizeof(buf)), 3);
    CHECK(memcmp(buf, "a\n\xff", 3) == 0);
    /* The line discipline doubles FF because of PARMRK, and the double is taken back. */
    CHECK_EQ(write(master, "x\xffy\3", 4), 4);
    turns(3);
    CHECK_EQ(fe.used, 4);
    CHECK(memcmp(fe.got, "x\xffy\3", 4) == 0);
    chr_close(chr);
    close(master);
    close(slave);
}

static void host_port_has_to_be_one(void)
{
    Error *err = NULL;

    CHECK(!chr_open("tty", "/dev/null", &err));
    CHECK(strstr(error_text(err), "'/dev/null' is no serial port"));
    error_free(err);
    err = NULL;
    CHECK(!chr_open("par", "/dev/parport77", &err));
    CHECK(strstr(error_text(err), "/dev/parport77"));
    error_free(err);
}

static void cleans_up(void)
{
    char command[64];

    chr_close_all();
    snprintf(command, sizeof(command), "rm -r %s", dir);
    CHECK_EQ(system(command), 0);
}

TESTS(TEST(telnet_commands_and_escapes), TEST(telnet_output_is_escaped),
      TEST(telnet_negotiation_ends), TEST(telnet_server_and_client),
      TEST(telnet_break_and_urgent_data), TEST(udp_both_ways), TEST(client_calls_again),
      TEST(reconnect_is_refused_to_servers), TEST(two_ends_of_a_pipe_pair),
      TEST(client_needs_a_server), TEST(host_line_settings), TEST(host_port_has_to_be_one),
      TEST(cleans_up))
