"""The manifests: as kustomize builds them and the API server's schema judges them, and their container under runc."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.request
from typing import Any

import oci
import pytest
import venvs
import yaml
from exporters import free_port

PROJECT = pathlib.Path(__file__).resolve().parents[2]
MANIFESTS = PROJECT / "packaging" / "kubernetes"
COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir())
SCHEMAS = ("1.30", "1.37")
"""The oldest and the newest release of Kubernetes whose schema is asked."""
PORT = 10973
SECONDS = 90.0


def build(folder: pathlib.Path, *components: str) -> str:
    """Return what kustomize makes of the manifests with these components and another image."""
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl is not installed")
    folder.joinpath("kustomization.yaml").write_text(
        json.dumps(
            {
                "resources": ["../hostcheck"],
                "components": [f"../hostcheck/components/{name}" for name in components],
                "images": [{"name": "hostcheck", "newName": "registry.example/hostcheck", "newTag": "1.2.3"}],
            }
        )
    )
    shutil.copytree(MANIFESTS, folder.parent / "hostcheck", dirs_exist_ok=True)
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def pod_of(text: str) -> Any:
    return next(
        each["spec"]["template"]["spec"] for each in yaml.safe_load_all(text) if each["kind"] == "DaemonSet"
    )


@pytest.mark.parametrize("components", [(), *((name,) for name in COMPONENTS), COMPONENTS])
def test_what_kustomize_builds_is_what_kubernetes_takes(
    components: tuple[str, ...], folder: pathlib.Path
) -> None:
    text = build(folder, *components)
    judge = venvs.need("kubernetes-validate") / "kubernetes-validate"
    (folder / "all.yaml").write_text(text)
    for version in SCHEMAS:
        argv = [str(judge), "--strict", "-k", version, str(folder / "all.yaml")]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(re.findall("passed for", done.stdout + done.stderr)) == 4
    kinds = sorted(each["kind"] for each in yaml.safe_load_all(text))
    monitors = [name for name in components if name.endswith("-monitor")]
    assert len(kinds) == 4 + len(monitors)
    pod = pod_of(text)
    assert pod["containers"][0]["image"] == "registry.example/hostcheck:1.2.3"
    assert ("--web.config.file=/etc/hostcheck/web/web.yml" in pod["containers"][0]["args"]) == (
        "web-config" in components
    )


def test_a_wrong_manifest_is_told(folder: pathlib.Path) -> None:
    """The judge of the test above can say no."""
    judge = venvs.need("kubernetes-validate") / "kubernetes-validate"
    text = (MANIFESTS / "daemonset.yaml").read_text().replace("mountPropagation", "mountPropagated")
    (folder / "all.yaml").write_text(text)
    argv = [str(judge), "--strict", "-k", SCHEMAS[-1], str(folder / "all.yaml")]
    assert subprocess.run(argv, capture_output=True, timeout=120).returncode != 0


def test_the_pod_holds_nothing_that_it_does_not_need() -> None:
    pod = pod_of((MANIFESTS / "daemonset.yaml").read_text())
    container = pod["containers"][0]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert not pod["automountServiceAccountToken"]
    assert all(each["readOnly"] for each in container["volumeMounts"])


def documented() -> set[str]:
    """Return the checks that docs/exporter.md says end otherwise in a pod."""
    text = (PROJECT / "docs" / "exporter.md").read_text()
    table = text.partition("<!-- pod -->")[2].partition("<!-- end pod -->")[0]
    return set(re.findall(r"`(\w+\.\w+)`", table))


@pytest.mark.root
@pytest.mark.parametrize("components", [(), ("read-all",)])
def test_the_container_says_what_root_says(
    components: tuple[str, ...], tmp_path: pathlib.Path, folder: pathlib.Path, pyz: pathlib.Path
) -> None:
    """Under runc, with the user, rights, mounts, filter and memory that the manifest gives it."""
    python = "/usr/bin/python3"
    if not pathlib.Path(python).exists():
        pytest.skip(f"no {python}")
    pod = pod_of(build(folder, *components))
    port = free_port()
    words = [
        word.replace("$(HOST_IP)", "127.0.0.1").replace(str(PORT), str(port))
        for word in pod["containers"][0]["args"]
    ]
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    command = [python, "-I", "/hostcheck.pyz", *words]
    with oci.running(pod, command, {"/hostcheck.pyz": str(pyz)}, bundle) as process:
        inside = report(port, process)
    done = subprocess.run(
        [python, "-I", pyz, "--policy", "kubernetes", "-f", "json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    outside = json.loads(done.stdout)
    assert inside["host"] == outside["host"]
    assert inside["verdict"] == outside["verdict"]
    outcomes = {each["id"]: each["outcome"] for each in outside["results"]}
    other = {
        each["id"]: (each["outcome"], outcomes[each["id"]], each["reason"])
        for each in inside["results"]
        if each["outcome"] != outcomes[each["id"]]
    }
    assert len(outcomes) > 100
    assert set(other) <= (set() if "read-all" in components else documented()), other
    print(
        f"a pod's report equals root's in {len(outcomes) - len(other)} of {len(outcomes)} checks: {sorted(other)}"
    )


def report(port: int, process: subprocess.Popen[str]) -> Any:
    limit = time.monotonic() + SECONDS
    while time.monotonic() < limit:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/report.json", timeout=10) as answer,
        ):
            return json.load(answer)
        if process.poll() is not None:
            told = process.communicate()[0]
            if "operation not permitted" in told:
                pytest.skip(f"runc may not do it here: {told}")
            raise AssertionError(told)
        time.sleep(0.2)
    raise AssertionError("no report")
