/*
 * National Semiconductor NS16550A UART on the ISA bus.
 *
 * Data sheet: PC16550D (National Semiconductor, June 1995). A byte leaves as soon as the backend
 * takes it and comes in as soon as the receiver has room: there is no baud rate delay, and the
 * divisor matters only to the receiver's timeout interrupt. When the backend takes no more, THRE
 * stays low and the guest waits; when the receiver is full, the backend is held back. So neither
 * direction loses a byte.
 *
 * A chip's next byte takes its time to come, and drivers live on that: their interrupt handler ends
 * when the FIFO is empty, and what they have read is worked on before the next interrupt. Bytes
 * that wait already would keep a handler going until its buffers are full. So they come in bursts,
 * as long as the guest takes them; then there is a gap, about as long as the burst took. And a
 * driver that has its full buffers say so on RTS is heard.
 *
 * Interrupts reach the bus only while OUT2 is set, as on a PC's serial
 * card. Not modelled: parity and framing errors, which a byte stream has no notion of; DMA mode
 * pins.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/serial.h"

#include <stdio.h>

#include "hw/isa.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "util/loop.h"

/* Registers; the first two are the divisor latch while LCR.DLAB is set. */
#define REG_RBR_THR 0
#define REG_IER     1
#define REG_IIR_FCR 2
#define REG_LCR     3
#define REG_MCR     4
#define REG_LSR     5
#define REG_MSR     6
#define REG_SCR     7

#define IER_ERBFI 0x01 /* received data available */
#define IER_ETBEI 0x02 /* transmitter holding register empty */
#define IER_ELSI  0x04 /* receiver line status */
#define IER_EDSSI 0x08 /* modem status */
#define IER_MASK  0x0f

#define IIR_NONE    0x01
#define IIR_MSI     0x00
#define IIR_THRI    0x02
#define IIR_RDA     0x04
#define IIR_RLS     0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFOS   0xc0

#define FCR_ENABLE       0x01
#define FCR_RX_RESET     0x02
#define FCR_TX_RESET     0x04
#define FCR_KEPT         0xc9 /* enable, DMA mode, trigger level */
#define FCR_TRIGGER_BITS 6

#define LCR_WLS  0x03 /* data bits less five */
#define LCR_STB  0x04
#define LCR_PEN  0x08
#define LCR_EPS  0x10
#define LCR_SB   0x40 /* break */
#define LCR_DLAB 0x80

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DR    0x01
#define LSR_OE    0x02
#define LSR_PE    0x04
#define LSR_FE    0x08
#define LSR_BI    0x10
#define LSR_THRE  0x20
#define LSR_TEMT  0x40
#define LSR_ERRF  0x80 /* an error somewhere in the FIFO */
#define LSR_ERROR (LSR_OE | LSR_PE | LSR_FE | LSR_BI)

#define MSR_DCTS   0x01
#define MSR_DDSR   0x02
#define MSR_TERI   0x04
#define MSR_DDCD   0x08
#define MSR_DELTAS 0x0f
#define MSR_CTS    0x10
#define MSR_DSR    0x20
#define MSR_RI     0x40
#define MSR_DCD    0x80
#define MSR_PINS   0xf0

#define FIFO_SIZE    16
#define BURST_MAX    512 /* what drivers take at once without losing any of it */
#define GAP_MIN      (20 * NS_PER_US)
#define GAP_MAX      (4 * NS_PER_MS)
#define DIVISOR_9600 12
#define CLOCK_HZ     1843200 /* the divisor's input; 16 of its ticks are a bit */

typedef struct Fifo {
    uint8_t data[FIFO_SIZE];
    uint8_t error[FIFO_SIZE]; /* LSR bits that came with the byte */
    uint8_t head, count;
} Fifo;

typedef struct Serial {
    Device dev;
    /* wiring */
    MemoryRegion io;
    CharBackend *chr;
    IsaPort port;
    /* saved */
    uint16_t divisor;
    uint8_t ier, fcr, lcr, mcr, lsr, msr,
        scr;           /* lsr: the error bits and BI only, the rest is derived */
    Fifo rx, tx;       /* without FCR_ENABLE only one byte of each is used: RBR and THR */
    bool thre_pending; /* THRE interrupt: set by the transmitter getting empty, cleared by reading
                          IIR */
    bool timeout_pending;
    Timer rx_timeout;
    /* the host's side of the receiver; not state: after loading a burst begins */
    unsigned burst; /* bytes received since the last gap, or since there was nothing to receive */
    int64_t burst_start;
    Timer gap;
    bool handshake; /* RTS has gone off while DTR is on: the driver means it */
    bool touched;   /* the guest has been here: a reset is not just the machine's start */
} Serial;

/* ---- FIFOs ---- */

static void fifo_put(Fifo *f, uint8_t data, uint8_t error)
{
    unsigned at = (f->head + f->count) % FIFO_SIZE;

    f->data[at] = data;
    f->error[at] = error;
    f->count++;
}

static uint8_t fifo_get(Fifo *f)
{
    uint8_t data = f->data[f->head];

    f->head = (f->head + 1) % FIFO_SIZE;
    f->count--;
    return data;
}

static bool fifos_on(const Serial *s)
{
    return s->fcr & FCR_ENABLE;
}

static unsigned fifo_room(const Serial *s, const Fifo *f)
{
    return (fifos_on(s) ? FIFO_SIZE : 1) - f->count;
}

static unsigned rx_trigger(const Serial *s)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return fifos_on(s) ? levels[s->fcr >> FCR_TRIGGER_BITS] : 1;
}

static uint8_t lsr_value(const Serial *s)
{
    uint8_t v = s->lsr;

    if (s->rx.count > 0) {
        v |= LSR_DR;
    }
    if (s->tx.count == 0) {
        v |= LSR_THRE | LSR_TEMT;
    }
    for (unsigned i = 0; fifos_on(s) && i < s->rx.count; i++) {
        if (s->rx.error[(s->rx.head + i) % FIFO_SIZE]) {
            v |= LSR_ERRF;
        }
    }
    return v;
}

/* The modem's pins: the backend's (by default a peer that is always ready); or the loopback. */
static uint8_t modem_pins(const Serial *s)
{
    if (!(s->mcr & MCR_LOOP)) {
        unsigned lines = chr_modem(s->chr);
        return (lines & CHR_CTS ? MSR_CTS : 0) | (lines & CHR_DSR ? MSR_DSR : 0) |
               (lines & CHR_RI ? MSR_RI : 0) | (lines & CHR_DCD ? MSR_DCD : 0);
    }
    return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
           (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

/* ---- interrupts ---- */

static uint8_t interrupt_id(const Serial *s)
{
    if ((s->ier & IER_ELSI) && (s->lsr & LSR_ERROR)) {
        return IIR_RLS;
    }
    if ((s->ier & IER_ERBFI) && s->rx.count >= rx_trigger(s)) {
        return IIR_RDA;
    }
    if ((s->ier & IER_ERBFI) && s->timeout_pending) {
        return IIR_TIMEOUT;
    }
    if ((s->ier & IER_ETBEI) && s->thre_pending) {
        return IIR_THRI;
    }
    if ((s->ier & IER_EDSSI) && (s->msr & MSR_DELTAS)) {
        return IIR_MSI;
    }
    return IIR_NONE;
}

/* In loopback mode the OUT2 pin, which gates the line, is inactive (data sheet, 8.6). */
static bool irq_level(const Serial *s)
{
    bool gate = (s->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    return gate && interrupt_id(s) != IIR_NONE;
}

static void update_irq(Serial *s)
{
    irq_set(&s->port.line, irq_level(s));
}

static void update_modem(Serial *s)
{
    uint8_t pins = modem_pins(s), changed = (s->msr ^ pins) & MSR_PINS;

    s->msr |= (changed & MSR_CTS ? MSR_DCTS : 0) | (changed & MSR_DSR ? MSR_DDSR : 0) |
              (changed & MSR_DCD ? MSR_DDCD : 0);
    if ((changed & MSR_RI) && !(pins & MSR_RI)) {
        s->msr |= MSR_TERI; /* only the trailing edge */
    }
    s->msr = (s->msr & MSR_DELTAS) | pins;
}

/* ---- line settings ---- */

static unsigned bits_a_character(const Serial *s)
{
    unsigned data = 5 + (s->lcr & LCR_WLS);

    return 1 + data + (s->lcr & LCR_PEN ? 1 : 0) + (s->lcr & LCR_STB ? 2 : 1);
}

static int64_t character_ns(const Serial *s)
{
    unsigned divisor = s->divisor ? s->divisor : 65536;

    return NS_PER_SEC * 16 * divisor / CLOCK_HZ * bits_a_character(s);
}

static void tell_line(Serial *s)
{
    char parity = !(s->lcr & LCR_PEN) ? 'N' : s->lcr & LCR_EPS ? 'E' : 'O';

    if (s->divisor) {
        chr_set_line(s->chr, CLOCK_HZ / 16 / s->divisor, 5 + (s->lcr & LCR_WLS), parity,
                     s->lcr & LCR_STB ? 2 : 1);
    }
}

/* In loopback mode the outputs are inactive (data sheet, 8.6). */
static void tell_modem(Serial *s)
{
    bool loop = s->mcr & MCR_LOOP;

    chr_set_modem(s->chr, (s->mcr & MCR_DTR) && !loop, (s->mcr & MCR_RTS) && !loop);
}

/* ---- receiver ---- */

static void restart_timeout(Serial *s)
{
    s->timeout_pending = false;
    /* At the trigger level there is an interrupt already; only what is below it needs the timeout.
     */
    if (s->rx.count > 0 && s->rx.count < rx_trigger(s)) {
        timer_set(&s->rx_timeout, clock_now(CLOCK_VIRTUAL) + 4 * character_ns(s));
    } else {
        timer_cancel(&s->rx_timeout);
    }
}

static void put_received(Serial *s, uint8_t data, uint8_t error)
{
    if (fifo_room(s, &s->rx) == 0) {
        s->lsr |= LSR_OE;
        if (!fifos_on(s)) {
            s->rx.data[s->rx.head] = data; /* the new byte takes the old one's place */
        }
        return;
    }
    fifo_put(&s->rx, data, error);
    if (s->rx.count == 1) {
        s->lsr |= error; /* an error shows when its byte is at the FIFO's top */
    }
    restart_timeout(s);
}

static void gap_over(void *opaque)
{
    Serial *s = opaque;

    s->burst = 0;
    chr_accept_input(s->chr);
}

/* The guest has emptied the receiver: nothing more was there, or the burst is over. */
static void receiver_empty(Serial *s)
{
    int64_t took;

    if (s->burst < BURST_MAX) {
        s->burst = 0;
    } else if (!timer_pending(&s->gap)) {
        took = clock_now(CLOCK_VIRTUAL) - s->burst_start;
        took = took < GAP_MIN ? GAP_MIN : took > GAP_MAX ? GAP_MAX : took;
        timer_set(&s->gap, clock_now(CLOCK_VIRTUAL) + took);
    }
}

static uint8_t take_received(Serial *s)
{
    uint8_t data = s->rx.data[s->rx.head];

    if (s->rx.count > 0) {
        fifo_get(&s->rx);
        if (s->rx.count > 0) {
            s->lsr |= s->rx.error[s->rx.head];
        }
    }
    restart_timeout(s);
    update_irq(s);
    chr_accept_input(s->chr);
    if (s->rx.count == 0) {
        receiver_empty(s);
    }
    return data;
}

static void timeout_expired(void *opaque)
{
    Serial *s = opaque;

    s->timeout_pending = s->rx.count > 0;
    update_irq(s);
}

/* ---- transmitter ---- */

static void transmit(Serial *s)
{
    if (s->tx.count == 0) {
        return;
    }
    while (s->tx.count > 0) {
        uint8_t data = s->tx.data[s->tx.head];
        if (s->mcr & MCR_LOOP) {
            put_received(s, data, 0);
        } else if (chr_write(s->chr, &data, 1) == 0) {
            return;
        }
        fifo_get(&s->tx);
    }
    s->thre_pending = true;
}

static void write_thr(Serial *s, uint8_t data)
{
    s->thre_pending = false;
    if (fifo_room(s, &s->tx) > 0) {
        fifo_put(&s->tx, data, 0);
    } else if (!fifos_on(s)) {
        s->tx.data[s->tx.head] = data; /* a guest that does not wait for THRE overwrites its byte */
    }
    transmit(s);
    update_irq(s);
}

/* ---- guest side ---- */

static void write_ier(Serial *s, uint8_t value)
{
    uint8_t rising = value & ~s->ier;

    s->ier = value & IER_MASK;
    /* Enabling the interrupt while the transmitter is empty raises it at once (data sheet, 8.7). */
    if ((rising & IER_ETBEI) && s->tx.count == 0) {
        s->thre_pending = true;
    }
    update_irq(s);
}

static void write_fcr(Serial *s, uint8_t value)
{
    bool toggled = (value ^ s->fcr) & FCR_ENABLE;

    if (toggled || (value & FCR_RX_RESET)) {
        s->rx.count = 0;
        timer_cancel(&s->rx_timeout);
        s->timeout_pending = false;
        receiver_empty(s);
    }
    if (toggled || (value & FCR_TX_RESET)) {
        s->thre_pending |= s->tx.count > 0;
        s->tx.count = 0;
    }
    /* The other bits can be written only together with the enable bit. */
    s->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    update_irq(s);
    chr_accept_input(s->chr);
}

static void write_lcr(Serial *s, uint8_t value)
{
    uint8_t changed = value ^ s->lcr;

    s->lcr = value;
    if (changed & LCR_SB) {
        chr_set_break(s->chr, value & LCR_SB);
    }
    if (changed & (LCR_WLS | LCR_STB | LCR_PEN | LCR_EPS)) {
        tell_line(s);
    }
}

static void write_mcr(Serial *s, uint8_t value)
{
    uint8_t changed = value ^ s->mcr;

    /* RTS that goes off alone asks the other side to wait; with DTR, or never on, it says nothing.
     */
    if (!(value & MCR_DTR) || (value & MCR_RTS)) {
        s->handshake = false;
    } else if ((changed & MCR_RTS) && !(changed & MCR_DTR)) {
        s->handshake = true;
    }
    s->mcr = value & MCR_MASK;
    tell_modem(s);
    update_modem(s);
    /* Bytes the backend did not take before go round the loop now, and the other way about. */
    transmit(s);
    update_irq(s);
    chr_accept_input(s->chr);
}

static void write_divisor(Serial *s, uint16_t value)
{
    s->divisor = value;
    tell_line(s);
}

static void serial_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Serial *s = opaque;
    uint8_t v = (uint8_t)value;
    bool dlab = s->lcr & LCR_DLAB;

    s->touched = true;
    switch (addr) {
    case REG_RBR_THR:
        if (dlab) {
            write_divisor(s, (s->divisor & 0xff00) | v);
        } else {
            write_thr(s, v);
        }
        break;
    case REG_IER:
        if (dlab) {
            write_divisor(s, (uint16_t)((s->divisor & 0xff) | v << 8));
        } else {
            write_ier(s, v);
        }
        break;
    case REG_IIR_FCR:
        write_fcr(s, v);
        break;
    case REG_LCR:
        write_lcr(s, v);
        break;
    case REG_MCR:
        write_mcr(s, v);
        break;
    case REG_SCR:
        s->scr = v;
        break;
    default:
        break; /* LSR and MSR: writing is for factory tests only */
    }
}

static uint8_t read_iir(Serial *s)
{
    uint8_t id = interrupt_id(s);

    if (id == IIR_THRI) {
        s->thre_pending = false;
        update_irq(s);
    }
    return id | (fifos_on(s) ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(Serial *s)
{
    uint8_t v = lsr_value(s);

    if (s->lsr & LSR_ERROR) {
        s->lsr &= ~LSR_ERROR;
        if (s->rx.count > 0) {
            s->rx.error[s->rx.head] = 0; /* has been reported */
        }
        update_irq(s);
    }
    return v;
}

static uint8_t read_msr(Serial *s)
{
    uint8_t v = s->msr;

    if (v & MSR_DELTAS) {
        s->msr &= ~MSR_DELTAS;
        update_irq(s);
    }
    return v;
}

static uint64_t serial_read(void *opaque, hwaddr addr, unsigned size)
{
    Serial *s = opaque;
    bool dlab = s->lcr & LCR_DLAB;

    s->touched = true;
    switch (addr) {
    case REG_RBR_THR:
        return dlab ? s->divisor & 0xff : take_received(s);
    case REG_IER:
        return dlab ? s->divisor >> 8 : s->ier;
    case REG_IIR_FCR:
        return read_iir(s);
    case REG_LCR:
        return s->lcr;
    case REG_MCR:
        return s->mcr;
    case REG_LSR:
        return read_lsr(s);
    case REG_MSR:
        return read_msr(s);
    default:
        return s->scr;
    }
}

static const MemoryOps serial_ops = {
    .read = serial_read,
    .write = serial_write,
    .max_size = 1,
};

/* ---- host side ---- */

/* In loopback mode the input pin is disconnected: what comes waits outside. */
static size_t serial_can_receive(void *opaque)
{
    Serial *s = opaque;

    if ((s->mcr & MCR_LOOP) || s->handshake || s->burst >= BURST_MAX || machine_config.state_comes) {
        return 0;
    }
    return fifo_room(s, &s->rx);
}

static void serial_receive(void *opaque, const uint8_t *data, size_t size)
{
    Serial *s = opaque;

    if (s->burst == 0) {
        s->burst_start = clock_now(CLOCK_VIRTUAL);
    }
    s->burst += (unsigned)size;
    for (size_t i = 0; i < size; i++) {
        put_received(s, data[i], 0);
    }
    update_irq(s);
}

static void serial_writable(void *opaque)
{
    Serial *s = opaque;

    transmit(s);
    update_irq(s);
}

static void serial_event(void *opaque, ChrEvent event)
{
    Serial *s = opaque;

    if (event == CHR_EVENT_BREAK && !(s->mcr & MCR_LOOP)) {
        put_received(s, 0, LSR_BI | LSR_FE); /* a break is a zero without a stop bit */
        update_irq(s);
    } else if (event == CHR_EVENT_MODEM) {
        update_modem(s);
        update_irq(s);
    }
}

static const CharHandlers serial_handlers = {serial_can_receive, serial_receive, serial_writable,
                                             serial_event, .any_thread = true};

/* The RESET pin (data sheet, table III); the divisor is as the BIOS leaves it, the chip's is
 * undefined. */
static void serial_reset(Device *dev)
{
    Serial *s = (Serial *)dev;
    Fifo early = s->rx; /* typed ahead before the machine was started */

    s->ier = s->fcr = s->lcr = s->mcr = s->lsr = s->scr = 0;
    s->divisor = DIVISOR_9600;
    s->rx = s->tx = (Fifo){0};
    s->thre_pending = s->timeout_pending = s->handshake = false;
    s->burst = 0;
    timer_cancel(&s->rx_timeout);
    timer_cancel(&s->gap);
    tell_modem(s);
    s->msr = modem_pins(s);
    if (!s->touched && early.count) {
        put_received(s, early.data[early.head], 0);
    }
    update_irq(s);
}

static const VMStateField fifo_fields[] = {
    VMSTATE_U8_ARRAY(data, Fifo),
    VMSTATE_U8_ARRAY(error, Fifo),
    VMSTATE_U8(head, Fifo),
    VMSTATE_U8(count, Fifo),
    VMSTATE_END,
};

static const VMState fifo_vmstate = {"fifo", .version = 1, .fields = fifo_fields};

static const VMStateField serial_fields[] = {
    VMSTATE_U16(divisor, Serial),
    VMSTATE_U8(ier, Serial),
    VMSTATE_U8(fcr, Serial),
    VMSTATE_U8(lcr, Serial),
    VMSTATE_U8(mcr, Serial),
    VMSTATE_U8(lsr, Serial),
    VMSTATE_U8(msr, Serial),
    VMSTATE_U8(scr, Serial),
    VMSTATE_STRUCT(rx, Serial, fifo_vmstate),
    VMSTATE_STRUCT(tx, Serial, fifo_vmstate),
    VMSTATE_BOOL(thre_pending, Serial),
    VMSTATE_BOOL(timeout_pending, Serial),
    VMSTATE_TIMER(rx_timeout, Serial),
    VMSTATE_END,
};

static bool fifo_valid(const Fifo *f)
{
    return f->head < FIFO_SIZE && f->count <= FIFO_SIZE;
}

static bool serial_post_load(void *opaque, int version, Error **errp)
{
    Serial *s = opaque;

    if (!fifo_valid(&s->rx) || !fifo_valid(&s->tx) ||
        (!fifos_on(s) && (s->rx.count > 1 || s->tx.count > 1))) {
        error_set(errp, "isa-serial: a FIFO of the saved state is out of bounds");
        return false;
    }
    s->lsr &= LSR_ERROR;
    isa_port_set_loaded_level(&s->port, irq_level(s));
    tell_line(s);
    tell_modem(s);
    s->burst = 0;
    s->handshake = false;
    timer_cancel(&s->gap);
    /* The backend of today may have room for what the one of then had not. */
    transmit(s);
    chr_accept_input(s->chr);
    return true;
}

static const VMState serial_vmstate = {
    .name = "isa-serial",
    .version = 1,
    .fields = serial_fields,
    .post_load = serial_post_load,
};

/* ---- properties, class, create ---- */

static const IsaPortKind com_ports = {
    .class_name = "isa-serial",
    .last = "COM4",
    .ports = 8,
    .count = 4,
    .iobase = (const uint16_t[]){0x3f8, 0x2f8, 0x3e8, 0x2e8},
    .irq = (const uint8_t[]){4, 3, 4, 3},
};

static const Property serial_props[] = {
    PROPERTY("chardev", PROP_CHR, Serial, chr, NULL, "character device that is plugged in"),
    PROPERTY("index", PROP_U8, Serial, port.index, "255",
             "0 to 3 for COM1 to COM4; 255: the next free one"),
    PROPERTY("iobase", PROP_U16, Serial, port.iobase, "0", "first port; 0: as the index says"),
    PROPERTY("irq", PROP_U8, Serial, port.irq, "255", "interrupt line; 255: as the index says"),
    PROPERTY_END,
};

static bool serial_realize(Device *dev, Error **errp)
{
    Serial *s = (Serial *)dev;

    if (!isa_port_choose(&s->port, &com_ports, errp)) {
        return false;
    }
    timer_init(&s->rx_timeout, CLOCK_VIRTUAL, timeout_expired, s);
    timer_init(&s->gap, CLOCK_VIRTUAL, gap_over, s);
    if (s->chr && !chr_attach(s->chr, &serial_handlers, s, errp)) {
        return false;
    }
    isa_port_connect(&s->port);
    memory_region_init_io(&s->io, "serial", com_ports.ports, &serial_ops, s);
    ioport_add(&s->io, s->port.iobase);
    return true;
}

static void serial_unrealize(Device *dev)
{
    Serial *s = (Serial *)dev;

    chr_detach(s->chr, s);
    timer_cancel(&s->rx_timeout);
    timer_cancel(&s->gap);
    isa_port_disconnect(&s->port);
    memory_region_remove(&s->io);
}

const DeviceClass serial_class = {
    .name = "isa-serial",
    .desc = "16550A serial port",
    .bus = "isa",
    .user_creatable = true,
    .size = sizeof(Serial),
    .props = serial_props,
    .vmstate = &serial_vmstate,
    .realize = serial_realize,
    .reset = serial_reset,
    .unrealize = serial_unrealize,
};

Device *serial_create(unsigned index, CharBackend *chr, Error **errp)
{
    char id[16];
    Serial *s;

    snprintf(id, sizeof(id), "serial%u", index);
    s = (Serial *)device_new(&serial_class, NULL, id);
    s->port.index = (uint8_t)index;
    s->chr = chr;
    return device_realize(&s->dev, errp) ? &s->dev : NULL;
}
