"""Backtest: what a strategy's wishes would have earned, in money, and how sure one can be of it."""
