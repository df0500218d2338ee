"""The JSON schema of the lines between containers and driver: what is written fits it, and it has every word."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among our requirements
import pytest
from hypothesis import given
from hypothesis import strategies as st

import weightdock
from support.driver_fakes import model, result
from weightdock.errors import OriginError
from weightdock.events import SCHEMA as VERSION
from weightdock.events import Event, Stage, State
from weightdock.report import Operations, RunReport

SCHEMA: dict[str, Any] = json.loads((files(weightdock) / "events.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

events = st.builds(
    Event,
    model=st.just(model("timm/convnext_tiny")),
    stage=st.sampled_from(Stage),
    state=st.sampled_from(State),
    done_bytes=st.integers(0, 10**15),
    total_bytes=st.none() | st.integers(0, 10**15),
    note=st.text(max_size=40),
)


@given(events)
def test_every_event_fits(event: Event) -> None:
    VALIDATOR.validate(json.loads(event.to_json()))


def test_a_report_and_a_plan_fit() -> None:
    failed = result("timm/b", OriginError("gone", cause="404", next="wait"))
    for report in (RunReport(()), RunReport((result("timm/a"), failed)), RunReport((failed,), Operations(1, 2))):
        VALIDATOR.validate(json.loads(report.to_json()))


def test_it_has_our_version_and_our_words_and_no_others() -> None:
    assert SCHEMA["properties"]["weightdock"]["const"] == VERSION
    assert SCHEMA["properties"]["event"]["enum"] == [*State, "report"]
    assert SCHEMA["else"]["properties"]["stage"]["enum"] == list(Stage)


@pytest.mark.parametrize(
    "changed", [{"weightdock": 2}, {"event": "exploded"}, {"stage": "dreaming"}, {"model": "../x"}, {"done_bytes": -1}]
)
def test_a_line_of_another_make_does_not_fit(changed: dict[str, object]) -> None:
    line = json.loads(Event(model("timm/a"), Stage.UPLOAD, State.DONE, 1, 1).to_json())
    VALIDATOR.validate(line)
    assert not VALIDATOR.is_valid(line | changed)
