"""Statuses and a run to render: one of each state, and catalogues of any size."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from support.samples import UPLOADED, content, digest
from weightdock.artifact import ModelId
from weightdock.errors import OriginError
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock.upkeep.status import ModelStatus

NOW = datetime.fromisoformat(UPLOADED) + timedelta(days=3, hours=4)

COMPLETE = ModelStatus(
    model="toy/alpha",
    task="classify",
    description="the toy alpha",
    locked=True,
    in_manifest=True,
    in_store=True,
    in_cache=True,
    differs="",
    size_bytes=9_000_000,
    sha256=digest(content("alpha")).hex,
    licence="MIT",
    ruling="allowed",
    uploaded=UPLOADED,
)
DIFFERING = replace(
    COMPLETE,
    model="toy/beta",
    description="the toy beta",
    differs="it has 3 bytes, and the manifest says 120000000",
    size_bytes=120_000_000,
    sha256=digest(content("beta")).hex,
    licence="AGPL-3.0",
    ruling="allowed",
    uploaded=(NOW - timedelta(minutes=2)).isoformat(),
)
MISSING = replace(
    COMPLETE,
    model="game/gamma",
    task="play",
    description="the game gamma",
    in_manifest=False,
    in_store=False,
    in_cache=False,
    size_bytes=None,
    sha256="",
    licence="",
    ruling="allowed",
    uploaded="",
)
UNLISTED = replace(MISSING, model="game/delta", description="the game delta", in_store=True, size_bytes=1_000)

RUN = RunReport(
    (
        ModelResult(ModelId.parse("toy/alpha"), "k/alpha", Outcome.UPLOADED, 9_000_000, seconds=1.5),
        ModelResult(
            ModelId.parse("toy/beta"),
            "k/beta",
            Outcome.FAILED,
            seconds=30.0,
            error=OriginError("the origin did not give toy/beta", cause="a reason", next="a help"),
        ),
        ModelResult(ModelId.parse("game/delta"), "k/delta", Outcome.PRESENT, 1_000),
    )
)


def statuses() -> list[ModelStatus]:
    """One of each state."""
    return [COMPLETE, DIFFERING, MISSING, UNLISTED]


def many(count: int) -> list[ModelStatus]:
    """A catalogue of that size."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        replace(
            COMPLETE,
            model=f"toy/model_{number}",
            size_bytes=number * 1000,
            uploaded=(first + timedelta(hours=number)).isoformat(),
        )
        for number in range(count)
    ]
