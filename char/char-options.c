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

static const ChrDriver *drivers[32] = {
    &chr_null_driver,        &chr_stdio_driver, &chr_file_driver, &chr_pipe_driver,
    &chr_pipe_client_driver, &chr_pty_driver,   &chr_unix_driver, &chr_tcp_driver,
    &chr_telnet_driver,      &chr_udp_driver,   &chr_tty_driver,  &chr_parport_driver,
    &chr_ringbuf_driver,
};
#define DRIVERS_MAX (sizeof(drivers) / sizeof(drivers[0]) - 1)

/* Other words for a kind. */
static const struct {
    const char *name;
    const ChrDriver *driver;
} aliases[] = {{"serial", &chr_tty_driver},
               {"parallel", &chr_parport_driver},
               {"memory", &chr_ringbuf_driver}};
#define ALIASES (sizeof(aliases) / sizeof(aliases[0]))

void chr_register_driver(const ChrDriver *driver)
{
    size_t n = 0;

    while (drivers[n] && drivers[n] != driver) {
        n++;
    }
    if (n < DRIVERS_MAX) {
        drivers[n] = driver;
    }
}

static const ChrDriver *find_driver(const char *name, size_t len)
{
    for (const ChrDriver **d = drivers; *d; d++) {
        if (strlen((*d)->name) == len && memcmp((*d)->name, name, len) == 0) {
            return *d;
        }
    }
    for (size_t i = 0; i < ALIASES; i++) {
        if (strlen(aliases[i].name) == len && memcmp(aliases[i].name, name, len) == 0) {
            return aliases[i].driver;
        }
    }
    return NULL;
}

void chr_each_kind(void (*fn)(const char *name, void *opaque), void *opaque)
{
    for (const ChrDriver **d = drivers; *d; d++) {
        fn((*d)->name, opaque);
    }
}

/* The name that was perhaps meant, or NULL. */
static const char *nearest_kind(const char *word)
{
    const char *names[DRIVERS_MAX + 4];
    size_t n = 0;

    for (const ChrDriver **d = drivers; *d; d++) {
        names[n++] = (*d)->name;
    }
    names[n++] = "none";
    names[n++] = "mon";
    names[n++] = "socket";
    names[n] = NULL;
    return nearest_name(word, names);
}

void chr_print_kinds(void)
{
    puts("Available character devices:");
    for (const ChrDriver **d = drivers; *d; d++) {
        printf("  %-12s %s\n", (*d)->name, (*d)->help);
    }
    puts("  socket       unix (with path= or fd=) or tcp (with host= and port=)");
}

void chr_options_free(ChrOptions *o)
{
    free(o->path);
    free(o->logfile);
    free(o->host);
    free(o->port);
    free(o->localaddr);
    free(o->localport);
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

/* ---- flags and key=value, the same for both notations ---- */

typedef struct Key {
    const char *name;
    enum {
        KEY_TEXT,
        KEY_NUMBER,
        KEY_SIZE,
        KEY_BOOL,
        KEY_NOT
    } kind;            /* NOT: a bool the other way round */
    size_t offset;     /* in ChrOptions */
    uint64_t min, max; /* of a number */
} Key;

#define AT(f) offsetof(ChrOptions, f)
/* clang-format off */
static const Key keys[] = {
    {"append", KEY_BOOL, AT(append), 0, 0},
    {"cols", KEY_NUMBER, AT(cols), 10, 500},
    {"delay", KEY_BOOL, AT(delay), 0, 0},
    {"fd", KEY_NUMBER, AT(fd), 0, 65535},
    {"height", KEY_NUMBER, AT(height), 16, 4096},
    {"host", KEY_TEXT, AT(host), 0, 0},
    {"localaddr", KEY_TEXT, AT(localaddr), 0, 0},
    {"localport", KEY_TEXT, AT(localport), 0, 0},
    {"logappend", KEY_BOOL, AT(logappend), 0, 0},
    {"logfile", KEY_TEXT, AT(logfile), 0, 0},
    {"mux", KEY_BOOL, AT(mux), 0, 0},
    {"nodelay", KEY_NOT, AT(delay), 0, 0},
    {"nowait", KEY_BOOL, AT(nowait), 0, 0},
    {"path", KEY_TEXT, AT(path), 0, 0},
    {"port", KEY_TEXT, AT(port), 0, 0},
    {"reconnect", KEY_NUMBER, AT(reconnect), 0, 86400},
    {"rows", KEY_NUMBER, AT(rows), 2, 200},
    {"server", KEY_BOOL, AT(server), 0, 0},
    {"signal", KEY_NOT, AT(no_signals), 0, 0},
    {"size", KEY_SIZE, AT(size), 1, RINGBUF_MAX},
    {"telnet", KEY_BOOL, AT(telnet), 0, 0},
    {"wait", KEY_NOT, AT(nowait), 0, 0},
    {"width", KEY_NUMBER, AT(width), 80, 4096},
};
/* clang-format on */
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static bool unknown_key(const char *item, Error **errp)
{
    const char *names[KEYS + 1], *near;

    for (size_t i = 0; i < KEYS; i++) {
        names[i] = keys[i].name;
    }
    names[KEYS] = NULL;
    near = nearest_name(item, names);
    error_set(errp, "unknown parameter '%s'%s%s%s", item, near ? "; did you mean '" : "",
              near ? near : "", near ? "'?" : "");
    return false;
}

static bool set_key(ChrOptions *o, const Key *k, const char *value, Error **errp)
{
    void *where = (char *)o + k->offset;
    bool on;

    if (k->kind == KEY_BOOL || k->kind == KEY_NOT) {
        if (!parse_bool(k->name, value ? value : "on", &on, errp)) {
            return false;
        }
        o->has_logappend |= k->offset == AT(logappend);
        *(bool *)where = on == (k->kind == KEY_BOOL);
        return true;
    }
    if (!value || !*value) {
        error_set(errp, "%s= needs a value", k->name);
        return false;
    }
    if (k->kind == KEY_TEXT) {
        free(*(char **)where);
        *(char **)where = strdup(value);
        return true;
    }
    if (k->kind == KEY_NUMBER) {
        o->has_fd |= k->offset == AT(fd);
        return parse_number(k->name, value, k->min, k->max, where, errp);
    }
    if (!parse_size(k->name, value, 1, where, errp)) {
        return false;
    }
    if (*(uint64_t *)where < k->min || *(uint64_t *)where > k->max) {
        error_set(errp, "%s %s: must be 1 to 64M bytes", k->name, value);
        return false;
    }
    return true;
}

static bool parse_item(ChrOptions *o, char *item, Error **errp)
{
    char *value = strchr(item, '=');

    if (value) {
        *value++ = '\0';
    }
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].name, item) == 0) {
            return set_key(o, &keys[i], value, errp);
        }
    }
    return unknown_key(item, errp);
}

bool chr_parse_key(ChrOptions *o, const char *name, const char *value, Error **errp)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return set_key(o, &keys[i], value, errp);
        }
    }
    return unknown_key(name, errp);
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

/* ---- the short notation ---- */

bool chr_parse_host_port(const char *text, char **host, char **port)
{
    const char *colon = strrchr(text, ':');
    size_t len;

    if (!colon || !colon[1]) {
        return false;
    }
    len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    free(*host);
    free(*port);
    *host = strndup(text, len);
    *port = strdup(colon + 1);
    return true;
}

static bool unknown_kind(const char *spec, Error **errp)
{
    char kind[16];
    size_t len = strcspn(spec, ":,");

    snprintf(kind, sizeof(kind), "%.*s", (int)(len < 15 ? len : 15), spec);
    const char *near = nearest_kind(kind);
    error_set(errp, "unknown character device '%s'; %s%s%s", spec,
              near ? "did you mean '"
                   : "possible are null, stdio, file:, pipe:, pipe_client:, pty, unix:, tcp:, "
                     "telnet:, udp:, vc, "
                     "msmouse, ringbuf, /dev/...",
              near ? near : "", near ? "'?" : "");
    return false;
}

/* "/dev/ttyS0", "/dev/parport0": a device of the host. */
static bool parse_host_device(ChrOptions *o, const char *spec)
{
    o->driver = strncmp(spec, "/dev/parport", 12) == 0 ? &chr_parport_driver : &chr_tty_driver;
    o->path = strdup(spec);
    return true;
}

bool chr_parse_spec(ChrOptions *o, const char *spec, Error **errp)
{
    const char *rest;
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
    if (spec[0] == '/') {
        return parse_host_device(o, spec);
    }
    len = strcspn(spec, ":,");
    o->driver = find_driver(spec, len);
    if (!o->driver) {
        return unknown_kind(spec, errp);
    }
    rest = spec[len] ? spec + len + 1 : NULL;
    if (spec[len] == ',') {
        return parse_items(o, rest, errp);
    }
    if (o->driver->path_is_rest) {
        o->path = rest && *rest ? strdup(rest) : NULL;
        return true;
    }
    first = next_item(&rest);
    if (first && o->driver->parse) {
        ok = o->driver->parse(o, first, errp);
    } else if (first && *first) {
        error_set(errp, "'%s': '%s' takes no address", spec, o->driver->name);
        ok = false;
    }
    free(first);
    return ok && parse_items(o, rest, errp);
}

/* ---- -chardev's notation ---- */

const ChrDriver *chr_kind_by_name(const char *kind, const ChrOptions *o)
{
    if (strcmp(kind, "socket") != 0) {
        return find_driver(kind, strlen(kind));
    }
    return o->path || o->has_fd ? &chr_unix_driver
           : o->telnet          ? &chr_telnet_driver
                                : &chr_tcp_driver;
}

bool chr_parse_option(ChrOptions *o, char **id, const char *option, Error **errp)
{
    const char *rest = option;
    char *kind = next_item(&rest), *item;
    bool ok = true;

    if (!chr_kind_by_name(kind, o)) {
        const char *near = nearest_kind(kind);
        error_set(errp, "-chardev %s: unknown kind%s%s%s; see -chardev help", kind,
                  near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
        free(kind);
        return false;
    }
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
    } else if (!*id || !**id) {
        error_set(errp, "-chardev %s: needs an id=", option);
        ok = false;
    } else {
        o->driver = chr_kind_by_name(kind, o);
    }
    free(kind);
    return ok;
}
