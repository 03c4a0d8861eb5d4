"""Parse files once, without a daemon: records as JSON lines, in order.

Exit 1 when a file could not be parsed or a record was rejected, with where and why.
"""

import argparse
import asyncio
import contextlib
import difflib
import os
import stat
import tempfile
from collections.abc import Container, Mapping
from pathlib import Path

from contract.manifest import Manifest
from hostd import clock, config, events
from hostd.cli import outputs, stdin
from hostd.cli.heads import look_into, route_of
from hostd.cli.named import folder, settings_of
from hostd.cli.outcomes import Outcomes, tally, write_all
from hostd.cli.printing import complain
from hostd.cli.progress import Progress
from hostd.config import Config
from hostd.errors import HostdError
from hostd.pipeline.commit import Committer
from hostd.pipeline.detection import rank
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.pump import Pump
from hostd.pipeline.sinks.stdout import StdoutSink
from hostd.pipeline.sources.content import NotLoadedError
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.sources.opening import name_of
from hostd.pipeline.streams import Streams
from hostd.plugins.catalog import Catalog
from hostd.plugins.environment import Environments
from hostd.swap import Swapper
from hostd.tasks import Tasks
from hostd.workers.launch import Launched, launch
from hostd.workers.pool import Pool
from hostd.workers.sandbox import Sandbox

EPILOG = """examples:
  hostd parse examples/logs/access.log
  hostd parse --processor csv export.txt -o export.ndjson
  journalctl -o short-iso | hostd parse --processor syslog -
  hostd parse --report became.jsonl -o records.ndjson /var/log/*.log
"""

COUNTED_BYTES = 1 << 20
MAX_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file; - for standard input")
    parser.add_argument(
        "--processor", metavar="NAME", help="the processor, instead of choosing one as `hostd identify` says"
    )
    parser.add_argument("--plugins", type=folder, metavar="DIR", help="the plugins folder, instead of the settings'")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write the records here, not to standard output"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write what became of each file here, as one JSON object a line"
    )


def main(options: argparse.Namespace) -> int:
    """Parse each file in turn; return 0 when every record of every file was parsed."""
    settings = config.load(config.find(options.config))
    events.configure("console", "error")
    plugins: Path = options.plugins.absolute() if options.plugins else settings.plugins.folder
    if not plugins.is_dir():
        raise HostdError(str(plugins), "the plugins folder is not there", "name one with --plugins")
    with contextlib.ExitStack() as stack:
        fd = stack.enter_context(outputs.opened(options.output, "-o", options.files))
        report = None
        if options.report is not None:
            report = stack.enter_context(outputs.opened(options.report, "--report", options.files, fd))
        return asyncio.run(_Parse(settings, plugins, options, fd, report).run())


class _Parse:
    """One run of the command: the daemon's own pipeline, with a ledger in memory and one sink."""

    def __init__(
        self, settings: Config, plugins: Path, options: argparse.Namespace, fd: int, report: int | None
    ) -> None:
        self._settings = settings
        self._memory_bytes = settings.pipeline.memory_mib << 20
        self._files: list[str] = options.files
        self._processor: str | None = options.processor
        self._folder = plugins
        self._output: Path | None = options.output
        self._report_path: Path | None = options.report
        self._fd, self._report_fd = fd, report
        self._is_begun = False
        path = config.find(options.config)
        self._base = path.absolute().parent if path else Path.cwd()
        self._outcomes = Outcomes(report)
        self._failed = False
        self._needed: set[str] = set()
        self._needs_all = False

    async def run(self) -> int:
        async with contextlib.AsyncExitStack() as stack:
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostd-parse-")))
            store = temporary / "artifacts"
            store.mkdir()
            workers = self._settings.workers
            sandbox = Sandbox(self._settings.plugins.sandbox.mode, store, self._settings.state.folder)
            pool = Pool(
                self._settings.busy_workers,
                workers.idle_s,
                _launch(sandbox),
                sandbox=sandbox,
                start_timeout_s=workers.start_timeout_s,
            )
            stack.push_async_callback(pool.close)
            self._ledger = Ledger(Path(":memory:"))
            sink = StdoutSink(fd=self._fd)
            committer = Committer(self._ledger, [sink], memory_bytes=self._memory_bytes, give_up=True)
            stack.callback(committer.close)
            self._catalog = Catalog()
            tasks = Tasks()
            swapper = Swapper(
                settings=self._settings.plugins.model_copy(update={"folder": self._folder}),
                watcher=None,
                store=store,
                environments=Environments(temporary / "environments", self._settings.plugins.find_links),
                catalog=self._catalog,
                pool=pool,
                source_field=self._settings.pipeline.source_field,
                book=self._ledger.book,
                committer=committer,
                tasks=tasks,
                narrow=self._narrow,
            )
            stack.push_async_callback(swapper.close)
            commits = tasks.start(committer.run(), "commits")
            parsing = tasks.start(self._parse_all(pool, committer, swapper, tasks), "parse")
            try:
                await asyncio.wait([tasks.failed, parsing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (commits, parsing):
                    task.cancel()
            failure = tasks.failed.exception() if tasks.failed.done() else None
            if failure is not None:
                is_output = commits.done() and not commits.cancelled() and commits.exception() is failure
                with outputs.writing(self._output, "-o") if is_output else contextlib.nullcontext():
                    raise failure
        return 1 if self._failed else 0

    async def _parse_all(self, pool: Pool, committer: Committer, swapper: Swapper, tasks: Tasks) -> None:
        await swapper.look()
        await swapper.settle()
        if not self._needed <= set(self._catalog.current):  # one does not start: another may take its files
            self._needs_all = True
            await swapper.look()
            await swapper.settle()
        if self._processor is not None and self._processor not in self._catalog.current:
            raise self._not_in_service(self._processor)
        began = clock.monotonic()
        progress = Progress(self._files)
        for number, name in enumerate(self._files, start=1):
            source = self._open(name, number)
            if source is None:
                continue
            self._begin()
            self._outcomes.begin(self._catalog.current.values())
            pump = Pump(
                catalog=self._catalog,
                pool=pool,
                committer=committer,
                streams=Streams(catalog=self._catalog, pool=pool, committer=committer, states=self._ledger.streams),
                memory_bytes=self._memory_bytes,
                on_rewritten=lambda source: self._fail(
                    f"{source.name}: was cut or rewritten while it was read; parse it again"
                ),
                on_parsed=swapper.register.note,
                on_regression=swapper.probation.regressed,
                tasks=tasks,
                final=name != "-",
            )
            with progress.following(source):
                await self._pump_one(pump, source, name)
            await committer.flush()
            await self._report(source, pump)
            with outputs.writing(self._report_path, "--report"):
                self._outcomes.end(source, pump.route_of(source), self._ledger.dead.of_source(source.id))
            await pump.forget(source)  # a timer of it must not read what is closed
            source.close()
        records, rejected = tally(self._catalog.current.values())
        progress.summarise(records, rejected, clock.monotonic() - began)

    async def _narrow(self, manifests: Mapping[str, Manifest]) -> Container[str]:
        """Return which plugins the files need, where that can be told before they serve: to start one takes time."""
        if self._needs_all:
            return manifests
        needed = {self._processor} if self._processor else await self._takers(manifests)
        if needed is None or not needed <= set(manifests):
            return manifests
        self._needed = needed
        return needed

    async def _takers(self, manifests: Mapping[str, Manifest]) -> set[str] | None:
        """Return who takes the files; None where that is not to be told of one of them."""
        takers: set[str] = set()
        for name in self._files:
            said = settings_of(name, self._settings.files)
            try:
                routed_as, head = await look_into(name, self._base, said) if name != "-" else ("", b"")
            except OSError:
                continue  # that is said when it is its turn
            route = route_of(rank(routed_as, head, manifests), head, said, manifests)
            if route.plugin is None:
                return None
            takers.add(route.plugin)
        return takers

    async def _pump_one(self, pump: Pump, source: FileSource, name: str) -> None:
        if name == "-":
            async for chunk in stdin.chunks():
                write_all(source.fd, chunk)
                pump.wake(source)
            pump.finish()
        pump.wake(source)
        await pump.settle()

    def _open(self, name: str, number: int) -> FileSource | None:
        try:
            fd = _spool() if name == "-" else os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            status = os.fstat(fd)
        except OSError as error:
            self._fail(f"{name}: cannot be read: {error.strerror}; check the path and its mode")
            return None
        if stat.S_ISDIR(status.st_mode) or stat.S_ISFIFO(status.st_mode):
            self._fail(f"{name}: is no regular file; name one, or give what is in it as standard input, -")
            os.close(fd)
            return None
        shown = name.encode("utf-8", "backslashreplace").decode()  # as records and the ledger can hold it
        source = FileSource(number, shown, name, fd, status.st_dev, status.st_ino, self._processor)
        source.globbed_as = name_of(str(Path(name).absolute()), self._base)  # as the daemon calls it
        if name != "-" and (said := settings_of(name, self._settings.files)) is not None:
            source.decode = said.decode
            if self._processor is None:
                source.processor = said.processor
        return source

    def _begin(self) -> None:
        """Drop what was in the outputs, now that there is something to put there."""
        if not self._is_begun:
            self._is_begun = True
            with outputs.writing(self._output, "-o"):
                outputs.empty(self._output, self._fd)
            if self._report_fd is not None:
                with outputs.writing(self._report_path, "--report"):
                    outputs.empty(self._report_path, self._report_fd)

    def _not_in_service(self, processor: str) -> HostdError:
        known = sorted(self._catalog.current)
        close = difflib.get_close_matches(processor, known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"those in {self._folder} are {', '.join(known) or 'none'}"
        return HostdError("--processor", f"{processor!r} is not in service", remedy)

    async def _report(self, source: FileSource, pump: Pump) -> None:
        """Say what of a file did not become records, and why."""
        if source.is_cut_short():
            self._fail(f"{source.name}: not parsed to its end: {source.trouble}")
        elif source.size() > source.offset:
            route = pump.route_of(source)
            why = f"{route.plugin} can start no worker any more" if route.plugin else route.why
            self._fail(f"{source.name}: not parsed: {why}")
        letters = self._ledger.dead.of_source(source.id)
        line, counted = 1, 0
        for letter in letters[:MAX_SHOWN]:
            line += await _count_lines(source, counted, letter.offset)
            counted = letter.offset
            self._fail(f"{source.name}:{line}: rejected at byte {letter.offset}: {letter.reason}")
        if len(letters) > MAX_SHOWN:
            self._fail(f"{source.name}: {len(letters) - MAX_SHOWN} more records were rejected")

    def _fail(self, message: str) -> None:
        self._failed = True
        complain(message)


def _launch(sandbox: Sandbox) -> Launched | None:
    """Start the zygote, which loads what it needs while we read manifests; None where the pool is to say why not."""
    try:
        return launch(sandbox=sandbox if sandbox.mode != "off" else None)
    except OSError:
        return None


def _spool() -> int:
    """Return a temporary file without a name: standard input cannot be read twice, a failing batch must be."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


async def _count_lines(source: FileSource, start: int, end: int) -> int:
    """Count the lines that end between two offsets of a source, whose bytes may have to be unpacked again."""
    count = 0
    while start < end:
        try:
            piece = source.read(start, min(end - start, COUNTED_BYTES))
        except NotLoadedError as missing:
            await source.load(missing)
            continue
        if not piece:
            break
        count += piece.count(b"\n")
        start += len(piece)
        source.content.let_go(start)
    return count
