"""A plain vendor's server: the smallest dialect, which the guide's example speaks, to begin others from.

    GET /instruments?symbols=A,B                                   {"instruments": [{"symbol", "name", …}]}
    GET /bars?symbols=A,B&timeframe=1d&since=…&until=…&page_token=…
                                                                   {"bars": [{"symbol", "time", …}], "next"}
    GET /actions?symbols=A,B&since=…&until=…                       {"actions": [{"symbol", "kind", …}]}

``since`` and ``until`` are sessions, both included; a daily bar's ``time`` is its session, a minute bar's the
start in UTC. The key goes into ``Authorization: Bearer``; errors are ``{"error": …}``.

Promises: the words above and no others: an unknown parameter is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, ClassVar

import numpy as np

from qfund.market.bars import FIELDS, TIMEFRAMES, Timeframe
from qfund.testing.paging import Asked, Paging, TokenError, Told
from qfund.testing.series import EPOCH, Series, stamp
from qfund.testing.truth import Session
from qfund.testing.vendor import Answer, FakeVendor, Request


@dataclass(frozen=True)
class _Refused(Exception):  # noqa: N818 - what happened, not an error of this program
    status: int
    message: str


class FakePlain(FakeVendor):
    """See the module; a page holds ``page_rows`` bars."""

    key: ClassVar[str] = "canary-4b2e-key-of-the-plain-fake"
    page_rows: ClassVar[int] = 500

    def secrets(self) -> tuple[str, ...]:
        """The key."""
        return (self.key,)

    def answer(self, request: Request) -> Answer:
        """See the module."""
        try:
            match request.path:
                case "/instruments":
                    return self._instruments(request)
                case "/bars":
                    return self._bars(request)
                case "/actions":
                    return self._actions(request)
        except _Refused as refused:
            return self.error(refused.status, refused.message)
        return self.error(404, f"there is no {request.path}")

    def error(self, status: int, message: str) -> Answer:
        """``{"error": message}``."""
        return _json({"error": message}, status=status)

    def refusal(self, request: Request) -> Answer | None:
        """401 for any key but the right one."""
        if request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return self.error(401, "the key is not known")

    def span(self, request: Request) -> tuple[date, date] | None:
        """The sessions of a request for bars."""
        try:
            return _span(request) if request.path == "/bars" else None
        except _Refused:
            return None

    def _instruments(self, request: Request) -> Answer:
        _expect(request, {"symbols"})
        wanted = self.symbols(request)
        told = [
            {
                "symbol": who.last_name,
                "name": who.title or who.last_name,
                "listed_on": who.listed_on and who.listed_on.isoformat(),
                "delisted_on": who.delisted_on and who.delisted_on.isoformat(),
            }
            for who in self.truth.instruments
            if not wanted or who.last_name in wanted
        ]
        return _json({"instruments": told}, rows=len(told))

    def _bars(self, request: Request) -> Answer:
        _expect(request, {"symbols", "timeframe", "since", "until", "page_token"})
        timeframe = next((one for one in TIMEFRAMES if one == request.params.get("timeframe")), None)
        if timeframe is None:
            raise _Refused(400, f"there is no timeframe {request.params.get('timeframe')}")
        asked = [
            found
            for symbol in sorted(set(self.symbols(request)))
            if (found := self._asked(request, symbol, timeframe)) is not None
        ]
        now = request.moment.now.timestamp()
        daily = timeframe == "1d"
        try:
            page = Paging(self.page_rows, self.token(request), now, daily, request.faults).cut(asked)
        except TokenError as wrong:
            raise _Refused(400, str(wrong)) from None
        told = page.bars()
        bars = None if page.null else [_bar(bar, daily=daily) for bar in told]
        return _json({"bars": bars, "next": page.token}, rows=len(told), exact=page.honest)

    def _asked(self, request: Request, symbol: str, timeframe: Timeframe) -> Asked | None:
        since, until = _span(request)
        who = self.truth.holder(symbol, until)
        if who is None:
            return None
        days = self.truth.sessions(who.calendar, since, until)
        series = self.truth.series(who.key, timeframe, request.moment)
        if not days or not len(series):
            return None
        now = request.moment.now
        if timeframe == "1d":
            begun = [day for day in days if day.opens <= now]
            first, last = stamp(days[0].day), (stamp(begun[-1].day) if begun else -1)
        else:
            first, last = stamp(days[0].opens), min(stamp(days[-1].closes) - 1, int(now.timestamp()))
        start = int(np.searchsorted(series.times, first))
        stop = int(np.searchsorted(series.times, last, "right"))
        return Asked(symbol, series, start, stop, _forming(series, stop, days, timeframe, now))

    def _actions(self, request: Request) -> Answer:
        _expect(request, {"symbols", "since", "until"})
        since, until = _span(request)
        told: list[dict[str, Any]] = []
        for filed in self.truth.actions(request.moment):
            action = filed.action
            if since <= action.ex_date <= until and action.symbol in self.symbols(request):
                told.append(
                    {
                        "id": filed.identity,
                        "symbol": action.symbol,
                        "kind": action.kind,
                        "ex_date": action.ex_date.isoformat(),
                        "new_rate": _text(action.new_rate),
                        "old_rate": _text(action.old_rate),
                        "cash": _text(action.cash_amount),
                        "other_symbol": action.other_symbol,
                    }
                )
        return _json({"actions": told}, rows=len(told))


def _forming(
    series: Series, stop: int, days: list[Session], timeframe: Timeframe, now: datetime
) -> int | None:
    """The time of the last bar if it is not over."""
    if not stop:
        return None
    last = int(series.times[stop - 1])
    if timeframe == "1m":
        return last if last + 60 > now.timestamp() else None
    over = all(day.closes <= now for day in days if stamp(day.day) == last)
    return None if over else last


def _expect(request: Request, known: set[str]) -> None:
    if request.method != "GET":
        raise _Refused(405, "only GET is answered")
    unknown = sorted(set(request.params) - known)
    if unknown:
        raise _Refused(400, f"unknown parameter {unknown[0]}")


def _span(request: Request) -> tuple[date, date]:
    try:
        return date.fromisoformat(request.params["since"]), date.fromisoformat(request.params["until"])
    except (KeyError, ValueError):
        raise _Refused(400, "since and until are dates") from None


def _bar(bar: Told, *, daily: bool) -> dict[str, Any]:
    if daily and float(bar.time).is_integer():
        time = date.fromordinal(EPOCH.toordinal() + int(bar.time)).isoformat()
    else:  # a daily bar that is off its session, too
        time = datetime.fromtimestamp(bar.time * (86_400 if daily else 1), UTC).isoformat()
    return {"symbol": bar.symbol, "time": time, **dict(zip(FIELDS, bar.values, strict=True))}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _json(document: Any, *, rows: int = 0, status: int = 200, exact: bool = True) -> Answer:
    return Answer(json.dumps(document).encode(), status, rows=rows, exact=exact)
