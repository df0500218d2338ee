"""An origin's process with the toy framework in it, ready to be asked."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.samples import TOY
from weightdock import settings
from weightdock.catalogue import ModelSpec
from weightdock.origins import AcquiredFile
from weightdock.origins.child import OriginProcess
from weightdock.settings import Settings

Acquire = Callable[[ModelSpec], AcquiredFile]


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def configured(tmp_path: Path) -> Settings:
    return settings.load({"WEIGHTDOCK_CACHE": str(tmp_path / "cache")}, dotenv=tmp_path / ".env")


@pytest.fixture
def origin(configured: Settings) -> Iterator[OriginProcess]:
    with OriginProcess(TOY, configured) as process:
        yield process


@pytest.fixture
def acquire(origin: OriginProcess, into: Path) -> Acquire:
    return lambda wanted: origin.acquire(wanted, into, lambda _: None)


def pickled(text: str) -> bytes:
    """A text as the toy writes it."""
    return pickle.dumps(text, protocol=2)
