"""The double as a whole: with weightdock's store, over https, as a process of its own, under load, in little memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from support.fake_time import Time
from support.r2_asking import NAME, ask, refused, upload_parts
from support.r2_bench import KEY, QUICK, Bench, Place
from support.r2_double import (
    SLOW_DOWN,
    Expect,
    Key,
    Moment,
    Pause,
    R2Double,
    RemoteDouble,
    Truncate,
    When,
)
from support.samples import room_for
from support.servers import Server
from support.zero_store import zero_store
from weightdock.artifact import ModelId, ObjectKey
from weightdock.errors import IntegrityError, StoreError
from weightdock.store import Version, multipart, r2
from weightdock.store.pace import Pace
from weightdock.store.r2 import R2Store
from weightdock.verify import VerifiedFile, verify

if TYPE_CHECKING:
    from support.local_ca import Certificate

GIB = 1024**3
ALLOWED_BYTES = 96 * 1024 * 1024
CLIENTS = 8
UPLOADER = """
import sys
import boto3
from botocore.config import Config
from botocore.handlers import add_expect_header

config = Config(request_checksum_calculation="when_required", retries={"total_max_attempts": 1})
client = boto3.client("s3", region_name="auto", endpoint_url=sys.argv[1], config=config)
client.meta.events.unregister("before-call.s3", add_expect_header)
client.put_object(Bucket=sys.argv[2], Key=sys.argv[3], Body=bytes(21_000_000))  # more than the kernel buffers
"""


def a_file(folder: Path, size: int) -> VerifiedFile:
    path = folder / f"{size}.pth"
    path.write_bytes(os.urandom(size))
    return verify(ModelId.parse(f"toy/model-{size}"), path, [])


@pytest.fixture
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r2, "SINGLE_PUT_BYTES", 100_000)
    monkeypatch.setattr(multipart, "PART_BYTES", 30_000)


@pytest.fixture
def store(either_r2: Bench, tmp_path: Path) -> R2Store:
    return R2Store(either_r2.settings(WEIGHTDOCK_CACHE=str(tmp_path / "cache")))


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_somebody_wrote_to_since_it_was_verified_is_not_kept(
    either_r2: Bench, tmp_path: Path, known: bool
) -> None:
    """Where nobody knows what the file was, the store compares what arrives with the digest in the signature."""
    time = Time()
    store = R2Store(either_r2.settings(WEIGHTDOCK_CACHE=str(tmp_path)), Pace(sleep=time.sleep, clock=time.clock))
    file, key = a_file(tmp_path, 70_000), ObjectKey(NAME)
    file.path.write_bytes(os.urandom(70_000))
    with pytest.raises(StoreError) as refused:
        store.put_file(file if known else file._replace(identity=None), key, lambda _: None)
    assert ("somebody wrote to it" if known else "XAmzContentSHA256Mismatch") in refused.value.cause
    assert store.head(key) is None


@pytest.mark.usefixtures("small_thresholds")
@pytest.mark.parametrize(
    ("size", "operations"),
    [
        (70_000, ["PutObject"]),
        (100_000, ["PutObject"]),
        (100_001, ["CreateMultipartUpload", *["UploadPart"] * 4, "CompleteMultipartUpload"]),
        (120_000, ["CreateMultipartUpload", *["UploadPart"] * 4, "CompleteMultipartUpload"]),
    ],
)
def test_weightdock_s_store_keeps_the_rules(
    either_r2: Bench, store: R2Store, tmp_path: Path, size: int, operations: list[str]
) -> None:
    file, key = a_file(tmp_path, size), ObjectKey(NAME)
    assert store.put_file(file, key, lambda _: None)
    assert either_r2.double.record.operations() == operations
    found = store.head(key)
    assert found
    assert (found.size_bytes, found.sha256) == (size, file.sha256)
    back = room_for(size)
    store.read_range(Version(key, size), 0, size, back)
    assert back.content == file.path.read_bytes()
    assert store.sha256_of(key, lambda _: None) == file.sha256
    assert not store.put_file(file, key, lambda _: None)
    assert [*store.objects("models/")] == [NAME]
    # upload_is_open: what R2 aborts by itself after a failed condition is aborted once more, for servers that do not.
    assert {one.refused_by for one in either_r2.double.record.entries()} <= {"", "condition_holds", "upload_is_open"}
    with pytest.raises(IntegrityError):
        store.put_file(a_file(tmp_path, size + 1), key, lambda _: None)


def test_weightdock_s_store_swaps_a_document_only_where_nobody_was_faster(either_r2: Bench, store: R2Store) -> None:
    key = ObjectKey("models/pretrained/toy/manifest.json")
    assert store.write_document(key, b"first", replacing=None)
    assert not store.write_document(key, b"second", replacing=None)
    document = store.read_document(key)
    assert store.write_document(key, b"second", replacing=document.etag)
    assert not store.write_document(key, b"third", replacing=document.etag)
    assert either_r2.content(key) == b"second"


def test_weightdock_s_store_does_not_trust_another_authority(
    behind_r2: Server, certificate: Certificate, tmp_path: Path
) -> None:
    with R2Double(behind_r2.url, [KEY], certificate=certificate) as double:
        bench = Bench.of(double, behind_r2, "any", certificate.authority)
        store = R2Store(bench.settings(WEIGHTDOCK_CACHE=str(tmp_path), AWS_CA_BUNDLE=""))
        with pytest.raises(StoreError, match=r"(?i)certificate"):
            store.objects("models/")
    assert double.record.entries() == []


def test_eight_clients_create_one_object_once(quick_r2: Bench) -> None:
    def create(number: int) -> int:
        try:
            ask(quick_r2, "put_object", Body=bytes([number]) * 100_000, IfNoneMatch="*")
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = list(pool.map(create, range(CLIENTS)))
    assert sorted(statuses) == [200, *[412] * (CLIENTS - 1)]
    assert quick_r2.content(NAME) == bytes([statuses.index(200)]) * 100_000


def test_eight_clients_complete_one_object_once(quick_r2: Bench) -> None:
    uploads = [upload_parts(quick_r2, 2000, 10 + number) for number in range(CLIENTS)]

    def complete(upload: dict[str, Any]) -> int:
        try:
            ask(quick_r2, "complete_multipart_upload", **upload, IfNoneMatch="*")
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = list(pool.map(complete, uploads))
    assert sorted(statuses) == [200, *[412] * (CLIENTS - 1)]
    assert len(quick_r2.content(NAME)) == 2010 + statuses.index(200)


def test_eight_clients_are_under_way_at_once_and_each_gets_its_own(quick_r2: Bench) -> None:
    pauses = [Pause() for _ in range(CLIENTS)]
    for number, pause in enumerate(pauses):
        quick_r2.double.inject(pause, When(operation="PutObject", key=f".{number}"))

    def there_and_back(number: int) -> bool:
        body = bytes([number]) * (100_000 + number)
        client = quick_r2.client()
        ask(quick_r2, "put_object", by=client, Key=f"model.{number}", Body=body)
        return bool(ask(quick_r2, "get_object", by=client, Key=f"model.{number}")["Body"].read() == body)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = pool.map(there_and_back, range(CLIENTS))
        assert all(pause.arrived.wait(30) for pause in pauses)
        for pause in pauses:
            pause.released.set()
        assert all(answers)
    assert quick_r2.double.record.peak("PutObject") == CLIENTS


def test_the_double_stands_in_front_of_rclone_as_well(rclone: Server) -> None:
    with R2Double(rclone.url, [KEY], QUICK) as double:
        bench = Bench.of(double, rclone)
        ask(bench, "put_object", Body=b"first", IfNoneMatch="*")
        refused("412 PreconditionFailed", bench, "put_object", Body=b"second", IfNoneMatch="*")
        refused("400 InvalidPart", bench, "complete_multipart_upload", **upload_parts(bench, 2000, 2001))
        assert bench.content(NAME) == b"first"


@pytest.mark.parametrize("secure", [False, True])
def test_a_double_in_another_process_is_set_and_asked_from_here(
    behind_r2: Server, certificate: Certificate, secure: bool
) -> None:
    made = certificate if secure else None
    with RemoteDouble(behind_r2.url, [KEY], QUICK, certificate=made) as double:
        bench = Place(double.url, behind_r2, behind_r2.new_bucket(), made.authority if made else None)
        assert double.url.startswith("https:" if secure else "http:")
        burst = double.inject(SLOW_DOWN, When(operation="PutObject", nth=2))
        ask(bench, "put_object", Body=b"weights")
        refused("503 SlowDown", bench, "put_object", Body=b"weights")
        assert burst.struck == 1
        double.inject(Truncate(3), When(method="GET"))
        assert ask(bench, "get_object")["Body"].read(3) == b"wei"
        assert [one.status for one in double.record.entries()] == [200, 503, 200]
        assert (double.record.billed("A"), double.record.billed("B")) == (2, 1)

        upload = upload_parts(bench, 10)
        assert double.expire_uploads(NAME) == 1
        refused("404 NoSuchUpload", bench, "complete_multipart_upload", **upload)
        double.limit(max_metadata_bytes=1, expect=Expect.IGNORE)
        refused("400 MetadataTooLarge", bench, "put_object", Body=b"weights", Metadata={"a": "1"})
        double.set_key(Key(KEY.access_key_id, KEY.secret_access_key, read_only=True))
        refused("403 AccessDenied", bench, "put_object", Body=b"weights")
        double.ask("DELETE", "record")
        assert double.record.entries() == []


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.BODY, Moment.AFTER])
def test_an_uploader_can_be_killed_at_the_moment_from_another_process(behind_r2: Server, moment: Moment) -> None:
    with RemoteDouble(behind_r2.url, [KEY], QUICK) as double:
        bench = Place(double.url, behind_r2, behind_r2.new_bucket())
        pause = double.inject(Pause(moment=moment, after_bytes=300_000), When(operation="PutObject"))
        command = [sys.executable, "-c", UPLOADER, double.url, bench.bucket, NAME]
        with subprocess.Popen(command, env=os.environ | bench.environment()) as uploader:
            pause.wait_until_arrived()
            uploader.send_signal(signal.SIGKILL)
        pause.release()
        assert uploader.returncode == -signal.SIGKILL
        assert bench.keys() == ([NAME] if moment is Moment.AFTER else [])


def test_a_body_of_a_gib_passes_both_ways_in_little_memory(tmp_path: Path) -> None:
    sparse = tmp_path / "model.pth"
    with sparse.open("wb") as stream:
        stream.truncate(GIB)
    with zero_store() as behind, RemoteDouble(behind, [KEY]) as double:
        client = Place(double.url, Server("zero", behind), "bucket").client(read_timeout=60)
        with sparse.open("rb") as stream:
            client.put_object(Bucket="bucket", Key=NAME, Body=stream, Metadata={"sha256": "x"})
        received = sum(map(len, client.get_object(Bucket="bucket", Key=NAME)["Body"].iter_chunks(1024 * 1024)))
        put, get = double.record.entries()
        assert received == put.bytes_in == get.bytes_out == GIB
        assert client.head_object(Bucket="bucket", Key=NAME)["Metadata"] == {"sha256": "x"}
        status = Path(f"/proc/{double.pid}/status").read_text(encoding="utf-8")
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak
        assert int(peak[1]) * 1024 < ALLOWED_BYTES
