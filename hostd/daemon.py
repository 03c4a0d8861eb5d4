"""The composition root: wires everything, owns the signals, starts in order and stops in reverse."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hostd import __version__, clock, events
from hostd.config import Config, NdjsonSink, placing
from hostd.control.dead import DeadLetterDesk
from hostd.control.server import Arguments, ControlServer
from hostd.control.status import snapshot
from hostd.errors import HostdError, LedgerError
from hostd.pipeline.commit import Committer
from hostd.pipeline.intake.intakes import Intakes
from hostd.pipeline.keeper import Keeper
from hostd.pipeline.ledger import Ledger, SourceRow, dead_counts
from hostd.pipeline.ledger.places import Keep
from hostd.pipeline.ledger.rows import Copy
from hostd.pipeline.pump import Pump
from hostd.pipeline.reparse.reparser import Reparser
from hostd.pipeline.replay import Replayer
from hostd.pipeline.sinks import rewrite
from hostd.pipeline.sinks.staged import StagedSink
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.sources.finder import FileFinder
from hostd.pipeline.streams import Streams
from hostd.plugins.catalog import Catalog
from hostd.plugins.environment import Environments
from hostd.process import raise_file_limit
from hostd.reload import Reloader, make_sinks, own_paths
from hostd.state import StateFolder
from hostd.swap import Swapper
from hostd.tasks import Tasks
from hostd.watch import Watcher
from hostd.workers.heap import keep_small_blocks
from hostd.workers.launch import Launched
from hostd.workers.pool import Pool
from hostd.workers.sandbox import Sandbox

LOOK_EVERY_S = 10.0
"""How often folders are compared without a hint, in case that one was lost; less often where that takes long."""
LOOK_SHARE = 1 / 200
LOOK_MOST_S = 60.0
"""How much of the time that may take, as long as it is done this often: the first look opens all files."""
RELOAD_WAIT_S = 5.0
"""How long one SIGHUP keeps the next waiting, which may be to mend what the first one waits for."""
POLL_EVERY_S = 1.0
"""The same, where there are no hints."""

EXIT_OK = 0
EXIT_LEFT = 3


class Daemon:
    """One running hostd. `run` returns when it has stopped. `hung_up` tells whether SIGHUP has come before that."""

    def __init__(
        self,
        settings: Config,
        settings_path: Path | None,
        launched: Launched | None = None,
        *,
        once: bool = False,
        hung_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._settings_path = settings_path
        self._launched = launched
        self._once = once
        self._hung_up = hung_up
        self._state = StateFolder(settings.state.folder)
        self._stop: asyncio.Event = asyncio.Event()
        self._stop_reason = "done"
        self._hangup = asyncio.Event()
        self._since = clock.timestamp()

    async def run(self) -> int:
        """Run until told to stop, or with `once` until all is parsed; return the exit code.

        Raises StateError when the state folder cannot be used, LedgerError when the ledger cannot be, or turns out to
        be broken, SandboxError when plugins must be confined and cannot be.
        """
        began = clock.monotonic()
        os.umask(0o027)
        raise_file_limit()
        keep_small_blocks()
        self._state.acquire()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._state.release)
            workers = self._settings.workers
            pool = Pool(
                self._settings.busy_workers,
                workers.idle_s,
                self._launched,
                losses=workers.losses,
                losses_window_s=workers.losses_window_s,
                start_timeout_s=workers.start_timeout_s,
                sandbox=Sandbox(self._settings.plugins.sandbox.mode, self._state.artifacts, self._state.path),
            )
            stack.push_async_callback(pool.close)
            self._handle_signals()
            events.emit(
                events.DAEMON_STARTED,
                version=__version__,
                pid=os.getpid(),
                config=str(self._settings_path or "defaults"),
                plugins_folder=str(self._settings.plugins.folder),
                state_folder=str(self._settings.state.folder),
                sandbox=self._settings.plugins.sandbox.mode,
            )
            if pool.confinement.required:
                await pool.settle()
            self._tasks = Tasks()
            await self._wire(stack, pool)
            await self._begin(began)
            try:
                exit_code = await self._serve()
            except LedgerError:
                await self._pump.close(0)  # nothing of it can be accounted for any more
                raise
            stopping = clock.monotonic()
            await self._drain()
        events.emit(events.DAEMON_STOPPED, exit_code=exit_code, ms=clock.milliseconds_since(stopping))
        return exit_code

    async def _wire(self, stack: contextlib.AsyncExitStack, pool: Pool) -> None:
        """Make the parts, each with its end on `stack`, in the order in which they must not outlive each other."""
        settings, state = self._settings, self._state
        keep = settings.provenance
        ledger = Ledger(state.ledger, Keep(keep.keep_mib << 20, keep.keep_days))
        memory_bytes = settings.pipeline.memory_mib << 20
        self._committer = Committer(ledger, make_sinks(settings, ledger), memory_bytes=memory_bytes)
        stack.callback(self._committer.close)
        folders = [sink.folder for sink in settings.sinks if isinstance(sink, NdjsonSink)]
        await self._committer.recover(lambda: rewrite.recover(ledger, folders))
        rows = await self._committer.in_thread(ledger.sources)
        ledger.dead.keep(settings.dead_letters.keep_days, settings.dead_letters.keep_mib)
        seals = await self._committer.in_thread(ledger.seals.all)
        # Not in the committer's thread: what waits there for a sink must not keep the status waiting.
        self._dead_letters: Callable[[], Awaitable[dict[str, int]]] = lambda: asyncio.to_thread(
            dead_counts, state.ledger
        )
        events.emit(
            events.LEDGER_OPENED,
            path=str(state.ledger),
            sources=len(rows),
            dead_letters=sum((await self._dead_letters()).values()),
        )
        stack.push_async_callback(_cancel, self._tasks.start(self._committer.run(), "commits"))

        self._watcher = watcher = None if self._once else Watcher(poll=settings.daemon.watch == "poll")
        if watcher is not None:
            stack.callback(watcher.close)
        self._catalog = Catalog()
        self._swapper = Swapper(
            settings=settings.plugins,
            watcher=watcher,
            store=state.artifacts,
            environments=Environments(state.environments, settings.plugins.find_links),
            catalog=self._catalog,
            pool=pool,
            source_field=settings.pipeline.source_field,
            book=ledger.book,
            committer=self._committer,
            tasks=self._tasks,
        )
        await self._swapper.register.recall()
        stack.push_async_callback(self._swapper.close)
        self._confinement = pool.confinement
        streams = Streams(
            catalog=self._catalog,
            pool=pool,
            committer=self._committer,
            states=ledger.streams,
            keeper=self._swapper.keeping,
        )
        await streams.recall()
        self._replayer = Replayer(
            catalog=self._catalog,
            pool=pool,
            committer=self._committer,
            ledger=ledger,
            live=lambda number: self._finder.by_id(number) or self._intakes.by_id(number),
            tasks=self._tasks,
        )
        self._catalog.on_proven(self._replayer.proven)
        self._catalog.on_change(self._replayer.changed)
        self._desk = DeadLetterDesk(ledger, self._committer, self._replayer)
        self._pump = Pump(
            catalog=self._catalog,
            pool=pool,
            committer=self._committer,
            streams=streams,
            memory_bytes=memory_bytes,
            on_rewritten=lambda source: self._finder.rewritten(source),
            on_parsed=self._swapper.register.note,
            on_regression=self._swapper.probation.regressed,
            on_dead=self._replayer.left_behind,
            tasks=self._tasks,
            final=self._once,
        )
        self._catalog.on_change(self._pump.wake_all)
        self._finder = FileFinder(
            configs=settings.files,
            base=self._settings_path.absolute().parent if self._settings_path else Path.cwd(),
            excluded=own_paths(settings),
            rows=rows,
            has_ended=self._pump.has_ended,
            watcher=watcher,
            on_data=self._pump.wake,
            on_gone=self._source_gone,
            on_known=lambda row, seal, copy: self._source_known(ledger, streams, row, seal, copy),
            seals=seals,
        )
        stack.callback(self._finder.close)
        self._intakes = Intakes(
            folder=state.spool,
            rows=rows,
            new_id=self._finder.new_id,
            pump=self._pump,
            committer=self._committer,
            ledger=ledger,
            tasks=self._tasks,
            once=self._once,
        )
        stack.push_async_callback(self._intakes.abandon)
        self._reloader = Reloader(
            settings=settings,
            path=self._settings_path,
            ledger=ledger,
            committer=self._committer,
            swapper=self._swapper,
            pump=self._pump,
            finder=self._finder,
            intakes=self._intakes,
            tasks=self._tasks,
        )
        self._keeper = Keeper(ledger, self._committer, self._open_files)
        self._reparser = Reparser(
            catalog=self._catalog,
            pool=pool,
            committer=self._committer,
            ledger=ledger,
            tasks=self._tasks,
            turns=self._replayer.turn,
        )
        stack.push_async_callback(self._reparser.close)
        if not self._once:
            control = ControlServer(
                state.socket,
                {
                    ("GET", "/status"): self._status,
                    ("POST", "/rescan"): self._rescan,
                    ("POST", "/rollback"): self._roll_back,
                    ("POST", "/pin"): self._pin,
                    ("POST", "/unpin"): self._unpin,
                    **self._desk.handlers(),
                    ("POST", "/reparse"): self._reparser.asked,
                    ("GET", "/reparse"): self._reparser.told,
                },
            )
            await control.start()
            stack.push_async_callback(control.close)

    async def _begin(self, began: float) -> None:
        """Take in the plugins that lie there, then the sources: a source must not go to the second best plugin."""
        if not self._settings.plugins.folder.exists() and self._settings_path is None:
            self._settings.plugins.folder.mkdir(parents=True)
        await self._swapper.look()
        self._finder.look()
        with placing(self._settings_path, self._settings.sources):
            await self._intakes.start(self._settings.received)
        await self._desk.keep()
        events.emit(
            events.DAEMON_READY,
            plugins=len(self._catalog.current) + len(self._catalog.coming),
            sources=len(self._sources()),
            ms=clock.milliseconds_since(began),
        )

    async def _serve(self) -> int:
        """Serve until told to stop, or with `once` until nothing is left; return the exit code."""
        once: asyncio.Task[None] | None = None
        replays = self._tasks.start(self._replayer.run(), "replays")
        if self._once:
            once = self._tasks.start(self._finish(), "once")
            running = [once, replays]
        else:
            running = [
                replays,
                self._tasks.start(self._swapper.run(), "swapper"),
                self._tasks.start(self._look_now_and_then(), "slow look"),
                self._tasks.start(self._save_now_and_then(), "slow save"),
                self._tasks.start(self._reload_when_asked(), "reload"),
                self._tasks.start(self._keeper.run(), "keeper"),
            ]
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        waited: list[asyncio.Future[Any]] = [stop, self._tasks.failed, *([once] if once else [])]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        for task in (*running, stop):
            await _cancel(task)
        if self._tasks.failed.done():
            self._tasks.failed.result()  # a bug of ours, to be seen as what it is; nothing committed is lost
        return await self._exit_code() if self._once else EXIT_OK

    async def _finish(self) -> None:
        """Parse all that there is, and what appears meanwhile."""
        await self._swapper.settle()
        await self._intakes.ended()
        await self._intakes.close(0)
        self._pump.wake_all()
        while True:
            before = {source: source.offset for source in self._sources()}
            await self._pump.settle()
            await self._committer.flush()
            self._finder.look()
            await self._pump.settle()
            if before == {source: source.offset for source in self._sources()}:
                break
        await self._committer.flush()
        await self._swapper.probation.confirm_all()  # it has parsed all that there is
        await self._replayer.settle()
        await self._desk.keep()

    async def _exit_code(self) -> int:
        received = self._intakes.sources
        left = any(
            source.committed.offset < source.size() > source.offset
            or not self._pump.has_ended(source)
            or (source in received and source.trouble)
            for source in self._sources()
        )
        return EXIT_LEFT if left or self._finder.room.is_short or await self._dead_letters() else EXIT_OK

    async def _drain(self) -> None:
        """Finish what is under way, within the grace period; what is not done by then is read again next time."""
        grace_s = self._reloader.settings.daemon.grace_s
        events.emit(events.DAEMON_STOPPING, reason=self._stop_reason, grace_s=grace_s)
        began = clock.monotonic()
        self._committer.hurry()
        await self._intakes.close(grace_s / 2)
        await self._pump.close(max(0.1, grace_s - (clock.monotonic() - began)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.1, grace_s - (clock.monotonic() - began))):
                await asyncio.gather(self._committer.flush(), self._swapper.register.save_recent())

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def stop(name: str) -> None:
            self._stop_reason = name
            self._stop.set()

        loop.add_signal_handler(signal.SIGTERM, stop, "SIGTERM")
        loop.add_signal_handler(signal.SIGINT, stop, "SIGINT")
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        if self._hung_up():
            self._hangup.set()

    async def _look_now_and_then(self) -> None:
        while True:
            rest_s = min(max(LOOK_EVERY_S, self._finder.look_s / LOOK_SHARE), LOOK_MOST_S)
            await asyncio.sleep(POLL_EVERY_S if self._watcher and self._watcher.polls else rest_s)
            self._swapper.look_again()
            self._finder.look_soon()

    async def _save_now_and_then(self) -> None:
        """Apart from the looks, because it waits for the ledger as long as that takes."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._swapper.register.save_recent()
            await self._desk.keep()

    async def _reload_when_asked(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            reload = self._tasks.start(self._reloader.hang_up(), "reload")
            await asyncio.wait([reload], timeout=RELOAD_WAIT_S)

    async def _rescan(self, _: Arguments) -> dict[str, Any]:
        return {"changes": await self._reloader.rescan()}

    async def _roll_back(self, arguments: Arguments) -> dict[str, Any]:
        to = arguments.get("to")
        if to is not None and not (to.isdecimal() and len(to) < 19):
            raise HostdError("--to", f"{to!r} is no generation", "give its number, as in hostd status")
        return {"changes": await self._swapper.decisions.roll_back(arguments["name"], int(to) if to else None)}

    async def _pin(self, arguments: Arguments) -> dict[str, Any]:
        return {"changes": await self._swapper.decisions.pin(arguments["name"])}

    async def _unpin(self, arguments: Arguments) -> dict[str, Any]:
        return {"changes": await self._swapper.decisions.unpin(arguments["name"])}

    def _sources(self) -> list[FileSource]:
        return [*self._finder.sources.values(), *self._intakes.sources]

    def _open_files(self) -> set[tuple[int, int]]:
        return {(source.device, source.inode) for source in self._sources()}

    def _source_gone(self, source: FileSource) -> None:
        """A file that nobody writes any more: let go of it once everything in it is committed."""

        async def let_go() -> None:
            await self._pump.settle_one(source)
            await self._committer.flush()
            if source.fd >= 0 and source.is_read() and self._pump.has_ended(source):
                await self._pump.forget(source)
                self._finder.release(source, "it was moved away, and is read to its end")

        self._tasks.start(let_go(), f"let go of {source.name}")

    def _source_known(
        self, ledger: Ledger, streams: Streams, row: SourceRow, seal: tuple[bytes, int] | None, copy: Copy | None
    ) -> None:
        """Have the ledger know of a source what no batch tells it."""

        async def note() -> None:
            # Not before what was read of its original is committed: that may be nowhere else any more.
            await self._committer.flush()
            await self._committer.until_done(ledger.note, row, seal, copy)
            if copy is not None:
                await streams.note_copy(row.id)

        self._tasks.start(note(), f"note {row.name}")

    async def _status(self, _: Arguments) -> dict[str, Any]:
        answer = snapshot(
            daemon={
                "version": __version__,
                "pid": os.getpid(),
                "since": self._since,
                "config": str(self._settings_path) if self._settings_path else None,
                "plugins_folder": str(self._settings.plugins.folder),
            },
            catalog=self._catalog,
            holds=self._swapper.register.holds,
            confinement=self._confinement,
            sources=self._sources(),
            left_out=self._finder.room.left_out,
            intakes=self._intakes.status(),
            pump=self._pump,
            held_up=self._committer.troubles.held_up,
            backlogs=[sink.backlog() for sink in self._committer.sinks if isinstance(sink, StagedSink)],
        )
        # After all else: of what is committed by then, nothing is left out.
        return answer | await self._desk.status()


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
