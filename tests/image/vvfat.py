"""Directories as disks (fat:DIR): what mtools and fsck.vfat read from them, and what arrives in the directory when they write."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import random
import shutil
import struct
import subprocess

NAMES = ["readme.txt", "README", "Mixed Case Name.tar.gz", "\u00fcml\u00e4ut \u4e2d\u6587.txt", ".profile", "a.b.c", "UPPER.TXT",
         "x" * 200, "longfilename1.txt", "longfilename2.txt", "longfilename3.txt", "longfilename4.txt", "longfilename5.txt",
         "longfilename6.txt", "no_extension", "empty", "sp ace", "123", "a+b;c=d,[e]"]


def there(*programs):
    return all(shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin") for p in programs)


def make_tree(top, seed):
    chance = random.Random(seed)
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(top)
    for directory in ("", "sub", "sub/Deeper Directory", "sub/Deeper Directory/end", "other"):
        os.makedirs(os.path.join(top, directory), exist_ok=True)
        for name in NAMES:
            with open(os.path.join(top, directory, name), "wb") as f:
                f.write(chance.randbytes(0 if name == "empty" else chance.choice((1, 511, 512, 4096, 9000))))
    os.symlink("/etc/hostname", os.path.join(top, "link"))
    os.mkfifo(os.path.join(top, "pipe"))
    with open(os.path.join(top, "back\\slash"), "w") as f:
        f.write("FAT cannot have it")


HIDDEN = {"link", "pipe", "back\\slash"}


def contents(top):
    """Every file and directory that is shown; empty directories too."""
    found = {}
    for where, directories, files in os.walk(top):
        at = os.path.relpath(where, top)
        for name in directories:
            found[os.path.normpath(os.path.join(at, name))] = None
        for name in files:
            path = os.path.join(where, name)
            if name not in HIDDEN:
                with open(path, "rb") as f:
                    found[os.path.normpath(os.path.join(at, name))] = f.read()
    return found


def mtools(fail, *args):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240,
                          env=dict(os.environ, MTOOLS_SKIP_CHECK="1", LC_ALL="C.UTF-8"))
    if done.returncode:
        raise fail("%s: status %d: %s" % (" ".join(args), done.returncode, done.stdout.decode(errors="replace")))
    return done.stdout.decode(errors="replace")


def extracted(fail, image):
    shutil.rmtree("out", ignore_errors=True)
    os.makedirs("out")
    mtools(fail, "mcopy", "-s", "-n", "-Q", "-i", image, "::/*", "out")
    return contents("out")


def read(run, fail, img, kind, seed):
    """The volume is in order and holds what the directory holds."""
    make_tree("tree", seed)
    run(img, "convert", "-O", "raw", "fat:%stree" % kind, "disk.raw")
    start = 0 if "floppy" in kind else 63 * 512
    with open("disk.raw", "rb") as f, open("volume.raw", "wb") as volume:
        f.seek(start)
        shutil.copyfileobj(f, volume)
    checked = subprocess.run(["fsck.vfat", "-n", "volume.raw"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
    if checked.returncode:
        raise fail("fsck.vfat: " + checked.stdout.decode(errors="replace"))
    if extracted(fail, "volume.raw") != contents("tree"):
        raise fail("mtools read something else")


def write_back(run, img, kind):
    """What was done to disk.raw goes to the directory as a guest's writes would."""
    return run(img, "convert", "-n", "-O", "raw", "disk.raw", "fat:%srw:tree" % kind)


def pattern(name):
    """mtools takes the names of what there is as patterns."""
    return "::/" + name.replace("[", "?").replace("]", "?")


def changed(run, fail, img, kind, seed):
    """Files and directories come, go, change and move by mtools; the directory has the same in the end, and what is hidden stays."""
    chance = random.Random(seed)
    make_tree("tree", seed)
    image = "disk.raw" if "floppy" in kind else "disk.raw@@32256"
    for turn in range(3):
        run(img, "convert", "-O", "raw", "fat:%stree" % kind, "disk.raw")
        files = sorted(k for k, v in contents("tree").items() if v is not None)
        with open("new", "wb") as f:
            f.write(chance.randbytes(chance.choice((0, 5, 20000, 100000))))
        gone, over, moved = chance.sample(files, 3)
        mtools(fail, "mdel", "-i", image, pattern(gone))
        mtools(fail, "mcopy", "-o", "-Q", "-i", image, "new", "::/" + over)
        mtools(fail, "mren", "-i", image, pattern(moved), "::/" + os.path.join(os.path.dirname(moved), "renamed %d" % turn))
        mtools(fail, "mmd", "-i", image, "::/New Directory %d" % turn)
        mtools(fail, "mcopy", "-Q", "-i", image, "new", "::/New Directory %d/Inside" % turn)
        if turn == 1:
            mtools(fail, "mdeltree", "-i", image, "::/other")
            mtools(fail, "mcopy", "-Q", "-i", image, "new", "::/other")
        if turn == 2:
            mtools(fail, "mmove", "-i", image, "::/sub/Deeper Directory", "::/New Directory 1")
        expected = extracted(fail, image)
        write_back(run, img, kind)
        if contents("tree") != expected:
            raise fail("turn %d: the directory holds something else" % turn)
    if not HIDDEN <= set(os.listdir("tree")) or [n for n in os.listdir("tree") if n.startswith(".vole-fat")]:
        raise fail("something hidden is gone, or something temporary is left")


def find_entry(disk, short):
    at = disk.find(short)
    while at >= 0 and at % 32:
        at = disk.find(short, at + 1)
    return at


def hostile(run, fail, img, what):
    """A file system that is not in order changes nothing, and never anything outside."""
    make_tree("tree", 1)
    with open("outside", "w") as f:
        f.write("untouched")
    before = contents("tree")
    run(img, "convert", "-O", "raw", "fat:floppy:12:tree", "disk.raw")
    with open("disk.raw", "rb") as f:
        disk = bytearray(f.read())
    entry = find_entry(disk, b"README  TXT")
    assert entry > 0
    fat = 512
    cluster = struct.unpack_from("<H", disk, entry + 26)[0]

    def set_fat(n, value):
        at = fat + n + n // 2
        pair = struct.unpack_from("<H", disk, at)[0]
        struct.pack_into("<H", disk, at, (pair & 0xf) | value << 4 if n & 1 else (pair & 0xf000) | value)
    if what == "slash":
        disk[entry:entry + 11] = b"../OUTSID  "
    elif what == "dots":
        disk[entry:entry + 11] = b"..         "
    elif what == "absolute":
        disk[entry:entry + 11] = b"/TMP/X     "
    elif what in ("long slash", "long dots", "surrogate"):
        text = {"long slash": "../outside", "long dots": "..", "surrogate": "a\ud800b"}[what]
        units = [ord(c) for c in text] + [0] + [0xffff] * 13
        total = 0
        for c in b"README  TXT":
            total = ((total >> 1 | total << 7) + c) & 0xff
        long_entry = bytearray(32)
        long_entry[0], long_entry[11], long_entry[13] = 0x41, 0x0f, total
        for i, place in enumerate((1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30)):
            struct.pack_into("<H", long_entry, place, units[i])
        end = entry
        while disk[end]:
            end += 32
        disk[end:end + 64] = long_entry + disk[entry:entry + 32]
        disk[entry] = 0xe5
    elif what == "loop":
        set_fat(cluster, cluster)
    elif what == "out of the disk":
        set_fat(cluster, 0xff0)
    elif what == "shared":
        struct.pack_into("<H", disk, entry + 26, cluster + 1)
    elif what == "too long":
        struct.pack_into("<I", disk, entry + 28, 1 << 20)
    elif what == "directory circle":
        disk[entry + 11] = 0x10
        sub = find_entry(disk, b"SUB        ")
        struct.pack_into("<H", disk, entry + 26, struct.unpack_from("<H", disk, sub + 26)[0])
    elif what == "formatted":
        disk[13] = 4
    elif what == "twice":
        disk[entry:entry + 11] = b"NO_EXTENSI"[:8] + b"   "
        struct.pack_into("<H", disk, entry + 26, 0)
        struct.pack_into("<I", disk, entry + 28, 0)
        disk[entry + 32:entry + 64] = disk[entry:entry + 32]
    with open("disk.raw", "wb") as f:
        f.write(disk)
    done = subprocess.run([img, "convert", "-n", "-O", "raw", "disk.raw", "fat:floppy:12:rw:tree"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=240)
    if b"not carried out" not in done.stderr:
        raise fail("it was not refused: %s" % done.stderr.decode(errors="replace"))
    if contents("tree") != before or open("outside").read() != "untouched":
        raise fail("something has changed")


def symlink_swapped(run, fail, img):
    """A directory that became a symbolic link behind our back is not written through."""
    make_tree("tree", 2)
    shutil.rmtree("elsewhere", ignore_errors=True)
    os.makedirs("elsewhere")
    run(img, "convert", "-O", "raw", "fat:floppy:tree", "disk.raw")
    mtools(fail, "mcopy", "-Q", "-i", "disk.raw", "outside" if os.path.exists("outside") else "key", "::/other/planted")
    os.rename("tree/other", "tree.other")
    os.symlink("../elsewhere", "tree/other")
    # the link is not shown, so the guest's directory of that name cannot be made
    done = subprocess.run([img, "convert", "-n", "-O", "raw", "disk.raw", "fat:floppy:rw:tree"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=240)
    shutil.rmtree("tree.other")
    if os.listdir("elsewhere") or not os.path.islink("tree/other") or not done.stderr:
        raise fail("it was written through the link: %s" % done.stderr.decode(errors="replace"))


HOSTILE = ["slash", "dots", "absolute", "long slash", "long dots", "surrogate", "loop", "out of the disk", "shared", "too long",
           "directory circle", "formatted", "twice"]


def cases(run, fail, img, long):
    if not there("mcopy", "fsck.vfat"):
        return
    for kind in ("", "12:", "16:", "32:", "floppy:", "floppy:12:", "floppy:16:"):
        yield "vvfat, read, %s" % kind, read, run, fail, img, kind, 1
    for kind in ("", "32:", "floppy:", "12:") if long else ("floppy:", "32:"):
        for seed in range(6 if long else 1):
            yield "vvfat, changed, %s %d" % (kind, seed), changed, run, fail, img, kind, seed
    for what in HOSTILE:
        yield "vvfat, hostile, " + what, hostile, run, fail, img, what
    yield "vvfat, a directory becomes a link", symlink_swapped, run, fail, img
