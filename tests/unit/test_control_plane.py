"""Whatever botocore and urllib3 meet is told in the store's own words."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from urllib3 import HTTPConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    IncompleteRead,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from weightdock.settings import Credentials
from weightdock.store.control_plane import connections, fault, make_client
from weightdock.store.endpoint import Endpoint
from weightdock.store.pace import SLOTS
from weightdock.store.refusals import BrokenOff, Refused, Senseless, StoreFault, Unreached, Way

POOL = HTTPConnectionPool("account.r2.example")
_SAID = {"Error": {"Code": "SlowDown", "Message": "please"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
FAULTS: dict[str, tuple[Exception, StoreFault]] = {
    "a refusal": (ClientError(_SAID, "PutObject"), Refused(503, "SlowDown", "please")),  # type: ignore[arg-type]  # the rest is not looked at
    "a refusal without anything": (ClientError({}, "PutObject"), Refused(0, "")),
    "nobody there": (
        NewConnectionError(HTTPConnection("account.r2.example"), "Connection refused"),
        Unreached(Way.NO_CONNECTION, f"could not connect ({HTTPConnection('account.r2.example')}: Connection refused)"),
    ),
    "no proxy there": (
        ProxyError("Unable to connect to proxy", OSError("Connection refused")),
        Unreached(Way.NO_CONNECTION, "Unable to connect to proxy Connection refused"),
    ),
    "no route": (ConnectTimeoutError("timed out"), Unreached(Way.NO_CONNECTION, "no connection within 5 s")),
    "silence": (ReadTimeoutError(POOL, "/", "timed out"), Unreached(Way.NO_ANSWER, "no answer within 25 s")),
    "a certificate that nobody vouches for": (
        SSLError(ssl.SSLCertVerificationError("self-signed certificate")),
        Unreached(Way.NO_TRUST, "('self-signed certificate',)"),
    ),
    "hung up before a certificate": (
        SSLError(ssl.SSLEOFError("EOF occurred in violation of protocol")),
        Unreached(Way.NO_CONNECTION, "('EOF occurred in violation of protocol',)"),
    ),
}
BROKEN = {
    "hung up": ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer")),
    "cut off": IncompleteRead(1, 2),
}


@pytest.mark.parametrize(("error", "told"), FAULTS.values(), ids=FAULTS.keys())
def test_each_is_told_apart(error: Exception, told: StoreFault) -> None:
    assert fault(error) == told


@pytest.mark.parametrize("error", BROKEN.values(), ids=BROKEN.keys())
def test_an_answer_that_breaks_off_is_one_whoever_says_so(error: Exception) -> None:
    assert isinstance(fault(error), BrokenOff)


def test_what_botocore_does_not_send_makes_no_sense_and_a_bug_is_no_fault_of_the_store() -> None:
    senseless = fault(NoCredentialsError())
    assert isinstance(senseless, Senseless)
    assert str(senseless) == "NoCredentialsError: Unable to locate credentials"
    assert fault(ValueError("a bug")) is None


def test_what_is_set_up_for_another_account_is_nothing_to_this_bucket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "other"))
    (tmp_path / "other").write_text("[default]\nregion = mars\ns3 =\n    addressing_style = virtual\nno sense\n")
    credentials = Credentials("http://localstore", "an-id", "a-secret", None)
    client = make_client(credentials, Endpoint.of(credentials))
    assert client.meta.region_name == "auto"


def test_there_is_one_tls_context_for_all_connections() -> None:
    to = Endpoint.of(Credentials("https://account.r2.example", "an-id", "a-secret", None))
    pools = connections(to)
    first, second = (pools.connection_from_url(to.url.geturl())._new_conn() for _ in range(2))
    assert isinstance(first, HTTPSConnection)
    assert isinstance(second, HTTPSConnection)
    assert first.ssl_context is second.ssl_context is to.tls is not None
    assert first.ca_certs is None


@pytest.mark.parametrize("url", ["http://localstore", "https://store.example"])
@pytest.mark.parametrize("proxy", ["http://user:word@proxy.example", "https://user:word@proxy.example"])
def test_the_proxy_is_the_endpoint_s(monkeypatch: pytest.MonkeyPatch, url: str, proxy: str) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    to = Endpoint.of(Credentials(url, "an-id", "a-secret", None))
    pools = connections(to)
    assert isinstance(pools, ProxyManager)
    assert (pools.proxy_headers, pools.proxy_config and pools.proxy_config.ssl_context) == (to.proxy_headers, to.tls)


def test_every_file_and_part_under_way_has_a_connection_that_is_kept() -> None:
    pools = connections(Endpoint.of(Credentials("http://localstore", "an-id", "a-secret", None)))
    assert pools.connection_pool_kw["maxsize"] == SLOTS
