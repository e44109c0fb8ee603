"""Names as the listings tell them, beside what changes of name make of them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Extend the names; those that are stored count as told by the listings."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Forget what the listings told; the names stay as they are."""
    op.get_bind().exec_driver_sql("ALTER TABLE sec.instrument_symbol DROP COLUMN told")
