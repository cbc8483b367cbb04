"""Run podman in a view of a root, and say whether it imports an image and runs a container of it.

    unshare --mount --net --pid --fork python inside_podman.py SPEC

SPEC is JSON: root (the lower layer of an overlay), work (an empty folder), files (path to text; None removes, a path
that ends in / makes a folder). Prints JSON: `works`, `said`, and hostcheck's `report`.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import inside

MOUNTS = (
    ("-t", "proc", "proc", "proc"),
    ("-t", "sysfs", "sys", "sys"),
    ("--rbind", "/sys/fs/cgroup", "sys/fs/cgroup"),
    ("--rbind", "/dev", "dev"),
    ("-t", "tmpfs", "tmp", "tmp"),
    ("-t", "tmpfs", "run", "run"),
    ("-t", "tmpfs", "images", "var/lib/containers"),
)
GO = """
mkdir -p /tmp/i/bin && cp /bin/busybox /tmp/i/bin/ && ln -s busybox /tmp/i/bin/echo && tar -C /tmp/i -c . -f /tmp/i.tar
podman import /tmp/i.tar localhost/it && podman run --rm it /bin/echo it runs
"""
BASE: dict[str, str | None] = {
    # crun refuses the control groups of both versions that some machines have side by side; runc does not.
    "/usr/bin/crun": None,
    "/etc/fstab": "images /var/lib/containers tmpfs defaults 0 0\n",
}


def _lay(top: pathlib.Path, files: dict[str, str | None]) -> None:
    for path, text in files.items():
        target = top / path.strip("/")
        if target.is_symlink() or target.is_file():
            target.unlink()
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        elif text is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


def main() -> None:
    spec = json.loads(sys.argv[1])
    top = inside.writable(spec["root"], pathlib.Path(spec["work"]))
    _lay(top, {**BASE, **spec["files"]})
    report = inside.hostcheck(root=top, policy="podman")
    (top / "var/lib/containers").mkdir(parents=True, exist_ok=True)
    for *words, point in MOUNTS:
        inside.mount(*words, str(top / point))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    done = subprocess.run(
        ["chroot", str(top), "sh", "-c", GO],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={
            "PATH": os.defpath + ":/usr/sbin:/sbin",
            "HOME": "/root",
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        },
    )
    works = done.returncode == 0 and "it runs" in done.stdout
    print(json.dumps({"works": works, "said": done.stderr[-600:], "report": report}))


if __name__ == "__main__":
    main()
