"""The first schema: securities master, bars, actions, coverage, runs, and the seed's names as views."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything; the SQL beside this file is the schema's documentation."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """There is no way back from the first schema: it would delete every bar."""
    raise NotImplementedError("the first schema cannot be taken back; restore a backup instead")
