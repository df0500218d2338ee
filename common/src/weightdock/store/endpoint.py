"""How a process gets to its endpoint: how long it waits, whom it trusts, and what proxy lies between."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from weightdock.errors import ConfigurationError

if TYPE_CHECKING:
    from weightdock.settings import Credentials

CONNECT_SECONDS, READ_SECONDS = 5, 25
"""Time-outs; the second is between two pieces of an answer. An endpoint that is not there is told within 30 s."""

PORTS = {"http": 80, "https": 443}
"""Where a host is asked whose address names no port."""


@dataclass(frozen=True)
class Endpoint:
    """Data plane and control plane share it.

    One TLS context is made before the first connection: OpenSSL 3 does not stand it when several threads, each opening
    a connection, load authorities into one (botocore's own sessions do so, and it crashed).
    """

    url: SplitResult
    proxy: SplitResult | None
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, credentials: Credentials) -> Endpoint:
        """The endpoint of ``credentials``; the proxy is the one that the environment names for it.

        Raises ConfigurationError for a proxy that nobody can speak to, and for authorities that are none.
        """
        url = urlsplit(credentials.endpoint_url)
        # no_proxy has an IPv6 address without the brackets of a URL.
        direct = proxy_bypass(url.netloc) or proxy_bypass(url.hostname or "")
        named = None if direct else getproxies().get(url.scheme)
        proxy = _proxy(named, f"{url.scheme}_proxy") if named else None
        secure = "https" in (url.scheme, proxy and proxy.scheme)
        return cls(url, proxy, _context(credentials.ca_bundle) if secure else None)

    @property
    def proxy_headers(self) -> dict[str, str]:
        """Who asks the proxy, if it wants to know."""
        if self.proxy is None or self.proxy.username is None:
            return {}
        user = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
        return {"proxy-authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}


def _context(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_bundle or authorities())
    except OSError as error:  # no file, none that we may read, or none with certificates
        raise ConfigurationError(
            f"the CA bundle {ca_bundle} cannot be used",
            cause=str(error),
            next="have AWS_CA_BUNDLE (or REQUESTS_CA_BUNDLE) name a readable file of PEM certificates, or unset it",
        ) from error


def _proxy(named: str, variable: str) -> SplitResult:
    try:
        proxy = urlsplit(named if "://" in named else f"http://{named}")
        if proxy.scheme in PORTS and proxy.hostname and proxy.port != 0:
            return proxy
    except ValueError:  # of a port that is none
        pass
    raise ConfigurationError(  # without the address: it may have a password
        f"{variable} is no address of a proxy",
        cause="it must be http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ before the host if it wants them",
        next=f"correct or unset {variable}, or name the store's host in no_proxy",
    )


def authorities() -> str | None:
    """None for the system's; botocore's list where the system has none, as in a small image."""
    system = ssl.get_default_verify_paths()
    if system.cafile or (system.capath and any(Path(system.capath).iterdir())):
        return None
    from importlib.resources import files

    return str(files("botocore") / "cacert.pem")
