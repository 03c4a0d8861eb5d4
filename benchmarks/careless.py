"""`hostd` without any fsync, to measure beside: `python -m benchmarks.careless run …`. A power loss would cost records.

The sinks' fdatasync does nothing, and SQLite is told not to wait for the disk. Nothing of hostd can be set to do this.
"""

import os
import sqlite3
import sys
from typing import Any

from hostd.cli import main

_connect = sqlite3.connect


class _Careless(sqlite3.Connection):
    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=OFF"), *parameters)


def _do_not_wait(_: object) -> None:
    """Leave it to the kernel when it writes."""


if __name__ == "__main__":
    os.fsync = os.fdatasync = _do_not_wait
    sqlite3.connect = lambda *given, **named: _connect(*given, **{**named, "factory": _Careless})
    sys.exit(main())
