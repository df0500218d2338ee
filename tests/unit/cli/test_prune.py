"""`weightdock prune`: what it lists, and that nothing else goes."""

from __future__ import annotations

import json

import pytest

from support.cli_bench import (
    PATTERN,
    Bench,
    locked_as,
    outcomes_of,
)
from support.samples import TOY, content, key_of
from weightdock.catalogue import lock
from weightdock.report import Outcome

# prune


def test_without_yes_what_is_in_vain_is_listed_and_stays(either: Bench) -> None:
    either.fill("alpha", "gamma")
    before = either.stored()
    ran = either.run("prune", "--grace-days", "0")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == (
        "KEY                              PLAN            SIZE  SHA256\n"
        "models/pretrained/toy/gamma.bin  would remove  0.0 MB  -\n"
        "\n"
        "1 model: 1 would remove · 0.0 MB\n"
    )
    assert (either.stored(), either.published()) == (before, {"alpha", "gamma"})


def test_with_yes_what_was_listed_goes(either: Bench) -> None:
    either.fill("alpha", "gamma")
    ran = either.run("prune", "--grace-days", "0", "--yes", "--json")
    assert (ran.code, outcomes_of(ran)) == (0, {"gamma.bin": Outcome.REMOVED})
    assert (either.stored(), either.published()) == ({key_of("alpha"): content("alpha")}, {"alpha"})
    again = either.run("prune", "--grace-days", "0", "--yes")
    assert (again.code, again.stdout.splitlines()[-1]) == (0, "0 models: nothing to do")


def test_what_was_put_there_this_week_stays(bench: Bench) -> None:
    bench.fill("alpha", "gamma")
    before = bench.stored()
    for options in ([], ["--yes"], ["--grace-days", "1", "--yes"]):
        ran = bench.run("prune", *options)
        assert (ran.code, ran.stdout.splitlines()[-1]) == (0, "0 models: nothing to do")
    assert bench.stored() == before


def test_a_model_that_only_the_lock_names_stays(bench: Bench) -> None:
    # The help says so: "objects that no models.toml or models.lock names".
    bench.fill("alpha", "gamma")
    locked = [locked_as("alpha"), locked_as("gamma")]
    lock.lock_path(TOY, bench.home).write_text(lock.render(locked), encoding="utf-8")
    ran = bench.run("prune", "--grace-days", "0", "--yes", "--json")
    assert (ran.code, outcomes_of(ran)) == (0, {})
    assert set(bench.stored()) == {key_of("alpha"), key_of("gamma")}


def test_a_catalogue_that_cannot_be_expanded_prunes_nothing(bench: Bench) -> None:
    bench.register("alpha", and_also=PATTERN)
    bench.fill("alpha", "delta_tiny")
    ran = bench.run("prune", "--grace-days", "0", "--yes")
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[0] == "error: the pattern 'delta_*' of toy stands for no model yet"
    assert set(bench.stored()) == {key_of("alpha"), key_of("delta_tiny")}


@pytest.mark.parametrize("frameworks", [["toy", "tyo"], ["tyo", "toy"]], ids=" ".join)
def test_a_mistyped_framework_prunes_nothing_of_the_others(bench: Bench, frameworks: list[str]) -> None:
    bench.fill("alpha", "gamma")
    named = [part for name in frameworks for part in ("--framework", name)]
    ran = bench.run("prune", *named, "--grace-days", "0", "--yes")
    assert (ran.code, ran.stdout) == (2, "")
    assert set(bench.stored()) == {key_of("alpha"), key_of("gamma")}


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "1e12", "a week"])
def test_a_grace_period_that_is_none_is_a_usage_error(bench: Bench, days: str) -> None:
    bench.fill("alpha", "gamma")
    ran = bench.run("prune", "--grace-days", days, "--yes")
    assert (ran.code, ran.stdout) == (2, "")
    assert set(bench.stored()) == {key_of("alpha"), key_of("gamma")}


def test_uploads_that_nobody_ended_are_listed_and_with_yes_aborted(bench: Bench) -> None:
    bench.fill("alpha", "gamma")
    upload = bench.begin("alpha")
    found = f"{key_of('alpha')}  begun 2010-11-10 20:48  would abort\n"  # for moto it is always 2010
    for days, listed in (("10000", "0 uploads: nothing to do\n"), ("1", found)):
        ran = bench.run("prune", "--uploads", "--grace-days", days)
        assert (ran.code, ran.stdout, ran.stderr) == (0, listed, "")
    assert bench.begun() == [upload]
    ran = bench.run("prune", "--uploads", "--grace-days", "1", "--yes")
    assert (ran.code, ran.stdout) == (0, f"{key_of('alpha')}  begun 2010-11-10 20:48  aborted\n")
    assert (bench.begun(), set(bench.stored())) == ([], {key_of("alpha"), key_of("gamma")})


@pytest.mark.parametrize("options", [[], ["--yes"]], ids=["listed", "aborted"])
def test_uploads_that_nobody_ended_are_told_to_machines_too(bench: Bench, options: list[str]) -> None:
    bench.begin("alpha")
    ran = bench.run("prune", "--uploads", "--grace-days", "0", "--json", *options)
    assert ran.code == 0
    assert [json.loads(line)["weightdock"] for line in ran.stdout.splitlines()] == [1]
