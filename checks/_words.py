"""What to type to put a word on the kernel command line, or to take one off, by boot loader."""

from __future__ import annotations

from hostcheck.api import Host, Unavailable
from hostcheck.facts import boot as boot_facts
from hostcheck.facts import os as os_facts


def loader_of(host: Host) -> tuple[str, str | None]:
    """Return the boot loader and the file with its words; an empty name where that is not known."""
    try:
        found = boot_facts.boot(host)
    except (OSError, Unavailable):
        return "", None
    return found.loader, found.path


def add(host: Host, word: str) -> list[str]:
    """Return the commands that put a word on the kernel command line for good, none where that is not known."""
    return _commands(host, word, "")


def remove(host: Host, word: str) -> list[str]:
    """Return the commands that take a word off, none where that is not known."""
    return _commands(host, "", word)


def _commands(host: Host, plus: str, minus: str) -> list[str]:
    loader, path = loader_of(host)
    family = os_facts.os_release(host).family
    if loader == "raspberry-pi" and path:
        edit = f"1 s/$/ {plus}/" if plus else f"1 s/ *{_literal(minus)}//"
        return [f"sed -i '{edit}' {path}", "reboot"]
    if boot_facts.is_ostree(host):
        option = f"--append-if-missing={_quoted(plus)}" if plus else f"--delete-if-present={_quoted(minus)}"
        return [f"rpm-ostree kargs {option}", "reboot"]
    if {"rhel", "fedora"}.intersection(family):
        option = f"--args={_quoted(plus)}" if plus else f"--remove-args={_quoted(minus)}"
        lines = [f"grubby --update-kernel=ALL {option}", "reboot"]
        # grubby changes the entries that there are; a kernel that comes later is made from this file.
        return [*_default_grub(host, plus, minus), *lines]
    if loader in ("grub", "guess", "running"):
        edits = _default_grub(host, plus, minus)
        suse = {"suse", "opensuse", "arch"}.intersection(family)
        make = "grub2-mkconfig -o /boot/grub2/grub.cfg" if suse else "update-grub"
        return [*edits, make, "reboot"] if edits else []
    if loader in ("systemd-boot", "uki") and not host.exists(boot_facts.DEFAULT_GRUB):
        target = "/etc/kernel/cmdline"
        edit = f"1 s/$/ {plus}/" if plus else f"s/ *{_literal(minus)}//"
        return (
            [f"sed -i '{edit}' {target}", "kernel-install add-all", "reboot"] if host.exists(target) else []
        )
    return []


def _default_grub(host: Host, plus: str, minus: str) -> list[str]:
    if not host.exists(boot_facts.DEFAULT_GRUB):
        return []
    if plus:
        return [f"sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{plus} /' {boot_facts.DEFAULT_GRUB}"]
    settings = boot_facts.default_grub(host)
    paths = {path for word, path, _line in (settings.words if settings else ()) if word == minus}
    return [f"sed -i '/^GRUB_CMDLINE_LINUX/ s/ *{_literal(minus)}//' {path}" for path in sorted(paths)]


def _literal(word: str) -> str:
    return word.replace("\\", "\\\\").replace("/", "\\/").replace(".", "\\.").replace("*", "\\*")


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word else word
