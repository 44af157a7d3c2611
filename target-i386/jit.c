/*
 * Translated code of one vCPU: the way from an address to a block, entering and leaving.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/jit.h"

#include <asm/prctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target-i386/code-cache.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"

#define HOST_MXCSR 0x1f80u /* as C code expects it: all exceptions masked, round to nearest */

/* ---- the jump tables ---- */

static void clear_jumps(CpuJit *jit, unsigned cls)
{
    for (unsigned i = 0; i < JIT_JUMP_TABLE_SIZE; i++) {
        jit->jumps[cls][i].rip = JIT_NO_RIP;
    }
    jit->jumps_used[cls] = false;
}

void jit_forget_jumps(CpuJit *jit)
{
    for (unsigned cls = 0; cls < MMU_CLASSES; cls++) {
        if (jit->jumps_used[cls]) {
            clear_jumps(jit, cls);
        }
    }
}

/* ---- from an address to a block ---- */

/* Handlers keep thunks of the executor's cache. */
static void forget_thunks(CPUX86State *env, CpuJit *jit)
{
    if (jit->flushes_seen != env->code_cache->flushes) {
        jit->flushes_seen = env->code_cache->flushes;
        jit_cache_flush(jit);
    }
}

static JitBlock *find_block(CPUX86State *env, CpuJit *jit, uint32_t key)
{
    unsigned avail;
    hwaddr phys;
    const uint8_t *host = mem_code_ptr(env, env->rip, &avail, &phys);

    if (!host) {
        return NULL;
    }
    ram_addr ram = (ram_addr)(host - memory_ram_base());
    JitBlock *b = jit_cache_find(jit, ram, env->rip, key);
    if (b) {
        return b;
    }
    ram_addr page = ram & GUEST_PAGE_MASK;
    if (memory_dirty_get(page, DIRTY_CODE)) {
        memory_dirty_reset(page, GUEST_PAGE_SIZE, DIRTY_CODE); /* before the bytes are read */
    }
    if (host_thunks_full(env->code_cache->thunks)) {
        code_cache_flush(env->code_cache);
    }
    forget_thunks(env, jit);
    jit_cache_make_room(jit);
    b = jit_translate(env, host, avail, ram);
    if (b) {
        jit_cache_add(jit, b);
    }
    return b;
}

/* ---- running ---- */

uint64_t jit_exec_insn(CPUX86State *env, const JitInsn *ji)
{
    CpuJit *jit = env->jit;
    const Insn *insn = &ji->insn;
    uint64_t behind = ji->rip + insn->len;

    if (!(env->hflags & HF_CS64)) {
        behind = (uint32_t)behind;
    }
    jit->stop = false;
    env->rip = ji->rip;
    env->rip_next = behind;
    insn->exec(env, insn);
    env->rip = env->rip_next;
    if (ji->end == JIT_END_OUTER || jit_key(env) != ji->key) {
        return JIT_LEAVE_OUTER + 1;
    }
    if (ji->end == JIT_END_NEAR || jit->stop || env->rip != behind) {
        return JIT_LEAVE_LOOKUP + 1;
    }
    return 0;
}

/* Translated code reaches the CPU's state through the gs base. */
static void set_gs_base(CPUX86State *env)
{
    static _Thread_local CPUX86State *base;

    if (base != env) {
        syscall(SYS_arch_prctl, ARCH_SET_GS, env);
        base = env;
    }
}

static CpuJit *make_jit(CPUX86State *env)
{
    CpuJit *jit = env->jit = jit_cache_new();

    for (unsigned cls = 0; cls < MMU_CLASSES; cls++) {
        clear_jumps(jit, cls);
    }
    jit_translate_common(env, jit);
    jit->code_start = jit->code_used;
    return jit;
}

static bool translatable(const CPUX86State *env)
{
    if (env->hflags & HF_AC || !(env->hflags & HF_FLAT)) {
        return false;
    }
    return env->hflags & HF_CS64 || (env->hflags & (HF_CS32 | HF_SS32)) == (HF_CS32 | HF_SS32);
}

/* Makes the jump at `link` go to b, when both lie in the same page and so come and go together. */
static void patch_link(uint64_t link, uint64_t from_generation, const CpuJit *jit, const JitBlock *b)
{
    if (link > JIT_LEAVE_OUTER && from_generation == jit->generation) {
        uint8_t *rel = (uint8_t *)(uintptr_t)(link & ~JIT_LINK_SAVED);
        const uint8_t *target = link & JIT_LINK_SAVED ? b->saved : b->direct;
        int32_t distance = (int32_t)(target - (jit->exec + (rel - jit->write) + 4));
        memcpy(rel, &distance, 4);
    }
}

static void choose_mode(CPUX86State *env, CpuJit *jit, uint32_t key, unsigned cls)
{
    set_gs_base(env);
    env->jit_mxcsr = HOST_MXCSR;
    if (jit->jumps_key[cls] != key) {
        clear_jumps(jit, cls);
        jit->jumps_key[cls] = key;
    }
    env->jit_jumps = jit->jumps[cls];
}

static void jit_run(CPUX86State *env)
{
    CpuJit *jit = env->jit;

    if (!translatable(env)) {
        accel_interp.run(env);
        return;
    }
    if (!jit) {
        jit = make_jit(env);
        jit->flushes_seen = env->code_cache->flushes;
    }
    uint32_t key = jit_key(env);
    unsigned cls = env->tlb->data_class;
    choose_mode(env, jit, key, cls);

    uint64_t link = 0;
    do {
        forget_thunks(env, jit);
        JitJump *jump = &jit->jumps[cls][jit_jump_index(env->rip)];
        const uint8_t *code;
        if (link == JIT_LEAVE_LOOKUP && jump->rip == env->rip) {
            code = jump->saved;
        } else {
            uint64_t generation = jit->generation;
            JitBlock *b = find_block(env, jit, key);
            if (!b) {
                if (!exec_run_one_block(env) || jit_key(env) != key) {
                    return;
                }
                link = JIT_LEAVE_LOOKUP;
                continue;
            }
            if (link > JIT_LEAVE_OUTER) {
                patch_link(link, generation, jit, b);
            }
            *jump = (JitJump){env->rip, b->saved};
            jit->jumps_used[cls] = true;
            code = b->saved;
        }
        link = jit->enter(code, env);
    } while (link != JIT_LEAVE_OUTER && !exec_requests_pending(env));
}

bool jit_exec_bytes(CPUX86State *env, const uint8_t *bytes, unsigned len)
{
    if (!translatable(env)) {
        return false;
    }
    if (!env->jit) {
        make_jit(env);
    }
    jit_cache_flush(env->jit);
    choose_mode(env, env->jit, jit_key(env), env->tlb->data_class);
    JitBlock *b = jit_translate(env, bytes, len, 0);
    if (!b) {
        return false;
    }
    env->jit->enter(b->saved, env);
    return true;
}

/* ---- upkeep ---- */

static void flush_code(CPUX86State *env)
{
    if (env->jit) {
        jit_cache_flush(env->jit);
    }
}

static void invalidate_code(CPUX86State *env, ram_addr page)
{
    if (env->jit) {
        jit_cache_drop_page(env->jit, page);
    }
}

static void mapping_changed(CPUX86State *env)
{
    if (env->jit) {
        jit_forget_jumps(env->jit);
        env->jit->stop = true;
    }
}

static void end_block(CPUX86State *env)
{
    if (env->jit) {
        env->jit->stop = true;
    }
}

static void free_code(CPUX86State *env)
{
    jit_cache_free(env->jit);
    env->jit = NULL;
}

const AccelOps accel_jit = {
    .name = "jit",
    .run = jit_run,
    .flush_code = flush_code,
    .invalidate_code = invalidate_code,
    .mapping_changed = mapping_changed,
    .end_block = end_block,
    .free_code = free_code,
};
