"""`weightdock resolve` on the wire: the path on stdout, and where the file came from."""

from __future__ import annotations

import json
import pickle
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.command import Ran, weightdock
from support.node_bench import OBJECT, WEIGHTS, Node
from support.r2_bench import KEY, QUICK, Bench
from support.r2_double import Key, R2Double
from support.samples import PREFIX, files
from support.servers import Server


@pytest.fixture(params=[True, False], ids=["wide", "narrow"])
def node(quick_r2: Bench, tmp_path: Path, request: pytest.FixtureRequest) -> Node:
    return Node(quick_r2, tmp_path / "cache", request.param)


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


BETA = pickle.dumps("beta chatty", 2)


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


def test_what_comes_from_the_origin_counts_for_the_cap_too(node: Node, toy_package: Path) -> None:
    script = Script(node, toy_package)
    assert script.resolve("toy/alpha").code == 0
    assert script.resolve("toy/beta", WEIGHTDOCK_ORIGIN="allow", WEIGHTDOCK_CACHE_BYTES=str(len(BETA))).code == 0
    assert files(node.root) == {"toy/beta.bin", ".receipts/toy/beta.bin.json"}


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
