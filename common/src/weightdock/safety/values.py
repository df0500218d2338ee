"""What lies on the abstract stack.

Strings, numbers, bytes, booleans and None stand for themselves. A name of the allow-list is its
:class:`~weightdock.safety.allow.Allowed`. Everything that holds others is a :class:`Box`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from weightdock.safety.allow import Allowed, Use
from weightdock.safety.refusal import RefusalError

MAX_DEPTH = 200
"""Real models reach about 30. Deeper ones overflow the stack of whoever copies, prints or frees them."""


class Box:
    """Something that holds other values; ``depth`` is how far down they reach."""

    __slots__ = ("depth", "items")

    kind: ClassVar[str]  # for messages

    def __init__(self, items: Sequence[object] = ()) -> None:
        self.depth = 1
        self.items = items
        if items:
            self.holds(items)

    def holds(self, items: Iterable[object]) -> None:
        """Note how deep ``items`` reach. Raises RefusalError where that is too deep."""
        for item in items:
            if isinstance(item, Box) and item.depth >= self.depth:
                self.depth = item.depth + 1
        if self.depth > MAX_DEPTH:
            raise RefusalError(f"values are nested more than {MAX_DEPTH} deep")


class TupleBox(Box):
    """A tuple, with its items."""

    __slots__ = ()

    kind = "tuple"


class ListBox(Box):
    """A list. Its items are kept: an architecture is made of lists."""

    __slots__ = ()

    kind = "list"
    items: list[object]

    def extend(self, items: list[object]) -> None:
        """Append ``items``."""
        if type(self.items) is not list:
            self.items = []
        self.items.extend(items)
        self.holds(items)


class DictBox(Box):
    """A dictionary. Its items are judged as they are set, and only counted; ``plain``: some are no layers."""

    __slots__ = ("count", "plain")

    kind = "dictionary"

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.plain = False


class SetBox(Box):
    """A set. Its items are not kept."""

    __slots__ = ()

    kind = "set"


class Made(Box):
    """What a call or a class gave. ``elements`` is how many a storage holds."""

    __slots__ = ("allowed", "built", "elements", "filled", "plain", "sealed")

    kind = "result"

    def __init__(self, allowed: Allowed, arguments: Sequence[object] = (), elements: int = 0) -> None:
        super().__init__()
        if arguments:
            self.holds(arguments)
        self.allowed = allowed
        self.elements = elements
        self.built = False  # BUILD filled it
        self.filled = False  # it is a dictionary and has items
        self.plain = False  # it is a dictionary and has items that are no layers
        self.sealed = False  # it is a dictionary and must stay empty

    def is_a(self, key: str) -> bool:
        """Whether it came from the name ``module name``."""
        return self.allowed.key == key


def is_layer(value: object) -> bool:
    """Whether it is a module's instance."""
    return type(value) is Made and value.allowed.use is Use.MODULE
