"""What R2 says no with. Codes and statuses are those of https://developers.cloudflare.com/r2/api/error-codes/."""

from __future__ import annotations

from xml.sax.saxutils import escape


class Refusal(Exception):  # noqa: N818  # it is what R2 answers
    """An answer that is an error. ``rule`` is the name of the rule that was broken; empty where a fault made it."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.rule = ""

    @property
    def body(self) -> bytes:
        """The XML that S3 clients read."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message></Error>"
        ).encode()
