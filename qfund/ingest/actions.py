"""The corporate actions of a run: asked for and stored once, before the bars that they carry.

Promises: a symbol whose actions the vendor cannot tell, or to which they do not fit, costs itself only; its
bars are not kept without them. What was told is stored in transactions of their own; the factors that need
a close are made with the bars.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from qfund.errors import DataQualityError, QfundError, UpstreamError
from qfund.ingest.fetching import ENDS_THE_RUN
from qfund.ingest.look import LONGEST_CLOSURE
from qfund.ingest.plan import Facts, FetchSpan
from qfund.market import sessions
from qfund.market.actions import CorporateAction
from qfund.store import Store
from qfund.store.actions import write_actions
from qfund.store.sources import Series
from qfund.vendors.contract import Offer, Vendor

GIVE_UP_AFTER = 5
"""So many requests in a row that came to nothing for want of an answer end the asking: two symbols among many
are singled out with fewer. Each may have cost all of its attempts."""

LATE = timedelta(days=30)
"""Actions are asked for again so far back, since they may be told after their ex-date."""


@dataclass
class Actions:
    """Corporate actions of a run's symbols.

    Attributes:
        known: symbol → its actions.
        unknown: symbol → why the vendor could not tell, or why they do not fit.
        names: the symbols whose actions were asked for.
        window: the ex-dates that were asked for; None when none were.
    """

    known: dict[str, list[CorporateAction]] = field(default_factory=dict)
    unknown: dict[str, QfundError] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    window: tuple[date, date] | None = None

    @property
    def renamed(self) -> bool:
        """Whether a symbol is called something else from some day on."""
        return any(one.kind == "name_change" for told in self.known.values() for one in told)


def asked(vendor: Vendor, offer: Offer, facts: Facts, steps: Sequence[FetchSpan]) -> Actions:
    """Ask for the actions in the `window` of the steps.

    Changes of name are asked for until today, since they say what a symbol meant on the wanted days.

    Raises:
        ConfigError, BudgetError, TimeoutExpiredError, InterruptedRunError, UnreachableError: the run has to
            end.
    """
    found = Actions()
    if offer.market != "us_equity":
        return found
    since, until = window(offer, steps)
    today = max(until, facts.offered[1])
    names = list(dict.fromkeys(symbol for step in steps for symbol in step.symbols))
    batches = list(_batches(names, facts.symbols_per_request))
    in_a_row = 0
    while batches:
        batch = batches.pop(0)
        try:
            came = vendor.actions(batch, since, today)
            came = [one for one in came if one.ex_date <= until or one.kind == "name_change"]
            _take_in(found, vendor.name, batch, _of_the_present(vendor, batch, came))
            in_a_row = 0
        except ENDS_THE_RUN:
            raise
        except QfundError as error:
            in_a_row += 1 if error.retryable else 0
            if in_a_row >= GIVE_UP_AFTER:
                rest = [batch, *batches]
                found.unknown.update((name, error) for some in rest for name in some)
                break
            if len(batch) > 1:
                batches += _halves(batch)
            else:
                found.unknown.update(dict.fromkeys(batch, error))
    found.names, found.window = tuple(names), (since, until)
    return found


def window(offer: Offer, steps: Sequence[FetchSpan]) -> tuple[date, date]:
    """The ex-dates to ask for: from the first wanted session, or a month before the last, to the next one."""
    last = max(step.until for step in steps)
    after = last + timedelta(days=1)
    next_one = sessions.sessions(offer.calendar, after, after + LONGEST_CLOSURE)[0].date()
    return min(*(step.since for step in steps), last - LATE), next_one


def stored(store: Store, series: Series, facts: Facts, actions: Actions) -> int:
    """Store what was told; what does not fit moves its symbol to the unknown ones.

    Returns:
        How many actions were new.

    Raises:
        UpstreamError: the database failed.
    """
    if actions.window is None:
        return 0
    asked = set(actions.names)  # of the others nothing could be told, which is not to take anything back
    numbers = {
        one.symbol: one.instrument
        for one in facts.symbols
        if one.instrument is not None and one.symbol in asked
    }
    batches = [[name for name in numbers if name not in actions.unknown]]
    new = 0
    while batches:
        batch = batches.pop(0)
        told = [one for name in batch for one in actions.known.get(name, ())]
        ids = {name: numbers[name] for name in batch}
        try:
            with store.transaction() as connection:
                new += write_actions(connection, series.vendor, told, ids, series, whole=actions.window)
        except DataQualityError as error:  # such as a dividend that exceeds the price
            if len(batch) > 1:
                batches += _halves(batch)
            else:
                actions.unknown[batch[0]] = error
    return new


def _of_the_present(
    vendor: Vendor, batch: Sequence[str], came: Sequence[CorporateAction]
) -> list[CorporateAction]:
    """The actions without the changes of name of an earlier bearer: the vendor lists him as another share."""
    changes = {
        one.symbol: str(one.other_symbol)
        for one in came
        if one.kind == "name_change" and one.other_symbol not in (None, one.symbol, *batch)
    }
    if not changes:
        return list(came)
    refs = {one.symbol: one.vendor_ref for one in vendor.listings(sorted({*changes, *changes.values()}))}
    strange = {
        old for old, new in changes.items() if refs.get(old) and refs.get(new) and refs[old] != refs[new]
    }
    return [
        one
        for one in came
        if not (
            one.kind == "name_change" and one.symbol in strange and one.other_symbol == changes[one.symbol]
        )
    ]


def _take_in(found: Actions, vendor: str, batch: Sequence[str], came: Sequence[CorporateAction]) -> None:
    """Keep an answer.

    Raises:
        UpstreamError: an action of another symbol came.
    """
    strange = sorted({action.symbol for action in came} - set(batch))
    if strange:
        raise UpstreamError(
            f"{vendor} answered with corporate actions of {', '.join(strange)}, not asked for.",
            code="BAD_ANSWER",
        )
    for action in came:
        found.known.setdefault(action.symbol, []).append(action)


def _batches(names: Sequence[str], size: int) -> Iterator[list[str]]:
    for at in range(0, len(names), size):
        yield list(names[at : at + size])


def _halves(batch: list[str]) -> list[list[str]]:
    return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
