"""What this process keeps of a file's target for all connections to the file; ends when nobody has that open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dualdb.driver.catalogue import Catalogues
from dualdb.stores.target_address import VARIABLE
from dualdb.stores.target_pool import Pool

if TYPE_CHECKING:
    from dualdb.driver.watch import Watch
    from dualdb.stores.target_pairing import Pairing


class TargetKept:
    """As one connection knows it: in the child of a fork it is another one, though the connection is the same."""

    def __init__(self, watch: Watch, pairing: Pairing) -> None:
        self._watch = watch
        self._pairing = pairing
        self._pool = self._find_pool()

    @property
    def pool(self) -> Pool:
        """The connections to the target."""
        if not self._pool.usable:
            self._pool = self._find_pool()
        return self._pool

    @property
    def catalogues(self) -> Catalogues:
        """The schema in force. Asked for each time: after a fork it is another one."""
        return self._watch.companion(("catalogues", self._pairing.in_any_state()), Catalogues)

    def _find_pool(self) -> Pool:
        key = ("pool", self._pairing.in_any_state(), os.environ.get(VARIABLE))
        pool = self._watch.companion(key, lambda: Pool(self._pairing, self._watch.path))
        pool.learn(self._pairing)  # another connection may have known less
        return pool
