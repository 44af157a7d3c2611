/*
 * 8042 keyboard controller with the firmware of the PS/2: keyboard and auxiliary port, translation
 * of scan code set 2 to 1, A20 gate and the line to the CPUs' INIT pins.
 *
 * IBM PS/2 hardware interface technical reference, "Keyboard and Auxiliary Device Controller".
 * Commands and bytes take no time, so the input buffer is never seen full. Not modelled: the
 * password, the strange modes of the input port's commands.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i8042.h"

#include <string.h>

#include "hw/a20.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "hw/ps2.h"
#include "util/log.h"

#define PORT_DATA   0x60
#define PORT_STATUS 0x64 /* writing: commands */

#define STATUS_OBF      0x01 /* output buffer full */
#define STATUS_SYS      0x04 /* the self test has passed */
#define STATUS_CMD      0x08 /* the last byte written was a command */
#define STATUS_UNLOCKED 0x10
#define STATUS_AUX_OBF  0x20 /* what the output buffer holds is the mouse's */

/* The command byte: RAM location 0. */
#define MODE_KBD_INT     0x01
#define MODE_AUX_INT     0x02
#define MODE_SYS         0x04
#define MODE_KBD_DISABLE 0x10
#define MODE_AUX_DISABLE 0x20
#define MODE_TRANSLATE   0x40
#define MODE_WRITABLE    0x7f

#define OUTPORT_NO_RESET 0x01
#define OUTPORT_A20      0x02
#define OUTPORT_KBD_OBF  0x10
#define OUTPORT_AUX_OBF  0x20
#define OUTPORT_LINES    0xcc /* clocks and data of the two ports: high */

#define INPORT_VALUE 0x80 /* keyboard not locked */

#define CMD_READ_RAM       0x20 /* to 0x3f */
#define CMD_WRITE_RAM      0x60 /* to 0x7f */
#define CMD_TEST_PASSWORD  0xa4
#define CMD_DISABLE_AUX    0xa7
#define CMD_ENABLE_AUX     0xa8
#define CMD_TEST_AUX       0xa9
#define CMD_SELF_TEST      0xaa
#define CMD_TEST_KBD       0xab
#define CMD_DISABLE_KBD    0xad
#define CMD_ENABLE_KBD     0xae
#define CMD_READ_INPORT    0xc0
#define CMD_READ_OUTPORT   0xd0
#define CMD_WRITE_OUTPORT  0xd1
#define CMD_WRITE_KBD_OBUF 0xd2
#define CMD_WRITE_AUX_OBUF 0xd3
#define CMD_WRITE_AUX      0xd4
#define CMD_A20_OFF        0xdd
#define CMD_A20_ON         0xdf
#define CMD_TEST_INPUTS    0xe0
#define CMD_PULSE          0xf0 /* to 0xff: zero bits go low for 6 us */

#define RAM_SIZE 32
#define RAM_MODE 0

#define CODE_BREAK 0xf0 /* of scan code set 2 */
#define SET1_BREAK 0x80

typedef struct I8042 {
    Device dev;
    /* wiring */
    MemoryRegion data_io, status_io;
    IrqLine *kbd_irq, *aux_irq;
    Ps2Device *kbd, *aux;
    /* saved */
    uint8_t status;
    uint8_t ram[RAM_SIZE];
    uint8_t output;       /* the output buffer */
    uint8_t parameter_of; /* the command whose parameter comes next at port 0x60; 0: none */
    bool reply_waiting;   /* of the controller itself, until the output buffer is free */
    bool reply_is_aux;
    uint8_t reply;
    bool break_code; /* translation: 0xf0 came, the next code is a release */
    /* derived */
    bool refilling; /* a port that gives its last byte may have the next at once */
} I8042;

/*
 * Set 1 code of each code of set 2; those without a key as every translating controller has them.
 */
static const uint8_t set1_from_set2[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

static void update_irq(I8042 *s)
{
    bool full = s->status & STATUS_OBF, aux = s->status & STATUS_AUX_OBF;

    irq_set(s->kbd_irq, full && !aux && (s->ram[RAM_MODE] & MODE_KBD_INT));
    irq_set(s->aux_irq, full && aux && (s->ram[RAM_MODE] & MODE_AUX_INT));
}

static void fill_output(I8042 *s, uint8_t value, bool aux)
{
    s->output = value;
    s->status |= STATUS_OBF | (aux ? STATUS_AUX_OBF : 0);
}

/*
 * A byte from the keyboard, translated if the host wants set 1. False: it gives nothing of its own.
 */
static bool translate(I8042 *s, uint8_t *value)
{
    if (!(s->ram[RAM_MODE] & MODE_TRANSLATE)) {
        return true;
    }
    if (*value == CODE_BREAK) {
        s->break_code = true;
        return false;
    }
    if (*value < 0x80) {
        *value = set1_from_set2[*value];
    } else if (*value == 0x83) {
        *value = 0x41;
    } else if (*value == 0x84) {
        *value = 0x54;
    }
    if (s->break_code) {
        s->break_code = false;
        *value |= SET1_BREAK;
    }
    return true;
}

/* Whoever has something for the free output buffer fills it: the controller before its ports. */
static void refill(I8042 *s)
{
    uint8_t mode = s->ram[RAM_MODE];

    if ((s->status & STATUS_OBF) || s->refilling) {
        return;
    }
    s->refilling = true;
    if (s->reply_waiting) {
        s->reply_waiting = false;
        fill_output(s, s->reply, s->reply_is_aux);
    }
    while (!(s->status & STATUS_OBF) && !(mode & MODE_KBD_DISABLE) && ps2_has_data(s->kbd)) {
        uint8_t value = ps2_take(s->kbd);
        if (translate(s, &value)) {
            fill_output(s, value, false);
        }
    }
    if (!(s->status & STATUS_OBF) && !(mode & MODE_AUX_DISABLE) && ps2_has_data(s->aux)) {
        fill_output(s, ps2_take(s->aux), true);
    }
    s->refilling = false;
    update_irq(s);
}

static void reply(I8042 *s, uint8_t value, bool aux)
{
    s->reply = value;
    s->reply_is_aux = aux;
    s->reply_waiting = true;
    refill(s);
}

static void set_mode(I8042 *s, uint8_t mode)
{
    s->ram[RAM_MODE] = mode & MODE_WRITABLE;
    s->status = (uint8_t)((s->status & ~STATUS_SYS) | (mode & MODE_SYS ? STATUS_SYS : 0));
    update_irq(s);
    refill(s);
}

/* ---- guest side ---- */

static uint8_t outport(const I8042 *s)
{
    bool full = s->status & STATUS_OBF, aux = s->status & STATUS_AUX_OBF;

    return OUTPORT_NO_RESET | OUTPORT_LINES | (a20_enabled() ? OUTPORT_A20 : 0) |
           (full && !aux ? OUTPORT_KBD_OBF : 0) | (full && aux ? OUTPORT_AUX_OBF : 0);
}

static void write_outport(uint8_t value)
{
    a20_set(value & OUTPORT_A20);
    if (!(value & OUTPORT_NO_RESET)) {
        machine_init_cpus();
    }
}

static void command(I8042 *s, uint8_t value)
{
    uint8_t mode = s->ram[RAM_MODE];

    s->parameter_of = 0;
    switch (value) {
    case CMD_READ_RAM ... CMD_READ_RAM + RAM_SIZE - 1:
        reply(s, s->ram[value - CMD_READ_RAM], false);
        break;
    case CMD_WRITE_RAM ... CMD_WRITE_RAM + RAM_SIZE - 1:
    case CMD_WRITE_OUTPORT:
    case CMD_WRITE_KBD_OBUF:
    case CMD_WRITE_AUX_OBUF:
    case CMD_WRITE_AUX:
        s->parameter_of = value;
        break;
    case CMD_TEST_PASSWORD:
        reply(s, 0xf1, false); /* none installed */
        break;
    case CMD_DISABLE_AUX:
        set_mode(s, mode | MODE_AUX_DISABLE);
        break;
    case CMD_ENABLE_AUX:
        set_mode(s, mode & ~MODE_AUX_DISABLE);
        break;
    case CMD_DISABLE_KBD:
        set_mode(s, mode | MODE_KBD_DISABLE);
        break;
    case CMD_ENABLE_KBD:
        set_mode(s, mode & ~MODE_KBD_DISABLE);
        break;
    case CMD_TEST_AUX:
    case CMD_TEST_KBD:
        reply(s, 0x00, false); /* clock and data are not stuck */
        break;
    case CMD_SELF_TEST:
        set_mode(s, mode | MODE_SYS);
        reply(s, 0x55, false);
        break;
    case CMD_READ_INPORT:
        reply(s, INPORT_VALUE, false);
        break;
    case CMD_READ_OUTPORT:
        reply(s, outport(s), false);
        break;
    case CMD_A20_OFF:
    case CMD_A20_ON:
        a20_set(value == CMD_A20_ON);
        break;
    case CMD_TEST_INPUTS:
        reply(s, 0x00, false);
        break;
    case CMD_PULSE ... 0xff:
        if (!(value & OUTPORT_NO_RESET)) {
            machine_init_cpus();
        }
        break;
    default:
        log_printf(LOG_UNIMP, "i8042: command 0x%02x\n", value);
    }
}

static void data(I8042 *s, uint8_t value)
{
    uint8_t parameter_of = s->parameter_of;

    s->parameter_of = 0;
    switch (parameter_of) {
    case 0: /* for the keyboard, whose clock this starts */
        s->ram[RAM_MODE] &= ~MODE_KBD_DISABLE;
        s->break_code = false;
        ps2_send_command(s->kbd, value);
        break;
    case CMD_WRITE_RAM:
        set_mode(s, value);
        break;
    case CMD_WRITE_RAM + 1 ... CMD_WRITE_RAM + RAM_SIZE - 1:
        s->ram[parameter_of - CMD_WRITE_RAM] = value;
        break;
    case CMD_WRITE_OUTPORT:
        write_outport(value);
        break;
    case CMD_WRITE_KBD_OBUF:
    case CMD_WRITE_AUX_OBUF:
        reply(s, value, parameter_of == CMD_WRITE_AUX_OBUF);
        break;
    case CMD_WRITE_AUX:
        s->ram[RAM_MODE] &= ~MODE_AUX_DISABLE;
        ps2_send_command(s->aux, value);
        break;
    }
    refill(s);
}

static uint64_t data_read(void *opaque, hwaddr addr, unsigned size)
{
    I8042 *s = opaque;
    uint8_t value = s->output;

    if (s->status & STATUS_OBF) {
        s->status &= ~(STATUS_OBF | STATUS_AUX_OBF);
        update_irq(s); /* low before the next byte: the interrupt controller wants an edge */
        refill(s);
    }
    return value;
}

static void data_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8042 *s = opaque;

    s->status &= ~STATUS_CMD;
    data(s, (uint8_t)value);
}

static uint64_t status_read(void *opaque, hwaddr addr, unsigned size)
{
    return ((I8042 *)opaque)->status;
}

static void status_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8042 *s = opaque;

    s->status |= STATUS_CMD;
    command(s, (uint8_t)value);
}

static const MemoryOps data_ops = {.read = data_read, .write = data_write, .max_size = 1};
static const MemoryOps status_ops = {.read = status_read, .write = status_write, .max_size = 1};

/* ---- host side ---- */

static void port_has_data(void *opaque)
{
    refill(opaque);
}

/* ---- reset, state, creation ---- */

static void i8042_reset(Device *dev)
{
    I8042 *s = (I8042 *)dev;

    s->status = STATUS_UNLOCKED;
    memset(s->ram, 0, sizeof(s->ram));
    s->ram[RAM_MODE] = MODE_KBD_INT | MODE_AUX_INT;
    s->output = 0;
    s->parameter_of = 0;
    s->reply_waiting = false;
    s->break_code = false;
    update_irq(s);
}

static const VMStateField i8042_fields[] = {
    VMSTATE_U8(status, I8042),
    VMSTATE_U8_ARRAY(ram, I8042),
    VMSTATE_U8(output, I8042),
    VMSTATE_U8(parameter_of, I8042),
    VMSTATE_BOOL(reply_waiting, I8042),
    VMSTATE_BOOL(reply_is_aux, I8042),
    VMSTATE_U8(reply, I8042),
    VMSTATE_BOOL(break_code, I8042),
    VMSTATE_END,
};

static const VMState i8042_vmstate = {.name = "i8042", .version = 1, .fields = i8042_fields};

static bool i8042_realize(Device *dev, Error **errp)
{
    I8042 *s = (I8042 *)dev;

    s->kbd = ps2_keyboard_create(dev);
    s->aux = ps2_mouse_create(dev);
    s->kbd->data_ready = s->aux->data_ready = port_has_data;
    s->kbd->opaque = s->aux->opaque = s;

    memory_region_init_io(&s->data_io, "i8042-data", 1, &data_ops, s);
    ioport_add(&s->data_io, PORT_DATA);
    memory_region_init_io(&s->status_io, "i8042-status", 1, &status_ops, s);
    ioport_add(&s->status_io, PORT_STATUS);
    return true;
}

const DeviceClass i8042_class = {
    .name = "i8042",
    .desc = "8042 keyboard controller",
    .bus = "board",
    .size = sizeof(I8042),
    .vmstate = &i8042_vmstate,
    .realize = i8042_realize,
    .reset = i8042_reset,
};

Device *i8042_create(IrqLine *keyboard_irq, IrqLine *mouse_irq)
{
    I8042 *s = (I8042 *)device_new(&i8042_class, NULL, "i8042");

    s->kbd_irq = keyboard_irq;
    s->aux_irq = mouse_irq;
    device_realize_or_die(&s->dev);
    return &s->dev;
}
