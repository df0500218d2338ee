"""The status page in a real Chromium: what people see, sort, search and hear. docker/browser installs one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.browser import Browser, browser
from support.pages import COMPLETE, NOW, RUN, many, statuses
from weightdock.report import RunReport
from weightdock.upkeep.page import render, write
from weightdock.upkeep.status import ModelStatus

SCREENSHOTS = Path(__file__).parents[2] / ".build" / "screenshots"
NAMES = "Array.from(document.querySelectorAll('tbody tr:not([hidden])'), row => row.cells[2].dataset.value)"
SORTED = "Array.from(document.querySelectorAll('thead th'), head => head.getAttribute('aria-sort'))"
SHOWN = "document.getElementById('shown').textContent"
FOCUSED = "document.activeElement.textContent"

# WCAG 2.2, 1.4.3: the contrast of each text with what is behind it, where it is less than 4.5.
FAINT = """
(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((c) => {
      c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor, [, , , alpha = 1] = channels(colour);
      if (alpha > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  let seen = 0;
  for (const element of document.querySelectorAll("body *")) {
    const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.closest("script, title, desc") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const colour = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const [less, more] = [luminance(colour), luminance(behind(element))].sort((one, other) => one - other);
    seen += 1;
    if ((more + 0.05) / (less + 0.05) < 4.5) faint.push(element.outerHTML + " " + colour);
  }
  return { seen, faint };
})()
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


class Page:
    """A page that was opened; at the end of a test it has asked nobody and complained of nothing."""

    def __init__(self, chromium: Browser, folder: Path) -> None:
        self._chromium, self._path = chromium, folder / "status.html"

    def show(self, given: list[ModelStatus], run: RunReport | None = None) -> Browser:
        write(self._path, render(given, NOW, run))
        self._chromium.complaints.clear()
        self._chromium.requests.clear()
        self._chromium.open(self._path.as_uri())
        return self._chromium


@pytest.fixture
def page(chromium: Browser, tmp_path: Path) -> Iterator[Page]:
    yield Page(chromium, tmp_path)
    assert chromium.complaints == []
    assert chromium.requests == [(tmp_path / "status.html").as_uri()]


def _click(column: str) -> str:
    return f"Array.from(document.querySelectorAll('thead button')).find(one => one.textContent === '{column}').click()"


def _search(text: str) -> str:
    return f"(s => {{ s.value = '{text}'; s.dispatchEvent(new Event('input')); }})(document.getElementById('search'))"


def test_every_model_is_shown_with_all_that_is_known_of_it(page: Page) -> None:
    shown = page.show(statuses(), RUN)
    assert shown.run(
        "Array.from(document.querySelectorAll('tbody tr'), row => row.innerText.split(/\\s*\\t\\s*/))"
    ) == [
        [
            *("✓ complete", "toy", "alpha\nthe toy alpha", "classify", "✓ yes", "✓ yes", "✓ yes", "✓ yes"),
            *("9.0 MB", COMPLETE.sha256, "MIT", "3 d"),
        ],
        [
            *("≠ differs", "toy", "beta\nthe toy beta\nit has 3 bytes, and the manifest says 120000000", "classify"),
            *("✓ yes", "✓ yes", "✓ yes", "✓ yes", "120.0 MB", statuses()[1].sha256, "AGPL-3.0", "2 min"),
        ],
        [
            *("○ missing", "game", "gamma\nthe game gamma", "play", "✓ yes", "– no", "– no", "– no"),
            *("–", "–", "–", "–"),
        ],
        [
            *("? unlisted", "game", "delta\nthe game delta", "play", "✓ yes", "– no", "✓ yes", "– no"),
            *("0.0 MB", "–", "–", "–"),
        ],
    ]
    facts = "Array.from(document.querySelectorAll('dl div'), one => one.innerText.split('\\n'))"
    assert shown.run(facts) == [
        ["Models", "4"],
        ["In R2", "3 · 129.0 MB"],
        ["Storage a month", "$0.0019"],
        ["On this node", "2"],
        ["≠ differs", "1"],
        ["○ missing", "1"],
        ["? unlisted", "1"],
        ["✓ complete", "1"],
    ]


def test_what_differs_or_is_missing_stands_out_by_colour_too(page: Page) -> None:
    shown = page.show(statuses())
    colours = shown.run(
        "Array.from(document.querySelectorAll('tbody tr'), row => getComputedStyle(row).backgroundColor)"
    )
    complete, differs, missing, unlisted = colours
    assert len({complete, differs, missing}) == 3
    assert missing == unlisted


def test_the_last_run_is_a_chart_whose_bars_are_as_long_as_the_models_took(page: Page) -> None:
    shown = page.show(statuses(), RUN)
    widths = shown.run("Array.from(document.querySelectorAll('svg rect'), bar => bar.getBoundingClientRect().width)")
    assert len(widths) == 2
    assert widths[0] == pytest.approx(20 * widths[1])
    assert shown.run("Array.from(document.querySelectorAll('svg text'), text => text.textContent)") == [
        *("toy/beta", "30.0 s, failed"),
        *("toy/alpha", "1.5 s, uploaded"),
    ]
    overflowing = (
        "Array.from(document.querySelectorAll('svg text'))"
        ".filter(t => t.getBBox().x < 0 || t.getBBox().x + t.getBBox().width > t.ownerSVGElement.viewBox.baseVal.width)"
    )
    assert shown.run(f"{overflowing}.length") == 0


@pytest.mark.parametrize(
    ("column", "up", "down"),
    [
        ("Model", ["alpha", "beta", "delta", "gamma"], ["gamma", "delta", "beta", "alpha"]),
        ("Size", ["delta", "alpha", "beta", "gamma"], ["beta", "alpha", "delta", "gamma"]),
        ("Age", ["beta", "alpha", "gamma", "delta"], ["alpha", "beta", "gamma", "delta"]),
        ("Licence", ["beta", "alpha", "gamma", "delta"], ["alpha", "beta", "gamma", "delta"]),
        ("State", ["beta", "gamma", "delta", "alpha"], ["alpha", "delta", "gamma", "beta"]),
        ("R2", ["gamma", "delta", "alpha", "beta"], ["delta", "alpha", "beta", "gamma"]),
    ],
)
def test_a_column_sorts_both_ways_by_value_and_what_is_not_known_comes_last(
    page: Page, column: str, up: list[str], down: list[str]
) -> None:
    shown = page.show(statuses()[2:] + statuses()[:2])
    shown.run(_click(column))
    assert shown.run(NAMES) == up
    assert [one for one in shown.run(SORTED) if one] == ["ascending"]
    shown.run(_click(column))
    assert shown.run(NAMES) == down
    assert [one for one in shown.run(SORTED) if one] == ["descending"]


def test_a_search_is_for_all_of_its_words_wherever_they_stand_and_says_how_many_it_found(page: Page) -> None:
    shown = page.show(statuses())
    for text, found in (
        ("toy", ["alpha", "beta"]),
        ("TOY agpl", ["beta"]),
        ("differs", ["beta"]),
        ("missing", ["gamma"]),
        (COMPLETE.sha256, ["alpha"]),
        ("nothing like it", []),
        ("", ["alpha", "beta", "gamma", "delta"]),
    ):
        shown.run(_search(text))
        assert shown.run(NAMES) == found
        assert shown.run(SHOWN) == f"{len(found)} of 4 shown"


def test_a_search_holds_while_the_rows_are_sorted(page: Page) -> None:
    shown = page.show(statuses())
    shown.run(_search("toy"))
    shown.run(_click("Size") + "," + _click("Size"))
    assert shown.run(NAMES) == ["beta", "alpha"]


def test_all_of_it_is_done_from_the_keyboard(page: Page) -> None:
    shown = page.show(statuses())
    shown.press("Tab")
    assert shown.run("document.activeElement.id") == "search"
    assert shown.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    shown.type("toy")
    assert shown.run(NAMES) == ["alpha", "beta"]
    shown.press("Tab")  # the table, which scrolls on narrow screens
    assert shown.run("document.activeElement.getAttribute('role')") == "region"
    shown.press("Tab", "Tab", "Tab")
    assert shown.run(FOCUSED) == "Model"
    shown.press("Enter", " ")
    assert shown.run(NAMES) == ["beta", "alpha"]


def test_who_hears_the_page_is_told_what_who_sees_it_is_told(page: Page) -> None:
    spoken = page.show(statuses(), RUN).spoken()
    for expected in (
        ("heading", "weightdock: what is where"),
        ("searchbox", "Search"),
        ("status", ""),
        ("button", "Size"),
        ("columnheader", "Licence"),
        ("rowheader", "beta the toy beta it has 3 bytes, and the manifest says 120000000"),
        ("image", "How long each model took"),
    ):
        assert [one for one in spoken if one[0] == expected[0] and one[1].startswith(expected[1])], expected


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_in_dark(page: Page, scheme: str) -> None:
    shown = page.show(statuses(), RUN)
    shown.prefer(scheme)
    found = shown.run(FAINT)
    assert found["seen"] > 60
    assert found["faint"] == []
    ground = shown.run("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
    shown.screenshot(SCREENSHOTS / f"status-{scheme}.png")


def test_what_a_hostile_manifest_says_is_shown_and_runs_nowhere(page: Page) -> None:
    hostile = (
        "<img src=https://evil.example/x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    )
    shown = page.show([replace(COMPLETE, licence=hostile, description=hostile, differs=hostile)], RUN)
    assert shown.run("document.title") == "weightdock: what is where"
    assert shown.run("document.querySelector('tbody tr').cells[10].textContent") == hostile
    assert shown.run("document.querySelectorAll('img, script').length") == 1


def test_a_script_that_got_into_the_page_all_the_same_would_not_run(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    write(path, render(statuses(), NOW).replace("<main>", "<main><script>document.title = 'taken'</script>"))
    chromium.open(path.as_uri())
    assert chromium.run("document.title") == "weightdock: what is where"
    assert [one for one in chromium.complaints if "Content Security Policy" in one]


def test_a_large_catalogue_is_searched_and_sorted_at_once(page: Page) -> None:
    shown = page.show(many(1826))
    timed = f"(() => {{ const begun = performance.now(); {_click('Size')}; {_click('Size')}; {_search('model_1825')};"
    assert shown.run(f"{timed} return performance.now() - begun; }})()") < 2000  # milliseconds
    assert shown.run(NAMES) == ["model_1825"]
    assert shown.run(SHOWN) == "1 of 1826 shown"
