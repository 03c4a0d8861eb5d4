"""What a zygote has imported for its workers: what plugins name, and only from when they do."""

import asyncio
import re
from pathlib import Path

import pytest

from hostd.workers import preload
from hostd.workers.batch import Batch
from hostd.workers.launch import SHARED
from hostd.workers.pool import Crew, Pool
from tests.build import load

WHAT_IT_HAS = """
import sys
from contract import each_line

HAS = sorted({"pydantic", "csv", "xml.etree.ElementTree", "contract.declared"} & sys.modules.keys())

def new_processor():
    return each_line(lambda line: {"has": HAS})
"""


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        (b"from pydantic import BaseModel\n", ("contract.options",)),
        (b"from contract.options import LocalTime\n", ("contract.options",)),
        (b"import csv\nimport xml.etree.ElementTree as ET\n", ("csv", "xml.etree.ElementTree")),
        (b"from contract import each_line\n", ()),
    ],
)
def test_what_a_source_names_is_found(source: bytes, modules: tuple[str, ...]) -> None:
    """By its words: the source is not parsed for it."""
    assert preload.named_in(source) == modules


def test_all_that_may_be_loaded_can_be() -> None:
    """Each is a module of hostd's own environment."""
    for name in (*preload.ANY, *preload.DECLARED):
        __import__(name)


def test_workers_have_what_their_plugin_names(tmp_path: Path) -> None:
    """The zygote imports it before it forks, the worker forked ahead without it is not used, and others have it too."""

    async def modules(crew: Crew) -> list[str]:
        result = await crew.parse(Batch("a.log", 0, b"", b"x\n"))
        return re.findall(r'[\w.]+(?="[,\]])', bytes(result.lines).decode())

    async def scenario() -> None:
        pool = Pool(2, 60.0)
        message = load(tmp_path, WHAT_IT_HAS)
        assert await modules(pool.crew(message, 10.0, 1)) == []
        async with asyncio.timeout(5):
            while pool._nurseries[SHARED]._spare is None:  # noqa: ASYNC110 - forked ahead, which sets no event
                await asyncio.sleep(0.01)
        assert await modules(pool.crew(message, 10.0, 2, uses=preload.ANY)) == [
            "csv",
            "pydantic",
            "xml.etree.ElementTree",
        ]
        assert await modules(pool.crew(message, 10.0, 3, uses=preload.DECLARED)) == [
            "contract.declared",
            "csv",
            "pydantic",
            "xml.etree.ElementTree",
        ]
        await pool.close()

    asyncio.run(scenario())
