"""The status as one page to look at: self-contained, no request to anybody, light and dark, sorted and searched.

Names, licences and digests come from a bucket that others may write: all of it is escaped, and the page's own policy
(Content-Security-Policy, by digest) lets the browser run the template's one script and no other.

The timings are those of a report that a run saved. It is named, not looked for in the cache: the uploaders' caches are
volumes of containers, which the machine that writes the page does not see.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from html import escape
from pathlib import Path
from string import Template

from weightdock import report
from weightdock.errors import ConfigurationError, WeightdockError
from weightdock.events import megabytes
from weightdock.report import ModelResult, RunReport
from weightdock.upkeep.status import ModelStatus, age

DOLLARS_PER_GB_MONTH = 0.015
"""R2's standard storage, a GB being 10⁹ bytes, beyond 10 GB that are free (https://developers.cloudflare.com/r2/pricing/)."""

_TEMPLATE = Path(__file__).with_name("page.html")
_CHARTED = 20
_HEADS = (
    "State",
    "Framework",
    "Model",
    "Task",
    "Lock",
    "Manifest",
    "R2",
    "This node",
    "Size",
    "SHA-256",
    "Licence",
    "Age",
)
_LINE, _LABEL, _BAR = 22, 280, 360  # heights and widths in the chart, in its own units


class State(StrEnum):
    """What an upload would find, in a word; what needs a look first."""

    DIFFERS = "differs"
    MISSING = "missing"
    UNLISTED = "unlisted"  # the object is there and the manifest does not say so: the next upload adopts it
    COMPLETE = "complete"


_ICONS = {State.DIFFERS: "≠", State.MISSING: "○", State.UNLISTED: "?", State.COMPLETE: "✓"}


def state(one: ModelStatus) -> State:
    """The model's state. A node that lacks it is none: most nodes need a few models."""
    if one.differs:
        return State.DIFFERS
    if not one.in_store:
        return State.MISSING
    return State.COMPLETE if one.in_manifest else State.UNLISTED


def dollars_a_month(size_bytes: int) -> float:
    """What storing it costs in R2."""
    return size_bytes / 1e9 * DOLLARS_PER_GB_MONTH


def read_run(path: Path) -> RunReport:
    """The report that ``--json`` or ``--events`` wrote: the file's last line. Raises ConfigurationError."""
    try:
        *_, last = path.read_text(encoding="utf-8").splitlines()
        run = report.from_json(json.loads(last))
        report.totals(run)  # numbers that are none fail here
        return run
    except (
        OSError,
        ValueError,
        ArithmeticError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        WeightdockError,
    ) as error:
        raise ConfigurationError(
            f"{path} is no report of a run",
            cause=f"{type(error).__name__}: {error}".splitlines()[0],
            next="`weightdock upload --json >run.json` writes one, and so does fetch",
        ) from error


def write(path: Path, page: str) -> None:
    """Write the page. Raises ConfigurationError."""
    try:
        path.write_text(page, encoding="utf-8", errors="replace")  # JSON can hold half a character, UTF-8 cannot
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written", cause=str(error), next="name another file") from error


def render(statuses: Sequence[ModelStatus], now: datetime, run: RunReport | None = None) -> str:
    """The page's text."""
    template = _TEMPLATE.read_text(encoding="utf-8")
    return Template(template).substitute(
        style_hash=_hash_of("style", template),
        script_hash=_hash_of("script", template),
        written=f"{now:%Y-%m-%d %H:%M} UTC",
        summary=_summary(statuses),
        run=_run(run) if run else "",
        count=f"{len(statuses)} of {len(statuses)} shown",
        heads="".join(map(_head, _HEADS)),
        rows="\n".join(_row(one, now) for one in statuses),
    )


def _hash_of(tag: str, template: str) -> str:
    """How a policy names the one inline element that it allows."""
    text = template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _summary(statuses: Sequence[ModelStatus]) -> str:
    stored = [one.size_bytes or 0 for one in statuses if one.in_store]
    counts = Counter(map(state, statuses))
    facts = {
        "Models": str(len(statuses)),
        "In R2": f"{len(stored)} · {megabytes(sum(stored))}",
        "Storage a month": f"${dollars_a_month(sum(stored)):.4f}",
        "On this node": str(sum(one.in_cache for one in statuses)),
    } | {f"{_ICONS[one]} {one}": str(counts[one]) for one in State}
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items())


def _head(name: str) -> str:
    return f'<th scope="col" class="{"number" if name == "Size" else ""}"><button type="button">{name}</button></th>'


def _row(one: ModelStatus, now: datetime) -> str:
    its = state(one)
    framework, _, name = one.model.partition("/")
    passed = datetime.fromisoformat(one.uploaded) if one.uploaded else None
    seconds = str(int(max(now - passed, timedelta()).total_seconds())) if passed else ""
    size, digits = ("", "–") if one.size_bytes is None else (str(one.size_bytes), megabytes(one.size_bytes))
    why = f'<small class="why">{escape(one.differs)}</small>' if one.differs else ""
    return "".join(
        (
            f'<tr class="{its}"><td class="state" data-value="{list(State).index(its)}">',
            f'<span aria-hidden="true">{_ICONS[its]}</span> {its}</td>',
            f"<td>{escape(framework)}</td>",
            f'<th scope="row" data-value="{escape(name)}">',
            f"{escape(name)}<small>{escape(one.description)}</small>{why}</th>",
            f"<td>{escape(one.task)}</td>",
            *(_place(there) for there in (one.locked, one.in_manifest, one.in_store, one.in_cache)),
            f'<td class="number" data-value="{size}">{digits}</td>',
            f'<td data-value="{escape(one.sha256)}"><code class="digest">{escape(one.sha256) or "–"}</code></td>',
            f'<td data-value="{escape(one.licence)}">{escape(one.licence_ruled) or "–"}</td>',
            f'<td class="age" data-value="{seconds}">{age(passed, now) if passed else "–"}</td></tr>',
        )
    )


def _place(there: bool) -> str:
    word, icon = ("yes", "✓") if there else ("no", "–")
    return f'<td class="{word}" data-value="{word}">{icon} {word}</td>'


def _run(run: RunReport) -> str:
    """What the run took, the slowest first."""
    timed = sorted((one for one in run.results if one.seconds or one.error), key=lambda one: -one.seconds)
    shown = timed[:_CHARTED]
    said = f"<h2>Last run</h2>\n<p>{escape(report.totals(run))}</p>"
    if not shown:
        return said
    rest = f'<p class="muted">The slowest {len(shown)} of {len(timed)}.</p>' if len(timed) > len(shown) else ""
    longest = max(one.seconds for one in shown) or 1.0
    described = "; ".join(f"{one.model} {_took(one)}" for one in shown)
    return (
        f'{said}\n<svg viewBox="0 0 {_LABEL + _BAR + 200} {_LINE * len(shown)}" role="img"'
        ' aria-labelledby="took which"><title id="took">How long each model took</title>'
        f'<desc id="which">{escape(described)}</desc>'
        f"{''.join(_bar(one, index * _LINE, longest) for index, one in enumerate(shown))}</svg>\n{rest}"
    )


def _bar(one: ModelResult, top: int, longest: float) -> str:
    name = str(one.model)
    label = name if len(name) <= 40 else f"{name[:25]}…{name[-14:]}"
    width = max(1.0, one.seconds / longest * _BAR)
    return (
        f'<g class="{"failed" if one.error else "done"}"><title>{escape(name)}</title>'
        f'<text x="{_LABEL - 8}" y="{top + 15}" text-anchor="end">{escape(label)}</text>'
        f'<rect x="{_LABEL}" y="{top + 3}" width="{width:.1f}" height="{_LINE - 6}"/>'
        f'<text x="{_LABEL + width + 8:.1f}" y="{top + 15}">{escape(_took(one))}</text></g>'
    )


def _took(one: ModelResult) -> str:
    return f"{one.seconds:.1f} s, {one.outcome}"
