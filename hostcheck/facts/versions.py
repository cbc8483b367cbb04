"""Versions of the programs that containers need: as printed, as packaged, as their bytes have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from hostcheck._typing import Optional
from hostcheck.facts import elf
from hostcheck.facts.files import PROGRAM_FOLDERS, which
from hostcheck.facts.packages import RPM_LIST, Package, has_file_list, known, owner, packages
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

# Compiled where they are used: a host without an engine has no version to read.
_BEFORE_RELEASE = r"(?i)[-~_.]?(?:ce[-~.])?((?:alpha|beta|rc|tp|pre|dev|dirty)\.?\d*)"
# A commit in the place of a version: `containerd github.com/containerd/containerd 894b81a4b802e4eb2a9.m`.
_COMMIT = r"[0-9a-f]{7,40}(?:\.m|-dirty|-unsupported)?$"
_NAMED = r"(?:[A-Za-z][\w+.]*-|[:=\"]\"?)v?(\d+\.\d.*)"
_LOG_LINES = ("time=", "level=", "WARN", "warning", "Warning", "Emulate", "INFO", "[", "DEBU")


class ToolVersion(Record):
    """A version as a program prints it, taken apart."""

    upstream: str
    """Numbers as written, as `1.6.20` or `20.10.24`; `` where it says none."""
    prerelease: str
    """As `rc93`, `beta.0` or `dev`; `` for a release."""
    text: str
    """The whole word, with what the distribution added: `1.6.20~ds1`."""

    @property
    def version(self) -> Version | None:
        """The version to compare; None where the program says none."""
        return Version(str(self)) if self.upstream else None

    def __str__(self) -> str:
        return "-".join(part for part in (self.upstream, self.prerelease) if part)


NOTHING = ToolVersion("", "", "")


def parse_version_output(tool: str, text: str) -> ToolVersion:
    r"""Return the version in what `tool --version` printed; an empty one where it printed none.

    >>> str(parse_version_output("runc", "runc version 1.0.0~rc93+ds1\ncommit: 1.0.0~rc93+ds1-5\nspec: 1.0.2-dev"))
    '1.0.0-rc93'
    >>> str(parse_version_output("docker", "Docker version 20.10.24+dfsg1, build 297e128"))
    '20.10.24'
    >>> parse_version_output("containerd", "containerd github.com/containerd/containerd 894b81a4b802e4").upstream
    ''
    """
    lines = [line for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.lstrip().startswith(_LOG_LINES)] or lines
    # Some print their libraries' versions first; the line that begins with the tool's name is its own.
    own = [number for number, line in enumerate(lines) if line.startswith((tool + " ", tool + ":"))]
    for line in lines[own[0] if own else 0 :]:
        specification = line.find("spec: ")
        if tool == "runc" and specification >= 0:
            # A runc that was built without a version prints only that of the specification that it follows.
            # On a line of its own that belongs to the version above.
            before = re.search(_BEFORE_RELEASE, line[specification:]) if line.startswith("runc") else None
            return ToolVersion("", before.group(1) if before else "", "")
        found = _in_line(line)
        if found is not None:
            return found
    return NOTHING


def _in_line(line: str) -> ToolVersion | None:
    """Return the version in a line; an empty one where the line has the place of one and no version."""
    words = [word.strip("(),;") for word in line.split()]
    if len(words) > 2 and words[1].startswith("github.com/"):
        # Name, package, version, commit. What is not a version there is a build without one.
        return NOTHING if re.match(_COMMIT, words[2]) else parse_version(words[2])
    for word in words[1:] if len(words) > 1 else words:
        if re.match(_COMMIT, word) or not word:
            continue
        if re.match(r"v?\d", word):
            return parse_version(word)
        # The version behind a name: `iproute2-6.1.0`, `GitVersion:"v1.28.2"`.
        named = None if "/" in word else re.search(_NAMED, word)
        if named:
            return parse_version(named.group(1).partition(",")[0].strip('"'))
    if "version" in words:
        return ToolVersion("", "dev", "dev") if "dev" in words else NOTHING
    return None


def parse_version(word: str) -> ToolVersion:
    """Take one word apart.

    >>> parse_version("v1.5.0-rc.1")
    ToolVersion(upstream='1.5.0', prerelease='rc.1', text='v1.5.0-rc.1')
    >>> parse_version("0.12.1.474-f5a2b5").upstream
    '0.12.1'
    """
    found = re.match(r"v?(\d+(?:\.\d+){0,2})", word)
    if not found:
        return NOTHING
    before = re.match(_BEFORE_RELEASE, word[found.end() :])
    # A release of git's own count, `0.12.1.474-f5a2b5`, comes after 0.12.1 and is no prerelease of it.
    return ToolVersion(found.group(1), before.group(1) if before else "", word)


def parse_package_version(text: str, manager: str) -> ToolVersion:
    """Return the upstream version in a package's version, without epoch and revision.

    >>> str(parse_package_version("5:20.10.24~3-0~debian-bookworm", "deb"))
    '20.10.24'
    >>> str(parse_package_version("1:1.0.0-70.rc92.module_el8.3.0+699", "rpm"))
    '1.0.0-rc92'
    """
    word = text.partition(":")[2] if re.match(r"\d+:", text) else text
    upstream, _dash, revision = word.rpartition("-")
    found = parse_version((upstream or word).replace("_", "-"))
    if manager == "rpm" and not found.prerelease:
        # Fedora's and Red Hat's old way of naming a prerelease: in the release (`1.0.0-70.rc92`).
        before = re.search(r"(?:^|\.)((?:rc|beta|alpha)\.?\d+)(?:\.|$)", revision)
        if before:
            return found._replace(prerelease=before.group(1))
    return found


class Tool(Record):
    """How to find out about one program."""

    name: str
    programs: tuple[str, ...]
    """File names, in order."""
    packages: tuple[str, ...]
    """Packages whose own version is the program's."""
    arguments: tuple[str, ...] = ("--version",)
    variables: tuple[str, ...] = ()
    """Go variables that hold the version, by the end of their full name."""
    go: bool = False
    """Whether a search of the package variables of a stripped program may find it."""
    text: bytes = b""
    """What stands around it in the constant texts of a program in C: a regular expression, it in a group."""


_DOCKER = ("docker-ce", "docker.io", "moby-engine", "docker-engine", "docker", "docker-cli")
_DOCKER_VERSION = ("/dockerversion.Version",)
_CONTAINERD = ("containerd.io", "containerd", "moby-containerd")
_CONTAINERD_VERSION = ("/containerd/version.Version", "/containerd/v2/version.Version", "/v2/version.Version")

TOOLS: tuple[Tool, ...] = (
    Tool(
        "docker",
        ("docker",),
        ("docker-ce-cli", "docker-cli", "moby-cli", *_DOCKER),
        ("--version",),
        ("/cli/version.Version",),
        True,
    ),
    Tool("dockerd", ("dockerd",), _DOCKER, ("--version",), _DOCKER_VERSION, True),
    Tool("containerd", ("containerd",), _CONTAINERD, ("--version",), _CONTAINERD_VERSION, True),
    Tool("ctr", ("ctr",), _CONTAINERD, ("--version",), _CONTAINERD_VERSION, True),
    Tool(
        "containerd-shim-runc-v2",
        ("containerd-shim-runc-v2",),
        _CONTAINERD,
        ("-v",),
        _CONTAINERD_VERSION,
        True,
    ),
    Tool("runc", ("runc", "docker-runc"), ("runc", "moby-runc"), ("--version",), ("main.version",), True),
    Tool(
        "docker-init",
        ("docker-init", "tini-static", "tini"),
        ("tini", "docker-init", "tini-static"),
        text=rb"tini version (\d[\w.~+]*)",
    ),
    Tool("docker-proxy", ("docker-proxy",), _DOCKER, ("--version",), _DOCKER_VERSION, True),
    # It prints "%s version %s", which compilers lay behind its arguments; unless the linker has made the version
    # the end of "crun 0.17".
    Tool(
        "crun",
        ("crun",),
        ("crun",),
        text=rb"\0crun (\d+\.[\w.~+-]+)\0|\0(\d+\.[\w.~+-]+)\0+(?:crun\0+)?%s version %s\n",
    ),
    Tool("podman", ("podman",), ("podman",)),
    Tool("buildah", ("buildah",), ("buildah",)),
    Tool("conmon", ("conmon",), ("conmon",), text=rb"conmon version (\d[\w.~+]*)"),
    Tool("crio", ("crio",), ("cri-o",)),
    Tool("kubelet", ("kubelet",), ("kubelet",)),
    Tool("kubeadm", ("kubeadm",), ("kubeadm",), ("version", "-o", "short")),
    Tool("crictl", ("crictl",), ("cri-tools",)),
    Tool("nerdctl", ("nerdctl",), ("nerdctl",)),
    Tool("buildkitd", ("buildkitd",), ("buildkit",)),
    Tool("rootlesskit", ("rootlesskit", "docker-rootlesskit"), ("rootlesskit",)),
    Tool("slirp4netns", ("slirp4netns",), ("slirp4netns",)),
    Tool("fuse-overlayfs", ("fuse-overlayfs",), ("fuse-overlayfs",)),
    Tool("iptables", ("iptables",), ("iptables", "iptables-nft", "iptables-legacy")),
    Tool("nft", ("nft",), ("nftables",)),
    Tool("systemd", ("systemctl",), ("systemd",)),
    Tool("modprobe", ("modprobe",), ("kmod",)),
    Tool("sysctl", ("sysctl",), ("procps", "procps-ng")),
)

EXTRA_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "docker-init": ("/usr/libexec/docker", "/usr/local/libexec/docker", "/usr/lib/docker"),
    "docker-proxy": ("/usr/libexec/docker", "/usr/local/libexec/docker", "/usr/lib/docker"),
    "dockerd": ("/opt/bin", "/snap/docker/current/bin"),
    "containerd": ("/opt/bin", "/snap/docker/current/bin"),
    "containerd-shim-runc-v2": ("/opt/bin", "/snap/docker/current/bin"),
    "runc": ("/opt/bin", "/snap/docker/current/bin"),
}
"""Where else a program may lie that no shell would find."""

# The engines' own programs: worth running by name where no file of theirs is seen.
_ASKED_BY_NAME = frozenset(("dockerd", "containerd", "runc"))


_NOT_SURE: Mapping[str, tuple[str, ...]] = {
    "docker": ("docker-ce-cli", "docker-cli", "moby-cli"),
    "ctr": (),
    "containerd-shim-runc-v2": (),
    "docker-init": (),
    "docker-proxy": (),
}
"""Packages that are enough where the program is not seen: Debian's docker.io has no client since trixie."""


class Found(Record):
    """A program's version, and how it is known."""

    tool: str
    printed: ToolVersion
    how: str
    """`ran it`, `package`, `binary`, or `unknown` where the program is there and does not say."""
    package: str
    """Name of the package that brought it, `` for none."""
    path: str | None
    """Of the program; of the package database where the program itself is not seen."""

    @property
    def version(self) -> Version | None:
        """The version to compare, None where it cannot be told."""
        return self.printed.version

    def __str__(self) -> str:
        return str(self.printed) or "unknown"


def versions(host: Host) -> Mapping[str, Found]:
    """Return what is known of every tool that is there, by name."""
    found = {tool.name: found_tool(host, tool.name) for tool in TOOLS}
    return {name: each for name, each in found.items() if each is not None}


def version(host: Host, tool: str) -> Version | None:
    """Return the version of `tool`, None where it is not there or cannot be told."""
    found = found_tool(host, tool)
    return found.version if found else None


def found_tool(host: Host, name: str) -> Found | None:
    """Return what is known of one tool, None if it is not there; looked for once."""
    known = host.fact(_memory)
    if name not in known:
        tool = next(tool for tool in TOOLS if tool.name == name)
        known[name] = _look(host, tool)
    return known[name]


def _memory(_host: Host) -> dict[str, Optional[Found]]:
    return {}


def program_folders(host: Host, name: str) -> Sequence[str]:
    """Return the folders in which a program is looked for."""
    return (*PROGRAM_FOLDERS, *EXTRA_FOLDERS.get(name, ()))


def _look(host: Host, tool: Tool) -> Found | None:
    path = None
    for program in tool.programs:
        path = path or which(host, program, program_folders(host, tool.name))
    if path is None:
        ran = _ran(host, tool, tool.programs[0], "", None) if host.written_by_hand else None
        if ran:
            return ran
        package = known(host, *_NOT_SURE.get(tool.name, tool.packages))
        if package:
            return Found(tool.name, _packaged(tool, package), "package", package.name, package.path)
        if host.kind == "live" and tool.name in _ASKED_BY_NAME:
            return _ran(host, tool, tool.programs[0], "", None)
        return None
    return version_at(host, tool, path)


def package_of(host: Host, found: Found) -> str:
    """Return the name of the package that brought a program, `` for none.

    Raises:
        PermissionError, Unavailable: the package database cannot be read, so it may be of any package.

    """
    if not found.package:
        packages(host)
    return found.package


def version_at(host: Host, tool: Tool, path: str) -> Found:
    """Return what is known of the version of the program at `path`."""
    owned = _owner(host, tool, path)
    if host.written_by_hand or (host.recording and tool.name != "iptables"):
        # But for iptables no program of a package is asked: what one printed all the same was written by hand.
        ran = _ran(host, tool, path, owned.name if owned else "", path)
        if ran:
            return ran
    if owned and owned.name in tool.packages:
        return Found(tool.name, _packaged(tool, owned), "package", owned.name, path)
    name = owned.name if owned else ""
    if host.kind == "live":
        ran = _ran(host, tool, path, name, path)
        if ran:
            return ran
    printed = binary_version(host, tool, path)
    return Found(tool.name, printed, "binary" if printed.upstream else "unknown", name, path)


def tool_named(name: str) -> Tool:
    """Return the entry of a tool that is known.

    Raises:
        KeyError: it is not.

    """
    for tool in TOOLS:
        if tool.name == name:
            return tool
    raise KeyError(name)


def _packaged(tool: Tool, package: Package) -> ToolVersion:
    found = parse_package_version(package.version, package.manager)
    # systemd counts stable releases in its package's version only: 252.39 prints 252.
    if tool.name == "systemd":
        return found._replace(upstream=found.upstream.partition(".")[0])
    return found


def _owner(host: Host, tool: Tool, path: str) -> Package | None:
    """Return the package that brought the program, None for a file that somebody put there."""
    if path.startswith(("/usr/local/", "/opt/", "/snap/")):
        return None
    try:
        found = owner(host, path, tool.packages)
    except (PermissionError, Unavailable):
        return None
    if found is None:
        likely = known(host, *tool.packages)
        # Some images leave out dpkg's lists of files to be smaller; the package is the best guess then.
        # And who wrote down what rpm lists has no lists of files.
        listed = likely is None or likely.path != RPM_LIST
        if likely and (not listed or (likely.manager == "deb" and not has_file_list(host, likely.name))):
            return likely
    return found


def _ran(host: Host, tool: Tool, program: str, package: str, path: str | None) -> Found | None:
    try:
        answer = host.run(program, *tool.arguments)
    except (FileNotFoundError, PermissionError, Unavailable):
        return None
    printed = parse_version_output(tool.name, answer.out or answer.err)
    # docker-proxy before 28 knows no --version and prints its usage.
    if answer.code != 0 or not (printed.upstream or printed.prerelease):
        return None
    return Found(tool.name, printed, "ran it", package, path)


def binary_version(host: Host, tool: Tool, path: str) -> ToolVersion:
    """Return the version that a program carries in its bytes, an empty one where it does not say.

    In a program in C the text that it prints. In one in Go, in this order: the variable that the symbol table
    names, the linker flags in the build information, the module's version there, and in a stripped program the
    strings that its package variables begin with.
    """
    try:
        program = elf.elf(host, path)
        if tool.text:
            return _constant(host, program, tool.text)
        if not (tool.variables or tool.go):
            return NOTHING
        info = elf.build_info(host, program)
        if info is None:
            return NOTHING
        for text in (
            elf.string_symbol(host, program, tool.variables),
            _linked(info, tool.variables),
            info.version.encode(),
        ):
            found = parse_version(text.decode("utf-8", "replace").strip())
            if found.upstream and not found.text.startswith("v0.0.0"):
                return found
        return _likeliest(tool, elf.string_variables(host, program)) if tool.go else NOTHING
    except (OSError, Unavailable):
        return NOTHING


def _linked(info: elf.BuildInfo, variables: Sequence[str]) -> bytes:
    for name in variables:
        found = re.search(re.escape(name) + r"=([^\s\"'\\]+)", info.setting("-ldflags"))
        if found:
            return found.group(1).encode()
    return b""


_WHOLE = rb"v?\d+\.\d+(?:\.\d+)?(?:[-+~][\w.~+-]*)?\s?$"


def _likeliest(tool: Tool, strings: Iterable[bytes]) -> ToolVersion:
    """Return the highest of the versions; of the same one the shortest spelling.

    The other versions that a Go program carries are those of libraries, whose defaults are lower than any
    that an engine has had (measured on docker 20.10 to 28, containerd 1.4 to 2.1 and runc 1.0 to 1.3).
    """
    found = [
        parse_version(raw.decode("ascii", "replace").strip()) for raw in strings if re.match(_WHOLE, raw)
    ]
    if tool.variables != _CONTAINERD_VERSION:
        # What the containerd library in other programs calls itself; Debian's containerd 2.1.9 does so too.
        found = [each for each in found if "+unknown" not in each.text]
    return max(found, key=lambda each: (Version(str(each)), -len(each.text)), default=NOTHING)


def _constant(host: Host, program: elf.Elf, pattern: bytes) -> ToolVersion:
    found = re.search(pattern, elf.section_data(host, program, ".rodata"))
    return parse_version(found.group(found.lastindex or 0).decode()) if found else NOTHING


def export(host: Host) -> dict[str, object]:
    """Return every tool's version, how it is known, and its package."""
    return {
        name: {
            "value": str(found) if found.printed.upstream or found.printed.prerelease else None,
            "version": found.printed.text or None,
            "upstream": found.printed.upstream or None,
            "how": found.how,
            "package": found.package or None,
            "path": found.path,
        }
        for name, found in versions(host).items()
    }
