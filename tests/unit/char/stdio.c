/*
 * The stdio backend on a terminal: raw while it runs, as it was after the end and while suspended;
 * keys that make signals are data behind a mux. And on pipes and files.
 *
 * The test plays terminal and shell: a session leader on a new pty starts the user of the backend
 * as its job.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "char/char.h"
#include "util/loop.h"

#include "../test.h"

static CharBackend *chr;

static size_t room(void *opaque)
{
    return 64;
}

static void answer(void *opaque, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        chr_printf(chr, "%c", toupper(data[i]));
        if (data[i] == 'q') {
            loop_quit(7);
        }
    }
}

static const CharHandlers handlers = {.can_receive = room, .receive = answer};

/* The program under test; ends with what loop_quit() was given. */
static void run_user(const char *spec)
{
    int status;

    loop_init();
    machine_lock();
    chr = chr_open("s", spec, NULL);
    chr_attach(chr, &handlers, NULL, NULL);
    chr_printf(chr, "ready\n");
    status = loop_run();
    exit(status); /* without chr_close_all(): the exit handler must do */
}

static void read_until(int fd, const char *want, char *got, size_t size)
{
    size_t n = 0;

    alarm(60);
    got[0] = 0;
    while (n < size - 1 && !strstr(got, want)) {
        ssize_t r = read(fd, got + n, size - 1 - n);
        if (r <= 0) {
            break;
        }
        n += (size_t)r;
        got[n] = 0;
    }
    alarm(0);
}

typedef struct Shell {
    int master;
    int report[2];  /* 's' when the job stopped, else its exit status */
    int command[2]; /* any byte: continue it */
    pid_t leader, job;
} Shell;

static void run_leader(Shell *sh, const char *slave, const char *spec)
{
    pid_t job;
    int fd, status;
    char c;

    setsid();
    fd = open(slave, O_RDWR);
    ioctl(fd, TIOCSCTTY, 0);
    signal(SIGTTOU, SIG_IGN);
    job = fork();
    if (job == 0) {
        signal(SIGTTOU, SIG_DFL);
        setpgid(0, 0);
        dup2(fd, 0);
        dup2(fd, 1);
        while (tcgetpgrp(fd) != getpid()) {
            usleep(1000);
        }
        run_user(spec);
    }
    setpgid(job, job);
    tcsetpgrp(fd, job);
    write(sh->report[1], &job, sizeof(job));
    while (waitpid(job, &status, WUNTRACED) == job) {
        c = WIFSTOPPED(status) ? 's' : (char)WEXITSTATUS(status);
        write(sh->report[1], &c, 1);
        if (!WIFSTOPPED(status)) {
            _exit(0);
        }
        read(sh->command[0], &c, 1);
        kill(-job, SIGCONT);
    }
    _exit(1);
}

static bool start(Shell *sh, const char *spec)
{
    char name[64];

    sh->master = posix_openpt(O_RDWR | O_NOCTTY);
    if (sh->master < 0 || grantpt(sh->master) || unlockpt(sh->master) ||
        ptsname_r(sh->master, name, sizeof(name)) || pipe(sh->report) || pipe(sh->command)) {
        return false;
    }
    sh->leader = fork();
    if (sh->leader == 0) {
        run_leader(sh, name, spec);
    }
    return read(sh->report[0], &sh->job, sizeof(sh->job)) == sizeof(sh->job);
}

static int reported(Shell *sh)
{
    char c = -1;

    alarm(60);
    if (read(sh->report[0], &c, 1) != 1) {
        return -1;
    }
    alarm(0);
    return c;
}

static void finish(Shell *sh)
{
    waitpid(sh->leader, NULL, 0);
    close(sh->master);
}

static bool is_raw(Shell *sh)
{
    struct termios t;

    tcgetattr(sh->master, &t);
    return !(t.c_lflag & (ICANON | ECHO));
}

static bool makes_signals(Shell *sh)
{
    struct termios t;

    tcgetattr(sh->master, &t);
    return t.c_lflag & ISIG;
}

static void raw_while_it_runs(void)
{
    Shell sh;
    char got[64];

    CHECK(start(&sh, "stdio"));
    read_until(sh.master, "ready", got, sizeof(got));
    CHECK(is_raw(&sh));
    CHECK(makes_signals(&sh));
    CHECK_EQ(write(sh.master, "hi", 2), 2);
    read_until(sh.master, "HI", got, sizeof(got));
    CHECK(strstr(got, "HI") && !strstr(got, "hi"));
    CHECK_EQ(write(sh.master, "q", 1), 1);
    CHECK_EQ(reported(&sh), 7);
    CHECK(!is_raw(&sh));
    finish(&sh);
}

static void suspends_and_goes_on(void)
{
    Shell sh;
    char got[64];

    CHECK(start(&sh, "stdio"));
    read_until(sh.master, "ready", got, sizeof(got));
    for (int i = 0; i < 2; i++) {
        CHECK(is_raw(&sh));
        CHECK_EQ(write(sh.master, "\x1a", 1), 1); /* Ctrl-Z */
        CHECK_EQ(reported(&sh), 's');
        CHECK(!is_raw(&sh));
        CHECK_EQ(write(sh.command[1], "", 1), 1);
        for (int n = 0; n < 1000 && !is_raw(&sh); n++) {
            usleep(1000);
        }
    }
    CHECK(is_raw(&sh));
    CHECK_EQ(write(sh.master, "q", 1), 1);
    CHECK_EQ(reported(&sh), 7);
    CHECK(!is_raw(&sh));
    finish(&sh);
}

static void mux_keeps_the_keys_for_the_guest(void)
{
    Shell sh;
    char got[64];

    CHECK(start(&sh, "mon:stdio"));
    read_until(sh.master, "ready", got, sizeof(got));
    CHECK(!makes_signals(&sh));
    CHECK_EQ(write(sh.master,
                   "\x03\x1a"
                   "a",
                   3),
             3);
    read_until(sh.master, "A", got, sizeof(got));
    CHECK(strstr(got, "\x03\x1a"
                      "A"));
    CHECK_EQ(write(sh.master, "\x01x", 2), 2);
    CHECK_EQ(reported(&sh), 0);
    CHECK(!is_raw(&sh));
    finish(&sh);
}

/* stdin a file, stdout a pipe: everything comes through, the end of the input is no end of the
 * program. */
static void works_redirected(void)
{
    char path[] = "/tmp/vole-stdio-XXXXXX", got[256];
    int in = mkstemp(path), out[2], status;
    pid_t pid;

    CHECK(in >= 0 && pipe(out) == 0);
    unlink(path);
    CHECK_EQ(write(in, "a file\n", 7), 7);
    lseek(in, 0, SEEK_SET);
    pid = fork();
    if (pid == 0) {
        dup2(in, 0);
        dup2(out[1], 1);
        run_user("stdio");
    }
    read_until(out[0], "A FILE", got, sizeof(got));
    CHECK(strstr(got, "ready\n") && strstr(got, "A FILE"));
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0); /* others may share the pipe's end */
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

TESTS(TEST(raw_while_it_runs), TEST(suspends_and_goes_on), TEST(mux_keeps_the_keys_for_the_guest),
      TEST(works_redirected))
