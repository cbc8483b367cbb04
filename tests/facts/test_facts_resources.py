"""Memory, processors and swap, read as text."""

from __future__ import annotations

import doctest
import os

import pytest

from hostcheck.facts import resources
from hostcheck.host import Unavailable
from hostcheck.host.live import LiveHost
from hostcheck.testing import FakeHost


def test_doctests() -> None:
    found = doctest.testmod(resources)
    assert found.attempted >= 5
    assert not found.failed


@pytest.mark.parametrize(
    ("text", "count"), [("0\n", 1), ("0-63\n", 64), ("0-1,4-5,9\n", 5), ("", 0), ("x-y", 0)]
)
def test_cpu_lists(text: str, count: int) -> None:
    assert resources.parse_cpu_list(text) == count


def test_cpus_fall_back_to_cpuinfo() -> None:
    host = FakeHost({"/proc/cpuinfo": "processor\t: 0\nflags\t: fpu\n\nprocessor\t: 1\nflags\t: fpu\n"})
    assert resources.cpus(host) == (2, "/proc/cpuinfo")
    with pytest.raises(Unavailable):
        resources.cpus(FakeHost({"/proc/cpuinfo": ""}))


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({}, []),
        ({"/etc/fstab": "UUID=1 / ext4\n/swap.img none swap sw 0 0\n"}, ["/swap.img"]),
        ({"/etc/fstab": "/swap.img none swap sw,noauto 0 0\n"}, []),
        ({"/etc/fstab": "#/swap.img none swap sw 0 0\n"}, []),
        (
            {
                "/etc/fstab": "/swap.img none swap sw 0 0\n",
                "/etc/systemd/system/swap.img.swap": "-> /dev/null",
            },
            [],
        ),
        ({"/etc/systemd/system/swap.target.wants/dev-sda2.swap": "-> ../dev-sda2.swap"}, ["dev-sda2.swap"]),
        # The generator's file without the generator does nothing.
        ({"/etc/systemd/zram-generator.conf": "[zram0]\nzram-size = ram / 2\n"}, []),
        (
            {
                "/usr/lib/systemd/zram-generator.conf": "[zram0]\n",
                "/usr/lib/systemd/system-generators/zram-generator": "\x7fELF",
            },
            ["zram0"],
        ),
    ],
)
def test_swap_at_boot(files: dict[str, str], names: list[str]) -> None:
    assert [swap.name for swap in resources.swaps_at_boot(FakeHost(files, kind="root"))] == names


def test_counters() -> None:
    host = FakeHost(
        {
            "/proc/loadavg": "0.1 0.2 0.3 2/345 6789\n",
            "/proc/sys/fs/file-nr": "1984\t0\t9223372036854775807\n",
        }
    )
    assert resources.threads(host) == 345
    assert resources.open_files(host) == (1984, 9223372036854775807)
    odd = FakeHost({"/proc/loadavg": "x", "/proc/sys/fs/file-nr": "1 2\n"})
    assert resources.threads(odd) is None
    assert resources.open_files(odd) is None


def test_agrees_with_the_machine() -> None:
    host = LiveHost()
    assert resources.memory(host)["MemTotal"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert resources.cpus(host)[0] == os.sysconf("SC_NPROCESSORS_ONLN")


def test_export() -> None:
    tree = resources.export(FakeHost({"/etc/fstab": "/s none swap sw\n"}, kind="root"))
    assert tree["swap_at_boot"] == {"value": ["/s"], "path": "/etc/fstab", "line": None}
    assert "memory" not in tree
    assert "memory" in resources.export(LiveHost())
