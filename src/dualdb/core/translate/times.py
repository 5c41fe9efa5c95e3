"""Rules for the date and time functions (lang_datefunc.html); what they compute is in sql/sqlite/dates.sql."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.translate.conversion import encoded, plain_value, typed
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import Storage, Term, computed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot import exp

    from dualdb.core.translate.place import Place
    from dualdb.core.translate.work import Function


def _moment(name: str, storage: Storage, *, formats: bool = False) -> Function:
    """A function of a time value and its modifiers; the first argument of strftime() is a format."""

    def rule(nodes: Sequence[exp.Expression], place: Place) -> Term:
        if formats and not nodes:
            raise Refused(f"{name}()", "it has no format", "give one")
        terms = [plain_value(place.known(node)) for node in nodes]
        if name in {"date", "time", "datetime"} and not terms:
            return Term(sql=f"sqlite.{_CURRENT[name]}()", storage=Storage.TEXT, plain_text=True)
        pure = place.work.pure
        texts = len(terms) == 1 + formats and all(term.storage is Storage.TEXT for term in terms)
        if texts and not pure and name != "unixepoch":  # of a text that may be a float, which the other form gives
            return computed(f"sqlite.{name}({', '.join(map(typed, terms))})", storage)
        values = f"ARRAY[{', '.join(encoded(term).sql for term in terms)}]::bytea[]"
        return computed(f"sqlite.{name}({f'NULL::bigint, {values}' if pure else f'VARIADIC {values}'})", storage)

    rule.__doc__ = f"{name}(): of a time value with its modifiers."
    return rule


_CURRENT = {"date": "current_date", "time": "current_time", "datetime": "current_timestamp"}


TIMES: Mapping[str, Function] = {
    "date": _moment("date", Storage.TEXT),
    "datetime": _moment("datetime", Storage.TEXT),
    "julianday": _moment("julianday", Storage.REAL),
    "strftime": _moment("strftime", Storage.TEXT, formats=True),
    "time": _moment("time", Storage.TEXT),
    "unixepoch": _moment("unixepoch", Storage.ANY),
}
