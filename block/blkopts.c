/*
 * The options of a node: a list of dotted paths with text values.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/blkopts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "util/buffer.h"
#include "util/options.h"

#ifdef CONFIG_JANSSON
#include <jansson.h>
#endif

typedef struct Item {
    char *key, *value;
} Item;

struct BlockOptions {
    Item *items;
    unsigned count, room;
};

static void *check_memory(void *p)
{
    if (!p) {
        error_report("out of memory");
        abort();
    }
    return p;
}

BlockOptions *blkopts_new(void)
{
    return check_memory(calloc(1, sizeof(BlockOptions)));
}

BlockOptions *blkopts_copy(const BlockOptions *o)
{
    BlockOptions *copy = blkopts_new();

    for (unsigned i = 0; o && i < o->count; i++) {
        blkopts_set(copy, o->items[i].key, o->items[i].value);
    }
    return copy;
}

void blkopts_free(BlockOptions *o)
{
    if (!o) {
        return;
    }
    for (unsigned i = 0; i < o->count; i++) {
        free(o->items[i].key);
        free(o->items[i].value);
    }
    free(o->items);
    free(o);
}

static Item *find(const BlockOptions *o, const char *key)
{
    for (unsigned i = 0; o && i < o->count; i++) {
        if (!strcmp(o->items[i].key, key)) {
            return &o->items[i];
        }
    }
    return NULL;
}

void blkopts_set(BlockOptions *o, const char *key, const char *value)
{
    Item *item = find(o, key);
    char *copy = check_memory(strdup(value));

    if (item) {
        free(item->value);
        item->value = copy;
        return;
    }
    if (o->count == o->room) {
        o->room = o->room ? 2 * o->room : 8;
        o->items = check_memory(realloc(o->items, o->room * sizeof(Item)));
    }
    o->items[o->count++] = (Item){check_memory(strdup(key)), copy};
}

void blkopts_default(BlockOptions *o, const char *key, const char *value)
{
    if (!find(o, key)) {
        blkopts_set(o, key, value);
    }
}

const char *blkopts_get(const BlockOptions *o, const char *key)
{
    Item *item = find(o, key);

    return item ? item->value : NULL;
}

unsigned blkopts_count(const BlockOptions *o)
{
    return o ? o->count : 0;
}

const char *blkopts_key(const BlockOptions *o, unsigned i)
{
    return o->items[i].key;
}

const char *blkopts_value(const BlockOptions *o, unsigned i)
{
    return o->items[i].value;
}

static bool below(const char *key, const char *prefix)
{
    size_t n = strlen(prefix);

    return !strncmp(key, prefix, n) && key[n] == '.';
}

bool blkopts_has_prefix(const BlockOptions *o, const char *prefix)
{
    for (unsigned i = 0; o && i < o->count; i++) {
        if (below(o->items[i].key, prefix)) {
            return true;
        }
    }
    return false;
}

/* ---- taking ---- */

static void drop(BlockOptions *o, unsigned i)
{
    o->count--;
    memmove(&o->items[i], &o->items[i + 1], (o->count - i) * sizeof(Item));
}

char *blkopts_take(BlockOptions *o, const char *key)
{
    Item *item = find(o, key);

    if (!item) {
        return NULL;
    }
    char *value = item->value;
    free(item->key);
    drop(o, item - o->items);
    return value;
}

void blkopts_remove(BlockOptions *o, const char *key)
{
    free(blkopts_take(o, key));
}

bool blkopts_take_bool(BlockOptions *o, const char *key, bool *value, Error **errp)
{
    char *text = blkopts_take(o, key);
    bool ok = !text || parse_bool(key, text, value, errp);

    free(text);
    return ok;
}

static uint64_t unit_of(const char *suffix)
{
    static const char units[] = "bkmgtpe";
    const char *unit = *suffix ? strchr(units, tolower((unsigned char)*suffix)) : units;

    return !unit || (*suffix && suffix[1]) ? 0 : 1ull << (10 * (unit - units));
}

/* As other image tools have it: a decimal number is one with leading zeroes, too; hexadecimal ones
 * have no fraction; parts of a byte are none. */
bool blkopts_parse_size(const char *what, const char *text, uint64_t *bytes, Error **errp)
{
    /* Rounding up to a sector must not leave the range either. */
    const uint64_t max = INT64_MAX - 511;
    const char *digits = text + strspn(text, " ");
    uint64_t unit = 0, whole = 0, part = 0;
    double fraction = 0;
    char *end;

    digits += *digits == '+';
    errno = 0;
    if (isdigit((unsigned char)*digits)) {
        bool hex = digits[0] == '0' && tolower((unsigned char)digits[1]) == 'x';
        whole = strtoull(digits, &end, hex ? 16 : 10);
        if (*end == '.' && !hex) {
            size_t n = strspn(end + 1, "0123456789");
            fraction = n ? strtod(end, NULL) : 0; /* an exponent is left to be no unit */
            end += 1 + n;
        }
        unit = unit_of(end);
        part = (uint64_t)(fraction * (double)unit);
    }
    if (!unit || (unit == 1 && fraction > 0)) {
        error_set(
            errp,
            "%s: '%s' is no size; possible: a number of bytes, or one with k, M, G, T, P or E "
            "as in 10G",
            what, text);
        return false;
    }
    if (errno || part > max || whole > (max - part) / unit) {
        error_set(errp, "%s: '%s' is too large; possible: below 8E", what, text);
        return false;
    }
    *bytes = whole * unit + part;
    return true;
}

bool blkopts_take_size(BlockOptions *o, const char *key, uint64_t *value, Error **errp)
{
    char *text = blkopts_take(o, key);
    bool ok = !text || blkopts_parse_size(key, text, value, errp);

    free(text);
    return ok;
}

bool blkopts_take_number(BlockOptions *o, const char *key, uint64_t min, uint64_t max,
                         uint64_t *value, Error **errp)
{
    char *text = blkopts_take(o, key);
    bool ok = !text || parse_number(key, text, min, max, value, errp);

    free(text);
    return ok;
}

bool blkopts_take_word(BlockOptions *o, const char *key, const char *const *words, int *index,
                       Error **errp)
{
    char *text = blkopts_take(o, key);
    char all[256] = "";

    for (int i = 0; text && words[i]; i++) {
        if (!strcmp(words[i], text)) {
            *index = i;
            free(text);
            return true;
        }
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", words[i]);
    }
    if (text) {
        error_set(errp, "%s: '%s' is not possible; possible: %s", key, text, all);
        free(text);
        return false;
    }
    return true;
}

BlockOptions *blkopts_take_sub(BlockOptions *o, const char *prefix)
{
    BlockOptions *sub = blkopts_new();

    for (unsigned i = 0; i < o->count;) {
        Item *item = &o->items[i];
        if (!below(item->key, prefix)) {
            i++;
            continue;
        }
        blkopts_set(sub, item->key + strlen(prefix) + 1, item->value);
        free(item->key);
        free(item->value);
        drop(o, i);
    }
    return sub;
}

bool blkopts_describes(const BlockOptionDesc *table, const char *key)
{
    while (table && table->name && strcmp(table->name, key)) {
        table++;
    }
    return table && table->name;
}

bool blkopts_check(const BlockOptions *o, const char *what, const BlockOptionDesc *table,
                   Error **errp)
{
    const BlockOptionDesc *whole = table;
    BlockOptions *left = blkopts_copy(o);
    uint64_t number;
    bool flag, ok = true;

    for (; ok && table && table->name; table++) {
        if (!strcmp(table->arg, "SIZE")) {
            ok = blkopts_take_size(left, table->name, &number, errp);
        } else if (!strcmp(table->arg, "N") || !strcmp(table->arg, "MS")) {
            ok = blkopts_take_number(left, table->name, 0, UINT64_MAX, &number, errp);
        } else if (!strcmp(table->arg, "on|off")) {
            ok = blkopts_take_bool(left, table->name, &flag, errp);
        } else {
            blkopts_remove(left, table->name);
        }
    }
    ok = ok && blkopts_check_empty(left, what, whole, errp);
    blkopts_free(left);
    return ok;
}

bool blkopts_check_empty(const BlockOptions *o, const char *what, const BlockOptionDesc *table,
                         Error **errp)
{
    const char *names[64];
    unsigned n = 0;

    if (!o->count) {
        return true;
    }
    for (; table && table[n].name && n < 63; n++) {
        names[n] = table[n].name;
    }
    names[n] = NULL;
    const char *near = nearest_name(o->items[0].key, names);
    error_set(errp, "%s: unknown option '%s'%s%s%s", what, o->items[0].key,
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return false;
}

/* ---- text ---- */

bool blkopts_parse(BlockOptions *o, const char *text, const char *implied, Error **errp)
{
    SubOptions so;

    suboptions_parse(&so, text, implied);
    for (size_t i = 0; i < so.count; i++) {
        if (!so.items[i].key || !*so.items[i].key) {
            error_set(errp, "'%s': an option is written KEY=VALUE", text);
            suboptions_free(&so);
            return false;
        }
        blkopts_set(o, so.items[i].key, so.items[i].value);
    }
    suboptions_free(&so);
    return true;
}

#ifdef CONFIG_JANSSON

enum { MAX_DEPTH = 64 };

static bool add_json(BlockOptions *o, const char *path, json_t *value, unsigned depth,
                     Error **errp);

static bool add_member(BlockOptions *o, const char *path, const char *key, json_t *value,
                       unsigned depth, Error **errp)
{
    char *sub = NULL;

    if (asprintf(&sub, "%s%s%s", path, *path ? "." : "", key) < 0) {
        abort();
    }
    bool ok = add_json(o, sub, value, depth + 1, errp);
    free(sub);
    return ok;
}

static bool add_container(BlockOptions *o, const char *path, json_t *value, unsigned depth,
                          Error **errp)
{
    char index[24];
    const char *key;
    json_t *member;
    size_t i;

    if (depth > MAX_DEPTH) {
        error_set(errp, "json: is nested too deeply");
        return false;
    }
    json_object_foreach(value, key, member)
    {
        if (!add_member(o, path, key, member, depth, errp)) {
            return false;
        }
    }
    json_array_foreach(value, i, member)
    {
        snprintf(index, sizeof(index), "%zu", i);
        if (!add_member(o, path, index, member, depth, errp)) {
            return false;
        }
    }
    return true;
}

static bool add_json(BlockOptions *o, const char *path, json_t *value, unsigned depth, Error **errp)
{
    char *text;

    switch (json_typeof(value)) {
    case JSON_STRING:
        blkopts_set(o, path, json_string_value(value));
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        blkopts_set(o, path, json_is_true(value) ? "on" : "off");
        return true;
    case JSON_NULL:
        blkopts_set(o, path, ""); /* backing: null is no backing file */
        return true;
    case JSON_INTEGER:
    case JSON_REAL:
        text = check_memory(json_dumps(value, JSON_ENCODE_ANY));
        blkopts_set(o, path, text);
        free(text);
        return true;
    default:
        return add_container(o, path, value, depth, errp);
    }
}

bool blkopts_parse_json(BlockOptions *o, const char *text, Error **errp)
{
    json_error_t where;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &where);

    if (!root || !json_is_object(root)) {
        error_set(errp, "json: %s", root ? "is no object { ... }" : where.text);
        json_decref(root);
        return false;
    }
    bool ok = add_json(o, "", root, 0, errp);
    json_decref(root);
    return ok;
}

/* Paths become objects again. Lists ("server.0.host") come out as objects with numbers for names;
   readers that take dotted paths see no difference. */
static void put_json(json_t *root, const char *path, const char *value)
{
    const char *dot;

    while ((dot = strchr(path, '.'))) {
        char *name = check_memory(strndup(path, dot - path));
        json_t *sub = json_object_get(root, name);
        if (!json_is_object(sub)) {
            json_object_set_new(root, name, json_object());
            sub = json_object_get(root, name);
        }
        free(name);
        root = sub;
        path = dot + 1;
    }
    json_object_set_new(root, path, json_string(value));
}

char *blkopts_to_json(const BlockOptions *o)
{
    json_t *root = json_object();

    for (unsigned i = 0; i < o->count; i++) {
        put_json(root, o->items[i].key, o->items[i].value);
    }
    char *text = check_memory(json_dumps(root, JSON_COMPACT));
    json_decref(root);
    return text;
}

#else

bool blkopts_parse_json(BlockOptions *o, const char *text, Error **errp)
{
    error_set(errp, "json: names need a build with the library jansson");
    return false;
}

char *blkopts_to_json(const BlockOptions *o)
{
    return check_memory(strdup("{}"));
}

#endif
