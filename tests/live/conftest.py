"""What every end-to-end test gets: a folder with a hostd of its own, of which nothing survives the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Daemon, Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A folder to start hostd in. Whatever was started is stopped after the test, and nothing may be left of it."""
    made = Home(tmp_path)
    yield made
    made.end()


@pytest.fixture
def daemon(home: Home) -> Daemon:
    """A running daemon without plugins, ready."""
    return home.start()
