"""A node and a store on the wire: faults, deaths and rivals, and what is then on the node's disk."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.command import Ran, environment, run, weightdock
from support.fetcher import Job
from support.r2_bench import KEY, QUICK, Bench
from support.r2_double import Key, R2Double
from support.r2_double.faults import FlipByte, Refuse, ResetAnswer, Truncate
from support.r2_double.injection import When
from support.samples import PREFIX, TOY, entry, files
from support.servers import Server
from weightdock.store import manifest
from weightdock.store.r2 import R2Store

SIZE = 95_000
WEIGHTS = random.Random("fetch").randbytes(SIZE)
OBJECT = f"{PREFIX}/toy/alpha.bin"
WHOLE = {"toy/alpha.bin", ".receipts/toy/alpha.bin.json"}


@dataclass
class Node:
    """A node before a store that holds one model: one range of a wide way, ten of a narrow one."""

    bench: Bench
    root: Path
    wide: bool

    def __post_init__(self) -> None:
        behind = self.bench.behind.client()
        behind.put_object(Bucket=self.bench.bucket, Key=OBJECT, Body=WEIGHTS)
        manifest.publish(
            R2Store(self.bench.behind.settings(self.bench.bucket)), PREFIX, TOY, {"alpha": entry("alpha", WEIGHTS)}
        )

    def fetch(
        self, *kill_at: int, together: bool = False, flock: str = "true", **changed: str
    ) -> tuple[list[int], str]:
        """The exit statuses of one node process per number, and what they said."""
        given = self.bench.environment(WEIGHTDOCK_CACHE=str(self.root), **changed)
        job = Job(given, ["alpha"], list(kill_at or (-1,)), together, flock, self.wide)
        command = [sys.executable, "-m", "support.fetcher", job.as_json()]
        python_path = {"PYTHONPATH": str(Path(__file__).parents[1])}
        ran = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=200, env=environment(given | python_path)
        )
        return json.loads(ran.stdout), ran.stderr

    def starts(self) -> list[int]:
        """Where the ranges began that were asked for."""
        asked = self.bench.double.record.entries("GetObject", key="/alpha.bin")
        return sorted(int(one.headers["range"].removeprefix("bytes=").partition("-")[0]) for one in asked)

    def ranges_from(self, start: int) -> list[int]:
        """Where ranges begin when ``start`` bytes are there: a narrow way shows with the second piece."""
        return list(range(start, SIZE, SIZE if self.wide else 10_000))

    def forget(self) -> None:
        self.bench.double.record._entries.clear()

    @property
    def path(self) -> Path:
        return self.root / "toy" / "alpha.bin"

    def halves(self) -> list[int]:
        return sorted(path.stat().st_size for path in self.root.glob(".partial/*/*") if path.name != "receipt.json")

    def assert_whole(self) -> None:
        assert self.path.read_bytes() == WEIGHTS
        # A receipt that a process was killed with stays in its folder, until that is swept.
        assert {path for path in files(self.root) if not path.endswith("/receipt.json")} == WHOLE


@pytest.fixture(params=[True, False], ids=["wide", "narrow"])
def node(quick_r2: Bench, tmp_path: Path, request: pytest.FixtureRequest) -> Node:
    return Node(quick_r2, tmp_path / "cache", request.param)


def test_a_file_is_read_in_ranges_of_one_version(node: Node) -> None:
    assert node.fetch() == ([0], "")
    node.assert_whole()
    asked = node.bench.double.record.entries("GetObject", key="/alpha.bin")
    assert node.starts() == node.ranges_from(0)
    (head,) = node.bench.double.record.entries("HeadObject")
    assert head.status == 200
    assert len({one.headers["if-match"] for one in asked}) == 1


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
    (half,) = node.root.glob(".partial/*/*")
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
    assert node.starts()[0] == had


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


@dataclass
class Script:
    """The command line of a copy of weightdock that knows the toy, and its origin."""

    node: Node
    package: Path

    def resolve(self, name: str = "toy/alpha", **changed: str) -> Ran:
        given = self.node.bench.environment(
            WEIGHTDOCK_CACHE=str(self.node.root), PYTHONPATH=str(self.package), **changed
        )
        return weightdock("resolve", name, given=given, cwd=self.node.root.parent)


@pytest.fixture
def read_only(behind_r2: Server) -> Iterator[Bench]:
    with R2Double(behind_r2.url, [Key(KEY.access_key_id, KEY.secret_access_key, read_only=True)], QUICK) as double:
        yield Bench.of(double, behind_r2)


BETA = b"Vbeta chatty\np0\n."


def test_resolve_writes_the_path_on_stdout_and_nothing_else(node: Node, toy_package: Path) -> None:
    ran = Script(node, toy_package).resolve()
    assert (ran.code, ran.stdout) == (0, f"{node.path}\n"), ran.stderr
    assert node.path.read_bytes() == WEIGHTS


def test_what_the_store_lacks_stays_missing_unless_the_origin_is_allowed(node: Node, toy_package: Path) -> None:
    ran = Script(node, toy_package).resolve("toy/beta")
    assert (ran.code, ran.stdout) == (5, "")
    assert "error: toy/beta is not in the store" in ran.stderr


def test_what_the_store_lacks_comes_from_the_origin_and_fills_the_store(node: Node, toy_package: Path) -> None:
    script = Script(node, toy_package)
    ran = script.resolve("toy/beta", WEIGHTDOCK_ORIGIN="allow")
    path = node.root / "toy" / "beta.bin"
    assert (ran.code, ran.stdout, path.read_bytes()) == (0, f"{path}\n", BETA), ran.stderr
    assert node.bench.content(f"{PREFIX}/toy/beta.bin") == BETA
    (put,) = node.bench.double.record.entries("PutObject", key="/beta.bin")
    assert put.headers["if-none-match"] == "*"
    known = json.loads(node.bench.content(f"{PREFIX}/toy/manifest.json"))["models"]
    assert set(known) == {"alpha", "beta"}
    node.forget()
    assert script.resolve("toy/beta", WEIGHTDOCK_ORIGIN="allow").code == 0
    assert node.bench.double.record.entries() == []


def test_a_store_that_may_only_be_read_costs_a_warning_and_not_the_path(
    read_only: Bench, toy_package: Path, tmp_path: Path
) -> None:
    node = Node(read_only, tmp_path / "cache", wide=True)
    ran = Script(node, toy_package).resolve("toy/beta", WEIGHTDOCK_ORIGIN="allow")
    assert (ran.code, ran.stdout) == (0, f"{node.root}/toy/beta.bin\n"), ran.stderr
    assert "warning: toy/beta is in this cache, and did not get into R2" in ran.stderr
    assert "the credentials may not do this" in ran.stderr


def test_without_credentials_an_origin_that_is_allowed_is_enough(node: Node, toy_package: Path) -> None:
    nothing = dict.fromkeys(("AWS_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
    ran = Script(node, toy_package).resolve("toy/beta", WEIGHTDOCK_ORIGIN="allow", **nothing)
    assert (ran.code, ran.stdout) == (0, f"{node.root}/toy/beta.bin\n"), ran.stderr
    assert "R2 credentials not configured" in ran.stderr


def test_a_corrupt_object_is_never_replaced_by_another_file_of_the_origin(node: Node, toy_package: Path) -> None:
    """The manifest's digest is asked of the origin too: what it has now is other than what was mirrored."""
    node.bench.behind.client().put_object(Bucket=node.bench.bucket, Key=OBJECT, Body=WEIGHTS[:-1] + b"!")
    ran = Script(node, toy_package).resolve(WEIGHTDOCK_ORIGIN="allow")
    assert (ran.code, ran.stdout) == (4, "")
    assert "and the manifest says" in ran.stderr
    assert files(node.root) == set()


def test_a_read_only_cache_that_has_the_model_serves_it(node: Node, toy_package: Path) -> None:
    script = Script(node, toy_package)
    assert script.resolve().code == 0
    mounted = node.root.parent / "mounted"
    mounted.mkdir()
    subprocess.run(["mount", "--bind", node.root, mounted], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", mounted], check=True)
        given = node.bench.environment(WEIGHTDOCK_CACHE=str(mounted), PYTHONPATH=str(toy_package))
        ran = weightdock("resolve", "toy/alpha", given=given, cwd=node.root.parent)
        assert (ran.code, ran.stdout) == (0, f"{mounted}/toy/alpha.bin\n"), ran.stderr
        missing = weightdock("resolve", "toy/beta", given=given, cwd=node.root.parent)
        assert missing.code == 5
    finally:
        subprocess.run(["umount", mounted], check=True)
