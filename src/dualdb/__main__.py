"""`python -m dualdb`: the same as the command `dualdb`."""

from __future__ import annotations

from dualdb.entrypoints.cli import main

if __name__ == "__main__":
    main(prog_name="dualdb")
