/*
 * Motorola MC146818 real-time clock with the PC/AT's CMOS memory behind ports 0x70 and 0x71.
 *
 * Data sheet: MC146818 (1984); century byte and the behaviour of the divider's reset as in its
 * successor DS12887. The time is not counted: it is worked out from a clock whenever somebody
 * looks, and the flags of register C from what happened since somebody last looked. The timer runs
 * only while an enabled interrupt is still to come, so a clock that nobody listens to costs
 * nothing. Not modelled: the square wave output, daylight saving, the other crystals of register A.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/mc146818.h"

#include <time.h>

#include "hw/machine.h"
#include "hw/memory.h"
#include "util/loop.h"

#define PORT_BASE 0x70

/*
 * Registers. Hours are 1-12 with PM in bit 7, or 0-23; all are BCD or binary, as register B says.
 */
#define REG_SECONDS       0x00
#define REG_SECONDS_ALARM 0x01
#define REG_MINUTES       0x02
#define REG_MINUTES_ALARM 0x03
#define REG_HOURS         0x04
#define REG_HOURS_ALARM   0x05
#define REG_WEEKDAY       0x06 /* 1 is Sunday, by convention only */
#define REG_DAY           0x07
#define REG_MONTH         0x08
#define REG_YEAR          0x09
#define REG_A             0x0a
#define REG_B             0x0b
#define REG_C             0x0c
#define REG_D             0x0d
#define REG_CENTURY       0x32

#define A_UIP      0x80 /* update in progress */
#define A_DV_MASK  0x70
#define A_DV_RESET 0x60 /* both upper bits: the divider chain is held in reset */
#define A_DV_32KHZ 0x20
#define A_RS_MASK  0x0f

#define B_SET  0x80
#define B_PIE  0x40
#define B_AIE  0x20
#define B_UIE  0x10
#define B_SQWE 0x08
#define B_DM   0x04 /* binary */
#define B_24H  0x02

#define C_IRQF 0x80
#define C_PF   0x40
#define C_AF   0x20
#define C_UF   0x10

#define D_VRT 0x80

#define HOUR_PM        0x80
#define ALARM_ANY      0xc0 /* both upper bits set: this byte matches always */
#define INDEX_NMI_MASK 0x80

#define DIVIDER_HZ 32768
/* UIP leads the update by 244 us, and the update takes 1984 us (data sheet, table 6). */
#define UPDATE_NS (2228 * NS_PER_US)
/* After the divider's reset ends the first update comes half a second later. */
#define DIVIDER_START_NS (500 * NS_PER_MS)

#define SECONDS_PER_DAY 86400

typedef struct Mc146818 {
    Device dev;
    /* wiring */
    MemoryRegion io;
    IrqLine *irq;
    ClockType clock;
    int64_t clock_offset; /* added to the clock: for CLOCK_HOST it makes it the host's UTC */
    /* saved */
    uint8_t index;
    uint8_t
        cmos[MC146818_CMOS_SIZE]; /* the time bytes are up to date only while it does not count */
    int64_t phase_ns;             /* a moment at which the divider rolled over to a new second */
    int64_t time_sec;             /* while counting: the time at phase_ns, in seconds since 1970 */
    int64_t checked_ns;           /* the flags of register C are complete up to this moment */
    uint8_t
        weekday_shift; /* the weekday is a counter of its own: how far it is off the calendar's */
    bool virtual_clock;
    /* derived */
    Timer timer; /* the next event that raises an enabled interrupt */
} Mc146818;

/* ---- time ---- */

static int64_t rtc_now(Mc146818 *s)
{
    return clock_now(s->clock) + s->clock_offset;
}

static bool divider_running(Mc146818 *s)
{
    return (s->cmos[REG_A] & A_DV_RESET) != A_DV_RESET;
}

static bool counting(Mc146818 *s)
{
    return divider_running(s) && !(s->cmos[REG_B] & B_SET);
}

/* Whole seconds and 32768ths that the divider has counted since phase_ns. */
static int64_t divider_seconds(Mc146818 *s, int64_t now)
{
    int64_t ns = now - s->phase_ns;
    return ns / NS_PER_SEC - (ns % NS_PER_SEC < 0);
}

static int64_t divider_ticks(Mc146818 *s, int64_t now)
{
    __int128 t = (__int128)(now - s->phase_ns) * DIVIDER_HZ;
    return (int64_t)(t / NS_PER_SEC) - (t % NS_PER_SEC < 0);
}

static int64_t next_second_ns(Mc146818 *s, int64_t now)
{
    return s->phase_ns + (divider_seconds(s, now) + 1) * NS_PER_SEC;
}

/* Divider ticks between two periodic interrupts; 0: none selected. */
static int64_t periodic_ticks(Mc146818 *s)
{
    unsigned rs = s->cmos[REG_A] & A_RS_MASK;
    if (rs == 0) {
        return 0;
    }
    return 1 << (rs <= 2 ? rs + 6 : rs - 1);
}

static int64_t next_periodic_ns(Mc146818 *s, int64_t now)
{
    int64_t period = periodic_ticks(s);
    __int128 tick = (__int128)(divider_ticks(s, now) / period + 1) * period;
    return s->phase_ns + (int64_t)((tick * NS_PER_SEC + DIVIDER_HZ - 1) / DIVIDER_HZ);
}

/* ---- the bytes of the time ---- */

static uint8_t encode(Mc146818 *s, unsigned v)
{
    return (uint8_t)(s->cmos[REG_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static unsigned decode(Mc146818 *s, uint8_t v)
{
    return s->cmos[REG_B] & B_DM ? v : (v >> 4) * 10u + (v & 0x0f);
}

static uint8_t encode_hour(Mc146818 *s, unsigned hour)
{
    if (s->cmos[REG_B] & B_24H) {
        return encode(s, hour);
    }
    return encode(s, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(Mc146818 *s, uint8_t v)
{
    if (s->cmos[REG_B] & B_24H) {
        return decode(s, v);
    }
    return decode(s, v & (uint8_t)~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* While counting: brings the time bytes up to date. */
static void time_to_bytes(Mc146818 *s, int64_t now)
{
    time_t t = s->time_sec + divider_seconds(s, now);
    struct tm tm;

    gmtime_r(&t, &tm);
    s->cmos[REG_SECONDS] = encode(s, (unsigned)tm.tm_sec);
    s->cmos[REG_MINUTES] = encode(s, (unsigned)tm.tm_min);
    s->cmos[REG_HOURS] = encode_hour(s, (unsigned)tm.tm_hour);
    s->cmos[REG_WEEKDAY] = encode(s, (unsigned)(tm.tm_wday + s->weekday_shift) % 7 + 1);
    s->cmos[REG_DAY] = encode(s, (unsigned)tm.tm_mday);
    s->cmos[REG_MONTH] = encode(s, (unsigned)tm.tm_mon + 1);
    s->cmos[REG_YEAR] = encode(s, (unsigned)(tm.tm_year + 1900) % 100);
    s->cmos[REG_CENTURY] = encode(s, (unsigned)(tm.tm_year + 1900) / 100 % 100);
}

static void (*time_handler)(int64_t ahead_sec);

void mc146818_set_time_handler(void (*fn)(int64_t ahead_sec))
{
    time_handler = fn;
}

/* Goes on counting from the time bytes; values that no calendar has are carried over into the next
 * field. was_counting: the clock has not stood still, so that bytes which say what it said are no
 * news; `now` is then that of time_to_bytes(), lest a second that rolls over in between be lost. */
static void time_from_bytes(Mc146818 *s, int64_t now, bool was_counting)
{
    struct tm tm = {
        .tm_sec = (int)decode(s, s->cmos[REG_SECONDS]),
        .tm_min = (int)decode(s, s->cmos[REG_MINUTES]),
        .tm_hour = (int)decode_hour(s, s->cmos[REG_HOURS]),
        .tm_mday = (int)decode(s, s->cmos[REG_DAY]),
        .tm_mon = (int)decode(s, s->cmos[REG_MONTH]) - 1,
        .tm_year =
            (int)(decode(s, s->cmos[REG_CENTURY]) * 100 + decode(s, s->cmos[REG_YEAR])) - 1900,
    };

    int64_t before = s->time_sec, time_set = timegm(&tm);
    s->time_sec = time_set - divider_seconds(s, now);
    if (time_handler && !(was_counting && s->time_sec == before)) {
        time_handler(time_set - time(NULL));
    }
    /* timegm() has set tm_wday, 0 to 6 from Sunday. */
    s->weekday_shift = (uint8_t)((decode(s, s->cmos[REG_WEEKDAY]) + 13 - (unsigned)tm.tm_wday) % 7);
}

/* ---- events ---- */

static bool alarm_byte_matches(uint8_t alarm, uint8_t now)
{
    return (alarm & ALARM_ANY) == ALARM_ANY || alarm == now;
}

/* Seconds from `time` to the next one that the alarm matches, 1 to SECONDS_PER_DAY; 0: never. */
static int64_t seconds_to_alarm(Mc146818 *s, int64_t time)
{
    unsigned first = (unsigned)(((time + 1) % SECONDS_PER_DAY + SECONDS_PER_DAY) % SECONDS_PER_DAY);

    for (unsigned passed = 0; passed < SECONDS_PER_DAY;) {
        unsigned tod = (first + passed) % SECONDS_PER_DAY;
        /* A field that does not match is skipped to its next value. */
        if (!alarm_byte_matches(s->cmos[REG_HOURS_ALARM], encode_hour(s, tod / 3600))) {
            passed += 3600 - tod % 3600;
        } else if (!alarm_byte_matches(s->cmos[REG_MINUTES_ALARM], encode(s, tod / 60 % 60))) {
            passed += 60 - tod % 60;
        } else if (!alarm_byte_matches(s->cmos[REG_SECONDS_ALARM], encode(s, tod % 60))) {
            passed++;
        } else {
            return passed + 1;
        }
    }
    return 0;
}

/* Sets the flags of register C for what happened since they were last looked at. */
static void catch_up(Mc146818 *s)
{
    int64_t now = rtc_now(s), then = s->checked_ns;

    s->checked_ns = now;
    if (!divider_running(s) || now <= then) {
        return;
    }
    int64_t period = periodic_ticks(s);
    if (period && divider_ticks(s, now) / period != divider_ticks(s, then) / period) {
        s->cmos[REG_C] |= C_PF;
    }
    int64_t updates = divider_seconds(s, now) - divider_seconds(s, then);
    if (updates > 0 && counting(s)) {
        int64_t wait = seconds_to_alarm(s, s->time_sec + divider_seconds(s, then));
        s->cmos[REG_C] |= C_UF;
        if (wait && wait <= updates) {
            s->cmos[REG_C] |= C_AF;
        }
    }
}

static void arm_timer(Mc146818 *s)
{
    uint8_t wanted = s->cmos[REG_B] & ~s->cmos[REG_C]; /* enables and flags have the same bits */
    int64_t now = s->checked_ns, next = INT64_MAX;

    if ((wanted & B_PIE) && divider_running(s) && periodic_ticks(s)) {
        next = next_periodic_ns(s, now);
    }
    if (counting(s)) {
        int64_t second = next_second_ns(s, now);
        if ((wanted & B_UIE) && second < next) {
            next = second;
        }
        if (wanted & B_AIE) {
            int64_t wait = seconds_to_alarm(s, s->time_sec + divider_seconds(s, now));
            if (wait && second + (wait - 1) * NS_PER_SEC < next) {
                next = second + (wait - 1) * NS_PER_SEC;
            }
        }
    }
    if (next == INT64_MAX) {
        timer_cancel(&s->timer);
    } else {
        timer_set(&s->timer, next - s->clock_offset);
    }
}

static void update_irq(Mc146818 *s)
{
    bool level = s->cmos[REG_B] & s->cmos[REG_C] & (C_PF | C_AF | C_UF);

    s->cmos[REG_C] = (s->cmos[REG_C] & ~C_IRQF) | (level ? C_IRQF : 0);
    irq_set(s->irq, level);
}

/* ---- guest side ---- */

static bool is_time_byte(unsigned reg)
{
    return reg == REG_SECONDS || reg == REG_MINUTES || reg == REG_HOURS ||
           (reg >= REG_WEEKDAY && reg <= REG_YEAR) || reg == REG_CENTURY;
}

static uint8_t read_reg(Mc146818 *s, unsigned reg)
{
    uint8_t v;

    if (is_time_byte(reg) && counting(s)) {
        time_to_bytes(s, rtc_now(s));
    }
    switch (reg) {
    case REG_A: {
        int64_t now = rtc_now(s);
        bool updating = counting(s) && next_second_ns(s, now) - now <= UPDATE_NS;
        return s->cmos[REG_A] | (updating ? A_UIP : 0);
    }
    case REG_C:
        catch_up(s);
        update_irq(s);
        v = s->cmos[REG_C];
        s->cmos[REG_C] = 0;
        update_irq(s);
        arm_timer(s);
        return v;
    default:
        return s->cmos[reg];
    }
}

static void write_reg_a(Mc146818 *s, uint8_t value)
{
    bool was_running = divider_running(s), was_counting = counting(s);
    int64_t now = rtc_now(s);

    if (was_counting) {
        time_to_bytes(s, now);
    }
    s->cmos[REG_A] = value & ~A_UIP;
    if (divider_running(s) && !was_running) {
        s->phase_ns = now - DIVIDER_START_NS;
    }
    if (counting(s)) {
        time_from_bytes(s, now, was_counting);
    }
}

static void write_reg_b(Mc146818 *s, uint8_t value)
{
    bool was_counting = counting(s);
    int64_t now = rtc_now(s);

    if (was_counting) {
        time_to_bytes(s, now);
    }
    if ((value & B_SET) && !(s->cmos[REG_B] & B_SET)) {
        value &= ~B_UIE; /* data sheet, "UIE": cleared by SET going high */
    }
    s->cmos[REG_B] = value;
    /* A new format does not convert the bytes: they are read anew. */
    if (counting(s)) {
        time_from_bytes(s, now, was_counting);
    }
}

static void write_reg(Mc146818 *s, unsigned reg, uint8_t value)
{
    catch_up(s);
    switch (reg) {
    case REG_A:
        write_reg_a(s, value);
        break;
    case REG_B:
        write_reg_b(s, value);
        break;
    case REG_C:
    case REG_D:
        return; /* read-only */
    default:
        if (is_time_byte(reg) && counting(s)) {
            int64_t now = rtc_now(s);
            time_to_bytes(s, now);
            s->cmos[reg] = value;
            time_from_bytes(s, now, true);
        } else {
            s->cmos[reg] = value;
        }
    }
    update_irq(s);
    arm_timer(s);
}

static uint64_t mc146818_read(void *opaque, hwaddr addr, unsigned size)
{
    Mc146818 *s = opaque;

    if (addr == 0) {
        return 0xff; /* the index is write-only */
    }
    return read_reg(s, s->index % MC146818_CMOS_SIZE);
}

static void mc146818_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Mc146818 *s = opaque;

    if (addr == 0) {
        s->index = (uint8_t)value;
    } else {
        write_reg(s, s->index % MC146818_CMOS_SIZE, (uint8_t)value);
    }
}

static const MemoryOps mc146818_ops = {
    .read = mc146818_read,
    .write = mc146818_write,
    .max_size = 1,
};

/* ---- host side ---- */

static void timer_expired(void *opaque)
{
    Mc146818 *s = opaque;

    catch_up(s);
    update_irq(s);
    arm_timer(s);
}

void mc146818_set_cmos(Device *dev, unsigned index, uint8_t value)
{
    ((Mc146818 *)dev)->cmos[index % MC146818_CMOS_SIZE] = value;
}

uint8_t mc146818_get_cmos(Device *dev, unsigned index)
{
    return ((Mc146818 *)dev)->cmos[index % MC146818_CMOS_SIZE];
}

bool mc146818_nmi_masked(Device *dev)
{
    return ((Mc146818 *)dev)->index & INDEX_NMI_MASK;
}

/* The battery keeps time and memory: only what the RESET pin does (data sheet, "RESET"). */
static void mc146818_reset(Device *dev)
{
    Mc146818 *s = (Mc146818 *)dev;

    catch_up(s);
    s->index = 0;
    s->cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    s->cmos[REG_C] = 0;
    update_irq(s);
    arm_timer(s);
}

static const VMStateField mc146818_fields[] = {
    VMSTATE_U8(index, Mc146818),           VMSTATE_U8_ARRAY(cmos, Mc146818),
    VMSTATE_U64(phase_ns, Mc146818),       VMSTATE_U64(time_sec, Mc146818),
    VMSTATE_U64(checked_ns, Mc146818),     VMSTATE_U8(weekday_shift, Mc146818),
    VMSTATE_BOOL(virtual_clock, Mc146818), VMSTATE_END,
};

static bool mc146818_post_load(void *opaque, int version, Error **errp)
{
    Mc146818 *s = opaque;

    if (s->virtual_clock != (s->clock == CLOCK_VIRTUAL)) {
        error_set(errp, "mc146818: the saved state belongs to a machine with -rtc clock=%s",
                  s->virtual_clock ? "vm" : "host");
        return false;
    }
    s->weekday_shift %= 7;
    arm_timer(s);
    return true;
}

static const VMState mc146818_vmstate = {
    .name = "mc146818",
    .version = 1,
    .fields = mc146818_fields,
    .post_load = mc146818_post_load,
};

/* Power-on contents: the time that machine_config asks for, 24 hours, BCD, no interrupts. */
static void set_initial_time(Mc146818 *s)
{
    struct timespec ts;
    struct tm local;
    int64_t utc_ns;

    clock_gettime(CLOCK_REALTIME, &ts);
    utc_ns = ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
    s->clock = machine_config.rtc_clock_vm ? CLOCK_VIRTUAL : CLOCK_HOST;
    s->virtual_clock = machine_config.rtc_clock_vm;
    s->clock_offset = s->virtual_clock ? 0 : utc_ns - clock_now(CLOCK_HOST);

    /* The seconds roll over together with the host's. */
    s->phase_ns = rtc_now(s) - utc_ns % NS_PER_SEC;
    s->time_sec = ts.tv_sec + machine_config.rtc_offset_sec;
    if (machine_config.rtc_localtime) {
        localtime_r(&ts.tv_sec, &local);
        s->time_sec += local.tm_gmtoff;
    }
    s->cmos[REG_A] = A_DV_32KHZ | 6; /* 1024 Hz, as every BIOS leaves it */
    s->cmos[REG_B] = B_24H;
    s->cmos[REG_D] = D_VRT;
    s->checked_ns = rtc_now(s);
}

static bool mc146818_realize(Device *dev, Error **errp)
{
    Mc146818 *s = (Mc146818 *)dev;

    memory_region_init_io(&s->io, "mc146818", 2, &mc146818_ops, s);
    ioport_add(&s->io, PORT_BASE);
    set_initial_time(s);
    timer_init(&s->timer, s->clock, timer_expired, s);
    return true;
}

const DeviceClass mc146818_class = {
    .name = "mc146818",
    .desc = "MC146818 real-time clock and CMOS memory",
    .bus = "board",
    .size = sizeof(Mc146818),
    .vmstate = &mc146818_vmstate,
    .realize = mc146818_realize,
    .reset = mc146818_reset,
};

Device *mc146818_create(IrqLine *irq)
{
    Mc146818 *s = (Mc146818 *)device_new(&mc146818_class, NULL, "rtc");

    s->irq = irq;
    device_realize_or_die(&s->dev);
    return &s->dev;
}
