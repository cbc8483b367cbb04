"""What a check is: a question with parameters, documented by its docstring."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.finding import Finding, Severity
from hostcheck.host import Host


class ParameterError(Exception):
    """A check was given a parameter that it does not have, or of the wrong type."""


class Check:
    """One question about a host.

    A subclass sets `id`, `severity` and `references`; its other annotated class attributes are its
    parameters, with their defaults. Its docstring is its documentation: a title that is true when the
    check passes, then the headings *Why*, *Needs* and *Fix*.
    """

    id: str
    """`family.subject`, for ever."""
    severity: Severity = Severity.REQUIRED
    references: tuple[str, ...] = ()
    """Where the rule comes from."""
    aliases: tuple[str, ...] = ()
    """Former ids."""

    def __init__(self, **parameters: object) -> None:
        """Take the parameters that differ from the defaults.

        Raises:
            ParameterError: an unknown name or a wrong type.

        """
        # Most checks are taken as they are, and to look through their annotations costs 5 µs each.
        known = self.parameters() if parameters else {}
        for name, value in parameters.items():
            if name not in known:
                have = ", ".join(sorted(known)) or "none"
                raise ParameterError(f"{self.id} has no parameter {name!r} (it has: {have})")
            default = known[name]
            if isinstance(default, tuple) and isinstance(value, list):
                value = tuple(value)
            if isinstance(default, float) and type(value) is int:
                value = float(value)
            if type(value) is not type(default):
                raise ParameterError(
                    f"{self.id}: {name} is a {type(default).__name__} (default {default!r}), not {value!r}"
                )
            if isinstance(default, tuple) and not all(isinstance(item, str) for item in value):  # type: ignore[attr-defined]
                raise ParameterError(f"{self.id}: {name} is a list of strings, not {value!r}")
            setattr(self, name, value)

    def run(self, host: Host) -> Iterator[Finding]:
        """Answer the question.

        Yields at least one finding, or raises `NotApplicable` or `Unavailable` with the reason.
        """
        raise NotImplementedError

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Return the parameters' names and defaults."""
        own: dict[str, Any] = {}
        for klass in reversed(cls.__mro__):
            if issubclass(klass, Check) and klass is not Check:
                for name in klass.__dict__.get("__annotations__", {}):
                    if name not in Check.__annotations__ and not name.startswith("_"):
                        own[name] = getattr(cls, name)
        return own

    @classmethod
    def title(cls) -> str:
        """Return the first line of the docstring: true when the check passes."""
        return (cls.__doc__ or cls.id).strip().partition("\n")[0]

    @classmethod
    def prose(cls) -> str:
        """Return the docstring without its first line."""
        # Imported here: it costs 4 ms, and only `explain` and the documentation need it.
        import inspect

        return inspect.cleandoc(cls.__doc__ or "").partition("\n")[2].strip()
