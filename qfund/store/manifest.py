"""The manifest of an exported folder: whose bars these are, which files hold them, and their hashes.

One more file holds the corporate actions; exports of earlier versions have none.

Promises: written last, so that a folder with a manifest is whole; plain JSON, keys in a fixed order, equal
exports give equal bytes. Reads and writes files, never the database.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qfund.errors import ConfigError, DataQualityError, NotFoundError, UpstreamError

NAME = "manifest.json"
FORMAT = "qfund bars"
VERSION = 1
NO_SPACE = 28  # errno.ENOSPC
_CHUNK = 1 << 20


@dataclass(frozen=True)
class BarFile:
    """One Parquet file of bars: a symbol's year.

    Attributes:
        path: below the folder, with ``/``.
        symbol: whose bars.
        year: of the sessions in it.
        rows: bars.
        bytes: its size.
        sha256: of its bytes, hexadecimal.
    """

    path: str
    symbol: str
    year: int
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ActionFile:
    """The Parquet file of the corporate actions.

    Attributes:
        path: below the folder.
        rows: actions.
        bytes: its size.
        sha256: of its bytes, hexadecimal.
    """

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an exported folder is.

    Attributes:
        series: vendor, feed, basis, price_kind, hours, calendar, timeframe.
        adjust: ``raw`` or what was adjusted for on the way out.
        as_of: the moment that the bars are of, ISO with offset.
        since: first session asked for, ISO; None for the first stored.
        until: last session asked for, ISO; None for the last stored.
        symbols: symbol → facts of its instrument, and ``coverage``: the inclusive spans that are final.
        files: sorted by path.
        actions: the corporate actions of the instruments; None in an export that was made without them.
    """

    series: Mapping[str, str]
    adjust: str
    as_of: str
    since: str | None
    until: str | None
    symbols: Mapping[str, Mapping[str, Any]]
    files: tuple[BarFile, ...]
    actions: ActionFile | None = None

    @property
    def all_files(self) -> tuple[BarFile | ActionFile, ...]:
        """Every file but the manifest itself."""
        return self.files if self.actions is None else (*self.files, self.actions)

    @property
    def rows(self) -> int:
        """Bars in all files."""
        return sum(one.rows for one in self.files)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any file does: SHA-256 over paths and hashes."""
        digest = hashlib.sha256()
        for one in self.all_files:
            digest.update(f"{one.path}\x1f{one.sha256}\n".encode())
        return digest.hexdigest()[:16]

    def write(self, folder: Path) -> None:
        """Put it into its folder, replacing an older one in one step."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "rows": self.rows,
            **asdict(self),
        }
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"
        write_whole(folder / NAME, text.encode())


def read(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        NotFoundError: the folder has none.
        DataQualityError: it is damaged, or of a format that this program does not know.
    """
    path = folder / NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"{folder} holds no finished export: there is no {NAME} in it.",
            fix=f"qfund data export {folder}",
            code="NO_EXPORT",
        ) from None
    except (OSError, ValueError) as error:
        raise DataQualityError(f"{path} cannot be read: {error}.", code="MANIFEST") from error
    try:
        if (found["format"], found["version"]) != (FORMAT, VERSION):
            raise DataQualityError(f"{path} is of a format that this qfund does not know.", code="MANIFEST")
        return Manifest(
            series=dict(found["series"]),
            adjust=str(found["adjust"]),
            as_of=str(found["as_of"]),
            since=found["since"],
            until=found["until"],
            symbols=dict(found["symbols"]),
            files=tuple(BarFile(**one) for one in found["files"]),
            actions=ActionFile(**found["actions"]) if found.get("actions") else None,
        )
    except (KeyError, TypeError) as error:
        raise DataQualityError(f"{path} is no manifest of an export: {error}.", code="MANIFEST") from error


def check(folder: Path, files: Iterable[BarFile | ActionFile]) -> None:
    """Hash every file.

    Raises:
        DataQualityError: one is missing, lies outside the folder, or is not what was exported.
    """
    for one in files:
        path = (folder / one.path).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise DataQualityError(f"{one.path} lies outside the folder.", code="EXPORT_FILE")
        if not path.is_file() or sha256(path) != one.sha256:
            what = "is missing" if not path.is_file() else "is not the file that was exported"
            raise DataQualityError(
                f"{path} {what}; nothing was changed.",
                fix="copy the folder again, or export it again",
                code="EXPORT_FILE",
                details={"path": str(path), "sha256": one.sha256},
            )


def sha256(path: Path) -> str:
    """The hash of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there: nobody ever sees half of it.

    Raises:
        ConfigError: the folder cannot be written.
        UpstreamError: the disk is full.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> ConfigError | UpstreamError:
    """What an operating system's refusal to write means to the user."""
    kind = UpstreamError if error.errno == NO_SPACE else ConfigError
    return kind(
        f"{path} cannot be written: {error.strerror}.",
        fix="free some space and run the same command again" if kind is UpstreamError else None,
        code="EXPORT_WRITE",
    )
