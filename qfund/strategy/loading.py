"""How a file becomes a strategy: imported fresh, found, given its parameters.

Promises: the same bytes give the same hash; a file that cannot be used says why, at which line, and what
mends it. A loaded file leaves nothing behind that another import could mistake for its own: its module
carries a name of its own, its neighbours are forgotten. Never shows a traceback, never writes byte code into
the user's folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from qfund.errors import NotFoundError, QfundError, UsageError, did_you_mean, nearest
from qfund.strategy.api import Strategy, Value, unknown_parameter
from qfund.strategy.faults import place_of, told
from qfund.strategy.spoken import aside

_SELECTED = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")


@dataclass(frozen=True)
class Loaded:
    """A strategy that came from a file.

    Attributes:
        cls: the class.
        name: its name.
        path: the file as the user wrote it, without the class.
        source: the file's text.
        code_sha256: 64 hexadecimal digits over the file and the neighbours that it imported.
        neighbours: those neighbours' paths within the file's folder.
        selected: the class that was chosen by name, None when the file holds only one.
    """

    cls: type[Strategy]
    name: str
    path: Path
    source: str
    code_sha256: str
    neighbours: tuple[str, ...] = ()
    selected: str | None = None

    @property
    def asked_for(self) -> str:
        """The words that load this strategy again: ``strategies/two.py:Second``."""
        return f"{self.path}:{self.selected}" if self.selected else str(self.path)

    def make(self, params: Mapping[str, object] | None = None) -> Strategy:
        """A new instance; texts are read as the declared types (``"10"``, ``"0.5"``, ``"true"``).

        Raises:
            UsageError: an unknown parameter (the nearest are named), an unreadable value, or a value that
                the strategy itself refuses.
        """
        try:
            with aside():
                return self.cls(**{name: self._value(name, value) for name, value in (params or {}).items()})
        except UsageError as error:
            error.fix = error.fix or f"qfund strategy show {self.asked_for}"
            raise
        except Exception as error:
            raise UsageError(
                f"{self.name} refuses these parameters: {told(error)}{_at(error, self.path)}.",
                fix=f"qfund strategy show {self.asked_for}",
                code="PARAMETERS_REFUSED",
            ) from error

    def _value(self, name: str, value: object) -> Value:
        """A parameter's value in its type; the class checks it once more when it is made."""
        parameter = self.cls.parameters.get(name)
        if parameter is None:
            raise unknown_parameter(self.cls, name)
        return parameter.parsed(value) if isinstance(value, str) else parameter.checked(value)


def load(path: Path | str) -> Loaded:
    """Import a strategy file; ``file.py:ClassName`` picks one class of several.

    Raises:
        NotFoundError: no such file (``STRATEGY_FILE_MISSING``) or class (``STRATEGY_CLASS_MISSING``); the
            nearest are named.
        UsageError: not a Python file, or one that cannot be read, parsed or imported, or that holds no usable
            strategy or several: ``STRATEGY_NOT_PYTHON``, ``STRATEGY_UNREADABLE``, ``STRATEGY_SYNTAX``,
            ``STRATEGY_IMPORT``, ``STRATEGY_FAILS``, ``STRATEGY_NONE``, ``STRATEGY_SEVERAL``,
            ``STRATEGY_WITHOUT_TARGETS``, ``STRATEGY_PARAMETER``.
    """
    shown, selected = _split(path)
    content = _content(shown)
    source = _text(shown, content)
    module, neighbours = _imported(shown, content, source)
    cls = _chosen(module, shown, selected)
    digest = hashlib.sha256(content)
    for name, body in neighbours.items():
        digest.update(b"\0" + name.encode() + b"\0" + body)
    return Loaded(cls, cls.__name__, shown, source, digest.hexdigest(), tuple(neighbours), selected)


def _split(path: Path | str) -> tuple[Path, str | None]:
    """The file and the class asked for."""
    match = _SELECTED.fullmatch(str(path))
    if match is None or Path(path).exists():
        return Path(path), None
    return Path(match["path"]), match["name"]


def _content(path: Path) -> bytes:
    if path.is_dir() or (path.exists() and path.suffix != ".py"):
        what = "a folder" if path.is_dir() else "not a Python file (.py)"
        raise UsageError(
            f"{path} is {what}; a strategy is one Python file.",
            fix="qfund strategy list",
            code="STRATEGY_NOT_PYTHON",
            details={"path": str(path)},
        )
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"{path} cannot be read: {reason}.",
            code="STRATEGY_UNREADABLE",
            details={"path": str(path)},
        ) from None


def _missing(path: Path) -> NotFoundError:
    """The error for a file that is not there, naming the strategies that are."""
    folders = [path.parent] if path.parent.name == "strategies" else [path.parent, Path("strategies")]
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.py"))]
    known = {file.stem: file for file in reversed(files)}
    close = [str(known[stem]) for stem in nearest(path.stem, known)]
    why = f" Did you mean {' or '.join(close)}?" if close else ""
    if not close and known:
        why = f" There are {', '.join(str(file) for file in files[:8])}."
    name = re.sub(r"\W", "_", path.stem)
    return NotFoundError(
        f"There is no strategy file {path}.{why}",
        fix="qfund strategy list" if known else f"qfund strategy new {name}",
        code="STRATEGY_FILE_MISSING",
        details={"path": str(path), "nearest": close},
    )


def _text(path: Path, content: bytes) -> str:
    try:
        return importlib.util.decode_source(content)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise UsageError(
            f"{path} is not Python text: {told(error)}.",
            fix=f"save {path} as UTF-8",
            code="STRATEGY_UNREADABLE",
            details={"path": str(path)},
        ) from None


def _imported(path: Path, content: bytes, source: str) -> tuple[ModuleType, dict[str, bytes]]:
    """The module of a file, and the contents of the neighbours it imported, by path within its folder."""
    file = path.resolve()
    identity = hashlib.sha256(str(file).encode() + b"\0" + content).hexdigest()[:12]
    module = ModuleType(f"_qfund_strategy_{file.stem}_{identity}")
    module.__file__ = str(file)
    module.__package__ = ""  # it belongs to none, so a relative import says so
    with _folder_first(file.parent):
        # Dataclasses and type hints look their module up by name; the name is unique, so nothing clashes.
        sys.modules[module.__name__] = module
        try:
            code = compile(source, str(file), "exec", dont_inherit=True)
            with aside():
                exec(code, module.__dict__)  # noqa: S102  (the user's own file, on the user's word)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever it raises is told)
            del sys.modules[module.__name__]
            raise _failed(path, error) from None
        found = _neighbours(file.parent)
    bodies = {str(place.relative_to(file.parent).as_posix()): place for place in found.values()}
    return module, {name: bodies[name].read_bytes() for name in sorted(bodies)}


@contextmanager
def _folder_first(folder: Path) -> Iterator[None]:
    """Let a file import its neighbours, then forget them, so that no other file gets them by mistake."""
    kept = {name: sys.modules.pop(name) for name in _neighbours(folder)}
    path, write_bytecode = list(sys.path), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()  # a neighbour written a moment ago must be seen
    try:
        yield
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = write_bytecode
        for name in _neighbours(folder):
            del sys.modules[name]
        sys.modules.update(kept)


def _neighbours(folder: Path) -> dict[str, Path]:
    """The imported modules that live beside a file: ``folder/name.py`` or ``folder/name/…``.

    A virtual environment inside the folder does not count: its modules' paths do not begin with their names.
    """
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        if not isinstance(file, str) or top in {"qfund", "__main__"}:
            continue
        place = Path(file)
        if place.is_relative_to(folder) and place.relative_to(folder).parts[0] in {top, f"{top}.py"}:
            found[name] = place
    return found


def _failed(path: Path, error: BaseException) -> UsageError:
    """The error for a file whose import raised."""
    where = place_of(error, path.resolve().parent)
    details: dict[str, object] = {"path": str(path), "line": where.line if where else None}
    match error:
        case SyntaxError():
            code, text = "STRATEGY_SYNTAX", (error.text or "").strip()
            file = Path(error.filename).name if error.filename else path.name
            details |= {"line": error.lineno, "text": text}
            what = f"does not parse at {file}:{error.lineno}: {error.msg}: {text}"
            where = None
        case QfundError():
            code, what = error.code, f"does not import: {error.message.removesuffix('.')}"
        case ModuleNotFoundError() if error.name and not str(error).startswith("attempted"):
            code, what = "STRATEGY_IMPORT", f"imports '{error.name}', which is not there"
            details["module"] = error.name
        case ImportError():
            hint = "; import a neighbour by its plain name" if "relative import" in str(error) else ""
            code, what = "STRATEGY_IMPORT", f"does not import: {told(error)}{hint}"
            details["module"] = error.name
        case _:
            code, what = "STRATEGY_FAILS", f"does not import: {told(error)}"
    place = f" ({where}: {where.text})" if where else ""
    return UsageError(
        f"{path} {what}{place}.",
        fix=_fix(path, code, details),
        code=code,
        details=details,
    )


def _fix(path: Path, code: str, details: Mapping[str, object]) -> str:
    module = details.get("module")
    if code == "STRATEGY_IMPORT" and isinstance(module, str) and module.partition(".")[0] != "qfund":
        files = {file.stem for file in path.resolve().parent.glob("*.py")}
        close = nearest(module, files - {path.stem})
        top = module.partition(".")[0]
        return f"import {close[0]}" if close else f"install {top}, or put {top}.py beside {path.name}"
    return f"mend line {details['line']} of {path}" if details["line"] else f"mend {path}"


def _chosen(module: ModuleType, path: Path, selected: str | None) -> type[Strategy]:
    """The strategy of a module: the one named, or the only one."""
    own = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Strategy)
        and value.__module__ == module.__name__
        and value.__name__ == name
    }
    if selected is not None:
        if selected not in own:
            raise NotFoundError(
                f"{path} has no strategy named {selected}.{did_you_mean(selected, own)}",
                fix=f"qfund strategy show {path}",
                code="STRATEGY_CLASS_MISSING",
                details={"path": str(path), "known": sorted(own)},
            )
        own = {selected: own[selected]}
    offered = {name: cls for name, cls in own.items() if selected or not name.startswith("_")}
    usable = [cls for cls in offered.values() if not inspect.isabstract(cls)]
    if len(usable) == 1:
        return usable[0]
    raise _not_one(module, path, usable, sorted(offered))


def _not_one(module: ModuleType, path: Path, usable: list[type[Strategy]], offered: list[str]) -> UsageError:
    """The error for a file that holds no usable strategy, or several."""
    details = {"path": str(path), "classes": offered}
    if usable:
        names = [cls.__name__ for cls in usable]
        return UsageError(
            f"{path} holds {len(names)} strategies: {', '.join(names)}. Say which.",
            fix=f"qfund strategy check {path}:{names[0]}",
            code="STRATEGY_SEVERAL",
            details=details,
        )
    if offered:
        return UsageError(
            f"{offered[0]} in {path} has no method targets(self, bars), so it decides nothing.",
            fix=f"add to {offered[0]}: def targets(self, bars: Bars) -> pd.DataFrame",
            code="STRATEGY_WITHOUT_TARGETS",
            details=details,
        )
    alike = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "targets")
    ]
    why = f" Its class {alike[0]} has targets, but does not extend Strategy." if alike else ""
    return UsageError(
        f"{path} holds no strategy: no class of its own that extends qfund.Strategy.{why}",
        fix=f"class {alike[0] if alike else 'MyStrategy'}(Strategy): … in {path}",
        code="STRATEGY_NONE",
        details=details,
    )


def _at(error: BaseException, path: Path) -> str:
    where = place_of(error, path.resolve().parent)
    return f" ({where})" if where else ""
