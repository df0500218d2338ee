"""Write docs/commands.md, what ``--help`` says of every command: ``make docs``. A test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from weightdock.cli import cli as weightdock
from weightdock_driver.cli import cli as driver

PAGE = Path(__file__).with_name("commands.md")
_HEAD = """\
# Commands

Written by `make docs` from what `--help` says. `weightdock` is in every image and wherever `common/` is installed;
`weightdock-driver` runs those images from a checkout, and is what `make` calls.
"""
_WIDTH = 100


def page() -> str:
    """The page's text."""
    return "\n".join([_HEAD, *_sections(weightdock, "weightdock"), *_sections(driver, "weightdock-driver")])


def _sections(command: click.Command, name: str, above: click.Context | None = None) -> Iterator[str]:
    context = command.make_context(name, [], parent=above, resilient_parsing=True, terminal_width=_WIDTH)
    said = f"$ {context.command_path} --help\n{command.get_help(context)}"
    yield f"{'###' if above else '##'} {context.command_path}\n\n```console\n{said}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)  # imported when it is asked for
            assert found
            yield from _sections(found, inner, context)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
