"""What passes and what does not, and how each refusal is told."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from support.fake_time import Time
from support.servers import Server, read
from weightdock.errors import ExitCode, StoreError
from weightdock.store.bucket import ABSENT, Bucket
from weightdock.store.pace import ATTEMPTS, SLOTS, Pace
from weightdock.store.refusals import BrokenOff, Refused, Senseless, StoreFault, Unreached, Way, attempts, meaning

URL = "https://account.r2.example"
SECRET = "a-secret-that-shows-nowhere"


_answer = partial(Refused, said="said the store")


PASSING = {
    "429 too many writes of a key": _answer(429, "TooManyRequests"),
    "429 without words": _answer(429, "429"),
    "500": _answer(500, "InternalError"),
    "502 of a gateway": _answer(502, "502"),
    "503": _answer(503, "SlowDown"),
    "503 without words": _answer(503, "503"),
    "504 of a gateway": _answer(504, "504"),
    "408 of an edge": _answer(408, "408"),
    "520 of Cloudflare's edge": _answer(520, "520"),
    "522 of Cloudflare's edge": _answer(522, "522"),
    "530 of Cloudflare's edge": _answer(530, "530"),
    "slow down, whatever the status": _answer(200, "SlowDown"),
    "an error inside a 200": _answer(200, "InternalError"),
    "damaged on the way there": _answer(400, "BadDigest"),
    "cut off on the way there": _answer(400, "IncompleteBody"),
    "too slow on the way there": _answer(400, "RequestTimeout"),
    "somebody writes it right now": _answer(409, "ConditionalRequestConflict"),
    "broken on the way here": BrokenOff("reset by peer"),
}
LASTING = {
    "400": _answer(400, "InvalidRequest"),
    "401 wrong keys": _answer(401, "Unauthorized"),
    "403": _answer(403, "AccessDenied"),
    "403 of a HEAD": _answer(403, "403"),
    "403 wrong secret": _answer(403, "SignatureDoesNotMatch"),
    "400 expired": _answer(400, "ExpiredToken"),
    "404 no object": _answer(404, "NoSuchKey"),
    "404 no bucket": _answer(404, "NoSuchBucket"),
    "404 no upload": _answer(404, "NoSuchUpload"),
    "412": _answer(412, "PreconditionFailed"),
    "501 a checksum": _answer(501, "NotImplemented"),
    "unequal parts": _answer(400, "InvalidPart"),
    "no status at all": Refused(0, "", ""),
    "a certificate that nobody vouches for": Unreached(Way.NO_TRUST, "self-signed certificate"),
    "an answer that is none": Senseless("its listing cannot be read"),
    "an error that is none of the store": ValueError("a bug"),
}
NOBODY = Unreached(Way.NO_CONNECTION, "could not connect (Connection refused)")
SILENCE = Unreached(Way.NO_ANSWER, "no answer within 25 s")


@pytest.mark.parametrize("has_answered", [False, True])
@pytest.mark.parametrize("error", PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_asked_again(error: Exception, has_answered: bool) -> None:
    assert attempts(error, has_answered) == ATTEMPTS


@pytest.mark.parametrize("has_answered", [False, True])
@pytest.mark.parametrize("error", LASTING.values(), ids=LASTING.keys())
def test_what_would_be_refused_again_is_not_asked_again(error: Exception, has_answered: bool) -> None:
    assert attempts(error, has_answered) == 1


def test_an_endpoint_that_never_answered_is_tried_three_times() -> None:
    assert attempts(NOBODY, has_answered=False) == 3
    assert attempts(NOBODY, has_answered=True) == ATTEMPTS


def test_an_endpoint_that_takes_a_request_and_has_never_answered_one_is_not_waited_for_again() -> None:
    assert attempts(SILENCE, has_answered=False) == 1
    assert attempts(SILENCE, has_answered=True) == ATTEMPTS


REACH = "check AWS_S3_ENDPOINT_URL and the network between here and there"
KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must be of one token, and of this account"
EXPIRED = "get new ones; AWS_SESSION_TOKEN belongs to them"
RIGHTS = "use a token that may: uploaders need Object Read & Write on the bucket, nodes Object Read only"
AGAIN = "run again; what was finished is not repeated"

MEANINGS: dict[str, tuple[StoreFault, str, str]] = {
    **{
        code: (_answer(status, code), f"{URL} refuses the credentials ({code}: said the store)", KEYS)
        for status, code in [
            (401, "Unauthorized"),
            (403, "InvalidAccessKeyId"),
            (403, "SignatureDoesNotMatch"),
            (400, "AuthorizationHeaderMalformed"),
            (400, "InvalidArgument"),
        ]
    },
    **{
        code: (_answer(400, code), f"the credentials have expired ({code}: said the store)", EXPIRED)
        for code in ("ExpiredToken", "ExpiredTokenException", "InvalidToken")
    },
    **{
        code: (
            _answer(403, code),
            f"the credentials may not do this in bucket 'weights' ({code}: said the store)",
            RIGHTS,
        )
        for code in ("AccessDenied", "Forbidden", "403")
    },
    **{
        code: (
            _answer(403, code),
            f"{URL} has another time than this machine ({code}: said the store)",
            "set this machine's clock (NTP), then run again",
        )
        for code in ("RequestTimeTooSkewed", "RequestExpired")
    },
    "elsewhere": (
        _answer(301, "PermanentRedirect"),
        f"{URL} sends us elsewhere: 301 (PermanentRedirect: said the store)",
        "check AWS_S3_ENDPOINT_URL",
    ),
    "no bucket": (
        _answer(404, "NoSuchBucket"),
        f"there is no bucket 'weights' at {URL}",
        "create it, or set WEIGHTDOCK_BUCKET to the one that exists",
    ),
    "overloaded": (_answer(503, "SlowDown"), f"{URL} answered 503 (SlowDown: said the store)", AGAIN),
    "without words": (Refused(501, "NotImplemented"), f"{URL} answered 501 (NotImplemented: no message)", AGAIN),
    "nobody there": (NOBODY, f"{URL} cannot be reached: could not connect (Connection refused)", REACH),
    "silence": (SILENCE, f"{URL} cannot be reached: no answer within 25 s", REACH),
    "a certificate": (
        Unreached(Way.NO_TRUST, "self-signed certificate"),
        f"{URL} cannot be reached: self-signed certificate",
        REACH,
    ),
    "broken off": (
        BrokenOff("reset by peer"),
        f"{URL} ended its answer too early, and did so again: reset by peer",
        "run again; see to the network",
    ),
    "no sense": (
        Senseless("it says hello"),
        f"{URL} is no S3 server, it seems: it says hello",
        "check AWS_S3_ENDPOINT_URL",
    ),
}


@pytest.mark.parametrize(("error", "cause", "then"), MEANINGS.values(), ids=MEANINGS.keys())
def test_a_refusal_is_told_with_its_cause_and_what_helps(error: StoreFault, cause: str, then: str) -> None:
    told = meaning(error, "take models/a.pt", "weights", URL)
    assert str(told) == f"error: the store did not take models/a.pt\ncause: {cause}\nnext: {then}"
    assert told.exit_code is ExitCode.STORE


@pytest.mark.parametrize(
    "error",
    [error for error, _, _ in MEANINGS.values()] + [Senseless("one\ntwo"), Refused(400, "X", "a\nb")],
    ids=repr,
)
def test_a_message_has_three_lines_whatever_the_store_says(error: StoreFault) -> None:
    assert len(str(meaning(error, "take it", "weights", URL)).splitlines()) == 3


class Asked:
    """A bucket whose requests are functions of the test, and where nobody waits."""

    def __init__(self, folder: Path) -> None:
        environment = Server("nobody", URL).environment("weights", AWS_SECRET_ACCESS_KEY=SECRET)
        time = Time()
        self.bucket = Bucket(
            read(environment | {"WEIGHTDOCK_CACHE": str(folder)}), Pace(sleep=time.sleep, clock=time.clock)
        )
        self.count = 0

    def meeting(self, error: Exception) -> StoreError:
        """What is told when every request meets ``error``; counts them."""
        self.count = 0

        def request() -> NoReturn:
            self.count += 1
            raise error

        with pytest.raises(StoreError) as refused:
            self.bucket.ask("take it", request)
        assert refused.value.__cause__ is error
        return refused.value


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_an_endpoint_is_worth_more_patience_once_it_has_answered(asked: Asked) -> None:
    counts = []
    for _ in range(2):
        for error in (NOBODY, SILENCE):
            asked.meeting(error)
            counts.append(asked.count)
        asked.bucket.ask("take it", lambda: "an answer")
    assert counts == [3, 1, ATTEMPTS, ATTEMPTS]


def test_a_refusal_that_lasts_is_met_once_and_one_that_passes_until_patience_ends(asked: Asked) -> None:
    asked.meeting(_answer(403, "AccessDenied"))
    assert asked.count == 1
    assert asked.meeting(_answer(503, "SlowDown")).cause == f"{URL} answered 503 (SlowDown: said the store)"
    assert asked.count == ATTEMPTS


def test_a_refusal_that_is_an_answer_is_met_once_and_slows_nobody_down(asked: Asked) -> None:
    count = 0

    def request() -> NoReturn:
        nonlocal count
        count += 1
        raise _answer(404, "NoSuchKey")

    assert asked.bucket.ask_unless(ABSENT, "show it", request) is None
    assert (count, asked.bucket.pace.limit) == (1, SLOTS)
    with pytest.raises(StoreError):
        asked.bucket.ask_unless(("412",), "show it", request)
    assert count == 2


def test_a_passing_refusal_is_still_asked_again_where_another_is_an_answer(asked: Asked) -> None:
    errors = [_answer(503, "SlowDown"), _answer(429, "TooManyRequests"), _answer(404, "404")]

    def request() -> NoReturn:
        raise errors.pop(0)

    assert asked.bucket.ask_unless(ABSENT, "show it", request) is None
    assert errors == []


def test_an_error_that_is_a_bug_is_not_the_stores(asked: Asked) -> None:
    def request() -> NoReturn:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        asked.bucket.ask("take it", request)


def test_no_message_shows_a_secret(asked: Asked) -> None:
    for error in (*PASSING.values(), *LASTING.values()):
        if isinstance(error, StoreFault):
            told = asked.meeting(error)
            assert SECRET not in str(told)
