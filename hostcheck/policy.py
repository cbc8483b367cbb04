"""A policy: which checks, with which parameters and severities, and what is waived."""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Mapping, Sequence

from hostcheck import __version__, packaged
from hostcheck._typing import TYPE_CHECKING, Any, Callable
from hostcheck.check import Check, ParameterError
from hostcheck.finding import Finding, Outcome, Report, Result, Severity, failed, passed
from hostcheck.host import Host
from hostcheck.runner import Configured, run

if TYPE_CHECKING:
    import datetime

DEFAULT = "docker"

_KEYS = frozenset({"description", "extends", "ignore", "parameters", "select", "severities", "waivers"})
_WAIVER_KEYS = frozenset({"expires", "id", "reason", "subject"})
_FOLDER = os.path.join(packaged.FOLDER, "policies")


class PolicyError(Exception):
    """A policy that cannot be used: the text names the file, the place and the way out."""


class Waiver:
    """A failure that somebody decided to live with, why, and until when."""

    __slots__ = ("expires", "id", "reason", "subject")

    def __init__(self, id: str, reason: str, expires: datetime.date | None, subject: str = "*") -> None:
        """Waive the check `id` (a glob), or of it only the findings whose subject matches."""
        self.id = id
        self.reason = reason
        self.expires = expires
        self.subject = subject

    def expired(self, today: datetime.date) -> bool:
        """Return whether its last day is over."""
        return self.expires is not None and today > self.expires

    def covers(self, finding: Finding) -> bool:
        """Return whether it is about this finding's subject."""
        return fnmatch.fnmatchcase(finding.subject, self.subject)

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {
            "id": self.id,
            "subject": self.subject,
            "reason": self.reason,
            "expires": self.expires.isoformat() if self.expires else None,
        }


class Policy:
    """Which checks run, with which parameters and severities, and what is waived."""

    def __init__(self, name: str = DEFAULT, description: str = "") -> None:
        """Start as the default policy: every check, as it is."""
        self.name = name
        self.description = description
        self.select: tuple[str, ...] = ("*",)
        self.ignore: tuple[str, ...] = ()
        self.parameters: dict[str, dict[str, object]] = {}
        self.severities: dict[str, Severity] = {}
        self.waivers: list[Waiver] = []
        self._former: dict[str, tuple[str, ...]] = {}

    def configure(
        self,
        checks: Sequence[type[Check] | Check],
        select: Sequence[str] = (),
        ignore: Sequence[str] = (),
    ) -> list[Configured]:
        """Return the checks to run, with parameters and severities.

        `select` and `ignore` are globs over ids and come on top of the policy's own. A name in the policy
        that no check has is an error, as is a parameter that the check refuses.
        """
        wanted = tuple(select) or self.select
        unwanted = (*self.ignore, *ignore)
        self._check_names(checks)
        self._former = {check.id: check.aliases for check in checks}
        for pattern in (*select, *ignore):
            if not any(_matches(check, [pattern]) for check in checks):
                raise PolicyError(f"no check matches {pattern!r}{_suggest(pattern, checks)}")
        configured = []
        for check in checks:
            if not _matches(check, wanted) or _matches(check, unwanted):
                continue
            severity = next((s for name, s in self.severities.items() if _matches(check, [name])), None)
            if isinstance(check, Check):
                configured.append(Configured(check, severity))
                continue
            parameters: dict[str, object] = {}
            for name, values in self.parameters.items():
                if name in (check.id, *check.aliases):
                    parameters.update(values)
                elif _matches(check, [name]):
                    # A glob sets what each of its checks has; by name, an unknown parameter is a mistake.
                    parameters.update((k, v) for k, v in values.items() if k in check.parameters())
            try:
                configured.append(Configured(check(**parameters), severity))
            except ParameterError as error:
                raise PolicyError(f"policy {self.name}: {error}") from None
        return configured

    def _check_names(self, checks: Sequence[type[Check] | Check]) -> None:
        for place, names in (
            ("parameters", list(self.parameters)),
            ("severities", list(self.severities)),
            ("select", list(self.select)),
            ("ignore", list(self.ignore)),
            ("waivers", [waiver.id for waiver in self.waivers]),
        ):
            for name in names:
                if name != "policy.waivers" and not any(_matches(check, [name]) for check in checks):
                    raise PolicyError(
                        f"policy {self.name}: {place}: no check matches {name!r}{_suggest(name, checks)}"
                    )

    def waive(self, results: list[Result], today: datetime.date) -> None:
        """Mark what is waived, and add a result that says how the waivers themselves stand."""
        for waiver in self.waivers:
            if waiver.expired(today):
                continue
            for result in results:
                if result.outcome in (Outcome.PASS, Outcome.SKIP):
                    continue
                names = (result.check, *self._former.get(result.check, ()))
                if not any(fnmatch.fnmatchcase(name, waiver.id) for name in names):
                    continue
                if waiver.subject == "*":
                    result.waived = waiver.to_dict()
                else:
                    result.waive(waiver.to_dict(), waiver.covers)
        if self.waivers:
            results.append(_waivers_result(self.waivers, today))

    def judge(
        self,
        host: Host,
        configured: Sequence[Configured],
        run: Callable[[Sequence[Configured], Host], list[Result]] = run,
    ) -> Report:
        """Run the checks on the host, waive what is waived, and return the report."""
        from hostcheck.facts.summary import summary

        started = time.gmtime()
        began = time.perf_counter()
        results = run(configured, host)
        waivers = []
        if self.waivers:
            # Imported here: it costs 2 ms, and most policies waive nothing.
            import datetime

            today = datetime.date(*started[:3])
            self.waive(results, today)
            waivers = [{**waiver.to_dict(), "expired": waiver.expired(today)} for waiver in self.waivers]
        return Report(
            summary(host),
            self.name,
            results,
            started=time.strftime("%Y-%m-%dT%H:%M:%SZ", started),
            seconds=time.perf_counter() - began,
            version=__version__,
            waivers=waivers,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as a policy's file says it, with what it extends."""
        return {
            "description": self.description,
            "select": list(self.select),
            "ignore": list(self.ignore),
            "parameters": self.parameters,
            "severities": {check: str(severity) for check, severity in self.severities.items()},
            "waivers": [waiver.to_dict() for waiver in self.waivers],
        }

    @classmethod
    def from_dict(cls, name: str, data: Mapping[str, Any]) -> Policy:
        """Return the policy that `to_dict` gave."""
        policy = cls(name)
        policy._take(name, data)
        return policy

    @classmethod
    def load(cls, name: str) -> Policy:
        """Return the policy of that name, or of that YAML file.

        Raises:
            PolicyError: there is none, or it cannot be used.

        """
        if name == DEFAULT:
            # The default needs no file, and so not the 28 ms that importing yaml costs; a test holds
            # that policies/docker.yaml says the same.
            return cls(DEFAULT, "A host for Docker Engine")
        return cls._load(name, ())

    @classmethod
    def _load(cls, name: str, seen: tuple[str, ...]) -> Policy:
        path = os.path.normpath(name)
        if "/" not in name and not name.endswith((".yaml", ".yml")):
            path = os.path.join(_FOLDER, f"{name}.yaml")
            if name not in names():
                raise PolicyError(f"no policy {name!r}; there are {', '.join(names())}, or give a YAML file")
        if path in seen:
            raise PolicyError(f"{name}: extends itself, by way of {' -> '.join((*seen, path))}")
        data = _read_yaml(path)
        label = os.path.splitext(os.path.basename(path))[0]
        extends = data.get("extends")
        if extends is not None and not isinstance(extends, str):
            raise PolicyError(f"{path}: extends is the name of a policy, not {extends!r}")
        policy = cls(label)
        if extends:
            # A file may extend its neighbour by a relative path.
            base = extends
            if "/" in extends or extends.endswith((".yaml", ".yml")):
                base = os.path.normpath(os.path.join(os.path.dirname(path), extends))
            policy = cls._load(base, (*seen, path))
            policy.name = label
        policy._take(path, data)
        return policy

    def _take(self, path: str, data: Mapping[str, Any]) -> None:
        unknown = sorted(str(key) for key in data if key not in _KEYS)
        if unknown:
            raise PolicyError(f"{path}: unknown key {unknown[0]!r}; there are {', '.join(sorted(_KEYS))}")
        self.description = str(data.get("description", self.description))
        if "select" in data:
            self.select = _strings(path, "select", data["select"])
        self.ignore = (*self.ignore, *_strings(path, "ignore", data.get("ignore") or []))
        for check, values in _mapping(path, "parameters", data.get("parameters")).items():
            merged = {**self.parameters.get(check, {}), **_mapping(path, f"parameters.{check}", values)}
            self.parameters[check] = merged
        for check, word in _mapping(path, "severities", data.get("severities")).items():
            try:
                self.severities[check] = Severity(word)
            except ValueError:
                raise PolicyError(
                    f"{path}: severities.{check}: {word!r} is not one of required, recommended, info"
                ) from None
        waivers = data.get("waivers") or []
        if not isinstance(waivers, list):
            raise PolicyError(f"{path}: waivers is a list")
        self.waivers += [_waiver(path, number, item) for number, item in enumerate(waivers)]


def names() -> list[str]:
    """Return the names of the policies that hostcheck ships."""
    return sorted(name[:-5] for name in packaged.names("policies") if name.endswith(".yaml"))


def _text(path: str) -> str:
    if os.path.dirname(path) == _FOLDER:
        return packaged.text("policies", os.path.basename(path))
    with open(path, encoding="utf-8") as file:
        return file.read()


def _read_yaml(path: str) -> dict[str, Any]:
    # Imported here: it costs 28 ms, and the default policy needs no file.
    try:
        import yaml
    except ImportError:
        raise PolicyError(
            f"{path} is YAML, which needs PyYAML: `pip install pyyaml`, or the package python3-yaml"
        ) from None
    try:
        # The C loader is ten times as fast; it is as safe.
        data = yaml.load(_text(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8: {error.reason}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise PolicyError(f"{path}{place}: {getattr(error, 'problem', None) or error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise PolicyError(f"{path}: a policy is a mapping with the keys {', '.join(sorted(_KEYS))}")
    return data


def _strings(path: str, key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise PolicyError(f"{path}: {key} is a list of globs, not {value!r}")
    return tuple(value)


def _mapping(path: str, key: str, value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise PolicyError(f"{path}: {key} is a mapping, not {value!r}")
    return value


def _waiver(path: str, number: int, item: object) -> Waiver:
    place = f"{path}: waivers[{number}]"
    if not isinstance(item, dict):
        raise PolicyError(f"{place}: a waiver is a mapping with id, reason and expires")
    unknown = sorted(str(key) for key in item if key not in _WAIVER_KEYS)
    if unknown:
        raise PolicyError(f"{place}: unknown key {unknown[0]!r}; there are {', '.join(sorted(_WAIVER_KEYS))}")
    for key in ("id", "reason"):
        if not isinstance(item.get(key), str) or not item[key].strip():
            raise PolicyError(f"{place}: {key} is missing: a waiver says what is waived and why")
    expires = item.get("expires")
    # Imported here: it costs 2 ms, and most policies waive nothing.
    import datetime

    if isinstance(expires, datetime.datetime):
        expires = expires.date()
    if isinstance(expires, str):
        try:
            expires = datetime.date.fromisoformat(expires)
        except ValueError:
            pass
    if expires is not None and not isinstance(expires, datetime.date):
        raise PolicyError(f"{place}: expires is a date such as 2027-01-31, not {expires!r}")
    return Waiver(item["id"], item["reason"], expires, str(item.get("subject", "*")))


def _matches(check: type[Check] | Check, patterns: Sequence[str]) -> bool:
    # Most policies take every check and leave none out: to hear that of each pattern costs as much as 50 checks.
    if not patterns or "*" in patterns:
        return bool(patterns)
    return any(
        fnmatch.fnmatchcase(name, pattern.lower())
        for name in (check.id, *check.aliases)
        for pattern in patterns
    )


def _suggest(name: str, checks: Sequence[type[Check] | Check]) -> str:
    # Imported here: only a mistake needs it.
    import difflib

    close = difflib.get_close_matches(name, [check.id for check in checks], 1)
    return f"; did you mean {close[0]!r}?" if close else "; `hostcheck list` shows them"


def _waivers_result(waivers: Sequence[Waiver], today: datetime.date) -> Result:
    findings: list[Finding] = []
    for waiver in waivers:
        subject = waiver.id if waiver.subject == "*" else f"{waiver.id} {waiver.subject}"
        until = waiver.expires.isoformat() if waiver.expires else "no date"
        if waiver.expired(today):
            findings.append(
                failed(
                    subject,
                    f"the waiver for {subject} expired on {until}: {waiver.reason}",
                    value=until,
                    expected=f"{today.isoformat()} or later",
                    severity=Severity.REQUIRED,
                    hint="mend what it covered and remove the waiver from the policy, or decide anew and date it",
                )
            )
        else:
            findings.append(passed(subject, f"waived until {until}: {waiver.reason}", value=until))
    bad = any(not finding.ok for finding in findings)
    return Result(
        "policy.waivers",
        "No waiver has expired.",
        Severity.REQUIRED,
        Outcome.FAIL if bad else Outcome.PASS,
        findings,
    )
