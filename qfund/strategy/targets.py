"""The weights a strategy decides, checked before anything trusts them.

Promises: what comes out is float64, has exactly the index and columns of the bars, holds no infinity and no
decision made before the declared warm-up. The strategy gets read-only copies of the frames, so it can never
change the bars of others. Each fault is its own error with its own code, naming column and first time.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qfund.errors import DataQualityError, QfundError
from qfund.market.bars import FIELDS, Bars
from qfund.market.sessions import minutes_in_session, sessions
from qfund.strategy.api import Strategy
from qfund.strategy.faults import place_of, told
from qfund.strategy.spoken import aside

_FULLY_INVESTED = 1.0 + 1e-9  # weights such as 3 × (1/3) may exceed one by rounding


def checked_targets(strategy: Strategy, bars: Bars) -> pd.DataFrame:
    """The strategy's target weights for every bar, fit to trade on.

    Args:
        strategy: an instance; it is called once.
        bars: the history, warm-up included.

    Returns:
        float64, time × symbol with the index and columns of ``bars.close``. Rows before the declared warm-up
        (the first ``warmup - 1`` bars) are NaN, no decision, whatever the strategy returned there.

    Raises:
        DataQualityError: no bars (``NO_BARS``), fewer than the warm-up (``WARMUP``), the method raises
            (``TARGETS_FAIL``), writes into the bars (``TARGETS_WRITE``), or returns no frame
            (``TARGETS_TYPE``), other rows (``TARGETS_ROWS``), other times (``TARGETS_INDEX``), other symbols
            (``TARGETS_COLUMNS``), no numbers (``TARGETS_DTYPE``), infinities (``TARGETS_INFINITE``).
    """
    warmup = checked_warmup(strategy, bars)
    targets = evaluated(strategy, bars)
    _check_finite(strategy, targets)
    return without_warmup(targets, warmup)


def remarks(targets: pd.DataFrame) -> tuple[str, ...]:
    """What is allowed but worth telling: nothing decided, only zeros, more than the capital wished for."""
    values = targets.to_numpy(dtype=np.float64)
    if np.isnan(values).all():
        return ("The strategy decides nothing: every target is NaN.",)
    if not np.nan_to_num(values).any():
        return ("The strategy never wants a position: every target is zero or NaN.",)
    gross = np.nansum(np.abs(values), axis=1)
    most = int(gross.argmax())
    if gross[most] > _FULLY_INVESTED:
        when = moment(targets.index, most)
        return (f"The targets ask for up to {gross[most]:.2f} times the capital (on {when}).",)
    return ()


def declared_warmup(strategy: Strategy) -> int:
    """The warm-up that a strategy declares, in bars, at least 1.

    Raises:
        DataQualityError: asking for it raises (``WARMUP_FAILS``), or it is no whole number of bars
            (``WARMUP_TYPE``).
    """
    try:
        with aside():
            warmup: Any = strategy.warmup
    except Exception as error:
        raise _raised(strategy, error, "warmup") from error
    if isinstance(warmup, bool) or not isinstance(warmup, int | np.integer) or warmup < 0:
        name = type(strategy).__name__
        raise DataQualityError(
            f"{name}.warmup must be a whole number of bars, 0 or more, got {warmup!r}.",
            fix=f"@property def warmup(self) -> int in {name}",
            code="WARMUP_TYPE",
        )
    return max(int(warmup), 1)


def checked_warmup(strategy: Strategy, bars: Bars) -> int:
    """The declared warm-up in bars, at least 1, which the bars must cover.

    Raises:
        DataQualityError: as `declared_warmup`, or there are no bars (``NO_BARS``), or fewer than it needs
            (``WARMUP``); the message says how many bars there are and which ``--since`` would do.
    """
    name = type(strategy).__name__
    warmup = declared_warmup(strategy)
    if len(bars) == 0:
        raise DataQualityError(
            f"There are no bars for {name} to decide on.", fix="qfund data status", code="NO_BARS"
        )
    if len(bars) < warmup:
        raise _too_short(name, warmup, bars)
    return warmup


def evaluated(strategy: Strategy, bars: Bars) -> pd.DataFrame:
    """What the strategy returns, in the right shape and type; infinities and warm-up not yet looked at.

    Raises:
        DataQualityError: as `checked_targets`, but for infinities and warm-up.
    """
    shown, arrays = _read_only(bars)
    try:
        with aside():
            returned = strategy.targets(shown)
    except QfundError:
        raise
    except (Exception, SystemExit) as error:
        raise _raised(strategy, error, "targets") from error
    _check_untouched(strategy, shown, arrays)
    return _shaped(strategy, returned, bars)


def without_warmup(targets: pd.DataFrame, warmup: int) -> pd.DataFrame:
    """The targets with NaN in the rows decided on fewer than ``warmup`` bars; in place, and returned."""
    if warmup > 1:
        targets.iloc[: warmup - 1] = np.nan
    return targets


def moment(index: pd.Index, row: int) -> str:
    """A row's time for people and JSON: a date for daily bars, RFC 3339 UTC for minutes."""
    time = pd.Timestamp(index[row])
    return f"{time:%Y-%m-%d}" if time.tz is None else f"{time.tz_convert('UTC'):%Y-%m-%dT%H:%M:%SZ}"


def _read_only(bars: Bars) -> tuple[Bars, dict[str, np.ndarray]]:
    """The same bars in frames of their own over arrays that cannot be written, and those arrays."""
    arrays, frames = {}, {}
    for name in FIELDS:
        frame: pd.DataFrame = getattr(bars, name)
        arrays[name] = frame.to_numpy(dtype=np.float64).view()
        arrays[name].flags.writeable = False
        # Copies of the labels: renaming an axis in place would otherwise reach the caller's frames.
        index, columns = frame.index.copy(), frame.columns.copy()
        frames[name] = pd.DataFrame(arrays[name], index=index, columns=columns, copy=False)
    return replace(bars, **frames), arrays  # type: ignore[arg-type]  # five frames by name


def _check_untouched(strategy: Strategy, shown: Bars, arrays: dict[str, np.ndarray]) -> None:
    """Refuse a strategy that changed its frames as a whole (``close += 1``, a new column)."""
    for name, array in arrays.items():
        frame: pd.DataFrame = getattr(shown, name)
        # A frame in which something was replaced no longer stands on the array it was made of.
        same = frame.shape == array.shape and np.may_share_memory(frame.to_numpy(), array)
        if array.size and not same:
            raise _writes(strategy, f"bars.{name} was changed in place", name)


def _writes(strategy: Strategy, what: str, field: str) -> DataQualityError:
    return DataQualityError(
        f"{type(strategy).__name__}.targets writes into its bars: {what}. Bars are shared and read only.",
        fix=f"work on a copy: {field} = bars.{field}.copy()",
        code="TARGETS_WRITE",
    )


def _raised(strategy: Strategy, error: BaseException, method: str) -> DataQualityError:
    """The error for a method that raised."""
    name = type(strategy).__name__
    file = getattr(sys.modules.get(type(strategy).__module__), "__file__", None)
    where = place_of(error, Path(file).parent) if file else None  # none in a notebook
    at = f" at {where} ({where.text})" if where else ""
    if isinstance(error, ValueError) and "read-only" in str(error):
        return _writes(strategy, f"{told(error)}{at}", "close")
    return DataQualityError(
        f"{name}.{method} fails{at}: {told(error)}.",
        fix=f"mend line {where.line} of {where.file}" if where else f"mend {name}.{method}",
        code="TARGETS_FAIL" if method == "targets" else "WARMUP_FAILS",
        details={"file": where.file if where else None, "line": where.line if where else None},
    )


def _too_short(name: str, warmup: int, bars: Bars) -> DataQualityError:
    first, last = bars.sessions[0].date(), bars.sessions[-1].date()
    since = _session_before(bars, warmup - len(bars))
    return DataQualityError(
        f"{name} needs {warmup} bars before its first decision, and there are {len(bars)} "
        f"({first} to {last}). History from {since} on would do.",
        fix=f"--since {since} or earlier (ingest it first), or parameters that need fewer bars",
        code="WARMUP",
        details={"needed": warmup, "bars": len(bars), "since": since},
    )


def _session_before(bars: Bars, missing: int) -> date:
    """The session from which on there would be ``missing`` more bars before the first."""
    first = bars.sessions[0].date()
    per_session = 1
    if bars.timeframe == "1m":
        per_session = int(np.median(minutes_in_session(bars.calendar, first, bars.sessions[-1].date())))
    count = -(-missing // max(per_session, 1))
    # Exchanges open on about 250 days a year; twice that many days back holds enough of them.
    start = (bars.sessions[0] - pd.Timedelta(days=2 * count + 30)).date()
    earlier = sessions(bars.calendar, start, first)
    earlier = earlier[earlier < bars.sessions[0]]
    return earlier[-count].date() if 0 < count <= len(earlier) else start


def _shaped(strategy: Strategy, returned: object, bars: Bars) -> pd.DataFrame:
    """The returned frame as float64 over the bars' index and columns."""
    name = type(strategy).__name__
    if not isinstance(returned, pd.DataFrame):
        kind = "nothing (is a return missing?)" if returned is None else f"a {type(returned).__name__}"
        raise _fault(
            f"{name}.targets returns {kind}; it must be a DataFrame of weights, time × symbol.",
            "TYPE",
            "return a frame like bars.close",
        )
    _check_columns(name, returned, bars)
    _check_rows(name, returned, bars)
    ordered = returned[list(bars.close.columns)]
    if (ordered.dtypes == np.float64).all():
        values = ordered.to_numpy(copy=True)
    else:
        columns = [_numbers(name, ordered.iloc[:, place]) for place in range(ordered.shape[1])]
        values = np.column_stack(columns)
    return pd.DataFrame(values, index=bars.index, columns=bars.close.columns, copy=False)


def _check_columns(name: str, returned: pd.DataFrame, bars: Bars) -> None:
    columns, wanted = returned.columns, bars.close.columns
    if columns.equals(wanted):
        return
    twice = [str(column) for column in columns[columns.duplicated()].unique()]
    missing = [str(symbol) for symbol in wanted if symbol not in columns]
    extra = [str(column) for column in columns if column not in wanted]
    faults = [
        f"{what} {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
        for what, names in (("twice:", twice), ("missing:", missing), ("not a symbol:", extra))
        if names
    ]
    if faults:
        raise _fault(
            f"{name}.targets returns other columns than bars.close: {'; '.join(faults)}.",
            "COLUMNS",
            "weights.reindex(columns=bars.close.columns)",
            twice=twice,
            missing=missing,
            extra=extra,
        )


def _check_rows(name: str, returned: pd.DataFrame, bars: Bars) -> None:
    index, wanted = returned.index, bars.index
    if index.equals(wanted):
        return
    if len(index) != len(wanted):
        text = f"{name}.targets returns {len(index)} rows for {len(wanted)} bars"
        absent = ~wanted.isin(index)
        if absent.any() and len(index) < len(wanted):
            text += f"; the first bar without one is {moment(wanted, int(absent.argmax()))}"
        raise _fault(
            f"{text}. Keep every row: NaN means no decision.",
            "ROWS",
            "weights.reindex(bars.close.index)",
            rows=len(index),
            bars=len(wanted),
        )
    differs = np.asarray([one != other for one, other in zip(index, wanted, strict=True)])
    row = int(differs.argmax())
    raise _fault(
        f"{name}.targets returns another index than bars.close: row {row} is {index[row]!s} "
        f"instead of {moment(wanted, row)}.",
        "INDEX",
        "weights.index = bars.close.index, or never reset it",
        row=row,
    )


def _numbers(name: str, column: pd.Series[Any]) -> np.ndarray:
    """A column as float64: numbers, true and false, nullable types, and objects that are all numbers."""
    if column.dtype == np.float64:
        return column.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if column.dtype == object:
        odd = [not _is_number(value) for value in column]
        if not any(odd):
            return np.array([np.nan if _is_missing(v) else float(v) for v in column])
        row = odd.index(True)
    else:
        row = 0
    raise _fault(
        f"{name}.targets returns {column.dtype} in column {column.name}, not numbers: "
        f"{column.iloc[row]!r} on {moment(column.index, row)}.",
        "DTYPE",
        "weights.astype(float)",
        column=str(column.name),
        time=moment(column.index, row),
    )


def _is_number(value: object) -> bool:
    return _is_missing(value) or isinstance(value, int | float | np.integer | np.floating | np.bool_)


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA


def _check_finite(strategy: Strategy, targets: pd.DataFrame) -> None:
    infinite = np.isinf(targets.to_numpy())
    if not infinite.any():
        return
    row = int(infinite.any(axis=1).argmax())
    column = str(targets.columns[int(infinite[row].argmax())])
    when = moment(targets.index, row)
    raise _fault(
        f"{type(strategy).__name__}.targets returns an infinite weight for {column} on {when}: "
        "something is divided by zero.",
        "INFINITE",
        "weights.replace([np.inf, -np.inf], np.nan)",
        column=column,
        time=when,
    )


def _fault(message: str, code: str, fix: str, **details: object) -> DataQualityError:
    return DataQualityError(message, fix=fix, code=f"TARGETS_{code}", details=details)
