"""docs/operations.md has a row for every message that the code can raise, under the exit code that it exits with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from weightdock import errors
from weightdock.errors import WeightdockError

ROOT = Path(__file__).parents[2]
KINDS = {
    name: int(kind.exit_code)
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, WeightdockError)
}
_FAIL = re.compile(r'\b(?:fail (\d)|complain) "([^"]+)"')
_SHELL_VALUE = re.compile(r"\$\{?\w+\}?|\$\([^)]*\)")
_HEADING = re.compile(r"### (\d):")


def _text(node: ast.expr, names: dict[str, str]) -> str:
    """A message with … for each value in it."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in values)
        case ast.Name(id=name) if name in names:
            return names[name]
    raise AssertionError(f"line {node.lineno}: a message that cannot be read off the code: {ast.unparse(node)}")


def _raised(source: str) -> Iterator[tuple[int, str]]:
    tree = ast.parse(source)
    names = {
        node.targets[0].id: _text(node.value, {})
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.JoinedStr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[what, *_]) if name in KINDS:
                yield KINDS[name], _text(what, names)
            case ast.Call(func=ast.Name(id="fail"), args=[what, *_]):  # of the scripts in docker/
                yield 2, _text(what, {})


def _messages() -> set[tuple[int, str]]:
    found: set[tuple[int, str]] = set()
    for package in ("common/src", "docker/src"):
        for path in (ROOT / package).rglob("*.py"):
            found.update(_raised(path.read_text(encoding="utf-8")))
    for path in filter(Path.is_file, (ROOT / "docker").iterdir()):
        source = path.read_text(encoding="utf-8")
        if source.startswith("#!/usr/bin/env bash"):
            found.update((int(code or 2), _SHELL_VALUE.sub("…", what)) for code, what in _FAIL.findall(source))
        elif source.startswith("#!/usr/bin/env python"):
            found.update(_raised(source))
    # How those scripts are called they say themselves.
    return {one for one in found if not one[1].startswith("unknown argument")}


def _documented() -> list[tuple[int, str]]:
    rows, code = [], -1
    for line in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            code = int(heading[1])
        elif line.startswith("| ") and code >= 0 and not line.startswith("| message |"):
            rows.append((code, line.split(" | ")[0].removeprefix("| ")))
    return rows


def test_every_message_has_a_row_under_its_exit_code_and_no_row_is_of_a_message_that_is_gone() -> None:
    documented = _documented()
    assert len(documented) == len(set(documented))
    assert _messages() - set(documented) == set(), "these have no row"
    assert set(documented) - _messages() == set(), "these rows are of nothing"


def test_messages_are_read_off_the_code_with_their_values_left_open() -> None:
    source = (
        'def f():\n    what = f"a {b}"\n    raise StoreError(what, cause="c", next="n")\nraise OriginError(f"{x} y")\n'
    )
    assert set(_raised(source)) == {(5, "a …"), (3, "… y")}
