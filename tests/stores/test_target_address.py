"""However a password is written into an address, and whatever becomes of the connection, nobody gets to read it."""

from __future__ import annotations

import os
import re
import traceback
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock
from urllib.parse import quote

import hypothesis
import hypothesis.strategies as st
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import dualdb
from dualdb.errors import TargetError
from dualdb.stores import target_address
from dualdb.stores.target_connection import connect_target

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.once

CLOSED = 1
"""A port of localhost where nobody listens."""
PLAIN = "0123456789-plain"
"""A password that needs no quoting: what is said of it is said of any other."""
_LETTERS = st.sampled_from("/@:%?#&=+,;'\"\\ []{}$abXY19é")
PASSWORDS = st.text(_LETTERS | st.characters(exclude_categories=("C", "Z")), min_size=6, max_size=20)


def _disguised(password: str) -> str:
    """Another one that is read alike: its letters and digits are others."""
    return re.sub(r"\w", lambda found: "n" if found[0] == "m" else "m", password)


def _keyword(password: str) -> str:
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


WRITTEN: dict[str, Callable[[str], str]] = {
    "url, raw": lambda password: f"postgresql://me:{password}@localhost:{CLOSED}/name",
    "url, quoted": lambda password: f"postgresql://me:{quote(password, safe='')}@localhost:{CLOSED}/name",
    "url without a database, raw": lambda password: f"postgres://me:{password}@localhost:{CLOSED}",
    "url without a user, raw": lambda password: f"postgresql://:{password}@localhost:{CLOSED}/name",
    "parameter of a url, raw": lambda password: f"postgresql://me@localhost:{CLOSED}/name?password={password}",
    "only parameter of a url, raw": lambda password: f"postgresql://localhost:{CLOSED}?password={password}",
    "other secret of a url, raw": lambda password: f"postgresql://localhost:{CLOSED}/name?sslpassword={password}",
    "keyword, raw": lambda password: f"host=localhost port={CLOSED} password={password} dbname=name",
    "keyword, last and raw": lambda password: f"host=localhost port={CLOSED} dbname=name password={password}",
    "keyword, quoted": lambda password: f"host=localhost port={CLOSED} password={_keyword(password)} dbname=name",
    "keyword, in quotes and raw": lambda password: f"host=localhost port={CLOSED} password='{password}' dbname=name",
    "other secret, quoted": lambda password: f"host=localhost port={CLOSED} sslpassword={_keyword(password)}",
    "no scheme": lambda password: f"me:{password}@localhost:{CLOSED}/name",
    "scheme with one slash": lambda password: f"postgresql:/me:{password}@localhost:{CLOSED}/name",
    "another scheme": lambda password: f"postgresql+psycopg://me:{password}@localhost:{CLOSED}/name",
    "url as the database": lambda password: (
        f"host=localhost dbname=postgresql://me:{_keyword(password)[1:-1]}@host/name"
    ),
}


def shown_of(dsn: str, *, through: str = "") -> str:
    """Everything that anybody gets to see of an attempt to use this address."""
    variables = {"DUALDB_TARGET": dsn} if through == "DUALDB_TARGET" else {}
    seen = []
    with mock.patch.dict(os.environ, variables):
        for use in (target_address.address_of, target_address.place_of, target_address.check_chosen, _connect):
            try:
                seen.append(repr(use("host=localhost" if variables else dsn)))
            except TargetError as exc:
                seen += [str(exc), repr(exc), "".join(traceback.format_exception(exc)), *_behind(exc)]
    return "\n".join(seen)


def _connect(target: str) -> None:
    with closing(connect_target(target, "nowhere.db", timeout_s=2)):
        raise AssertionError


def _behind(exc: BaseException) -> list[str]:
    """What lies behind an error, shown by a traceback or not."""
    found = [one for one in (exc.__cause__, exc.__context__) if one is not None]
    return [text for one in found for text in (repr(one), *_behind(one))]


@pytest.mark.parametrize("through", ["the argument", "DUALDB_TARGET"])
@pytest.mark.parametrize("way", WRITTEN)
@hypothesis.given(password=PASSWORDS)
@hypothesis.settings(max_examples=60)
@hypothesis.example("pass/word1")
@hypothesis.example("pass@word1")
@hypothesis.example("12345678/x")
@hypothesis.example("12/345678@x")
@hypothesis.example("pass?word@1")
@hypothesis.example("pass word1")
@hypothesis.example("pass%word1")
@hypothesis.example("pass'word1")
@hypothesis.example("\\pass\\word")
@hypothesis.example("pass=word=1")
@hypothesis.example("the ta")
def test_no_password_is_ever_shown(way: str, through: str, password: str) -> None:
    """Neither whole, nor the piece that libpq takes for something else; nor in what lies behind the error."""
    write = WRITTEN[way]
    shown = shown_of(write(password), through=through)
    for secret in {password, *(piece for piece in password.replace("@", "/").split("/") if len(piece) >= 6)}:
        if secret in shown:  # a word of ours, which is said of other passwords too: hypothesis tries those first
            others = {PLAIN, _disguised(password)} - {password}
            assert any(secret in shown_of(write(other), through=through) for other in others)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:pass/word@localhost/name",
        "postgresql://me:pass@word@localhost/name",
        "postgresql://me:pass?word@localhost/name",
        "postgresql://me:1234/5678@localhost/name",
        "postgresql://localhost?password=pass@word",
        "postgresql://me@localhost/name?user=pass@word",
        "host=me:pass@word dbname=name",
        "host=localhost port=word",
        "host=localhost dbname=postgresql://me:word@localhost/name",
        "host=localhost dbname='password=word'",
    ],
)
def test_what_libpq_would_misread_is_refused(dsn: str) -> None:
    """All of it libpq itself takes without a word."""
    assert conninfo_to_dict(dsn)
    with pytest.raises(TargetError, match="two ways") as refusal:
        target_address.address_of(dsn)
    assert "word" not in str(refusal.value).replace("password", "")
    assert "%2F" in str(refusal.value)
    assert "~/.pgpass" in str(refusal.value)


@pytest.mark.parametrize(
    ("dsn", "address"),
    [
        ("embedded", "embedded"),
        ("postgresql://", ""),
        ("postgresql://me@localhost:5433/name", "user=me dbname=name host=localhost port=5433"),
        ("postgresql://me:a%2Fb%40c@[::1]/name", "user=me dbname=name host=::1"),
        ("postgresql://me:a#b:c&d@one:1,two:2/name", "user=me dbname=name host=one,two port=1,2"),
        ("postgresql://me@%2Fvar%2Frun%2Fa%40b/name", "user=me dbname=name host=/var/run/a@b"),
        ("host=/var/run/a@b dbname=name password=x", "dbname=name host=/var/run/a@b"),
        ("host=@abstract dbname=name", "dbname=name host=@abstract"),
        ("service=prod password='it\\'s'", "service=prod"),
        ("user=me passfile=/etc/pgpass sslmode=require", "user=me passfile=/etc/pgpass sslmode=require"),
    ],
)
def test_what_is_certain_is_stored_without_its_password(dsn: str, address: str) -> None:
    """All the rest of it is kept."""
    stored = target_address.address_of(dsn)
    assert stored == address or conninfo_to_dict(stored) == conninfo_to_dict(address)


@pytest.mark.parametrize("option", sorted(target_address.secret_options()))
def test_every_secret_that_libpq_knows_is_left_out(option: str) -> None:
    """What is secret is asked of libpq, not listed here."""
    assert target_address.secret_options() >= {"password", "sslpassword"}
    assert conninfo_to_dict(target_address.address_of(f"host=there {option}=open-sesame")) == {"host": "there"}


@hypothesis.given(password=PASSWORDS)
@hypothesis.settings(max_examples=15)
def test_a_server_that_refuses_is_quoted_without_the_password(server_dsn: str, password: str) -> None:
    """A user with another password, and a database that does not exist."""
    with mock.patch.dict(os.environ):
        for name in ("PGPASSWORD", "PGPASSFILE"):
            os.environ.pop(name, None)
        shown, of_another = (
            shown_of(make_conninfo(server_dsn, user="nobody there", password=secret, passfile=os.devnull))
            + shown_of(make_conninfo(server_dsn, dbname="nowhere", sslpassword=secret))
            for secret in (password, PLAIN)  # a server may trust the user that is there
        )
    assert password not in shown or password in of_another
    assert shown.count("cannot connect to") >= 2


def test_bytes_that_are_no_text_are_refused() -> None:
    """As the command line has them in a locale of its own."""
    with pytest.raises(TargetError, match="not a PostgreSQL connection string") as refusal:
        target_address.address_of("postgresql://me:pass\udcffword@localhost/name")
    assert refusal.value.__context__ is None


def test_the_variable_is_named_when_it_is_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the line knows where to look."""
    monkeypatch.setenv("DUALDB_TARGET", "postgresql://me:pass/word@localhost/name")
    with pytest.raises(TargetError, match="the target in DUALDB_TARGET"):
        connect_target("host=localhost", str(tmp_path / "any.db"))


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("postgresql://me:secret@there/name", True),
        ("postgresql://you:secret@there:5432/name?sslmode=prefer", True),
        ("postgresql://me:secret@there/other", False),
        ("postgresql://me:secret@elsewhere/name", False),
        ("postgresql://me:secret@there:5433/name", False),
        ("embedded", False),
    ],
)
def test_a_variable_that_leads_elsewhere_is_noticed(override: str, same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """User, password and options may differ; the database may not."""
    monkeypatch.setenv("DUALDB_TARGET", override)
    if same:
        target_address.check_chosen("postgresql://me@there/name")
        return
    with pytest.raises(TargetError, match="unset DUALDB_TARGET"):
        target_address.check_chosen("postgresql://me@there/name")


def test_there_is_one_door() -> None:
    """No other module has libpq read a connection string: what libpq complains of, it quotes."""
    modules = Path(dualdb.__file__).parent.rglob("*.py")
    doors = {path.name for path in modules if re.search(r"conninfo_to_dict|Conninfo\b", path.read_text("utf-8"))}
    assert doors == {"target_address.py"}
