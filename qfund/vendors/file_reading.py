"""A file of bars, as typed columns with the line of each row.

Promises: every row of the file is in the table or, where it has too many or too few fields, among those that
are as empty rows; a value that is no number is NaN, a time that is none is null; nothing is repaired. Reads
one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from qfund.errors import NotFoundError, UsageError
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
    """

    line: np.ndarray
    symbol: pa.Array
    times: file_times.Times
    values: dict[str, np.ndarray]


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


def read(path: Path, how: How) -> Rows:
    """Read a file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is no CSV or Parquet, its columns are not clear, or it has no rows.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", code="NO_FILE", details={"path": str(path)})
    try:
        if path.suffix.lower() in _PARQUET:
            table, roles, line = _parquet(path, how)
        else:
            table, roles, line = _csv(path, how)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", code="UNREADABLE_FILE") from error
    if not len(table):
        raise UsageError(f"{path} has no rows.", code="EMPTY_FILE")
    return Rows(line, _symbols(table, roles, how), _times(table, roles, how), _values(table, roles))


def _roles(header: Sequence[str], how: How) -> Roles:
    return file_columns.roles(header, how.mapping, one_symbol=how.symbol is not None, volume=how.volume)


def _parquet(path: Path, how: How) -> tuple[pa.Table, Roles, np.ndarray]:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    roles = _roles(file.schema_arrow.names, how)
    table = file.read(columns=list(dict.fromkeys(roles.columns)))
    return table, roles, np.arange(1, len(table) + 1)


def _csv(path: Path, how: How) -> tuple[pa.Table, Roles, np.ndarray]:
    from pyarrow import csv

    header, delimiter, has_header = _header(path)
    roles = _roles(header, how)
    wanted = list(dict.fromkeys(roles.columns))
    torn: list[int] = []

    def tear(row: csv.InvalidRow) -> str:
        torn.append(row.number)
        return "skip"

    def rows(numbers: pa.DataType) -> pa.Table:
        torn.clear()
        types = dict.fromkeys(wanted, pa.string()) | dict.fromkeys(roles.values.values(), numbers)
        return csv.read_csv(
            path,
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
    return _with_torn(table, np.array(torn, dtype=np.int64), first=1 + int(has_header), roles=roles)


def _with_torn(
    table: pa.Table, torn: np.ndarray, *, first: int, roles: Roles
) -> tuple[pa.Table, Roles, np.ndarray]:
    """The rows with their lines, empty lines left out, torn ones as empty rows in their place."""
    line = np.setdiff1d(np.arange(first, first + len(table) + len(torn)), torn)
    empty = np.ones(len(table), dtype=bool)
    for column in table.columns:
        empty &= column.is_null().to_numpy()
    table, line = table.filter(pa.array(~empty)), line[~empty]
    if not len(torn):
        return table, roles, line
    nothing = pa.table([pa.nulls(len(torn), field.type) for field in table.schema], schema=table.schema)
    both, lines = pa.concat_tables([table, nothing]), np.concatenate([line, torn])
    order = np.argsort(lines, kind="stable")
    return both.take(pa.array(order)), roles, lines[order]


def _header(path: Path) -> tuple[list[str], str, bool]:
    """Names of the columns (1, 2, 3 … without a header), the delimiter, and whether there is a header."""
    import csv
    import io

    with pa.input_stream(str(path)) as stream:
        head = stream.read(1 << 16)
    first = next(iter(head.decode("utf-8-sig", errors="replace").splitlines()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    names = next(csv.reader(io.StringIO(first), delimiter=delimiter), [])
    if names and all(_is_number(name) for name in names):
        return [str(number) for number in range(1, len(names) + 1)], delimiter, False
    return names, delimiter, True


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
