"""Membership: which symbols a universe lets a strategy hold, session by session.

Promises: a symbol is held only by decisions made while it is a member; the first close at which it is none
any more decides to sell it. Members are followed through changes of name. What is not known of the past, and
which members have no bars, is said. It only reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from qfund.errors import NotFoundError
from qfund.store import Store, securities, symbols, universes

NAMED = 8  # symbols named one by one in a sentence
Span = tuple[date | None, date | None]


@dataclass(frozen=True)
class Membership:
    """The members of a universe, under the symbols that their bars are stored under.

    Attributes:
        universe: its name.
        spans: symbol → spans of days, both inclusive, None for no bound.
        dated_from: before this day, members without a first day are a later list applied to the past.
        missing: members of the period without bars, or whose symbol names another instrument at its end.
    """

    universe: str
    spans: Mapping[str, tuple[Span, ...]]
    dated_from: date
    missing: tuple[str, ...] = ()

    @property
    def symbols(self) -> tuple[str, ...]:
        """The columns, sorted."""
        return tuple(sorted(self.spans))

    def inside(self, columns: Collection[str], sessions: pd.DatetimeIndex) -> np.ndarray:
        """Whether a symbol is a member on a session; bool of shape (sessions, columns)."""
        member = np.zeros((len(sessions), len(columns)), dtype=bool)
        for column, symbol in enumerate(columns):
            for since, until in self.spans.get(symbol, ()):
                first = 0 if since is None else int(sessions.searchsorted(pd.Timestamp(since), "left"))
                last = None if until is None else int(sessions.searchsorted(pd.Timestamp(until), "right"))
                member[first:last, column] = True
        return member

    def applied(self, targets: pd.DataFrame, sessions: pd.DatetimeIndex) -> pd.DataFrame:
        """The targets with every wish for a non-member turned to zero, and a zero where a member leaves.

        Args:
            targets: weights, time × symbol; NaN for no wish.
            sessions: the session of each row, naive midnights.
        """
        member = self.inside(targets.columns, sessions)
        weights = targets.to_numpy(dtype=np.float64, na_value=np.nan).copy()
        weights[~member & ~np.isnan(weights)] = 0.0
        left = np.zeros_like(member)
        left[1:] = member[:-1] & ~member[1:]
        weights[left] = 0.0
        return pd.DataFrame(weights, index=targets.index, columns=targets.columns)

    def fingerprint(self, columns: Collection[str], sessions: pd.DatetimeIndex) -> str:
        """16 hexadecimal digits over who is a member when, in these sessions."""
        packed = np.packbits(self.inside(columns, sessions), axis=0)
        return hashlib.sha256(packed.tobytes()).hexdigest()[:16]

    def warnings(self, first: date) -> tuple[str, ...]:
        """What a reader must not miss of a backtest that begins on a day."""
        found = []
        if first < self.dated_from:
            found.append(
                f"Survivorship: who was in {self.universe} is known from {self.dated_from} on, and this "
                f"backtest begins on {first}. Before {self.dated_from} a later list is applied to the past: "
                "names that failed or left by then are not in it."
            )
        if self.missing:
            more = f" and {len(self.missing) - NAMED} more" if len(self.missing) > NAMED else ""
            found.append(
                f"{len(self.missing)} of {len(self.missing) + len(self.spans)} members of {self.universe} "
                f"are left out, since none of their bars are stored: {', '.join(self.missing[:NAMED])}{more}."
            )
        return tuple(found)


def membership(
    store: Store,
    name: str,
    *,
    vendor: str,
    with_bars: Collection[str],
    since: date | None,
    until: date | None,
) -> Membership:
    """The members of a universe in a period, as far as a vendor's bars of them are stored.

    Args:
        store: where to look.
        name: of the universe.
        vendor: whose symbols the members are.
        with_bars: the newest symbols of the instruments that have bars.
        since: first day; None for the first there is.
        until: last day; None for the last there is.

    Raises:
        NotFoundError: no such universe, or no member of the period has bars.
    """
    spells = universes.members(store, name, since=since, until=until)
    one = universes.universe(store, name)
    newest = {number: listing.symbol for number, listing in securities.listings(store, vendor=vendor).items()}
    bearers = symbols.bearers(
        store, vendor, sorted({spell.symbol for spell in spells} | set(newest.values()))
    )
    spans: dict[str, list[Span]] = {}
    missing = set()
    for spell in spells:
        number = symbols.bearer_during(bearers, spell.symbol, spell.since, spell.until)
        symbol = newest.get(number) if number is not None else None
        if symbol is None or symbol not in with_bars or symbols.bearer_by(bearers, symbol, until) != number:
            missing.add(spell.symbol)
        else:
            spans.setdefault(symbol, []).append((spell.since, spell.until))
    if not spans:
        raise NotFoundError(
            f"None of the {len(missing)} members of {name} has stored bars of vendor '{vendor}'.",
            fix=f"qfund ingest --vendor {vendor} --universe {name} --since {since or one.dated_from}",
            code="NO_BARS",
        )
    return Membership(
        name,
        {symbol: tuple(some) for symbol, some in spans.items()},
        one.dated_from,
        tuple(sorted(missing)),
    )
