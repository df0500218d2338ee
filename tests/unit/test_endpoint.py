"""Whom a process trusts, and what proxy the environment names for its endpoint."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from weightdock.errors import ConfigurationError
from weightdock.settings import Credentials
from weightdock.store.endpoint import Endpoint, authorities

SYSTEM = ssl.get_default_verify_paths()


def endpoint(url: str = "https://account.r2.example") -> Endpoint:
    return Endpoint.of(Credentials(url, "an-id", "a-secret", None))


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_a_proxy_is_the_one_that_the_environment_names_for_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint().proxy is None
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    secure, plain = endpoint(), endpoint("http://localstore")
    assert secure.proxy
    assert (secure.proxy.hostname, secure.proxy.port, secure.proxy_headers) == ("proxy.example", 3128, {})
    assert (plain.proxy, plain.tls, plain.proxy_headers) == (None, None, {})
    monkeypatch.setenv("no_proxy", "r2.example")
    assert endpoint().proxy is None


@pytest.mark.parametrize("exempt", ["::1", "localhost,127.0.0.1,::1", "[::1]"])
def test_an_ipv6_address_is_exempt_from_the_proxy_with_its_brackets_and_without(
    monkeypatch: pytest.MonkeyPatch, exempt: str
) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", exempt)
    assert endpoint("http://[::1]:9000").proxy is None
    assert endpoint("http://[::2]:9000").proxy is not None


def test_a_proxy_hears_who_asks_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://us%40er:w%3Aord@proxy.example")
    assert endpoint().proxy_headers == {"proxy-authorization": "Basic dXNAZXI6dzpvcmQ="}  # us@er:w:ord


@pytest.mark.parametrize("named", ["socks5://u:a-word@proxy.example", "http://u:a-word@proxy:port", "http://"])
def test_what_is_no_address_of_a_proxy_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("https_proxy", named)
    with pytest.raises(ConfigurationError) as refused:
        endpoint()
    assert str(refused.value).startswith("error: https_proxy is no address of a proxy\n")
    assert "a-word" not in str(refused.value)


def test_tls_to_a_proxy_alone_wants_to_know_whom_to_trust_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "https://proxy.example")
    assert endpoint("http://localstore").tls is not None


def test_where_the_system_vouches_for_nobody_botocore_s_list_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SYSTEM._replace(cafile="", capath=str(tmp_path)))
    assert "BEGIN CERTIFICATE" in Path(authorities() or "").read_text(encoding="utf-8")
    (tmp_path / "one.pem").touch()
    assert authorities() is None


@pytest.mark.parametrize("text", [None, "no certificate", ""], ids=["no file", "no PEM", "empty"])
def test_authorities_that_are_none_are_a_setting_to_mend(tmp_path: Path, text: str | None) -> None:
    bundle = tmp_path / "ours.pem"
    if text is not None:
        bundle.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        Endpoint.of(Credentials("https://account.r2.example", "an-id", "a-secret", None, str(bundle)))
    assert refused.value.what == f"the CA bundle {bundle} cannot be used"
    assert "AWS_CA_BUNDLE" in refused.value.next
