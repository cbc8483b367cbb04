"""Storage drivers: what stops dockerd, what breaks containers, and what only looks bad."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from docker_host import HEALTHY, RELEASE, ROOMY, info, live, tree, worst

from hostcheck.finding import Outcome, Severity
from hostcheck.host import Completed
from hostcheck.plugins import checks_in
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.storage")
ELSEWHERE = {
    "resources": ("space", "inodes"),
    "rootless_storage": ("podman_home",),
    "state": ("layers", "network_database"),
}


def every() -> list[Any]:
    """Return the checks of storage, those that lie in families about something else among them."""
    found: list[Any] = [
        *checks_in(checks),
        *checks_in(importlib.import_module("hostcheck.checks.filesystem")),
    ]
    for family, subjects in ELSEWHERE.items():
        others = checks_in(importlib.import_module(f"hostcheck.checks.{family}"))
        found += [check for check in others if check.id.partition(".")[2] in subjects]
    return found


@pytest.mark.parametrize(
    "host", [live(), tree(), live(docker="29.1.0"), live(docker="20.10.24"), tree(docker="20.10.9")]
)
def test_a_healthy_host_is_left_alone(host: FakeHost) -> None:
    for check in every():
        result = ask(check, host)
        assert result.outcome in (Outcome.PASS, Outcome.SKIP), (check.id, result.reason, result.failures)


@pytest.mark.parametrize("kind", ["live", "root"])
def test_an_empty_host_breaks_nothing(kind: str) -> None:
    for stage in ("before", "installed"):
        host = FakeHost({}, kind=kind, assumptions={"stage": stage})
        for check in every():
            result = ask(check, host)
            assert result.outcome is not Outcome.ERROR, (check.id, result.reason)
            assert not result.failures, (check.id, result.failures)


@pytest.mark.parametrize("text", ["\0\n", "30 27 0:1 / /srv rw - ext4 a rw\n", "x" * 99])
def test_mountinfo_without_a_root_breaks_nothing(text: str) -> None:
    for check in every():
        result = ask(check, live({"/proc/self/mountinfo": text, "/etc/fstab": text}))
        assert result.outcome is not Outcome.ERROR, (check.id, result.reason)


def test_before_docker_there_are_no_questions_about_it() -> None:
    host = FakeHost(HEALTHY, usage={"/": ROOMY}, assumptions={"stage": "before"})
    results = {check.id: ask(check, host) for check in every()}
    assert results["storage.driver"].outcome is Outcome.SKIP
    assert results["state.layers"].outcome is Outcome.SKIP
    assert [f.subject for f in results["filesystem.backing"].findings] == ["/var/lib/docker"] * 2


@pytest.mark.parametrize(
    ("files", "docker", "severity"),
    [
        ({"/etc/docker/daemon.json": '{"storage-driver": "devicemapper"}'}, "25.0.0", Severity.REQUIRED),
        ({"/etc/docker/daemon.json": '{"storage-driver": "devicemapper"}'}, "24.0.0", Severity.RECOMMENDED),
        ({"/etc/docker/daemon.json": '{"storage-driver": "aufs"}'}, "26.1.5", Severity.REQUIRED),
        ({"/etc/docker/daemon.json": '{"storage-driver": "vfs"}'}, "26.1.5", Severity.RECOMMENDED),
        ({"/etc/docker/daemon.json": '{"storage-driver": "overlay2"}'}, "26.1.5", None),
        (
            {"/var/lib/docker/overlay/a/b": "", "/var/lib/docker/overlay2/a/link": "X"},
            "17.04.0",
            Severity.REQUIRED,
        ),
        (
            {"/var/lib/docker/overlay/a/b": "", "/var/lib/docker/overlay2/a/link": "X"},
            "26.1.5",
            Severity.RECOMMENDED,
        ),
        ({"/var/lib/docker/overlay2/a/link": "X"}, "29.0.0", None),
        (info("/var rw - overlay overlay rw"), "26.1.5", Severity.RECOMMENDED),
        (
            info("/var rw - overlay overlay rw")
            | {"/etc/docker/daemon.json": '{"storage-driver": "overlay2"}'},
            "26.1.5",
            Severity.REQUIRED,
        ),
    ],
)
def test_driver(files: dict[str, Any], docker: str, severity: Severity | None) -> None:
    assert worst(ask(checks.StorageDriver, live(files, docker))) is severity


def test_driver_of_a_unit_flag() -> None:
    unit = (
        "[Service]\nExecStart=/usr/bin/dockerd --storage-driver=devicemapper --storage-opt dm.basesize=20G\n"
    )
    result = ask(checks.StorageDriver, tree({"/etc/systemd/system/docker.service": unit}, "26.1.5"))
    assert worst(result) is Severity.REQUIRED
    assert (result.failures[0].path, result.failures[0].line) == ("/etc/systemd/system/docker.service", 2)
    deb = "Package: docker-ce\nStatus: install ok installed\nVersion: 5:18.09.0~3-0~ubuntu-bionic\n"
    files = {
        "/etc/systemd/system/docker.service": unit,
        "/var/lib/dpkg/status": deb,
        f"/lib/modules/{RELEASE}/modules.dep": "kernel/drivers/md/dm-thin-pool.ko:\n",
        f"/lib/modules/{RELEASE}/kernel/drivers/md/dm-thin-pool.ko": "\x7fELF",
    }
    # Debian packages of 18.09.0 were built without it; 18.09.1 has it again, and it is deprecated.
    assert "without devicemapper" in ask(checks.StorageDriver, live(files, "18.09.0")).failures[0].message
    assert worst(ask(checks.StorageDriver, live(files, "18.09.1"))) is Severity.RECOMMENDED


@pytest.mark.parametrize(
    ("driver", "option", "docker", "fails"),
    [
        ("overlay2", "dm.basesize=20G", "18.09.0", True),
        ("overlay2", "overlay2.override_kernel_check=true", "23.0.6", False),
        ("overlay2", "overlay2.override_kernel_check=true", "24.0.0", True),
        ("overlay2", "Overlay2.Size=10G", "24.0.0", False),
        ("overlay2", "overlay2.seize=10G", "24.0.0", True),
        ("btrfs", "overlay2.size=10G", "24.0.0", True),
        ("vfs", "size=1G", "24.0.0", False),
    ],
)
def test_options(driver: str, option: str, docker: str, fails: bool) -> None:
    text = f'{{"storage-driver": "{driver}", "storage-opts": ["{option}"]}}'
    result = ask(checks.StorageOptions, live({"/etc/docker/daemon.json": text}, docker))
    assert (result.outcome is Outcome.FAIL) is fails, result.findings


@pytest.mark.parametrize(
    ("fstab", "outcome"),
    [
        ("a / ext4\nb /var/lib/docker xfs defaults 0 0\n", Outcome.FAIL),
        ("a / ext4\nb /var/lib/docker xfs defaults,prjquota 0 0\n", Outcome.PASS),
        ("a / ext4\nb /var/lib/docker xfs pquota 0 0\n", Outcome.PASS),
        ("a / ext4\n", Outcome.FAIL),
        # The root's quota is a matter of rootflags=, not of fstab.
        ("a / xfs\n", Outcome.PASS),
        ("", Outcome.SKIP),
    ],
)
def test_quota(fstab: str, outcome: Outcome) -> None:
    text = '{"storage-driver": "overlay2", "storage-opts": ["overlay2.size=10G"]}'
    result = ask(checks.StorageQuota, tree({"/etc/docker/daemon.json": text, "/etc/fstab": fstab}))
    assert result.outcome is outcome
    assert ask(checks.StorageQuota, tree({"/etc/fstab": fstab})).outcome is Outcome.SKIP


def test_devicemapper_on_a_kernel_without_it() -> None:
    wanted = {
        "/etc/docker/daemon.json": '{"storage-driver": "devicemapper"}',
        "/proc/misc": "229 fuse\n",
        "/proc/sys/kernel/osrelease": "9.9.9-of-my-own\n",
    }
    assert "no device mapper" in ask(checks.StorageDriver, live(wanted, "20.10.24")).failures[0].message
    there = {**wanted, "/proc/misc": "236 device-mapper\n229 fuse\n"}
    assert worst(ask(checks.StorageDriver, live(there, "20.10.24"))) is Severity.RECOMMENDED


def test_native_diff() -> None:
    files = {"/sys/module/overlay/parameters/metacopy": "Y\n"}
    result = ask(checks.StorageNativeDiff, live(files))
    assert [(f.ok, f.subject) for f in result.findings] == [
        (True, "overlay redirect_dir"),
        (False, "overlay metacopy"),
    ]


def test_fuse() -> None:
    files: dict[str, Any] = {"/etc/docker/daemon.json": '{"storage-driver": "fuse-overlayfs"}'}
    assert worst(ask(checks.StorageFuse, live(files))) is Severity.REQUIRED
    assert (
        ask(checks.StorageFuse, live(files | {"/usr/bin/fuse-overlayfs": "\x7fELF"})).outcome is Outcome.PASS
    )


def test_thin_pool() -> None:
    files = {
        "/etc/docker/daemon.json": '{"storage-driver": "devicemapper", "storage-opts": '
        '["dm.thinpooldev=/dev/mapper/docker-thinpool"]}',
        "/proc/devices": "Block devices:\n252 device-mapper\n",
    }
    status = "0 209715200 thin-pool 5 1000/4096 1477379/1638400 - rw discard_passdown queue_if_no_space -"
    command = ("dmsetup", "status", "docker-thinpool")
    assert (
        ask(checks.StorageThinPool, live(files, "19.03.5", commands={command: status})).outcome
        is Outcome.FAIL
    )
    roomy = status.replace("1477379", "47737")
    assert (
        ask(checks.StorageThinPool, live(files, "19.03.5", commands={command: roomy})).outcome is Outcome.PASS
    )
    assert ask(checks.StorageThinPool, live(files, "19.03.5")).outcome is Outcome.UNKNOWN
    # Asking would load the device mapper.
    files["/proc/devices"] = "Block devices:\n"
    host = live(files, "19.03.5", commands={command: status})
    host.recording = host.written_by_hand = False
    assert ask(checks.StorageThinPool, host).outcome is Outcome.UNKNOWN


def test_containerd_root() -> None:
    files: dict[str, Any] = {
        "/etc/docker/daemon.json": '{"data-root": "/mnt/big/docker"}',
        "/etc/containerd/config.toml": 'disabled_plugins = ["cri"]\n',
    }
    assert ask(checks.StorageContainerdRoot, live(files, "28.5.2")).outcome is Outcome.SKIP
    assert worst(ask(checks.StorageContainerdRoot, live(files, "29.0.0"))) is Severity.RECOMMENDED
    apart = files | info("/mnt/big rw - xfs /dev/b rw")
    assert worst(ask(checks.StorageContainerdRoot, live(apart, "29.0.0"))) is Severity.RECOMMENDED
    prior = apart | {"/mnt/big/docker/overlay2/a/link": "X"}
    assert ask(checks.StorageContainerdRoot, live(prior, "29.0.0")).outcome is Outcome.SKIP
    moved = apart | {"/etc/containerd/config.toml": 'root = "/mnt/big/containerd"\n'}
    assert ask(checks.StorageContainerdRoot, live(moved, "29.0.0")).outcome is Outcome.PASS


FAMILIES = ("storage", "filesystem", "resources", "security", "lsm", "guest", "state", "rootless_storage")
FOUND = {
    "container-size-quota-without-pquota": "storage.quota",
    "containerd-root-on-tmpfs": "filesystem.backing",
    "data-root-on-fat32-stick": "filesystem.backing",
    "data-root-on-ntfs-partition": "filesystem.backing",
    "encrypted-home-as-data-root": "filesystem.backing",
    "filesystem-can-fold-case": "filesystem.casefold",
    "noexec-on-var": "filesystem.mount_options",
    "overlay-root-of-router-firmware": "storage.driver",
    "rootless-storage-on-nfs-home": "rootless_storage.podman_home",
    "tmp-noexec-compose-v1": "filesystem.tmp_noexec",
    "xfs-without-ftype": "filesystem.dtype",
    "cpu-below-x86-64-v2": "resources.cpu_level",
    "disk-full-before-start": "resources.space",
    "inodes-used-up": "resources.inodes",
    "swap-comes-back-at-boot": "resources.swap",
    "antivirus-on-access-scanner": "security.on_access_scanner",
    "apparmor-tunable-file-corrupt": "lsm.apparmor_files",
    "container-selinux-lacks-keycreate": "lsm.selinux",
    "docker-default-unloaded-by-apparmor-reload": "lsm.apparmor_profile",
    "lxc-apparmor-denies-runc-1-3-3-procfs": "guest.apparmor",
    "moved-data-root-wrong-selinux-labels": "lsm.selinux_data_root",
    "devicemapper-missing-in-deb-18.09": "storage.driver",
    "devicemapper-pool-below-minimum-free": "storage.thin_pool",
    "local-kv-db-corrupt-after-power-loss": "state.network_database",
    "overlay2-link-files-empty-after-power-cut": "state.layers",
    "several-graphdrivers-in-data-root": "storage.driver",
    "docker29-driver-is-no-snapshotter": "storage.driver",
    "containerd-root-not-moved-with-data-root": "storage.containerd_root",
    "devicemapper-options-with-overlay2": "storage.options",
    "dm-options-left-after-driver-change": "storage.options",
    "aufs-module-not-installed-for-new-kernel": "storage.driver",
    "pid-max-32768-exhausted": "resources.pids",
    "remote-docker-group-ignored-without-socket-activation": "security.docker_group",
}
"""Incident to the check of these families that must fail."""


def incident(entry: dict[str, Any]) -> FakeHost:
    """Lay an incident's facts over the healthy host."""
    facts = entry["facts"]
    told = facts.get("live") or {}
    files: dict[str, Any] = {
        **HEALTHY,
        "/proc/meminfo": "MemTotal: 2014588 kB\n",
        "/sys/devices/system/cpu/online": "0-1\n",
        "/proc/cpuinfo": "flags : lm cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3\n",
        "/proc/swaps": "Filename Type Size Used Priority\n",
        "/proc/sys/kernel/pid_max": "4194304\n",
        "/proc/loadavg": "0 0 0 1/180 9\n",
        "/proc/sys/fs/file-nr": "1 0 9999\n",
        "/proc/sys/kernel/seccomp/actions_avail": "errno allow\n",
        "/etc/group": "docker:x:998:\n",
        "/usr/bin/containerd": "\x7fELF",
        "/usr/bin/runc": "\x7fELF",
        "/proc/cmdline": "root=/dev/vda1 ro\n",
    }
    release = (facts.get("kernel") or {}).get("release")
    if release:
        files["/proc/sys/kernel/osrelease"] = f"{release}\n"
        for path in [p for p in files if p.startswith("/lib/modules/")]:
            files[path.replace(RELEASE, release)] = files.pop(path)
    for path, text in (facts.get("files") or {}).items():
        files[path] = "\x7fELF" if text.startswith("ELF exec") else text.replace(" (symlink)", "")
    mounted = [line.split() for line in told.get("mounts") or ()]
    if mounted:
        lines = (
            []
            if any(fields[1] == "/" for fields in mounted)
            else ["27 1 254:0 / / rw shared:1 - ext4 /dev/vda1 rw"]
        )
        for number, (source, point, kind, options) in enumerate((fields[:4] for fields in mounted), 30):
            parent = 1 if point == "/" else 27 if lines and lines[0].startswith("27") else 30
            lines.append(
                f"{number} {parent} 0:{number} / {point} {options} shared:{number} - {kind} {source} {options}"
            )
        files["/proc/self/mountinfo"] = "\n".join(lines) + "\n"
    for key, value in (told.get("sysctl") or {}).items():
        files["/proc/sys/" + key.replace(".", "/")] = f"{value}\n"
    commands: dict[tuple[str, ...], Any] = {}
    usage = {"/": ROOMY}
    for line, printed in (told.get("commands") or {}).items():
        words = tuple(line.split())
        commands[words] = printed
        if words[0] == "cat":
            files[words[1]] = printed + "\n"
        elif words[0] == "runc":
            commands["/usr/bin/runc", "--version"] = printed
        elif words[0] == "grep" and printed.strip() == "0":
            files[words[-1]] = "other (enforce)\n"
        elif words[0] == "df":
            fields = [int(word) for word in printed.split("\n")[1].split()[1:4]]
            usage["/"] = (
                ROOMY._replace(inodes=fields[0], inodes_free=fields[2])
                if words[1] == "-i"
                else ROOMY._replace(total=fields[0] * 1024, free=fields[2] * 1024)
            )
        elif "failed to map" in printed:
            commands[words] = Completed(words, 127, "", printed)
    packages = facts.get("packages") or {}
    files["/var/lib/dpkg/status"] = "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        for name, version in packages.items()
    )
    docker = next((v for n, v in packages.items() if n in ("docker-ce", "docker.io", "docker")), "")
    version = docker.partition(":")[2] or docker
    docker_version = version.partition("-")[0].partition("~")[0].replace(".ce", "")
    # What no thread names is the release of its time, as far as it matters to what the data root may hold.
    early = {
        "aufs-module-not-installed-for-new-kernel": "1.11.2",
        "several-graphdrivers-in-data-root": "17.04.0",
    }
    early["devicemapper-pool-below-minimum-free"] = "1.12.6"
    early["br-netfilter-modprobe-warning-el7-builtin"] = "1.11.2"
    assumed = docker_version or early.get(entry["key"], "28.5.2")
    for path in facts.get("absent") or ():
        files.pop(path, None)
    host = FakeHost(
        files,
        commands=commands,
        usage=usage,
        pids={"dockerd": (1,)},
        assumptions={"docker": assumed, "stage": "installed"},
    )
    host.written_by_hand = host.recording = True
    return host


def test_incidents(corpora: Any) -> None:
    """Real incidents of these families are found; traps of every kind give nothing above info."""
    import yaml

    classes = [
        check
        for family in FAMILIES
        for check in checks_in(importlib.import_module(f"hostcheck.checks.{family}"))
    ]
    missed, alarms, told, traps = [], [], 0, 0
    for entry in yaml.safe_load((corpora / "incidents" / "incidents.yaml").read_text()):
        key = entry["key"]
        if key not in FOUND and not entry["trap"]:
            continue
        results = [ask(c, incident(entry)) for c in classes]
        assert not [(r.check, r.reason) for r in results if r.outcome is Outcome.ERROR], key
        if entry["trap"]:
            traps += 1
            bad = [r for r in results if r.outcome is Outcome.FAIL and r.severity is not Severity.INFO]
            alarms += [(key, r.check, r.failures[0].message) for r in bad]
            continue
        told += 1
        if not any(r.check == FOUND[key] and r.outcome is Outcome.FAIL for r in results):
            missed.append((key, [(r.check, r.outcome, r.reason) for r in results if r.check == FOUND[key]]))
    print(f"incidents found: {told - len(missed)}/{len(FOUND)}; {traps} traps, {len(alarms)} alarms")
    assert not missed
    assert not alarms
    assert told == len(FOUND)
