"""Where the two lives meet, without a daemon around it."""

import asyncio
from pathlib import Path

import pytest

from hostd import swap
from hostd.config import Plugins
from hostd.pipeline.commit import Committer
from hostd.pipeline.ledger import Ledger
from hostd.plugins.catalog import Catalog
from hostd.plugins.environment import Environments
from hostd.swap import Swapper
from hostd.tasks import Tasks
from hostd.workers.pool import Pool
from tests.build import plugin
from tests.libraries import SlowIndex


def test_rescan_does_not_wait_for_a_slow_resolution_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells what is live, and what is still on its way."""
    monkeypatch.setattr(swap, "RESCAN_WAIT_S", 2.0)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.delenv("UV_OFFLINE", raising=False)
    folder, store = tmp_path / "plugins.d", tmp_path / "store"
    for each in (folder, store):
        each.mkdir()
    (folder / "slow.py").write_text(plugin(name="slow", top='dependencies = ["tinylib"]'))
    (folder / "demo.py").write_text(plugin())

    async def scenario(index: SlowIndex) -> list[str]:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        pool, tasks = Pool(1, 60.0), Tasks()
        ledger = Ledger(tmp_path / "ledger.db")
        committer = Committer(ledger, [])
        swapper = Swapper(
            settings=Plugins(folder=folder),
            watcher=None,
            store=store,
            environments=Environments(tmp_path / "environments"),
            catalog=Catalog(),
            pool=pool,
            source_field="@source",
            book=ledger.book,
            committer=committer,
            tasks=tasks,
        )
        commits = tasks.start(committer.run(), "commits")
        changes = await swapper.rescan()
        assert await asyncio.to_thread(index.asked.wait, 20)
        await swapper.close()
        await pool.close()
        commits.cancel()
        committer.close()
        return changes

    with SlowIndex(tmp_path) as index:
        assert asyncio.run(scenario(index)) == ["demo 1.0.0 is live as generation 1", "slow is still being prepared"]
