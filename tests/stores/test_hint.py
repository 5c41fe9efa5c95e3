"""The hint tells every process that the control row changed, and never leaves a stale reader behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualdb.stores.hint import Hint, hint_path, make_hint

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
