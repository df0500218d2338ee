"""`weightdock verify` and `status`, before real servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cli_bench import (
    Bench,
    outcomes_of,
)
from support.command import Ran
from support.samples import content, digest, key_of
from weightdock.report import Outcome


@pytest.mark.parametrize("name", ["upload", "lock", "verify", "status", "prune"])
def test_the_help_of_each_command_has_examples(command: Callable[..., Ran], name: str) -> None:
    ran = command(name, "--help")
    assert (ran.code, ran.stderr) == (0, "")
    assert f"\n  Examples:\n    weightdock {name}" in ran.stdout


@pytest.mark.parametrize("name", ["verify", "status", "prune", "lock"])
def test_a_framework_that_nobody_registered_is_a_usage_error_before_anybody_is_asked(bench: Bench, name: str) -> None:
    ran = bench.run(name, "--framework", "tyo")
    assert (ran.code, ran.stdout, ran.stderr) == (
        2,
        "",
        "error: unknown framework 'tyo'\n"
        "cause: no framework of the catalogue has that name\n"
        "next: nearest names: toy\n",
    )


# verify


def test_a_store_that_is_as_it_should_be_verifies(either: Bench) -> None:
    either.fill("alpha", "beta")
    ran = either.run("verify")
    assert ran.code == 0
    header, alpha, beta, _, total = ran.stdout.splitlines()
    assert header.split() == ["MODEL", "RESULT", "SIZE", "SHA256", "FROM", "SECONDS"]
    assert alpha.split()[:5] == ["toy/alpha", "verified", "0.0", "MB", digest(content("alpha")).short]
    assert beta.split()[0] == "toy/beta"
    assert total == "2 models: 2 verified · 0.0 MB"
    assert sorted(ran.stderr.splitlines()) == ["toy/alpha  verify done 0.0 MB", "toy/beta  verify done 0.0 MB"]


def test_reading_every_byte_finds_what_metadata_hides(either: Bench) -> None:
    either.fill("alpha", "beta")
    either.put("beta", content("beta").swapcase(), sha256=digest(content("beta")).hex)
    assert either.run("verify").code == 0
    ran = either.run("verify", "--deep")
    assert ran.code == 4
    assert (
        "toy/beta\nerror: toy/beta in the store is not what it should be\n"
        f"cause: {key_of('beta')}: it has sha256 {digest(content('beta').swapcase())}, "
        f"and the manifest says {digest(content('beta'))}\n"
        "next: nothing was overwritten; find out who changed what, then "
        "`weightdock-driver upload --force --model toy/beta` or `make lock`\n"
    ) in ran.stdout
    assert "2 models: 1 verified, 1 failed" in ran.stdout
    assert "toy/beta  verify started 0.0 MB" in ran.stderr
    assert either.run("verify", "--deep", "--model", "alpha").code == 0


def test_what_is_missing_fails_verification(bench: Bench) -> None:
    bench.fill("alpha")
    ran = bench.run("verify")
    assert ran.code == 5
    assert (
        f"toy/beta\nerror: toy/beta is not in the manifest\ncause: there is no entry for {key_of('beta')}\n"
        "next: make upload/toy\n"
    ) in ran.stdout


@pytest.mark.parametrize("options", [[], ["--deep"]], ids=["fast", "deep"])
def test_verification_says_the_same_to_machines(bench: Bench, options: list[str]) -> None:
    bench.fill("alpha", "beta")
    bench.put("beta", b"other")
    ran = bench.run("verify", "--json", *options)
    assert (ran.code, outcomes_of(ran)) == (4, {"alpha.bin": Outcome.VERIFIED, "beta.bin": Outcome.FAILED})
    ran = bench.run("verify", "--events", *options)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (ran.code, ran.stderr) == (4, "")
    assert [line["event"] for line in lines].index("report") == len(lines) - 1
    assert {line["stage"] for line in lines[:-1]} == {"verify"}


# status


def test_the_status_shows_where_each_model_is(either: Bench) -> None:
    either.fill("alpha")
    ran = either.run("status")
    assert (ran.code, ran.stderr) == (0, "")
    header, alpha, beta = ran.stdout.splitlines()
    sha256 = digest(content("alpha")).short
    assert header == "MODEL      TASK      LOCK  MANIFEST  R2   HERE    SIZE  SHA256        LICENCE  AGE"
    assert alpha.startswith(f"toy/alpha  classify  -     yes       yes  -     0.0 MB  {sha256}  MIT      ")
    assert beta == "toy/beta   classify  -     -         -    -          -  -             -        -"


def test_the_status_for_machines_parses(bench: Bench) -> None:
    bench.fill("alpha")
    bench.put("beta")
    ran = bench.run("status", "--json", "--framework", "toy")
    [line] = ran.stdout.splitlines()
    document = json.loads(line)
    assert (ran.code, document["event"]) == (0, "status")
    assert {one["model"]: (one["in_manifest"], one["in_store"]) for one in document["models"]} == {
        "toy/alpha": (True, True),
        "toy/beta": (False, True),
    }
    assert [one["model"] for one in json.loads(bench.run("status", "--json", "--model", "b*").stdout)["models"]] == [
        "toy/beta"
    ]


def test_the_status_is_also_a_page_to_look_at_beside_the_table(bench: Bench, tmp_path: Path) -> None:
    bench.fill("alpha")
    (tmp_path / "run.json").write_text(bench.run("fetch", "--json", "--model", "alpha").stdout, encoding="utf-8")
    ran = bench.run("status", "--html", "page.html", "--run", "run.json")
    assert (ran.code, ran.stdout) == (0, bench.run("status").stdout)
    assert ran.stderr == f"to look at: {(tmp_path / 'page.html').as_uri()}\n"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert [
        text for text in ("toy alpha", "toy beta", "Last run", "1 model: 1 fetched", "</html>") if text not in page
    ] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--run", "run.json"], "--run is for the page"),
        (["--run", "run.json", "--html", "page.html"], "run.json is no report of a run"),
        (["--html", "nowhere/page.html"], "nowhere/page.html cannot be written"),
    ],
)
def test_a_page_that_cannot_be_made_is_a_usage_error(
    bench: Bench, tmp_path: Path, options: list[str], said: str
) -> None:
    ran = bench.run("status", *options)
    assert (ran.code, ran.stdout, ran.stderr.splitlines()[0]) == (2, "", f"error: {said}")
    assert not (tmp_path / "page.html").exists()
