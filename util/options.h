/*
 * Command-line options from one table, which gives the parser, the help text and the manual page.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_OPTIONS_H
#define UTIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/*
 * A row. Rows with the same group stand together under its heading. A handler checks its value and
 * stores it; false with an error stops the program. arg NULL: the option stands alone and value is
 * NULL.
 */
typedef struct Option {
    const char *name;  /* without the dash */
    const char *arg;   /* how its value is called: "FILE"; NULL: none */
    const char *group; /* heading */
    const char *help;  /* one line */
    const char *more;  /* paragraphs for the manual page only; may be NULL */
    bool (*handler)(const char *value, Error **errp);
} Option;

/*
 * Handles every argument in order: -name VALUE or --name VALUE by the table (which ends with a row
 * without name), anything else goes to positional (NULL: refused). False with an error that names
 * the nearest option.
 */
bool options_parse(const Option *table, int argc, char **argv,
                   bool (*positional)(const char *value, Error **errp), Error **errp);
/* The grouped list on stdout, a line each. */
void options_print_help(const Option *table);
/* The OPTIONS section of a manual page (man(7) macros) on stdout. */
void options_print_manual(const Option *table);
/* Text within such a page, its special characters escaped. */
void options_print_roff(const char *text);

/*
 * A value of the form "word,key=value,key=value,flag": the tradition's sub-options. A comma inside
 * a value is written twice. flag alone reads as flag=on.
 */
typedef struct SubOption {
    char *key; /* NULL for the leading word without '=' */
    char *value;
} SubOption;
typedef struct SubOptions {
    SubOption *items;
    size_t count;
} SubOptions;

/* implied: the key of a leading word without '=' ("file"); NULL: a leading word is a flag like any
 * other. */
void suboptions_parse(SubOptions *so, const char *text, const char *implied);
void suboptions_free(SubOptions *so);
/* The last value of key, or NULL. */
const char *suboptions_get(const SubOptions *so, const char *key);
/* False with an error naming `option`, the stray key and the nearest of the NULL-terminated list.
 */
bool suboptions_check(const SubOptions *so, const char *option, const char *const *known,
                      Error **errp);

/* ---- values; errors name `what` ("-m"), the value and what is possible ---- */
/* "512", "1.5G", "64k": bytes; a bare number counts in default_unit. */
bool parse_size(const char *what, const char *text, uint64_t default_unit, uint64_t *bytes,
                Error **errp);
bool parse_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
                  Error **errp);
/* on/off, yes/no, true/false. */
bool parse_bool(const char *what, const char *text, bool *value, Error **errp);

#endif
