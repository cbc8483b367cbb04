"""What every check and every module promises: ids, prose, references, layers and imports."""

from __future__ import annotations

import ast
import importlib
import os
import pathlib
import re
import subprocess
import sys
import sysconfig

import pytest

from hostcheck import plugins
from hostcheck.check import Check

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHECKS = plugins.shipped()
FAMILIES = importlib.import_module("hostcheck.checks._index").FAMILIES

ALLOWED = {
    # Imports point down only: who may import what of ours.
    "hostcheck/versions.py": [],
    "hostcheck/finding.py": [],
    "hostcheck/record.py": [],
    "hostcheck/packaged.py": [],
    "hostcheck/host": ["hostcheck.host", "hostcheck.record"],
    "hostcheck/facts": ["hostcheck.host", "hostcheck.record", "hostcheck.versions", "hostcheck.facts"],
    "hostcheck/check.py": ["hostcheck.finding", "hostcheck.host"],
    "hostcheck/api.py": [
        "hostcheck.check",
        "hostcheck.finding",
        "hostcheck.host",
        "hostcheck.record",
        "hostcheck.versions",
    ],
    "checks": ["hostcheck.api", "hostcheck.facts", "."],
    "hostcheck/runner.py": ["hostcheck.check", "hostcheck.finding", "hostcheck.host"],
    "hostcheck/reporters": [
        "hostcheck.finding",
        "hostcheck.reporters",
        "hostcheck.metrics",
        "hostcheck.packaged",
    ],
    "hostcheck/metrics.py": ["hostcheck.finding"],
}

SLOW_CLASSES = {"NamedTuple", "namedtuple", "dataclass", "TypedDict", "Protocol"}
"""Ways to define a class that take 0.3 ms or more each; hostcheck.record is there for it."""

TOUCHES = {"open", "os", "subprocess", "glob", "pathlib", "shutil", "socket", "psutil", "distro", "tempfile"}
"""Names that reach the machine beside the Host."""


def sources(place: str) -> list[pathlib.Path]:
    path = ROOT / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def imports(path: pathlib.Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                found.add("." + (node.module or ""))
            elif node.module == "hostcheck.facts":
                found.update(f"hostcheck.facts.{alias.name}" for alias in node.names)
            else:
                found.add(node.module or "")
    return found


@pytest.mark.parametrize("place", ALLOWED)
def test_layers(place: str) -> None:
    for path in sources(place):
        for name in imports(path) - {"hostcheck._typing"}:
            if name.startswith((".", "hostcheck")):
                fine = any(
                    name == allowed or name.startswith(allowed + ".") or (allowed == "." and name[0] == ".")
                    for allowed in ALLOWED[place]
                )
                assert fine, f"{path.relative_to(ROOT)} may not import {name}"


def test_families_share_only_what_lies_beside_them() -> None:
    """A family that imported another would make `--select` of the one import both."""
    for path in sources("checks"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                shared = [node.module] if node.module else [alias.name for alias in node.names]
                assert all(name.startswith("_") for name in shared), f"{path.name} imports {shared}"


def modules_imported_by(path: pathlib.Path, known: set[str]) -> set[str]:
    """Return the modules of ours that a module imports, in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return found & known


def test_no_module_is_imported_back() -> None:
    """Who reads one module need not read those that use it: no import leads back, not even a late one."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sources("hostcheck")
        if path.name != "__init__.py"
    }
    left = {name: modules_imported_by(path, set(paths)) for name, path in paths.items()}
    while free := {name for name, imported in left.items() if not imported & left.keys()}:
        left = {name: imported for name, imported in left.items() if name not in free}
    assert not left


@pytest.mark.parametrize("place", ["checks", "hostcheck/facts"])
def test_only_the_host_touches_the_machine(place: str) -> None:
    for path in sources(place):
        tree = ast.parse(path.read_text())
        touching = {
            name for name in imports(path) if name.partition(".")[0] in TOUCHES and name not in ("os.path",)
        }
        assert not touching, f"{path.name} imports {touching}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("open", "exec", "eval", "__import__"), (
                    f"{path.name}:{node.lineno}"
                )


@pytest.mark.parametrize("place", ["checks", "hostcheck"])
def test_values_with_fields_are_records(place: str) -> None:
    for path in sources(place):
        if path == ROOT / "hostcheck/record.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                slow = SLOW_CLASSES.intersection(alias.name for alias in node.names)
                assert not slow, f"{path.relative_to(ROOT)}: {slow}: use hostcheck.record.Record"


@pytest.mark.parametrize("place", ["checks", "hostcheck"])
def test_typing_is_not_imported(place: str) -> None:
    for path in sources(place):
        if path.name not in ("_typing.py", "record.py"):
            assert "typing" not in imports(path), f"{path.relative_to(ROOT)}: import from hostcheck._typing"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_check(check: type[Check]) -> None:
    family, _, subject = check.id.partition(".")
    assert re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", check.id)
    assert check.__module__ == f"hostcheck.checks.{family}"
    # Apart from case: AppArmor is written so.
    assert check.__name__.lower() == f"{family}{subject}".replace("_", "")
    assert check.references, "a rule without a source is not a rule"
    assert all(reference.startswith(("http", "man:")) for reference in check.references)
    title = check.title()
    assert title.endswith(".")
    assert len(title) < 100
    prose = check.prose()
    assert "*Why*" in prose
    assert "*Needs*" in prose
    assert "*Fix*" in prose
    check()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_parameter_is_documented(check: type[Check]) -> None:
    source = (ROOT / "checks" / f"{check.id.partition('.')[0]}.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == check.__name__:
            for here, after in zip(node.body, node.body[1:]):
                if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
                    documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    assert documented, f"{check.id}: {here.target.id} has no docstring"


def test_ids_are_unique() -> None:
    ids = [name for check in CHECKS for name in (check.id, *check.aliases)]
    assert len(ids) == len(set(ids))


def test_former_ids_are_looked_for_where_the_checks_went() -> None:
    """`MOVED` says what the aliases say, so that a former id or its glob is found without importing every family."""
    aliases = [(former.partition(".")[0], check) for check in CHECKS for former in check.aliases]
    moved = {
        (former, check.id.partition(".")[0])
        for former, check in aliases
        if not check.id.startswith(f"{former}.")
    }
    assert moved == {(former, family) for former, families in plugins.MOVED.items() for family in families}
    for check in CHECKS:
        for former in check.aliases:
            assert check in plugins.shipped([former])


HEAVY = {
    "rich",
    "prometheus_client",
    "yaml",
    "psutil",
    "distro",
    "importlib.metadata",
    "dataclasses",
    "logging",
    "argparse",
    "typing",
    "subprocess",
    "datetime",
    "tempfile",
    "pathlib",
    "tomllib",
    "inspect",
    "difflib",
    "hostcheck.facts.daemonjson",
    "shutil",
}
"""What costs a run 2 ms or more, and what does without it is held to."""

TOML = {"tomllib", "typing", "datetime"}
HELP = {"argparse", "shutil"}
METRICS = {
    "prometheus_client",
    "dataclasses",
    "logging",
    "inspect",
    "typing",
    "datetime",
    "tempfile",
    "shutil",
    # Its collector of the platform imports `platform`, and that did.
    *(["subprocess"] if sys.version_info < (3, 11) else []),
}


@pytest.mark.parametrize(
    "arguments, allowed",
    [
        (["--version"], set()),
        (["-f", "json", "--root", "{hosts}/ubuntu-24.04", "--no-plugins"], set()),
        (["-f", "table", "--root", "{hosts}/ubuntu-24.04"], set()),
        # This one has docker, and a config.toml of containerd.
        (["-f", "json", "--root", "{hosts}/debian-12"], TOML | {"hostcheck.facts.daemonjson"}),
        (["explain", "kernel.version"], HELP | {"inspect"}),
        (["list"], HELP),
        (["-f", "prometheus", "--root", "{hosts}/ubuntu-24.04"], METRICS),
        (["-f", "json", "--root", "{hosts}/ubuntu-24.04", "--policy", "golden-image"], {"yaml", "datetime"}),
    ],
)
def test_what_a_command_imports(arguments: list[str], allowed: set[str]) -> None:
    """The budget of start-up, held by module names: time would not be a test."""
    assert imported_by(arguments) & HEAVY <= allowed


def test_families_behind_a_gate_are_not_imported() -> None:
    families = {f"hostcheck.checks.{name}" for name in FAMILIES}
    assert not imported_by(["-f", "json", "--root", "{hosts}/ubuntu-24.04"]) & families
    assert imported_by(["-f", "json", "--root", "{hosts}/debian-12"]) & families


def imported_by(arguments: list[str]) -> set[str]:
    code = (
        "import sys\nfrom hostcheck.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )
    # Without site: an editable install and other packages have it import what hides what we import.
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            code,
            *(argument.format(hosts=ROOT / "tests/hosts") for argument in arguments),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(ast.literal_eval(done.stderr.strip().splitlines()[-1]))


def test_the_package_list_is_complete() -> None:
    """Packages are listed by hand in setup.cfg; a forgotten one would not be shipped."""
    folders = {
        "hostcheck" + str(path.parent.relative_to(ROOT / "hostcheck")).replace("/", ".").replace(".", ".", 1)
        if path.parent != ROOT / "hostcheck"
        else "hostcheck"
        for path in (ROOT / "hostcheck").rglob("__init__.py")
    }
    folders = {name if name == "hostcheck" else f"hostcheck.{name[len('hostcheck') :]}" for name in folders}
    text = (ROOT / "setup.cfg").read_text()
    listed = set(re.findall(r"^    (hostcheck(?:\.\w+)*)$", text.partition("package_dir")[0], re.MULTILINE))
    assert listed == folders | {"hostcheck.checks"}
