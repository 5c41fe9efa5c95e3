"""The application's tables on PostgreSQL with their capture and fence: made, switched on and off, taken away.

Each function works inside the caller's transaction. Capture is triggers per statement that journal the keys of all its
rows; it is off while PostgreSQL follows and ENABLE ALWAYS while it is the authority. The fence is the other way round.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from psycopg import errors

from dualdb.core.names import literal, qualified, quoted, target_name
from dualdb.core.schema import TargetType
from dualdb.core.sqltext import fold
from dualdb.core.store import Mended
from dualdb.errors import BusyError, SchemaError, TargetError
from dualdb.stores.journal import stored_text
from dualdb.stores.queries import query
from dualdb.stores.target_catalog import read_target_schema
from dualdb.stores.target_functions import make_functions
from dualdb.stores.target_read import ASK, key_types, position_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dualdb.core.schema import Schema, Table
    from dualdb.core.translate.ddl import Ddl
    from dualdb.stores.target_connection import Target

# An exclamation mark sorts before every letter: ours fire before the application's.
FENCE = "!dualdb_fence"
CAPTURE = ("!dualdb_capture_i", "!dualdb_capture_u", "!dualdb_capture_d", "!dualdb_capture_t")
_AUTHORITY = "target/authority.sql"
_SESSION = "target/session.sql"
_WRITER = "dualdb.writer"
ASIDE = "dualdb_aside_"
"""What the names of schemas begin with that hold tables which were set aside."""
_ASIDE_LOCK_S = 5.0
"""How long each table is waited for that is set aside: a batch of a relay's takes less, and readers are not ended."""
_READ_AT_ONCE = 200
"""Tables that one statement reads; the planner's stack is not without end."""
LIMITS = (errors.ProgramLimitExceeded, errors.StatementTooComplex, errors.TooManyArguments, errors.TooManyColumns)
"""What PostgreSQL says of a definition that is beyond one of its limits: class 54 (errcodes-appendix.html)."""
_TAKING_TURNS = 3
"""How often the holders of a table are ended before the fence gives up."""


def install_target_tables(connection: Target, schema: Schema, target_schema: str) -> None:
    """Make the application's tables, indexes and views, empty, fenced and not captured, and describe them.

    Raises TargetError when something of somebody else's has a name there that they need.
    """
    ddl = ddl_of(schema, target_schema)
    make_functions(connection)
    try:
        for name, table in schema.tables.items():
            make_table(connection, table, ddl, target_schema, name)
    except (errors.DuplicateTable, errors.DuplicateObject) as exc:
        message = (
            f"schema {target_schema} of the target holds something that is not dualdb's"
            f" ({exc.diag.message_primary}); rename or drop it there, and try again"
        )
        raise TargetError(message) from exc
    make_views(connection, ddl)
    write_objects(connection, schema)


def set_aside_target_tables(connection: Target) -> str:
    """Move the application's tables and views, rows and all, into a schema of their own, and forget them; its name.

    What somebody else has made on them stays on them. Rows in quarantine go there as `_dualdb_quarantine`: they may be
    the only ones left. Inside a transaction; raises BusyError when somebody keeps a table in use, TargetError when the
    role may not do it.
    """
    try:
        with connection.transaction():
            return _set_aside(connection)
    except (errors.LockNotAvailable, errors.DeadlockDetected) as exc:
        raise BusyError(f"the tables stayed in use ({exc}); stop the long transaction and try again") from exc
    except errors.InsufficientPrivilege as exc:
        message = (
            f"PostgreSQL's tables cannot be set aside ({exc.diag.message_primary}), and nothing was changed; grant the"
            " role that right and try again"
        )
        raise TargetError(message) from exc


def _set_aside(connection: Target) -> str:
    _ask(connection, "wait_for_locks", (str(int(_ASIDE_LOCK_S * 1000)),))
    # A relay's batch takes its watermark first and then tables: so must this.
    connection.execute(query(_AUTHORITY, "held").encode())
    taken = {name for (name,) in _asked(connection, "schemas")}
    aside = next(name for number in count(1) if (name := f"{ASIDE}{number}") not in taken)
    _run(connection, f"CREATE SCHEMA {quoted(aside)}")
    named = {qualified(_target_schema(connection), name): name for _, name in _asked(connection, "made")}
    for table in _tables(connection):
        _run(connection, f"DROP TRIGGER IF EXISTS {quoted(FENCE)} ON {table}")
        if target_name(named[table]) != named[table]:
            _run(connection, f"COMMENT ON TABLE {table} IS {literal(f'The table {named[table]}')}")
        _run(connection, f"ALTER TABLE {table} SET SCHEMA {quoted(aside)}")
    for view in _views(connection):
        _run(connection, f"ALTER VIEW IF EXISTS {view} SET SCHEMA {quoted(aside)}")
    if _one(connection, query(_AUTHORITY, "any_quarantined")):
        name = qualified(aside, "_dualdb_quarantine")
        _run(connection, query(_AUTHORITY, "set_quarantine_aside").format(name=name))
    drop_target_tables(connection)
    _ask(connection, "wait_for_locks", ("0",))
    return aside


def drop_target_tables(connection: Target) -> None:
    """Take away the application's tables and views that dualdb made, rows and all."""
    target_schema = _target_schema(connection)
    found = _asked(connection, "made")
    for kind in ("view", "table"):
        for name in [name for found_kind, name in found if found_kind == kind]:
            _run(connection, f"DROP {kind.upper()} IF EXISTS {qualified(target_schema, name)} CASCADE")
    for number in numbers(connection):
        _run(connection, f"DROP FUNCTION IF EXISTS {_function(number)}() CASCADE")
    _ask(connection, "forget_objects")
    _ask(connection, "forget_numbers")


def follow_from(connection: Target, epoch: int, position: str, schema: Schema) -> None:
    """Follow from that position of the authority on, with tables that are empty."""
    for name in ("forget_copies", "forget_quarantine"):
        connection.execute(query(_AUTHORITY, name).encode())
    follow(connection, epoch, position, schema.version, aligned=False)


def follow(connection: Target, epoch: int, position: str, schema_version: str, *, aligned: bool) -> None:
    """Follow from that position on: equal to the authority as of there, or with everything to be copied."""
    values = {"epoch": epoch, "position": position, "aligned": aligned, "schema_version": schema_version}
    connection.execute(query(_AUTHORITY, "follow").encode(), values)


def hold_briefly(connection: Target, longest_s: float) -> None:
    """Let the server end this transaction when its process stands still for so long: writers wait for its locks."""
    _ask(connection, "hold_briefly", (str(int(longest_s * 1000)),))


def enable_fence(connection: Target, lock_timeout_s: float) -> None:
    """Let no write but the relay's through from here on; whoever still has one open after the time-out is ended.

    Raises BusyError when even that does not free the tables.
    """
    tables: list[str] = []
    for turn in range(_TAKING_TURNS):
        try:
            with connection.transaction():
                _ask(connection, "wait_for_locks", (str(int(lock_timeout_s * 1000)),))
                # The driver's writers take this lock first and then tables in any order: so must the fence.
                _run(connection, query(_SESSION, "lock_writers"))
                tables = _tables(connection)  # whoever makes one holds that lock
                if tables:
                    _run(connection, f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE")
            break
        except (errors.LockNotAvailable, errors.DeadlockDetected) as exc:
            if turn == _TAKING_TURNS - 1:
                raise BusyError(f"the tables stayed in use ({exc}); stop the long transaction and try again") from exc
            # A deadlock, with a writer other than the driver, has let that writer go on: it may still end by itself.
            if isinstance(exc, errors.LockNotAvailable):
                _end_holders(connection, [*tables, _WRITER])
    _ask(connection, "wait_for_locks", ("0",))
    _switch(connection, tables, "ENABLE ALWAYS", (FENCE,))


def disable_fence(connection: Target) -> None:
    """Accept writes."""
    _switch(connection, _tables(connection), "DISABLE", (FENCE,))


def enable_capture(connection: Target) -> None:
    """Journal every change from here on."""
    _switch(connection, _tables(connection), "ENABLE ALWAYS", CAPTURE)
    _ask(connection, "mark")


def disable_capture(connection: Target) -> None:
    """Journal nothing more."""
    _switch(connection, _tables(connection), "DISABLE", CAPTURE)


def mend_capture(connection: Target, schema: Schema) -> Mended:
    """Put capture back where a trigger is missing or off, and journal that those tables are to be copied anew; the
    fence, which is down here, where that is missing.
    """
    target_schema = _target_schema(connection)
    missing = set()
    for table in schema.tables.values():
        name = qualified(target_schema, table.name)
        ((captured, fenced),) = _asked(connection, "captured", (list(CAPTURE), FENCE, name))
        if not fenced:
            fence_table(connection, table, target_schema, enabled=False)
        if captured != len(CAPTURE):
            missing.add(table.name)
            capture_table(connection, table, target_schema, enabled=True)
            _ask(connection, "restart", (str(table.id),))
    return Mended(missing=frozenset(missing))


def numbers(connection: Target) -> frozenset[int]:
    """The numbers of all tables that ever were carried here; those that are gone included."""
    return frozenset(number for number, _ in _asked(connection, "names"))


def journal_head(connection: Target) -> str:
    """The position of everything committed so far."""
    ((snapshot, head, timeline),) = _asked(connection, "head")
    return position_text(timeline, snapshot, head)


def durable_head(connection: Target) -> str:
    """The same, and no crash of the server can take it back; outside a transaction."""
    head = journal_head(connection)
    _ask(connection, "make_durable")
    return head


def automatic_ids(connection: Target) -> list[tuple[str, str]]:
    """Table and column of each automatic id."""
    tables = read_target_schema(connection).tables.values()
    return [(table.name, table.rowid.name) for table in tables if table.rowid is not None]


def raise_sequences(connection: Target, ids: Sequence[tuple[str, str]], at_least: Mapping[str, int]) -> None:
    """Let each automatic id go on behind every id ever used: behind the marks, and behind the rows that are there."""
    marks = {fold(name): mark for name, mark in at_least.items()}
    found = _used_ids(connection, ids)
    raised = [max(used, marks.get(fold(name), 0)) for name, _, used in found]
    _ask(connection, "set_sequences", ([sequence for _, sequence, _ in found], raised))


def lift_sequences(connection: Target, at_least: Mapping[str, int]) -> None:
    """The same behind marks alone, while ids are given out: none is ever turned back."""
    marks = {fold(name): mark for name, mark in at_least.items()}
    found = _sequences(connection, automatic_ids(connection), _target_schema(connection))
    lifted = [marks.get(fold(name), 0) for name, _, _ in found]
    _ask(connection, "lift_sequences", ([sequence for _, _, sequence in found], lifted))


def sequence_marks(connection: Target) -> Mapping[str, int]:
    """By table name the largest id ever given."""
    return {name: used for name, _, used in _used_ids(connection, automatic_ids(connection))}


def write_objects(connection: Target, schema: Schema) -> None:
    """Describe the application's schema here: its SQLite text, the tables' numbers and stored types.

    The number of a table that is gone stays, so that no other table gets it.
    """
    _ask(connection, "forget_objects")
    rows = [
        *(("table", table.name, table.name, table.sql) for table in schema.tables.values()),
        *(
            ("index", index.name, table.name, index.sql)
            for table in schema.tables.values()
            for index in table.indexes
            if index.sql is not None
        ),
        *(("view", view.name, view.name, view.sql) for view in schema.views.values()),
        *(("trigger", trigger.name, trigger.table, trigger.sql) for trigger in schema.triggers),
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            query(ASK, "add_object").encode(),
            [(ordinal, *row) for ordinal, row in enumerate(rows)],
        )
        cursor.executemany(
            query(ASK, "retire_number").encode(),
            [(table.name, table.id) for table in schema.tables.values()],
        )
        cursor.executemany(
            query(ASK, "set_number").encode(),
            [(table.id, table.name, stored_text(table)) for table in schema.tables.values()],
        )


# One table -----------------------------------------------------------------------------------------------------------


def make_table(connection: Target, table: Table, ddl: Ddl, target_schema: str, name: str) -> None:
    """Make one table with its indexes, fenced and not captured. Raises SchemaError when it is beyond a limit."""
    made = ddl.tables[name]
    try:
        for statement in (made.create, *made.indexes):
            _run(connection, statement)
    except LIMITS as exc:
        message = (
            f"PostgreSQL cannot make table {table.name} with its indexes ({exc.diag.message_primary}); make its"
            " definition smaller in the SQLite file, or drop it there"
        )
        raise SchemaError(message) from exc
    capture_table(connection, table, target_schema, enabled=False)
    fence_table(connection, table, target_schema, enabled=True)


def make_views(connection: Target, ddl: Ddl) -> list[str]:
    """Make the views; the names of those that PostgreSQL refused, which the tables can do without."""
    refused = []
    for name, view in ddl.views.items():
        try:
            with connection.transaction():
                _run(connection, view.create)
        except (errors.DataError, errors.ProgrammingError, errors.NotSupportedError, *LIMITS):
            refused.append(name)
    return refused


def fence_table(connection: Target, table: Table, target_schema: str, *, enabled: bool) -> None:
    """Put the fence's trigger on one table."""
    name = qualified(target_schema, table.name)
    _run(
        connection,
        f"CREATE OR REPLACE TRIGGER {quoted(FENCE)} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {name}"
        " FOR EACH STATEMENT WHEN (current_setting('dualdb.applying', true) IS DISTINCT FROM 'on')"
        " EXECUTE FUNCTION dualdb.refuse()",
    )
    _switch(connection, [name], "ENABLE ALWAYS" if enabled else "DISABLE", (FENCE,))


def capture_table(connection: Target, table: Table, target_schema: str, *, enabled: bool) -> None:
    """Put capture's function and triggers on one table."""
    name, function = qualified(target_schema, table.name), _function(table.id)
    key = _key_texts(table)
    # Whoever writes may have set anything for himself.
    settings = "SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on"
    if _has_float_key(table):
        settings += " SET extra_float_digits = 1"
    insert = "INSERT INTO dualdb.journal (tbl, key)"
    used = _passed_over(table, target_schema)
    body = (
        "#variable_conflict use_column\nBEGIN"  # a column may be called `found` or `tg_op`
        f" IF TG_OP = 'INSERT' THEN {insert} SELECT {table.id}, {key} FROM new_rows;{used}"
        f" ELSIF TG_OP = 'UPDATE' THEN {insert}"
        f" SELECT {table.id}, {key} FROM old_rows UNION SELECT {table.id}, {key} FROM new_rows;{used}"
        f" ELSIF TG_OP = 'DELETE' THEN {insert} SELECT {table.id}, {key} FROM old_rows;"
        f" ELSE {insert} SELECT {table.id}, {key} FROM {name};"
        " END IF; RETURN NULL; END"
    )
    _run(
        connection,
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql {settings} AS {literal(body)}",
    )
    events = (
        "AFTER INSERT ON {} REFERENCING NEW TABLE AS new_rows",
        "AFTER UPDATE ON {} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "AFTER DELETE ON {} REFERENCING OLD TABLE AS old_rows",
        "BEFORE TRUNCATE ON {}",
    )
    for trigger, event in zip(CAPTURE, events, strict=True):
        on_table = event.replace("{}", name)
        _run(
            connection,
            f"CREATE OR REPLACE TRIGGER {quoted(trigger)} {on_table} FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
        )
    _switch(connection, [name], "ENABLE ALWAYS" if enabled else "DISABLE", CAPTURE)


def _passed_over(table: Table, target_schema: str) -> str:
    """Lets the sequence go on above the ids of new rows: whoever writes past the driver may give one; '' without one.

    Who may insert rows need not have a right to the sequence (ddl-identity-columns.html); an id of theirs stays below.
    """
    if table.rowid is None:
        return ""
    sequence = literal(qualified(target_schema, f"sqlite_sequence_{table.name}"))
    return (
        " PERFORM sqlite.pass_over(s, top)"
        f" FROM (SELECT {sequence}::regclass AS s, max({quoted(table.rowid.name)}) AS top FROM new_rows) AS used"
        " WHERE has_sequence_privilege(s, 'USAGE') AND has_sequence_privilege(s, 'UPDATE');"
    )


def ddl_of(schema: Schema, target_schema: str) -> Ddl:
    """The schema's PostgreSQL statements."""
    from dualdb.core.translate.ddl import target_ddl  # the translator is heavy, and only new tables need it

    return target_ddl(schema, target_schema)


def _key_texts(table: Table) -> str:
    texts = [
        f"encode({quoted(name)}, 'hex')" if stored is TargetType.BYTEA else f"{quoted(name)}::text"
        for name, stored in zip(table.key.columns, key_types(table), strict=True)
    ]
    return f"ARRAY[{', '.join(texts)}]"


def _has_float_key(table: Table) -> bool:
    return any(stored in (TargetType.DOUBLE, TargetType.NUMBER) for stored in key_types(table))


def _function(number: int) -> str:
    return f"dualdb.capture_{number}"


def _switch(connection: Target, tables: Iterable[str], how: str, triggers: Sequence[str]) -> None:
    switched = ", ".join(f"{how} TRIGGER {quoted(trigger)}" for trigger in triggers)
    _run(connection, "; ".join(f"ALTER TABLE {name} {switched}" for name in tables))  # one round trip: writers wait


# What is there -------------------------------------------------------------------------------------------------------


def _tables(connection: Target) -> list[str]:
    """The application's tables that are there, qualified and quoted, in name order."""
    target_schema = _target_schema(connection)
    made = sorted(qualified(target_schema, name) for kind, name in _asked(connection, "made") if kind == "table")
    return [name for (name,) in _asked(connection, "existing", (made,))]


def _views(connection: Target) -> list[str]:
    """The application's views, qualified and quoted."""
    target_schema = _target_schema(connection)
    return [qualified(target_schema, name) for kind, name in _asked(connection, "made") if kind == "view"]


def _target_schema(connection: Target) -> str:
    return str(_one(connection, query(ASK, "target_schema")))


def _sequences(connection: Target, ids: Sequence[tuple[str, str]], target_schema: str) -> list[tuple[str, str, str]]:
    """Table, column and sequence of each automatic id."""
    # It takes the table as it stands in a statement, and the column as a plain string (functions-info.html).
    asked = ([qualified(target_schema, name) for name, _ in ids], [target_name(column) for _, column in ids])
    found = _asked(connection, "sequences_of", asked)
    return [(*ids[place - 1], str(sequence)) for place, sequence in found if sequence is not None]


def _used_ids(connection: Target, ids: Sequence[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """Table, sequence and the largest id ever used of each table with automatic ids; 0 when none was."""
    target_schema = _target_schema(connection)
    sequences = _sequences(connection, ids, target_schema)
    found: list[tuple[str, str, int]] = []
    for begin in range(0, len(sequences), _READ_AT_ONCE):
        part = sequences[begin : begin + _READ_AT_ONCE]
        answers = " UNION ALL ".join(
            f"SELECT {place}, greatest((SELECT max({quoted(column)}) FROM {qualified(target_schema, name)}),"
            f" (SELECT last_value FROM {sequence} WHERE is_called), 0)"
            for place, (name, column, sequence) in enumerate(part)
        )
        used: dict[int, int] = dict(connection.execute(answers.encode()).fetchall())
        found += [(name, sequence, used[place]) for place, (name, _, sequence) in enumerate(part)]
    return found


def _end_holders(connection: Target, tables: Sequence[str]) -> None:
    """End the transactions that keep a lock which the fence has to wait for."""
    _ask(connection, "end_holders", (list(tables),))


def _one(connection: Target, text: str) -> Any:  # noqa: ANN401 - whatever the query gives
    found = connection.execute(text.encode()).fetchone()
    return None if found is None else found[0]


def _ask(connection: Target, name: str, values: Sequence[object] | None = None) -> None:
    connection.execute(query(ASK, name).encode(), values)


def _asked(
    connection: Target, name: str, values: Sequence[object] | Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    return connection.execute(query(ASK, name).encode(), values).fetchall()


def _run(connection: Target, text: str) -> None:
    connection.execute(text.encode())
