"""How quickly both sides are compared, against reading them and doing nothing with it."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from benchmarks.interleaving import Way
from benchmarks.pairs import make_file, prepare
from dualdb.core.ranges import LARGEST
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.conftest import Compare
    from dualdb.core.store import Key


def test_verification(
    tmp_path: Path, target_dsn: str, compare: Compare, row_count: int, remark: Callable[[str], None]
) -> None:
    """Every row of both sides, compared bit by bit."""
    path = make_file(tmp_path / "experiments.db", row_count)
    prepare(path, target_dsn, steps=1)
    with Pair.open(path) as pair:

        def read() -> None:
            with pair.authority.snapshot() as authority, pair.follower.snapshot() as follower:
                table = authority.schema.table("metric")
                for side in (authority, follower):
                    after: Key | None = None
                    while rows := side.range(table, after, LARGEST):
                        after = (rows[-1][0],)

        def compare_rows() -> None:
            report = verify(pair, full=True, counts=False)
            assert report.agrees
            assert report.compared == row_count

        compare(
            "verification, all rows",
            control=Way(name="reading both sides", run=read),
            candidate=Way(name="verify", run=compare_rows),
            work=row_count,
        )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    remark(f"verification of {row_count:,} rows: this process has used {peak_mb:,.0f} MB at most")
