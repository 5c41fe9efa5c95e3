"""What the relay does can be seen in OpenTelemetry, without a word of what the rows hold."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from dualdb.core import events
from dualdb.telemetry import relay_metrics


@pytest.fixture
def points() -> dict[str, list[Any]]:
    """The data points by metric, after a batch, a quarantined row and a lost connection."""
    reader = InMemoryMetricReader()
    listen = relay_metrics(MeterProvider([reader]).get_meter("dualdb"))
    listen(events.BatchApplied(position="7", aligned=True, deleted=2, inserted=3, took_s=0.004))
    listen(events.RowQuarantined(table="runs", key="'secret key'", reason="text with a NUL character"))
    listen(events.TargetLost(reason="host=secret", retry_s=0.1))
    listen(events.UncapturedCommit(count=1))
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_a_relays_work_is_counted(points: dict[str, list[Any]]) -> None:
    """Rows, batches, quarantine and failures each have a metric."""
    rows = {point.attributes["dualdb.operation"]: point.value for point in points["dualdb.relay.rows"]}
    assert rows == {"delete": 2, "insert": 3}
    assert points["dualdb.relay.batch.duration"][0].count == 1
    assert points["dualdb.relay.quarantined"][0].attributes == {"db.collection.name": "runs"}
    assert points["dualdb.relay.failures"][0].attributes == {"error.type": "TargetLost"}
    assert points["dualdb.relay.uncaptured"][0].value == 1
    assert "secret" not in repr(points)
