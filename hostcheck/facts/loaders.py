"""How boot loaders other than GRUB write down what they start, and how all of them sort it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cmp_to_key

from hostcheck._typing import Any, Callable
from hostcheck.facts.files import EXPANDED_LIMIT
from hostcheck.record import Record

PREFIXES = ("vmlinuz-", "vmlinux-", "kernel-", "bzImage-", "zImage-", "Image-", "linux-", "uImage-")
"""What stands before the release in a kernel's file name, by distribution and architecture."""


class Entry(Record):
    """One thing that the boot loader can start."""

    title: str
    id: str
    """What the loader calls it in its settings: an id, a file name or a number."""
    release: str | None
    """The kernel's, None where it cannot be told."""
    cmdline: str | None
    """The kernel command line, None where it cannot be told."""
    path: str | None
    """The file that describes it."""
    line: int | None
    """Where the command line stands in it, from 1."""
    kernel: str | None = None
    """The kernel's file, as the loader names it."""
    initrd: tuple[str, ...] = ()


def release_of(kernel: str | None) -> str | None:
    """Return the release that a kernel's file name holds, None where it holds none.

    >>> release_of("(hd0,gpt2)/vmlinuz-5.14.0-70.el9.x86_64"), release_of("/boot/vmlinuz"), release_of(None)
    ('5.14.0-70.el9.x86_64', None, None)
    """
    name = (kernel or "").rpartition("/")[2]
    for prefix in PREFIXES:
        if name.startswith(prefix):
            name = name[len(prefix) :]
            return name if name[:1].isdecimal() and not name.startswith("0-rescue") else None
    return None


def _runs(text: str) -> list[str]:
    """Cut into runs of digits, runs of letters, and the characters that count for themselves."""
    found: list[str] = []
    for char in text:
        if not (char.isascii() and (char.isalnum() or char in "~^-.")):
            found.append("")
        elif found and found[-1] and char.isalnum() and found[-1][0].isalnum():
            if char.isdecimal() == found[-1][0].isdecimal():
                found[-1] += char
            else:
                found.append(char)
        else:
            found.append(char)
    return [run for run in found if run]


def _compare(a: str, b: str) -> int:
    if a.isdecimal() and b.isdecimal():
        return (int(a) > int(b)) - (int(a) < int(b))
    return (a > b) - (a < b)


def rpm_compare(a: str, b: str) -> int:
    """Compare as rpmvercmp(): -1, 0 or 1.

    >>> rpm_compare("5.3.16-300.fc31", "5.3.7-301.fc31"), rpm_compare("1.0~rc1", "1.0"), rpm_compare("1", "a")
    (1, -1, 1)
    """
    left = [run for run in _runs(a) if run not in "-."]
    right = [run for run in _runs(b) if run not in "-."]
    for at in range(max(len(left), len(right))):
        one = left[at] if at < len(left) else ""
        two = right[at] if at < len(right) else ""
        for mark, less in (("~", -1), ("^", 1)):
            if mark in (one, two) and one != two:
                if mark == "^" and one and two:
                    less = -1
                return less if one == mark else -less
        if one.isdecimal() != two.isdecimal() and one and two:
            return 1 if one.isdecimal() else -1
        if one != two:
            answer = _compare(one, two)
            if answer:
                return answer
    return 0


def uapi_compare(a: str, b: str) -> int:
    """Compare as the UAPI group's version format and systemd's strverscmp_improved(): -1, 0 or 1.

    >>> uapi_compare("6.1.0-18", "6.1.0-9"), uapi_compare("6.2-rc1", "6.2.1"), uapi_compare("6.2~rc1", "6.2")
    (1, -1, -1)
    """
    left, right = _runs(a), _runs(b)
    while True:
        one, two = (left[0] if left else ""), (right[0] if right else "")
        if "~" in (one, two) and one != two:
            return -1 if one == "~" else 1
        if not one or not two:
            return bool(one) - bool(two)
        for mark in "-^.":
            if mark in (one, two) and one != two:
                return -1 if one == mark else 1
        if one.isdecimal() != two.isdecimal():
            return 1 if one.isdecimal() else -1
        answer = _compare(one, two)
        if answer:
            return answer
        left, right = left[1:], right[1:]


release_key: Callable[[str], Any] = cmp_to_key(uapi_compare)
"""Sorts releases of kernels, the oldest first."""


def bls_key(entry_id: str) -> Any:
    """Return the key by which GRUB's blscfg sorts, the first of the menu being the highest.

    It parts name, version and release at the last two dashes, as for an rpm package
    (rhboot/grub2: grub-core/commands/blscfg.c, split_cmp()).
    """
    parts = entry_id.rsplit("-", 2)
    while len(parts) < 3:
        parts.append("")
    compare = cmp_to_key(rpm_compare)
    return tuple(compare(part) for part in parts)


def parse_bls(content: str) -> dict[str, list[tuple[str, int]]]:
    r"""Return the keys of a boot loader specification entry, each with its values and their lines.

    >>> parse_bls("title A\n# c\noptions ro\noptions quiet\n")["options"]
    [('ro', 3), ('quiet', 4)]
    """
    found: dict[str, list[tuple[str, int]]] = {}
    for number, line in enumerate(content.split("\n"), 1):
        words = line.strip().split(None, 1)
        if len(words) == 2 and not words[0].startswith("#"):
            found.setdefault(words[0], []).append((words[1].strip(), number))
    return found


def bls_entry(content: str, path: str, variables: Mapping[str, str] | None = None) -> Entry:
    """Return the entry that a file of /loader/entries describes.

    `variables` are GRUB's, where GRUB reads the file: it expands them, and takes the first of several
    `options` lines where systemd-boot takes all (rhboot/grub2: blscfg.c, bls_get_val()).
    """
    keys = parse_bls(content)

    def one(key: str) -> str:
        return keys[key][0][0] if key in keys else ""

    entry_id = path.rpartition("/")[2]
    entry_id = entry_id[: -len(".conf")] if entry_id.endswith(".conf") else entry_id
    options = keys.get("options", [])[: None if variables is None else 1]
    words = " ".join(value for value, _line in options)
    if "options" not in keys and variables:
        words = variables.get("default_kernelopts", "")
    kernel = one("linux") or one("efi") or None
    version = one("version")
    release = release_of(kernel)
    if release is None and version[:1].isdecimal() and "." in version.split(" ", 1)[0]:
        release = version.split(" ", 1)[0]
    line = options[0][1] if options else None
    return Entry(
        one("title"),
        entry_id,
        release,
        expand(words, variables or {}),
        path,
        line,
        kernel,
        tuple(value for value, _line in keys.get("initrd", [])),
    )


def expand(words: str, variables: Mapping[str, str]) -> str:
    """Return a text with `$name` and `${name}` put in; what has no value becomes nothing.

    >>> expand("$kernelopts a$b", {"kernelopts": "ro quiet"})
    'ro quiet a'
    """
    if "$" not in words:
        return words
    done = []
    room = EXPANDED_LIMIT
    rest = words
    while rest:
        before, dollar, rest = rest.partition("$")
        done.append(before)
        if not dollar:
            break
        if rest.startswith("{"):
            name, _, rest = rest[1:].partition("}")
        else:
            end = 0
            while end < len(rest) and (rest[end].isalnum() or rest[end] == "_"):
                end += 1
            name, rest = rest[:end], rest[end:]
        value = variables.get(name, "")
        room -= len(value)
        done.append(value if room > 0 else "")
    return " ".join("".join(done).split())


def parse_loader_conf(content: str) -> dict[str, tuple[str, int]]:
    r"""Return the settings of systemd-boot's loader.conf, the last of each, with its line.

    >>> parse_loader_conf("#timeout 3\ndefault debian-*\n")
    {'default': ('debian-*', 2)}
    """
    return {key: values[-1] for key, values in parse_bls(content).items()}


def systemd_boot_order(files: Iterable[tuple[str, str]]) -> list[str]:
    """Return the paths of entries in the order of systemd-boot's menu, from path and content of each.

    Entries that failed as often as they may (`+0` in the name) come last; those with a sort-key before
    those without, by sort-key, machine-id and then the newest version; the others by the newest file name
    (systemd: boot.c, boot_entry_compare()).
    """

    def compare(one: tuple[str, str], two: tuple[str, str]) -> int:
        keys = [{k: v[-1][0] for k, v in parse_bls(content).items()} for _path, content in (one, two)]
        names = [path.rpartition("/")[2] for path, _content in (one, two)]
        failed = [name.partition("+")[2].startswith("0") for name in names]
        if failed[0] != failed[1]:
            return 1 if failed[0] else -1
        sort = [key.get("sort-key", "") for key in keys]
        if bool(sort[0]) != bool(sort[1]):
            return -1 if sort[0] else 1
        if sort[0]:
            for a, b in ((sort[0], sort[1]), (keys[0].get("machine-id", ""), keys[1].get("machine-id", ""))):
                if a != b:
                    return -1 if a < b else 1
            answer = uapi_compare(keys[0].get("version", ""), keys[1].get("version", ""))
            if answer:
                return -answer
        return -uapi_compare(names[0], names[1])

    return [path for path, _content in sorted(files, key=cmp_to_key(compare))]


def systemd_boot_default(order: list[str], pattern: str) -> str | None:
    """Return the path of the entry that loader.conf's `default` names, else the first; None without entries.

    >>> systemd_boot_default(["/e/b.conf", "/e/a-1.conf"], "a-*")
    '/e/a-1.conf'
    """
    for path in order:
        name = path.rpartition("/")[2]
        # A counter of boots left (`+3-0`) is no part of the id.
        bare = name.partition("+")[0] + ".conf" if "+" in name else name
        if pattern and any(fnmatchcase(each.lower(), pattern.lower()) for each in (name, bare)):
            return path
    return order[0] if order else None


def parse_extlinux(content: str, path: str) -> tuple[list[Entry], str]:
    r"""Return the entries of a syslinux or extlinux configuration, and the label of its default.

    >>> parse_extlinux("DEFAULT b\nLABEL a\n LINUX /vmlinuz-1\n APPEND ro\n", "x")[1]
    'b'
    """
    entries: list[Entry] = []
    default = ondefault = common = ""
    for number, line in enumerate(content.split("\n"), 1):
        words = line.strip().split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        key, value = words[0].lower(), words[1].strip() if len(words) > 1 else ""
        if key == "label":
            entries.append(Entry(value, value, None, common, path, number))
        elif key == "menu" and value.lower().startswith("label ") and entries:
            entries[-1] = entries[-1]._replace(title=value[len("label ") :].replace("^", ""))
        elif key == "menu" and value.lower() == "default" and entries:
            ondefault = entries[-1].id
        elif key in ("linux", "kernel") and entries:
            entries[-1] = entries[-1]._replace(kernel=value, release=release_of(value))
        elif key == "initrd" and entries:
            entries[-1] = entries[-1]._replace(initrd=tuple(value.split(",")))
        elif key == "append":
            if entries:
                entries[-1] = entries[-1]._replace(cmdline="" if value == "-" else value, line=number)
            else:
                common = value
        elif key == "default":
            default = value
    return entries, ondefault or default


def parse_zipl(content: str, path: str) -> tuple[list[Entry], str]:
    r"""Return the entries of zipl.conf(5), of s390, and the name of its default section.

    >>> parse_zipl("[defaultboot]\ndefault=a\n[a]\nimage=/boot/vmlinuz-1.2\nparameters=\"ro x\"\n", "z")[0][0].cmdline
    'ro x'
    """
    entries: list[Entry] = []
    default = section = ""
    for number, raw in enumerate(content.split("\n"), 1):
        line = raw.strip()
        if line.startswith("["):
            section = line.strip("[]")
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        value = value.strip("\"'")
        if not equals or line.startswith("#"):
            continue
        if section == "defaultboot":
            default = value if key == "default" else default
        elif key == "image":
            kernel = value.partition(",")[0]
            entries.append(Entry(section, section, release_of(kernel), "", path, number, kernel))
        elif key == "parameters" and entries and entries[-1].id == section:
            entries[-1] = entries[-1]._replace(cmdline=value, line=number)
    return entries, default


def parse_env(content: str) -> dict[str, tuple[str, int]]:
    r"""Return the `name=value` lines of a U-Boot environment file (armbianEnv.txt, uEnv.txt), with their lines.

    >>> parse_env("verbosity=1\n#a=b\nextraargs=a=b c\n")["extraargs"]
    ('a=b c', 3)
    """
    found = {}
    for number, line in enumerate(content.split("\n"), 1):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = (value.strip(), number)
    return found


def parse_uboot_script(
    content: str, variables: Mapping[str, str] | None = None
) -> tuple[str | None, int | None]:
    r"""Return what a U-Boot script sets `bootargs` to, and the line; None where it sets none.

    Every `setenv` is taken, in its order, whatever condition it stands under: U-Boot's own variables are
    not known here.

    >>> parse_uboot_script('setenv root "root=/dev/sda1"\nsetenv bootargs "${root} rw"\n')
    ('root=/dev/sda1 rw', 2)
    """
    known = dict(variables or {})
    line_set = None
    for number, line in enumerate(content.split("\n"), 1):
        for command in line.split(";"):
            words = command.strip().split(None, 2)
            if len(words) == 3 and words[0] == "setenv":
                known[words[1]] = expand(words[2].strip().strip("\"'"), known)
                if words[1] == "bootargs":
                    line_set = number
    return known.get("bootargs"), line_set


def parse_pi_config(content: str) -> dict[str, str]:
    r"""Return the settings of a Raspberry Pi's config.txt that hold for every board and every boot.

    Filters such as `[pi4]` or `[tryboot]` select; what stands under `[all]` or above them counts.

    >>> parse_pi_config("a=1\n[tryboot]\nos_prefix=new/\n[all]\nos_prefix=current/\n")
    {'a': '1', 'os_prefix': 'current/'}
    """
    found = {}
    everywhere = True
    for line in content.split("\n"):
        line = line.strip()
        if line.startswith("["):
            everywhere = line.lower() == "[all]"
        name, equals, value = line.partition("=")
        if everywhere and equals and not line.startswith("#"):
            found[name.strip()] = value.strip()
    return found


def parse_pe_sections(head: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and size of each section of a PE file, from its first bytes (UKI: .cmdline, .uname).

    >>> list(parse_pe_sections(b"MZ"))
    []
    """
    start = int.from_bytes(head[0x3C:0x40], "little")
    if not head.startswith(b"MZ") or head[start : start + 4] != b"PE\0\0":
        return
    count = int.from_bytes(head[start + 6 : start + 8], "little")
    table = start + 24 + int.from_bytes(head[start + 20 : start + 22], "little")
    for number in range(min(count, 96)):
        row = head[table + 40 * number : table + 40 * (number + 1)]
        if len(row) == 40:
            size = int.from_bytes(row[8:12], "little")
            raw = int.from_bytes(row[16:20], "little")
            offset = int.from_bytes(row[20:24], "little")
            yield row[:8].rstrip(b"\0").decode("ascii", "replace"), offset, min(size or raw, raw)
