/*
 * Command-line options from one table.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const Option *find_option(const Option *table, const char *name)
{
    for (; table->name; table++) {
        if (!strcmp(table->name, name)) {
            return table;
        }
    }
    return NULL;
}

static bool unknown_option(const Option *table, const char *arg, const char *name, Error **errp)
{
    size_t n = 0;
    while (table[n].name) {
        n++;
    }
    const char **names = calloc(n + 1, sizeof(*names));
    if (!names) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        names[i] = table[i].name;
    }
    const char *near = nearest_name(name, names);
    if (near) {
        error_set(errp, "%s: unknown option; did you mean -%s? (-help lists all)", arg, near);
    } else {
        error_set(errp, "%s: unknown option (-help lists all)", arg);
    }
    free(names);
    return false;
}

bool options_parse(const Option *table, int argc, char **argv,
                   bool (*positional)(const char *value, Error **errp), Error **errp)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (arg[0] != '-' || !arg[1]) {
            if (!positional) {
                error_set(errp, "%s: a stray argument; options begin with a dash", arg);
                return false;
            }
            if (!positional(arg, errp)) {
                return false;
            }
            continue;
        }
        const char *name = arg + (arg[1] == '-' ? 2 : 1);
        const Option *o = find_option(table, name);
        if (!o) {
            return unknown_option(table, arg, name, errp);
        }
        const char *value = NULL;
        if (o->arg) {
            if (i + 1 >= argc) {
                error_set(errp, "%s: needs a value: -%s %s", arg, o->name, o->arg);
                return false;
            }
            value = argv[++i];
        }
        if (!o->handler(value, errp)) {
            return false;
        }
    }
    return true;
}

/* A heading wherever the group changes. */
static bool new_group(const Option *table, const Option *o)
{
    return o == table || strcmp(o->group, o[-1].group) != 0;
}

void options_print_help(const Option *table)
{
    for (const Option *o = table; o->name; o++) {
        if (new_group(table, o)) {
            printf("%s%s:\n", o == table ? "" : "\n", o->group);
        }
        char head[64];
        snprintf(head, sizeof(head), "-%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        if (strlen(head) > 26) {
            printf("  %s\n  %-26s  %s\n", head, "", o->help);
        } else {
            printf("  %-26s  %s\n", head, o->help);
        }
    }
}

/* Text with the characters that roff would take for its own escaped. */
void options_print_roff(const char *text)
{
    for (; *text; text++) {
        if (*text == '-' || *text == '\\') {
            putchar('\\');
        }
        putchar(*text);
        if (*text == '\n' && (text[1] == '.' || text[1] == '\'')) {
            fputs("\\&", stdout);
        }
    }
}

void options_print_manual(const Option *table)
{
    for (const Option *o = table; o->name; o++) {
        if (new_group(table, o)) {
            printf(".SS %s\n", o->group);
        }
        printf(".TP\n.B \\-");
        options_print_roff(o->name);
        if (o->arg) {
            printf(" \\fI");
            options_print_roff(o->arg);
            printf("\\fR");
        }
        putchar('\n');
        putchar(toupper((unsigned char)o->help[0]));
        options_print_roff(o->help + 1);
        puts(".");
        if (o->more) {
            options_print_roff(o->more);
            putchar('\n');
        }
    }
}

/* ---- sub-options ---- */

/* Cuts the next comma-separated piece off *text, with doubled commas made single. The caller frees
 * it. */
static char *next_piece(const char **text)
{
    const char *p = *text;
    char *piece = malloc(strlen(p) + 1), *out = piece;

    if (!piece) {
        abort();
    }
    while (*p) {
        if (*p == ',') {
            if (p[1] != ',') {
                break;
            }
            p++;
        }
        *out++ = *p++;
    }
    *out = 0;
    *text = *p ? p + 1 : p;
    return piece;
}

void suboptions_parse(SubOptions *so, const char *text, const char *implied)
{
    *so = (SubOptions){0};
    while (*text) {
        char *piece = next_piece(&text);
        SubOption *items = realloc(so->items, (so->count + 1) * sizeof(*items));
        if (!items) {
            abort();
        }
        so->items = items;
        SubOption *item = &items[so->count];
        char *equals = strchr(piece, '=');
        if (equals) {
            *equals = 0;
            item->key = piece;
            item->value = strdup(equals + 1);
        } else if (implied && !so->count) {
            item->key = strdup(implied);
            item->value = piece;
        } else {
            item->key = piece;
            item->value = strdup("on");
        }
        if (!item->key || !item->value) {
            abort();
        }
        so->count++;
    }
}

void suboptions_free(SubOptions *so)
{
    for (size_t i = 0; i < so->count; i++) {
        free(so->items[i].key);
        free(so->items[i].value);
    }
    free(so->items);
    *so = (SubOptions){0};
}

const char *suboptions_get(const SubOptions *so, const char *key)
{
    for (size_t i = so->count; i--;) {
        if (!strcmp(so->items[i].key, key)) {
            return so->items[i].value;
        }
    }
    return NULL;
}

/* "a, b, c" into text. */
static void list_names(const char *const *names, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (; *names && used < size; names++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", *names);
    }
}

bool suboptions_check(const SubOptions *so, const char *option, const char *const *known,
                      Error **errp)
{
    for (size_t i = 0; i < so->count; i++) {
        const char *key = so->items[i].key;
        const char *const *k = known;
        while (*k && strcmp(*k, key)) {
            k++;
        }
        if (!*k) {
            char all[512];
            const char *near = nearest_name(key, known);
            list_names(known, all, sizeof(all));
            error_set(errp, "%s: unknown key '%s'%s%s%s; possible: %s", option, key,
                      near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "", all);
            return false;
        }
    }
    return true;
}

/* ---- values ---- */

static uint64_t unit_of(char suffix)
{
    switch (tolower((unsigned char)suffix)) {
    case 'b':
        return 1;
    case 'k':
        return 1ull << 10;
    case 'm':
        return 1ull << 20;
    case 'g':
        return 1ull << 30;
    case 't':
        return 1ull << 40;
    default:
        return 0;
    }
}

bool parse_size(const char *what, const char *text, uint64_t default_unit, uint64_t *bytes,
                Error **errp)
{
    char *end;
    double v;

    if (!isdigit((unsigned char)text[0])) {
        goto bad;
    }
    v = strtod(text, &end);
    uint64_t unit = default_unit;
    if (*end) {
        unit = unit_of(*end++);
        if (unit && unit > 1 && (*end == 'i' || *end == 'I') && (end[1] == 'b' || end[1] == 'B')) {
            end++; /* KiB, MiB */
        }
        if (*end == 'b' || *end == 'B') {
            end++;
        }
    }
    if (!unit || *end || !isfinite(v) || v * (double)unit >= 9.2e18) {
        goto bad;
    }
    *bytes = (uint64_t)(v * (double)unit);
    return true;
bad:
    error_set(errp, "%s: '%s' is no size; possible: a number with K, M, G or T, as in 512M", what,
              text);
    return false;
}

bool parse_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
                  Error **errp)
{
    char *end;

    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    if (!isdigit((unsigned char)text[0]) || *end || errno || v < min || v > max) {
        error_set(errp, "%s: '%s' is not possible; possible: a number from %llu to %llu", what,
                  text, (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *value = v;
    return true;
}

bool parse_bool(const char *what, const char *text, bool *value, Error **errp)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"on", true},   {"off", false},   {"yes", true}, {"no", false},
                 {"true", true}, {"false", false}, {"y", true},   {"n", false}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(text, words[i].word)) {
            *value = words[i].value;
            return true;
        }
    }
    error_set(errp, "%s: '%s' is not possible; possible: on, off", what, text);
    return false;
}
