/*
 * Parses what -serial, -parallel and -monitor take ("tcp:host:port,server,nowait") and what
 * -chardev takes
 * ("socket,id=s0,host=h,port=1234,server=on,wait=off") into one ChrOptions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "char/char-int.h"
#include "util/options.h"

#define RINGBUF_MAX (64u << 20)

static const ChrDriver *const drivers[] = {
    &chr_null_driver, &chr_stdio_driver, &chr_file_driver, &chr_pipe_driver,
    &chr_pty_driver,  &chr_unix_driver,  &chr_tcp_driver,  &chr_ringbuf_driver,
};
#define DRIVERS (sizeof(drivers) / sizeof(drivers[0]))

static const char *const kind_names[] = {"null", "stdio",   "file", "pipe", "pty",    "unix",
                                         "tcp",  "ringbuf", "none", "mon",  "socket", NULL};

static const ChrDriver *find_driver(const char *name, size_t len)
{
    for (size_t i = 0; i < DRIVERS; i++) {
        if (strlen(drivers[i]->name) == len && memcmp(drivers[i]->name, name, len) == 0) {
            return drivers[i];
        }
    }
    return NULL;
}

void chr_print_kinds(void)
{
    puts("Available character devices:");
    for (size_t i = 0; i < DRIVERS; i++) {
        printf("  %-8s %s\n", drivers[i]->name, drivers[i]->help);
    }
    puts("  socket   unix (with path=) or tcp (with host= and port=)");
}

void chr_options_free(ChrOptions *o)
{
    free(o->path);
    free(o->host);
    free(o->port);
    memset(o, 0, sizeof(*o));
}

/* Cuts the next comma-separated item off *s (a doubled comma stands for one); NULL at the end. */
static char *next_item(const char **s)
{
    const char *p = *s;
    char *item, *out;

    if (!p) {
        return NULL;
    }
    item = out = malloc(strlen(p) + 1);
    for (; *p; p++) {
        if (*p == ',') {
            if (p[1] != ',') {
                break;
            }
            p++;
        }
        *out++ = *p;
    }
    *out = '\0';
    *s = *p == ',' ? p + 1 : NULL;
    return item;
}

static bool parse_ring_size(const char *text, ChrOptions *o, Error **errp)
{
    if (!parse_size("size", text, 1, &o->size, errp)) {
        return false;
    }
    if (o->size == 0 || o->size > RINGBUF_MAX) {
        error_set(errp, "size %s: must be 1 to 64M bytes", text);
        return false;
    }
    return true;
}

/* One flag or key=value, the same for both notations. */
static bool parse_item(ChrOptions *o, char *item, Error **errp)
{
    static const char *const keys[] = {"server", "wait",   "nowait", "nodelay", "delay",
                                       "mux",    "signal", "append", "path",    "host",
                                       "port",   "size",   NULL};
    char *value = strchr(item, '=');
    const char *near;
    bool on;

    if (value) {
        *value++ = '\0';
    }
    if (strcmp(item, "path") == 0 || strcmp(item, "host") == 0 || strcmp(item, "port") == 0) {
        char **where = item[1] == 'a' ? &o->path : item[0] == 'h' ? &o->host : &o->port;
        if (!value || !*value) {
            error_set(errp, "%s= needs a value", item);
            return false;
        }
        free(*where);
        *where = strdup(value);
        return true;
    }
    if (strcmp(item, "size") == 0 && value) {
        return parse_ring_size(value, o, errp);
    }
    for (int i = 0; keys[i]; i++) {
        if (strcmp(keys[i], item) == 0) {
            if (!parse_bool(item, value ? value : "on", &on, errp)) {
                return false;
            }
            if (strcmp(item, "server") == 0) {
                o->server = on;
            } else if (strcmp(item, "wait") == 0) {
                o->nowait = !on;
            } else if (strcmp(item, "nowait") == 0) {
                o->nowait = on;
            } else if (strcmp(item, "nodelay") == 0) {
                o->nodelay = on;
            } else if (strcmp(item, "delay") == 0) {
                o->nodelay = !on;
            } else if (strcmp(item, "mux") == 0) {
                o->mux = on;
            } else if (strcmp(item, "signal") == 0) {
                o->no_signals = !on;
            } else if (strcmp(item, "append") == 0) {
                o->append = on;
            }
            return true;
        }
    }
    near = nearest_name(item, keys);
    error_set(errp, "unknown parameter '%s'%s%s%s", item, near ? "; did you mean '" : "",
              near ? near : "", near ? "'?" : "");
    return false;
}

static bool parse_items(ChrOptions *o, const char *rest, Error **errp)
{
    char *item;

    while ((item = next_item(&rest))) {
        bool ok = parse_item(o, item, errp);
        free(item);
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* "HOST:PORT", "[::1]:PORT", ":PORT" */
static bool parse_address(ChrOptions *o, const char *text, Error **errp)
{
    const char *colon = strrchr(text, ':');
    size_t len;

    if (!colon || !colon[1]) {
        error_set(errp, "'tcp:%s': must be tcp:HOST:PORT[,server][,nowait]", text);
        return false;
    }
    len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    o->host = strndup(text, len);
    o->port = strdup(colon + 1);
    return true;
}

bool chr_parse_spec(ChrOptions *o, const char *spec, Error **errp)
{
    const char *rest = spec, *near;
    char kind[16];
    size_t len;
    char *first;
    bool ok = true;

    if (strncmp(spec, "mon:", 4) == 0) {
        if (!chr_parse_spec(o, spec + 4, errp)) {
            return false;
        }
        o->mux = true;
        o->no_signals = true;
        return true;
    }
    len = strcspn(spec, ":,");
    o->driver = find_driver(spec, len);
    if (!o->driver) {
        snprintf(kind, sizeof(kind), "%.*s", (int)(len < 15 ? len : 15), spec);
        near = nearest_name(kind, kind_names);
        error_set(errp, "unknown character device '%s'; %s%s%s", spec,
                  near ? "did you mean '"
                       : "possible are null, stdio, file:, pipe:, pty, unix:, tcp:",
                  near ? near : "", near ? "'?" : "");
        return false;
    }
    rest = spec[len] ? spec + len + 1 : NULL;
    if (spec[len] == ',') {
        return parse_items(o, rest, errp);
    }
    if (o->driver == &chr_file_driver || o->driver == &chr_pipe_driver) {
        /* The whole rest is the name, commas and all. */
        o->path = rest && *rest ? strdup(rest) : NULL;
        return true;
    }
    first = next_item(&rest);
    if (first && o->driver == &chr_unix_driver) {
        o->path = *first ? strdup(first) : NULL;
    } else if (first && o->driver == &chr_tcp_driver) {
        ok = parse_address(o, first, errp);
    } else if (first && o->driver == &chr_ringbuf_driver) {
        ok = parse_ring_size(first, o, errp);
    } else if (first && *first) {
        error_set(errp, "'%s': '%s' takes no address", spec, o->driver->name);
        ok = false;
    }
    free(first);
    return ok && parse_items(o, rest, errp);
}

bool chr_parse_option(ChrOptions *o, char **id, const char *option, Error **errp)
{
    const char *rest = option;
    char *kind = next_item(&rest), *item;
    bool socket = strcmp(kind, "socket") == 0, ok = true;

    o->driver = socket ? &chr_unix_driver : find_driver(kind, strlen(kind));
    if (!o->driver) {
        const char *near = nearest_name(kind, kind_names);
        error_set(errp, "-chardev %s: unknown kind%s%s%s; see -chardev help", kind,
                  near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
        free(kind);
        return false;
    }
    free(kind);
    while (ok && (item = next_item(&rest))) {
        if (strncmp(item, "id=", 3) == 0) {
            free(*id);
            *id = strdup(item + 3);
        } else {
            ok = parse_item(o, item, errp);
        }
        free(item);
    }
    if (!ok) {
        error_prepend(errp, "-chardev %s: ", option);
        return false;
    }
    if (!*id || !**id) {
        error_set(errp, "-chardev %s: needs an id=", option);
        return false;
    }
    if (socket && !o->path) {
        o->driver = &chr_tcp_driver;
    }
    return true;
}
