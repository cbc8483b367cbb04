"""What `hostcheck --version -v` says: how this hostcheck was installed, with which libraries, and what is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from hostcheck import __version__, packaged
from hostcheck.facts.packages import packages
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

DPKG_LIST = "/var/lib/dpkg/info/hostcheck.list"
RPM_FOLDER = "/usr/share/hostcheck/hostcheck"


class Part(Record):
    """Libraries that belong together, and what hostcheck does with them."""

    name: str
    adds: str
    libraries: dict[str, str]
    """The name of each on PyPI, and the module by which it is known to be there."""
    debian: str = ""
    """The packages of Debian that have them; nothing where there are none."""
    rpm: str = ""


REQUIRED = Part(
    "libraries",
    "tables, policies, metrics and HTML reports",
    {"rich": "rich", "PyYAML": "yaml", "prometheus-client": "prometheus_client", "Jinja2": "jinja2"},
    "python3-rich python3-yaml python3-prometheus-client python3-jinja2",
    "python3-rich python3-pyyaml python3-prometheus_client python3-jinja2",
)
OPTIONAL = (
    Part("server", "hostcheck serve", {"h11": "h11"}, "python3-h11", "python3-h11"),
    Part(
        "passwords", "passwords of hostcheck serve", {"bcrypt": "bcrypt"}, "python3-bcrypt", "python3-bcrypt"
    ),
    Part(
        "images",
        "disks (qcow2, vmdk, raw ...), ISO images and archives packed with zstd",
        {
            "dissect.target": "dissect.target",
            "dissect.btrfs": "dissect.btrfs",
            "dissect.extfs": "dissect.extfs",
            "dissect.fat": "dissect.fat",
            "dissect.squashfs": "dissect.squashfs",
            "dissect.xfs": "dissect.xfs",
            "pycdlib": "pycdlib",
            "zstandard": "zstandard",
        },
    ),
)
EXTRAS = {"server": "exporter", "passwords": "exporter", "images": "images"}
"""Which extra of the wheel brings a part."""


class Way(Record):
    """How hostcheck came here."""

    kind: str
    """standalone, pyz, deb, rpm, editable, checkout, wheel or copy."""
    text: str


def way(host: Host, folder: str = packaged.FOLDER) -> Way:
    """Return how the package in a folder came onto this machine."""
    if getattr(sys, "frozen", False):
        return Way("standalone", f"the standalone executable {sys.executable}")
    if not os.path.isdir(folder):
        return Way("pyz", f"the one file {_archive(folder)}")
    around = os.path.dirname(folder)
    if os.path.isfile(os.path.join(around, "setup.cfg")) and os.path.isdir(os.path.join(around, "checks")):
        if _editable(around):
            return Way("editable", f"pip install -e, from the checkout {around}")
        return Way("checkout", f"not at all: run from the checkout {around}")
    return _packaged(host, folder) or _installed_by(around) or Way("copy", f"not at all: a copy in {around}")


def _archive(inside: str) -> str:
    """Return the file that a path leads into; what was compiled lies in a folder of its own in it."""
    while not os.path.isfile(inside) and inside != os.path.dirname(inside):
        inside = os.path.dirname(inside)
    return inside


def _packaged(host: Host, folder: str) -> Way | None:
    """Return the deb or rpm whose files these are, by the package manager's own database."""
    try:
        found = packages(host).get("hostcheck")
        if found is None:
            return None
        if found.manager == "deb":
            # Both may be there: the deb, and a newer wheel that comes before it on the path.
            owned = f"{folder}/__init__.py" in host.read(DPKG_LIST).splitlines()
        else:
            owned = folder == RPM_FOLDER
    except (FileNotFoundError, PermissionError, Unavailable):
        return None
    return (
        Way(found.manager, f"the {found.manager} hostcheck {found.version}, in {folder}") if owned else None
    )


def _installed_by(around: str) -> Way | None:
    """Return the installer that the metadata beside the package name."""
    about = _metadata_at(around)
    if about is None:
        return None
    try:
        with open(os.path.join(about, "INSTALLER"), encoding="utf-8") as file:
            installer = file.read().strip()
    except (OSError, ValueError):
        installer = "an installer without a name"
    return Way("wheel", f"the wheel, by {installer}, in {around}")


def _metadata_at(around: str) -> str | None:
    path = os.path.join(around, f"hostcheck-{__version__}.dist-info")
    return path if os.path.isdir(path) else None


def _editable(checkout: str) -> bool:
    """Return whether pip knows this checkout, and so `import hostcheck` finds it from anywhere."""
    import json
    from importlib import metadata
    from urllib.parse import unquote

    for found in metadata.distributions(name="hostcheck"):
        try:
            about = json.loads(found.read_text("direct_url.json") or "{}")
        except ValueError:
            continue
        editable = about.get("dir_info", {}).get("editable", False)
        if editable and unquote(about.get("url", "")) == f"file://{os.path.realpath(checkout)}":
            return True
    return False


def version_of(library: str, module: str) -> str | None:
    """Return the version of a library, or None where it is missing."""
    from importlib import metadata, util

    try:
        if util.find_spec(module) is None:
            return None
    except ImportError:
        return None
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def how_to_get(part: Part, kind: str) -> str:
    """Return what brings the libraries of a part to a hostcheck that came here in that way."""
    if kind == "deb" and part.debian:
        return f"apt-get install {part.debian}"
    if kind == "rpm" and part.rpm:
        return f"dnf install {part.rpm}"
    extra = EXTRAS.get(part.name)
    command = f"pip install 'hostcheck[{extra}]'" if extra else "pip install hostcheck"
    if kind in ("wheel", "editable", "checkout", "copy"):
        return command
    return f"{command}, in a virtual environment of its own"


def lines(host: Host) -> Iterator[str]:
    """Yield what is told."""
    found = way(host)
    yield f"hostcheck {__version__}"
    yield f"  installed    {found.text}"
    name = sys.implementation.name.replace("cpython", "Python")
    yield f"  python       {name} {sys.version.split()[0]}, {sys.executable or 'of unknown place'}"
    for part in (REQUIRED, *OPTIONAL):
        yield from _part_lines(part, found.kind)


def _part_lines(part: Part, kind: str) -> Iterator[str]:
    versions = {library: version_of(library, module) for library, module in part.libraries.items()}
    there = ", ".join(f"{library} {version}" for library, version in versions.items() if version)
    missing = ", ".join(library for library, version in versions.items() if not version)
    shown = "; ".join(text for text in (there, f"missing: {missing}" if missing else "") if text)
    yield f"  {part.name:<12} {shown}"
    if missing:
        yield f"               for {part.adds}: {how_to_get(part, kind)}"
