"""Which hierarchy a host mounts, now and at its next boot, and what each init says of it."""

from __future__ import annotations

import pathlib

import pytest

from hostcheck.facts import cgroup, init
from hostcheck.host.root import RootHost
from hostcheck.testing import Content, FakeHost

V0, V1 = "systemd.unified_cgroup_hierarchy=0", "systemd.unified_cgroup_hierarchy=1"
FORCE = "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"

TABLE = [
    # systemd, compiled default, command line, mode
    (215, None, "", "v1"),
    (219, None, V1, "v1"),
    (229, None, "", "v1"),
    (229, None, V1, "v2"),
    (237, "hybrid", "", "hybrid"),
    (237, "hybrid", V1, "v2"),
    (237, "hybrid", "cgroup_no_v1=all", "hybrid"),
    (239, "legacy", "", "v1"),
    (239, "legacy", V1, "v2"),
    (239, "legacy", "systemd.legacy_systemd_cgroup_controller=0", "hybrid"),
    (245, "hybrid", "", "hybrid"),
    (245, "hybrid", "systemd.legacy_systemd_cgroup_controller", "v1"),
    (245, "hybrid", "cgroup_no_v1=all", "v2"),
    (245, "hybrid", "cgroup_no_v1=memory", "hybrid"),
    (247, "unified", "", "v2"),
    (247, "unified", V0, "hybrid"),
    (247, "unified", f"{V0} systemd.legacy_systemd_cgroup_controller=yes", "v1"),
    (252, "unified", "systemd.unified_cgroup_hierarchy=no", "hybrid"),
    (252, "unified", "systemd.unified_cgroup_hierarchy=maybe", "v2"),
    (252, "unified", f"{V0} {V1}", "v2"),
    (252, "unified", "systemd.unified-cgroup-hierarchy=0", "hybrid"),
    (252, "unified", "systemd.unified_cgroup_hierarchy", "v2"),
    (252, None, "", None),
    (256, None, "", "v2"),
    (256, None, V0, "boot-fails"),
    (256, None, f"{V0} {FORCE}", "hybrid"),
    (256, None, f"{V0} SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=0", "boot-fails"),
    (257, None, V0, "v2"),
    (257, None, f"{V0} {FORCE}", "hybrid"),
    (257, None, f"{V0} {FORCE} systemd.legacy_systemd_cgroup_controller=1", "v1"),
    (257, None, FORCE, "v2"),
    (257, None, V1, "v2"),
    (258, None, V0, "v2"),
    (258, None, f"{V0} {FORCE}", "v2"),
    (260, None, None, "v2"),
    (None, None, "", None),
]


@pytest.mark.parametrize(("systemd", "default", "cmdline", "mode"), TABLE)
def test_decide(systemd: int | None, default: str | None, cmdline: str | None, mode: str | None) -> None:
    answer, why = cgroup.decide(systemd, default, cmdline)
    assert answer == mode
    assert why


def tree(
    version: str, default: str = "", cmdline: str = "quiet", os_release: str = "ID=debian\n"
) -> dict[str, Content]:
    major = version.partition(".")[0]
    library = f"/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-{major}.so"
    return {
        "/etc/os-release": os_release,
        "/sbin/init": "-> /usr/lib/systemd/systemd",
        "/usr/lib/systemd/systemd": b"\x7fELF",
        library: b"\x7fELF"
        + b"-x" * 600000
        + (f" default-hierarchy={default} ".encode() if default else b""),
        "/var/lib/dpkg/status": f"Package: systemd\nStatus: install ok installed\nVersion: {version}-1\n",
        "/etc/default/grub": f'GRUB_CMDLINE_LINUX="{cmdline}"\n',
    }


@pytest.mark.parametrize(
    ("version", "default", "cmdline", "mode"),
    [
        ("252.1", "unified", "quiet", "v2"),
        ("252.1", "unified", V0, "hybrid"),
        ("245.4", "hybrid", "quiet", "hybrid"),
        ("257.8", "", "quiet", "v2"),
        ("256.7", "", V0, "boot-fails"),
        ("257.8", "", V0, "v2"),
        ("219", "", "quiet", "v1"),
    ],
)
def test_a_tree_says_how_it_will_boot(version: str, default: str, cmdline: str, mode: str) -> None:
    found = cgroup.mode(FakeHost(tree(version, default, cmdline), kind="root"))
    assert (found.now, found.boot) == (None, mode)
    assert found.evidence[-1].startswith(f"so {mode}")
    decided_by_words = V0 in cmdline
    assert (found.path == "/etc/default/grub") == decided_by_words
    assert found.line == (1 if decided_by_words else None)


@pytest.mark.parametrize(
    ("version", "os_release", "mode"),
    [
        ("245.4", "ID=ubuntu\nVERSION_ID=20.04\n", "hybrid"),
        ("249.11", "ID=ubuntu\nVERSION_ID=22.04\n", "v2"),
        ("241", "ID=debian\nVERSION_ID=10\n", "hybrid"),
        ("239", 'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID=8.9\n', "v1"),
        ("252", 'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID=9.3\n', "v2"),
        ("243", "ID=fedora\nVERSION_ID=31\n", "v2"),
    ],
)
def test_without_the_library_the_distribution_tells(version: str, os_release: str, mode: str) -> None:
    files = tree(version, "", "quiet", os_release)
    found = cgroup.mode(FakeHost(files, kind="root"))
    assert found.boot == mode
    assert any("not here to be looked at" in line for line in found.evidence)


def test_the_string_is_found_wherever_the_cut_falls() -> None:
    for at in range((1 << 20) - 30, (1 << 20) + 2, 3):
        files = {"/usr/lib/systemd/systemd": b"\0" * at + b"default-hierarchy=hybrid" + b"\0" * 9}
        assert init.default_hierarchy(FakeHost(files)) == ("hybrid", "/usr/lib/systemd/systemd")


def mountinfo(*lines: str) -> str:
    return "\n".join(f"{n} 1 0:{n} / {line}" for n, line in enumerate(lines, 20))


V2_MOUNTS = mountinfo("/sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate")
V1_MOUNTS = mountinfo(
    "/sys/fs/cgroup ro - tmpfs tmpfs ro",
    "/sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd",
    "/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "/sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
)
HYBRID_MOUNTS = V1_MOUNTS + "\n40 1 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (V2_MOUNTS, "v2"),
        (V1_MOUNTS, "v1"),
        (HYBRID_MOUNTS, "hybrid"),
        (mountinfo("/ rw - ext4 /dev/x rw"), "none"),
        # A named hierarchy alone limits nothing; net_cls of a VPN beside v2 changes nothing.
        (mountinfo("/sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd"), "none"),
        (V2_MOUNTS + "\n50 1 0:50 / /x rw - cgroup cgroup rw,net_cls", "v2"),
    ],
)
def test_mode_now(content: str, mode: str) -> None:
    assert cgroup.mode(FakeHost({"/proc/self/mountinfo": content})).now == mode


def test_now_and_boot_differ() -> None:
    files = {
        **tree("252.1", "unified", V1),
        "/proc/self/mountinfo": HYBRID_MOUNTS,
        "/proc/1/comm": "systemd\n",
        "/proc/cmdline": "BOOT_IMAGE=/vmlinuz ro systemd.unified_cgroup_hierarchy=0\n",
        "/proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
        "/boot/grub/grub.cfg": f"menuentry A {{\n linux /vmlinuz-6.1.0-18-amd64 ro {V1}\n}}\n",
    }
    found = cgroup.mode(FakeHost(files))
    assert (found.now, found.boot, found.path, found.line) == ("hybrid", "v2", "/boot/grub/grub.cfg", 2)
    leaf = cgroup.export(FakeHost(files))["mode"]
    assert isinstance(leaf, dict)
    assert (leaf["value"], leaf["now"], leaf["boot"]) == ("hybrid", "hybrid", "v2")


@pytest.mark.parametrize("more", [{"/proc/1/comm": "process_api\n"}, {"/run/systemd/container": "lxc\n"}])
def test_who_is_started_by_others_boots_as_it_runs(more: dict[str, str]) -> None:
    files = {**tree("252.1", "unified"), "/proc/self/mountinfo": HYBRID_MOUNTS, **more}
    found = cgroup.mode(FakeHost(files))
    assert (found.now, found.boot) == ("hybrid", "hybrid")


ALPINE: dict[str, Content] = {
    "/etc/os-release": "ID=alpine\nVERSION_ID=3.20.0\n",
    "/sbin/init": "-> /bin/busybox",
    "/bin/busybox": b"\x7fELF",
    "/etc/inittab": "::sysinit:/sbin/openrc sysinit\n",
    "/sbin/openrc": b"\x7fELF",
    "/lib/apk/db/installed": "P:openrc\nV:0.54-r1\nA:x86_64\n\n",
}


@pytest.mark.parametrize(
    ("more", "mode"),
    [
        ({"/etc/runlevels/sysinit/cgroups": "-> /etc/init.d/cgroups"}, "v2"),
        ({"/etc/rc.conf": '#rc_cgroup_mode="unified"\nrc_cgroup_mode="hybrid"\n'}, "hybrid"),
        ({"/etc/rc.conf": '#rc_cgroup_mode="hybrid"\n'}, "hybrid"),
        ({"/etc/rc.conf": "rc_cgroup_mode=legacy # old\n"}, "v1"),
        ({"/etc/init.d/cgroups": 'case "${rc_cgroup_mode:-hybrid}" in\n'}, "hybrid"),
        ({"/lib/apk/db/installed": "P:openrc\nV:0.44.10-r1\nA:x86_64\n\n"}, "hybrid"),
        ({}, "v2"),
        ({"/etc/init.d/docker": "depend() {\n\tneed sysfs cgroups\n}\n"}, "v2"),
        ({"/etc/init.d/k3s": "depend() {\n    after network-online\n}\n"}, "none"),
        ({"/etc/init.d/k3s": "depend() {\n    after network-online\n    want cgroups\n}\n"}, "v2"),
        (
            {"/etc/init.d/k3s": "depend() {\n    use cgroups\n}\n", "/etc/runlevels/boot/cgroups": "x"},
            "v2",
        ),
    ],
)
def test_openrc(more: dict[str, str], mode: str) -> None:
    assert cgroup.mode(FakeHost({**ALPINE, **more}, kind="root")).boot == mode


def test_a_container_image_says_nothing() -> None:
    assert cgroup.mode(FakeHost({"/bin/sh": b"\x7fELF"}, kind="root")).boot is None


V2_CONTROLLERS = "cpuset cpu io memory hugetlb pids rdma misc\n"


def test_missing_rows_say_nothing_of_v2() -> None:
    files = {
        "/proc/self/mountinfo": V2_MOUNTS,
        "/sys/fs/cgroup/cgroup.controllers": V2_CONTROLLERS,
        "/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t70\t1\nblkio\t0\t70\t1\n",
        "/proc/cmdline": "cgroup_disable=memory cgroup_enable=memory",
    }
    found = cgroup.controllers(FakeHost(files))
    assert found["memory"].now is True
    assert found["io"].now is True
    assert found["devices"].now is None


def test_a_row_with_zero_counts_everywhere() -> None:
    files = {
        "/proc/self/mountinfo": V2_MOUNTS,
        "/sys/fs/cgroup/cgroup.controllers": V2_CONTROLLERS,
        "/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t95\t0\n",
    }
    found = cgroup.controllers(FakeHost(files))["memory"]
    assert (found.now, found.path, found.line) == (False, "/proc/cgroups", 2)


def test_controllers_that_v1_has_taken() -> None:
    files = {
        "/proc/self/mountinfo": V2_MOUNTS,
        "/sys/fs/cgroup/cgroup.controllers": "cpu io pids\n",
        "/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t3\t95\t1\n",
    }
    found = cgroup.controllers(FakeHost(files))
    assert found["memory"].now is False
    assert "v1 hierarchy" in found["memory"].why


CONFIG = (
    "CONFIG_CGROUP_SCHED=y\nCONFIG_CPUSETS=y\nCONFIG_MEMCG=y\nCONFIG_CGROUP_PIDS=y\nCONFIG_BLK_CGROUP=y\n"
)


@pytest.mark.parametrize(
    ("release", "cmdline", "config", "memory"),
    [
        ("6.1.0-18-amd64", "quiet", CONFIG, True),
        ("6.1.0-18-amd64", "cgroup_disable=memory", CONFIG, False),
        ("6.1.0-18-amd64", "cgroup_disable=pids,memory", CONFIG, False),
        ("6.1.0-18-amd64", "cgroup_disable=memory cgroup_enable=memory", CONFIG, False),
        ("6.6.31+rpt-rpi-v8", "quiet", CONFIG, False),
        ("6.6.31+rpt-rpi-v8", "cgroup_disable=memory cgroup_enable=memory", CONFIG, True),
        ("6.6.31+rpt-rpi-v8", "cgroup_memory=1", CONFIG, True),
        ("3.16.0-4-amd64", "quiet", CONFIG + "CONFIG_MEMCG_DISABLED=y\n", False),
        ("3.16.0-4-amd64", "cgroup_enable=memory", CONFIG + "CONFIG_MEMCG_DISABLED=y\n", True),
        ("6.1.0-18-amd64", "quiet", "CONFIG_CPUSETS=y\n", False),
        # v1 has an option of its own from 6.11 on.
        ("6.10.9-amd64", V0, CONFIG, True),
        ("6.12.117+deb13-amd64", V0, CONFIG, False),
        ("6.12.117+deb13-amd64", V0, CONFIG + "CONFIG_MEMCG_V1=y\n", True),
        ("6.12.117+deb13-amd64", "quiet", CONFIG, True),
    ],
)
def test_memory_at_boot(release: str, cmdline: str, config: str, memory: bool) -> None:
    files = {
        **tree("252.1", "unified", cmdline),
        f"/boot/vmlinuz-{release}": "",
        f"/boot/config-{release}": config,
    }
    found = cgroup.controllers(FakeHost(files, kind="root"))["memory"]
    assert (found.now, found.boot) == (None, memory)
    assert found.path in ("/etc/default/grub", f"/boot/config-{release}")


def test_a_real_image(request: pytest.FixtureRequest) -> None:
    """The bytes of a real systemd, where a root tree of one lies in the cache of the engine tests."""
    roots = sorted(
        (pathlib.Path.home() / ".cache/hostcheck/roots").glob("*/usr/lib/*/systemd/libsystemd-shared-*.so")
    )
    if not roots:
        pytest.skip("no root tree in ~/.cache/hostcheck/roots")
    host = RootHost(str(roots[0].parents[4]))
    assert cgroup.mode(host).boot == "v2"
    assert init.init(host)
