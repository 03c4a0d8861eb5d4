"""Declared processors made and run in the test's own process."""

from typing import Any

from contract.declared.processor import module_of
from contract.testing import Outcome, run


def outcome(data: str | bytes, options: Any = None, **table: Any) -> Outcome:
    """Parse `data` as a table says."""
    content = data.encode() if isinstance(data, str) else data
    return run(module_of(table, "declared").new_processor(), content, options=options)


def records(data: str | bytes, **table: Any) -> list[dict[str, Any]]:
    """Parse `data`, all of which must be taken."""
    found = outcome(data, **table)
    assert found.rejected == []
    return found.records
