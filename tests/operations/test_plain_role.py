"""A role that is no superuser and merely owns its database can do everything; one that may less is told the grant."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.errors import TargetError
from dualdb.operations.initialise import initialise
from dualdb.operations.recopy import begin_anew
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores.control import read_source
from dualdb.stores.pair import Pair
from dualdb.stores.target_connection import connect_target
from dualdb.stores.target_lease import SILENT_S, Lease

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "plain-role-4711"
ON_DATABASE = "GRANT CREATE ON DATABASE {database} TO {role}"
ON_SCHEMA = "GRANT USAGE, CREATE ON SCHEMA public TO {role}"
SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, score REAL);
CREATE TABLE points (run INTEGER NOT NULL, step INTEGER NOT NULL, value REAL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE notes (body TEXT);
CREATE INDEX by_name ON runs(name);
INSERT INTO runs(name, score) VALUES ('a', 0.1), ('b', NULL);
INSERT INTO points VALUES (1, 1, 0.5), (1, 2, 1e300);
INSERT INTO notes VALUES ('x'), ('x');
"""


@pytest.fixture
def app(database: Path) -> str:
    """An application's file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    return str(database)


class Roles:
    """Login roles without any right of their own, on one server."""

    def __init__(self, superuser: psycopg.Connection[Any], dsn: str, passfile: Path) -> None:
        self.superuser = superuser
        self.database = superuser.info.dbname
        self._dsn = dsn
        self._passfile = passfile
        self._made: list[str] = []
        passfile.touch(0o600)

    def make(self) -> str:
        """Another one; its name."""
        name = f"dualdb_role_{uuid4().hex[:8]}"
        self._made.append(name)
        self.run("CREATE ROLE {role} LOGIN PASSWORD {password}", role=name)
        with self._passfile.open("a", encoding="ascii") as passfile:
            passfile.write(f"*:*:*:{name}:{PASSWORD}\n")
        return name

    def dsn(self, role: str) -> str:
        """Its address; the password lies in a file, so that nothing has to be stored."""
        parts = {key: str(value) for key, value in conninfo_to_dict(self._dsn).items() if key != "password"}
        return make_conninfo("", **(parts | {"user": role, "passfile": str(self._passfile)}))

    def run(self, statement: str, *, role: str) -> None:
        """A statement of the superuser's."""
        names = {"role": sql.Identifier(role), "database": sql.Identifier(self.database)}
        names["superuser"] = sql.Identifier(self.superuser.info.user)
        self.superuser.execute(sql.SQL(statement).format(password=sql.Literal(PASSWORD), **names))

    def drop(self) -> None:
        """All of them, with what they own."""
        for role in self._made:
            for statement in (
                "ALTER DATABASE {database} OWNER TO {superuser}",
                "REASSIGN OWNED BY {role} TO {superuser}",
                "DROP OWNED BY {role}",
                "DROP ROLE {role}",
            ):
                self.run(statement, role=role)


@pytest.fixture
def roles(target: psycopg.Connection[Any], target_dsn: str, tmp_path: Path) -> Iterator[Roles]:
    """Gone after the test."""
    made = Roles(target, target_dsn, tmp_path / "pgpass")
    yield made
    made.drop()


@pytest.fixture
def owner_dsn(roles: Roles) -> str:
    """The address for a plain role that owns the database."""
    role = roles.make()
    roles.run("ALTER DATABASE {database} OWNER TO {role}", role=role)
    powers = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
    found = roles.superuser.execute(f"SELECT {powers} FROM pg_roles WHERE rolname = %s".encode(), (role,)).fetchone()
    assert found == (False,) * 5
    return roles.dsn(role)


def test_the_whole_way_and_back(app: str, owner_dsn: str) -> None:
    """With writes in every phase."""
    initialise(app, owner_dsn)
    with closing(dualdb.connect(app)) as connection:

        def write(name: str) -> None:
            with connection:
                connection.execute("INSERT INTO runs(name, score) VALUES (?, 1.5)", (name,))
                connection.execute("UPDATE notes SET body = ?", (name,))
                connection.execute("DELETE FROM points WHERE step = 2")

        write("in sqlite")
        for phase in (Phase.DUAL_WRITE, Phase.POSTGRES):
            assert [step.after for step in advance(app, observer=unheard)] == [phase]
            write(f"in {phase.value}")
        with closing(connect_target(owner_dsn, app)) as target:
            assert target.execute("SELECT name FROM public.runs ORDER BY id DESC LIMIT 1").fetchone() == (
                "in postgres",
            )
        with connection:
            connection.execute("CREATE TABLE made_there (id INTEGER PRIMARY KEY, name TEXT)")
            connection.execute("INSERT INTO made_there(name) VALUES ('x')")
        with Pair.open(app) as pair:
            assert verify(pair, full=True, observer=unheard).agrees
        assert rollback(app, observer=unheard).after is Phase.DUAL_WRITE
        write("back")
        assert rollback(app, observer=unheard).after is Phase.SQLITE
        names = [name for (name,) in connection.execute("SELECT name FROM runs ORDER BY id")]
    assert names == ["a", "b", "in sqlite", "in dual_write", "in postgres", "back"]
    with closing(sqlite3.connect(app)) as connection_of_its_own:
        assert connection_of_its_own.execute("SELECT name FROM made_there").fetchall() == [("x",)]


def test_a_holder_that_is_stopped_is_ended(app: str, owner_dsn: str) -> None:
    """It is the same role's backend, so no other right is needed."""
    initialise(app, owner_dsn)
    program = (
        "import sys, time; from dualdb.stores.target_connection import connect_target\n"
        "from dualdb.stores.target_lease import Lease\n"
        "connection = connect_target(*sys.argv[1:])\n"
        "lease = Lease(lambda: connection, foreground=True)\n"
        "assert lease.take(); print(lease.holder, flush=True); time.sleep(600)"
    )
    held = subprocess.Popen([sys.executable, "-c", program, owner_dsn, app], stdout=subprocess.PIPE, text=True)
    try:
        assert held.stdout is not None
        holder = held.stdout.readline().strip()
        held.send_signal(signal.SIGSTOP)
        with closing(connect_target(owner_dsn, app)) as connection:
            lease = Lease(lambda: connection, foreground=True)
            assert not lease.take()
            time.sleep(SILENT_S + 0.5)
            assert lease.end_silent_holder() == holder
            assert lease.take()
    finally:
        held.kill()
        held.communicate()


def test_a_writer_that_stands_in_the_fences_way_is_ended(app: str, owner_dsn: str) -> None:
    """It is the same role's as well."""
    initialise(app, owner_dsn)
    advance(app, Phase.POSTGRES, observer=unheard)
    with psycopg.connect(owner_dsn) as stopped:
        stopped.execute("INSERT INTO runs(name) VALUES ('never committed')")
        assert rollback(app, observer=unheard).after is Phase.DUAL_WRITE
        with pytest.raises(psycopg.OperationalError):
            stopped.execute("SELECT 1")
        stopped.close()


@pytest.mark.parametrize(
    ("granted", "remedy"),
    [
        ((), ON_DATABASE),
        ((ON_DATABASE,), ON_SCHEMA),
    ],
)
def test_a_role_that_may_less_is_told_the_grant(app: str, roles: Roles, granted: tuple[str, ...], remedy: str) -> None:
    """One line; nothing is written; and what it says is enough."""
    role = roles.make()
    for statement in granted:
        roles.run(statement, role=role)
    with pytest.raises(TargetError) as refusal:
        initialise(app, roles.dsn(role))
    assert str(refusal.value).endswith(remedy.format(database=roles.database, role=role))
    assert "\n" not in str(refusal.value)
    with closing(sqlite3.connect(app)) as connection:
        assert read_source(connection) is None
    for statement in (ON_DATABASE, ON_SCHEMA):
        roles.run(statement, role=role)
    initialise(app, roles.dsn(role))
    assert advance(app, Phase.POSTGRES, observer=unheard)[-1].after is Phase.POSTGRES


def test_a_role_that_may_set_nothing_aside_is_told(app: str, roles: Roles) -> None:
    """It could make its schemas once; nothing is changed, and with the right it can again."""
    role = roles.make()
    for statement in (ON_DATABASE, ON_SCHEMA):
        roles.run(statement, role=role)
    initialise(app, roles.dsn(role))
    advance(app, Phase.DUAL_WRITE, observer=unheard)
    roles.run("REVOKE CREATE ON DATABASE {database} FROM {role}", role=role)
    with pytest.raises(TargetError, match=r"cannot be set aside \(permission denied .*nothing was changed; grant"):
        begin_anew(app)
    roles.run(ON_DATABASE, role=role)
    assert begin_anew(app).kept == "schema dualdb_aside_1 of the target"


def test_a_role_that_makes_a_schema_of_its_own_needs_no_other(app: str, roles: Roles) -> None:
    """The schema of the application's tables is made."""
    role = roles.make()
    roles.run(ON_DATABASE, role=role)
    initialise(app, roles.dsn(role), schema="My application")
    assert advance(app, Phase.POSTGRES, observer=unheard)[-1].after is Phase.POSTGRES


def test_a_role_that_may_not_connect(app: str, roles: Roles) -> None:
    """Nothing can be looked at."""
    role = roles.make()
    roles.run("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC", role=role)
    with pytest.raises(TargetError, match=r"permission denied for database .*; grant CONNECT"):
        initialise(app, roles.dsn(role))


def test_a_target_that_another_role_prepared(app: str, owner_dsn: str, roles: Roles) -> None:
    """Its control row cannot be read."""
    initialise(app, owner_dsn)
    with pytest.raises(TargetError, match=r"prepared by another user .*permission denied"):
        initialise(app, roles.dsn(roles.make()))


def test_a_server_that_keeps_its_identity_to_itself(app: str, target: psycopg.Connection[Any], owner_dsn: str) -> None:
    """PostgreSQL tells everybody; who hosts it may have revoked that."""
    target.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")  # of this database alone
    with pytest.raises(TargetError, match=r"GRANT EXECUTE ON FUNCTION pg_control_system\(\) TO dualdb_role_"):
        initialise(app, owner_dsn)
