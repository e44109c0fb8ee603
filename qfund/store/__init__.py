"""The store: Postgres, embedded or by URL; bars, actions, coverage and runs in it."""

from qfund.store.database import Store, open_store

__all__ = ["Store", "open_store"]
