"""Images of formats that no program of the distribution writes: cloop, dmg."""
# SPDX-License-Identifier: GPL-2.0-or-later
import base64
import bz2
import struct
import zlib


def write_cloop(name, data, block):
    """Blocks of zlib behind a table of their places."""
    data += bytes(-len(data) % block)
    blocks = [zlib.compress(data[at:at + block]) for at in range(0, len(data), block)]
    with open(name, "wb") as f:
        f.write(b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n".ljust(128, b"\0"))
        f.write(struct.pack(">II", block, len(blocks)))
        at = 136 + 8 * (len(blocks) + 1)
        for piece in blocks + [b""]:
            f.write(struct.pack(">Q", at))
            at += len(piece)
        f.write(b"".join(blocks))
    return data


def write_dmg(name, data, chunk, kinds, resources=False):
    """Tables of two partitions in the trailer's property list, or in a resource fork; kinds of chunks by turns."""
    out, tables, half = bytearray(), [], len(data) // 1024 // 2 * 1024
    for first, end in ((0, half), (half, len(data))):
        entries = []
        for i, at in enumerate(range(first, end, chunk)):
            piece, kind = data[at:min(at + chunk, end)], kinds[i % len(kinds)]
            if not any(piece):
                kind, packed = ("zero", b"") if i % 2 else ("ignored", b"")
            else:
                packed = {"raw": bytes, "zlib": zlib.compress, "bzip2": bz2.compress}[kind](piece)
            entries.append(struct.pack(">IIQQQQ", {"zero": 0, "raw": 1, "ignored": 2, "zlib": 0x80000005, "bzip2": 0x80000006}[kind], 0,
                                       (at - first) // 512, len(piece) // 512, len(out), len(packed)))
            out += packed
        entries.append(struct.pack(">IIQQQQ", 0xffffffff, 0, (end - first) // 512, 0, len(out), 0))
        tables.append(struct.pack(">4sIQQQII", b"mish", 1, first // 512, (end - first) // 512, 0, 0, len(tables)) + bytes(160)
                      + struct.pack(">I", len(entries)) + b"".join(entries))
    if resources:
        body = b"".join(struct.pack(">I", len(t)) + t for t in tables)
        listed = struct.pack(">IIII", 256, 256 + len(body), len(body), 0).ljust(256, b"\0") + body
    else:
        listed = ("<?xml version=\"1.0\"?><plist><dict><key>resource-fork</key><dict><key>blkx</key><array>" + "".join(
            "<dict><key>Data</key><data>\n%s</data></dict>" % base64.encodebytes(t).decode() for t in tables)
            + "</array></dict></dict></plist>").encode()
    koly = bytearray(512)
    koly[:16] = struct.pack(">4sIII", b"koly", 4, 512, 1)
    koly[24:40] = struct.pack(">QQ", 0, len(out))
    koly[40 if resources else 216:56 if resources else 232] = struct.pack(">QQ", len(out), len(listed))
    koly[492:500] = struct.pack(">Q", len(data) // 512)
    with open(name, "wb") as f:
        f.write(out + listed + koly)
