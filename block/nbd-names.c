/*
 * NBD client: names of disks (the NBD project's "NBD URI specification", and the older
 * nbd:HOST:PORT, nbd:unix:FILE).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/nbd-int.h"

#include <stdlib.h>
#include <string.h>

static bool decode_percent(char *text, const char *filename, Error **errp)
{
    char *to = text;

    for (const char *p = text; *p; p++) {
        if (*p == '%') {
            char hex[3] = {p[1], p[1] ? p[2] : 0, 0}, *end;
            long c = strtol(hex, &end, 16);
            if (*end || !hex[1] || c <= 0) {
                error_set(errp, "%s: '%%%s' is no character; possible: two hexadecimal digits",
                          filename, hex);
                return false;
            }
            *to++ = (char)c;
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
    return true;
}

/* "host", "host:port", "[v6]:port" */
static bool split_host(char *text, const char *filename, BlockOptions *options, Error **errp)
{
    char *colon;

    if (*text == '[') {
        char *end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':')) {
            error_set(errp, "%s: '%s' is no address; possible: [::1]:" NBD_DEFAULT_PORT, filename,
                      text);
            return false;
        }
        *end = 0;
        text++;
        colon = end[1] ? end + 1 : NULL;
    } else {
        colon = strrchr(text, ':');
    }
    if (colon) {
        *colon = 0;
        if (colon[1]) {
            blkopts_set(options, "port", colon + 1);
        }
    }
    blkopts_set(options, "host", *text ? text : "localhost");
    return true;
}

static bool parse_query(char *query, const char *filename, BlockOptions *options, Error **errp)
{
    if (strncmp(query, "socket=", 7) != 0 || strchr(query, '&')) {
        error_set(errp, "%s: '?%s' is not possible; possible: nbd+unix:///EXPORT?socket=PATH",
                  filename, query);
        return false;
    }
    if (!decode_percent(query + 7, filename, errp)) {
        return false;
    }
    blkopts_set(options, "path", query + 7);
    return true;
}

/* nbd://host[:port][/export], nbd+unix://[/export]?socket=path */
static bool parse_url(char *url, const char *filename, BlockOptions *options, Error **errp)
{
    bool is_unix = !strncmp(url, "nbd+unix:", 9);
    char *rest = strstr(url, "://") + 3, *query = strchr(rest, '?');

    if (!strncmp(url, "nbds", 4)) {
        error_set(errp, "%s: TLS is not supported; possible: nbd://, nbd+unix://", filename);
        return false;
    }
    if (query) {
        *query++ = 0;
    }
    char *slash = strchr(rest, '/');
    if (slash) {
        *slash++ = 0;
        if (!decode_percent(slash, filename, errp)) {
            return false;
        }
        if (*slash) {
            blkopts_set(options, "export", slash);
        }
    }
    if (!is_unix == (query != NULL) || (is_unix && *rest)) {
        error_set(errp,
                  "%s is no name of an NBD disk; possible: nbd://HOST:PORT/EXPORT, "
                  "nbd+unix:///EXPORT?socket=PATH",
                  filename);
        return false;
    }
    return is_unix ? parse_query(query, filename, options, errp)
                   : split_host(rest, filename, options, errp);
}

/* nbd:host:port[:exportname=name], nbd:unix:path[:exportname=name] */
static bool parse_old(char *text, const char *filename, BlockOptions *options, Error **errp)
{
    char *name = strstr(text, ":exportname=");

    if (name) {
        *name = 0;
        blkopts_set(options, "export", name + strlen(":exportname="));
    }
    if (!strncmp(text, "unix:", 5)) {
        blkopts_set(options, "path", text + 5);
        return true;
    }
    const char *bracket = strrchr(text, ']');
    if (!strchr(bracket ? bracket : text, ':')) {
        error_set(errp, "%s: the port is missing; possible: nbd:HOST:PORT, nbd:unix:PATH",
                  filename);
        return false;
    }
    return split_host(text, filename, options, errp);
}

bool nbd_parse_filename(const char *filename, BlockOptions *options, Error **errp)
{
    char *text = strdup(filename);

    if (!text) {
        abort();
    }
    bool ok = strstr(text, "://") ? parse_url(text, filename, options, errp)
                                  : parse_old(text + 4, filename, options, errp);
    free(text);
    return ok;
}
