/*
 * Line editing on a terminal: cursor keys and the usual control keys, history, completion.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/monitor-int.h"

#define PROMPT "(vole) "

#define CTRL(c) ((c)&0x1f)
#define KEY_ESC 0x1b
#define KEY_DEL 0x7f

static void put(LineEditor *ed, const char *text)
{
    if (ed->echo) {
        monitor_write(ed->mon, text, strlen(text));
    }
}

void line_editor_prompt(LineEditor *ed)
{
    monitor_printf(ed->mon, PROMPT);
    if (ed->echo && ed->len) {
        monitor_write(ed->mon, ed->line, ed->len);
        for (size_t i = ed->cursor; i < ed->len; i++) {
            put(ed, "\b");
        }
    }
}

/* Draws the line from the cursor on, wipes `gone` characters behind it and puts the cursor back. */
static void redraw_tail(LineEditor *ed, size_t gone)
{
    size_t back = ed->len - ed->cursor + gone;

    if (!ed->echo) {
        return;
    }
    monitor_write(ed->mon, ed->line + ed->cursor, ed->len - ed->cursor);
    for (size_t i = 0; i < gone; i++) {
        put(ed, " ");
    }
    for (size_t i = 0; i < back; i++) {
        put(ed, "\b");
    }
}

static void move_to(LineEditor *ed, size_t cursor)
{
    for (; ed->cursor > cursor; ed->cursor--) {
        put(ed, "\b");
    }
    if (cursor > ed->cursor && ed->echo) {
        monitor_write(ed->mon, ed->line + ed->cursor, cursor - ed->cursor);
    }
    ed->cursor = cursor;
}

static void erase(LineEditor *ed, size_t from, size_t to)
{
    move_to(ed, from);
    memmove(ed->line + from, ed->line + to, ed->len - to);
    ed->len -= to - from;
    redraw_tail(ed, to - from);
}

static void insert(LineEditor *ed, const char *text, size_t n)
{
    if (ed->len + n > LINE_MAX_CHARS) {
        return;
    }
    memmove(ed->line + ed->cursor + n, ed->line + ed->cursor, ed->len - ed->cursor);
    memcpy(ed->line + ed->cursor, text, n);
    ed->len += n;
    if (ed->echo) {
        monitor_write(ed->mon, text, n);
    }
    ed->cursor += n;
    redraw_tail(ed, 0);
}

static void replace_line(LineEditor *ed, const char *text)
{
    erase(ed, 0, ed->len);
    insert(ed, text, strlen(text));
}

static void erase_word(LineEditor *ed)
{
    size_t from = ed->cursor;

    while (from > 0 && ed->line[from - 1] == ' ') {
        from--;
    }
    while (from > 0 && ed->line[from - 1] != ' ') {
        from--;
    }
    erase(ed, from, ed->cursor);
}

/* ---- history ---- */

static void history_show(LineEditor *ed, unsigned at)
{
    if (at > ed->history_count || at == ed->history_at) {
        return;
    }
    if (ed->history_at == ed->history_count) {
        free(ed->typed);
        ed->typed = strndup(ed->line, ed->len);
    }
    ed->history_at = at;
    replace_line(ed, at == ed->history_count ? ed->typed : ed->history[at]);
}

static void history_add(LineEditor *ed)
{
    ed->line[ed->len] = '\0';
    if (ed->len == 0 ||
        (ed->history_count && strcmp(ed->history[ed->history_count - 1], ed->line) == 0)) {
        return;
    }
    if (ed->history_count == HISTORY_LINES) {
        free(ed->history[0]);
        memmove(ed->history, ed->history + 1, (HISTORY_LINES - 1) * sizeof(ed->history[0]));
        ed->history_count--;
    }
    ed->history[ed->history_count++] = strdup(ed->line);
}

/* ---- completion ---- */

typedef struct Candidates {
    char common[LINE_MAX_CHARS]; /* what all of them begin with */
    unsigned count;
    LineEditor *ed;
    bool print;
} Candidates;

static void take_candidate(const char *value, void *opaque)
{
    Candidates *c = opaque;
    size_t i = 0;

    if (c->print) {
        monitor_printf(c->ed->mon, "%s\n", value);
        return;
    }
    if (c->count++ == 0) {
        strncpy(c->common, value, sizeof(c->common) - 1);
        return;
    }
    while (c->common[i] && c->common[i] == value[i]) {
        i++;
    }
    c->common[i] = '\0';
}

static void complete(LineEditor *ed)
{
    Candidates c = {.ed = ed};
    size_t start = monitor_complete(ed->line, ed->cursor, take_candidate, &c);
    size_t have = ed->cursor - start;

    if (c.count == 0) {
        return;
    }
    if (strlen(c.common) > have) {
        insert(ed, c.common + have, strlen(c.common) - have);
        if (c.count == 1 && c.common[strlen(c.common) - 1] != '/') {
            insert(ed, " ", 1);
        }
    } else if (c.count == 1) {
        insert(ed, " ", 1);
    } else {
        put(ed, "\n");
        c.print = true;
        monitor_complete(ed->line, ed->cursor, take_candidate, &c);
        line_editor_prompt(ed);
    }
}

/* ---- keys ---- */

/* ESC [ A and its like; true when the sequence is over. */
static bool escape_byte(LineEditor *ed, uint8_t c)
{
    ed->escape[ed->escape_len++] = (char)c;
    if (ed->escape_len == 2) {
        return c != '[' && c != 'O';
    }
    if ((c >= '0' && c <= '9') || c == ';') {
        return ed->escape_len == sizeof(ed->escape);
    }
    switch (c == '~' ? ed->escape[2] : c) {
    case 'A':
        if (ed->history_at > 0) {
            history_show(ed, ed->history_at - 1);
        }
        break;
    case 'B':
        history_show(ed, ed->history_at + 1);
        break;
    case 'C':
        move_to(ed, ed->cursor < ed->len ? ed->cursor + 1 : ed->len);
        break;
    case 'D':
        move_to(ed, ed->cursor ? ed->cursor - 1 : 0);
        break;
    case 'H':
    case '1':
    case '7':
        move_to(ed, 0);
        break;
    case 'F':
    case '4':
    case '8':
        move_to(ed, ed->len);
        break;
    case '3':
        if (ed->cursor < ed->len) {
            erase(ed, ed->cursor, ed->cursor + 1);
        }
        break;
    default:
        break;
    }
    return true;
}

static void abandon(LineEditor *ed)
{
    put(ed, "^C\n");
    ed->len = ed->cursor = 0;
    ed->history_at = ed->history_count;
    line_editor_prompt(ed);
}

static void control_key(LineEditor *ed, uint8_t c)
{
    switch (c) {
    case CTRL('a'):
        move_to(ed, 0);
        break;
    case CTRL('b'):
        move_to(ed, ed->cursor ? ed->cursor - 1 : 0);
        break;
    case CTRL('c'):
        abandon(ed);
        break;
    case CTRL('d'):
        if (ed->cursor < ed->len) {
            erase(ed, ed->cursor, ed->cursor + 1);
        }
        break;
    case CTRL('e'):
        move_to(ed, ed->len);
        break;
    case CTRL('f'):
        move_to(ed, ed->cursor < ed->len ? ed->cursor + 1 : ed->len);
        break;
    case CTRL('h'):
    case KEY_DEL:
        if (ed->cursor) {
            erase(ed, ed->cursor - 1, ed->cursor);
        }
        break;
    case CTRL('i'):
        if (ed->echo) {
            complete(ed);
        } else {
            insert(ed, " ", 1);
        }
        break;
    case CTRL('k'):
        erase(ed, ed->cursor, ed->len);
        break;
    case CTRL('l'):
        put(ed, "\033[2J\033[1;1H");
        line_editor_prompt(ed);
        break;
    case CTRL('n'):
        history_show(ed, ed->history_at + 1);
        break;
    case CTRL('p'):
        if (ed->history_at > 0) {
            history_show(ed, ed->history_at - 1);
        }
        break;
    case CTRL('u'):
        erase(ed, 0, ed->cursor);
        break;
    case CTRL('w'):
        erase_word(ed);
        break;
    case KEY_ESC:
        ed->escape[0] = KEY_ESC;
        ed->escape_len = 1;
        break;
    default:
        break;
    }
}

bool line_editor_feed(LineEditor *ed, uint8_t c)
{
    bool after_cr = ed->last_was_cr;

    ed->last_was_cr = c == '\r';
    if (ed->escape_len) {
        if (escape_byte(ed, c)) {
            ed->escape_len = 0;
        }
    } else if (c == '\n' && after_cr) {
        return false; /* the other half of CR LF */
    } else if (c == '\r' || c == '\n') {
        put(ed, "\n");
        history_add(ed);
        return true;
    } else if (c < 0x20 || c == KEY_DEL) {
        control_key(ed, c);
    } else {
        insert(ed, (const char *)&c, 1);
    }
    return false;
}

void line_editor_next(LineEditor *ed)
{
    ed->len = ed->cursor = 0;
    ed->history_at = ed->history_count;
}

void line_editor_free(LineEditor *ed)
{
    for (unsigned i = 0; i < ed->history_count; i++) {
        free(ed->history[i]);
    }
    free(ed->typed);
}
