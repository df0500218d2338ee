"""Settings: what wins over what, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.credentials import CREDENTIALS, ENDPOINT
from weightdock import settings
from weightdock.errors import ConfigurationError
from weightdock.licence import LicencePolicy
from weightdock.settings import Credentials, Settings

ROOT = Path(__file__).parents[2]


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
        given_credentials=None,
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
        given_credentials=Credentials(ENDPOINT, "an-access-key", "a-secret", "a-token"),
    )


@pytest.mark.parametrize(
    ("name", "value", "next"),
    [
        ("WEIGHTDOCK_ORIGIN", "yes", "WEIGHTDOCK_ORIGIN=allow, or WEIGHTDOCK_ORIGIN=deny"),
        ("WEIGHTDOCK_OFFLINE", "true", "WEIGHTDOCK_OFFLINE=1, or WEIGHTDOCK_OFFLINE=0"),
        ("WEIGHTDOCK_CACHE_BYTES", "50 GB", "WEIGHTDOCK_CACHE_BYTES=50000000000"),
        ("WEIGHTDOCK_CACHE_BYTES", "-1", "WEIGHTDOCK_CACHE_BYTES=50000000000"),
        ("WEIGHTDOCK_CACHE_BYTES", "9" * 5000, "WEIGHTDOCK_CACHE_BYTES=50000000000"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_with_one_that_does(
    dotenv: Path, name: str, value: str, next: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.load({name: value}, dotenv)
    assert (refused.value.what, refused.value.next) == (f"{name} cannot be {value[:80]!r}", next)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("WEIGHTDOCK_LICENSE_DENY", "; is it WEIGHTDOCK_LICENCE_DENY?"),
        ("WEIGHTDOCK_BUCKT", "; is it WEIGHTDOCK_BUCKET?"),
        ("WEIGHTDOCK_X", ""),
        ("AWS_SECRET_ACCES_KEY", "; is it AWS_SECRET_ACCESS_KEY?"),
    ],
)
@pytest.mark.parametrize("in_dotenv", [False, True])
def test_a_setting_that_nobody_reads_is_warned_of(
    dotenv: Path, caplog: pytest.LogCaptureFixture, name: str, hint: str, in_dotenv: bool
) -> None:
    if in_dotenv:
        dotenv.write_text(f"{name}=agpl-*\n")
    settings.load(
        {"WEIGHTDOCK_CACHE": "/here", "WEIGHT": "1", "AWS_REGION": "auto"} | ({} if in_dotenv else {name: "agpl-*"}),
        dotenv,
    )
    assert caplog.messages == [f"warning: {name} is no setting, and nobody reads it{hint}"]


def test_every_setting_that_is_documented_is_known(dotenv: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = [ROOT / "README.md", ROOT / ".env.example", ROOT / "compose.yaml", *(ROOT / "docs").glob("*.md")]
    scripts = [path for path in (ROOT / "docker").iterdir() if path.is_file()]
    named = {name for path in (*pages, *scripts) for name in re.findall("WEIGHTDOCK_[A-Z_]+[A-Z]", path.read_text())}
    values = dict.fromkeys(named, "") | {"WEIGHTDOCK_BUCKET": "b"}
    settings.load(values, dotenv)
    assert caplog.messages == []
    assert {"WEIGHTDOCK_CACHE", "WEIGHTDOCK_LICENCE_DENY", "WEIGHTDOCK_IMAGE_TAR"} <= named


@pytest.mark.parametrize("prefix", ["../x", "a/../b", "a//b", ".", "a b", "a\nb", "schlüssel", "/"])
def test_a_prefix_that_a_store_takes_amiss_is_refused(dotenv: Path, prefix: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.load({"WEIGHTDOCK_PREFIX": prefix}, dotenv)
    assert (refused.value.what, refused.value.next) == (
        f"WEIGHTDOCK_PREFIX cannot be {prefix!r}",
        "WEIGHTDOCK_PREFIX=models/pretrained",
    )


@pytest.mark.parametrize(
    ("given", "prefix"), [("/p/", "p"), ("a/b.c/d_e=f-g", "a/b.c/d_e=f-g"), ("..a", "..a"), ("", "models/pretrained")]
)
def test_a_prefix_is_names_between_slashes(dotenv: Path, given: str, prefix: str) -> None:
    assert settings.load({"WEIGHTDOCK_PREFIX": given}, dotenv).prefix == prefix


@pytest.mark.parametrize("name", ["WEIGHTDOCK_GITHUB_URL", "HF_ENDPOINT"])
@pytest.mark.parametrize("user", ["robot:hunter2@", "robot@", "@"])
def test_an_origin_s_url_with_a_password_is_refused_since_manifests_would_show_it(
    dotenv: Path, name: str, user: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.load({name: f"https://{user}mirror.example/a@b"}, dotenv)
    assert refused.value.what == f"{name} cannot be used"
    assert "hunter2" not in str(refused.value)
    assert settings.load({name: "https://mirror.example/a@b/"}, dotenv).origins[name] == "https://mirror.example/a@b"


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


def test_a_child_is_told_where_the_origins_are(dotenv: Path) -> None:
    dotenv.write_text("HF_ENDPOINT=https://hub.example\n")
    assert settings.load({}, dotenv).origins == {
        "WEIGHTDOCK_GITHUB_URL": "https://github.com",
        "HF_ENDPOINT": "https://hub.example",
    }


def test_settings_and_credentials_do_not_change(dotenv: Path) -> None:
    given = settings.load(CREDENTIALS, dotenv)
    with pytest.raises(AttributeError):
        given.bucket = "another"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        given.credentials.endpoint_url = "https://another.example"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "size"),
    [("4g", 4 << 30), ("1536M", 1536 << 20), ("2gb", 2 << 30), ("512k", 512 << 10), ("1048576", 1 << 20)],
)
def test_memory_is_written_as_compose_writes_it(dotenv: Path, text: str, size: int) -> None:
    assert settings.load({"WEIGHTDOCK_MEMORY": text}, dotenv).memory_bytes == size


@pytest.mark.parametrize("text", ["a lot", "-1", "0", "4.5g", "4t", "4 g", "g", "9" * 30, "999999999999g"])
def test_memory_that_is_no_size_is_refused(dotenv: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="WEIGHTDOCK_MEMORY cannot be"):
        settings.load({"WEIGHTDOCK_MEMORY": text}, dotenv)


def test_a_dotenv_that_cannot_be_looked_at_is_none() -> None:
    beyond = Path("x" * 300, ".env")  # as one in a folder that is closed to this user, which root's never is
    assert settings.load({}, beyond).bucket == "vision-platform-prod"
