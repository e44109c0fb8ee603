"""One backtest, from a strategy and stored bars to a result with an identity.

Promises: the strategy sees only adjusted bars and is checked for look-ahead before its result is believed;
the money sees only raw prices and corporate actions; equal inputs give an equal run id. It never reads a
file, prints, or stores anything: the command does that with the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime

import pandas as pd

from qfund.backtest.costs import PRESETS, CostModel
from qfund.backtest.data import Data
from qfund.backtest.engine import Market, Rules, Simulation, engine_versions, simulate
from qfund.backtest.metrics import Metric, compute, conventions
from qfund.errors import DataQualityError
from qfund.market.bars import Bars
from qfund.strategy.api import Strategy
from qfund.strategy.causality import Verdict, check
from qfund.strategy.loading import Loaded
from qfund.strategy.targets import checked_targets, remarks

SYNTHETIC = "synthetic"  # the feed of bars that no market made
SAMPLES = 8  # moments at which look-ahead is tried in every backtest; `qfund strategy check` tries more


@dataclass(frozen=True)
class Wish:
    """What the user asked for.

    Attributes:
        since: first session that may hold a position; None for the first stored one.
        until: last session; None for the last stored one.
        costs: what trading costs.
        rules: starting cash (currency units), whole or fractional shares, which price fills.
        benchmark: a symbol of the data to hold instead, or None for equal parts of the universe.
        causality_samples: moments at which look-ahead is tried; 0 skips the check.
        seed: of the sampled moments and perturbations.
    """

    since: date | None = None
    until: date | None = None
    costs: CostModel = PRESETS["us-equities"]
    rules: Rules = field(default_factory=Rules)
    benchmark: str | None = None
    causality_samples: int = SAMPLES
    seed: int = 0


@dataclass(frozen=True)
class Backtest:
    """A finished backtest: what made it, what came out.

    Attributes:
        run_id: 12 hexadecimal digits of SHA-256 over ``identity``; equal inputs give equal ids.
        identity: everything that decides the result, JSON-ready.
        strategy: the instance that ran.
        loaded: the file it came from.
        data: the data that were read.
        raw: the raw bars of the period itself, without the warm-up.
        targets: decided weights over the period; time × symbol.
        simulation: orders, trades, equity.
        benchmark: equity of the benchmark on the same cash; index as the simulation's.
        benchmark_name: for people.
        metrics: name → value or reason.
        verdict: of the look-ahead check; None when it was skipped.
        warnings: plain sentences, most serious first.
        conventions: the line that says how the numbers were computed.
        started_at, ended_at: UTC.
    """

    run_id: str
    identity: Mapping[str, object]
    strategy: Strategy
    loaded: Loaded
    data: Data
    raw: Bars
    targets: pd.DataFrame
    simulation: Simulation
    benchmark: pd.Series
    benchmark_name: str
    metrics: Mapping[str, Metric]
    verdict: Verdict | None
    warnings: tuple[str, ...]
    conventions: str
    started_at: datetime
    ended_at: datetime


def run(
    loaded: Loaded,
    params: Mapping[str, str],
    data: Data,
    wish: Wish,
    *,
    earlier: Collection[str] = (),
) -> Backtest:
    """Decide, check, trade, measure.

    Args:
        loaded: the strategy's file.
        params: name → text, as typed.
        data: history and market.
        wish: what was asked for.
        earlier: the ids of all runs of this strategy so far; each different one was a trial.

    Raises:
        UsageError: parameters that the strategy does not take.
        DataQualityError: too little history, unusable targets, or a strategy that sees the future (code
            ``LOOKAHEAD``).
    """
    started_at = datetime.now(UTC)
    strategy = loaded.make(params)
    # first the cut histories, then the whole: what a class remembers of the future could not help it before
    verdict = _causality(loaded, params, data.signals, wish)
    decided = checked_targets(strategy, data.signals)
    raw = data.raw.between(wish.since, wish.until)
    if len(raw) == 0:
        raise DataQualityError(_empty_period(data.raw, wish), code="NO_BARS", fix="qfund data status")
    targets = _permitted(decided.loc[raw.index], data, raw)
    market = Market(raw=raw, actions=data.actions, delisted=dict(data.delisted))
    simulation = simulate(market, targets, wish.costs, wish.rules)
    benchmark, benchmark_name = _benchmark(market, data, wish)
    identity = _identity(loaded, strategy, data, raw, wish)
    fingerprint = str(identity["data"])
    run_id = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    return Backtest(
        run_id=run_id,
        identity=identity,
        strategy=strategy,
        loaded=loaded,
        data=data,
        raw=raw,
        targets=targets,
        simulation=simulation,
        benchmark=benchmark,
        benchmark_name=benchmark_name,
        metrics=compute(
            simulation,
            calendar=raw.calendar,
            benchmark=benchmark,
            trials=len({*earlier, run_id}),
        ),
        verdict=verdict,
        warnings=_warnings(simulation, verdict, targets, wish, data, first=raw.sessions[0].date()),
        conventions=conventions(
            simulation,
            calendar=raw.calendar,
            costs=wish.costs,
            rules=wish.rules,
            fingerprint=fingerprint,
            as_of=data.raw.as_of,
        ),
        started_at=started_at,
        ended_at=datetime.now(UTC),
    )


def _causality(loaded: Loaded, params: Mapping[str, str], bars: Bars, wish: Wish) -> Verdict | None:
    if wish.causality_samples == 0:
        return None
    verdict = check(
        lambda: loaded.make(params),
        bars,
        samples=wish.causality_samples,
        seed=wish.seed,
        source=loaded.source,
    )
    refusal = verdict.refusal(loaded.name, loaded.path)
    if refusal is not None:
        raise refusal
    return verdict


def _empty_period(raw: Bars, wish: Wish) -> str:
    if len(raw) == 0:
        return "There are no bars stored for these symbols."
    first, last = raw.sessions[0].date(), raw.sessions[-1].date()
    asked = f"{wish.since or first} to {wish.until or last}"
    return f"There are no bars in {asked}: the stored ones run from {first} to {last}."


def _benchmark(market: Market, data: Data, wish: Wish) -> tuple[pd.Series, str]:
    """The same cash bought and held, without costs, dividends kept as cash."""
    raw, name = market.raw, "equal parts, bought and held"
    if wish.benchmark is not None:
        stored = data.raw if wish.benchmark in data.raw.symbols else data.benchmark
        if stored is None:
            raise ValueError(f"the bars of the benchmark {wish.benchmark} were not read")
        raw = stored.between(wish.since, wish.until).select([wish.benchmark])
        name = f"{wish.benchmark}, bought and held"
    targets = pd.DataFrame(float("nan"), index=raw.index, columns=raw.close.columns)
    targets.iloc[0] = 1.0 / len(raw.symbols)
    rules = Rules(cash=wish.rules.cash, fractional=True, fill=wish.rules.fill)
    held = Market(raw=raw, actions=market.actions, delisted=market.delisted)
    return simulate(held, targets, PRESETS["none"], rules).equity, name


def _identity(loaded: Loaded, strategy: Strategy, data: Data, raw: Bars, wish: Wish) -> dict[str, object]:
    """Everything that decides the result, and nothing that does not (no clock, no path, no host)."""
    return {
        "strategy": loaded.name,
        "code": loaded.code_sha256,
        "params": dict(strategy.params),
        "symbols": list(raw.symbols),
        "timeframe": raw.timeframe,
        "adjust": data.signals.adjust,
        "calendar": raw.calendar,
        "since": str(raw.sessions[0].date()),
        "until": str(raw.sessions[-1].date()),
        "data": data.fingerprint(),
        "signals": data.signals.fingerprint(),
        "source": data.source,
        "costs": asdict(wish.costs),
        "rules": asdict(wish.rules),
        "benchmark": wish.benchmark,
        "benchmark_data": None if data.benchmark is None else data.benchmark.fingerprint(),
        "engine": engine_versions(),
        **_membership(data, raw),
    }


def _permitted(targets: pd.DataFrame, data: Data, raw: Bars) -> pd.DataFrame:
    """The targets, zero for what is no member of the universe."""
    return targets if data.membership is None else data.membership.applied(targets, raw.sessions)


def _membership(data: Data, raw: Bars) -> dict[str, object]:
    """Who could be held when; nothing where every symbol could be held always."""
    if data.membership is None:
        return {}
    return {"members": data.membership.fingerprint(raw.symbols, raw.sessions)}


def _warnings(
    simulation: Simulation,
    verdict: Verdict | None,
    targets: pd.DataFrame,
    wish: Wish,
    data: Data,
    *,
    first: date,
) -> tuple[str, ...]:
    found = [*simulation.warnings, *data.untold, *remarks(targets)]
    if data.source.endswith(SYNTHETIC):
        found.insert(
            0, f"These bars ({data.source}) are made up: fit to try things out, worthless to judge by."
        )
    if verdict is None:
        found.append("Look-ahead was not checked (--no-check): do not believe this result yet.")
    else:
        found.extend(verdict.warnings)
    if simulation.orders.empty and targets.notna().to_numpy().any():
        found.append("No order was filled: every target was zero, or no bar followed the decision.")
    if wish.costs.name == "none":
        found.append("Costs are zero because --costs none was asked for: real trading is dearer.")
    closed = int((simulation.trades["status"] == "closed").sum())
    if 0 < closed < 30:
        found.append(f"Only {closed} closed trades: too few to tell skill from luck.")
    if data.membership is not None:
        found.extend(data.membership.warnings(first))
    elif wish.benchmark is None:
        found.append(
            "The universe is the symbols of today's choice, tested on their past: names that failed "
            "are not in it (survivorship)."
        )
    return tuple(found)
