"""The hint tells every process that the control row changed, and never leaves a stale reader behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualdb.stores.hint import Hint, announced, hint_path, make_hint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def hint(tmp_path: Path) -> Iterator[Hint]:
    """The hint of a fresh file."""
    database = tmp_path / "app.db"
    database.touch()
    make_hint(str(database))
    opened = Hint(hint_path(str(database)), writable=True)
    yield opened
    opened.close()


def test_a_change_is_seen_by_a_mapping_made_before_it(hint: Hint) -> None:
    """Readers compare eight bytes of a mapping that they made long ago."""
    reader = Hint(hint.path, writable=False)
    seen = [(reader.changing, reader.counter)]
    token = hint.begin_change()
    seen.append((reader.changing, reader.counter))
    hint.end_change(token)
    seen.append((reader.changing, reader.counter))
    reader.close()
    assert [changing for changing, _ in seen] == [False, True, False]
    assert len({counter for _, counter in seen}) == len(seen)


def test_making_it_twice_keeps_the_counter(tmp_path: Path) -> None:
    """A second process that prepares the same file does not turn the counter back."""
    database = tmp_path / "with a space.db"
    database.touch()
    make_hint(str(database))
    first = Hint(hint_path(str(database)), writable=True)
    first.end_change(first.begin_change())
    counter = first.counter
    make_hint(str(database))
    assert first.counter == counter
    first.close()


def test_the_hint_has_the_permissions_of_the_file(tmp_path: Path) -> None:
    """Whoever may use the database may use its hint, and nobody else."""
    database = tmp_path / "app.db"
    database.touch(mode=0o640)
    make_hint(str(database))
    assert (tmp_path / "app.db-dualdb").stat().st_mode & 0o777 == database.stat().st_mode & 0o666


def test_the_hint_belongs_to_whom_the_file_belongs_to(tmp_path: Path) -> None:
    """Whoever may write the file may announce a change, also when root prepared it."""
    database = tmp_path / "app.db"
    database.touch()
    if os.geteuid() == 0:
        os.chown(database, 12345, 23456)
    make_hint(str(database))
    found, wanted = os.stat(hint_path(str(database))), os.stat(database)
    assert (found.st_uid, found.st_gid) == (wanted.st_uid, wanted.st_gid)


@given(events=st.lists(st.sampled_from(["begin", "end", "die"]), max_size=30))
def test_no_order_of_changes_leaves_a_stale_reader(tmp_path_factory: pytest.TempPathFactory, events: list[str]) -> None:
    """After a committed change the counter is odd, or another one than any reader saw before the change.

    Writers change one at a time, as SQLite's write lock makes them; each ends its change after letting the lock go, at
    any later time, or never.
    """
    database = tmp_path_factory.mktemp("hint") / "app.db"
    database.touch()
    make_hint(str(database))
    hint = Hint(hint_path(str(database)), writable=True)
    unfinished: list[int] = []
    seen: set[bytes] = {hint.counter}
    for event in events:
        if event == "begin":
            unfinished.append(hint.begin_change())
            assert hint.changing, "a reader must not trust what it reads now"
        elif unfinished and event == "end":
            hint.end_change(unfinished.pop(0))
            assert hint.changing or hint.counter not in seen, "a reader would take the row it knows for the present one"
        elif unfinished:
            unfinished.pop(0)
        if not hint.changing:
            seen.add(hint.counter)
    hint.close()


def test_a_lost_hint_is_retired_for_all_who_have_it_mapped(hint: Hint, tmp_path: Path) -> None:
    """Deleted and made again it is another one; the old one is odd for good, whoever ends a change of his."""
    reader = Hint(hint.path, writable=False)
    token = hint.begin_change()
    lost = [hint.lost]
    os.unlink(hint.path)
    lost.append(hint.lost)
    make_hint(str(tmp_path / "app.db"))
    lost.append(hint.lost)
    hint.retire()
    hint.end_change(token)
    hint.end_change(hint.begin_change())
    assert lost == [False, True, True]
    assert reader.changing
    assert reader.retired
    reader.close()


@pytest.mark.parametrize("contents", [b"", b"short", b"x" * 64])
def test_what_is_no_hint_is_replaced(tmp_path: Path, contents: bytes) -> None:
    """Something else stands at its path."""
    database = tmp_path / "app.db"
    database.touch()
    (tmp_path / "app.db-dualdb").write_bytes(contents)
    make_hint(str(database))
    found = Hint(hint_path(str(database)), writable=False)
    assert not found.retired
    found.close()
    assert sorted(os.listdir(tmp_path)) == ["app.db", "app.db-dualdb"]


def test_a_retired_hint_that_comes_back_is_replaced(hint: Hint, tmp_path: Path) -> None:
    """It was moved away and moved back."""
    hint.retire()
    make_hint(str(tmp_path / "app.db"))
    assert hint.lost


def test_a_hint_that_is_replaced_during_a_change_hears_of_its_end(tmp_path: Path) -> None:
    """Whoever mapped the new one before the commit looks again after it."""
    database = str(tmp_path / "app.db")
    (tmp_path / "app.db").touch()
    with announced(database):
        os.unlink(hint_path(database))
        make_hint(database)
        reader = Hint(hint_path(database), writable=False)
        seen = reader.counter
    assert not reader.changing
    assert reader.counter != seen
    reader.close()
