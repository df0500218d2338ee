"""Making a lock: each model as its origin describes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.lock_samples import MODELS, PATTERN, home_of, locked_toy
from support.samples import TOY, content, digest, tree
from weightdock import catalogue
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec, lock
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError, OriginError
from weightdock.upload.locking import lock_models

# Making it


class Describing:
    """An origin that describes what it is asked about. ``asked`` is every request, ``refusals`` whom it refuses."""

    def __init__(self, *names: str) -> None:
        self.asked: list[str] = []
        self.folders: list[Path] = []
        self.refusals: dict[str, OriginError] = {}
        self._names = names

    def lock(self, spec: ModelSpec, into: Path) -> Locked:
        self.asked.append(f"lock {spec.model.name} {spec.asset}".strip())
        assert spec.locked is None, "what is locked now must not decide what is locked next"
        assert list(into.iterdir()) == []
        (into / "downloaded").write_bytes(b"because no digest was published")
        self.folders.append(into)
        if error := self.refusals.get(spec.model.name):
            raise error
        return locked_toy(spec.model.name)._replace(asset=spec.asset)

    def names(self, pattern: str) -> tuple[str, ...]:
        self.asked.append(f"names {pattern}")
        return self._names


def _lock(home: Path, origin: Describing, cache: Path) -> tuple[list[Locked], list[str]]:
    said: list[str] = []
    return lock_models(TOY, origin, Cache(cache), said.append, home), said


def test_every_registered_model_is_locked_as_its_origin_describes_it(tmp_path: Path) -> None:
    beta = '\n[models.beta]\ntask = "detect"\ndescription = "another"\nasset = "b.bin"\n'
    origin, cache = Describing(), tmp_path / "cache"
    locked, said = _lock(home_of(tmp_path, MODELS + beta), origin, cache)
    assert locked == [locked_toy("alpha"), locked_toy("beta")._replace(asset="b.bin")]
    assert origin.asked == ["lock alpha", "lock beta b.bin"]
    assert said == [
        f"toy/alpha  {digest(content('alpha')).short}  20 bytes",
        f"toy/beta  {digest(content('beta')).short}  19 bytes",
    ]
    assert tree(cache) == set()
    assert len(set(origin.folders)) == 2


def test_patterns_are_expanded_by_the_frameworks_own_list(tmp_path: Path) -> None:
    tiny = '\n[models.convnext_tiny]\ntask = "segment"\ndescription = "ours"\nasset = "tiny.bin"\n'
    origin = Describing("convnext_base", "convnext_tiny", "convnext_xl.fb_in22k")
    locked, _ = _lock(home_of(tmp_path, MODELS + PATTERN + tiny), origin, tmp_path / "cache")
    assert [(one.model.name, one.asset) for one in locked] == [
        ("alpha", ""),
        ("convnext_base", ""),
        ("convnext_xl.fb_in22k", ""),
        ("convnext_tiny", "tiny.bin"),
    ]
    assert origin.asked == [
        "lock alpha",
        "names convnext_*",
        "lock convnext_base",
        "lock convnext_xl.fb_in22k",
        "lock convnext_tiny tiny.bin",
    ]


def test_a_model_of_two_patterns_is_asked_for_once(tmp_path: Path) -> None:
    twice = PATTERN.replace("convnext_*", "*_tiny")
    origin = Describing("convnext_tiny")
    locked, _ = _lock(home_of(tmp_path, MODELS + PATTERN + twice), origin, tmp_path / "cache")
    assert [one.model.name for one in locked] == ["alpha", "convnext_tiny"]
    assert origin.asked.count("lock convnext_tiny") == 1


def test_what_was_locked_before_does_not_decide_and_may_be_malformed(tmp_path: Path) -> None:
    locked, _ = _lock(home_of(tmp_path, locked="not a lock"), Describing(), tmp_path / "cache")
    assert locked == [locked_toy("alpha")]


def test_a_lock_is_whole_or_there_is_none(tmp_path: Path) -> None:
    origin, cache = Describing("convnext_base"), tmp_path / "cache"
    origin.refusals["convnext_base"] = OriginError("the origin did not give it", cause="404", next="run again")
    with pytest.raises(OriginError, match="did not give it"):
        _lock(home_of(tmp_path, MODELS + PATTERN), origin, cache)
    assert tree(cache) == set()


def test_a_name_of_the_framework_that_cannot_be_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a model name"):
        _lock(home_of(tmp_path, MODELS + PATTERN), Describing("convnext_../../etc"), tmp_path / "cache")


def test_what_is_locked_is_what_the_catalogue_then_has(tmp_path: Path) -> None:
    home = home_of(tmp_path, MODELS + PATTERN)
    locked, _ = _lock(home, Describing("convnext_base", "convnext_tiny"), tmp_path / "cache")
    lock.lock_path(TOY, home).write_text(lock.render(locked), encoding="utf-8")
    assert {one.model.name: one.locked for one in catalogue.load(TOY, home)} == {
        name: locked_toy(name) for name in ("alpha", "convnext_base", "convnext_tiny")
    }
