"""The numbers that dualdb works with, validated when made and passed down."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Defaults for everything; every field says its unit. Raises ValueError for a number that makes no sense."""

    move_allowed_s: float = 3.0
    """How long a change of authority may keep writers waiting before it is given up; below sqlite3's default time-out
    of 5 s, so that an application with that default sees a pause and never an error."""
    residue_keys: int = 10_000
    """A fence goes up only when at most this many changed keys are still to be carried and verified behind it."""
    write_lock_s: float = 10.0
    """How long a step waits for SQLite's write lock."""
    align_s: float = 3600.0
    """How long a command waits for the two sides to become equal."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                message = f"{name} is {getattr(self, name)}; it must be greater than 0"
                raise ValueError(message)
