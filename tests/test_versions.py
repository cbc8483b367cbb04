"""The order of versions, as vendors print them."""

from __future__ import annotations

import pytest

from hostcheck.versions import Version


@pytest.mark.parametrize(
    "lower, higher",
    [
        ("1.0.0-rc9", "1.0.0-rc91"),
        ("1.0.0~rc93+ds1", "1.0.0-rc95"),
        ("1.0.0-rc95", "1.0.0"),
        ("1.4.13~ds1", "1.6.20~ds1"),
        ("v2.0.0-beta.1", "2.0.0-rc.2"),
        ("2.0.0-rc.2", "2.0"),
        ("3.10.0-1160.el7.x86_64", "4.15"),
        ("4.18.0-553.el8", "5.2"),
        ("18.09.9", "19.03"),
        ("20.10.24+dfsg1", "23.0.0"),
        ("17.06.0-ce-rc1", "17.06.0-ce"),
        ("6.9", "6.10"),
        ("1:2.3", "2.4"),
    ],
)
def test_order(lower: str, higher: str) -> None:
    assert Version(lower) < Version(higher)
    assert Version(higher) > Version(lower)
    assert Version(lower) != Version(higher)


@pytest.mark.parametrize(
    "one, other",
    [
        ("5.10.0-32-cloud-amd64", "5.10"),
        ("1.1.5+ds1-1+deb12u1", "1.1.5"),
        ("1.7.12-0ubuntu2~22.04.1", "1.7.12"),
        ("v1.6.20", "1.6.20"),
        ("28.2.2", "28.2.2+azure-1"),
    ],
)
def test_what_a_distribution_adds_does_not_count(one: str, other: str) -> None:
    assert Version(one) == Version(other)
    assert hash(Version(one)) == hash(Version(other))


@pytest.mark.parametrize("text", ["", "dev", "unknown", "-1"])
def test_not_a_version(text: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        Version(text)
