"""A pattern stands for what the lock has."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.lock_samples import MODELS, PATTERN, home_of, locked_toy
from support.samples import TOY, spec
from weightdock import catalogue
from weightdock.artifact import ModelId
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError


def _names(home: Path) -> list[str]:
    return [one.model.name for one in catalogue.load(TOY, home)]


# Patterns


def test_a_model_knows_what_the_lock_says_of_it(tmp_path: Path) -> None:
    locked = locked_toy("alpha")
    [known] = catalogue.load(TOY, home_of(tmp_path, locked=[locked, locked_toy("not-registered")]))
    assert known == spec("alpha")._replace(locked=locked)


def test_a_pattern_stands_for_what_the_lock_has(tmp_path: Path) -> None:
    names = ["convnext_tiny", "alpha", "convnext_base.fb", "vit_base", "convnext"]
    specs = catalogue.load(TOY, home_of(tmp_path, MODELS + PATTERN, [locked_toy(name) for name in names]))
    assert specs == (
        spec("alpha")._replace(locked=locked_toy("alpha")),
        *(
            ModelSpec(ModelId(TOY, name), "bin", "", "classify", "all of them", locked_toy(name))
            for name in ("convnext_base.fb", "convnext_tiny")
        ),
    )


@pytest.mark.parametrize("explicit_first", [True, False])
def test_a_model_that_is_registered_by_name_is_what_it_is_registered_as(tmp_path: Path, explicit_first: bool) -> None:
    tiny = '\n[models.convnext_tiny]\ntask = "segment"\ndescription = "ours"\nasset = "tiny.bin"\n'
    models = tiny + PATTERN if explicit_first else PATTERN + tiny
    locked = [locked_toy("convnext_base"), locked_toy("convnext_tiny")]
    home = home_of(tmp_path, f'extension = "bin"\n{models}', locked)
    by_name = {one.model.name: (one.task, one.description, one.asset) for one in catalogue.load(TOY, home)}
    assert by_name == {
        "convnext_tiny": ("segment", "ours", "tiny.bin"),
        "convnext_base": ("classify", "all of them", ""),
    }
    assert len(catalogue.load(TOY, home)) == 2


def test_a_model_of_two_patterns_is_one_model_and_the_firsts(tmp_path: Path) -> None:
    narrow = PATTERN.replace("convnext_*", "convnext_t*").replace("all of them", "the tiny ones")
    home = home_of(
        tmp_path, f'extension = "bin"\n{narrow}{PATTERN}', [locked_toy("convnext_tiny"), locked_toy("convnext_xl")]
    )
    assert [(one.model.name, one.description) for one in catalogue.load(TOY, home)] == [
        ("convnext_tiny", "the tiny ones"),
        ("convnext_xl", "all of them"),
    ]


@pytest.mark.parametrize("glob", ["convnext_*", "convnext_t?ny", "convnext_[st]*"])
def test_patterns_are_globs(tmp_path: Path, glob: str) -> None:
    models = MODELS + PATTERN.replace("convnext_*", glob)
    assert "convnext_tiny" in _names(home_of(tmp_path, models, [locked_toy("convnext_tiny"), locked_toy("vit")]))


def test_models_of_a_pattern_can_be_chosen_like_all_others(tmp_path: Path) -> None:
    home = home_of(tmp_path, MODELS + PATTERN, [locked_toy("convnext_tiny"), locked_toy("convnext_base")])
    assert [one.model.name for one in catalogue.select(["toy/convnext_b*"], home=home)] == ["convnext_base"]


@pytest.mark.parametrize("locked", [None, []], ids=["no lock", "an empty lock"])
def test_a_pattern_without_a_lock_is_refused_rather_than_nothing(tmp_path: Path, locked: list[Locked] | None) -> None:
    with pytest.raises(ConfigurationError) as refused:
        catalogue.load(TOY, home_of(tmp_path, MODELS + PATTERN, locked))
    assert str(refused.value) == (
        "error: the pattern 'convnext_*' of toy stands for no model yet\n"
        "cause: patterns are expanded into models.lock, and there is none\n"
        "next: make lock"
    )


def test_a_pattern_that_the_lock_does_not_know_yet_is_refused_rather_than_nothing(tmp_path: Path) -> None:
    # Else `upload` would leave it out in silence, and `prune` would call what it stood for unknown.
    with pytest.raises(ConfigurationError) as refused:
        catalogue.load(TOY, home_of(tmp_path, MODELS + PATTERN, [locked_toy("alpha")]))
    assert refused.value.what == "the pattern 'convnext_*' of toy stands for no model yet"


def test_a_pattern_whose_models_are_all_registered_by_name_adds_none(tmp_path: Path) -> None:
    models = MODELS + PATTERN.replace("convnext_*", "alph*")
    assert _names(home_of(tmp_path, models, [locked_toy("alpha")])) == ["alpha"]
