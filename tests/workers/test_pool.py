"""Plugin code in worker processes: whatever it does, it is contained, and said in words."""

import asyncio
import gc
import json
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hostd.errors import WorkerLostError
from hostd.workers import pool as pools
from hostd.workers import wire
from hostd.workers.batch import Batch, Yield
from hostd.workers.pool import Crew, Pool
from hostd.workers.questions import GenerationBrokenError
from tests.build import PARSE_LINES, load, read_fifo

MakeCrew = Callable[..., Crew]

DATA = b"one\ntwo\nbad\nfour\n"


def batch(data: bytes = DATA, offset: int = 100) -> Batch:
    """Return a batch as the pump makes it."""
    return Batch("a.log", offset, b"", data)


def processor(body: str, factory: str = "return P()") -> str:
    """Return a plugin whose parse sees each line as `line` and has `body` for it; yields the others as records."""
    return f"""
import ctypes, math, os, signal, socket, struct, sys, time
class P:
    def parse(self, data, ctx):
        for raw in data.splitlines():
            line = raw.decode()
            if line == "bad":
                {body}
            yield {{"line": line}}

def new_processor():
    {factory}

def sockets():
    kinds = {{fd: f"/proc/self/fd/{{fd}}" for fd in range(3, 99)}}
    return [fd for fd, path in kinds.items() if os.path.exists(path) and "socket" in os.readlink(path)]

def send(content):
    for fd in sockets():
        os.write(fd, content)

def forge(fields):
    frame = sys._getframe()
    while "request" not in frame.f_locals:
        frame = frame.f_back
    body = fields.replace("TOKEN", str(frame.f_locals["request"].token)).encode()
    [os.write(fd, struct.pack("!BII", 4, len(body), 0) + body) for fd in sockets()]
"""


def lines_of(result: Yield) -> list[Any]:
    """Return what the records say, in their order."""
    return [json.loads(line)["line"] for line in result.lines.splitlines()]


def is_running(pid: int) -> bool:
    """Tell whether a process exists, a zombie included."""
    return Path(f"/proc/{pid}").exists()


CONTAINED: dict[str, tuple[str, str]] = {
    "raises": ("raise ValueError('no good')", "ValueError: no good (plugins.d/demo.py:15)"),
    "raises without words": ("raise KeyError", "KeyError (plugins.d/demo.py:15)"),
    "exits": ("sys.exit(3)", "SystemExit: 3 (plugins.d/demo.py:15)"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt (plugins.d/demo.py:15)"),
    "stops the generator": ("next(iter(()))", "RuntimeError: generator raised StopIteration"),
    "recurses": ("f = lambda: f(); f()", "RecursionError: maximum recursion depth exceeded"),
    "eats memory": ("bytearray(300 << 20)", "MemoryError (plugins.d/demo.py:15)"),
    "yields a number": ("yield 7", "TypeError: a record must be a mapping or a string, not int (plugins.d/demo.py)"),
    "yields an object": ("yield {'x': object()}", "TypeError: field 'x': object is no JSON value (plugins.d/demo.py)"),
    "yields a surrogate": ("yield {'x': '\\ud800'}", "ValueError: field 'x': text with a lone surrogate, which UTF-8"),
    "yields a cycle": ("d = {}; d['d'] = d; yield d", "ValueError: field 'd': holds itself, or is nested too deeply"),
    "yields for ever": ("yield from iter(dict, 1)", "TooMuchError: its records are over the limit (limits.output_"),
    "yields too much": ("yield {'x': 'x' * (3 << 20)}", "TooMuchError: its records are over the limit (limits.output_"),
    "rejects for ever": ("while True: ctx.reject(raw, 'no')", "TooMuchError: it rejects more often than its input has"),
    "returns no iterable line": ("yield None", "TypeError: a record must be a mapping or a string, not NoneType"),
}


@pytest.mark.parametrize("case", CONTAINED)
def test_what_a_parser_raises_costs_its_record_alone(runner: asyncio.Runner, crew: MakeCrew, case: str) -> None:
    """The others of its batch are records, in order; the worker goes on; the reason names the line."""
    body, reason = CONTAINED[case]

    async def scenario() -> None:
        demo = crew(processor(body), table="limits = { memory_mib = 200, output_mib = 2 }")
        pid = await demo.start()
        for _ in range(2):
            result = await demo.parse(batch())
            assert lines_of(result) == ["one", "two", "four"]
            assert result.records == 3
            [letter] = result.dead
            assert (letter.offset, letter.raw) == (108, b"bad\n")
            assert letter.reason.startswith(reason)
            assert letter.traceback.startswith("Traceback")
        assert list(demo._workers) == [pid]

    runner.run(scenario())


def forged(fields: str) -> str:
    """Return code that writes a Parsed with these fields to whatever sockets it finds; TOKEN is what was asked for."""
    return f"forge({fields!r})"


LOST: dict[str, tuple[str, str]] = {
    "exits hard": ("os._exit(7)", r"exit status 7"),
    "kills itself": ("os.kill(os.getpid(), signal.SIGKILL)", r"killed by signal 9"),
    "crashes": ("ctypes.string_at(0)", r"killed by signal 11"),
    "loops": ("while True: pass", r"no answer within 0\.3 s"),
    "loops and swallows": (
        "exec('while True:\\n try:\\n  while True: pass\\n except BaseException: pass')",
        r"no answer within 0\.3 s",
    ),
    "stops itself": ("os.kill(os.getpid(), signal.SIGSTOP)", r"no answer within 0\.3 s"),
    "closes its socket": ("os.closerange(3, 200)", r"exit status 1"),
    "writes garbage": (
        "[os.write(fd, b'\\xff' * 99) for fd in sockets()]",
        r"broke the protocol: a frame of kind 127 with 4294967295 \+ 4294967295 bytes",
    ),
    "announces a gigabyte": (
        f"[os.write(fd, {wire.HEAD.pack(4, 10, 1 << 30)!r}) for fd in sockets()]",
        r"broke the protocol: a frame of kind 4 with 10 \+ 1073741824 bytes",
    ),
    "announces what does not come": (
        f"[os.write(fd, {wire.HEAD.pack(4, 10, 1000)!r}) for fd in sockets()]; time.sleep(60)",
        r"no answer within 0\.3 s",
    ),
    "answers what nobody asked": (forged("[0, [], [], 0, 7]"), r"broke the protocol: an answer to another question"),
    "says for ever that it lives": (
        f"\n                while not time.sleep(0.01): send({wire.HEAD.pack(5, 3, 0) + b'[1]'!r})",
        r"no answer within 3\.6 s",
    ),
    "keeps what it allocates": (
        "sys.kept = kept = []; [kept.append(bytearray(1 << 20)) for _ in range(999)]",
        r"out of memory, which it does not give back \(limits\.memory_mib = 64\)",
    ),
    "answers out of turn": (
        "[os.write(fd, b'\\x01\\0\\0\\0\\x05\\0\\0\\0\\0[1.0]') for fd in sockets()]",
        r"answered Parse with Loaded",
    ),
    "forges what it said": (
        forged("[0, [], [[1, 2, 3]], 0, TOKEN]"),
        r"broke the protocol: a line \[1, 2, 3\] that nobody .*",
    ),
    "forges records": (forged("[-1, [], [], 0, TOKEN]"), r"broke the protocol: counts of -1 records and 0 \+ 0 lines"),
    "forges silence": (forged("[0, [], [], -1, TOKEN]"), r"broke the protocol: counts of 0 records and 0 \+ -1 lines"),
}


@pytest.mark.parametrize("case", LOST)
def test_what_a_parser_does_to_its_process_is_a_lost_worker(runner: asyncio.Runner, crew: MakeCrew, case: str) -> None:
    """It is said how; the process is gone, and the next batch has another."""
    body, reason = LOST[case]

    async def scenario() -> None:
        table = "limits = { memory_mib = 64 }"
        demo = crew(processor(body), time_s=0.3 if "no answer" in reason else 20.0, table=table)
        pid = await demo.start()
        worker = demo._workers[pid]
        with pytest.raises(WorkerLostError, match=f"^{reason}$"):
            await demo.parse(batch())
        async with asyncio.timeout(5):
            await asyncio.shield(worker.exited)
        assert not is_running(pid)
        assert (demo.workers, demo.in_flight) == (0, 0)
        result = await demo.parse(batch(b"one\n"), 20.0)
        assert lines_of(result) == ["one"]
        assert pid not in demo._workers

    runner.run(scenario())


ZERO = """
class P:
    name = "demo"
    def parse(self, data):
        lines = data.decode().splitlines()
        return {"list": lines, "tuple": tuple(lines), "bytes": [data]}[lines[0]]

def new_processor():
    return P()
"""


@pytest.mark.parametrize(
    ("first", "reason"), [("tuple", "returned tuple"), ("bytes", "returned a list whose item 0 is bytes")]
)
def test_contract_0_yields_messages_and_nothing_else(
    runner: asyncio.Runner, crew: MakeCrew, first: str, reason: str
) -> None:
    """Strings become records; what is not a list of them is a dead letter that names the plugin and the rule."""

    async def scenario() -> None:
        demo = crew(ZERO, contract=">=0.1,<1")
        good = await demo.parse(batch(b"list\nb\n"), 20.0)
        assert [json.loads(line) for line in good.lines.splitlines()] == [
            {"message": "list", "@source": "a.log"},
            {"message": "b", "@source": "a.log"},
        ]
        bad = await demo.parse(batch(f"{first}\n".encode()), 20.0)
        assert bad.records == 0
        rule = "plugin 'demo' speaks contract 0, where parse(data) returns a list of str; it"
        assert [letter.reason for letter in bad.dead] == [f"TypeError: {rule} {reason} (plugins.d/demo.py)"]

    runner.run(scenario())


def test_contract_0_needs_the_name_that_its_manifest_says(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """The two names are the contract's whole identity check; a property that raises is the plugin's own line."""

    async def scenario() -> None:
        for name, message in [
            ("name = 'other'", "plugins.d/demo.py: new_processor() returns a processor whose name is 'other', and its"),
            (
                "pass",
                "plugins.d/demo.py: new_processor() returns a processor whose name is None, and its manifest says",
            ),
            ("name = property(lambda self: 1 / 0)", "plugins.d/demo.py:9: new_processor() raises ZeroDivisionError"),
        ]:
            demo = crew(ZERO.replace('name = "demo"', name), contract=">=0.1,<1")
            with pytest.raises(GenerationBrokenError) as caught:
                await demo.start()
            assert str(caught.value).startswith(message)

    runner.run(scenario())


BROKEN: dict[str, tuple[str, str]] = {
    "syntax": ("def new_processor(:\n", "plugins.d/demo.py:7: SyntaxError: invalid syntax; mend line 7"),
    "raises at import": ("1 / 0\n", "plugins.d/demo.py:7: importing it raises ZeroDivisionError: division by zero;"),
    "exits at import": ("raise SystemExit(3)\n", "plugins.d/demo.py:7: importing it raises SystemExit: 3; mend"),
    "imports nothing there": ("import nowhere\n", "plugins.d/demo.py:7: importing it raises ModuleNotFoundError: "),
    "no factory": ("x = 1\n", "plugins.d/demo.py: has no function new_processor(); define one that returns"),
    "factory raises": (
        processor("pass", "raise ValueError('x')"),
        "plugins.d/demo.py:18: new_processor() raises ValueError: x; mend that line",
    ),
    "factory exits": (processor("pass", "sys.exit(1)"), "plugins.d/demo.py:18: new_processor() raises SystemExit: 1;"),
    "no parse": (
        processor("pass", "return 1"),
        "plugins.d/demo.py: new_processor() returns int without a method parse(data, ctx); return an object that has",
    ),
}


@pytest.mark.parametrize(
    ("start", "reason"),
    [(r"^\pL", r"bad escape \p at position 1"), ("^[[:lower:]]", "Possible nested set at position 2")],
)
def test_a_start_that_only_the_daemon_can_read_keeps_a_generation_out_of_service(
    runner: asyncio.Runner, crew: MakeCrew, start: str, reason: str
) -> None:
    """The worker would cut a failing batch elsewhere than the daemon; nothing of the plugin has run yet."""

    async def scenario() -> None:
        demo = crew("raise SystemExit", table=f"framing = {{ kind = 'multiline', start = '{start}' }}")
        with pytest.raises(GenerationBrokenError) as caught:
            await demo.start()
        where = f"plugins.d/demo.py: field 'framing.start' = {start!r}"
        assert str(caught.value).startswith(f"{where}: is a regular expression of RE2 alone: {reason}; write")

    runner.run(scenario())


@pytest.mark.parametrize("case", BROKEN)
def test_a_generation_that_cannot_load_says_where_and_why(runner: asyncio.Runner, crew: MakeCrew, case: str) -> None:
    """File, line, what was raised, and what to do; nothing of it is left running."""
    code, message = BROKEN[case]

    async def scenario() -> None:
        demo = crew(code)
        with pytest.raises(GenerationBrokenError) as caught:
            await demo.start()
        assert str(caught.value).startswith(message)
        assert demo.workers == 0

    runner.run(scenario())


@pytest.mark.parametrize(
    ("table", "body", "message"),
    [
        (
            "records = [{ line = 'b' }]",
            "pass",
            'sample 0: expected [{"line": "b"}], got [{"line": "bad"}]; mend parse,',
        ),
        (
            "records = []",
            "raise ValueError('x')",
            "plugins.d/demo.py:15: sample 0 raises ValueError: x; mend parse, or",
        ),
        ("records = []", "sys.exit(1)", "plugins.d/demo.py:15: sample 0 raises SystemExit: 1; mend parse, or"),
        ("records = []", "ctx.reject(raw, 'no'); continue", 'sample 0: rejected 1 times, expected 0: ["no"]; mend'),
    ],
)
def test_a_sample_that_differs_keeps_a_generation_out_of_service(
    runner: asyncio.Runner, crew: MakeCrew, table: str, body: str, message: str
) -> None:
    """Expected and got, both shown."""

    async def scenario() -> None:
        demo = crew(processor(body), table="samples = [{ input = 'bad', " + table + " }]")
        with pytest.raises(GenerationBrokenError) as caught:
            await demo.start()
        assert message in str(caught.value)

    runner.run(scenario())


def test_a_worker_lost_while_loading_is_said(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """os._exit at import is no message, and no hang."""

    async def scenario() -> None:
        demo = crew("import os; os._exit(5)\n")
        with pytest.raises(WorkerLostError, match=r"^exit status 5$"):
            await demo.start()
        assert demo.workers == 0

    runner.run(scenario())


def test_a_private_copy_that_was_changed_does_not_run(runner: asyncio.Runner, pool: Pool, tmp_path: Path) -> None:
    """The bytes that were hashed are the bytes that run."""

    async def scenario() -> None:
        message = load(tmp_path)
        Path(message.path).chmod(0o600)
        Path(message.path).write_text("raise SystemExit")
        with pytest.raises(GenerationBrokenError, match="its private copy was changed; drop the file in again"):
            await pool.crew(message, 5.0, 1).start()

    runner.run(scenario())


OPTIONS = """
from pydantic import BaseModel
from contract import each_line
class Options(BaseModel):
    width: int = 3
class P:
    def parse(self, data, ctx):
        yield {"line": ctx.options.width}
new_processor = P
"""


def test_options_are_validated_and_handed_over(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Defaults where the operator sets none; an error names table, field and value."""

    async def scenario() -> None:
        assert lines_of(await crew(OPTIONS).parse(batch())) == [3]
        assert lines_of(await crew(OPTIONS, options={"width": 8}).parse(batch())) == [8]
        for code, options, message in (
            (OPTIONS, {"width": "x"}, "[plugins.options.demo] width: Input should be a valid integer, unable to parse"),
            (PARSE_LINES, {"width": 1}, "[plugins.options.demo]: plugin 'demo' takes no options; remove"),
            (
                "Options = 3\n" + PARSE_LINES,
                {},
                "Options is no model of pydantic 2; define Options as a pydantic.BaseModel",
            ),
        ):
            with pytest.raises(GenerationBrokenError) as caught:
                await crew(code, options=options).start()
            assert message in str(caught.value)

    runner.run(scenario())


def test_bisection_finds_exactly_the_bad_records_and_keeps_order(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Whatever their number and places: all others are records, once each, in the order of the input."""

    async def scenario() -> None:
        demo = crew(processor("raise ValueError(line)"))
        for bad in (set(), {0}, {99}, {0, 1, 50, 98, 99}, set(range(100))):
            data = b"".join(b"bad\n" if number in bad else b"%d\n" % number for number in range(100))
            result = await demo.parse(batch(data))
            assert lines_of(result) == [str(number) for number in range(100) if number not in bad]
            places = [sum(4 if n in bad else len(str(n)) + 1 for n in range(number)) for number in sorted(bad)]
            assert [letter.offset - 100 for letter in result.dead] == places
            assert {letter.raw for letter in result.dead} <= {b"bad\n"}

    runner.run(scenario())


def test_rejected_records_are_found_in_the_batch(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """In order, also the same bytes twice; a line whose parser rejects what is no piece of it is dead itself."""
    code = processor("ctx.reject(raw, 'is bad'); continue")

    async def scenario() -> None:
        result = await crew(code).parse(batch(b"bad\nx\nbad\n"))
        assert [(letter.offset, letter.raw, letter.reason) for letter in result.dead] == [
            (100, b"bad", "is bad"),
            (106, b"bad", "is bad"),
        ]
        assert lines_of(result) == ["x"]
        result = await crew(processor("ctx.reject('elsewhere', 'odd'); continue")).parse(batch(b"bad\nx\n"))
        assert [(letter.offset, letter.raw, letter.reason) for letter in result.dead] == [
            (100, b"bad\n", "odd (of b'elsewhere', which is no piece of the input)")
        ]
        assert lines_of(result) == ["x"]
        twice = "[ctx.reject(data, 'all'), ctx.reject(raw, 'part'), ctx.reject(data, 'again')]; continue"
        result = await crew(processor(twice)).parse(batch(b"bad\nx\n"))
        assert [(letter.offset, letter.raw, letter.reason) for letter in result.dead] == [(100, b"bad\nx\n", "all")]

    runner.run(scenario())


def test_what_a_plugin_says_is_bounded(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Log and standard output arrive as lines; a flood is counted, not kept."""

    async def scenario() -> None:
        talk = crew(
            processor("print('out', 1); print('err', file=sys.stderr); ctx.log.warning('log'); print('rest', end='')")
        )
        result = await talk.parse(batch())
        assert result.said == (("info", "out 1"), ("info", "err"), ("warning", "log"), ("info", "rest"))
        flood = crew(processor("[print('x' * 100_000) for _ in range(1000)]"))
        result = await flood.parse(batch())
        assert lines_of(result) == ["one", "two", "bad", "four"]
        assert len(result.said) < 100
        assert sum(len(message) for _, message in result.said) < 200_000
        assert result.said[-1][1].endswith(" lines more")

    runner.run(scenario())


def test_context_carries_what_the_daemon_knows(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Source, offset, header and a deadline in the future."""
    code = """
import time
class P:
    def parse(self, data, ctx):
        yield {"line": [ctx.source, ctx.offset, ctx.header.decode(), data.decode(),
                        0 < ctx.deadline - time.monotonic() < 21]}
new_processor = P
"""

    async def scenario() -> None:
        result = await crew(code).parse(Batch("b.log", 7, b"head\n", b"body\n"))
        assert lines_of(result) == [["b.log", 7, "head\n", "body\n", True]]
        assert json.loads(result.lines)["@source"] == "b.log"

    runner.run(scenario())


def test_workers_are_forked_on_demand_and_used_again(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Two batches at once have two processes; one after the other has one."""

    async def scenario() -> None:
        demo = crew(PARSE_LINES)
        assert demo.workers == 0
        for _ in range(3):
            await demo.parse(batch())
            assert demo.workers == 1
        results = await asyncio.gather(demo.parse(batch(b"a\n")), demo.parse(batch(b"b\n")))
        assert [lines_of(result) for result in results] == [["a"], ["b"]]
        assert demo.workers == 2

    runner.run(scenario())


def test_large_batches_and_answers_arrive_whole(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """More than any socket's buffer in both directions."""
    data = b"x" * 99 + b"\n"

    async def scenario() -> None:
        result = await crew(PARSE_LINES).parse(batch(data * 30_000))
        assert result.records == 30_000
        assert len(result.lines) == 30_000 * len('{"line":"","@source":"a.log"}' + "x" * 99 + "\n")

    runner.run(scenario())


def test_close_ends_idle_workers_and_busy_ones_after_their_batch(
    runner: asyncio.Runner, crew: MakeCrew, tmp_path: Path
) -> None:
    """close returns at once; drain waits; no process is left."""
    gate, began = tmp_path / "gate", tmp_path / "began"
    os.mkfifo(gate)
    os.mkfifo(began)
    held = os.open(gate, os.O_RDWR)

    async def scenario() -> None:
        demo = crew(processor(f"open({str(began)!r}, 'w').write('x'); open({str(gate)!r}).readline()"))
        idle, busy = await demo.start(), asyncio.create_task(demo.parse(batch()))
        assert await read_fifo(began) == "x"
        await demo.parse(batch(b"x\n"))
        workers = dict(demo._workers)
        assert idle in workers
        assert len(workers) == 2
        demo.close()
        assert not await demo.drain(0.01)
        assert demo.in_flight == 1
        os.write(held, b"go\n")
        assert await demo.drain(5)
        assert lines_of(await busy) == ["one", "two", "bad", "four"]
        async with asyncio.timeout(5):
            await asyncio.wait([worker.exited for worker in workers.values()])
        assert demo.workers == 0
        assert not any(map(is_running, workers))

    runner.run(scenario())
    os.close(held)


def test_kill_ends_busy_workers_and_what_they_started(runner: asyncio.Runner, crew: MakeCrew, tmp_path: Path) -> None:
    """SIGKILL for the whole group; the batch is lost, and nothing is left when it returns."""
    child = tmp_path / "child"
    os.mkfifo(child)
    body = (
        f"import subprocess as s; p = s.Popen(['sleep', '60']); open({str(child)!r}, 'w').write(str(p.pid)); p.wait()"
    )

    async def scenario() -> None:
        demo = crew(processor(body))
        task = asyncio.create_task(demo.parse(batch()))
        child_pid = int(await read_fifo(child))
        pids = list(demo._workers)
        child_fd = os.pidfd_open(child_pid)
        await demo.kill()
        with pytest.raises((WorkerLostError, ValueError, OSError)):
            await task
        assert demo.workers == 0
        assert not any(map(is_running, pids))
        ended, _, _ = await asyncio.to_thread(select.select, [child_fd], [], [], 5)
        os.close(child_fd)
        assert ended, "a process that the plugin started is left"

    runner.run(scenario())


def test_a_worker_that_ends_while_idle_is_said_and_replaced(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Nobody asked it to: that is an event; one that was dismissed is none."""

    async def scenario() -> None:
        demo = crew(PARSE_LINES)
        pid = await demo.start()
        worker = demo._workers[pid]
        with capture_logs() as logged:
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(5):
                await asyncio.shield(worker.exited)
        assert [event for event in logged if event["event"] == "worker.exited"] == [
            {
                "event": "worker.exited",
                "log_level": "warning",
                "plugin": "demo",
                "generation": 1,
                "pid": pid,
                "reason": "killed by signal 9",
            }
        ]
        assert demo.workers == 0
        with capture_logs() as logged:
            assert lines_of(await demo.parse(batch(b"x\n"))) == ["x"]
            await demo.kill()
        assert logged == []

    runner.run(scenario())


def test_idle_workers_are_reaped(runner: asyncio.Runner, tmp_path: Path) -> None:
    """A plugin that has nothing to do costs no process."""

    async def scenario() -> None:
        pool = Pool(2, 0.02)
        demo = pool.crew(load(tmp_path), 10.0, 1)
        await asyncio.gather(demo.parse(batch()), demo.parse(batch()))
        workers = dict(demo._workers)
        assert len(workers) == 2
        async with asyncio.timeout(5):
            await asyncio.wait([worker.exited for worker in workers.values()])
        assert demo.workers == 0
        assert not any(map(is_running, workers))
        assert lines_of(await demo.parse(batch(b"x\n"))) == ["x"], "and it comes back on demand"
        await pool.close()

    runner.run(scenario())


def test_pool_close_leaves_no_process_and_no_descriptor(tmp_path: Path) -> None:
    """Workers end with the zygote, and the daemon holds nothing of them."""

    async def scenario() -> None:
        held = []
        for _ in range(3):
            pool = Pool(2, 60.0)
            demo = pool.crew(load(tmp_path), 10.0, 1)
            pid = await demo.start()
            assert is_running(pid)
            await demo.kill()
            assert not is_running(pid)
            await pool.close()
            await pool.close()
            gc.collect()
            held.append(sorted(os.listdir("/proc/self/fd")))  # noqa: PTH208 - names are all we need
        assert held[1] == held[2]

    asyncio.run(scenario())


def test_of_many_idle_workers_the_longest_idle_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand plugins that were just started hold no thousand processes; each forks again when it has a batch."""
    monkeypatch.setattr(pools, "IDLE_MOST", 3)

    async def scenario() -> None:
        pool = Pool(2, 60.0)
        crews = [pool.crew(load(tmp_path), 10.0, number) for number in range(5)]
        for crew in crews:
            await crew.start()
        assert [crew.workers for crew in crews] == [0, 0, 1, 1, 1]
        assert (await crews[0].parse(batch(b"x\n"))).records == 1
        assert [crew.workers for crew in crews] == [1, 0, 0, 1, 1]
        assert (await crews[3].parse(batch(b"x\n"))).records == 1
        await crews[1].start()
        assert [crew.workers for crew in crews] == [1, 1, 0, 1, 0]
        for crew in crews:
            await crew.kill()
        assert not pool.idle
        await pool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("handoff_s", "begun"), [(60.0, 2), (0.01, 5)])
def test_a_bounded_number_of_starts_is_under_way(tmp_path: Path, handoff_s: float, begun: int) -> None:
    """The others wait, but not for one that takes long: what hangs while it is imported delays nobody."""
    mark, gate = tmp_path / "begun", tmp_path / "gate"
    wait = (
        f"import os, time\nopen({str(mark)!r}, 'a').write('x')\n"
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.005)\n"
    )

    async def scenario() -> None:
        pool = Pool(1, 60.0, handoff_s=handoff_s)
        crews = [pool.crew(load(tmp_path, wait + PARSE_LINES), 10.0, number) for number in range(5)]
        starts = asyncio.gather(*(crew.start() for crew in crews))
        async with asyncio.timeout(20):
            while not mark.exists() or mark.stat().st_size < begun:  # noqa: ASYNC110 - other processes write it
                await asyncio.sleep(0.005)
        assert sum(crew.workers for crew in crews) == begun
        gate.touch()
        assert len(set(await starts)) == 5
        await pool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("forks", [True, False])
def test_who_would_not_have_a_worker_forked_waits_behind_another_batch(
    runner: asyncio.Runner, crew: MakeCrew, tmp_path: Path, *, forks: bool
) -> None:
    """There is a free core; a second worker costs more than a short batch takes."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    async def scenario() -> None:
        demo = crew(processor(f"open({str(gate)!r}).read()"))
        await demo.start()
        first = asyncio.create_task(demo.parse(batch(b"bad\n")))
        await asyncio.sleep(0)
        second = asyncio.create_task(demo.parse(batch(b"x\n"), forks=forks))
        async with asyncio.timeout(10):
            if forks:
                assert lines_of(await second) == ["x"], "the first is under way still"
            writer = await asyncio.to_thread(open, gate, "w")  # which waits until the first has opened it
            assert demo.workers == (2 if forks else 1)
            assert second.done() is forks
            writer.close()
            assert lines_of(await second) == ["x"]
            await first

    runner.run(scenario())
