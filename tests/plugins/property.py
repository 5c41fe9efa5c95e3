"""How hypothesis runs here: without deadlines on a shared machine, and the same examples each time in CI."""

from __future__ import annotations

import os

import hypothesis

hypothesis.settings.register_profile(
    "dualdb",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("dualdb")
