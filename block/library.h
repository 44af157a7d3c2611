/*
 * Libraries that only few users need are loaded when they are: each costs every start of the
 * program its time. A driver lists the functions it calls and finds them in a table afterwards.
 *
 *     #define LIB_FUNCTIONS(F) F(curl_easy_init) F(curl_easy_cleanup)
 *     static struct { LIB_FUNCTIONS(LIBRARY_FIELD) } lib;
 *     static const LibraryFunction lib_functions[] = { LIB_FUNCTIONS(LIBRARY_ROW) {0} };
 *     ... library_load(lib_functions, &lib, names, errp) ... lib.curl_easy_init()
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_LIBRARY_H
#define BLOCK_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"

typedef struct LibraryFunction {
    const char *name;
    size_t offset; /* in the table */
} LibraryFunction;

#define LIBRARY_FIELD(function) __typeof__(function) *function;
#define LIBRARY_ROW(function)   {#function, offsetof(__typeof__(lib), function)},

/* Finds the functions (up to a row without name) in the libraries (ends with NULL); they stay
 * loaded. */
bool library_load(const LibraryFunction *functions, void *table, const char *const *libraries,
                  Error **errp);

#endif
