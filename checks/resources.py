"""Resources: memory, processors, swap, room on the disk, and the numbers that run out."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import (
    Check,
    DiskUsage,
    Finding,
    Host,
    NotApplicable,
    Severity,
    Unavailable,
    failed,
    passed,
)
from hostcheck.facts import engine, kubelet, mounts, resources
from hostcheck.facts.files import text

from ._storage import folders

KUBEADM = "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/"


def need_live(host: Host) -> None:
    """Raise `NotApplicable` where the answer depends on the machine that this will run on."""
    if host.kind != "live":
        raise NotApplicable("this depends on the machine that it will run on")


class ResourcesMemory(Check):
    """There is memory for the engine and a few containers.

    *Why*: dockerd and containerd take about 100 MB themselves; on a machine with less than 512 MB the kernel
    kills processes as soon as an image is unpacked. A control plane of Kubernetes needs 1700 MB.

    *Needs*: MemTotal in /proc/meminfo, which the kernel's own share is taken from.

    *Fix*: a machine with more memory.
    """

    id = "resources.memory"
    severity = Severity.RECOMMENDED
    references = (KUBEADM, "https://man7.org/linux/man-pages/man5/proc_meminfo.5.html")
    minimum_mb: float = 480.0
    """Megabytes (10^6 bytes) of MemTotal: what a machine of 512 MiB shows."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_live(host)
        total = resources.memory(host)["MemTotal"] / 1e6
        more = {
            "value": f"{total:.0f} MB",
            "expected": f"{self.minimum_mb:.0f} MB",
            "path": "/proc/meminfo",
            "line": 1,
        }
        if total < self.minimum_mb:
            yield failed(
                "memory",
                f"{total:.0f} MB of memory, {self.minimum_mb:.0f} MB expected: programs get killed",
                **more,
            )
        else:
            yield passed("memory", f"{total:.0f} MB of memory", **more)


class ResourcesCpu(Check):
    """There are enough processors.

    *Why*: kubeadm refuses a control plane with less than 2; docker runs with 1.

    *Needs*: the processors that are online.

    *Fix*: a machine with more processors.
    """

    id = "resources.cpu"
    severity = Severity.RECOMMENDED
    references = (KUBEADM,)
    minimum: int = 1
    """Processors."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_live(host)
        count, path = resources.cpus(host)
        more = {"value": count, "expected": self.minimum, "path": path}
        if count < self.minimum:
            yield failed("cpu", f"{count} processors are online, {self.minimum} expected", **more)
        else:
            yield passed("cpu", f"{count} processors are online", **more)


class ResourcesCpuLevel(Check):
    """The processor is of the level that today's images are built for.

    *Why*: images on RHEL 9, UBI 9, Wolfi and others are built for x86-64-v2. On an older processor, or a virtual
    one of the model kvm64 or qemu64, their programs end with `Fatal glibc error: CPU does not support x86-64-v2`.

    *Needs*: cx16, lahf_lm, popcnt, sse4_1, sse4_2 and ssse3 among the flags in /proc/cpuinfo.

    *Fix*: set the guest's CPU type to host or x86-64-v2-AES in the hypervisor.
    """

    id = "resources.cpu_level"
    severity = Severity.RECOMMENDED
    references = (
        "https://gitlab.com/x86-psABIs/x86-64-ABI",
        "https://github.com/chainguard-images/images/issues/1658",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_live(host)
        path = "/proc/cpuinfo"
        content = text(host, path)
        if content is None:
            raise Unavailable(f"{path} does not exist")
        found = resources.parse_cpuinfo(content)
        flags = found.get("flags", "")
        if "lm" not in flags.split():
            raise NotApplicable("this is no x86-64 processor")
        missing = resources.missing_v2_flags(flags)
        more = {"value": found.get("model name", ""), "expected": "x86-64-v2", "path": path}
        if missing:
            yield failed(
                "x86-64-v2",
                f"the processor lacks {', '.join(missing)}: images for x86-64-v2 (UBI 9, Wolfi) do not run",
                hint="set the guest's CPU type to host or x86-64-v2-AES in the hypervisor",
                **more,
            )
        else:
            yield passed("x86-64-v2", "the processor has the flags of x86-64-v2", **more)


class ResourcesSwap(Check):
    """Swap is as the engine wants it, now and after the next boot.

    *Why*: the kubelet refuses to start with swap on, unless failSwapOn is false; `swapoff -a` alone lasts until
    the next boot, when /etc/fstab turns it on again. docker does not mind swap.

    *Needs*: no swap where the kubelet is installed: /proc/swaps now, fstab, swap units and zram for the boot.

    *Fix*: `swapoff -a`, and a comment sign before the swap line in /etc/fstab.
    """

    id = "resources.swap"
    severity = Severity.REQUIRED
    references = (
        "https://kubernetes.io/docs/concepts/cluster-administration/swap-memory-management/",
        "https://man7.org/linux/man-pages/man5/fstab.5.html",
    )
    allowed: bool = False
    """Whether swap is wanted although the kubelet is installed."""
    kubelet_config: str = "/var/lib/kubelet/config.yaml"
    """Where the kubelet's configuration lies."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if "kubelet" not in engine.installed(host) and not host.exists(self.kubelet_config):
            raise NotApplicable("the kubelet is not installed, and docker does not mind swap")
        if self.allowed or self._tolerated(host):
            raise NotApplicable("the kubelet is told to take swap (failSwapOn)")
        if host.kind == "live":
            yield from self._judge(resources.swaps(host), "now", "/proc/swaps")
        yield from self._judge(resources.swaps_at_boot(host), "boot", "/etc/fstab")

    def _judge(self, found: tuple[resources.Swap, ...], when: str, path: str) -> Iterator[Finding]:
        if not found:
            yield passed("swap", "no swap", value="none", expected="none", path=path, when=when)
        for swap in found:
            if when == "now":
                commands = ["swapoff -a"]
            elif swap.path == "/etc/fstab" and swap.line:
                commands = [f"sed -i '{swap.line}s/^/#/' /etc/fstab"]
            else:
                unit = swap.name if swap.name.endswith(".swap") else f"dev-{swap.name}.swap"
                commands = [f"systemctl mask {unit}"]
            yield failed(
                "swap",
                f"swap on {swap.name}: the kubelet does not start",
                value=swap.name,
                expected="none",
                path=swap.path,
                line=swap.line,
                when=when,
                commands=commands,
            )

    def _tolerated(self, host: Host) -> bool:
        """Return whether the kubelet's file or flags say `failSwapOn: false`."""
        said = False
        for line in (text(host, self.kubelet_config) or "").split("\n"):
            key, colon, value = line.partition(":")
            if colon and key.strip() == "failSwapOn":
                said = value.split("#")[0].strip().lower() in ("false", "no", "off")
        for path in ("/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet"):
            said = said or "--fail-swap-on=false" in (text(host, path) or "")
        return said


class ResourcesPids(Check):
    """There are process numbers left for containers.

    *Why*: all threads of all containers share one number space. When it is used up nothing can start:
    `fork: retry: Resource temporarily unavailable`. Without systemd 243 or later the kernel's 32768 stays.

    *Needs*: kernel.pid_max above 32768 on large machines, and the threads that exist well below it.

    *Fix*: `kernel.pid_max = 4194304` in /etc/sysctl.d (64-bit machines only).
    """

    id = "resources.pids"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/moby/moby/issues/23332",
        "https://docs.kernel.org/admin-guide/sysctl/kernel.html#pid-max",
    )
    large_cpus: int = 16
    """Processors from which a machine counts as large."""
    maximum_percent: float = 80.0
    """Per cent of the numbers that may be in use."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_live(host)
        path = "/proc/sys/kernel/pid_max"
        limit = resources.number(host, path)
        if limit is None:
            raise Unavailable(f"{path} does not exist")
        commands = [
            "echo 'kernel.pid_max = 4194304' > /etc/sysctl.d/99-pid-max.conf",
            "sysctl -w kernel.pid_max=4194304",
        ]
        more = {"value": limit, "path": path, "line": 1, "expected": "more than 32768"}
        if limit <= 32768:
            yield failed(
                "kernel.pid_max",
                f"{limit} process numbers for all containers together: some hundred busy ones use them up",
                severity=Severity.RECOMMENDED if self._is_odd(host, limit) else Severity.INFO,
                commands=commands,
                **more,
            )
        else:
            yield passed("kernel.pid_max", f"{limit} process numbers", **more)
        yield from self._in_use(host, limit, commands)

    def _is_odd(self, host: Host, limit: int) -> bool:
        """Return whether so few are too few for the machine, or fewer than its own files set."""
        if limit < 32768 or self._cpus(host) >= self.large_cpus:
            return True
        # systemd from 243 on brings this file where numbers have 64 bits.
        return host.exists("/usr/lib/sysctl.d/50-pid-max.conf")

    def _in_use(self, host: Host, limit: int, commands: list[str]) -> Iterator[Finding]:
        used = resources.threads(host)
        maximum = resources.number(host, "/proc/sys/kernel/threads-max")
        if used is None:
            return
        limit = min(limit, maximum or limit)
        more = {
            "value": used,
            "path": "/proc/loadavg",
            "expected": f"below {self.maximum_percent:.0f} % of {limit}",
        }
        if 100 * used > self.maximum_percent * limit:
            yield failed(
                "threads",
                f"{used} threads exist, {limit} may: new processes will be refused",
                commands=commands,
                **more,
            )
        else:
            yield passed("threads", f"{used} threads exist, {limit} may", **more)

    def _cpus(self, host: Host) -> int:
        try:
            return resources.cpus(host)[0]
        except (OSError, Unavailable):
            return 0


class ResourcesFiles(Check):
    """The system is not about to run out of open files.

    *Why*: fs.file-max is one number for all processes; at the end of it accept(2) and open(2) fail everywhere,
    in the engine as in containers.

    *Needs*: /proc/sys/fs/file-nr: the files in use well below the maximum.

    *Fix*: find the process that leaks, or raise fs.file-max in /etc/sysctl.d.
    """

    id = "resources.files"
    severity = Severity.RECOMMENDED
    references = ("https://docs.kernel.org/admin-guide/sysctl/fs.html#file-max-file-nr",)
    maximum_percent: float = 90.0
    """Per cent of fs.file-max that may be in use."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_live(host)
        path = "/proc/sys/fs/file-nr"
        found = resources.open_files(host)
        if found is None:
            raise Unavailable(f"{path} is not as the kernel writes it")
        used, limit = found
        more = {
            "value": used,
            "path": path,
            "line": 1,
            "expected": f"below {self.maximum_percent:.0f} % of {limit}",
        }
        if limit and 100 * used > self.maximum_percent * limit:
            yield failed(
                "fs.file-max",
                f"{used} files are open, {limit} may be: every program will be refused",
                commands=[
                    f"echo 'fs.file-max = {limit * 4}' > /etc/sysctl.d/99-file-max.conf",
                    "sysctl --system",
                ],
                **more,
            )
        else:
            yield passed("fs.file-max", f"{used} files are open, {limit} may be", **more)


RUN_BYTES = 500_000
"""What the engines and the first containers write to /run: pid files, sockets, a state and a configuration each."""


class ResourcesSpace(Check):
    """There is room for images and containers.

    *Why*: on a full file system dockerd and containerd cannot write their databases and do not start, pulls
    and builds fail half way, and containers that write logs stop.

    *Needs*: free bytes for programs that are not root (statvfs f_bavail) on the file system of the data root, and a few
    in /run, where engines keep what runs. On a node less than imageGCHighThresholdPercent (85 %) of the first in use:
    from there on the kubelet removes images, and where 15 % or 10 % are free it turns pods away.

    *Fix*: `docker system prune`, `journalctl --vacuum-size=256M`, or a larger disk.
    """

    id = "resources.space"
    aliases = ("storage.space",)
    severity = Severity.RECOMMENDED
    references = (
        "https://man7.org/linux/man-pages/man3/statvfs.3.html",
        "https://github.com/moby/moby/issues/20272",
    )
    recommended_gb: float = 5.0
    """Gigabytes (10^9 bytes) that should be free."""
    required_gb: float = 0.02
    """Gigabytes below which the engine cannot be expected to start (with 0.06 it does, with 0.001 no image fits)."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("free space depends on the disk that this will be deployed to")
        for folder, point, usage in _usages(host):
            if not usage.total:
                raise Unavailable(f"the size of the file system of {folder} is not told")
            free = usage.free / 1e9
            more = {"value": f"{free:.1f} GB", "path": point, "expected": f"{self.recommended_gb:g} GB"}
            if free < self.recommended_gb:
                severe = free < self.required_gb
                yield failed(
                    folder,
                    f"{folder} has {free:.1f} GB free, {self.recommended_gb:g} GB expected"
                    + (
                        ": the engine cannot write its databases"
                        if severe
                        else ": pulls and builds run out of room"
                    ),
                    severity=Severity.REQUIRED if severe else Severity.RECOMMENDED,
                    commands=["journalctl --vacuum-size=256M"],
                    hint="docker system prune, or a larger disk",
                    **more,
                )
                continue
            yield self._node(host, folder, point, usage) or passed(
                folder, f"{folder} has {free:.1f} GB free", **more
            )
        run = _of_run(host)
        if run is not None and run.total and run.free < RUN_BYTES:
            yield failed(
                "/run",
                f"/run has {run.free // 1000} kB free: engines cannot write what runs there, and do not start",
                value=f"{run.free // 1000} kB",
                path="/run",
                expected=f"{RUN_BYTES // 1000} kB",
                severity=Severity.REQUIRED,
                commands=["du -x -d 2 /run", "journalctl --vacuum-size=16M"],
                hint="remove what filled it, or mount /run with a larger size",
            )

    def _node(self, host: Host, folder: str, point: str, usage: DiskUsage) -> Finding | None:
        """Return what a kubelet does on a disk that is this full, None for nothing."""
        if not kubelet.is_node(host):
            return None
        try:
            told = kubelet.settings(host).get("imageGCHighThresholdPercent")
        except (OSError, Unavailable):
            told = None
        limit = int(told.value) if told is not None and told.value.isdecimal() else 85
        used = 100 - 100 * usage.free / usage.total
        if used <= limit:
            return None
        return failed(
            folder,
            f"{point} is {used:.0f} % full: from {limit} % on the kubelet removes images, and then it turns pods away",
            value=f"{used:.0f} %",
            expected=f"<= {limit} %",
            path=point,
            hint="a larger disk, or higher thresholds: imageGCHighThresholdPercent and evictionHard",
        )


def _of_run(host: Host) -> DiskUsage | None:
    """Return how full /run is, None where it is no file system of its own, or cannot be told."""
    mount = mounts.now(host, "/run")
    if mount is None or mount.point != "/run":
        return None
    try:
        return host.disk_usage("/run")
    except (OSError, Unavailable):
        return None  # older recordings did not ask


class ResourcesInodes(Check):
    """There are inodes for the files of images and containers.

    *Why*: an image is tens of thousands of small files. An ext4 file system can run out of inodes while it has
    room, and then says `no space left on device`.

    *Needs*: free inodes (statvfs f_favail) on the file system of the data root, and of /run, where engines keep what
    runs; btrfs and others that make them as needed have no number and pass.

    *Fix*: `docker system prune -a`, or a file system made with more inodes (`mkfs.ext4 -i 8192`, or xfs).
    """

    id = "resources.inodes"
    aliases = ("storage.inodes",)
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/moby/moby/issues/37077",
        "https://github.com/docker/for-linux/issues/214",
        "https://man7.org/linux/man-pages/man3/statvfs.3.html",
    )
    minimum_percent: float = 5.0
    """Per cent of the inodes that should be free."""
    required: int = 100
    """Free inodes below which dockerd cannot even make its own folders."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("free inodes depend on the disk that this will be deployed to")
        for folder, point, usage in _usages(host):
            if usage.inodes < 0:
                raise Unavailable(f"the inodes of the file system of {folder} are not told")
            if not usage.inodes:
                yield passed(folder, f"{folder}: inodes are made as needed", path=point)
                continue
            share = 100 * usage.inodes_free / usage.inodes
            more = {"value": f"{share:.1f} %", "path": point, "expected": f"{self.minimum_percent:g} %"}
            few = usage.inodes_free < self.required
            if few or share < self.minimum_percent:
                yield failed(
                    folder,
                    f"{folder} has {usage.inodes_free} inodes left ({share:.1f} %): builds fail though there is room",
                    severity=Severity.REQUIRED if few else Severity.RECOMMENDED,
                    commands=["docker system prune -a"],
                    **more,
                )
            else:
                yield passed(folder, f"{folder} has {share:.0f} % of its inodes free", **more)
        yield from self._run(host)

    def _run(self, host: Host) -> Iterator[Finding]:
        """Judge /run, where engines keep what runs; only where it is used up, since all of it is small."""
        usage = _of_run(host)
        if usage is not None and usage.inodes > 0 and usage.inodes_free < self.required:
            yield failed(
                "/run",
                f"/run has {max(usage.inodes_free, 0)} inodes left: no container starts",
                value=f"{100 * usage.inodes_free / usage.inodes:.1f} %",
                path="/run",
                expected=f"{self.required} inodes",
                severity=Severity.REQUIRED,
                commands=["du --inodes -x -d 2 /run"],
                hint="remove what filled it, or mount /run with a larger nr_inodes",
            )


def _usages(host: Host) -> Iterator[tuple[str, str, DiskUsage]]:
    """Yield the folders of the engines, each with its mount point and how full that is; a mount point counts once."""
    seen: set[str] = set()
    for folder in folders(host):
        mount = mounts.now(host, folder)
        point = mount.point if mount else folder
        if point not in seen:
            seen.add(point)
            yield folder, point, host.disk_usage(_existing(host, folder))


def _existing(host: Host, folder: str) -> str:
    """Return the folder, or the nearest one above that exists."""
    while folder != "/" and not host.exists(folder):
        folder = folder.rpartition("/")[0] or "/"
    return folder
