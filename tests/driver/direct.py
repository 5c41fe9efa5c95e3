"""PostgreSQL opened by its address, in tests: the address, and processes that use it."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict


def url_of(dsn: str) -> str:
    """The same address as a URL."""
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    user, database = quote(parts.pop("user"), safe=""), quote(parts.pop("dbname"), safe="")
    password = f":{quote(parts.pop('password'), safe='')}" if "password" in parts else ""
    return f"postgresql://{user}{password}@/{database}?{urlencode(parts, quote_via=quote)}"
