/*
 * Intel 8254 programmable interval timer.
 *
 * Data sheet: 231164. Nothing counts: a channel remembers at which tick of the 1.193182 MHz clock
 * its count was loaded, and everything else is worked out from the ticks since. One timer exists,
 * for the rising edges of channel 0's output, which is what the interrupt controller sees.
 *
 * A guest may ask for more ticks than the host can make, and the host may be late: ticks that are
 * due and not yet delivered are a backlog, worked off with a distance between them that leaves the
 * guest time to run, and limited to what a guest would be better off without.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i8254.h"

#include "hw/memory.h"
#include "util/loop.h"

#define PORT_BASE    0x40
#define PORT_CONTROL 3

#define CONTROL_CHANNEL(v)   ((v) >> 6)
#define CONTROL_READ_BACK    3
#define CONTROL_RW(v)        ((v) >> 4 & 3)
#define CONTROL_MODE(v)      ((v) >> 1 & 7)
#define CONTROL_BCD          0x01
#define RW_LATCH             0
#define RW_LSB               1
#define RW_MSB               2
#define RW_BOTH              3
#define READ_BACK_NO_COUNT   0x20
#define READ_BACK_NO_STATUS  0x10
#define READ_BACK_CHANNEL(n) (2 << (n))
#define STATUS_OUTPUT        0x80
#define STATUS_NULL_COUNT    0x40

/* Interrupts of channel 0 are never closer than this, and the backlog never longer. */
#define MIN_DISTANCE_NS (50 * NS_PER_US)
#define MAX_BACKLOG_NS  (250 * NS_PER_MS)

#define NEVER INT64_MAX

typedef struct I8254Channel {
    /* saved */
    uint8_t mode; /* 0..5 */
    uint8_t rw;   /* RW_LSB .. RW_BOTH */
    bool bcd, gate;
    bool write_msb, read_msb; /* in RW_BOTH: which byte comes next */
    uint8_t write_lsb;
    uint8_t latched; /* bytes of latched_count still to be read: bit 0 LSB, bit 1 MSB */
    uint16_t latched_count;
    bool status_latched;
    uint8_t latched_status;
    bool armed;     /* counts: a count was written, and in modes 1 and 5 the gate rose */
    bool stopped;   /* armed, but held by the gate or by a half written count: at `elapsed` */
    uint32_t count; /* initial count, 1..65536 (10000 in BCD); 0: none written yet */
    int64_t start;  /* tick at which count was loaded */
    int64_t elapsed;
    uint32_t next_count; /* modes 2 and 3: loaded at tick switch_tick; 0: none */
    int64_t switch_tick;
} I8254Channel;

typedef struct I8254 {
    Device dev;
    /* wiring */
    MemoryRegion io;
    IrqLine *irq;
    bool (*waiting)(void *opaque);
    void *waiting_opaque;
    /* saved */
    I8254Channel channels[I8254_CHANNELS];
    Timer timer;      /* the next edge of channel 0, or the next of the backlog */
    int64_t edge;     /* tick of the next rising edge that is not in the backlog yet; NEVER */
    uint32_t backlog; /* edges due but not delivered */
} I8254;

/* ---- time ---- */

static int64_t tick_now(void)
{
    return (int64_t)((__int128)clock_now(CLOCK_VIRTUAL) * I8254_HZ / NS_PER_SEC);
}

/* The first moment that tick_now() gives this tick. */
static int64_t tick_ns(int64_t tick)
{
    return (int64_t)(((__int128)tick * NS_PER_SEC + I8254_HZ - 1) / I8254_HZ);
}

/* ---- a channel ---- */

static bool periodic(const I8254Channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool triggered_by_gate(const I8254Channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

/* The count wraps here. */
static uint32_t modulus(const I8254Channel *c)
{
    return c->bcd ? 10000 : 0x10000;
}

/* Ticks of the high half of mode 3; the longer one of an odd count. */
static uint32_t high_half(uint32_t count)
{
    return (count + 1) / 2;
}

/* Ticks since the count was loaded; -1 before the tick that loads it. */
static int64_t elapsed(const I8254Channel *c, int64_t now)
{
    return c->stopped ? c->elapsed : now - c->start;
}

/* Takes over the next count of a periodic mode when its time has come. */
static void settle(I8254Channel *c, int64_t now)
{
    if (c->next_count && now >= c->switch_tick) {
        uint32_t d = (uint32_t)((c->switch_tick - c->start) % c->count);
        c->start = c->switch_tick;
        if (d) { /* mode 3, in the middle of a period: the low half comes next */
            c->start -= high_half(c->next_count);
        }
        c->count = c->next_count;
        c->next_count = 0;
    }
}

static bool output(I8254Channel *c, int64_t now)
{
    int64_t d;

    settle(c, now);
    d = elapsed(c, now);
    if (!c->armed || (periodic(c) && c->stopped)) {
        return c->mode != 0;
    }
    switch (c->mode) {
    case 0:
        return d >= c->count;
    case 1:
        return d < 0 || d >= c->count;
    case 2:
        return d < 0 || d % c->count != c->count - 1;
    case 3:
        return d < 0 || d % c->count < high_half(c->count);
    default:
        return d != c->count;
    }
}

/* The counting element as binary number. */
static uint32_t counter(I8254Channel *c, int64_t now)
{
    int64_t d, m = modulus(c);

    settle(c, now);
    d = elapsed(c, now);
    if (!c->armed || d < 0) {
        return c->count % (uint32_t)m;
    }
    switch (c->mode) {
    case 2:
        return (uint32_t)((c->count - d % c->count) % m);
    case 3: {
        /* Counts by two, twice a period, and from one less where the count is odd. */
        int64_t p = d % c->count, high = high_half(c->count);
        return (uint32_t)(((c->count & ~1u) - 2 * (p < high ? p : p - high)) % m);
    }
    default:
        return (uint32_t)(((c->count - d) % m + m) % m);
    }
}

static uint16_t counter_bytes(I8254Channel *c, int64_t now)
{
    uint32_t v = counter(c, now);

    if (c->bcd) {
        v = v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
    }
    return (uint16_t)v;
}

static uint32_t count_from_bytes(const I8254Channel *c, uint16_t bytes)
{
    uint32_t v = bytes;

    if (c->bcd) {
        v = (v >> 12) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15);
        v %= 10000;
    }
    return v ? v : modulus(c);
}

/* The first tick after `after` at which the output rises; NEVER. */
static int64_t next_edge(I8254Channel *c, int64_t after)
{
    int64_t d, edge;

    settle(c, after);
    if (!c->armed || c->stopped) {
        return NEVER;
    }
    d = elapsed(c, after);
    if (periodic(c)) {
        edge = c->start + (d < 0 ? 1 : d / c->count + 1) * c->count;
        if (c->next_count && edge > c->switch_tick) {
            /* Mode 3 changes its count in the middle of this period. */
            edge = c->switch_tick + c->next_count - high_half(c->next_count);
        }
        return edge;
    }
    edge = c->start + c->count + (c->mode >= 4); /* the strobe is one tick long */
    return edge > after ? edge : NEVER;
}

/* ---- channel 0's interrupt ---- */

/* Edges that the guest is owed at most: MAX_BACKLOG_NS worth of them. */
static uint32_t max_backlog(const I8254Channel *c)
{
    int64_t n = MAX_BACKLOG_NS * I8254_HZ / NS_PER_SEC / (c->count ? c->count : 1);
    int64_t limit = MAX_BACKLOG_NS / MIN_DISTANCE_NS / 4;
    return (uint32_t)(n < 1 ? 1 : n > limit ? limit : n);
}

/* Moves the edges up to now into the backlog. */
static void collect_edges(I8254 *s, int64_t now)
{
    I8254Channel *c = &s->channels[0];
    uint32_t max = max_backlog(c);

    for (unsigned guard = 0; s->edge <= now; guard++) {
        if (periodic(c) && guard && (!c->next_count || guard > 2)) {
            int64_t n = (now - s->edge) / c->count + 1; /* the rest at once */
            s->backlog = n > max ? max : s->backlog + (uint32_t)n;
            s->edge += n * c->count;
        } else {
            s->backlog++;
            s->edge = next_edge(c, s->edge);
        }
    }
    if (s->backlog > max) {
        s->backlog = max;
    }
}

/* Not before `earliest`. */
static void arm_timer(I8254 *s, int64_t earliest)
{
    int64_t next = s->edge == NEVER ? NEVER : tick_ns(s->edge);

    if (s->backlog) {
        /* Faster than the guest's own rate, or it would never catch up. */
        int64_t distance = tick_ns(s->channels[0].count) / 4;
        if (distance < MIN_DISTANCE_NS) {
            distance = MIN_DISTANCE_NS;
        } else if (distance > NS_PER_MS) {
            distance = NS_PER_MS;
        }
        next = clock_now(CLOCK_VIRTUAL) + distance;
    }
    if (next == NEVER) {
        timer_cancel(&s->timer);
    } else {
        timer_set(&s->timer, next > earliest ? next : earliest);
    }
}

/* Only ticks of a rate are kept for a guest that is late: a one-shot that comes twice means
 * nothing. */
static bool is_waiting(I8254 *s)
{
    return periodic(&s->channels[0]) && s->waiting && s->waiting(s->waiting_opaque);
}

static void timer_expired(void *opaque)
{
    I8254 *s = opaque;

    collect_edges(s, tick_now());
    if (s->backlog && !is_waiting(s)) {
        s->backlog--;
        /* The falling edge, up to half a period ago, matters to nobody: it is made up for here. */
        irq_lower(s->irq);
        irq_raise(s->irq);
    }
    arm_timer(s, clock_now(CLOCK_VIRTUAL) + MIN_DISTANCE_NS);
}

/* After anything that changes the channel's course: what was owed is forgotten. */
static void restart_irq(I8254 *s)
{
    int64_t now = tick_now();

    s->backlog = 0;
    s->edge = next_edge(&s->channels[0], now);
    irq_set(s->irq, output(&s->channels[0], now));
    arm_timer(s, 0);
}

/* ---- guest side ---- */

static void load_count(I8254Channel *c, uint32_t count, int64_t now)
{
    settle(c, now);
    if (periodic(c) && c->armed && !c->stopped) {
        /* A running period, or half of one in mode 3, is finished first. */
        int64_t d = elapsed(c, now), p = d < 0 ? 0 : d % c->count;
        if (d < 0) {
            c->count = count;
            return;
        }
        c->next_count = count;
        c->switch_tick = now - p + c->count;
        if (c->mode == 3 && p < high_half(c->count) && c->count > 1) {
            c->switch_tick = now - p + high_half(c->count);
        }
        return;
    }
    if (triggered_by_gate(c) && c->armed) {
        c->next_count = count; /* for the next trigger; the running shot keeps its own */
        c->switch_tick = NEVER;
        return;
    }
    c->count = count;
    if (!triggered_by_gate(c)) {
        c->armed = true;
        c->stopped = !c->gate;
        c->start = now + 1; /* the next clock pulse loads it */
        c->elapsed = 0;
    }
}

static void write_control(I8254Channel *c, uint8_t value)
{
    c->mode = CONTROL_MODE(value) > 5 ? CONTROL_MODE(value) & 3 : CONTROL_MODE(value);
    c->rw = CONTROL_RW(value);
    c->bcd = value & CONTROL_BCD;
    c->write_msb = c->read_msb = false;
    c->latched = 0;
    c->status_latched = false;
    c->armed = c->stopped = false;
    c->count = c->next_count = 0;
}

static void latch_count(I8254Channel *c, int64_t now)
{
    if (!c->latched) {
        c->latched_count = counter_bytes(c, now);
        c->latched = c->rw == RW_LSB ? 1 : c->rw == RW_MSB ? 2 : 3;
    }
}

static void latch_status(I8254Channel *c, int64_t now)
{
    bool null_count;

    if (c->status_latched) {
        return;
    }
    settle(c, now);
    null_count = !c->armed || c->next_count || elapsed(c, now) < 0;
    c->latched_status =
        (uint8_t)((output(c, now) ? STATUS_OUTPUT : 0) | (null_count ? STATUS_NULL_COUNT : 0) |
                  c->rw << 4 | c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static void write_control_port(I8254 *s, uint8_t value)
{
    unsigned n = CONTROL_CHANNEL(value);
    int64_t now = tick_now();

    if (n == CONTROL_READ_BACK) {
        for (unsigned i = 0; i < I8254_CHANNELS; i++) {
            if ((value & READ_BACK_CHANNEL(i)) && !(value & READ_BACK_NO_COUNT)) {
                latch_count(&s->channels[i], now);
            }
            if ((value & READ_BACK_CHANNEL(i)) && !(value & READ_BACK_NO_STATUS)) {
                latch_status(&s->channels[i], now);
            }
        }
    } else if (CONTROL_RW(value) == RW_LATCH) {
        latch_count(&s->channels[n], now);
    } else {
        write_control(&s->channels[n], value);
        if (n == 0) {
            restart_irq(s);
        }
    }
}

static void write_count(I8254 *s, unsigned n, uint8_t value)
{
    I8254Channel *c = &s->channels[n];
    int64_t now = tick_now();
    uint16_t bytes;

    if (c->rw == RW_BOTH && !c->write_msb) {
        c->write_lsb = value;
        c->write_msb = true;
        if (c->mode == 0 && c->armed) { /* the first byte stops the counting, the output goes low */
            c->armed = false;
            if (n == 0) {
                restart_irq(s);
            }
        }
        return;
    }
    c->write_msb = false;
    bytes = c->rw == RW_LSB ? value : (uint16_t)(value << 8);
    if (c->rw == RW_BOTH) {
        bytes |= c->write_lsb;
    }
    load_count(c, count_from_bytes(c, bytes), now);
    if (n == 0) {
        restart_irq(s);
    }
}

static void i8254_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8254 *s = opaque;

    if (addr == PORT_CONTROL) {
        write_control_port(s, (uint8_t)value);
    } else if (addr < I8254_CHANNELS) {
        write_count(s, (unsigned)addr, (uint8_t)value);
    }
}

static uint8_t read_count(I8254Channel *c)
{
    uint16_t v;

    if (c->status_latched) {
        c->status_latched = false;
        return c->latched_status;
    }
    if (c->latched) {
        bool lsb = c->latched & 1;
        c->latched &= lsb ? ~1 : ~2;
        return (uint8_t)(lsb ? c->latched_count : c->latched_count >> 8);
    }
    v = counter_bytes(c, tick_now());
    if (c->rw == RW_BOTH) {
        c->read_msb = !c->read_msb;
        return (uint8_t)(c->read_msb ? v : v >> 8);
    }
    return (uint8_t)(c->rw == RW_MSB ? v >> 8 : v);
}

static uint64_t i8254_read(void *opaque, hwaddr addr, unsigned size)
{
    I8254 *s = opaque;

    if (addr >= I8254_CHANNELS) {
        return 0xff; /* the control word cannot be read */
    }
    return read_count(&s->channels[addr]);
}

static const MemoryOps i8254_ops = {
    .read = i8254_read,
    .write = i8254_write,
    .max_size = 1,
};

/* ---- host side ---- */

void i8254_set_waiting(Device *dev, bool (*waiting)(void *opaque), void *opaque)
{
    I8254 *s = (I8254 *)dev;

    s->waiting = waiting;
    s->waiting_opaque = opaque;
}

static void gate_rises(I8254Channel *c, int64_t now)
{
    if (triggered_by_gate(c)) {
        if (c->next_count) {
            c->count = c->next_count;
            c->next_count = 0;
        }
        c->armed = c->count != 0;
        c->start = now + 1;
    } else if (c->armed) {
        /* Modes 2 and 3 start a new period, the others go on. */
        c->start = periodic(c) ? now + 1 : now - c->elapsed;
        c->stopped = false;
    }
}

static void gate_falls(I8254Channel *c, int64_t now)
{
    if (c->armed && !triggered_by_gate(c)) {
        settle(c, now);
        c->elapsed = elapsed(c, now);
        c->stopped = true;
        if (c->next_count) {
            c->count = c->next_count;
            c->next_count = 0;
        }
    }
}

void i8254_set_gate(Device *dev, unsigned channel, bool level)
{
    I8254 *s = (I8254 *)dev;
    I8254Channel *c = &s->channels[channel];

    if (c->gate != level) {
        (level ? gate_rises : gate_falls)(c, tick_now());
        c->gate = level;
        if (channel == 0) {
            restart_irq(s);
        }
    }
}

bool i8254_gate(Device *dev, unsigned channel)
{
    return ((I8254 *)dev)->channels[channel].gate;
}

bool i8254_output(Device *dev, unsigned channel)
{
    return output(&((I8254 *)dev)->channels[channel], tick_now());
}

unsigned i8254_period(Device *dev, unsigned channel)
{
    I8254Channel *c = &((I8254 *)dev)->channels[channel];

    settle(c, tick_now());
    return periodic(c) && c->armed && !c->stopped ? c->count : 0;
}

/* The chip has no reset: this is the state that a PC's timer is found in before the BIOS programs
 * it. */
static void i8254_reset(Device *dev)
{
    I8254 *s = (I8254 *)dev;

    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        I8254Channel *c = &s->channels[i];
        *c = (I8254Channel){.mode = 3, .rw = RW_BOTH, .gate = i != 2};
        load_count(c, 0x10000, tick_now());
    }
    restart_irq(s);
}

static const VMStateField channel_fields[] = {
    VMSTATE_U8(mode, I8254Channel),
    VMSTATE_U8(rw, I8254Channel),
    VMSTATE_BOOL(bcd, I8254Channel),
    VMSTATE_BOOL(gate, I8254Channel),
    VMSTATE_BOOL(write_msb, I8254Channel),
    VMSTATE_BOOL(read_msb, I8254Channel),
    VMSTATE_U8(write_lsb, I8254Channel),
    VMSTATE_U8(latched, I8254Channel),
    VMSTATE_U16(latched_count, I8254Channel),
    VMSTATE_BOOL(status_latched, I8254Channel),
    VMSTATE_U8(latched_status, I8254Channel),
    VMSTATE_BOOL(armed, I8254Channel),
    VMSTATE_BOOL(stopped, I8254Channel),
    VMSTATE_U32(count, I8254Channel),
    VMSTATE_U64(start, I8254Channel),
    VMSTATE_U64(elapsed, I8254Channel),
    VMSTATE_U32(next_count, I8254Channel),
    VMSTATE_U64(switch_tick, I8254Channel),
    VMSTATE_END,
};

static const VMState channel_vmstate = {
    .name = "i8254-channel",
    .version = 1,
    .fields = channel_fields,
};

static const VMStateField i8254_fields[] = {
    VMSTATE_STRUCT_ARRAY(channels, I8254, channel_vmstate),
    VMSTATE_TIMER(timer, I8254),
    VMSTATE_U64(edge, I8254),
    VMSTATE_U32(backlog, I8254),
    VMSTATE_END,
};

/* Divisions and the search for edges rely on these. */
static bool channel_valid(const I8254Channel *c)
{
    return c->mode <= 5 && c->rw >= RW_LSB && c->rw <= RW_BOTH && c->count <= 0x10000 &&
           c->next_count <= 0x10000 && (c->count || (!c->armed && !c->next_count));
}

static bool i8254_post_load(void *opaque, int version, Error **errp)
{
    I8254 *s = opaque;

    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        if (!channel_valid(&s->channels[i])) {
            error_set(errp, "i8254: the saved state of channel %u is not one of this chip", i);
            return false;
        }
    }
    return true;
}

static const VMState i8254_vmstate = {
    .name = "i8254",
    .version = 1,
    .fields = i8254_fields,
    .post_load = i8254_post_load,
};

static bool i8254_realize(Device *dev, Error **errp)
{
    I8254 *s = (I8254 *)dev;

    memory_region_init_io(&s->io, "i8254", 4, &i8254_ops, s);
    ioport_add(&s->io, PORT_BASE);
    timer_init(&s->timer, CLOCK_VIRTUAL, timer_expired, s);
    return true;
}

const DeviceClass i8254_class = {
    .name = "i8254",
    .desc = "8254 programmable interval timer",
    .bus = "board",
    .size = sizeof(I8254),
    .vmstate = &i8254_vmstate,
    .realize = i8254_realize,
    .reset = i8254_reset,
};

Device *i8254_create(IrqLine *irq)
{
    I8254 *s = (I8254 *)device_new(&i8254_class, NULL, "pit");

    s->irq = irq;
    device_realize_or_die(&s->dev);
    return &s->dev;
}
