"""Feed the larger parsers with what coverage guides atheris to: `make fuzz`, FUZZ_SECONDS for each (60).

With a name, that parser alone. What breaks one lies in ~/.cache/hostcheck/fuzz/<name>/crash-*, and the run fails.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterable
from typing import Any, Callable

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["hostcheck"]):
    from hostcheck.facts import elf, gojson, grub, kubelet, rpmdb, sysctl, toml, unitexec, unitfile
    from hostcheck.host import Unavailable
    from hostcheck.testing import FakeHost

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "hostcheck" / "fuzz"


def _text(parse: Callable[[str], Any]) -> Callable[[bytes], None]:
    def feed(data: bytes) -> None:
        parse(data.decode("utf-8", "replace"))

    return feed


def _rpm(path: str) -> Callable[[bytes], None]:
    def feed(data: bytes) -> None:
        list(rpmdb.headers(FakeHost({path: data}), path))

    return feed


def _elf(data: bytes) -> None:
    host = FakeHost({"/bin/x": b"\x7fELF" + data})
    program = elf.elf(host, "/bin/x")
    elf.build_info(host, program)
    elf.string_symbol(host, program, ("main.version",))
    list(elf.string_variables(host, program))


PARSERS: dict[str, tuple[Callable[[bytes], None], tuple[type[Exception], ...], Iterable[bytes]]] = {
    "gojson": (_text(gojson.parse), (gojson.Syntax,), (b'{"a": [1, -2e3, "\\u00e9", null, true]}',)),
    "unitfile": (
        _text(unitfile.parse_unit),
        (),
        (b"[Service]\nExecStart=/bin/a \\\n -b\nLimitNOFILE=1:2\n",),
    ),
    "unitexec": (_text(unitexec.parse_commands), (ValueError,), (b"-/bin/a 'b c' ; /bin/d \\;",)),
    "grub": (
        _text(grub.parse_config),
        (),
        (b'menuentry "a" --id b {\nlinux /vmlinuz-1 ro\n}\nif [ $a = b ]; then set d=1; fi\n',),
    ),
    "toml": (
        _text(toml.parse_toml_plainly),
        (toml.BadConfig,),
        (b'a = 1\n[b."c"]\nd = [1, "e", {f = 2}]\n',),
    ),
    "kubelet": (_text(kubelet.parse_config), (), (b"kind: KubeletConfiguration\nfailSwapOn: false\n",)),
    "sysctl": (_text(sysctl.parse_sysctl_conf), (), (b"-net.ipv4.ip_forward = 1\n# c\nkernel/pid_max=2\n",)),
    "rpm-bdb": (_rpm("/var/lib/rpm/Packages"), (Unavailable,), (bytes(4096),)),
    "rpm-ndb": (_rpm("/var/lib/rpm/Packages.db"), (Unavailable,), (b"RpmP" + bytes(4096),)),
    "rpm-sqlite": (_rpm("/var/lib/rpm/rpmdb.sqlite"), (Unavailable,), (b"SQLite format 3\0" + bytes(4096),)),
    "elf": (_elf, (Unavailable, OSError), (b"\x02\x01\x01" + bytes(200),)),
}
"""What is fed, which errors it documents, and what the first inputs are."""


def fuzz(name: str) -> None:
    """Feed one parser; libFuzzer ends the process."""
    feed, documented, seeds = PARSERS[name]
    folder = CACHE / name
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / "corpus" / f"seed-{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            feed(data)
        except documented:
            pass

    seconds = os.environ.get("FUZZ_SECONDS", "60")
    limits = [f"-max_total_time={seconds}", "-timeout=10", "-max_len=8192", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", str(folder / "corpus")], one)
    atheris.Fuzz()


def main(names: list[str]) -> int:
    """Feed each parser in a process of its own."""
    broken = []
    for name in names or PARSERS:
        done = subprocess.run(
            [sys.executable, __file__, "--one", name], check=False, capture_output=True, text=True
        )
        runs = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(
            f"{name}: {runs[0].split()[-1] if runs else '?'} inputs, {'broken' if done.returncode else 'fine'}"
        )
        if done.returncode:
            broken.append(name)
            print(done.stderr[-3000:])
    return 1 if broken else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2])
    else:
        sys.exit(main(sys.argv[1:]))
