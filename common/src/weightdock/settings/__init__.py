"""What the variables mean: everything else gets a frozen :class:`Settings`, and no value in it that cannot be used.

Where the variables come from is in :mod:`weightdock.settings.variables`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from weightdock.errors import ConfigurationError
from weightdock.licence import LicencePolicy
from weightdock.settings.variables import CREDENTIALS, OPTIONAL_CREDENTIALS, Variables, of_this_process

_HOST = re.compile(r"[A-Za-z0-9._:-]+")
# localhost and compose's service names. A name that begins with a digit may be an address in disguise (0x7f000001).
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_PART = re.compile(r"[A-Za-z0-9._=-]+")
_MEMORY = re.compile(r"([1-9][0-9]{0,11})([kmg]?)b?", re.IGNORECASE)  # as compose writes it
_MOST_MEMORY = 1 << 50
_BYTES = re.compile(r"[0-9]{1,18}")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Credentials(NamedTuple):
    """What opens the bucket. No secret shows in a repr, so none shows in a traceback.

    ``ca_bundle`` is the file of those who vouch for its endpoint (None: the system's).
    """

    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    session_token: str | None
    ca_bundle: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(endpoint_url={self.endpoint_url!r}, ca_bundle={self.ca_bundle!r})"


class Settings(NamedTuple):
    """One run's settings. ``missing`` names the credentials that were not given; ``memory_bytes`` is a container's.

    ``origin_allowed`` is whether a node may go to the origin for what R2 does not have, ``offline`` that it may go
    nowhere. ``cache_bytes`` is the most that its cache may hold (None: what fits), ``pinned`` are globs of models that
    stay whatever else has to go.
    """

    bucket: str
    prefix: str
    cache: Path
    github_url: str
    hf_endpoint: str
    memory_bytes: int
    licences: LicencePolicy
    origin_allowed: bool
    offline: bool
    cache_bytes: int | None
    pinned: tuple[str, ...]
    missing: tuple[str, ...]
    given_credentials: Credentials | None

    @property
    def origins(self) -> dict[str, str]:
        """Where the origins are, as the variables that say so, for a child that reads no ``.env``."""
        return {"WEIGHTDOCK_GITHUB_URL": self.github_url, "HF_ENDPOINT": self.hf_endpoint}

    @property
    def credentials(self) -> Credentials:
        """The credentials. Raises ConfigurationError, naming each variable that is missing."""
        if self.given_credentials is None:
            raise ConfigurationError(
                "R2 credentials not configured",
                cause=f"not set where settings are read from here: {', '.join(self.missing)}",
                next="set them in the environment or in .env (see .env.example; with --env-file in that file, on a "
                "node in node.env); `make demo` is the way to try without an account",
            )
        return self.given_credentials


def load(environ: Mapping[str, str] | None = None, dotenv: Path = Path(".env")) -> Settings:
    """Read the environment and ``dotenv``. Raises ConfigurationError for values that cannot be used.

    Missing credentials are no error here: what needs none (help, a cache look-up) must work without.
    """
    return read(of_this_process(dotenv) if environ is None else Variables(environ, dotenv))


def read(given: Variables) -> Settings:
    """See :func:`load`."""
    given.warn_of_misspelt()
    found = {name: given.secret(name) for name in CREDENTIALS + OPTIONAL_CREDENTIALS}
    missing = tuple(name for name in CREDENTIALS if not found[name])
    endpoint = found["AWS_S3_ENDPOINT_URL"]
    if endpoint:
        _check_endpoint(endpoint)
    return Settings(
        bucket=given.plain("WEIGHTDOCK_BUCKET") or "vision-platform-prod",
        prefix=_prefix(given.plain("WEIGHTDOCK_PREFIX") or "models/pretrained"),
        cache=Path(given.plain("WEIGHTDOCK_CACHE") or "/workspace/data/.cache/models"),
        github_url=_origin(given, "WEIGHTDOCK_GITHUB_URL", "https://github.com"),
        hf_endpoint=_origin(given, "HF_ENDPOINT", "https://huggingface.co"),
        memory_bytes=_memory(given.plain("WEIGHTDOCK_MEMORY") or "4g"),
        licences=LicencePolicy.parse(
            *(given.plain(f"WEIGHTDOCK_LICENCE_{name}") for name in ("ALLOW", "WARN", "DENY"))
        ),
        origin_allowed=_choice(given, "WEIGHTDOCK_ORIGIN", yes="allow", no="deny"),
        offline=_choice(given, "WEIGHTDOCK_OFFLINE", yes="1", no="0"),
        cache_bytes=_bytes(given, "WEIGHTDOCK_CACHE_BYTES"),
        pinned=tuple(given.plain("WEIGHTDOCK_PINNED").replace(",", " ").split()),
        missing=missing,
        given_credentials=None
        if missing
        else Credentials(
            endpoint_url=endpoint,
            access_key_id=found["AWS_ACCESS_KEY_ID"],
            secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
            session_token=found["AWS_SESSION_TOKEN"] or None,
            ca_bundle=given.plain("AWS_CA_BUNDLE") or given.plain("REQUESTS_CA_BUNDLE") or None,
        ),
    )


def _origin(given: Variables, name: str, default: str) -> str:
    """Where an origin is: manifests, locks and messages show it. Raises ConfigurationError."""
    value = given.plain(name) or default
    if "@" in value.partition("://")[2].partition("/")[0]:
        raise ConfigurationError(
            f"{name} cannot be used",
            cause="it has a user and perhaps a password, which manifests, locks and messages would show",
            next=f"{name}=https://HOST, of a mirror that asks for none, or that knows this machine",
        )
    return value.rstrip("/")


def _prefix(text: str) -> str:
    """With what every key begins. Raises ConfigurationError for what a store, or a tool that lists it, takes amiss."""
    prefix = text.strip("/")
    if not all(_PART.fullmatch(part) and part.strip(".") for part in prefix.split("/")):
        raise ConfigurationError(
            f"WEIGHTDOCK_PREFIX cannot be {text[:80]!r}",
            cause="its parts, between slashes, are of letters, digits, '.', '_', '=' and '-'",
            next="WEIGHTDOCK_PREFIX=models/pretrained",
        )
    return prefix


def _memory(text: str) -> int:
    """Bytes. Raises ConfigurationError."""
    matched = _MEMORY.fullmatch(text)
    bytes_ = int(matched[1]) * _UNITS[matched[2].lower()] if matched else 0
    if not 0 < bytes_ < _MOST_MEMORY:
        raise ConfigurationError(
            f"WEIGHTDOCK_MEMORY cannot be {text[:80]!r}",
            cause="it is a number of bytes, or one with k, m or g behind it",
            next="WEIGHTDOCK_MEMORY=4g",
        )
    return bytes_


def _choice(given: Variables, name: str, *, yes: str, no: str) -> bool:
    value = given.plain(name) or no
    if value not in (yes, no):
        raise ConfigurationError(
            f"{name} cannot be {value!r}", cause="it is a switch", next=f"{name}={yes}, or {name}={no}"
        )
    return value == yes


def _bytes(given: Variables, name: str) -> int | None:
    value = given.plain(name)
    if not value:
        return None
    if not _BYTES.fullmatch(value):
        raise ConfigurationError(
            f"{name} cannot be {value[:80]!r}", cause="it is a number of bytes", next=f"{name}=50000000000"
        )
    return int(value)


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _unusable(f"it is no URL: {error}") from error
    if parts.scheme in ("http", "https") and (not host or parts.username is not None):
        raise _unusable("it must be a host's URL, and hold neither user nor password")
    if parts.scheme in ("http", "https") and not _HOST.fullmatch(host):
        raise _unusable(f"{host} is no host's name")
    if parts.scheme in ("http", "https") and (parts.path not in ("", "/") or parts.query or parts.fragment):
        raise _unusable("it must end after the host: the bucket is WEIGHTDOCK_BUCKET")
    if parts.scheme != "https" and not (parts.scheme == "http" and _stays_on_this_machine(host)):
        raise _unusable(
            "it must begin with https:// (http:// is for loopback and compose hosts only), "
            "or keys and weights would travel in the clear"
        )


def _unusable(cause: str) -> ConfigurationError:
    return ConfigurationError(
        "AWS_S3_ENDPOINT_URL cannot be used",
        cause=cause,
        next="AWS_S3_ENDPOINT_URL=https://<account id>.r2.cloudflarestorage.com",
    )


def _stays_on_this_machine(host: str) -> bool:
    import ipaddress

    if _PLAIN_NAME.fullmatch(host):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
