"""What ultralytics' release API says, and what a mirror says that has none."""

from __future__ import annotations

import json

import pytest

from support.scripted_server import Answer, scripted
from weightdock.origins.ultralytics import Ultralytics


def _published(answer: Answer) -> dict[str, tuple[int, str]]:
    with scripted(answer) as script:
        origin = Ultralytics(script.url)
        vars(origin)["_tag"] = "v1"  # the library's, which is not installed here
        return origin._published


def test_size_and_digest_of_an_asset_are_those_of_the_release() -> None:
    assets = [{"name": "a.pt", "size": 5, "digest": "sha256:00"}, {"name": "b.pt", "size": 6, "digest": None}]
    said = json.dumps({"assets": assets}).encode()
    assert _published(Answer(body=said)) == {"a.pt": (5, "sha256:00"), "b.pt": (6, "")}


@pytest.mark.parametrize(
    "said",
    [
        *("", "<html>", "[]", "null", "{}", '{"assets": null}', '{"assets": [1]}', '{"assets": [{}]}'),
        *('{"assets": [{"name": "a.pt", "size": null}]}', '{"assets": [{"name": "a.pt", "size": "big"}]}'),
    ],
)
def test_where_nobody_publishes_digests_there_are_none(said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert _published(Answer(body=said.encode())) == {}
    assert _published(Answer(404, body=said.encode())) == {}
    assert capfd.readouterr().out.count("no published digests: ") == 2
