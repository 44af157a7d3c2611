/*
 * Ciphers and hashes by libgcrypt.
 *
 * Each sector of 512 bytes is encrypted by itself; its number gives the initialization vector, as
 * dm-crypt does it: plain (32 bits of the number), plain64, essiv (the number encrypted with a hash
 * of the key).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/cipher.h"

#include <errno.h>
#include <gcrypt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "block/util.h"

typedef enum IvKind { IV_NONE, IV_PLAIN, IV_PLAIN64, IV_ESSIV } IvKind;

enum { MAX_IV = 16 };

struct Cipher {
    gcry_cipher_hd_t handle, essiv;
    IvKind iv;
    size_t block; /* bytes */
    bool counter;
};

static const struct {
    const char *name;
    size_t key_bytes;
    int algorithm;
} ciphers[] = {
    {"aes", 16, GCRY_CIPHER_AES128},         {"aes", 24, GCRY_CIPHER_AES192},
    {"aes", 32, GCRY_CIPHER_AES256},         {"serpent", 16, GCRY_CIPHER_SERPENT128},
    {"serpent", 24, GCRY_CIPHER_SERPENT192}, {"serpent", 32, GCRY_CIPHER_SERPENT256},
    {"twofish", 16, GCRY_CIPHER_TWOFISH128}, {"twofish", 32, GCRY_CIPHER_TWOFISH},
    {"cast5", 16, GCRY_CIPHER_CAST5},
};

static const struct {
    const char *name;
    int algorithm;
} hashes[] = {
    {"md5", GCRY_MD_MD5},          {"sha1", GCRY_MD_SHA1},     {"sha224", GCRY_MD_SHA224},
    {"sha256", GCRY_MD_SHA256},    {"sha384", GCRY_MD_SHA384}, {"sha512", GCRY_MD_SHA512},
    {"ripemd160", GCRY_MD_RMD160},
};

static void start_library(void)
{
    if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
        gcry_check_version(NULL);
        gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
        gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
}

/* ---- hashes ---- */

static int find_hash(const char *name)
{
    start_library();
    for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
        if (!strcmp(hashes[i].name, name)) {
            return hashes[i].algorithm;
        }
    }
    return GCRY_MD_NONE;
}

size_t hash_size(const char *hash)
{
    int algorithm = find_hash(hash);

    return algorithm == GCRY_MD_NONE ? 0 : gcry_md_get_algo_dlen(algorithm);
}

bool hash_bytes(const char *hash, const void *data, size_t bytes, uint8_t *digest)
{
    int algorithm = find_hash(hash);

    if (algorithm == GCRY_MD_NONE) {
        return false;
    }
    gcry_md_hash_buffer(algorithm, digest, data, bytes);
    return true;
}

struct Pbkdf2 {
    gcry_md_hd_t hmac;
    unsigned digest;                  /* bytes */
    uint32_t iterations, left, block; /* left: of the block that is computed */
    uint8_t *out, salt[64], u[64], t[64];
    size_t salt_bytes, bytes; /* of out, still to come */
};

/* U1 = HMAC(password, salt || number of the block) */
static void first_iteration(Pbkdf2 *p)
{
    const uint8_t number[4] = {(uint8_t)(p->block >> 24), (uint8_t)(p->block >> 16),
                               (uint8_t)(p->block >> 8), (uint8_t)p->block};

    gcry_md_reset(p->hmac);
    gcry_md_write(p->hmac, p->salt, p->salt_bytes);
    gcry_md_write(p->hmac, number, sizeof(number));
    memcpy(p->u, gcry_md_read(p->hmac, 0), p->digest);
    memcpy(p->t, p->u, p->digest);
    p->left = p->iterations - 1;
}

Pbkdf2 *pbkdf2_new(const char *hash, const void *password, size_t length, const uint8_t *salt,
                   size_t salt_bytes, uint32_t iterations, uint8_t *out, size_t bytes)
{
    int algorithm = find_hash(hash);
    Pbkdf2 *p = algorithm == GCRY_MD_NONE || salt_bytes > sizeof(p->salt) || !iterations || !bytes
                    ? NULL
                    : calloc(1, sizeof(*p));

    if (!p) {
        return NULL;
    }
    p->digest = gcry_md_get_algo_dlen(algorithm);
    if (p->digest > sizeof(p->u) || gcry_md_open(&p->hmac, algorithm, GCRY_MD_FLAG_HMAC) ||
        gcry_md_setkey(p->hmac, password, length)) {
        pbkdf2_free(p);
        return NULL;
    }
    memcpy(p->salt, salt, salt_bytes);
    p->salt_bytes = salt_bytes;
    p->iterations = iterations;
    p->out = out;
    p->bytes = bytes;
    p->block = 1;
    first_iteration(p);
    return p;
}

bool pbkdf2_step(Pbkdf2 *p, uint32_t iterations)
{
    while (p->bytes) {
        for (; p->left && iterations; p->left--, iterations--) {
            gcry_md_reset(p->hmac);
            gcry_md_write(p->hmac, p->u, p->digest);
            memcpy(p->u, gcry_md_read(p->hmac, 0), p->digest);
            for (unsigned i = 0; i < p->digest; i++) {
                p->t[i] ^= p->u[i];
            }
        }
        if (p->left) {
            return true;
        }
        size_t n = MIN(p->bytes, p->digest);
        memcpy(p->out, p->t, n);
        p->out += n;
        p->bytes -= n;
        p->block++;
        if (p->bytes) {
            first_iteration(p);
        }
    }
    return false;
}

void pbkdf2_free(Pbkdf2 *p)
{
    if (p) {
        gcry_md_close(p->hmac);
        explicit_bzero(p, sizeof(*p));
        free(p);
    }
}

bool hash_pbkdf2(const char *hash, const void *password, size_t length, const uint8_t *salt,
                 size_t salt_bytes, uint32_t iterations, uint8_t *out, size_t bytes)
{
    Pbkdf2 *p = pbkdf2_new(hash, password, length, salt, salt_bytes, iterations, out, bytes);
    bool ok = p != NULL;

    while (ok && pbkdf2_step(p, UINT32_MAX)) {
    }
    pbkdf2_free(p);
    return ok;
}

bool random_bytes(void *buf, size_t bytes, Error **errp)
{
    uint8_t *p = buf;

    while (bytes) {
        ssize_t n = getrandom(p, bytes, 0);
        if (n < 0 && errno != EINTR) {
            error_set_errno(errp, errno, "the host has no random numbers");
            return false;
        }
        p += n > 0 ? n : 0;
        bytes -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* ---- ciphers ---- */

static int find_cipher(const char *name, size_t key_bytes)
{
    start_library();
    for (size_t i = 0; i < ARRAY_SIZE(ciphers); i++) {
        if (!strcmp(ciphers[i].name, name) && ciphers[i].key_bytes == key_bytes) {
            return ciphers[i].algorithm;
        }
    }
    return GCRY_CIPHER_NONE;
}

/* "xts-plain64": chaining and how the sector's number becomes a vector. */
static bool parse_mode(const char *mode, int *chaining, IvKind *iv, const char **essiv_hash)
{
    static const struct {
        const char *name;
        int chaining;
    } modes[] = {{"ecb", GCRY_CIPHER_MODE_ECB},
                 {"cbc", GCRY_CIPHER_MODE_CBC},
                 {"ctr", GCRY_CIPHER_MODE_CTR},
                 {"xts", GCRY_CIPHER_MODE_XTS}};
    size_t n = strcspn(mode, "-");
    const char *vector = mode[n] ? mode + n + 1 : "";

    *chaining = GCRY_CIPHER_MODE_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (n == 3 && !strncmp(modes[i].name, mode, n)) {
            *chaining = modes[i].chaining;
        }
    }
    *iv = IV_NONE;
    if (!strcmp(vector, "plain")) {
        *iv = IV_PLAIN;
    } else if (!strcmp(vector, "plain64")) {
        *iv = IV_PLAIN64;
    } else if (!strncmp(vector, "essiv:", 6)) {
        *iv = IV_ESSIV;
        *essiv_hash = vector + 6;
    }
    return *chaining != GCRY_CIPHER_MODE_NONE &&
           (*iv != IV_NONE || (*chaining == GCRY_CIPHER_MODE_ECB && !*vector));
}

static gcry_cipher_hd_t open_cipher(int algorithm, int chaining, const uint8_t *key,
                                    size_t key_bytes)
{
    gcry_cipher_hd_t handle;

    if (algorithm == GCRY_CIPHER_NONE || gcry_cipher_open(&handle, algorithm, chaining, 0)) {
        return NULL;
    }
    gcry_error_t err = gcry_cipher_setkey(handle, key, key_bytes);
    if (err && gcry_err_code(err) != GPG_ERR_WEAK_KEY) {
        gcry_cipher_close(handle);
        return NULL;
    }
    return handle;
}

static gcry_cipher_hd_t open_essiv(const char *name, const char *hash, const uint8_t *key,
                                   size_t key_bytes)
{
    uint8_t salt[CIPHER_MAX_DIGEST];
    size_t bytes = hash_size(hash);

    if (!bytes || bytes > sizeof(salt) || !hash_bytes(hash, key, key_bytes, salt)) {
        return NULL;
    }
    return open_cipher(find_cipher(name, bytes), GCRY_CIPHER_MODE_ECB, salt, bytes);
}

Cipher *cipher_new(const char *name, const char *mode, const uint8_t *key, size_t key_bytes,
                   Error **errp)
{
    const char *essiv_hash = NULL;
    int chaining;
    Cipher *c = calloc(1, sizeof(*c));

    if (!c) {
        abort();
    }
    if (!parse_mode(mode, &chaining, &c->iv, &essiv_hash)) {
        error_set(errp,
                  "encryption mode '%s' is not known; possible: ecb, or cbc, ctr, xts with -plain, "
                  "-plain64 or -essiv:HASH",
                  mode);
        free(c);
        return NULL;
    }
    bool xts = chaining == GCRY_CIPHER_MODE_XTS;
    c->counter = chaining == GCRY_CIPHER_MODE_CTR;
    int algorithm = find_cipher(name, xts ? key_bytes / 2 : key_bytes);
    c->handle = open_cipher(algorithm, chaining, key, key_bytes);
    c->block = c->handle ? gcry_cipher_get_algo_blklen(algorithm) : 0;
    if (c->handle && essiv_hash) {
        c->essiv = open_essiv(name, essiv_hash, key, key_bytes);
    }
    if (!c->handle || (essiv_hash && !c->essiv)) {
        error_set(errp, "cipher %s with a key of %zu bits in mode %s is not possible", name,
                  8 * key_bytes, mode);
        cipher_free(c);
        return NULL;
    }
    return c;
}

void cipher_free(Cipher *c)
{
    if (c) {
        gcry_cipher_close(c->handle);
        gcry_cipher_close(c->essiv);
        free(c);
    }
}

static gcry_error_t set_vector(Cipher *c, uint64_t sector)
{
    uint8_t iv[MAX_IV] = {0};

    if (c->iv == IV_NONE) {
        return 0;
    }
    store_le64(iv, c->iv == IV_PLAIN ? (uint32_t)sector : sector);
    if (c->essiv) {
        gcry_error_t err = gcry_cipher_encrypt(c->essiv, iv, c->block, NULL, 0);
        if (err) {
            return err;
        }
    }
    gcry_cipher_reset(c->handle);
    return c->counter ? gcry_cipher_setctr(c->handle, iv, c->block)
                      : gcry_cipher_setiv(c->handle, iv, c->block);
}

static int crypt_sectors(Cipher *c, uint64_t sector, uint8_t *buf, size_t bytes, bool encrypt)
{
    for (size_t at = 0; at < bytes; at += CIPHER_SECTOR, sector++) {
        size_t n = MIN(bytes - at, CIPHER_SECTOR);
        gcry_error_t err = set_vector(c, sector);
        if (!err) {
            err = encrypt ? gcry_cipher_encrypt(c->handle, buf + at, n, NULL, 0)
                          : gcry_cipher_decrypt(c->handle, buf + at, n, NULL, 0);
        }
        if (err) {
            return -EIO;
        }
    }
    return 0;
}

int cipher_encrypt(Cipher *c, uint64_t sector, uint8_t *buf, size_t bytes)
{
    return crypt_sectors(c, sector, buf, bytes, true);
}

int cipher_decrypt(Cipher *c, uint64_t sector, uint8_t *buf, size_t bytes)
{
    return crypt_sectors(c, sector, buf, bytes, false);
}
