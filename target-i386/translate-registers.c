/*
 * The translator: where the guest's general registers are.
 *
 * Most have a host register of their own. R12 to R15 live in CPUX86State, since their host registers are what translated code
 * works with (S0 to S2, and RSP's). But between memory accesses these are idle, so a value that was loaded or computed in
 * one stays there for the instructions that follow: kept[]. What changes a guest register stores it at once; so nothing has to be
 * written back before control leaves, and whoever needs S0 to S2 just takes them: the emitter notes which registers were
 * operands (Emitter.named), and one that was is not trusted any more. In loops they may have a host register: translate-loop.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#include <string.h>

enum { SCRATCHES = 3 };
_Static_assert(S1 == S0 + 1 && S2 == S0 + 2, "kept[] goes by the number");

static _Thread_local uint8_t hosts[16] = {H_AX, H_CX, H_DX, H_BX, GUEST_SP, H_BP, H_SI, H_DI, H_8, H_9, H_10, H_11,
                                          H_NONE, H_NONE, H_NONE, H_NONE};

unsigned host_of(unsigned guest)
{
    return hosts[guest];
}

void set_host_of(unsigned guest, unsigned host)
{
    hosts[guest] = (uint8_t)host;
}

HostRm env_reg(unsigned guest)
{
    return rm_env(offsetof(CPUX86State, regs) + 8 * guest);
}

static bool is_kept(const Translator *t, unsigned i)
{
    return t->kept[i] && !t->out_of_line && !(t->e.named >> (S0 + i) & 1);
}

unsigned host_now(const Translator *t, unsigned guest)
{
    for (unsigned i = 0; i < SCRATCHES && host_of(guest) == H_NONE; i++) {
        if (is_kept(t, i) && t->kept[i] == guest) {
            return S0 + i;
        }
    }
    return host_of(guest);
}

void keep_guest(Translator *t, unsigned host, unsigned guest)
{
    if (host < S0 || host_of(guest) != H_NONE) {
        return;
    }
    for (unsigned i = 0; i < SCRATCHES; i++) {
        if (t->kept[i] == guest) {
            t->kept[i] = 0;
        }
    }
    t->kept[host - S0] = (uint8_t)guest;
    t->e.named &= (uint16_t)~(1u << host);
}

void forget_kept(Translator *t)
{
    memset(t->kept, 0, sizeof(t->kept));
}

void gen_load_guest(Translator *t, unsigned host, unsigned guest)
{
    unsigned now = host_now(t, guest);

    if (now == H_NONE) {
        emit_load(&t->e, W64, host, env_reg(guest));
        keep_guest(t, host, guest);
    } else if (now != host) {
        emit_mov(&t->e, W64, host, now);
        if (now >= S0) {
            keep_guest(t, now, guest); /* it was named, but only read */
        }
    }
}

void gen_store_guest(Translator *t, unsigned guest, unsigned host)
{
    if (host_of(guest) != H_NONE) {
        emit_mov(&t->e, W64, host_of(guest), host);
        return;
    }
    emit_store(&t->e, W64, env_reg(guest), host);
    for (unsigned i = 0; i < SCRATCHES; i++) {
        if (t->kept[i] == guest) {
            t->kept[i] = 0;
        }
    }
    if (host >= S0) {
        keep_guest(t, host, guest);
        t->kept_new[host - S0] = true;
    }
}

static bool names(const Insn *insn, unsigned guest)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        if (insn->ops[i].kind == OPND_GPR && insn->ops[i].reg == guest) {
            return true;
        }
    }
    return insn->base == guest || insn->index == guest;
}

unsigned next_use(const Translator *t, unsigned guest)
{
    for (unsigned i = t->at + 1; i < t->ninsns; i++) {
        if (names(&t->insns[i], guest)) {
            return i - t->at;
        }
    }
    return JIT_BLOCK_MAX_INSNS;
}

unsigned choose_scratch(Translator *t, unsigned busy)
{
    unsigned best = H_NONE, best_use = 0;

    for (unsigned i = 0; i < SCRATCHES; i++) {
        if (busy >> (S0 + i) & 1 || (S0 + i == S2 && t->delta_slot)) {
            continue;
        }
        unsigned use = is_kept(t, i) ? next_use(t, t->kept[i]) : JIT_BLOCK_MAX_INSNS + 1;
        if (use > best_use) {
            best = S0 + i;
            best_use = use;
        }
    }
    if (best == H_NONE) { /* two are in use at most: S2 is not */
        t->delta_slot = 0;
        best = S2;
    }
    return best;
}

unsigned gen_guest_to_read(Translator *t, unsigned guest, unsigned busy)
{
    unsigned now = host_now(t, guest);

    if (now == H_NONE) {
        now = choose_scratch(t, busy);
        emit_load(&t->e, W64, now, env_reg(guest));
        keep_guest(t, now, guest);
    }
    return now;
}

/* ---- between instructions ---- */

void kept_after_insn(Translator *t)
{
    for (unsigned i = 0; i < SCRATCHES; i++) {
        bool written = false;
        for (unsigned k = 0; k < t->insn->nops && t->kept[i]; k++) {
            const InsnOperand *op = &t->insn->ops[k];
            written |= op->kind == OPND_GPR && op->reg == t->kept[i] && op->access & OPND_WRITE;
        }
        if (!is_kept(t, i) || (written && !t->kept_new[i]) || next_use(t, t->kept[i]) == JIT_BLOCK_MAX_INSNS) {
            t->kept[i] = 0;
        }
        t->kept_new[i] = false;
    }
}

void note_kept(Translator *t, Stub *s)
{
    memcpy(s->kept, t->kept, sizeof(s->kept));
}

void gen_kept_again(Translator *t, const Stub *s)
{
    for (unsigned i = 0; i < SCRATCHES; i++) {
        if (s->kept[i]) {
            emit_load(&t->e, W64, S0 + i, env_reg(s->kept[i]));
        }
    }
}
