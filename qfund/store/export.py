"""Bars to Parquet on a folder: one file for each symbol and year, in hive partitions, and a manifest.

The corporate actions of the instruments, of every ex-date, lie beside them in one file more.

Promises: all bars are those of one moment, also when the export was stopped and goes on later; every file
appears whole or not at all; equal bars give equal bytes. Memory holds some symbols' year, never more. A
folder that is not an export of the same series is never touched. Reads the store only.
"""

from __future__ import annotations

import fcntl
import io
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from qfund.errors import DataQualityError, LockedError, NotFoundError, RefusedError, did_you_mean
from qfund.market.bars import FIELDS, Adjust, Bars
from qfund.store import action_file, coverage, manifest, securities
from qfund.store.bars import read_bars
from qfund.store.faults import translated
from qfund.store.manifest import ActionFile, BarFile, Manifest
from qfund.store.sources import Series

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from qfund.market.instruments import Listing
    from qfund.store.database import Store

JOURNAL = ".export-journal"
_AT_ONCE = {"1d": 400, "1m": 12}  # symbols whose year is read together: about 80 MB
_IDENTITY = ("vendor", "feed", "basis", "price_kind", "hours", "calendar", "timeframe")
_FACTS = ("name", "kind", "currency", "mic", "listed_on", "delisted_on", "vendor_ref")
_EMPTY = "__HIVE_DEFAULT_PARTITION__"  # what readers of hive partitions take for nothing


@dataclass(frozen=True)
class Selected:
    """What is exported.

    Attributes:
        series: of which series.
        symbols: whose bars; None for all of the series.
        since: first session, None for the first stored.
        until: last session, None for the last stored.
        adjust: ``raw`` to read them in again; others for use elsewhere.
        as_of: timezone-aware moment that the bars are of; None for the present.
    """

    series: Series
    symbols: tuple[str, ...] | None = None
    since: date | None = None
    until: date | None = None
    adjust: Adjust = "raw"
    as_of: datetime | None = None


class Export:
    """One export into one folder.

    Args:
        store: where the bars are.
        folder: where to; made when it is not there.
        selected: what.

    Raises:
        NotFoundError: a symbol is not stored in the series, or nothing is.
        DataQualityError: nothing is stored of the span.
        RefusedError: the folder holds something else.
    """

    def __init__(self, store: Store, folder: Path, selected: Selected) -> None:
        self._store = store
        self._folder = folder
        self._selected = selected
        known = _numbered(store, selected.series)
        self._listings = _listings(known.values(), selected)
        self._ids = {one.symbol: number for number, one in known.items()}
        first, last = _stored_span(store, selected.series)
        self._since = max(selected.since or first, first)
        self._until = min(selected.until or last, last)
        if self._since > self._until:
            raise DataQualityError(
                f"There is no session to export: stored are {first} to {last}.",
                fix="qfund data status",
                code="NO_BARS",
            )
        self._before = _foreign_or(folder, selected)

    @property
    def steps(self) -> int:
        """How many files there are at the most: symbols × years."""
        return len(self._listings) * (self._until.year - self._since.year + 1)

    def run(self) -> Generator[BarFile | None, None, None]:
        """Write what is not there yet; yields each file that is, None for a symbol's year without bars.

        Raises:
            LockedError: another export into this folder is running.
            ConfigError, UpstreamError: the folder cannot be written, the disk is full.
        """
        with _journal(self._folder) as journal:
            head, done = _begun(journal, self._head())
            if head is None:
                head = {**self._head(), "as_of": self._moment()}
                _note(journal, head)
            files: list[BarFile] = []
            for year in range(self._since.year, self._until.year + 1):
                for found in self._year(year, datetime.fromisoformat(head["as_of"]), done, journal):
                    files += [found] if found else []
                    yield found
            self._finish(head["as_of"], files)

    def _head(self) -> dict[str, Any]:
        one = self._selected
        return {
            "series": identity(one.series),
            "adjust": one.adjust,
            "since": str(self._since),
            "until": str(self._until),
            "symbols": sorted(self._listings),
            "as_of": one.as_of.isoformat() if one.as_of else None,
        }

    def _moment(self) -> str:
        if self._selected.as_of is not None:
            return self._selected.as_of.isoformat()
        with translated(), self._store.sql.connect() as connection:
            moment: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        return moment.isoformat()

    def _year(
        self, year: int, as_of: datetime, done: Mapping[str, BarFile], journal: IO[str]
    ) -> Iterator[BarFile | None]:
        """The files of one year, some symbols at a time."""
        series = self._selected.series
        since, until = max(self._since, date(year, 1, 1)), min(self._until, date(year, 12, 31))
        names = sorted(self._listings)
        size = _AT_ONCE[series.timeframe]
        for some in (names[start : start + size] for start in range(0, len(names), size)):
            left = [name for name in some if path_of(series, name, year) not in done]
            made = dict.fromkeys(some) | {
                name: done[path] for name in some if (path := path_of(series, name, year)) in done
            }
            if left:
                bars = read_bars(
                    self._store, left, series=series, since=since, until=until,
                    adjust=self._selected.adjust, as_of=as_of,
                )  # fmt: skip
                for place, name in enumerate(left):
                    file = made[name] = self._written(name, year, table_of(bars, place))
                    if file is not None:
                        _note(journal, asdict(file))
            yield from made.values()

    def _written(self, name: str, year: int, table: pa.Table) -> BarFile | None:
        if not table.num_rows:
            return None
        path = path_of(self._selected.series, name, year)
        size, digest = self._put(path, table)
        return BarFile(path, name, year, table.num_rows, size, digest)

    def _put(self, path: str, table: pa.Table) -> tuple[int, str]:
        """Write a file unless it is there already; its size and its hash."""
        import hashlib

        content = encoded(table)
        digest = hashlib.sha256(content).hexdigest()
        target = self._folder / path
        if not (target.is_file() and manifest.sha256(target) == digest):
            manifest.write_whole(target, content)
        return len(content), digest

    def _actions(self, as_of: str) -> ActionFile:
        """Write the corporate actions that stood at the export's moment; the file may have no row."""
        ids = {name: self._ids[name] for name in self._listings}
        vendor, moment = self._selected.series.vendor, datetime.fromisoformat(as_of)
        table = action_file.table_of(self._store, vendor, ids, moment)
        size, digest = self._put(action_file.NAME, table)
        return ActionFile(action_file.NAME, table.num_rows, size, digest)

    def _finish(self, as_of: str, files: list[BarFile]) -> None:
        """Take away files of the export before that are no more; write the actions and the manifest."""
        one = self._selected
        spans = coverage.covered(self._store, one.series, [self._ids[name] for name in self._listings])
        symbols = {
            name: {fact: getattr(listing, fact) for fact in _FACTS}
            | {"coverage": self._clipped(spans.get(self._ids[name], []))}
            for name, listing in sorted(self._listings.items())
        }
        there = {file.path for file in files}
        for old in self._before:
            if old not in there:
                (self._folder / old).unlink(missing_ok=True)
        Manifest(
            series=identity(one.series),
            adjust=one.adjust,
            as_of=as_of,
            since=str(self._since),
            until=str(self._until),
            symbols=symbols,
            files=tuple(sorted(files, key=lambda file: file.path)),
            actions=self._actions(as_of),
        ).write(self._folder)
        (self._folder / JOURNAL).unlink()

    def _clipped(self, spans: Sequence[tuple[date, date]]) -> list[tuple[str, str]]:
        """What of the coverage lies within the export; all of it when everything was asked for."""
        one = self._selected
        first, last = one.since or date.min, one.until or date.max
        both = ((max(start, first), min(end, last)) for start, end in spans)
        return [(str(start), str(end)) for start, end in both if start <= end]


# ---------------------------------------------------------------- what lies where


def identity(series: Series) -> dict[str, str]:
    """What makes a series the same on another store."""
    return {name: str(getattr(series, name)) for name in _IDENTITY}


def path_of(series: Series, symbol: str, year: int) -> str:
    """Where a symbol's year lies below the folder, with ``/``; signs that no file name has are ``%XX``."""
    parts = {"vendor": series.vendor, "feed": series.feed, "timeframe": series.timeframe, "symbol": symbol}
    named = [f"{key}={quote(value, safe='') or _EMPTY}" for key, value in parts.items()]
    return "/".join([*named, f"year={year}", "bars.parquet"])


def table_of(bars: Bars, place: int) -> pa.Table:
    """The bars of one column: ``session`` (date32), for minutes ``ts`` (start, UTC), five float64 columns."""
    import numpy as np
    import pyarrow as pa

    values = {name: getattr(bars, name).iloc[:, place].to_numpy() for name in FIELDS}
    seen: np.ndarray = ~np.isnan(values["close"])
    days = bars.sessions.to_numpy().astype("datetime64[D]")[seen]
    columns: dict[str, Any] = {"session": pa.array(days, pa.date32())}
    if bars.timeframe == "1m":
        starts = bars.index.as_unit("us").asi8[seen] - 60_000_000
        columns["ts"] = pa.array(starts).cast(pa.timestamp("us", tz="UTC"))
    return pa.table(columns | {name: column[seen] for name, column in values.items()})


def encoded(table: pa.Table) -> bytes:
    """The table as a Parquet file, zstd; equal tables give equal bytes."""
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", compression_level=3, use_dictionary=True)
    return out.getvalue()


# ---------------------------------------------------------------- what is there


def _numbered(store: Store, series: Series) -> dict[int, Listing]:
    """The instruments that a series was ever asked for."""
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT instrument_id FROM ops.coverage WHERE source_id = %s AND timeframe = %s",
            (series.source_id, series.timeframe),
        ).all()
    mine = {int(row[0]) for row in rows}
    return {k: one for k, one in securities.listings(store, vendor=series.vendor).items() if k in mine}


def _listings(listings: Iterable[Listing], selected: Selected) -> dict[str, Listing]:
    series = selected.series
    known = {one.symbol: one for one in listings}
    wanted = known if selected.symbols is None else selected.symbols
    missing = [name for name in wanted if name not in known]
    if missing or not known:
        what = f"'{missing[0]}'" if missing else "Nothing"
        raise NotFoundError(
            f"{what} is not stored in {series.vendor} {series.feed} {series.timeframe}."
            f"{did_you_mean(missing[0], known) if missing else ''}",
            fix="qfund data status",
            code="UNKNOWN_SYMBOL",
            details={"symbols": missing},
        )
    return {name: known[name] for name in wanted}


def _stored_span(store: Store, series: Series) -> tuple[date, date]:
    tables = ("sec.bar_1d",) if series.timeframe == "1d" else ("sec.bar_1m_day", "sec.bar_1m_hot")
    each = " UNION ALL ".join(
        f"SELECT min(session), max(session) FROM {name} WHERE source_id = {series.source_id}"  # noqa: S608
        for name in tables
    )
    with translated(), store.sql.connect() as connection:
        rows = connection.exec_driver_sql(each).all()
    found = [row for row in rows if row[0] is not None]
    if not found:
        raise NotFoundError(
            f"No bars are stored in {series.vendor} {series.feed} {series.timeframe}.",
            fix="qfund data status",
            code="NO_BARS",
        )
    return min(row[0] for row in found), max(row[1] for row in found)


def _foreign_or(folder: Path, selected: Selected) -> list[str]:
    """The files of an earlier export of the same kind; [] in an empty folder.

    Raises:
        RefusedError: something else is there.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return []
    if (folder / JOURNAL).is_file() and not (folder / manifest.NAME).is_file():
        return []  # begun and stopped; its first line is compared when it goes on
    refused = RefusedError(
        f"{folder} is not empty and holds no export of {selected.series.vendor}"
        f" {selected.series.feed} {selected.series.timeframe} ({selected.adjust}); nothing was changed.",
        fix="name an empty or a new folder",
        code="FOREIGN_FOLDER",
    )
    if not (folder / manifest.NAME).is_file():
        raise refused
    found = manifest.read(folder)
    if (found.series, found.adjust) != (identity(selected.series), selected.adjust):
        raise refused
    return [file.path for file in found.files]


# ---------------------------------------------------------------- the journal of an export that runs


@contextmanager
def _journal(folder: Path) -> Iterator[IO[str]]:
    """The folder's journal, locked for this process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / JOURNAL).open("a+", encoding="utf-8")
    except OSError as error:
        raise manifest.unwritable(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockedError(f"Another export into {folder} is running.", code="EXPORT_RUNNING") from None
        file.seek(0)
        yield file


def _begun(journal: IO[str], wanted: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, BarFile]]:
    """The head of an export that was stopped, and its files by path; a new journal has neither.

    Raises:
        RefusedError: it was another export.
    """
    folder = Path(journal.name).parent
    whole_lines = journal.read().rpartition("\n")[0].splitlines()  # the last one may have been cut short
    lines = [json.loads(line) for line in whole_lines]
    if not lines:
        journal.seek(0)
        journal.truncate()
        return None, {}
    head = lines[0]
    pinned = wanted["as_of"] or head["as_of"]
    if head != {**wanted, "as_of": pinned}:
        raise RefusedError(
            f"Another export into {folder} was stopped; finish that one, or name another folder.",
            fix=f"delete {folder}, or run the command that was stopped",
            code="OTHER_EXPORT",
        )
    files = [BarFile(**line) for line in lines[1:]]
    whole = {one.path: one for one in files if _is_whole(folder / one.path, one)}
    journal.seek(0)
    journal.truncate()
    for entry in (head, *map(asdict, whole.values())):
        _note(journal, entry)
    return head, whole


def _is_whole(path: Path, file: BarFile) -> bool:
    return path.is_file() and manifest.sha256(path) == file.sha256


def _note(journal: IO[str], entry: Mapping[str, Any]) -> None:
    journal.write(json.dumps(entry) + "\n")
    journal.flush()
