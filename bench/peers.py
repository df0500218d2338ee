"""What the benches of an upload and of a fill share: the cases, what other tools must be told, and counted requests."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from harness import FailedError, Sample
from support.command import environment
from support.r2_bench import KEY
from support.r2_double import Expect, Limits, RemoteDouble
from support.servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server
from weightdock.artifact import Digest

CASES = {"8 × 100 MB": (8, 100_000_000), "1 × 2 GB": (1, 2_000_000_000), "500 × 1 MB": (500, 1_000_000)}
"""How many files of how many bytes."""

ONE_WAY_SECONDS, BYTES_PER_SECOND = 0.02, 30_000_000
"""How far away, and how narrow for each connection, a store is that is not on loopback."""

_TOOLS = Path(sys.executable).parent
_PIECE_BYTES = 10_000_000
_TRIES = 3  # a server of rclone's may fail one of several that make a folder at once

Command = list[str | Path]


@dataclass(frozen=True)
class Peers:
    """The other tools, told where one store is. ``trust`` is what makes clients trust it over https."""

    url: str
    trust: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        """The variables of AWS's own tools."""
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
        where = {"AWS_REGION": "auto", "AWS_DEFAULT_REGION": "auto", "AWS_ENDPOINT_URL": self.url}
        return environment(keys | where | dict(self.trust))

    def s5cmd(self, *arguments: str | Path) -> Command:
        """It takes no authority of one's own: over https it verifies nobody."""
        unverified = ["--no-verify-ssl"] if self.trust else []
        return [_TOOLS / "s5cmd", "--endpoint-url", self.url, *unverified, *arguments]

    def rclone(self, *arguments: str | Path) -> Command:
        """Of no settings file."""
        certificates = ["--ca-cert", self.trust["AWS_CA_BUNDLE"]] if self.trust else []
        return [_TOOLS / "rclone", "--config", "", *certificates, *arguments]

    def remote(self, place: str) -> str:
        """``bucket/prefix`` as rclone is told."""
        return f":s3,provider=Other,env_auth=true,region=auto,endpoint='{self.url}',no_check_bucket=true:{place}"


def random_file(path: Path, size: int) -> Digest:
    """Write ``size`` bytes that no other file has."""
    digest = sha256()
    with path.open("wb") as stream:
        for start in range(0, size, _PIECE_BYTES):
            piece = random.randbytes(min(_PIECE_BYTES, size - start))
            digest.update(piece)
            stream.write(piece)
    return Digest(digest.hexdigest())


def counted(
    samples: Mapping[str, Sequence[Sample]],
    server: Server,
    contenders: Callable[[str], Mapping[str, Callable[[], Sample]]],
) -> dict[str, list[Sample]]:
    """The samples with the requests of one more run each, through the strict double of R2 before ``server``.

    ``contenders`` makes them for an address. Raises FailedError where the double refused a request.
    """
    found = {name: list(own) for name, own in samples.items()}  # of another server nothing is counted
    # Go's and Python's S3 clients send Expect: 100-continue, which R2 does not know and lets pass.
    with RemoteDouble(server.url, [KEY], Limits(expect=Expect.IGNORE)) as double:
        for name, contender in contenders(double.url).items():
            for _ in range(_TRIES):
                before = len(double.record.entries())
                contender()
                entries = double.record.entries()[before:]
                if all(one.status < HTTPStatus.INTERNAL_SERVER_ERROR for one in entries):
                    break
            refused = {f"{one.operation}: {one.refused_by}" for one in entries if one.refused_by}
            if refused:
                raise FailedError(f"the double refused {name} {', '.join(sorted(refused))}")
            found[name] = [replace(one, requests=len(entries)) for one in samples[name]]
    return found
