"""What is made of R2's answers and refusals: of a server that answers as scripted."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.samples import digest, room_for
from support.scripted_server import Answer, refusing, scripted
from support.scripted_store import KEY, SECRET, WEIGHTS, refusal, store_at
from weightdock.errors import IntegrityError, StoreError
from weightdock.store import Document, StoredObject, Version, r2


def ranged(start: int, body: bytes, promised_bytes: int | None = None, size: int = len(WEIGHTS)) -> Answer:
    """Some bytes of an object, as S3 gives them."""
    where = ("Content-Range", f"bytes {start}-{start + (promised_bytes or len(body)) - 1}/{size}")
    return Answer(206, (("ETag", '"the version"'), where), body, promised_bytes)


def wanted() -> Version:
    return Version(KEY, len(WEIGHTS))


def test_an_absent_object_is_an_answer(tmp_path: Path) -> None:
    with scripted(Answer(404, headers=()), refusal(404, "NoSuchKey")) as script:
        store = store_at(script.url)
        assert store.head(KEY) is None
        assert store.read_document(KEY) == Document(b"", None)


def test_a_head_gives_size_etag_and_digest() -> None:
    sha256 = digest(WEIGHTS)
    for said in (sha256.hex, sha256.hex.upper()):
        with scripted(Answer(headers=(("ETag", '"e"'), ("X-Amz-Meta-Sha256", said)), promised_bytes=20)) as script:
            assert store_at(script.url).head(KEY) == StoredObject(KEY, 20, '"e"', sha256)


@pytest.mark.parametrize("said", ["", "x", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", "0" * 63])
def test_what_is_no_digest_in_an_objects_metadata_says_nothing(said: str) -> None:
    with scripted(Answer(headers=(("ETag", '"e"'), ("X-Amz-Meta-Sha256", said)), promised_bytes=20)) as script:
        assert store_at(script.url).head(KEY) == StoredObject(KEY, 20, '"e"')


def test_an_answer_that_describes_no_object_is_said_to_be_none() -> None:
    with scripted(Answer(headers=(), body=b"hello")) as script:
        for ask in (store_at(script.url).head, store_at(script.url).read_document):
            with pytest.raises(StoreError) as refused:
                ask(KEY)
            assert refused.value.cause == (
                f"{script.url} is no S3 server, it seems: its answer with {KEY} has no size or no ETag"
            )


REFUSALS = {
    "wrong secret": (
        refusal(403, "SignatureDoesNotMatch"),
        "{url} refuses the credentials (SignatureDoesNotMatch: said the store)",
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must be of one token, and of this account",
    ),
    "R2's word for it": (
        refusal(401, "Unauthorized"),
        "{url} refuses the credentials (Unauthorized: said the store)",
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must be of one token, and of this account",
    ),
    "expired": (
        refusal(400, "ExpiredToken"),
        "the credentials have expired (ExpiredToken: said the store)",
        "get new ones; AWS_SESSION_TOKEN belongs to them",
    ),
    "not allowed": (
        refusal(403, "AccessDenied"),
        "the credentials may not do this in bucket 'weights' (AccessDenied: said the store)",
        "use a token that may: uploaders need Object Read & Write on the bucket, nodes Object Read only",
    ),
    "no bucket": (
        refusal(404, "NoSuchBucket"),
        "there is no bucket 'weights' at {url}",
        "create it, or set WEIGHTDOCK_BUCKET to the one that exists",
    ),
    "overloaded": (
        refusal(503, "SlowDown"),
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
        store_at(script.url).objects("models/pretrained/toy/")
    assert str(refused.value) == (
        f"error: the store did not list models/pretrained/toy/\ncause: {cause.format(url=script.url)}\nnext: {then}"
    )
    assert SECRET not in str(refused.value)


def test_an_overloaded_store_is_asked_again() -> None:
    listed = Answer(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    with scripted(refusal(503, "SlowDown"), Answer(500), listed) as script:
        assert store_at(script.url).objects("models/") == {}
    assert len(script.requests) == 3


def test_an_unreachable_store_is_named() -> None:
    url = refusing()
    with pytest.raises(StoreError) as refused:
        store_at(url).read_range(wanted(), 0, 5, room_for(5))
    assert str(refused.value) == (
        f"error: the store did not give {KEY}\n"
        f"cause: {url} cannot be reached: could not connect ([Errno 111] Connection refused)\n"
        "next: check AWS_S3_ENDPOINT_URL and the network between here and there"
    )


def test_an_object_that_is_cut_off_is_no_object_and_no_fault_of_the_settings() -> None:
    cut_off = ranged(0, WEIGHTS[:5], len(WEIGHTS))
    with scripted(cut_off) as script, pytest.raises(StoreError) as refused:
        store_at(script.url).read_range(wanted(), 0, len(WEIGHTS), room_for(len(WEIGHTS)))
    assert refused.value.what == f"the store did not give {KEY}"
    assert "AWS_ settings" not in refused.value.next


def test_a_range_that_is_cut_off_is_gone_on_with_where_it_was() -> None:
    cut_off, piece = ranged(0, WEIGHTS[:7], len(WEIGHTS)), room_for(len(WEIGHTS))
    with scripted(cut_off, ranged(7, WEIGHTS[7:])) as script:
        store_at(script.url).read_range(wanted(), 0, len(WEIGHTS), piece)
    assert piece.content == WEIGHTS
    last = len(WEIGHTS) - 1
    assert [request.headers["range"] for request in script.requests] == [f"bytes=0-{last}", f"bytes=7-{last}"]
    assert [request.headers.get("if-match") for request in script.requests] == [None, '"the version"']


@pytest.mark.parametrize(
    "answer",
    [Answer(body=WEIGHTS), ranged(1, WEIGHTS[1:6]), ranged(0, WEIGHTS[:4])],
    ids=["all of it", "from elsewhere", "less"],
)
def test_a_server_that_gives_another_range_than_was_asked_for_is_not_believed(answer: Answer) -> None:
    read = room_for(5)
    with scripted(answer) as script, pytest.raises(StoreError) as refused:
        store_at(script.url).read_range(wanted(), 0, 5, read)
    assert refused.value.what == f"the store did not give {KEY}"
    assert not read.count


def test_who_knows_no_ranges_is_asked_once() -> None:
    with scripted(Answer(body=WEIGHTS)) as script, pytest.raises(StoreError) as refused:
        store_at(script.url).read_range(wanted(), 0, len(WEIGHTS), room_for(len(WEIGHTS)))
    assert refused.value.cause.startswith(f"{script.url} is no S3 server, it seems: it gives no ranges of an object")
    assert len(script.requests) == 1


def test_an_answer_in_chunks_that_ends_before_its_range_is_gone_on_with() -> None:
    headers = (("ETag", '"the version"'), ("Content-Range", f"bytes 0-19/{len(WEIGHTS)}"))
    short = Answer(206, (*headers, ("Transfer-Encoding", "chunked")), b"7\r\nthe wei\r\n0\r\n\r\n", promised_bytes=20)
    read = room_for(len(WEIGHTS))
    with scripted(short, ranged(7, WEIGHTS[7:])) as script:
        store_at(script.url).read_range(wanted(), 0, len(WEIGHTS), read)
    assert read.content == WEIGHTS
    assert len(script.requests) == 2


def test_of_an_answer_that_goes_on_after_the_range_nothing_more_is_taken() -> None:
    headers = (("ETag", '"the version"'), ("Content-Range", f"bytes 0-4/{len(WEIGHTS)}"))
    longer = Answer(206, (*headers, ("Transfer-Encoding", "chunked")), b"7\r\nthe wei\r\n0\r\n\r\n", promised_bytes=5)
    read = room_for(7)
    with scripted(longer) as script:
        store_at(script.url).read_range(wanted(), 0, 5, read)
    assert read.content == WEIGHTS[:5]


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (ranged(0, WEIGHTS[:4], size=4), "4"),
        (ranged(0, WEIGHTS[:5], size=10**15), str(10**15)),
        (refusal(416, "InvalidRange"), "less than 5"),
    ],
    ids=["shorter", "longer", "it ends before the range"],
)
def test_an_object_of_another_size_is_refused_before_a_byte_of_it_is_taken(answer: Answer, size: str) -> None:
    read = room_for(5)
    with scripted(answer) as script, pytest.raises(IntegrityError) as refused:
        store_at(script.url).read_range(wanted(), 0, 5, read)
    assert str(refused.value) == (
        f"error: {KEY} is not what it should be\n"
        f"cause: its size is {size} bytes, and the manifest says {len(WEIGHTS)}\n"
        "next: nothing was kept of it; find out who put it there (`weightdock verify --deep`)"
    )
    assert (read.count, len(script.requests)) == (0, 1)


def test_an_object_is_hashed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r2, "_PIECE_BYTES", 8)
    received: list[int] = []
    with scripted(Answer(body=WEIGHTS)) as script:
        assert store_at(script.url).sha256_of(KEY, received.append) == digest(WEIGHTS)
    assert received == [8, 16, len(WEIGHTS)]


def test_an_object_that_is_hashed_is_not_waited_for_once_the_run_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r2, "_PIECE_BYTES", 8)
    received: list[int] = []
    with scripted(Answer(body=WEIGHTS)) as script:
        store = store_at(script.url)

        def stop(count: int) -> None:
            received.append(count)
            store.stop()

        with pytest.raises(KeyboardInterrupt):
            store.sha256_of(KEY, stop)
    assert received == [8]
