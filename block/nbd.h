/*
 * The network block device protocol, both sides: numbers on the wire, and what the files of client
 * and server share.
 *
 * Source: the protocol's own document, doc/proto.md of the project NBD. All numbers are big-endian.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_NBD_H
#define BLOCK_NBD_H

#include <stdbool.h>
#include <stdint.h>

#include "block/cosocket.h"
#include "util/error.h"

#define NBD_DEFAULT_PORT "10809"

/* Greetings and heads. */
#define NBD_INIT_MAGIC       0x4e42444d41474943ull /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC     0x49484156454f5054ull /* "IHAVEOPT" */
#define NBD_OLDSTYLE_MAGIC   0x00420281861253ull
#define NBD_OPTION_REPLY     0x0003e889045565a9ull
#define NBD_REQUEST_MAGIC    0x25609513u
#define NBD_SIMPLE_MAGIC     0x67446698u
#define NBD_STRUCTURED_MAGIC 0x668e33efu

enum {
    NBD_MAX_NAME = 4096,         /* bytes of an export's name, and of any text */
    NBD_MAX_TRANSFER = 32 << 20, /* bytes of data that a request carries, unless agreed on */
    NBD_REQUEST_SIZE = 28,       /* magic 4, flags 2, type 2, cookie 8, offset 8, length 4 */
    NBD_SIMPLE_REPLY_SIZE = 16,  /* magic 4, error 4, cookie 8 */
    NBD_STRUCTURED_SIZE = 20,    /* magic 4, flags 2, type 2, cookie 8, length 4 */
    NBD_OPTION_SIZE = 16,        /* magic 8, option 4, length 4 */
    NBD_OPTION_REPLY_SIZE = 20,  /* magic 8, option 4, reply 4, length 4 */
    NBD_MAX_OPTION = 64 << 10,   /* bytes behind an option or its answer */
    NBD_MAX_REQUESTS = 16,       /* in flight on a connection */
};

/* Handshake flags of the server; of the client the same two. */
enum { NBD_FIXED_NEWSTYLE = 1, NBD_NO_ZEROES = 2 };

enum {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT = 2,
    NBD_OPT_LIST = 3,
    NBD_OPT_STARTTLS = 5,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO = 7,
    NBD_OPT_STRUCTURED_REPLY = 8,
    NBD_OPT_LIST_META_CONTEXT = 9,
    NBD_OPT_SET_META_CONTEXT = 10,
};

#define NBD_REP_ERR(n)         (1u << 31 | (n))
#define NBD_REP_ACK            1u
#define NBD_REP_SERVER         2u
#define NBD_REP_INFO           3u
#define NBD_REP_META_CONTEXT   4u
#define NBD_REP_ERR_UNSUP      NBD_REP_ERR(1)
#define NBD_REP_ERR_POLICY     NBD_REP_ERR(2)
#define NBD_REP_ERR_INVALID    NBD_REP_ERR(3)
#define NBD_REP_ERR_PLATFORM   NBD_REP_ERR(4)
#define NBD_REP_ERR_TLS_REQD   NBD_REP_ERR(5)
#define NBD_REP_ERR_UNKNOWN    NBD_REP_ERR(6)
#define NBD_REP_ERR_SHUTDOWN   NBD_REP_ERR(7)
#define NBD_REP_ERR_BLOCK_SIZE NBD_REP_ERR(8)
#define NBD_REP_ERR_TOO_BIG    NBD_REP_ERR(9)

enum { NBD_INFO_EXPORT, NBD_INFO_NAME, NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE };

/* What an export can do. */
enum {
    NBD_FLAG_HAS_FLAGS = 1 << 0,
    NBD_FLAG_READ_ONLY = 1 << 1,
    NBD_FLAG_SEND_FLUSH = 1 << 2,
    NBD_FLAG_SEND_FUA = 1 << 3,
    NBD_FLAG_ROTATIONAL = 1 << 4,
    NBD_FLAG_SEND_TRIM = 1 << 5,
    NBD_FLAG_SEND_WRITE_ZEROES = 1 << 6,
    NBD_FLAG_SEND_DF = 1 << 7,
    NBD_FLAG_CAN_MULTI_CONN = 1 << 8,
    NBD_FLAG_SEND_CACHE = 1 << 10,
    NBD_FLAG_SEND_FAST_ZERO = 1 << 11,
};

enum {
    NBD_CMD_READ,
    NBD_CMD_WRITE,
    NBD_CMD_DISC,
    NBD_CMD_FLUSH,
    NBD_CMD_TRIM,
    NBD_CMD_CACHE,
    NBD_CMD_WRITE_ZEROES,
    NBD_CMD_BLOCK_STATUS,
};

enum {
    NBD_CMD_FUA = 1 << 0,
    NBD_CMD_NO_HOLE = 1 << 1,
    NBD_CMD_DF = 1 << 2,
    NBD_CMD_REQ_ONE = 1 << 3,
    NBD_CMD_FAST_ZERO = 1 << 4,
};

enum { NBD_REPLY_DONE = 1 }; /* flag of a chunk */
enum {
    NBD_CHUNK_NONE = 0,
    NBD_CHUNK_DATA = 1,
    NBD_CHUNK_HOLE = 2,
    NBD_CHUNK_STATUS = 5,
    NBD_CHUNK_ERROR = 1 << 15 | 1,
    NBD_CHUNK_ERROR_OFFSET = 1 << 15 | 2,
};

/* "base:allocation" */
enum { NBD_STATE_HOLE = 1, NBD_STATE_ZERO = 2 };

/* Error numbers on the wire and those of the host. */
uint32_t nbd_error_to_wire(int error);
int nbd_error_from_wire(uint32_t error);

/* ---- the client's handshake (nbd-handshake.c) ---- */

typedef struct NbdInfo {
    uint64_t size;
    uint16_t flags;
    uint32_t min_block, preferred_block, max_block; /* 0: not said */
    bool structured;
    bool has_context; /* block status can be asked for, and is that of context_id */
    uint32_t context_id;
} NbdInfo;

/*
 * From the connection to the export `name`. context: the metadata context wanted
 * ("base:allocation"). False with an error that does not name the server.
 */
bool nbd_negotiate(CoSocket *s, const char *name, const char *context, NbdInfo *info, Error **errp);

/* For each export of a server: its name, description (NULL: none), what it can do, and the metadata
 * contexts it has. */
typedef void NbdListed(const char *name, const char *description, const NbdInfo *info,
                       char *const *contexts, void *opaque);
bool nbd_list(CoSocket *s, NbdListed *each, void *opaque, Error **errp);

#endif
