"""Cases run on plain sqlite3 and through dualdb on PostgreSQL, each of them as if it were the first.

Cases that only read share the family's tables. One that writes gets tables of its own, for what it does to the ids that
are given out next stays behind on PostgreSQL though its rows are rolled back. One that ends transactions by itself gets
a database of its own.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dualdb
from dualdb.core.phase import Phase
from dualdb.core.sqltext import quote_name, significant
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance
from tests.differential.case_files import Call
from tests.differential.verdicts import ALIKE, Outcome, Verdict, ask, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.differential.case_files import Case, Family

_OBJECTS = Call(sql="SELECT type, name, tbl_name FROM sqlite_master ORDER BY type, name")
_TABLES = "SELECT name, wr FROM pragma_table_list WHERE type = 'table' AND schema = 'main' AND name NOT LIKE 'sqlite_%'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Two empty databases: what sqlite3 opens, and what dualdb opens."""

    plain: str
    moved: str


def place(folder: Path, dsn: str) -> Place:
    """An empty file for sqlite3, and one that has been moved to an empty PostgreSQL database."""
    plain, moved = str(folder / "plain.db"), str(folder / "moved.db")
    for path in (plain, moved):
        sqlite3.connect(path).close()
    initialise(moved, dsn)
    advance(moved, Phase.POSTGRES, observer=lambda _event: None)
    return Place(plain=plain, moved=moved)


class Stage:
    """A family's tables and rows on both sides, for one case or for many that only read."""

    def __init__(self, at: Place, setup: Iterable[str], *, inside: bool) -> None:
        """The tables are made inside a transaction that is never committed, or committed."""
        self.plain = sqlite3.connect(at.plain, isolation_level=None)
        self.moved: sqlite3.Connection = dualdb.connect(at.moved, isolation_level=None)
        self._missing: dict[str, Verdict] = {}
        """Why tables of the setup are not as they should be, on neither side."""
        for statement in (*(["BEGIN"] if inside else []), *setup):
            call = Call(sql=statement)
            found = ask(self.moved, call)
            if found.error == "NotSupportedError":
                table = significant(statement)[2].text
                self._missing[table] = Verdict(outcome=Outcome.REFUSED, reason=found.message)
                continue
            verdict = judge(call, ask(self.plain, call), found)
            if verdict is not ALIKE:
                raise AssertionError(f"{statement} of the setup: {verdict.reason}")

    def close(self) -> None:
        """Roll back, or leave, what is there."""
        self.plain.close()
        self.moved.close()

    def judge(self, case: Case) -> Verdict:
        """How a case ends: with the first call that does not go alike, or with what all of them have left."""
        for call in case.calls:
            missing = [self._missing[token.text] for token in significant(call.sql) if token.text in self._missing]
            verdict = missing[0] if missing else self._judge_call(call)
            if verdict is not ALIKE:
                return verdict
        return self._judge_tables() if any(call.writes for call in case.calls) else ALIKE

    def _judge_call(self, call: Call) -> Verdict:
        return judge(call, ask(self.plain, call), ask(self.moved, call))

    def _judge_tables(self) -> Verdict:
        verdict = self._judge_call(_OBJECTS)
        for name, without_rowid in self.plain.execute(_TABLES).fetchall():
            if verdict is not ALIKE:
                return Verdict(outcome=verdict.outcome, reason=f"afterwards: {verdict.reason}")
            rowid = "" if without_rowid else "rowid, "
            verdict = self._judge_call(Call(sql=f"SELECT {rowid}* FROM {quote_name(name)}"))
        return verdict


def judge_family(family: Family, fresh: Callable[[], AbstractContextManager[Place]]) -> dict[Case, Verdict]:
    """The verdict on each case of a family; `fresh` gives an empty place for as long as it is needed."""
    verdicts: dict[Case, Verdict] = {}
    with fresh() as shared:
        stage: Stage | None = None
        for case in family.cases:
            if any(call.needs_its_own for call in case.calls):
                with fresh() as own, closing(Stage(own, family.setup, inside=False)) as alone:
                    verdicts[case] = alone.judge(case)
                continue
            stage = stage or Stage(shared, family.setup, inside=True)
            verdicts[case] = verdict = stage.judge(case)
            if verdict is not ALIKE or any(call.writes for call in case.calls):
                stage.close()
                stage = None
        if stage is not None:
            stage.close()
    return verdicts


def count(verdicts: Mapping[Case, Verdict]) -> Counter[Outcome]:
    """How many cases end in which way."""
    return Counter(verdict.outcome for verdict in verdicts.values())


def table(family: Family, verdicts: Mapping[Case, Verdict]) -> str:
    """The outcomes by word, then each case that is not equal with its reason; for people."""
    lines = [f"{family.name:<52}" + "".join(f"{outcome.value:>11}" for outcome in Outcome)]
    for word in family.words:
        counted = count({case: verdict for case, verdict in verdicts.items() if case.word == word})
        lines.append(f"  {word:<50}" + "".join(f"{counted[outcome] or '':>11}" for outcome in Outcome))
    counted = count(verdicts)
    lines.append(f"  {'all':<50}" + "".join(f"{counted[outcome]:>11}" for outcome in Outcome))
    lines += [
        f"{verdict.outcome.value} [{case.word}] {case}\n    {verdict.reason.partition('; ')[0]}"
        for case, verdict in verdicts.items()
        if verdict.outcome is not Outcome.EQUAL
    ]
    return "\n".join(lines)
