"""The matrix of folder traps: however a file comes to lie there, it is loaded once, when it is whole.

Each trap is tried with a plugin that is new and with the next version of one that serves. Whatever happened, what
counts is the bytes that lie there in the end: one load of them, none of anything between, and no refusal.
"""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from hostd.plugins.inventory import SETTLE_S

from .harness import Daemon, Home, plugin, stopped

NEWS_S = 8.0
"""Before the slow look, which would find everything: a trap must be seen through by what it sets off."""


class Trap:
    """A way for a plugin file to come into the folder, and for the next version to take its place."""

    watch = "auto"
    rested_s = 0.0
    """For how long the file rested, half written: from `SETTLE_S` on it is taken for whole, and rightly refused."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.path = home.plugins / "lines.py"

    def lay(self, content: str | None) -> None:
        """Make the folder as it is before the daemon starts, with or without the plugin."""
        if content is not None:
            self.path.write_text(content)

    def spring(self, daemon: Daemon, content: str) -> None:
        """Put the bytes there."""
        raise NotImplementedError

    def clear(self) -> None:
        """Undo what would outlive the test."""


class SlowAppend(Trap):
    """One writer that holds the file open, however long: `cat > lines.py`."""

    def spring(self, daemon: Daemon, content: str) -> None:
        third = len(content) // 3
        with self.path.open("w") as file:
            for number, part in enumerate((content[:third], content[third : 2 * third], content[2 * third :])):
                file.write(part)
                file.flush()
                seen_by(daemon, f"held{number}")


class SlowAppendInTurns(Trap):
    """A writer that opens the file for each part, `>>`; closed in between, it holds what looks like a whole plugin."""

    def spring(self, daemon: Daemon, content: str) -> None:
        written_at = time.monotonic()
        self.path.write_text("")

        def write_on() -> None:
            """What matters is the time since, not how long the whole takes."""
            nonlocal written_at
            os.utime(self.path)
            self.rested_s = max(self.rested_s, time.monotonic() - written_at)
            written_at = time.monotonic()

        parts = content.partition('# ///\n"""')
        for number, part in enumerate(("", parts[0] + parts[1], parts[2])):
            with self.path.open("a") as file:
                file.write(part)
            seen_by(daemon, f"closed{number}", meanwhile=write_on)


class TruncateAndWrite(Trap):
    """`: > lines.py`, and the contents a moment later."""

    def spring(self, daemon: Daemon, content: str) -> None:
        self.path.touch()
        os.truncate(self.path, 0)
        seen_by(daemon, "meanwhile", meanwhile=lambda: os.utime(self.path))
        self.path.write_text(content)


class RenameInside(Trap):
    """Written under a name that is no plugin's, in the folder, and given its own when it is whole: rsync."""

    def spring(self, daemon: Daemon, content: str) -> None:
        temporary = self.path.with_name(".lines.py.Xa81bc")
        temporary.write_text(content)
        temporary.rename(self.path)


class MovedFromOutside(Trap):
    """`mv` from a folder that nobody watches: a created event, and none of a close."""

    def spring(self, daemon: Daemon, content: str) -> None:
        self.home.aside(content).replace(self.path)


class VimRenamesToBackup(Trap):
    """What vim does with `backup` and `backupcopy=no`: the old file is moved away first."""

    def spring(self, daemon: Daemon, content: str) -> None:
        backup = self.path.with_name("lines.py~")
        if self.path.exists():
            self.path.rename(backup)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o664)
        os.write(fd, content.encode())
        os.fsync(fd)
        os.fchmod(fd, 0o644)
        os.close(fd)
        self.path.chmod(0o644)


class VimCopiesToBackup(Trap):
    """What vim does with `backup` and `backupcopy=yes`: the file is copied, truncated, and written into."""

    def spring(self, daemon: Daemon, content: str) -> None:
        backup = self.path.with_name("lines.py~")
        if self.path.exists():
            shutil.copy2(self.path, backup)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o664)
        os.write(fd, content.encode())
        os.fsync(fd)
        os.close(fd)
        self.path.chmod(0o644)
        backup.unlink(missing_ok=True)


class Vim(Trap):
    """The editor itself, with its swap file, its test file 4913 and its backup."""

    def spring(self, daemon: Daemon, content: str) -> None:
        if shutil.which("vim") is None:
            pytest.skip("vim is not installed")
        new = self.home.aside(content)
        settings = "set nocompatible backup backupcopy=no backupdir=. directory=. updatecount=1"
        edits = [argument for edit in ("%d", f"0r {new}", "wq") for argument in ("-c", edit)]
        subprocess.run(
            ["vim", "-es", "-u", "NONE", "-i", "NONE", "--cmd", settings, *edits, self.path.name],
            cwd=self.path.parent,
            check=True,
            timeout=20,
        )
        assert self.path.read_text() == content


class FolderMovedAndMadeAgain(Trap):
    """`mv plugins.d old && mkdir plugins.d`, and a file in it."""

    def spring(self, daemon: Daemon, content: str) -> None:
        self.home.plugins.rename(self.home.path / "old")
        self.home.plugins.mkdir()
        self.path.write_text(content)


class FolderRemovedAndMadeAgain(Trap):
    """`rm -r plugins.d && mkdir plugins.d`: file systems like to give it the number of the old one."""

    def spring(self, daemon: Daemon, content: str) -> None:
        shutil.rmtree(self.home.plugins)
        self.home.plugins.mkdir()
        seen_by(daemon, "meanwhile")
        self.path.write_text(content)


class LinkSwitched(Trap):
    """The plugin is a link to a file elsewhere, and then to another: `ln -sf`."""

    def lay(self, content: str | None) -> None:
        if content is not None:
            self.path.symlink_to(self.home.aside(content))

    def spring(self, daemon: Daemon, content: str) -> None:
        link = self.path.with_name(".new-link")
        link.symlink_to(self.home.aside(content))
        link.rename(self.path)


class FolderLinkSwitched(Trap):
    """plugins.d is a link to a release, and then to another."""

    def lay(self, content: str | None) -> None:
        release = self.home.path / "release-1"
        release.mkdir()
        self.home.plugins.rmdir()
        self.home.plugins.symlink_to(release)
        super().lay(content)

    def spring(self, daemon: Daemon, content: str) -> None:
        release = self.home.path / "release-2"
        release.mkdir()
        (release / "lines.py").write_text(content)
        link = self.home.path / "new-link"
        link.symlink_to(release)
        link.rename(self.home.plugins)


class ConfigMap(Trap):
    """As Kubernetes mounts one: each file a link into `..data`, which is a link to the folder of this version."""

    def lay(self, content: str | None) -> None:
        self._publish("..2026_01", content)

    def spring(self, daemon: Daemon, content: str) -> None:
        self._publish("..2026_02", content)
        shutil.rmtree(self.home.plugins / "..2026_01")

    def _publish(self, version: str, content: str | None) -> None:
        folder = self.home.plugins / version
        folder.mkdir()
        if content is not None:
            (folder / "lines.py").write_text(content)
        link = self.home.plugins / "..data_tmp"
        link.symlink_to(version)
        link.rename(self.home.plugins / "..data")
        if content is not None and not self.path.is_symlink():
            self.path.symlink_to("..data/lines.py")


class ReadOnlyFile(Trap):
    """A file that nobody may write, in a folder that nobody may write once it is there."""

    def spring(self, daemon: Daemon, content: str) -> None:
        new = self.home.aside(content)
        new.chmod(0o400)
        new.replace(self.path)
        self.home.plugins.chmod(0o555)

    def clear(self) -> None:
        self.home.plugins.chmod(0o755)


class ReadOnlyMount(Trap):
    """The folder is mounted read-only, as a container's volume is, and changed from outside of it."""

    def lay(self, content: str | None) -> None:
        self._outside = self.home.path / "outside"
        self._outside.mkdir()
        if content is not None:
            (self._outside / "lines.py").write_text(content)
        plugins = str(self.home.plugins)
        bound = subprocess.run(["mount", "--bind", str(self._outside), plugins], capture_output=True, check=False)
        if bound.returncode:
            pytest.skip("this user may not mount a folder")
        subprocess.run(["mount", "-o", "remount,ro,bind", plugins], check=True)

    def spring(self, daemon: Daemon, content: str) -> None:
        with pytest.raises(OSError, match="Read-only"):
            self.path.write_text(content)
        self.home.aside(content).replace(self._outside / "lines.py")

    def clear(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.home.plugins)], capture_output=True, check=False)


class FullQueue(Trap):
    """More events than the kernel keeps, all of other files, and then ours, of which there is none any more."""

    def spring(self, daemon: Daemon, content: str) -> None:
        new = self.home.aside(content)
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        one, other = self.home.logs / ".one", self.home.logs / ".other"
        one.touch()
        with stopped(daemon):
            for _ in range(limit // 4 + 1):  # a rename is two events
                one.rename(other)
                other.rename(one)
            new.replace(self.path)
        daemon.wait_event("folder.events_lost")


class Polling(Trap):
    """A file system that gives no events: `watch = "poll"`."""

    watch = "poll"

    def spring(self, daemon: Daemon, content: str) -> None:
        assert daemon.wait_event("folder.watched")["by"] == "polling"
        self.path.write_text(content)


TRAPS = [
    SlowAppend,
    SlowAppendInTurns,
    TruncateAndWrite,
    RenameInside,
    MovedFromOutside,
    VimRenamesToBackup,
    VimCopiesToBackup,
    Vim,
    FolderMovedAndMadeAgain,
    FolderRemovedAndMadeAgain,
    LinkSwitched,
    FolderLinkSwitched,
    ConfigMap,
    ReadOnlyFile,
    ReadOnlyMount,
    FullQueue,
    Polling,
]


def seen_by(daemon: Daemon, name: str, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Return when the daemon has looked at the folder as it is now: another plugin has gone live."""

    def is_live() -> bool:
        meanwhile()
        return bool(daemon.seen("generation.switched", plugin=name))

    daemon.home.drop(f"{name}.py", plugin(name, glob="*.none"))
    daemon.wait(f"{name} is live", is_live, NEWS_S)


NEW_SOON = (SlowAppendInTurns, LinkSwitched, FullQueue)
"""Traps that are tried soon with a plugin that is new: one of a file's content, one of a name, one of events.

The others are tried soon with the next version, where there is an old one that must not be taken for it."""


def cases() -> list[ParameterSet]:
    return [
        pytest.param(
            kind,
            update,
            id=f"{kind.__name__}-{'update' if update else 'new'}",
            marks=[] if update == (kind not in NEW_SOON) else [pytest.mark.slow],
        )
        for kind in TRAPS
        for update in (False, True)
    ]


@pytest.mark.parametrize(("kind", "update"), cases())
def test_what_lies_there_in_the_end_is_loaded_once(home: Home, kind: Callable[[Home], Trap], update: bool) -> None:
    """One load of the final bytes and of no others, no refusal, and the next line is theirs."""
    trap = kind(home)
    old, final = plugin(version="1.0.0"), plugin(version="2.0.0")
    home.configure(f'[daemon]\nwatch = "{trap.watch}"\n')
    try:
        trap.lay(old if update else None)
        daemon = home.start()
        if update:
            home.append("a.log", "first")
            daemon.wait_records("lines", 1)
        trap.spring(daemon, final)
        switched = daemon.wait_event("generation.switched", plugin="lines", version="2.0.0", deadline_s=NEWS_S)
        assert switched["took_over_from"] == (1 if update else None)
        assert not daemon.seen("artifact.refused") or trap.rested_s >= SETTLE_S
        daemon.rescan()  # after which nothing more can come
        expected = [digest(old), digest(final)] if update else [digest(final)]
        assert [event["digest"] for event in daemon.seen("generation.started", plugin="lines")] == expected
        assert len(daemon.seen("generation.switched", plugin="lines")) == len(expected)
        assert not daemon.seen("artifact.refused") or trap.rested_s >= SETTLE_S
        home.append("a.log", "next")
        assert daemon.wait_records("lines", len(expected))[-1]["by"] == "2.0.0"
    finally:
        trap.clear()


def digest(content: str) -> str:
    """Return how events name these bytes."""
    return hashlib.sha256(content.encode()).hexdigest()[:12]


@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_exhausted_limits_of_the_kernel_end_nothing(home: Home, limit: str) -> None:
    """No events are to be had: it says so once, polls folders and logs, and goes back to events when there are some."""
    own_limits = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*own_limits, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may have no limits of its own")
    setting = f"/proc/sys/user/{limit}"
    daemon = home.start(under=(*own_limits, "sh", "-c", f'echo 0 > {setting}; exec "$@"', "sh"))
    polled = daemon.wait_event("folder.polled", folder=str(home.plugins))
    assert polled["reason"].startswith("inotify ")
    assert daemon.wait_event("folder.watched")["by"] == "polling"
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon.wait_records("lines", 1, deadline_s=NEWS_S)
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.switched", plugin="lines", version="2.0.0", deadline_s=NEWS_S)
    home.append("a.log", "2")
    daemon.wait_records("lines", 2, deadline_s=NEWS_S)
    assert len(daemon.seen("folder.polled", folder=str(home.plugins))) == 1
    inside = ["nsenter", "--user", "--preserve-credentials", f"--target={daemon.pid}"]
    subprocess.run([*inside, "sh", "-c", f"echo 1000 > {setting}"], check=True)
    assert daemon.wait_event("folder.watched", count=2)["by"] == "events"
