"""An exported folder back into a store, under the same series.

Promises: every file is hashed before anything is written. The corporate actions are committed first, since
later ingests do not ask for those of sessions that are covered; then each file's bars and their coverage
together, so that an import that was stopped is whole up to a file, and doing it again writes only what is
missing. Bars that are stored already count as the same; others are kept as a revision. Only bars as they
were stored (not adjusted on the way out) are taken.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfund.errors import DataQualityError, RefusedError
from qfund.market.instruments import Listing
from qfund.store import action_file, claims, coverage, manifest, securities, sources
from qfund.store.actions import write_actions
from qfund.store.bars import Written, write_bars
from qfund.store.manifest import BarFile, Manifest

if TYPE_CHECKING:
    import pyarrow as pa

    from qfund.store.database import Store
    from qfund.store.sources import Series

Span = tuple[date, date]


@dataclass(frozen=True)
class Taken:
    """One file that is in the store now.

    Attributes:
        file: which.
        written: what was new, changed and the same.
    """

    file: BarFile
    written: Written


class Import:
    """One import of one folder.

    Args:
        store: where to.
        folder: what ``qfund data export`` made.

    Attributes:
        manifest: what the folder is.
        new_actions: how many corporate actions were new, once it runs.

    Raises:
        NotFoundError: the folder holds no finished export.
        DataQualityError: a file is missing or not the one that was exported, or the manifest is damaged.
        RefusedError: the prices were adjusted on the way out.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self.manifest: Manifest = manifest.read(folder)
        self.new_actions = 0
        if self.manifest.adjust != self.manifest.series["basis"]:
            raise RefusedError(
                f"The prices in {folder} were adjusted ('{self.manifest.adjust}') when they were exported,"
                " and only prices as they were stored can be taken in.",
                fix=f"qfund data export --adjust {self.manifest.series['basis']} FOLDER, then import that",
                code="ADJUSTED_EXPORT",
            )
        manifest.check(folder, self.manifest.all_files)

    def run(self) -> Generator[Taken, None, None]:
        """Bring in what is not there; yields each file once it is committed.

        Raises:
            DataQualityError: a file does not hold what the manifest says of it.
        """
        series = self._series()
        listings = _listings(self.manifest)
        ids = securities.register(self._store, series.vendor, listings)
        spans = {
            name: [(date.fromisoformat(a), date.fromisoformat(b)) for a, b in facts["coverage"]]
            for name, facts in self.manifest.symbols.items()
        }
        params = {"folder": str(self._folder), "fingerprint": self.manifest.fingerprint, "feed": series.feed}
        run = coverage.start_run(self._store, series.vendor, f"import {series.timeframe}", params)
        total, finished = Written(), False
        try:
            with claims.living(self._store, run):
                self.new_actions = self._actions(series, ids)
                for file in self.manifest.files:
                    written = self._file(series, file, ids, _within(spans[file.symbol], file.year), run)
                    total += written
                    yield Taken(file, written)
                with self._store.transaction() as connection:
                    whole = {ids[name]: some for name, some in spans.items()}
                    coverage.add_coverage(connection, series, whole)
            finished = True
        finally:
            counters = {"new": total.new, "changed": total.changed, "same": total.same}
            counters["actions"] = self.new_actions
            error = None if finished else "it was stopped before its end"
            coverage.finish_run(self._store, run, "ok" if finished else "partial", counters, error)

    def _actions(self, series: Series, ids: dict[str, int]) -> int:
        """Store the corporate actions, as far as the export has them; how many were new."""
        if self.manifest.actions is None:
            return 0
        told = action_file.read(self._folder / self.manifest.actions.path)
        with self._store.transaction() as connection:
            return write_actions(connection, series.vendor, told, ids, series)

    def _series(self) -> Series:
        said: dict[str, Any] = dict(self.manifest.series)
        made = sources.series(self._store, **said)
        if made.calendar != said["calendar"]:
            raise DataQualityError(
                f"The stored series counts sessions by {made.calendar}, the folder by {said['calendar']}.",
                code="CALENDAR",
            )
        return made

    def _file(
        self, series: Series, file: BarFile, ids: dict[str, int], spans: Sequence[Span], run: int
    ) -> Written:
        import pyarrow as pa

        table = _read(self._folder / file.path)
        if table.num_rows != file.rows:
            raise DataQualityError(
                f"{file.path} holds {table.num_rows} bars, not {file.rows}.", code="EXPORT_FILE"
            )
        table = table.append_column("symbol", pa.repeat(file.symbol, table.num_rows))
        with self._store.transaction() as connection:
            written = write_bars(connection, series, table, ids, ingest_run_id=run)
            coverage.add_coverage(connection, series, {ids[file.symbol]: spans})
        return written


def _read(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with path.open("rb") as file:  # not by its path, whose folders would be taken for columns
        return pq.read_table(file)


def _listings(found: Manifest) -> list[Listing]:
    return [
        Listing(
            symbol=symbol,
            name=facts["name"],
            kind=facts["kind"],
            currency=facts["currency"],
            mic=facts["mic"],
            listed_on=_day(facts["listed_on"]),
            delisted_on=_day(facts["delisted_on"]),
            vendor_ref=facts["vendor_ref"],
        )
        for symbol, facts in found.symbols.items()
    ]


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _within(spans: Sequence[Span], year: int) -> list[Span]:
    """The part of the spans that lies in a year."""
    first, last = date(year, 1, 1), date(year, 12, 31)
    both = ((max(start, first), min(end, last)) for start, end in spans)
    return [(start, end) for start, end in both if start <= end]
