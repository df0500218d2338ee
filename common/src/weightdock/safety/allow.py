"""The allow-list: ``torch.toml`` for every framework, and ``<framework>.toml`` beside it where one needs more.

::

    safety/
    ├── torch.toml             what plain weights need; all that timm's files name
    └── ultralytics.toml       whole models: layers, heads, training arguments
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from weightdock.errors import ConfigurationError

ALLOW_LIST_VERSION = 4
"""Grows by one with every change of a ``.toml`` here; a verdict carries it."""

HOME = Path(__file__).parent


class Use(StrEnum):
    """What a name may be used for; ``torch.toml`` explains each."""

    VALUE = "value"
    STORAGE = "storage"
    CALLED = "called"
    CONFIG = "config"
    MODULE = "module"


@dataclass(frozen=True)
class Allowed:
    """A name on the list, as the opcode GLOBAL gives it: ``key`` is ``module name``.

    ``item_bytes`` is the size of an element of a storage, else 0.
    """

    kind: ClassVar[str] = "class or function"  # for messages

    key: str
    use: Use
    reason: str
    item_bytes: int = 0

    @property
    def module(self) -> str:
        """``torch.nn.modules.conv``."""
        return self.key.partition(" ")[0]

    @property
    def name(self) -> str:
        """``Conv2d``."""
        return self.key.partition(" ")[2]

    def __str__(self) -> str:
        return self.key.replace(" ", ".")


@dataclass(frozen=True)
class AllowList:
    """One framework's names by :attr:`Allowed.key`, and what the texts and layers that it acts upon must look like."""

    framework: str
    names: Mapping[str, Allowed]
    texts: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    layer_keys: frozenset[str] = frozenset()
    layers: frozenset[str] = frozenset()


@lru_cache
def allow_list(framework: str, home: Path = HOME) -> AllowList:
    """What checkpoints of ``framework`` may name. A framework without a file of its own gets torch's part.

    Raises ConfigurationError for a file that is no list.
    """
    own = home / f"{framework}.toml"
    try:
        return _read(framework, [home / "torch.toml", *([own] if own.is_file() else [])])
    except (ValueError, KeyError, TypeError, AttributeError, re.error) as error:
        raise ConfigurationError(
            f"the allow-list of {framework} cannot be read",
            cause=f"{type(error).__name__}: {error}",
            next=f"mend {own}; torch.toml beside it explains what it holds",
        ) from error


def _read(framework: str, paths: Sequence[Path]) -> AllowList:
    documents = [tomllib.loads(path.read_text(encoding="utf-8")) for path in paths]
    names = {allowed.key: allowed for document in documents for allowed in _names(document)}
    acted_on: Mapping[str, Any] = documents[-1].get("acted_on", {})
    return AllowList(
        framework,
        names,
        {key: re.compile(pattern) for key, pattern in acted_on.get("texts", {}).items()},
        frozenset(acted_on.get("layers", ())),
        frozenset(spelling for allowed in names.values() if allowed.use is Use.MODULE for spelling in _layer(allowed)),
    )


def _names(document: Mapping[str, Any]) -> Iterator[Allowed]:
    for group in document["group"]:
        for module, names in group["names"].items():
            for name in names.split():
                yield Allowed(f"{module} {name}", Use(group["use"]), group["reason"], group.get("item_bytes", 0))


def _layer(allowed: Allowed) -> tuple[str, ...]:
    """How an architecture spells a layer: ``Conv``, but ``nn.Upsample`` for one of torch's."""
    if allowed.module.startswith("torch."):
        return (f"nn.{allowed.name}", f"torch.nn.{allowed.name}")
    return (allowed.name,)
