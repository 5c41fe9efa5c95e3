"""The SQL that dualdb itself sends, read from `sql/` and found by name; knows no database.

A file is one script, read whole with `load`, or a list of named blocks, each of which begins with two lines:

    -- name: prune_journal
    -- Forget the journal up to a position, all but its newest row.

In a wheel the files lie inside the package; in a checkout and an editable install they lie beside `src`. A loader is
asked for bytes, not a path opened, so that it works from a zip file as well; `importlib.resources` would do that too,
for 60 ms on the import path of every application that never leaves SQLite.
"""

from __future__ import annotations

import os
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = "-- name:"
_DESCRIPTION = "-- "


@cache
def load(path: str) -> str:
    """The text of one file under `sql/`, e.g. `load("source/control.sql")`; raises FileNotFoundError."""
    package = os.path.dirname(os.path.dirname(__file__))
    places = (os.path.join(package, "sql"), os.path.join(package, os.pardir, os.pardir, "sql"))
    for place in places:
        try:
            return _read(os.path.join(place, *path.split("/")))
        except OSError:
            continue
    message = f"no file {path!r} in {' or '.join(places)}; the installation is incomplete: install dualdb again"
    raise FileNotFoundError(message)


@cache
def queries(path: str) -> Mapping[str, str]:
    """The named blocks of one file, in the order in which they stand there; raises ValueError for a malformed one."""
    found: dict[str, str] = {}
    for block in ("\n" + load(path)).split("\n" + _NAME)[1:]:
        title, _, rest = block.partition("\n")
        description, _, body = rest.partition("\n")
        name = title.strip()
        if name in found:
            message = f"{path} has two blocks named {name!r}; give one of them another name"
            raise ValueError(message)
        if not description.startswith(_DESCRIPTION) or not description[len(_DESCRIPTION) :].strip():
            message = f"{path} does not describe {name!r}; write a line '-- what it does' below its name"
            raise ValueError(message)
        if not body.strip():
            message = f"{path} has nothing below the description of {name!r}; write its statement there"
            raise ValueError(message)
        found[name] = body.strip()
    return MappingProxyType(found)


def query(path: str, name: str) -> str:
    """One named block of a file; raises LookupError when there is none of that name."""
    blocks = queries(path)
    if name not in blocks:
        message = f"{path} has no block named {name!r}; it has {', '.join(blocks) or 'none'}"
        raise LookupError(message)
    return blocks[name]


def _read(file: str) -> str:
    """A file's text, through the loader that this module itself came from."""
    get_data = getattr(globals().get("__loader__"), "get_data", None)
    if get_data is not None:
        return str(get_data(file), "utf-8")
    with open(file, encoding="utf-8") as stream:  # a frozen program may have no such loader
        return stream.read()
