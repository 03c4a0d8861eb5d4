"""Reading hostd.toml and the folders again while the daemon runs: SIGHUP, and `hostd rescan`.

What is invalid, or cannot be taken over, leaves what is in force as it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hostd import config, events
from hostd.config import Config
from hostd.errors import ConfigError, HostdError
from hostd.pipeline.commit import Committer
from hostd.pipeline.intake.intakes import Intakes
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.pump import Pump
from hostd.pipeline.sinks import Sink
from hostd.pipeline.sinks.making import make_sink
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.sources.finder import FileFinder
from hostd.swap import Swapper
from hostd.tasks import Tasks

LET_GO_S = 10.0
"""How long a reload waits for what was read of sources that are let go to be committed; that goes on after it."""


def make_sinks(settings: Config, ledger: Ledger) -> list[Sink]:
    """Return the sinks that the settings name; nothing is opened yet."""
    return [make_sink(sink, ledger) for sink in settings.sinks]


def own_paths(settings: Config) -> list[Path]:
    """Return what the daemon itself writes: none of it is a source."""
    return [settings.state.folder, *(path for sink in settings.sinks for path in sink.own)]


def _differing(name: str, in_force: object, wanted: object) -> Iterator[str]:
    """Yield the settings of a table, by their full names, in which two of its kind differ."""
    if isinstance(in_force, BaseModel) and isinstance(wanted, BaseModel):
        for field in type(in_force).model_fields:
            yield from _differing(f"{name}.{field}", getattr(in_force, field), getattr(wanted, field))
    elif in_force != wanted:
        yield name


class Reloader:
    """Holds the settings in force, and takes over others as far as that goes without a restart."""

    def __init__(
        self,
        *,
        settings: Config,
        path: Path | None,
        ledger: Ledger,
        committer: Committer,
        swapper: Swapper,
        pump: Pump,
        finder: FileFinder,
        intakes: Intakes,
        tasks: Tasks,
    ) -> None:
        self.settings = settings
        self._path = path
        self._ledger = ledger
        self._committer = committer
        self._swapper = swapper
        self._pump = pump
        self._finder = finder
        self._intakes = intakes
        self._tasks = tasks
        self._take_over: dict[str, Callable[[Config], Awaitable[Any]]] = {
            "plugins": self._change_plugins,
            "sources": self._change_sources,
            "sinks": self._change_sinks,
            "dead_letters": self._change_dead_letters,
            "daemon": self._change_daemon,
            "log": self._change_log,
        }

    async def rescan(self) -> list[str]:
        """Read the settings and the folders again, and wait; return what changed, in words."""
        changes = await self._reload()
        self._pump.try_again()
        changes += await self._swapper.rescan()
        self._finder.look()
        return changes

    async def hang_up(self) -> None:
        """Read the settings and the folders again. Waits for no plugin: the next SIGHUP may be to mend what hangs."""
        await self._reload()
        self._pump.try_again()
        await self._swapper.retry()
        self._finder.look()

    async def _reload(self) -> list[str]:
        if self._path is None:
            return []
        try:
            new = config.load(self._path)
        except ConfigError as error:
            return [self._refuse(str(error)), *await self._begin_again()]
        changed = [name for name in Config.model_fields if getattr(self.settings, name) != getattr(new, name)]
        in_force: list[str] = []
        told: list[str] = []
        for name in changed:
            change = self._take_over.get(name)
            taken = getattr(self.settings, name)
            try:
                taken = await change(new) if change is not None else taken
            except (OSError, HostdError) as error:
                told.append(self._refuse(f"{name}: {error}; what is in force stays"))
                continue
            if taken != getattr(self.settings, name):
                in_force.append(name)
                self.settings = self.settings.model_copy(update={name: taken})  # each at once: whoever asked may go
            for setting in _differing(name, taken, getattr(new, name)):
                events.emit(events.CONFIG_NEEDS_RESTART, config=str(self._path), setting=setting)
                told.append(f"{setting} holds from the next start")
        if "sources" not in in_force:
            told += await self._begin_again()
        if in_force:
            events.emit(events.CONFIG_RELOADED, config=str(self._path), changed=sorted(in_force))
            told.insert(0, f"settings changed: {', '.join(sorted(in_force))}")
        return told

    async def _begin_again(self) -> list[str]:
        """Begin what takes in and could not be begun again when settings failed; return what still cannot, in words."""
        try:
            with config.placing(self._path, self.settings.sources):
                await self._intakes.reconfigure(self.settings.received)
        except HostdError as error:
            return [self._refuse(f"sources: {error}")]
        return []

    def _refuse(self, reason: str) -> str:
        events.emit(events.CONFIG_REFUSED, config=str(self._path), reason=reason)
        return f"settings refused, those in force stay: {reason}"

    async def _change_plugins(self, new: Config) -> config.Plugins:
        folder = self.settings.plugins.folder
        mode = self.settings.plugins.sandbox.mode
        sandbox = new.plugins.sandbox.model_copy(update={"mode": mode})
        self._swapper.settings = new.plugins.model_copy(update={"folder": folder, "sandbox": sandbox})
        self._swapper.environments.find_links = new.plugins.find_links
        return self._swapper.settings

    async def _change_sources(self, new: Config) -> tuple[config.Source, ...]:
        with config.placing(self._path, new.sources):
            await self._intakes.reconfigure(new.received)
        await self._release(self._finder.reconfigure(new.files), "no source names it any more")
        self._pump.route_anew()
        return new.sources

    async def _change_sinks(self, new: Config) -> tuple[config.Sink, ...]:
        present, coming = own_paths(self.settings), own_paths(new)
        # Before anything is written there: a daemon that reads what it writes never comes to an end.
        await self._release(self._finder.exclude([*present, *coming]), "a sink writes it now")
        try:
            await self._committer.replace_sinks(make_sinks(new, self._ledger))
        except BaseException:
            self._finder.exclude(present)
            raise
        self._finder.exclude(coming)
        self._pump.route_anew()
        return new.sinks

    async def _release(self, sources: list[FileSource], reason: str) -> None:
        """Let go of sources, once what was read of them is committed; a sink that takes nothing is not waited for."""
        leaving = [source for source in sources if not source.is_let_go]  # of others an earlier reload takes care
        if leaving:
            for source in leaving:
                source.is_let_go = True
            task = self._tasks.start(self._let_go(leaving, reason), "let go of sources")
            await asyncio.wait([task], timeout=LET_GO_S)

    async def _let_go(self, sources: list[FileSource], reason: str) -> None:
        for source in sources:
            await self._pump.forget(source)
        await self._committer.flush()
        for source in sources:
            self._finder.release(source, reason)
        self._finder.look_soon()  # other settings may name one of them again by now

    async def _change_dead_letters(self, new: Config) -> config.DeadLetters:
        self._ledger.dead.keep(new.dead_letters.keep_days, new.dead_letters.keep_mib)
        return new.dead_letters

    async def _change_daemon(self, new: Config) -> config.Daemon:
        watch = self.settings.daemon.watch
        return new.daemon.model_copy(update={"watch": watch})

    async def _change_log(self, new: Config) -> config.Log:
        events.configure(new.log.format, new.log.level)
        return new.log
