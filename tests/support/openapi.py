"""Alpaca's published descriptions of its two APIs, and whether a request or an answer keeps to them.

They are read from the wheel that ``requirements/specifications.txt`` pins; ``make test`` fetches it into ``.venv``.
Nothing of it is in the repository.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jsonschema

REPOSITORY = Path(__file__).resolve().parents[2]
WHEEL = "alpaca_mcp_server-2.4.0-py3-none-any.whl"
INSIDE = "alpaca_mcp_server/specs/{}.json"
SAMPLE = 40  # of a long list its first, last and some rows between are checked


def wheel() -> Path:
    """Where the wheel lies.

    Raises:
        FileNotFoundError: it was not fetched.
    """
    folders = [REPOSITORY / ".venv", Path(sys.prefix)]
    for folder in folders:
        found = folder / "specifications" / WHEEL
        if found.exists():
            return found
    raise FileNotFoundError(
        f"{folders[0] / 'specifications' / WHEEL} is missing: Alpaca's published API descriptions, which the fake "
        "is checked against. `make test` sets it up (or `make specifications` alone)."
    )


FORMATS = jsonschema.FormatChecker(["date", "uuid"])


@FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    """RFC 3339, as answers have it: with a time and a zone."""
    return not isinstance(value, str) or (
        len(value) > 10 and datetime.fromisoformat(value).tzinfo is not None
    )


class Description:
    """One API."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = _plain(document)

    @cached_property
    def paths(self) -> list[tuple[re.Pattern[str], str]]:
        """Each path as an expression; those with fewer parameters first."""
        found = sorted(self.document["paths"], key=lambda path: path.count("{"))
        return [
            (re.compile("^" + re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(path)) + "$"), path)
            for path in found
        ]

    def operation(self, path: str) -> tuple[dict[str, Any], dict[str, str]] | None:
        """The GET of a path, with the parameters that are in the path; None when there is none."""
        for pattern, name in self.paths:
            match = pattern.match(path)
            if match and "get" in self.document["paths"][name]:
                item = self.document["paths"][name]
                operation = item["get"]
                shared = [*item.get("parameters", []), *operation.get("parameters", [])]
                return {**operation, "parameters": [self._resolved(one) for one in shared]}, match.groupdict()
        return None

    def request(self, path: str, params: Mapping[str, str]) -> list[str]:
        """What is wrong with a GET, in sentences."""
        found = self.operation(path)
        if found is None:
            return [f"no GET {path}"]
        operation, in_path = found
        known = {one["name"]: one for one in operation["parameters"] if one["in"] == "query"}
        wrong = [f"{path}: unknown parameter {name}" for name in params if name not in known]
        wrong += [
            f"{path}: parameter {name} is missing"
            for name, one in known.items()
            if one.get("required") and not params.get(name)
        ]
        for one in operation["parameters"]:
            given = (params if one["in"] == "query" else in_path).get(one["name"])
            if given is not None and not self._fits(given, one["schema"]):
                wrong.append(f"{path}: {one['name']}={given} does not fit {json.dumps(one['schema'])}")
        return wrong

    def answer(self, path: str, status: int, body: bytes) -> list[str]:
        """What is wrong with the body of an answer, in sentences."""
        found = self.operation(path)
        if found is None:
            return [f"no GET {path}"]
        schema = (
            found[0]["responses"]
            .get(str(status), {})
            .get("content", {})
            .get("application/json", {})
            .get("schema")
        )
        if schema is None:
            return []
        document = _sampled(json.loads(body))
        return [
            f"{path}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
            for error in self._validator(json.dumps(schema)).iter_errors(document)
        ]

    def _fits(self, given: str, schema: dict[str, Any]) -> bool:
        schema = self._resolved(schema)
        if schema.get("format") in ("date-time", "date"):
            return _is_time(
                given
            )  # a date is accepted where a date-time is named: the description's own text says so
        value: Any = given
        if schema.get("type") == "integer":
            if not re.fullmatch(r"-?\d+", given):
                return False
            value = int(given)
        elif schema.get("type") == "array":
            value = given.split(",")
        return self._validator(json.dumps(schema)).is_valid(value)

    def _validator(self, schema: str) -> Any:
        return _validator(id(self), self, schema)

    def _resolved(self, value: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in value:
            place: Any = self.document
            for part in value["$ref"].removeprefix("#/").split("/"):
                place = place[part]
            value = place
        return value


@cache
def _validator(_: int, description: Description, schema: str) -> Any:
    whole = {**json.loads(schema), "components": description.document["components"]}
    return jsonschema.Draft202012Validator(whole, format_checker=FORMATS)


@cache
def description(name: str) -> Description:
    """``market-data-api`` or ``trading-api``."""
    with zipfile.ZipFile(wheel()) as archive:
        return Description(json.loads(archive.read(INSIDE.format(name))))


def _plain(value: Any) -> Any:
    """The same schema without OpenAPI's ``nullable``, which JSON Schema does not know."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _plain(one) for name, one in value.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if value.get("nullable") is True else plain


def _sampled(value: Any) -> Any:
    """The same document with long lists thinned out."""
    if isinstance(value, dict):
        return {name: _sampled(one) for name, one in value.items()}
    if isinstance(value, list):
        if len(value) > SAMPLE:
            value = [*value[:: max(len(value) // SAMPLE, 1)], value[-1]]
        return [_sampled(one) for one in value]
    return value


def _is_time(text: str) -> bool:
    try:
        if len(text) == 10:
            date.fromisoformat(text)
        else:
            return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
    return True
