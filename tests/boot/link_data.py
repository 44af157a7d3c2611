"""What tests/bench/links.c, the guest's end of a serial link, transmits, and how it sums up what it receives."""
# SPDX-License-Identifier: GPL-2.0-or-later


def pattern(size):
    data, x = bytearray(size), 1
    for i in range(size):
        x = (x * 1103515245 + 12345) & 0xffffffff
        data[i] = x >> 16 & 0xff
    return bytes(data)


def checksum(data):
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xffffffff
    return value
