"""Images that boot: a Debian root of `roots` with init, GRUB and Python, as a raw file, kept; and changed copies."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping

import pytest
import roots

PACKAGES = ("systemd-sysv", "python3", "python3-yaml", "grub-pc")
"""What a root lacks for a boot of its own, and for hostcheck inside."""

DEPENDENCIES = (
    "python3-rich", "python3-prometheus-client", "python3-jinja2", "python3-h11", "python3-bcrypt",
)  # fmt: skip
"""What hostcheck's own deb depends on, where it is installed with no network; those of Debian 11 are too old."""

SIZE = 8 << 30
"""With room for what a healthy host has; the file is sparse."""
ALIGN = 1 << 20

# The code comes on one disk and the answer goes to another, so that no image is made anew when either changes.
FILES = {
    "etc/fstab": "LABEL=root / ext4 errors=remount-ro 0 1\n",
    "etc/hostname": "image\n",
    "etc/truth": """mkdir -p /run/truth
tar -xf /dev/disk/by-id/virtio-code -C /run/truth
python3 /run/truth/truth.py /dev/disk/by-id/virtio-answer
sync
systemctl poweroff --force --force
""",
    "etc/systemd/system/truth.service": """[Unit]
After=docker.service docker.socket containerd.service local-fs.target systemd-udev-settle.service
Wants=systemd-udev-settle.service
[Service]
Type=oneshot
ExecStart=/bin/sh /etc/truth
StandardOutput=tty
StandardError=inherit
""",
    # dockerd sets some itself.
    "etc/systemd/system/early.service": """[Unit]
DefaultDependencies=no
After=systemd-sysctl.service systemd-modules-load.service
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=-/bin/sh -c 'sysctl -a >/run/early-sysctl 2>/dev/null'
""",
    # What the kernel has before the files are applied.
    "etc/systemd/system/before.service": """[Unit]
DefaultDependencies=no
After=systemd-modules-load.service
Before=systemd-sysctl.service
[Service]
Type=oneshot
ExecStart=-/bin/sh -c 'sysctl -a >/run/before-sysctl 2>/dev/null'
""",
    "etc/systemd/system/multi-user.target.wants/truth.service": "-> ../truth.service",
    "etc/systemd/system/sysinit.target.wants/early.service": "-> ../early.service",
    "etc/systemd/system/sysinit.target.wants/before.service": "-> ../before.service",
}

MAKE = r"""
set -e
tree=$1 work=$2 image=$3 size=$4; shift 4
mount --make-rprivate /
mount -t tmpfs none "$work"
mkdir "$work/up" "$work/work" "$work/root"
mount -t overlay none -o "lowerdir=$tree,upperdir=$work/up,workdir=$work/work" "$work/root"
root=$work/root
mount -t proc none "$root/proc"
mount --bind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
chroot "$root" apt-get -q -o Acquire::Check-Valid-Until=false update
chroot "$root" apt-get -q -y install --no-install-recommends --no-upgrade "$@"
rm -rf "$root/usr/sbin/policy-rc.d" "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
umount "$root/proc" "$root/dev"
cp -a files/. "$root/"
for file in vmlinuz initrd.img; do
    cp "$(ls "$root"/boot/$file-* | sort -V | tail -n 1)" "$image.$file"
done
mkfs.ext4 -q -F -L root -d "$root" "$image" "$size"
"""


def lay(files: Mapping[str, str], folder: pathlib.Path) -> None:
    """Write files below a folder; a text of `-> TARGET` makes a link."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            target.symlink_to(content[3:])
        else:
            target.write_text(content)
            target.chmod(0o644)


def packages(suite: str) -> tuple[str, ...]:
    """Return what an image has; its root has most of it, if not all."""
    more = DEPENDENCIES if suite != "bullseye" else ()
    return (*roots.PACKAGES, *roots.ALSO.get(suite, ()), *PACKAGES, *more)


def need(suite: str) -> pathlib.Path:
    """Return the image of a suite, made when it is missing; skip the test where that cannot be done.

    It is read-only by agreement.
    """
    tree = roots.need(suite)
    made_from = "\n".join([tree.name, *packages(suite), str(SIZE), MAKE, repr(FILES)])
    image = roots.cache() / "images" / f"{suite}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}.raw"
    if not image.exists():
        roots.need_namespaces()
        roots.need_tool("mkfs.ext4")
        image.parent.mkdir(exist_ok=True)
        with roots.lock(f"image-{suite}"):
            if not image.exists():
                _make(suite, tree, image)
    return image


def _make(suite: str, tree: pathlib.Path, image: pathlib.Path) -> None:
    log = roots.cache() / f"image-{suite}.log"
    with tempfile.TemporaryDirectory(dir=image.parent) as scratch:
        for name in ("view", "files"):
            (pathlib.Path(scratch) / name).mkdir()
        lay(FILES, pathlib.Path(scratch) / "files")
        with log.open("w") as out:
            done = subprocess.run(
                ["unshare", "--mount", "sh", "-c", MAKE, "sh", str(tree), f"{scratch}/view", f"{scratch}/image",
                 str(SIZE >> 10), *packages(suite)],
                cwd=scratch, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=900,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            )  # fmt: skip
        if done.returncode:
            pytest.skip(f"the image of {suite} cannot be made, see {log}")
        # Images made from another recipe take half a gigabyte each.
        for old in image.parent.glob(f"{suite}-*.raw*"):
            old.unlink()
        for end in (".vmlinuz", ".initrd.img", ""):
            pathlib.Path(f"{scratch}/image{end}").rename(f"{image}{end}")


def kernel(suite: str) -> tuple[pathlib.Path, pathlib.Path]:
    """Return the kernel and the initrd that lie in the image of a suite."""
    image = need(suite)
    return pathlib.Path(f"{image}.vmlinuz"), pathlib.Path(f"{image}.initrd.img")


def changed(image: pathlib.Path, files: Mapping[str, str], target: pathlib.Path) -> pathlib.Path:
    """Return a copy of an image with files laid into it, without mounting anything."""
    subprocess.run(["cp", "--sparse=always", image, target], check=True, timeout=120)
    with tempfile.TemporaryDirectory() as scratch:
        lay(files, pathlib.Path(scratch))
        commands: dict[str, None] = {}
        for path, content in files.items():
            for parent in reversed(list(pathlib.PurePosixPath("/" + path).parents)[:-1]):
                commands[f"mkdir {parent}"] = None
            commands[f"rm /{path}"] = None
            if content.startswith("-> "):
                commands[f"symlink /{path} {content[3:]}"] = None
            else:
                commands[f"write {scratch}/{path} /{path}"] = None
        script = pathlib.Path(scratch) / "debugfs"
        script.write_text("\n".join(commands) + "\n")
        done = subprocess.run(
            ["debugfs", "-w", "-f", script, target], capture_output=True, text=True, check=True, timeout=120
        )
    wrong = [
        line
        for line in done.stderr.splitlines()[1:]
        if "already exists" not in line and "File not found by ext2_lookup while trying" not in line
    ]
    assert not wrong, wrong
    return target


def disk(parts: list[pathlib.Path], target: pathlib.Path, boot_loader: bool = False) -> pathlib.Path:
    """Return a disk (GPT) with these file systems; with room for GRUB before them where it is asked for."""
    roots.need_tool("sgdisk")
    start, arguments = ALIGN, []
    if boot_loader:
        arguments += [f"--new=15:{start >> 9}:+1M", "--typecode=15:ef02"]
        start += ALIGN
    places = []
    for number, part in enumerate(parts, 1):
        size = -(-part.stat().st_size // ALIGN) * ALIGN
        arguments.append(f"--new={number}:{start >> 9}:{(start + size >> 9) - 1}")
        places.append(start)
        start += size
    with target.open("wb") as file:
        file.truncate(start + ALIGN)
    subprocess.run(["sgdisk", *arguments, target], check=True, capture_output=True, timeout=60)
    for part, place in zip(parts, places):
        _lay_into(part, target, place)
    return target


def _lay_into(part: pathlib.Path, disk: pathlib.Path, place: int) -> None:
    """Copy what a sparse file has, and not its holes: they are nine parts of ten."""
    with part.open("rb") as source, disk.open("r+b") as target:
        begin = end = 0
        while end < part.stat().st_size:
            try:
                begin = os.lseek(source.fileno(), end, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(source.fileno(), begin, os.SEEK_HOLE)
            source.seek(begin)
            target.seek(place + begin)
            while source.tell() < end:
                target.write(source.read(min(ALIGN, end - source.tell())))


def busybox() -> pathlib.Path | None:
    """Return a program that runs in an empty container, None where there is none."""
    found = shutil.which("busybox")
    if not found:
        return None
    with open(found, "rb") as file:
        return pathlib.Path(found) if b"ld-linux" not in file.read(4096) else None
