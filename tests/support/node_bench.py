"""A node before a store that holds one model, as tests of `fetch` and `resolve` set it up."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.command import environment
from support.fetcher import Job
from support.r2_bench import Bench
from support.samples import PREFIX, TOY, digest, entry, files
from weightdock.node.direct import BLOCK_BYTES
from weightdock.store import manifest
from weightdock.store.r2 import R2Store

SIZE = 95_000

WEIGHTS = random.Random("fetch").randbytes(SIZE)

OBJECT = f"{PREFIX}/toy/alpha.bin"

WHOLE = {"toy/alpha.bin", ".receipts/toy/alpha.bin.json"}


@dataclass
class Node:
    """A node before a store that holds one model: four requests of a wide way, twelve of a narrow one."""

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
        """Where ranges begin when ``start`` bytes are there, of which whole blocks are used."""
        return list(range(start - start % BLOCK_BYTES, SIZE, (6 if self.wide else 2) * BLOCK_BYTES))

    def forget(self) -> None:
        self.bench.double.record._entries.clear()

    @property
    def path(self) -> Path:
        return self.root / "toy" / "alpha.bin"

    def halves(self) -> list[int]:
        return sorted(path.stat().st_size for path in self.root.glob(f".partial/{digest(WEIGHTS)}.*"))

    def assert_whole(self) -> None:
        assert self.path.read_bytes() == WEIGHTS
        # A receipt that a process was killed with stays until it is swept.
        assert {path for path in files(self.root) if not path.startswith(".partial/receipt.")} == WHOLE
