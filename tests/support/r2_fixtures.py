"""The double of R2 in front of moto, ready for a test; see :mod:`support.r2_double`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import servers
from support.local_ca import Certificate, make_certificate
from support.r2_bench import KEY, QUICK, Bench
from support.r2_double import R2Double
from support.servers import Server
from weightdock.store import manifest, multipart
from weightdock.store import r2 as whole_files


@pytest.fixture(scope="session")
def behind_r2() -> Iterator[Server]:
    """moto that leaves the size of parts to the double."""
    with moto_of_any_parts() as server:
        yield server


@contextmanager
def moto_of_any_parts() -> Iterator[Server]:
    """The same for who is no test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_UPLOAD_PART_MIN_SIZE", "1")
        command: list[str | Path] = [servers._TOOLS / "moto_server", "-H", "127.0.0.1", "-p", "0"]
        with servers.running("moto", command) as server:
            yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For https on 127.0.0.1."""
    return make_certificate(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def r2(behind_r2: Server) -> Iterator[Bench]:
    """R2 with all its rules and numbers, over http."""
    with R2Double(behind_r2.url, [KEY]) as double:
        yield Bench.of(double, behind_r2)


@pytest.fixture
def quick_r2(behind_r2: Server) -> Iterator[Bench]:
    """R2 with small parts and any number of writes a second, over http."""
    with R2Double(behind_r2.url, [KEY], QUICK) as double:
        yield Bench.of(double, behind_r2)


@pytest.fixture
def secure_r2(behind_r2: Server, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The same over https, with an authority that boto3 trusts by AWS_CA_BUNDLE."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate.authority))
    with R2Double(behind_r2.url, [KEY], QUICK, certificate=certificate) as double:
        yield Bench.of(double, behind_r2, authority=certificate.authority)


@pytest.fixture(params=["quick_r2", "secure_r2"], ids=["http", "https"])
def either_r2(request: pytest.FixtureRequest) -> Bench:
    """Over http, and over https."""
    bench: Bench = request.getfixturevalue(request.param)
    return bench


@pytest.fixture
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts begin above 20 kB and have 10; nobody waits for a manifest."""
    monkeypatch.setattr(whole_files, "SINGLE_PUT_BYTES", 20_000)
    monkeypatch.setattr(multipart, "SINGLE_PUT_BYTES", 20_000)
    monkeypatch.setattr(multipart, "PART_BYTES", 10_000)
    monkeypatch.setattr(manifest, "_WAIT_SECONDS", (0.01, 0.05))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 8 bytes go in parts of 8, one after the other."""
    monkeypatch.setattr(whole_files, "SINGLE_PUT_BYTES", 8)
    monkeypatch.setattr(multipart, "PART_BYTES", 8)
    monkeypatch.setattr(multipart, "SLOTS", 1)
