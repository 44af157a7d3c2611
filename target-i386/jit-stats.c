/*
 * What the translator tells about itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/jit-stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target-i386/cpu-query.h"
#include "target-i386/disas.h"
#include "target-i386/lockstep.h"
#include "target-i386/vcpu.h"
#include "util/log.h"

enum { TOP_BLOCKS = 10 };

static bool profile;

void jit_set_profile(bool on)
{
    profile = on;
}

void jit_stats_init(CpuJit *jit)
{
    jit->profile = profile;
    /* A chain of blocks is entered once; these want to see more of it. */
    jit->budget = log_enabled(LOG_LOCKSTEP | LOG_EXEC | LOG_CPU);
    jit->counts_insns = log_enabled(LOG_LOCKSTEP);
    if (log_enabled(LOG_OP_COUNT)) {
        jit->stats.ops = calloc(2 * OP_COUNT, sizeof(*jit->stats.ops));
    }
}

/* ---- perf's map ---- */

typedef struct Symbol {
    uint64_t addr;
    char *name;
} Symbol;

static FILE *perfmap;
static Symbol *symbols;
static size_t symbol_count;

bool jit_set_perfmap(Error **errp)
{
    char path[64];

    snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)getpid());
    unlink(path); /* of a process that had the number before; a link that somebody put there is not followed */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    perfmap = fd < 0 ? NULL : fdopen(fd, "w");
    if (!perfmap) {
        error_set_errno(errp, errno, "-accel: perfmap: cannot write '%s'", path);
        return false;
    }
    setvbuf(perfmap, NULL, _IOLBF, 1 << 16);
    return true;
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const Symbol *)a)->addr, y = ((const Symbol *)b)->addr;

    return x < y ? -1 : x > y;
}

bool jit_set_perfmap_symbols(const char *path, Error **errp)
{
    FILE *f = fopen(path, "re");
    unsigned long long addr;
    size_t room = 0;
    char line[1024], type, name[256];

    if (!f) {
        error_set_errno(errp, errno, "-accel: perfmap-symbols: cannot open '%s'", path);
        return false;
    }
    while (fgets(line, sizeof(line), f)) {
        /* nm's other types are data, constants, and what has no address. */
        if (sscanf(line, "%llx %c %255s", &addr, &type, name) != 3 || !strchr("tTwWi", type)) {
            continue;
        }
        if (symbol_count == room) {
            room = room ? 2 * room : 4096;
            symbols = realloc(symbols, room * sizeof(*symbols));
        }
        char *copy = symbols ? strdup(name) : NULL;
        if (!copy) {
            abort();
        }
        symbols[symbol_count++] = (Symbol){addr, copy};
    }
    fclose(f);
    if (!symbol_count) {
        error_set(errp, "-accel: perfmap-symbols: '%s' has no lines 'ADDRESS TYPE NAME' of code (type t or T)", path);
        return false;
    }
    qsort(symbols, symbol_count, sizeof(*symbols), by_address);
    return true;
}

/* The last symbol not behind addr, unless it is far away. */
static const Symbol *find_symbol(uint64_t addr)
{
    size_t low = 0, high = symbol_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (symbols[middle].addr <= addr) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low && addr - symbols[low - 1].addr < 1 << 20 ? &symbols[low - 1] : NULL;
}

static void name_guest_code(uint64_t rip, char *name, size_t size)
{
    const Symbol *s = find_symbol(rip);

    if (s && s->addr != rip) {
        snprintf(name, size, "%s+0x%llx", s->name, (unsigned long long)(rip - s->addr));
    } else if (s) {
        snprintf(name, size, "%s", s->name);
    } else {
        snprintf(name, size, "guest_0x%llx", (unsigned long long)rip);
    }
}

/* ---- the log ---- */

/* Whether the instruction is a call behind which a link stands. */
static bool precedes_link(const CpuJit *jit, const uint8_t *p, const Insn *insn)
{
    const uint8_t *target = p + insn->len + insn->imm;

    return insn->op == OP_CALL && (target == jit->link[JIT_FROM_EFLAGS] || target == jit->link[JIT_FROM_MEMORY]);
}

/* Translated code is 64-bit code with whatever the host has. */
static void log_host_code(const CpuJit *jit, const uint8_t *p, const uint8_t *end)
{
    DecodeMode mode = {.code_size = 8, .protected_mode = true};
    char text[128];
    Insn insn;

    memset(&mode.features, 0xff, sizeof(mode.features));
    while (p < end) {
        uint64_t at = (uint64_t)(uintptr_t)(jit->exec + (p - jit->write));
        if (insn_decode(&mode, p, (size_t)(end - p), &insn) == INSN_OK) {
            insn_print(&insn, at, text, sizeof(text));
        } else {
            insn.len = 1;
            snprintf(text, sizeof(text), "(byte %02x)", *p);
        }
        log_write("    0x%llx: %s\n", (unsigned long long)at, text);
        bool link = precedes_link(jit, p, &insn);
        p += insn.len ? insn.len : 1;
        if (link) {
            log_write("    (link)\n");
            p += JIT_LINK_BYTES;
        }
    }
}

static void log_block(CPUX86State *env, const JitBlock *b, const Insn *insns, unsigned n, const uint8_t *start,
                      const uint8_t *const *places, const uint8_t *end)
{
    const CpuJit *jit = env->jit;
    bool out = log_enabled(LOG_OUT_ASM);
    uint64_t rip = b->rip;
    char text[128];

    log_write("block at 0x%llx, %u instructions, %u bytes of code%s\n", (unsigned long long)b->rip, n, b->code_size,
              out ? "; entry:" : "");
    if (out) {
        log_host_code(jit, start, places[0]);
    }
    for (unsigned i = 0; i < n; i++) {
        insn_print(&insns[i], rip, text, sizeof(text));
        log_write("  0x%016llx: %s\n", (unsigned long long)rip, text);
        if (out) {
            log_host_code(jit, places[i], places[i + 1]);
        }
        rip += insns[i].len;
    }
    if (out) {
        log_write("  out of line:\n");
        log_host_code(jit, places[n], end);
    }
}

static void put_in_perfmap(const CpuJit *jit, const JitBlock *b, const uint8_t *start)
{
    char name[300];

    name_guest_code(b->rip, name, sizeof(name));
    fprintf(perfmap, "%llx %llx %s\n", (unsigned long long)(uintptr_t)(jit->exec + (start - jit->write)),
            (unsigned long long)b->code_size, name);
}

static bool wants_code(const CPUX86State *env, uint64_t rip)
{
    return log_wants_code(env->hflags & HF_CS64 ? rip : (uint32_t)(env->segs[SEG_CS].base + rip));
}

void jit_stats_moved(CPUX86State *env, const JitBlock *b, uint64_t from, const uint8_t *start)
{
    if (__builtin_expect(perfmap != NULL, 0)) {
        put_in_perfmap(env->jit, b, start);
    }
    if (log_enabled(LOG_IN_ASM | LOG_OUT_ASM) && wants_code(env, b->rip)) {
        log_write("block at 0x%llx, moved from 0x%llx, %u bytes of code\n", (unsigned long long)b->rip, (unsigned long long)from,
                  b->code_size);
    }
}

void jit_stats_block(CPUX86State *env, const JitBlock *b, const Insn *insns, unsigned n, const uint8_t *start,
                     const uint8_t *const *places, const uint8_t *end)
{
    if (__builtin_expect(perfmap != NULL, 0)) {
        put_in_perfmap(env->jit, b, start);
    }
    if (log_enabled(LOG_IN_ASM | LOG_OUT_ASM) && wants_code(env, b->rip)) {
        log_block(env, b, insns, n, start, places, end);
    }
}

void jit_stats_enter(CPUX86State *env)
{
    env->jit_budget = 1;
    env->jit_rounds = 0;
    if (!wants_code(env, env->rip)) {
        return;
    }
    if (log_enabled(LOG_CPU)) {
        Buffer text = {0};
        cpu_x87_sync(env);
        cpu_dump_registers(env, &text);
        log_write("%.*s\n", (int)text.size, (const char *)text.data);
        buffer_free(&text);
    }
    log_printf(LOG_EXEC, "exec 0x%016llx\n", (unsigned long long)env->rip);
}

/* ---- op_count ---- */

static const uint64_t *sorted_ops;

static int by_count(const void *a, const void *b)
{
    uint64_t x = sorted_ops[2 * *(const uint16_t *)a], y = sorted_ops[2 * *(const uint16_t *)b];

    return x < y ? 1 : x > y ? -1 : 0;
}

/* What the operation is called in the code: unlike mnemonics these are all different (MOV, MOV_SEG, MOV_CR). */
static const char *op_identifier(unsigned op)
{
    static const char *const names[OP_COUNT] = {
        [OP_INVALID] = "INVALID",
#define OP(name)             [OP_##name] = #name,
#define OP_AS(name, printed) [OP_##name] = #name,
#include "target-i386/insn-ops.def"
#undef OP
#undef OP_AS
    };
    return names[op];
}

static void put_op_counts(unsigned cpu, const uint64_t *ops, Buffer *out)
{
    uint16_t order[OP_COUNT];
    uint64_t all = 0, handlers = 0;

    for (unsigned op = 0; op < OP_COUNT; op++) {
        order[op] = (uint16_t)op;
        all += ops[2 * op];
        handlers += ops[2 * op + 1];
    }
    sorted_ops = ops;
    qsort(order, OP_COUNT, sizeof(order[0]), by_count);
    buffer_printf(out, "CPU %u: %llu operations in translated code, %llu of them by handlers\n", cpu,
                  (unsigned long long)all, (unsigned long long)handlers);
    buffer_printf(out, "  %-16s %15s %15s\n", "operation", "executed", "by handler");
    for (unsigned i = 0; i < OP_COUNT && (ops[2 * order[i]] || ops[2 * order[i] + 1]); i++) {
        buffer_printf(out, "  %-16s %15llu %15llu\n", op_identifier(order[i]), (unsigned long long)ops[2 * order[i]],
                      (unsigned long long)ops[2 * order[i] + 1]);
    }
}

void jit_log_summary(void)
{
    Buffer text = {0};

    for (unsigned i = 0; i < vcpu_count(); i++) {
        CPUX86State *env = vcpu_env(i);
        lockstep_summary(env, &text);
        if (env->jit && env->jit->stats.ops) {
            put_op_counts(i, env->jit->stats.ops, &text);
        }
    }
    if (text.size) {
        log_write("%.*s", (int)text.size, (const char *)text.data);
    }
    buffer_free(&text);
}

/* ---- info jit ---- */

typedef struct Blocks {
    unsigned count;
    uint64_t guest_bytes, host_bytes;
    const JitBlock *top[TOP_BLOCKS];
} Blocks;

static void rank(Blocks *all, const JitBlock *b)
{
    unsigned i = TOP_BLOCKS;

    while (i && (!all->top[i - 1] || all->top[i - 1]->runs < b->runs)) {
        i--;
        if (i + 1 < TOP_BLOCKS) {
            all->top[i + 1] = all->top[i];
        }
    }
    if (i < TOP_BLOCKS) {
        all->top[i] = b;
    }
}

static Blocks look_at_blocks(const CpuJit *jit)
{
    Blocks all = {0};

    for (unsigned h = 0; h < JIT_HASH_SIZE; h++) {
        for (const JitBlock *b = jit->hash[h]; b; b = b->in_hash.next) {
            all.count++;
            all.guest_bytes += b->bytes + b->second_bytes;
            all.host_bytes += b->code_size;
            rank(&all, b);
        }
    }
    return all;
}

static void put_top_blocks(const Blocks *all, Buffer *out)
{
    char name[300];

    buffer_printf(out, "  most executed:\n");
    for (unsigned i = 0; i < TOP_BLOCKS && all->top[i]; i++) {
        name_guest_code(all->top[i]->rip, name, sizeof(name));
        buffer_printf(out, "    %15llu  0x%016llx  %5u bytes  %s\n", (unsigned long long)all->top[i]->runs,
                      (unsigned long long)all->top[i]->rip, all->top[i]->bytes, symbol_count ? name : "");
    }
}

static void put_jit(unsigned cpu, CPUX86State *env, Buffer *out)
{
    const CpuJit *jit = env->jit;

    if (!jit) {
        buffer_printf(out, "CPU %u: nothing was translated\n", cpu);
        return;
    }
    const JitStats *s = &jit->stats;
    Blocks all = look_at_blocks(jit);
    buffer_printf(out, "CPU %u: %u blocks of %llu guest bytes in %llu bytes of code; cache of %zu KB, part %u of %u is being filled\n",
                  cpu, all.count, (unsigned long long)all.guest_bytes, (unsigned long long)all.host_bytes,
                  (jit->code_size + jit->records_size) >> 10, jit->segment + 1, jit->nsegments);
    buffer_printf(out, "  code entered %llu times: by jump table %llu, found %llu, moved %llu, translated %llu\n",
                  (unsigned long long)s->entered, (unsigned long long)(s->entered - s->found - s->moved - s->translated),
                  (unsigned long long)s->found, (unsigned long long)s->moved, (unsigned long long)s->translated);
    buffer_printf(out, "  blocks dropped %llu, all dropped %llu times; windows of pages made %llu\n", (unsigned long long)s->dropped,
                  (unsigned long long)s->flushes, (unsigned long long)s->windows);
    buffer_printf(out, "  instructions by handler: %llu without translation, %llu off the fast path, %llu returns undone\n",
                  (unsigned long long)s->handlers, (unsigned long long)s->slow, (unsigned long long)s->returns);
    if (jit->profile) {
        put_top_blocks(&all, out);
    } else {
        buffer_printf(out, "  most executed: with -accel jit,profile=on\n");
    }
    lockstep_summary(env, out);
}

void jit_info(Buffer *out)
{
    if (accel_selected() != &accel_jit) {
        buffer_printf(out, "the accelerator is %s\n", accel_selected()->name);
        return;
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        put_jit(i, vcpu_env(i), out);
    }
}
