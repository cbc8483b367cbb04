"""`hostcheck serve`: the second front door. A scrape never runs a check and never waits for one.

Here is the command line. A run is a process of its own that renders every page (exporter_run.py); exporter_loop.py
starts it, exporter_pages.py keeps its pages, and exporter_http.py hands out their bytes.
"""

from __future__ import annotations

import argparse

PORT = 10973
"""Above the list of Prometheus exporters, which has filled 9100 to 9999, and free on it."""

EPILOG = """\
pages:
  /metrics       the last run's metrics; OpenMetrics where it is asked for
  /              the last report, for people
  /report.json   the same for programs
  /-/healthy     answers while the process lives; /-/ready once there is a report

signals:
  HUP   run now, with the policy as it is now
  TERM  end

What only root may see is unknown to another user; docs/exporter.md says which capabilities help.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that are the command's own."""
    parser.add_argument(
        "--web.listen-address",
        dest="listen",
        action="append",
        metavar="[HOST]:PORT",
        help=f"where to listen; may be repeated (default: 127.0.0.1:{PORT}; :{PORT} is every address)",
    )
    parser.add_argument(
        "--web.systemd-socket",
        dest="systemd_socket",
        action="store_true",
        help="listen on the sockets that systemd hands over, and on no other",
    )
    parser.add_argument(
        "--web.config.file",
        dest="web_config",
        default="",
        metavar="FILE",
        help="TLS and basic authentication, in the format of the Prometheus exporters",
    )
    parser.add_argument(
        "--interval", type=_seconds, default=300.0, metavar="SECONDS", help="between two runs (default: 300)"
    )
    parser.add_argument(
        "--check-timeout", type=_seconds, default=30.0, metavar="SECONDS", help="for one check (default: 30)"
    )
    parser.add_argument(
        "--run-timeout",
        type=_seconds,
        default=240.0,
        metavar="SECONDS",
        help="for a whole run (default: 240)",
    )
    # What the process that runs the checks is started with; the second has it take the policy from standard input.
    parser.add_argument("--render", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kept-policy", action="store_true", help=argparse.SUPPRESS)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 1000000 seconds")
    return value


def parse_address(text: str) -> tuple[str | None, int]:
    """Return host and port; no host is every address.

    Raises:
        ValueError: it is no address.

    >>> parse_address(":10973"), parse_address("[::1]:80"), parse_address("localhost:80")
    ((None, 10973), ('::1', 80), ('localhost', 80))
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(f"{text}: not an address such as 127.0.0.1:{PORT}")
    if ":" in host and not bracketed:
        raise ValueError(f"{text}: an IPv6 address stands in brackets, as in [::1]:{PORT}")
    return (host[1:-1] if bracketed else host) or None, int(port)
