"""Secrets as references: where a secret lies is configuration, what it says is not.

``env:NAME`` reads a variable, ``file:PATH`` a file that only its owner may read. A `Secret` prints as dots
and is opened by ``reveal()`` alone, at the moment of use; it is no ``str``, so that no join or format can
leak it.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qfund.errors import ConfigError

HIDDEN = "•••"
READS = ("env", "file")
LATER = ("gcp-sm", "keyring")
_PASSWORD_IN_URL = re.compile(r"(?P<before>\w+://[^/@:\s]*:)[^@\s]+(?=@)")
_PASSWORD_IN_QUERY = re.compile(r"(?P<before>[?&\s](?:ssl)?password=)[^&\s]*", re.IGNORECASE)


def starred(text: str) -> str:
    """The text with the password of every URL and connection string in it replaced by dots."""
    hidden = _PASSWORD_IN_URL.sub(rf"\g<before>{HIDDEN}", text)
    return _PASSWORD_IN_QUERY.sub(rf"\g<before>{HIDDEN}", hidden)


@dataclass(frozen=True, eq=False)
class Secret:
    """A secret, or a URL that may hold one, opened only by `reveal`.

    Args:
        written: what the configuration says: a reference, or the literal value.
        key: the setting's name, for error messages.
        folder: what a relative ``file:`` path is relative to.
        environ: the variables that ``env:`` reads.
    """

    written: str = field(repr=False)
    key: str
    folder: Path = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        """The reference, or the literal with its password hidden."""
        return self.written if self.is_reference else starred(self.written)

    def __repr__(self) -> str:
        return f"Secret({self})"

    @property
    def scheme(self) -> str:
        """The word before the colon when it names a way to refer, else an empty string."""
        scheme, colon, _ = self.written.partition(":")
        return scheme if colon and scheme in (*READS, *LATER) else ""

    @property
    def is_reference(self) -> bool:
        """Whether the configuration refers to the value instead of holding it."""
        return bool(self.scheme)

    def reveal(self) -> str:
        """The value itself.

        Raises:
            ConfigError: the variable is not set, the file is not there, not private or empty, or the scheme
                is one that this version does not read.
        """
        place = self.written.partition(":")[2]
        match self.scheme:
            case "env":
                return self._from_environment(place)
            case "file":
                return self._from_file(Path(place.removeprefix("//")).expanduser())
            case "":
                return self.written
            case later:
                raise ConfigError(
                    f"{self.key} refers to '{later}:', which this version of qfund does not read;"
                    f" it reads {' and '.join(f'{scheme}:' for scheme in READS)}.",
                    code="SECRET_SCHEME",
                    details={"key": self.key, "scheme": later},
                )

    def _from_environment(self, name: str) -> str:
        value = self.environ.get(name, "")
        if not value:
            raise ConfigError(
                f"{self.key} refers to the environment variable {name}, which is not set.",
                fix=f"export {name}=…",
                code="SECRET_MISSING",
                details={"key": self.key, "variable": name},
            )
        return value

    def _from_file(self, path: Path) -> str:
        path = self.folder / path
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                raise ConfigError(
                    f"{self.key} refers to {path}, which others may read (mode {mode:04o}).",
                    fix=f"chmod 600 {path}",
                    code="SECRET_NOT_PRIVATE",
                    details={"key": self.key, "path": str(path)},
                )
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(
                f"{self.key} refers to {path}, which cannot be read: {reason}.",
                fix=f"write the value into {path}, or let {self.key} refer to another file",
                code="SECRET_MISSING",
                details={"key": self.key, "path": str(path)},
            ) from error
        if not value:
            raise ConfigError(
                f"{self.key} refers to {path}, which is empty.",
                fix=f"write the value into {path}",
                code="SECRET_MISSING",
                details={"key": self.key, "path": str(path)},
            )
        return value
