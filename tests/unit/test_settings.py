"""Settings: what wins over what, what is refused, and that no secret shows."""

from __future__ import annotations

import traceback
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from weightdock import settings
from weightdock.errors import ConfigurationError
from weightdock.licence import LicencePolicy
from weightdock.settings import Credentials, Settings

ENDPOINT = "https://account.r2.cloudflarestorage.com"
CREDENTIALS = {
    "AWS_S3_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "an-access-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_SESSION_TOKEN": "a-token",
}
SECRETS = ("an-access-key", "a-secret", "a-token")


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_without_any_variable_the_defaults_hold_and_every_credential_is_missing(dotenv: Path) -> None:
    assert settings.load({}, dotenv) == Settings(
        bucket="vision-platform-prod",
        prefix="models/pretrained",
        cache=Path("/workspace/data/.cache/models"),
        github_url="https://github.com",
        hf_endpoint="https://huggingface.co",
        memory_bytes=4 << 30,
        licences=LicencePolicy(),
        origin_allowed=False,
        offline=False,
        cache_bytes=None,
        pinned=(),
        missing=("AWS_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        _credentials=None,
    )


def test_every_variable_arrives(dotenv: Path) -> None:
    others = {
        "WEIGHTDOCK_BUCKET": "another",
        "WEIGHTDOCK_PREFIX": "/weights/",
        "WEIGHTDOCK_CACHE": "cache",
        "WEIGHTDOCK_GITHUB_URL": "https://github.example/",
        "HF_ENDPOINT": "https://hub.example/",
        "WEIGHTDOCK_MEMORY": "1536M",
        "WEIGHTDOCK_LICENCE_ALLOW": "mit",
        "WEIGHTDOCK_LICENCE_WARN": "agpl-*, gpl-*,",
        "WEIGHTDOCK_LICENCE_DENY": "cc-by-nc-*",
        "WEIGHTDOCK_ORIGIN": "allow",
        "WEIGHTDOCK_OFFLINE": "1",
        "WEIGHTDOCK_CACHE_BYTES": "1000000",
        "WEIGHTDOCK_PINNED": "timm/*, sam2_t",
    }
    assert settings.load(CREDENTIALS | others, dotenv) == Settings(
        bucket="another",
        prefix="weights",
        cache=Path("cache"),
        github_url="https://github.example",
        hf_endpoint="https://hub.example",
        memory_bytes=1536 << 20,
        licences=LicencePolicy(("mit",), ("agpl-*", "gpl-*"), ("cc-by-nc-*",)),
        origin_allowed=True,
        offline=True,
        cache_bytes=1_000_000,
        pinned=("timm/*", "sam2_t"),
        missing=(),
        _credentials=Credentials(ENDPOINT, "an-access-key", "a-secret", "a-token"),
    )


@pytest.mark.parametrize(
    ("name", "value", "next"),
    [
        ("WEIGHTDOCK_ORIGIN", "yes", "WEIGHTDOCK_ORIGIN=allow, or WEIGHTDOCK_ORIGIN=deny"),
        ("WEIGHTDOCK_OFFLINE", "true", "WEIGHTDOCK_OFFLINE=1, or WEIGHTDOCK_OFFLINE=0"),
        ("WEIGHTDOCK_CACHE_BYTES", "50 GB", "WEIGHTDOCK_CACHE_BYTES=50000000000"),
        ("WEIGHTDOCK_CACHE_BYTES", "-1", "WEIGHTDOCK_CACHE_BYTES=50000000000"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_with_one_that_does(
    dotenv: Path, name: str, value: str, next: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.load({name: value}, dotenv)
    assert (refused.value.what, refused.value.next) == (f"{name} cannot be {value!r}", next)


def test_the_environment_wins_over_dotenv_and_an_empty_variable_counts_as_none(dotenv: Path) -> None:
    dotenv.write_text(
        "WEIGHTDOCK_BUCKET=of-dotenv\nWEIGHTDOCK_PREFIX=of/dotenv\nHF_ENDPOINT='https://dotenv.example'\n"
    )
    given = settings.load({"WEIGHTDOCK_BUCKET": "of-environment", "WEIGHTDOCK_PREFIX": "", "HF_ENDPOINT": " "}, dotenv)
    assert (given.bucket, given.prefix) == ("of-environment", "of/dotenv")


def test_the_process_environment_is_what_counts_when_none_is_given(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHTDOCK_BUCKET", "of-this-process")
    assert settings.load(dotenv=dotenv).bucket == "of-this-process"


def test_dotenv_is_looked_for_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("WEIGHTDOCK_BUCKET=of-dotenv\n")
    monkeypatch.chdir(tmp_path)
    assert settings.load({}).bucket == "of-dotenv"


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
    assert settings.load({"AWS_ACCESS_KEY_ID_FILE": str(path)}, dotenv).missing == settings.CREDENTIALS


@pytest.mark.parametrize("name", [".env", "secret"])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"WEIGHTDOCK_BUCKET=\xff\xfe\n")
    with pytest.raises(ConfigurationError) as refused:
        settings.load({} if name == ".env" else {"AWS_ACCESS_KEY_ID_FILE": str(path)}, tmp_path / ".env")
    assert (
        refused.value.what
        == {
            ".env": f"{path} cannot be read",
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
        f"cause: not set, neither in the environment nor in .env: {missing}\n"
        "next: set them, or write .env (see .env.example); `make demo` is the way to try without an account"
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


def test_a_child_is_told_where_the_origins_are(dotenv: Path) -> None:
    dotenv.write_text("HF_ENDPOINT=https://hub.example\n")
    assert settings.load({}, dotenv).origins == {
        "WEIGHTDOCK_GITHUB_URL": "https://github.com",
        "HF_ENDPOINT": "https://hub.example",
    }


def test_settings_and_credentials_do_not_change(dotenv: Path) -> None:
    given = settings.load(CREDENTIALS, dotenv)
    with pytest.raises(FrozenInstanceError):
        given.bucket = "another"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        given.credentials.endpoint_url = "https://another.example"  # type: ignore[misc]


def test_a_child_gets_no_variable_that_opens_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"PATH": "/bin", "HF_TOKEN": "theirs", "WEIGHTDOCK_CACHE": "cache"}
    opening = CREDENTIALS | {f"{name}_FILE": "path" for name in CREDENTIALS} | {"AWS_PROFILE": "default"}
    assert settings.without_secrets(kept | opening) == kept
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("HF_TOKEN", "theirs")
    inherited = settings.inherited_environment()
    assert ("AWS_SECRET_ACCESS_KEY" in inherited, inherited["HF_TOKEN"]) == (False, "theirs")


@pytest.mark.parametrize(
    ("text", "size"),
    [("4g", 4 << 30), ("1536M", 1536 << 20), ("2gb", 2 << 30), ("512k", 512 << 10), ("1048576", 1 << 20)],
)
def test_memory_is_written_as_compose_writes_it(dotenv: Path, text: str, size: int) -> None:
    assert settings.load({"WEIGHTDOCK_MEMORY": text}, dotenv).memory_bytes == size


@pytest.mark.parametrize("text", ["a lot", "-1", "0", "4.5g", "4t", "4 g", "g", "9" * 30])
def test_memory_that_is_no_size_is_refused(dotenv: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="WEIGHTDOCK_MEMORY cannot be"):
        settings.load({"WEIGHTDOCK_MEMORY": text}, dotenv)
