""".env: read as docker compose reads it, or refused; compose itself is asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightdock import env_file
from weightdock import settings as weightdock_settings
from weightdock.errors import ConfigurationError
from weightdock.settings.variables import Variables

SECRET = "hush"

SAME = {
    "plain": "A=abc",
    "spaces": "  A = abc  \n",
    "export": "export A=abc\nexport B='x y'\n",
    "crlf": 'A=abc\r\nB="d e"\r\n',
    "double quotes": 'A="a b # c" # d\n',
    "single quotes": "A='a b # c' # d\n",
    "an escaped quote": 'A="a\\"b"\n',
    "a new line in quotes": "A=\"a\\nb\"\nB='a\\nb'\n",
    "a comment": "# A=1\n\n  # B=1\nA=2 # three\n",
    "a hash in a word": "A=abc#def\nB=#x\n",
    "nothing": 'A=\nB=""\n',
    "twice": "A=1\nA=2\n",
    "what keys have": "A=a=b==\nB=a/b+c==\n",
    "a byte order mark": "\ufeffA=abc\n",
    "several lines": 'A="x\ny"\nB=2\n',
    "beyond ASCII": "A=é\n",
    "a backslash": "A=a\\nb\n",
    "an odd space in a comment": "# a\u00a0b\r\nA=1\n",
    "a variable": "B=x\nA=https://${B}.example\n",
    "a variable without braces": "B=x\nA=$B-y\n",
    "a variable in quotes": 'B=x\nA="${B}"\n',
    "no variable in single quotes": "B=x\nA='${B} $B $$'\n",
    "a default": "A=${C:-d e}${C-f}\n",
    "a variable of the environment": "HOME=x\nA=${HOME}\n",
    "a doubled dollar": 'A=a$$b\nB="$$"\n',
    "an unknown variable that may be empty": "A=a${unknown:-}${unknown-}\n",
}
REFUSED = {
    "a quote that is not closed": f'A="{SECRET}\n',
    "a name with a space": f"A B={SECRET}\n",
    "YAML": f"A: {SECRET}\n",
    "a lonely dollar": f"A={SECRET}$\n",
    "an open brace": f"A={SECRET}${{B\n",
    "a demand": f"A=${{B:?{SECRET}}}\n",
    "an alternative": f"A=${{B:+{SECRET}}}\n",
    "a variable that is set nowhere": f"A={SECRET}$unknown\n",
    "one in braces": f"A={SECRET}${{unknown}}\n",
    "an escaped dollar": f'A="{SECRET}\\$x"\n',
    "an escaped single quote in double ones": f'A="{SECRET}\\\'x"\n',
    "a comment in place of a value": f"A= # {SECRET}\n",
    "a comment after a tab": f"A=x\t# {SECRET}\n",
    "a zero byte": f"A={SECRET}\0\n",
    "YAML with a comment": f"A: #{SECRET}\n",
    "YAML with an equal sign": f"A: ={SECRET}\n",
    "a lone carriage return": f"A={SECRET}\rB=1\n",
    "one in quotes": f"A='{SECRET}\rx'\n",
    "one in a comment": f"# {SECRET}\rB=1\n",
    "a line separator": f"A={SECRET}\u2028\n",
    "a form feed": f"A={SECRET}\f\n",
    "a space that does not break": f"A={SECRET}\u00a0\n",
}


@pytest.fixture(autouse=True)
def _whoever_s_line(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A and B are settings of ours, too."""
    if "theirs" not in request.fixturenames:
        monkeypatch.setattr(env_file, "_OURS", re.compile(""))


@pytest.fixture
def theirs() -> None:
    """They are somebody else's, as a training job's folder may have them."""


def read(folder: Path, text: str) -> dict[str, str]:
    path = folder / "file.env"
    path.write_bytes(text.encode())
    return env_file.read(path, {"HOME": "/at/home"})


def compose_reads(folder: Path, text: str) -> dict[str, str]:
    """What ``docker compose`` would hand to a container."""
    (folder / "compose.yaml").write_text("services: {one: {image: none, environment: [A, B]}}\n")
    (folder / "file.env").write_bytes(text.encode())
    command = ["docker", "compose", "--env-file", "file.env", "config", "--format", "json"]
    environment = {"PATH": os.environ["PATH"], "HOME": "/at/home"}
    ended = subprocess.run(command, capture_output=True, check=True, cwd=folder, env=environment)
    told = json.loads(ended.stdout)["services"]["one"]["environment"]
    return {name: value.replace("$$", "$") for name, value in told.items() if value is not None}


@pytest.mark.engine
@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_a_file_is_read_as_compose_reads_it(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert {name: value for name, value in found.items() if name in ("A", "B")} == compose_reads(tmp_path, text)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_compose_reads_otherwise_or_not_at_all_is_refused_with_its_line_and_without_its_value(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read as docker compose reads it") as refused:
        read(tmp_path, f"B=1\n{text}")
    assert "line 2: " in refused.value.cause
    assert SECRET not in str(refused.value)


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_somebody_else_s_line_is_none_of_our_business(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f"C=x\n{text}")["C"] == "x"


@pytest.mark.usefixtures("theirs")
def test_what_the_environment_has_and_what_is_in_another_encoding_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "file.env"
    path.write_bytes("NAME=Jörg\nAWS_SECRET_ACCESS_KEY=a$b\nHF_ENDPOINT=https://e.example\n".encode("latin-1"))
    found = env_file.read(path, {"AWS_SECRET_ACCESS_KEY": "wins"}, below=True)
    assert found == {"HF_ENDPOINT": "https://e.example"}
    assert Variables({"AWS_SECRET_ACCESS_KEY": "wins"}, path).secret("AWS_SECRET_ACCESS_KEY") == "wins"
    for value, below in (("", True), ("of an earlier file, over which this one goes", False)):
        with pytest.raises(ConfigurationError):
            env_file.read(path, {"AWS_SECRET_ACCESS_KEY": value}, below=below)


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    "text", ["AWS_ACCESS_KEY_ID=a$b\n", "aws access=x\n", 'A="\nAWS_ACCESS_KEY_ID=x\n', "B=b$\nHF_ENDPOINT=${B}\n"]
)
def test_what_may_be_a_setting_of_ours_is_not_left_out(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read as docker compose reads it"):
        read(tmp_path, text)


_PIECES = st.sampled_from(
    [
        "A",
        "B",
        "=",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "'",
        '"',
        "#",
        "$",
        "${",
        "}",
        ":-",
        "\\",
        "export ",
        "x",
        "é",
        "\0",
        ":",
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=40).map("".join)))
@settings(max_examples=500)
def test_whatever_the_text_there_are_variables_or_our_own_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.env"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = Variables({}, path)
    except ConfigurationError:
        return
    assert isinstance(found.plain("A"), str)


@pytest.mark.engine
def test_whatever_passes_of_many_odd_values_compose_reads_the_same(tmp_path: Path) -> None:
    """One question to compose for hundreds of values, since each takes a tenth of a second."""
    odd = ["a", "a b", "#", "'", '"', "$", "${A}", "$$", "\\", "\\n", "é", "=", "{", "}", "-", ":", "\t", " #"]
    texts = [f"{quote}{one}{two}{quote}" for one in odd for two in odd for quote in ("", "'", '"')]
    lines = []
    for number, text in enumerate(texts):
        path = tmp_path / "one.env"
        path.write_text(f"V{number}={text}\n")
        try:
            if len(env_file.read(path, {})) == 1:
                lines.append(f"V{number}={text}\n")
        except ConfigurationError:
            continue
    assert len(lines) > len(texts) / 3
    names = [line.partition("=")[0] for line in lines]
    (tmp_path / "all.env").write_text("A=of-a\n" + "".join(lines))
    (tmp_path / "compose.yaml").write_text(json.dumps({"services": {"one": {"image": "none", "environment": names}}}))
    ended = subprocess.run(
        ["docker", "compose", "--env-file", "all.env", "config", "--format", "json"],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
    )
    told = json.loads(ended.stdout)["services"]["one"]["environment"]
    found = env_file.read(tmp_path / "all.env", {})
    assert {name: found[name] for name in names} == {name: told[name].replace("$$", "$") for name in names}


@pytest.mark.parametrize(
    ("mode", "text", "warned"),
    [
        (0o644, f"AWS_SECRET_ACCESS_KEY={SECRET}\n", True),
        (0o640, f"AWS_SECRET_ACCESS_KEY={SECRET}\n", True),
        (0o600, f"AWS_SECRET_ACCESS_KEY={SECRET}\n", False),
        (0o644, "AWS_SECRET_ACCESS_KEY=\nWEIGHTDOCK_BUCKET=another\n", False),
    ],
)
def test_a_file_of_credentials_that_others_may_read_is_warned_of_once(
    tmp_path: Path, mode: int, text: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / ".env"
    path.write_text(text)
    path.chmod(mode)
    weightdock_settings.load({}, path)
    said = [f"warning: {path} holds credentials and others may read it: chmod 600 {path}"] if warned else []
    assert caplog.messages == said
