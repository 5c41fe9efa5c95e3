"""Marks what need not be tried on each Python: tests of processes, of the protocol and of data, not of the language."""

from __future__ import annotations

from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]
_FOLDERS = ("clients", "differential", "interleavings", "model", "operations", "property")


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whole folders; a module elsewhere marks itself."""
    for item in items:
        if item.path.is_relative_to(_TESTS) and item.path.relative_to(_TESTS).parts[0] in _FOLDERS:
            item.add_marker(pytest.mark.once)
