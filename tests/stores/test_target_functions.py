"""Our functions on PostgreSQL: made anew where they are missing or another's, by however many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest

from dualdb.errors import TargetError
from dualdb.stores.target_functions import find_missing, functions_sql, make_functions, mend_functions


@pytest.fixture
def made(target: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database with all of them."""
    target.execute(functions_sql().encode())
    return target


def test_a_function_that_somebody_has_changed_is_made_anew(made: psycopg.Connection[Any]) -> None:
    """Its body too: the next copy begins with what this version has."""
    made.execute("CREATE OR REPLACE FUNCTION sqlite.nocase(value text) RETURNS text LANGUAGE sql RETURN 'changed'")
    make_functions(made)
    assert made.execute("SELECT sqlite.nocase('ABC')").fetchone() == ("abc",)


def test_one_that_cannot_be_made_over_another_is_told(made: psycopg.Connection[Any]) -> None:
    """PostgreSQL changes no parameter's name."""
    made.execute("DROP FUNCTION sqlite.ascii_of CASCADE")
    made.execute("CREATE FUNCTION sqlite.ascii_of(another bytea) RETURNS text LANGUAGE sql RETURN ''")
    with pytest.raises(TargetError, match=r"not as dualdb makes it .*; drop it there \(CASCADE"):
        mend_functions(made)


def test_several_make_them_at_once(made: psycopg.Connection[Any], target_dsn: str) -> None:
    """None of them meets the work of another."""
    made.execute("DROP SCHEMA sqlite CASCADE")

    def mend(_: int) -> None:
        with closing(psycopg.connect(target_dsn, autocommit=True)) as connection:
            mend_functions(connection)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(mend, range(4)))
    assert find_missing(made) == []
