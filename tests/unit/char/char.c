/*
 * Character backends: both notations, flow control without loss in both directions, peers that come
 * and go, and the mux's keys.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char/char.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/char/front-end.h"
#include "tests/unit/test.h"

static void refuses_bad_words(void)
{
    static const char *const bad[] = {
        "nul",       "stdoi",          "tcp:here",         "unix:",
        "file:",     "unix:/x,sevrer", "unix:/x,server=7", "null:x",
        "ringbuf:0", "mon:",           "chardev:nobody",   "pipe:/nonexistent/p"};
    Error *err = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(chr_open("bad", bad[i], &err) == NULL);
        CHECK(err != NULL);
        error_free(err);
        err = NULL;
    }
    CHECK(chr_open("none", "none", &err) == NULL && err == NULL);
    CHECK(chr_open_option("null", &err) == NULL && strstr(error_text(err), "id="));
    error_free(err);
}

static void names_are_unique(void)
{
    Error *err = NULL;
    CharBackend *chr = chr_open_option("ringbuf,id=r0,size=16", &err);

    CHECK(chr && !err);
    CHECK_STR(chr_id(chr), "r0");
    CHECK(chr_find("r0") == chr);
    CHECK(chr_open("x", "chardev:r0", NULL) == chr);
    CHECK(chr_open("r0", "null", &err) == NULL && err);
    error_free(err);
    chr_close(chr);
    CHECK(chr_find("r0") == NULL);
}

static void one_front_end_a_backend(void)
{
    FrontEnd a = {0}, b = {0};
    CharBackend *chr = chr_open("c", "null", NULL);
    Error *err = NULL;

    CHECK(chr_attach(chr, &fe_handlers, &a, NULL));
    CHECK_EQ(a.opened, 1);
    CHECK(!chr_attach(chr, &fe_handlers, &b, &err) && err);
    error_free(err);
    chr_detach(chr, &b); /* is not attached: nothing happens */
    chr_detach(chr, &a);
    CHECK(chr_attach(chr, &fe_handlers, &b, NULL));
    chr_close(chr);
}

static void file_keeps_every_byte(void)
{
    CharBackend *chr = chr_open("f", spec_in_dir("file", "out,put", ""), NULL);
    char buf[16] = "";
    FILE *f;

    CHECK(chr != NULL);
    CHECK_EQ(chr_write(chr, "hello ", 6), 6);
    chr_printf(chr, "%d", 42);
    chr_close(chr);
    f = fopen(in_dir("out,put"), "r");
    CHECK(f && fgets(buf, sizeof(buf), f));
    fclose(f);
    CHECK_STR(buf, "hello 42");
}

static void socket_holds_both_directions_back(void)
{
    static uint8_t big[1 << 20], back[1 << 20];
    FrontEnd fe = {.room = 5};
    size_t sent, received = 0;
    int fd;
    CharBackend *chr = chr_open("s", spec_in_dir("unix", "sock", ",server,nowait"), NULL);

    CHECK(chr && chr_attach(chr, &fe_handlers, &fe, NULL));
    CHECK_EQ(fe.opened, 0);
    CHECK_EQ(chr_write(chr, "lost", 4), 4); /* nobody is there: dropped */
    fd = connect_to(in_dir("sock"));
    CHECK(fd >= 0);
    turns(2);
    CHECK_EQ(fe.opened, 1);

    /* In: five bytes and no more until the front end says so. */
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    turns(3);
    CHECK_EQ(fe.used, 5);
    fe.room = 100;
    chr_accept_input(chr);
    turns(3);
    CHECK_STR((char *)fe.got, "0123456789");

    /* Out: takes what fits, calls back when there is room, loses nothing. */
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (uint8_t)(i * 7 ^ i >> 8);
    }
    sent = chr_write(chr, big, sizeof(big));
    CHECK(sent > 0 && sent < sizeof(big));
    CHECK_EQ(chr_write(chr, big + sent, 1), 0);
    turns(2);
    CHECK_EQ(fe.writable, 0);
    while (received < sizeof(big)) {
        ssize_t n = read(fd, back + received, sizeof(back) - received);
        if (n > 0) {
            received += (size_t)n;
        }
        turns(1);
        if (fe.writable) {
            fe.writable = 0;
            sent += chr_write(chr, big + sent, sizeof(big) - sent);
        }
        CHECK(n > 0 || errno == EAGAIN);
    }
    CHECK(memcmp(big, back, sizeof(big)) == 0);

    /* The peer leaves, another one comes. */
    close(fd);
    turns(2);
    CHECK_EQ(fe.closed, 1);
    CHECK_EQ(chr_write(chr, big, sizeof(big)), sizeof(big));
    fd = connect_to(in_dir("sock"));
    CHECK(fd >= 0);
    turns(2);
    CHECK_EQ(fe.opened, 2);
    close(fd);
    chr_close(chr);
    CHECK(access(in_dir("sock"), F_OK) < 0);
}

/* Its last bytes are not lost, and until they are taken it counts as there. */
static void dead_peer_is_noticed_while_nothing_is_read(void)
{
    FrontEnd fe = {.room = 0};
    CharBackend *chr = chr_open("s", spec_in_dir("unix", "sock2", ",server,nowait"), NULL);
    int fd;

    CHECK(chr && chr_attach(chr, &fe_handlers, &fe, NULL));
    fd = connect_to(in_dir("sock2"));
    CHECK(fd >= 0);
    turns(2);
    CHECK_EQ(write(fd, "last", 4), 4);
    close(fd);
    turns(2);
    CHECK_EQ(fe.closed, 0);
    CHECK_EQ(chr_write(chr, "xyz", 3), 3);
    turns(2);
    CHECK_EQ(fe.closed, 0);

    /* Somebody else may call meanwhile, and comes after it. */
    fd = connect_to(in_dir("sock2"));
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "first", 5), 5);
    turns(3);
    CHECK(fe.closed == 1 && fe.opened == 2);
    fe.room = 100;
    chr_accept_input(chr);
    turns(2);
    CHECK_STR((char *)fe.got, "lastfirst");
    close(fd);
    turns(2);
    CHECK_EQ(fe.closed, 2);
    chr_close(chr);
}

/* Single bytes, as a UART writes them, go out together; the last ones also when the stream is
 * closed. */
static void small_writes_are_collected(void)
{
    CharBackend *chr = chr_open("s", spec_in_dir("unix", "sock4", ",server,nowait"), NULL);
    char buf[64] = "";
    int fd = connect_to(in_dir("sock4"));

    CHECK(chr && fd >= 0);
    turns(2);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(chr_write(chr, "0123456789" + i, 1), 1);
    }
    CHECK(read(fd, buf, 63) < 0 && errno == EAGAIN);
    turns(1);
    CHECK_EQ(read(fd, buf, 63), 10);
    CHECK_STR(buf, "0123456789");
    CHECK_EQ(chr_write(chr, "bye", 3), 3);
    chr_close(chr);
    CHECK_EQ(read(fd, buf, 63), 3);
    close(fd);
}

static void client_connects(void)
{
    CharBackend *server =
        chr_open("srv", spec_in_dir("unix", "sock3", ",server=on,wait=off"), NULL);
    CharBackend *client = chr_open("cli", spec_in_dir("unix", "sock3", ""), NULL);
    FrontEnd a = {.room = 100}, b = {.room = 100};

    CHECK(server && client);
    CHECK(chr_attach(server, &fe_handlers, &a, NULL) && chr_attach(client, &fe_handlers, &b, NULL));
    turns(2);
    CHECK_EQ(chr_write(client, "ping", 4), 4);
    CHECK_EQ(chr_write(server, "pong", 4), 4);
    turns(3);
    CHECK_STR((char *)a.got, "ping");
    CHECK_STR((char *)b.got, "pong");
    chr_close(client);
    turns(2);
    CHECK_EQ(a.closed, 1);
    chr_close(server);
}

static void pipe_pair(void)
{
    FrontEnd fe = {.room = 100};
    char buf[8] = "", path[300];
    CharBackend *chr;
    int in, out;

    strcpy(path, in_dir("p.in"));
    CHECK_EQ(mkfifo(path, 0600), 0);
    CHECK_EQ(mkfifo(in_dir("p.out"), 0600), 0);
    chr = chr_open("p", spec_in_dir("pipe", "p", ""), NULL);
    CHECK(chr && chr_attach(chr, &fe_handlers, &fe, NULL));
    in = open(path, O_WRONLY | O_NONBLOCK);
    out = open(in_dir("p.out"), O_RDONLY | O_NONBLOCK);
    CHECK(in >= 0 && out >= 0);
    CHECK_EQ(write(in, "typed", 5), 5);
    turns(2);
    CHECK_STR((char *)fe.got, "typed");
    CHECK_EQ(chr_write(chr, "said", 4), 4);
    turns(1);
    CHECK_EQ(read(out, buf, 7), 4);
    CHECK_STR(buf, "said");
    close(in); /* a writer that leaves is no end: another one may come */
    turns(2);
    CHECK_EQ(fe.closed, 0);
    close(out);
    chr_close(chr);
}

static void pty_peer_comes_and_goes(void)
{
    FrontEnd fe = {.room = 100};
    CharBackend *chr;
    char buf[8] = "";
    int fd;

    freopen("/dev/null", "w", stderr);
    chr = chr_open("t", "pty", NULL);
    CHECK(chr && chr_attach(chr, &fe_handlers, &fe, NULL));
    CHECK(strncmp(chr_spec(chr), "pty:/dev/", 9) == 0);
    CHECK_EQ(chr_write(chr, "lost", 4), 4);
    fd = open(chr_spec(chr) + 4, O_RDWR | O_NOCTTY | O_NONBLOCK);
    CHECK(fd >= 0);
    for (int i = 0; i < 100 && !fe.opened; i++) {
        loop_run_once(50);
    }
    CHECK_EQ(fe.opened, 1);
    CHECK_EQ(chr_write(chr, "a\nb", 3), 3);
    turns(2);
    CHECK_EQ(read(fd, buf, 8), 3); /* raw: no carriage return added, and "lost" is lost */
    CHECK_STR(buf, "a\nb");
    CHECK_EQ(write(fd, "\3q", 2), 2);
    turns(2);
    CHECK_EQ(fe.used, 2);
    close(fd);
    turns(3);
    CHECK_EQ(fe.closed, 1);
    chr_close(chr);
}

static void ringbuf_keeps_the_last_bytes(void)
{
    FrontEnd fe = {.room = 3};
    CharBackend *chr = chr_open("r", "ringbuf:4", NULL);
    char buf[8] = "";

    CHECK(chr && chr_attach(chr, &fe_handlers, &fe, NULL));
    CHECK_EQ(chr_write(chr, "abcdef", 6), 6);
    CHECK_EQ(chr_ringbuf_read(chr, buf, 8), 4);
    CHECK_STR(buf, "cdef");
    CHECK_EQ(chr_ringbuf_feed(chr, "12345", 5), 3);
    CHECK_STR((char *)fe.got, "123");
    chr_close(chr);
}

/* A mux on a socket, so that the test can type. */
static CharBackend *mux_on_socket(FrontEnd *a, FrontEnd *b, int *fd)
{
    CharBackend *chr = chr_open("m", spec_in_dir("mon:unix", "mux", ",server,nowait"), NULL);

    if (!chr || !chr_is_mux(chr) || !chr_attach(chr, &fe_handlers, a, NULL) ||
        !chr_attach(chr, &fe_handlers, b, NULL)) {
        return NULL;
    }
    *fd = connect_to(in_dir("mux"));
    turns(2);
    return chr;
}

static void mux_switches_and_escapes(void)
{
    FrontEnd a = {.room = 100}, b = {.room = 100};
    char buf[2048] = "";
    int fd = -1;
    CharBackend *chr = mux_on_socket(&a, &b, &fd);

    CHECK(chr && fd >= 0);
    CHECK_EQ(a.focus_in, 1);
    CHECK_EQ(b.focus_in, 0);
    CHECK_EQ(write(fd, "to-a\1\1\1b\1cto-b\1cmore", 20), 20);
    turns(3);
    CHECK_STR((char *)a.got, "to-a\1more");
    CHECK_STR((char *)b.got, "to-b");
    CHECK_EQ(a.breaks, 1);
    CHECK_EQ(b.focus_in, 1);
    CHECK_EQ(a.focus_in, 2);

    chr_write(chr, "x\n", 2);
    CHECK_EQ(write(fd, "\1t", 2), 2);
    turns(2);
    chr_write(chr, "one\ntwo\n", 8);
    CHECK_EQ(write(fd, "\1h", 2), 2);
    turns(2);
    CHECK(read(fd, buf, sizeof(buf) - 1) > 0);
    CHECK(strncmp(buf, "x\n[00:00:00.", 12) == 0);
    CHECK(strstr(buf, "] one\n[00:00:") && strstr(buf, "] two\n") && strstr(buf, "Ctrl-a x"));
    close(fd);
    turns(2);
    CHECK(a.closed == 1 && b.closed == 1);
    chr_close(chr);
}

static void mux_escape_works_when_the_guest_is_deaf(void)
{
    FrontEnd a = {.room = 0}, b = {.room = 100};
    int fd = -1;
    CharBackend *chr = mux_on_socket(&a, &b, &fd);

    CHECK(chr && fd >= 0);
    CHECK_EQ(write(fd, "waits\1cinfo", 11), 11);
    turns(3);
    CHECK_EQ(a.used, 0);
    CHECK_STR((char *)b.got, "info");
    a.room = 3;
    chr_accept_input(chr);
    CHECK_STR((char *)a.got, "wai");
    a.room = 100;
    chr_accept_input(chr);
    CHECK_STR((char *)a.got, "waits");
    close(fd);
    chr_close(chr);
}

static void cleans_up(void)
{
    char command[64];

    chr_close_all();
    snprintf(command, sizeof(command), "rm -r %s", dir);
    CHECK_EQ(system(command), 0);
}

TESTS(TEST(refuses_bad_words), TEST(names_are_unique), TEST(one_front_end_a_backend),
      TEST(file_keeps_every_byte), TEST(socket_holds_both_directions_back),
      TEST(dead_peer_is_noticed_while_nothing_is_read), TEST(small_writes_are_collected),
      TEST(client_connects), TEST(pipe_pair), TEST(pty_peer_comes_and_goes),
      TEST(ringbuf_keeps_the_last_bytes), TEST(mux_switches_and_escapes),
      TEST(mux_escape_works_when_the_guest_is_deaf), TEST(cleans_up))
