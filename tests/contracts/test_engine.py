"""The limits of a connection."""

import pytest
import sqlalchemy as sa

from marketdata.settings import PostgresSettings, read
from marketdata.storage.engine import create_engine
from marketdata.streaming.producer import DELIVERY_SECONDS
from support.servers import Database


@pytest.mark.parametrize("statement_seconds", ["0.5", "60"])
def test_publishing_with_rows_claimed_fits_into_the_idle_limit(
    database: Database, statement_seconds: str
) -> None:
    (settings,) = read(
        PostgresSettings,
        environ={
            "DATABASE_URL": database.url,
            "MARKETDATA_POSTGRES_STATEMENT_TIMEOUT_SECONDS": statement_seconds,
        },
    )
    engine = create_engine(settings, application="tests")
    with engine.begin() as connection:
        idle_seconds = connection.execute(
            sa.text("""select cast(setting as bigint) / 1000.0 from pg_settings
                       where name = 'idle_in_transaction_session_timeout'""")
        ).scalar_one()
    engine.dispose()

    assert idle_seconds > DELIVERY_SECONDS + 2
    assert idle_seconds > float(statement_seconds)
