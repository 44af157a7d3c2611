/*
 * Errors for the user: one line that names the option, file or device, says what was wrong and what
 * would be right.
 *
 * A function that can fail for a reason the user must hear takes `Error **errp` last and returns
 * false, NULL or a negative number. errp may be NULL (the caller only wants to know that it
 * failed). An Error belongs to whoever receives it and ends with error_free() or
 * error_report_free().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <stdbool.h>

typedef struct Error Error;

/* Stores a new error in *errp unless errp is NULL. *errp must not hold one already. */
void error_set(Error **errp, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As error_set(), with ": " and the text of os_error (an errno value, positive) behind it. */
void error_set_errno(Error **errp, int os_error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts a prefix in front of the message of *errp, if there is one. */
void error_prepend(Error **errp, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Hands err on to *errp, or frees it where errp is NULL. */
void error_propagate(Error **errp, Error *err);
/* The message, without newline; lives as long as err. */
const char *error_text(const Error *err);
void error_free(Error *err);

/* Sets the program's name for the lines below (default "vole"). The string is kept, not copied. */
void error_set_program(const char *name);
/* From now on each line below begins with the time, in UTC. */
void error_set_timestamps(bool on);
/* "PROGRAM: message\n" on stderr. */
void error_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void warn_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Reports err and frees it. */
void error_report_free(Error *err);
/* Reports and exits with status 1: for start-up only, never once a guest may run. */
void error_exit(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/*
 * The name in the NULL-terminated list nearest to `word` (edit distance, at most a third of its
 * length off), or NULL: for "did you mean" in messages.
 */
const char *nearest_name(const char *word, const char *const *names);

#endif
