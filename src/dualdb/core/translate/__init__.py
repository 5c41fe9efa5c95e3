"""SQLite's SQL into PostgreSQL's. Loads sqlglot, which takes 0.2 s: whoever imports this package does it lazily."""

from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.translator import translate

__all__ = ["Refused", "translate"]
