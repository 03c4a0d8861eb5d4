"""Dependencies to the environment that a generation runs in.

One is shared: the contract, pydantic for options, and the standard library. Any other set of requirements has an
environment of its own, named by that set, shared by the plugins that ask for the same, and removed when none does. A
folder under such a name is whole: it is installed elsewhere and renamed.
"""

import asyncio
import hashlib
import secrets
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from os import sync
from pathlib import Path

from msgspec import Struct

from hostd import clock, events
from hostd.errors import Refusal, Stage
from hostd.plugins.artifact import Artifact
from hostd.plugins.install import InstallError, install


class _Run(Struct):
    """An installation under way, and how many plugins wait for it."""

    task: asyncio.Task[None]
    waiting: int = 0


class Environments:
    """The environments of one daemon, in `folder`; wheels are looked for in `find_links` too."""

    def __init__(self, folder: Path, find_links: tuple[Path, ...] = ()) -> None:
        self.find_links = find_links
        self._folder = folder
        self._runs: dict[str, _Run] = {}
        self._changing: set[str] = set()

    def packages(self, artifact: Artifact) -> str:
        """Return the folder that the artifact's environment has or will have, empty for the shared one."""
        requirements = _own(artifact)
        return str(self._folder / _name(requirements)) if requirements else ""

    async def prepare(self, artifact: Artifact) -> None:
        """Have the artifact's environment installed if it is not there. Raises Refusal.

        Plugins that need the same one wait for the same run, which ends early when none of them waits any longer.
        """
        requirements = _own(artifact, check=True)
        name = _name(requirements)
        if not requirements or (self._folder / name).exists():
            return
        run = self._runs.get(name)
        if run is None:
            run = self._runs[name] = _Run(asyncio.create_task(self._install(name, requirements)))
        run.waiting += 1
        try:
            await asyncio.shield(run.task)
        except InstallError as error:
            raise Refusal(
                Stage.PREPARED,
                artifact.display,
                f"its dependencies cannot be installed ({', '.join(requirements)}): {error.reason}",
                error.remedy,
                transient=error.transient,
            ) from error
        finally:
            run.waiting -= 1
            if not run.waiting:
                del self._runs[name]
                run.task.cancel()
                await asyncio.gather(run.task, return_exceptions=True)

    async def _install(self, name: str, requirements: tuple[str, ...]) -> None:
        began = clock.monotonic()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".", dir=self._folder))
        except OSError as error:
            raise InstallError(f"{self._folder}: {error.strerror}", "make room there", transient=True) from error
        self._changing.add(temporary.name)
        try:
            await install(requirements, temporary, self.find_links)
            # A power loss must not leave the name without the bytes; they are too many to be made durable one by one.
            await asyncio.to_thread(sync)
            temporary.replace(self._folder / name)
        except OSError as error:
            await asyncio.to_thread(_remove, temporary)
            if not (self._folder / name).exists():  # a run that was given up may have ended well after all
                raise InstallError(f"{self._folder}: {error}", "look at the disk", transient=True) from error
        except BaseException:
            await asyncio.to_thread(_remove, temporary)
            raise
        finally:
            self._changing.discard(temporary.name)
        events.emit(
            events.ENVIRONMENT_INSTALLED,
            environment=name,
            requirements=list(requirements),
            ms=clock.milliseconds_since(began),
        )

    def remove_unused(self, in_use: Iterable[Artifact]) -> None:
        """Remove environments that none of these artifacts needs, and what a killed daemon left. Returns at once."""
        if not self._folder.exists():
            return
        needed = {_name(requirements) for artifact in in_use if (requirements := _own(artifact))}
        for path in self._folder.iterdir():
            if path.name in needed | self._changing:
                continue
            if not path.name.startswith("."):
                events.emit(events.ENVIRONMENT_REMOVED, environment=path.name)
                path = path.rename(self._folder / f".{secrets.token_hex(8)}")  # the name is free at once
            self._discard(path)

    def _discard(self, path: Path) -> None:
        self._changing.add(path.name)
        removed = asyncio.get_running_loop().run_in_executor(None, _remove, path)
        removed.add_done_callback(lambda _: self._changing.discard(path.name))


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _own(artifact: Artifact, *, check: bool = False) -> tuple[str, ...]:
    """Return what an artifact needs an environment of its own for. With `check`, raises Refusal for what none has."""
    if not artifact.requirements:
        return ()
    from hostd.plugins import requirements  # as whoever has read them did

    if check:
        requirements.check(artifact.requirements, artifact.display)
    return requirements.own(artifact.requirements)


def _name(requirements: tuple[str, ...]) -> str:
    """Return the name of the environment of these requirements, for this Python on this platform."""
    python = f"{sys.implementation.cache_tag}{sys.abiflags}", sysconfig.get_platform()
    return hashlib.sha256("\n".join([*python, *requirements]).encode()).hexdigest()[:32]
