"""The session asks botocore for what S3 needs, and reads times as botocore does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from support.servers import Server
from weightdock.store import session
from weightdock.store.bucket import Bucket


@pytest.mark.parametrize("said", ["2026-11-22T10:00:00.000Z", "2026-11-22T10:00:00Z", "Sun, 22 Nov 2026 10:00:00 GMT"])
def test_a_time_is_the_same_in_a_listing_and_in_a_header(said: str) -> None:
    assert session._time(said) == datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_no_folder_of_another_service_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def listdir(path: str) -> list[str]:
        looked.append(Path(path).name)
        return []

    monkeypatch.setattr("botocore.loaders.os.listdir", listdir)
    with pytest.raises(BotoCoreError):  # nothing is found of S3 itself
        _ = Bucket(Server("nobody", "http://127.0.0.1:9").settings("bucket")).client
    assert set(looked) == {"s3"}
