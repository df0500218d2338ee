"""What opens the bucket: where it may come from, what is refused, and that no secret shows."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from support.credentials import CREDENTIALS, ENDPOINT
from weightdock import settings
from weightdock.errors import ConfigurationError
from weightdock.settings import Credentials, variables

SECRETS = ("an-access-key", "a-secret", "a-token")


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_the_session_token_is_optional(dotenv: Path) -> None:
    given = settings.load({**CREDENTIALS, "AWS_SESSION_TOKEN": ""}, dotenv)
    assert given.credentials == Credentials(ENDPOINT, "an-access-key", "a-secret", None)


@pytest.mark.parametrize("place", ["environment", "dotenv"])
def test_each_credential_may_be_the_content_of_a_file(tmp_path: Path, dotenv: Path, place: str) -> None:
    files = {}
    for name, value in CREDENTIALS.items():
        path = tmp_path / name
        path.write_text(f"  {value}\n")
        files[f"{name}_FILE"] = str(path)
    if place == "dotenv":
        dotenv.write_text("".join(f"{name}={path}\n" for name, path in files.items()))
    given = settings.load(files if place == "environment" else {}, dotenv)
    assert given.credentials == Credentials(ENDPOINT, "an-access-key", "a-secret", "a-token")


def test_a_secret_and_its_file_together_are_refused(tmp_path: Path, dotenv: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.load(CREDENTIALS | {"AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret")}, dotenv)
    assert str(refused.value) == (
        "error: AWS_SECRET_ACCESS_KEY and AWS_SECRET_ACCESS_KEY_FILE are both set\n"
        "cause: one of them would silently lose\n"
        "next: unset AWS_SECRET_ACCESS_KEY or AWS_SECRET_ACCESS_KEY_FILE"
    )


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path, dotenv: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(ConfigurationError) as refused:
        settings.load({"AWS_ACCESS_KEY_ID_FILE": str(path)}, dotenv)
    assert str(refused.value) == (
        "error: AWS_ACCESS_KEY_ID_FILE cannot be read\n"
        f"cause: [Errno 2] No such file or directory: '{path}'\n"
        "next: mend the file or the path in AWS_ACCESS_KEY_ID_FILE"
    )


def test_an_empty_secret_file_counts_as_none(tmp_path: Path, dotenv: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("\n")
    assert settings.load({"AWS_ACCESS_KEY_ID_FILE": str(path)}, dotenv).missing == variables.CREDENTIALS


def test_the_example_s_endpoint_is_told_to_be_the_example_s(dotenv: Path) -> None:
    dotenv.write_text((Path(__file__).parents[2] / ".env.example").read_text(encoding="utf-8"))
    with pytest.raises(ConfigurationError) as refused:
        settings.load({}, dotenv)
    assert refused.value.cause == "it is still the example's: what stands in < > is to be yours"


@pytest.mark.parametrize("name", [*variables.CREDENTIALS, *variables.OPTIONAL_CREDENTIALS])
@pytest.mark.parametrize("value", ["one\ntwo", "one two", "one\ttwo", "schl\u00fcssel", "one\x7f"])
@pytest.mark.parametrize("in_a_file", [False, True])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(
    tmp_path: Path, dotenv: Path, name: str, value: str, in_a_file: bool
) -> None:
    path, given = tmp_path / "secret", f"{name}_FILE" if in_a_file else name
    path.write_text(value, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        settings.load({given: str(path) if in_a_file else value}, dotenv)
    assert str(refused.value) == (
        f"error: {given} cannot be used\n"
        "cause: there is a space, a line break or another character in it that no key has\n"
        f"next: write {name} anew, as one word"
    )


@pytest.mark.parametrize("name", [".env", "secret"])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"WEIGHTDOCK_BUCKET=\xff\xfe\n")
    with pytest.raises(ConfigurationError) as refused:
        settings.load({} if name == ".env" else {"AWS_ACCESS_KEY_ID_FILE": str(path)}, tmp_path / ".env")
    assert (
        refused.value.what
        == {
            ".env": f"{path} cannot be read as docker compose reads it",
            "secret": "AWS_ACCESS_KEY_ID_FILE cannot be read",
        }[name]
    )


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), "AWS_S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
        (("AWS_S3_ENDPOINT_URL",), "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
        (("AWS_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"), "AWS_SECRET_ACCESS_KEY"),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "AWS_S3_ENDPOINT_URL"),
    ],
)
def test_each_missing_credential_is_named_when_the_credentials_are_asked_for(
    dotenv: Path, given: tuple[str, ...], missing: str
) -> None:
    configured = settings.load({name: CREDENTIALS[name] for name in given}, dotenv)
    with pytest.raises(ConfigurationError) as refused:
        _ = configured.credentials
    assert str(refused.value) == (
        "error: R2 credentials not configured\n"
        f"cause: not set where settings are read from here: {missing}\n"
        "next: set them in the environment or in .env (see .env.example; with --env-file in that file, on a node in "
        "node.env); `make demo` is the way to try without an account"
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://account.r2.cloudflarestorage.com",
        "https://account.eu.r2.cloudflarestorage.com/",
        "https://192.0.2.1:8443",
        "http://localhost:9000",
        "http://127.0.0.1:9000",
        "http://127.8.9.10",
        "http://[::1]:9000",
        "http://local-r2:9000",
        "http://local_r2:9000",
    ],
)
def test_an_endpoint_is_https_or_stays_on_this_machine(dotenv: Path, url: str) -> None:
    assert settings.load({**CREDENTIALS, "AWS_S3_ENDPOINT_URL": url}, dotenv).credentials.endpoint_url == url


IN_THE_CLEAR = (
    "it must begin with https:// (http:// is for loopback and compose hosts only), "
    "or keys and weights would travel in the clear"
)

NO_HOST = "it must be a host's URL, and hold neither user nor password"


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("account.r2.cloudflarestorage.com", IN_THE_CLEAR),
        ("http://account.r2.cloudflarestorage.com", IN_THE_CLEAR),
        ("http://192.0.2.1:9000", IN_THE_CLEAR),
        ("http://localhost.example:9000", IN_THE_CLEAR),
        ("http://127.0.0.1.example:9000", IN_THE_CLEAR),
        ("http://[2001:db8::1]:9000", IN_THE_CLEAR),
        ("http://134744072", IN_THE_CLEAR),  # 8.8.8.8 as one number, which resolvers take
        ("http://0x08080808", IN_THE_CLEAR),
        ("ftp://localhost", IN_THE_CLEAR),
        ("s3://bucket", IN_THE_CLEAR),
        ("http://", NO_HOST),
        ("https://", NO_HOST),
        ("https:///bucket", NO_HOST),
        ("https://user:password@account.example", NO_HOST),
        ("https://[::1", "it is no URL: Invalid IPv6 URL"),
        ("https://account.example:port", "it is no URL: Port could not be cast to integer value as 'port'"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused_at_once(dotenv: Path, url: str, cause: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.load({**CREDENTIALS, "AWS_S3_ENDPOINT_URL": url}, dotenv)
    assert str(refused.value) == (
        "error: AWS_S3_ENDPOINT_URL cannot be used\n"
        f"cause: {cause}\n"
        "next: AWS_S3_ENDPOINT_URL=https://<account id>.r2.cloudflarestorage.com"
    )


def test_no_secret_shows_in_a_repr(dotenv: Path) -> None:
    given = settings.load(CREDENTIALS, dotenv)
    assert repr(given.credentials) == f"Credentials(endpoint_url='{ENDPOINT}', ca_bundle=None)"
    assert not [secret for secret in SECRETS if secret in repr(given)]


def test_no_secret_shows_in_a_traceback_that_shows_local_variables(dotenv: Path) -> None:
    given = settings.load(CREDENTIALS, dotenv)
    credentials = given.credentials
    try:
        raise RuntimeError(f"{credentials} {given}")
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert ENDPOINT in shown
    assert not [secret for secret in SECRETS if secret in shown]


def test_a_child_gets_no_variable_that_opens_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = {*CREDENTIALS, *(f"{name}_FILE" for name in CREDENTIALS), "AWS_PROFILE"}
    for name in (*opening, "HF_TOKEN", "WEIGHTDOCK_CACHE"):
        monkeypatch.setenv(name, "theirs")
    inherited = variables.inherited_environment()
    assert not opening & inherited.keys()
    assert (inherited["HF_TOKEN"], inherited["WEIGHTDOCK_CACHE"]) == ("theirs", "theirs")
