"""`weightdock lock`: whole on stdout, or nothing."""

from __future__ import annotations

import json

import pytest

from support.cli_bench import (
    PATTERN,
    Bench,
    lose,
    origin_gives,
    outcomes_of,
    report_of,
)
from support.samples import TOY, digest, key_of
from weightdock.catalogue import lock
from weightdock.report import Outcome

# lock


@pytest.fixture
def locking_toy(bench: Bench, toy_origin: None) -> Bench:
    """The bench where the toy's child can be asked."""
    return bench


def test_a_lock_goes_to_stdout_whole_and_progress_to_stderr(locking_toy: Bench) -> None:
    bench = locking_toy
    bench.register("beta", "alpha")
    ran = bench.run("lock", "--framework", "toy")
    assert ran.code == 0
    said = {
        name: {
            "asset": "",
            "url": f"https://toys.example/{name}.bin",
            "revision": "r1",
            "size": len(origin_gives(name)),
            "sha256": str(digest(origin_gives(name))),
            "licence": "MIT",
            "versions": {"toy": "1.0"},
        }
        for name in ("alpha", "beta")
    }
    assert ran.stdout == json.dumps({"schema": 1, "models": said}, indent=1) + "\n"
    assert ran.stderr.splitlines() == [
        f"toy/{name}  {digest(origin_gives(name)).short}  {len(origin_gives(name))} bytes" for name in ("beta", "alpha")
    ]
    assert bench.stored() == {}


def test_a_lock_expands_patterns_and_uploads_then_keep_to_it(locking_toy: Bench) -> None:
    bench = locking_toy
    bench.register("alpha", and_also=PATTERN)
    assert bench.run("upload", "--dry-run").code == 2
    path = lock.lock_path(TOY, bench.home)
    path.write_text(bench.run("lock", "--framework", "toy").stdout, encoding="utf-8")
    assert list(lock.read(TOY, bench.home)) == ["alpha", "delta_base", "delta_tiny"]

    ran = bench.run("upload", "--json")
    assert (ran.code, set(outcomes_of(ran).values())) == (0, {Outcome.UPLOADED})
    assert set(bench.stored()) == {key_of(name) for name in ("alpha", "delta_base", "delta_tiny")}
    assert bench.run("upload", "--dry-run", "--check").code == 0
    assert bench.run("prune", "--grace-days", "0", "--yes").stdout.splitlines()[-1] == "0 models: nothing to do"
    again = bench.run("lock", "--framework", "toy").stdout
    assert again == path.read_text(encoding="utf-8")

    # Somebody reviewed another file than the origin gives: a new store stays empty of it.
    path.write_text(again.replace(digest(origin_gives("alpha")).hex, digest(b"reviewed").hex), encoding="utf-8")
    assert bench.run("upload", "--dry-run", "--check").code == 4
    assert bench.run("verify").code == 4
    lose(bench, "alpha")
    ran = bench.run("upload", "--json", "--model", "alpha")
    [result] = report_of(ran).results
    assert (ran.code, result.outcome) == (4, Outcome.FAILED)
    assert result.error
    assert str(digest(b"reviewed")) in result.error.cause
    assert str(digest(origin_gives("alpha"))) in result.error.cause
    assert key_of("alpha") not in bench.stored()


def test_an_origin_that_refuses_leaves_no_half_of_a_lock(locking_toy: Bench) -> None:
    bench = locking_toy
    refusing = '\n[models.gamma]\ntask = "classify"\ndescription = "it refuses"\nasset = "refuses"\n'
    bench.register("alpha", and_also=refusing)
    ran = bench.run("lock", "--framework", "toy")
    assert (ran.code, ran.stdout) == (3, "")
    assert ran.stderr.splitlines()[-3:] == ["error: the toy says no", 'cause: "refuses"', "next: ask the toy"]


def test_a_lock_is_of_one_framework(bench: Bench) -> None:
    ran = bench.run("lock")
    assert (ran.code, ran.stdout, ran.stderr) == (
        2,
        "",
        "error: Missing option '--framework'.\ncause: the command line was not understood\n"
        "next: weightdock lock --help\n",
    )
