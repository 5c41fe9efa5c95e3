"""Statements that carry no query: transactions, CREATE, DROP, EXPLAIN, VACUUM. Knows their first words only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.sqltext import fold, unquote
from dualdb.core.statement import Kind, Plan
from dualdb.core.translate.pragmas import pragma
from dualdb.core.translate.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dualdb.core.sqltext import Token

    Command = Callable[[Sequence[Token]], Plan]


def begin(tokens: Sequence[Token]) -> Plan:
    """BEGIN [DEFERRED | IMMEDIATE | EXCLUSIVE] [TRANSACTION]; the mode is the plan's name."""
    words = _words(tokens, 1)
    mode = words.pop(0) if words[:1] in (["DEFERRED"], ["IMMEDIATE"], ["EXCLUSIVE"]) else None
    _only(words, "BEGIN", [], ["TRANSACTION"])
    return Plan(kind=Kind.TRANSACTION, verb="BEGIN", name=mode)


def commit(tokens: Sequence[Token]) -> Plan:
    """COMMIT or END [TRANSACTION]."""
    _only(_words(tokens, 1), "COMMIT", [], ["TRANSACTION"])
    return Plan(kind=Kind.TRANSACTION, verb="COMMIT")


def rollback(tokens: Sequence[Token]) -> Plan:
    """ROLLBACK [TRANSACTION] [TO [SAVEPOINT] name]."""
    rest = list(tokens[1:])
    if rest and rest[0].word() == "TRANSACTION":
        del rest[0]
    if not rest:
        return Plan(kind=Kind.TRANSACTION, verb="ROLLBACK")
    if rest[0].word() != "TO":
        raise Refused("ROLLBACK", "what follows is no TO", "correct the statement")
    return Plan(kind=Kind.TRANSACTION, verb="ROLLBACK", name=_savepoint(rest[1:], "ROLLBACK TO"))


def savepoint(tokens: Sequence[Token]) -> Plan:
    """SAVEPOINT name."""
    return Plan(kind=Kind.TRANSACTION, verb="SAVEPOINT", name=_name(tokens[1:], "SAVEPOINT"))


def release(tokens: Sequence[Token]) -> Plan:
    """RELEASE [SAVEPOINT] name."""
    return Plan(kind=Kind.TRANSACTION, verb="RELEASE", name=_savepoint(tokens[1:], "RELEASE"))


def _savepoint(tokens: Sequence[Token], what: str) -> str:
    return _name(tokens[1:] if len(tokens) > 1 and tokens[0].word() == "SAVEPOINT" else tokens, what)


def _name(tokens: Sequence[Token], what: str) -> str:
    if len(tokens) != 1 or tokens[0].kind not in {"id", "name", "string"}:
        raise Refused(what, "it needs one name", "correct the statement")
    return unquote(tokens[0])


def _words(tokens: Sequence[Token], start: int) -> list[str]:
    return [token.word() for token in tokens[start:]]


def _only(words: list[str], what: str, *allowed: list[str]) -> None:
    if words not in allowed:
        raise Refused(f"{what} {' '.join(words)}", "no rule covers it", "correct the statement")


_OBJECTS = frozenset({"TABLE", "INDEX", "VIEW"})


def create(tokens: Sequence[Token]) -> Plan:
    """CREATE TABLE, [UNIQUE] INDEX, VIEW [IF NOT EXISTS] name; the statements for PostgreSQL come from `ddl`."""
    position = 2 if tokens[1:2] and tokens[1].word() == "UNIQUE" else 1
    kind = tokens[position].word() if len(tokens) > position else ""
    if kind not in _OBJECTS:
        raise Refused(
            f"CREATE {kind}", "only tables, indexes and views are translated", "create it on SQLite before the move"
        )
    position += 1
    exists = [token.word() for token in tokens[position : position + 3]] == ["IF", "NOT", "EXISTS"]
    name, end = _object(tokens, position + (3 if exists else 0))
    if kind == "TABLE" and any(token.word() == "AS" for token in tokens[end : end + 1]):
        raise Refused("CREATE TABLE … AS SELECT", "its columns' types are the query's", "create the table, then insert")
    return Plan(kind=Kind.DDL, verb="CREATE", object=kind.lower(), name=name, if_exists=exists)


def alter(tokens: Sequence[Token]) -> Plan:
    """ALTER TABLE name …: what it comes to is told from the schema before and after it."""
    if len(tokens) < 2 or tokens[1].word() != "TABLE":  # noqa: PLR2004 - the word behind the first
        raise Refused("ALTER", "only tables are altered", "correct the statement")
    name, _ = _object(tokens, 2)
    return Plan(kind=Kind.DDL, verb="ALTER", object="table", name=name)


def drop(tokens: Sequence[Token]) -> Plan:
    """DROP TABLE, INDEX, VIEW [IF EXISTS] name."""
    kind = tokens[1].word() if len(tokens) > 1 else ""
    if kind not in _OBJECTS:
        raise Refused(f"DROP {kind}", "only tables, indexes and views are translated")
    exists = [token.word() for token in tokens[2:4]] == ["IF", "EXISTS"]
    name, end = _object(tokens, 4 if exists else 2)
    if end != len(tokens):
        raise Refused(f"DROP {kind}", "what follows the name is not SQL", "correct the statement")
    return Plan(kind=Kind.DDL, verb="DROP", object=kind.lower(), name=name, if_exists=exists)


def _object(tokens: Sequence[Token], position: int) -> tuple[str, int]:
    """A name, with `main.` or nothing before it, and where the text goes on."""
    if len(tokens) > position + 2 and tokens[position + 1].text == ".":
        if fold(tokens[position].text) != "main":
            raise Refused(f"the database {tokens[position].text!r}", "only the main database is translated")
        position += 2
    if len(tokens) <= position:
        raise Refused("a statement without a name", "nothing can be created or dropped", "correct the statement")
    return unquote(tokens[position]), position + 1


def explain(_: Sequence[Token]) -> Plan:
    """EXPLAIN [QUERY PLAN]: what SQLite would do, asked of the catalog database."""
    return Plan(kind=Kind.CATALOG)


def maintenance(tokens: Sequence[Token]) -> Plan:
    """VACUUM, ANALYZE, REINDEX: PostgreSQL looks after itself."""
    if len(tokens) > 1 and any(token.word() == "INTO" for token in tokens):
        raise Refused("VACUUM INTO", "it writes a SQLite file", "use `dualdb` to archive the database")
    return Plan(kind=Kind.PRAGMA, pragma=tokens[0].text.lower())


COMMANDS: Mapping[str, Command] = {
    "ALTER": alter,
    "ANALYZE": maintenance,
    "BEGIN": begin,
    "COMMIT": commit,
    "CREATE": create,
    "DROP": drop,
    "END": commit,
    "EXPLAIN": explain,
    "PRAGMA": pragma,
    "REINDEX": maintenance,
    "RELEASE": release,
    "ROLLBACK": rollback,
    "SAVEPOINT": savepoint,
    "VACUUM": maintenance,
}
