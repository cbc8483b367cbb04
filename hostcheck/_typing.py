"""The names of `typing` that this project's annotations use, without the 2 ms that importing it costs each run.

A type checker sees `typing` itself. Python sees a stand-in: with `from __future__ import annotations` no annotation
is ever evaluated, and what stands outside of one is an alias, which only has to take its brackets.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, ClassVar, Literal, Optional, TextIO, TypeVar, Union, cast
else:

    class Any:
        """Stands for every name."""

        def __class_getitem__(cls, item):
            """Take brackets, as in an alias."""
            return cls

    BinaryIO = Callable = ClassVar = Literal = Optional = TextIO = Union = Any

    def TypeVar(name, **told):
        """Make what stands for a variable."""
        return Any

    def cast(kind, value):
        """Return the value."""
        return value


__all__ = [
    "TYPE_CHECKING",
    "Any",
    "BinaryIO",
    "Callable",
    "ClassVar",
    "Literal",
    "Optional",
    "TextIO",
    "TypeVar",
    "Union",
    "cast",
]
