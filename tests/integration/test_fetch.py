"""A node and a store on the wire: faults, deaths and rivals, and what is then on the node's disk."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support.command import run
from support.fetcher import Job
from support.node_bench import SIZE, WEIGHTS, Node
from support.r2_bench import KEY, QUICK, Bench
from support.r2_double import Key, R2Double
from support.r2_double.faults import FlipByte, Refuse, ResetAnswer, Truncate
from support.r2_double.injection import When
from support.samples import digest, files
from support.servers import Server


@pytest.fixture(params=[True, False], ids=["wide", "narrow"])
def node(quick_r2: Bench, tmp_path: Path, request: pytest.FixtureRequest) -> Node:
    return Node(quick_r2, tmp_path / "cache", request.param)


def test_a_file_is_read_in_ranges_of_one_version(node: Node) -> None:
    assert node.fetch() == ([0], "")
    node.assert_whole()
    asked = node.bench.double.record.entries("GetObject", key="/alpha.bin")
    assert node.starts() == node.ranges_from(0)
    first, *more = asked
    assert "if-match" not in first.headers
    assert len({one.headers["if-match"] for one in more}) == 1
    assert node.bench.double.record.operations() == ["GetObject"] * (1 + len(asked)), "the manifest's, and the file's"


def test_a_node_that_is_killed_at_any_step_is_gone_on_with_from_what_is_there(node: Node) -> None:
    resumed = 0
    for step in range(6, 80, 6):
        statuses, said = node.fetch(step)
        if statuses == [0]:
            break
        assert statuses == [-9], said
        assert not node.path.exists() or node.path.read_bytes() == WEIGHTS
        (had,) = node.halves() or [0]
        done = node.path.exists()
        node.forget()
        assert node.fetch()[0] == [0]
        node.assert_whole()
        expected = [] if done else node.ranges_from(had)
        assert node.starts() == expected, (step, had)
        resumed += 0 < had < SIZE
        for path in (node.path, node.root / ".receipts/toy/alpha.bin.json"):
            path.unlink()
    assert resumed >= 2, "it was hardly ever killed in the midst"


def test_one_file_survives_a_life_of_deaths(node: Node) -> None:
    """Each process goes on where the one before it died."""
    statuses, said = node.fetch(*[40] * 12, -1)
    assert -9 in statuses, said
    assert statuses[-1] == 0, said
    assert node.path.read_bytes() == WEIGHTS


def test_a_half_that_was_damaged_on_this_disk_is_thrown_away_and_the_file_is_fetched_anew(node: Node) -> None:
    for step in range(24, 60, 4):
        if node.fetch(step)[0] == [-9] and (node.halves() or [0])[0] > 15_000:
            break
    (half,) = node.root.glob(f".partial/{digest(WEIGHTS)}.*")
    content = bytearray(half.read_bytes())
    content[7] ^= 1
    half.write_bytes(content)
    node.forget()
    assert node.fetch()[0] == [0]
    node.assert_whole()
    assert node.starts().count(0) == 1


@pytest.mark.parametrize("flock", ["true", "lies", "refuses"])
def test_many_processes_that_want_one_model_all_get_it(node: Node, flock: str) -> None:
    statuses, said = node.fetch(*[-1] * 6, together=True, flock=flock)
    assert statuses == [0] * 6, said
    assert node.path.read_bytes() == WEIGHTS
    if flock == "true":
        assert node.starts() == node.ranges_from(0), "it was downloaded more than once"
    else:
        # Another's receipt may stand beside the file of the last: then it is read once, and no byte is fetched.
        node.forget()
        assert node.fetch()[0] == [0]
        assert node.starts() == []
    node.assert_whole()


def test_a_flipped_byte_is_exit_4_and_nothing_is_kept(node: Node) -> None:
    node.bench.double.inject(FlipByte(5), When(operation="GetObject", key="/alpha.bin", times=1))
    statuses, said = node.fetch()
    assert statuses == [4]
    assert "error: toy/alpha is not what it should be" in said
    assert files(node.root) == set()


@pytest.mark.parametrize(
    "fault", [ResetAnswer(4_000), Truncate(4_000), Refuse()], ids=["reset", "truncated", "overloaded"]
)
def test_an_answer_that_breaks_off_is_asked_for_again(node: Node, fault: ResetAnswer | Truncate | Refuse) -> None:
    node.bench.double.inject(fault, When(operation="GetObject", key="/alpha.bin", nth=1 if node.wide else 3, times=2))
    statuses, said = node.fetch()
    assert statuses == [0], said
    node.assert_whole()
    assert len(node.starts()) == len(node.ranges_from(0)) + 2


def test_a_store_that_goes_away_leaves_a_half_that_the_next_run_goes_on_from(node: Node) -> None:
    asked = When(operation="GetObject", key="/alpha.bin", nth=1)
    node.bench.double.inject(Truncate(14_000), asked)
    refused = node.bench.double.inject(
        Refuse(403, "AccessDenied", "no more"), replace(asked, nth=2 if node.wide else 7, times=None)
    )
    statuses, said = node.fetch()
    assert statuses == [5], said
    (had,) = node.halves()
    assert 0 < had < SIZE
    assert refused.struck
    node.bench.double.injections.clear()
    node.forget()
    assert node.fetch()[0] == [0]
    node.assert_whole()
    assert node.starts() == node.ranges_from(had)


def test_a_disk_that_fills_up_meanwhile_is_exit_5_and_is_left_clean(node: Node) -> None:
    given = node.bench.environment(WEIGHTDOCK_CACHE=str(node.root))
    job = Job(given, ["alpha"])
    limited = ["sh", "-c", 'ulimit -f 40; trap "" XFSZ; exec "$@"', "-", sys.executable, "-m", "support.fetcher"]
    ran = run([*limited, job.as_json()], given | {"PYTHONPATH": str(Path(__file__).parents[1])}, cwd=node.root.parent)
    assert json.loads(ran.stdout) == [5], ran.stderr
    assert f"error: the cache {node.root} did not take toy/alpha\ncause: [Errno 27] File too large" in ran.stderr
    assert files(node.root) == set()


def test_credentials_that_expired_are_said_to_have(behind_r2: Server, tmp_path: Path) -> None:
    key = Key(KEY.access_key_id, KEY.secret_access_key, session_token="a-token", expired=True)
    with R2Double(behind_r2.url, [key], QUICK) as double:
        node = Node(Bench.of(double, behind_r2), tmp_path / "cache", wide=True)
        statuses, said = node.fetch(AWS_SESSION_TOKEN="a-token")
    assert statuses == [5]
    assert "cause: the credentials have expired" in said
    assert "next: get new ones; AWS_SESSION_TOKEN belongs to them" in said
