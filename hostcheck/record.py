"""Named tuples that cost nothing to define: the way in which this project writes down a value with fields."""

from __future__ import annotations

from operator import itemgetter

from hostcheck._typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    # To a type checker, and so to an editor, a Record is what it replaces.
    from typing import NamedTuple as Record
else:

    class Record(tuple):
        """A tuple whose items have names, written as a typing.NamedTuple is and behaving as one.

        typing.NamedTuple compiles code for each class: 0.3 ms, and sixty of them would be a third of what a
        whole run may take. This is made in a tenth of that. It goes without what nothing here uses:
        `_make` and `__match_args__`.

        >>> class Range(Record):
        ...     first: int
        ...     count: int = 1
        >>> Range(7), Range(first=7, count=2)[1], Range(7)._replace(first=8).first
        (Range(first=7, count=1), 2, 8)
        """

        __slots__ = ()
        _fields: ClassVar[tuple[str, ...]] = ()
        _field_defaults: ClassVar[dict[str, Any]] = {}

        def __init_subclass__(cls) -> None:
            """Make the annotated names the fields, in their order."""
            if Record not in cls.__bases__:
                return
            cls._fields = tuple(cls.__dict__.get("__annotations__", ()))
            cls._field_defaults = {name: cls.__dict__[name] for name in cls._fields if name in cls.__dict__}
            for number, name in enumerate(cls._fields):
                setattr(cls, name, property(itemgetter(number)))

        def __new__(cls, /, *values: Any, **named: Any) -> Record:
            """Take the fields by position or by name; what is left out has its default."""
            if named or len(values) != len(cls._fields):
                values = cls._complete(values, named)
            return tuple.__new__(cls, values)

        @classmethod
        def _complete(cls, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
            rest = cls._fields[len(values) :]
            known = {**cls._field_defaults, **named}
            wrong = [name for name in named if name not in rest] + [
                name for name in rest if name not in known
            ]
            if wrong or len(values) > len(cls._fields):
                raise TypeError(f"{cls.__name__}({', '.join(cls._fields)}) is given {values!r} and {named!r}")
            return (*values, *(known[name] for name in rest))

        def _replace(self, /, **changed: Any) -> Record:
            """Return a copy with some fields changed."""
            return type(self)(**{**self._asdict(), **changed})

        def _asdict(self) -> dict[str, Any]:
            """Return the fields by their names."""
            return dict(zip(self._fields, self))

        def __repr__(self) -> str:
            shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
            return f"{type(self).__name__}({shown})"

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)


__all__ = ["Record"]
