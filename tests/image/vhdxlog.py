"""vhdx: logs that a crash left, written here after [MS-VHDX] 2.3, and what a replay makes of them.

Each image is one that another program made, with changes that stand in its log alone. Replaying must bring every byte outside of the
headers and the log to what the log says, or leave the file as it is; the other program replays the same file beside us.
"""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import random
import shutil
import struct
import subprocess
import uuid

SECTOR, MB = 4096, 1 << 20
HEADERS = (64 << 10, 128 << 10)
BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
GUID, OTHER = bytes(range(1, 17)), bytes(range(101, 117))
DISK = 6 * MB

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def data(offset, content):
    return ("data", offset, content.ljust(SECTOR, b"\0"))


def zero(offset, length):
    return ("zero", offset, length)


class Entry:
    """guid, sum, part, piece: what is wrong with it, if anything; length: in place of the right one."""

    def __init__(self, sequence, changes, tail, flushed, last, guid=GUID, wrong=None):
        self.changes = changes
        sectors, head = [], bytearray(64)
        for i, (kind, offset, what) in enumerate(changes):
            mark = sequence + (wrong == "descriptor" and i == 0)
            if kind == "zero":
                head += struct.pack("<4sIQQQ", b"zero", 0, what, offset, mark)
            else:
                head += struct.pack("<4s4s8sQQ", b"desc", what[-4:], what[:8], offset, mark)
                mark = sequence + (wrong == "data sector" and i == 0)
                sectors.append(struct.pack("<4sI", b"data", mark >> 32) + what[8:-4] + struct.pack("<I", mark & 0xffffffff))
        head += bytes(-len(head) % SECTOR)
        length = len(head) + SECTOR * len(sectors)
        head[:64] = struct.pack("<4sIIIQII16sQQ", b"loge", 0, length, tail, sequence, len(changes), 0, guid, flushed, last)
        image = bytearray(bytes(head) + b"".join(sectors))
        image[4:8] = struct.pack("<I", crc32c(image) ^ (wrong == "checksum"))
        if wrong == "torn":
            image[len(image) // 2:] = bytes(len(image) - len(image) // 2)
        self.image = bytes(image)


class Image:
    def __init__(self, fail, name):
        self.fail, self.name = fail, name
        with open(name, "rb") as f:
            self.file = bytearray(f.read())
        newest = max(HEADERS, key=lambda at: struct.unpack_from("<Q", self.file, at + 8))
        self.log_length, self.log = struct.unpack_from("<IQ", self.file, newest + 68)
        at = 192 << 10
        for i in range(struct.unpack_from("<I", self.file, at + 8)[0]):
            guid, offset = struct.unpack_from("<16sQ", self.file, at + 16 + 32 * i)
            if guid == BAT:
                self.bat = offset
        self.size = len(self.file)

    def block(self, index):
        return struct.unpack_from("<Q", self.file, self.bat + 8 * index)[0] >> 20 << 20

    def put_log(self, placed):
        """[(offset in the log, Entry)]; the log is a ring."""
        for at, entry in placed:
            for i in range(0, len(entry.image), SECTOR):
                where = self.log + (at + i) % self.log_length
                self.file[where:where + SECTOR] = entry.image[i:i + SECTOR]
        for at in HEADERS:
            head = self.file[at:at + SECTOR]
            head[48:64] = GUID
            head[4:8] = bytes(4)
            head[4:8] = struct.pack("<I", crc32c(head))
            self.file[at:at + SECTOR] = head
        self.write()

    def write(self):
        with open(self.name, "wb") as f:
            f.write(self.file)

    def expect(self, entries):
        """What the file holds when these were replayed."""
        want = bytearray(self.file)
        for entry in entries:
            last = struct.unpack_from("<Q", entry.image, 56)[0]
            want += bytes(max(last - len(want), 0))
            for kind, offset, what in entry.changes:
                n = what if kind == "zero" else SECTOR
                want[offset:offset + n] = bytes(n) if kind == "zero" else what
        return want

    def differs(self, name, want):
        """Outside of headers and log; the first place, or None."""
        with open(name, "rb") as f:
            have = f.read()
        if len(have) < len(want) or any(have[len(want):]):
            return "%d bytes long, not %d" % (len(have), len(want))
        for at in range(192 << 10, len(want), SECTOR):
            if not self.log <= at < self.log + self.log_length and have[at:at + SECTOR] != want[at:at + SECTOR]:
                return "byte %#x" % at
        return None


def sequence(image, changes, first=7, at=0, **more):
    """Entries in a row, from `at` on; [(offset in the log, Entry)]."""
    placed, tail = [], at
    for i, some in enumerate(changes):
        arguments = dict(tail=tail, flushed=image.size, last=image.size)
        arguments.update(more if i == len(changes) - 1 else {})
        entry = Entry(first + i, some, **arguments)
        placed.append((at, entry))
        at = (at + len(entry.image)) % image.log_length
    return placed


def entries(placed):
    return [e for _, e in placed]


# NAME: a function that gives (what stands in the log, which entries are replayed; None: the image is refused)

def one(image, new_bat, chance):
    log = sequence(image, [[data(image.bat, new_bat)]])
    return log, entries(log)


def several(image, new_bat, chance):
    log = sequence(image, [[data(image.bat, new_bat), zero(image.block(1), 64 << 10),
                            data(image.block(1) + SECTOR, chance.randbytes(SECTOR)), zero(image.block(2) + SECTOR, SECTOR)]])
    return log, entries(log)


def row(image, new_bat, chance):
    """Later entries win."""
    place = image.block(1)
    log = sequence(image, [[data(place, b"first"), data(image.bat, bytes(SECTOR))], [data(place, b"second")],
                           [data(place + SECTOR, b"third"), data(image.bat, new_bat)]])
    return log, entries(log)


def wrapped(image, new_bat, chance):
    """Entries that stand across the log's end."""
    log = sequence(image, [[data(image.block(1), b"first"), data(image.block(1) + SECTOR, b"1")],
                           [data(image.bat, new_bat), data(image.block(2), b"second"), zero(image.block(1), SECTOR)]],
                   at=image.log_length - 4 * SECTOR)
    return log, entries(log)


def across(image, new_bat, chance):
    log = sequence(image, [[data(image.bat, new_bat), data(image.block(2), b"in front"), data(image.block(1), b"behind")]],
                   at=image.log_length - 2 * SECTOR)
    return log, entries(log)


def many_descriptors(image, new_bat, chance):
    """More than stand in one sector."""
    log = sequence(image, [[data(image.bat, new_bat)] + [data(image.block(1) + i * SECTOR, chance.randbytes(SECTOR))
                                                         for i in range(140)]])
    return log, entries(log)


def nothing_to_do(image, new_bat, chance):
    """The newest entry has no descriptors."""
    log = sequence(image, [[data(image.bat, new_bat)], []])
    return log, entries(log)


def spoilt(wrong):
    def case(image, new_bat, chance):
        """The entry behind is not whole: those before it count."""
        good = [[data(image.bat, new_bat)], [data(image.block(1), b"good")]]
        log = sequence(image, good)
        bad = sequence(image, good + [[data(image.block(1), b"bad"), data(image.block(2), b"bad")]], wrong=wrong)[2:]
        return log + bad, entries(log)
    return case


def spoilt_alone(image, new_bat, chance):
    """No entry is whole: nothing happens, and the image can be used."""
    return sequence(image, [[data(image.bat, new_bat)]], wrong="checksum"), []


def no_entries(image, new_bat, chance):
    return [], []


def spoilt_middle(image, new_bat, chance):
    """The newest entry's tail leads over one that is not whole; nothing else is complete but the first entry."""
    log = sequence(image, [[data(image.bat, new_bat)], [data(image.block(1), b"bad")], [data(image.block(2), b"bad")]])
    log[1] = (log[1][0], Entry(8, log[1][1].changes, tail=0, flushed=image.size, last=image.size, wrong="checksum"))
    return log, entries(log[:1])


def gap(image, new_bat, chance):
    """Sequence numbers with a gap are no sequence."""
    log = sequence(image, [[data(image.bat, new_bat)], [data(image.block(1), b"good")]])
    at = sum(len(e.image) for e in entries(log))
    return log + [(at, Entry(10, [data(image.block(2), b"bad")], tail=0, flushed=image.size, last=image.size))], entries(log)


def older_log(image, new_bat, chance):
    """Entries of another log, with greater numbers."""
    log = sequence(image, [[data(image.bat, new_bat)]])
    old = sequence(image, [[data(image.block(1), b"old")], [data(image.block(2), b"old")]], first=900, at=16 * SECTOR)
    return log + [(at, Entry(900 + i, e.changes, tail=16 * SECTOR, flushed=image.size, last=image.size, guid=OTHER))
                  for i, (at, e) in enumerate(old)], entries(log)


def two_sequences(image, new_bat, chance):
    """The one with the greater numbers counts; the other is in its places already."""
    old = sequence(image, [[data(image.block(1), b"old"), data(image.bat, bytes(SECTOR))], [data(image.block(2), b"old")]], first=3)
    new = sequence(image, [[data(image.bat, new_bat)], [data(image.block(1), b"new")]], first=5, at=32 * SECTOR)
    return old + new, entries(new)


def large_numbers(image, new_bat, chance):
    log = sequence(image, [[data(image.bat, new_bat)], [data(image.block(1), b"large")]], first=(1 << 40) - 1)
    return log, entries(log)


def longer(image, new_bat, chance):
    """The file becomes as long as the log says."""
    log = sequence(image, [[data(image.bat, new_bat), data(image.size + SECTOR, b"behind")]], last=image.size + 3 * MB - SECTOR)
    return log, entries(log)


def cut_off(image, new_bat, chance):
    """More of the file was flushed than there is."""
    return sequence(image, [[data(image.bat, new_bat)]], flushed=image.size + 2 * MB, last=image.size + 2 * MB), None


def outside(image, new_bat, chance):
    """A sector behind what the file shall be."""
    return sequence(image, [[data(image.bat, new_bat), data(image.size + MB, b"outside")]]), None


def endless(image, new_bat, chance):
    """64 GB of zeroes, behind the end as well."""
    return sequence(image, [[data(image.bat, new_bat), zero(image.block(1), 64 << 30)]]), None


def too_long(image, new_bat, chance):
    return sequence(image, [[data(image.bat, new_bat)]], last=1 << 50), None


def zeroes_of_zeroes(image, new_bat, chance):
    """The whole file, over and over."""
    return sequence(image, [[zero(image.block(1), image.size - image.block(1))] * 5000]), None


CASES = {
    "one entry": one,
    "several descriptors": several,
    "three entries": row,
    "entries wrapped": wrapped,
    "an entry across the end": across,
    "two sectors of descriptors": many_descriptors,
    "an entry without descriptors": nothing_to_do,
    "a wrong checksum at the end": spoilt("checksum"),
    "a torn entry at the end": spoilt("torn"),
    "a descriptor of another entry": spoilt("descriptor"),
    "a data sector of another entry": spoilt("data sector"),
    "a wrong checksum alone": spoilt_alone,
    "a wrong checksum in the middle": spoilt_middle,
    "an empty log": no_entries,
    "a gap in the numbers": gap,
    "entries of an older log": older_log,
    "two sequences": two_sequences,
    "large numbers": large_numbers,
    "a longer file": longer,
    "a file that was cut off": cut_off,
    "a sector outside": outside,
    "zeroes without end": endless,
    "zeroes, over and over": zeroes_of_zeroes,
    "a file without end": too_long,
}
# Where qemu-img 7.2 does not do what the specification says: it refuses the image, or (the last one) replays nothing.
NOT_THEIRS = {"two sectors of descriptors", "a descriptor of another entry", "a data sector of another entry",
              "a wrong checksum in the middle"}


def base(run, img, name):
    """A disk all of whose blocks are there; then the table in the file says that two are not."""
    chance = random.Random(5)
    with open("vhdx.raw", "wb") as f:
        f.write(chance.randbytes(DISK))
    run(shutil.which("qemu-img") or img, "convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1M", "vhdx.raw", name)


def prepared(run, fail, img, name):
    base(run, img, name)
    image = Image(fail, name)
    new_bat = bytes(image.file[image.bat:image.bat + SECTOR])
    struct.pack_into("<QQ", image.file, image.bat + 8 * 3, 0, 0)
    return image, new_bat


def attempt(tool, name):
    done = subprocess.run([tool, "check", "-f", "vhdx", "-r", "all", name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=240)
    return done.returncode, done.stdout.decode(errors="replace")


def replayed(image, tool, name, replays):
    """One program's replay; `replays` None: it must refuse, and leave the file alone."""
    status, text = attempt(tool, name)
    if replays is None:
        with open(name, "rb") as f:
            if status == 0 or " log " not in text + " " or f.read() != image.file:
                raise image.fail("%s: not refused, or the file was changed: status %d: %s" % (tool, status, text))
        return
    wrong = image.differs(name, image.expect(replays))
    if status or wrong:
        raise image.fail("%s: status %d, %s: %s" % (tool, status, wrong, text))


def add_log(name):
    """Something to replay, for the fuzzer of images."""
    image = Image(None, name)
    table = bytes(image.file[image.bat:image.bat + SECTOR])
    image.put_log(sequence(image, [[data(image.bat, table), zero(image.block(0), 64 << 10)],
                                   [data(image.block(0), b"first"), data(image.block(0) + SECTOR, b"second")]],
                           at=image.log_length - 3 * SECTOR, last=image.size + SECTOR))


def refused_read_only(image, img):
    """Until then nobody can read it, and nothing changes by trying."""
    done = subprocess.run([img, "map", "-f", "vhdx", image.name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=240)
    with open(image.name, "rb") as f:
        if done.returncode != 1 or b"check -r all" not in done.stderr or f.read() != image.file:
            raise image.fail("map: status %d: %s" % (done.returncode, done.stderr.decode(errors="replace")))


def replay(run, fail, img, name):
    image, new_bat = prepared(run, fail, img, "ours.vhdx")
    placed, replays = CASES[name](image, new_bat, random.Random(6))
    image.put_log(placed)
    qemu = shutil.which("qemu-img")
    shutil.copy("ours.vhdx", "theirs.vhdx")
    if replays:
        refused_read_only(image, img)
    replayed(image, img, "ours.vhdx", replays)
    if replays is None:
        return
    if qemu and name not in NOT_THEIRS:
        replayed(image, qemu, "theirs.vhdx", replays)
        for tool in (img, qemu):
            run(tool, "compare", "-f", "vhdx", "-F", "vhdx", "ours.vhdx", "theirs.vhdx")
    # A crash while replaying: headers and log are as they were, the rest is not.
    with open("ours.vhdx", "r+b") as f:
        f.write(image.file[:192 << 10])
        f.seek(image.log)
        f.write(image.file[image.log:image.log + image.log_length])
    replayed(image, img, "ours.vhdx", replays)
    run(img, "check", "-f", "vhdx", "ours.vhdx")


def far_zeroes(run, fail, img):
    """Zeroes as far as the log makes the file: those behind its old end cost neither time nor storage."""
    image, new_bat = prepared(run, fail, img, "ours.vhdx")
    far = 63 << 30
    image.put_log(sequence(image, [[data(image.bat, new_bat), zero(image.size - SECTOR, far + SECTOR)]], last=image.size + far))
    before = os.stat("ours.vhdx").st_blocks
    status, text = attempt(img, "ours.vhdx")
    st = os.stat("ours.vhdx")
    if status or st.st_size != image.size + far or st.st_blocks > before + 2048:
        raise fail("status %d, %d bytes in %d blocks, before %d: %s" % (status, st.st_size, st.st_blocks, before, text))


def large_log(run, fail, img):
    """Replayed piece by piece, however long the log is."""
    run(img, "create", "-q", "-f", "vhdx", "-o", "block_size=1M,log_size=512M", "large.vhdx", "6M")
    image = Image(fail, "large.vhdx")
    table = bytearray(image.file[image.bat:image.bat + SECTOR])
    struct.pack_into("<Q", table, 0, image.size | 6)
    last = image.size + MB
    image.put_log(sequence(image, [[data(image.bat, bytes(table)), data(image.size, b"in a block")]], last=last,
                           at=image.log_length - SECTOR))
    if attempt(img, "large.vhdx")[0]:
        raise fail("it was not replayed")
    run(img, "convert", "-f", "vhdx", "-O", "raw", "large.vhdx", "large.raw")
    os.unlink("large.vhdx")
    with open("large.raw", "rb") as f:
        if f.read(SECTOR) != b"in a block".ljust(SECTOR, b"\0"):
            raise fail("the block is not there")


def cases(run, fail, img, long):
    for name in CASES:
        yield "vhdx log, " + name, replay, run, fail, img, name
    yield "vhdx log, zeroes behind the end", far_zeroes, run, fail, img
    yield "vhdx log, of 512 MB", large_log, run, fail, img
