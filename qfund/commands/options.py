"""Options that mean the same in every command, and how their values are read.

Promises: ``--since``/``--until`` take an ISO date, ``5d``/``2w``/``6m``/``1y`` ago, ``last`` or ``today``;
``--symbols`` takes ``A,B`` or ``@file``; ``-p`` takes ``name=value``. What cannot be read is a `UsageError`
that shows the forms. Knows no calendar: ``last`` is given by the command that knows what the last session is.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer

from qfund.commands.completion import (
    complete_strategies,
    complete_symbols,
    complete_universes,
    complete_vendors,
)
from qfund.errors import UsageError

DATES = "an ISO date (2024-01-31), 5d, 2w, 6m or 1y ago, last, or today"
_AGO = re.compile(r"(?P<count>\d{1,5})(?P<unit>[dwmy])")

SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="DATE", help="First day: 2024-01-31, 5d, 6m, 1y ago, last."),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="DATE", help="Last day, inclusive; the same forms."),
]
SymbolsOption = Annotated[
    str | None,
    typer.Option(
        "--symbols",
        metavar="A,B|@FILE",
        help="Only these: a list, or @file with one a line.",
        autocompletion=complete_symbols,
    ),
]
UniverseOption = Annotated[
    str | None,
    typer.Option(
        "--universe",
        metavar="NAME",
        help="The members of a universe, past ones of the period too.",
        autocompletion=complete_universes,
    ),
]
FeedOption = Annotated[
    str | None, typer.Option("--feed", metavar="NAME", help="Which of the vendor's feeds.")
]
PriceOption = Annotated[
    Literal["trade", "mid", "bid", "ask"] | None,
    typer.Option("--price", help="Trades or quotes, where the vendor has both."),
]
HoursOption = Annotated[
    Literal["regular", "extended", "always"] | None,
    typer.Option("--hours", help="Regular hours, or morning and evening too."),
]
VendorOption = Annotated[
    str | None,
    typer.Option("--vendor", metavar="NAME", help="Vendor of the data.", autocompletion=complete_vendors),
]
TimeframeOption = Annotated[
    Literal["1d", "1m"] | None, typer.Option("--timeframe", help="Only bars of this length.")
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", metavar="NAME=VALUE", help="A strategy's parameter; may be repeated."),
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="MOMENT",
        help="Data as they were known then: 2024-01-31 or 2024-01-31T15:00Z.",
    ),
]
PathOption = Annotated[
    str | None, typer.Option("--path", metavar="FILE", help="The file, for --vendor files.")
]
WithOption = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="NAME=VALUE",
        help="What else the vendor takes, see: qfund data vendors --settings. Repeatable.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of random choices.")]
JobsOption = Annotated[
    int, typer.Option("--jobs", "-j", metavar="N", min=1, help="How many at the same time.")
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many.")]
StrategyArgument = Annotated[
    Path,
    typer.Argument(
        metavar="STRATEGY",
        help="A strategy file, such as strategies/sma_cross.py.",
        autocompletion=complete_strategies,
        show_default=False,
    ),
]


def day(text: str | None, *, option: str, today: date, last: date | None = None) -> date | None:
    """A date option's value.

    Args:
        text: what was typed; None stays None.
        option: the option's name, for the message.
        today: the day that ``5d`` counts back from.
        last: what ``last`` means here; None where it means nothing.

    Returns:
        The day, or None when the option was not given.

    Raises:
        UsageError: the text is no date, or a date that no calendar has.
    """
    if text is None:
        return None
    word = text.strip().casefold()
    if word == "today":
        return today
    if word == "last" and last is not None:
        return last
    try:
        if ago := _AGO.fullmatch(word):
            return _before(today, int(ago["count"]), ago["unit"])
        return date.fromisoformat(word)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{option} '{text}' is no date: use {DATES}.", code="BAD_DATE", details={"option": option}
        ) from error


def _before(today: date, count: int, unit: str) -> date:
    """``count`` days, weeks, months or years before today; a month's missing day is its last one."""
    if unit in "dw":
        return today - timedelta(days=count * (7 if unit == "w" else 1))
    months = today.year * 12 + today.month - 1 - count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    return date(year, month + 1, min(today.day, calendar.monthrange(year, month + 1)[1]))


def instant(text: str | None, *, option: str = "--as-of") -> datetime | None:
    """A moment: an ISO date (the end of that day, UTC) or an ISO date and time (UTC unless it has an offset).

    Returns:
        Timezone-aware UTC, or None when the option was not given.

    Raises:
        UsageError: the text is neither.
    """
    if text is None:
        return None
    word = text.strip()
    try:
        if len(word) <= len("2024-01-31"):
            return datetime.combine(date.fromisoformat(word), time.max, UTC)
        moment = datetime.fromisoformat(word)
    except ValueError as error:
        raise UsageError(
            f"{option} '{text}' is no moment: use 2024-01-31 or 2024-01-31T15:00Z.",
            code="BAD_DATE",
            details={"option": option},
        ) from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def period(
    since: str | None, until: str | None, *, today: date, last: date | None = None
) -> tuple[date | None, date | None]:
    """``--since`` and ``--until`` together.

    Raises:
        UsageError: one is no date, or the first day is after the last.
    """
    first = day(since, option="--since", today=today, last=last)
    final = day(until, option="--until", today=today, last=last)
    if first and final and first > final:
        raise UsageError(
            f"--since {first} is after --until {final}, so no day is left.",
            fix=f"swap them: --since {final} --until {first}",
            code="EMPTY_PERIOD",
        )
    return first, final


def symbols(text: str | None) -> tuple[str, ...] | None:
    """``--symbols``: ``A,B`` or ``@file`` (one or more a line, ``#`` starts a comment), each once.

    Returns:
        The symbols in upper case and in the order given, or None when the option was not given.

    Raises:
        UsageError: none is named, or the file cannot be read.
    """
    if text is None:
        return None
    source = _file_of_symbols(Path(text[1:]).expanduser()) if text.startswith("@") else text
    found = tuple(dict.fromkeys(word.upper() for word in re.split(r"[\s,]+", source) if word))
    if not found:
        raise UsageError("--symbols names no symbol: use A,B or @file.", code="NO_SYMBOLS")
    return found


def _file_of_symbols(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"--symbols @{path} cannot be read: {reason}.", code="SYMBOLS_FILE") from error
    return "\n".join(line.partition("#")[0] for line in lines)


def params(texts: Sequence[str] | None, flag: str = "-p") -> dict[str, str]:
    """``-p name=value``, repeated, as a mapping of text; a strategy gives the values their types.

    ``flag`` is how the option is written, for errors.

    Raises:
        UsageError: no ``=``, no name, or a name twice.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals):
            raise UsageError(f"{flag} '{text}' is not of the form name=value.", code="BAD_PARAM")
        if name in found:
            raise UsageError(f"{flag} {name} is given twice.", code="BAD_PARAM")
        found[name] = value
    return found
