"""A host of its own to reach over ssh: this machine's files under an overlay, in namespaces, with a real sshd."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import time
from collections.abc import Iterator

import debs
import pytest

_SUBNET = os.getpid() % 63 * 4
HERE, THERE = (f"198.51.100.{_SUBNET + end}" for end in (1, 2))
"""Addresses for documentation (RFC 5737), on both ends of a cable that only this test has."""
PORT = 2222

_SCRIPT = """
set -e
work=$1 sshd=$2
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
# Its lower side is this machine's root alone; what is mounted there is not seen.
mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
cd "$work/root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir -p run/sshd run/lock run/keys opt/sshd root
cp -a "$sshd/." opt/sshd/
cp "$3" run/keys/host && cp "$4" run/keys/authorized && chmod 600 run/keys/host
mkdir old
pivot_root . old
cd /
umount -l old && rmdir old
hostname remote
echo 'root:x:0:0::/root:/bin/bash
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin' >/etc/passwd
echo 'root:*:20000::::::' >/etc/shadow
echo ready
read -r cabled
ip link set lo up
ip address add "$5/30" dev cable1
ip link set cable1 up
exec /opt/sshd/usr/sbin/sshd -D -e -f /dev/null -p "$6" -h /run/keys/host -o UsePAM=no -o PidFile=none \\
    -o StrictModes=no -o PasswordAuthentication=no -o AuthorizedKeysFile=/run/keys/authorized \\
    -o Subsystem="sftp internal-sftp"
"""


@contextlib.contextmanager
def host(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Start the host; yield the key that root logs in there with. It ends with the test."""
    sshd = debs.need("openssh-server")
    for name in ("host", "login"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True, timeout=60
        )
    (folder / "work").mkdir()
    words = [folder / "work", sshd, folder / "host", folder / "login.pub", THERE, PORT]
    flags = ("--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")
    with (folder / "sshd.log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", *flags, "sh", "-c", _SCRIPT, "sh", *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdin
    assert process.stdout
    cable = f"hc{os.getpid()}"
    try:
        if process.stdout.readline() != "ready\n":
            process.wait(timeout=60)
            pytest.skip(f"no such host can be made here: {(folder / 'sshd.log').read_text()}")
        made = subprocess.run(
            ["ip", "link", "add", cable, "type", "veth", "peer", "name", "cable1", "netns", str(process.pid)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        if made.returncode != 0:
            pytest.skip(f"no virtual cable can be made here: {made.stderr}")
        subprocess.run(["ip", "address", "add", f"{HERE}/30", "dev", cable], check=True, timeout=60)
        subprocess.run(["ip", "link", "set", cable, "up"], check=True, timeout=60)
        process.stdin.write("cabled\n")
        process.stdin.flush()
        yield folder / "login"
    finally:
        process.kill()
        process.communicate(timeout=60)
        # With its namespace the other end goes, and this one with it, but not at once.
        subprocess.run(["ip", "link", "del", cable], capture_output=True, timeout=60)


def wait() -> None:
    """Wait until it answers."""
    limit = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((THERE, PORT), 5).close()
            return
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)
