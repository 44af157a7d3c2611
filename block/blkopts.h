/*
 * BlockOptions: the options of a node, a tree whose paths are written with dots ("file.filename",
 * "backing.driver", "server.0.host"). Values are text. Each layer takes what is its own; what is
 * left at the end nobody knows, and is an error.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_BLKOPTS_H
#define BLOCK_BLKOPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

typedef struct BlockOptions BlockOptions;

/* One option of a driver: for help, and for the list in messages. A table ends with a row without
 * name. */
typedef struct BlockOptionDesc {
    const char *name;
    const char *arg;  /* how the value is called: "SIZE", "on|off" */
    const char *help; /* one line */
} BlockOptionDesc;

BlockOptions *blkopts_new(void);
BlockOptions *blkopts_copy(const BlockOptions *o); /* of NULL: an empty one */
void blkopts_free(BlockOptions *o);

/* Sets or replaces; both are copied. */
void blkopts_set(BlockOptions *o, const char *key, const char *value);
/* Sets what is not there yet. */
void blkopts_default(BlockOptions *o, const char *key, const char *value);
void blkopts_remove(BlockOptions *o, const char *key);
/* NULL where it is not there. */
const char *blkopts_get(const BlockOptions *o, const char *key);
unsigned blkopts_count(const BlockOptions *o);
/* The i-th, in order of setting. */
const char *blkopts_key(const BlockOptions *o, unsigned i);
const char *blkopts_value(const BlockOptions *o, unsigned i);
bool blkopts_has_prefix(const BlockOptions *o, const char *prefix);

/* ---- taking: gone from the tree afterwards ---- */
/* The caller frees the text; NULL where it is not there. */
char *blkopts_take(BlockOptions *o, const char *key);
/* These leave *value as it is where the key is not there; false with an error on a bad value. */
bool blkopts_take_bool(BlockOptions *o, const char *key, bool *value, Error **errp);
bool blkopts_take_size(BlockOptions *o, const char *key, uint64_t *value, Error **errp);
bool blkopts_take_number(BlockOptions *o, const char *key, uint64_t min, uint64_t max,
                         uint64_t *value, Error **errp);
/* "10G", "1.5k", "4096", "0x1000": bytes, at most the largest size of a file. */
bool blkopts_parse_size(const char *what, const char *text, uint64_t *bytes, Error **errp);
/* words ends with NULL; *index is the place of the word. */
bool blkopts_take_word(BlockOptions *o, const char *key, const char *const *words, int *index,
                       Error **errp);
/* What stands below "prefix." with the prefix cut off; an empty tree where nothing does. */
BlockOptions *blkopts_take_sub(BlockOptions *o, const char *prefix);
/* Whether the table has that option. */
bool blkopts_describes(const BlockOptionDesc *table, const char *key);
/* Whether the table has all of them, and each "SIZE", "N", "MS" or "on|off" can be one; else an
 * error as below. */
bool blkopts_check(const BlockOptions *o, const char *what, const BlockOptionDesc *table,
                   Error **errp);
/* True where nothing is left; else an error that names `what`, the stray option and those of table
 * (may be NULL). */
bool blkopts_check_empty(const BlockOptions *o, const char *what, const BlockOptionDesc *table,
                         Error **errp);

/* ---- text ---- */
/* "key=value,key=value" on top of what is there; "flag" alone is flag=on. implied: key of a leading
 * bare word, or NULL. */
bool blkopts_parse(BlockOptions *o, const char *text, const char *implied, Error **errp);
/* The text behind "json:", an object. */
bool blkopts_parse_json(BlockOptions *o, const char *text, Error **errp);
/* As one object on a line, for "json:" names; the caller frees it. Words that are numbers or truth
 * values stay strings, as every reader takes those. */
char *blkopts_to_json(const BlockOptions *o);

#endif
