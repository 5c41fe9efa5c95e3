"""Names on the target, made from the names in SQLite; knows no other SQL than quoting."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualdb.core.schema import Column

_LIMIT_BYTES = 63
_DIGEST_CHARACTERS = 12
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Columns that every table of PostgreSQL has (ddl-system-columns.html): in these letters, "XMIN" is another name."""


def target_name(name: str) -> str:
    """The name that an object or column carries on PostgreSQL: itself, or a unique other form when it cannot have it.

    PostgreSQL cuts an identifier after 63 bytes without a word (NAMEDATALEN), which makes two names one, knows no empty
    one, and refuses a column that is named like its own ones.
    """
    encoded = name.encode("utf-8", "surrogatepass")
    if 0 < len(encoded) <= _LIMIT_BYTES and name not in _SYSTEM_COLUMNS:
        return name
    import hashlib  # loads OpenSSL, and almost no name is like this

    digest = hashlib.sha256(encoded).hexdigest()[:_DIGEST_CHARACTERS]
    head = encoded[: _LIMIT_BYTES - _DIGEST_CHARACTERS - 1].decode("utf-8", "ignore")
    return f"{head}_{digest}"


def quoted(name: str) -> str:
    """The name as it stands in PostgreSQL's text, always quoted and in its declared spelling."""
    return '"' + target_name(name).replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """The name of an object in a schema, as it stands in PostgreSQL's text."""
    return f"{quoted(schema)}.{quoted(name)}"


def rowid_index(table: str) -> str:
    """What the unique constraint on a table's hidden rowid is called, where another key is declared."""
    return f"sqlite_rowid_{table}"


def literal(text: str) -> str:
    """A text constant: a name where PostgreSQL takes it as a value, or a function's body."""
    escaped = text.replace("'", "''")
    # A backslash means itself in E'' alone, whatever standard_conforming_strings is set to.
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"


def is_built_in(collation: str) -> bool:
    """Whether a collation is one of SQLite's own (datatype3.html, section 7), and not the application's."""
    return collation.upper() in {"BINARY", "NOCASE", "RTRIM"}


def collated(term: str, collation: str) -> str:
    """A text term such that PostgreSQL's `=` and order on it are those of SQLite's collation (datatype3.html, 7)."""
    match collation.upper():
        case "BINARY":
            return term
        case "NOCASE":
            return f"sqlite.nocase({term})"
        case "RTRIM":
            return f"rtrim({term}, ' ')"
    raise ValueError(f"the collation {collation!r} is not one of SQLite's own; use BINARY, NOCASE or RTRIM")


def key_term(column: Column) -> str:
    """What a key column is compared by on PostgreSQL: the column, folded as its collation wants it."""
    name = quoted(column.name)
    return collated(name, column.collation) if column.stored.value == "text" else name
