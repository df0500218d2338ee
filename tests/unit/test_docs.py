"""The documentation holds together: every link inside the repository leads somewhere, every help text is today's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from write_help import PAGE, page

ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_WORDS = 3 * 238
"""Of three minutes: https://doi.org/10.1016/j.jml.2019.104047 has 238 words a minute for prose."""


def _pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


def _anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = _HEADING.findall(re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S))
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def _broken(path: Path, text: str) -> list[str]:
    broken = []
    for link in _LINK.findall(_CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", _pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    assert _broken(path, path.read_text(encoding="utf-8")) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    text = (
        "[a](README.md) [b](nowhere.md) [c](README.md#commands) [d](README.md#nothing) [e](https://e.example) `[f](g)`"
    )
    assert _broken(ROOT / "any.md", text) == ["nowhere.md", "README.md#nothing"]


def test_the_page_of_commands_says_what_help_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make docs"
    assert "  --dry-run " in page().partition("### weightdock upload")[2].partition("###")[0], "options and all"


def test_what_is_for_sh_is_understood_by_any_sh() -> None:
    for path in _pages():
        for text in re.findall(r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            subprocess.run(["sh", "-n"], input=text, text=True, check=True)
            assert not re.search(r"\{[^}\s]*,[^}\s]*\}", text), f"{path}: Debian's sh leaves braces as they are"


def test_every_page_of_the_documentation_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        links = _LINK.findall(_CODE.sub("", path.read_text(encoding="utf-8")))
        targets = {(path.parent / link.partition("#")[0]).resolve() for link in links if not re.match(r"[a-z]+:", link)}
        waiting += [one for one in targets if one.suffix == ".md" and one.exists() and one not in seen]
    assert {one for one in _pages() if one.is_relative_to(ROOT / "docs")} - seen == set()


def test_the_readme_is_read_in_three_minutes() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    # Examples and tables are looked at where they are needed.
    prose = re.sub(r"^```.*?^```|^\|.*?$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert 300 < len(re.findall(r"[A-Za-z]\w*", prose)) <= _WORDS
