"""Find checks: those that hostcheck ships, those of installed plugins, and drop-in files."""

from __future__ import annotations

import fnmatch
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType

from hostcheck import packaged
from hostcheck.api import API_VERSION
from hostcheck.check import Check
from hostcheck.finding import Finding
from hostcheck.host import Host

GROUP = "hostcheck.checks"
"""The entry-point group: the name is the family, the value a module."""

DROP_IN_FOLDER = "/etc/hostcheck/checks.d"

MOVED = {
    "cgroup": ("controllers", "hierarchy"),
    "docker": ("daemon", "registry"),
    "kernel": ("modules",),
    "kubernetes": ("kubelet",),
    "network": ("modules",),
    "podman": ("podman_storage",),
    "rootless": ("lsm", "rootless_network", "rootless_storage"),
    "runtime": ("client", "conflicts", "programs"),
    "security": ("guest", "lsm"),
    "storage": ("filesystem", "resources", "rootless_storage", "state"),
    "systemd": ("limits", "units"),
}
"""A family to those that checks of it went to: who asks by a former id is answered from there."""


class PluginError(Exception):
    """A plugin that cannot be used, and why."""


def checks_in(module: ModuleType) -> list[type[Check]]:
    """Return the checks that a module defines, in the order in which they stand."""
    return [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, Check)
        and item.__module__ == module.__name__
        and hasattr(item, "id")
    ]


def families() -> list[str]:
    """Return the names of the shipped families, sorted, without importing one."""
    package = importlib.import_module("hostcheck.checks")
    found: set[str] = set()
    for folder in package.__path__:
        if os.path.isdir(folder):
            found.update(name[:-3] for name in os.listdir(folder) if name.endswith(".py"))
        else:
            # Inside a zip application, whose modules may be compiled.
            for name in packaged.names("checks"):
                stem, suffix = os.path.splitext(name)
                if suffix in (".py", ".pyc"):
                    found.add(stem)
    return sorted(name for name in found if not name.startswith("_"))


def matching_families(patterns: Sequence[str]) -> Iterator[str]:
    """Yield the families whose checks, by their present or former ids, can match one of the glob patterns."""
    # A pattern's first part decides which files are imported: `logging.*` imports one.
    heads = [pattern.partition(".")[0] for pattern in patterns]
    for family in families():
        names = (family, *(former for former, moved in MOVED.items() if family in moved))
        if any(fnmatch.fnmatchcase(name, head) for name in names for head in heads):
            yield family


def family(name: str) -> list[type[Check]]:
    """Return the checks of a shipped family."""
    return checks_in(importlib.import_module(f"hostcheck.checks.{name}"))


def shipped(patterns: Sequence[str] = ("*",)) -> list[type[Check]]:
    """Return the shipped checks whose family, now or formerly, can match one of the glob patterns."""
    return [check for name in matching_families(patterns) for check in family(name)]


def present_ids(checks: Iterable[type[Check] | Check]) -> dict[str, str]:
    """Return the present id of every former one."""
    return {former: check.id for check in checks for former in check.aliases}


class BrokenPlugin(Check):
    """The plugin can be loaded.

    *Why*: a plugin that cannot be loaded checks nothing, and a check that is silently absent looks like
    one that passed.

    *Fix*: mend or remove the plugin that the reason names.
    """

    def __init__(self, name: str, reason: str) -> None:
        """Stand for the plugin `name`, whose every run is the error `reason`."""
        super().__init__()
        self.id = f"plugin.{name}"
        self.reason = reason

    def run(self, host: Host) -> Iterator[Finding]:
        """Break, with the reason why the plugin could not be loaded."""
        raise PluginError(self.reason)


def _vet(module: ModuleType, origin: str, prefix: str | None) -> list[type[Check]]:
    wanted = getattr(module, "HOSTCHECK_API", API_VERSION)
    if wanted != API_VERSION:
        raise PluginError(f"{origin} asks for API {wanted}, this hostcheck has {API_VERSION}")
    found = checks_in(module)
    if not found:
        raise PluginError(f"{origin} defines no checks")
    for check in found:
        if prefix and not check.id.startswith(prefix + "."):
            raise PluginError(f"{origin}: the id {check.id} must begin with {prefix}.")
    return found


def installed() -> Iterator[tuple[str, list[type[Check]] | PluginError]]:
    """Yield the checks of each installed plugin by its name, or why it cannot be used."""
    # Imported here: it costs 54 ms, and a host with no plugin need not pay it (see `any_installed`).
    from importlib.metadata import entry_points

    everything = entry_points()
    if hasattr(everything, "select"):  # noqa: SIM108 - the two need their comment
        points = list(everything.select(group=GROUP))
    else:  # Python 3.9
        points = list(everything.get(GROUP, ()))
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        try:
            yield point.name, _vet(point.load(), point.value, point.name)
        except PluginError as error:
            yield point.name, error
        except (Exception, SystemExit) as error:
            yield point.name, PluginError(f"{point.value}: {type(error).__name__}: {error}")


def any_installed() -> bool:
    """Return whether an installed distribution offers checks, without importing anything heavy."""
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            try:
                with open(os.path.join(folder, name, "entry_points.txt"), encoding="utf-8") as file:
                    if f"[{GROUP}]" in file.read():
                        return True
            except (OSError, ValueError):
                continue
    return False


def drop_ins(folder: str) -> Iterator[tuple[str, list[type[Check]] | PluginError]]:
    """Yield the checks of each `.py` file in a folder by its stem, or why it cannot be used.

    Run as root, a file that others may write is refused: it would run with root's rights.
    """
    try:
        listed = sorted(name for name in os.listdir(folder) if name.endswith(".py"))
    except OSError:
        return
    for name in listed:
        path = os.path.join(folder, name)
        stem = name[:-3]
        try:
            yield stem, _load_file(path, stem)
        except PluginError as error:
            yield stem, error
        except (Exception, SystemExit) as error:
            yield stem, PluginError(f"{path}: {type(error).__name__}: {error}")


def _load_file(path: str, stem: str) -> list[type[Check]]:
    import importlib.util

    if os.geteuid() == 0:
        for shown in (path, os.path.dirname(path) or "."):
            found = os.stat(shown)
            if found.st_uid != 0 or found.st_mode & 0o022:
                raise PluginError(f"{shown} can be written by others than root: chown root, chmod go-w")
    name = f"hostcheck_dropin.{stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Before it runs: a dataclass with text annotations looks its module up there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return _vet(module, path, None)
