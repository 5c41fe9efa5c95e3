"""The public names of `sqlite3`, and `connect()`; nothing else."""

from __future__ import annotations

import sqlite3 as _sqlite3
import sys as _sys
import warnings as _warnings
from sqlite3 import *

from dualdb.driver.connection import Connection, adopted
from dualdb.driver.connection import Cursor as Cursor
from dualdb.driver.connection import check_that_it_follows as _check_that_it_follows

_TYPE_CHECKING = False
if _TYPE_CHECKING:
    from typing import Any

_FACTORY, _MOST = 5, 8
"""Which positional argument it is, and how many there can be."""
_KEYWORD_ONLY_SOON = (
    "Passing more than 1 positional argument to sqlite3.connect() is deprecated. Parameters 'timeout', 'detect_types',"
    " 'isolation_level', 'check_same_thread', 'factory', 'cached_statements' and 'uri' will become keyword-only"
    " parameters in Python 3.15."
)

dbapi2 = _sys.modules[__name__]
"""As in `from sqlite3 import dbapi2`: the same names."""


def connect(*args: Any, **kwargs: Any) -> Any:  # type: ignore[no-redef]
    """Open a database as `sqlite3.connect` does; a file prepared with `dualdb init` moves while it is used."""
    if 1 < len(args) <= _MOST and _sys.version_info >= (3, 13):
        _warnings.warn(_KEYWORD_ONLY_SOON, DeprecationWarning, stacklevel=2)
    # As sqlite3.connect does: the factory is called with all arguments as they were given.
    factory = Connection
    if len(args) > _FACTORY:
        factory = adopted(args[_FACTORY])
        args = (*args[:_FACTORY], factory, *args[_FACTORY + 1 :])
    elif "factory" in kwargs:
        factory = kwargs["factory"] = adopted(kwargs["factory"])
    connection = factory(*args, **kwargs)
    _check_that_it_follows(connection)
    return connection


def __getattr__(name: str) -> Any:
    """The names that sqlite3 keeps behind a warning, and those that it has got since, its submodules."""
    if name in vars(_sqlite3):
        return vars(_sqlite3)[name]
    if name not in getattr(_sqlite3, "_deprecated_names", ()):
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    with _warnings.catch_warnings():
        _warnings.simplefilter("ignore")
        value = getattr(_sqlite3, name)
    _warnings.warn(f"{name} is deprecated and will be removed in Python 3.14", DeprecationWarning, stacklevel=2)
    return value
