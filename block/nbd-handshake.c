/*
 * The client's side of the handshake: "fixed newstyle", the plain newstyle before it and the oldest
 * form, in which the server just tells its one export.
 *
 * Everything a server says is hostile: lengths have limits, texts are made printable, and the whole
 * of it has a deadline, which the caller sets on the socket.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/nbd.h"
#include "block/util.h"

enum { MAX_TEXT = 120, MAX_EXPORTS = 4096, MAX_CONTEXTS = 64, MAX_REPLIES = 10000 };

/* The head of an answer to an option. */
typedef struct OptionReply {
    uint32_t type, length;
} OptionReply;

static const struct {
    uint32_t wire;
    int error;
} errors[] = {
    {1, EPERM},   {5, EIO},        {12, ENOMEM},  {22, EINVAL},
    {28, ENOSPC}, {75, EOVERFLOW}, {95, ENOTSUP}, {108, ESHUTDOWN},
};

uint32_t nbd_error_to_wire(int error)
{
    switch (error) {
    case EROFS:
    case EACCES:
        return 1;
    case EDQUOT:
    case EFBIG:
        return 28;
    }
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        if (errors[i].error == error) {
            return errors[i].wire;
        }
    }
    return 5;
}

int nbd_error_from_wire(uint32_t error)
{
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        if (errors[i].wire == error) {
            return errors[i].error;
        }
    }
    return EINVAL; /* as the protocol says */
}

static bool lost(int ret, Error **errp)
{
    if (ret < 0) {
        error_set(errp, "%s",
                  ret == -ETIMEDOUT    ? "the server does not answer"
                  : ret == -ECONNRESET ? "the server closed the connection during the handshake"
                                       : strerror(-ret));
    }
    return ret < 0;
}

/* ---- options ---- */

static bool send_option(CoSocket *s, uint32_t option, const void *data, uint32_t length,
                        Error **errp)
{
    uint8_t head[NBD_OPTION_SIZE];
    struct iovec iov[2] = {{head, sizeof(head)}, {(void *)data, length}};

    store_be64(head, NBD_OPTION_MAGIC);
    store_be32(head + 8, option);
    store_be32(head + 12, length);
    return !lost(cosocket_writev(s, iov, 2), errp);
}

static bool read_reply(CoSocket *s, uint32_t option, OptionReply *reply, Error **errp)
{
    uint8_t head[NBD_OPTION_REPLY_SIZE];

    if (lost(cosocket_read(s, head, sizeof(head)), errp)) {
        return false;
    }
    reply->type = load_be32(head + 12);
    reply->length = load_be32(head + 16);
    if (load_be64(head) != NBD_OPTION_REPLY || load_be32(head + 8) != option ||
        reply->length > NBD_MAX_OPTION) {
        error_set(errp, "the server's answer to option %u is none of this protocol", option);
        return false;
    }
    return true;
}

/* A text of the server's, at most MAX_TEXT bytes of it, made printable. */
static bool read_text(CoSocket *s, uint32_t length, char text[MAX_TEXT + 1], Error **errp)
{
    uint32_t n = MIN(length, MAX_TEXT);

    if (lost(cosocket_read(s, text, n), errp) || lost(cosocket_skip(s, length - n), errp)) {
        return false;
    }
    text[n] = 0;
    for (uint32_t i = 0; i < n; i++) {
        text[i] = isprint((unsigned char)text[i]) ? text[i] : '?';
    }
    return true;
}

static void refused(const OptionReply *reply, const char *text, const char *name, Error **errp)
{
    const char *why = "the server refuses";

    switch (reply->type) {
    case NBD_REP_ERR_TLS_REQD:
        error_set(errp, "the server wants TLS, which is not supported; start it without");
        return;
    case NBD_REP_ERR_UNKNOWN:
        why = "the server has no such export";
        break;
    case NBD_REP_ERR_POLICY:
        why = "the server does not allow it";
        break;
    case NBD_REP_ERR_SHUTDOWN:
        why = "the server is shutting down";
        break;
    }
    error_set(errp, "export '%s': %s%s%s", name, why, *text ? ": " : "", text);
}

/* The rest of an answer that says no. *unsupported: the option is unknown there. */
static bool take_refusal(CoSocket *s, const OptionReply *reply, const char *name, bool *unsupported,
                         Error **errp)
{
    char text[MAX_TEXT + 1];

    if (!read_text(s, reply->length, text, errp)) {
        return false;
    }
    *unsupported = reply->type != NBD_REP_ERR_TLS_REQD;
    if (!*unsupported) {
        refused(reply, text, name, errp);
    }
    return *unsupported;
}

static bool ask_structured(CoSocket *s, NbdInfo *info, Error **errp)
{
    OptionReply reply;
    bool unsupported;

    if (!send_option(s, NBD_OPT_STRUCTURED_REPLY, NULL, 0, errp) ||
        !read_reply(s, NBD_OPT_STRUCTURED_REPLY, &reply, errp)) {
        return false;
    }
    info->structured = reply.type == NBD_REP_ACK;
    if (info->structured) {
        return !lost(cosocket_skip(s, reply.length), errp);
    }
    return take_refusal(s, &reply, "", &unsupported, errp);
}

/* Name and one query (NULL: none) as both metadata options have them. */
static uint32_t context_query(uint8_t *data, const char *name, const char *query)
{
    uint32_t n = (uint32_t)strlen(name), m = query ? (uint32_t)strlen(query) : 0;

    store_be32(data, n);
    memcpy(data + 4, name, n);
    store_be32(data + 4 + n, query ? 1 : 0);
    if (!query) {
        return 8 + n;
    }
    store_be32(data + 8 + n, m);
    memcpy(data + 12 + n, query, m);
    return 12 + n + m;
}

static bool ask_context(CoSocket *s, const char *name, const char *context, NbdInfo *info,
                        Error **errp)
{
    uint8_t data[2 * NBD_MAX_NAME + 12], id[4];
    char text[MAX_TEXT + 1];
    OptionReply reply;
    bool unsupported;

    if (!send_option(s, NBD_OPT_SET_META_CONTEXT, data, context_query(data, name, context), errp)) {
        return false;
    }
    for (unsigned i = 0; i < MAX_REPLIES; i++) {
        if (!read_reply(s, NBD_OPT_SET_META_CONTEXT, &reply, errp)) {
            return false;
        }
        if (reply.type == NBD_REP_ACK) {
            return !lost(cosocket_skip(s, reply.length), errp);
        }
        if (reply.type != NBD_REP_META_CONTEXT) {
            info->has_context = false;
            return take_refusal(s, &reply, name, &unsupported, errp);
        }
        if (reply.length < 4) {
            break;
        }
        if (lost(cosocket_read(s, id, 4), errp) || !read_text(s, reply.length - 4, text, errp)) {
            return false;
        }
        if (!strncmp(text, context, MAX_TEXT)) {
            info->has_context = true;
            info->context_id = load_be32(id);
        }
    }
    error_set(errp, "the server's list of metadata contexts is damaged");
    return false;
}

static bool take_info(CoSocket *s, uint32_t length, NbdInfo *info, bool *sized, char *description,
                      Error **errp)
{
    uint8_t data[14];
    uint16_t type = 0xffff;

    if (length >= 2) {
        if (lost(cosocket_read(s, data, 2), errp)) {
            return false;
        }
        type = load_be16(data);
        length -= 2;
    }
    if (type == NBD_INFO_EXPORT && length == 10) {
        if (lost(cosocket_read(s, data, 10), errp)) {
            return false;
        }
        info->size = load_be64(data);
        info->flags = load_be16(data + 8);
        *sized = true;
        return true;
    }
    if (type == NBD_INFO_BLOCK_SIZE && length == 12) {
        if (lost(cosocket_read(s, data, 12), errp)) {
            return false;
        }
        info->min_block = load_be32(data);
        info->preferred_block = load_be32(data + 4);
        info->max_block = load_be32(data + 8);
        return true;
    }
    if (type == NBD_INFO_DESCRIPTION && description) {
        return read_text(s, length, description, errp);
    }
    return !lost(cosocket_skip(s, length), errp);
}

/* OPT_GO and OPT_INFO. *unsupported: only the old way is left. */
static bool ask_export(CoSocket *s, uint32_t option, const char *name, NbdInfo *info,
                       char *description, bool *unsupported, Error **errp)
{
    uint8_t data[NBD_MAX_NAME + 10];
    char text[MAX_TEXT + 1];
    uint32_t n = (uint32_t)strlen(name);
    OptionReply reply;
    bool sized = false;

    *unsupported = false;
    store_be32(data, n);
    memcpy(data + 4, name, n);
    store_be16(data + 4 + n, description ? 2 : 1);
    store_be16(data + 6 + n, NBD_INFO_BLOCK_SIZE);
    store_be16(data + 8 + n, NBD_INFO_DESCRIPTION);
    if (!send_option(s, option, data, 8 + n + (description ? 2 : 0), errp)) {
        return false;
    }
    for (unsigned i = 0; i < MAX_REPLIES; i++) {
        if (!read_reply(s, option, &reply, errp)) {
            return false;
        }
        if (reply.type == NBD_REP_ACK) {
            if (!sized) {
                error_set(errp, "the server does not tell the export's size");
            }
            return sized && !lost(cosocket_skip(s, reply.length), errp);
        }
        if (reply.type == NBD_REP_INFO) {
            if (!take_info(s, reply.length, info, &sized, description, errp)) {
                return false;
            }
            continue;
        }
        if (!read_text(s, reply.length, text, errp)) {
            return false;
        }
        if (reply.type == NBD_REP_ERR_UNSUP) {
            *unsupported = true;
            return true;
        }
        refused(&reply, text, name, errp);
        send_option(s, NBD_OPT_ABORT, NULL, 0, NULL); /* so that it does not wonder where we went */
        return false;
    }
    error_set(errp, "the server does not come to an end");
    return false;
}

/* The old way: a server that does not have the export just hangs up. */
static bool ask_by_name(CoSocket *s, const char *name, bool zeroes, NbdInfo *info, Error **errp)
{
    uint8_t data[10];

    if (!send_option(s, NBD_OPT_EXPORT_NAME, name, (uint32_t)strlen(name), errp)) {
        return false;
    }
    if (cosocket_read(s, data, sizeof(data)) < 0) {
        error_set(errp, "export '%s': the server closed the connection; it may have no such export",
                  name);
        return false;
    }
    info->size = load_be64(data);
    info->flags = load_be16(data + 8);
    return !zeroes || !lost(cosocket_skip(s, 124), errp);
}

/* ---- the whole ---- */

/* *fixed: options are answered. *zeroes: padding follows OPT_EXPORT_NAME. *old: the oldest form,
 * info is filled. */
static bool greet(CoSocket *s, NbdInfo *info, bool *fixed, bool *zeroes, bool *old, Error **errp)
{
    uint8_t head[16], rest[12];

    if (lost(cosocket_read(s, head, sizeof(head)), errp)) {
        return false;
    }
    uint64_t style = load_be64(head + 8);
    *old = style == NBD_OLDSTYLE_MAGIC;
    if (load_be64(head) != NBD_INIT_MAGIC || (!*old && style != NBD_OPTION_MAGIC)) {
        error_set(errp, "what listens there is no NBD server");
        return false;
    }
    if (*old) {
        if (lost(cosocket_read(s, rest, 12), errp) || lost(cosocket_skip(s, 124), errp)) {
            return false;
        }
        info->size = load_be64(rest);
        info->flags = (uint16_t)load_be32(rest + 8);
        return true;
    }
    if (lost(cosocket_read(s, rest, 2), errp)) {
        return false;
    }
    uint16_t flags = load_be16(rest);
    *fixed = flags & NBD_FIXED_NEWSTYLE;
    *zeroes = !(flags & NBD_NO_ZEROES);
    store_be32(rest, flags & (NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES));
    return !lost(cosocket_write(s, rest, 4), errp);
}

static bool check_info(NbdInfo *info, Error **errp)
{
    const uint32_t min = info->min_block, max = info->max_block;

    if (info->size > INT64_MAX - 512) {
        error_set(errp, "the server tells a size beyond reason");
        return false;
    }
    if ((min & (min - 1)) || min > 64 * 1024 || (max && max < min)) {
        error_set(errp,
                  "the server wants blocks of %u to %u bytes; possible: a power of 2 up to "
                  "64k, and no less than that",
                  min, max);
        return false;
    }
    if (!(info->flags & NBD_FLAG_HAS_FLAGS)) {
        info->flags = 0;
    }
    return true;
}

bool nbd_negotiate(CoSocket *s, const char *name, const char *context, NbdInfo *info, Error **errp)
{
    bool fixed = false, zeroes = true, old = false, unsupported = true;

    *info = (NbdInfo){0};
    if (!greet(s, info, &fixed, &zeroes, &old, errp)) {
        return false;
    }
    if (old && *name) {
        error_set(errp,
                  "export '%s': this server is of the oldest kind, it has one export without "
                  "a name",
                  name);
        return false;
    }
    if (fixed && !old &&
        (!ask_structured(s, info, errp) ||
         (info->structured && !ask_context(s, name, context, info, errp)) ||
         !ask_export(s, NBD_OPT_GO, name, info, NULL, &unsupported, errp))) {
        return false;
    }
    if (unsupported && !old && !ask_by_name(s, name, zeroes, info, errp)) {
        return false;
    }
    return check_info(info, errp);
}

/* ---- what a server has ---- */

typedef struct Listed {
    char name[NBD_MAX_NAME + 1], description[MAX_TEXT + 1];
    struct Listed *next;
} Listed;

static bool take_listed(CoSocket *s, uint32_t length, Listed **tail, Error **errp)
{
    uint8_t head[4];
    Listed *l = calloc(1, sizeof(*l));

    if (!l) {
        error_set(errp, "out of memory");
        return false;
    }
    *tail = l;
    if (length >= 4 && lost(cosocket_read(s, head, 4), errp)) {
        return false;
    }
    uint32_t n = length >= 4 ? load_be32(head) : UINT32_MAX;
    if (n > NBD_MAX_NAME || n > length - 4) {
        error_set(errp, "the server's list of exports is damaged");
        return false;
    }
    return !lost(cosocket_read(s, l->name, n), errp) &&
           read_text(s, length - 4 - n, l->description, errp);
}

static bool read_list(CoSocket *s, Listed **list, Error **errp)
{
    Listed **tail = list;
    char text[MAX_TEXT + 1];
    OptionReply reply;

    if (!send_option(s, NBD_OPT_LIST, NULL, 0, errp)) {
        return false;
    }
    for (unsigned i = 0; i < MAX_EXPORTS; i++) {
        if (!read_reply(s, NBD_OPT_LIST, &reply, errp)) {
            return false;
        }
        if (reply.type == NBD_REP_ACK) {
            return !lost(cosocket_skip(s, reply.length), errp);
        }
        if (reply.type != NBD_REP_SERVER) {
            if (read_text(s, reply.length, text, errp)) {
                error_set(errp, "the server does not tell what it exports%s%s", *text ? ": " : "",
                          text);
            }
            return false;
        }
        if (!take_listed(s, reply.length, tail, errp)) {
            return false;
        }
        tail = &(*tail)->next;
    }
    error_set(errp, "the server has more than %d exports", MAX_EXPORTS);
    return false;
}

/* The names of an export's contexts into an array that ends with NULL. */
static bool read_contexts(CoSocket *s, const char *name, char *contexts[MAX_CONTEXTS + 1],
                          Error **errp)
{
    uint8_t data[NBD_MAX_NAME + 12];
    char text[MAX_TEXT + 1];
    OptionReply reply;
    bool unsupported;
    unsigned n = 0;

    if (!send_option(s, NBD_OPT_LIST_META_CONTEXT, data, context_query(data, name, NULL), errp)) {
        return false;
    }
    for (unsigned i = 0; i < MAX_REPLIES; i++) {
        if (!read_reply(s, NBD_OPT_LIST_META_CONTEXT, &reply, errp)) {
            return false;
        }
        if (reply.type == NBD_REP_ACK) {
            return !lost(cosocket_skip(s, reply.length), errp);
        }
        if (reply.type != NBD_REP_META_CONTEXT || reply.length < 4) {
            return take_refusal(s, &reply, name, &unsupported, errp);
        }
        if (lost(cosocket_skip(s, 4), errp) || !read_text(s, reply.length - 4, text, errp)) {
            return false;
        }
        if (n < MAX_CONTEXTS) {
            contexts[n++] = strdup(text);
        }
    }
    error_set(errp, "the server does not come to an end");
    return false;
}

static bool list_one(CoSocket *s, const Listed *l, bool structured, NbdListed *each, void *opaque,
                     Error **errp)
{
    char *contexts[MAX_CONTEXTS + 1] = {NULL}, description[MAX_TEXT + 1] = "";
    NbdInfo info = {.structured = structured};
    bool unsupported;

    bool ok = ask_export(s, NBD_OPT_INFO, l->name, &info, description, &unsupported, errp) &&
              (!structured || read_contexts(s, l->name, contexts, errp));
    if (ok) {
        const char *text = *description ? description : l->description;
        each(l->name, *text ? text : NULL, unsupported ? NULL : &info, contexts, opaque);
    }
    for (unsigned i = 0; contexts[i]; i++) {
        free(contexts[i]);
    }
    return ok;
}

bool nbd_list(CoSocket *s, NbdListed *each, void *opaque, Error **errp)
{
    bool fixed = false, zeroes, old = false, ok;
    char *none[] = {NULL};
    NbdInfo info = {0};
    Listed *list = NULL;

    if (!greet(s, &info, &fixed, &zeroes, &old, errp)) {
        return false;
    }
    if (old) {
        each("", NULL, &info, none, opaque);
        return true;
    }
    if (!fixed) {
        error_set(errp, "the server is too old to tell what it exports");
        return false;
    }
    ok = ask_structured(s, &info, errp) && read_list(s, &list, errp);
    for (Listed *l = list; ok && l; l = l->next) {
        ok = list_one(s, l, info.structured, each, opaque, errp);
    }
    while (list) {
        Listed *next = list->next;
        free(list);
        list = next;
    }
    if (ok) {
        send_option(s, NBD_OPT_ABORT, NULL, 0, NULL);
    }
    return ok;
}
