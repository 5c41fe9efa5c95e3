"""What the relay does, as OpenTelemetry metrics; the one door to OpenTelemetry.

Only the API is used: without an SDK in the application every call here does nothing. No value of a row, no key and no
address is ever an attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import get_meter

from dualdb.core import events

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

    from dualdb.core.events import Event, Report

_BATCH_BOUNDARIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def relay_metrics(meter: Meter | None = None) -> Report:
    """A listener for a relay's events: rows carried, time per batch, rows in quarantine, failures by their kind.

    `meter` is the application's own by default.
    """
    meter = meter or get_meter("dualdb")
    rows = meter.create_counter("dualdb.relay.rows", unit="{row}", description="Rows deleted and inserted there.")
    batches = meter.create_histogram(
        "dualdb.relay.batch.duration",
        unit="s",
        description="Time from a batch's snapshot to its commit on the follower.",
        explicit_bucket_boundaries_advisory=_BATCH_BOUNDARIES_S,
    )
    quarantined = meter.create_counter(
        "dualdb.relay.quarantined", unit="{row}", description="Rows that the follower cannot hold."
    )
    failures = meter.create_counter(
        "dualdb.relay.failures", unit="{failure}", description="Attempts that failed; the relay tries again."
    )

    uncaptured = meter.create_counter(
        "dualdb.relay.uncaptured", unit="{commit}", description="Commits that the journal does not show."
    )

    def listen(event: Event) -> None:
        if isinstance(event, events.BatchApplied):
            rows.add(event.deleted, {"dualdb.operation": "delete"})
            rows.add(event.inserted, {"dualdb.operation": "insert"})
            batches.record(event.took_s, {"dualdb.aligned": event.aligned})
        elif isinstance(event, events.RowQuarantined):
            quarantined.add(1, {"db.collection.name": event.table})
        elif isinstance(event, events.UncapturedCommit):
            uncaptured.add(1)
        elif isinstance(event, (events.TargetLost, events.LineageBroken, events.RelayStumbled)):
            failures.add(1, {"error.type": type(event).__name__})

    return listen
