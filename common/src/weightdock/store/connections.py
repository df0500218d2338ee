"""The connections of a process to its endpoint: kept, with time-outs, through a proxy where the environment names one.

Reading and writing share them. One TLS context is made before the first connection: OpenSSL 3 does not stand it when
several threads, each opening a connection, load authorities into one (botocore's own sessions do so, and it crashed).
"""

from __future__ import annotations

import ssl
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import make_headers, parse_url

from weightdock.store.refusals import BrokenOff, StoreFault, Unreached, Way

if TYPE_CHECKING:
    from weightdock.settings import Credentials

CONNECT_SECONDS, READ_SECONDS = 5, 25
"""Time-outs; the second is between two pieces of an answer. An endpoint that is not there is told within 30 s."""

_CONNECTIONS = 32
_BLOCK_BYTES = 256 * 1024  # of a body, as it is read from the disk


def connections(credentials: Credentials) -> urllib3.PoolManager:
    """For several threads. Nobody asks again here: the pace does, for all workers together."""
    endpoint = urlsplit(credentials.endpoint_url)
    given: dict[str, Any] = {
        "maxsize": _CONNECTIONS,
        "retries": False,
        "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        "blocksize": _BLOCK_BYTES,
    }
    if endpoint.scheme == "https":
        given["ssl_context"] = ssl.create_default_context(cafile=credentials.ca_bundle or authorities())
    proxy = None if proxy_bypass(endpoint.netloc) else getproxies().get(endpoint.scheme)
    if proxy is None:
        made = urllib3.PoolManager(**given)
    else:
        user = parse_url(proxy).auth
        theirs = make_headers(proxy_basic_auth=user) if user else None
        made = urllib3.ProxyManager(proxy, proxy_headers=theirs, **given)
    pool = made.connection_from_url(credentials.endpoint_url)
    pool.ConnectionCls = _SecureConnection if pool.scheme == "https" else _Connection  # a proxy's may be the other one
    return made


def authorities() -> str | None:
    """None for the system's; botocore's list where the system has none, as in a small image."""
    system = ssl.get_default_verify_paths()
    if system.cafile or (system.capath and any(Path(system.capath).iterdir())):
        return None
    return str(files("botocore") / "cacert.pem")


class _Connection(HTTPConnection):
    """Gives a piece of a body as long as one of an answer: to urllib3, sending the first one belongs to connecting."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_SECONDS)


class _SecureConnection(HTTPSConnection):
    """The same."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_SECONDS)


def fault(error: exceptions.HTTPError) -> StoreFault:
    """What urllib3 met, in our words."""
    match error:
        case exceptions.ProxyError():
            return Unreached(Way.NO_CONNECTION, f"{error.args[0]} {error.original_error}")
        case exceptions.SSLError():
            return Unreached(Way.NO_TRUST, str(error))
        case exceptions.NewConnectionError():
            return Unreached(Way.NO_CONNECTION, f"could not connect ({error.__cause__ or error})")
        case exceptions.ConnectTimeoutError():
            return Unreached(Way.NO_CONNECTION, f"no connection within {CONNECT_SECONDS} s")
        case exceptions.ReadTimeoutError():
            return Unreached(Way.NO_ANSWER, f"no answer within {READ_SECONDS} s")
        case _:
            return BrokenOff(str(error))
