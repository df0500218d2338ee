"""A strict double of Cloudflare R2: a proxy before an S3 server, which keeps R2's rules and has R2's bad days.

::

    with R2Double(moto.url, [Key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)]) as r2:
        third = r2.inject(SLOW_DOWN, When(operation="UploadPart", part=3, times=2))
        upload(r2.url)
        assert third.struck == 2
        assert r2.record.billed("A") == 9

What it refuses is in :mod:`~support.r2_double.rules` and :mod:`~support.r2_double.commit_rules`; what can go wrong in
:mod:`~support.r2_double.faults` and :mod:`~support.r2_double.hooks`. :class:`RemoteDouble` is the same as a process of
its own.
"""

from support.r2_double.double import R2Double
from support.r2_double.fault import Moment
from support.r2_double.faults import (
    BAD_GATEWAY,
    INTERNAL_ERROR,
    SLOW_DOWN,
    TOO_MANY_REQUESTS,
    UNAVAILABLE,
    Delay,
    DropAnswer,
    FlipByte,
    Refuse,
    ResetAnswer,
    ResetRequest,
    Silence,
    SlowAnswer,
    SlowRequest,
    Truncate,
)
from support.r2_double.hooks import Call, Pause
from support.r2_double.injection import When
from support.r2_double.remote import RemoteDouble
from support.r2_double.signature import Key
from support.r2_double.state import Expect, Limits

__all__ = [
    "BAD_GATEWAY",
    "INTERNAL_ERROR",
    "SLOW_DOWN",
    "TOO_MANY_REQUESTS",
    "UNAVAILABLE",
    "Call",
    "Delay",
    "DropAnswer",
    "Expect",
    "FlipByte",
    "Key",
    "Limits",
    "Moment",
    "Pause",
    "R2Double",
    "Refuse",
    "RemoteDouble",
    "ResetAnswer",
    "ResetRequest",
    "Silence",
    "SlowAnswer",
    "SlowRequest",
    "Truncate",
    "When",
]
