"""Names the plugins; each gives the tests one resource."""

from __future__ import annotations

pytest_plugins = (
    "tests.plugins.run",
    "tests.plugins.database",
    "tests.plugins.once",
    "tests.plugins.place",
    "tests.plugins.property",
    "tests.plugins.shared_data",
    "tests.plugins.timescale",
    "tests.plugins.target",
)
