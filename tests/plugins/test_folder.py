"""What in the folder is a plugin, and what a look at it returns."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hostd.plugins.folder import Folder, is_plugin_name
from hostd.watch import Watcher


@pytest.mark.parametrize(
    ("name", "is_plugin"),
    [
        ("csv.py", True),
        ("demo-1.0-py3-none-any.whl", True),
        ("2024.v2.py", True),
        (".csv.py", False),
        (".#csv.py", False),
        ("#csv.py#", False),
        ("#csv.py", False),
        ("csv.py~", False),
        (".csv.py.swp", False),
        ("4913", False),
        ("csv.py.disabled", False),
        ("csv.py.part", False),
        ("csv.pyc", False),
        ("__init__.py", False),
        ("__pycache__", False),
        ("README.md", False),
        ("csv.PY", False),
    ],
)
def test_plugin_names(name: str, is_plugin: bool) -> None:
    """Not a dotfile, an editor's temporary, or switched off."""
    assert is_plugin_name(name) is is_plugin


def test_scan_returns_files_with_what_changes_when_they_do(tmp_path: Path) -> None:
    """Other files, folders and dangling links are not listed; new contents are another signature."""
    folder = Folder(tmp_path, None, lambda: None)
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nothing")
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    before = folder.scan()
    assert before is not None
    assert set(before) == {tmp_path / "a.py", tmp_path / "link.py"}
    assert folder.scan() == before
    (tmp_path / "new").write_text("2")
    (tmp_path / "new").replace(tmp_path / "a.py")
    after = folder.scan()
    assert after is not None
    assert after[tmp_path / "a.py"] != before[tmp_path / "a.py"]
    assert after[tmp_path / "link.py"] != before[tmp_path / "link.py"]
    folder.close()


def test_a_loop_of_links_is_listed_beside_the_others(tmp_path: Path) -> None:
    """Reading it says what is wrong with it; the look at the folder goes on."""
    folder = Folder(tmp_path, None, lambda: None)
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "loop.py").symlink_to("loop.py")
    found = folder.scan()
    assert found is not None
    assert set(found) == {tmp_path / "a.py", tmp_path / "loop.py"}
    assert folder.scan() == found
    folder.close()


def test_vanished_folder_is_not_an_empty_one(tmp_path: Path) -> None:
    """It is said once, and again after it was back."""
    path = tmp_path / "plugins.d"
    folder = Folder(path, None, lambda: None)
    with capture_logs() as logged:
        assert folder.scan() is None
        assert folder.scan() is None
        path.mkdir()
        assert folder.scan() == {}
        path.rmdir()
        assert folder.scan() is None
    assert [(event["event"], event["reason"]) for event in logged] == [
        ("folder.unreadable", "No such file or directory")
    ] * 2


def test_a_folder_that_was_unreadable_is_watched_once_it_can_be_read(tmp_path: Path) -> None:
    """The kernel refuses to watch what may not be read, and watchdog does not tell."""

    async def scenario() -> None:
        path = tmp_path / "plugins.d"
        path.mkdir(mode=0)
        if os.access(path, os.R_OK):
            pytest.skip("this user reads every folder")
        hinted = asyncio.Event()
        watcher = Watcher()
        folder = Folder(path, watcher, hinted.set)
        try:
            assert folder.scan() is None
            path.chmod(0o755)
            await asyncio.wait_for(hinted.wait(), 5)
            assert folder.scan() == {}
            hinted.clear()
            (path / "a.py").touch()
            await asyncio.wait_for(hinted.wait(), 5)
        finally:
            folder.close()
            watcher.close()

    asyncio.run(scenario())
