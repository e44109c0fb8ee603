"""Rows of the quarantine that a person dismisses."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_RULE = (
    "ALTER TABLE sec.quarantine DROP CONSTRAINT quarantine_released_by_check,"
    " ADD CONSTRAINT quarantine_released_by_check CHECK (released_by IN ({}))"
)


def upgrade() -> None:
    """A row may leave the quarantine without being stored."""
    told = "'answer','person','other','dismissed'"
    op.get_bind().exec_driver_sql(_RULE.format(told))


def downgrade() -> None:
    """Rows that were dismissed count as given up for another bar."""
    connection = op.get_bind()
    connection.exec_driver_sql(
        "UPDATE sec.quarantine SET released_by = 'other' WHERE released_by = 'dismissed'"
    )
    connection.exec_driver_sql(_RULE.format("'answer','person','other'"))
