/*
 * The header of LUKS version 1, after the "LUKS On-Disk Format Specification", version 1.2.3.
 *
 * The disk is encrypted by a master key of random bytes. Each of eight key slots may hold a copy of
 * it: split into many stripes (the loss of any of which destroys it), encrypted by a key that is
 * derived from a password. Which copy is the right one, a digest of the master key tells.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block/kdf.h"
#include "block/luks.h"
#include "block/util.h"
#include "util/secret.h"

typedef struct DiskSlot {
    uint32_t active, iterations;
    uint8_t salt[LUKS_SALT];
    uint32_t offset; /* sectors */
    uint32_t stripes;
} __attribute__((packed)) DiskSlot;

/* All numbers big-endian. */
typedef struct DiskHeader {
    uint8_t magic[6];
    uint16_t version;
    char cipher[32], mode[32], hash[32];
    uint32_t payload; /* sectors */
    uint32_t key_bytes;
    uint8_t digest[LUKS_DIGEST], salt[LUKS_SALT];
    uint32_t digest_iterations;
    char uuid[40];
    DiskSlot slots[LUKS_SLOTS];
} __attribute__((packed)) DiskHeader;
_Static_assert(sizeof(DiskHeader) == 592, "the header's size is given by the specification");

#define SLOT_ACTIVE   0x00ac71f3
#define SLOT_DISABLED 0x0000dead

enum {
    STRIPES = 4000,    /* the specification's; more are not made by anybody */
    SLOT_ALIGN = 4096, /* of key material in new headers */
    MIN_ITERATIONS = 1000,
    MEASURED_MS = 30,   /* how long the measuring of PBKDF2 takes at least */
    BOUNCE = 256 * 1024 /* encrypted I/O goes in such pieces */
};

uint32_t luks_max_iterations = 200 * 1000 * 1000;

/* ---- reading ---- */

static bool bad(const char *filename, Error **errp, const char *what)
{
    error_set(errp, "image %s: LUKS header: %s", filename, what);
    return false;
}

static bool check_slot(const LuksHeader *h, const LuksSlot *slot, unsigned i, uint64_t bytes,
                       const char *filename, Error **errp)
{
    uint64_t material = (uint64_t)h->key_bytes * slot->stripes;
    char what[80];

    if (!slot->stripes || slot->stripes > STRIPES) {
        snprintf(what, sizeof(what), "key slot %u has %" PRIu32 " stripes; possible: 1 to 4000", i,
                 slot->stripes);
        return bad(filename, errp, what);
    }
    if (slot->offset < sizeof(DiskHeader) || slot->offset + material > bytes ||
        (h->payload && slot->offset + material > h->payload)) {
        snprintf(what, sizeof(what), "key slot %u lies outside of the header's area", i);
        return bad(filename, errp, what);
    }
    if (slot->active && (!slot->iterations || slot->iterations > luks_max_iterations)) {
        snprintf(what, sizeof(what), "key slot %u wants %" PRIu32 " iterations; at most %" PRIu32,
                 i, slot->iterations, luks_max_iterations);
        return bad(filename, errp, what);
    }
    return true;
}

static bool printable(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static bool check_header(const LuksHeader *h, uint64_t bytes, const char *filename, Error **errp)
{
    if (!printable(h->cipher) || !printable(h->mode) || !printable(h->hash) ||
        !printable(h->uuid)) {
        return bad(filename, errp, "names are not text");
    }
    if (!h->key_bytes || h->key_bytes > CIPHER_MAX_KEY) {
        return bad(filename, errp, "the key's length is not possible; at most 64 bytes");
    }
    if (!h->digest_iterations || h->digest_iterations > luks_max_iterations) {
        return bad(filename, errp, "the number of iterations for the key's digest is not possible");
    }
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        if (!check_slot(h, &h->slots[i], i, bytes, filename, errp)) {
            return false;
        }
    }
    return true;
}

bool luks_read_header(BlockChild *file, uint64_t at, uint64_t bytes, LuksHeader *h,
                      const char *filename, Error **errp)
{
    DiskHeader d;
    int ret = bytes < sizeof(d) ? -EINVAL : bdrv_co_pread(file, at, sizeof(d), &d, 0);

    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the LUKS header", filename);
        return false;
    }
    if (memcmp(d.magic, "LUKS\xba\xbe", 6) != 0) {
        return bad(filename, errp, "there is none");
    }
    if (be16toh(d.version) != 1) {
        error_set(errp, "image %s: LUKS version %u is not known; possible: 1", filename,
                  be16toh(d.version));
        return false;
    }
    *h = (LuksHeader){.payload = (uint64_t)be32toh(d.payload) * CIPHER_SECTOR,
                      .key_bytes = be32toh(d.key_bytes),
                      .digest_iterations = be32toh(d.digest_iterations)};
    memcpy(h->cipher, d.cipher, sizeof(d.cipher));
    memcpy(h->mode, d.mode, sizeof(d.mode));
    memcpy(h->hash, d.hash, sizeof(d.hash));
    memcpy(h->uuid, d.uuid, sizeof(d.uuid));
    memcpy(h->digest, d.digest, sizeof(d.digest));
    memcpy(h->salt, d.salt, sizeof(d.salt));
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        h->slots[i] = (LuksSlot){.active = be32toh(d.slots[i].active) == SLOT_ACTIVE,
                                 .iterations = be32toh(d.slots[i].iterations),
                                 .stripes = be32toh(d.slots[i].stripes),
                                 .offset = (uint64_t)be32toh(d.slots[i].offset) * CIPHER_SECTOR};
        memcpy(h->slots[i].salt, d.slots[i].salt, LUKS_SALT);
    }
    return check_header(h, bytes, filename, errp);
}

/* ---- stripes: the specification's section 2.4 ---- */

/* Each piece as long as a digest becomes the hash of its number and itself. */
static void diffuse(const char *hash, size_t digest, uint8_t *block, size_t bytes)
{
    uint8_t input[4 + CIPHER_MAX_DIGEST], output[CIPHER_MAX_DIGEST];
    uint32_t number = 0;

    for (size_t at = 0; at < bytes; at += digest, number++) {
        size_t n = MIN(bytes - at, digest);
        store_be32(input, number);
        memcpy(input + 4, block + at, n);
        hash_bytes(hash, input, 4 + n, output);
        memcpy(block + at, output, n);
    }
}

/* Out of `stripes` - 1 stripes: what the last one is combined with. */
static void combine(const char *hash, const uint8_t *material, uint32_t stripes, size_t bytes,
                    uint8_t *d)
{
    size_t digest = hash_size(hash);

    memset(d, 0, bytes);
    for (uint32_t i = 0; i + 1 < stripes; i++) {
        for (size_t j = 0; j < bytes; j++) {
            d[j] ^= material[i * bytes + j];
        }
        diffuse(hash, digest, d, bytes);
    }
}

static void merge_stripes(const LuksHeader *h, const uint8_t *material, uint32_t stripes,
                          uint8_t *key)
{
    combine(h->hash, material, stripes, h->key_bytes, key);
    for (size_t j = 0; j < h->key_bytes; j++) {
        key[j] ^= material[(size_t)(stripes - 1) * h->key_bytes + j];
    }
}

/* ---- unlocking ---- */

static int digest_of_key(const LuksHeader *h, const uint8_t *key, uint8_t *digest)
{
    return kdf_co_pbkdf2(h->hash, key, h->key_bytes, h->salt, LUKS_SALT, h->digest_iterations,
                         digest, LUKS_DIGEST);
}

/* 1: key is the master key, 0: the password is another one, or a negative errno. */
static int try_slot(BlockChild *file, uint64_t at, const LuksHeader *h, const LuksSlot *slot,
                    const uint8_t *password, size_t length, uint8_t *key)
{
    size_t bytes = (size_t)h->key_bytes * slot->stripes, whole = ROUND_UP(bytes, CIPHER_SECTOR);
    uint8_t slot_key[CIPHER_MAX_KEY], digest[LUKS_DIGEST];
    uint8_t *material = block_try_alloc(NULL, whole);
    Cipher *c = NULL;
    int ret = material ? bdrv_co_pread(file, at + slot->offset, whole, material, 0) : -ENOMEM;

    if (ret == 0) {
        ret = kdf_co_pbkdf2(h->hash, password, length, slot->salt, LUKS_SALT, slot->iterations,
                            slot_key, h->key_bytes);
    }
    if (ret == 0) {
        c = cipher_new(h->cipher, h->mode, slot_key, h->key_bytes, NULL);
        ret = c ? cipher_decrypt(c, 0, material, whole) : -EINVAL;
    }
    if (ret == 0) {
        merge_stripes(h, material, slot->stripes, key);
        ret = digest_of_key(h, key, digest);
        ret = ret < 0 ? ret : !memcmp(digest, h->digest, LUKS_DIGEST);
    }
    cipher_free(c);
    explicit_bzero(slot_key, sizeof(slot_key));
    if (material) {
        explicit_bzero(material, whole);
    }
    free(material);
    return ret;
}

/* The master key, by the password that the secret holds. */
static bool find_key(BlockChild *file, uint64_t at, const LuksHeader *h, const char *secret,
                     const char *filename, uint8_t *key, Error **errp)
{
    const uint8_t *password;
    size_t length;
    int ret = 0;

    if (!secret) {
        error_set(errp,
                  "image %s is encrypted; give its password with -object "
                  "secret,id=ID,file=FILE and key-secret=ID",
                  filename);
        return false;
    }
    if (!secret_get(secret, &password, &length, errp)) {
        return false;
    }
    /* What is not supported is told before a password is called wrong. */
    memset(key, 0, CIPHER_MAX_KEY);
    Cipher *c = cipher_new(h->cipher, h->mode, key, h->key_bytes, errp);
    bool known = c != NULL;
    cipher_free(c);
    if (known && !hash_size(h->hash)) {
        error_set(errp, "hash '%s' is not known", h->hash);
        known = false;
    }
    if (!known) {
        error_prepend(errp, "image %s: ", filename);
        return false;
    }
    for (unsigned i = 0; i < LUKS_SLOTS && ret == 0; i++) {
        if (h->slots[i].active) {
            ret = try_slot(file, at, h, &h->slots[i], password, length, key);
        }
    }
    if (ret == -ECANCELED) {
        error_set(errp, "image %s: interrupted while its password was tried", filename);
    } else if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the key", filename);
    } else if (ret == 0) {
        error_set(errp, "image %s: the password in secret '%s' opens none of its key slots",
                  filename, secret);
    }
    return ret > 0;
}

Cipher *luks_unlock(BlockChild *file, uint64_t at, const LuksHeader *h, const char *secret,
                    const char *filename, Error **errp)
{
    uint8_t key[CIPHER_MAX_KEY];
    Cipher *c = find_key(file, at, h, secret, filename, key, errp)
                    ? cipher_new(h->cipher, h->mode, key, h->key_bytes, errp)
                    : NULL;

    explicit_bzero(key, sizeof(key));
    return c;
}

Cipher *crypt_open_aes(const char *secret, const char *filename, Error **errp)
{
    uint8_t key[16] = {0};
    const uint8_t *password;
    size_t length;

    if (!secret) {
        error_set(errp,
                  "image %s is encrypted; give its password with -object "
                  "secret,id=ID,file=FILE and encrypt.key-secret=ID",
                  filename);
        return NULL;
    }
    if (!secret_get(secret, &password, &length, errp)) {
        return NULL;
    }
    memcpy(key, password, MIN(length, sizeof(key)));
    Cipher *c = cipher_new("aes", "cbc-plain64", key, sizeof(key), errp);
    explicit_bzero(key, sizeof(key));
    return c;
}

/* ---- information ---- */

void luks_add_info(const LuksHeader *h, const char *format, InfoTree *info)
{
    char name[64], mode[33];
    bool xts = !strncmp(h->mode, "xts", 3);
    const char *iv = strchr(h->mode, '-'), *iv_hash = strchr(h->mode, ':');

    snprintf(mode, sizeof(mode), "%.*s", (int)strcspn(h->mode, "-"), h->mode);
    snprintf(name, sizeof(name), "%.*s", iv ? (int)strcspn(iv + 1, ":") : 0, iv ? iv + 1 : "");
    info_add_string(info, "ivgen-alg", name);
    info_add_string(info, "hash-alg", h->hash);
    snprintf(name, sizeof(name), "%s-%" PRIu32, h->cipher, h->key_bytes * 8 / (xts ? 2 : 1));
    info_add_string(info, "cipher-alg", name);
    info_add_string(info, "uuid", h->uuid);
    if (format) {
        info_add_string(info, "format", format);
    }
    if (iv_hash) {
        info_add_string(info, "ivgen-hash-alg", iv_hash + 1);
    }
    info_add_string(info, "cipher-mode", mode);
    InfoTree *slots = info_add(info, "slots", INFO_LIST);
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        InfoTree *slot = info_add(slots, NULL, INFO_OBJECT);
        info_add_bool(slot, "active", h->slots[i].active);
        if (h->slots[i].active) {
            info_add_int(slot, "iters", h->slots[i].iterations);
        }
        info_add_int(slot, "key-offset", h->slots[i].offset);
        if (h->slots[i].active) {
            info_add_int(slot, "stripes", h->slots[i].stripes);
        }
    }
    info_add_int(info, "payload-offset", h->payload);
    info_add_int(info, "master-key-iters", h->digest_iterations);
}

/* ---- new headers ---- */

static const struct {
    const char *name, *cipher;
    uint32_t bytes;
} cipher_choices[] = {
    {"aes-128", "aes", 16},         {"aes-192", "aes", 24},         {"aes-256", "aes", 32},
    {"cast5-128", "cast5", 16},     {"serpent-128", "serpent", 16}, {"serpent-192", "serpent", 24},
    {"serpent-256", "serpent", 32}, {"twofish-128", "twofish", 16}, {"twofish-256", "twofish", 32},
};
static const char *const mode_choices[] = {"ecb", "cbc", "xts", "ctr", NULL};
static const char *const iv_choices[] = {"plain", "plain64", "essiv", NULL};
static const char *const hash_choices[] = {"md5",    "sha1",   "sha224",    "sha256",
                                           "sha384", "sha512", "ripemd160", NULL};
enum { AES_256 = 2, MODE_ECB = 0, MODE_XTS = 2, IV_PLAIN64 = 1, IV_ESSIV = 2, SHA256 = 3 };

bool luks_take_format(BlockOptions *o, LuksFormat *f, Error **errp)
{
    const char *names[ARRAY_SIZE(cipher_choices) + 1] = {NULL};

    for (size_t i = 0; i < ARRAY_SIZE(cipher_choices); i++) {
        names[i] = cipher_choices[i].name;
    }
    *f = (LuksFormat){.secret = blkopts_take(o, "key-secret"),
                      .cipher = AES_256,
                      .mode = MODE_XTS,
                      .iv = -1,
                      .iv_hash = SHA256,
                      .hash = SHA256,
                      .iter_time = 2000};
    if (!blkopts_take_word(o, "cipher-alg", names, &f->cipher, errp) ||
        !blkopts_take_word(o, "cipher-mode", mode_choices, &f->mode, errp) ||
        !blkopts_take_word(o, "ivgen-alg", iv_choices, &f->iv, errp) ||
        !blkopts_take_word(o, "ivgen-hash-alg", hash_choices, &f->iv_hash, errp) ||
        !blkopts_take_word(o, "hash-alg", hash_choices, &f->hash, errp) ||
        !blkopts_take_number(o, "iter-time", 1, 1000 * 1000, &f->iter_time, errp)) {
        return false;
    }
    f->iv = f->iv < 0 ? IV_PLAIN64 : f->iv;
    return true;
}

static uint32_t key_bytes(const LuksFormat *f)
{
    return cipher_choices[f->cipher].bytes * (f->mode == MODE_XTS ? 2 : 1);
}

static uint64_t slot_bytes(const LuksFormat *f)
{
    return ROUND_UP((uint64_t)key_bytes(f) * STRIPES, SLOT_ALIGN);
}

uint64_t luks_format_bytes(const LuksFormat *f)
{
    return SLOT_ALIGN + LUKS_SLOTS * slot_bytes(f);
}

/* Milliseconds of the processor, of this thread. */
static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* How many iterations of PBKDF2 take the wanted time here. */
static bool choose_iterations(const char *hash, size_t bytes, uint64_t ms, uint32_t *iterations)
{
    static const uint8_t salt[LUKS_SALT];
    uint8_t out[CIPHER_MAX_KEY];

    for (uint32_t n = 1 << 12;; n *= 2) {
        double start = cpu_ms();
        if (!hash_pbkdf2(hash, "password", 8, salt, sizeof(salt), n, out, bytes)) {
            return false;
        }
        double took = cpu_ms() - start;
        if (took >= MEASURED_MS || n >= 1u << 30) {
            double wanted = (double)n / MAX(took, 1.0) * (double)ms;
            *iterations = (uint32_t)MIN(wanted, (double)luks_max_iterations);
            *iterations = MAX(*iterations, MIN_ITERATIONS);
            return true;
        }
    }
}

/* Names, sizes and a random key's digest; slots without keys. */
static bool fill_header(const LuksFormat *f, LuksHeader *h, const uint8_t *key, Error **errp)
{
    uint8_t uuid[16];
    const char *hash = hash_choices[f->hash];

    *h = (LuksHeader){.payload = luks_format_bytes(f), .key_bytes = key_bytes(f)};
    snprintf(h->cipher, sizeof(h->cipher), "%s", cipher_choices[f->cipher].cipher);
    snprintf(h->hash, sizeof(h->hash), "%s", hash);
    if (f->mode == MODE_ECB) {
        snprintf(h->mode, sizeof(h->mode), "ecb");
    } else {
        snprintf(h->mode, sizeof(h->mode), "%s-%s%s%s", mode_choices[f->mode], iv_choices[f->iv],
                 f->iv == IV_ESSIV ? ":" : "", f->iv == IV_ESSIV ? hash_choices[f->iv_hash] : "");
    }
    if (!random_bytes(h->salt, sizeof(h->salt), errp) || !random_bytes(uuid, sizeof(uuid), errp)) {
        return false;
    }
    uuid[6] = (uuid[6] & 0x0f) | 0x40; /* RFC 4122: version 4, random */
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    for (unsigned i = 0, at = 0; i < sizeof(uuid); i++) {
        at += (unsigned)snprintf(h->uuid + at, sizeof(h->uuid) - at, "%s%02x",
                                 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
    }
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        h->slots[i].offset = SLOT_ALIGN + i * slot_bytes(f);
        h->slots[i].stripes = STRIPES;
    }
    /* The digest is computed once a try, the password's key as well: it takes the longer part. */
    if (!choose_iterations(hash, LUKS_DIGEST, MAX(f->iter_time / 8, 1), &h->digest_iterations) ||
        digest_of_key(h, key, h->digest) < 0) {
        error_set(errp, "hash-alg=%s is not possible", hash);
        return false;
    }
    return true;
}

static void store_header(const LuksHeader *h, DiskHeader *d)
{
    *d = (DiskHeader){.magic = "LUKS\xba\xbe",
                      .version = htobe16(1),
                      .payload = htobe32((uint32_t)(h->payload / CIPHER_SECTOR)),
                      .key_bytes = htobe32(h->key_bytes),
                      .digest_iterations = htobe32(h->digest_iterations)};
    memcpy(d->cipher, h->cipher, sizeof(d->cipher));
    memcpy(d->mode, h->mode, sizeof(d->mode));
    memcpy(d->hash, h->hash, sizeof(d->hash));
    memcpy(d->uuid, h->uuid, sizeof(d->uuid));
    memcpy(d->digest, h->digest, sizeof(d->digest));
    memcpy(d->salt, h->salt, sizeof(d->salt));
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        const LuksSlot *slot = &h->slots[i];
        d->slots[i] = (DiskSlot){.active = htobe32(slot->active ? SLOT_ACTIVE : SLOT_DISABLED),
                                 .iterations = htobe32(slot->iterations),
                                 .offset = htobe32((uint32_t)(slot->offset / CIPHER_SECTOR)),
                                 .stripes = htobe32(slot->stripes)};
        memcpy(d->slots[i].salt, slot->salt, LUKS_SALT);
    }
}

/* The master key into a slot: material, encrypted by the password's key. */
static bool fill_slot(LuksHeader *h, LuksSlot *slot, const char *secret, uint64_t iter_time,
                      const uint8_t *key, uint8_t *material, size_t bytes, Error **errp)
{
    const size_t random = (size_t)(slot->stripes - 1) * h->key_bytes;
    uint8_t slot_key[CIPHER_MAX_KEY], *last = material + random;
    const uint8_t *password;
    size_t length;

    if (!secret_get(secret, &password, &length, errp) ||
        !random_bytes(slot->salt, LUKS_SALT, errp) || !random_bytes(material, random, errp)) {
        return false;
    }
    combine(h->hash, material, slot->stripes, h->key_bytes, last);
    for (uint32_t i = 0; i < h->key_bytes; i++) {
        last[i] ^= key[i];
    }
    slot->active = true;
    bool ok = choose_iterations(h->hash, h->key_bytes, iter_time, &slot->iterations) &&
              kdf_co_pbkdf2(h->hash, password, length, slot->salt, LUKS_SALT, slot->iterations,
                            slot_key, h->key_bytes) == 0;
    if (!ok) {
        error_set(errp, "a key cannot be made of secret '%s'", secret);
        return false;
    }
    Cipher *c = cipher_new(h->cipher, h->mode, slot_key, h->key_bytes, errp);
    ok = c && cipher_encrypt(c, 0, material, bytes) == 0;
    cipher_free(c);
    explicit_bzero(slot_key, sizeof(slot_key));
    return ok;
}

bool luks_check_format(const LuksFormat *f, const char *filename, Error **errp)
{
    uint8_t key[CIPHER_MAX_KEY] = {1}; /* XTS refuses equal halves */
    const uint8_t *password;
    size_t length;
    LuksHeader h;
    Cipher *c = NULL;
    LuksFormat quick = *f;

    if (!f->secret) {
        error_set(errp, "%s: the password of an encrypted image is missing; give key-secret=ID",
                  filename);
        return false;
    }
    quick.iter_time = 1;
    bool ok = secret_get(f->secret, &password, &length, errp) &&
              fill_header(&quick, &h, key, errp) &&
              (c = cipher_new(h.cipher, h.mode, key, h.key_bytes, errp)) != NULL;
    cipher_free(c);
    return ok;
}

bool luks_write_new(BlockChild *file, uint64_t at, const LuksFormat *f, const char *filename,
                    Error **errp)
{
    size_t bytes = ROUND_UP((size_t)key_bytes(f) * STRIPES, CIPHER_SECTOR);
    uint8_t key[CIPHER_MAX_KEY], *material = calloc(1, bytes);
    DiskHeader d;
    LuksHeader h;

    bool ok = material && random_bytes(key, sizeof(key), errp);

    ok = ok && fill_header(f, &h, key, errp) &&
         fill_slot(&h, &h.slots[0], f->secret, f->iter_time, key, material, bytes, errp);
    explicit_bzero(key, sizeof(key));
    if (ok) {
        store_header(&h, &d);
        int ret = bdrv_co_pwrite(file, at + h.slots[0].offset, bytes, material, 0);
        ret = ret < 0 ? ret : bdrv_co_pwrite(file, at, sizeof(d), &d, 0);
        if (ret < 0) {
            error_set_errno(errp, -ret, "%s: cannot write the LUKS header", filename);
            ok = false;
        }
    }
    free(material);
    return ok;
}

/* ---- key slots of a header that is there ---- */

typedef struct SlotChange {
    int state;
    uint64_t slot; /* LUKS_SLOTS: whichever */
    uint64_t iter_time;
    char *new_secret, *old_secret, *secret;
} SlotChange;

/* Key material first, so that a header never names what is not there; then the header. */
static bool store_slot(BlockChild *file, uint64_t at, const LuksHeader *h, unsigned n,
                       const uint8_t *material, size_t bytes, const char *filename, Error **errp)
{
    DiskHeader d;

    store_header(h, &d);
    int ret = bdrv_co_pwrite(file, at + h->slots[n].offset, bytes, material, 0);
    ret = ret < 0 ? ret : bdrv_co_flush(file->node);
    ret = ret < 0 ? ret : bdrv_co_pwrite(file, at, sizeof(d), &d, 0);
    ret = ret < 0 ? ret : bdrv_co_flush(file->node);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot write key slot %u", filename, n);
    }
    return ret == 0;
}

static size_t slot_area(const LuksHeader *h, const LuksSlot *slot)
{
    return ROUND_UP((size_t)h->key_bytes * slot->stripes, CIPHER_SECTOR);
}

/* Whether whole sectors of the slot's material are its own: a header from elsewhere may not lay
 * slots out as ours do. */
static bool stands_alone(const LuksHeader *h, unsigned n, uint64_t bytes, const char *filename,
                         Error **errp)
{
    const LuksSlot *slot = &h->slots[n];
    uint64_t end = slot->offset + slot_area(h, slot);
    bool ok = end <= (h->payload ? MIN(h->payload, bytes) : bytes);

    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        const LuksSlot *other = &h->slots[i];
        ok = ok && (i == n || other->offset >= end ||
                    other->offset + slot_area(h, other) <= slot->offset);
    }
    if (!ok) {
        error_set(errp, "image %s: the material of key slot %u is not its alone", filename, n);
    }
    return ok;
}

static bool write_slot(BlockChild *file, uint64_t at, uint64_t bytes, LuksHeader *h, unsigned n,
                       const SlotChange *change, const uint8_t *key, const char *filename,
                       Error **errp)
{
    LuksHeader changed = *h;
    LuksSlot *slot = &changed.slots[n];
    size_t area = slot_area(h, slot);
    uint8_t *material = calloc(1, area);
    bool ok = material && stands_alone(h, n, bytes, filename, errp);

    if (ok && key) {
        ok = fill_slot(&changed, slot, change->new_secret, change->iter_time, key, material, area,
                       errp);
    } else if (ok) { /* what was there is gone */
        slot->active = false;
        slot->iterations = 0;
        memset(slot->salt, 0, LUKS_SALT);
        ok = random_bytes(material, area, errp);
    }
    ok = ok && store_slot(file, at, &changed, n, material, area, filename, errp);
    if (ok) {
        *h = changed;
    }
    free(material);
    return ok;
}

static bool add_key(BlockChild *file, uint64_t at, uint64_t bytes, LuksHeader *h,
                    const SlotChange *change, bool force, const char *filename, Error **errp)
{
    uint8_t key[CIPHER_MAX_KEY];
    uint64_t n = change->slot;

    for (uint64_t i = 0; i < LUKS_SLOTS && n == LUKS_SLOTS; i++) {
        n = h->slots[i].active ? n : i;
    }
    if (!change->new_secret || change->old_secret) {
        error_set(errp, "state=active wants new-secret=ID, and no old-secret=");
        return false;
    }
    if (n == LUKS_SLOTS) {
        error_set(errp, "image %s: all key slots are in use", filename);
        return false;
    }
    if (h->slots[n].active && !force) {
        error_set(errp, "image %s: key slot %u is in use; make it inactive first", filename,
                  (unsigned)n);
        return false;
    }
    bool ok = find_key(file, at, h, change->secret, filename, key, errp) &&
              write_slot(file, at, bytes, h, (unsigned)n, change, key, filename, errp);
    explicit_bzero(key, sizeof(key));
    return ok;
}

/* Which of the active slots the change means, as bits; negative on errors. */
static int slots_meant(BlockChild *file, uint64_t at, const LuksHeader *h, const SlotChange *change,
                       const char *filename, Error **errp)
{
    uint8_t key[CIPHER_MAX_KEY];
    const uint8_t *password;
    size_t length;
    int meant = 0;

    if (change->slot < LUKS_SLOTS) {
        return h->slots[change->slot].active ? 1 << change->slot : 0;
    }
    if (!secret_get(change->old_secret, &password, &length, errp)) {
        return -1;
    }
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        int ret =
            h->slots[i].active ? try_slot(file, at, h, &h->slots[i], password, length, key) : 0;
        if (ret < 0) {
            error_set_errno(errp, -ret, "image %s: cannot read key slot %u", filename, i);
            meant = ret;
            break;
        }
        meant |= ret << i;
    }
    explicit_bzero(key, sizeof(key));
    return meant;
}

static bool erase_keys(BlockChild *file, uint64_t at, uint64_t bytes, LuksHeader *h,
                       const SlotChange *change, bool force, const char *filename, Error **errp)
{
    int active = 0, meant;
    bool ok = true;

    if (change->new_secret || !change->old_secret == (change->slot == LUKS_SLOTS)) {
        error_set(errp, "state=inactive wants either old-secret=ID or keyslot=N, and no "
                        "new-secret=");
        return false;
    }
    meant = slots_meant(file, at, h, change, filename, errp);
    if (meant < 0) {
        return false;
    }
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        active |= h->slots[i].active << i;
    }
    if (!meant && !force) {
        error_set(errp, "image %s: no active key slot is the one meant", filename);
        return false;
    }
    if (meant == active && !force) {
        error_set(errp,
                  "image %s: without its last key slot the disk could never be read again; --force "
                  "erases it",
                  filename);
        return false;
    }
    for (unsigned i = 0; i < LUKS_SLOTS && ok; i++) {
        ok = !(meant & 1 << i) || write_slot(file, at, bytes, h, i, change, NULL, filename, errp);
    }
    return ok;
}

const BlockOptionDesc luks_amend_options[] = {
    {"state", "active|inactive", "whether key slots are filled or erased"},
    {"new-secret", "ID", "active: the secret with the password to add"},
    {"old-secret", "ID", "inactive: erases all slots that this password opens"},
    {"keyslot", "N", "which slot, 0 to 7"},
    {"secret", "ID", "active: a password that is there (the one that opened the image)"},
    {"iter-time", "MS", "how long trying a password takes (2000)"},
    {0},
};

bool luks_co_change_slots(BlockChild *file, uint64_t at, uint64_t bytes, LuksHeader *h,
                          BlockOptions *options, const char *secret, bool force,
                          const char *filename, Error **errp)
{
    static const char *const states[] = {"inactive", "active", NULL};
    SlotChange change = {.state = -1, .slot = LUKS_SLOTS, .iter_time = 2000};
    bool ok = blkopts_take_word(options, "state", states, &change.state, errp) &&
              blkopts_take_number(options, "keyslot", 0, LUKS_SLOTS - 1, &change.slot, errp) &&
              blkopts_take_number(options, "iter-time", 1, 1000 * 1000, &change.iter_time, errp);

    change.new_secret = blkopts_take(options, "new-secret");
    change.old_secret = blkopts_take(options, "old-secret");
    change.secret = blkopts_take(options, "secret");
    if (!change.secret && secret) {
        change.secret = strdup(secret);
    }
    if (ok && change.state < 0) {
        error_set(errp, "state= is missing; possible: active, inactive");
        ok = false;
    }
    ok = ok && blkopts_check_empty(options, "luks", luks_amend_options, errp);
    if (ok && change.state) {
        ok = add_key(file, at, bytes, h, &change, force, filename, errp);
    } else if (ok) {
        ok = erase_keys(file, at, bytes, h, &change, force, filename, errp);
    }
    free(change.new_secret);
    free(change.old_secret);
    free(change.secret);
    return ok;
}

/* ---- encrypted I/O ---- */

int crypt_co_preadv(Cipher *c, BlockChild *file, uint64_t where, uint64_t sector, uint64_t bytes,
                    IoVector *v, size_t at)
{
    uint8_t *buf = block_try_alloc(file->node, MIN(bytes, BOUNCE));
    int ret = buf ? 0 : -ENOMEM;

    for (uint64_t done = 0, n; done < bytes && ret == 0; done += n) {
        n = MIN(bytes - done, BOUNCE);
        ret = bdrv_co_pread(file, where + done, n, buf, 0);
        ret = ret < 0 ? ret : cipher_decrypt(c, sector + done / CIPHER_SECTOR, buf, n);
        if (ret == 0) {
            iov_from_buf(v, at + done, buf, n);
        }
    }
    free(buf);
    return ret;
}

int crypt_co_pwritev(Cipher *c, BlockChild *file, uint64_t where, uint64_t sector, uint64_t bytes,
                     IoVector *v, size_t at)
{
    uint8_t *buf = block_try_alloc(file->node, MIN(bytes, BOUNCE));
    int ret = buf ? 0 : -ENOMEM;

    for (uint64_t done = 0, n; done < bytes && ret == 0; done += n) {
        n = MIN(bytes - done, BOUNCE);
        iov_to_buf(v, at + done, buf, n);
        ret = cipher_encrypt(c, sector + done / CIPHER_SECTOR, buf, n);
        ret = ret < 0 ? ret : bdrv_co_pwrite(file, where + done, n, buf, 0);
    }
    free(buf);
    return ret;
}
