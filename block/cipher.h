/*
 * Ciphers and hashes for encrypted images: what a cryptographic library does, under the names that
 * LUKS headers use. cipher.c is written for libgcrypt; without it cipher-none.c says so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_CIPHER_H
#define BLOCK_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

enum { CIPHER_SECTOR = 512, CIPHER_MAX_KEY = 64, CIPHER_MAX_DIGEST = 64 };

typedef struct Cipher Cipher;

/*
 * name: "aes", "serpent", "twofish", "cast5"; mode: "xts-plain64", "cbc-essiv:sha256" and so on.
 * What an unknown one is called is said in the error.
 */
Cipher *cipher_new(const char *name, const char *mode, const uint8_t *key, size_t key_bytes,
                   Error **errp);
/* Of the last user; NULL is allowed. */
void cipher_free(Cipher *c);
/* Whole sectors, in place, the first of them numbered `sector`. 0 or -EIO. */
int cipher_encrypt(Cipher *c, uint64_t sector, uint8_t *buf, size_t bytes);
int cipher_decrypt(Cipher *c, uint64_t sector, uint8_t *buf, size_t bytes);

/* Bytes of a hash's digest ("sha256"); 0: not known. */
size_t hash_size(const char *hash);
/* digest: hash_size() bytes. */
bool hash_bytes(const char *hash, const void *data, size_t bytes, uint8_t *digest);
/*
 * PBKDF2 (RFC 2898), some iterations at a time; `out` is complete when a step was the last one.
 * NULL: the hash is not known. password and salt are not needed any more then.
 */
typedef struct Pbkdf2 Pbkdf2;
Pbkdf2 *pbkdf2_new(const char *hash, const void *password, size_t length, const uint8_t *salt,
                   size_t salt_bytes, uint32_t iterations, uint8_t *out, size_t bytes);
/* On any thread, one at a time. False: that was the last one. */
bool pbkdf2_step(Pbkdf2 *p, uint32_t iterations);
void pbkdf2_free(Pbkdf2 *p);
/* All of it at once. */
bool hash_pbkdf2(const char *hash, const void *password, size_t length, const uint8_t *salt,
                 size_t salt_bytes, uint32_t iterations, uint8_t *out, size_t bytes);
/* Bytes that nobody can guess. */
bool random_bytes(void *buf, size_t bytes, Error **errp);

#endif
