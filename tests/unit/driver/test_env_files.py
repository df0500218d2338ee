from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.driver_fakes import SETTINGS
from weightdock.errors import ConfigurationError
from weightdock.settings.variables import Variables
from weightdock_driver import env_files

LINES = "".join(f"{name}={value}\n" for name, value in SETTINGS.items())


def given(tmp_path: Path, more: str = "") -> env_files.Given:
    file = tmp_path / "settings.env"
    file.write_text(LINES + more)
    return env_files.load([file])


def test_proxies_reach_the_containers_in_both_spellings(tmp_path: Path) -> None:
    told = given(tmp_path, "https_proxy=http://proxy:3128\nNO_PROXY=store\n").proxies
    assert [(one.name, one.value) for one in told] == [
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("https_proxy", "http://proxy:3128"),
        ("NO_PROXY", "store"),
        ("no_proxy", "store"),
    ]


def test_named_files_take_neither_proxy_nor_bundle_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("SSL_CERT_FILE", __file__)
    assert given(tmp_path).proxies == ()
    assert given(tmp_path).authorities is None


def test_where_this_machine_keeps_files_is_the_environments_word_unless_the_files_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHTDOCK_CACHE", "/srv/models")
    monkeypatch.setenv("WEIGHTDOCK_BUCKET", "somebody-elses")
    read = given(tmp_path).settings
    assert (str(read.cache), read.bucket) == ("/srv/models", SETTINGS.get("WEIGHTDOCK_BUCKET", "vision-platform-prod"))
    assert str(given(tmp_path, "WEIGHTDOCK_CACHE=/mnt/models\n").settings.cache) == "/mnt/models"


def test_without_files_both_are_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {**SETTINGS, "HTTPS_PROXY": "http://proxy:3128", "AWS_CA_BUNDLE": __file__}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "other.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))  # weightdock itself goes by the first
    read = env_files.load([])
    assert "HTTPS_PROXY" in [one.name for one in read.proxies]
    assert read.authorities == Path(__file__)


def test_a_bundle_in_a_folder_that_is_closed_to_this_user_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "ca.pem").touch()
    (tmp_path / "closed").chmod(0)
    me = os.geteuid()
    try:
        if me == 0:  # whom no mode stops
            tmp_path.chmod(0o755)
            os.seteuid(65534)
        with pytest.raises(ConfigurationError, match="AWS_CA_BUNDLE cannot be used"):
            env_files._given(Variables({"AWS_CA_BUNDLE": str(tmp_path / "closed" / "ca.pem")}, Path(os.devnull)))
    finally:
        os.seteuid(me)
        (tmp_path / "closed").chmod(0o700)


@pytest.mark.parametrize("before", ["", f"SSL_CERT_FILE={__file__}\n"], ids=["alone", "after one that is there"])
def test_a_bundle_that_is_not_there_is_named(tmp_path: Path, before: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        given(tmp_path, f"{before}AWS_CA_BUNDLE=/no/such.pem\n")
    assert refused.value.what == "AWS_CA_BUNDLE cannot be used"
    assert "/no/such.pem" in refused.value.cause


def test_a_file_that_others_may_read_is_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(LINES)
    (tmp_path / ".env").chmod(0o644)
    env_files.load([])
    assert [record.message for record in caplog.records] == [
        "warning: .env holds credentials and others may read it: chmod 600 .env"
    ]


def test_what_a_later_file_says_wrongly_is_not_left_to_an_earlier_one(tmp_path: Path) -> None:
    files = [tmp_path / "earlier.env", tmp_path / "later.env"]
    files[0].write_text("WEIGHTDOCK_BUCKET=earlier\n")
    files[1].write_text("WEIGHTDOCK_BUCKET=lat$er\n")
    with pytest.raises(ConfigurationError, match="cannot be read as docker compose reads it"):
        env_files.load(files)
