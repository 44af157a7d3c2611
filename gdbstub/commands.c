/*
 * What packets ask for. GDB manual, appendix E.2 to E.4; the qqemu packets are QEMU's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "gdbstub/gdbstub-int.h"
#include "hw/memory.h"
#include "target-i386/mem.h"
#include "target-i386/vcpu.h"
#include "util/loop.h"

/* Error numbers as Linux counts, which GDB shows. */
enum { ERROR_BAD = 0x16, ERROR_FAULT = 0x0e, ERROR_FULL = 0x1c };

/* Handlers fill in the reply; an empty one says that the packet is unknown. False: no reply now. */
typedef bool PacketHandler(GdbStub *s, GdbText *t, Buffer *reply);

static bool put_error(Buffer *reply, unsigned number)
{
    buffer_clear(reply);
    buffer_printf(reply, "E%02x", number);
    return true;
}

static bool put_ok(Buffer *reply, bool ok, unsigned error)
{
    if (!ok) {
        return put_error(reply, error);
    }
    buffer_printf(reply, "OK");
    return true;
}

static CPUX86State *current(const GdbStub *s)
{
    return vcpu_env(s->g_cpu);
}

/* ---- threads ---- */

enum { ALL_CPUS = -1, BAD_CPU = -2 };

/* "-1", "0" (any) or a number. */
static int take_number(GdbText *t, int any)
{
    uint64_t n;

    if (gdb_take_word(t, "-1")) {
        return ALL_CPUS;
    }
    if (!gdb_take_hex(t, &n) || n > vcpu_count()) {
        return BAD_CPU;
    }
    return n ? (int)n - 1 : any;
}

/* "pPROCESS.THREAD", "pPROCESS" for all its threads, or "THREAD". There is one process. */
static int take_thread(GdbText *t, int any)
{
    if (!gdb_take_char(t, 'p')) {
        return take_number(t, any);
    }
    uint64_t process;
    if (!gdb_take_word(t, "-1") && (!gdb_take_hex(t, &process) || process > 1)) {
        return BAD_CPU;
    }
    return gdb_take_char(t, '.') ? take_number(t, any) : ALL_CPUS;
}

static bool cmd_set_thread(GdbStub *s, GdbText *t, Buffer *reply)
{
    bool general = gdb_take_char(t, 'g');
    int cpu;

    if (!general && !gdb_take_char(t, 'c')) {
        return put_error(reply, ERROR_BAD);
    }
    cpu = take_thread(t, general ? (int)s->g_cpu : ALL_CPUS);
    if (cpu == BAD_CPU || (general && cpu == ALL_CPUS)) {
        return put_error(reply, ERROR_BAD);
    }
    if (general) {
        s->g_cpu = (unsigned)cpu;
    } else {
        s->c_cpu = cpu;
    }
    return put_ok(reply, true, 0);
}

static bool cmd_thread_alive(GdbStub *s, GdbText *t, Buffer *reply)
{
    return put_ok(reply, s->attached && take_thread(t, 0) >= 0, ERROR_BAD);
}

static bool cmd_first_threads(GdbStub *s, GdbText *t, Buffer *reply)
{
    if (!s->attached) {
        buffer_printf(reply, "l");
        return true;
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        buffer_printf(reply, i ? "," : "m");
        gdb_put_thread(s, reply, i);
    }
    return true;
}

static bool cmd_more_threads(GdbStub *s, GdbText *t, Buffer *reply)
{
    buffer_printf(reply, "l");
    return true;
}

static bool cmd_thread_info(GdbStub *s, GdbText *t, Buffer *reply)
{
    int cpu = gdb_take_char(t, ',') ? take_thread(t, 0) : BAD_CPU;
    Buffer text = {0};

    if (cpu < 0) {
        return put_error(reply, ERROR_BAD);
    }
    const CPUX86State *env = vcpu_env((unsigned)cpu);
    buffer_printf(&text, "CPU#%d [%s]", cpu,
                  env->wait_sipi ? "waits for its start-up"
                  : env->halted  ? "halted"
                                 : "running");
    gdb_put_hex_bytes(reply, text.data, text.size);
    buffer_free(&text);
    return true;
}

static bool cmd_current_thread(GdbStub *s, GdbText *t, Buffer *reply)
{
    buffer_printf(reply, "QC");
    gdb_put_thread(s, reply, s->g_cpu);
    return true;
}

/* ---- registers ---- */

static bool cmd_read_all(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint8_t value[16];

    for (unsigned i = 0; i < s->description.count; i++) {
        const GdbReg *r = &s->description.regs[i];
        gdb_reg_get(current(s), r, value);
        gdb_put_hex_bytes(reply, value, gdb_reg_size(r));
    }
    return true;
}

/* Only what differs is written: RAX and EAX both stand there, and control registers may refuse. */
static bool cmd_write_all(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint8_t old[GDB_MAX_REGS][16], value[16];
    bool ok = true;

    for (unsigned i = 0; i < s->description.count; i++) {
        gdb_reg_get(current(s), &s->description.regs[i], old[i]);
    }
    for (unsigned i = 0; i < s->description.count && gdb_text_left(t); i++) {
        const GdbReg *r = &s->description.regs[i];
        unsigned size = gdb_reg_size(r);
        if (!gdb_take_hex_bytes(t, value, size)) {
            return put_error(reply, ERROR_BAD);
        }
        if (memcmp(value, old[i], size) != 0) {
            ok = gdb_reg_set(current(s), r, value) && ok;
        }
    }
    return put_ok(reply, ok, ERROR_BAD);
}

static const GdbReg *take_reg(GdbStub *s, GdbText *t)
{
    uint64_t n;

    return gdb_take_hex(t, &n) && n < s->description.count ? &s->description.regs[n] : NULL;
}

static bool cmd_read_reg(GdbStub *s, GdbText *t, Buffer *reply)
{
    const GdbReg *r = take_reg(s, t);
    uint8_t value[16];

    if (!r) {
        return put_error(reply, ERROR_BAD);
    }
    gdb_reg_get(current(s), r, value);
    gdb_put_hex_bytes(reply, value, gdb_reg_size(r));
    return true;
}

static bool cmd_write_reg(GdbStub *s, GdbText *t, Buffer *reply)
{
    const GdbReg *r = take_reg(s, t);
    uint8_t value[16];

    return put_ok(reply,
                  r && gdb_take_char(t, '=') && gdb_take_hex_bytes(t, value, gdb_reg_size(r)) &&
                      gdb_reg_set(current(s), r, value),
                  ERROR_BAD);
}

/* ---- memory ---- */

typedef struct RangeSearch {
    hwaddr addr;
    bool found;
} RangeSearch;

static void check_range(hwaddr addr, uint64_t size, const MemoryRegion *mr, bool readonly,
                        void *opaque)
{
    RangeSearch *search = opaque;

    search->found |= search->addr >= addr && search->addr - addr < size;
}

/* Physical memory: RAM and ROM, else what the device there answers. */
static bool access_physical(hwaddr addr, uint8_t *byte, bool write)
{
    RangeSearch search = {.addr = addr};

    if (write ? dma_write(addr, byte, 1) : dma_read(addr, byte, 1)) {
        return true;
    }
    memory_each_range(&memory_as, check_range, &search);
    if (search.found && write) {
        memory_write(&memory_as, addr, *byte, 1);
    } else if (search.found) {
        *byte = (uint8_t)memory_read(&memory_as, addr, 1);
    }
    return search.found;
}

/* Up to a page's end, in one piece where it is RAM. */
static bool access_piece(GdbStub *s, uint64_t addr, uint8_t *data, unsigned size, bool write)
{
    if (!s->physical) {
        return write ? mem_debug_write(current(s), addr, data, size)
                     : mem_debug_read(current(s), addr, data, size);
    }
    if (write ? dma_write(addr, data, size) : dma_read(addr, data, size)) {
        return true;
    }
    for (unsigned i = 0; i < size; i++) {
        if (!access_physical(addr + i, data + i, write)) {
            return false;
        }
    }
    return true;
}

/* Returns how many bytes went well. */
static size_t access_memory(GdbStub *s, uint64_t addr, uint8_t *data, size_t size, bool write)
{
    size_t done = 0;

    while (done < size) {
        unsigned room = GUEST_PAGE_SIZE - (unsigned)((addr + done) & (GUEST_PAGE_SIZE - 1));
        unsigned n = size - done < room ? (unsigned)(size - done) : room;
        if (!access_piece(s, addr + done, data + done, n, write)) {
            break;
        }
        done += n;
    }
    return done;
}

static bool take_range(GdbText *t, uint64_t *addr, uint64_t *size)
{
    return gdb_take_hex(t, addr) && gdb_take_char(t, ',') && gdb_take_hex(t, size);
}

/* A part may be answered where the rest cannot be read. */
static bool cmd_read_memory(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint8_t data[GDB_PACKET_MAX / 2];
    uint64_t addr, size;

    if (!take_range(t, &addr, &size) || size > sizeof(data)) {
        return put_error(reply, ERROR_BAD);
    }
    size_t n = access_memory(s, addr, data, size, false);
    if (size && !n) {
        return put_error(reply, ERROR_FAULT);
    }
    gdb_put_hex_bytes(reply, data, n);
    return true;
}

static bool cmd_write_memory(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint8_t data[GDB_PACKET_MAX / 2];
    uint64_t addr, size;

    if (!take_range(t, &addr, &size) || size > sizeof(data) || !gdb_take_char(t, ':') ||
        !gdb_take_hex_bytes(t, data, size)) {
        return put_error(reply, ERROR_BAD);
    }
    return put_ok(reply, access_memory(s, addr, data, size, true) == size, ERROR_FAULT);
}

static bool cmd_write_binary(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint64_t addr, size;

    if (!take_range(t, &addr, &size) || !gdb_take_char(t, ':') || gdb_text_left(t) != size) {
        return put_error(reply, ERROR_BAD);
    }
    return put_ok(reply, access_memory(s, addr, (uint8_t *)t->p, size, true) == size, ERROR_FAULT);
}

/* ---- breakpoints and watchpoints ---- */

static bool take_point(GdbText *t, DebuggerPointKind *kind, uint64_t *addr, uint64_t *size)
{
    uint64_t n;

    if (!gdb_take_hex(t, &n) || n >= DEBUGGER_POINT_KINDS || !gdb_take_char(t, ',')) {
        return false;
    }
    *kind = (DebuggerPointKind)n;
    return take_range(t, addr, size);
}

static bool cmd_insert_point(GdbStub *s, GdbText *t, Buffer *reply)
{
    DebuggerPointKind kind;
    uint64_t addr, size;

    if (!take_point(t, &kind, &addr, &size)) {
        return put_error(reply, ERROR_BAD);
    }
    return put_ok(reply, debugger_point_insert(kind, addr, size), ERROR_FULL);
}

static bool cmd_remove_point(GdbStub *s, GdbText *t, Buffer *reply)
{
    DebuggerPointKind kind;
    uint64_t addr, size;

    if (!take_point(t, &kind, &addr, &size)) {
        return put_error(reply, ERROR_BAD);
    }
    debugger_point_remove(kind, addr, size); /* gone is gone */
    return put_ok(reply, true, 0);
}

/* ---- running ---- */

/* c, s [ADDR]; C, S SIGNAL[;ADDR]: signals mean nothing to a machine. */
static bool resume_plain(GdbStub *s, GdbText *t, Buffer *reply, GdbAction action, bool with_signal)
{
    GdbResume r = {0};
    uint64_t n;

    if (with_signal && (!gdb_take_hex(t, &n) || (gdb_text_left(t) && !gdb_take_char(t, ';')))) {
        return put_error(reply, ERROR_BAD);
    }
    unsigned cpu = s->c_cpu >= 0 ? (unsigned)s->c_cpu : s->g_cpu;
    if (gdb_take_hex(t, &n)) {
        uint8_t value[16] = {0};
        memcpy(value, &n, sizeof(n));
        debugger_reg_write(vcpu_env(cpu), DEBUGGER_REG_PC, 0, value);
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        r.action[i] = s->c_cpu == ALL_CPUS ? GDB_ACTION_CONTINUE : GDB_ACTION_NONE;
    }
    r.action[cpu] = (uint8_t)action;
    gdb_resume(s, &r);
    return false;
}

static bool cmd_continue(GdbStub *s, GdbText *t, Buffer *reply)
{
    return resume_plain(s, t, reply, GDB_ACTION_CONTINUE, false);
}

static bool cmd_continue_signal(GdbStub *s, GdbText *t, Buffer *reply)
{
    return resume_plain(s, t, reply, GDB_ACTION_CONTINUE, true);
}

static bool cmd_step(GdbStub *s, GdbText *t, Buffer *reply)
{
    return resume_plain(s, t, reply, GDB_ACTION_STEP, false);
}

static bool cmd_step_signal(GdbStub *s, GdbText *t, Buffer *reply)
{
    return resume_plain(s, t, reply, GDB_ACTION_STEP, true);
}

static bool cmd_vcont_query(GdbStub *s, GdbText *t, Buffer *reply)
{
    buffer_printf(reply, "vCont;c;C;s;S;r");
    return true;
}

/* One "action[:thread]"; the first that fits a vCPU counts. */
static bool take_action(GdbStub *s, GdbText *t, GdbResume *r, bool *chosen)
{
    uint64_t start = 0, end = 0, signal;
    GdbAction action = GDB_ACTION_CONTINUE;
    int cpu = ALL_CPUS;

    if (gdb_take_char(t, 's')) {
        action = GDB_ACTION_STEP;
    } else if (gdb_take_char(t, 'S')) {
        action = GDB_ACTION_STEP;
        if (!gdb_take_hex(t, &signal)) {
            return false;
        }
    } else if (gdb_take_char(t, 'r')) {
        action = GDB_ACTION_STEP;
        if (!take_range(t, &start, &end)) {
            return false;
        }
    } else if (gdb_take_char(t, 'C')) {
        if (!gdb_take_hex(t, &signal)) {
            return false;
        }
    } else if (!gdb_take_char(t, 'c')) {
        return false;
    }
    if (gdb_take_char(t, ':') && (cpu = take_thread(t, (int)s->g_cpu)) == BAD_CPU) {
        return false;
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        if (!chosen[i] && (cpu == ALL_CPUS || (unsigned)cpu == i)) {
            chosen[i] = true;
            r->action[i] = (uint8_t)action;
            r->range[i].start = start;
            r->range[i].end = end;
        }
    }
    return true;
}

static bool cmd_vcont(GdbStub *s, GdbText *t, Buffer *reply)
{
    bool chosen[CPU_MAX] = {false}, any = false;
    GdbResume r = {0};

    while (gdb_take_char(t, ';')) {
        if (!take_action(s, t, &r, chosen)) {
            return put_error(reply, ERROR_BAD);
        }
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        any |= chosen[i];
    }
    if (!any || gdb_text_left(t)) {
        return put_error(reply, ERROR_BAD);
    }
    gdb_resume(s, &r);
    return false;
}

/* ---- the session ---- */

/* GDB asks this first: whatever an earlier session left must not be met. */
static bool cmd_why_stopped(GdbStub *s, GdbText *t, Buffer *reply)
{
    if (!s->attached) {
        buffer_printf(reply, "W00");
        return true;
    }
    gdb_let_go(s);
    gdb_put_stop_reply(s, reply, GDB_SIGTRAP, s->g_cpu);
    return true;
}

static bool cmd_extended(GdbStub *s, GdbText *t, Buffer *reply)
{
    return put_ok(reply, true, 0);
}

static bool cmd_supported(GdbStub *s, GdbText *t, Buffer *reply)
{
    static const struct {
        const char *name;
        size_t offset;
    } features[] = {{"multiprocess+", offsetof(GdbStub, multiprocess)},
                    {"swbreak+", offsetof(GdbStub, swbreak)},
                    {"hwbreak+", offsetof(GdbStub, hwbreak)}};

    while (gdb_text_left(t)) {
        const uint8_t *end = memchr(t->p, ';', gdb_text_left(t));
        GdbText word = {t->p, end ? end : t->end};
        for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
            GdbText w = word;
            gdb_take_char(&w, ':');
            if (gdb_take_word(&w, features[i].name) && !gdb_text_left(&w)) {
                *(bool *)((char *)s + features[i].offset) = true;
            }
        }
        t->p = end ? end + 1 : t->end;
    }
    buffer_printf(reply,
                  "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;vContSupported+;"
                  "multiprocess+;swbreak+;"
                  "hwbreak+;PhyMemMode+",
                  GDB_PACKET_MAX);
    return true;
}

static bool cmd_no_ack(GdbStub *s, GdbText *t, Buffer *reply)
{
    s->no_ack = true;
    return put_ok(reply, true, 0);
}

/* qXfer:features:read:target.xml:OFFSET,LENGTH. The description is made anew when its beginning is
 * read. */
static bool cmd_features(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint64_t offset, size;

    if (!gdb_take_word(t, "target.xml:")) {
        return put_error(reply, 0);
    }
    if (!take_range(t, &offset, &size)) {
        return put_error(reply, ERROR_BAD);
    }
    if (offset == 0) {
        gdb_describe(&s->description, current(s));
    }
    const Buffer *xml = &s->description.xml;
    if (offset > xml->size) {
        return put_error(reply, ERROR_BAD);
    }
    size_t left = xml->size - offset, most = GDB_PACKET_MAX / 2; /* every byte may need an escape */
    size_t n = size < most ? size : most;
    buffer_put_u8(reply, n < left ? 'm' : 'l');
    buffer_append(reply, xml->data + offset, n < left ? n : left);
    return true;
}

static bool cmd_attached(GdbStub *s, GdbText *t, Buffer *reply)
{
    buffer_printf(reply, "1"); /* so GDB detaches when it ends, and does not kill */
    return true;
}

static bool cmd_attach(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint64_t process;

    if (!gdb_take_hex(t, &process) || process != 1) {
        return put_error(reply, ERROR_BAD);
    }
    s->attached = true;
    gdb_put_stop_reply(s, reply, GDB_SIGTRAP, s->g_cpu);
    return true;
}

static bool needs_reset(void)
{
    return machine_run_state() == RUN_STATE_SHUTDOWN ||
           machine_run_state() == RUN_STATE_INTERNAL_ERROR;
}

static bool cmd_detach(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint64_t process;

    if (gdb_take_char(t, ';') && (!gdb_take_hex(t, &process) || process != 1)) {
        return put_error(reply, ERROR_BAD);
    }
    gdb_let_go(s);
    s->attached = false;
    s->physical = false;
    if (!needs_reset()) {
        machine_start();
    }
    return put_ok(reply, true, 0);
}

static bool cmd_kill(GdbStub *s, GdbText *t, Buffer *reply)
{
    loop_quit(0);
    return put_ok(reply, true, 0);
}

static bool cmd_kill_silently(GdbStub *s, GdbText *t, Buffer *reply)
{
    loop_quit(0);
    return false;
}

static bool cmd_monitor(GdbStub *s, GdbText *t, Buffer *reply)
{
    char line[GDB_PACKET_MAX / 2 + 1];
    size_t size;
    char *text;

    if (!gdb_take_char(t, ',')) {
        return put_error(reply, ERROR_BAD);
    }
    size = gdb_text_left(t) / 2;
    if (!gdb_monitor || !gdb_take_hex_bytes(t, (uint8_t *)line, size) || gdb_text_left(t)) {
        return put_error(reply, ERROR_BAD);
    }
    line[size] = '\0';
    text = gdb_monitor(line);
    if (text) {
        gdb_send_output(s, text);
    }
    free(text);
    return put_ok(reply, true, 0);
}

/* ---- QEMU's ---- */

static bool cmd_get_physical(GdbStub *s, GdbText *t, Buffer *reply)
{
    buffer_printf(reply, "%d", s->physical);
    return true;
}

static bool cmd_set_physical(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint64_t v;

    if (!gdb_take_char(t, ':') || !gdb_take_hex(t, &v)) {
        return put_error(reply, ERROR_BAD);
    }
    s->physical = v != 0;
    return put_ok(reply, true, 0);
}

static bool cmd_sstep_bits(GdbStub *s, GdbText *t, Buffer *reply)
{
    buffer_printf(reply, "ENABLE=%x,NOIRQ=%x,NOTIMER=%x", GDB_SSTEP_ENABLE, GDB_SSTEP_NOIRQ,
                  GDB_SSTEP_NOTIMER);
    return true;
}

static bool cmd_get_sstep(GdbStub *s, GdbText *t, Buffer *reply)
{
    buffer_printf(reply, "0x%x", s->sstep);
    return true;
}

static bool cmd_set_sstep(GdbStub *s, GdbText *t, Buffer *reply)
{
    uint64_t v;

    if (!gdb_take_char(t, '=')) {
        return put_error(reply, ERROR_BAD);
    }
    gdb_take_word(t, "0x");
    if (!gdb_take_hex(t, &v) ||
        v & ~(uint64_t)(GDB_SSTEP_ENABLE | GDB_SSTEP_NOIRQ | GDB_SSTEP_NOTIMER)) {
        return put_error(reply, ERROR_BAD);
    }
    s->sstep = (uint32_t)v;
    return put_ok(reply, true, 0);
}

/* ---- the table ---- */

/* Names of several letters end at a separator or with the packet; the first row that fits counts.
 */
static const struct {
    const char *name;
    PacketHandler *run;
    bool attached; /* means the machine, which is nobody's to stop after a detach */
} packets[] = {
    {"?", cmd_why_stopped, false},
    {"!", cmd_extended, false},
    {"C", cmd_continue_signal, true},
    {"c", cmd_continue, true},
    {"D", cmd_detach, true},
    {"g", cmd_read_all, true},
    {"G", cmd_write_all, true},
    {"H", cmd_set_thread, true},
    {"k", cmd_kill_silently, false},
    {"m", cmd_read_memory, true},
    {"M", cmd_write_memory, true},
    {"p", cmd_read_reg, true},
    {"P", cmd_write_reg, true},
    {"s", cmd_step, true},
    {"S", cmd_step_signal, true},
    {"T", cmd_thread_alive, true},
    {"X", cmd_write_binary, true},
    {"Z", cmd_insert_point, true},
    {"z", cmd_remove_point, true},
    {"qSupported", cmd_supported, false},
    {"QStartNoAckMode", cmd_no_ack, false},
    {"qXfer:features:read:", cmd_features, false},
    {"qAttached", cmd_attached, false},
    {"qC", cmd_current_thread, true},
    {"qfThreadInfo", cmd_first_threads, false},
    {"qsThreadInfo", cmd_more_threads, false},
    {"qThreadExtraInfo", cmd_thread_info, true},
    {"qRcmd", cmd_monitor, false},
    {"vCont?", cmd_vcont_query, false},
    {"vCont", cmd_vcont, true},
    {"vAttach;", cmd_attach, false},
    {"vKill", cmd_kill, false},
    {"qqemu.PhyMemMode", cmd_get_physical, false},
    {"Qqemu.PhyMemMode", cmd_set_physical, false},
    {"qqemu.sstepbits", cmd_sstep_bits, false},
    {"qqemu.sstep", cmd_get_sstep, false},
    {"Qqemu.sstep", cmd_set_sstep, false},
};

static bool ends_name(const GdbText *t, const char *name)
{
    size_t len = strlen(name);

    return len == 1 || strchr(":;?", name[len - 1]) || t->p == t->end || memchr(":;,=", *t->p, 4);
}

bool gdb_handle_packet(GdbStub *s, const uint8_t *data, size_t size, Buffer *reply)
{
    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        GdbText t = {data, data + size};
        if (gdb_take_word(&t, packets[i].name) && ends_name(&t, packets[i].name)) {
            return packets[i].attached && !s->attached ? put_error(reply, ERROR_BAD)
                                                       : packets[i].run(s, &t, reply);
        }
    }
    return true;
}
