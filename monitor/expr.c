/*
 * Expressions of the monitor: numbers, $registers, C's operators. And the /FMT of x, xp, print, i
 * and o.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/monitor-int.h"
#include "target-i386/cpu-query.h"
#include "target-i386/vcpu.h"

#define MAX_DEPTH 64

typedef struct Parser {
    const char *p;
    unsigned depth;
    Error **errp;
    bool failed;
} Parser;

static uint64_t parse_sum(Parser *ps);

static uint64_t fail(Parser *ps, const char *what)
{
    if (!ps->failed) {
        error_set(ps->errp, "%s at '%s'", what, ps->p);
        ps->failed = true;
    }
    return 0;
}

static void skip_space(Parser *ps)
{
    while (*ps->p == ' ' || *ps->p == '\t') {
        ps->p++;
    }
}

/*
 * The binary operator that comes next, one of `ops`, or 0. With a space before it but none behind
 * it, it begins the next argument: "mouse_move 1 -2", "pmemsave 0 16 /file".
 */
static char next_operator(Parser *ps, const char *ops)
{
    const char *p = ps->p;
    bool space = *p == ' ' || *p == '\t';

    while (*p == ' ' || *p == '\t') {
        p++;
    }
    if (ps->failed || !*p || !strchr(ops, *p) || (space && p[1] != ' ' && p[1] != '\t')) {
        return 0;
    }
    ps->p = p + 1;
    return *p;
}

static uint64_t parse_register(Parser *ps)
{
    char name[16];
    size_t n = 0;
    uint64_t v;

    while (isalnum((unsigned char)ps->p[n]) || ps->p[n] == '_') {
        n++;
    }
    if (n == 0 || n >= sizeof(name)) {
        return fail(ps, "a register's name is missing");
    }
    memcpy(name, ps->p, n);
    name[n] = '\0';
    if (monitor_cpu_index() >= vcpu_count() ||
        !cpu_register_value(vcpu_env(monitor_cpu_index()), name, &v)) {
        return fail(ps, "unknown register");
    }
    ps->p += n;
    return v;
}

static uint64_t parse_unary(Parser *ps)
{
    uint64_t v;
    char *end;

    skip_space(ps);
    if (ps->failed || ++ps->depth > MAX_DEPTH) {
        return fail(ps, "the expression is nested too deeply");
    }
    switch (*ps->p) {
    case '-':
        ps->p++;
        v = -parse_unary(ps);
        break;
    case '+':
        ps->p++;
        v = parse_unary(ps);
        break;
    case '~':
        ps->p++;
        v = ~parse_unary(ps);
        break;
    case '(':
        ps->p++;
        v = parse_sum(ps);
        skip_space(ps);
        if (*ps->p != ')') {
            return fail(ps, "')' is missing");
        }
        ps->p++;
        break;
    case '$':
        ps->p++;
        v = parse_register(ps);
        break;
    case '\'':
        if (!ps->p[1] || ps->p[2] != '\'') {
            return fail(ps, "a character stands between two '");
        }
        v = (uint8_t)ps->p[1];
        ps->p += 3;
        break;
    default:
        if (!isdigit((unsigned char)*ps->p)) {
            return fail(ps, *ps->p ? "a number is expected" : "a number is missing");
        }
        v = strtoull(ps->p, &end, 0);
        ps->p = end;
    }
    ps->depth--;
    return v;
}

static uint64_t parse_product(Parser *ps)
{
    uint64_t v = parse_unary(ps), w;

    for (;;) {
        char op = next_operator(ps, "*/%");
        if (!op) {
            return v;
        }
        w = parse_unary(ps);
        if (op != '*' && w == 0) {
            return fail(ps, "division by zero");
        }
        v = op == '*' ? v * w : op == '/' ? v / w : v % w;
    }
}

static uint64_t parse_logic(Parser *ps)
{
    uint64_t v = parse_product(ps), w;

    for (;;) {
        char op = next_operator(ps, "&|^");
        if (!op) {
            return v;
        }
        w = parse_product(ps);
        v = op == '&' ? v & w : op == '|' ? v | w : v ^ w;
    }
}

/* As the tradition has it, sums bind weakest. */
static uint64_t parse_sum(Parser *ps)
{
    uint64_t v = parse_logic(ps), w;

    for (;;) {
        char op = next_operator(ps, "+-");
        if (!op) {
            return v;
        }
        w = parse_logic(ps);
        v = op == '+' ? v + w : v - w;
    }
}

bool monitor_eval(const char **text, uint64_t *value, Error **errp)
{
    Parser ps = {.p = *text, .errp = errp};
    uint64_t v = parse_sum(&ps);

    if (ps.failed) {
        return false;
    }
    *text = ps.p;
    *value = v;
    return true;
}

bool format_parse(const char *text, Format *f, Error **errp)
{
    char *end;

    if (isdigit((unsigned char)*text)) {
        f->count = (unsigned)strtoul(text, &end, 10);
        text = end;
    }
    for (; *text && *text != ' ' && *text != '\t'; text++) {
        switch (*text) {
        case 'x':
        case 'd':
        case 'u':
        case 'o':
        case 'c':
        case 'i':
        case 's':
            f->letter = *text;
            break;
        case 'b':
            f->size = 1;
            break;
        case 'h':
            f->size = 2;
            break;
        case 'w':
            f->size = 4;
            break;
        case 'g':
        case 'L':
            f->size = 8;
            break;
        default:
            error_set(errp,
                      "unknown format letter '%c': possible are x d u o c i s and sizes b h w g",
                      *text);
            return false;
        }
    }
    return true;
}
