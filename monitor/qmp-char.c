/*
 * Character devices by the JSON monitor: chardev-add and its like, and events from a keyboard and a
 * mouse.
 *
 * chardev-add's nested arguments (QEMU's qapi/char.json) become the words of -chardev, so that both
 * notations have the same checks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "char/char.h"
#include "monitor/qmp-int.h"
#include "ui/display.h"

/* ---- chardev-add ---- */

/* ",key=value" with each comma of the value doubled; nothing where there is no such member. */
static void put_text(Buffer *spec, const char *key, json_t *value)
{
    if (!json_is_string(value)) {
        return;
    }
    buffer_printf(spec, ",%s=", key);
    for (const char *p = json_string_value(value); *p; p++) {
        buffer_printf(spec, *p == ',' ? ",," : "%c", *p);
    }
}

static void put_bool(Buffer *spec, const char *key, json_t *value)
{
    if (json_is_boolean(value)) {
        buffer_printf(spec, ",%s=%s", key, json_is_true(value) ? "on" : "off");
    }
}

static void put_int(Buffer *spec, const char *key, json_t *value)
{
    if (json_is_integer(value)) {
        buffer_printf(spec, ",%s=%lld", key, (long long)json_integer_value(value));
    }
}

/* A SocketAddressLegacy, or a flat one: the address's type, its members in *data. */
static const char *address(json_t *addr, json_t **data)
{
    json_t *inner = json_object_get(addr, "data");

    *data = json_is_object(inner) ? inner : addr;
    return json_string_value(json_object_get(addr, "type"));
}

static bool put_socket(Buffer *spec, json_t *data, Error **errp)
{
    json_t *a, *wait = json_object_get(data, "wait"), *server = json_object_get(data, "server");
    const char *type = address(json_object_get(data, "addr"), &a);
    bool is_server = !json_is_false(server); /* QEMU's default */

    if (type && !strcmp(type, "unix")) {
        put_text(spec, "path", json_object_get(a, "path"));
    } else if (type && !strcmp(type, "inet")) {
        put_text(spec, "host", json_object_get(a, "host"));
        put_text(spec, "port", json_object_get(a, "port"));
    } else {
        error_set(errp, "Parameter 'addr' expects an address of type 'inet' or 'unix'");
        return false;
    }
    if (is_server && json_is_true(wait)) {
        error_set(errp, "'wait' is not possible while the machine is there");
        return false;
    }
    buffer_printf(spec, is_server ? ",server=on,wait=off" : ",server=off");
    put_bool(spec, "nodelay", json_object_get(data, "nodelay"));
    put_bool(spec, "telnet", json_object_get(data, "telnet"));
    put_int(spec, "reconnect", json_object_get(data, "reconnect"));
    return true;
}

static bool put_udp(Buffer *spec, json_t *data, Error **errp)
{
    json_t *remote, *local;
    const char *type = address(json_object_get(data, "remote"), &remote);

    if (!type || strcmp(type, "inet") != 0) {
        error_set(errp, "Parameter 'remote' expects an address of type 'inet'");
        return false;
    }
    put_text(spec, "host", json_object_get(remote, "host"));
    put_text(spec, "port", json_object_get(remote, "port"));
    if (address(json_object_get(data, "local"), &local)) {
        put_text(spec, "localaddr", json_object_get(local, "host"));
        put_text(spec, "localport", json_object_get(local, "port"));
    }
    return true;
}

/* Kinds whose members are those of -chardev, but for one that has another name there. */
static const struct {
    const char *type, *kind, *member, *key;
} simple_kinds[] = {
    {"file", "file", "out", "path"},
    {"serial", "tty", "device", "path"},
    {"parallel", "parport", "device", "path"},
    {"pipe", "pipe", "device", "path"},
    {"pty", "pty", NULL, NULL},
    {"null", "null", NULL, NULL},
    {"msmouse", "msmouse", NULL, NULL},
    {"stdio", "stdio", NULL, NULL},
    {"vc", "vc", NULL, NULL},
    {"ringbuf", "ringbuf", NULL, NULL},
    {"memory", "ringbuf", NULL, NULL},
};

static bool backend_spec(Buffer *spec, const char *id, json_t *backend, Error **errp)
{
    static const char *const bools[] = {"append", "signal", "logappend"};
    static const char *const ints[] = {"width", "height", "cols", "rows", "size"};
    const char *type = json_string_value(json_object_get(backend, "type")), *kind = NULL;
    json_t *data = json_object_get(backend, "data");
    size_t i = 0;

    while (type && i < sizeof(simple_kinds) / sizeof(*simple_kinds) &&
           strcmp(simple_kinds[i].type, type)) {
        i++;
    }
    if (type && i < sizeof(simple_kinds) / sizeof(*simple_kinds)) {
        kind = simple_kinds[i].kind;
    } else if (type && (!strcmp(type, "socket") || !strcmp(type, "udp"))) {
        kind = type;
    } else {
        error_set(errp, "Parameter 'backend' expects a 'type' of query-chardev-backends");
        return false;
    }
    buffer_printf(spec, "%s", kind);
    json_t *text = json_string(id);
    put_text(spec, "id", text);
    json_decref(text);
    if (kind == type && !(*type == 's' ? put_socket : put_udp)(spec, data, errp)) {
        return false;
    }
    if (kind != type && simple_kinds[i].member) {
        put_text(spec, simple_kinds[i].key, json_object_get(data, simple_kinds[i].member));
    }
    put_text(spec, "logfile", json_object_get(data, "logfile"));
    for (i = 0; i < sizeof(bools) / sizeof(*bools); i++) {
        put_bool(spec, bools[i], json_object_get(data, bools[i]));
    }
    for (i = 0; i < sizeof(ints) / sizeof(*ints); i++) {
        put_int(spec, ints[i], json_object_get(data, ints[i]));
    }
    buffer_put_u8(spec, 0);
    return true;
}

json_t *qmp_chardev_add(json_t *args, Error **errp)
{
    Buffer spec = {0};
    CharBackend *chr = NULL;

    if (backend_spec(&spec, qmp_str(args, "id"), json_object_get(args, "backend"), errp)) {
        chr = chr_open_option((const char *)spec.data, errp);
    }
    buffer_free(&spec);
    if (!chr) {
        return NULL;
    }
    /* "pty:/dev/pts/4" */
    return strncmp(chr_spec(chr), "pty:", 4) == 0 ? json_pack("{s:s}", "pty", chr_spec(chr) + 4)
                                                  : qmp_empty();
}

static CharBackend *find_chr(json_t *args, Error **errp)
{
    CharBackend *chr = chr_find(qmp_str(args, "id"));

    if (!chr) {
        error_set(errp, "Chardev '%s' not found", qmp_str(args, "id"));
    }
    return chr;
}

json_t *qmp_chardev_remove(json_t *args, Error **errp)
{
    CharBackend *chr = find_chr(args, errp);

    if (!chr) {
        return NULL;
    }
    if (chr_has_front_end(chr)) {
        error_set(errp, "Chardev '%s' is busy", qmp_str(args, "id"));
        return NULL;
    }
    chr_close(chr);
    return qmp_empty();
}

json_t *qmp_chardev_send_break(json_t *args, Error **errp)
{
    CharBackend *chr = find_chr(args, errp);

    if (!chr) {
        return NULL;
    }
    chr_send_break(chr);
    return qmp_empty();
}

/* ---- input-send-event ---- */

static unsigned buttons; /* held down, as input_mouse() has them */

typedef struct InputEvent {
    enum { INPUT_KEY, INPUT_BUTTON, INPUT_WHEEL, INPUT_MOVE } kind;
    unsigned code; /* of the key; a bit of the button */
    bool down;
    int dx, dy, dz;
} InputEvent;

static bool parse_key(json_t *data, InputEvent *e, Error **errp)
{
    json_t *key = json_object_get(json_object_get(data, "key"), "data");

    e->kind = INPUT_KEY;
    e->down = json_is_true(json_object_get(data, "down"));
    e->code = json_is_string(key) ? input_key_by_name(json_string_value(key)) : 0;
    if (!e->code) {
        error_set(errp, "There is no key '%s'; keys are of type 'qcode'",
                  json_is_string(key) ? json_string_value(key) : "");
        return false;
    }
    return true;
}

static bool parse_button(json_t *data, InputEvent *e, Error **errp)
{
    static const char *const names[] = {"left", "right", "middle", "side", "extra"};
    const char *name = json_string_value(json_object_get(data, "button"));

    e->kind = INPUT_BUTTON;
    e->down = json_is_true(json_object_get(data, "down"));
    for (unsigned i = 0; name && i < sizeof(names) / sizeof(*names); i++) {
        if (!strcmp(name, names[i])) {
            e->code = 1u << i;
            return true;
        }
    }
    if (name && (!strcmp(name, "wheel-up") || !strcmp(name, "wheel-down"))) {
        e->kind = INPUT_WHEEL;
        e->dz = !e->down ? 0 : name[6] == 'u' ? -1 : 1;
        return true;
    }
    error_set(errp, "There is no button '%s'", name ? name : "");
    return false;
}

static bool parse_move(json_t *data, InputEvent *e, Error **errp)
{
    const char *axis = json_string_value(json_object_get(data, "axis"));
    json_int_t value = json_integer_value(json_object_get(data, "value"));

    if (!axis || (strcmp(axis, "x") && strcmp(axis, "y")) || value < -32768 || value > 32767) {
        error_set(errp, "A 'rel' event needs the axis 'x' or 'y' and a value of 16 bits");
        return false;
    }
    e->kind = INPUT_MOVE;
    *(*axis == 'x' ? &e->dx : &e->dy) = (int)value;
    return true;
}

static bool parse_event(json_t *event, InputEvent *e, Error **errp)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    json_t *data = json_object_get(event, "data");

    *e = (InputEvent){0};
    if (type && !strcmp(type, "key")) {
        return parse_key(data, e, errp);
    }
    if (type && !strcmp(type, "btn")) {
        return parse_button(data, e, errp);
    }
    if (type && !strcmp(type, "rel")) {
        return parse_move(data, e, errp);
    }
    error_set(errp, "An event has the type 'key', 'btn' or 'rel'; no device takes others");
    return false;
}

/* All of them are looked at before the first one happens. */
json_t *qmp_input_send_event(json_t *args, Error **errp)
{
    json_t *events = json_object_get(args, "events"), *event;
    InputEvent e;
    size_t i;

    json_array_foreach(events, i, event)
    {
        if (!parse_event(event, &e, errp)) {
            return NULL;
        }
    }
    json_array_foreach(events, i, event)
    {
        if (!parse_event(event, &e, errp)) {
            return NULL;
        }
        if (e.kind == INPUT_KEY) {
            input_key(e.code, e.down);
            continue;
        }
        buttons = e.kind != INPUT_BUTTON ? buttons : e.down ? buttons | e.code : buttons & ~e.code;
        input_mouse(e.dx, e.dy, e.dz, buttons);
    }
    return qmp_empty();
}
