"""The house: imports point down, and what is dangerous or dear has one door."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from support import house
from support.house import Module

FLOORS = {
    "weightdock": 0,
    "weightdock.errors": 1,
    "weightdock.artifact": 2,
    "weightdock.env_file": 2,
    "weightdock.licence": 2,
    "weightdock.shared_files": 2,
    "weightdock.settings": 3,
    "weightdock.events": 3,
    "weightdock.catalogue": 3,
    "weightdock.verify": 3,
    "weightdock.safety": 2,
    "weightdock.cache": 4,
    "weightdock.origins": 4,
    "weightdock.store": 4,
    "weightdock.report": 4,
    "weightdock.upload": 5,
    "weightdock.node": 6,
    "weightdock.upkeep": 6,
    "weightdock.cli": 7,
}
DRIVER = "weightdock_driver"
FRAMEWORKS = {"httpx", "huggingface_hub", "requests", "safetensors", "timm", "torch", "torchvision", "ultralytics"}


def _package(name: str) -> dict[str, Module]:
    spec = find_spec(name)
    return house.read(Path(spec.origin).parent) if spec and spec.origin else {}


COMMON = _package("weightdock")
HOUSE = COMMON | _package(DRIVER)


def _floor(module: str) -> int:
    room = ".".join(module.split(".")[:2])
    return len(FLOORS) if room.split(".")[0] == DRIVER else FLOORS[room]


FRONT_DOOR = {("weightdock", "weightdock.node.resolve"), ("weightdock", "weightdock.events")}
"""What a training script calls stands before the house: it goes in when it is called, and for type checkers."""


def _pointing_up(rooms: Mapping[str, Module]) -> list[str]:
    return [
        f"{name} → {imported}"
        for name, module in rooms.items()
        for imported in sorted(house.imports(module, rooms) & rooms.keys())
        if (name, imported) not in FRONT_DOOR
        and _floor(imported) >= _floor(name)
        and rooms[imported].room != module.room
        and DRIVER not in module.room
    ]


def _doors(rooms: Mapping[str, Module], libraries: set[str]) -> set[str]:
    """The modules that import any of these."""
    return {
        name
        for name, module in rooms.items()
        if libraries & {imported.partition(".")[0] for imported in house.imports(module, rooms)}
    }


def _small_house(root: Path, sources: Mapping[str, str]) -> dict[str, Module]:
    """A house of these files."""
    package = root / "weightdock"
    for name, source in sources.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return house.read(package)


def test_every_module_stands_on_a_floor() -> None:
    assert {module.room for module in COMMON.values()} <= FLOORS.keys()


def test_imports_point_down_the_floors_or_stay_in_one_room() -> None:
    assert _pointing_up(HOUSE) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert house.cycle(HOUSE) == []


def test_an_import_that_points_up_is_seen_however_it_is_written(tmp_path: Path) -> None:
    small = _small_house(
        tmp_path,
        {
            "errors.py": "from weightdock import settings",
            "settings.py": "def load():\n    from . import cache",
            "cache.py": "import weightdock.cli",
            "store/__init__.py": "if TYPE_CHECKING:\n    from ..origins import child",
            "origins/child.py": "from importlib import import_module\nimport_module('weightdock.node')",
            "node.py": "from weightdock.store import r2",
            "cli.py": "",
        },
    )
    assert _pointing_up(small) == [
        "weightdock.cache → weightdock.cli",
        "weightdock.errors → weightdock.settings",
        "weightdock.origins.child → weightdock.node",
        "weightdock.settings → weightdock.cache",
        "weightdock.store → weightdock.origins.child",
    ]


def test_a_circle_inside_one_room_is_seen(tmp_path: Path) -> None:
    small = _small_house(
        tmp_path, {"store/r2.py": "from weightdock.store import parts", "store/parts.py": "from . import r2"}
    )
    assert set(house.cycle(small)) == {"weightdock.store.r2", "weightdock.store.parts"}


def test_one_module_reads_the_environment() -> None:
    readers = {name for name, module in HOUSE.items() if house.reads_environment(module)}
    assert readers == {"weightdock.settings.variables"}


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['A']",
        "from os import environ",
        "from os import getenv as get",
        "import os as system\nsystem.getenv('A')",
    ],
)
def test_a_second_reader_of_the_environment_is_seen(tmp_path: Path, source: str) -> None:
    assert house.reads_environment(_small_house(tmp_path, {"cache.py": source})["weightdock.cache"])


def test_only_the_store_imports_the_s3_client_and_what_sends() -> None:
    doors = _doors(HOUSE, {"boto3", "botocore", "mypy_boto3_s3"})
    assert {HOUSE[name].room for name in doors} == {"weightdock.store"}
    assert _doors(HOUSE, {"urllib3"}) == {"weightdock.store.connections", "weightdock.store.control_plane"}


def test_only_the_origin_of_a_framework_imports_it() -> None:
    assert _doors(HOUSE, FRAMEWORKS) == {"weightdock.origins.timm", "weightdock.origins.ultralytics"}


def test_the_drivers_engine_alone_imports_the_docker_sdk() -> None:
    assert _doors(HOUSE, {"docker"}) <= {"weightdock_driver.engine"}


def test_importing_any_module_of_common_imports_neither_a_framework_nor_an_s3_client() -> None:
    dear = FRAMEWORKS | {"boto3", "botocore"}
    at_once = {
        name: dear & {imported.partition(".")[0] for imported in house.imports_at_once(module, COMMON)}
        for name, module in COMMON.items()
    }
    # The first request that writes imports it.
    assert {name: found for name, found in at_once.items() if found} == {"weightdock.store.control_plane": {"botocore"}}
