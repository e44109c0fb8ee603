"""What can go wrong at a vendor, as data: a closed set of faults that a script plays.

Promises: a fault says what goes wrong and nothing of when; each really happens on the wire, as bytes. Faults
of `Wire` spoil an answer as it is sent; faults of `PageFault` spoil what a page of bars says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Status:
    """An error instead of an answer.

    Attributes:
        code: HTTP status.
        message: in the vendor's own form of errors.
        retry_after: seconds said in ``Retry-After``; None says nothing.
        as_date: whether ``Retry-After`` is an HTTP date instead of seconds.
        reset_in: seconds from now said in ``X-RateLimit-Reset`` (unix seconds); below 0 lies in the past.
        body: the body as it is, instead of the vendor's form (a proxy's HTML).
        content_type: of ``body``.
    """

    code: int
    message: str = "scripted"
    retry_after: float | None = None
    as_date: bool = False
    reset_in: float | None = None
    body: str | None = None
    content_type: str = "text/html"


@dataclass(frozen=True)
class Drop:
    """The connection ends: before any header, after the headers, or in the middle of the body."""

    when: Literal["before headers", "after headers", "in the body"] = "before headers"


@dataclass(frozen=True)
class CutGzip:
    """A gzip body that ends early, under a Content-Length that fits what is sent."""


@dataclass(frozen=True)
class CutJson:
    """The first half of the JSON, whole by its Content-Length."""


@dataclass(frozen=True)
class Text:
    """Text or HTML in place of the answer, with a good status."""

    body: str = "<html><body>Exceeded the daily hits limit</body></html>"
    content_type: str = "text/html"


@dataclass(frozen=True)
class ContentType:
    """The right body under another content type."""

    value: str = "text/plain"


@dataclass(frozen=True)
class Delay:
    """The answer comes so much later."""

    seconds: float


@dataclass(frozen=True)
class SlowBody:
    """The body comes in small pieces with a pause after each."""

    pause: float = 0.05
    piece: int = 16


@dataclass(frozen=True)
class RepeatToken:
    """The next page's token is the one that was sent (on a first page: nothing happens)."""


@dataclass(frozen=True)
class EmptyPage:
    """No rows, but a token that leads to them."""


@dataclass(frozen=True)
class ShortPage:
    """Fewer rows than there could be, and a token."""

    rows: int


@dataclass(frozen=True)
class Overlap:
    """The page begins with the last rows of the one before; 1 is a bar twice at the boundary."""

    rows: int = 1


@dataclass(frozen=True)
class TwoBars:
    """The page's last bar comes twice, the second time with another close."""

    factor: float = 1.01


@dataclass(frozen=True)
class ExpiredToken:
    """A request with a page token is refused with 400; one without is answered."""


@dataclass(frozen=True)
class Missing:
    """A symbol's bars are left out, without a word."""

    symbol: str


@dataclass(frozen=True)
class NullBars:
    """Null where the bars should be."""


@dataclass(frozen=True)
class BadValue:
    """One field of one bar says something else: NaN, a negative, a text, an infinity, a number far too large.

    Attributes:
        field: ``open``, ``high``, ``low``, ``close`` or ``volume``.
        value: what it says; floats that JSON does not have are written as NaN and Infinity all the same.
        row: which of the page's bars; -1 is the last, and so is one that the page does not have.
    """

    field: str
    value: float | str | None
    row: int = 0


@dataclass(frozen=True)
class HighBelowLow:
    """High and low of one bar are exchanged."""

    row: int = 0


@dataclass(frozen=True)
class Forming:
    """The page's last bar is half-built: other close, half the volume; marked so if the vendor marks it."""


@dataclass(frozen=True)
class Adjusted:
    """Prices multiplied and volumes divided by a factor, although raw ones were asked."""

    factor: float = 0.5


@dataclass(frozen=True)
class Shifted:
    """All times are off by so many hours (a wrong zone); a daily bar is at no session's start any more."""

    hours: float = -5.0


@dataclass(frozen=True)
class Future:
    """A bar more, copied from the last, so many days ahead of the fake's clock."""

    days: int = 3


@dataclass(frozen=True)
class Stale:
    """Each bar of the page repeats the values of the first."""


Wire = Drop | CutGzip | CutJson | Text | ContentType | Delay | SlowBody
PageFault = (
    RepeatToken | EmptyPage | ShortPage | Overlap | TwoBars | Missing | NullBars
    | BadValue | HighBelowLow | Forming | Adjusted | Shifted | Future | Stale
)  # fmt: skip
Fault = Status | ExpiredToken | Wire | PageFault
