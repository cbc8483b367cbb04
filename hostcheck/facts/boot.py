"""What the host boots next: which kernel, with which command line, and which file says so."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator

from hostcheck._typing import Optional
from hostcheck.facts import grub, loaders
from hostcheck.facts.files import kernel_text, names, text
from hostcheck.facts.loaders import Entry
from hostcheck.facts.os import architecture, parse_assignments
from hostcheck.facts.releases import installed_releases
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

GRUB_FOLDERS = ("/boot/grub", "/boot/grub2")
ESPS = ("/boot/efi", "/efi", "/boot")
"""Where the EFI system partition is mounted, by distribution."""

DEFAULT_GRUB = "/etc/default/grub"
KERNEL_CMDLINE = ("/etc/kernel/cmdline", "/usr/lib/kernel/cmdline")
"""What kernel-install(8) makes new entries with, the first that exists."""

BOOTC_KARGS = "/usr/lib/bootc/kargs.d"

PI_FOLDERS = ("/boot/firmware", "/boot")
"""Where a Raspberry Pi's firmware partition is mounted: since Debian 12, and before."""

EFI_DEFAULT = "/sys/firmware/efi/efivars/LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""What `bootctl set-default` writes; systemd-boot prefers it to loader.conf."""


class Boot(Record):
    """What the default entry boots, and how that is known."""

    release: str | None
    """The kernel's release, None where nothing tells it."""
    cmdline: str | None
    """The kernel command line, None where nothing tells it."""
    path: str | None
    """The file that sets the command line, None where it is taken from the running kernel."""
    line: int | None
    how: str
    """By which boot loader or guess, for a reader."""
    entries: tuple[Entry, ...] = ()
    """Everything that can be booted, in the order of the menu."""
    loader: str = ""
    """`grub`, `systemd-boot`, `bls`, `extlinux`, `raspberry-pi`, `u-boot`, `zipl`, `uki`; `guess` from the
    settings that the next one would be made of, `running` where the next boot is taken to be like this one."""


def running_release(host: Host) -> str:
    """Return the release of the kernel that runs.

    Raises:
        Unavailable: nothing runs.

    """
    return kernel_text(host, "/proc/sys/kernel/osrelease").strip()


def running_cmdline(host: Host) -> str:
    """Return the command line of the kernel that runs.

    Raises:
        Unavailable: nothing runs.

    """
    return kernel_text(host, "/proc/cmdline").strip()


def parse_cmdline(cmdline: str) -> Iterator[tuple[str, str | None]]:
    """Yield name and value of each option of a kernel command line; None is the value of a bare word.

    Double quotes hold words together and are taken off; what follows `--` is for init (kernel: next_arg()
    in lib/cmdline.c, parse_args() in kernel/params.c).

    >>> list(parse_cmdline('ro a="1 2" "b=3 4" -- x'))
    [('ro', None), ('a', '1 2'), ('b', '3 4')]
    """
    for word in split_cmdline(cmdline):
        if word == "--":
            return
        if word.startswith('"') and word.endswith('"') and len(word) > 1:
            word = word[1:-1]
        name, equals, value = word.partition("=")
        if value.startswith('"'):
            value = value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:]
        yield name, value if equals else None


def split_cmdline(cmdline: str) -> list[str]:
    """Return the words, quotes left on: a space inside double quotes does not part them.

    >>> split_cmdline('a "b c" d="e f"')
    ['a', '"b c"', 'd="e f"']
    """
    if '"' not in cmdline:
        return cmdline.split()
    words: list[str] = []
    word = ""
    quoted = False
    for char in cmdline:
        if char == '"':
            quoted = not quoted
        if char.isspace() and not quoted:
            if word:
                words.append(word)
            word = ""
        else:
            word += char
    if word:
        words.append(word)
    return words


def option(cmdline: str | None, name: str) -> str | None:
    """Return the last value of an option, empty for a bare word, None where it is not there.

    Dashes and underscores are the same, as for the kernel (parameq() in kernel/params.c) and for systemd
    (proc_cmdline_key_streq()).

    >>> option("quiet swapaccount=0 swapaccount=1", "swapaccount")
    '1'
    >>> option("systemd.unified-cgroup-hierarchy", "systemd.unified_cgroup_hierarchy")
    ''
    """
    found = options(cmdline, name)
    return found[-1] if found else None


def without_ipv6(host: Host, when: str) -> bool:
    """Return whether the kernel has no IPv6, now or after the next boot, as far as that can be seen."""
    try:
        if host.kind != "live" or when != "now":
            return option(boot(host).cmdline, "ipv6.disable") == "1"
        if host.exists("/proc/sys/net/ipv4") and not host.exists("/proc/sys/net/ipv6"):
            return True
        return option(host.read("/proc/cmdline"), "ipv6.disable") == "1"
    except (OSError, Unavailable):
        return False


def options(cmdline: str | None, name: str) -> list[str]:
    """Return all values of an option in their order; for those that add up, as `cgroup_disable`."""
    wanted = name.replace("-", "_")
    return [value or "" for each, value in parse_cmdline(cmdline or "") if each.replace("-", "_") == wanted]


def is_ostree(host: Host) -> bool:
    """Return whether the entry that boots leads into a deployment of ostree, as far as that can be seen."""
    try:
        return option(boot(host).cmdline, "ostree") is not None
    except (OSError, Unavailable):
        return False


def boot(host: Host) -> Boot:
    """Return what the host boots next, as far as its files tell.

    A boot loader's own configuration counts; where there is none, as in an image that gets its loader
    later, the settings from which it would be made; and a machine that runs without a kernel of its own
    (a hypervisor or the network gave it one) is taken to boot the same way again.

    Raises:
        PermissionError: there is a configuration, and only root may read it.

    """
    return host.fact(_boot)


def _boot(host: Host) -> Boot:
    refused: Exception | None = None
    readers = (_pi, _grub, _systemd_boot, _extlinux, _bls_alone, _grub_legacy, _zipl, _uki, _uboot)
    for reader in readers:
        try:
            found = reader(host)
        except (PermissionError, Unavailable) as error:
            refused = refused or error
            continue
        if found is not None:
            return _as_now(host, found) or found
    if refused is not None:
        raise refused
    return _running(host) if host.kind == "live" else _guess(host)


def _running(host: Host, why: str = "no boot loader's configuration is to be seen here") -> Boot:
    how = f"{why}: taken to boot as it runs now"
    return Boot(running_release(host), running_cmdline(host), None, None, how, loader="running")


def _as_now(host: Host, found: Boot) -> Boot | None:
    """Return the boot as it runs now where the loader that was found has not started this kernel.

    GRUB and syslinux put BOOT_IMAGE= before the words of the entry. A kernel that is in none of the
    loader's entries and has no such word came from elsewhere: a hypervisor, or the network.
    """
    if host.kind != "live" or found.loader != "grub":
        return None
    try:
        release, cmdline = running_release(host), running_cmdline(host)
    except Unavailable:
        return None
    if option(cmdline, "BOOT_IMAGE") is not None or release in [entry.release for entry in found.entries]:
        return None
    if any(entry.cmdline and cmdline.endswith(entry.cmdline) for entry in found.entries):
        return None
    why = f"the kernel that runs is none of GRUB's ({found.path})"
    return _running(host, why)._replace(entries=found.entries)


def _guess(host: Host) -> Boot:
    """Return what a boot loader would be set up with, from the settings and the kernels of a tree."""
    release = next(iter(installed_releases(host)), None)
    settings = generator(host)
    kernel = f"the newest kernel, {release}" if release else "no kernel"
    if settings is None:
        how = f"a guess: {kernel}, no boot loader and no settings for one in this tree"
        return Boot(release, None, None, None, how, loader="guess")
    how = (
        f"a guess: {kernel}, with the words of {settings.path}, from which the loader's configuration is made"
    )
    return Boot(release, settings.cmdline, settings.path, settings.line, how, loader="guess")


class Generator(Record):
    """The words that a new kernel's entry is made with."""

    cmdline: str
    path: str
    line: Optional[int]
    words: tuple[tuple[str, str, int], ...] = ()
    """Each word with the file and line that it comes from."""


def generator(host: Host) -> Generator | None:
    """Return the words with which the next kernel's entry will be made, None where no file holds any.

    /etc/default/grub and /etc/default/grub.d/*.cfg (grub-mkconfig), else /etc/kernel/cmdline
    (kernel-install), else what a bootc image brings.
    """
    return host.fact(_generator)


def _generator(host: Host) -> Generator | None:
    found = default_grub(host)
    if found is not None:
        return found
    for path in KERNEL_CMDLINE:
        content = text(host, path)
        if content is not None:
            lines = [line for line in content.split("\n") if line.strip() and not line.startswith("#")]
            return _words(" ".join(lines), path, 1)
    return _bootc(host)


def _bootc(host: Host) -> Generator | None:
    """Return the words that a bootc image brings for the entry of the machine that it is installed on.

    Source: bootc, docs/src/building/kernel-arguments.md: files by name; `match-architectures` leaves some out.
    """
    words: list[tuple[str, str, int]] = []
    for name in names(host, BOOTC_KARGS):
        path = f"{BOOTC_KARGS}/{name}"
        content = text(host, path) if name.endswith(".toml") else None
        if content is None:
            continue
        # Imported here: few images have such files.
        from hostcheck.facts.toml import BadConfig, parse_toml

        try:
            said = parse_toml(content)
        except BadConfig:
            continue
        kargs, ours = said.get("kargs"), said.get("match-architectures")
        if not isinstance(kargs, list) or (isinstance(ours, list) and architecture(host) not in ours):
            continue
        for word in kargs:
            words += [(each, path, _line_of(content, each)) for each in split_cmdline(str(word))]
    if not words:
        return None
    return Generator(" ".join(word for word, _path, _line in words), words[0][1], words[0][2], tuple(words))


def _line_of(content: str, word: str) -> int:
    return content[: max(0, content.find(word))].count("\n") + 1


def _words(cmdline: str, path: str, line: int) -> Generator:
    words = split_cmdline(cmdline)
    return Generator(" ".join(words), path, line, tuple((word, path, line) for word in words))


def default_grub(host: Host) -> Generator | None:
    """Return the words that grub-mkconfig puts into the first entry, None without its settings.

    GRUB_CMDLINE_LINUX, then GRUB_CMDLINE_LINUX_DEFAULT; files of /etc/default/grub.d count after
    /etc/default/grub, in their order, where the distribution reads them (Debian, SUSE).
    """
    return host.fact(_default_grub)


def _default_grub(host: Host) -> Generator | None:
    paths = [DEFAULT_GRUB]
    paths += [
        f"{DEFAULT_GRUB}.d/{name}" for name in names(host, f"{DEFAULT_GRUB}.d") if name.endswith(".cfg")
    ]
    variables: dict[str, str] = {}
    origin: dict[tuple[str, str], tuple[str, int]] = {}
    last: dict[str, tuple[str, int]] = {}
    for path in paths:
        content = text(host, path)
        for name, value, line in parse_assignments(content or "", variables):
            variables[name] = value
            last[name] = (path, line)
            for word in split_cmdline(value):
                origin.setdefault((name, word), (path, line))
    if not last:
        return None
    keys = ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT")
    words = [(word, *origin[key, word]) for key in keys for word in split_cmdline(variables.get(key, ""))]
    path, line = next((last[key] for key in keys if key in last), (DEFAULT_GRUB, 0))
    return Generator(" ".join(word for word, _path, _line in words), path, line or None, tuple(words))


def _found(entry: Entry | grub.Item, loader: str, how: str, entries: list[Entry]) -> Boot:
    release = entry.release if isinstance(entry, Entry) else loaders.release_of(entry.kernel)
    return Boot(release, entry.cmdline, entry.path, entry.line, how, tuple(entries), loader)


def _release(host: Host, kernel: str | None) -> str | None:
    """Return the release of the kernel that a loader names, by its name, its link or its own header."""
    release = loaders.release_of(kernel)
    if release or not kernel:
        return release
    # The loader's root may be the partition that is mounted at /boot.
    path = kernel.rpartition(")")[2]
    for place in (path, "/boot" + path, posixpath.join("/boot", path), *(esp + path for esp in ESPS[:2])):
        if not place.startswith("/"):
            continue
        try:
            release = loaders.release_of(host.resolve(place)) or _header_release(host, place)
        except (FileNotFoundError, PermissionError, Unavailable):
            continue
        if release:
            return release
    flavour = posixpath.basename(path).partition("-")[2]
    if not flavour:
        return None
    # Alpine's vmlinuz-lts and Arch's vmlinuz-linux belong to the modules of that name.
    for release in installed_releases(host):
        owner = text(host, f"/usr/lib/modules/{release}/pkgbase")
        if (owner or "").strip() == flavour or (owner is None and release.endswith("-" + flavour)):
            return release
    return None


def _header_release(host: Host, path: str) -> str | None:
    """Return the release that an x86 kernel image holds (Documentation/arch/x86/boot.rst, kernel_version)."""
    head = host.read_bytes(path, limit=0x8200)
    if head[0x202:0x206] != b"HdrS":
        return None
    start = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    words = head[start : start + 128].split(b"\0", 1)[0].decode("ascii", "replace").split()
    return words[0] if words and words[0][:1].isdecimal() else None


def _grub(host: Host) -> Boot | None:
    for path in _grub_configs(host):
        content = text(host, path)
        if content is None:
            continue
        environment = _grubenv(host, posixpath.dirname(path))
        menu = grub.parse_config(
            content,
            path,
            environment,
            lambda name, path=path: host.exists(_grub_path(name, path)),  # type: ignore[misc]
            lambda variables: _bls_items(host, variables),
        )
        chosen = grub.choose(menu.items, menu.default)
        if chosen is None:
            # A stub that only names another configuration, as on the EFI system partition.
            continue
        entries = [_entry(host, item) for item in grub.flat(menu.items)]
        entry = _entry(host, chosen)
        which = f"entry {menu.default!r}" if menu.default not in ("", "0") else "the first entry"
        return Boot(
            entry.release,
            entry.cmdline,
            entry.path,
            entry.line,
            f"GRUB: {which} of {path}, {entry.title!r}",
            tuple(entries),
            "grub",
        )
    return None


def _grub_path(name: str, config: str) -> str:
    folder = posixpath.dirname(config)
    for prefix in ("/boot/grub/", "/boot/grub2/"):
        if name.startswith(prefix):
            return f"{folder}/{name[len(prefix) :]}"
    return name if name.startswith("/") else f"{folder}/{name}"


def _grub_configs(host: Host) -> list[str]:
    """Return where GRUB's configuration may be, the one that counts first."""
    usual = [f"{folder}/grub.cfg" for folder in GRUB_FOLDERS]
    efi = []
    for esp in ESPS[:2]:
        try:
            efi += [f"{esp}/EFI/{name}/grub.cfg" for name in names(host, f"{esp}/EFI")]
        except (PermissionError, Unavailable):
            continue
    # With EFI, EL 7 and 8 keep the whole configuration on the system partition.
    try:
        booted_by_efi = host.exists("/sys/firmware/efi")
    except (PermissionError, Unavailable):
        booted_by_efi = False
    return [*efi, *usual] if booted_by_efi else [*usual, *efi]


def _grubenv(host: Host, folder: str) -> dict[str, str]:
    for path in dict.fromkeys((f"{folder}/grubenv", "/boot/grub2/grubenv", "/boot/grub/grubenv")):
        content = text(host, path)
        if content is not None:
            return grub.parse_grubenv(content)
    return {}


def _entry(host: Host, item: grub.Item) -> Entry:
    release = _release(host, item.kernel)
    if release is None and item.path.endswith(".conf"):
        content = text(host, item.path)
        release = loaders.bls_entry(content or "", item.path, {}).release
    item_id = item.id or item.title
    return Entry(item.title, item_id, release, item.cmdline, item.path, item.line, item.kernel, item.initrd)


def _bls_files(host: Host, folders: tuple[str, ...]) -> dict[str, str]:
    """Return path and content of the entries in the first folder that has any."""
    for folder in folders:
        listed = [name for name in names(host, folder) if name.endswith(".conf")]
        found = {f"{folder}/{name}": text(host, f"{folder}/{name}") for name in listed}
        if found:
            return {path: content for path, content in found.items() if content is not None}
    return {}


def _bls_items(host: Host, variables: dict[str, str]) -> list[grub.Item]:
    blsdir = variables.get("blsdir", "/loader/entries")
    folders = tuple(dict.fromkeys((f"/boot{blsdir}", "/boot/loader/entries", "/boot/efi/loader/entries")))
    found = _bls_files(host, folders)
    entries = [loaders.bls_entry(content, path, variables) for path, content in found.items()]
    return [
        grub.Item(e.title, e.id, e.kernel, e.cmdline, e.initrd, e.path or "", e.line or 0)
        for e in sorted(entries, key=lambda entry: loaders.bls_key(entry.id), reverse=True)
        if e.kernel
    ]


def _bls_alone(host: Host) -> Boot | None:
    """Entries of an EL or Fedora image whose GRUB configuration is elsewhere: the newest, or the saved one."""
    environment = _grubenv(host, GRUB_FOLDERS[1])
    variables = {**environment}
    items = tuple(_bls_items(host, variables))
    chosen = grub.choose(items, environment.get("next_entry") or environment.get("saved_entry", ""))
    if chosen is None:
        return None
    entries = [_entry(host, item) for item in items]
    entry = _entry(host, chosen)
    return _found(entry, "bls", f"the default of the entries in /boot/loader/entries, {entry.id!r}", entries)


def _systemd_boot(host: Host) -> Boot | None:
    for esp in ESPS:
        conf = text(host, f"{esp}/loader/loader.conf")
        if conf is None:
            # The file may be left out, the program may not.
            programs = names(host, f"{esp}/EFI/systemd")
            if not any(name.lower().startswith("systemd-boot") for name in programs):
                continue
            conf = ""
        folders = tuple(dict.fromkeys((f"{esp}/loader/entries", "/boot/loader/entries")))
        files = _bls_files(host, folders)
        kernels = _uki_entries(host, esp)
        order = loaders.systemd_boot_order(files.items()) + [entry.path or "" for entry in kernels]
        pattern, _line = loaders.parse_loader_conf(conf).get("default", ("", 0))
        pattern = _efi_default(host) or pattern
        path = loaders.systemd_boot_default(order, pattern)
        entries = [_bls(host, files[each], each) for each in order if each in files] + kernels
        chosen = next((entry for entry in entries if entry.path == path), None)
        if chosen is not None:
            return _found(
                chosen, "systemd-boot", f"systemd-boot: entry {chosen.id!r} of {esp}/loader", entries
            )
    return None


def _bls(host: Host, content: str, path: str) -> Entry:
    entry = loaders.bls_entry(content, path)
    return entry._replace(release=entry.release or _release(host, entry.kernel))


def _efi_default(host: Host) -> str:
    try:
        # Four bytes of attributes stand before an EFI variable's value.
        return host.read_bytes(EFI_DEFAULT)[4:].decode("utf-16-le", "replace").rstrip("\0")
    except (FileNotFoundError, PermissionError, Unavailable):
        return ""


def _uki_entries(host: Host, esp: str) -> list[Entry]:
    found = []
    for name in names(host, f"{esp}/EFI/Linux"):
        path = f"{esp}/EFI/Linux/{name}"
        if not name.lower().endswith(".efi"):
            continue
        head = host.read_bytes(path, limit=4096)
        parts = {part: (offset, size) for part, offset, size in loaders.parse_pe_sections(head)}
        if ".linux" not in parts:
            continue
        words = {}
        for part in (".cmdline", ".uname"):
            offset, size = parts.get(part, (0, 0))
            data = host.read_bytes(path, limit=min(size, 1 << 16), offset=offset) if size else b""
            words[part] = data.rstrip(b"\0\n").decode("utf-8", "replace").strip()
        found.append(Entry(name, name, words[".uname"] or None, words[".cmdline"], path, None, path))
    return sorted(found, key=lambda entry: loaders.release_key(entry.release or entry.id), reverse=True)


def _uki(host: Host) -> Boot | None:
    for esp in ESPS:
        entries = _uki_entries(host, esp)
        if entries:
            return _found(entries[0], "uki", f"the newest unified kernel image, {entries[0].path}", entries)
    return None


def _extlinux(host: Host) -> Boot | None:
    for path in (
        "/boot/extlinux/extlinux.conf",
        "/boot/extlinux.conf",
        "/boot/syslinux/syslinux.cfg",
        "/extlinux.conf",
    ):
        content = text(host, path)
        if content is None:
            continue
        entries, default = loaders.parse_extlinux(content, path)
        entries = [e._replace(release=e.release or _release(host, e.kernel)) for e in entries if e.kernel]
        chosen = next((entry for entry in entries if entry.id == default), entries[0] if entries else None)
        if chosen is not None:
            return _found(chosen, "extlinux", f"extlinux: label {chosen.id!r} of {path}", entries)
    return None


def _grub_legacy(host: Host) -> Boot | None:
    for path in ("/boot/grub/grub.conf", "/boot/grub/menu.lst"):
        content = text(host, path)
        if content is None:
            continue
        menu = grub.parse_legacy(content, path)
        chosen = grub.choose(menu.items, menu.default)
        if chosen is not None:
            entries = [_entry(host, item) for item in menu.items]
            return _found(_entry(host, chosen), "grub", f"GRUB 0.97: {chosen.title!r} of {path}", entries)
    return None


def _zipl(host: Host) -> Boot | None:
    path = "/etc/zipl.conf"
    content = text(host, path)
    if content is None:
        return None
    entries, default = loaders.parse_zipl(content, path)
    entries = [e._replace(release=e.release or _release(host, e.kernel)) for e in entries]
    chosen = next((entry for entry in entries if entry.id == default), entries[0] if entries else None)
    return _found(chosen, "zipl", f"zipl: section {chosen.id!r} of {path}", entries) if chosen else None


def pi_cmdline(host: Host) -> str | None:
    """Return the path of the file that a Raspberry Pi's firmware takes the command line from, None if it is none.

    /boot/firmware is the firmware's partition since Debian 12; where it has the file, /boot/cmdline.txt is
    a leftover. config.txt may name another (`cmdline=`, `os_prefix=`).
    """
    for folder in PI_FOLDERS:
        settings = loaders.parse_pi_config(text(host, f"{folder}/config.txt") or "")
        name = settings.get("os_prefix", "") + settings.get("cmdline", "cmdline.txt")
        for path in (f"{folder}/{name}", f"{folder}/cmdline.txt"):
            if host.exists(path):
                return path
    return None


def _pi(host: Host) -> Boot | None:
    path = pi_cmdline(host)
    if path is None or any(host.exists(f"{folder}/grub.cfg") for folder in GRUB_FOLDERS):
        return None
    content = host.read(path)
    words = content.split("\n", 1)[0].strip()
    if "DO NOT EDIT THIS FILE" in words:
        how = f"Raspberry Pi: {path} says that the file is elsewhere, on a partition that is not here"
        return Boot(_pi_release(host), None, path, 1, how, loader="raspberry-pi")
    how = f"Raspberry Pi: the first line of {path}"
    if host.kind == "live":
        # What the firmware puts before the file's words, from the device tree, it will put there again.
        own = frozenset(split_cmdline(words))
        before = []
        for word in split_cmdline(running_cmdline(host)):
            if word in own:
                break
            before.append(word)
        else:
            before = []
        words = " ".join([*before, words])
    release = _pi_release(host)
    return Boot(
        release,
        words,
        path,
        1,
        how,
        (Entry("Raspberry Pi", "cmdline.txt", release, words, path, 1),),
        "raspberry-pi",
    )


def _pi_release(host: Host) -> str | None:
    """Return the release of the Pi's kernel: the newest of the flavour that runs, else the newest of all."""
    releases = list(installed_releases(host))
    if host.kind == "live":
        running = running_release(host)
        mark = running.lstrip("0123456789.")
        flavour = mark.rpartition("-")[2]
        same = [release for release in releases if release.endswith(flavour)] if flavour else []
        return same[0] if same else running
    return releases[0] if releases else None


def _uboot(host: Host) -> Boot | None:
    for path in ("/boot/armbianEnv.txt", "/boot/orangepiEnv.txt", "/boot/dietpiEnv.txt"):
        content = text(host, path)
        if content is None:
            continue
        known = loaders.parse_env(content)
        words = [known[key][0] for key in ("extraargs", "extraboardargs") if key in known]
        script = text(host, "/boot/boot.cmd")
        asked = known.get("docker_optimizations", ("on", 0))[0] == "on"
        if asked and (script is None or "docker_optimizations" in script):
            # The board's boot.cmd adds these (armbian/build: config/bootscripts).
            words.append("cgroup_enable=cpuset cgroup_memory=1 cgroup_enable=memory")
        line = known["extraargs"][1] if "extraargs" in known else None
        return Boot(_pi_release(host), " ".join(words), path, line, f"U-Boot: {path}", loader="u-boot")
    for path in ("/boot/boot.ini", "/boot/boot.cmd", "/boot/boot.scr"):
        content = text(host, path)
        if content is None:
            continue
        variables = {key: value for key, (value, _line) in _uenv(host).items()}
        cmdline, line = loaders.parse_uboot_script(content, variables)
        how = f"U-Boot: {path}, as far as it can be read without U-Boot"
        return Boot(_pi_release(host), cmdline, path, line, how, loader="u-boot")
    known = _uenv(host)
    for key in ("bootargs", "cmdline", "optargs"):
        if key in known:
            return Boot(
                _pi_release(host),
                known[key][0],
                "/boot/uEnv.txt",
                known[key][1],
                "U-Boot: uEnv.txt",
                (),
                "u-boot",
            )
    return None


def _uenv(host: Host) -> dict[str, tuple[str, int]]:
    return loaders.parse_env(text(host, "/boot/uEnv.txt") or "")


def export(host: Host) -> dict[str, object]:
    """Return the kernel and command line of the next boot, and of the running one where something runs."""
    found = boot(host)
    leaves: dict[str, object] = {}
    readers: tuple[tuple[str, str | None, Callable[[Host], str]], ...] = (
        ("release", found.release, running_release),
        ("cmdline", found.cmdline, running_cmdline),
    )
    for name, upcoming, running in readers:
        leaf: dict[str, object] = {"value": upcoming, "path": found.path, "line": found.line}
        if host.kind == "live":
            now = running(host)
            leaf["value"] = now
            if now != upcoming:
                leaf.update(now=now, boot=upcoming)
        leaves[name] = leaf
    leaves["how"] = {"value": found.how, "path": found.path, "line": found.line}
    leaves["entries"] = [
        {
            "value": entry.id,
            "release": entry.release,
            "cmdline": entry.cmdline,
            "path": entry.path,
            "line": entry.line,
        }
        for entry in found.entries
    ]
    return leaves
