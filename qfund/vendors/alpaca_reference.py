"""Alpaca's trading API, read only: assets, what may be done with them, the broker's sessions.

Promises: GET alone; an asset's uuid is its identity, its symbol a label. Never trades, never stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from qfund.errors import NotFoundError, UpstreamError
from qfund.market.instruments import Listing, Status

if TYPE_CHECKING:
    from qfund.vendors.wire import Wire

MICS = {
    "AMEX": "XASE",
    "ARCA": "ARCX",
    "BATS": "BATS",
    "NASDAQ": "XNAS",
    "NYSE": "XNYS",
    "NYSEARCA": "ARCX",
}
"""Alpaca's exchange → ISO 10383; the over-the-counter market is no venue."""

_NEW_YORK = ZoneInfo("America/New_York")
FEW = 10
"""So many symbols are looked up one by one; more by the whole list, which is one request of some MB."""


@dataclass(frozen=True)
class Session:
    """A session as the broker says it.

    Attributes:
        session: its date.
        opens: start of its regular hours, UTC.
        closes: end of its regular hours, UTC.
    """

    session: date
    opens: datetime
    closes: datetime


class _Asset(msgspec.Struct, gc=False):
    id: str
    symbol: str
    exchange: str
    status: str
    asset_class: str = msgspec.field(name="class")
    name: str | None = None
    tradable: bool | None = None
    marginable: bool | None = None
    shortable: bool | None = None
    borrow_status: str | None = None
    fractionable: bool | None = None
    margin_requirement_long: str | None = None
    margin_requirement_short: str | None = None


class _Day(msgspec.Struct, gc=False):
    date: date
    open: str
    close: str


_T = TypeVar("_T")


def _decoded(body: bytes, kind: type[_T], what: str) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError(f"Alpaca's answer is no {what}: {error}.", code="BAD_ANSWER") from error


def _assets(wire: Wire, symbols: Sequence[str] | None) -> list[_Asset]:
    """The assets of these symbols, or all shares, active before inactive; one for each symbol."""
    found: Iterable[_Asset]
    if symbols is not None and len(symbols) <= FEW:
        found = [asset for symbol in symbols if (asset := _asset(wire, symbol)) is not None]
    else:
        wanted = None if symbols is None else set(symbols)
        found = (asset for asset in _class(wire, "us_equity") if wanted is None or asset.symbol in wanted)
    chosen: dict[str, _Asset] = {}
    for asset in sorted(found, key=lambda one: (one.status != "active", one.exchange not in MICS)):
        chosen.setdefault(asset.symbol, asset)
    return sorted(chosen.values(), key=lambda one: one.symbol)


def _class(wire: Wire, name: str) -> list[_Asset]:
    """All assets of a class."""
    return wire.read(
        "/v2/assets",
        {"asset_class": name},
        lambda answer: _decoded(answer.body, list[_Asset], "list of assets"),
    )


def _asset(wire: Wire, symbol: str) -> _Asset | None:
    try:
        path = f"/v2/assets/{quote(symbol, safe='')}"
        asset = wire.read(path, None, lambda answer: _decoded(answer.body, _Asset, "asset"))
    except NotFoundError:
        return None
    return asset if asset.symbol == symbol else None  # an id, or an older symbol, is also found by this path


def listings(wire: Wire, symbols: Sequence[str] | None) -> list[Listing]:
    """The US shares of these symbols, or all, by symbol.

    The description knows no kind of a share (fund or company) and no dates of listing, so both stay unsaid:
    ``equity``, None; their status says what may be done today.
    """
    return [
        Listing(
            asset.symbol,
            asset.name or asset.symbol,
            mic=MICS.get(asset.exchange),
            vendor_ref=asset.id,
            status=_status(asset),
        )
        for asset in _assets(wire, symbols)
    ]


def _status(asset: _Asset) -> Status:
    """What may be done with a share today."""
    return Status(
        asset.status,
        asset.tradable,
        asset.marginable,
        asset.shortable,
        asset.borrow_status,
        asset.fractionable,
        _decimal(asset.margin_requirement_long),
        _decimal(asset.margin_requirement_short),
    )


def _decimal(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except ArithmeticError:
        return None


def pairs(wire: Wire) -> list[Listing]:
    """All crypto pairs, by symbol."""
    names = {asset.symbol for asset in _class(wire, "crypto") if "/" in asset.symbol}
    return [pair(symbol) for symbol in sorted(names)]


def pair(symbol: str) -> Listing:
    """A crypto pair, by its symbol alone: ``BTC/USD`` is priced in USD."""
    return Listing(symbol, symbol, kind="crypto", currency=symbol.rpartition("/")[2], mic=None)


def calendar(wire: Wire, since: date, until: date) -> list[Session]:
    """The broker's sessions in ``[since, until]``, by date (``/v2/calendar``, hours of New York)."""
    # The end a day later: whether the vendor takes the date of an instant in UTC or in New York is not
    # described.
    params = {"start": f"{since}T00:00:00Z", "end": f"{until + timedelta(days=1)}T00:00:00Z"}
    days = wire.read("/v2/calendar", params, lambda answer: _decoded(answer.body, list[_Day], "calendar"))
    return [
        Session(day.date, _at(day.date, day.open), _at(day.date, day.close))
        for day in sorted(days, key=lambda one: one.date)
        if since <= day.date <= until
    ]


def _at(day: date, clock: str) -> datetime:
    try:
        return datetime.combine(day, time.fromisoformat(clock), _NEW_YORK).astimezone(UTC)
    except ValueError as error:
        raise UpstreamError(
            f"Alpaca's calendar says '{clock}' for a time of {day}.", code="BAD_ANSWER"
        ) from error
