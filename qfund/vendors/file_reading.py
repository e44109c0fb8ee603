"""A file of bars, as typed columns with the line of each row.

Promises: every row of the file is in the table; one that has too many or too few fields, or a quote that is
not closed, is there as an empty row that is marked as torn, and costs no other row. A value that is no number
is NaN, a time that is none is null; nothing is repaired. A line of the file is a row, whatever it quotes, and
a line without any value is none. Reads one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import DataQualityError, NotFoundError, UsageError
from qfund.vendors import file_columns, file_times
from qfund.vendors.file_columns import Roles

_DELIMITERS = ",;\t|"
_PARQUET = (".parquet", ".pq", ".parq")


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of a file, in its order.

    Attributes:
        line: number of the line, the header is line 1 (CSV); of the row, from 1 (Parquet).
        symbol: text; null where there is none.
        times: see `file_times.Times`.
        values: open, high, low, close, volume; float64, NaN where it is no number.
        torn: bool; rows of which nothing else is known.
    """

    line: np.ndarray
    symbol: pa.Array
    times: file_times.Times
    values: dict[str, np.ndarray]
    torn: np.ndarray


@dataclass(frozen=True)
class How:
    """How a file is to be read.

    Attributes:
        mapping: what the user said of its columns, see `file_columns.parsed_map`.
        zone: of times that have none.
        symbol: of all rows, where there is no column of symbols.
        volume: whether a column of volumes is needed.
    """

    mapping: Mapping[str, str]
    zone: str | None = None
    symbol: str | None = None
    volume: bool = True


@dataclass(frozen=True, eq=False)
class _Read:
    """The columns that are needed, as the file holds them, each row with its line and whether it is torn."""

    table: pa.Table
    roles: Roles
    line: np.ndarray
    torn: np.ndarray


def read(path: Path, how: How) -> Rows:
    """Read a file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is a folder, no CSV or Parquet, or its columns are not clear.
        DataQualityError: it has no rows, or all of them are torn.
    """
    _check_is_file(path)
    try:
        found = _parquet(path, how) if path.suffix.lower() in _PARQUET else _csv(path, how)
        table, roles = found.table, found.roles
        _check_has_rows(path, found)
        values = _values(table, roles)
        return Rows(found.line, _symbols(table, roles, how), _times(table, roles, how), values, found.torn)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "Parquet" if path.suffix.lower() in _PARQUET else "CSV"
        said = str(error).rstrip(".")
        raise UsageError(f"{path} cannot be read as {kind}: {said}.", code="UNREADABLE_FILE") from error


def _may_hold_bars(path: Path) -> bool:
    named = path.name.lower()
    return named.endswith((".csv", ".csv.gz", *_PARQUET)) and not named.endswith(".rejects.csv")


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        inside = sorted(one.name for one in path.iterdir() if one.is_file() and _may_hold_bars(one))
        holds = ", ".join(inside[:3]) + (", …" if len(inside) > 3 else "") or "no CSV or Parquet"
        raise UsageError(
            f"{path} is a folder, and one ingest reads one file. It holds {holds}. (What"
            " qfund data export wrote is read by qfund data import.)",
            fix=f"--path {path / (inside[0] if inside else 'FILE.csv')}",
            code="FOLDER_NOT_FILE",
            details={"path": str(path)},
        )
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", code="NO_FILE", details={"path": str(path)})


def _check_has_rows(path: Path, found: _Read) -> None:
    if not len(found.table):
        raise DataQualityError(f"{path} has no rows, only the names of columns.", code="EMPTY_FILE")
    if found.torn.all():
        raise DataQualityError(
            f"No row of {path} has as many fields as its first line, beginning with line {found.line[0]}.",
            code="TORN_FILE",
        )


def _roles(header: Sequence[str], how: How) -> Roles:
    return file_columns.roles(header, how.mapping, one_symbol=how.symbol is not None, volume=how.volume)


def _parquet(path: Path, how: How) -> _Read:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    roles = _roles(file.schema_arrow.names, how)
    table = file.read(columns=list(dict.fromkeys(roles.columns)))
    return _Read(table, roles, np.arange(1, len(table) + 1), np.zeros(len(table), dtype=bool))


def _csv(path: Path, how: How) -> _Read:
    from pyarrow import csv

    with pa.input_stream(str(path)) as stream:
        data = stream.read()
    header, delimiter, has_header = _header(path, data)
    roles = _roles(header, how)
    wanted = list(dict.fromkeys(roles.columns))
    data, unclosed = _without_unclosed(data)
    torn: list[int] = []

    def tear(row: csv.InvalidRow) -> str:
        torn.append(row.number)
        return "skip"

    def rows(numbers: pa.DataType) -> pa.Table:
        torn.clear()
        types = dict.fromkeys(wanted, pa.string()) | dict.fromkeys(roles.values.values(), numbers)
        return csv.read_csv(
            pa.BufferReader(data),
            # One thread, without which torn rows have no numbers.
            read_options=csv.ReadOptions(use_threads=False, column_names=header, skip_rows=int(has_header)),
            parse_options=csv.ParseOptions(
                delimiter=delimiter, ignore_empty_lines=False, invalid_row_handler=tear
            ),
            convert_options=csv.ConvertOptions(
                column_types=types, include_columns=wanted, strings_can_be_null=True
            ),
        )

    try:
        table = rows(pa.float64())
    except pa.ArrowInvalid:
        table = rows(pa.string())  # some value is no number: each is looked at
    first = 1 + int(has_header)
    line = np.setdiff1d(np.arange(first, first + len(table) + len(torn)), torn)
    return _with_torn(table, line, np.sort([*torn, *unclosed]).astype(np.int64), roles)


def _without_unclosed(data: bytes) -> tuple[bytes, list[int]]:
    """The text with each line emptied in which a quote is not closed, and the numbers of these lines.

    A reader of CSV would take all that follows such a quote for one value.
    """
    if b'"' not in data:
        return data, []
    text = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    line = np.searchsorted(ends, np.flatnonzero(text == ord('"')))
    odd = np.flatnonzero(np.bincount(line) % 2)
    starts, stops = np.append(0, ends + 1), np.append(ends, len(data))
    pieces, at = [], 0
    for one in odd:
        pieces.append(data[at : starts[one]])
        at = int(stops[one])
    return b"".join([*pieces, data[at:]]), [int(one) + 1 for one in odd]


def _with_torn(table: pa.Table, line: np.ndarray, torn: np.ndarray, roles: Roles) -> _Read:
    """The rows with their lines, empty lines left out, torn ones as empty rows in their place."""
    empty = np.ones(len(table), dtype=bool)
    for column in table.columns:
        empty &= column.is_null().to_numpy()
    table, line = table.filter(pa.array(~empty)), line[~empty]
    if not len(torn):
        return _Read(table, roles, line, np.zeros(len(line), dtype=bool))
    nothing = pa.table([pa.nulls(len(torn), field.type) for field in table.schema], schema=table.schema)
    both, lines = pa.concat_tables([table, nothing]), np.concatenate([line, torn])
    order = np.argsort(lines, kind="stable")
    return _Read(both.take(pa.array(order)), roles, lines[order], order >= len(table))


def _header(path: Path, data: bytes) -> tuple[list[str], str, bool]:
    """Names of the columns (1, 2, 3 … without a header), the delimiter, and whether there is a header.

    Raises:
        UsageError: it is no text.
        DataQualityError: it is empty.
    """
    import csv
    import io

    head = data[: 1 << 16]
    if not head.strip():
        raise DataQualityError(f"{path} is empty.", code="EMPTY_FILE")
    if b"\0" in head:
        raise UsageError(
            f"{path} is no CSV: it is not text in UTF-8.{_nature(head)}",
            fix="--path FILE.csv, FILE.csv.gz or FILE.parquet",
            code="NOT_A_CSV",
        )
    first = next(iter(head.decode("utf-8-sig", errors="replace").splitlines()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    names = next(csv.reader(io.StringIO(first), delimiter=delimiter), [])
    if names and all(_is_number(name) for name in names):
        return [str(number) for number in range(1, len(names) + 1)], delimiter, False
    return names, delimiter, True


def _nature(head: bytes) -> str:
    """What a file that is no text looks like."""
    known = {b"PAR1": "Parquet, whose name must end in .parquet", b"PK": "a workbook or a ZIP archive"}
    known |= {b"\xff\xfe": "text in UTF-16", b"\xfe\xff": "text in UTF-16"}
    return next((f" It looks like {what}." for magic, what in known.items() if head.startswith(magic)), "")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _symbols(table: pa.Table, roles: Roles, how: How) -> pa.Array:
    if roles.symbol is None:
        return pa.array(np.full(len(table), how.symbol, dtype=object), pa.string())
    text = compute.utf8_trim_whitespace(_flat(table[roles.symbol]).cast(pa.string()))
    return compute.if_else(compute.equal(text, ""), pa.scalar(None, pa.string()), text)


def _times(table: pa.Table, roles: Roles, how: How) -> file_times.Times:
    columns = [_flat(table[name]) for name in roles.time]
    if len(columns) == 1:
        return file_times.read(columns[0], how.zone, name=roles.time[0])
    joined = compute.binary_join_element_wise(*(column.cast(pa.string()) for column in columns), "T")
    return file_times.read(joined, how.zone, name="+".join(roles.time))


def _values(table: pa.Table, roles: Roles) -> dict[str, np.ndarray]:
    """The numbers; volumes of zero where the file has none."""
    found = {name: _numbers(_flat(table[column])) for name, column in roles.values.items()}
    for name, column in roles.values.items():
        if np.isnan(found[name]).all():
            first = next(iter(_flat(table[column]).drop_null().slice(0, 1).to_pylist()), None)
            raise UsageError(
                f"Column '{column}' holds no number that qfund reads, such as {first!r} (the decimal sign is"
                " a point, and nothing stands between thousands).",
                fix=f"--with map={name}=COLUMN names another column",
                code="NO_NUMBERS",
            )
    return {"volume": np.zeros(len(table)), **found}


def _flat(column: pa.ChunkedArray) -> pa.Array:
    flat = column.combine_chunks()
    if isinstance(flat, pa.ChunkedArray):  # no chunk at all, or text of more than 2 GB
        flat = pa.concat_arrays(flat.chunks) if flat.num_chunks else pa.nulls(0, flat.type)
    return flat.dictionary_decode() if pa.types.is_dictionary(flat.type) else flat


def _numbers(column: pa.Array) -> np.ndarray:
    """Numbers as float64; NaN for what is none."""
    try:
        cast = column.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return np.array([_number(text) for text in column.to_pylist()], dtype=float)
    found: np.ndarray = cast.fill_null(float("nan")).to_numpy(zero_copy_only=False)
    return found


def _number(text: Any) -> float:
    try:
        return float("nan") if text is None or "_" in str(text) else float(text)
    except (TypeError, ValueError):
        return float("nan")
