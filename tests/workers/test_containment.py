"""What a parser does wrong is contained, and said in words: in its batch, and with its process."""

import asyncio
import json

import pytest

from hostd.errors import WorkerLostError
from hostd.workers import wire
from hostd.workers.batch import Batch
from tests.workers.demo import MakeCrew, batch, is_running, lines_of, processor

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
        f"\n                while not time.sleep(0.01): send({wire.HEAD.pack(5, 2, 0) + b'[]'!r})",
        r"no answer within 3\.6 s",
    ),
    "keeps what it allocates": (
        "sys.kept = kept = []; [kept.append(bytearray(1 << 20)) for _ in range(999)]",
        r"out of memory, which it does not give back \(limits\.memory_mib = 64\)",
    ),
    "answers out of turn": (
        "[os.write(fd, b'\\x01\\0\\0\\0\\x02\\0\\0\\0\\0[]') for fd in sockets()]",
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
