/*
 * The handshake with a client: "fixed newstyle". Every option is answered; what is unknown is
 * refused by name, so that clients of any age find their way.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/nbd-server-int.h"
#include "block/util.h"

enum { MAX_OPTIONS = 1000, PREFERRED_BLOCK = 4096 };

static const char allocation[] = "base:allocation", depth[] = "qemu:allocation-depth",
                  dirty[] = "qemu:dirty-bitmap:";

/* An option as it came: data has length bytes, of which `at` are taken. */
typedef struct Option {
    uint32_t type, length, at;
    uint8_t *data;
} Option;

static bool reply(NbdClient *c, const Option *o, uint32_t type, const void *data, uint32_t length)
{
    uint8_t head[NBD_OPTION_REPLY_SIZE];
    struct iovec iov[2] = {{head, sizeof(head)}, {(void *)data, length}};

    store_be64(head, NBD_OPTION_REPLY);
    store_be32(head + 8, o->type);
    store_be32(head + 12, type);
    store_be32(head + 16, length);
    return cosocket_writev(c->socket, iov, 2) == 0;
}

static bool refuse(NbdClient *c, const Option *o, uint32_t type, const char *text)
{
    return reply(c, o, type, text, (uint32_t)strlen(text));
}

static bool take_u32(Option *o, uint32_t *value)
{
    if (o->length - o->at < 4) {
        return false;
    }
    *value = load_be32(o->data + o->at);
    o->at += 4;
    return true;
}

/* "length, text" into text, which has room for NBD_MAX_NAME bytes and a zero. */
static bool take_text(Option *o, char *text)
{
    uint32_t n;

    if (!take_u32(o, &n) || n > NBD_MAX_NAME || n > o->length - o->at) {
        return false;
    }
    memcpy(text, o->data + o->at, n);
    text[n] = 0;
    o->at += n;
    return true;
}

static uint16_t export_flags(const NbdClient *c, const NbdExport *e)
{
    /* All clients go through one node, so a flush of one is that of all; who alone may connect
       must not try to come twice. */
    return NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_CACHE |
           (c->server->max_clients > 1 ? NBD_FLAG_CAN_MULTI_CONN : 0) |
           (c->structured ? NBD_FLAG_SEND_DF : 0) |
           (e->writable ? NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO
                        : NBD_FLAG_READ_ONLY);
}

static void choose(NbdClient *c, NbdExport *e)
{
    c->export = e;
    e->clients++;
    if (!c->contexts_name || strcmp(c->contexts_name, e->name) != 0) {
        c->contexts = 0; /* asked for another one */
    }
}

/* An export stays while we wait. */
static void pin(NbdClient *c, NbdExport *e)
{
    c->pinned = e;
    e->clients++;
}

static void unpin(NbdClient *c)
{
    c->pinned->clients--;
    c->pinned = NULL;
}

/* ---- options ---- */

static bool option_export_name(NbdClient *c, const Option *o, bool zeroes)
{
    uint8_t data[10 + 124] = {0};
    char name[NBD_MAX_NAME + 1];

    if (o->length > NBD_MAX_NAME) {
        return false;
    }
    memcpy(name, o->data, o->length);
    name[o->length] = 0;
    NbdExport *e = nbd_find_export(c->server, name);
    if (!e) {
        return false; /* there is no other way to say no */
    }
    store_be64(data, bdrv_size(e->root->node));
    store_be16(data + 8, export_flags(c, e));
    choose(c, e);
    if (cosocket_write(c->socket, data, zeroes ? sizeof(data) : 10) < 0) {
        c->export = NULL;
        e->clients--;
        return false;
    }
    return true;
}

static bool option_list(NbdClient *c, const Option *o)
{
    uint8_t data[2 * NBD_MAX_NAME + 4];

    if (o->length) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "this option has no data");
    }
    for (const NbdExport *e = c->server->exports; e; e = e->next) {
        uint32_t n = (uint32_t)strlen(e->name);
        uint32_t m = e->description ? (uint32_t)strlen(e->description) : 0;
        store_be32(data, n);
        memcpy(data + 4, e->name, n);
        memcpy(data + 4 + n, m ? e->description : "", m);
        /* Waits, while which exports may come and go: then the list is no longer one. */
        const NbdExport *next = e->next;
        if (!reply(c, o, NBD_REP_SERVER, data, 4 + n + m)) {
            return false;
        }
        const NbdExport *now = c->server->exports;
        while (now && now != e) {
            now = now->next;
        }
        if (!now || now->next != next) {
            return false;
        }
    }
    return reply(c, o, NBD_REP_ACK, NULL, 0);
}

static bool send_text_info(NbdClient *c, const Option *o, uint16_t type, const char *text)
{
    uint8_t data[NBD_MAX_NAME + 2];
    size_t n = strlen(text);

    store_be16(data, type);
    memcpy(data + 2, text, n);
    return reply(c, o, NBD_REP_INFO, data, (uint32_t)n + 2);
}

/* INFO and GO: all in one buffer's worth of facts, so that the export cannot go away between. */
static bool option_info(NbdClient *c, Option *o, bool go)
{
    char name[NBD_MAX_NAME + 1];
    bool wants_name = false, wants_description = false;
    uint8_t data[14];

    if (!take_text(o, name) || o->length - o->at < 2) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "this option's data is damaged");
    }
    uint16_t count = load_be16(o->data + o->at);
    o->at += 2;
    if (o->length - o->at != 2u * count) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "this option's data is damaged");
    }
    for (unsigned i = 0; i < count; i++) {
        uint16_t type = load_be16(o->data + o->at + 2 * i);
        wants_name |= type == NBD_INFO_NAME;
        wants_description |= type == NBD_INFO_DESCRIPTION;
    }
    NbdExport *e = nbd_find_export(c->server, name);
    if (!e) {
        return refuse(c, o, NBD_REP_ERR_UNKNOWN, "there is no such export");
    }
    pin(c, e);
    bool ok = (!wants_name || send_text_info(c, o, NBD_INFO_NAME, e->name)) &&
              (!wants_description || !e->description ||
               send_text_info(c, o, NBD_INFO_DESCRIPTION, e->description));
    store_be16(data, NBD_INFO_BLOCK_SIZE);
    store_be32(data + 2, 1);
    store_be32(data + 6, MAX(PREFERRED_BLOCK, e->root->node->request_alignment));
    store_be32(data + 10, NBD_MAX_TRANSFER);
    ok = ok && reply(c, o, NBD_REP_INFO, data, 14);
    store_be16(data, NBD_INFO_EXPORT);
    store_be64(data + 2, bdrv_size(e->root->node));
    store_be16(data + 10, export_flags(c, e));
    ok = ok && reply(c, o, NBD_REP_INFO, data, 12) && reply(c, o, NBD_REP_ACK, NULL, 0);
    if (ok && go) {
        choose(c, e);
    }
    unpin(c);
    return ok;
}

/* ---- metadata contexts ---- */

static bool send_context(NbdClient *c, const Option *o, unsigned number, const char *prefix,
                         const char *name)
{
    uint8_t data[NBD_MAX_NAME + 64];
    int n = snprintf((char *)data + 4, sizeof(data) - 4, "%s%s", prefix, name);

    store_be32(data, o->type == NBD_OPT_LIST_META_CONTEXT ? 0 : number);
    return reply(c, o, NBD_REP_META_CONTEXT, data, 4 + (uint32_t)MIN(n, NBD_MAX_NAME));
}

/* Which contexts a query means: bits. A list's query may end with its namespace. */
static uint32_t match_query(const NbdExport *e, const char *query, bool list)
{
    uint32_t found = 0;

    if (!strcmp(query, allocation) || (list && !strcmp(query, "base:"))) {
        found |= 1u << NBD_CONTEXT_ALLOCATION;
    }
    if (e->depth && (!strcmp(query, depth) || (list && !strcmp(query, "qemu:")))) {
        found |= 1u << NBD_CONTEXT_DEPTH;
    }
    for (unsigned i = 0; i < e->bitmap_count; i++) {
        bool named = !strncmp(query, dirty, sizeof(dirty) - 1) &&
                     !strcmp(query + sizeof(dirty) - 1, e->bitmaps[i].name);
        if (named || (list && (!strcmp(query, dirty) || !strcmp(query, "qemu:")))) {
            found |= 1u << (NBD_CONTEXT_BITMAP + i);
        }
    }
    return found;
}

static bool send_contexts(NbdClient *c, const Option *o, const NbdExport *e, uint32_t found)
{
    bool ok = true;

    for (unsigned i = 0; ok && i < NBD_CONTEXT_BITMAP + e->bitmap_count; i++) {
        if (!(found >> i & 1)) {
            continue;
        }
        ok = i == NBD_CONTEXT_ALLOCATION ? send_context(c, o, i, allocation, "")
             : i == NBD_CONTEXT_DEPTH
                 ? send_context(c, o, i, depth, "")
                 : send_context(c, o, i, dirty, e->bitmaps[i - NBD_CONTEXT_BITMAP].name);
    }
    return ok;
}

static bool option_contexts(NbdClient *c, Option *o)
{
    bool list = o->type == NBD_OPT_LIST_META_CONTEXT, ok = true;
    char name[NBD_MAX_NAME + 1], query[NBD_MAX_NAME + 1];
    uint32_t count, found = 0;

    if (!c->structured) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "structured replies come first");
    }
    if (!take_text(o, name) || !take_u32(o, &count)) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "this option's data is damaged");
    }
    NbdExport *e = nbd_find_export(c->server, name);
    if (!e) {
        return refuse(c, o, NBD_REP_ERR_UNKNOWN, "there is no such export");
    }
    if (list && !count) {
        found = match_query(e, "base:", true) | match_query(e, "qemu:", true);
    }
    for (uint32_t i = 0; ok && i < count; i++) {
        ok = take_text(o, query);
        found |= ok ? match_query(e, query, list) : 0;
    }
    if (!ok || o->at != o->length) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "this option's data is damaged");
    }
    if (!list) {
        free(c->contexts_name);
        c->contexts_name = strdup(name);
        c->contexts = found;
    }
    pin(c, e);
    ok = send_contexts(c, o, e, found);
    unpin(c);
    return ok && reply(c, o, NBD_REP_ACK, NULL, 0);
}

/* ---- the whole ---- */

/* False: the connection ends. */
static bool answer(NbdClient *c, Option *o, bool zeroes)
{
    switch (o->type) {
    case NBD_OPT_EXPORT_NAME:
        return option_export_name(c, o, zeroes);
    case NBD_OPT_ABORT:
        reply(c, o, NBD_REP_ACK, NULL, 0);
        return false;
    case NBD_OPT_LIST:
        return option_list(c, o);
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        return option_info(c, o, o->type == NBD_OPT_GO);
    case NBD_OPT_STRUCTURED_REPLY:
        if (o->length) {
            return refuse(c, o, NBD_REP_ERR_INVALID, "this option has no data");
        }
        c->structured = true;
        return reply(c, o, NBD_REP_ACK, NULL, 0);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
        return option_contexts(c, o);
    case NBD_OPT_STARTTLS:
        return refuse(c, o, NBD_REP_ERR_POLICY, "TLS is not supported here");
    default:
        return refuse(c, o, NBD_REP_ERR_UNSUP, "this option is not known here");
    }
}

static bool next_option(NbdClient *c, bool zeroes)
{
    uint8_t head[NBD_OPTION_SIZE];
    Option o = {0};

    if (cosocket_read(c->socket, head, sizeof(head)) < 0 || load_be64(head) != NBD_OPTION_MAGIC) {
        return false;
    }
    o.type = load_be32(head + 8);
    o.length = load_be32(head + 12);
    if (o.length > NBD_MAX_OPTION) {
        return o.length <= NBD_MAX_TRANSFER && cosocket_skip(c->socket, o.length) == 0 &&
               refuse(c, &o, NBD_REP_ERR_TOO_BIG, "this option is too long");
    }
    o.data = malloc(MAX(o.length, 1));
    bool ok = o.data && cosocket_read(c->socket, o.data, o.length) == 0 && answer(c, &o, zeroes);
    free(o.data);
    return ok;
}

bool nbd_serve_options(NbdClient *c)
{
    uint8_t head[18], flags[4];

    store_be64(head, NBD_INIT_MAGIC);
    store_be64(head + 8, NBD_OPTION_MAGIC);
    store_be16(head + 16, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
    if (cosocket_write(c->socket, head, sizeof(head)) < 0 ||
        cosocket_read(c->socket, flags, sizeof(flags)) < 0) {
        return false;
    }
    uint32_t theirs = load_be32(flags);
    if (theirs & ~(uint32_t)(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES)) {
        return false;
    }
    for (unsigned i = 0; i < MAX_OPTIONS && !c->export; i++) {
        if (!next_option(c, !(theirs & NBD_NO_ZEROES))) {
            return false;
        }
    }
    return c->export != NULL;
}
