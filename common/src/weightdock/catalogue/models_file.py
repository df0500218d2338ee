"""``models.toml``: what is registered, read with file, line and key in every complaint."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from weightdock.artifact import Framework, ModelId, file_name
from weightdock.errors import ConfigurationError

_FIELDS = ("task", "description", "asset")
_REQUIRED = ("task", "description")
_GLOB = re.compile(r"[*?\[]")


class Registered(NamedTuple):
    """One entry. ``name`` may be a pattern such as ``convnext_*``, for which the lock has the names."""

    name: str
    asset: str
    task: str
    description: str

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for many."""
        return bool(_GLOB.search(self.name))


class ModelsFile(NamedTuple):
    """One framework's catalogue."""

    framework: Framework
    extension: str
    entries: tuple[Registered, ...]


def read(framework: Framework, home: Path) -> ModelsFile:
    """The file of one framework, in its order. Raises ConfigurationError with file, line and key."""
    path = home / framework / "models.toml"
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    # tomllib raises more than its own error: for a number of thousands of digits, for what is nested too deep.
    except (OSError, ValueError, RecursionError) as error:
        raise _malformed(path, str(error), "TOML") from error
    for key in document.keys() - {"extension", "models"}:
        raise _malformed(path, _at(text, key, f"unknown key `{key}`"), "`extension` and `[models.<name>]`")
    extension, models = document.get("extension"), document.get("models")
    if not isinstance(extension, str):
        raise _malformed(path, _at(text, "extension", "`extension` is missing or no string"), 'extension = "pt"')
    try:
        file_name(ModelId(framework, "any"), extension)
    except ConfigurationError as error:
        raise _malformed(path, _at(text, "extension", error.what), error.cause) from error
    if not isinstance(models, dict) or not models:
        raise _malformed(path, _at(text, "models", "`models` is missing or empty"), "one [models.<name>] per model")
    entries = tuple(_entry(path, text, framework, name, fields) for name, fields in models.items())
    return ModelsFile(framework, extension, entries)


def _entry(path: Path, text: str, framework: Framework, name: str, entry: object) -> Registered:
    if not isinstance(entry, dict):
        raise _malformed(path, _at(text, name, f"`{name}` is not a table"), f"[models.{name}]")
    for key, value in entry.items():
        if key not in _FIELDS:
            raise _malformed(path, _at(text, key, f"unknown key `{key}`", after=name), f"one of {', '.join(_FIELDS)}")
        if not isinstance(value, str) or not value:
            raise _malformed(path, _at(text, key, f"`{key}` is not a string", after=name), f'{key} = "..."')
    for key in _REQUIRED:
        if key not in entry:
            raise _malformed(path, _at(text, name, f"`{key}` is missing"), f'{key} = "..."')
    registered = Registered(name, entry.get("asset", ""), entry["task"], entry["description"])
    try:
        ModelId(framework, _GLOB.sub("x", name.replace("]", "")) if registered.is_pattern else name)
    except ConfigurationError as error:
        raise _malformed(path, _at(text, name, error.what), error.cause) from error
    return registered


def _malformed(path: Path, problem: str, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is malformed",
        cause=problem if len(problem) < 500 else f"{problem[:500]}...",
        next=f"mend it; expected {expected}",
    )


def _at(text: str, key: str, problem: str, after: str = "") -> str:
    """``problem`` with the line that defines ``key``; with ``after``, the one in that model's table."""
    lines = text.splitlines()
    start = _line(lines, after, 0) if after else 0
    return f"{problem} (line {_line(lines, key, start) + 1}, key `{key}`)"


def _line(lines: Sequence[str], key: str, start: int) -> int:
    """The first line from ``start`` that is ``[key]``, ``[models.key]`` or ``key = …``; ``start`` if there is none."""
    defines = re.compile(rf"""\s*(\[\s*(models\s*\.\s*)?)?["']?{re.escape(key)}["']?\s*[\].=]""")
    return next((number for number, line in enumerate(lines[start:], start) if defines.match(line)), start)
