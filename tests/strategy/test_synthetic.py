"""Made-up bars are the same everywhere and have the holes that real ones have."""

import pytest

from qfund.strategy.synthetic import synthetic_bars


def test_equal_arguments_give_equal_bars():
    assert synthetic_bars().fingerprint() == synthetic_bars().fingerprint()
    assert synthetic_bars(seed=1).fingerprint() != synthetic_bars(seed=2).fingerprint()


def test_one_symbol_is_listed_late_one_halted_one_delisted():
    bars = synthetic_bars(("A", "B", "C", "D"), rows=100)
    missing = bars.close.isna()

    assert missing["A"].sum() == 0
    assert missing["B"].to_numpy().nonzero()[0].tolist() == list(range(80, 100))
    assert missing["C"].to_numpy().nonzero()[0].tolist() == list(range(50, 60))
    assert missing["D"].to_numpy().nonzero()[0].tolist() == list(range(33))


@pytest.mark.parametrize("symbols", [("A",), ("A", "B")])
def test_one_or_two_symbols_have_no_holes(symbols):
    assert synthetic_bars(symbols, rows=10).close.notna().to_numpy().all()


def test_a_bar_is_a_bar():
    bars = synthetic_bars(("A",))

    assert (bars.low <= bars.open).to_numpy().all()
    assert (bars.close <= bars.high).to_numpy().all()
    assert (bars.volume > 0).to_numpy().all()
    assert bars.index.is_monotonic_increasing
    assert bars.index.is_unique
