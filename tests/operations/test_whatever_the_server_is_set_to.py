"""A target whose own settings read statements or write values in another way: nothing of the application's changes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.errors import TargetError
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair
from dualdb.stores.target_connection import connect_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

SETTINGS = {
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "datestyle": "German",
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
    "extra_float_digits": "-12",
    "search_path": "shadow, pg_catalog",
    "standard_conforming_strings": "off",
    "statement_timeout": "1ms",
    "timezone": "Asia/Tokyo",
    "transform_null_equals": "on",
}
SHADOW = """
CREATE SCHEMA shadow;
CREATE FUNCTION shadow.lower(text) RETURNS text LANGUAGE sql IMMUTABLE RETURN 'shadowed';
CREATE FUNCTION shadow.coalesce_nothing() RETURNS text LANGUAGE sql IMMUTABLE RETURN 'shadowed';
"""
TEXTS = ("é", "雪", "a\\nb", "\\", "it's", "%", "naïve 🙂")


@pytest.fixture
def app(database: Path) -> str:
    """An application's file, with a name and values beyond ASCII."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute('CREATE TABLE note (id INTEGER PRIMARY KEY, "雪" TEXT, at REAL, raw BLOB)')
        connection.executemany("INSERT INTO note VALUES (?, ?, ?, ?)", [(1, "ö\\t", 0.1 + 0.2, b"\x00\\\xff")])
        connection.commit()
    return str(database)


@pytest.fixture
def odd_database(server_dsn: str) -> Iterator[str]:
    """A database that is kept in another encoding."""
    name = f"dualdb_test_{uuid4().hex[:12]}"
    with closing(psycopg.connect(server_dsn, autocommit=True)) as connection:
        made = sql.SQL("CREATE DATABASE {} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        connection.execute(made.format(sql.Identifier(name)))
        yield make_conninfo(server_dsn, dbname=name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def through_all_phases(app: str, dsn: str) -> None:
    """Write in each phase, by parameters and by literals, and hold it against a plain file."""
    plain: Any = sqlite3.connect(":memory:", isolation_level=None)
    with closing(sqlite3.connect(app)) as before:
        before.backup(plain)
    initialise(app, dsn)
    ours: Any = dualdb.connect(app, isolation_level=None)
    for step in (Phase.DUAL_WRITE, Phase.POSTGRES, None):
        if step is None:
            rollback(app, observer=unheard)
        else:
            advance(app, step, observer=unheard)
        for connection in (plain, ours):
            for text in TEXTS:
                quoted = text.replace("'", "''")
                connection.execute(f"INSERT INTO note (雪, at, raw) VALUES ('{quoted}', 1e-300, x'005c')")
                connection.execute("INSERT INTO note (雪, at, raw) VALUES (?, ?, ?)", (text, 1 / 3, text.encode()))
                same = f"雪 = '{quoted}' AND lower(雪) = lower(?)"
                connection.execute(f"UPDATE note SET at = at * 3 WHERE {same}", (text,))
            connection.execute("DELETE FROM note WHERE raw = NULL")
        for query in (
            "SELECT * FROM note ORDER BY id",
            "SELECT count(*) FROM note WHERE raw = NULL",
            "SELECT lower(雪), hex(raw), at FROM note WHERE 雪 LIKE '%\\%' ORDER BY id",
        ):
            assert ours.execute(query).fetchall() == plain.execute(query).fetchall(), (step, query)
        with Pair.open(app) as pair:
            assert verify(pair, full=True, observer=unheard).agrees
    ours.close()
    with closing(sqlite3.connect(app)) as after:
        assert (
            after.execute("SELECT * FROM note ORDER BY id").fetchall()
            == plain.execute("SELECT * FROM note ORDER BY id").fetchall()
        )
    plain.close()


def test_what_the_database_sets_for_everybody(app: str, target: psycopg.Connection[Any], target_dsn: str) -> None:
    for statement in SHADOW.strip().splitlines():
        target.execute(statement.encode())
    for name, value in SETTINGS.items():
        change = sql.SQL("ALTER DATABASE {} SET {} TO {}")
        values = sql.SQL(", ").join(sql.Literal(part.strip()) for part in value.split(","))
        target.execute(change.format(sql.Identifier(target.info.dbname), sql.Identifier(name), values))
    through_all_phases(app, target_dsn)


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "SQL_ASCII"])
def test_what_the_environment_sets(app: str, target_dsn: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    monkeypatch.setenv("PGOPTIONS", "-c standard_conforming_strings=off -c datestyle=German")
    through_all_phases(app, target_dsn)


def test_the_options_of_the_environment_count(app: str, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that change no meaning: libpq's variables work."""
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=47s -c timezone=Asia/Tokyo")
    with closing(connect_target(target_dsn, app)) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("47s",)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)


@pytest.mark.parametrize("path", ["", '""', "nowhere, public"])
def test_any_search_path_can_be_led_by_postgresqls_own(
    app: str, target_dsn: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one too, as a careful administrator sets it."""
    monkeypatch.setenv("PGOPTIONS", f"-c search_path={path}".replace(", ", ","))
    with closing(connect_target(target_dsn, app)) as connection:
        assert connection.execute("SELECT current_schemas(true)").fetchone() is not None
        ((found,),) = connection.execute("SHOW search_path").fetchall()
    assert found.startswith("pg_catalog")


def test_a_database_of_another_encoding_is_refused(app: str, odd_database: str) -> None:
    with pytest.raises(TargetError, match=r"keeps text as LATIN1.*ENCODING 'UTF8'"):
        initialise(app, odd_database)
    with closing(sqlite3.connect(app)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("note",)]


def test_a_writer_with_settings_of_his_own(database: Path, target: psycopg.Connection[Any], target_dsn: str) -> None:
    """What psql commits in phase postgres is captured whatever it has set: no key is read in another way."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            "CREATE TABLE [a\\b] (id BLOB PRIMARY KEY, name TEXT CHECK (name GLOB '[a-z]*')) WITHOUT ROWID;"
            "CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT);"
        )
    app = str(database)
    initialise(app, target_dsn)
    advance(app, Phase.POSTGRES, observer=unheard)
    target.execute("CREATE SCHEMA shadow")
    target.execute("CREATE FUNCTION shadow.encode(bytea, text) RETURNS text LANGUAGE sql IMMUTABLE RETURN '00'")
    options = "-c standard_conforming_strings=off -c search_path=shadow,pg_catalog -c client_encoding=LATIN1"
    with psycopg.connect(target_dsn, options=options, autocommit=True) as writer:
        writer.execute('INSERT INTO public."a\\b" VALUES (decode(%s, %s), %s)', ("c0ffee", "hex", "x"))
        writer.execute("INSERT INTO public.runs VALUES (5, 'é')")
    rollback(app, observer=unheard)
    with closing(sqlite3.connect(app)) as after:
        assert after.execute("SELECT hex(id), name FROM [a\\b]").fetchall() == [("C0FFEE", "x")]
        assert after.execute("SELECT * FROM runs").fetchall() == [(5, "é")]
