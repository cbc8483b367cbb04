"""Run podman in a view of a root, and say whether it imports an image and runs a container of it.

    unshare --mount --net --pid --fork python inside_podman.py SPEC

SPEC is JSON: root (the lower layer of an overlay), work (an empty folder), files (path to text; None removes, a path
that ends in / makes a folder). Prints JSON: `works`, `said`, and hostcheck's `failures` of what blocks.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

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


def _blockers(top: pathlib.Path) -> list[str]:
    from hostcheck.cli import main

    told = top.parent / "report.json"
    main(["--root", str(top), "--policy", "podman", "--no-plugins", "-f", f"json:{told}"])
    report = json.loads(told.read_text())
    return [r["id"] for r in report["results"] if r["outcome"] == "fail" and r["severity"] == "required"]


def main() -> None:
    spec = json.loads(sys.argv[1])
    work = pathlib.Path(spec["work"])
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "work", str(work)], check=True)
    for name in ("upper", "under", "top"):
        (work / name).mkdir()
    top = work / "top"
    layers = f"lowerdir={spec['root']},upperdir={work}/upper,workdir={work}/under"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "view", str(top)], check=True)
    _lay(top, {**BASE, **spec["files"]})
    found = _blockers(top)
    (top / "var/lib/containers").mkdir(parents=True, exist_ok=True)
    for *words, point in MOUNTS:
        subprocess.run(["mount", *words, str(top / point)], check=True)
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
    print(json.dumps({"works": works, "said": done.stderr[-600:], "blockers": found}))
    # What podman left mounted below goes with this namespace.
    shutil.rmtree(work / "none", ignore_errors=True)


if __name__ == "__main__":
    main()
