"""Module facts: what is there, what may be loaded, and what is loaded at boot."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from hostcheck.facts import modules
from hostcheck.facts.kernel import Kernel
from hostcheck.testing import Content, FakeHost

RELEASE = "6.1.0-1"
FOLDER = f"/lib/modules/{RELEASE}"
NOW = Kernel("now", RELEASE, "running", None, None)
BOOT = Kernel("boot", RELEASE, "guess", None, None)

TREE: dict[str, Content] = {
    f"{FOLDER}/modules.dep": "kernel/net/xt_fake.ko.zst: kernel/net/x_tables.ko.zst\nkernel/fs/fake-fs.ko:\n",
    f"{FOLDER}/modules.builtin": "kernel/fs/ext4/ext4.ko\n",
    f"{FOLDER}/kernel/net/xt_fake.ko.zst": b"\x28\xb5\x2f\xfd",
    f"{FOLDER}/kernel/fs/fake-fs.ko": b"\x7fELF",
}


@pytest.mark.parametrize("suffix", [".ko", ".ko.xz", ".ko.zst", ".ko.gz"])
def test_every_compression(suffix: str) -> None:
    path = f"kernel/net/bridge/br_netfilter{suffix}"
    assert modules.parse_modules_dep(f"{path}: kernel/net/bridge/bridge{suffix}\n") == {"br_netfilter": path}
    assert modules.module_name(path) == "br_netfilter"


def test_absolute_and_updated_files() -> None:
    text = "/lib/modules/6/updates/a.ko:\nextra/b-c.ko.xz: x.ko\nnot a module\n"
    assert modules.parse_modules_dep(text) == {"a": "/lib/modules/6/updates/a.ko", "b_c": "extra/b-c.ko.xz"}


@pytest.mark.parametrize(
    ("module", "extra", "kernel", "by_name", "state"),
    [
        ("xt_fake", {}, BOOT, False, "loadable"),
        ("xt-fake", {}, BOOT, False, "loadable"),
        ("fake_fs", {}, BOOT, True, "loadable"),
        ("ext4", {}, BOOT, False, "builtin"),
        ("other", {}, BOOT, False, "missing"),
        ("xt_fake", {"/proc/modules": "xt_fake 1 0 - Live 0x0\n"}, NOW, False, "loaded"),
        ("other", {"/proc/modules": "other 1 0 - Live 0x0\n"}, NOW, False, "loaded"),
        ("other", {"/sys/module/other/parameters/x": ""}, NOW, False, "builtin"),
        # modprobe.d(5): blacklist stops only what comes by an alias; install stops all.
        ("xt_fake", {"/etc/modprobe.d/x.conf": "blacklist xt_fake\n"}, BOOT, False, "forbidden"),
        ("xt_fake", {"/etc/modprobe.d/x.conf": "blacklist xt-fake # why\n"}, BOOT, False, "forbidden"),
        ("xt_fake", {"/etc/modprobe.d/x.conf": "blacklist xt_fake\n"}, BOOT, True, "loadable"),
        ("xt_fake", {"/etc/modprobe.d/x.conf": "#blacklist xt_fake\n"}, BOOT, False, "loadable"),
        ("xt_fake", {"/etc/modprobe.d/x": "blacklist xt_fake\n"}, BOOT, False, "loadable"),
        ("xt_fake", {"/etc/modprobe.d/x.conf": "blacklist ipt_fake\n"}, BOOT, False, "loadable"),
        ("xt_fake", {"/etc/modprobe.d/x.conf": "install xt-fake /bin/false\n"}, BOOT, True, "forbidden"),
        ("xt_fake", {"/etc/modprobe.d/x.conf": "install xt_fake /bin/true\n"}, BOOT, True, "forbidden"),
        ("xt_fake", {"/etc/modprobe.d/x.conf": "install xt_* /usr/bin/false\n"}, BOOT, True, "forbidden"),
        ("xt_fake", {"/etc/modprobe.d/x.conf": "install xt_fake \\\n /bin/false\n"}, BOOT, True, "forbidden"),
        (
            "xt_fake",
            {"/etc/modprobe.d/x.conf": "install xt_fake /sbin/modprobe --ignore-install xt_fake; true\n"},
            BOOT,
            True,
            "loadable",
        ),
        ("xt_fake", {"/etc/modprobe.d/x.conf": "alias xt_fake off\n"}, BOOT, True, "forbidden"),
        # Folder precedence and masks.
        (
            "xt_fake",
            {
                "/usr/lib/modprobe.d/x.conf": "install xt_fake /bin/false\n",
                "/etc/modprobe.d/x.conf": "# mine\n",
            },
            BOOT,
            True,
            "loadable",
        ),
        (
            "xt_fake",
            {
                "/lib/modprobe.d/x.conf": "install xt_fake /bin/false\n",
                "/etc/modprobe.d/x.conf": "-> /dev/null",
            },
            BOOT,
            True,
            "loadable",
        ),
        ("xt_fake", {"/lib/modprobe.d/x.conf": "install xt_fake /bin/false\n"}, BOOT, True, "forbidden"),
        ("xt_fake", {"/proc/cmdline": "ro module_blacklist=a,xt_fake\n"}, NOW, True, "forbidden"),
        ("xt_fake", {"/proc/cmdline": "ro modprobe.blacklist=xt_fake\n"}, NOW, False, "forbidden"),
        ("xt_fake", {"/proc/cmdline": "ro modprobe.blacklist=xt_fake\n"}, NOW, True, "loadable"),
        # A built-in module cannot be forbidden by modprobe.
        ("ext4", {"/etc/modprobe.d/x.conf": "install ext4 /bin/false\n"}, BOOT, True, "builtin"),
    ],
)
def test_loadable(module: str, extra: dict[str, Content], kernel: Kernel, by_name: bool, state: str) -> None:
    host = FakeHost({**TREE, **extra}, kind="live" if kernel is NOW else "root")
    assert modules.loadable(host, kernel, module, by_name=by_name).state == state


def test_evidence_of_what_forbids() -> None:
    host = FakeHost({**TREE, "/etc/modprobe.d/cis.conf": "# CIS\ninstall xt_fake /bin/false\n"}, kind="root")
    found = modules.loadable(host, BOOT, "xt_fake")
    assert (found.path, found.line, found.usable) == ("/etc/modprobe.d/cis.conf", 2, False)


def test_an_option_that_is_y_needs_no_file() -> None:
    host = FakeHost({f"/boot/config-{RELEASE}": "CONFIG_XFRM_USER=y\n"}, kind="root")
    assert modules.loadable(host, BOOT, "xfrm_user", "XFRM_USER").state == "builtin"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {f"{FOLDER}/kernel/net/xt_fake.ko": ""},
        {f"{FOLDER}/modules.dep": "kernel/net/xt_fake.ko:\n"},
    ],
)
def test_missing(files: dict[str, Content]) -> None:
    """Neither a folder, nor a file that depmod has not seen, nor a line without its file will do."""
    assert modules.loadable(FakeHost(files, kind="root"), BOOT, "xt_fake").state == "missing"


def test_usr_merged_modules() -> None:
    host = FakeHost(
        {**{path.replace("/lib/", "/usr/lib/", 1): text for path, text in TREE.items()}}, kind="root"
    )
    assert modules.loadable(host, BOOT, "xt_fake").state == "loadable"
    linked = FakeHost(
        {"/lib": "-> usr/lib", **{"/usr" + path: text for path, text in TREE.items()}},
        kind="root",
    )
    assert modules.loadable(linked, BOOT, "xt_fake").state == "loadable"


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        (
            {"/etc/modules-load.d/k8s.conf": "# k8s\noverlay\nbr_netfilter\n"},
            ("/etc/modules-load.d/k8s.conf", 3),
        ),
        ({"/usr/lib/modules-load.d/a.conf": "br-netfilter"}, ("/usr/lib/modules-load.d/a.conf", 1)),
        ({"/etc/modules-load.d/a.conf": "# br_netfilter\n;br_netfilter\n"}, None),
        (
            {"/usr/lib/modules-load.d/a.conf": "br_netfilter\n", "/etc/modules-load.d/a.conf": "overlay\n"},
            None,
        ),
        ({"/etc/modules-load.d/a": "br_netfilter\n"}, None),
        (
            {
                "/usr/lib/systemd/systemd": "",
                "/etc/modules": "br_netfilter\n",
                "/etc/modules-load.d/modules.conf": "-> ../modules",
            },
            ("/etc/modules-load.d/modules.conf", 1),
        ),
        ({"/usr/lib/systemd/systemd": "", "/etc/modules": "br_netfilter\n"}, None),
        ({"/sbin/openrc": "", "/etc/modules": "br_netfilter\n"}, ("/etc/modules", 1)),
    ],
)
def test_loaded_at_boot(files: dict[str, Content], asked: tuple[str, int] | None) -> None:
    found = modules.loaded_at_boot(FakeHost(files, kind="root"))
    assert found.get("br_netfilter") == asked


@pytest.mark.parametrize("content", [b"\x00\xff" * 50, b"", PermissionError("no"), "install\nblacklist\n\\"])
def test_bad_files_are_passed_over(content: Content) -> None:
    host = FakeHost(
        {
            **TREE,
            "/etc/modprobe.d/x.conf": content,
            "/etc/modules-load.d/x.conf": content,
            "/etc/modprobe.d/y.conf/": "",
        },
        kind="root",
    )
    assert modules.loadable(host, BOOT, "xt_fake").state == "loadable"
    modules.loaded_at_boot(host)


def test_export() -> None:
    files = {**TREE, "/boot/vmlinuz-" + RELEASE: "", "/etc/modprobe.d/x.conf": "blacklist floppy\n"}
    told = modules.export(FakeHost(files, kind="root"))
    json.dumps(told)
    assert told["rules"] == {"blacklist floppy": {"value": "", "path": "/etc/modprobe.d/x.conf", "line": 1}}
    assert set(told["files"]) == {"xt_fake", "fake_fs"}  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def kmod(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path | dict[str, str]]:
    """Return the real modprobe, that of the machine or of Debian's package, and a folder with two modules."""
    top = tmp_path_factory.mktemp("kmod")
    if not shutil.which("gcc"):
        pytest.skip("no gcc to make modules with")
    program = shutil.which("kmod")
    environment = dict(os.environ)
    if program is None:
        done = subprocess.run(
            ["apt-get", "download", "kmod", "libkmod2"], cwd=top, capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("neither kmod here nor its package to be had")
        for package in top.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, top], check=True)
        program = str(next(path for path in (top / "bin/kmod", top / "usr/bin/kmod") if path.exists()))
        environment["LD_LIBRARY_PATH"] = ":".join(str(path.parent) for path in top.rglob("libkmod.so.2"))
    for name in ("modprobe", "depmod"):
        (top / name).symlink_to(program)
    folder = top / "root" / FOLDER.lstrip("/") / "kernel"
    folder.mkdir(parents=True)
    for name, alias in (("xt_fake", "ipt_fake"), ("fakefs", "fs-fakefs")):
        source = top / f"{name}.c"
        source.write_text(
            '#define INFO __attribute__((section(".modinfo"), used)) static const char\n'
            f'INFO a[] = "alias={alias}";\nINFO n[] = "name={name}";\n'
        )
        subprocess.run(["gcc", "-c", source, "-o", folder / f"{name}.ko"], check=True)
    subprocess.run(
        [top / "depmod", "-b", top / "root", RELEASE], env=environment, capture_output=True, check=True
    )
    return {"top": top, "environment": environment}


@pytest.mark.apt
@pytest.mark.parametrize("asked", ["xt_fake", "ipt_fake", "fakefs", "fs-fakefs"])
@pytest.mark.parametrize(
    "conf",
    [
        "",
        "blacklist xt_fake\nblacklist fakefs\n",
        "blacklist xt-fake # why\n",
        "#blacklist xt_fake\nblacklist ipt_fake\n",
        "install xt_fake /bin/false\n",
        "install xt-fake /bin/true\n",
        "install xt_* /bin/true\ninstall xt_fake /sbin/modprobe --ignore-install xt_fake\n",
        "install xt_fake /sbin/modprobe --ignore-install xt_fake\ninstall xt_fake /bin/false\n",
        "  # install xt_fake /bin/false\n",
        "install fakefs \\\n /bin/false\n",
        "alias fakefs off\n",
        "softdep xt_fake pre: fakefs\n",
        "options xt_fake x=1\n",
    ],
)
def test_as_modprobe_does(
    conf: str, asked: str, kmod: dict[str, pathlib.Path | dict[str, str]], tmp_path: pathlib.Path
) -> None:
    """The real modprobe, on a dry run, loads or runs a loader exactly where `loadable` says so."""
    (tmp_path / "x.conf").write_text(conf)
    done = subprocess.run(
        [
            f"{kmod['top']}/modprobe",
            "-d",
            f"{kmod['top']}/root",
            "-S",
            RELEASE,
            "-C",
            tmp_path,
            "-n",
            "-v",
            asked,
        ],
        env=kmod["environment"],  # type: ignore[arg-type]
        capture_output=True,
        text=True,
        check=False,
    )
    module = {"ipt_fake": "xt_fake", "fs-fakefs": "fakefs"}.get(asked, asked)
    loads = any(
        f"{module}.ko" in line or (line.startswith("install") and "modprobe" in line)
        for line in done.stdout.splitlines()
    )
    host = FakeHost(
        {
            "/etc/modprobe.d/x.conf": conf,
            f"{FOLDER}/modules.dep": "kernel/xt_fake.ko:\nkernel/fakefs.ko:\n",
            f"{FOLDER}/kernel/xt_fake.ko": "",
            f"{FOLDER}/kernel/fakefs.ko": "",
        },
        kind="root",
    )
    assert modules.loadable(host, BOOT, module, by_name=asked == module).usable is loads, (
        done.stdout + done.stderr
    )
