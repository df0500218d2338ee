"""Each fault strikes where and when it was told to, as boto3 sees it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from support.r2_asking import NAME, ask, refused, upload_parts
from support.r2_bench import KEY, Bench
from support.r2_double import (
    BAD_GATEWAY,
    INTERNAL_ERROR,
    SLOW_DOWN,
    TOO_MANY_REQUESTS,
    UNAVAILABLE,
    Call,
    Delay,
    DropAnswer,
    FlipByte,
    Moment,
    Pause,
    R2Double,
    Refuse,
    ResetAnswer,
    ResetRequest,
    Silence,
    SlowAnswer,
    SlowRequest,
    Truncate,
    When,
)

if TYPE_CHECKING:
    from botocore.response import StreamingBody

    from support.r2_double.fault import Fault

LARGE = bytes(range(256)) * 4000
BROKEN = (ConnectionClosedError, HTTPClientError)


def read_into(received: bytearray, body: StreamingBody) -> None:
    while chunk := body.read(10_000):
        received.extend(chunk)


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (INTERNAL_ERROR, "500 InternalError"),
        (BAD_GATEWAY, "502 BadGateway"),
        (SLOW_DOWN, "503 SlowDown"),
        (UNAVAILABLE, "503 ServiceUnavailable"),
        (TOO_MANY_REQUESTS, "429 TooManyRequests"),
    ],
)
def test_a_burst_of_errors_begins_and_ends_when_it_was_told_to(quick_r2: Bench, fault: Refuse, answer: str) -> None:
    burst = quick_r2.double.inject(fault, When(operation="PutObject", nth=2, times=2))
    for key in ("a", "b", "c", "d"):
        if key in "bc":
            refused(answer, quick_r2, "put_object", Key=key, Body=LARGE)
        else:
            ask(quick_r2, "put_object", Key=key, Body=LARGE)
    assert burst.struck == 2
    assert quick_r2.keys() == ["a", "d"]
    assert [one.faults for one in quick_r2.double.record.entries()] == [[], ["Refuse"], ["Refuse"], []]


def test_the_error_can_say_when_to_come_back(quick_r2: Bench) -> None:
    quick_r2.double.inject(Refuse(429, "TooManyRequests", "later", retry_after=1.5))
    with pytest.raises(quick_r2.client().exceptions.ClientError) as caught:
        ask(quick_r2, "head_object")
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1.5"


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        (When(method="PUT"), ["PutObject", "UploadPart", "UploadPart"]),
        (When(method="PUT", part=2), ["UploadPart"]),
        (When(operation="UploadPart", nth=2), ["UploadPart"]),
        (When(key=".json"), ["PutObject"]),
        (When(predicate=lambda request: request.length == 2000), ["UploadPart"]),
        (When(), ["PutObject", "CreateMultipartUpload", "UploadPart", "UploadPart"]),
    ],
)
def test_a_fault_strikes_the_requests_it_was_meant_for(quick_r2: Bench, when: When, struck: list[str]) -> None:
    for_ever = When(when.operation, when.method, when.key, when.part, when.nth, None, when.predicate)
    quick_r2.double.inject(Delay(0), for_ever)
    ask(quick_r2, "put_object", Key="manifest.json", Body=b"{}")
    upload_parts(quick_r2, 2000, 10)
    assert [str(one.operation) for one in quick_r2.double.record.entries() if one.faults] == struck


@pytest.mark.parametrize("after_bytes", [0, 1, 500_000, len(LARGE)])
def test_a_reset_in_mid_body_leaves_nothing(quick_r2: Bench, after_bytes: int) -> None:
    quick_r2.double.inject(ResetRequest(after_bytes))
    with pytest.raises(BROKEN):
        ask(quick_r2, "put_object", Body=LARGE)
    assert quick_r2.double.record.entries()[0].status == 0
    assert quick_r2.keys() == []
    ask(quick_r2, "put_object", Body=LARGE)
    assert quick_r2.content(NAME) == LARGE


@pytest.mark.parametrize("fault", [Truncate(300_000), ResetAnswer(300_000)])
def test_an_answer_breaks_off_at_the_byte(quick_r2: Bench, fault: Fault) -> None:
    ask(quick_r2, "put_object", Body=LARGE)
    quick_r2.double.inject(fault, When(operation="GetObject"))
    received = bytearray()
    with pytest.raises((IncompleteReadError, ResponseStreamingError, HTTPClientError)):
        read_into(received, ask(quick_r2, "get_object")["Body"])
    assert received == LARGE[: len(received)]
    assert len(received) == 300_000 if isinstance(fault, Truncate) else len(received) <= 300_000
    assert quick_r2.double.record.entries("GetObject")[0].bytes_out == 300_000


def test_one_byte_of_an_answer_is_wrong(quick_r2: Bench) -> None:
    ask(quick_r2, "put_object", Body=LARGE)
    quick_r2.double.inject(FlipByte(300_001), When(operation="GetObject"))
    received = ask(quick_r2, "get_object")["Body"].read()
    assert [index for index, byte in enumerate(LARGE) if received[index] != byte] == [300_001]
    assert len(received) == len(LARGE)
    assert ask(quick_r2, "get_object")["Body"].read() == LARGE


@pytest.mark.parametrize(("fault", "method"), [(SlowRequest(100_000), "PUT"), (SlowAnswer(100_000), "GET")])
def test_a_slow_store_takes_its_time(quick_r2: Bench, fault: Fault, method: str) -> None:
    quick_r2.double.inject(fault, When(method=method))
    ask(quick_r2, "put_object", Body=LARGE[:50_000])
    assert ask(quick_r2, "get_object")["Body"].read() == LARGE[:50_000]
    (slow,) = [one for one in quick_r2.double.record.entries() if one.method == method]
    assert slow.ended is not None
    assert slow.ended - slow.began > 0.4


def test_the_first_byte_is_late(quick_r2: Bench) -> None:
    quick_r2.double.inject(Delay(0.3))
    began = time.monotonic()
    ask(quick_r2, "put_object", Body=b"weights")
    assert time.monotonic() - began > 0.3


def test_a_request_is_taken_and_never_answered(quick_r2: Bench) -> None:
    quick_r2.double.inject(Silence())
    client = quick_r2.client(read_timeout=1)
    with pytest.raises(ReadTimeoutError):
        ask(quick_r2, "put_object", by=client, Body=LARGE)
    client.close()
    assert quick_r2.keys() == []


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload"])
def test_the_answer_is_lost_after_the_write_was_done(quick_r2: Bench, operation: str) -> None:
    quick_r2.double.inject(DropAnswer(), When(operation=operation))
    write: str = "put_object"
    what: dict[str, Any] = {"Body": b"weights"}
    if operation == "CompleteMultipartUpload":
        write, what = "complete_multipart_upload", upload_parts(quick_r2, 7)
    with pytest.raises(BROKEN):
        ask(quick_r2, write, **what, IfNoneMatch="*")
    assert len(quick_r2.content(NAME)) == 7
    refused("412 PreconditionFailed", quick_r2, "put_object", Body=b"weights", IfNoneMatch="*")


def test_an_error_can_be_a_lie(quick_r2: Bench) -> None:
    quick_r2.double.inject(Refuse(500, "InternalError", "oops", moment=Moment.AFTER))
    refused("500 InternalError", quick_r2, "put_object", Body=b"weights")
    assert quick_r2.content(NAME) == b"weights"


@pytest.mark.parametrize(("moment", "stands"), [(Moment.BEFORE, False), (Moment.BODY, False), (Moment.AFTER, True)])
def test_a_function_of_the_test_s_is_called_at_the_moment(quick_r2: Bench, moment: Moment, stands: bool) -> None:
    seen: list[bool] = []
    call = Call(moment=moment, after_bytes=300_000, function=lambda: seen.append(quick_r2.keys() == [NAME]))
    quick_r2.double.inject(call, When(operation="PutObject"))
    ask(quick_r2, "put_object", Body=LARGE)
    assert seen == [stands]
    assert quick_r2.content(NAME) == LARGE


@pytest.mark.parametrize(("moment", "stands"), [(Moment.BEFORE, []), (Moment.BODY, []), (Moment.AFTER, [NAME])])
def test_nothing_comes_through_after_the_moment_when_the_hook_cuts(
    quick_r2: Bench, moment: Moment, stands: list[str]
) -> None:
    called = threading.Event()
    quick_r2.double.inject(Call(moment=moment, after_bytes=10, cut=True, function=called.set))
    with pytest.raises(BROKEN):
        ask(quick_r2, "put_object", Body=b"weights" * 10)
    assert called.is_set()
    assert quick_r2.keys() == stands


@pytest.mark.parametrize("moment", list(Moment))
def test_a_request_stands_still_until_it_is_released(quick_r2: Bench, moment: Moment) -> None:
    pause = Pause(moment=moment, after_bytes=10)
    placed = quick_r2.double.inject(pause, When(operation="PutObject"))
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(ask, quick_r2, "put_object", Body=LARGE)
        assert pause.arrived.wait(10)
        assert not put.done()
        assert quick_r2.keys() == ([NAME] if moment is Moment.AFTER else [])
        placed.release()
        put.result(10)
    assert quick_r2.content(NAME) == LARGE


def test_several_faults_strike_one_request(quick_r2: Bench) -> None:
    ask(quick_r2, "put_object", Body=LARGE)
    for fault in (FlipByte(0), FlipByte(1), Truncate(2)):
        quick_r2.double.inject(fault, When(operation="GetObject"))
    body = ask(quick_r2, "get_object")["Body"]
    assert body.read(2) == b"\xff\xfe"
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        body.read()


def test_no_thread_stays_when_the_double_ends_though_clients_are_waiting(r2: Bench) -> None:
    pause = Pause()
    with ThreadPoolExecutor(2) as clients:
        with R2Double(r2.behind.url, [KEY]) as double:
            bench = Bench.of(double, r2.behind, r2.bucket)
            double.inject(Silence(), When(operation="HeadObject"))
            double.inject(pause, When(operation="GetObject"))
            waiting = [clients.submit(ask, bench, operation) for operation in ("head_object", "get_object")]
            assert pause.arrived.wait(10)
            while len(double.record.entries()) < 2:
                time.sleep(0.01)
        assert [one.exception(10) is None for one in waiting] == [False, False]
    assert not [one for one in threading.enumerate() if "process_request_thread" in one.name and one.is_alive()]
