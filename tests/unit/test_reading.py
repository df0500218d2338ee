"""The signature that a request carries, against botocore's own; and where requests go."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch
from urllib.parse import quote

import pytest
import urllib3
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st
from urllib3.connection import HTTPConnection, HTTPSConnection

from support.samples import content
from support.scripted_server import Answer, scripted
from support.servers import Server
from weightdock.artifact import ObjectKey
from weightdock.settings import Credentials
from weightdock.store import connections
from weightdock.store.r2 import R2Store
from weightdock.store.reading import signature

NOW = datetime(2026, 11, 22, 10, 30, 15, tzinfo=UTC)
GIVEN = Credentials("https://account.r2.example", "an-id", "a-secret", None)
SYSTEM = ssl.get_default_verify_paths()
_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(key=_NAMES, prefix=_NAMES, token=st.none() | st.just("a/token="), ranged=st.booleans())
def test_a_request_is_signed_as_botocore_signs_it(key: str, prefix: str, token: str | None, *, ranged: bool) -> None:
    given = Credentials("https://account.r2.example", "an-id", "a-secret", token)
    path, query = quote(f"/bucket/{key}", safe="/-_.~"), f"list-type=2&prefix={quote(prefix, safe='')}"
    headers = {"Range": "bytes=0-7", "If-Match": '"e"'} if ranged else {}
    signed = signature(given, "GET", "account.r2.example", path, query, headers, NOW)
    request = AWSRequest("GET", f"https://account.r2.example{path}?{query}", headers)
    with patch.object(auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        auth.S3SigV4Auth(BotocoreCredentials("an-id", "a-secret", token), "s3", "auto").add_auth(request)
    assert signed["authorization"] == request.headers["Authorization"]


def test_a_proxy_is_asked_where_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = "http://store.example"
    with scripted(Answer(body=content("alpha"))) as script:
        monkeypatch.setenv("http_proxy", script.url.replace("http://", "http://user:word@"))
        store = R2Store(Server("far", "http://localstore").settings("weights"))
        assert store.sha256_of(ObjectKey("models/a.pt"), lambda _: None)
        monkeypatch.setenv("no_proxy", "store.example")
        direct = connections.connections(Credentials(endpoint, "an-id", "a-secret", None))
    (asked,) = script.requests
    assert asked.line == "GET http://localstore/weights/models/a.pt"
    assert asked.headers["proxy-authorization"].startswith("Basic ")
    assert asked.headers["host"] == "localstore"
    assert not isinstance(direct, urllib3.ProxyManager)


def test_where_the_system_vouches_for_nobody_botocore_s_list_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SYSTEM._replace(cafile="", capath=str(tmp_path)))
    assert "BEGIN CERTIFICATE" in Path(connections.authorities() or "").read_text(encoding="utf-8")
    (tmp_path / "one.pem").touch()
    assert connections.authorities() is None


@pytest.mark.parametrize("endpoint", ["http://localstore", "https://store.example"])
@pytest.mark.parametrize("proxy", [None, "http://proxy.example", "https://proxy.example"])
def test_a_new_connection_sends_with_the_patience_of_reading_whatever_lies_between(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, proxy: str | None
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy) if proxy else monkeypatch.delenv(name, raising=False)
    pool = connections.connections(Credentials(endpoint, "an-id", "a-secret", None)).connection_from_url(endpoint)
    kind = HTTPSConnection if pool.scheme == "https" else HTTPConnection
    with socket.socket() as connected:
        monkeypatch.setattr(kind, "connect", lambda self: setattr(self, "sock", connected))
        connection = pool._new_conn()
        connection.connect()
        assert connected.gettimeout() == connections.READ_SECONDS
    assert isinstance(connection, HTTPSConnection) == (pool.scheme == "https")


def test_there_is_one_tls_context_for_all_connections() -> None:
    pools = connections.connections(GIVEN)
    first, second = (pools.connection_from_url(GIVEN.endpoint_url)._new_conn() for _ in range(2))
    assert isinstance(first, HTTPSConnection)
    assert isinstance(second, HTTPSConnection)
    assert first.ssl_context is second.ssl_context is not None
    assert first.ca_certs is None
