/*
 * Build tool: turns a linked option ROM into one a BIOS accepts. Pads it to 512-byte units, writes
 * their number into the header, and makes the Plug and Play header and the whole ROM sum to zero.
 *     signrom IN OUT
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    ROM_UNIT = 512,
    ROM_MAX_UNITS = 127, /* stay clear of 64 KB, all offsets are 16 bits */
    ROM_LENGTH = 0x02,
    ROM_PNP_POINTER = 0x1a,
    PNP_LENGTH = 5,
    PNP_CHECKSUM = 9,
};

static uint8_t sum(const uint8_t *data, size_t size)
{
    uint8_t s = 0;
    while (size--) {
        s += *data++;
    }
    return s;
}

int main(int argc, char **argv)
{
    static uint8_t rom[ROM_UNIT * ROM_MAX_UNITS];
    if (argc != 3) {
        fprintf(stderr, "usage: signrom IN OUT\n");
        return 1;
    }
    FILE *in = fopen(argv[1], "rb");
    if (!in) {
        perror(argv[1]);
        return 1;
    }
    size_t size = fread(rom, 1, sizeof(rom), in);
    fclose(in);
    /* One byte stays free behind the code for the checksum. */
    if (size >= sizeof(rom) || size < 0x40 || rom[0] != 0x55 || rom[1] != 0xaa) {
        fprintf(stderr, "%s: not an option ROM, or larger than %zu bytes\n", argv[1],
                sizeof(rom) - 1);
        return 1;
    }
    size_t units = size / ROM_UNIT + 1;
    rom[ROM_LENGTH] = units;
    size_t pnp = rom[ROM_PNP_POINTER] | rom[ROM_PNP_POINTER + 1] << 8;
    if (pnp + 16 > size || memcmp(rom + pnp, "$PnP", 4) != 0 ||
        pnp + rom[pnp + PNP_LENGTH] * 16u > size) {
        fprintf(stderr, "%s: no Plug and Play header at 0x%zx\n", argv[1], pnp);
        return 1;
    }
    rom[pnp + PNP_CHECKSUM] = -sum(rom + pnp, rom[pnp + PNP_LENGTH] * 16u);
    rom[units * ROM_UNIT - 1] = -sum(rom, units * ROM_UNIT);

    FILE *out = fopen(argv[2], "wb");
    if (!out || fwrite(rom, ROM_UNIT, units, out) != units || fclose(out) != 0) {
        perror(argv[2]);
        return 1;
    }
    return 0;
}
