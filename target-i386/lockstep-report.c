/*
 * -d lockstep: comparing CPU states, and what is shown when there is a difference.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "target-i386/disas.h"
#include "target-i386/lockstep-int.h"
#include "target-i386/mem.h"
#include "util/log.h"

typedef struct Field {
    const char *name;
    uint16_t offset, size;
} Field;

#define FIELD(name, field) {name, offsetof(CPUX86State, field), sizeof(((CPUX86State *)0)->field)}
#define GPR(name, n)       {name, offsetof(CPUX86State, regs) + 8 * (n), 8}
#define SEGMENT(name, n)                                                                           \
    {name, offsetof(CPUX86State, segs) + (n) * sizeof(Segment), 8},                                \
        {name ".base", offsetof(CPUX86State, segs) + (n) * sizeof(Segment) + 8, 8}

/* Shown in this order; what has no name here is shown by its offset. */
static const Field fields[] = {
    GPR("rax", 0), GPR("rcx", 1), GPR("rdx", 2), GPR("rbx", 3), GPR("rsp", 4), GPR("rbp", 5), GPR("rsi", 6),
    GPR("rdi", 7), GPR("r8", 8), GPR("r9", 9), GPR("r10", 10), GPR("r11", 11), GPR("r12", 12), GPR("r13", 13),
    GPR("r14", 14), GPR("r15", 15),
    FIELD("rip", rip), FIELD("eflags", eflags), FIELD("hflags", hflags),
    SEGMENT("es", SEG_ES), SEGMENT("cs", SEG_CS), SEGMENT("ss", SEG_SS), SEGMENT("ds", SEG_DS),
    SEGMENT("fs", SEG_FS), SEGMENT("gs", SEG_GS), SEGMENT("ldtr", SEG_LDTR), SEGMENT("tr", SEG_TR),
    FIELD("gdt.base", gdt.base), FIELD("gdt.limit", gdt.limit), FIELD("idt.base", idt.base),
    FIELD("idt.limit", idt.limit), FIELD("cr0", cr0), FIELD("cr4", cr4), FIELD("cr2", cr2), FIELD("cr3", cr3),
    FIELD("efer", efer), FIELD("xcr0", xcr0), FIELD("shadow", shadow), FIELD("halted", halted),
    FIELD("pending_db", pending_db), FIELD("exception", excp_vector), FIELD("error code", excp_error),
    FIELD("fcw", fpu.fcw), FIELD("fsw", fpu.fsw), FIELD("ftw", fpu.ftw), FIELD("fop", fpu.fop),
    FIELD("fip", fpu.fip), FIELD("fdp", fpu.fdp), FIELD("fcs", fcs), FIELD("fds", fds),
    FIELD("mxcsr", fpu.mxcsr),
};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]), GENERAL = 18 /* of them are always shown */ };

/* Nothing to the guest, or free to be anything in a saved image. (What XSAVE calls in use it finds out by looking.) */
static const Field ignored[] = {
    FIELD("", rip_next), FIELD("", fpu.reserved0), FIELD("", fpu.reserved1), FIELD("", fpu.mxcsr_mask),
    FIELD("", fpu.xsave_header), FIELD("", xstate_bv),
};

static const uint8_t *state_at(const LockstepState *s, size_t offset)
{
    return offset >= LS_MSR ? s->msr + (offset - LS_MSR)
           : offset >= LS_SYS ? s->sys + (offset - LS_SYS)
                              : s->hot + (offset - LS_HOT);
}

static uint64_t value_at(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, p, size < 8 ? size : 8);
    return v;
}

static bool is_ignored(size_t offset)
{
    for (unsigned i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        if (offset >= ignored[i].offset && offset < ignored[i].offset + (size_t)ignored[i].size) {
            return true;
        }
    }
    size_t st = offsetof(CPUX86State, fpu.st);
    return offset >= st && offset < st + sizeof(((FpuState *)0)->st) && (offset - st) % 16 >= 10;
}

static const Field *field_of(size_t offset)
{
    for (unsigned i = 0; i < FIELDS; i++) {
        if (offset >= fields[i].offset && offset < fields[i].offset + (size_t)fields[i].size) {
            return &fields[i];
        }
    }
    return NULL;
}

/* A vector register's or the stack's place, or an offset. */
static void name_other(size_t offset, char *name, size_t size)
{
    static const struct {
        const char *name;
        size_t offset, end;
    } arrays[] = {
        {"st", offsetof(CPUX86State, fpu.st), offsetof(CPUX86State, fpu.xmm)},
        {"xmm", offsetof(CPUX86State, fpu.xmm), offsetof(CPUX86State, fpu.reserved1)},
        {"ymm (upper half)", offsetof(CPUX86State, fpu.ymmh), offsetof(CPUX86State, fpu.room)},
    };

    for (unsigned i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
        if (offset >= arrays[i].offset && offset < arrays[i].end) {
            snprintf(name, size, "%s%zu+%zu", arrays[i].name, (offset - arrays[i].offset) / 16,
                     (offset - arrays[i].offset) % 16);
            return;
        }
    }
    snprintf(name, size, "state+%zx", offset);
}

/* The parts of the state from start up to end; returns whether they agree. */
static bool same_part(const uint8_t *got, const uint8_t *want, size_t start, size_t end, Buffer *out)
{
    bool same = true;

    if (memcmp(got, want, end - start) == 0) {
        return true;
    }
    for (size_t i = 0; i < end - start; i++) {
        const Field *f;
        char name[32];
        if (got[i] == want[i] || is_ignored(start + i)) {
            continue;
        }
        same = false;
        if (!out) {
            break;
        }
        f = field_of(start + i);
        if (f) {
            i = f->offset + (size_t)f->size - start - 1; /* those are shown in a table */
            continue;
        }
        i &= ~(size_t)7;
        name_other(start + i, name, sizeof(name));
        buffer_printf(out, "  %-10s translator %016llx, executor %016llx\n", name,
                      (unsigned long long)value_at(want + i, 8), (unsigned long long)value_at(got + i, 8));
        i += 7;
    }
    return same;
}

/*
 * Whether the code at rip overwrites these arithmetic flags before it looks at them: then translated code need not have
 * them. Only straight-line code is looked at.
 */
static bool flags_are_dead(CPUX86State *env, uint16_t left)
{
    uint8_t bytes[64 + INSN_MAX_LENGTH];
    uint64_t linear = env->hflags & HF_CS64 ? env->rip : (uint32_t)(env->segs[SEG_CS].base + env->rip);
    unsigned avail = sizeof(bytes), at = 0, room = GUEST_PAGE_SIZE - (linear & (GUEST_PAGE_SIZE - 1));
    Insn insn;

    /* The next page may not be there. */
    if (!mem_debug_read(env, linear, bytes, avail)) {
        avail = room < avail ? room : avail;
        if (!mem_debug_read(env, linear, bytes, avail)) {
            return false;
        }
    }
    while (insn_decode(&env->decode_mode, bytes + at, avail - at, &insn) == INSN_OK) {
        if (insn.eflags_read & left || insn.flags & INSN_BRANCH) {
            return false;
        }
        if (!(insn.flags & INSN_EFLAGS_COND)) {
            left &= (uint16_t)~(insn.eflags_written | insn.eflags_undefined); /* undefined: as the host makes them, on both */
        }
        if (!left) {
            return true;
        }
        at += insn.len;
    }
    return false;
}

/* The general registers, rip and the flags. */
static bool same_hot(CPUX86State *env, const Lockstep *ls, const LockstepState *want, Buffer *out)
{
    uint32_t translated, flags = env->eflags;
    size_t at = offsetof(CPUX86State, eflags), behind = offsetof(CPUX86State, hflags);
    const uint8_t *got = (const uint8_t *)env;

    memcpy(&translated, want->hot + (at - LS_HOT), 4);
    if (!same_part(got + LS_HOT, want->hot, LS_HOT, at, out) ||
        !same_part(got + behind, want->hot + (behind - LS_HOT), behind, LS_HOT_END, out)) {
        return false;
    }
    return flags == translated ||
           (((flags ^ translated) & ~FLAGS_ARITH) == 0 && (ls->flags_dead || flags_are_dead(env, (uint16_t)(flags ^ translated))));
}

/* The rest but MSRs, x87 and vectors. */
static bool same_sys(CPUX86State *env, const Lockstep *ls, const LockstepState *want, Buffer *out)
{
    const uint8_t *got = (const uint8_t *)env;
    size_t at = offsetof(CPUX86State, shadow);

    /* Before an instruction that is held back, translated STI has left no shadow: nothing could come in between. */
    bool shadow = env->shadow == want->sys[at - LS_SYS] ||
                  (ls->translated_end != LS_RAN && env->shadow == CPU_SHADOW_STI);
    return same_part(got + LS_SYS, want->sys, LS_SYS, at, out) && shadow &&
           same_part(got + at + 1, want->sys + (at + 1 - LS_SYS), at + 1, LS_SYS_END, out);
}

bool lockstep_same_state(CPUX86State *env, const LockstepState *want, Buffer *out)
{
    const uint8_t *got = (const uint8_t *)env;
    bool hot = same_hot(env, env->lockstep, want, out);

    if (!hot && !out) {
        return false;
    }
    bool sys = same_sys(env, env->lockstep, want, out);
    return same_part(got + LS_MSR, want->msr, LS_MSR, LS_MSR_END, out) && sys && hot;
}

/* ---- the report ---- */

static const char *end_text(LockstepEnd end)
{
    static const char *const texts[] = {"ran to its end", "stopped before an instruction that runs once only",
                                        "raised an exception", "reached a device",
                                        "never came to where the translator is"};
    return texts[end];
}

static void put_code(CPUX86State *env, const Lockstep *ls, Buffer *out)
{
    unsigned n = ls->near_at ? ls->near_at : ls->executed;
    char text[128];
    Insn insn;

    for (unsigned i = 0; i < n && i < LS_TRACE; i++) {
        const LockstepStep *s = &ls->trace[i];
        if (insn_decode(&env->decode_mode, s->raw, sizeof(s->raw), &insn) != INSN_OK) {
            snprintf(text, sizeof(text), "(bad)");
        } else {
            insn_print(&insn, s->rip, text, sizeof(text));
        }
        buffer_printf(out, "  %016llx: %s\n", (unsigned long long)s->rip, text);
    }
    if (n > LS_TRACE) {
        buffer_printf(out, "  ... and %u more\n", n - LS_TRACE);
    }
}

static void put_registers(const Lockstep *ls, const LockstepState *now, Buffer *out)
{
    buffer_printf(out, "  %-10s %-16s %-16s %-16s\n", "", "before", "translator", "executor");
    for (unsigned i = 0; i < FIELDS; i++) {
        const Field *f = &fields[i];
        unsigned size = f->size;
        const uint8_t *translated = state_at(&ls->translated, f->offset), *executed = state_at(now, f->offset);
        bool differs = memcmp(translated, executed, size) != 0;
        if (differs || i < GENERAL) {
            buffer_printf(out, "%c %-10s %016llx %016llx %016llx\n", differs ? '*' : ' ', f->name,
                          (unsigned long long)value_at(state_at(&ls->before, f->offset), size),
                          (unsigned long long)value_at(translated, size),
                          (unsigned long long)value_at(executed, size));
        }
    }
}

static void put_bytes(Buffer *out, const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n && i < LS_SHOWN_BYTES; i++) {
        buffer_printf(out, " %02x", p[i]);
    }
    buffer_printf(out, "%s", n > LS_SHOWN_BYTES ? " ..." : "");
}

static void put_writes(const Lockstep *ls, Buffer *out)
{
    size_t shown = 0;

    bool near = !ls->matched && ls->near_at;
    size_t count = near ? ls->near_writes : ls->writes.count;

    for (size_t i = 0; i < count; i++) {
        const LockstepWrite *w = &ls->writes.items[i];
        bool kept = near && i < LS_SHOWN && w->size <= LS_SHOWN_BYTES;
        const uint8_t *executed = kept ? ls->near_bytes[i] : memory_ram_base() + w->addr;
        const uint8_t *translated = ls->copy + w->addr;
        bool differs = memcmp(executed, translated, w->size) != 0;
        if (differs || shown < LS_SHOWN) {
            shown++;
            buffer_printf(out, "%c RAM %09llx, %llu bytes:", differs ? '*' : ' ', (unsigned long long)w->addr,
                          (unsigned long long)w->size);
            put_bytes(out, executed, w->size);
            if (differs) {
                buffer_printf(out, "; translator:");
                put_bytes(out, translated, w->size);
            }
            buffer_printf(out, "\n");
        }
    }
}

void lockstep_report(CPUX86State *env, const char *what)
{
    Lockstep *ls = env->lockstep;
    LockstepState now;
    uint64_t start;
    Buffer out = {0};

    memcpy(&start, state_at(&ls->before, offsetof(CPUX86State, rip)), 8);
    buffer_printf(&out, "lockstep: a difference in the code from %04x:%llx on: %s\n", env->segs[SEG_CS].selector,
                  (unsigned long long)start, what);
    buffer_printf(&out, "The translator %s, the executor %s (%u instructions).\n", end_text(ls->translated_end),
                  ls->executed_end == LS_RAN ? "came to the same place" : end_text(ls->executed_end), ls->executed);
    buffer_printf(&out, "Instructions, as the executor ran them:\n");
    put_code(env, ls, &out);
    buffer_printf(&out, "Registers (* differ):\n");
    if (!ls->matched && ls->near_at) {
        lockstep_restore(env, &ls->near);
    }
    lockstep_save(env, &now);
    put_registers(ls, &now, &out);
    lockstep_same_state(env, &ls->translated, &out);
    buffer_printf(&out, "Memory that the executor wrote:\n");
    put_writes(ls, &out);
    log_write("%.*s", (int)out.size, (const char *)out.data);
    buffer_free(&out);
}
