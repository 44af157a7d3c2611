/*
 * What the files of the GDB stub share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef GDBSTUB_GDBSTUB_INT_H
#define GDBSTUB_GDBSTUB_INT_H

#include "char/char.h"
#include "gdbstub/gdbstub.h"
#include "gdbstub/packet.h"
#include "hw/machine.h"
#include "target-i386/debugger.h"
#include "util/buffer.h"

/* ---- registers (regs.c) ---- */

enum { GDB_MAX_REGS = 128 };

/* One register of the description. Its number in the protocol is its place in the list. */
typedef struct GdbReg {
    char name[12];
    const char *feature; /* one of the GDB_FEATURE names */
    const char *type;
    uint16_t bits;
    uint8_t kind; /* DebuggerReg */
    uint8_t index;
} GdbReg;

/* What is told to GDB, made for the mode that the CPU is in when GDB asks. */
typedef struct GdbDescription {
    GdbReg regs[GDB_MAX_REGS];
    unsigned count;
    Buffer xml;
} GdbDescription;

void gdb_describe(GdbDescription *d, CPUX86State *env);
/* Bytes of a register; at most 16. */
static inline unsigned gdb_reg_size(const GdbReg *reg)
{
    return (reg->bits + 7u) / 8;
}
void gdb_reg_get(CPUX86State *env, const GdbReg *reg, uint8_t *value);
bool gdb_reg_set(CPUX86State *env, const GdbReg *reg, const uint8_t *value);

/* ---- the stub ---- */

/* QEMU's bits for single steps. */
#define GDB_SSTEP_ENABLE  1u
#define GDB_SSTEP_NOIRQ   2u /* no interrupts while stepping */
#define GDB_SSTEP_NOTIMER 4u /* the virtual clock stands still */

typedef enum GdbAction { GDB_ACTION_NONE, GDB_ACTION_CONTINUE, GDB_ACTION_STEP } GdbAction;

typedef struct GdbStub {
    CharBackend *chr;
    bool own_chr; /* opened for the stub, and closed with it */
    bool stdio;
    GdbParser parser;
    GdbDescription description;
    Buffer unread; /* input; its first `taken` bytes have been looked at */
    size_t taken;
    Buffer out;  /* frames that wait for the reader */
    Buffer last; /* the last frame, in case GDB wants it again */

    /* the session */
    bool attached; /* the machine is GDB's; not after a detach */
    bool waiting;  /* GDB has let the machine run and waits for it to stop */
    bool no_ack, multiprocess, swbreak, hwbreak;
    bool physical;    /* memory packets mean physical addresses */
    unsigned session; /* counts them */
    unsigned g_cpu;   /* "Hg": registers and memory */
    int c_cpu;        /* "Hc": c and s; -1: all */
    uint32_t sstep;
    bool busy; /* a packet is being handled */
    bool close_due;
    bool starting; /* the machine is being started by the stub */
} GdbStub;

/* ---- commands.c ---- */
/* Handles a packet; true with the reply's content, false: there is none (yet). */
bool gdb_handle_packet(GdbStub *s, const uint8_t *data, size_t size, Buffer *reply);

/* ---- run.c ---- */
/* Runs "monitor" lines; NULL: there is none. */
extern char *(*gdb_monitor)(const char *line);
/* Lets each vCPU do what actions says; ranges for steps. Answers at once where something has
 * stopped already. */
typedef struct GdbResume {
    uint8_t action[CPU_MAX]; /* GdbAction */
    struct {
        uint64_t start, end;
    } range[CPU_MAX];
} GdbResume;
void gdb_resume(GdbStub *s, const GdbResume *r);
/* All breakpoints, steps and holds go. The machine stays as it is. */
void gdb_let_go(GdbStub *s);
/* The reply to "?". */
void gdb_put_stop_reply(GdbStub *s, Buffer *out, unsigned signal, unsigned cpu);
/* The machine was stopped or started, by whomever. */
void gdb_state_changed(GdbStub *s, bool running, RunState state);
void gdb_put_thread(const GdbStub *s, Buffer *out, unsigned cpu);

/* ---- gdbstub.c ---- */
void gdb_send(GdbStub *s, const void *data, size_t size);
void gdb_send_text(GdbStub *s, const char *text);
/* For GDB's user to read, while GDB waits for an answer. */
void gdb_send_output(GdbStub *s, const char *text);

/* Numbers of GDB's own for signals. */
enum {
    GDB_SIGINT = 2,
    GDB_SIGQUIT = 3,
    GDB_SIGTRAP = 5,
    GDB_SIGABRT = 6,
    GDB_SIGSTOP = 17,
};

#endif
