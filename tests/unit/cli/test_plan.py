"""`weightdock upload --dry-run`, `--check` and `--force`: what is work, what differs, what is replaced."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.cli_bench import (
    Bench,
    locked_as,
    lose,
    origin_gives,
    outcomes_of,
)
from support.samples import TOY, content, digest, key_of
from weightdock import catalogue
from weightdock.catalogue import lock
from weightdock.report import Outcome

# upload --dry-run --check


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_a_plan_with_work_exits_1_only_when_checked(bench: Bench, options: list[str]) -> None:
    bench.fill("alpha")
    planned = bench.run("upload", "--dry-run", *options)
    assert planned.code == 0
    for checked in (["--dry-run", "--check"], ["--check"]):
        ran = bench.run("upload", *checked, *options)
        assert (ran.code, ran.stdout) == (1, planned.stdout)
    assert bench.stored() == {key_of("alpha"): content("alpha")}


def test_a_plan_without_work_exits_0_also_with_unknown_objects(bench: Bench) -> None:
    bench.fill("alpha", "beta")
    bench.put("gamma")
    ran = bench.run("upload", "--dry-run", "--check")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == (
        "KEY                              PLAN                    SIZE  SHA256        LICENCE\n"
        f"models/pretrained/toy/alpha.bin  Already exists in R2  0.0 MB  {digest(content('alpha')).short}  MIT\n"
        f"models/pretrained/toy/beta.bin   Already exists in R2  0.0 MB  {digest(content('beta')).short}  MIT\n"
        "models/pretrained/toy/gamma.bin  unknown in R2         0.0 MB  -             -\n"
        "\n"
        "3 models: 1 unknown in R2, 2 Already exists in R2 · 0.0 MB · 1 class A and 1 class B operations, $0.000005\n"
    )


@pytest.mark.parametrize(
    ("spoil", "outcome", "code"),
    [
        (lambda bench: bench.put("beta", b"other"), Outcome.DIFFERS, 4),
        (lambda bench: bench.put("gamma"), Outcome.PRESENT, 0),
        (lambda bench: lose(bench, "beta"), Outcome.MISSING, 1),
    ],
    ids=["differs", "unknown", "missing in the store"],
)
def test_what_a_checked_plan_finds_decides_its_exit_code(
    bench: Bench, spoil: Callable[[Bench], None], outcome: Outcome, code: int
) -> None:
    bench.fill("alpha", "beta")
    spoil(bench)
    ran = bench.run("upload", "--dry-run", "--check", "--json")
    assert (ran.code, outcomes_of(ran)["beta.bin"]) == (code, outcome)


def test_an_object_to_adopt_is_work(bench: Bench) -> None:
    bench.fill("alpha")
    bench.put("beta")
    ran = bench.run("upload", "--dry-run", "--check", "--json")
    assert (ran.code, outcomes_of(ran)["beta.bin"]) == (1, Outcome.ADOPTABLE)


def test_a_manifest_that_differs_from_the_lock_exits_4_even_unchecked_and_names_both(bench: Bench) -> None:
    bench.fill("alpha", "beta")
    lock.lock_path(TOY, bench.home).write_text(
        lock.render([locked_as("alpha"), locked_as("gamma")]).replace(
            digest(content("alpha")).hex, digest(b"as it was locked").hex
        ),
        encoding="utf-8",
    )
    for options in ([], ["--check"]):
        ran = bench.run("upload", "--dry-run", *options)
        assert ran.code == 4
        assert (
            f"cause: {key_of('alpha')}: the manifest says sha256 {digest(content('alpha'))}, "
            f"and models.lock says {digest(b'as it was locked')}\n"
        ) in ran.stdout


def test_another_lock_than_where_the_run_was_asked_for_is_refused(bench: Bench) -> None:
    lock_file = lock.lock_path(TOY, bench.home)
    lock_file.write_text(lock.render([locked_as("alpha")]), encoding="utf-8")
    asked = ("upload", "--dry-run", "--catalogue", catalogue.fingerprint([TOY]))
    assert bench.run(*asked).code == 0
    changed = [locked_as("alpha")._replace(sha256=digest(b"another"))]
    lock_file.write_text(lock.render(changed), encoding="utf-8")
    ran = bench.run(*asked)
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: another catalogue is here than where this run was asked for\n")


# upload --force


@pytest.mark.parametrize(
    ("options", "count"),
    [([], 2), (["--framework", "toy"], 2), (["--model", "*a"], 2), (["--model", "alpha", "--model", "beta"], 2)],
    ids=["nothing", "a framework", "a glob", "two names"],
)
def test_force_is_for_one_named_model(bench: Bench, options: list[str], count: int) -> None:
    bench.fill("alpha", "beta")
    before = bench.stored()
    ran = bench.run("upload", "--force", *options)
    assert (ran.code, ran.stdout, ran.stderr) == (
        2,
        "",
        f"error: --force replaces one model\ncause: the options name {count}\n"
        "next: weightdock upload --force --model toy/alpha\n",
    )
    assert bench.stored() == before


def test_force_has_no_model_where_this_share_has_none(bench: Bench) -> None:
    options = ("upload", "--force", "--model", "alpha", "--dry-run", "--share")
    refused, _ = sorted((bench.run(*options, share) for share in ("0/2", "1/2")), key=lambda ran: -ran.code)
    assert (refused.code, refused.stderr) == (
        2,
        "error: --force replaces one model\ncause: the options name 0\n"
        "next: weightdock upload --force --model FRAMEWORK/MODEL\n",
    )


def test_a_forced_plan_would_replace_and_does_not(bench: Bench) -> None:
    bench.fill("alpha", "beta")
    before = bench.stored()
    ran = bench.run("upload", "--force", "--model", "alpha", "--dry-run", "--check", "--json")
    assert (ran.code, outcomes_of(ran)) == (1, {"alpha.bin": Outcome.REPLACEABLE})
    assert bench.stored() == before


@pytest.mark.usefixtures("toy_origin")
def test_force_replaces_the_one_model_and_its_entry(bench: Bench) -> None:
    bench.fill("alpha", "beta")
    bench.put("alpha", b"what somebody else put there")
    assert bench.run("upload", "--model", "alpha").code == 4
    assert bench.stored()[key_of("alpha")] == b"what somebody else put there"
    ran = bench.run("upload", "--force", "--model", "alpha", "--json")
    assert (ran.code, outcomes_of(ran)) == (0, {"alpha.bin": Outcome.REPLACED})
    assert bench.stored() == {key_of("alpha"): origin_gives("alpha"), key_of("beta"): content("beta")}
    assert bench.run("verify", "--deep").code == 0


@pytest.mark.usefixtures("toy_origin")
def test_force_where_nothing_is_is_an_upload_like_any_other(bench: Bench) -> None:
    ran = bench.run("upload", "--force", "--model", "toy/alpha", "--json")
    assert (ran.code, outcomes_of(ran)) == (0, {"alpha.bin": Outcome.UPLOADED})
