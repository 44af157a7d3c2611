/*
 * The JSON monitor: sessions, the protocol's frame, events.
 *
 * The protocol is QEMU's ("QEMU Machine Protocol Specification", docs/interop/qmp-spec): a
 * greeting, then only qmp_capabilities is taken, then commands {"execute": NAME, "arguments":
 * {...}, "id": ANY}, each answered by {"return": ...} or {"error": {"class": ..., "desc": ...}}
 * with its id, and events in between. A command is found in the stream by its brackets, under
 * limits of size and depth, and jansson parses it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "monitor/qmp.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "monitor/qmp-int.h"

#define COMMAND_MAX (4u << 20) /* bytes */
#define DEPTH_MAX   256
/* While so much output waits, no further command is taken, and events are dropped. */
#define OUTPUT_HIGH (1u << 20)
#define READ_MAX    4096

const char *const qmp_events[] = {
    "BLOCK_IO_ERROR", "BLOCK_JOB_CANCELLED", "BLOCK_JOB_COMPLETED", "BLOCK_JOB_ERROR", "BLOCK_JOB_PENDING",
    "BLOCK_JOB_READY", "DEVICE_DELETED", "DEVICE_TRAY_MOVED", "JOB_STATUS_CHANGE", "POWERDOWN", "RESET",
    "RESUME",         "RTC_CHANGE",     "SHUTDOWN",          "STOP",      NULL,
};

struct QmpSession {
    CharBackend *chr; /* NULL: output is only collected */
    bool pretty;
    bool negotiated;
    Buffer out;
    Buffer unread; /* input behind the command being executed */
    Buffer text;   /* of the command that has begun */
    unsigned depth;
    bool in_string, escaped;
    bool too_large; /* the command that has begun is thrown away up to its end */
    bool running;
    struct QmpSession *next;
};

static QmpSession *sessions;
static char error_class[32]; /* empty: GenericError */

/* ---- output ---- */

static void flush_output(QmpSession *q)
{
    size_t n;

    if (q->chr && q->out.size) {
        n = chr_write(q->chr, q->out.data, q->out.size);
        memmove(q->out.data, q->out.data + n, q->out.size - n);
        q->out.size -= n;
    }
}

static void send_object(QmpSession *q, json_t *object)
{
    char *text = json_dumps(object, q->pretty ? JSON_INDENT(4) : 0);

    if (text) {
        buffer_append(&q->out, text, strlen(text));
        buffer_append(&q->out, "\r\n", 2);
        free(text);
    }
    flush_output(q);
}

/* Takes over answer. */
static void send_answer(QmpSession *q, json_t *answer, json_t *id)
{
    if (id) {
        json_object_set(answer, "id", id);
    }
    send_object(q, answer);
    json_decref(answer);
}

static void send_error(QmpSession *q, Error *err, json_t *id)
{
    /* A message may quote bytes that are no text. */
    json_t *desc = json_string(error_text(err));

    send_answer(q,
                json_pack("{s:{s:s, s:o}}", "error", "class",
                          *error_class ? error_class : "GenericError", "desc",
                          desc ? desc : json_string("the command has bytes that are no UTF-8")),
                id);
    error_class[0] = '\0';
    error_free(err);
}

static void greet(QmpSession *q)
{
    json_t *greeting = json_pack("{s:{s:o, s:[]}}", "QMP", "version", qmp_query_version(NULL, NULL),
                                 "capabilities");

    q->negotiated = false;
    send_object(q, greeting);
    json_decref(greeting);
}

void qmp_error(Error **errp, const char *class_name, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) {
        abort();
    }
    va_end(ap);
    snprintf(error_class, sizeof(error_class), "%s", class_name);
    error_set(errp, "%s", text);
    free(text);
}

void qmp_event(const char *name, json_t *data)
{
    struct timespec now;
    json_t *event;

    clock_gettime(CLOCK_REALTIME, &now);
    event = json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t)now.tv_sec,
                      "microseconds", (json_int_t)now.tv_nsec / 1000, "event", name);
    if (data) {
        json_object_set_new(event, "data", data);
    }
    for (QmpSession *q = sessions; q; q = q->next) {
        if (q->negotiated && q->out.size < OUTPUT_HIGH) {
            send_object(q, event);
        }
    }
    json_decref(event);
}

/* ---- arguments ---- */

json_t *qmp_empty(void)
{
    return json_object();
}

const char *qmp_str(json_t *args, const char *name)
{
    return json_string_value(json_object_get(args, name));
}

int64_t qmp_int(json_t *args, const char *name, int64_t otherwise)
{
    json_t *v = json_object_get(args, name);

    return v ? json_integer_value(v) : otherwise;
}

bool qmp_bool(json_t *args, const char *name, bool otherwise)
{
    json_t *v = json_object_get(args, name);

    return v ? json_is_true(v) : otherwise;
}

static bool has_type(json_t *v, QmpType type)
{
    switch (type) {
    case QMP_STR:
        return json_is_string(v);
    case QMP_INT:
        return json_is_integer(v);
    case QMP_BOOL:
        return json_is_boolean(v);
    case QMP_OBJECT:
        return json_is_object(v);
    case QMP_ARRAY:
        return json_is_array(v);
    default:
        return true;
    }
}

static const QmpArg *find_arg(const QmpCommand *cmd, const char *name)
{
    for (const QmpArg *a = cmd->args; a->name; a++) {
        if (strcmp(a->name, name) == 0) {
            return a;
        }
    }
    return NULL;
}

static bool check_args(const QmpCommand *cmd, json_t *args, Error **errp)
{
    static const char *const types[] = {
        [QMP_STR] = "string",    [QMP_INT] = "integer", [QMP_BOOL] = "boolean",
        [QMP_OBJECT] = "object", [QMP_ARRAY] = "array",
    };
    const char *name;
    json_t *value;

    for (const QmpArg *a = cmd->args; a->name; a++) {
        if (!a->optional && !json_object_get(args, a->name)) {
            error_set(errp, "Parameter '%s' is missing", a->name);
            return false;
        }
    }
    json_object_foreach(args, name, value)
    {
        const QmpArg *a = find_arg(cmd, name);
        if (!a && !cmd->more_args) {
            error_set(errp, "Parameter '%s' is unexpected", name);
            return false;
        }
        if (a && !has_type(value, a->type)) {
            error_set(errp, "Invalid parameter type for '%s', expected: %s", name, types[a->type]);
            return false;
        }
    }
    return true;
}

/* ---- commands ---- */

static const QmpCommand *find_command(const char *name)
{
    for (const QmpCommand *c = qmp_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

/* The one command that changes the session. */
static json_t *capabilities(QmpSession *q, json_t *args, Error **errp)
{
    json_t *enable = json_object_get(args, "enable");

    if (q->negotiated) {
        qmp_error(errp, "CommandNotFound",
                  "Capabilities negotiation is already complete, command "
                  "ignored");
        return NULL;
    }
    if (enable && (!json_is_array(enable) || json_array_size(enable) > 0)) {
        error_set(errp, "Parameter 'enable' names a capability that is not on offer");
        return NULL;
    }
    q->negotiated = true;
    return qmp_empty();
}

static json_t *run_command(QmpSession *q, const char *name, json_t *args, Error **errp)
{
    const QmpCommand *cmd = find_command(name);

    if (!cmd) {
        qmp_error(errp, "CommandNotFound", "The command %s has not been found", name);
        return NULL;
    }
    if (!check_args(cmd, args, errp)) {
        return NULL;
    }
    if (!cmd->run) {
        return capabilities(q, args, errp);
    }
    if (!q->negotiated) {
        qmp_error(errp, "CommandNotFound",
                  "Expecting capabilities negotiation with 'qmp_capabilities'");
        return NULL;
    }
    return cmd->run(args, errp);
}

static bool check_frame(json_t *command, Error **errp)
{
    const char *key;
    json_t *value;

    if (!json_is_object(command)) {
        error_set(errp, "QMP input must be a JSON object");
        return false;
    }
    json_object_foreach(command, key, value)
    {
        if (strcmp(key, "execute") == 0 && !json_is_string(value)) {
            error_set(errp, "QMP input member 'execute' must be a string");
            return false;
        }
        if (strcmp(key, "arguments") == 0 && !json_is_object(value)) {
            error_set(errp, "QMP input member 'arguments' must be an object");
            return false;
        }
        if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 &&
            strcmp(key, "id") != 0) {
            error_set(errp, "QMP input member '%s' is unexpected", key);
            return false;
        }
    }
    if (!json_object_get(command, "execute")) {
        error_set(errp, "QMP input lacks member 'execute'");
        return false;
    }
    return true;
}

static void execute(QmpSession *q, json_t *command)
{
    json_t *args = json_incref(json_object_get(command, "arguments")), *result = NULL;
    json_t *id = json_is_object(command) ? json_object_get(command, "id") : NULL;
    Error *err = NULL;

    args = json_is_object(args) ? args : json_object();
    error_class[0] = '\0';
    if (check_frame(command, &err)) {
        result = run_command(q, qmp_str(command, "execute"), args, &err);
    }
    if (err) {
        json_decref(result);
        send_error(q, err, id);
    } else {
        send_answer(q, json_pack("{s:o}", "return", result ? result : qmp_empty()), id);
    }
    json_decref(args);
}

/* ---- the stream ---- */

static void complain(QmpSession *q, const char *what)
{
    Error *err = NULL;

    error_set(&err, "JSON parse error, %s", what);
    send_error(q, err, NULL);
}

static void parse_and_execute(QmpSession *q)
{
    json_error_t where;
    json_t *command = json_loadb((const char *)q->text.data, q->text.size,
                                 JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);

    q->running = true;
    if (command) {
        execute(q, command);
        json_decref(command);
    } else {
        complain(q, where.text);
    }
    q->running = false;
}

static void end_of_text(QmpSession *q)
{
    bool too_large = q->too_large;

    q->depth = 0;
    q->in_string = q->escaped = q->too_large = false;
    if (too_large) {
        complain(q, "the command is too large or too deep");
    } else if (q->text.size > 0) {
        parse_and_execute(q);
    }
    buffer_clear(&q->text);
}

/* Brackets, and strings because they may hold some. True: a command ends with this byte. */
static bool ends_with(QmpSession *q, uint8_t c)
{
    if (q->in_string) {
        if (q->escaped) {
            q->escaped = false;
        } else if (c == '\\') {
            q->escaped = true;
        } else if (c == '"') {
            q->in_string = false;
        } else if (c == '\n') {
            return true; /* no string has one: something is broken, and here it ends */
        }
        return false;
    }
    if (c == '"') {
        q->in_string = true;
    } else if (c == '{' || c == '[') {
        q->depth++;
    } else if (c == '}' || c == ']') {
        return q->depth <= 1 || --q->depth == 0;
    }
    /* What is no object or list goes up to the line's end. */
    return q->depth == 0 && c == '\n';
}

static void take_byte(QmpSession *q, uint8_t c)
{
    bool end;

    if (q->text.size == 0 && !q->too_large && strchr(" \t\r\n", c)) {
        return;
    }
    end = ends_with(q, c);
    if (q->text.size >= COMMAND_MAX || q->depth > DEPTH_MAX) {
        q->too_large = true;
        buffer_clear(&q->text);
    }
    if (!q->too_large) {
        buffer_put_u8(&q->text, c);
    }
    /* Thrown away is up to the line's end at most, so that a broken client finds back. */
    if (end || (q->too_large && c == '\n')) {
        end_of_text(q);
    }
}

/* A command may run the main loop, which may bring more input: it waits for its turn. */
static void take_input(QmpSession *q)
{
    size_t i = 0;

    while (i < q->unread.size && !q->running && q->out.size < OUTPUT_HIGH) {
        take_byte(q, q->unread.data[i++]);
    }
    if (!q->running) {
        memmove(q->unread.data, q->unread.data + i, q->unread.size - i);
        q->unread.size -= i;
    }
}

void qmp_session_feed(QmpSession *q, const uint8_t *data, size_t size)
{
    buffer_append(&q->unread, data, size);
    take_input(q);
}

static size_t qmp_can_receive(void *opaque)
{
    QmpSession *q = opaque;

    return q->unread.size == 0 && q->out.size < OUTPUT_HIGH ? READ_MAX : 0;
}

static void qmp_receive(void *opaque, const uint8_t *data, size_t size)
{
    qmp_session_feed(opaque, data, size);
}

static void qmp_writable(void *opaque)
{
    QmpSession *q = opaque;

    flush_output(q);
    take_input(q);
    chr_accept_input(q->chr);
}

/* Another client begins anew. */
static void forget(QmpSession *q)
{
    q->out.size = q->text.size = q->depth = 0;
    q->in_string = q->escaped = q->too_large = q->negotiated = false;
    if (!q->running) {
        q->unread.size = 0;
    }
}

static void qmp_chr_event(void *opaque, ChrEvent event)
{
    QmpSession *q = opaque;

    if (event == CHR_EVENT_OPENED) {
        forget(q);
        greet(q);
    } else if (event == CHR_EVENT_CLOSED) {
        q->negotiated = false;
        q->out.size = 0;
    }
}

static const CharHandlers qmp_handlers = {qmp_can_receive, qmp_receive, qmp_writable, qmp_chr_event,
                                          .any_thread = false};

QmpSession *qmp_session_new(bool pretty)
{
    QmpSession *q = calloc(1, sizeof(*q));

    q->pretty = pretty;
    q->next = sessions;
    sessions = q;
    return q;
}

void qmp_session_free(QmpSession *q)
{
    for (QmpSession **p = &sessions; *p; p = &(*p)->next) {
        if (*p == q) {
            *p = q->next;
            break;
        }
    }
    buffer_free(&q->out);
    buffer_free(&q->unread);
    buffer_free(&q->text);
    free(q);
}

Buffer *qmp_session_output(QmpSession *q)
{
    return &q->out;
}

bool qmp_open(CharBackend *chr, bool pretty, Error **errp)
{
    QmpSession *q = qmp_session_new(pretty);

    qmp_watch_machine();
    q->chr = chr;
    if (!chr_attach(chr, &qmp_handlers, q, errp)) {
        qmp_session_free(q);
        return false;
    }
    return true;
}
