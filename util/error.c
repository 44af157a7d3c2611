/*
 * Errors for the user, and the search for the name that was probably meant.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/error.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct Error {
    char *text;
};

static const char *program = "vole";

static char *format_text(const char *fmt, va_list ap)
{
    char *text;

    if (vasprintf(&text, fmt, ap) < 0) {
        abort();
    }
    return text;
}

/* Takes text over. */
static void set_text(Error **errp, char *text)
{
    Error *err = malloc(sizeof(*err));

    if (!err) {
        abort();
    }
    err->text = text;
    *errp = err;
}

void error_set(Error **errp, const char *fmt, ...)
{
    va_list ap;

    if (errp) {
        va_start(ap, fmt);
        set_text(errp, format_text(fmt, ap));
        va_end(ap);
    }
}

void error_set_errno(Error **errp, int os_error, const char *fmt, ...)
{
    va_list ap;
    char *what, *text;

    if (!errp) {
        return;
    }
    va_start(ap, fmt);
    what = format_text(fmt, ap);
    va_end(ap);
    if (asprintf(&text, "%s: %s", what, strerror(os_error)) < 0) {
        abort();
    }
    free(what);
    set_text(errp, text);
}

void error_prepend(Error **errp, const char *fmt, ...)
{
    va_list ap;
    char *prefix, *text;

    if (!errp || !*errp) {
        return;
    }
    va_start(ap, fmt);
    prefix = format_text(fmt, ap);
    va_end(ap);
    if (asprintf(&text, "%s%s", prefix, (*errp)->text) < 0) {
        abort();
    }
    free(prefix);
    free((*errp)->text);
    (*errp)->text = text;
}

void error_propagate(Error **errp, Error *err)
{
    if (errp) {
        *errp = err;
    } else {
        error_free(err);
    }
}

const char *error_text(const Error *err)
{
    return err->text;
}

void error_free(Error *err)
{
    if (err) {
        free(err->text);
        free(err);
    }
}

void error_set_program(const char *name)
{
    program = name;
}

/* One write, so that lines of several threads or processes do not mix. */
static bool timestamps;

void error_set_timestamps(bool on)
{
    timestamps = on;
}

/* 2026-11-21T08:00:00.123456Z */
static void print_time(void)
{
    struct timespec now;
    struct tm tm;
    char text[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(stderr, "%s.%06ldZ ", text, now.tv_nsec / 1000);
}

static void print_line(const char *kind, const char *fmt, va_list ap)
{
    char *text = format_text(fmt, ap);

    fflush(stdout);
    if (timestamps) {
        print_time();
    }
    fprintf(stderr, "%s: %s%s\n", program, kind, text);
    free(text);
}

void error_report(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print_line("", fmt, ap);
    va_end(ap);
}

void warn_report(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print_line("warning: ", fmt, ap);
    va_end(ap);
}

void error_report_free(Error *err)
{
    error_report("%s", err->text);
    error_free(err);
}

void error_exit(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print_line("", fmt, ap);
    va_end(ap);
    exit(1);
}

/* Names longer than this are not compared: nobody's option or device is. */
enum { NAME_LENGTH_MAX = 63 };

/* Levenshtein distance without regard to case, with neighbours swapped counting as one. */
static size_t edit_distance(const char *a, size_t la, const char *b, size_t lb)
{
    unsigned char rows[3][NAME_LENGTH_MAX + 1];
    unsigned char *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= lb; j++) {
        last[j] = (unsigned char)j;
    }
    for (size_t i = 1; i <= la; i++) {
        row[0] = (unsigned char)i;
        for (size_t j = 1; j <= lb; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            unsigned best = last[j - 1] + (ca != cb);
            if (last[j] + 1u < best) {
                best = last[j] + 1u;
            }
            if (row[j - 1] + 1u < best) {
                best = row[j - 1] + 1u;
            }
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                tolower((unsigned char)a[i - 2]) == cb && before[j - 2] + 1u < best) {
                best = before[j - 2] + 1u;
            }
            row[j] = (unsigned char)best;
        }
        unsigned char *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[lb];
}

const char *nearest_name(const char *word, const char *const *names)
{
    size_t len = strlen(word);
    size_t best_distance = len / 3 + 1;
    const char *best = NULL;

    if (len > NAME_LENGTH_MAX) {
        return NULL;
    }
    for (; *names; names++) {
        size_t name_len = strlen(*names);
        if (name_len > NAME_LENGTH_MAX) {
            continue;
        }
        size_t distance = edit_distance(word, len, *names, name_len);
        if (distance < best_distance) {
            best_distance = distance;
            best = *names;
        }
    }
    return best;
}
