"""What lies in the folder, as of the last look: read once per contents."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from hostd.config import Trust
from hostd.errors import Refusal
from hostd.plugins import inventory, trust
from hostd.plugins.folder import Folder
from hostd.plugins.inventory import Inventory
from tests.build import plugin


class Looked:
    """An inventory of a folder, and what it reported."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "plugins.d"
        self.path.mkdir()
        self.refused: list[tuple[str, str]] = []
        self.again = asyncio.Event()
        self.inventory = Inventory(
            Folder(self.path, None, lambda: None),
            tmp_path / "store",
            self.again.set,
            lambda path, refusal: self.refused.append((path.name, refusal.problem)),
        )

    def names(self) -> dict[str, str | None]:
        """Return the version of each file that is known; None for one that was refused."""
        return {
            path.name: known.artifact and known.artifact.manifest.version
            for path, known in self.inventory.files.items()
        }


def written(path: Path, content: bytes) -> Path:
    """Write a file, long ago."""
    path.write_bytes(content)
    os.utime(path, (0, 0))
    return path


def test_each_contents_is_read_and_refused_once(tmp_path: Path) -> None:
    """A look at what is known reads nothing; new contents, or forgetting refusals, do."""

    async def scenario() -> None:
        looked = Looked(tmp_path)
        (looked.path / "good.py").write_text(plugin())
        written(looked.path / "bad.py", b"nothing")
        for _ in range(2):
            assert await looked.inventory.look(1.0)
            assert looked.names() == {"good.py": "1.0.0", "bad.py": None}
            assert looked.refused == [("bad.py", "has no PEP 723 block")]
        looked.inventory.forget_refusals()
        await looked.inventory.look(2.0)
        assert len(looked.refused) == 2
        (looked.path / "bad.py").write_text(plugin(name="bad", version="2"))
        await looked.inventory.look(3.0)
        assert looked.names() == {"good.py": "1.0.0", "bad.py": "2"}
        assert {known.seen_at for known in looked.inventory.files.values()} == {1.0, 3.0}

    asyncio.run(scenario())


def test_a_file_that_is_being_written_is_looked_at_again(tmp_path: Path) -> None:
    """It is neither refused nor known until its writer lets go."""

    async def scenario() -> None:
        looked = Looked(tmp_path)
        with (looked.path / "slow.py").open("w") as file:
            file.write(plugin()[:20])
            file.flush()
            await looked.inventory.look(1.0)
            assert looked.names() == {}
            await asyncio.wait_for(looked.again.wait(), 5)
            file.write(plugin()[20:])
        await looked.inventory.look(2.0)
        assert looked.names() == {"slow.py": "1.0.0"}
        assert looked.refused == []

    asyncio.run(scenario())


def test_a_file_is_refused_only_when_it_has_settled(tmp_path: Path) -> None:
    """Its writer may have closed it and go on; what is good is taken at once, and what is broken a moment later."""

    async def scenario() -> None:
        looked = Looked(tmp_path)
        file = looked.path / "parts.py"
        file.write_text(plugin()[:20])
        await looked.inventory.look(1.0)
        assert looked.names() == {}
        assert not looked.inventory.settled
        file.write_text(plugin())
        await looked.inventory.look(2.0)
        assert looked.names() == {"parts.py": "1.0.0"}
        assert looked.inventory.settled
        file.write_text("nothing")
        await looked.inventory.look(3.0)
        assert looked.names() == {"parts.py": "1.0.0"}
        while not looked.inventory.settled:
            looked.again.clear()
            await asyncio.wait_for(looked.again.wait(), 5)
            await looked.inventory.look(4.0)
        assert looked.names() == {"parts.py": None}
        assert looked.refused == [("parts.py", "has no PEP 723 block")]

    asyncio.run(scenario())


@pytest.mark.parametrize("age_s", [-3600, inventory.SETTLE_S + 0.1])
def test_a_file_from_the_future_or_the_past_has_settled(tmp_path: Path, age_s: float) -> None:
    """A clock that is ahead, ours or a file server's, makes no file wait."""
    file = written(tmp_path / "a.py", b"")
    assert inventory.settles_in_s(file) == 0
    os.utime(file, (time.time() - age_s,) * 2)
    assert inventory.settles_in_s(file) == 0
    os.utime(file)
    assert 0 < inventory.settles_in_s(file) <= inventory.SETTLE_S
    assert inventory.settles_in_s(tmp_path / "gone.py") == 0


def test_a_missing_file_counts_as_removed_only_after_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Editors move the old file away first; a folder that cannot be read removes nothing at all."""
    now = 100.0
    monkeypatch.setattr(inventory.clock, "monotonic", lambda: now)

    async def scenario() -> None:
        nonlocal now
        looked = Looked(tmp_path)
        file = looked.path / "a.py"
        file.write_text(plugin())
        await looked.inventory.look(1.0)
        file.rename(tmp_path / "aside")
        await looked.inventory.look(2.0)
        assert looked.names() == {"a.py": "1.0.0"}
        assert not looked.inventory.settled
        (tmp_path / "aside").rename(file)
        await looked.inventory.look(3.0)
        assert looked.inventory.settled
        looked.path.rename(tmp_path / "away")
        now += 10
        assert not await looked.inventory.look(4.0)
        assert looked.names() == {"a.py": "1.0.0"}
        (tmp_path / "away").rename(looked.path)
        file.unlink()
        await looked.inventory.look(5.0)
        assert looked.names() == {"a.py": "1.0.0"}
        await asyncio.wait_for(looked.again.wait(), 5)
        now += inventory.SETTLE_S
        await looked.inventory.look(6.0)
        assert looked.names() == {}
        assert looked.inventory.settled

    asyncio.run(scenario())


@pytest.mark.parametrize("forget_all", [True, False])
def test_a_refused_file_that_is_missing_is_forgotten_at_once(tmp_path: Path, forget_all: bool) -> None:
    """There is nothing left to wait for: whoever waits until all is settled does not wait for ever."""

    async def scenario() -> None:
        looked = Looked(tmp_path)
        bad = written(looked.path / "bad.py", b"nothing")
        await looked.inventory.look(1.0)
        bad.unlink()
        await looked.inventory.look(2.0)
        assert not looked.inventory.settled
        looked.inventory.forget_refusals() if forget_all else looked.inventory.forget(bad)
        assert looked.inventory.settled
        await looked.inventory.look(3.0)
        assert looked.inventory.settled
        assert looked.names() == {}

    asyncio.run(scenario())


def test_refusal_is_handed_on_whole(tmp_path: Path) -> None:
    """Stage, place and remedy reach whoever reports it."""

    async def scenario() -> None:
        looked = Looked(tmp_path)
        seen: list[Refusal] = []
        looked.inventory._on_refusal = lambda _path, refusal: seen.append(refusal)
        written(looked.path / "bad.py", b"\xff")
        await looked.inventory.look(1.0)
        assert str(seen[0]) == "plugins.d/bad.py:1: is not UTF-8; save it as UTF-8"

    asyncio.run(scenario())


def test_a_folder_that_others_may_write_is_refused_once(tmp_path: Path) -> None:
    """Not once for each file, nor for each look. What was read before stays; what is new waits until it is mended."""

    async def scenario() -> None:
        looked = Looked(tmp_path)
        (looked.path / "before.py").write_text(plugin())
        await looked.inventory.look(1.0)
        looked.path.chmod(0o777)
        (looked.path / "new.py").write_text(plugin(name="new"))
        (looked.path / "bad.py").write_text("nothing")
        os.utime(looked.path / "bad.py", (1, 1))
        for _ in range(2):
            await looked.inventory.look(2.0)
            assert looked.names() == {"before.py": "1.0.0", "new.py": None, "bad.py": None}
            assert looked.refused == [
                ("plugins.d", "is writable by everyone (mode 0777), so others could change what runs")
            ]
            assert looked.inventory.refused_folder == looked.path
        looked.inventory.forget_refusals()
        await looked.inventory.look(3.0)
        assert len(looked.refused) == 2, "who asks for everything again is told again"
        looked.path.chmod(0o755)
        await looked.inventory.look(4.0)
        assert looked.names() == {"before.py": "1.0.0", "new.py": "1.0.0", "bad.py": None}
        assert looked.refused[2:] == [("bad.py", "has no PEP 723 block")]
        assert looked.inventory.refused_folder is None

    asyncio.run(scenario())


def test_a_refusal_that_is_forgotten_is_no_file_that_was_removed(tmp_path: Path) -> None:
    """Until it is read again it is still there: what serves in its place must not end."""

    async def scenario() -> None:
        looked = Looked(tmp_path)
        bad = looked.path / "bad.py"
        bad.write_text("nothing")
        os.utime(bad, (1, 1))
        await looked.inventory.look(1.0)
        looked.inventory.forget(bad)
        assert looked.names() == {"bad.py": None}
        await looked.inventory.look(2.0)
        assert len(looked.refused) == 2

    asyncio.run(scenario())


def test_everything_is_judged_again_by_another_policy(tmp_path: Path) -> None:
    """What is the same is not read again; what is trusted no more is refused, and taken again when it is."""

    async def scenario() -> None:
        looked = Looked(tmp_path)
        (looked.path / "a.py").write_text(plugin())
        await looked.inventory.look(1.0)
        first = looked.inventory.files[looked.path / "a.py"]
        await looked.inventory.look(2.0, trust.policy(Trust()))
        assert looked.inventory.files[looked.path / "a.py"] is first
        await looked.inventory.look(3.0, trust.policy(Trust(sha256=("0" * 64,))))
        assert looked.names() == {"a.py": None}
        await looked.inventory.look(4.0, trust.policy(Trust()))
        assert looked.names() == {"a.py": "1.0.0"}
        assert [name for name, _ in looked.refused] == ["a.py"]

    asyncio.run(scenario())
