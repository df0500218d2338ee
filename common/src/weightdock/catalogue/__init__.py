"""Which models are mirrored: a ``models.toml`` per framework, in a folder of the framework's name.

::

    catalogue/
    ├── timm/models.toml          what is registered, by hand
    ├── timm/models.lock          what its origin gives, by ``make lock``; until then nothing is compared with it
    └── ultralytics/…             the same; a third framework is a third folder
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from weightdock.artifact import Framework, ModelId, ObjectKey, file_name, object_key
from weightdock.catalogue import models_file
from weightdock.errors import ConfigurationError

if TYPE_CHECKING:
    from weightdock.catalogue.lock import Locked

HOME = Path(__file__).parent


class ModelSpec(NamedTuple):
    """A model to mirror. ``asset`` is the framework's own name for it; empty where that is the obvious one.

    ``locked`` is what ``models.lock`` says of it; None where it says nothing.
    """

    model: ModelId
    extension: str
    asset: str
    task: str
    description: str
    locked: Locked | None = None

    @property
    def file_name(self) -> str:
        """The file's name in a cache."""
        return file_name(self.model, self.extension)

    def key(self, prefix: str) -> ObjectKey:
        """The object's key in the bucket."""
        return object_key(prefix, self.model, self.extension)


def frameworks(home: Path = HOME) -> tuple[Framework, ...]:
    """Every framework that has a catalogue, sorted."""
    return tuple(sorted(Framework(path.parent.name) for path in home.glob("*/models.toml")))


def check_framework(framework: Framework, home: Path = HOME) -> None:
    """Raise ConfigurationError, with the nearest names, for a framework that has no catalogue."""
    if framework not in frameworks(home):
        raise _unknown("framework", framework, frameworks(home))


def extension(framework: Framework, home: Path = HOME) -> str:
    """What the framework's files end in, for whoever has a name and needs no more. Raises ConfigurationError."""
    check_framework(framework, home)
    return models_file.read(framework, home).extension


def load(framework: Framework, home: Path = HOME) -> tuple[ModelSpec, ...]:
    """The models of one framework: registered by name, or locked under a registered pattern.

    Raises ConfigurationError: for a malformed file with file, line and key; for a pattern without a lock.
    """
    from weightdock.catalogue import lock  # not for whoever only asks for an extension

    check_framework(framework, home)
    file, locked = models_file.read(framework, home), lock.read(framework, home)
    named = {entry.name for entry in file.entries}
    specs: dict[str, ModelSpec] = {}
    for entry in file.entries:
        names = [entry.name]
        if entry.is_pattern:
            matching = [name for name in locked if fnmatchcase(name, entry.name)]
            if not matching:
                raise ConfigurationError(
                    f"the pattern {entry.name!r} of {framework} stands for no model yet",
                    cause="patterns are expanded into models.lock, "
                    + ("which has no such name" if locked else "and there is none"),
                    next="make lock",
                )
            names = [name for name in matching if name not in named]
        for name in names:
            model, known = ModelId(framework, name), locked.get(name)
            spec = ModelSpec(model, file.extension, entry.asset, entry.task, entry.description, known)
            specs.setdefault(name, spec)
    return tuple(specs.values())


def reached(framework: Framework, home: Path = HOME) -> tuple[ModelSpec, ...]:
    """The models that are registered or locked: what a lock still names is kept until it is written anew."""
    from weightdock.catalogue import lock

    specs = load(framework, home)
    known, extension = {spec.model.name for spec in specs}, models_file.read(framework, home).extension
    only_locked = [one for name, one in lock.read(framework, home).items() if name not in known]
    return (*specs, *(ModelSpec(one.model, extension, one.asset, "", "", one) for one in only_locked))


def fingerprint(frameworks: Sequence[Framework], home: Path = HOME) -> str:
    """A SHA-256 of their ``models.toml`` and ``models.lock``, as texts: the same wherever the catalogue is the same."""
    from hashlib import sha256  # not for whoever only resolves

    files = [home / framework / name for framework in frameworks for name in ("models.toml", "models.lock")]
    texts = [path.read_text(encoding="utf-8") if path.is_file() else "" for path in files]
    return sha256("\0".join(texts).encode()).hexdigest()


def select(patterns: Sequence[str] = (), chosen: Sequence[Framework] = (), home: Path = HOME) -> tuple[ModelSpec, ...]:
    """The models that ``patterns`` name, in catalogue order; all when there are none.

    A pattern is a name or a glob, with or without ``framework/``. ``chosen`` narrows to these frameworks. Raises
    ConfigurationError, with the nearest names, for a pattern that matches nothing.
    """
    for framework in chosen:
        check_framework(framework, home)
    taken = [framework for framework in frameworks(home) if framework in chosen or not chosen]
    specs = tuple(spec for framework in taken for spec in load(framework, home))
    by_name: dict[str, list[ModelSpec]] = {}
    for spec in specs:
        for name in (spec.model.name, str(spec.model)):
            by_name.setdefault(name, []).append(spec)
    wanted: set[ModelId] = set()
    for pattern in patterns:
        # By name first: the driver names every model that a glob of its user stands for, a thousand and more.
        found = by_name.get(pattern) or [spec for spec in specs if _matches(pattern, spec)]
        if not found:
            known = [str(spec.model) if "/" in pattern else spec.model.name for spec in specs]
            raise _unknown("model", pattern, known, f"of {', '.join(chosen)}" if chosen else "of the catalogue")
        wanted.update(spec.model for spec in found)
    return tuple(spec for spec in specs if not patterns or spec.model in wanted)


def by_framework(specs: Sequence[ModelSpec]) -> dict[Framework, list[ModelSpec]]:
    """The models of each framework."""
    found: dict[Framework, list[ModelSpec]] = {}
    for spec in specs:
        found.setdefault(spec.model.framework, []).append(spec)
    return found


def nearest(name: str, known: Sequence[str]) -> str:
    """What to try instead of ``name``: the closest of ``known``, or the first few of them."""
    import difflib

    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return ", ".join(close) if close else ", ".join(known[:8])


def _matches(pattern: str, spec: ModelSpec) -> bool:
    return fnmatchcase(spec.model.name, pattern) or fnmatchcase(str(spec.model), pattern)


def _unknown(kind: str, name: str, known: Sequence[str], where: str = "of the catalogue") -> ConfigurationError:
    return ConfigurationError(
        f"unknown {kind} {name!r}",
        cause=f"no {kind} {where} has that name",
        next=f"nearest names: {nearest(name, known)}",
    )
