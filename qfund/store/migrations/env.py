"""What Alembic runs: the migrations, on the connection that ``qfund.store.schema`` hands over.

The caller owns the transaction, so that a migration that fails or is killed leaves the schema as it was.
"""

from __future__ import annotations

from alembic import context

from qfund.store.schema import VERSION_SCHEMA, VERSION_TABLE

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table=VERSION_TABLE,
    version_table_schema=VERSION_SCHEMA,
    transactional_ddl=True,
)
context.run_migrations()
