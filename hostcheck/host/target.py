"""What a path on this machine stands for: a root tree or a recording."""

from __future__ import annotations

import os

from hostcheck.host import Host


class NoTarget(Exception):
    """A path that is no host; the text says why."""


def open_target(path: str) -> Host:
    """Return the host that `path` holds, told by its content and not by its name.

    Raises:
        NoTarget: it holds none.

    """
    from hostcheck.host.recorded import BadRecording, RecordedHost, is_recording

    try:
        if os.path.isdir(path) and not is_recording(path):
            from hostcheck.host.root import RootHost

            return RootHost(path)
        if not os.path.isdir(path) and not os.path.isfile(path):
            missing = not os.path.lexists(path)
            raise NoTarget(f"{path}: {'there is no such file' if missing else 'not a file and not a folder'}")
        return RecordedHost(path)
    except BadRecording as error:
        raise NoTarget(f"{path}: not a recording: {error}") from None
    except OSError as error:
        raise NoTarget(f"{path}: {error.strerror or error}") from None
