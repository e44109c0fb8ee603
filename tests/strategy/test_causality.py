"""The check catches every strategy of the corpus that looks ahead, and none that does not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qfund import Strategy
from qfund.errors import DataQualityError
from qfund.market.bars import FIELDS, Bars
from qfund.strategy.causality import check
from qfund.strategy.synthetic import synthetic_bars
from qfund.vendors.sample import Sample
from tests.strategy import corpus
from tests.strategy.prices import sample_bars

BARS = synthetic_bars()


@pytest.fixture(scope="module")
def real() -> Bars:
    return sample_bars(Sample())


@pytest.fixture(autouse=True)
def nothing_remembered():
    corpus.TooClever.memory.clear()


def checked(cls, bars=BARS, samples=24, seed=0, **options):
    return check(cls, bars, samples=samples, seed=seed, **options)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("cls", corpus.LEAKY, ids=lambda cls: cls.__name__)
def test_each_leak_is_caught_with_its_symbol_and_time(cls, seed):
    verdict = checked(cls, seed=seed)

    assert not verdict.ok
    finding = verdict.findings[0]
    assert finding.kind in {"truncated", "perturbed"}
    assert finding.column in BARS.symbols
    assert pd.Timestamp(finding.time) in BARS.index
    assert verdict.refusal("X", "x.py").code == "LOOKAHEAD"
    assert verdict.refusal("X", "x.py").exit_code == 5


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("cls", corpus.CLEAN, ids=lambda cls: cls.__name__)
def test_no_honest_strategy_is_accused(cls, seed):
    verdict = checked(cls, seed=seed)

    assert verdict.ok
    assert verdict.checked == 24
    assert verdict.refusal("X", "x.py") is None
    assert bool(verdict.warnings) == (cls is corpus.ExpandingMean)


@pytest.mark.parametrize("cls", corpus.CLEAN, ids=lambda cls: cls.__name__)
def test_no_honest_strategy_is_accused_on_real_prices(cls, real):
    """Prices in cents tie often: what hangs on the last bit of an average must not count."""
    verdict = checked(cls, real)

    assert verdict.ok
    assert bool(verdict.warnings) == (cls is corpus.ExpandingMean)


@pytest.mark.parametrize(
    "cls", [cls for cls in corpus.LEAKY if cls is not corpus.BackFill], ids=lambda cls: cls.__name__
)
def test_leaks_are_caught_on_real_prices(cls, real):
    """Without a halt in the data, filling one backwards looks at nothing."""
    assert not checked(cls, real).ok


def test_few_samples_still_catch_what_leaks_every_day():
    seasonal = {corpus.OnlyInMarch}

    assert [cls for cls in corpus.LEAKY if checked(cls, samples=4).ok and cls not in seasonal] == []


def test_the_same_seed_gives_the_same_verdict():
    assert checked(corpus.NextBar, seed=3) == checked(corpus.NextBar, seed=3)
    assert checked(corpus.ExpandingMean, seed=3) == checked(corpus.ExpandingMean, seed=3)


def test_the_first_offending_time_is_the_first():
    """Row 0 is already scaled by the last price, whatever moment is tried."""
    finding = checked(corpus.LastPrice).findings[0]

    assert (finding.column, finding.time) == ("SYN1", "2015-01-01")
    assert "the decision of 2015-01-01 for SYN1 is " in finding.detail


def test_the_column_is_the_one_that_leaks():
    class OneColumn(Strategy):
        def targets(self, bars):
            weights = bars.close * 0
            weights["SYN2"] = bars.close["SYN2"].shift(-1) / 1000
            return weights

    assert {finding.column for finding in checked(OneColumn).findings} == {"SYN2"}


def test_hints_point_at_the_line_and_are_advice_only():
    source = "def targets(self, bars):\n    return bars.close.shift(-1)\n"

    leaky = checked(corpus.NextBar, source=source)
    assert [hint.line for hint in leaky.hints] == [2]
    assert "Look at line 2: bars.close.shift(-1)." in leaky.refusal("X", "x.py").message
    assert leaky.refusal("X", "x.py").fix == "mend line 2 of x.py"
    assert checked(corpus.SmaCross, source=source).hints == ()


def test_randomness_is_its_own_finding():
    class Dice(Strategy):
        def targets(self, bars):
            return bars.close * 0 + np.random.default_rng().random(bars.close.shape) / 10

    verdict = checked(Dice)

    assert [finding.kind for finding in verdict.findings] == ["random"]
    assert verdict.refusal("Dice", "dice.py").code == "NOT_REPRODUCIBLE"


def test_seeded_chance_is_no_randomness():
    class LoadedDice(Strategy):
        def targets(self, bars):
            return bars.close * 0 + np.random.default_rng(1).random(bars.close.shape) / 10

    assert not [f for f in checked(LoadedDice).findings if f.kind == "random"]


def test_a_strategy_that_needs_a_later_date_cannot_decide_before_it():
    day = BARS.index[900]

    class NamesADay(Strategy):
        def targets(self, bars):
            return bars.close / bars.close.loc[day] / 10

    verdict = checked(NamesADay)

    assert verdict.findings[0].kind == "raises"
    assert "when the history ends on" in verdict.findings[0].detail
    assert verdict.refusal("X", "x.py").code == "HISTORY_TOO_SHORT"


def test_a_warmup_declared_too_short_is_a_warning_that_names_the_right_one():
    class Short(corpus.SmaCross):
        warmup = 5

    verdict = checked(Short)

    assert verdict.ok
    assert [finding.kind for finding in verdict.findings] == ["start"]
    assert verdict.warnings[0].endswith("its warm-up is 5: return 30.")


def test_a_strategy_that_remembers_its_whole_history_is_told_so():
    assert "It never agrees for good" in checked(corpus.ExpandingMean).warnings[0]


@pytest.mark.parametrize("rows", [1, 2, 3, 29, 30, 31, 32, 60])
def test_short_histories_are_checked_as_far_as_they_go(rows):
    bars = synthetic_bars(("A",), rows=rows)

    if rows < 30:
        with pytest.raises(DataQualityError, match="needs 30 bars"):
            checked(corpus.SmaCross, bars)
    else:
        verdict = checked(corpus.SmaCross, bars)
        assert verdict.ok
        assert verdict.checked == min(rows - 30, 24)
    assert checked(corpus.NextBar, bars).ok == (rows == 1)


def test_nothing_is_tried_with_no_samples():
    verdict = checked(corpus.NextBar, samples=0)

    assert (verdict.ok, verdict.checked) == (True, 0)


def test_a_wide_universe_is_checked_on_some_of_its_symbols():
    bars = synthetic_bars([f"S{number}" for number in range(100)], rows=300)

    some = checked(corpus.NextBar, bars, samples=4, cells=3000)
    every = checked(corpus.NextBar, bars, samples=4, cells=None)

    assert (some.symbols, every.symbols) == (10, 100)
    assert not some.ok
    assert not every.ok


def test_a_strategy_that_needs_one_symbol_of_many_gets_all_of_them():
    class NeedsAll(Strategy):
        def targets(self, bars):
            return bars.close.gt(bars.close["S0"], axis=0).astype(float) / 100

    bars = synthetic_bars([f"S{number}" for number in range(100)], rows=300)

    assert checked(NeedsAll, bars, samples=2, seed=1, cells=3000).symbols in {10, 100}
    assert {checked(NeedsAll, bars, samples=2, seed=s, cells=3000).symbols for s in range(4)} >= {100}


def test_minute_bars_are_tried_at_every_hour():
    rows = 390 * 4
    rng = np.random.default_rng(0)
    days = pd.DatetimeIndex(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"])
    index = pd.DatetimeIndex(
        [day + pd.Timedelta(minutes=14 * 60 + 31 + n) for day in days for n in range(390)],
        tz="UTC",
        name="time",
    )
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, (rows, 2)), axis=0))
    bars = Bars.from_arrays(
        index, ["A", "B"], dict.fromkeys(FIELDS, close), timeframe="1m", session_of_row=days.repeat(390)
    )

    class LastHour(Strategy):
        warmup = 10

        def targets(self, bars):
            honest = bars.close > bars.close.rolling(10).mean()
            late = pd.Series(bars.close.index.hour == 20, index=bars.close.index)
            return (bars.close.shift(-1) > bars.close).where(late, honest).astype(float) / 2

    verdict = checked(LastHour, bars)

    assert not verdict.ok
    assert "T20:" in verdict.findings[0].time
    assert checked(corpus.SmaCross, bars).ok


def test_bars_with_holes_everywhere_accuse_nobody():
    rng = np.random.default_rng(5)
    holes = rng.random(BARS.close.shape) < 0.2
    bars = replace(BARS, **{name: getattr(BARS, name).mask(holes) for name in FIELDS})

    assert all(checked(cls, bars).ok for cls in corpus.CLEAN)


def test_faults_of_the_targets_are_told_as_such():
    class Wrong(Strategy):
        def targets(self, bars):
            return bars.close["SYN1"]

    with pytest.raises(DataQualityError) as caught:
        checked(Wrong)
    assert caught.value.code == "TARGETS_TYPE"


def test_warnings_of_impossible_futures_are_kept_quiet():
    """Numeric warnings are errors in this test suite."""

    class Noisy(Strategy):
        def targets(self, bars):
            with np.errstate(all="warn"):
                mean = np.nanmean(bars.close.to_numpy(), axis=1)
            return bars.close.gt(mean, axis=0) / 6

    assert checked(Noisy).ok
