"""A writer's ledger: what it is about to do, and what it was told is done; an append-only file of JSON lines.

The intent is written before the first statement, the answer after the commit returned, each with one system call, so
a killed writer leaves at most one intent unanswered. Knows no database.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")


class RefusedError(Exception):
    """What a call raises to say that it was turned away and did nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One operation of one writer."""

    writer: int
    number: int
    action: str
    """The name of one of the application's methods."""
    arguments: Mapping[str, Any]
    began_at: float
    """Seconds since 1970, before the first statement."""
    answered_at: float | None = None
    """After the commit returned; None when it never did."""
    answer: Any = None
    took_s: float = 0.0
    """From the first attempt to the answer, by the monotonic clock."""
    error: str = ""
    """What an unanswered operation got instead."""
    refused: bool = False
    """The fence turned it away: it must not have happened."""

    @property
    def acknowledged(self) -> bool:
        """Whether the writer was told that it is done."""
        return self.answered_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something that a writer met and outlived, or that it got wrong."""

    writer: int
    kind: str
    """'fenced', 'locked' or 'wrong'."""
    text: str
    at: float


class Ledger:
    """The writer's side."""

    def __init__(self, path: Path) -> None:
        """Append to that file, made if it is missing."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._number = 0

    def carry_out(self, action: str, arguments: Mapping[str, Any], call: Callable[[], T]) -> T:
        """What the call returns; the intent stands in the ledger before it begins, the answer after it returned."""
        self._number += 1
        self._write({"n": self._number, "do": action, "with": _plain(arguments), "at": time.time()})
        began_s = time.monotonic()
        try:
            answer = call()
        except RefusedError as exc:
            self._write({"n": self._number, "refused": str(exc), "at": time.time()})
            raise
        except Exception as exc:
            self._write({"n": self._number, "error": f"{type(exc).__name__}: {exc}", "at": time.time()})
            raise
        self._write({"n": self._number, "ok": answer, "took": time.monotonic() - began_s, "at": time.time()})
        return answer

    def remark(self, kind: str, text: str) -> None:
        """Note something beside the operations."""
        self._write({"remark": kind, "text": text, "at": time.time()})

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, line: Mapping[str, Any]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Reading:
    """The reader's side: remembers how far it has read, so that asking again is cheap."""

    def __init__(self, path: Path, writer: int) -> None:
        """Read the ledger of that writer, which need not be there yet."""
        self.writer = writer
        self._path = path
        self._offset = 0
        self._entries: dict[int, Entry] = {}
        self._remarks: list[Remark] = []

    def entries(self) -> list[Entry]:
        """Every operation so far, in the writer's own order."""
        for line in self._new_lines():
            self._take(line)
        return list(self._entries.values())

    def remarks(self) -> list[Remark]:
        """Everything noted beside the operations so far."""
        self.entries()
        return list(self._remarks)

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):  # still being written
                    return
                self._offset += len(line)
                yield json.loads(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "remark" in line:
            remark = Remark(writer=self.writer, kind=line["remark"], text=line["text"], at=line["at"])
            self._remarks.append(remark)
            return
        number = line["n"]
        if "do" in line:
            self._entries[number] = Entry(
                writer=self.writer, number=number, action=line["do"], arguments=line["with"], began_at=line["at"]
            )
            return
        begun = self._entries[number]
        self._entries[number] = Entry(
            writer=begun.writer,
            number=number,
            action=begun.action,
            arguments=begun.arguments,
            began_at=begun.began_at,
            answered_at=line["at"] if "ok" in line else None,
            answer=line.get("ok"),
            took_s=line.get("took", 0.0),
            error=line.get("error", ""),
            refused="refused" in line,
        )


def _plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as JSON can carry them: bytes become hexadecimal digits."""
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in arguments.items()}
