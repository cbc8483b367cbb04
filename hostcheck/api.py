"""All that a check or a plugin may import, beside `hostcheck.facts` and the standard library."""

from hostcheck.check import Check
from hostcheck.finding import Finding, Severity, failed, passed
from hostcheck.host import Completed, DiskUsage, FileStat, Host, NotApplicable, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

API_VERSION = 1

__all__ = [
    "API_VERSION",
    "Check",
    "Completed",
    "DiskUsage",
    "FileStat",
    "Finding",
    "Host",
    "NotApplicable",
    "Record",
    "Severity",
    "Unavailable",
    "Version",
    "failed",
    "passed",
]
