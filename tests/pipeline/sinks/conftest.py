"""What several tests of sinks start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.sinks.disk import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A folder of files of JSON lines."""
    disk = Disk(tmp_path)
    yield disk
    disk.stop()
