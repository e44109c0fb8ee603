"""Every driver's error becomes one sentence, an exit code, and no secret."""

from __future__ import annotations

import pytest
from adbc_driver_manager import AdbcStatusCode, OperationalError
from psycopg2 import OperationalError as PsycopgError

from qfund.errors import QfundError
from qfund.store.faults import clean, translated


def told(error: Exception, *, secret: str | None = None) -> QfundError:
    with pytest.raises(QfundError) as caught, translated(secret=secret):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("state", "code", "exit_code"),
    [
        ("08006", "STORE_LOST", 13),
        ("22003", "STORE_VALUE", 5),
        ("23505", "STORE_CONSTRAINT", 5),
        ("25006", "STORE_READ_ONLY", 3),
        ("28P01", "STORE_LOGIN", 3),
        ("3D000", "STORE_NO_DATABASE", 3),
        ("40001", "STORE_BUSY", 75),
        ("40P01", "STORE_BUSY", 75),
        ("42501", "STORE_RIGHTS", 3),
        ("42P01", "STORE_SCHEMA", 3),
        ("53100", "DISK_FULL", 13),
        ("53300", "STORE_RESOURCES", 13),
        ("55P03", "STORE_BUSY", 75),
        ("57014", "STORE_TIMEOUT", 124),
        ("57P01", "STORE_LOST", 13),
        ("58030", "STORE_IO", 13),
        ("XX001", "STORE_DAMAGED", 13),
    ],
)
def test_a_state_means_one_thing(state, code, exit_code):
    error = told(OperationalError("IO: [libpq] it failed", status_code=AdbcStatusCode.IO, sqlstate=state))
    assert (error.code, error.exit_code, error.details) == (code, exit_code, {"sqlstate": state})
    assert error.message.endswith("it failed.")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ('could not translate host name "db" to address: Name or service not known', "STORE_HOST"),
        ('connection to server at "10.0.0.1", port 5432 failed: Connection refused', "STORE_UNREACHABLE"),
        ('connection to server at "10.0.0.1", port 5432 failed: timeout expired', "STORE_UNREACHABLE"),
        ('FATAL:  password authentication failed for user "u"', "STORE_LOGIN"),
        ("fe_sendauth: no password supplied", "STORE_LOGIN"),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4"', "STORE_LOGIN"),
        ('FATAL:  database "d" does not exist', "STORE_NO_DATABASE"),
        ("FATAL:  sorry, too many clients already", "STORE_RESOURCES"),
        ("FATAL:  the database system is starting up", "STORE_LOST"),
        ("server does not support SSL, but SSL was required", "STORE_URL"),
        ('could not extend file "base/1/2": No space left on device', "DISK_FULL"),
        ("server closed the connection unexpectedly\n\tThis probably means…", "STORE_LOST"),
    ],
)
def test_while_connecting_the_words_tell(words, code):
    assert told(PsycopgError(words)).code == code


def test_what_the_table_does_not_know_passes_with_its_traceback():
    strange = OperationalError(
        "INTERNAL: [libpq] syntax error", status_code=AdbcStatusCode.INTERNAL, sqlstate="42601"
    )
    with pytest.raises(OperationalError) as caught, translated():
        raise strange
    assert caught.value is strange


def test_an_error_that_is_no_drivers_passes():
    with pytest.raises(ValueError, match="mine"), translated():
        raise ValueError("mine")


def test_a_password_never_shows():
    words = "connection to server failed: postgresql://u:s3cret@h/d said s3cret"
    assert clean(words, "s3cret") == "connection to server failed: postgresql://u:***@h/d said ***"
    assert (
        "s3cret" not in told(PsycopgError("Connection refused s3cret\nmore s3cret"), secret="s3cret").message
    )


def test_only_the_telling_line_is_kept():
    words = (
        'INVALID_ARGUMENT: [libpq] \nERROR:  null value in column "name".\nDETAIL:  Failing row contains (…).'
    )
    assert clean(words, None) == 'null value in column "name"'
