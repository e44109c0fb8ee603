"""`qfund strategy`: begin, list, read and check strategy files.

Promises: only ``new`` writes, one file, and never over another unless told to. Nothing is fetched or traded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qfund.commands.options import (
    ParamOption,
    SeedOption,
    SinceOption,
    StrategyArgument,
    SymbolsOption,
    UntilOption,
    VendorOption,
    params,
    period,
    symbols,
)
from qfund.commands.session import Session
from qfund.console import Block, Column, Facts, Heading, Outcome, Table, Text
from qfund.errors import NotFoundError

if TYPE_CHECKING:
    from qfund.market.bars import Bars
    from qfund.strategy.causality import Verdict
    from qfund.strategy.files import Found
    from qfund.strategy.loading import Loaded

FOLDER = "strategies"
COMPARISONS = {
    "random": "the same bars twice",
    "raises": "a history that ends at a moment",
    "truncated": "without the bars after a moment",
    "perturbed": "with other bars after a moment",
    "start": "with a history that begins later",
}

app = typer.Typer(help="Begin, list and check strategies.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add ``qfund strategy`` to the command line."""
    root.add_typer(app, name="strategy", rich_help_panel="Research")


def complete_templates(incomplete: str) -> list[str]:
    """The templates that begin so."""
    from qfund.strategy.templates import names

    return [name for name in names() if name.startswith(incomplete)]


@app.command()
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, such as my_strategy.")],
    template: Annotated[
        str,
        typer.Option(
            "--template",
            metavar="NAME",
            help="What to begin from: sma_cross, momentum, mean_reversion, buy_and_hold.",
            autocompletion=complete_templates,
        ),
    ] = "sma_cross",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file of that name.")] = False,
) -> None:
    """Write a strategy file to begin from; it passes its own check.

    Example: qfund strategy new my_momentum --template momentum
    """
    from qfund.strategy.files import write_new
    from qfund.strategy.loading import load

    session = Session.of(ctx)
    path = write_new(_folder(session), name, template, overwrite=force)
    loaded = load(path)
    session.console.show(
        Outcome(
            command="strategy.new",
            data={"path": path, "strategy": loaded.name, "template": template},
            blocks=(Text(f"Wrote {path}: {loaded.name}, from the template {template}."),),
            next=(f"qfund strategy check {path}", f"qfund backtest {path}"),
        )
    )


@app.command(name="list")
def list_(ctx: typer.Context) -> None:
    """List the strategies of the project, with their parameters; broken files with what is wrong.

    Example: qfund strategy list
    """
    from qfund.strategy.files import found

    session = Session.of(ctx)
    folder = _folder(session)
    files = list(found(folder))
    broken = [file for file in files if file.error is not None]
    rows = [_listed(file) for file in files]
    empty = f"There are no strategies in {folder} yet."
    session.console.show(
        Outcome(
            command="strategy.list",
            data={"folder": folder, "strategies": [_file_facts(file) for file in files]},
            blocks=(Table(("file", "strategy", "parameters", "what it does"), rows),)
            if files
            else (Text(empty),),
            warnings=tuple(f"{file.path} cannot be used, see its row." for file in broken),
            next=() if files else ("qfund strategy new my_strategy",),
        )
    )


@app.command()
def show(ctx: typer.Context, strategy: StrategyArgument) -> None:
    """Show a strategy's parameters: types, defaults, limits and what a sweep tries.

    Example: qfund strategy show strategies/sma_cross.py
    """
    from qfund.strategy.loading import load
    from qfund.strategy.targets import declared_warmup

    session = Session.of(ctx)
    loaded = load(strategy)
    described = loaded.cls.describe()
    warmup = declared_warmup(loaded.make())
    facts = {
        "strategy": loaded.name,
        "what it does": described["summary"] or None,
        "file": str(loaded.path),
        "warm-up": f"{warmup} bars with the defaults",
        "code": loaded.code_sha256[:12],
    }
    session.console.show(
        Outcome(
            command="strategy.show",
            data=_loaded_facts(loaded) | {"warmup": warmup},
            blocks=(Facts(facts), *_parameters(loaded)),
            next=(f"qfund strategy check {strategy}", f"qfund backtest {strategy}"),
        )
    )


@app.command()
def check(
    ctx: typer.Context,
    strategy: StrategyArgument,
    param: ParamOption = None,
    symbol: SymbolsOption = None,
    vendor: VendorOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=1, help="Moments to try; more find rarer leaks.")
    ] = 24,
    seed: SeedOption = 0,
) -> None:
    """Find out whether a strategy sees the future; exit 5 if it does.

    It is run on histories that are cut off, changed afterwards or begin later, and must decide the same past.
    Runs on the stored daily bars, or on made-up ones when there are none.

    Example: qfund strategy check strategies/sma_cross.py -p fast=5
    """
    from qfund.strategy import causality
    from qfund.strategy.loading import load
    from qfund.strategy.targets import checked_targets, declared_warmup, remarks

    session = Session.of(ctx)
    loaded, chosen = load(strategy), params(param)
    made = loaded.make(chosen)
    first, last = period(since, until, today=datetime.now(UTC).date())
    bars, source = _bars(
        session,
        symbols=symbols(symbol),
        vendor=vendor,
        since=first,
        until=last,
        warmup=declared_warmup(made),
    )
    with session.console.status(f"Checking {loaded.name} at {samples} moments"):
        verdict = causality.check(
            lambda: loaded.make(chosen), bars, samples=samples, seed=seed, cells=None, source=loaded.source
        )
        told = remarks(checked_targets(made, bars)) if verdict.ok else ()
    refusal = verdict.refusal(loaded.name, strategy)
    session.console.show(
        Outcome(
            command="strategy.check",
            data=_verdict_facts(loaded, verdict, bars, source) | {"params": made.params},
            blocks=_verdict_blocks(loaded, verdict, bars, source),
            warnings=(*(f"{text[0].upper()}{text[1:]}" for text in verdict.warnings), *told),
            errors=() if refusal is None else (refusal,),
            next=(f"qfund backtest {strategy}",) if verdict.ok else (),
        )
    )


def _bars(
    session: Session,
    *,
    symbols: tuple[str, ...] | None,
    vendor: str | None,
    since: date | None,
    until: date | None,
    warmup: int,
) -> tuple[Bars, str]:
    """Stored daily bars, adjusted for splits and dividends, or made-up ones; and what they are."""
    settings = session.settings
    if vendor is not None or settings.store.url is not None or (settings.home / "postgres").exists():
        from qfund.backtest.data import Query, read

        query = Query(symbols=symbols, vendor=vendor, since=since, until=until, warmup=warmup)
        try:
            with session.open_store() as store, session.console.status("Reading bars"):
                data = read(store, query)
                return data.signals, data.source
        except NotFoundError as error:
            if error.code != "NO_BARS" or vendor is not None:
                raise
    from qfund.strategy.synthetic import ROWS, SYMBOLS, synthetic_bars

    ignored = " (--since and --until do not count)" if since or until else ""
    session.console.note(f"No daily bars are stored, so made-up ones are used{ignored}.")
    return synthetic_bars(symbols or SYMBOLS, max(ROWS, 3 * warmup)), "made up"


def _folder(session: Session) -> Path:
    """The project's strategies, as the user would write the path from here."""
    path = session.settings.project / FOLDER
    return Path(os.path.relpath(path, session.cwd))


def _listed(file: Found) -> Sequence[object]:
    if file.loaded is None:
        return (str(file.path), "broken", "", file.error.message if file.error else "")
    described = file.loaded.cls.describe()
    defaults = " ".join(f"{p.name}={p.default}" for p in file.loaded.cls.parameters.values())
    return (str(file.path), file.loaded.name, defaults, described["summary"])


def _file_facts(file: Found) -> dict[str, object]:
    facts: dict[str, object] = {} if file.loaded is None else _loaded_facts(file.loaded)
    error = None if file.error is None else {"code": file.error.code, "message": file.error.message}
    return facts | {"path": file.path, "error": error}


def _loaded_facts(loaded: Loaded) -> dict[str, object]:
    return {
        "path": loaded.path,
        **loaded.cls.describe(),
        "code_sha256": loaded.code_sha256,
        "neighbours": list(loaded.neighbours),
    }


def _parameters(loaded: Loaded) -> tuple[Block, ...]:
    declared = list(loaded.cls.parameters.values())
    if not declared:
        return (Text("It has no parameters."),)
    rows = [
        (
            p.name,
            p.type.__name__,
            str(p.default),
            " … ".join("" if end is None else f"{end:g}" for end in (p.low, p.high)).strip()
            if (p.low, p.high) != (None, None)
            else "",
            ", ".join(map(str, p.grid or ())),
            p.help or "",
        )
        for p in declared
    ]
    columns = ("parameter", "type", Column("default", "right"), "limits", "sweep tries", "meaning")
    return (Heading("Parameters"), Table(columns, rows))


def _verdict_facts(loaded: Loaded, verdict: Verdict, bars: Bars, source: str) -> dict[str, object]:
    days = bars.sessions
    return {
        "strategy": loaded.name,
        "path": loaded.path,
        "ok": verdict.ok,
        "source": source,
        "since": days[0].date() if len(days) else None,
        "until": days[-1].date() if len(days) else None,
        "bars": len(bars),
        "symbols": list(bars.symbols),
        "moments": verdict.checked,
        "evaluations": verdict.evaluations,
        "findings": [vars(finding) for finding in verdict.findings],
        "hints": [vars(hint) for hint in verdict.hints],
    }


def _verdict_blocks(loaded: Loaded, verdict: Verdict, bars: Bars, source: str) -> tuple[Block, ...]:
    by_kind = {finding.kind: finding for finding in verdict.findings}
    rows = []
    for kind, title in COMPARISONS.items():
        finding = by_kind.get(kind)  # type: ignore[call-overload]  # a literal's text
        if finding is not None:
            result = "differs" if kind != "start" else "differs (warning)"
            rows.append((title, result, finding.column, finding.time))
        else:
            rows.append((title, "same" if _was_tried(kind, verdict) else "not tried", "", ""))
    period_shown = f"{bars.sessions[0]:%Y-%m-%d} to {bars.sessions[-1]:%Y-%m-%d}"
    lines = [
        f"{loaded.name}: {_sentence(verdict)}",
        f"Bars: {source}, {len(bars):,} × {len(bars.symbols)} (sessions × symbols), {period_shown}.",
        f"Tried {verdict.checked} moments in {verdict.evaluations} runs.",
    ]
    table = Table(("compared with the whole history", "decisions", "first symbol", "first time"), rows)
    details = [f"{finding.kind}: {finding.detail}" for finding in verdict.findings if finding.kind != "start"]
    blocks: list[Block] = [Text(lines), table]
    if details:
        blocks += [Heading("What differs"), Text(details)]
    if verdict.hints:
        hinted = [(hint.line, hint.code, hint.why) for hint in verdict.hints]
        blocks += [
            Heading("Lines to look at first (advice, not proof)"),
            Table((Column("line", "right"), "code", "why"), hinted),
        ]
    return tuple(blocks)


def _was_tried(kind: str, verdict: Verdict) -> bool:
    """Randomness makes all else pointless, and look-ahead the question where history begins."""
    found = {finding.kind for finding in verdict.findings}
    if "random" in found:
        return kind == "random"
    return verdict.checked > 0 and (kind != "start" or verdict.ok)


def _sentence(verdict: Verdict) -> str:
    if verdict.checked == 0:
        return "too little history to try anything; nothing was proved."
    if not verdict.ok:
        return "not fit for a backtest."
    return "no look-ahead found." if not verdict.findings else "no look-ahead found, with a warning."
