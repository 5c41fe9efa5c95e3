"""The case files of tests/cases: what SQLite applications write, by family and word.

A file is SQL that SQLite executes, read by these lines:

    -- # values: what the family is about
    -- setup
    CREATE TABLE …; INSERT …;           what each of its cases finds

    -- ## integer division              a word: what the cases below it try
    SELECT 7 / 2;                       a case, up to an empty line: one statement or several

    -- given: (7, 2)                    what is bound to the statement below; a list: executemany
    SELECT ? / ?;

    -- raises: OperationalError         what SQLite answers to the statement below
    SELECT nothing;

    -- since: 3.41                      an older SQLite does not know it
    SELECT unhex('41');

    -- at once: executescript           the lines below are given to that method as they stand
    SELECT 1; SELECT 2;

Knows of SQLite its version, and no database.
"""

from __future__ import annotations

import ast
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualdb.core.sqltext import first_keyword, significant, split_statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = Path(__file__).parents[1] / "cases"
FAMILIES = ("values", "text")

_PART = re.compile(r"((?:^-- (?:given|raises|since|at once): .+\n)+)", re.MULTILINE)
_READING = frozenset({"SELECT", "VALUES", "EXPLAIN", "PRAGMA"})
_ENDING = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "VACUUM", "ATTACH", "DETACH"})
_WRITING = frozenset({"INSERT", "UPDATE", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a cursor's method."""

    sql: str
    given: Any = None
    """What is bound: a tuple, a dict, or a list of them for executemany."""
    method: str = "execute"
    raises: str | None = None
    """The error that SQLite gives."""

    @property
    def writes(self) -> bool:
        """Whether it may leave anything behind."""
        first = first_keyword(self.sql)
        if first == "WITH":
            return not _WRITING.isdisjoint(token.word() for token in significant(self.sql))
        return first not in _READING

    @property
    def needs_its_own(self) -> bool:
        """Whether it ends a transaction, or acts only outside of one."""
        words = [token.word() or token.text for token in significant(self.sql)]
        sets = words[:1] == ["PRAGMA"] and "=" in words
        fails_all = any(words[at : at + 2] == ["OR", "ROLLBACK"] for at in range(len(words)))
        return self.method == "executescript" or words[0] in _ENDING or sets or fails_all

    @property
    def ordered(self) -> bool:
        """Whether its outermost statement says in which order the rows come."""
        depth = 0
        words = []
        for token in significant(self.sql):
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if depth == 0:
                words.append(token.word())
        return words[:1] == ["PRAGMA"] or any(words[at : at + 2] == ["ORDER", "BY"] for at in range(len(words)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What one application might do, and nobody else meanwhile."""

    family: str
    word: str
    text: str
    calls: tuple[Call, ...]

    def __str__(self) -> str:
        """On one line."""
        return " ".join(self.text.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One file."""

    name: str
    about: str
    setup: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """In the file's order."""
        return tuple(dict.fromkeys(case.word for case in self.cases))


def read_family(name: str) -> Family:
    """The family of that name."""
    head, *sections = re.split(r"^-- ## ", (FOLDER / f"{name}.sql").read_text(encoding="utf-8"), flags=re.MULTILINE)
    title, _, setup = head.partition("-- setup\n")
    cases = []
    for section in sections:
        word, _, body = section.partition("\n")
        blocks = [block.strip("\n") for block in re.split(r"\n{2,}", body)]
        cases += [Case(family=name, word=word, text=text, calls=tuple(_calls(text))) for text in blocks if text]
    about = title.strip().removeprefix(f"-- # {name}: ")
    return Family(name=name, about=about, setup=tuple(split_statements(setup)), cases=tuple(cases))


def _calls(text: str) -> Iterator[Call]:
    plain, *directed = _PART.split(text + "\n")
    yield from map(_plain, split_statements(plain))
    for lines, below in zip(directed[::2], directed[1::2], strict=True):
        says = dict(line.removeprefix("-- ").split(": ", 1) for line in lines.splitlines())
        given = ast.literal_eval(says.get("given", "None"))
        method = says.get("at once") or ("executemany" if isinstance(given, list) else "execute")
        first, *others = [below.removesuffix("\n")] if "at once" in says else split_statements(below)
        yield Call(sql=first, given=given, method=method, raises=_error(says))
        yield from map(_plain, others)


def _plain(sql: str) -> Call:
    return Call(sql=sql)


def _error(says: Mapping[str, str]) -> str | None:
    since = tuple(map(int, says.get("since", "0").split(".")))
    return "OperationalError" if sqlite3.sqlite_version_info < since else says.get("raises")
