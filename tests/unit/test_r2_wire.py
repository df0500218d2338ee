"""What goes over the wire to R2: asked of a server that answers as scripted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import pytest

from support.samples import digest, verified
from support.scripted_server import Answer, Request, Script, scripted, silent
from support.scripted_store import BEGUN, COMPLETED, KEY, OK, SECRET, WEIGHTS, refusal, store_at
from weightdock.errors import IntegrityError, StoreError
from weightdock.store import Document, control_plane, endpoint, r2


def _lines(script: Script) -> list[str]:
    return [request.line for request in script.requests]


def _described(request: Request) -> dict[str, str]:
    """The headers that say what to do with an object."""
    saying = ("if-", "x-amz-meta-", "content-type")
    return {name: value for name, value in request.headers.items() if name.startswith(saying)}


def test_a_small_file_waits_for_a_slot_as_a_part_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(OK) as script:
        store, taken = store_at(script.url), list[int]()
        slot = store._bucket.pace.slot

        def noted() -> AbstractContextManager[None]:
            taken.append(len(script.requests))
            return slot()

        monkeypatch.setattr(store._bucket.pace, "slot", noted)
        assert store.put_file(verified(tmp_path / "alpha"), KEY, lambda _: None)
    assert taken == [0]


def test_a_small_file_is_one_conditional_put_that_carries_its_digest(tmp_path: Path) -> None:
    with scripted(OK) as script:
        sent: list[int] = []
        assert store_at(script.url).put_file(verified(tmp_path / "alpha"), KEY, sent.append)
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
def test_a_large_file_goes_in_equal_parts_with_their_digests_and_is_completed_conditionally(tmp_path: Path) -> None:
    with scripted(BEGUN, OK, OK, OK, COMPLETED) as script:
        sent: list[int] = []
        assert store_at(script.url).put_file(verified(tmp_path / "alpha"), KEY, sent.append)
    begin, *parts, complete = script.requests
    assert _lines(script) == [
        f"POST /weights/{KEY}?uploads",
        *(f"PUT /weights/{KEY}?partNumber={number}&uploadId=the-upload" for number in (1, 2, 3)),
        f"POST /weights/{KEY}?uploadId=the-upload",
    ]
    assert _described(begin) == {"x-amz-meta-sha256": digest(WEIGHTS).hex, "x-amz-meta-size": str(len(WEIGHTS))}
    chunks = [WEIGHTS[:8], WEIGHTS[8:16], WEIGHTS[16:]]
    assert [part.body for part in parts] == chunks
    assert [part.headers["x-amz-content-sha256"] for part in parts] == [digest(chunk).hex for chunk in chunks]
    assert _described(complete)["if-none-match"] == "*"
    assert complete.body.count(b"<Part>") == 3
    assert sent == [8, 16, len(WEIGHTS), len(WEIGHTS)]


@pytest.mark.usefixtures("small_parts")
def test_a_part_whose_answer_names_no_etag_makes_no_sense(tmp_path: Path) -> None:
    with scripted(BEGUN, Answer(headers=())) as script, pytest.raises(StoreError) as refused:
        store_at(script.url).put_file(verified(tmp_path / "alpha"), KEY, lambda _: None)
    assert "is no S3 server, it seems: its answer to a PUT has no ETag" in refused.value.cause


@pytest.mark.usefixtures("small_parts")
def test_nothing_goes_out_that_r2_does_not_understand(tmp_path: Path) -> None:
    with scripted(BEGUN, OK, OK, OK, COMPLETED, OK) as script:
        store = store_at(script.url)
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
    with scripted(BEGUN, OK, refusal(403, "AccessDenied")) as script, pytest.raises(StoreError) as refused:
        store_at(script.url).put_file(verified(tmp_path / "alpha"), KEY, lambda _: None)
    assert refused.value.what == f"the store did not take part 2 of {KEY}"


@pytest.mark.parametrize("code", ["PreconditionFailed", "412"])
def test_who_loses_the_race_compares_what_stands_there(tmp_path: Path, code: str) -> None:
    stands = Answer(headers=(("ETag", '"e"'), ("x-amz-meta-sha256", digest(WEIGHTS).hex)), promised_bytes=len(WEIGHTS))
    with scripted(refusal(412, "PreconditionFailed"), stands) as script:
        assert not store_at(script.url).put_file(verified(tmp_path / "alpha"), KEY, lambda _: None)
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
        store_at(script.url).holds(verified(tmp_path / "alpha"), KEY)
    assert str(refused.value) == (
        f"error: toy/alpha stands in the store as something else\ncause: {cause}\n"
        "next: nothing was overwritten; find out who put it there"
    )


def test_an_object_that_carries_no_digest_is_read_to_compare_it(tmp_path: Path) -> None:
    shown = Answer(promised_bytes=len(WEIGHTS))
    with scripted(shown, Answer(body=WEIGHTS)) as script:
        store_at(script.url).holds(verified(tmp_path / "alpha"), KEY)
    assert _lines(script) == [f"HEAD /weights/{KEY}", f"GET /weights/{KEY}"]


def test_a_document_is_written_only_over_what_was_read(tmp_path: Path) -> None:
    with scripted(
        Answer(body=b"{}", headers=(("ETag", '"v1"'),)), OK, OK, refusal(412, "PreconditionFailed")
    ) as script:
        store = store_at(script.url)
        assert store.read_document(KEY) == Document(b"{}", '"v1"')
        assert store.write_document(KEY, b"{1}", '"v1"')
        assert store.write_document(KEY, b"{2}", None)
        assert not store.write_document(KEY, b"{3}", '"v1"')
    told = [_described(one) | {"x-amz-content-sha256": one.headers["x-amz-content-sha256"]} for one in script.requests]
    assert told[1:] == [
        {"x-amz-content-sha256": digest(body).hex, "content-type": "application/json", condition: etag}
        for body, condition, etag in [
            (b"{1}", "if-match", '"v1"'),
            (b"{2}", "if-none-match", "*"),
            (b"{3}", "if-match", '"v1"'),
        ]
    ]


def test_a_document_that_vanished_since_it_was_read_is_a_change_like_any_other(tmp_path: Path) -> None:
    with scripted(refusal(404, "NoSuchKey")) as script:
        assert not store_at(script.url).write_document(KEY, b"{}", '"v1"')


def test_a_slow_way_out_has_as_long_as_an_answer_has_and_not_as_connecting_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(r2, "SINGLE_PUT_BYTES", 20_000_000)
    size = 20_000_000  # more than the buffers between here and there hold
    file = verified(tmp_path / "alpha", weights=bytes(size))
    with silent() as far, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(store_at(far.url).put_file, file, KEY, lambda _: None)
        far.wait()
        with pytest.raises(TimeoutError):
            sent.result(timeout=0.6)
        far.read(size)
        assert sent.result(timeout=10)


def test_what_is_gone_that_was_to_be_replaced_is_said_so(tmp_path: Path) -> None:
    gone = Answer(404)
    with scripted(Answer(412), gone, Answer(412), gone, gone) as script, pytest.raises(StoreError) as refused:
        store_at(script.url).put_file(verified(tmp_path / "alpha"), KEY, lambda _: None, replacing='"e"')
    assert str(refused.value) == (
        f"error: the store did not keep {KEY}\n"
        "cause: what it was to replace was removed meanwhile\n"
        "next: run again without --force"
    )


def test_several_threads_that_need_botocore_first_make_one_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, made, two = Barrier(4), list[object](), Barrier(2)

    def make_client(*_: object) -> object:
        made.append(object())
        with suppress(BrokenBarrierError):
            two.wait(timeout=0.1)  # for another that makes one, too
        return made[-1]

    monkeypatch.setattr(control_plane, "make_client", make_client)
    bucket = store_at("http://127.0.0.1:1")._bucket

    def use(_: int) -> object:
        together.wait(timeout=60)
        return bucket.client

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(use, range(4))) == {made[0]}
    assert len(made) == 1
