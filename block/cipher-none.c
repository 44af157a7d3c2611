/*
 * In place of cipher.c where there is no libgcrypt: encrypted images cannot be used.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/cipher.h"

#include <errno.h>

static bool none(Error **errp)
{
    error_set(errp, "encrypted images need a build with the library libgcrypt");
    return false;
}

Cipher *cipher_new(const char *name, const char *mode, const uint8_t *key, size_t key_bytes,
                   Error **errp)
{
    none(errp);
    return NULL;
}

void cipher_free(Cipher *c)
{
}

int cipher_encrypt(Cipher *c, uint64_t sector, uint8_t *buf, size_t bytes)
{
    return -EIO;
}

int cipher_decrypt(Cipher *c, uint64_t sector, uint8_t *buf, size_t bytes)
{
    return -EIO;
}

size_t hash_size(const char *hash)
{
    return 0;
}

bool hash_bytes(const char *hash, const void *data, size_t bytes, uint8_t *digest)
{
    return false;
}

Pbkdf2 *pbkdf2_new(const char *hash, const void *password, size_t length, const uint8_t *salt,
                   size_t salt_bytes, uint32_t iterations, uint8_t *out, size_t bytes)
{
    return NULL;
}

bool pbkdf2_step(Pbkdf2 *p, uint32_t iterations)
{
    return false;
}

void pbkdf2_free(Pbkdf2 *p)
{
}

bool hash_pbkdf2(const char *hash, const void *password, size_t length, const uint8_t *salt,
                 size_t salt_bytes, uint32_t iterations, uint8_t *out, size_t bytes)
{
    return false;
}

bool random_bytes(void *buf, size_t bytes, Error **errp)
{
    return none(errp);
}
