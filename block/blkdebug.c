/*
 * The filter "blkdebug": lets requests fail by rules, to see what lies above it bear it. Its name
 * is "blkdebug:RULES-FILE:IMAGE"; the file (which may be empty: "blkdebug::IMAGE") has sections
 * like
 *
 *     [inject-error]          a request fails
 *     event = "l2_load"       when this point was reached (default "none": at any time)
 *     errno = "5"             with this error (EIO)
 *     sector = "128"          if it touches this sector (any)
 *     iotype = "read"         if it is one of these, with commas between (all)
 *     once = "on"             one time only
 *     immediately = "on"      before anybody else has a turn
 *     state = "1"             if the event comes in this state (any)
 *
 *     [set-state]             the event leads from one state (1 at the beginning) to another
 *     event = "write_aio"
 *     state = "1"
 *     new_state = "2"
 *
 *     [suspend]               who comes to the event next is held up until the monitor's command
 *     event = "cow_write"     qemu-io DRIVE "resume A" lets it go (or the program ends)
 *     tag = "A"
 *
 * An error once armed stays so (unless once is on) until an event arms others. The same as options:
 * inject-error.0.event=..., set-state.0...; and limits that the disk shows: align, max-transfer,
 * opt-write-zero, max-write-zero, opt-discard, max-discard.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/blkdebug.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/drivers.h"
#include "block/util.h"
#include "util/options.h"

enum { MAX_LINE = 1024, MAX_ERRNO = 4095, MAX_STATE = 1 << 20 };

/* By QEMU's names; its older ones have dots in place of some of the underscores. */
static const char *const event_names[BLKDBG_EVENTS + 1] = {
    [BLKDBG_NONE] = "none",
    [BLKDBG_L1_UPDATE] = "l1_update",
    [BLKDBG_L1_GROW_ALLOC_TABLE] = "l1_grow_alloc_table",
    [BLKDBG_L1_GROW_WRITE_TABLE] = "l1_grow_write_table",
    [BLKDBG_L1_GROW_ACTIVATE_TABLE] = "l1_grow_activate_table",
    [BLKDBG_L2_LOAD] = "l2_load",
    [BLKDBG_L2_UPDATE] = "l2_update",
    [BLKDBG_L2_ALLOC_COW_READ] = "l2_alloc_cow_read",
    [BLKDBG_L2_ALLOC_WRITE] = "l2_alloc_write",
    [BLKDBG_READ_AIO] = "read_aio",
    [BLKDBG_READ_BACKING_AIO] = "read_backing_aio",
    [BLKDBG_READ_COMPRESSED] = "read_compressed",
    [BLKDBG_WRITE_AIO] = "write_aio",
    [BLKDBG_WRITE_COMPRESSED] = "write_compressed",
    [BLKDBG_COW_READ] = "cow_read",
    [BLKDBG_COW_WRITE] = "cow_write",
    [BLKDBG_VMSTATE_LOAD] = "vmstate_load",
    [BLKDBG_VMSTATE_SAVE] = "vmstate_save",
    [BLKDBG_REFTABLE_LOAD] = "reftable_load",
    [BLKDBG_REFBLOCK_LOAD] = "refblock_load",
    [BLKDBG_REFBLOCK_UPDATE] = "refblock_update",
    [BLKDBG_REFBLOCK_ALLOC_WRITE] = "refblock_alloc_write",
    [BLKDBG_REFBLOCK_ALLOC_HOOKUP] = "refblock_alloc_hookup",
    [BLKDBG_CLUSTER_ALLOC] = "cluster_alloc",
    [BLKDBG_CLUSTER_FREE] = "cluster_free",
    [BLKDBG_FLUSH_TO_OS] = "flush_to_os",
    [BLKDBG_FLUSH_TO_DISK] = "flush_to_disk",
    [BLKDBG_PWRITEV_RMW_HEAD] = "pwritev_rmw_head",
    [BLKDBG_PWRITEV_RMW_AFTER_HEAD] = "pwritev_rmw_after_head",
    [BLKDBG_PWRITEV_RMW_TAIL] = "pwritev_rmw_tail",
    [BLKDBG_PWRITEV_RMW_AFTER_TAIL] = "pwritev_rmw_after_tail",
    [BLKDBG_PREADV] = "preadv",
    [BLKDBG_PWRITEV] = "pwritev",
    [BLKDBG_PWRITEV_ZERO] = "pwritev_zero",
    [BLKDBG_PWRITEV_DONE] = "pwritev_done",
    [BLKDBG_PDISCARD] = "pdiscard",
};
/* QEMU's, to which nothing comes here: rules for them are taken and told about. */
static const char *const unreached[] = {"l2_update_compressed",
                                        "reftable_grow",
                                        "reftable_update",
                                        "refblock_update_part",
                                        "refblock_alloc",
                                        "refblock_alloc_write_blocks",
                                        "refblock_alloc_write_table",
                                        "refblock_alloc_switch_table",
                                        "cluster_alloc_bytes",
                                        "cluster_alloc_space",
                                        "empty_image_prepare",
                                        "l1_shrink_write_table",
                                        "l1_shrink_free_l2_clusters",
                                        "cor_write",
                                        NULL};
enum { NEVER = BLKDBG_EVENTS };

enum { IO_READ, IO_WRITE, IO_ZEROES, IO_DISCARD, IO_FLUSH, IO_STATUS, IO_TYPES };
static const char *const io_names[IO_TYPES + 1] = {
    "read", "write", "write-zeroes", "discard", "flush", "block-status", NULL};

typedef enum RuleKind { RULE_ERROR, RULE_STATE, RULE_SUSPEND } RuleKind;
static const char *const kind_names[] = {"inject-error", "set-state", "suspend", NULL};

typedef struct Rule {
    RuleKind kind;
    int event, error;
    uint64_t state, new_state; /* state 0: any */
    int64_t sector;            /* -1: any */
    unsigned io;               /* bits */
    bool once, immediately;
    bool armed; /* RULE_ERROR: its event has come */
    char *tag;  /* RULE_SUSPEND */
    struct Rule *next;
} Rule;

/* Who is held up, on its own stack. */
typedef struct Held {
    char *tag;
    CoQueue queue;
    bool woken;
    struct Held *next;
} Held;

typedef struct DebugState {
    uint64_t state;
    Rule *rules;
    Held *held; /* the latest first */
    bool cancelled;
} DebugState;

/* ---- rules ---- */

static void free_rule(Rule *r)
{
    free(r->tag);
    free(r);
}

static void drop_rule(DebugState *s, Rule *rule)
{
    for (Rule **p = &s->rules; *p; p = &(*p)->next) {
        if (*p == rule) {
            *p = rule->next;
            free_rule(rule);
            return;
        }
    }
}

static bool take_io(BlockOptions *o, Rule *r, Error **errp)
{
    char *text = blkopts_take(o, "iotype"), *rest = text;

    r->io = (1u << IO_TYPES) - 1 - (1u << IO_STATUS);
    if (r->sector >= 0) {
        r->io &= ~(1u << IO_FLUSH);
    }
    if (!text) {
        return true;
    }
    r->io = 0;
    for (char *word; (word = strsep(&rest, ","));) {
        int i = 0;
        while (io_names[i] && strcmp(io_names[i], word) != 0) {
            i++;
        }
        if (!io_names[i]) {
            error_set(errp,
                      "blkdebug: iotype=%s is not possible; possible: read, write, write-zeroes, "
                      "discard, flush, block-status",
                      word);
            free(text);
            return false;
        }
        r->io |= 1u << i;
    }
    free(text);
    return true;
}

static bool take_event(BlockOptions *o, Rule *r, Error **errp)
{
    char *name = blkopts_take(o, "event");

    if (!name) {
        return true;
    }
    for (char *p = name; *p; p++) {
        *p = *p == '.' ? '_' : *p;
    }
    for (r->event = 0; event_names[r->event]; r->event++) {
        if (!strcmp(event_names[r->event], name)) {
            free(name);
            return true;
        }
    }
    for (unsigned i = 0; unreached[i]; i++) {
        if (!strcmp(unreached[i], name)) {
            warn_report("blkdebug: nothing ever comes to the event '%s' here", name);
            r->event = NEVER;
            free(name);
            return true;
        }
    }
    const char *near = nearest_name(name, event_names);
    error_set(errp, "blkdebug: there is no event '%s'%s%s%s", name, near ? "; did you mean '" : "",
              near ? near : "", near ? "'?" : "");
    free(name);
    return false;
}

/* One rule from its options, which are used up. */
static bool add_rule(DebugState *s, RuleKind kind, BlockOptions *o, Error **errp)
{
    Rule *r = calloc(1, sizeof(*r)), **last = &s->rules;
    uint64_t error = EIO, sector = INT64_MAX;

    if (!r) {
        error_set(errp, "out of memory");
        return false;
    }
    r->kind = kind;
    r->sector = blkopts_get(o, "sector") ? 0 : -1;
    bool ok =
        take_event(o, r, errp) && blkopts_take_number(o, "state", 0, MAX_STATE, &r->state, errp);
    if (kind == RULE_ERROR) {
        ok = ok && blkopts_take_number(o, "errno", 1, MAX_ERRNO, &error, errp) &&
             blkopts_take_number(o, "sector", 0, INT64_MAX / BLK_SECTOR_SIZE, &sector, errp) &&
             blkopts_take_bool(o, "once", &r->once, errp) &&
             blkopts_take_bool(o, "immediately", &r->immediately, errp) && take_io(o, r, errp);
        r->error = (int)error;
        r->sector = r->sector < 0 ? -1 : (int64_t)sector;
        r->armed = r->event == BLKDBG_NONE;
    } else if (kind == RULE_STATE) {
        ok = ok && blkopts_take_number(o, "new_state", 1, MAX_STATE, &r->new_state, errp);
        if (ok && !r->new_state) {
            error_set(errp, "blkdebug: set-state needs a new_state");
            ok = false;
        }
    } else {
        r->tag = blkopts_take(o, "tag");
        if (ok && !r->tag) {
            error_set(errp, "blkdebug: suspend needs a tag");
            ok = false;
        }
    }
    if (ok && kind != RULE_ERROR && r->event == BLKDBG_NONE) {
        error_set(errp, "blkdebug: %s needs an event", kind_names[kind]);
        ok = false;
    }
    if (!ok || !blkopts_check_empty(o, kind_names[kind], NULL, errp)) {
        free_rule(r);
        return false;
    }
    while (*last) {
        last = &(*last)->next;
    }
    *last = r;
    return true;
}

/* inject-error.0.event=... */
static bool rules_from_options(DebugState *s, BlockOptions *options, Error **errp)
{
    bool ok = true;

    for (RuleKind kind = RULE_ERROR; ok && kind <= RULE_SUSPEND; kind++) {
        BlockOptions *all = blkopts_take_sub(options, kind_names[kind]);
        while (ok && blkopts_count(all)) {
            char *index = strdup(blkopts_key(all, 0));
            if (!index) {
                abort();
            }
            char *dot = strchr(index, '.');
            if (dot) {
                *dot = 0;
                BlockOptions *one = blkopts_take_sub(all, index);
                ok = add_rule(s, kind, one, errp);
                blkopts_free(one);
            } else {
                error_set(errp, "blkdebug: %s.%s is not possible; possible: %s.0.event",
                          kind_names[kind], index, kind_names[kind]);
                ok = false;
            }
            free(index);
        }
        blkopts_free(all);
    }
    return ok;
}

/* ---- the rules file ---- */

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    for (size_t n = strlen(text); n && isspace((unsigned char)text[n - 1]); n--) {
        text[n - 1] = 0;
    }
    return text;
}

/* KEY = "VALUE" */
static bool parse_setting(char *line, BlockOptions *o)
{
    char *equals = strchr(line, '=');

    if (!equals) {
        return false;
    }
    *equals = 0;
    char *key = trim(line), *value = trim(equals + 1);
    size_t n = strlen(value);
    if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
        value[n - 1] = 0;
        value++;
    }
    blkopts_set(o, key, value);
    return *key != 0;
}

static bool end_section(DebugState *s, int kind, BlockOptions **o, Error **errp)
{
    bool ok = kind < 0 || add_rule(s, (RuleKind)kind, *o, errp);

    blkopts_free(*o);
    *o = blkopts_new();
    return ok;
}

static bool parse_rules(DebugState *s, FILE *f, const char *name, Error **errp)
{
    BlockOptions *o = blkopts_new();
    char buf[MAX_LINE];
    int kind = -1;
    unsigned number = 0;
    bool ok = true;

    while (ok && fgets(buf, sizeof(buf), f)) {
        char *line = trim(buf);
        size_t n = strlen(line);
        number++;
        if (!*line || *line == '#') {
            continue;
        }
        if (*line != '[') {
            ok = kind >= 0 && parse_setting(line, o);
        } else {
            ok = end_section(s, kind, &o, errp);
            line[n - 1] = line[n - 1] == ']' ? 0 : line[n - 1];
            for (kind = 0; ok && kind_names[kind] && strcmp(kind_names[kind], line + 1); kind++) {
            }
            if (!ok) {
                break;
            }
            ok = kind_names[kind] != NULL;
        }
        if (!ok) {
            error_set(errp,
                      "%s, line %u: possible: [inject-error], [set-state], [suspend], below them "
                      "KEY = \"VALUE\"",
                      name, number);
        }
    }
    ok = ok && end_section(s, kind, &o, errp);
    blkopts_free(o);
    return ok;
}

static bool rules_from_file(DebugState *s, const char *name, Error **errp)
{
    FILE *f = fopen(name, "re");

    if (!f) {
        error_set_errno(errp, errno, "blkdebug: cannot open the rules file %s", name);
        return false;
    }
    bool ok = parse_rules(s, f, name, errp);
    fclose(f);
    return ok;
}

/* ---- events ---- */

/* The rule is used up. Drains wait for who is held up: it is in the middle of a request. */
static void suspend_at(BlockNode *node, Rule *r)
{
    DebugState *s = node->state;
    Held me = {.tag = r->tag, .next = s->held};

    r->tag = NULL;
    drop_rule(s, r);
    s->held = &me;
    node->in_flight++;
    co_queue_wait(&me.queue);
    for (Held **p = &s->held; *p; p = &(*p)->next) {
        if (*p == &me) {
            *p = me.next;
            break;
        }
    }
    free(me.tag);
    if (--node->in_flight == 0) {
        co_queue_all(&node->drain_queue);
    }
}

/* An event that arms rules ends what others had armed. */
static void arm(DebugState *s, unsigned event, uint64_t state)
{
    bool any = false;

    for (int armed = 0; armed < 2; armed++) {
        for (Rule *r = s->rules; r; r = r->next) {
            if (r->kind != RULE_ERROR || r->event == BLKDBG_NONE) {
                continue;
            }
            bool matches = r->event == (int)event && (!r->state || r->state == state);
            if (armed && any) {
                r->armed = matches;
            }
            any |= matches;
        }
    }
}

static void debug_co_event(BlockNode *node, unsigned event)
{
    DebugState *s = node->state;
    const uint64_t state = s->state;
    Rule *suspend = NULL;

    arm(s, event, state);
    for (Rule *r = s->rules; r; r = r->next) {
        if (r->event != (int)event || (r->state && r->state != state)) {
            continue;
        }
        if (r->kind == RULE_STATE) {
            s->state = r->new_state;
        } else if (r->kind == RULE_SUSPEND && !suspend && !s->cancelled) {
            suspend = r;
        }
    }
    if (suspend) {
        suspend_at(node, suspend);
    }
}

/* ---- who is held up ---- */

BlockNode *blkdebug_below(BlockNode *node)
{
    while (node && node->driver != &bdrv_blkdebug) {
        node = node->file ? node->file->node : NULL;
    }
    return node;
}

bool blkdebug_break(BlockNode *node, const char *event, const char *tag, Error **errp)
{
    BlockOptions *o = blkopts_new();

    blkopts_set(o, "event", event);
    blkopts_set(o, "tag", tag);
    bool ok = add_rule(node->state, RULE_SUSPEND, o, errp);
    blkopts_free(o);
    return ok;
}

/* The one that came first, or NULL. */
static Held *find_held(const BlockNode *node, const char *tag)
{
    const DebugState *s = node->state;
    Held *first = NULL;

    for (Held *h = s->held; h; h = h->next) {
        first = !h->woken && (!tag || !strcmp(h->tag, tag)) ? h : first;
    }
    return first;
}

static bool let_go(BlockNode *node, const char *tag)
{
    Held *h = find_held(node, tag);

    if (h) {
        h->woken = true;
        co_queue_next(&h->queue);
    }
    return h != NULL;
}

bool blkdebug_resume(BlockNode *node, const char *tag)
{
    return let_go(node, tag);
}

bool blkdebug_remove_break(BlockNode *node, const char *tag)
{
    DebugState *s = node->state;
    bool found = false;

    for (Rule *r = s->rules, *next; r; r = next) {
        next = r->next;
        if (r->kind == RULE_SUSPEND && (!tag || !strcmp(r->tag, tag))) {
            drop_rule(s, r);
            found = true;
        }
    }
    while (let_go(node, tag)) {
        found = true;
    }
    return found;
}

bool blkdebug_is_suspended(const BlockNode *node, const char *tag)
{
    return find_held(node, tag) != NULL;
}

/* The program ends, and nobody is there to resume them. */
static void debug_cancel(BlockNode *node)
{
    ((DebugState *)node->state)->cancelled = true;
    blkdebug_remove_break(node, NULL);
}

/* ---- requests ---- */

/* 0, or the error that a rule has for this request. */
static int check_rules(BlockNode *node, unsigned io, uint64_t offset, uint64_t bytes)
{
    DebugState *s = node->state;

    for (Rule *r = s->rules; r; r = r->next) {
        if (r->kind != RULE_ERROR || !r->armed || !(r->io >> io & 1)) {
            continue;
        }
        /* Others' state counted when their event came. */
        if (r->event == BLKDBG_NONE && r->state && r->state != s->state) {
            continue;
        }
        uint64_t at = (uint64_t)r->sector * BLK_SECTOR_SIZE;
        if (r->sector >= 0 && (at < offset || at - offset >= bytes)) {
            continue;
        }
        int error = r->error;
        bool immediately = r->immediately;
        if (r->once) {
            drop_rule(s, r);
        }
        if (!immediately) {
            coroutine_sleep(CLOCK_HOST, 0); /* others come to run, as with a real disk */
        }
        return -error;
    }
    return 0;
}

static int debug_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                           unsigned flags)
{
    debug_co_event(node, BLKDBG_PREADV);
    int ret = check_rules(node, IO_READ, offset, bytes);

    return ret < 0 ? ret : bdrv_co_preadv(node->file, offset, bytes, v, at, flags);
}

static int debug_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                            size_t at, unsigned flags)
{
    debug_co_event(node, BLKDBG_PWRITEV);
    int ret = check_rules(node, IO_WRITE, offset, bytes);

    ret = ret < 0 ? ret : bdrv_co_pwritev(node->file, offset, bytes, v, at, flags);
    debug_co_event(node, BLKDBG_PWRITEV_DONE);
    return ret;
}

static int debug_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    debug_co_event(node, BLKDBG_PWRITEV_ZERO);
    int ret = check_rules(node, IO_ZEROES, offset, bytes);

    return ret < 0 ? ret : bdrv_co_pwrite_zeroes(node->file, offset, bytes, flags);
}

static int debug_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    debug_co_event(node, BLKDBG_PDISCARD);
    int ret = check_rules(node, IO_DISCARD, offset, bytes);

    return ret < 0 ? ret : bdrv_co_pdiscard(node->file, offset, bytes);
}

static int debug_co_flush(BlockNode *node)
{
    debug_co_event(node, BLKDBG_FLUSH_TO_DISK);
    return check_rules(node, IO_FLUSH, 0, 0);
}

static int debug_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                                 uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    int ret = check_rules(node, IO_STATUS, offset, bytes);

    *pnum = bytes;
    *map = offset;
    *file = node->file->node;
    return ret < 0 ? ret : BDRV_BLOCK_RAW | BDRV_BLOCK_OFFSET_VALID;
}

static bool debug_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                              Error **errp)
{
    if (!bdrv_co_truncate(node->file, size, exact, prealloc, errp)) {
        return false;
    }
    node->size = node->file->node->size;
    return true;
}

/* ---- opening ---- */

static bool take_limit(BlockOptions *o, const char *key, uint64_t unit, uint32_t *value,
                       Error **errp)
{
    uint64_t n = *value;

    if (!blkopts_take_size(o, key, &n, errp)) {
        return false;
    }
    if (n > INT32_MAX || n % unit) {
        error_set(errp, "blkdebug: %s=%llu is not possible; possible: multiples of %llu, below 2G",
                  key, (unsigned long long)n, (unsigned long long)unit);
        return false;
    }
    *value = (uint32_t)n;
    return true;
}

static bool take_limits(BlockNode *node, BlockOptions *o, Error **errp)
{
    uint32_t align = node->request_alignment, max_zeroes = 0, max_discard = 0;

    if (!take_limit(o, "align", 1, &align, errp)) {
        return false;
    }
    if (!align || (align & (align - 1)) || align < node->request_alignment) {
        error_set(errp, "blkdebug: align=%u is not possible; possible: powers of 2 from %u on",
                  align, node->request_alignment);
        return false;
    }
    node->request_alignment = align;
    if (!take_limit(o, "max-transfer", align, &node->max_transfer, errp) ||
        !take_limit(o, "opt-write-zero", align, &node->zeroes_alignment, errp) ||
        !take_limit(o, "max-write-zero", MAX(align, node->zeroes_alignment), &max_zeroes, errp) ||
        !take_limit(o, "opt-discard", align, &node->discard_alignment, errp) ||
        !take_limit(o, "max-discard", MAX(align, node->discard_alignment), &max_discard, errp)) {
        return false;
    }
    node->max_zeroes = max_zeroes;
    node->max_discard = max_discard;
    return true;
}

static void free_rules(DebugState *s)
{
    while (s->rules) {
        drop_rule(s, s->rules);
    }
}

static bool debug_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    DebugState *s = node->state;
    char *config = blkopts_take(options, "config"), *image = blkopts_take(options, "x-image");

    s->state = 1;
    blkopts_remove(options, "filename");
    bool ok = bdrv_open_child(node, image, options, "image", CHILD_FILE, false, &node->file, errp);
    if (ok) {
        const BlockNode *file = node->file->node;
        node->size = file->size;
        node->growable = file->growable;
        node->zero_init = file->zero_init;
        node->request_alignment = file->request_alignment;
        node->memory_alignment = file->memory_alignment;
        node->supported_write_flags = file->supported_write_flags;
        node->supported_zero_flags = file->supported_zero_flags;
        node->readonly = node->readonly || file->readonly;
        ok = take_limits(node, options, errp) && rules_from_options(s, options, errp) &&
             (!config || !*config || rules_from_file(s, config, errp));
    }
    free(config);
    free(image);
    if (!ok) {
        free_rules(s);
    }
    return ok;
}

static void debug_co_close(BlockNode *node)
{
    free_rules(node->state);
}

/* blkdebug:RULES:IMAGE */
static bool debug_parse_filename(const char *filename, BlockOptions *options, Error **errp)
{
    const char *rules = filename + strlen("blkdebug:"), *colon = strchr(rules, ':');

    if (!colon || !colon[1]) {
        error_set(errp, "%s: possible: blkdebug:RULES-FILE:IMAGE, where the file may be left out",
                  filename);
        return false;
    }
    char *name = strndup(rules, colon - rules);
    if (!name) {
        abort();
    }
    blkopts_set(options, "config", name);
    blkopts_set(options, "x-image", colon + 1);
    free(name);
    return true;
}

static bool debug_co_create(BlockCreate *create, Error **errp)
{
    const char *colon = strchr(create->filename + strlen("blkdebug:"), ':');

    if (!colon) {
        error_set(errp, "%s: possible: blkdebug:RULES-FILE:IMAGE", create->filename);
        return false;
    }
    return bdrv_create_file(colon + 1, create->size, create->options, errp);
}

static const BlockOptionDesc debug_options[] = {
    {"config", "FILE", "rules"},
    {"image", "NODE", "what lies below"},
    {"inject-error", "RULE", "inject-error.0.event= and so on: what fails"},
    {"set-state", "RULE", "set-state.0.event= and so on: when the state changes"},
    {"align", "BYTES", "requests are multiples of this"},
    {"max-transfer", "BYTES", "the longest request"},
    {"opt-write-zero", "BYTES", "zeroes are written in multiples of this"},
    {"max-write-zero", "BYTES", "the longest request for zeroes"},
    {"opt-discard", "BYTES", "discards are multiples of this"},
    {"max-discard", "BYTES", "the longest discard"},
    {0},
};

const BlockDriver bdrv_blkdebug = {
    .name = "blkdebug",
    .protocol = "blkdebug",
    .is_filter = true,
    .state_size = sizeof(DebugState),
    .open_options = debug_options,
    .parse_filename = debug_parse_filename,
    .co_open = debug_co_open,
    .co_close = debug_co_close,
    .co_create = debug_co_create,
    .co_preadv = debug_co_preadv,
    .co_pwritev = debug_co_pwritev,
    .co_pwrite_zeroes = debug_co_pwrite_zeroes,
    .co_pdiscard = debug_co_pdiscard,
    .co_flush = debug_co_flush,
    .co_block_status = debug_co_block_status,
    .co_truncate = debug_co_truncate,
    .co_debug_event = debug_co_event,
    .cancel = debug_cancel,
};
