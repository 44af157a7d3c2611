/*
 * Translated blocks at another address.
 *
 * A block is code for a place in RAM at one linear address: return addresses, ways out, what is
 * addressed by RIP are constants in it. Systems map programs and libraries at random addresses, so
 * each new process would have what it shares with the last one translated again. Instead a block of
 * the same bytes and mode is copied, and what depends on its address is made good. While a block is
 * translated the places of all that are noted: of constants made of guest addresses, of
 * displacements to what lies outside the block, of jumps that may have been linked, of its records.
 * The block that comes out is, byte for byte, what a translation would have been (`-d moves`
 * looks), so nobody needs to know.
 *
 * That holds where the shorter forms of constants and what the translator makes of addresses do not
 * change: within a zone. Blocks of kernels, of code with segments and in the lowest 8 GB of 64-bit
 * code are in none; they stay where they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "target-i386/jit-stats.h"
#include "target-i386/translate.h"
#include "util/log.h"

/* In 64-bit code everything in reach of 32-bit displacements is canonical and takes a 64-bit
 * immediate; else nothing takes an 8-bit one. */
#define LOWEST_64  (1ull << 33)
#define HIGHEST_64 ((1ull << 47) - (1ull << 32))
#define LOWEST_32  (1u << 16)
#define HIGHEST_32 (0u - (1u << 16))

unsigned move_zone(const CPUX86State *env, uint32_t key, uint64_t rip)
{
    enum { NONE, IN_64, LOWER_32, UPPER_32, ZONES };
    const uint32_t flat32 = HF_FLAT | HF_CS32 | HF_SS32;
    unsigned zone = NONE;

    if (key & HF_CS64) {
        zone = rip >= LOWEST_64 && rip < HIGHEST_64 ? IN_64 : NONE;
    } else if ((key & flat32) == flat32 && rip >= LOWEST_32 && rip < HIGHEST_32) {
        zone = rip >> 31 ? UPPER_32 : LOWER_32;
    }
    if (zone && !(key & HF_CPL_MASK) && key & HF_PG && (env->lockstep || zone == UPPER_32)) {
        zone = rip_is_kernels(env, key, rip) ? NONE : zone;
    }
    return zone;
}

bool jit_may_move(const CPUX86State *env, uint32_t key)
{
    return move_zone(env, key, env->rip);
}

/* ---- notes, while a block is translated ---- */

void cannot_move(Translator *t)
{
    t->moves = false;
}

static void add_entry(Translator *t, unsigned entry)
{
    if (t->nmoves == JIT_BLOCK_MAX_MOVES) {
        t->moves = false;
        return;
    }
    t->moves_list[t->nmoves++] = (uint16_t)entry;
}

void note_move(Translator *t, MoveKind kind, uint8_t *at)
{
    _Static_assert(MOVE_KINDS <= 1 << (16 - MOVE_DISTANCE_BITS), "an entry has both");

    if (!t->moves) {
        return;
    }
    for (; at - t->moves_at > MOVE_MAX_DISTANCE; t->moves_at += MOVE_MAX_DISTANCE) {
        add_entry(t, MOVE_SKIP << MOVE_DISTANCE_BITS | MOVE_MAX_DISTANCE);
    }
    add_entry(t, kind << MOVE_DISTANCE_BITS | (unsigned)(at - t->moves_at));
    t->moves_at = at;
}

void note_link(Translator *t, const uint8_t *rel)
{
    int32_t distance;

    memcpy(&distance, rel, 4);
    ptrdiff_t back = t->e.p - (rel + 4 + distance);
    if (back < 0 || back > UINT16_MAX) {
        cannot_move(t);
        return;
    }
    note_move(t, MOVE_LINK, t->e.p);
    if (t->moves) {
        add_entry(t, (unsigned)back);
    }
}

void gen_to_common(Translator *t, uint8_t *rel, const uint8_t *piece)
{
    emit_patch(rel, piece);
    note_move(t, MOVE_COMMON, rel);
}

void gen_mov_rip(Translator *t, unsigned reg, uint64_t rip)
{
    bool wide = (int64_t)rip != (int32_t)rip && rip >> 32;

    emit_mov_imm(&t->e, reg, rip);
    if (wide != t->mode64) {
        cannot_move(t);
    } else {
        note_move(t, wide ? MOVE_RIP64 : MOVE_RIP32, t->e.p - (wide ? 8 : 4));
    }
}

void note_rip32(Translator *t, uint64_t rip)
{
    if (t->mode64 || (int32_t)rip == (int8_t)rip) {
        cannot_move(t);
    } else {
        note_move(t, MOVE_RIP32, t->e.p - 4);
    }
}

void gen_mov_record(Translator *t, unsigned reg, const JitInsn *ji)
{
    emit_mov_imm(&t->e, reg, (uint32_t)((const uint8_t *)ji - t->jit->records));
    note_move(t, MOVE_RECORD, t->e.p - 4);
}

void gen_mov_pointer(Translator *t, unsigned reg, const void *p)
{
    uintptr_t first = (uintptr_t)t->jit->records, v = (uintptr_t)p;

    emit_mov_imm(&t->e, reg, v);
    if (v - first < t->jit->records_size) {
        if (first >> 32 == 0) {
            cannot_move(t);
        }
        note_move(t, MOVE_RECORD64, t->e.p - 8);
    }
}

void keep_moves(Translator *t, JitBlock *b)
{
    size_t size = t->nmoves * sizeof(*t->moves_list);

    if (!t->moves ||
        (t->rip_operand &&
         t->absolute_operand)) { /* which share a last-page slot, or do not, as they lie */
        return;
    }
    uint8_t *list = jit_record(t->jit, size + (t->jit->check_moves ? sizeof(t->slots_before) : 0));
    memcpy(list, t->moves_list, size);
    if (t->jit->check_moves) {
        memcpy(list + size, &t->slots_before, sizeof(t->slots_before));
    }
    b->moves = (const uint16_t *)(const void *)list;
    b->nmoves = (uint16_t)t->nmoves;
}

/* ---- moving ---- */

/* As jit_record() rounds them up. */
#define RECORD_BYTES(type) ((sizeof(type) + 15) & ~(size_t)15)
#define BLOCK_BYTES        RECORD_BYTES(JitBlock)

/* By how much what a block consists of has moved; the last guest address that was made good. */
typedef struct Mover {
    ptrdiff_t code, records;
    uint64_t rip, last_rip;
    uint8_t *start;
} Mover;

static uint32_t add32(uint8_t *at, uint32_t by)
{
    uint32_t v;

    memcpy(&v, at, 4);
    v += by;
    memcpy(at, &v, 4);
    return v;
}

static uint64_t add64(uint8_t *at, uint64_t by)
{
    uint64_t v;

    memcpy(&v, at, 8);
    v += by;
    memcpy(at, &v, 8);
    return v;
}

static void move_halves(uint8_t *lower, uint64_t by)
{
    enum { NEXT_IMMEDIATE = 12 }; /* GS, opcode, ModRM, SIB, displacement lie between */
    uint32_t half[2];

    memcpy(&half[0], lower, 4);
    memcpy(&half[1], lower + NEXT_IMMEDIATE, 4);
    uint64_t v = (half[0] | (uint64_t)half[1] << 32) + by;
    half[0] = (uint32_t)v;
    half[1] = (uint32_t)(v >> 32);
    memcpy(lower, &half[0], 4);
    memcpy(lower + NEXT_IMMEDIATE, &half[1], 4);
}

/* The jump that the bytes at `link` tell of leads out of the block again, to `back` bytes before
 * them. */
static void move_link(const Mover *m, uint8_t *link, unsigned back)
{
    add32(link - 4, -(uint32_t)m->code); /* the call of a common piece */
    uint32_t place = add32(link, (uint32_t)m->code);
    uint8_t *rel = m->start + place;
    emit_patch(rel, link - back);
}

static void move_place(Mover *m, MoveKind kind, uint8_t *at)
{
    uint32_t entry;

    switch (kind) {
    case MOVE_COMMON:
        add32(at, -(uint32_t)m->code);
        break;
    case MOVE_HANDLER:
        add32(at + 5, -(uint32_t)m->code);
        add32(at, (uint32_t)m->records);
        break;
    case MOVE_RECORD:
        add32(at, (uint32_t)m->records);
        break;
    case MOVE_RECORD64:
        add64(at, (uint64_t)m->records);
        break;
    case MOVE_RIP32:
        m->last_rip = add32(at, (uint32_t)m->rip);
        break;
    case MOVE_RIP64:
        m->last_rip = add64(at, m->rip);
        break;
    case MOVE_RIP_HALVES:
        move_halves(at, m->rip);
        break;
    case MOVE_JUMP:
    case MOVE_JUMP_SAVED:
        entry = (uint32_t)(jit_jump_index(m->last_rip) * sizeof(JitJump) +
                           (kind == MOVE_JUMP ? offsetof(JitJump, rip) : offsetof(JitJump, saved)));
        memcpy(at, &entry, 4);
        break;
    case MOVE_SKIP:
    case MOVE_LINK: /* has been done */
    case MOVE_KINDS:
        break;
    }
}

static void move_code(Mover *m, uint8_t *at, const uint16_t *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        MoveKind kind = (MoveKind)(list[i] >> MOVE_DISTANCE_BITS);
        at += list[i] & MOVE_MAX_DISTANCE;
        if (kind == MOVE_LINK) {
            move_link(m, at, list[++i]);
        } else {
            move_place(m, kind, at);
        }
    }
}

/* The records behind a block, up to its list: of each instruction that may go to its handler,
 * perhaps with itself. */
static void move_records(const Mover *m, JitBlock *b)
{
    uint8_t *p = (uint8_t *)b + BLOCK_BYTES;

    while (p < (const uint8_t *)b->moves) {
        JitInsn *ji = (JitInsn *)(void *)p;
        p += RECORD_BYTES(JitInsn);
        ji->rip += m->rip;
        if (ji->insn) {
            ji->insn = (const Insn *)(const void *)((const uint8_t *)ji->insn + m->records);
            p += RECORD_BYTES(Insn);
        }
    }
}

/* Where a block's code begins, in the code memory. */
static size_t code_of(const CpuJit *jit, const JitBlock *b)
{
    const uint8_t *first = b->entry[0][0];

    for (unsigned i = 1; i < 4; i++) {
        const uint8_t *entry = b->entry[i >> 1][i & 1];
        first = entry < first ? entry : first;
    }
    return (size_t)(first - jit->exec);
}

static size_t bytes_of_list(const CpuJit *jit, const JitBlock *b)
{
    return b->nmoves * sizeof(*b->moves) + (jit->check_moves ? sizeof(JitSlotsGiven) : 0);
}

static void check(CPUX86State *env, JitBlock *b, const uint8_t *host, unsigned avail);

static bool stays_in_zone(const CPUX86State *env, const JitBlock *b)
{
    unsigned zone = move_zone(env, b->key, env->rip);

    return zone && zone == move_zone(env, b->key, b->rip);
}

/* b's code and records, which are at its new place already, become those of env->rip. */
static void move_to(CPUX86State *env, JitBlock *b, Mover *m, size_t code, const uint8_t *host,
                    unsigned avail)
{
    CpuJit *jit = env->jit;
    uint64_t from = b->rip;

    m->rip = env->rip - b->rip;
    m->start = jit->write;
    b->rip = env->rip;
    move_records(m, b);
    move_code(m, jit->write + code, b->moves, b->nmoves);
    jit_stats_moved(env, b, from, jit->write + code);
    if (__builtin_expect(jit->check_moves, 0)) {
        check(env, b, host, avail);
    }
    jit->stats.moved++;
}

bool jit_move(CPUX86State *env, JitBlock *b, const uint8_t *host, unsigned avail)
{
    Mover m = {0};

    if (!stays_in_zone(env, b)) {
        return false;
    }
    b->made = (uint32_t)env->jit->stats.entered;
    b->runs = 0;
    move_to(env, b, &m, code_of(env->jit, b), host, avail);
    return true;
}

JitBlock *jit_move_copy(CPUX86State *env, const JitBlock *from, const uint8_t *host, unsigned avail)
{
    CpuJit *jit = env->jit;

    if (!stays_in_zone(env, from)) {
        return NULL;
    }
    size_t code = code_of(jit, from),
           records = (size_t)((const uint8_t *)from->moves - (const uint8_t *)from) +
                     bytes_of_list(jit, from);
    JitBlock *b = jit_record(jit, records);
    Mover m = {.code = (ptrdiff_t)(jit->code_used - code),
               .records = (uint8_t *)b - (const uint8_t *)from};

    memcpy(b, from, records);
    memcpy(jit->write + jit->code_used, jit->write + code, from->code_size);
    b->moves = (const uint16_t *)(const void *)((const uint8_t *)b->moves + m.records);
    b->links = 0;
    b->runs = 0;
    for (unsigned i = 0; i < 4; i++) {
        b->entry[i >> 1][i & 1] += m.code;
    }
    move_to(env, b, &m, jit->code_used, host, avail);
    jit->code_used = (jit->code_used + b->code_size + 15) & ~(size_t)15;
    return b;
}

/* ---- -d moves ---- */

static void different(const JitBlock *b, const char *what, size_t where)
{
    error_report(
        "-d moves: the block moved to 0x%llx is not what a translation is there: %s, byte %zu",
        (unsigned long long)b->rip, what, where);
    exit(1);
}

static void compare(const JitBlock *b, const char *what, const void *moved, const void *made,
                    size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (((const uint8_t *)moved)[i] != ((const uint8_t *)made)[i]) {
            different(b, what, i);
        }
    }
}

/* Translates b in its place: nothing may change. */
static void check(CPUX86State *env, JitBlock *b, const uint8_t *host, unsigned avail)
{
    static _Thread_local uint8_t moved_code[JIT_BLOCK_MAX_CODE],
        moved_records[JIT_BLOCK_MAX_RECORDS];
    CpuJit *jit = env->jit;
    JitSlotsGiven given = jit->slots_given;
    JitBlock *moved = (JitBlock *)(void *)moved_records;
    size_t list = (size_t)((const uint8_t *)b->moves - (const uint8_t *)b),
           size = list + bytes_of_list(jit, b);
    size_t code = code_of(jit, b), code_used = jit->code_used, records_used = jit->records_used;

    /* With what lies behind: a translation may be longer. */
    size_t code_room = jit->code_size - code < sizeof(moved_code) ? jit->code_size - code : sizeof(moved_code);
    size_t records = (size_t)((uint8_t *)b - jit->records),
           records_room = jit->records_size - records < sizeof(moved_records) ? jit->records_size - records : sizeof(moved_records);
    memcpy(moved_code, jit->write + code, code_room);
    memcpy(moved_records, b, records_room);
    memcpy(&jit->slots_given, (const uint8_t *)(b->moves + b->nmoves), sizeof(jit->slots_given));
    jit->code_used = code;
    jit->records_used = (size_t)((uint8_t *)b - jit->records);
    if (jit_translate(env, host, avail, b->ram, b->key & JIT_KEY_PLAIN) != b) {
        different(b, "place", 0);
    }
    /* Not where what follows the block has changed since it was made, so that it ends elsewhere now, or otherwise: both are right. */
    if (b->bytes == moved->bytes && b->before_two_pages == moved->before_two_pages) {
        if (b->code_size != moved->code_size || b->nmoves != moved->nmoves || b->moves != moved->moves ||
            b->wants_memory != moved->wants_memory || b->key != moved->key) {
            different(b, "block", 0);
        }
        compare(b, "entries", moved->entry, b->entry, sizeof(b->entry));
        compare(b, "code", moved_code, jit->write + code, b->code_size);
        compare(b, "records", moved_records + BLOCK_BYTES, (const uint8_t *)b + BLOCK_BYTES, list - BLOCK_BYTES);
        compare(b, "list", moved_records + list, (const uint8_t *)b->moves, size - list);
    }
    /* What lies behind it, too: the translator may have tried with more instructions first. */
    memcpy(jit->write + code, moved_code, code_room);
    memcpy(b, moved_records, records_room);
    jit->code_used = code_used;
    jit->records_used = records_used;
    jit->slots_given = given;
}
