"""What the tests of the driver share."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.driver_fakes import SETTINGS, TIMM, ULTRALYTICS, FakeEngine, Play, reported, result
from weightdock.report import RunReport
from weightdock_driver import engine, verdict
from weightdock_driver.jobs import Job


@pytest.fixture(autouse=True)
def reports_on_a_few_models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The containers of these tests report on a model or two of the catalogue, and that is no fault of theirs."""

    def as_it_is(_job: Job, report: RunReport) -> RunReport:
        return report

    if "whole_reports" not in request.keywords:
        monkeypatch.setattr(verdict, "_completed", as_it_is)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials in the environment, and no .env in the folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_SESSION_TOKEN", "WEIGHTDOCK_BUCKET", "WEIGHTDOCK_PREFIX", "WEIGHTDOCK_GITHUB_URL", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WEIGHTDOCK_CACHE", str(tmp_path / "cache"))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in SETTINGS.items():
        monkeypatch.delenv(f"{name}_FILE", raising=False)
        monkeypatch.setenv(name, value)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine in whose containers all goes well, until a test changes its plays."""
    made = FakeEngine(
        {
            TIMM: Play(reported(result("timm/convnext_tiny"))),
            ULTRALYTICS: Play(reported(result("ultralytics/yolo11n"))),
            "weightdock/node": Play(reported(result("timm/convnext_tiny"))),
        }
    )
    monkeypatch.setattr(engine, "Engine", lambda: made)
    return made


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched() -> None:
        raise AssertionError("the engine was touched")

    monkeypatch.setattr(engine, "Engine", touched)
