/*
 * LUKS, version 1: the header with its key slots, which the format luks has at its beginning and an
 * encrypted qcow2 image in some of its clusters; and encrypted I/O for both.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_LUKS_H
#define BLOCK_LUKS_H

#include "block/cipher.h"
#include "block/driver.h"

enum { LUKS_SLOTS = 8, LUKS_DIGEST = 20, LUKS_SALT = 32 };

typedef struct LuksSlot {
    bool active;
    uint32_t iterations, stripes;
    uint64_t offset; /* of the key material, bytes from the header's beginning */
    uint8_t salt[LUKS_SALT];
} LuksSlot;

typedef struct LuksHeader {
    char cipher[33], mode[33], hash[33], uuid[41];
    uint64_t payload; /* where the disk begins, bytes from the header's beginning */
    uint32_t key_bytes, digest_iterations;
    uint8_t digest[LUKS_DIGEST], salt[LUKS_SALT];
    LuksSlot slots[LUKS_SLOTS];
} LuksHeader;

/* Passwords are made slow to guess by repetition; a header that asks for more than this is refused.
 */
extern uint32_t luks_max_iterations;

/* The header at `at` of the file, whose parts must lie within `bytes`. */
bool luks_read_header(BlockChild *file, uint64_t at, uint64_t bytes, LuksHeader *h,
                      const char *filename, Error **errp);
/* The disk's cipher, by the password that the secret holds. */
Cipher *luks_unlock(BlockChild *file, uint64_t at, const LuksHeader *h, const char *secret,
                    const char *filename, Error **errp);
/* What the header tells, in order; format: an item "format" among it, NULL: none. */
void luks_add_info(const LuksHeader *h, const char *format, InfoTree *info);

/* ---- new ones ---- */
typedef struct LuksFormat {
    char *secret;
    int cipher, mode, iv, iv_hash, hash; /* indices of tables in luks-header.c */
    uint64_t iter_time;                  /* ms that trying a password shall take */
} LuksFormat;

/* Takes "cipher-alg" and its kin; free(f->secret) afterwards, also on false. */
bool luks_take_format(BlockOptions *options, LuksFormat *f, Error **errp);
/* Bytes of a header with all its key slots. */
uint64_t luks_format_bytes(const LuksFormat *f);
/* Whether luks_write_new() can do it: the secret is there, cipher, mode and hash go together. */
bool luks_check_format(const LuksFormat *f, const char *filename, Error **errp);
bool luks_write_new(BlockChild *file, uint64_t at, const LuksFormat *f, const char *filename,
                    Error **errp);

/*
 * Changes the header's key slots: "state" active (with "new-secret", the password to add, and
 * perhaps "keyslot") or inactive (with "old-secret" or "keyslot"). The master key comes by the
 * option "secret", or by the one given here, with which the image was opened. The header lies
 * within `bytes` at `at`; h becomes what it is then, also when only some slots were erased. force:
 * the last key, too, and over one that is there.
 */
extern const BlockOptionDesc luks_amend_options[];
bool luks_co_change_slots(BlockChild *file, uint64_t at, uint64_t bytes, LuksHeader *h,
                          BlockOptions *options, const char *secret, bool force,
                          const char *filename, Error **errp);

/* ---- encrypted I/O: whole sectors at `where` of the file, the first numbered `sector` ---- */
int crypt_co_preadv(Cipher *c, BlockChild *file, uint64_t where, uint64_t sector, uint64_t bytes,
                    IoVector *v, size_t at);
int crypt_co_pwritev(Cipher *c, BlockChild *file, uint64_t where, uint64_t sector, uint64_t bytes,
                     IoVector *v, size_t at);

/*
 * The encryption of qcow and of qcow2's "aes": AES-128-CBC, the number of the disk's sector as
 * vector, the password itself (16 bytes of it) as key. Weak; for images that are there.
 */
Cipher *crypt_open_aes(const char *secret, const char *filename, Error **errp);

#endif
