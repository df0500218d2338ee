"""R2's rules for what becomes an object, by their numbers in facts.md: parts, conditional writes, ETags."""

from __future__ import annotations

import hashlib

from support.r2_asking import NAME, ask, refused, send, signed, upload_parts
from support.r2_bench import Bench
from support.r2_double import commit_rules
from support.r2_double.record import Entry

PART = 5 * 1024 * 1024


def last(r2: Bench) -> Entry:
    return r2.double.record.entries()[-1]


def unfinished(r2: Bench) -> int:
    return len(r2.behind.client().list_multipart_uploads(Bucket=r2.bucket).get("Uploads", []))


def test_rule_3_parts_are_equal_but_for_a_smaller_last_one(r2: Bench) -> None:
    r2.double.limit(writes_per_second=0)
    refused("400 InvalidPart", r2, "complete_multipart_upload", **upload_parts(r2, PART, PART + 1, 10))
    assert last(r2).refused_by == commit_rules.parts_are_equal.__name__
    refused("400 InvalidPart", r2, "complete_multipart_upload", **upload_parts(r2, PART, PART + 1))
    ask(r2, "complete_multipart_upload", **upload_parts(r2, PART, PART, 10))
    assert len(r2.content(NAME)) == 2 * PART + 10


def test_rule_3_parts_are_5_mib_at_least_but_for_the_last(r2: Bench) -> None:
    r2.double.limit(writes_per_second=0)
    refused("400 EntityTooSmall", r2, "complete_multipart_upload", **upload_parts(r2, PART - 1, PART - 1))
    ask(r2, "complete_multipart_upload", **upload_parts(r2, 10))
    assert r2.content(NAME) == b"\1" * 10


def test_rule_3_there_are_10_000_parts_at_most_in_ascending_order_and_each_was_sent(r2: Bench) -> None:
    r2.double.limit(writes_per_second=0)
    upload = upload_parts(r2, 10)["UploadId"]

    def complete_with(answer: str, *numbers: int) -> None:
        parts = {"Parts": [{"PartNumber": number, "ETag": '"e"'} for number in numbers]}
        refused(answer, r2, "complete_multipart_upload", UploadId=upload, MultipartUpload=parts)

    complete_with("400 InvalidArgument", *range(1, 10_002))
    complete_with("400 InvalidPartOrder", 1, 1)
    complete_with("400 InvalidPart", 1, 2)
    for number in (0, 10_001):
        refused("400 InvalidArgument", r2, "upload_part", UploadId=upload, PartNumber=number, Body=b"x")


def test_rule_3_a_body_has_5_gib_at_most(r2: Bench) -> None:
    r2.double.limit(max_body_bytes=100)
    refused("400 EntityTooLarge", r2, "put_object", Body=bytes(101))
    ask(r2, "put_object", Body=bytes(100))


def test_rule_3_an_unfinished_upload_expires(quick_r2: Bench) -> None:
    upload = upload_parts(quick_r2, 2000, 10)
    assert quick_r2.double.expire_uploads("other.pth") == 0
    assert quick_r2.double.expire_uploads(NAME) == 1
    for operation, more in (
        ("list_parts", {}),
        ("upload_part", {"PartNumber": 3, "Body": b"x"}),
        ("complete_multipart_upload", {"MultipartUpload": upload["MultipartUpload"]}),
        ("abort_multipart_upload", {}),
    ):
        refused("404 NoSuchUpload", quick_r2, operation, UploadId=upload["UploadId"], **more)
    assert unfinished(quick_r2) == 0


def test_rule_3_a_completed_upload_is_gone_and_does_not_complete_again(quick_r2: Bench) -> None:
    upload = upload_parts(quick_r2, 2000, 10)
    ask(quick_r2, "complete_multipart_upload", **upload)
    refused("404 NoSuchUpload", quick_r2, "complete_multipart_upload", **upload)


def test_rule_4_put_object_if_none_match(quick_r2: Bench) -> None:
    ask(quick_r2, "put_object", Body=b"first", IfNoneMatch="*")
    refused("412 PreconditionFailed", quick_r2, "put_object", Body=b"second", IfNoneMatch="*")
    assert last(quick_r2).refused_by == commit_rules.condition_holds.__name__
    assert quick_r2.content(NAME) == b"first"


def test_rule_4_put_object_if_match(quick_r2: Bench) -> None:
    refused("412 PreconditionFailed", quick_r2, "put_object", Body=b"first", IfMatch='"e"')
    etag = ask(quick_r2, "put_object", Body=b"first")["ETag"]
    ask(quick_r2, "put_object", Body=b"second", IfMatch=etag)
    refused("412 PreconditionFailed", quick_r2, "put_object", Body=b"third", IfMatch=etag)
    assert quick_r2.content(NAME) == b"second"


def test_rule_4_complete_multipart_upload_and_its_failure_aborts_the_upload(quick_r2: Bench) -> None:
    first, second = upload_parts(quick_r2, 2000, 10), upload_parts(quick_r2, 3000, 10)
    ask(quick_r2, "complete_multipart_upload", **first, IfNoneMatch="*")
    refused("412 PreconditionFailed", quick_r2, "complete_multipart_upload", **second, IfNoneMatch="*")
    refused("404 NoSuchUpload", quick_r2, "complete_multipart_upload", **second)
    etag = ask(quick_r2, "head_object")["ETag"]
    third, fourth = upload_parts(quick_r2, 4000), upload_parts(quick_r2, 5000)
    ask(quick_r2, "complete_multipart_upload", **third, IfMatch=etag)
    refused("412 PreconditionFailed", quick_r2, "complete_multipart_upload", **fourth, IfMatch=etag)
    assert len(quick_r2.content(NAME)) == 4000
    assert unfinished(quick_r2) == 0


def test_rule_4_create_multipart_upload_takes_conditions_which_boto3_cannot_say(quick_r2: Bench) -> None:
    ask(quick_r2, "put_object", Body=b"first")
    headers = signed(quick_r2, "POST", query="?uploads=", If_None_Match="*")
    assert send(quick_r2, "POST", headers, query="?uploads=").startswith("412 ")
    assert unfinished(quick_r2) == 0
    ask(quick_r2, "delete_object")
    assert send(quick_r2, "POST", headers, query="?uploads=").startswith("200 ")


def test_rule_5_the_etag_of_a_multipart_object_is_no_digest_of_its_content(quick_r2: Bench) -> None:
    ask(quick_r2, "complete_multipart_upload", **upload_parts(quick_r2, 2000, 10))
    etag = ask(quick_r2, "head_object")["ETag"]
    assert etag.endswith('-2"')
    assert hashlib.md5(quick_r2.content(NAME)).hexdigest() not in etag
