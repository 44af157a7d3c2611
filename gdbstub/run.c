/*
 * Letting the machine run for GDB, and telling it when and why it stopped.
 *
 * GDB's all-stop mode: when one vCPU stops, all do; when GDB resumes, each vCPU steps, continues,
 * or is held back. The machine may also be stopped and started by others (the monitor, a disk
 * error, power off): GDB hears of a stop when it waits for one. If somebody starts the machine
 * while GDB believes that it stands, GDB's next packet stops it again.
 *
 * Several vCPUs can have a reason to stop at the same moment. One is told; a breakpoint of another
 * is met again when it goes on, and a watchpoint, whose access has happened, is kept and told at
 * GDB's next resume.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>

#include "gdbstub/gdbstub-int.h"
#include "target-i386/vcpu.h"
#include "util/loop.h"

/* ---- stop replies ---- */

void gdb_put_thread(const GdbStub *s, Buffer *out, unsigned cpu)
{
    buffer_printf(out, s->multiprocess ? "p1.%x" : "%x", cpu + 1);
}

static unsigned signal_of(RunState state)
{
    switch (state) {
    case RUN_STATE_PAUSED:
        return GDB_SIGINT;
    case RUN_STATE_SHUTDOWN:
        return GDB_SIGQUIT;
    case RUN_STATE_IO_ERROR:
        return GDB_SIGSTOP;
    case RUN_STATE_INTERNAL_ERROR:
        return GDB_SIGABRT;
    default:
        return GDB_SIGTRAP;
    }
}

void gdb_put_stop_reply(GdbStub *s, Buffer *out, unsigned signal, unsigned cpu)
{
    static const char *const watches[] = {[DEBUGGER_WATCH_WRITE] = "watch",
                                          [DEBUGGER_WATCH_READ] = "rwatch",
                                          [DEBUGGER_WATCH_ACCESS] = "awatch"};
    const CpuDebugger *d = &vcpu_env(cpu)->debugger;

    buffer_printf(out, "T%02xthread:", signal);
    gdb_put_thread(s, out, cpu);
    buffer_printf(out, ";core:%x;", cpu);
    if (d->stop == DEBUGGER_STOP_WATCH) {
        buffer_printf(out, "%s:%llx;", watches[d->kind], (unsigned long long)d->addr);
    } else if (d->stop == DEBUGGER_STOP_BREAK && d->kind == DEBUGGER_BREAK_SOFT && s->swbreak) {
        buffer_printf(out, "swbreak:;");
    } else if (d->stop == DEBUGGER_STOP_BREAK && d->kind == DEBUGGER_BREAK_HARD && s->hwbreak) {
        buffer_printf(out, "hwbreak:;");
    }
}

/* The vCPU that has most to tell; GDB's current one where none has. */
static unsigned choose_cpu(const GdbStub *s)
{
    unsigned best = s->g_cpu;
    uint8_t most = vcpu_env(best)->debugger.stop;

    for (unsigned i = 0; i < vcpu_count(); i++) {
        uint8_t stop = vcpu_env(i)->debugger.stop;
        if (stop > most) {
            best = i;
            most = stop;
        }
    }
    return best;
}

static void report_stop(GdbStub *s, unsigned signal)
{
    Buffer reply = {0};
    unsigned cpu = choose_cpu(s);

    s->waiting = false;
    s->g_cpu = cpu;
    if (signal == GDB_SIGINT && vcpu_env(cpu)->debugger.stop) {
        signal = GDB_SIGTRAP; /* a breakpoint at the moment of a Ctrl-C */
    }
    gdb_put_stop_reply(s, &reply, signal, cpu);
    gdb_send(s, reply.data, reply.size);
    buffer_free(&reply);
    for (unsigned i = 0; i < vcpu_count(); i++) {
        CPUX86State *env = vcpu_env(i);
        if (i == cpu || !debugger_watch_pending(env)) {
            debugger_clear(env);
        } else {
            env->debugger.flags = 0;
        }
        vcpu_hold(i, false);
    }
}

/* ---- letting it run ---- */

static bool needs_reset(RunState state)
{
    return state == RUN_STATE_SHUTDOWN || state == RUN_STATE_INTERNAL_ERROR;
}

static bool watch_is_due(const GdbResume *r)
{
    for (unsigned i = 0; i < vcpu_count(); i++) {
        if (r->action[i] != GDB_ACTION_NONE && debugger_watch_pending(vcpu_env(i))) {
            return true;
        }
    }
    return false;
}

/* The clock stands still while nothing but steps happens, unless a halted CPU waits for what the
 * clock brings. */
static bool clock_may_stand(const GdbStub *s, const GdbResume *r)
{
    if (!(s->sstep & GDB_SSTEP_NOTIMER)) {
        return false;
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        const CPUX86State *env = vcpu_env(i);
        if (r->action[i] == GDB_ACTION_CONTINUE ||
            (r->action[i] == GDB_ACTION_STEP && (env->halted || env->wait_sipi))) {
            return false;
        }
    }
    return true;
}

void gdb_resume(GdbStub *s, const GdbResume *r)
{
    s->waiting = true;
    if (needs_reset(machine_run_state())) {
        gdb_send_output(s, "The machine is off: monitor system_reset\n");
        report_stop(s, signal_of(machine_run_state()));
        return;
    }
    if (watch_is_due(r)) {
        report_stop(s, GDB_SIGTRAP);
        return;
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        CPUX86State *env = vcpu_env(i);
        if (!debugger_watch_pending(env)) {
            debugger_clear(env);
        }
        if (r->action[i] == GDB_ACTION_STEP && s->sstep & GDB_SSTEP_ENABLE) {
            debugger_step(env, s->sstep & GDB_SSTEP_NOIRQ, r->range[i].start, r->range[i].end);
        }
        vcpu_hold(i, r->action[i] == GDB_ACTION_NONE);
    }
    s->starting = true;
    if (clock_may_stand(s, r)) {
        machine_start_clock_still();
    } else {
        machine_start();
    }
    s->starting = false;
}

void gdb_let_go(GdbStub *s)
{
    bool running = machine_running();

    if (running) {
        vcpu_pause_all();
    }
    debugger_point_remove_all();
    for (unsigned i = 0; i < vcpu_count(); i++) {
        debugger_clear(vcpu_env(i));
        vcpu_hold(i, false);
    }
    if (running) {
        clock_virtual_run(true);
        vcpu_resume_all();
    }
    s->waiting = false;
}

/* ---- what happens to the machine ---- */

static void start_again(void *opaque)
{
    if (machine_run_state() == RUN_STATE_DEBUG) {
        machine_start();
    }
}

void gdb_state_changed(GdbStub *s, bool running, RunState state)
{
    if (!running) {
        if (s->waiting) {
            report_stop(s, signal_of(state));
        } else if (state == RUN_STATE_DEBUG && !s->attached) {
            loop_defer(start_again, NULL); /* a stop that was under way when GDB left */
        }
        return;
    }
    if (s->starting) {
        return;
    }
    /* Somebody else: what a breakpoint held goes on behind it. */
    for (unsigned i = 0; i < vcpu_count(); i++) {
        debugger_clear(vcpu_env(i));
        if (debugger_point_count()) {
            debugger_skip_breakpoint(vcpu_env(i));
        }
        vcpu_hold(i, false);
    }
}
