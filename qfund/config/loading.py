"""From files, variables and flags to `Settings`.

Promises: each value is checked where it is written, so that a mistake names its file and line or its
variable; the last writer wins and the others are remembered. Reads files and the mapping it is given, never
``os.environ``, and writes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from qfund.config.project import FILE, LOCAL, Project, locate
from qfund.config.secrets import HIDDEN, Secret
from qfund.config.settings import SECTIONS, Origin, Settings, as_text, keys
from qfund.config.toml import Entry, read
from qfund.errors import ConfigError, did_you_mean

SAFE_PROFILE = "paper"
_VARIABLE = re.compile(r"^QFUND__(?P<key>.+)$")
_VENDOR = re.compile(r"vendors(\.[a-z][a-z0-9_-]*)?")
_VENDOR_KEY = re.compile(r"vendors\.(?P<vendor>[a-z][a-z0-9_-]*)\.(?P<name>[a-z][a-z0-9_]*)")
_SECRET_NAME = re.compile(r"key|secret|token|password|credential")
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class _Written:
    """One value as somebody wrote it; ``is_text`` when only text can be written there."""

    value: Any
    source: str
    is_text: bool


def load(
    cwd: Path,
    *,
    profile: str | None = None,
    files: Sequence[Path] = (),
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str],
) -> Settings:
    """The settings that hold in a folder.

    Args:
        cwd: the current folder; ``qfund.toml`` is looked for here and in every parent.
        profile: name of ``qfund.<profile>.toml``; None takes ``QFUND_PROFILE``.
        files: ``--config`` files, later ones stronger.
        overrides: ``section.key`` → text, from flags; the strongest.
        environ: the environment's variables.

    Raises:
        ConfigError: a file that is missing or broken, an unknown key, a value of the wrong kind.
    """
    project = locate(cwd, environ)
    profile = profile or environ.get("QFUND_PROFILE") or None
    paths = [*_project_files(project, profile), *(cwd / path for path in files)]
    declared = dict(keys())
    written: dict[str, list[_Written]] = {}
    for key, value in _all_written(paths, len(files), project, environ, overrides or {}):
        if (key in SECTIONS or _VENDOR.fullmatch(key)) and value.value == {}:
            continue  # a header with nothing under it
        if key not in declared and not _VENDOR_KEY.fullmatch(key):
            raise _unknown(key, value.source, list(declared))
        written.setdefault(key, []).append(value)
    return _settings(
        project, profile=profile, paths=paths, declared=declared, written=written, environ=environ
    )


def _project_files(project: Project, profile: str | None) -> list[Path]:
    names = [FILE] if project.has_file else []
    if profile:
        names += _profile_file(project.folder, profile)
    if (project.folder / LOCAL).is_file():
        names.append(LOCAL)
    return [project.folder / name for name in names]


def _profile_file(folder: Path, profile: str) -> list[str]:
    """The profile's file; the safe profile needs none, any other must have one: a typo must not pass."""
    name = f"qfund.{profile}.toml"
    if _PROFILE.fullmatch(profile) and profile != "local" and (folder / name).is_file():
        return [name]
    if profile == SAFE_PROFILE:
        return []
    known = sorted(
        {path.name.split(".")[1] for path in folder.glob("qfund.*.toml")} - {"local"} | {SAFE_PROFILE}
    )
    raise ConfigError(
        f"There is no profile '{profile}': {folder} holds no {name}.{did_you_mean(profile, known)}",
        code="UNKNOWN_PROFILE",
        details={"profile": profile, "known": known},
    )


def _all_written(
    paths: Sequence[Path],
    extra: int,
    project: Project,
    environ: Mapping[str, str],
    overrides: Mapping[str, str],
) -> Iterator[tuple[str, _Written]]:
    """Every value from the weakest to the strongest; the last ``extra`` paths are ``--config`` files."""
    split = len(paths) - extra
    for path in paths[:split]:
        yield from _from_file(path, project)
    for name, text in sorted(environ.items()):
        if found := _VARIABLE.match(name):
            key = found["key"].lower().replace("__", ".")
            yield key, _Written(text, name, is_text=True)
    for path in paths[split:]:
        yield from _from_file(path, project)
    for key, text in overrides.items():
        yield key, _Written(text, "flag", is_text=True)


def _from_file(path: Path, project: Project) -> Iterator[tuple[str, _Written]]:
    shown = os.path.relpath(path, project.folder) if path.is_relative_to(project.folder) else str(path)
    entry: Entry
    for entry in read(path, shown):
        yield entry.key, _Written(entry.value, entry.source, is_text=False)


def _unknown(key: str, source: str, known: list[str]) -> ConfigError:
    section, _, name = key.partition(".")
    if section in SECTIONS and not name:
        message = f"{source}: '{section}' is a section, not a value."
        return ConfigError(message, code="CONFIG_TYPE", details={"key": key, "source": source})
    close = did_you_mean(key, known) if name else did_you_mean(key, [*known, *SECTIONS])
    return ConfigError(
        f"{source}: there is no setting '{key}'.{close}",
        fix=f"correct or remove it: {source}",
        code="UNKNOWN_SETTING",
        details={"key": key, "source": source},
    )


def _settings(
    project: Project,
    *,
    profile: str | None,
    paths: Sequence[Path],
    declared: Mapping[str, FieldInfo],
    written: Mapping[str, Sequence[_Written]],
    environ: Mapping[str, str],
) -> Settings:
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    origins: dict[str, Origin] = {}
    for key, field in declared.items():
        writers = written.get(key, ())
        # Every writer is checked, also those that lose: a mistake in a file must not hide behind a flag.
        values = [_checked(key, field, one, project.folder, environ) for one in writers]
        value = values[-1] if values else field.default
        source = writers[-1].source if writers else "default"
        beaten = tuple(one.source for one in reversed(writers[:-1]))
        section, _, name = key.partition(".")
        sections[section][name] = value
        origins[key] = Origin(as_text(value), source, beaten)
    vendors = _vendors(project.folder, written, environ, origins)
    return Settings.model_construct(
        None,
        **{name: model.model_construct(None, **sections[name]) for name, model in SECTIONS.items()},
        vendors=vendors,
        project=project.folder,
        home=project.home,
        profile=profile,
        files=tuple(paths),
        origins=origins,
    )


def _vendors(
    folder: Path,
    written: Mapping[str, Sequence[_Written]],
    environ: Mapping[str, str],
    origins: dict[str, Origin],
) -> dict[str, dict[str, Secret]]:
    """Vendor → key → what is said of it; a value that may be a secret is never shown."""
    found: dict[str, dict[str, Secret]] = {}
    for key, writers in written.items():
        place = _VENDOR_KEY.fullmatch(key)
        if not place:
            continue
        for one in writers:
            if not isinstance(one.value, str | int) or not str(one.value).strip():
                raise _wrong(key, one, "must be text")
        value = Secret(str(writers[-1].value), key, folder, environ)
        found.setdefault(place["vendor"], {})[place["name"]] = value
        may_be_secret = _SECRET_NAME.search(place["name"]) and not value.is_reference
        beaten = tuple(one.source for one in reversed(writers[:-1]))
        origins[key] = Origin(HIDDEN if may_be_secret else str(value), writers[-1].source, beaten)
    return found


def _checked(key: str, field: FieldInfo, one: _Written, folder: Path, environ: Mapping[str, str]) -> Any:
    """A value as its declared type.

    Raises:
        ConfigError: it is not; the message names the source. The value itself is not repeated for secrets.
    """
    if field.annotation == Secret | None:
        if not isinstance(one.value, str) or not one.value.strip():
            raise _wrong(key, one, "must be text: a URL or a reference such as env:NAME")
        return Secret(one.value, key, folder, environ)
    constraints = tuple(field.metadata)
    annotation: Any = Annotated[field.annotation, *constraints] if constraints else field.annotation
    try:
        return TypeAdapter(annotation).validate_python(one.value, strict=not one.is_text)
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        text = fault[0].lower() + fault[1:]
        raise _wrong(key, one, f"is {one.value!r}, but {text}") from error


def _wrong(key: str, one: _Written, what: str) -> ConfigError:
    return ConfigError(
        f"{one.source}: {key} {what}.",
        fix=f"correct or remove it: {one.source}",
        code="CONFIG_TYPE",
        details={"key": key, "source": one.source},
    )
