"""Each rule of R2, by its number in facts.md, refuses what R2 refuses and lets the rest through: with real boto3."""

from __future__ import annotations

import base64
import hashlib
import io
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from support.r2_asking import NAME, ask, refused, send, signed, upload_parts
from support.r2_bench import KEY, Bench
from support.r2_double import Expect, Key, R2Double, rules
from support.r2_double.record import Entry
from support.servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

FALSE_MD5 = base64.b64encode(hashlib.md5(b"something else").digest()).decode()


def by_default(r2: Bench, config: Config | None = None) -> S3Client:
    """boto3 as it comes, but for second attempts."""
    return boto3.client(
        "s3",
        region_name="auto",
        endpoint_url=r2.url,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        config=config or Config(retries={"total_max_attempts": 1}),
    )


def without_checksums(r2: Bench, read_timeout: int = 5) -> S3Client:
    """boto3 as it is often set up for R2: it still expects to be told to continue."""
    return by_default(
        r2,
        Config(
            request_checksum_calculation="when_required",
            read_timeout=read_timeout,
            retries={"total_max_attempts": 1},
        ),
    )


def last(r2: Bench) -> Entry:
    return r2.double.record.entries()[-1]


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_rule_1_the_region_is_auto(r2: Bench, region: str) -> None:
    refused("400 InvalidRegionName", r2, "put_object", by=r2.client(region=region), Body=b"weights")
    assert last(r2).refused_by == rules.region_is_auto.__name__
    assert r2.keys() == []


def test_rule_2_the_checksums_that_boto3_adds_by_default_are_not_implemented(r2: Bench) -> None:
    r2.double.limit(expect=Expect.IGNORE)
    refused("501 NotImplemented", r2, "put_object", by=by_default(r2), Body=b"weights")
    assert last(r2).refused_by == rules.no_checksums.__name__
    refused("501 NotImplemented", r2, "create_multipart_upload", by=by_default(r2), ChecksumAlgorithm="CRC32")
    refused("501 NotImplemented", r2, "put_object", Body=b"weights", ChecksumSHA256="x")
    assert r2.keys() == []


def test_rule_2_delete_objects_has_a_checksum_whatever_the_settings_and_cannot_be_used(r2: Bench) -> None:
    client = r2.client()
    client.put_object(Bucket=r2.bucket, Key=NAME, Body=b"weights")
    with pytest.raises(client.exceptions.ClientError, match="x-amz-checksum-crc32"):
        client.delete_objects(Bucket=r2.bucket, Delete={"Objects": [{"Key": NAME}]})
    assert r2.keys() == [NAME]


@pytest.mark.parametrize(
    "header",
    [
        {"X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
        {"X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
        {"Content-Encoding": "aws-chunked"},
        {"X-Amz-Trailer": "x-amz-something"},
    ],
)
def test_rule_2_trailers_and_chunked_bodies_are_not_implemented(r2: Bench, header: dict[str, str]) -> None:
    # The header is put in after signing, since botocore signs such only as it makes them.
    with R2Double(r2.behind.url, [KEY], without=[rules.signature_is_right.__name__]) as double:
        bench = Bench.of(double, r2.behind, r2.bucket)
        assert send(bench, "PUT", signed(bench, "PUT", b"weights") | header, b"weights").startswith("501 ")
        assert last(bench).refused_by == rules.no_trailers.__name__
    assert r2.keys() == []


def test_rule_6_one_write_a_second_per_key(r2: Bench) -> None:
    assert r2.double.limits.writes_per_second == 1
    r2.double.limit(writes_per_second=0.02)  # so that this machine is never too slow to be refused
    ask(r2, "put_object", Body=b"first")
    refused("429 TooManyRequests", r2, "put_object", Body=b"second")
    assert last(r2).refused_by == rules.one_write_a_second.__name__
    ask(r2, "put_object", Key=f"{NAME}.other", Body=b"another key")
    assert r2.content(NAME) == b"first"


def test_rule_6_who_waits_for_so_long_may_write_again(r2: Bench) -> None:
    r2.double.limit(writes_per_second=10)
    for body in (b"first", b"second"):
        ask(r2, "put_object", Body=body)
        time.sleep(1 / 10)
    assert r2.content(NAME) == b"second"


@pytest.mark.parametrize("body", [b"weights", io.BytesIO(b"weights")])
def test_rule_7_an_expectation_fails_loudly_and_boto3_has_one_by_default(r2: Bench, body: bytes | io.BytesIO) -> None:
    refused("417 ExpectationFailed", r2, "put_object", by=without_checksums(r2), Body=body)
    assert (last(r2).refused_by, last(r2).headers["expect"]) == (rules.no_expectation.__name__, "100-continue")
    ask(r2, "put_object", Body=body)
    assert "expect" not in last(r2).headers


def test_rule_7_an_expectation_that_is_ignored_costs_a_second(r2: Bench) -> None:
    r2.double.limit(expect=Expect.IGNORE)
    ask(r2, "put_object", by=without_checksums(r2), Body=b"weights")
    entry = last(r2)
    assert r2.content(NAME) == b"weights"
    assert entry.ended is not None
    assert entry.ended - entry.began > 0.9


def test_rule_7_an_expectation_can_hang_until_the_client_gives_up(r2: Bench) -> None:
    r2.double.limit(expect=Expect.HANG)
    with pytest.raises(ReadTimeoutError):
        ask(r2, "put_object", by=without_checksums(r2, read_timeout=1), Body=b"weights")
    assert r2.keys() == []


def test_rule_8_buckets_are_not_the_business_of_an_object_token(r2: Bench) -> None:
    client = r2.client()
    for forbidden in (
        lambda: client.head_bucket(Bucket=r2.bucket),
        lambda: client.create_bucket(Bucket="another"),
        lambda: client.list_buckets(),
    ):
        with pytest.raises(client.exceptions.ClientError):
            forbidden()
        assert (last(r2).status, last(r2).refused_by) == (403, rules.no_bucket_operations.__name__)
    refused("404 NoSuchBucket", r2, "put_object", Bucket="another", Body=b"weights")


def test_rule_9_every_operation_is_on_record_with_its_class(quick_r2: Bench) -> None:
    record = quick_r2.double.record
    ask(quick_r2, "complete_multipart_upload", **upload_parts(quick_r2, 2000, 10))
    ask(quick_r2, "put_object", Key="b", Body=b"1234")
    assert ask(quick_r2, "get_object", Key="b", Range="bytes=1-2")["Body"].read() == b"23"
    ask(quick_r2, "head_object", Key="b")
    ask(quick_r2, "list_objects_v2")
    ask(quick_r2, "delete_object", Key="b")
    assert record.operations() == [
        "CreateMultipartUpload",
        "UploadPart",
        "UploadPart",
        "CompleteMultipartUpload",
        "PutObject",
        "GetObject",
        "HeadObject",
        "ListObjects",
        "DeleteObject",
    ]
    assert (record.billed("A"), record.billed("B"), record.billed("free")) == (6, 2, 1)
    (get,) = record.entries("GetObject")
    assert (get.method, get.key, get.status, get.bytes_in, get.bytes_out) == ("GET", "b", 206, 0, 2)
    assert get.headers["range"] == "bytes=1-2"
    assert [one.bytes_in for one in record.entries("UploadPart", key=NAME)] == [2000, 10]


def test_rule_9_what_is_refused_is_billed_but_for_401(quick_r2: Bench) -> None:
    refused("401 Unauthorized", quick_r2, "put_object", by=quick_r2.client(Key("a-stranger", "s")), Body=b"x")
    refused("412 PreconditionFailed", quick_r2, "put_object", Body=b"x", IfMatch='"e"')
    assert quick_r2.double.record.billed("A") == 1


def test_rule_10_a_read_only_token_reads(quick_r2: Bench) -> None:
    node = Key("a-node", "its-secret", read_only=True)
    quick_r2.double.set_key(node)
    ask(quick_r2, "put_object", Body=b"weights")
    client = quick_r2.client(node)
    assert ask(quick_r2, "get_object", by=client)["Body"].read() == b"weights"
    refused("403 AccessDenied", quick_r2, "put_object", by=client, Body=b"x")
    refused("403 AccessDenied", quick_r2, "delete_object", by=client)
    refused("403 AccessDenied", quick_r2, "create_multipart_upload", by=client)


def test_rule_10_a_temporary_token_needs_its_session_and_expires(quick_r2: Bench) -> None:
    temporary = Key("for-an-hour", "its-secret", session_token="a-session")
    quick_r2.double.set_key(temporary)
    ask(quick_r2, "list_objects_v2", by=quick_r2.client(temporary))
    for session in (None, "another"):
        other = quick_r2.client(replace(temporary, session_token=session))
        refused("401 Unauthorized", quick_r2, "list_objects_v2", by=other)
    quick_r2.double.set_key(replace(temporary, expired=True))
    refused("400 ExpiredToken", quick_r2, "list_objects_v2", by=quick_r2.client(temporary))
    assert "a-session" not in repr(quick_r2.double.record.entries())


def test_rule_11_metadata_has_8_192_bytes_at_most(quick_r2: Bench) -> None:
    most, more = {"sha256": "x" * (8192 - 6)}, {"sha256": "x" * (8192 - 5)}
    ask(quick_r2, "put_object", Metadata=most)
    refused("400 MetadataTooLarge", quick_r2, "put_object", Metadata=more)
    refused("400 MetadataTooLarge", quick_r2, "create_multipart_upload", Metadata=more)
    assert ask(quick_r2, "head_object")["Metadata"] == most


def test_rule_12_a_wrong_content_md5_is_a_bad_digest_and_nothing_is_kept(quick_r2: Bench) -> None:
    large = bytes(1_000_000)
    for body in (b"", b"weights", large):
        refused("400 BadDigest", quick_r2, "put_object", Body=body, ContentMD5=FALSE_MD5)
    refused("400 InvalidDigest", quick_r2, "put_object", Body=large, ContentMD5="?")
    upload = upload_parts(quick_r2)["UploadId"]
    refused("400 BadDigest", quick_r2, "upload_part", UploadId=upload, PartNumber=1, Body=large, ContentMD5=FALSE_MD5)
    assert "Parts" not in ask(quick_r2, "list_parts", UploadId=upload)
    assert quick_r2.keys() == []
    right = base64.b64encode(hashlib.md5(large).digest()).decode()
    ask(quick_r2, "put_object", Body=large, ContentMD5=right)
    assert quick_r2.content(NAME) == large


def test_rule_12_a_body_of_another_sha256_is_refused_and_nothing_is_kept(quick_r2: Bench) -> None:
    answer = send(quick_r2, "PUT", signed(quick_r2, "PUT", b"weights"), b"WEIGHTS")
    assert answer.startswith("400 ")
    assert "XAmzContentSHA256Mismatch" in answer
    assert quick_r2.keys() == []


def test_a_body_of_unknown_length_is_refused(r2: Bench) -> None:
    assert "MissingContentLength" in send(r2, "PUT", signed(r2, "PUT", b"weights"), iter([b"weights"]))


def test_a_test_can_do_without_a_rule_by_its_name(r2: Bench) -> None:
    without = [rules.no_expectation.__name__, rules.no_checksums.__name__, rules.one_write_a_second.__name__]
    with R2Double(r2.behind.url, [KEY], without=without) as lenient:
        for body in (b"first", b"second"):
            by_default(Bench.of(lenient, r2.behind, r2.bucket)).put_object(Bucket=r2.bucket, Key=NAME, Body=body)
    assert r2.content(NAME) == b"second"
