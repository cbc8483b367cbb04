"""How long hostcheck takes for images, beside booting one and asking goss in it.

    python scripts/bench_images.py [--runs N]

One root of 1 GiB, as a folder and as a disk image, and sixteen such images in one call. The machine that is booted is
the image of the same Debian; its time is that from the start of QEMU until it is off again, goss having answered.
Run as root. What cannot be had is left out, and the reason printed.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator

import bench

sys.path.insert(0, str(bench.ENGINE_TESTS))
import roots

SUITE = "trixie"
SIZE = 1 << 30
IMAGES = 16

ASK = """\
import shutil, subprocess
shutil.copy("/run/truth/goss", "/usr/bin/goss")  # nothing below /run may be executed
argv = ["goss", "-g", "/run/truth/goss.yaml", "validate"]
done = subprocess.run(argv, capture_output=True, text=True)
with open("/dev/ttyS0", "w") as console:
    print(done.stdout, "goss exits with", done.returncode, file=console)
"""
"""The program that the image runs at the end of its boot, as `truth.py`."""

AIMS = (
    ("the folder", "in seconds", 0.3),
    ("the image, qcow2", "in seconds", 3),
    ("sixteen images in one call", "times one", 8.5),
)


def fill(tree: pathlib.Path) -> None:
    """Add files until the tree holds `SIZE` bytes: programs and libraries, as data of their own."""
    told = subprocess.run(["du", "-sb", tree], capture_output=True, text=True, check=True).stdout
    left = SIZE - int(told.split()[0])
    for number, file in enumerate(sorted((tree / "usr").rglob("*"))):
        if left <= 0:
            return
        if file.is_file() and not file.is_symlink():
            target = tree / "srv" / str(number % 100) / f"{number}-{file.name}"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
            left -= file.stat().st_size


def make(root: pathlib.Path, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Return a tree made from a root, and the same as a qcow2 image."""
    tree, raw, image = folder / "tree", folder / "image.raw", folder / "image.qcow2"
    subprocess.run(["cp", "-a", root, tree], check=True)
    fill(tree)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tree, raw, str(SIZE * 2 >> 10)], check=True)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, image], check=True)
    raw.unlink()
    return tree, image


def boot(image: pathlib.Path, kernel: tuple[pathlib.Path, pathlib.Path], folder: pathlib.Path) -> float:
    """Boot an image, ask goss in it, and return the seconds until it is off."""
    code, console = folder / "code.tar", folder / "console"
    (folder / "ask.py").write_text(ASK)
    (folder / "goss.yaml").write_text(bench.GOSS)
    with tarfile.open(code, "w") as tar:
        for name, file in (
            ("truth.py", folder / "ask.py"),
            ("goss.yaml", folder / "goss.yaml"),
            ("goss", bench.goss()),
        ):
            tar.add(file.resolve(), name)
    argv = ["qemu-system-x86_64", "-M", "q35", "-cpu", "max", "-smp", "2", "-m", "2048", "-no-reboot"]
    # An emulated processor, as a CI system without nested virtualization has.
    argv += ["-accel", "tcg,thread=multi", "-nodefaults", "-display", "none", "-serial", f"file:{console}"]
    for name, path, more in (("root", image, "snapshot=on"), ("code", code, "readonly=on")):
        argv += ["-drive", f"if=none,id={name},file={path},format=raw,{more}"]
        argv += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
    argv += ["-kernel", str(kernel[0]), "-initrd", str(kernel[1])]
    argv += ["-append", "root=/dev/vda rw console=ttyS0"]
    # Two at once would take more than twice as long.
    with roots.lock("boot"):
        began = time.monotonic()
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=900)
        seconds = time.monotonic() - began
    seen = console.read_text(errors="replace")
    if "goss exits with" not in seen:
        raise bench.Missing(f"the booted machine: goss did not answer: {seen[-300:]}")
    return seconds


def booted(folder: pathlib.Path) -> Iterator[str]:
    """Yield what goss in a booted machine takes."""
    sys.path.insert(0, str(bench.PROJECT / "tests/boot"))
    import images
    import pytest

    if not shutil.which("qemu-system-x86_64"):
        raise bench.Missing("the booted machine: no qemu-system-x86_64 (apt-get install qemu-system-x86)")
    try:
        seconds = boot(images.need(SUITE), images.kernel(SUITE), folder)
    except (pytest.skip.Exception, subprocess.SubprocessError) as reason:
        raise bench.Missing(f"the booted machine: {reason}") from None
    yield f"a machine booted from such an image, goss in it, in seconds: {seconds:.0f} (emulated, without KVM)"


def compare(folder: pathlib.Path, runs: int) -> Iterator[str]:
    """Yield what hostcheck takes, and what a booted machine takes."""
    import pytest

    try:
        root = roots.need(SUITE)
    except pytest.skip.Exception as reason:
        raise SystemExit(f"the root of {SUITE}: {reason}") from None
    json_ = [str(bench.install(folder, "[images]") / "hostcheck"), "-f", "json"]
    tree, image = make(root, folder)
    many = [folder / f"image{number}.qcow2" for number in range(IMAGES)]
    for one in many:
        one.symlink_to(image)
    machine = bench.here()
    names = [name for name, _, _ in AIMS]
    ways = [
        bench.Way(names[0], [*json_, str(tree)], machine),
        bench.Way(names[1], [*json_, str(image)], machine),
        bench.Way(names[2], [*json_, *map(str, many)], machine),
    ]
    yield bench.load()
    taken = bench.in_turn(ways, runs)
    machine.stop()
    yield from bench.table(taken, names[1])
    yield ""
    walls = [statistics.median(each.wall for each in taken[name]) for name in names]
    for (name, unit, aim), found in zip(AIMS, (walls[0], walls[1], walls[2] / walls[1])):
        yield f"{name}, {unit}: {found:.2f} (aim: {aim}), {'reached' if found <= aim else 'not reached'}"
    yield ""
    try:
        yield from booted(folder)
    except bench.Missing as reason:
        yield f"left out: {reason}"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each way (default: 5)")
    runs = parser.parse_args().runs
    # Not in /tmp, which may lie in memory.
    with tempfile.TemporaryDirectory(prefix="hostcheck-bench-", dir="/var/tmp") as folder:
        for line in compare(pathlib.Path(folder), runs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
