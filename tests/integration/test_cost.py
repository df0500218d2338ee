"""What an upload costs: nothing where nothing is to be done, and memory by a setting, not by a file's size."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from support.announce import announce
from support.measured import measure
from support.mirrored import catalogue, fill
from support.r2_bench import KEY, Bench, Place
from support.r2_double import RemoteDouble
from support.samples import TOY
from support.servers import Server
from support.uploader import Job
from support.zero_store import zero_store

MIB = 1024 * 1024
HUGE_BYTES = 5 * 1024 * MIB
SHA256_OF_HUGE = "7f06c62352aebd8125b2a1841e2b9e1ffcbed602f381c3dcb3200200e383d1d5"  # of zeros, by sha256sum
MOST_BYTES = 128 * MIB  # half of what is promised: pieces of 16 parts, and Python's own
MOST_REQUESTS = 3
TRIES = 5
MOST_CPU_SECONDS = 0.6


@pytest.mark.parametrize("count", [8, 1826])
def test_a_run_with_nothing_to_do_costs_three_requests_and_starts_no_loader(
    quick_r2: Bench, toy_package: Path, tmp_path: Path, count: int, pytestconfig: pytest.Config
) -> None:
    names = [f"model_{number}" for number in range(count)]
    catalogue(toy_package, names)
    fill(quick_r2.behind, quick_r2.bucket, names)  # past the double, whose record is then the run's alone
    # Bytecode is kept, as it is in the images.
    given = quick_r2.environment(PYTHONPATH=str(toy_package), PYTHONDONTWRITEBYTECODE="")
    arguments = ("upload", "--framework", TOY, "--json")
    measure("weightdock.cli", *arguments, given=given, folder=tmp_path)  # compiles the copy of the package
    quick_r2.double.record.clear()
    tried = [measure("weightdock.cli", *arguments, given=given, folder=tmp_path) for _ in range(TRIES)]
    usage = min(tried, key=lambda one: one.cpu_seconds)
    assert usage.code == 0, usage.stderr
    outcomes = Counter(row["outcome"] for row in json.loads(usage.stdout)["results"])
    asked = [str(one.operation) for one in quick_r2.double.record.entries()]
    requests = len(asked) // TRIES
    took = f"{usage.cpu_seconds:.2f} s of processor"
    announce(pytestconfig, f"nothing to do for {count} models: {requests} requests, {took}")
    assert outcomes == {"Already exists in R2": count}
    assert set(asked) == {"GetObject", "ListObjects"}
    assert len(asked) <= TRIES * MOST_REQUESTS
    assert usage.started == [], "no loader is started"
    assert usage.cpu_seconds < MOST_CPU_SECONDS


def test_the_memory_of_an_upload_does_not_grow_with_the_file(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    with zero_store() as behind, RemoteDouble(behind, [KEY]) as double:
        place = Place(double.url, Server("zero", behind), "bucket")
        job = Job(
            environment=place.environment(WEIGHTDOCK_CACHE=str(tmp_path / "cache")),
            models={"huge": HUGE_BYTES},
            diary=str(tmp_path / "diary"),
            output="",
            sparse=SHA256_OF_HUGE,
        )
        usage = measure("support.uploader", json.dumps(asdict(job)), given={}, folder=tmp_path, seconds=240)
        assert usage.code == 0, usage.stderr
        sent = sum(one.bytes_in for one in double.record.entries("UploadPart"))
    assert sent == HUGE_BYTES
    announce(pytestconfig, f"memory of an upload of 5 GiB: {usage.peak_bytes // MIB} MiB of {MOST_BYTES // MIB} MiB")
    assert usage.peak_bytes <= MOST_BYTES
