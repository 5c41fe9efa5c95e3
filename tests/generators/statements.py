"""Random SQLite schemas and random statements over them, from a seed.

Made to escape change capture: every conflict policy, unique indexes of every kind, keys of every kind, cascades, the
application's own triggers. Many statements fail, as they should; nothing here judges. Use it as

    workload = Workload(seed)
    for sql in workload.setup: connection.execute(sql)
    ... connection.execute(workload.statement()) ...
"""

from __future__ import annotations

import random
from dataclasses import dataclass

POLICIES = ("", "", " OR REPLACE", " OR REPLACE", " OR IGNORE", " OR FAIL", " OR ABORT", " OR ROLLBACK")

_KEYS = {
    # name: column definition or table constraint, and the columns of the key
    "alias": ("id INTEGER PRIMARY KEY{policy}", ("id",)),
    "autoincrement": ("id INTEGER PRIMARY KEY{policy} AUTOINCREMENT", ("id",)),
    "text": ("id TEXT NOT NULL PRIMARY KEY{policy}", ("id",)),
    "nullable": ("id TEXT PRIMARY KEY{policy}", ("id",)),
    "untyped": ("id NOT NULL PRIMARY KEY{policy}", ("id",)),
    "nocase": ("id TEXT COLLATE NOCASE NOT NULL PRIMARY KEY{policy}", ("id",)),
    "defaulted": ("id TEXT NOT NULL DEFAULT 'a' PRIMARY KEY{policy}", ("id",)),
    "composite": ("id INT NOT NULL, k TEXT NOT NULL, PRIMARY KEY(id, k){policy}", ("id", "k")),
    "composite_nocase": ("id INT NOT NULL, k TEXT NOT NULL, PRIMARY KEY(k COLLATE NOCASE, id){policy}", ("id", "k")),
    "none": ("id INT", ()),
}
_TERMS = ("u", "a", "b", "c", "f", "n", "s", "u COLLATE NOCASE", "n COLLATE BINARY", "f DESC", "s COLLATE RTRIM")
_EXPRESSIONS = ("lower(u)", "a+b", "a % 3", "n || c", "substr(u, 1, 1)", "lower(s)", "f + 1", "s || a", "u = n", "g")
_PREDICATES = ("c = 1", "c IN (0, 1) AND b > 2", "u IS NOT NULL", "lower(n) < 'c'", "f > a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the statement maker knows of a table."""

    name: str
    columns: tuple[str, ...]
    """Columns that can be written."""
    targets: tuple[str, ...]
    """What ON CONFLICT can name."""
    has_rowid: bool
    needed: tuple[str, ...] = ()
    """Columns without which most inserts fail."""


class Workload:
    """A random schema, and an endless stream of statements over it; the same for the same seed."""

    def __init__(self, seed: int, *, triggers: bool = True, exotic: bool = True, mixed: bool = True) -> None:
        """`exotic` allows what may block readiness: expressions over automatic ids, defaults within expressions.
        `mixed` allows columns and values that a column of one class cannot hold: text among integers, fractions.
        """
        self.seed = seed
        self._random = random.Random(seed)
        self._exotic = exotic
        self._mixed = mixed
        self.setup: list[str] = [
            f"PRAGMA foreign_keys = {self._pick('ON', 'OFF')}",
            f"PRAGMA recursive_triggers = {self._pick('OFF', 'OFF', 'ON')}",
        ]
        self.shapes = [self._table("t"), self._table("other table"), self._child()]
        if triggers:
            self._triggers()

    def statement(self) -> str:
        """The next statement."""
        shape = self._random.choice(self.shapes)
        if not shape.targets and not shape.has_rowid:  # a view
            return self._insert(shape)
        makers = (self._insert, self._insert, self._insert, self._upsert, self._update, self._update, self._delete)
        return self._random.choice(makers)(shape)

    def _pick(self, *options: str) -> str:
        return self._random.choice(options)

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    # Schema

    def _policy(self) -> str:
        return self._pick("", "", "", " ON CONFLICT REPLACE", " ON CONFLICT IGNORE", " ON CONFLICT FAIL")

    def _table(self, name: str) -> Shape:
        kind = self._random.choice(tuple(_KEYS))
        definition, key = _KEYS[kind]
        if kind == "untyped" and not self._mixed:
            definition = definition.replace("id ", "id INT ", 1)
        quoted = f'"{name}"'
        defaulted = self._pick("", "", " NOT NULL DEFAULT 3", " NOT NULL DEFAULT '2'", " NOT NULL")
        parts = [
            definition.format(policy=self._policy()),
            f"u TEXT{' UNIQUE' + self._policy() if self._chance(0.6) else ''}",
            f"a {self._number_type('INT', 'REAL', 'NUMERIC', '')}",
            f"b INT{self._policy() and ' NOT NULL ON CONFLICT REPLACE DEFAULT 1'}",
            "c INT",
            "n TEXT COLLATE NOCASE",
            f"f {self._number_type('INT', 'REAL', '')}{defaulted}",
            f"s {self._pick('TEXT', 'TEXT COLLATE NOCASE')}{self._pick('', chr(32) + 'NOT NULL DEFAULT ' + repr('d'))}",
            f"g AS ({self._pick('a * 2', 'lower(u)', 'coalesce(f, 0) + 1', 'n')}) {self._pick('STORED', 'VIRTUAL')}",
        ]
        if self._chance(0.3):
            parts.append(f"UNIQUE(a, b){self._policy()}")
        if self._chance(0.2):
            parts.append("CHECK(c IS NULL OR c < 9)")
        if self._chance(0.2):
            parts.append(f"FOREIGN KEY(c) REFERENCES {quoted}({key[0] if len(key) == 1 else 'u'}) {self._actions()}")
        parts.sort(key=lambda part: part.startswith(("UNIQUE", "CHECK", "FOREIGN")))
        if "PRIMARY KEY(" in parts[0]:
            head, constraint = parts[0].rsplit(", PRIMARY", 1)
            parts = [head, *parts[1:], "PRIMARY" + constraint]
        without_rowid = bool(key) and kind != "autoincrement" and self._chance(0.3)
        self.setup.append(f"CREATE TABLE {quoted} ({', '.join(parts)}){' WITHOUT ROWID' if without_rowid else ''}")
        targets = [", ".join(key)] if key else []
        targets += [self._index(quoted, f"{name} {number}") for number in range(self._random.choice((0, 1, 2, 3)))]
        columns = ("id", *(("k",) if "k" in key else ()), "u", "a", "b", "c", "n", "f", "s")
        return Shape(
            name=name,
            columns=columns,
            targets=tuple(targets),
            has_rowid=not without_rowid,
            needed=() if kind in {"alias", "autoincrement"} else key,
        )

    def _number_type(self, *types: str) -> str:
        chosen = self._pick(*types)
        return chosen if self._mixed or chosen == "REAL" else "INT"

    def _index(self, quoted: str, name: str) -> str:
        terms = self._random.sample(_TERMS, self._random.choice((1, 1, 2, 3)))
        if self._chance(0.35):
            expressions = (*_EXPRESSIONS, "id % 4") if self._exotic else _EXPRESSIONS[:5]
            terms[0] = self._random.choice(expressions)
        where = f" WHERE {self._pick(*_PREDICATES)}" if self._chance(0.3) else ""
        self.setup.append(f'CREATE UNIQUE INDEX "{name}" ON {quoted} ({", ".join(terms)}){where}')
        return ", ".join(term.removesuffix(" DESC") for term in terms) + ")" + where

    def _actions(self) -> str:
        actions = ("CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION", "CASCADE")
        return f"ON DELETE {self._pick(*actions)} ON UPDATE {self._pick(*actions)}"

    def _child(self) -> Shape:
        parent = f" REFERENCES t(u) {self._actions()}" if "u TEXT UNIQUE" in self.setup[2] else ""
        own = f" REFERENCES child(id) {self._actions()}" if self._chance(0.5) else ""
        self.setup.append(
            f"CREATE TABLE child (id INTEGER PRIMARY KEY, u TEXT{parent}, a INT DEFAULT 1{own}, b INT, c INT,"
            f" UNIQUE(u, b){self._policy()})"
        )
        return Shape(name="child", columns=("id", "u", "a", "b", "c"), targets=("id", "u, b"), has_rowid=True)

    def _triggers(self) -> None:
        event = self._pick("INSERT", "DELETE", "UPDATE OF u")
        row = "OLD" if event == "DELETE" else "NEW"
        ending = self._pick("IGNORE", "FAIL, 'no'", "ABORT, 'no'")
        steps = (
            f'UPDATE "other table" SET u = {row}.u WHERE c = {row}.c',
            f"INSERT OR REPLACE INTO child(u, b) VALUES ({row}.u, {row}.c)",
            f'DELETE FROM "other table" WHERE c = {row}.c',
            f"UPDATE t SET n = {row}.u WHERE c = {row}.b",
            f"INSERT INTO t(id, u, c) VALUES ({row}.b, {row}.n, 3)",
            f"SELECT RAISE({ending}) WHERE {row}.c = 2",
        )
        if self._chance(0.5):
            body = "; ".join(self._random.sample(steps, 2))
            self.setup.append(f"CREATE TRIGGER own AFTER {event} ON t BEGIN {body}; END")
        if self._chance(0.3):
            # Before an UPDATE it would be what SQLite calls undefined, and blocks readiness.
            when = "INSERT" if event == "UPDATE OF u" and not self._exotic else event
            row = "OLD" if when == "DELETE" else "NEW"
            self.setup.append(
                f"CREATE TRIGGER before BEFORE {when} ON t BEGIN"
                f" UPDATE t SET f = 4 WHERE c = {row}.a; DELETE FROM t WHERE b = {row}.c; END"
            )
        if self._chance(0.3):
            self.setup.append("CREATE VIEW seen AS SELECT u, n, c FROM t")
            self.setup.append(
                "CREATE TRIGGER written INSTEAD OF INSERT ON seen BEGIN"
                " INSERT OR REPLACE INTO t(u, n, c) VALUES (NEW.u, NEW.n, NEW.c); END"
            )
            self.shapes.append(Shape(name="seen", columns=("u", "n", "c"), targets=(), has_rowid=False))

    # Statements

    def _value(self, column: str) -> str:
        if column not in {"id", "k"} and self._chance(0.12):
            return "NULL"
        if column == "id" and self._chance(0.8):
            return str(self._random.randrange(1, 12))
        if column in {"u", "n", "s", "k"}:
            return repr(self._pick(*"aAbBcCdDeE", "a "))
        if not self._mixed:
            return self._pick(*map(str, range(6)), "-1", "2.0", "'4'")
        if column == "id":
            return self._pick(*map(str, range(1, 12)), "'3'", "2.0", "'a'", "'A'", "'b'")
        return self._pick(*map(str, range(6)), *map(str, range(6)), "1.5", "'x'", "-1", "2.0", "'4'")

    def _row(self, columns: list[str]) -> str:
        return "(" + ", ".join(self._value(column) for column in columns) + ")"

    def _some_columns(self, shape: Shape) -> list[str]:
        columns = [column for column in shape.columns if column in shape.needed or self._chance(0.8)]
        columns = columns or list(shape.columns)
        if shape.has_rowid and self._chance(0.2):
            columns.append("rowid")
        return columns

    def _insert(self, shape: Shape) -> str:
        columns = self._some_columns(shape)
        head = f'INSERT{self._pick(*POLICIES)} INTO "{shape.name}"({", ".join(columns)})'
        if self._chance(0.15):
            source = self._random.choice(self.shapes)
            chosen = ", ".join(column if column in source.columns else self._value(column) for column in columns)
            return f'{head} SELECT {chosen} FROM "{source.name}" WHERE c < 4'
        rows = ", ".join(self._row(columns) for _ in range(self._random.choice((1, 1, 2, 4))))
        return f"{head} VALUES {rows}"

    def _upsert(self, shape: Shape) -> str:
        columns = self._some_columns(shape)
        head = f'INSERT{self._pick("", "", *POLICIES)} INTO "{shape.name}"({", ".join(columns)})'
        head += f" VALUES {self._row(columns)}"
        target = ""
        if shape.targets and self._chance(0.8):
            target = "(" + self._pick(*shape.targets)
            target += "" if ")" in target else ")"
        if self._chance(0.4):
            return f"{head} ON CONFLICT{target} DO NOTHING"
        return f"{head} ON CONFLICT{target} DO UPDATE SET {self._assignments(shape)}"

    def _assignments(self, shape: Shape) -> str:
        chosen = self._random.sample(shape.columns, min(len(shape.columns), self._random.choice((1, 1, 2, 3))))
        parts = [f"{column} = {self._value(column)}" for column in chosen]
        if "id" not in chosen and self._chance(0.2):
            parts.append(f"id = id {self._pick('+ 1', '+ 3', '- 1')}")
        if shape.has_rowid and self._chance(0.1):
            parts.append(f"{self._pick('rowid', '_rowid_')} = {self._random.randrange(1, 12)}")
        return ", ".join(parts)

    def _condition(self, shape: Shape) -> str:
        column = self._random.choice(shape.columns)
        return self._pick("1", "c = 1", f"{column} = {self._value(column)}", f"{column} > {self._value(column)}")

    def _update(self, shape: Shape) -> str:
        policy = self._pick(*POLICIES)
        return f'UPDATE{policy} "{shape.name}" SET {self._assignments(shape)} WHERE {self._condition(shape)}'

    def _delete(self, shape: Shape) -> str:
        if self._chance(0.05):
            return f'DELETE FROM "{shape.name}"'
        return f'DELETE FROM "{shape.name}" WHERE {self._condition(shape)} AND c = {self._random.randrange(6)}'
