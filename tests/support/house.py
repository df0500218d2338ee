"""Reads the imports of a source tree, without running any of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


@dataclass(frozen=True)
class Module:
    """A module of the house: its dotted name, its source, and whether it is a package's ``__init__``."""

    name: str
    source: ast.Module
    is_package: bool

    @property
    def room(self) -> str:
        """``weightdock.store`` for ``weightdock.store.r2``: what stands on a floor."""
        return ".".join(self.name.split(".")[:2])

    @property
    def package(self) -> str:
        """What a relative import starts from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


def read(root: Path) -> dict[str, Module]:
    """Every module of the package in the folder ``root``, by name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found[name] = Module(name, ast.parse(path.read_text(encoding="utf-8")), is_package)
    return found


def imports(module: Module, house: Mapping[str, Module]) -> set[str]:
    """Every name that the module imports, wherever in it: modules of the house in full, of others as written."""
    return {name for node in ast.walk(module.source) for name in _named_by(node, module, house)}


def imports_at_once(module: Module, house: Mapping[str, Module]) -> set[str]:
    """What importing the module imports: nothing from inside functions, or for type checkers alone."""
    return {name for node in _executed(module.source) for name in _named_by(node, module, house)}


def reads_environment(module: Module) -> bool:
    """Whether the module names ``os.environ`` or ``os.getenv`` in any way."""
    names = {"environ", "environb", "getenv", "getenvb"}
    for node in ast.walk(module.source):
        if isinstance(node, ast.Attribute) and node.attr in names:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names}:
            return True
    return False


def cycle(house: Mapping[str, Module]) -> list[str]:
    """Modules that import each other in a circle; none when there is no circle."""
    sorter = TopologicalSorter({name: imports(module, house) & house.keys() for name, module in house.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def _named_by(node: ast.AST, module: Module, house: Mapping[str, Module]) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=source, names=names, level=level):
            base = ".".join(module.package.split(".")[: 1 - level or None]) if level else ""
            origin = ".".join(part for part in (base, source or "") if part)
            for alias in names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner in house else origin
        case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[first, *_]):
            if isinstance(first, ast.Constant):
                yield str(first.value)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        inside_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for_checkers = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not inside_function and not for_checkers:
            yield from _executed(child)
