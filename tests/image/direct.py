"""Images past the host's cache (O_DIRECT): sizes that are no multiple of a block, a file system whose blocks have 4 KB, devices."""
# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import os
import random
import shutil
import subprocess

ODD = (1, 511, 513, 1000, 4097, 4608, 65537, 300544)
AIO = ("threads", "native", "io_uring")
MB = 1 << 20


def quiet(*args):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=240)
    return done.stdout.decode().strip() if done.returncode == 0 else None


def make(name, size):
    with open(name, "wb") as f:
        f.write(random.Random(size).randbytes(size))


def read(name):
    with open(name, "rb") as f:
        return f.read()


@contextlib.contextmanager
def loop_device(size, sector):
    """The host's block device over a file, or None where that is not possible here."""
    with open("loop.img", "wb") as f:
        f.truncate(size)
    device = quiet("losetup", "-f", "--show", "-b", str(sector), os.path.abspath("loop.img"))
    try:
        yield device
    finally:
        if device:
            subprocess.run(["losetup", "-d", device], check=True)


@contextlib.contextmanager
def small_files(sector):
    """A directory where O_DIRECT goes by blocks of so many bytes; None: this one."""
    if not sector:
        yield "."
        return
    with loop_device(24 * MB, sector) as device:
        os.makedirs("mounted", exist_ok=True)
        if not device or quiet("mkfs.ext4", "-q", device) is None or quiet("mount", device, "mounted") is None:
            yield None
            return
        try:
            yield "mounted"
        finally:
            subprocess.run(["umount", "mounted"], check=True)


def there(where):
    if not where:
        return False
    try:
        make(where + "/probe", 4096)
        os.close(os.open(where + "/probe", os.O_RDONLY | os.O_DIRECT))
        return True
    except OSError:
        return False


def odd_sizes(run, fail, img, sector):
    """They come through whole, whoever reads and writes."""
    with small_files(sector) as where:
        for size in ODD if there(where) else ():
            source, out = where + "/odd.source", where + "/odd.copy"
            make(source, size)
            want = read(source).ljust(-(-size // 512) * 512, b"\0")
            for aio in AIO:
                for form in ("raw", "qcow2"):
                    run(img, "convert", "-T", "none", "-t", "none", "-f", "raw", "-O", form, source, out)
                    run(img, "bench", "-q", "-t", "none", "-i", aio, "-c", "3", "-s", "512", "-f", form, out)
                    run(img, "convert", "-T", "none", "-f", form, "-O", "raw", out, "odd.plain")
                    if read("odd.plain") != want or (form == "raw" and os.path.getsize(out) != len(want)):
                        raise fail("%d bytes, %s, aio=%s: other contents" % (size, form, aio))
                    os.unlink(out)


def written_at_the_end(run, fail, img, sector):
    """The last sectors, in a block that the file ends in: no longer disk, nothing else changed."""
    with small_files(sector) as where:
        for size in (512, 1024, 4608, 65024) if there(where) else ():
            for aio in AIO:
                name = where + "/end"
                make(name, size)
                before = read(name)
                run(img, "bench", "-q", "-w", "--pattern=65", "-t", "none", "-i", aio, "-c", "1", "-s", "512", "-o",
                    str(size - 512), "-f", "raw", name)
                if read(name) != before[:-512] + b"A" * 512:
                    raise fail("%d bytes, aio=%s: %d bytes now, or other contents" % (size, aio, os.path.getsize(name)))


def preallocated(run, fail, img, sector):
    with small_files(sector) as where:
        for old, new in ((1000, 301056), (512, 1024), (4096, 70144)) if there(where) else ():
            name = where + "/full"
            make(name, old)
            image = "driver=raw,file.driver=file,file.filename=%s,file.cache.direct=on" % name
            run(img, "resize", "-q", "--preallocation=full", "--image-opts", image, str(new))
            st = os.stat(name)
            make("old", old)
            if read(name) != read("old").ljust(new, b"\0") or st.st_blocks * 512 < new:
                raise fail("%d to %d: %d bytes, %d blocks" % (old, new, st.st_size, st.st_blocks))
            run(img, "convert", "-t", "none", "-f", "raw", "-O", "raw", "-o", "preallocation=full", "old", where + "/copy")
            if read(where + "/copy")[:old] != read("old"):
                raise fail("a copy of %d bytes" % old)


def not_possible(run, fail, img):
    """A file system without O_DIRECT: one line that says what to do."""
    image = "driver=raw,file.driver=file,file.filename=/proc/version,file.cache.direct=on"
    done = subprocess.run([img, "info", "--image-opts", image], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=240)
    text = done.stderr.decode()
    if done.returncode != 1 or text.count("\n") != 1 or "O_DIRECT" not in text or "cache mode" not in text:
        raise fail("status %d: %s" % (done.returncode, text))


def devices(run, fail, img, sector):
    """Sizes, contents, and what a device cannot do."""
    size = 3 * MB + (512 if sector == 512 else 4096)
    with loop_device(size, sector) as device:
        if not device:
            return
        if '"virtual-size": %d,' % size not in run(img, "info", "--output=json", "-f", "raw", device):
            raise fail("info: another size than %d" % size)
        make("disk", size - sector)
        for cache in ("none", "writeback", "directsync"):
            for form in ("raw", "qcow2"):
                source = "disk" if form == "raw" else "small"
                make("small", MB)
                quiet("dd", "if=/dev/zero", "of=" + device, "bs=1M", "conv=nocreat")
                run(img, "create", "-q", "-f", form, device, str(os.path.getsize(source)))
                run(img, "convert", "-n", "-t", cache, "-f", "raw", "-O", form, source, device)
                run(img, "convert", "-T", cache, "-f", form, "-O", "raw", device, "back")
                if not read("back").startswith(read(source)):
                    raise fail("%s, cache=%s: other contents" % (form, cache))
                os.unlink("back")
        for arguments in (("resize", "-f", "raw", device, "8M"), ("create", "-q", "-f", "raw", device, "8M")):
            done = subprocess.run([img, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=240)
            if done.returncode != 1 or b"device" not in done.stderr or b"bytes" not in done.stderr:
                raise fail("%s: %s" % (arguments, done.stderr.decode()))


def cases(run, fail, img, long):
    can_loop = os.geteuid() == 0 and shutil.which("losetup", path=os.environ["PATH"] + ":/sbin:/usr/sbin")
    for sector in (None, 4096) if can_loop else (None,):
        name = ", in blocks of 4 KB" if sector else ""
        yield "direct, odd sizes" + name, odd_sizes, run, fail, img, sector
        yield "direct, the last sectors" + name, written_at_the_end, run, fail, img, sector
        yield "direct, preallocated" + name, preallocated, run, fail, img, sector
    yield "direct, not possible", not_possible, run, fail, img
    for sector in (512, 4096) if can_loop else ():
        yield "direct, a device in blocks of %d" % sector, devices, run, fail, img, sector
