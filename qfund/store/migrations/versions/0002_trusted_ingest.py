"""Ingest that can be trusted: calendars of series, hot minutes, quarantine, repairs, pacing, universes."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Extend the first schema; no stored bar changes."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """There is no way back: quarantined rows and claims would be lost."""
    raise NotImplementedError("this revision cannot be taken back; restore a backup instead")
