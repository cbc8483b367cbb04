"""Security modules, now and at the next boot."""

from __future__ import annotations

import doctest

import pytest

from hostcheck.facts import security
from hostcheck.testing import FakeHost

RELEASE = "6.1.0-18-amd64"
DEBIAN = (
    "CONFIG_SECURITY_SELINUX=y\nCONFIG_SECURITY_APPARMOR=y\n"
    'CONFIG_LSM="landlock,lockdown,yama,loadpin,safesetid,integrity,apparmor,selinux,smack,tomoyo,bpf"\n'
)
RHEL = 'CONFIG_SECURITY_SELINUX=y\nCONFIG_LSM="lockdown,yama,integrity,selinux,bpf,landlock"\n'
ALPINE = 'CONFIG_SECURITY_APPARMOR=y\nCONFIG_LSM="landlock,lockdown,yama,loadpin,safesetid,integrity"\n'
EL7 = "CONFIG_SECURITY_SELINUX=y\nCONFIG_DEFAULT_SECURITY_SELINUX=y\n"
XENIAL = 'CONFIG_SECURITY_SELINUX=y\nCONFIG_SECURITY_APPARMOR=y\nCONFIG_DEFAULT_SECURITY="apparmor"\n'


def tree(
    config: str, words: str = "", release: str = RELEASE, files: dict[str, str] | None = None
) -> FakeHost:
    """Return a tree that boots this kernel with these words on its command line."""
    entry = f"set default=0\nmenuentry 'x' {{\n linux /boot/vmlinuz-{release} root=/dev/vda1 ro {words}\n}}\n"
    return FakeHost(
        {
            f"/boot/config-{release}": config,
            f"/boot/vmlinuz-{release}": "",
            "/boot/grub/grub.cfg": entry,
            **(files or {}),
        },
        kind="root",
    )


def test_doctests() -> None:
    found = doctest.testmod(security)
    assert found.attempted >= 2
    assert not found.failed


@pytest.mark.parametrize(
    ("config", "words", "release", "apparmor", "selinux"),
    [
        (DEBIAN, "", RELEASE, "enabled", "disabled"),
        (DEBIAN, "apparmor=0", RELEASE, "disabled", "disabled"),
        (DEBIAN, "security=selinux", RELEASE, "disabled", "enabled"),
        (DEBIAN, "lsm=landlock,yama,selinux", RELEASE, "disabled", "enabled"),
        (DEBIAN, "lsm=landlock,yama,bpf", RELEASE, "disabled", "disabled"),
        (DEBIAN, "lsm=apparmor security=selinux", RELEASE, "enabled", "disabled"),
        (RHEL, "", "5.14.0-427.el9.x86_64", "disabled", "enabled"),
        (RHEL, "selinux=0", "5.14.0-427.el9.x86_64", "disabled", "disabled"),
        (ALPINE, "", "6.6.30-0-virt", "disabled", "disabled"),
        (ALPINE, "lsm=landlock,apparmor", "6.6.30-0-virt", "enabled", "disabled"),
        (EL7, "", "3.10.0-1160.el7.x86_64", "disabled", "enabled"),
        (XENIAL, "", "4.4.0-210-generic", "enabled", "disabled"),
        (XENIAL, "security=selinux", "4.4.0-210-generic", "disabled", "enabled"),
    ],
)
def test_what_the_kernel_turns_on(config: str, words: str, release: str, apparmor: str, selinux: str) -> None:
    host = tree(config, words, release)
    assert security.lsm_at_boot(host, "apparmor").value == apparmor
    assert security.lsm_at_boot(host, "selinux").value == selinux


def test_without_a_configuration_nothing_is_known() -> None:
    assert security.lsm_at_boot(FakeHost({}, kind="root"), "apparmor").value is None


@pytest.mark.parametrize(
    ("config", "words", "mode", "line"),
    [
        ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", "", "enforcing", 1),
        ("# x\nSELINUX=Permissive\n", "", "permissive", 2),
        ("SELINUX=disabled\n", "enforcing=1", "disabled", 1),
        ("SELINUX=permissive\n", "enforcing=1", "enforcing", 3),
        ("SELINUX=enforcing\n", "enforcing=0", "permissive", 3),
        ("SELINUX=enforcing\n", "selinux=0", "disabled", 3),
        ("SELINUXTYPE=targeted\n", "", "disabled", None),
    ],
)
def test_selinux_configured(config: str, words: str, mode: str, line: int | None) -> None:
    found = security.selinux_configured(tree(RHEL, words, files={"/etc/selinux/config": config}))
    assert (found.value, found.line) == (mode, line)


def test_selinux_at_boot_needs_the_kernel() -> None:
    files = {"/etc/selinux/config": "SELINUX=enforcing\n"}
    assert security.selinux_at_boot(tree(RHEL, files=files)).value == "enforcing"
    assert security.selinux_at_boot(tree(DEBIAN, files=files)).value == "disabled"


def test_profiles() -> None:
    text = "docker-default (enforce)\n/usr/bin/man (enforce)\nlsb_release (complain)\n"
    found = security.apparmor_profiles(FakeHost({security.APPARMOR_PROFILES: text}))
    assert found == frozenset({"docker-default", "/usr/bin/man", "lsb_release"})
    assert security.apparmor_profiles(FakeHost({})) is None


def test_damaged_apparmor_files() -> None:
    base = "/etc/apparmor.d"
    host = FakeHost(
        {
            f"{base}/tunables/global": "#include <tunables/home>\n",
            f"{base}/tunables/proc": "",
            f"{base}/tunables/home.d/ubuntu": b"@{HOMEDIRS}\0\0\0",
            f"{base}/tunables/home.d/site.local": "",
            f"{base}/tunables/other": "",
            f"{base}/abstractions/base": "  \n",
            f"{base}/local/usr.sbin.x": "",
        }
    )
    assert [path for path, _reason in security.damaged_apparmor_files(host)] == [
        f"{base}/tunables/proc",
        f"{base}/tunables/home.d/ubuntu",
        f"{base}/abstractions/base",
    ]


@pytest.mark.parametrize(
    ("name", "line", "folder", "right"),
    [
        ("file_contexts.subs", "/data/docker/lib /var/lib/docker", "/data/docker/lib", True),
        ("file_contexts.subs", "/data /var/lib/docker", "/data/docker/lib", True),
        ("file_contexts.subs", "/dat /var/lib/docker", "/data/docker/lib", False),
        (
            "file_contexts.local",
            "/data/docker(/.*)? system_u:object_r:container_var_lib_t:s0",
            "/data/docker",
            True,
        ),
        ("file_contexts.local", "/data/docker(/.*)? system_u:object_r:default_t:s0", "/data/docker", False),
        ("file_contexts.local", "", "/data/docker", False),
    ],
)
def test_labels_by_rule(name: str, line: str, folder: str, right: bool) -> None:
    path = f"/etc/selinux/targeted/contexts/files/{name}"
    assert security.labelled_for_containers(FakeHost({path: line + "\n"}, kind="root"), folder)[0] is right


def test_labels_that_are_there_outweigh_the_rules() -> None:
    path = "/etc/selinux/targeted/contexts/files/file_contexts.local"
    command = ("stat", "-c", "%C", "/data")
    for label, right in (("container_var_lib_t", True), ("default_t", False)):
        host = FakeHost({path: ""}, commands={command: f"system_u:object_r:{label}:s0\n"})
        assert security.labelled_for_containers(host, "/data")[0] is right
    assert security.labelled_for_containers(FakeHost({}, commands={command: "?\n"}), "/data")[0] is None


def test_container_policy() -> None:
    contexts = "/etc/selinux/targeted/contexts/files/file_contexts"
    assert security.container_policy(FakeHost({})) is None
    assert security.container_policy(FakeHost({contexts: "/usr/bin/x system_u:object_r:bin_t:s0\n"})) is False
    named = "/usr/bin/dockerd.* -- system_u:object_r:container_runtime_exec_t:s0\n"
    assert security.container_policy(FakeHost({contexts: named})) is True
    assert security.container_policy(FakeHost({"/usr/share/containers/selinux/contexts": ""})) is True


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        (
            {
                "/proc/sys/kernel/seccomp/actions_avail": "kill_process kill_thread trap errno trace log allow\n"
            },
            True,
        ),
        ({"/proc/self/status": "Name:\tx\nSeccomp:\t0\n"}, True),
        ({"/proc/self/status": "Name:\tx\nCpus_allowed:\t1\n"}, False),
        ({}, None),
    ],
)
def test_seccomp(files: dict[str, str], answer: bool | None) -> None:
    assert security.seccomp_now(FakeHost(files)) is answer


def test_wanted_units() -> None:
    wants = "/etc/systemd/system/multi-user.target.wants"
    host = FakeHost(
        {f"{wants}/a.service": "", f"{wants}/b.service": "", "/etc/systemd/system/b.service": "-> /dev/null"}
    )
    assert security.wanted_units(host, "a.service", "b.service", "c.service") == [
        ("a.service", f"{wants}/a.service")
    ]


def test_export_tells_now_from_boot() -> None:
    files = {
        "/proc/sys/kernel/osrelease": RELEASE,
        "/proc/cmdline": "ro apparmor=0",
        security.APPARMOR_ENABLED: "N\n",
        f"/boot/config-{RELEASE}": DEBIAN,
        f"/boot/vmlinuz-{RELEASE}": "",
        "/boot/grub/grub.cfg": f"menuentry 'x' {{\n linux /boot/vmlinuz-{RELEASE} ro\n}}\n",
    }
    found = security.export(FakeHost(files))["apparmor"]
    assert isinstance(found, dict)
    assert (found["now"], found["boot"]) == ("disabled", "enabled")
