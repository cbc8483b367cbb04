"""What the exporter keeps between two runs, and the pages that it makes of it."""

from __future__ import annotations

import gzip
import os
import resource
import time

Family = tuple[str, str, str, float]
"""Name, type, help and value of a metric without labels."""


def process_families(began: float) -> list[Family]:
    """Return what every exporter tells of its own process (Prometheus, Writing client libraries)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm", encoding="ascii") as file:
        virtual, resident = (int(word) * resource.getpagesize() for word in file.read().split()[:2])
    used = usage.ru_utime + usage.ru_stime
    open_files = len(os.listdir("/proc/self/fd")) - 1
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return [
        ("process_cpu_seconds", "counter", "User and system CPU time spent.", used),
        ("process_resident_memory_bytes", "gauge", "Resident memory size.", resident),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory size.", virtual),
        ("process_open_fds", "gauge", "Open file descriptors.", open_files),
        ("process_max_fds", "gauge", "Most file descriptors.", most_files),
        ("process_start_time_seconds", "gauge", "Start time, in seconds since 1970.", began),
    ]


def exposition(families: list[Family], openmetrics: bool) -> bytes:
    r"""Return families without labels as text. A counter's family has no suffix in OpenMetrics.

    >>> exposition([("a", "counter", "A.", 1)], openmetrics=True)
    b'# HELP a A.\n# TYPE a counter\na_total 1.0\n'
    >>> exposition([("a", "counter", "A.", 1)], openmetrics=False)
    b'# HELP a_total A.\n# TYPE a_total counter\na_total 1.0\n'
    """
    lines = []
    for name, kind, text, value in families:
        sample = f"{name}_total" if kind == "counter" else name
        family = name if openmetrics else sample
        lines += [f"# HELP {family} {text}", f"# TYPE {family} {kind}", f"{sample} {float(value)!r}"]
    return "\n".join(lines).encode() + b"\n"


class State:
    """The last pages, and how the runs go."""

    def __init__(self, interval: float = 300.0) -> None:
        """Start with nothing run; a run begins every `interval` seconds."""
        self.interval = interval
        # Packed: most clients want them so, and a tenth of the memory is enough.
        self.pages: dict[str, bytes] = {}
        self.policy = b""
        """The policy of the last run that could read it, as `exporter_run.kept_policy` takes it."""
        self.policy_is_current = True
        self.web_config_is_current = True
        self.runs = 0
        self.failures = 0
        self.last_failed = True
        self.began = time.time()
        self._made: dict[str, tuple[float, bytes]] = {}

    def take(self, pages: dict[str, bytes] | None) -> None:
        """Take the pages of a run, or that it failed: then the last ones stay."""
        self.runs += 1
        self.last_failed = pages is None
        if pages is None:
            self.failures += 1
        else:
            self.policy = pages.pop("policy", b"")
            self.pages = pages
        self._made = {}

    def page(self, name: str, packed: bool) -> bytes:
        """Return a page's bytes; metrics are there before the first run has ended."""
        if name in ("text", "openmetrics"):
            return self._metrics(name, packed)
        return self.pages[name] if packed else gzip.decompress(self.pages[name])

    def _families(self) -> list[Family]:
        """Return how the runs go."""
        current = self.policy_is_current and self.web_config_is_current
        return [
            ("hostcheck_run_interval_seconds", "gauge", "Between two runs.", self.interval),
            ("hostcheck_runs", "counter", "Runs that ended, with a report or without.", self.runs),
            ("hostcheck_run_failures", "counter", "Runs that ended without a report.", self.failures),
            (
                "hostcheck_last_run_success",
                "gauge",
                "Whether the last run gave a report; 0 before the first.",
                not self.last_failed,
            ),
            (
                "hostcheck_config_last_reload_successful",
                "gauge",
                "Whether policy and web configuration are those on the disk; 0 while the last good ones stand in.",
                current,
            ),
        ]

    def _metrics(self, name: str, packed: bool) -> bytes:
        """Return the last run's metrics and this process' own, put together at most once a second."""
        key = f"{name}.gz" if packed else name
        now = time.monotonic()
        made, data = self._made.get(key, (now - 2, b""))
        if now - made < 1:
            return data
        openmetrics = name == "openmetrics"
        own = exposition(self._families() + process_families(self.began), openmetrics)
        end = b"# EOF\n" if openmetrics else b""
        body = gzip.decompress(self.pages[name]) if self.pages else end
        data = body[: len(body) - len(end)] + own + end
        if packed:
            data = gzip.compress(data, 5, mtime=0)
        self._made[key] = (now, data)
        return data
