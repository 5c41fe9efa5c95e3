"""What each PRAGMA means once PostgreSQL is the authority: one literal table (pragma.html).

Pragmas that read the schema are answered by the catalog database; settings of SQLite's own storage are accepted and
have nothing to set; what would change answers is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dualdb.core.sqltext import fold, unquote
from dualdb.core.statement import Kind, Plan, ResultColumn
from dualdb.core.translate.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.sqltext import Token

CATALOG = frozenset(
    [
        "collation_list",
        "compile_options",
        "database_list",
        "encoding",
        "foreign_key_list",
        "freelist_count",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "module_list",
        "page_count",
        "page_size",
        "pragma_list",
        "schema_version",
        "table_info",
        "table_list",
        "table_xinfo",
        "application_id",
    ]
)
"""Read on the catalog database; with a value, those that take one name an object."""
_NAMES_OBJECT = frozenset(
    {"foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_list", "table_xinfo"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting that SQLite's storage knows and PostgreSQL has no need of."""

    answer: int | str | None
    """What reading it gives; None: no row."""
    echoes: bool = False
    """Whether setting it gives a row as well: the value now in force."""


SETTINGS: Mapping[str, Setting] = {
    "auto_vacuum": Setting(answer=0),
    "incremental_vacuum": Setting(answer=None),
    "journal_mode": Setting(answer="wal", echoes=True),
    "locking_mode": Setting(answer="normal", echoes=True),
    "optimize": Setting(answer=None),
    "page_size": Setting(answer=4096),
    "shrink_memory": Setting(answer=None),
}
REFUSED: Mapping[str, str] = {
    "case_sensitive_like": "it changes what LIKE means",
    "data_version": "PostgreSQL has no such counter",
    "defer_foreign_keys": "foreign keys are not enforced on PostgreSQL",
    "foreign_key_check": "it reads rows",
    "ignore_check_constraints": "PostgreSQL always checks them",
    "integrity_check": "it reads SQLite's own storage",
    "quick_check": "it reads SQLite's own storage",
    "read_uncommitted": "PostgreSQL has no such reads",
    "recursive_triggers": "triggers are not translated",
    "reverse_unordered_selects": "the order of unordered rows is not promised",
    "user_version": "it is a number in SQLite's own file",
    "wal_checkpoint": "PostgreSQL checkpoints by itself",
    "writable_schema": "the schema is not a table on PostgreSQL",
}
CONNECTION = frozenset(
    [
        "analysis_limit",
        "automatic_index",
        "busy_timeout",
        "cache_size",
        "cache_spill",
        "cell_size_check",
        "checkpoint_fullfsync",
        "foreign_keys",
        "fullfsync",
        "journal_size_limit",
        "mmap_size",
        "query_only",
        "secure_delete",
        "soft_heap_limit",
        "synchronous",
        "temp_store",
        "threads",
        "wal_autocheckpoint",
    ]
)
"""Set and read on the application's own connection to SQLite, whichever database is named: the driver obeys those that
mean something on PostgreSQL, and the others are there for the way back.
"""
FILE = frozenset({"application_id", "database_list", "encoding", "page_size", "user_version"})
"""Read there too: the relay keeps the file."""


def pragma(tokens: Sequence[Token]) -> Plan:
    """The plan of `PRAGMA [schema.]name [= value | (value)]`."""
    words = tokens[1:]
    database, words = (fold(unquote(words[0])), words[2:]) if _is_dot(words[1:2]) else ("main", words)
    if not words:
        raise Refused("PRAGMA", "it names nothing", "correct the statement")
    name, value = fold(unquote(words[0])), "".join(unquote(token) for token in words[2:] if token.text != ")")
    if name in CONNECTION:
        return Plan(kind=Kind.CATALOG, pragma=name)
    if database != "main":
        raise Refused(f"a PRAGMA of {database}", "only the main database is translated")
    if name == "user_version" and not value:
        return Plan(kind=Kind.CATALOG, pragma=name)
    if name in CATALOG and (not value or name in _NAMES_OBJECT):
        return Plan(kind=Kind.CATALOG, pragma=name)
    if name in SETTINGS:
        return _setting(name, SETTINGS[name], is_set=bool(value))
    raise Refused(f"PRAGMA {name}", REFUSED.get(name, "no rule covers it"), "leave it out")


def _is_dot(tokens: Sequence[Token]) -> bool:
    return bool(tokens) and tokens[0].text == "."


def _setting(name: str, setting: Setting, *, is_set: bool) -> Plan:
    answers = setting.answer is not None and (setting.echoes or not is_set)
    return Plan(
        kind=Kind.PRAGMA,
        pragma=name,
        columns=(ResultColumn(name=name),) if answers else None,
        rows=((setting.answer,),) if answers and setting.answer is not None else (),
    )
