"""The double verifies SigV4 for real: what botocore signs it accepts, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from support.r2_asking import NAME, ask, refused, send, signed
from support.r2_bench import Bench
from support.r2_double import Key
from support.servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (Key(ACCESS_KEY_ID, "a-wrong-secret"), 403, "SignatureDoesNotMatch"),
        (Key("a-stranger", SECRET_ACCESS_KEY), 401, "Unauthorized"),
        (Key(ACCESS_KEY_ID, SECRET_ACCESS_KEY, session_token="one-too-many"), 401, "Unauthorized"),
    ],
)
def test_wrong_keys_are_refused(r2: Bench, key: Key, status: int, code: str) -> None:
    refused(f"{status} {code}", r2, "put_object", by=r2.client(key), Body=b"weights")
    refused(f"{status} {status}", r2, "head_object", by=r2.client(key))
    assert r2.keys() == []


@pytest.mark.parametrize("key", ["with space+plus", "ünï/cødé", "a=b&c?d#e%41", "~tilde.-_", "a//b", NAME])
def test_right_signatures_are_right_for_any_key(r2: Bench, key: str) -> None:
    ask(r2, "put_object", Key=key, Body=b"weights", Metadata={"sha256": "two  blanks"})
    assert ask(r2, "get_object", Key=key)["Body"].read() == b"weights"
    listed = ask(r2, "list_objects_v2", Prefix=key[:3], Delimiter="|")
    assert [one["Key"] for one in listed["Contents"]] == [key]


def test_a_request_without_a_signature_is_refused(r2: Bench) -> None:
    assert "Unauthorized" in send(r2, "GET", {})
    assert "InvalidArgument" in send(r2, "GET", {"Authorization": "Basic abc"})


def test_a_request_that_was_changed_on_the_way_is_refused(r2: Bench) -> None:
    headers = signed(r2, "PUT", b"weights", Content_Type="text/plain")
    assert "SignatureDoesNotMatch" in send(r2, "PUT", headers | {"Content-Type": "text/html"}, b"weights")
    assert "SignatureDoesNotMatch" in send(r2, "PUT", headers, b"weights", query="?partNumber=1")
    assert "SignatureDoesNotMatch" in send(r2, "DELETE", headers)
    assert "not signed: x-amz-meta-sha256" in send(r2, "PUT", headers | {"x-amz-meta-sha256": "a lie"}, b"weights")
    assert send(r2, "PUT", headers, b"weights").startswith("200 ")


def test_a_request_of_long_ago_is_refused(r2: Bench) -> None:
    old = (datetime.now(UTC) - timedelta(minutes=16)).strftime("%Y%m%dT%H%M%SZ")
    assert "RequestTimeTooSkewed" in send(r2, "PUT", signed(r2, "PUT", b"x") | {"X-Amz-Date": old}, b"x")
    assert "x-amz-date" in send(r2, "PUT", signed(r2, "PUT", b"x") | {"X-Amz-Date": "yesterday"}, b"x")
    assert r2.keys() == []
