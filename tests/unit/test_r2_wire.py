"""What goes over the wire to R2, and what is made of its refusals: asked of a server that answers as scripted."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from support.fake_time import Time
from support.samples import content, digest, verified
from support.scripted_server import Answer, Request, Script, refusing, scripted
from support.servers import Server, read
from weightdock.artifact import ObjectKey
from weightdock.errors import IntegrityError, StoreError
from weightdock.store import Document, StoredObject, multipart, r2
from weightdock.store.pace import Pace
from weightdock.store.r2 import R2Store

KEY = ObjectKey("models/pretrained/toy/alpha.bin")
WEIGHTS = content("alpha")
FOUND = StoredObject(KEY, len(WEIGHTS), '"the version"')
SECRET = "a-secret-that-shows-nowhere"
OK = Answer()
BEGUN = Answer(body=b"<InitiateMultipartUploadResult><UploadId>the-upload</UploadId></InitiateMultipartUploadResult>")
COMPLETED = Answer(body=b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')


def _store(url: str) -> R2Store:
    environment = Server("scripted", url).environment("weights", AWS_SECRET_ACCESS_KEY=SECRET)
    time = Time()
    return R2Store(read(environment), Pace(sleep=time.sleep, clock=time.clock))


def _refusal(status: int, code: str, message: str = "said the store") -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Answer(status, headers=(("Content-Type", "application/xml"),), body=body)


def _lines(script: Script) -> list[str]:
    return [request.line for request in script.requests]


def _described(request: Request) -> dict[str, str]:
    """The headers that say what to do with an object."""
    saying = ("if-", "x-amz-meta-", "content-md5", "content-type")
    return {name: value for name, value in request.headers.items() if name.startswith(saying)}


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 8 bytes go in parts of 8, one after the other."""
    monkeypatch.setattr(r2, "SINGLE_PUT_BYTES", 8)
    monkeypatch.setattr(multipart, "PART_BYTES", 8)
    monkeypatch.setattr(multipart, "_WORKERS", 1)


def test_a_small_file_is_one_conditional_put_that_carries_its_digest(tmp_path: Path) -> None:
    with scripted(OK) as script:
        sent: list[int] = []
        assert _store(script.url).put_file(verified(tmp_path / "alpha"), KEY, sent.append)
    [put] = script.requests
    assert put.line == f"PUT /weights/{KEY}"
    assert put.body == WEIGHTS
    assert put.headers["x-amz-content-sha256"] == digest(WEIGHTS).hex  # what the store compares on arrival
    assert _described(put) == {
        "if-none-match": "*",
        "x-amz-meta-sha256": digest(WEIGHTS).hex,
        "x-amz-meta-size": str(len(WEIGHTS)),
    }
    assert sent == [len(WEIGHTS)]


@pytest.mark.usefixtures("small_parts")
def test_a_large_file_goes_in_equal_parts_with_their_md5_and_is_completed_conditionally(tmp_path: Path) -> None:
    with scripted(BEGUN, OK, OK, OK, COMPLETED) as script:
        sent: list[int] = []
        assert _store(script.url).put_file(verified(tmp_path / "alpha"), KEY, sent.append)
    begin, *parts, complete = script.requests
    assert _lines(script) == [
        f"POST /weights/{KEY}?uploads",
        *(f"PUT /weights/{KEY}?uploadId=the-upload&partNumber={number}" for number in (1, 2, 3)),
        f"POST /weights/{KEY}?uploadId=the-upload",
    ]
    assert _described(begin) == {"x-amz-meta-sha256": digest(WEIGHTS).hex, "x-amz-meta-size": str(len(WEIGHTS))}
    chunks = [WEIGHTS[:8], WEIGHTS[8:16], WEIGHTS[16:]]
    assert [part.body for part in parts] == chunks
    assert [_described(part) for part in parts] == [{"content-md5": _md5(chunk)} for chunk in chunks]
    assert _described(complete)["if-none-match"] == "*"
    assert complete.body.count(b"<Part>") == 3
    assert sent == [8, 16, len(WEIGHTS), len(WEIGHTS)]


@pytest.mark.usefixtures("small_parts")
def test_nothing_goes_out_that_r2_does_not_understand(tmp_path: Path) -> None:
    with scripted(BEGUN, OK, OK, OK, COMPLETED, OK) as script:
        store = _store(script.url)
        store.put_file(verified(tmp_path / "alpha"), KEY, lambda _: None)
        store.put_file(verified(tmp_path / "small", weights=b"small"), KEY, lambda _: None)
        store.write_document(KEY, b"{}", None)
    names = {name for request in script.requests for name in request.headers}
    # https://developers.cloudflare.com/r2/api/s3/api/: no checksum trailers, no Expect: 100-continue
    assert not {name for name in names if "checksum" in name or "trailer" in name or name in ("expect", "te")}
    assert {request.headers.get("transfer-encoding") for request in script.requests} == {None}
    assert not {
        request.headers["x-amz-content-sha256"] for request in script.requests if "STREAMING" in str(request.headers)
    }
    assert all("/auto/s3/aws4_request" in request.headers["authorization"] for request in script.requests)
    assert not [request for request in script.requests if SECRET in str(request)]


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_is_refused_fails_the_upload_and_is_named(tmp_path: Path) -> None:
    with scripted(BEGUN, OK, _refusal(403, "AccessDenied")) as script, pytest.raises(StoreError) as refused:
        _store(script.url).put_file(verified(tmp_path / "alpha"), KEY, lambda _: None)
    assert refused.value.what == f"the store did not take part 2 of {KEY}"


@pytest.mark.parametrize("code", ["PreconditionFailed", "412"])
def test_who_loses_the_race_compares_what_stands_there(tmp_path: Path, code: str) -> None:
    stands = Answer(headers=(("ETag", '"e"'), ("x-amz-meta-sha256", digest(WEIGHTS).hex)), promised_bytes=len(WEIGHTS))
    with scripted(_refusal(412, "PreconditionFailed"), stands) as script:
        assert not _store(script.url).put_file(verified(tmp_path / "alpha"), KEY, lambda _: None)
    assert _lines(script) == [f"PUT /weights/{KEY}", f"HEAD /weights/{KEY}"]


@pytest.mark.parametrize(
    ("sha256", "size", "cause"),
    [
        (
            digest(b"other").hex,
            len(WEIGHTS),
            f"{KEY} has sha256 {digest(b'other')}, this file sha256 {digest(WEIGHTS)}",
        ),
        (digest(WEIGHTS).hex, 5, f"{KEY} has another size, this file sha256 {digest(WEIGHTS)}"),
    ],
)
def test_an_object_that_is_something_else_is_named_and_not_overwritten(
    tmp_path: Path, sha256: str, size: int, cause: str
) -> None:
    stands = Answer(headers=(("ETag", '"e"'), ("x-amz-meta-sha256", sha256)), promised_bytes=size)
    with scripted(stands) as script, pytest.raises(IntegrityError) as refused:
        _store(script.url).holds(verified(tmp_path / "alpha"), KEY)
    assert str(refused.value) == (
        f"error: toy/alpha stands in the store as something else\ncause: {cause}\n"
        "next: nothing was overwritten; find out who put it there"
    )


def test_an_object_that_carries_no_digest_is_read_to_compare_it(tmp_path: Path) -> None:
    shown = Answer(promised_bytes=len(WEIGHTS))
    with scripted(shown, Answer(body=WEIGHTS)) as script:
        _store(script.url).holds(verified(tmp_path / "alpha"), KEY)
    assert _lines(script) == [f"HEAD /weights/{KEY}", f"GET /weights/{KEY}"]


def test_a_document_is_written_only_over_what_was_read(tmp_path: Path) -> None:
    with scripted(
        Answer(body=b"{}", headers=(("ETag", '"v1"'),)), OK, OK, _refusal(412, "PreconditionFailed")
    ) as script:
        store = _store(script.url)
        assert store.read_document(KEY) == Document(b"{}", '"v1"')
        assert store.write_document(KEY, b"{1}", '"v1"')
        assert store.write_document(KEY, b"{2}", None)
        assert not store.write_document(KEY, b"{3}", '"v1"')
    assert [_described(request) for request in script.requests[1:]] == [
        {"content-md5": _md5(body), "content-type": "application/json", condition: etag}
        for body, condition, etag in [
            (b"{1}", "if-match", '"v1"'),
            (b"{2}", "if-none-match", "*"),
            (b"{3}", "if-match", '"v1"'),
        ]
    ]


def test_a_document_that_vanished_since_it_was_read_is_a_change_like_any_other(tmp_path: Path) -> None:
    with scripted(_refusal(404, "NoSuchKey")) as script:
        assert not _store(script.url).write_document(KEY, b"{}", '"v1"')


def test_an_absent_object_is_an_answer(tmp_path: Path) -> None:
    with scripted(Answer(404, headers=()), _refusal(404, "NoSuchKey")) as script:
        store = _store(script.url)
        assert store.head(KEY) is None
        assert store.read_document(KEY) == Document(b"", None)


def test_a_head_gives_size_etag_and_digest() -> None:
    sha256 = digest(WEIGHTS)
    with scripted(Answer(headers=(("ETag", '"e"'), ("X-Amz-Meta-Sha256", sha256.hex)), promised_bytes=20)) as script:
        assert _store(script.url).head(KEY) == StoredObject(KEY, 20, '"e"', sha256)


def test_an_answer_that_describes_no_object_is_said_to_be_none() -> None:
    with scripted(Answer(headers=(), body=b"hello")) as script:
        for ask in (_store(script.url).head, _store(script.url).read_document):
            with pytest.raises(StoreError) as refused:
                ask(KEY)
            assert refused.value.cause == (
                f"{script.url} is no S3 server, it seems: its answer with {KEY} has no size or no ETag"
            )


REFUSALS = {
    "wrong secret": (
        _refusal(403, "SignatureDoesNotMatch"),
        "{url} refuses the credentials (SignatureDoesNotMatch: said the store)",
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must be of one token, and of this account",
    ),
    "R2's word for it": (
        _refusal(401, "Unauthorized"),
        "{url} refuses the credentials (Unauthorized: said the store)",
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must be of one token, and of this account",
    ),
    "expired": (
        _refusal(400, "ExpiredToken"),
        "the credentials have expired (ExpiredToken: said the store)",
        "get new ones; AWS_SESSION_TOKEN belongs to them",
    ),
    "not allowed": (
        _refusal(403, "AccessDenied"),
        "the credentials may not do this in bucket 'weights' (AccessDenied: said the store)",
        "use a token that may: uploaders need Object Read & Write on the bucket, nodes Object Read only",
    ),
    "no bucket": (
        _refusal(404, "NoSuchBucket"),
        "there is no bucket 'weights' at {url}",
        "create it, or set WEIGHTDOCK_BUCKET to the one that exists",
    ),
    "overloaded": (
        _refusal(503, "SlowDown"),
        "{url} answered 503 (SlowDown: said the store)",
        "run again; what was finished is not repeated",
    ),
    "no words": (
        Answer(418, headers=()),
        "{url} answered 418 (418: I'm a Teapot)",
        "run again; what was finished is not repeated",
    ),
}


@pytest.mark.parametrize(("answer", "cause", "then"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_told_apart(answer: Answer, cause: str, then: str) -> None:
    with scripted(answer) as script, pytest.raises(StoreError) as refused:
        _store(script.url).objects("models/pretrained/toy/")
    assert str(refused.value) == (
        f"error: the store did not list models/pretrained/toy/\ncause: {cause.format(url=script.url)}\nnext: {then}"
    )
    assert SECRET not in str(refused.value)


def test_an_overloaded_store_is_asked_again() -> None:
    listed = Answer(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    with scripted(_refusal(503, "SlowDown"), Answer(500), listed) as script:
        assert _store(script.url).objects("models/") == {}
    assert len(script.requests) == 3


def test_an_unreachable_store_is_named() -> None:
    url = refusing()
    with pytest.raises(StoreError) as refused:
        _store(url).read_range(FOUND, 0, 5, bytearray().extend)
    assert str(refused.value) == (
        f"error: the store did not give {KEY}\n"
        f"cause: {url} cannot be reached: could not connect ([Errno 111] Connection refused)\n"
        "next: check AWS_S3_ENDPOINT_URL and the network between here and there"
    )


def test_an_object_that_is_cut_off_is_no_object_and_no_fault_of_the_settings() -> None:
    cut_off = Answer(body=WEIGHTS[:5], promised_bytes=len(WEIGHTS))
    with scripted(cut_off) as script, pytest.raises(StoreError) as refused:
        _store(script.url).read_range(FOUND, 0, len(WEIGHTS), bytearray().extend)
    assert refused.value.what == f"the store did not give {KEY}"
    assert "AWS_ settings" not in refused.value.next


def test_a_range_that_is_cut_off_is_gone_on_with_after_its_last_whole_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r2, "_PIECE_BYTES", 5)
    cut_off, piece = Answer(body=WEIGHTS[:7], promised_bytes=len(WEIGHTS)), bytearray()
    with scripted(cut_off, Answer(body=WEIGHTS[5:])) as script:
        _store(script.url).read_range(FOUND, 0, len(WEIGHTS), piece.extend)
    assert piece == WEIGHTS
    last = len(WEIGHTS) - 1
    assert [request.headers["range"] for request in script.requests] == [f"bytes=0-{last}", f"bytes=5-{last}"]
    assert {request.headers["if-match"] for request in script.requests} == {FOUND.etag}


@pytest.mark.parametrize("body", [WEIGHTS, WEIGHTS[:4]], ids=["all of it", "less"])
def test_a_server_that_gives_another_range_than_was_asked_for_is_not_believed(body: bytes) -> None:
    with scripted(Answer(body=body)) as script, pytest.raises(StoreError) as refused:
        _store(script.url).read_range(FOUND, 0, 5, bytearray().extend)
    assert refused.value.what == f"the store did not give {KEY}"


def test_an_object_is_hashed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r2, "_PIECE_BYTES", 8)
    received: list[int] = []
    with scripted(Answer(body=WEIGHTS)) as script:
        assert _store(script.url).sha256_of(KEY, received.append) == digest(WEIGHTS)
    assert received == [8, 16, len(WEIGHTS)]
