"""After a restore each side takes the other one for the authority: told in one sentence, and the user chooses."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from click.testing import CliRunner
from tests.operations.test_recopy import carry_one_table, fill
from tests.operations.test_restored_from_a_backup import SCHEMA, copy, log, names, phase_of, saved_server
from tests.stores.mirrored import leave_at

import dualdb
from dualdb.core.delivery import Pace
from dualdb.core.events import unheard
from dualdb.core.phase import Phase, Side, Step
from dualdb.entrypoints.cli import main
from dualdb.errors import LineageError, OvertakenError, PhaseError
from dualdb.operations.initialise import initialise
from dualdb.operations.recopy import begin_anew
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores import mirror
from dualdb.stores.control import Control, settle
from dualdb.stores.hint import announced
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

BOTH = ["a", "b", "in postgres"]


@pytest.fixture
def prepared(database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small file, prepared; no relay but the commands' own."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    initialise(str(database), target_dsn)
    return str(database)


@pytest.fixture
def old_file(prepared: str, tmp_path: Path) -> str:
    """The file is of phase postgres, and the way back was taken since."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    log(prepared, "in postgres")
    relay_until_aligned(prepared, unheard, 30)
    copy(prepared, str(tmp_path / "saved.db"))
    rollback(prepared, observer=unheard)
    log(prepared, "in sqlite again")
    relay_until_aligned(prepared, unheard, 30)
    copy(str(tmp_path / "saved.db"), prepared)
    return prepared


@pytest.fixture
def old_server(prepared: str, tmp_path: Path, target_dsn: str) -> str:
    """PostgreSQL is of phase dual_write, and was switched to since."""
    advance(prepared, observer=unheard)
    restore = saved_server(target_dsn, tmp_path)
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    relay_until_aligned(prepared, unheard, 30)
    restore()
    return prepared


@pytest.fixture
def older_authority(prepared: str, tmp_path: Path, target_dsn: str) -> str:
    """PostgreSQL is of an earlier phase postgres than the one that the file follows."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    restore = saved_server(target_dsn, tmp_path)
    rollback(prepared, observer=unheard)
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    relay_until_aligned(prepared, unheard, 30)
    restore()
    return prepared


@pytest.fixture(params=["old_file", "old_server", "older_authority"])
def torn(request: pytest.FixtureRequest) -> str:
    """Each of these."""
    return str(request.getfixturevalue(request.param))


def command(*words: str) -> Result:
    """`dualdb`, in this process."""
    return CliRunner().invoke(main, words)


def on_target(dsn: str, table: str = "runs") -> list[str]:
    """What PostgreSQL holds, as a plain program sees it."""
    with psycopg.connect(dsn) as connection:
        return [name for (name,) in connection.execute(f"SELECT name FROM {table} ORDER BY id".encode())]


def agree(database: str) -> bool:
    """Whether everything is equal, counts, ids and all."""
    with Pair.open(database) as pair:
        return verify(pair, full=True).agrees


def there_and_back(database: str) -> None:
    """Every later step can be taken, and whatever is written arrives."""
    other = rollback if phase_of(database) == "postgres" else advance
    other(database, observer=unheard)
    log(database, "later")
    relay_until_aligned(database, unheard, 30)
    assert names(database)[-1] == "later"
    assert agree(database)
    assert read_status(database).blockers == ()


@pytest.mark.parametrize(
    "words",
    [
        ("advance",),
        ("rollback",),
        ("recopy",),
        ("verify",),
        ("relay", "--until-aligned"),
        ("relay",),
    ],
)
def test_every_command_says_the_same_sentence(torn: str, words: tuple[str, ...]) -> None:
    """With the cause and the two commands that lead out of it, letter for letter."""
    done = command(words[0], torn, *words[1:])
    assert done.exit_code == 1, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("dualdb: ")]
    assert "was restored from a backup, and each follows the other; " in line
    assert f"dualdb recopy {torn} --from sqlite, or dualdb recopy {torn} --from postgres" in line


def test_status_says_it_once(torn: str) -> None:
    """Nobody is called the authority, and there is one blocker."""
    found = read_status(torn)
    (blocker,) = found.blockers
    assert "was restored from a backup, and each follows the other" in blocker.reason
    assert f"dualdb recopy {torn} --from sqlite, or dualdb recopy {torn} --from postgres" in blocker.remedy
    assert (found.authority, found.next) == (None, None)
    shown = command("status", torn)
    assert shown.exit_code == 0
    assert shown.output.count("--from sqlite") == 1


@pytest.mark.parametrize("statement", ["SELECT name FROM runs", "INSERT INTO runs(name) VALUES ('x')"])
def test_a_statement_says_it(torn: str, statement: str) -> None:
    """The application's own, through dualdb, at once; over connections to PostgreSQL that lay idle, too."""
    with announced(torn):  # this process has known the file before it was restored; another one would not have
        pass
    with (
        closing(dualdb.connect(torn, timeout=1)) as connection,
        pytest.raises(sqlite3.OperationalError, match=r"each follows the other; .* --from postgres"),
    ):
        connection.execute(statement)


def test_a_connection_that_was_open_is_told_too(prepared: str, tmp_path: Path) -> None:
    """It knows of no restore, and meets the fence of the file that was restored under it."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    rollback(prepared, observer=unheard)
    with closing(dualdb.connect(prepared, timeout=1)) as connection:
        connection.execute("INSERT INTO runs(name) VALUES ('before')")
        connection.commit()
        copy(str(tmp_path / "saved.db"), prepared)
        with pytest.raises(sqlite3.OperationalError, match="each follows the other"):
            connection.execute("INSERT INTO runs(name) VALUES ('after')")


def test_postgresql_goes_on(torn: str, target_dsn: str) -> None:
    """It is the authority, in an epoch above both; the file follows it, and keeps what it held."""
    before, held = on_target(target_dsn), names(torn)
    epoch = read_status(torn).epoch
    done = command("recopy", torn, "--from", "postgres")
    assert done.exit_code == 0, done.output
    found = read_status(torn)
    assert (found.phase, found.authority, found.blockers) == ("postgres", "target", ())
    assert found.epoch > epoch
    assert names(torn) == on_target(target_dsn) == before
    assert names(torn, "_dualdb_aside_1_runs") == held
    assert "_dualdb_aside_" in done.output
    log(torn, "written since")
    relay_until_aligned(torn, unheard, 30)
    assert agree(torn)
    there_and_back(torn)


def test_the_file_goes_on(torn: str, target_dsn: str) -> None:
    """It is the authority, in phase dual_write; PostgreSQL follows it, and keeps what it held."""
    before, held = names(torn), on_target(target_dsn)
    epoch = read_status(torn).epoch
    done = command("recopy", torn, "--from", "sqlite")
    assert done.exit_code == 0, done.output
    found = read_status(torn)
    assert (found.phase, found.authority, found.blockers) == ("dual_write", "source", ())
    assert found.epoch > epoch
    assert names(torn) == on_target(target_dsn) == before
    assert on_target(target_dsn, "dualdb_aside_1.runs") == held
    assert "dualdb_aside_1" in done.output
    log(torn, "written since")
    relay_until_aligned(torn, unheard, 30)
    assert agree(torn)
    there_and_back(torn)


def test_no_id_is_given_twice(old_file: str, target_dsn: str) -> None:
    """The file goes on with ids behind those that only PostgreSQL has given, and the other way round."""
    command("recopy", old_file, "--from", "sqlite")
    with closing(sqlite3.connect(old_file)) as plain, plain:
        assert plain.execute("INSERT INTO runs(name) VALUES ('new') RETURNING id").fetchone() == (5,)
    assert on_target(target_dsn, "dualdb_aside_1.runs") == [*BOTH, "in sqlite again"]


@pytest.mark.parametrize("last", [Step.YIELD, Step.TAKE, Step.SETTLE])
@pytest.mark.parametrize("again", ["command", "plain recopy", "bystander"])
def test_a_command_that_died_is_finished(torn: str, last: Step, again: str) -> None:
    """After any step of the file's way: by the same command, by one without the option, by whoever comes by."""
    before = names(torn)
    with Control.open(torn, any_state=True) as control:
        judgement = control.choose(Side.SOURCE)
        while judgement.step is not Step.OPEN:
            control.perform(judgement.step, judgement)
            if judgement.step is last:
                break
            judgement = control.judge()
    if again == "bystander":
        for _ in range(3):
            settle(torn)
    else:
        option = ("--from", "sqlite") if again == "command" else ()
        done = command("recopy", torn, *option)
        assert done.exit_code == 0, done.output
    relay_until_aligned(torn, unheard, 30)
    assert phase_of(torn) == "dual_write"
    assert names(torn) == before
    assert agree(torn)
    there_and_back(torn)


def test_the_same_command_again_while_everything_is_copied_is_no_error(
    old_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed when one table was done."""
    monkeypatch.setattr("dualdb.stores.relay_batch.Pace", lambda: Pace(copy_rows=64))
    begin_anew(old_server, Side.SOURCE)
    fill(old_server)
    carry_one_table(old_server)
    done = command("recopy", old_server, "--from", "sqlite")
    assert done.exit_code == 0, done.output
    assert agree(old_server)


def test_a_backup_of_a_command_that_had_died_stops_nobody(old_server: str, tmp_path: Path, target_dsn: str) -> None:
    """PostgreSQL had yielded when it was saved; since then the choice was ended, and another move begun."""
    with Control.open(old_server, any_state=True) as control:
        judgement = control.choose(Side.SOURCE)
        control.perform(judgement.step, judgement)
    saved = tmp_path / "yielded"
    saved.mkdir()
    restore = saved_server(target_dsn, saved)
    begin_anew(old_server, Side.SOURCE)
    relay_until_aligned(old_server, unheard, 30)
    leave_at(old_server, Step.FENCE, Phase.POSTGRES)
    restore()
    command("rollback", old_server, "--to", "dual_write")
    log(old_server, "goes on")
    assert command("recopy", old_server).exit_code == 0
    relay_until_aligned(old_server, unheard, 30)
    assert agree(old_server)


@pytest.mark.parametrize("again", ["command", "plain recopy", "bystander"])
def test_a_command_that_died_for_postgresql_is_finished(torn: str, target_dsn: str, again: str) -> None:
    """Its one step is the decision; the file finds out and follows."""
    before = on_target(target_dsn)
    with Control.open(torn, any_state=True) as control:
        control.perform(Step.TAKE, control.choose(Side.TARGET))
    if again != "bystander":
        done = command("recopy", torn, *(("--from", "postgres") if again == "command" else ()))
        assert done.exit_code == 0, done.output
    relay_until_aligned(torn, unheard, 30)
    assert names(torn) == before
    assert agree(torn)
    there_and_back(torn)


@pytest.mark.parametrize("first", [Side.SOURCE, Side.TARGET])
def test_of_two_choices_at_once_one_is_made(torn: str, first: Side) -> None:
    """Both were judged before either was written: the second finds another row, whichever it is."""
    with Control.open(torn, any_state=True) as one, Control.open(torn, any_state=True) as other:
        chosen, late = one.choose(first), other.choose(first.other)
        one.perform(chosen.step, chosen)
        with pytest.raises(OvertakenError):
            other.perform(late.step, late)
        with pytest.raises(OvertakenError, match="before the step 'take'" if first is Side.SOURCE else "look again"):
            other.choose(Side.TARGET)
    other_word = {Side.SOURCE: "postgres", Side.TARGET: "sqlite"}[first]
    done = command("recopy", torn, "--from", other_word)
    assert done.exit_code == 1
    assert "has the say" in done.output
    done = command("recopy", torn)
    assert done.exit_code == 0, done.output
    assert read_status(torn).authority == first.value
    assert agree(torn)


@pytest.mark.parametrize("phase", [Phase.SQLITE, Phase.DUAL_WRITE, Phase.POSTGRES])
@pytest.mark.parametrize("goes_on", [Side.SOURCE, Side.TARGET])
def test_where_somebody_has_the_say_there_is_nothing_to_choose(prepared: str, phase: Phase, goes_on: Side) -> None:
    """Nothing is changed, and the sentence names the authority and the command that copies its follower anew."""
    if phase is not Phase.SQLITE:
        advance(prepared, phase, observer=unheard)
    before = read_status(prepared)
    authority = "PostgreSQL" if phase is Phase.POSTGRES else "the SQLite file"
    with pytest.raises(PhaseError, match=f"{authority} has the say over .*, and nothing is to be chosen; "):
        begin_anew(prepared, goes_on)
    assert read_status(prepared).epoch == before.epoch


def test_a_side_that_was_not_wholly_copied_does_not_go_on(old_file: str, target_dsn: str) -> None:
    """Rows that it never held would be lost; the other side can."""
    with psycopg.connect(target_dsn) as connection:
        connection.execute("UPDATE dualdb.copy SET done = false")
    with pytest.raises(PhaseError, match=r"PostgreSQL never held all of .*runs.*; .*--from sqlite"):
        begin_anew(old_file, Side.TARGET)
    with pytest.raises(LineageError, match="each follows the other"):
        advance(old_file, observer=unheard)
    with closing(sqlite3.connect(old_file)) as plain, plain:
        plain.execute("UPDATE _dualdb_copy SET done = 0")
    assert begin_anew(old_file, Side.TARGET).follower == "source"  # neither did, and somebody must go on


@pytest.mark.parametrize("lost", ["the copies", "the watermark"])
def test_a_side_whose_copy_was_not_begun_does_not_go_on(old_file: str, target_dsn: str, lost: str) -> None:
    """No copy that is not done is no copy that is."""
    table = {"the copies": "dualdb.copy", "the watermark": "dualdb.watermark"}[lost]
    with psycopg.connect(target_dsn) as connection:
        connection.execute("UPDATE dualdb.watermark SET aligned = false")
        connection.execute(f"DELETE FROM {table}".encode())
    with pytest.raises(PhaseError, match=r"PostgreSQL never held all of runs, points; .*--from sqlite"):
        begin_anew(old_file, Side.TARGET)
    assert begin_anew(old_file, Side.SOURCE).follower == "target"


def test_postgresql_of_before_the_copy_does_not_go_on(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """It was told to follow, and has tables without a row."""
    with Control.open(prepared) as control:
        mirror.begin(control)
    restore = saved_server(target_dsn, tmp_path)
    advance(prepared, Phase.POSTGRES, observer=unheard)
    relay_until_aligned(prepared, unheard, 30)
    restore()
    with pytest.raises(PhaseError, match=r"PostgreSQL never held all of runs, points; .*--from sqlite"):
        begin_anew(prepared, Side.TARGET)
    assert begin_anew(prepared, Side.SOURCE).follower == "target"
    assert names(prepared) == ["a", "b"]


def test_postgresql_of_before_the_mirror_never_goes_on(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """It followed nobody, and has no table; not even where the file lacks something, too."""
    restore = saved_server(target_dsn, tmp_path)
    advance(prepared, Phase.POSTGRES, observer=unheard)
    relay_until_aligned(prepared, unheard, 30)
    restore()
    with closing(sqlite3.connect(prepared)) as plain, plain:
        plain.execute("UPDATE _dualdb_copy SET done = 0")
    with pytest.raises(PhaseError, match=r"PostgreSQL cannot go on: it is in phase sqlite.*; .*--from sqlite"):
        begin_anew(prepared, Side.TARGET)
    assert begin_anew(prepared, Side.SOURCE).follower == "target"


def test_a_file_that_was_just_made_to_follow_does_not_go_on(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """It is a backup of before the switch, and none of PostgreSQL's rows came to it yet."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, observer=unheard)
    rollback(prepared, observer=unheard)
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    saved = saved_server(target_dsn, tmp_path)
    rollback(prepared, observer=unheard)
    advance(prepared, observer=unheard)
    copy(str(tmp_path / "saved.db"), prepared)
    assert begin_anew(prepared).follower == "source"
    saved()
    with pytest.raises(PhaseError, match=r"the SQLite file never held all of runs, points; .*--from postgres"):
        begin_anew(prepared, Side.SOURCE)
    assert begin_anew(prepared, Side.TARGET).follower == "source"
    relay_until_aligned(prepared, unheard, 30)
    assert names(prepared) == BOTH


def test_a_file_that_begins_anew_does_not_go_on(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """Its copy was begun by the plain command, and nothing was carried."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    saved = saved_server(target_dsn, tmp_path)
    rollback(prepared, observer=unheard)
    advance(prepared, observer=unheard)
    relay_until_aligned(prepared, unheard, 30)
    assert begin_anew(prepared).follower == "source"
    saved()
    with pytest.raises(PhaseError, match=r"the SQLite file never held all of runs, points; .*--from postgres"):
        begin_anew(prepared, Side.SOURCE)


def test_postgresql_that_was_the_authority_goes_on_with_what_was_made_there(prepared: str, tmp_path: Path) -> None:
    """A table made in phase postgres was never copied to it; after the way back it holds all of it all the same."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    with closing(dualdb.connect(prepared)) as connection, connection:
        connection.execute("CREATE TABLE later (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO later(name) VALUES ('made there')")
    relay_until_aligned(prepared, unheard, 30)
    copy(prepared, str(tmp_path / "saved.db"))
    rollback(prepared, observer=unheard)
    copy(str(tmp_path / "saved.db"), prepared)
    assert begin_anew(prepared, Side.TARGET).follower == "source"
    relay_until_aligned(prepared, unheard, 30)
    assert names(prepared, "later") == ["made there"]


def test_postgresql_does_not_go_on_with_what_it_cannot_run(prepared: str, tmp_path: Path) -> None:
    """A trigger that the application made after the way back runs in the file only."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    rollback(prepared, observer=unheard)
    with closing(sqlite3.connect(prepared)) as plain:
        plain.execute("CREATE TRIGGER own AFTER INSERT ON runs BEGIN DELETE FROM points; END")
    relay_until_aligned(prepared, unheard, 30)
    copy(str(tmp_path / "saved.db"), prepared)
    with pytest.raises(PhaseError, match=r"PostgreSQL cannot go on: .*trigger own .*--from sqlite"):
        begin_anew(prepared, Side.TARGET)
