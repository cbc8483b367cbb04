"""Boots an image in QEMU, and brings back what `truth` found inside."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import time
from typing import Any, NamedTuple

import images
import pytest
import roots

PROJECT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 900
"""Of processor time, which a boot on a busy machine needs as one on a quiet machine."""
PATIENCE = 3600
"""Seconds until a machine that does nothing is given up."""
ANSWER = 64 << 20
END = ("Freezing execution", "Kernel panic", "end Kernel panic", "You are in emergency mode")
"""What the console says where no answer will come."""


class Boot(NamedTuple):
    """What came of a boot."""

    answer: dict[str, Any] | None
    """None where the machine did not come as far as multi-user.target."""
    console: str
    seconds: float


def _code(target: pathlib.Path, spec: dict[str, Any], deb: pathlib.Path | None) -> None:
    """Write hostcheck, the program that looks, and what a container is made of, as a disk."""
    spec_file = target.with_suffix(".json")
    spec_file.write_text(json.dumps(spec))
    with tarfile.open(target, "w") as tar:

        def plain(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
            item.uid = item.gid = 0
            return None if "__pycache__" in item.name else item

        tar.add(PROJECT / "hostcheck", "hostcheck", filter=plain)
        tar.add(PROJECT / "checks", "hostcheck/checks", filter=plain)
        for name in ("truth.py", "exporter.py"):
            tar.add(pathlib.Path(__file__).with_name(name), name)
        if deb:
            tar.add(deb, "hostcheck.deb")
        tar.add(spec_file, "spec.json")
        box = images.busybox()
        if box:
            tar.add(box.resolve(), "image/busybox")


def boot(
    image: pathlib.Path,
    work: pathlib.Path,
    kernel: tuple[pathlib.Path, pathlib.Path] | None,
    cmdline: str = "",
    keep: bool = False,
    deb: pathlib.Path | None = None,
    **spec: Any,
) -> Boot:
    """Boot an image; without a kernel, through its own boot loader.

    What it writes is kept only where asked for. With a deb of hostcheck, its units are tried in the end.
    """
    roots.need_tool("qemu-system-x86_64")
    code, answer, console = (work / name for name in ("code.tar", "answer", "console"))
    _code(code, spec, deb)
    with answer.open("wb") as file:
        file.truncate(ANSWER)
    arguments = ["qemu-system-x86_64", "-M", "q35", "-cpu", "max", "-accel", "tcg,thread=multi"]
    arguments += ["-smp", "2", "-m", "2048", "-nodefaults", "-display", "none", "-no-reboot"]
    arguments += ["-serial", f"file:{console}", "-device", "virtio-rng-pci"]
    for name, path, more in (
        ("root", image, "" if keep else ",snapshot=on"),
        ("code", code, ",readonly=on"),
        ("answer", answer, ""),
    ):
        arguments += ["-drive", f"if=none,id={name},file={path},format=raw,cache=unsafe{more}"]
        arguments += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
    if kernel:
        arguments += ["-kernel", str(kernel[0]), "-initrd", str(kernel[1]), "-append", cmdline]
    # Two at once take more than twice as long, and the limit is one of time.
    with roots.lock("boot"):
        began = time.monotonic()
        with (work / "qemu.log").open("wb") as log:
            machine = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            _wait(machine, console, began + PATIENCE)
        finally:
            machine.kill()
            machine.wait()
    seen = console.read_text(errors="replace") if console.exists() else ""
    found = answer.read_bytes().split(b"\0", 1)[0]
    seconds = time.monotonic() - began
    return Boot(json.loads(found) if found else None, seen, seconds)


def _wait(machine: subprocess.Popen[bytes], console: pathlib.Path, limit: float) -> None:
    """Wait until the machine is off, or has said that it never will be."""
    while machine.poll() is None and time.monotonic() < limit and _spent(machine.pid) < SECONDS:
        time.sleep(1)
        seen = console.read_text(errors="replace")[-4000:] if console.exists() else ""
        if any(words in seen for words in END):
            time.sleep(2)
            return


def _spent(pid: int) -> float:
    """Return the processor time of a process (proc_pid_stat(5), utime and stime)."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def can_boot() -> None:
    """Skip the test where nothing can be booted."""
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("needs qemu-system-x86_64 (apt-get install qemu-system-x86)")
