"""Images in which play.py stands in for ``weightdock``: for whoever looks at the driver, and not at the work."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from support.driver_fakes import SECRET, model, reported, result
from weightdock.errors import OriginError
from weightdock.events import Event, Stage, State

_PLAY = Path(__file__).with_name("play.py")
_BYTES = 1_000_000
_DOCKERFILE = """\
FROM weightdock/base:bookworm
COPY play.py lines.ndjson /
ARG PLAY
ENV PLAY=$PLAY
ENTRYPOINT ["python3", "/play.py"]
"""


def build(folder: Path, image: str, play: str, name: str, progress: int = 0) -> str:
    """Have ``image`` play so, and speak of the model ``name`` with so many events of its progress; gives ``image``."""
    context = folder / image.replace("/", "-").replace(":", "-")
    context.mkdir(exist_ok=True)
    shutil.copy(_PLAY, context)
    (context / "Dockerfile").write_text(_DOCKERFILE)
    (context / "lines.ndjson").write_text(_lines(name, play, progress))
    command = ["docker", "build", "--quiet", "--build-arg", f"PLAY={play}", "--tag", image, str(context)]
    subprocess.run(command, check=True, capture_output=True)
    return image


def store_file(folder: Path) -> Path:
    """Settings for ``--env-file``, of a store that nobody asks."""
    store = folder / "store.env"
    store.write_text(
        f"AWS_S3_ENDPOINT_URL=https://r2.example.com\nAWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY={SECRET}\n"
    )
    return store


def _lines(name: str, play: str, progress: int) -> str:
    states = [(State.STARTED, 0), *((State.PROGRESS, _BYTES * done // progress) for done in range(progress))]
    events = "".join(Event(model(name), Stage.UPLOAD, state, done, _BYTES).to_json() + "\n" for state, done in states)
    if play in ("succeed", "work"):
        return events + reported(result(name))
    if play == "fail":
        return events + reported(result(name, OriginError("the origin has no such file", cause="404", next="look")))
    return events
