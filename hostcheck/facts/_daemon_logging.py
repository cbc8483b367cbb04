"""The log drivers of dockerd and their options, release by release, and what it refuses of them at its start.

Sources: `ValidateLogOpts` in daemon/logger/factory.go and the `ValidateLogOpt` of each driver below
daemon/logger of moby/moby, from 17.06 to 29.7. dockerd looks at the default driver only where it is given
options; a driver without them is looked at when a container is made.
"""

from __future__ import annotations

from hostcheck._typing import TYPE_CHECKING, Optional
from hostcheck.facts import _govalues as go
from hostcheck.facts._daemon_model import PARSE_BOOL, Release, in_range

if TYPE_CHECKING:
    from hostcheck.facts._daemon_config import Configuration

LOG_DRIVERS: tuple[tuple[str, Release, Optional[Release]], ...] = (
    ("json-file", (1, 6), None),
    ("syslog", (1, 6), None),
    ("journald", (1, 7), None),
    ("gelf", (1, 8), None),
    ("fluentd", (1, 8), None),
    ("awslogs", (1, 9), None),
    ("splunk", (1, 10), None),
    ("gcplogs", (1, 11), None),
    ("etwlogs", (99,), None),
    ("logentries", (1, 13), (25,)),
    ("local", (18, 9), None),
    ("none", (1, 6), None),
)
"""The log drivers that dockerd has on Linux, from and until which release."""

ATTRIBUTES = "env env-regex labels labels-regex tag"
"""What most drivers take from a container into its log."""

LOG_OPTIONS = {
    "json-file": f"{ATTRIBUTES} max-size max-file compress",
    "local": "max-size max-file compress",
    "journald": ATTRIBUTES,
    "syslog": f"{ATTRIBUTES} syslog-address syslog-facility syslog-format syslog-tls-ca-cert syslog-tls-cert"
    " syslog-tls-key syslog-tls-skip-verify",
    "gelf": f"{ATTRIBUTES} gelf-address gelf-compression-level gelf-compression-type gelf-tcp-max-reconnect"
    " gelf-tcp-reconnect-delay",
    "fluentd": f"{ATTRIBUTES} fluentd-address fluentd-async fluentd-async-connect"
    " fluentd-async-reconnect-interval fluentd-buffer-limit fluentd-max-retries fluentd-read-timeout"
    " fluentd-request-ack fluentd-retry-wait fluentd-sub-second-precision fluentd-write-timeout",
    "awslogs": "tag awslogs-create-group awslogs-create-stream awslogs-credentials-endpoint"
    " awslogs-datetime-format awslogs-endpoint awslogs-force-flush-interval-seconds awslogs-format"
    " awslogs-group awslogs-max-buffered-events awslogs-multiline-pattern awslogs-region awslogs-stream",
    "splunk": f"{ATTRIBUTES} splunk-caname splunk-capath splunk-format splunk-gzip splunk-gzip-level"
    " splunk-index splunk-index-acknowledgment splunk-insecureskipverify splunk-source splunk-sourcetype"
    " splunk-token splunk-url splunk-verify-connection",
    "gcplogs": "env env-regex labels labels-regex gcp-log-cmd gcp-meta-id gcp-meta-name gcp-meta-zone gcp-project",
    "logentries": f"{ATTRIBUTES} logentries-token line-only",
}
"""The options of each driver in any release."""

COMMON_LOG_OPTIONS = "mode max-buffer-size cache-disabled cache-max-size cache-max-file cache-compress"
"""The options that go with every driver."""

OPTION_RELEASES: dict[str, tuple[Release, Optional[Release]]] = {
    "json-file tag": ((18, 2), None),
    "compress": ((18, 4), None),
    "labels-regex": ((20, 10), None),
    "cache-disabled": ((20, 10), None),
    "cache-max-size": ((20, 10), None),
    "cache-max-file": ((20, 10), None),
    "cache-compress": ((20, 10), None),
    "gelf-tcp-max-reconnect": ((17, 12), None),
    "gelf-tcp-reconnect-delay": ((17, 12), None),
    "fluentd-async": ((20, 10), None),
    "fluentd-async-connect": ((1, 8), (28,)),
    "fluentd-async-reconnect-interval": ((23,), None),
    "fluentd-read-timeout": ((29,), None),
    "fluentd-request-ack": ((20, 10), None),
    "fluentd-sub-second-precision": ((17, 12), None),
    "fluentd-write-timeout": ((28, 2), None),
    "awslogs-create-stream": ((29,), None),
    "awslogs-credentials-endpoint": ((17, 12), None),
    "awslogs-endpoint": ((18, 9), None),
    "awslogs-force-flush-interval-seconds": ((19, 3), None),
    "awslogs-format": ((23,), None),
    "awslogs-max-buffered-events": ((19, 3), None),
    "splunk-index-acknowledgment": ((20, 10), None),
}
"""From and until which release there are options that are not as old as their driver, or as 1.8."""

NEEDED_OPTIONS = {
    "gelf": ("gelf-address",),
    "awslogs": ("awslogs-group",),
    "splunk": ("splunk-token", "splunk-url"),
}
"""Options without which the driver starts no container."""

CHECKED_AT_START = ("gelf", "awslogs")
"""The drivers of which dockerd wants the needed options at its start, where it is given others."""

MISSPELT = {"max-files": "max-file", "maxsize": "max-size", "max_size": "max-size"}

SWITCHES = (
    "awslogs-create-group",
    "cache-disabled",
    "fluentd-async",
    "fluentd-async-connect",
    "fluentd-request-ack",
    "fluentd-sub-second-precision",
)
"""Options that are true or false."""

FACILITIES = (
    "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp"
    " local0 local1 local2 local3 local4 local5 local6 local7"
)

SYSLOG_FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")


def log_drivers(release: Release) -> list[str]:
    """Return the log drivers that a release has on Linux."""
    return [name for name, since, until in LOG_DRIVERS if in_range(release, since, until)]


def log_options(driver: str, release: Release) -> set[str]:
    """Return the options that a driver takes in a release."""

    def there(name: str) -> bool:
        since, until = OPTION_RELEASES.get(f"{driver} {name}") or OPTION_RELEASES.get(name, ((1, 6), None))
        return in_range(release, since, until)

    return {name for name in f"{LOG_OPTIONS[driver]} {COMMON_LOG_OPTIONS}".split() if there(name)}


def log_driver(c: Configuration) -> None:
    """Options belong to a log driver that exists and knows them."""
    driver, options = c.get("log-driver"), c.get("log-opts")
    if not options or driver == "none":
        return
    if driver not in log_drivers(c.release):
        if c.facts.plugin(driver) is not True:
            c.refuse("invalid-value", "log-driver", f"there is no log driver {driver!r}")
        return
    have = log_options(driver, c.release)
    for name in options:
        if name not in have and driver in LOG_OPTIONS:
            message = f"the log driver {driver} has no option {name}"
            c.refuse("invalid-value", f"log-opts.{name}", message, suggestion=MISSPELT.get(name, ""))
    for name in NEEDED_OPTIONS.get(driver, ()) if driver in CHECKED_AT_START else ():
        if not options.get(name):
            c.refuse("invalid-value", "log-opts", f"the log driver {driver} needs the option {name}")
    for name, value in options.items():
        wrong = value_fault(c, name, value) if name in have and value else None
        if wrong:
            c.refuse("invalid-value", f"log-opts.{name}", wrong)
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        c.refuse("invalid-value", "log-opts.mode", f"{mode!r} is neither blocking nor non-blocking")
    if "max-buffer-size" in options and mode != "non-blocking":
        c.refuse("invalid-value", "log-opts.max-buffer-size", "needs the mode non-blocking")


def value_fault(c: Configuration, name: str, value: str) -> Optional[str]:
    """Return why dockerd refuses the value of a log option at its start."""
    if name in SWITCHES and value not in PARSE_BOOL:
        return f"{value!r} is neither true nor false"
    if name == "syslog-facility" and value not in FACILITIES.split():
        number = int(value) if go.is_integer(value) else -1
        return None if 0 <= number <= 23 else f"there is no syslog facility {value!r}"
    if name == "syslog-format" and value not in SYSLOG_FORMATS:
        return f"{value!r} is no format of syslog messages"
    if name == "gelf-address":
        scheme, _, address = value.partition("://")
        if scheme not in ("udp", "tcp"):
            return f"{value!r} begins with neither udp:// nor tcp://"
        if go.split_host_port(address.partition("/")[0]) is None:
            return f"{value!r} has no port"
    if name == "syslog-address":
        return _syslog_fault(c, value)
    return _fluentd_fault(value) if name == "fluentd-address" else None


def _fluentd_fault(address: str) -> Optional[str]:
    scheme, _, rest = address.rpartition("://")
    if scheme not in ("", "tcp", "udp", "tls", "unix", "unixgram"):
        return f"{address!r} begins with none of tcp://, tls:// and unix://"
    port = "" if scheme.startswith("unix") else (go.split_host_port(rest) or ("", ""))[1]
    return f"the port of {address!r} is no number" if port and not go.is_integer(port) else None


def _syslog_fault(c: Configuration, address: str) -> Optional[str]:
    scheme, separator, rest = address.partition("://")
    if not separator:
        return f"{address!r} is not SCHEME://ADDRESS"
    if scheme in ("unix", "unixgram"):
        return f"{rest} does not exist" if c.facts.path(rest) == "missing" else None
    if scheme not in ("udp", "tcp", "tcp+tls"):
        return f"{address!r} begins with none of udp://, tcp://, tcp+tls:// and unix://"
    return None
