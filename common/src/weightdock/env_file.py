"""``.env`` and files like it, read as docker compose reads them, since compose and ``make`` take the same file.

python-dotenv takes the file apart. It fills in variables otherwise than compose does (``'${NAME}'`` in single quotes,
``$NAME``, ``$$``), and a secret that the two read differently would fail in one of them only: that part is done here.
What neither could mean is refused, with its line, where it may be a setting of ours; a training job's folder may have a
``.env`` of something else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from weightdock.errors import ConfigurationError

_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<kind>:?-)(?P<default>[^${}]*))?\})"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")
_LONE_RETURN = re.compile(r"\r(?!\n)")  # ends a line for dotenv alone
_ODD_SPACE = re.compile(r"[^\S \t\r\n]")  # dotenv takes it off a value's end
_VALUE = re.compile(r"[^=]*=\s*(.*)", re.DOTALL)
_IN_SINGLE_QUOTES = re.compile(r"[^=]*=\s*'((?:\\'|[^'])*)'")  # where a backslash stands for itself
_OURS = re.compile("AWS|WEIGHTDOCK|HF_ENDPOINT|PROXY|CA_BUNDLE|SSL_CERT", re.IGNORECASE)
# compose takes these for the value, dotenv and whoever wrote them for a comment.
_DOUBTFUL_COMMENT = re.compile(r"[^=]*=[ \t]+#|[^\n]*\t#")


def read(path: Path, environ: Mapping[str, str], *, below: bool = False) -> dict[str, str]:
    """The variables of the file; ``environ`` wins where one refers to another. Raises ConfigurationError.

    ``below``: what ``environ`` has is not asked of the file, so a line that cannot be read does not matter there.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")  # with the line ends that it has
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read", cause=str(error), next="make it a readable file") from error
    found: dict[str, str] = {}
    for name, value in _values(path, text, environ, found, environ if below else {}):
        found[name] = value
    return found


def readable_by_others(path: Path) -> bool:
    """Whether group or world may read the file; false where modes mean nothing."""
    return os.name == "posix" and bool(path.stat().st_mode & 0o044)


def _values(
    path: Path, text: str, environ: Mapping[str, str], above: Mapping[str, str], unasked: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for binding in parse_stream(StringIO(text)):
        if misread := _misread(binding, environ, above):
            # A quote that is not closed may take in what follows.
            if not unasked.get(binding.key or "") and _OURS.search(text if binding.error else binding.original.string):
                raise _unreadable(path, binding.original.line, misread)
            continue
        if binding.key is None or binding.value is None:
            continue
        if _quote(binding) == "'":
            raw = _IN_SINGLE_QUOTES.match(binding.original.string)
            yield binding.key, (raw[1] if raw else binding.value).replace("\\'", "'")
            continue
        yield binding.key, _VARIABLE.sub(lambda match: _filled(match, environ, above), binding.value)


def _misread(binding: Binding, environ: Mapping[str, str], above: Mapping[str, str]) -> str:
    """What of these lines compose reads otherwise, or nobody can read. Empty: nothing."""
    return _misformed(binding) or (_misfilled(binding, environ, above) if binding.value else "")


def _misfilled(binding: Binding, environ: Mapping[str, str], above: Mapping[str, str]) -> str:
    text, value, quote = binding.original.string, binding.value or "", _quote(binding)
    if quote == "'":
        return ""
    if quote and "\\'" in text:
        return "docker compose keeps a backslash before a single quote inside double ones"
    if "\\$" in text or "$" in _VARIABLE.sub("", value):
        return "it has a $ that begins no variable; in single quotes it stands for itself"
    if any(_is_unset(match, environ, above) for match in _VARIABLE.finditer(value)):
        return "it has a $NAME that is set nowhere; in single quotes a $ stands for itself, ${NAME:-} may be empty"
    return ""


def _misformed(binding: Binding) -> str:
    text = binding.original.string
    if _NOT_UTF_8.search(text):
        return "it is not UTF-8"
    if binding.error or "\0" in text:
        return "it is no NAME=value, or a quote is not closed"
    if _LONE_RETURN.search(text):
        return "it has a carriage return that ends no line"
    if binding.key is None:
        return ""
    if not _NAME.fullmatch(binding.key):
        return "it is no NAME=value"
    if _ODD_SPACE.search(text):
        return "it has a white space that is neither a space nor a tab"
    if binding.value is not None and not _quote(binding) and _DOUBTFUL_COMMENT.match(text):
        return "docker compose takes what follows the # for the value, not for a comment"
    return ""


def _quote(binding: Binding) -> str:
    value = _VALUE.match(binding.original.string)
    return value[1][:1] if value and value[1][:1] in ("'", '"') else ""


def _is_unset(match: re.Match[str], environ: Mapping[str, str], above: Mapping[str, str]) -> bool:
    name = match["bare"] or match["braced"]
    return bool(name) and not match["kind"] and name not in environ and name not in above


def _filled(match: re.Match[str], environ: Mapping[str, str], above: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    name = match["bare"] or match["braced"]
    value = environ.get(name, above.get(name))
    if value is None or (match["kind"] == ":-" and not value):
        return match["default"] or ""
    return value


def _unreadable(path: Path, line: int, cause: str) -> ConfigurationError:
    """Without the line's text, which may be a secret's."""
    return ConfigurationError(
        f"{path} cannot be read as docker compose reads it",
        cause=f"line {line}: {cause}",
        next="mend the line (NAME='value' is always safe), or put the value into a file that NAME_FILE names",
    )
