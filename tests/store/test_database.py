"""Opening a store: by itself, by URL, with every way it can be wrong told in one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing

import psycopg2
import pytest

from qfund.errors import ConfigError, DataQualityError, LockedError, UpstreamError
from qfund.store import check, database, open_store, schema
from qfund.store.database import parse
from tests.support.stored import Shelf, at, flat, minute

SECRET = "pa55/w:rd"
IN_URL = "pa55%2Fw%3Ard"


def query(store, text):
    with store.sql.connect() as connection:
        return connection.exec_driver_sql(text).all()


# ---------------------------------------------------------------- schema


def test_a_fresh_database_gets_the_newest_schema_by_itself_and_once(pg_server, tmp_path):
    with pg_server.database(migrated=False) as url:
        with open_store(url, tmp_path) as store:
            assert database.revision(store) == schema.HEAD
            assert database.migrate(store) == (schema.HEAD, schema.HEAD)
            tables = query(
                store, "SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('sec', 'ops')"
            )
        with open_store(url, tmp_path) as store:
            assert (
                query(
                    store,
                    "SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('sec', 'ops')",
                )
                == tables
            )


def test_two_commands_that_migrate_at_once_do_it_once(pg_server, tmp_path):
    program = "import sys; from pathlib import Path; from qfund.store import open_store\nwith open_store(sys.argv[1], Path('.')) as store: print(store.url)"
    with pg_server.database(migrated=False) as url:
        both = [
            subprocess.Popen(
                [sys.executable, "-c", program, url],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for one in both:
            said, complained = one.communicate(timeout=60)
            assert (one.returncode, complained) == (0, "")
            assert said.startswith("postgresql://qfund@")


def test_the_newest_revision_is_the_last_of_the_files():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "qfund.store:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_a_newer_schema_is_left_alone(store_url, tmp_path):
    with open_store(store_url, tmp_path) as store, store.sql.begin() as connection:
        connection.exec_driver_sql("UPDATE ops.schema_revision SET version_num = '9999'")
    with (
        pytest.raises(ConfigError, match=r"schema \(9999\) is newer than this qfund knows") as told,
        open_store(store_url, tmp_path),
    ):
        pass
    assert told.value.exit_code == 3
    assert "upgrade qfund" in told.value.fix


def test_a_failed_migration_leaves_nothing(pg_server, tmp_path):
    with (
        pg_server.database(migrated=False) as url,
        closing(psycopg2.connect(url)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE SCHEMA sec")  # somebody else's
        connection.commit()
        with pytest.raises(ConfigError, match='schema "sec" already exists'), open_store(url, tmp_path):
            pass
        cursor.execute("SELECT to_regnamespace('ops') IS NULL, to_regnamespace('seed') IS NULL")
        assert cursor.fetchone() == (True, True)


def test_the_seeds_names_show_what_is_stored_and_refuse_writes(store):
    shelf, packed = Shelf(store), Shelf(store, timeframe="1m")
    from datetime import date

    shelf.write([flat("A", date(2024, 1, 2), 5, 7)])
    packed.write([minute("A", at(2024, 1, 2, 14, 30), 6)])
    assert query(store, "SELECT ticker, instrument, exchange_id FROM seed.symbol") == [("A", "equity", 5)]
    assert query(store, "SELECT abbrev FROM seed.exchange WHERE id = 5") == [("NYSE",)]
    (daily,) = query(
        store, "SELECT stock_id, date_price, open_price, close_price, volume FROM seed.daily_data"
    )
    assert daily == (shelf.ids["A"], at(2024, 1, 2).replace(tzinfo=None), 5, 5, 7)
    assert query(store, "SELECT date_price FROM seed.minute_data") == [
        (at(2024, 1, 2, 14, 30).replace(tzinfo=None),)
    ]
    names = [
        row[0]
        for row in query(
            store, "SELECT table_name FROM information_schema.views WHERE table_schema = 'seed' ORDER BY 1"
        )
    ]
    assert names == [
        "daily_data", "data_vendor", "exchange", "minute_data", "position_performance", "positions", "run_information",
        "strategy_performance", "symbol",
    ]  # fmt: skip
    for name in names:
        with (
            pytest.raises(ConfigError, match="read-only") as told,
            store.transaction() as conn,
            conn.cursor() as cursor,
        ):
            cursor.execute(f"INSERT INTO seed.{name} DEFAULT VALUES")
        assert told.value.code == "STORE_READ_ONLY"
    for statement in ("DELETE FROM seed.daily_data", "UPDATE seed.daily_data SET volume = 1"):
        with (
            pytest.raises(ConfigError, match="read-only"),
            store.transaction() as conn,
            conn.cursor() as cursor,
        ):
            cursor.execute(statement)


# ---------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("mysql://u@h/d", "must start with postgresql://, not with 'mysql'"),
        ("sqlite:///x.db", "not with 'sqlite'"),
        ("nonsense", "must start with postgresql://"),
        ("", "must start with postgresql://"),
        (f"postgresql://u:{SECRET}@h:port/d", "cannot be read"),
        (f"postgresql://u:{SECRET}@h:5432", "names no database|cannot be read"),
        ("postgresql://h", "names no database"),
    ],
)
def test_an_address_that_is_none_is_a_matter_of_configuration(address, says, tmp_path):
    with pytest.raises(ConfigError, match=says) as told, open_store(address, tmp_path):
        pass
    assert told.value.exit_code == 3
    assert_hidden(told.value)


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg", "POSTGRESQL+asyncpg"]
)
def test_any_drivers_suffix_is_understood(scheme):
    assert (
        parse(f"{scheme}://u:p@h:1/d?sslmode=require").set(query={}).render_as_string()
        == "postgresql+psycopg2://u:***@h:1/d"
    )


def assert_hidden(error: BaseException) -> None:
    """Neither the error nor anything that is shown with it holds the password."""
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(getattr(error, "details", ""))
    assert SECRET not in shown
    assert IN_URL not in shown


def refusal(url, tmp_path):
    with pytest.raises((ConfigError, UpstreamError)) as told, open_store(url, tmp_path):
        pass
    assert_hidden(told.value)
    return told.value


def test_an_unknown_host_is_a_matter_of_configuration(tmp_path):
    error = refusal(f"postgresql://u:{IN_URL}@no-such-host.invalid/d", tmp_path)
    assert (type(error), error.code) == (ConfigError, "STORE_HOST")


def test_a_port_where_nobody_listens_is_an_unreachable_server(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = refusal(f"postgresql://u:{IN_URL}@127.0.0.1:{taken.getsockname()[1]}/d", tmp_path)
    assert (type(error), error.code, error.exit_code) == (UpstreamError, "STORE_UNREACHABLE", 13)


def test_a_server_that_never_answers_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = refusal(f"postgresql://u:{IN_URL}@127.0.0.1:{port}/d?connect_timeout=2", tmp_path)
    assert (type(error), error.exit_code) == (UpstreamError, 13)


def test_something_else_that_answers_there_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as web:

        def answer():
            with closing(web.accept()[0]) as one:
                one.recv(100)
                one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        error = refusal(f"postgresql://u:{IN_URL}@127.0.0.1:{web.getsockname()[1]}/d", tmp_path)
        thread.join()
    assert (type(error), error.code) == (ConfigError, "STORE_URL")


def test_no_such_database_and_no_such_user(pg_server, tmp_path):
    assert refusal(pg_server.address("no_such_database"), tmp_path).code == "STORE_NO_DATABASE"
    stranger = pg_server.address("qfund").replace("qfund@", f"stranger:{IN_URL}@")
    assert (refusal(stranger, tmp_path).code, refusal(stranger, tmp_path).exit_code) == ("STORE_LOGIN", 3)


def test_a_wrong_option_is_a_matter_of_configuration(pg_server, tmp_path):
    assert refusal(pg_server.address("qfund") + "&sslmode=perhaps", tmp_path).exit_code == 3
    assert refusal(pg_server.address("qfund") + "&no_such_option=1", tmp_path).exit_code == 3


def test_a_user_without_rights_is_told(pg_server, tmp_path):
    name = f"reader_{os.getpid()}"
    with pg_server.database(migrated=False) as url:
        pg_server.run("CREATE ROLE {}", name)
        try:
            assert refusal(f"{url}&options=-crole%3D{name}", tmp_path).code == "STORE_RIGHTS"
        finally:
            pg_server.run("DROP ROLE {}", name)


def test_the_shown_address_hides_the_password(store):
    from sqlalchemy import create_engine

    url = parse(f"postgresql://u:{IN_URL}@h/d")
    shown = database.Store(url, create_engine(url), embedded=False)
    assert "***" in shown.url
    assert IN_URL not in repr(shown) + shown.url


# ---------------------------------------------------------------- errors on the way


def execute(store, *statements):
    with store.transaction() as conn, conn.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_an_error_undoes_the_transaction_and_comes_as_qfunds_own(store):
    insert = "INSERT INTO sec.vendor (name) VALUES "
    with pytest.raises(DataQualityError) as told:
        execute(store, f"{insert} ('kept?')", f"{insert} (NULL)")
    assert told.value.details == {"sqlstate": "23502"}
    assert query(store, "SELECT count(*) FROM sec.vendor") == [(0,)]


def test_a_transaction_commits_at_its_end(store):
    with store.transaction() as conn, conn.cursor() as cursor:
        cursor.execute("INSERT INTO sec.vendor (name) VALUES ('kept')")
    assert query(store, "SELECT name FROM sec.vendor") == [("kept",)]


def test_two_that_wait_for_each_other_are_not_a_crash(store):
    with store.transaction() as conn, conn.cursor() as cursor:
        cursor.execute("INSERT INTO sec.vendor (name) VALUES ('a'), ('b')")
    both = threading.Barrier(2)
    failed = []

    def update(first, second):
        try:
            with store.transaction() as conn, conn.cursor() as cursor:
                cursor.execute(f"UPDATE sec.vendor SET terms = '' WHERE name = '{first}'")
                both.wait()
                cursor.execute(f"UPDATE sec.vendor SET terms = '' WHERE name = '{second}'")
        except LockedError as error:
            failed.append(error)

    threads = [threading.Thread(target=update, args=names) for names in (("a", "b"), ("b", "a"))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [error.exit_code for error in failed] == [75]


def lose_the_connection(store, pg_server):
    with store.transaction() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
        with closing(psycopg2.connect(pg_server.address("postgres"))) as other, other.cursor() as killer:
            killer.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
        cursor.execute("SELECT count(*) FROM sec.vendor")


def test_a_session_that_the_server_ended_is_a_lost_connection(store, pg_server):
    with pytest.raises(UpstreamError) as told:
        lose_the_connection(store, pg_server)
    assert told.value.code == "STORE_LOST"


def test_errors_of_our_own_programs_pass_unchanged(store):
    with pytest.raises(ZeroDivisionError), store.transaction():
        _ = 1 / 0


def test_the_facts_of_a_store(store):
    facts = check.facts(store)
    assert (facts.revision, facts.newest_revision, facts.embedded) == (schema.HEAD, schema.HEAD, False)
    assert facts.server_version.startswith("18.")
    assert facts.bytes > 1_000_000
    assert abs(facts.clock_skew_seconds) < 1
    assert facts.url.startswith("postgresql://qfund@")


# ---------------------------------------------------------------- connections that are used again


def backends(store) -> int:
    with store.sql.connect() as connection:
        return connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend'"
        ).scalar_one()


def test_one_connection_serves_many_transactions_one_after_the_other(store):
    pids = set()
    for _ in range(5):
        with store.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pids.add(cursor.fetchone()[0])
    assert len(pids) == 1


def test_a_connection_whose_server_process_is_gone_is_replaced_without_a_word(store):
    def pid() -> int:
        with store.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]

    first = pid()
    with store.sql.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({first}, 5000)")
    assert pid() != first


def failing(store) -> None:
    with store.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.half (x int)")
        raise RuntimeError("half way")


def test_what_a_failed_block_did_is_undone_also_for_the_next_user_of_a_connection(store):
    with pytest.raises(RuntimeError):
        failing(store)
    with store.borrowed() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.never (x int)")  # borrowed, not committed
    with store.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.half') IS NULL AND to_regclass('public.never') IS NULL")
        assert cursor.fetchone() == (True,)


def test_a_closed_store_leaves_no_connection_behind(store, store_url, tmp_path):
    before = backends(store)
    with open_store(store_url, tmp_path) as another, another.transaction():
        assert backends(store) > before
    deadline = time.monotonic() + 20  # the server ends a backend a moment after its client has left
    while backends(store) > before:
        assert time.monotonic() < deadline, "a connection stays open"
        time.sleep(0.02)
