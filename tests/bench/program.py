"""The benchmark's program: built for 64 and 32 bits, run on this machine, in an emulator, in the distribution's QEMU."""
# SPDX-License-Identifier: GPL-2.0-or-later
import argparse
import glob
import math
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../boot"))
import guests  # noqa: E402

# The flags that make a class what it is; doubles are SSE2 in both builds, but for x87's.
FLAGS = {("x87", 64): ["-mfpmath=387"], ("x87", 32): ["-mfpmath=387"], ("float", 32): ["-msse2", "-mfpmath=sse"]}
KERNELS = {64: "amd64", 32: "686-pae"}
QEMU = "/usr/bin/qemu-system-x86_64"
SECONDS = 600


def arguments(doc, **more):
    """The options that all of the benchmark's scripts have, and those in more; then the emulator's command."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (text, default) in more.items():
        if default is False:
            parser.add_argument("--" + name, help=text, action="store_true")
        else:
            parser.add_argument("--" + name, help=text, default=default, type=type(default or ""))
    parser.add_argument("--no-qemu", help="leave the distribution's QEMU out", action="store_true")
    parser.add_argument("--qemu-options", help="further options for QEMU, such as '-cpu max'", default="")
    parser.add_argument("emulator", metavar="EMULATOR [OPTION...]", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if not args.emulator:
        parser.error("which emulator? For example: build/vole -accel jit")
    if not shutil.which(args.emulator[0]):
        parser.error("no emulator %s here; make builds build/vole" % args.emulator[0])
    args.emulator[0] = os.path.abspath(shutil.which(args.emulator[0]))
    os.chdir(os.path.join(HERE, "../.."))
    return args


def emulators(args):
    """(name, command) of the emulator and, where it is wanted and there, of QEMU."""
    yield " ".join(["vole"] + args.emulator[1:]), args.emulator
    if not args.no_qemu:
        if os.path.exists(QEMU):
            yield "qemu -accel tcg", [QEMU, "-accel", "tcg", "-monitor", "none", *args.qemu_options.split()]
        else:
            print("(no %s here, package qemu-system-x86: nothing to compare with)" % QEMU)


def build(bits):
    """Path of the static program."""
    os.makedirs(guests.BUILD, exist_ok=True)
    program = os.path.join(guests.BUILD, "kernels%d" % bits)
    headers = glob.glob(os.path.join(HERE, "*.h"))
    objects, changed = [], not os.path.exists(program)
    if bits == 32:
        probe = subprocess.run(["cc", "-m32", "-static", "-xc", "-", "-o", os.devnull], input=b"int main(void) { return 0; }",
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if probe.returncode:
            sys.exit("bench: cc -m32 cannot link a static program (packages libc6-dev-i386 and lib32gcc-12-dev); --bits 64 does without")
    for source in sorted(glob.glob(os.path.join(HERE, "*.c"))):
        with open(source, encoding="utf-8") as f:
            if '"bench.h"' not in f.read():
                continue  # a program of its own
        name = os.path.basename(source)[:-2]
        objects.append("%s-%s.o" % (program, name))
        newest = max(os.path.getmtime(f) for f in [source, os.path.abspath(__file__)] + headers)
        if not os.path.exists(objects[-1]) or os.path.getmtime(objects[-1]) < newest:
            changed = True
            subprocess.run(["cc", "-m%d" % bits, "-O2", *FLAGS.get((name, bits), []), "-c", "-o", objects[-1], source], check=True)
    if changed:
        subprocess.run(["cc", "-m%d" % bits, "-static", "-o", program, *objects, "-lm"], check=True)
    return program


def run_native(bits, words):
    done = subprocess.run([build(bits), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=SECONDS)
    if done.returncode:
        sys.exit("bench: natively: status %d\n%s" % (done.returncode, done.stdout.decode()))
    return done.stdout.decode()


def run_guest(command, bits, words, *options):
    """What the program prints in a guest of the emulator's."""
    image = os.path.join(guests.BUILD, "bench%d" % bits)
    initramfs = guests.initramfs(os.path.basename(image), os.path.join(HERE, "program-init"), KERNELS[bits],
                                 files=["/bin/kernels=" + build(bits)])
    machine = ["-m", "512", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none", "-kernel",
               guests.kernel(KERNELS[bits]), "-initrd", initramfs, "-append",
               'console=ttyS0 quiet panic=-1 tsc=reliable bench="%s"' % " ".join(words)]
    try:
        done = subprocess.run([*command, *machine, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=SECONDS)
    except subprocess.TimeoutExpired as e:
        sys.exit("bench: %s: not done after %d s\n%s" % (command[0], SECONDS, (e.stdout or b"")[-1000:].decode(errors="replace")))
    text = done.stdout.decode(errors="replace").replace("\r", "")
    if "BENCH END 0\n" not in text:
        sys.exit("bench: %s: the program did not end well; status %d\n%s" % (command[0], done.returncode, text[-1000:]))
    return text


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(math.log(v) for v in values) / len(values))


def verdict(value, target, at_least=True):
    """'2.70 (2.5: reached)', or that it was not."""
    reached = value >= target if at_least else value <= target
    return "%.2f (%s %g: %s)" % (value, "at least" if at_least else "at most", target, "reached" if reached else "NOT reached")
