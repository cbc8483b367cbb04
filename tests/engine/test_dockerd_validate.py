"""Generated configurations, judged here and by the dockerd of three Debian releases: no disagreement.

Whether a file is refused is compared, and for names that are not known and for broken JSON that dockerd says the
same. `make fuzz` does it with thousands of files.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("hypothesis")

import daemon_files as files

pytestmark = [pytest.mark.root, pytest.mark.apt, pytest.mark.engine]

SEED = 20261124
FILES = 300

KNOWN: tuple[tuple[str, bytes, bool], ...] = (
    # Suite, file, whether dockerd takes it: what was once judged wrongly, and what is worth keeping.
    ("trixie", b'{"log-opts": {"multiline": "true"}}', True),
    ("trixie", b'{"hosts": []} ', True),
    ("trixie", b"", True),
    ("trixie", b'{"validate": true}', False),
    ("trixie", b'{"config-file": "x"}', False),
    ("trixie", b'{"hosts": ["tcp://0.0.0.0:2.0.0:2375"]}', True),
    ("bookworm", b'{"config-file": "x"}', False),
    ("bookworm", b'{"log-level": "loud"}', False),
    ("trixie", b'{"cpu-rt-runtime": 1}', False),
    ("trixie", b'{"debug": true} x', False),
    ("trixie", b'{"debug": true, "debug": null}', True),
    ("bookworm", b'{"debug": true} x', True),
    ("bookworm", b"", False),
    ("bookworm", b'{"max-concurrent-uploads": -1, "max-concurrent-uploads": null}', True),
    ("trixie", b'{"max-concurrent-uploads": -1, "max-concurrent-uploads": null}', False),
    ("bookworm", b'{"log-opts": {"multiline": "true"}}', True),
    ("sid", b'{"hosts": ["tcp://0.0.0.0:2.0.0:2375"]}', False),
    ("trixie", b'{"hosts": ["tcp://[fe80::1%25eth0]:1"]}', False),
    ("trixie", b'{"hosts": ["tcp://[1.2.3.4]:1"]}', True),
    ("sid", b'{"hosts": ["tcp://[1.2.3.4]:1"]}', False),
    *((suite, b'{"restart": {"x": [2e4748]}}', False) for suite in files.SUITES),
    *((suite, b'{"restart": 1.79769313486231570e308}', True) for suite in files.SUITES),
    ("sid", b'{"hosts": ["fe80::1"]}', False),
    ("sid", b'{"hosts": ["tcp://[::ffff:1.2.3.4]:1"]}', True),
    ("sid", b'{"default\\-gateway": 1}', False),
    ("sid", b'{"graph": "/x"}', False),
    ("sid", b'{"registry-mirrors": ["m.example"]}', False),
    ("sid", b"", True),
)


@pytest.fixture(scope="module", params=files.SUITES)
def dockerd(request: pytest.FixtureRequest) -> Iterator[files.Dockerd]:
    with files.dockerd_of(request.param) as found:
        yield found


def test_generated_configurations(dockerd: files.Dockerd) -> None:
    made = files.generated(dockerd.version.numbers, FILES, SEED)
    found, tally = [], {True: 0, False: 0}
    part = len(made) // len(files.COMMAND_LINES)
    for number, also in enumerate(files.COMMAND_LINES):
        differ, counted = files.differences(dockerd, made[number * part : (number + 1) * part], also)
        found += differ
        tally = {taken: tally[taken] + counted[taken] for taken in tally}
    assert not found, "\n".join([str(len(found)), *found[:10]])
    # A generator that makes only the one or the other would prove little.
    assert min(tally.values()) > len(made) // 8
    print(
        f"dockerd {dockerd.version}: {len(made)} configurations, {tally[True]} taken, {tally[False]} refused, all agree"
    )


def test_known_cases(dockerd: files.Dockerd) -> None:
    cases = [(data, taken) for suite, data, taken in KNOWN if suite == dockerd.suite]
    assert cases
    for (data, taken), said in zip(cases, dockerd.ask([data for data, _ in cases])):
        assert (data, said.taken) == (data, taken)
        assert (data, not dockerd.refused(data)) == (data, taken)
