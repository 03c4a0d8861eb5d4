"""What holds for all tests."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# How long an example takes says more about the machine, and what else runs on it, than about the code.
settings.register_profile("hostd", deadline=None)
settings.load_profile("hostd")


@pytest.fixture(autouse=True)
def _log_as_ever() -> Iterator[None]:
    """Undo what a test says of the log: commands that run in this process say what their events are worth."""
    yield
    structlog.reset_defaults()
