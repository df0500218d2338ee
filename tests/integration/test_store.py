"""R2Store against real servers: moto keeps conditions, rclone checks signatures, and both are somebody else's code."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.command import environment
from support.samples import PREFIX, content, digest, room_for, verified
from support.scripted_server import refusing, silent
from support.servers import Server
from weightdock.artifact import ObjectKey
from weightdock.errors import IntegrityError, StoreError
from weightdock.store import Document, StoredObject, Version, endpoint, multipart, r2
from weightdock.store.r2 import R2Store
from weightdock.verify import VerifiedFile

KEY = ObjectKey(f"{PREFIX}/toy/alpha.bin")

WEIGHTS = content("alpha")

FIVE_MIB = 5 * 1024 * 1024


@pytest.fixture(params=["moto", "rclone"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each server in turn."""
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def bucket(server: Server) -> str:
    return server.new_bucket()


@pytest.fixture
def store(server: Server, bucket: str) -> R2Store:
    return R2Store(server.settings(bucket))


@pytest.fixture
def moto_bucket(moto: Server) -> str:
    return moto.new_bucket()


@pytest.fixture
def moto_store(moto: Server, moto_bucket: str) -> R2Store:
    return R2Store(moto.settings(moto_bucket))


@pytest.fixture
def parts_of_five_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest parts that S3 takes."""
    monkeypatch.setattr(r2, "SINGLE_PUT_BYTES", FIVE_MIB)
    monkeypatch.setattr(multipart, "PART_BYTES", FIVE_MIB)


def _large(path: Path) -> VerifiedFile:
    """Two whole parts and a short one, no byte of which is where another part has it."""
    return verified(
        path, weights=b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(2 * FIVE_MIB // 32 + 1))
    )


def _body(server: Server, bucket: str, key: str = KEY) -> bytes:
    """What another client reads."""
    return server.client().get_object(Bucket=bucket, Key=key)["Body"].read()


@pytest.mark.usefixtures("parts_of_five_mib")
@pytest.mark.parametrize("size", ["one PUT", "three parts"])
def test_a_file_arrives_whole_with_its_digest_and_size(
    server: Server, bucket: str, store: R2Store, tmp_path: Path, size: str
) -> None:
    file = verified(tmp_path / "alpha") if size == "one PUT" else _large(tmp_path / "alpha")
    sent: list[int] = []
    assert store.put_file(file, KEY, sent.append)
    shown = server.client().head_object(Bucket=bucket, Key=KEY)
    assert hashlib.sha256(_body(server, bucket)).hexdigest() == file.sha256.hex
    assert {name.lower(): value for name, value in shown["Metadata"].items() if name.lower() in ("sha256", "size")} == {
        "sha256": file.sha256.hex,
        "size": str(file.size_bytes),
    }
    assert store.head(KEY) == StoredObject(KEY, file.size_bytes, shown["ETag"], file.sha256)
    assert (sent[-1], sent) == (file.size_bytes, sorted(sent))
    assert len(sent) == (1 if size == "one PUT" else 4)


@pytest.mark.usefixtures("parts_of_five_mib")
def test_a_large_file_is_stored_in_equal_parts(
    moto: Server, moto_bucket: str, moto_store: R2Store, tmp_path: Path
) -> None:
    assert moto_store.put_file(_large(tmp_path / "alpha"), KEY, lambda _: None)
    client = moto.client()
    sizes = [client.head_object(Bucket=moto_bucket, Key=KEY, PartNumber=n)["ContentLength"] for n in (1, 2, 3)]
    assert sizes == [FIVE_MIB, FIVE_MIB, 32]


def test_any_range_of_a_file_is_read_whoever_put_it_there(server: Server, bucket: str, store: R2Store) -> None:
    weights = os.urandom(3_000_000)
    server.client().put_object(Bucket=bucket, Key=KEY, Body=weights)
    version = Version(KEY, len(weights))
    for start, end in ((0, len(weights)), (0, 1), (1_000_000, 2_500_001), (len(weights) - 7, len(weights))):
        piece = room_for(end - start)
        store.read_range(version, start, end - start, piece)
        assert piece.content == weights[start:end]
    received: list[int] = []
    assert store.sha256_of(KEY, received.append) == digest(weights)
    assert (received[-1], received) == (len(weights), sorted(received))


def test_a_range_is_of_the_version_that_was_met_first_or_of_none(
    moto: Server, moto_bucket: str, moto_store: R2Store
) -> None:
    first, second = Version(KEY, 5), Version(KEY, 5)
    for version, weights in ((first, b"first"), (second, b"other")):
        moto.client().put_object(Bucket=moto_bucket, Key=KEY, Body=weights)
        read = room_for(4)
        moto_store.read_range(version, 0, 4, read)
        assert read.content == weights[:4]
    with pytest.raises(StoreError) as refused:
        moto_store.read_range(first, 4, 1, room_for(1))
    assert refused.value.cause == "somebody replaced or removed it while it was read"
    moto.client().delete_object(Bucket=moto_bucket, Key=KEY)
    with pytest.raises(StoreError) as refused:
        moto_store.read_range(second, 4, 1, room_for(1))
    assert refused.value.cause == "somebody replaced or removed it while it was read"


def test_a_range_of_an_object_of_another_size_is_refused(server: Server, bucket: str, store: R2Store) -> None:
    server.client().put_object(Bucket=bucket, Key=KEY, Body=b"the weights")
    for size, start in ((10, 0), (12, 0), (20, 15)):  # the last asks for what lies behind its end
        with pytest.raises(IntegrityError) as refused:
            store.read_range(Version(KEY, size), start, size - start, room_for(size))
        assert refused.value.what == f"{KEY} is not what it should be"


def test_an_object_that_is_not_there_is_an_answer_when_asked_after_and_an_error_when_wanted(store: R2Store) -> None:
    assert store.head(KEY) is None
    assert store.objects(PREFIX) == {}
    assert store.read_document(KEY) == Document(b"", None)
    with pytest.raises(StoreError) as refused:
        store.sha256_of(KEY, lambda _: None)
    assert refused.value.what == f"the store did not give {KEY}"
    with pytest.raises(StoreError) as refused:
        store.read_range(Version(KEY, 5), 0, 5, room_for(5))
    assert (refused.value.cause, refused.value.next) == (
        "it is not there",
        "upload it again: make upload/toy",
    )


def test_a_listing_has_every_object_below_a_prefix_and_no_other(server: Server, bucket: str, store: R2Store) -> None:
    client = server.client()
    keys = [f"{PREFIX}/toy/{name}" for name in ("a.bin", "b c.bin", "é+&.bin", "deep/d.bin")]
    for key in [*keys, f"{PREFIX}/toys/e.bin", f"{PREFIX}/other/toy/f.bin"]:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    found = store.objects(f"{PREFIX}/toy/")
    assert {key: one.size_bytes for key, one in found.items()} == {key: len(key.encode()) for key in keys}
    etags = {one["Key"]: one["ETag"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]}
    assert {key: one.etag for key, one in found.items()} == {key: etags[key] for key in keys}


def test_a_listing_goes_on_after_a_thousand_objects(moto: Server, moto_bucket: str, moto_store: R2Store) -> None:
    client = moto.client()
    keys = [f"{PREFIX}/toy/{number:04}.bin" for number in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=moto_bucket, Key=key, Body=b"w"), keys))
    assert list(moto_store.objects(f"{PREFIX}/toy/")) == keys


@pytest.mark.usefixtures("parts_of_five_mib")
@pytest.mark.parametrize("size", ["one PUT", "three parts"])
def test_the_same_bytes_again_leave_what_is_there_as_it_is(
    moto: Server, moto_bucket: str, moto_store: R2Store, tmp_path: Path, size: str
) -> None:
    file = verified(tmp_path / "alpha") if size == "one PUT" else _large(tmp_path / "alpha")
    client, theirs = moto.client(), {"sha256": file.sha256.hex, "who": "somebody else"}
    client.put_object(Bucket=moto_bucket, Key=KEY, Body=file.path.read_bytes(), Metadata=theirs)
    assert not moto_store.put_file(file, KEY, lambda _: None)
    assert client.head_object(Bucket=moto_bucket, Key=KEY)["Metadata"] == theirs


@pytest.mark.usefixtures("parts_of_five_mib")
def test_an_upload_that_came_too_late_leaves_no_parts_behind(
    moto: Server, moto_bucket: str, moto_store: R2Store, tmp_path: Path
) -> None:
    file = _large(tmp_path / "alpha")
    assert moto_store.put_file(file, KEY, lambda _: None)
    assert not moto_store.put_file(file, KEY, lambda _: None)
    # R2 aborts what it refuses to complete; others keep the parts, and somebody pays for them.
    assert moto.client().list_multipart_uploads(Bucket=moto_bucket).get("Uploads", []) == []


@pytest.mark.usefixtures("parts_of_five_mib")
@pytest.mark.parametrize("size", ["one PUT", "three parts"])
def test_another_file_is_never_written_over_what_is_there(
    moto: Server, moto_bucket: str, moto_store: R2Store, tmp_path: Path, size: str
) -> None:
    theirs = content("theirs")
    moto.client().put_object(Bucket=moto_bucket, Key=KEY, Body=theirs)
    file = verified(tmp_path / "alpha") if size == "one PUT" else _large(tmp_path / "alpha")
    with pytest.raises(IntegrityError) as refused:
        moto_store.put_file(file, KEY, lambda _: None)
    assert refused.value.what == "toy/alpha stands in the store as something else"
    assert _body(moto, moto_bucket) == theirs


def test_an_object_without_our_metadata_is_compared_by_its_bytes(
    moto: Server, moto_bucket: str, moto_store: R2Store, tmp_path: Path
) -> None:
    file = verified(tmp_path / "alpha")
    moto.client().put_object(Bucket=moto_bucket, Key=KEY, Body=WEIGHTS)
    moto_store.holds(file, KEY)
    moto.client().put_object(Bucket=moto_bucket, Key=KEY, Body=WEIGHTS.swapcase())
    with pytest.raises(IntegrityError):
        moto_store.holds(file, KEY)


def test_a_wrong_secret_is_told_from_everything_else(rclone: Server) -> None:
    bucket = rclone.new_bucket()
    for changed in ({"AWS_SECRET_ACCESS_KEY": "another-secret"}, {"AWS_ACCESS_KEY_ID": "another-key"}):
        with pytest.raises(StoreError) as refused:
            R2Store(rclone.settings(bucket, **changed)).read_document(KEY)
        assert refused.value.what == f"the store did not give {KEY}"
        assert refused.value.cause.startswith(f"{rclone.url} refuses the credentials (")
        assert refused.value.next == (
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must be of one token, and of this account"
        )


def test_a_bucket_that_is_not_there_is_told_from_everything_else(server: Server, tmp_path: Path) -> None:
    store = R2Store(server.settings("no-such-bucket"))
    asked: dict[str, Callable[[], object]] = {
        f"give {KEY}": lambda: store.read_document(KEY),
        f"list {PREFIX}": lambda: store.objects(PREFIX),
        f"take {KEY}": lambda: store.put_file(verified(tmp_path / "alpha"), KEY, lambda _: None),
    }
    for doing, ask in asked.items():
        with pytest.raises(StoreError) as refused:
            ask()
        assert str(refused.value) == (
            f"error: the store did not {doing}\n"
            f"cause: there is no bucket 'no-such-bucket' at {server.url}\n"
            "next: create it, or set WEIGHTDOCK_BUCKET to the one that exists"
        )


def test_a_port_on_which_nobody_listens_is_told_within_thirty_seconds() -> None:
    nobody = Server("nobody", refusing())
    started = time.monotonic()
    with pytest.raises(StoreError) as refused:
        R2Store(nobody.settings("bucket")).read_document(KEY)
    assert time.monotonic() - started < 30
    assert refused.value.cause.startswith(f"{nobody.url} cannot be reached: could not connect (")


HURRIED = """
from weightdock import cli
from weightdock.store import endpoint
endpoint.READ_SECONDS = 2
cli.main(["fetch"])
"""


def test_a_server_that_never_answers_is_given_up_after_one_time_out(tmp_path: Path) -> None:
    assert endpoint.CONNECT_SECONDS + endpoint.READ_SECONDS <= 30, "what is promised; here it is two seconds"
    with silent() as listening:
        nobody = Server("nobody", listening.url)
        started = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "-c", HURRIED],
            env=environment(nobody.environment("bucket")),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=35,
            check=False,
        )
        assert time.monotonic() - started < 6
    assert (ran.returncode, ran.stdout) == (5, "")
    assert ran.stderr.splitlines()[1].startswith(f"cause: {listening.url} cannot be reached: no answer within 2 s")
