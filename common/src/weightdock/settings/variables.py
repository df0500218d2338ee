"""The only reader of the environment and of ``.env``, but for click's of WEIGHTDOCK_SHARE and urllib's of the proxies.

A variable of the environment wins over the same one in ``.env``; an empty value counts as none, because compose passes
unset variables as empty ones. Each credential may also be given as ``NAME_FILE``, a path whose content is the value:
what Docker and Swarm secrets are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from weightdock.errors import ConfigurationError

CREDENTIALS = ("AWS_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
OPTIONAL_CREDENTIALS = ("AWS_SESSION_TOKEN",)

_NAMES = {
    *(f"WEIGHTDOCK_{name}" for name in ("BUCKET", "PREFIX", "CACHE", "CACHE_BYTES", "PINNED", "OFFLINE", "ORIGIN")),
    *(f"WEIGHTDOCK_{name}" for name in ("GITHUB_URL", "MEMORY", "LICENCE_ALLOW", "LICENCE_WARN", "LICENCE_DENY")),
    # Of docker/, of the images and of a Swarm's tasks.
    *(f"WEIGHTDOCK_{name}" for name in ("BASE", "ENV_FILE", "IMAGE", "IMAGE_TAR", "NETWORK", "PULL", "SHARE")),
    *(f"WEIGHTDOCK_{name}" for name in ("REVISION", "SOURCE", "VERSION")),
}

_EXAMPLE = "<account id>"  # of .env.example
_KEY = re.compile(r"[!-~]*")  # what a header takes


class Variables:
    """The environment over ``.env``, by name."""

    def __init__(self, environ: Mapping[str, str], dotenv: Path) -> None:
        self._environ = environ
        self._dotenv: Mapping[str, str] = {}
        if not (os.access(dotenv, os.F_OK) and dotenv.is_file()):  # access: the folder may be closed to this user
            return
        from weightdock import env_file  # 8 ms, for whoever has such a file

        self._dotenv = env_file.read(dotenv, environ, below=True)
        if any(self._dotenv.get(name) for name in CREDENTIALS) and env_file.readable_by_others(dotenv):
            import logging

            warn = logging.getLogger("weightdock").warning
            warn("warning: %s holds credentials and others may read it: chmod 600 %s", dotenv, dotenv)

    def warn_of_misspelt(self) -> None:
        """A policy or a cap that nobody reads would be thought to hold."""
        given = {*self._environ, *self._dotenv}
        unset = [name for name in CREDENTIALS if not self.plain(name) and not self.plain(f"{name}_FILE")]
        for name in sorted(given):
            is_aws = bool(unset) and name.startswith("AWS_") and name not in (*CREDENTIALS, *OPTIONAL_CREDENTIALS)
            if not is_aws and (not name.startswith("WEIGHTDOCK_") or name in _NAMES):
                continue
            import logging
            from difflib import get_close_matches

            close = get_close_matches(name, unset if is_aws else _NAMES, n=1, cutoff=0.85)
            if is_aws and (not close or name == f"{close[0]}_FILE"):
                continue  # another program's: AWS has many
            hint = f"; is it {close[0]}?" if close else ""
            logging.getLogger("weightdock").warning("warning: %s is no setting, and nobody reads it%s", name, hint)

    def plain(self, name: str) -> str:
        """The value, or an empty string."""
        return (self._environ.get(name) or self._dotenv.get(name) or "").strip()

    def secret(self, name: str) -> str:
        """The value of ``name``, or the content of the file that ``name_FILE`` names."""
        value, path = self.plain(name), self.plain(f"{name}_FILE")
        if value and path:
            raise ConfigurationError(
                f"{name} and {name}_FILE are both set",
                cause="one of them would silently lose",
                next=f"unset {name} or {name}_FILE",
            )
        if path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(
                    f"{name}_FILE cannot be read", cause=str(error), next=f"mend the file or the path in {name}_FILE"
                ) from error
        if not _KEY.fullmatch(value):  # which it does not show: it may be most of a key
            where = f"{name}_FILE" if path else name
            raise ConfigurationError(
                f"{where} cannot be used",
                cause="it is still the example's: what stands in < > is to be yours"
                if _EXAMPLE in value
                else "there is a space, a line break or another character in it that no key has",
                next=f"write {name} anew, as one word",
            )
        return value


def of_this_process(dotenv: Path = Path(".env")) -> Variables:
    """What the environment and ``.env`` say."""
    return Variables(os.environ, dotenv)


def inherited_environment() -> dict[str, str]:
    """The environment less everything that opens a bucket: what a child that loads foreign files may see."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
