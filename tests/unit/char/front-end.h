/*
 * What the tests of character backends share: a front end that notes everything, and a scratch
 * directory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_CHAR_FRONT_END_H
#define TESTS_UNIT_CHAR_FRONT_END_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "char/char.h"
#include "tests/unit/test.h"
#include "util/loop.h"

typedef struct FrontEnd {
    uint8_t got[8192];
    size_t used, room; /* room: what can_receive() says */
    unsigned writable, opened, closed, breaks, modem, focus_in, focus_out;
    size_t break_at; /* bytes that came before the last break */
} FrontEnd;

static size_t fe_can_receive(void *opaque)
{
    return ((FrontEnd *)opaque)->room;
}

static void fe_receive(void *opaque, const uint8_t *data, size_t size)
{
    FrontEnd *fe = opaque;

    if (fe->used + size <= sizeof(fe->got) - 1) {
        memcpy(fe->got + fe->used, data, size);
    }
    fe->used += size;
    fe->room = size <= fe->room ? fe->room - size : 0;
}

static void fe_writable(void *opaque)
{
    ((FrontEnd *)opaque)->writable++;
}

static void fe_event(void *opaque, ChrEvent event)
{
    FrontEnd *fe = opaque;

    fe->opened += event == CHR_EVENT_OPENED;
    fe->closed += event == CHR_EVENT_CLOSED;
    fe->breaks += event == CHR_EVENT_BREAK;
    fe->break_at = event == CHR_EVENT_BREAK ? fe->used : fe->break_at;
    fe->modem += event == CHR_EVENT_MODEM;
    fe->focus_in += event == CHR_EVENT_FOCUS_IN;
    fe->focus_out += event == CHR_EVENT_FOCUS_OUT;
}

static const CharHandlers fe_handlers = {fe_can_receive, fe_receive, fe_writable, fe_event,
                                         .any_thread = true};

static char dir[] = "/tmp/vole-char-XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[256];
    static bool made;

    if (!made && !mkdtemp(dir)) {
        abort();
    }
    made = true;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static const char *spec_in_dir(const char *kind, const char *name, const char *flags)
{
    static char spec[300];

    snprintf(spec, sizeof(spec), "%s:%s%s", kind, in_dir(name), flags);
    return spec;
}

static void turns(unsigned n)
{
    while (n--) {
        loop_run_once(1);
    }
}

static inline int connect_to(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(sa.sun_path, path);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

#endif
