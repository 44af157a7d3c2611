/*
 * Keys from passwords (PBKDF2, RFC 2898), off the main loop. An image's header says how long that
 * takes, and may say hours.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_KDF_H
#define BLOCK_KDF_H

#include <stddef.h>
#include <stdint.h>

/* In a coroutine, which waits. 0, -EINVAL (the hash is not known) or -ECANCELED. */
int kdf_co_pbkdf2(const char *hash, const void *password, size_t length, const uint8_t *salt,
                  size_t salt_bytes, uint32_t iterations, uint8_t *out, size_t bytes);
/* Those that run, and all later ones, end with -ECANCELED. From the main loop or a signal handler.
 */
void kdf_cancel(void);

#endif
