"""Targets are fit to trade on, or their first fault is named with its column and time."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfund import Strategy
from qfund.errors import DataQualityError
from qfund.market.bars import FIELDS, Bars
from qfund.strategy.synthetic import synthetic_bars
from qfund.strategy.targets import checked_targets, declared_warmup, remarks

BARS = synthetic_bars(("A", "B"), rows=40)
DAYS = BARS.index


def deciding(decide, *, warmup=1):
    """A strategy of one function."""
    return type("Tried", (Strategy,), {"targets": lambda self, bars: decide(bars), "warmup": warmup})()


def refused(decide, bars=BARS, **options) -> DataQualityError:
    with pytest.raises(DataQualityError) as caught:
        checked_targets(deciding(decide, **options), bars)
    assert caught.value.exit_code == 5
    assert caught.value.fix
    return caught.value


def minutes(rows: int = 30) -> Bars:
    index = pd.date_range("2024-01-02 14:31", periods=rows, freq="min", tz="UTC", name="time")
    values = np.full((rows, 1), 10.0)
    return Bars.from_arrays(
        index,
        ["A"],
        dict.fromkeys(FIELDS, values),
        timeframe="1m",
        session_of_row=pd.DatetimeIndex(["2024-01-02"] * rows),
    )


def test_good_targets_come_back_as_they_are():
    wanted = BARS.close / 1000
    got = checked_targets(deciding(lambda bars: wanted), BARS)

    pd.testing.assert_frame_equal(got, wanted)
    got.iloc[0, 0] = 7.0
    assert wanted.iloc[0, 0] != 7.0


def test_decisions_before_the_warmup_do_not_count():
    """With a warm-up of 3, the third bar is the first whose decision counts."""
    got = checked_targets(deciding(lambda bars: bars.close * 0 + 1, warmup=3), BARS)

    assert got["A"].isna().tolist() == [True, True, *[False] * 38]


def test_a_warmup_as_long_as_the_history_leaves_one_decision():
    got = checked_targets(deciding(lambda bars: bars.close * 0, warmup=40), BARS)

    assert got.notna().any(axis=1).sum() == 1


def test_a_longer_warmup_says_how_many_bars_are_missing_and_since_when_they_would_do():
    """The made-up bars begin on 2015-01-01; the five XNYS sessions before are 24, 26, 29, 30, 31 December."""
    error = refused(lambda bars: bars.close, warmup=45)

    assert error.code == "WARMUP"
    assert "needs 45 bars before its first decision, and there are 40 (2015-01-01 to " in error.message
    assert "--since 2014-12-24 or earlier" in error.fix
    assert error.details["needed"] == 45


def test_minute_bars_count_sessions_by_their_minutes():
    """400 more minutes are two more sessions of 390: the last two before 2 January 2024."""
    error = refused(lambda bars: bars.close, minutes(), warmup=430)

    assert "--since 2023-12-28 or earlier" in error.fix


@pytest.mark.parametrize("warmup", [-1, 2.5, "30", True, None])
def test_a_warmup_must_be_a_number_of_bars(warmup):
    assert refused(lambda bars: bars.close, warmup=warmup).code == "WARMUP_TYPE"


def test_a_failing_warmup_is_told_with_its_line():
    class Failing(Strategy):
        @property
        def warmup(self):
            return 1 // 0

        def targets(self, bars):
            return bars.close

    with pytest.raises(DataQualityError, match=r"warmup fails at test_targets.py:\d+ \(return 1 // 0\)"):
        declared_warmup(Failing())


def test_no_bars_no_decision():
    assert refused(lambda bars: bars.close, BARS.rows(0, 0)).code == "NO_BARS"


def one_word(bars):
    weights = bars.close.astype(object)
    weights.loc[DAYS[7], "B"] = "buy"
    return weights


@pytest.mark.parametrize(
    ("decide", "code", "words"),
    [
        (lambda bars: None, "TARGETS_TYPE", "returns nothing (is a return missing?)"),
        (lambda bars: bars.close["A"], "TARGETS_TYPE", "returns a Series"),
        (lambda bars: bars.close.to_numpy(), "TARGETS_TYPE", "returns a ndarray"),
        (lambda bars: bars.close.iloc[5:], "TARGETS_ROWS", "35 rows for 40 bars; the first bar without one is 2015-01-01"),
        (lambda bars: bars.close.dropna().iloc[:-1], "TARGETS_ROWS", "39 rows for 40 bars; the first bar without one is 2015-02-25"),
        (lambda bars: pd.concat([bars.close, bars.close.tail(1)]), "TARGETS_ROWS", "41 rows for 40 bars"),
        (lambda bars: bars.close.reset_index(drop=True), "TARGETS_INDEX", "row 0 is 0 instead of 2015-01-01"),
        (lambda bars: bars.close.tz_localize("UTC"), "TARGETS_INDEX", "row 0 is 2015-01-01 00:00:00+00:00"),
        (lambda bars: bars.close.shift(1, freq="D"), "TARGETS_INDEX", "row 0 is 2015-01-02"),
        (lambda bars: bars.close[["A"]], "TARGETS_COLUMNS", "missing: B"),
        (lambda bars: bars.close.assign(C=1.0), "TARGETS_COLUMNS", "not a symbol: C"),
        (lambda bars: bars.close.rename(columns={"B": "b"}), "TARGETS_COLUMNS", "missing: B; not a symbol: b"),
        (lambda bars: bars.close[["A", "B", "B"]], "TARGETS_COLUMNS", "twice: B"),
        (lambda bars: bars.close.astype(str), "TARGETS_DTYPE", "in column A, not numbers"),
        (lambda bars: bars.close.astype(complex), "TARGETS_DTYPE", "complex128 in column A"),
        (lambda bars: bars.close.apply(pd.to_datetime), "TARGETS_DTYPE", "datetime64"),
        (one_word, "TARGETS_DTYPE", "'buy' on 2015-01-12"),
        (lambda bars: bars.close / 0, "TARGETS_INFINITE", "infinite weight for A on 2015-01-01"),
    ],
)  # fmt: skip
def test_each_fault_has_its_own_code_and_names_what_is_wrong(decide, code, words):
    error = refused(decide)

    assert error.code == code
    assert words in error.message


def test_an_infinity_is_named_by_column_and_first_time():
    def decide(bars):
        weights = bars.close * 0
        weights.iloc[9, 1] = -np.inf
        weights.iloc[20, 0] = np.inf
        return weights

    assert refused(decide).details == {"column": "B", "time": "2015-01-14"}


def test_infinities_of_the_warmup_do_not_count_as_decisions_but_are_told():
    """They show that something is divided by zero, wherever they are."""
    assert refused(lambda bars: bars.close / 0, warmup=20).code == "TARGETS_INFINITE"


@pytest.mark.parametrize(
    "convert",
    [
        lambda wanted: wanted.astype(bool),
        lambda wanted: wanted.astype("int8"),
        lambda wanted: wanted.astype("float32"),
        lambda wanted: wanted.astype("Int64"),
        lambda wanted: wanted.astype("boolean"),
        lambda wanted: wanted.astype(object),
        lambda wanted: wanted[["B", "A"]],
    ],
)
def test_every_kind_of_number_becomes_float64_in_the_order_of_the_bars(convert):
    wanted = (BARS.close > BARS.close.mean()).astype(float)
    got = checked_targets(deciding(lambda bars: convert(wanted)), BARS)

    pd.testing.assert_frame_equal(got, wanted)


@pytest.mark.parametrize("missing", [None, pd.NA, float("nan")])
def test_missing_values_of_any_kind_are_no_decision(missing):
    def decide(bars):
        weights = bars.close.astype(object)
        weights.iloc[3, 0] = missing
        return weights

    got = checked_targets(deciding(decide), BARS)

    assert np.isnan(got.iloc[3, 0])
    assert got.isna().to_numpy().sum() == 1


def test_what_the_strategy_raises_is_told_with_its_line():
    def decide(bars):
        return bars.close["nowhere"]

    error = refused(decide)

    assert error.code == "TARGETS_FAIL"
    assert "Tried.targets fails" in error.message
    assert "KeyError: 'nowhere'" in error.message


def test_a_strategy_without_a_file_fails_in_words_too():
    """In a notebook a class belongs to no file."""
    strategy = deciding(lambda bars: 1 // 0)
    type(strategy).__module__ = "nowhere"

    with pytest.raises(DataQualityError, match="targets fails: ZeroDivisionError"):
        checked_targets(strategy, BARS)


def write_value(bars):
    bars.close.iloc[0, 0] = 1.0
    return bars.close


def write_array(bars):
    bars.close.to_numpy()[0, 0] = 1.0
    return bars.close


def fill_in_place(bars):
    bars.volume.mask(bars.volume > 0, 0.0, inplace=True)  # noqa: PD002
    return bars.close


def add_in_place(bars):
    close = bars.close
    close += 1
    return close


def new_column(bars):
    bars.open["C"] = 1.0
    return bars.close


def replaced_column(bars):
    bars.low["A"] = 1.0
    return bars.close


@pytest.mark.parametrize(
    "decide", [write_value, write_array, fill_in_place, add_in_place, new_column, replaced_column]
)
def test_writing_into_the_bars_is_refused_and_changes_nothing(decide):
    before = BARS.fingerprint()

    assert refused(decide).code == "TARGETS_WRITE"
    assert BARS.fingerprint() == before


def test_renaming_an_axis_does_not_reach_the_callers_bars():
    def decide(bars):
        weights = bars.close.copy()
        bars.close.index.name = "when"
        bars.close.columns.name = "what"
        return weights

    checked_targets(deciding(decide), BARS)

    assert (BARS.close.index.name, BARS.close.columns.name) == ("session", "symbol")


def test_a_strategy_may_write_into_its_own_copies():
    def decide(bars):
        close = bars.close.copy()
        close.iloc[0, 0] = 0.0
        return close * 0

    assert checked_targets(deciding(decide), BARS).shape == (40, 2)


def test_bars_whose_columns_were_built_one_by_one_work():
    bars = replace(BARS, close=pd.DataFrame({"A": BARS.close["A"], "B": BARS.close["B"]}))

    assert checked_targets(deciding(lambda given: given.close * 0), bars).shape == (40, 2)


def test_minute_bars_name_the_minute():
    bars = minutes()
    error = refused(lambda given: given.close / 0, bars)

    assert "2024-01-02T14:31:00Z" in error.message


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 70))
def test_any_shape_gives_all_rows_or_says_that_the_history_is_too_short(rows, width, warmup):
    bars = synthetic_bars([f"S{number}" for number in range(width)], rows=rows)
    strategy = deciding(lambda given: (given.close > 0).astype(float), warmup=warmup)
    if warmup > rows:
        with pytest.raises(DataQualityError, match="needs"):
            checked_targets(strategy, bars)
        return
    got = checked_targets(strategy, bars)
    assert got.shape == (rows, width)
    assert got.isna().all(axis=1).sum() == max(warmup, 1) - 1


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.nan, "every target is NaN"),
        (0.0, "never wants a position"),
        (0.6, "up to 1.20 times the capital (on 2015-01-01)"),
        (-0.6, "up to 1.20 times the capital"),
    ],
)
def test_strange_but_allowed_targets_are_remarked(weights, words):
    assert words in remarks(BARS.close * 0 + weights)[0]


def test_a_full_portfolio_is_not_remarkable():
    assert remarks(BARS.close * 0 + 0.5) == ()
