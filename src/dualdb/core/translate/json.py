"""Rules for the JSON functions (json1.html); what they compute is in sql/sqlite/json.sql.

An argument that is itself JSON stands in a document as it is, any other one as the JSON of its value: which it is, the
function tells that gave it, as SQLite's subtype does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dualdb.core.translate.conversion import as_text, encoded, plain_value, typed
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import Storage, Term, computed, truth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot import exp

    from dualdb.core.translate.place import Place
    from dualdb.core.translate.work import Function

    Nodes = Sequence[exp.Expression]


def _json(sql: str) -> Term:
    """A document, of which a document that holds it knows that it is one."""
    return replace(computed(sql, Storage.TEXT), is_json=True)


def _text(term: Term) -> str:
    return typed(as_text(term))


def _item(term: Term) -> str:
    """What stands for an argument in a document."""
    term = plain_value(term)
    if term.is_json:
        return f"coalesce({term.sql}, 'null')"
    if term.varying is not None:
        return term.varying
    if term.storage in {Storage.TEXT, Storage.INTEGER, Storage.REAL}:
        return f"sqlite.json_quote({typed(term)})"
    return f"sqlite.json_quote({encoded(term).sql})"


def _known(nodes: Nodes, place: Place) -> list[Term]:
    return [plain_value(place.known(node)) for node in nodes]


def document(nodes: Nodes, place: Place) -> Term:
    """The text as a document without spaces: json(x)."""
    (term,) = _exactly(1, nodes, place, "json")
    return _json(f"sqlite.json({_text(term)})")


def _exactly(count: int, nodes: Nodes, place: Place, name: str) -> list[Term]:
    if len(nodes) != count:
        raise Refused(f"{name}() of {len(nodes)} arguments", "no rule covers it", "correct the statement")
    return _known(nodes, place)


def valid(nodes: Nodes, place: Place) -> Term:
    """Whether a text is a document: json_valid(x)."""
    (term,) = _exactly(1, nodes, place, "json_valid")
    return truth(f"sqlite.json_valid({_text(term)})")


def quoted(nodes: Nodes, place: Place) -> Term:
    """The JSON of a value: json_quote(x)."""
    (term,) = _exactly(1, nodes, place, "json_quote")
    return _json(_item(term))


def array(nodes: Nodes, place: Place) -> Term:
    """A document of values: json_array(…)."""
    items = ", ".join(map(_item, _known(nodes, place)))
    return _json(f"sqlite.json_array(VARIADIC ARRAY[{items}]::text[])")


def object_of(nodes: Nodes, place: Place) -> Term:
    """A document of names and values: json_object(name, value, …)."""
    terms = _known(nodes, place)
    if len(terms) % 2:
        raise Refused("json_object()", "it requires an even number of arguments", "give each name a value")
    members = ", ".join(
        f"sqlite.json_member({_label(name)}, {_item(value)})"
        for name, value in zip(terms[::2], terms[1::2], strict=True)
    )
    return _json(f"sqlite.json_object(VARIADIC ARRAY[{members}]::text[])")


def _label(term: Term) -> str:
    return typed(term) if term.storage is Storage.TEXT else encoded(term).sql


def extract(nodes: Nodes, place: Place) -> Term:
    """What stands at a path, or a document of what stands at several: json_extract(x, path, …)."""
    terms = _known(nodes, place)
    if len(terms) < 2:  # noqa: PLR2004 - a document and a path
        return Term(sql="NULL", storage=Storage.NULL)
    whole, *paths = map(_text, terms)
    if len(paths) > 1:
        return _json(f"sqlite.json_extract_array({whole}, VARIADIC ARRAY[{', '.join(paths)}]::text[])")
    (path,) = paths
    value = f"sqlite.json_extract({whole}, {path})"
    item = (
        f"CASE WHEN sqlite.json_type({whole}, {path}) IN ('array', 'object')"
        f" THEN sqlite.json_extract_item({whole}, {path}) ELSE sqlite.json_quote({value}) END"
    )
    return replace(computed(value, Storage.ANY), varying=item)


def arrow(nodes: Nodes, place: Place) -> Term:
    """What stands at a path, as JSON: x -> path."""
    whole, path = _known(nodes, place)
    return _json(f"sqlite.json_extract_item({_text(whole)}, sqlite.json_path({_path(path)}))")


def arrows(nodes: Nodes, place: Place) -> Term:
    """What stands at a path, as a value: x ->> path."""
    whole, path = _known(nodes, place)
    return computed(f"sqlite.json_extract({_text(whole)}, sqlite.json_path({_path(path)}))", Storage.ANY)


def _path(term: Term) -> str:
    return typed(term) if term.storage in {Storage.TEXT, Storage.INTEGER} else encoded(term).sql


def _at_path(name: str, storage: Storage) -> Function:
    """A function of a document and a path, which is $ where none is given."""

    def rule(nodes: Nodes, place: Place) -> Term:
        if len(nodes) not in {1, 2}:
            raise Refused(f"{name}() of {len(nodes)} arguments", "no rule covers it", "correct the statement")
        texts = [*map(_text, _known(nodes, place)), "'$'"]
        return computed(f"sqlite.{name}({texts[0]}, {texts[1]})", storage)

    rule.__doc__ = f"{name}(x [, path])."
    return rule


def _change(mode: str) -> Function:
    """json_set(), json_insert(), json_replace(): values put at paths."""

    def rule(nodes: Nodes, place: Place) -> Term:
        terms = _known(nodes, place)
        if len(terms) % 2 == 0:
            raise Refused(f"json_{mode}()", "it needs an odd number of arguments", "give each path a value")
        if any(term.varying is not None for term in terms[2::2]):
            raise Refused(f"json_{mode}() of json_extract()", "whether that is JSON is known when it runs", "use ->")
        paths = ", ".join(_text(term) for term in terms[1::2])
        given = ", ".join(encoded(term).sql for term in terms[2::2])
        are_json = ", ".join("true" if term.is_json else "false" for term in terms[2::2])
        arrays = f"ARRAY[{paths}]::text[], ARRAY[{given}]::bytea[], ARRAY[{are_json}]::boolean[]"
        changed = computed(f"sqlite.json_change('{mode}', {_text(terms[0])}, {arrays})", Storage.ANY)
        fixed = all(isinstance(path.constant, str) and path.constant.strip() != "$" for path in terms[1::2])
        return (
            replace(changed, sql=f"sqlite.to_text({changed.sql})", storage=Storage.TEXT, is_json=True)
            if fixed
            else changed
        )

    rule.__doc__ = f"json_{mode}(x, path, value, …)."
    return rule


def removed(nodes: Nodes, place: Place) -> Term:
    """A document without what stands at some paths: json_remove(x, path, …)."""
    whole, *paths = map(_text, _known(nodes, place))
    if not paths:
        return _json(f"sqlite.json({whole})")
    return _json(f"sqlite.json_remove({whole}, VARIADIC ARRAY[{', '.join(paths)}]::text[])")


def patched(nodes: Nodes, place: Place) -> Term:
    """A document changed as another one says: json_patch(x, y)."""
    whole, patch = _exactly(2, nodes, place, "json_patch")
    return _json(f"sqlite.json_patch({_text(whole)}, {_text(patch)})")


def group_item(term: Term) -> str:
    """What json_group_array() is given for a value."""
    return _item(term)


def group_member(name: Term, value: Term) -> str:
    """What json_group_object() is given for a name and a value."""
    return f"sqlite.json_group_member({_text(name)}, {_item(value)})"


JSON: Mapping[str, Function] = {
    "arrow": arrow,
    "arrows": arrows,
    "json": document,
    "json_array": array,
    "json_array_length": _at_path("json_array_length", Storage.INTEGER),
    "json_extract": extract,
    "json_insert": _change("insert"),
    "json_object": object_of,
    "json_patch": patched,
    "json_quote": quoted,
    "json_remove": removed,
    "json_replace": _change("replace"),
    "json_set": _change("set"),
    "json_type": _at_path("json_type", Storage.TEXT),
    "json_valid": valid,
}
