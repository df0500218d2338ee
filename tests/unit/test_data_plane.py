"""The signature that a request carries, against botocore's own, and what a proxy gets."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import patch
from urllib.parse import quote

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from support.samples import content
from support.scripted_server import Answer, scripted
from support.servers import Server
from weightdock.artifact import ObjectKey
from weightdock.errors import StoreError
from weightdock.settings import Credentials
from weightdock.store.data_plane import Body, signature
from weightdock.store.r2 import R2Store

NOW = datetime(2026, 11, 22, 10, 30, 15, tzinfo=UTC)
_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(key=_NAMES, prefix=_NAMES, token=st.none() | st.just("a/token="), ranged=st.booleans(), body=st.binary())
def test_a_request_is_signed_as_botocore_signs_it(
    key: str, prefix: str, token: str | None, body: bytes, *, ranged: bool
) -> None:
    given = Credentials("https://account.r2.example", "an-id", "a-secret", token)
    path, query = quote(f"/bucket/{key}", safe="/-_.~"), f"list-type=2&prefix={quote(prefix, safe='')}"
    headers = {"Range": "bytes=0-7", "If-Match": '"e"'} if ranged else {"x-amz-meta-size": "7"}
    method = "PUT" if body else "GET"
    signed = signature(given, method, "account.r2.example", path, query, headers, NOW, Body.of(body).sha256)
    request = AWSRequest(method, f"https://account.r2.example{path}?{query}", headers, body)
    with patch.object(auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        auth.S3SigV4Auth(BotocoreCredentials("an-id", "a-secret", token), "s3", "auto").add_auth(request)
    assert signed["authorization"] == request.headers["Authorization"]


def test_a_proxy_is_asked_where_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(Answer(body=content("alpha"))) as script:
        monkeypatch.setenv("http_proxy", script.url.replace("http://", "http://user:word@"))
        store = R2Store(Server("far", "http://localstore").settings("weights"))
        assert store.sha256_of(ObjectKey("models/a.pt"), lambda _: None)
    (asked,) = script.requests
    assert asked.line == "GET http://localstore/weights/models/a.pt"
    assert asked.headers["proxy-authorization"].startswith("Basic ")
    assert asked.headers["host"] == "localstore"


@pytest.mark.parametrize("status", [404, 405, 501])
def test_what_any_web_server_says_is_no_word_of_a_store(status: int) -> None:
    with scripted(*[Answer(status, body=b"<html>not here</html>")] * 2) as script:
        store = R2Store(Server("web", script.url).settings("weights"))
        with pytest.raises(StoreError) as refused:
            store.read_document(ObjectKey("models/manifest.json"))
    assert "is no S3 server, it seems" in refused.value.cause
    assert refused.value.next == "check AWS_S3_ENDPOINT_URL"
    assert len(script.requests) == 1
