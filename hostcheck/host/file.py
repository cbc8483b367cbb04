"""A host of which one file is known: a configuration that is judged for its own sake."""

from __future__ import annotations

from hostcheck.host import READ_LIMIT, Completed, DiskUsage, Fetched, FileStat, Host, Unavailable, ask

NO_HOST = "no host is looked at"


class FileHost(Host):
    """A host of which one file is known, and nothing else."""

    kind = "file"

    def __init__(self, path: str, data: bytes) -> None:
        """Take the file under the path that it is to have."""
        super().__init__()
        self.name = path
        self.data = data

    def _only(self, path: str) -> None:
        if path != self.name:
            raise Unavailable(f"{path}: {NO_HOST}")

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        """See `Host.read_bytes`."""
        self._only(path)
        return self.data[offset : offset + limit]

    def stat(self, path: str, follow: bool = True) -> FileStat:
        """See `Host.stat`."""
        self._only(path)
        return FileStat(0o100644, 0, 0, len(self.data))

    def names(self, path: str) -> tuple[str, ...]:
        """See `Host.names`."""
        raise Unavailable(f"{path}: {NO_HOST}")

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        raise OSError(22, f"{path} is not a link")

    def run(self, *argv: str) -> Completed:
        """See `Host.run`."""
        raise Unavailable(f"{argv[0]}: {NO_HOST}")

    def disk_usage(self, path: str) -> DiskUsage:
        """See `Host.disk_usage`."""
        raise Unavailable(f"{path}: {NO_HOST}")

    def pids(self, name: str) -> tuple[int, ...]:
        """See `Host.pids`."""
        raise Unavailable(f"{name}: {NO_HOST}")

    def fetch(self, *urls: str) -> tuple[Fetched, ...]:
        """See `Host.fetch`."""
        return ask(self, urls)
